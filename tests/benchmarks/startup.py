"""How long a filled server takes to start, and an extractive answer to come, in fresh processes.

    make bench
    python tests/benchmarks/startup.py --rounds 5 --json

`examples/` is ingested once. Then, each round, `rungwise serve --no-worker` is started: the server alone, so that
figures compare with those from before there was a worker. The clock stops when `/readyz` says 200. Each question of
`examples/questions.jsonl` is asked once, one after the other, over one connection: embedding, retrieval, route, answer
and log, as a client has it. No provider's key is in reach: the answer is extractive.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG = ["--config", str(EXAMPLES / "rungwise.yaml")]
RUNGWISE = [sys.executable, "-m", "rungwise_pipelines"]
PROVIDERS = frozenset({"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL"})
PATIENCE = 120.0


def ask(connection: http.client.HTTPConnection, question: str) -> float:
    """Milliseconds until the whole answer is here."""
    body = json.dumps({"model": "extractive", "messages": [{"role": "user", "content": question}]})
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise SystemExit(f"status {response.status}: {answer.decode()}")
    return (time.perf_counter() - began) * 1000


def one_round(environ: dict[str, str], questions: list[str]) -> tuple[float, list[float]]:
    """Seconds until a fresh server was ready, and milliseconds of each answer."""
    began = time.perf_counter()
    command = [*RUNGWISE, "serve", *CONFIG, "--port", "0", "--no-worker", "--json"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            place = urlsplit(json.loads(server.stdout.readline())["url"]).netloc
            with contextlib.closing(http.client.HTTPConnection(place, timeout=PATIENCE)) as connection:
                ready = 0
                while ready != 200:
                    connection.request("GET", "/readyz")
                    response = connection.getresponse()
                    told, ready = response.read(), response.status
                    if time.perf_counter() - began > PATIENCE:
                        raise SystemExit(f"not ready after {PATIENCE:g} s: {told.decode()}")
                seconds = time.perf_counter() - began
                return seconds, [ask(connection, question) for question in questions]
        finally:
            server.terminate()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    lines = (EXAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["text"] for line in lines]
    with tempfile.TemporaryDirectory(prefix="rungwise-bench-") as home:
        environ = {name: value for name, value in os.environ.items() if name not in PROVIDERS}
        environ["RUNGWISE_HOME"] = home
        subprocess.run([*RUNGWISE, "ingest", *CONFIG, "--json"], env=environ, stdout=subprocess.DEVNULL, check=True)
        rounds = [one_round(environ, questions) for _ in range(given.rounds)]
    figures = {
        "start to /readyz, s": [seconds for seconds, _ in rounds],
        "extractive answer, ms": [answer for _, answers in rounds for answer in answers],
    }
    rows = {f: {"p50": statistics.median(all_), "min": min(all_), "max": max(all_)} for f, all_ in figures.items()}
    if given.json:
        print(json.dumps(rows))
        return
    for figure, row in rows.items():
        print(f"{figure:<24}{row['p50']:8.2f}   ({row['min']:.2f} to {row['max']:.2f}; {given.rounds} fresh processes)")


if __name__ == "__main__":
    main()
