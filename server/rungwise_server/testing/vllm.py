"""A real vLLM on the CPU with a tiny model of random weights, for tests and benchmarks."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE = 300.0


@contextmanager
def tiny_vllm(
    programs: Path, maker: Path, folder: Path, options: Sequence[str], environ: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The origin of a vLLM that serves the model as `tiny`, from when it is healthy until the block ends.

    Args:
        programs: the folder of vLLM's own `python` and `vllm`.
        maker: the script that makes the model.
        folder: where the model and the log go.
        options: of `vllm serve`, beside those that every run here has.
        environ: variables beside this process's and those that every run here has.

    Raises:
        RuntimeError: it ended, or is not healthy after five minutes; with the end of its log.
    """
    subprocess.run([programs / "python", maker, folder / "model"], check=True, capture_output=True, timeout=180)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    everywhere = {
        "HOME": str(folder),
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    always = ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager", "--host", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "vllm", "serve", folder / "model", *always, "--port", str(port), *options],
            env={**os.environ, **everywhere, **(environ or {})},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"vLLM did not start:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()
