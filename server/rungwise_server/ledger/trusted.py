"""Which judges the ledger may lean on: those whose certificate for the workload holds today."""

import math
import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from rungwise_server.errors import UpstreamError
from rungwise_server.judging.trust import Trust


class JudgeStanding(Struct, frozen=True):
    """What a judge's grades are worth. `why` says it in words, also of one that is not `usable`."""

    usable: bool = False
    certificate: str = ""
    """The id of the certificate; empty where there is none."""
    verdict: str = ""
    why: str = "it was never certified"
    word: str = "none"
    """As `trust.Standing` has it: valid, expired or none."""


Standings = Callable[[str, str], Awaitable[JudgeStanding]]
"""From a judge's `name@hash` and a workload."""

UNKNOWN = JudgeStanding()
BELIEVED = 60.0


async def nobody(judge: str, workload: str) -> JudgeStanding:
    """Where no certificate is kept, no judge has one."""
    return JudgeStanding(why=f"it was never certified on {workload}")


def by_certificates(trust: Trust, clock: Callable[[], float] = time.monotonic) -> Standings:
    """As kept certificates say; where traffic cannot be embedded now, no certificate is known to hold.

    To embed traffic takes a second: what was found is believed for `BELIEVED` seconds, a new certificate aside.
    """
    known: dict[tuple[str, str], tuple[float, str, JudgeStanding]] = {}

    async def standing(judge: str, workload: str) -> JudgeStanding:
        newest = next((one.id for one in await trust.all(workload)), "")
        at, certificate, found = known.get((judge, workload), (-math.inf, "", UNKNOWN))
        if newest != certificate or clock() - at >= BELIEVED:
            found = await _standing(trust, judge, workload)
            known[judge, workload] = clock(), newest, found
        return found

    return standing


async def _standing(trust: Trust, judge: str, workload: str) -> JudgeStanding:
    name, _, hash = judge.partition("@")
    try:
        found = await trust.standing(name, hash, workload)
    except UpstreamError as error:
        return JudgeStanding(why=f"whether its certificate holds cannot be told now: {error.message}")
    if found.certified is None:
        return JudgeStanding(why=found.why)
    return JudgeStanding(found.usable, found.certified.id, found.certified.verdict, found.why, found.word)
