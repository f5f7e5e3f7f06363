"""Which judges the ledger may lean on: those whose certificate for the workload holds today."""

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


async def nobody(judge: str, workload: str) -> JudgeStanding:
    """Where no certificate is kept, no judge has one."""
    return JudgeStanding(why=f"it was never certified on {workload}")


def by_certificates(trust: Trust) -> Standings:
    """As kept certificates say; where traffic cannot be embedded now, no certificate is known to hold."""

    async def standing(judge: str, workload: str) -> JudgeStanding:
        name, _, hash = judge.partition("@")
        try:
            found = await trust.standing(name, hash, workload)
        except UpstreamError as error:
            return JudgeStanding(why=f"whether its certificate holds cannot be told now: {error.message}")
        if found.certified is None:
            return JudgeStanding(why=found.why)
        return JudgeStanding(found.usable, found.certified.id, found.certified.verdict, found.why, found.word)

    return standing
