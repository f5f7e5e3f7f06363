"""Whether a draft may go out as the answer: by its evidence, by a certified judge, by how sure its model was of it, or
by whether the model says the same again.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec
from msgspec import Raw, Struct

from rungwise_server.evals import Answered, Checked
from rungwise_server.judging.groundedness import SUPPORTED, Groundedness
from rungwise_server.judging.trust import Trust
from rungwise_server.protocols import Embedder, Judge
from rungwise_server.types import Caller

_log = logging.getLogger(__name__)

Again = Callable[[], Awaitable[str]]

_NOTHING: Mapping[str, Raw] = {}
_SHOWN = 80
_STANDS = 900.0
"""Seconds after which a certificate is looked at again. That takes a while, so nobody waits for it but the first."""


class ByEvidence:
    """Each sentence that claims something must have the support of the passages, `least` of it; see Groundedness. A
    draft that claims nothing does not hold: another candidate may find what this one did not.
    """

    params = _NOTHING

    def __init__(self, embedder: Embedder, least: float = SUPPORTED) -> None:
        self._measure = Groundedness(embedder).measure
        self._least = least

    async def ready(self, workload: str) -> str:
        """See Verifier."""
        return ""

    async def check(self, draft: Answered, caller: Caller, wire: bytes, again: Again) -> Checked:
        """See Verifier."""
        if not draft.passages:
            return Checked(False, "no passage was found to hold it against")
        claims = [s for s in (await self._measure(draft.answer, draft.passages)).sentences if s.checkable]
        if not claims:
            return Checked(False, "it claims nothing")
        weakest = min(claims, key=lambda sentence: sentence.value)
        if weakest.value < self._least:
            shown = " ".join(weakest.text.split())[:_SHOWN]
            return Checked(
                False, f"its evidence does not support {shown!r} ({weakest.value:.2f}, {self._least:.2f} asked)"
            )
        return Checked(True, f"its evidence supports each sentence ({weakest.value:.2f} at least)")


class ByJudge:
    """A judge must grade it `least` or better. Its own calls are in the log under the surface `judge`, priced there.

    Args:
        trust: says whether the judge's certificate stands; None where no certificates are kept, so that none does.
    """

    params = _NOTHING

    def __init__(
        self,
        judge: Judge,
        trust: Trust | None,
        least: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._judge = judge
        self._trust = trust
        self._least = least
        self._clock = clock
        self._found: dict[str, tuple[float, str]] = {}
        self._looking: dict[str, asyncio.Task[str]] = {}

    async def ready(self, workload: str) -> str:
        """See Verifier. Nothing leans on a judge without a certificate that holds. Raises Unavailable."""
        until, why = self._found.get(workload, (-math.inf, ""))
        if until > self._clock():
            return why
        looking = self._looking.get(workload)
        if looking is None:
            looking = self._looking[workload] = asyncio.create_task(self._look(workload))
            looking.add_done_callback(lambda done: self._looked(workload, done))
        return why if workload in self._found else await asyncio.shield(looking)

    async def _look(self, workload: str) -> str:
        if self._trust is None:
            why = f"the certificate of the judge {self._judge.name} cannot be looked at here"
        else:
            standing = await self._trust.find(self._judge, workload)
            why = "" if standing.usable else f"nothing may lean on the judge {self._judge.name}: {standing.why}"
        self._found[workload] = (self._clock() + _STANDS, why)
        return why

    def _looked(self, workload: str, done: "asyncio.Task[str]") -> None:
        del self._looking[workload]
        if not done.cancelled() and (error := done.exception()) is not None:
            # What was found before stands for a while more; without it the next request looks again.
            _log.warning("The certificate of the judge %s could not be looked at: %s", self._judge.name, error)
            if workload in self._found:
                self._found[workload] = (self._clock() + _STANDS, self._found[workload][1])

    async def check(self, draft: Answered, caller: Caller, wire: bytes, again: Again) -> Checked:
        """See Verifier."""
        said = await self._judge.grade(draft, caller)
        who = f"the judge {self._judge.name}"
        if said.value is None:
            return Checked(False, f"{who} could not tell")
        return Checked(said.value >= self._least, f"{who} gave it {said.value:.2f} ({self._least:.2f} asked)")


class _Token(Struct):
    logprob: float = 0.0


class _Logprobs(Struct):
    content: list[_Token] | None = None


class _Choice(Struct):
    index: int = 0
    logprobs: _Logprobs | None = None


class _Body(Struct):
    choices: list[_Choice] | None = None


class ByTokens:
    """Its tokens must have been likely to its own model: their geometric mean probability `least` or more."""

    def __init__(self, least: float = 0.8) -> None:
        self._least = least
        self.params: Mapping[str, Raw] = {"logprobs": Raw(b"true")}

    async def ready(self, workload: str) -> str:
        """See Verifier."""
        return ""

    async def check(self, draft: Answered, caller: Caller, wire: bytes, again: Again) -> Checked:
        """See Verifier."""
        found = list(logprobs(wire))
        if not found:
            return Checked(False, "its model tells no probabilities of its tokens")
        mean = math.exp(min(0.0, sum(found) / len(found)))
        return Checked(mean >= self._least, f"its tokens had {mean:.2f} in the mean ({self._least:.2f} asked)")


def logprobs(wire: bytes) -> Iterable[float]:
    """The logarithms of the first choice's token probabilities, from a whole answer or from events."""
    bodies = [wire]
    if wire.startswith(b"data:"):
        bodies = [event.removeprefix(b"data:") for event in wire.split(b"\n\n") if event.startswith(b"data:")]
    for body in bodies:
        try:
            choices = msgspec.json.decode(body, type=_Body).choices
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        for choice in choices or ():
            if choice.index == 0 and choice.logprobs is not None:
                # What was as good as impossible has -9999 in some servers.
                yield from (max(-50.0, token.logprob) for token in choice.logprobs.content or ())


class ByRepeating:
    """Its model, asked anew `samples` times, must say the same: each sentence must have the support of the other
    answers, `least` of it in the mean (after SelfCheckGPT; Manakul et al., 2023).
    """

    params = _NOTHING

    def __init__(self, embedder: Embedder, least: float = 0.6, samples: int = 2) -> None:
        self._measure = Groundedness(embedder).measure
        self._samples = samples
        self._least = least

    async def ready(self, workload: str) -> str:
        """See Verifier."""
        return ""

    async def check(self, draft: Answered, caller: Caller, wire: bytes, again: Again) -> Checked:
        """See Verifier."""
        tasks = [asyncio.create_task(_text(again)) for _ in range(self._samples)]
        try:
            others = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        values = [await self._alike(draft.answer, other) for other in others]
        mean = sum(values) / len(values)
        return Checked(
            mean >= self._least, f"asked {self._samples} times more, {mean:.2f} alike ({self._least:.2f} asked)"
        )

    async def _alike(self, one: str, other: str) -> float:
        if " ".join(one.casefold().split()).strip(" .") == " ".join(other.casefold().split()).strip(" ."):
            return 1.0
        found = await self._measure(one, [other])
        return found.value if found.claims else 0.0


async def _text(again: Again) -> str:
    return await again()
