"""CPU, latency and memory of the gateway, beside nginx's `proxy_pass` and LiteLLM's proxy in the same rounds.

    make bench                                   # ours and, where they are installed, nginx and LiteLLM
    python tests/benchmarks/gateway.py --litellm PATH/TO/litellm --rounds 5 --json

A fake provider answers at once; every gateway passes the same requests on to it, over loopback. These machines are
noisy, so gateways take turns, each figure is the median of its rounds, and what is compared is the process's own CPU
time, which a busy neighbour disturbs least. Ours validates, routes and logs each request; retrieval is off.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httptools
import uvloop

CONNECTIONS = 64
SHORT, LONG = 10, 110
FLOODED = "flooded"
PACES = f"50,{FLOODED}"
"""Chunks a second of each stream: fifty, as a large model writes, each chunk a read and a write of its own; and a
flood."""
TOGETHER, FLOOD = 10, 0.005
"""In a flood the provider writes ten chunks at once, each five milliseconds: every gateway reads them together."""


@dataclass
class Gateway:
    """A running gateway and what was measured of it."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    path: str = "/v1/chat/completions"
    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figure: str, value: float) -> None:
        self.figures.setdefault(figure, []).append(value)

    def median(self, figure: str) -> float:
        return statistics.median(self.figures[figure])

    def family(self) -> list[int]:
        """The process and its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds on a CPU so far, of all threads that still run; the scheduler counts them in nanoseconds."""
        total = 0
        for pid in self.family():
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((thread / "schedstat").read_text().split()[0])
        return total / 1e9

    def rss(self) -> float:
        """Resident megabytes."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.family())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class _Client(asyncio.Protocol):
    """One connection: asks the same thing again and again until the shared count is used up."""

    def __init__(self, request: bytes, left: list[int], latencies: list[float], firsts: list[float]) -> None:
        self.request, self.left, self.latencies, self.firsts = request, left, latencies, firsts
        self.done = asyncio.get_running_loop().create_future()
        self.status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        if not self.left[0]:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.left[0] -= 1
        self.parser = httptools.HttpResponseParser(self)
        self.began, self.first = time.perf_counter(), 0.0
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.first = self.first or time.perf_counter()

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() != 200:
            self.done.set_exception(RuntimeError(f"status {self.parser.get_status_code()}"))
            return
        self.latencies.append(time.perf_counter() - self.began)
        self.firsts.append(self.first - self.began)
        asyncio.get_running_loop().call_soon(self._ask)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"the gateway closed the connection: {exc}"))


async def load(port: int, path: str, count: int, connections: int, *, stream: bool) -> tuple[list[float], list[float]]:
    """Latencies and times to the first byte, in seconds, of `count` requests over so many connections."""
    body = json.dumps(
        {
            "model": "bench",
            "stream": stream,
            "temperature": 0.2,
            "messages": [
                {"role": "system", "content": "You are the assistant of a shop for garden pumps. " * 6},
                {"role": "user", "content": "Which pump lifts water eight metres, and what does it cost?"},
            ],
        }
    ).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer sk-bench\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    latencies: list[float] = []
    firsts: list[float] = []
    left = [count]
    loop = asyncio.get_running_loop()
    clients = [
        (
            await loop.create_connection(
                lambda: _Client(head.encode() + body, left, latencies, firsts), "127.0.0.1", port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return latencies, firsts


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], port: int, environ: dict[str, str], cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`command`, from when it listens on `port` until the block ends."""
    log = (cwd / f"{Path(command[0]).name}-{port}.log").open("wb")
    process = subprocess.Popen(command, env={**os.environ, **environ}, cwd=cwd, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{Path(log.name).read_text()[-2000:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000;
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""

OURS = """
candidates:
  provider: {{kind: openai_compatible, url: "http://127.0.0.1:{upstream}/v1", model: fake}}
workloads:
  bench: {{candidates: [provider]}}
"""

LITELLM = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/fake, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-bench}}
"""


@contextlib.contextmanager
def gateways(folder: Path, upstream: int, litellm: str) -> Iterator[list[Gateway]]:
    """Ours, and the neighbours that are installed."""
    with contextlib.ExitStack() as stack:
        made = []
        if nginx := shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin"):
            port = free_port()
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstream=upstream, port=port))
            command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
            made.append(Gateway("nginx", stack.enter_context(running(command, port, {}, folder)), port))
        port = free_port()
        (folder / "rungwise.yaml").write_text(OURS.format(upstream=upstream))
        command = [str(Path(sys.executable).parent / "rungwise"), "serve", "--no-worker", "--port", str(port)]
        ours = stack.enter_context(running(command, port, {"RUNGWISE_HOME": str(folder / "home")}, folder))
        made.append(Gateway("rungwise", ours, port))
        if litellm:
            port = free_port()
            (folder / "litellm.yaml").write_text(LITELLM.format(upstream=upstream))
            command = [litellm, "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port)]
            quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": "sk-bench"}
            process = stack.enter_context(running(command, port, quiet, folder))
            made.append(Gateway("litellm", process, port))
        yield made


def measure(gateway: Gateway, requests: int) -> None:
    """One round of one gateway."""
    few = max(20, requests // 10) if gateway.name == "litellm" else requests
    began = gateway.cpu()
    uvloop.run(load(gateway.port, gateway.path, few, CONNECTIONS, stream=False))
    gateway.add("cpu_ms_per_request", (gateway.cpu() - began) / few * 1000)
    latencies, _ = uvloop.run(load(gateway.port, gateway.path, max(20, few // 10), 1, stream=False))
    gateway.add("p50_ms", statistics.median(latencies) * 1000)
    gateway.add("rss_mb", gateway.rss())


def stream_cpu(gateway: Gateway, streams: int) -> float:
    """CPU microseconds of one stream."""
    began = gateway.cpu()
    uvloop.run(load(gateway.port, gateway.path, streams, min(CONNECTIONS, streams), stream=True))
    return (gateway.cpu() - began) / streams * 1e6


def measure_stream(short: Gateway, long: Gateway, pace: str, streams: int) -> None:
    """One round of one gateway: what a long stream costs more than a short one, by chunk."""
    few = max(8, streams // 8) if short.name == "litellm" else streams
    short.add(pace, (stream_cpu(long, few) - stream_cpu(short, few)) / (LONG - SHORT))
    # One at a time: with all connections busy it would be the wait for a turn on two cores.
    _, firsts = uvloop.run(load(short.port, short.path, max(8, few // 16), 1, stream=True))
    short.add("first_byte_p50_ms", statistics.median(firsts) * 1000)


def provider(chunks: int, delay: float, together: int) -> tuple[list[str], int]:
    """The fake provider's command and port."""
    port = free_port()
    command = [sys.executable, "-m", "rungwise_server.testing.upstream", "--port", str(port)]
    return [*command, "--chunks", str(chunks), "--delay", str(delay), "--together", str(together)], port


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000, help="a round")
    parser.add_argument("--streams", type=int, default=192, help="a round")
    parser.add_argument("--paces", default=PACES, help=f"chunks a second of a stream, or {FLOODED}; comma-separated")
    parser.add_argument("--litellm", default="", help="LiteLLM's proxy command, to measure it too")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results: dict[str, Gateway] = {}
    with standing(50, 0.0, 1, given.litellm, results) as made:
        for each in turns(made, given.rounds, "whole answers"):
            measure(each, given.requests)
    paces = given.paces.split(",")
    for pace in paces:
        wait, together = (FLOOD, TOGETHER) if pace == FLOODED else (1 / float(pace), 1)
        with (
            standing(SHORT, wait, together, given.litellm, results) as short,
            standing(LONG, wait, together, given.litellm) as long,
        ):
            longer = {each.name: each for each in long}
            for each in turns(short, given.rounds, pace):
                measure_stream(each, longer[each.name], pace, given.streams)
    sys.stderr.write("\r" + " " * 60 + "\r")
    report(results, paces, as_json=given.json)
    return 0


@contextlib.contextmanager
def standing(
    chunks: int, delay: float, together: int, litellm: str, results: dict[str, Gateway] | None = None
) -> Iterator[list[Gateway]]:
    """A provider of such streams and all gateways before it, warmed up; what is measured of them goes to `results`."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        command, upstream = provider(chunks, delay, together)
        direct = Gateway("direct", stack.enter_context(running(command, upstream, {}, folder)), upstream)
        made = [direct, *stack.enter_context(gateways(folder, upstream, litellm))]
        for each in made:
            if results is not None:
                each.figures = results[each.name].figures if each.name in results else {}
                results[each.name] = each
            uvloop.run(load(each.port, each.path, 64, 64, stream=True))
            uvloop.run(load(each.port, each.path, 64, 64, stream=False))
        yield made


def turns(made: list[Gateway], rounds: int, what: str) -> Iterator[Gateway]:
    """Each gateway in each round."""
    for n in range(rounds):
        for each in made:
            sys.stderr.write(f"\r{what}, round {n + 1} of {rounds}: {each.name:10}")
            sys.stderr.flush()
            yield each


def report(results: dict[str, Gateway], paces: list[str], *, as_json: bool) -> None:
    """The figures, and their ratio to nginx's."""
    rows: dict[str, dict[str, float]] = {}
    direct = results.pop("direct")
    for name, each in results.items():
        rows[name] = {
            "CPU ms/request": each.median("cpu_ms_per_request"),
            **{f"CPU us/chunk, {pace}": each.median(pace) for pace in paces},
            "added p50 ms": each.median("p50_ms") - direct.median("p50_ms"),
            "added first byte ms": each.median("first_byte_p50_ms") - direct.median("first_byte_p50_ms"),
            "RSS MB": each.median("rss_mb"),
        }
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    figures = list(next(iter(rows.values())))
    sys.stdout.write(f"{'':10}" + "".join(f"{figure:>22}" for figure in figures) + "\n")
    base = rows.get("nginx")
    for name, row in rows.items():
        cells = (f"{row[f]:.3f}" + (f" ({row[f] / base[f]:.1f}x)" if base and base[f] > 0 else "") for f in figures)
        sys.stdout.write(f"{name:10}" + "".join(f"{cell:>22}" for cell in cells) + "\n")
    if not base:
        sys.stdout.write("nginx is not installed: no ratios (Debian: apt install nginx-light)\n")


if __name__ == "__main__":
    sys.exit(main())
