"""Runs the command line in processes that die: forks one for each line of JSON on standard input, and writes its exit
code. `{"argv", "said", "signal", "file", "size"}`: its output goes to the file `said`; once `file` has `size` bytes it
is sent that signal (0: never).

Forked, because each process of its own would first import everything.
"""

import json
import os
import sys
import time

import rungwise_pipelines.batch.job
import rungwise_pipelines.batch.local
import rungwise_pipelines.batch.surfaces
import rungwise_pipelines.work.crew
from rungwise_pipelines.cli import app

del rungwise_pipelines


def run(argv: list[str]) -> int:
    try:
        app(argv, prog_name="rungwise")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def size(file: str) -> int:
    return os.path.getsize(file) if os.path.exists(file) else 0


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            out = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            code = run(asked["argv"])
            sys.stdout.flush()
            os._exit(code)
        ended, status = 0, 0
        while asked["signal"] and not ended:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended and size(asked["file"]) >= asked["size"]:
                os.kill(pid, asked["signal"])  # not waited for yet, so the id is still its own
                break
            time.sleep(0.002)
        if not ended:
            _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
