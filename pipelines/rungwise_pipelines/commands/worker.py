"""`rungwise worker`: does what waits in the queue - files into vector stores, batches - beside the server."""

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say

if TYPE_CHECKING:
    from rungwise_pipelines.work.worker import Ended
    from rungwise_server.config.settings import Settings

_SAID = {
    "done": "done",
    "again": "failed, to be tried again",
    "given_up": "given up",
    "back": "put back: the worker is stopping",
    "lost": "left to another worker",
}


def worker(
    once: Annotated[bool, typer.Option("--once", help="Do at most one job, then end.")] = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when nothing waits any more: for cron, and for tests.")
    ] = False,
    lease: Annotated[
        float, typer.Option(help="Seconds after which the job of a worker that died is another's.", min=1.0)
    ] = 30.0,
    child: Annotated[bool, typer.Option("--child", hidden=True, help="End with whoever holds standard input.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Do the work that waits: files into vector stores, batches. `rungwise serve` starts one by itself.

    As many as one likes may run at once. Safe to stop or to kill at any time: what was begun is put back, or taken
    over by another once its lease has run out.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    settings = settings_of(config)
    asyncio.run(_work(settings, lease, once=once, until_idle=until_idle, child=child, as_json=as_json))


async def _work(
    settings: "Settings", lease: float, *, once: bool, until_idle: bool, child: bool, as_json: bool
) -> None:
    from rungwise_pipelines.work.crew import open_worker

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if child:
        os.nice(5)  # answers come first
        threading.Thread(target=_until_alone, args=(loop, stop), daemon=True).start()

    def report(ended: "Ended") -> None:
        _tell(ended, as_json=as_json, quiet=child)

    async with open_worker(settings, report, lease=lease) as opened:
        if not (as_json or child or once or until_idle):
            say("Waiting for work; Ctrl-C ends it.")
        await opened.run(stop, once=once, until_idle=until_idle)


def _until_alone(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Standard input ends when the parent has closed it, or died."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def _tell(ended: "Ended", *, as_json: bool, quiet: bool) -> None:
    if as_json:
        emit(
            {
                "kind": ended.kind,
                "subject": ended.subject,
                "outcome": ended.outcome,
                "seconds": round(ended.seconds, 3),
                "attempts": ended.attempts,
                "reason": ended.reason,
            }
        )
        return
    line = f"{ended.kind} {ended.subject}: {_SAID[ended.outcome]}, {ended.seconds:.1f} s"
    if ended.reason:
        note(f"{line}: {ended.reason}")
    elif not quiet:
        say(line)
