"""Keeps a worker running beside the server: a child process, started anew when it dies, ended with its parent.

The worker reads its standard input, and stops when that ends: so it ends too where the parent is killed.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

_GRACE = 15.0  # seconds that it gets to put its jobs back
_STEADY = 60.0  # seconds after which a worker counts as one that runs
_LONGEST = 60.0


class Keeper:
    """Runs `command` from `start` to the end of the block. A worker that dies is followed by another, after a second,
    and later ones, should they die soon, after longer and longer.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._keeping: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    def start(self) -> None:
        """Start the first one."""
        self._keeping = asyncio.create_task(self._keep())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeping is None:
            return
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_GRACE):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _keep(self) -> None:
        loop, wait = asyncio.get_running_loop(), 1.0
        while True:
            started = loop.time()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # an interrupt at the keyboard is the parent's to handle
            )
            code = await self._process.wait()
            wait = 1.0 if loop.time() - started > _STEADY else wait
            ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            logger.warning("the worker ended (%s); another is started in %g s", ended, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST)


def worker_command(config: str | None) -> list[str]:
    """The command line of a worker that is a child."""
    chosen = ["--config", config] if config else []
    return [sys.executable, "-m", "rungwise_pipelines", "worker", "--child", *chosen]
