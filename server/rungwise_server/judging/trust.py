"""Certificates as they are kept, and whether one still holds: nothing leans on a judge without a valid one.

A certificate is of one judge on one workload. It expires when the judge is made of something else (its hash: prompt,
examples, model, settings), when the embedder is another, and when the traffic has changed (`drift`).
"""

import hashlib
import logging
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from msgspec import Raw, Struct

from rungwise_server.errors import SetupError
from rungwise_server.eval_sets import OWNER
from rungwise_server.grading.newest import newest
from rungwise_server.judging.certificates.verdict import Word
from rungwise_server.judging.drift import Drift, Traffic, drift_of
from rungwise_server.keeping import Kept, KeptQuery, KeptStore
from rungwise_server.protocols import Embedder, InferenceLog, Judge, PairJudge
from rungwise_server.types import Vector, new_id

logger = logging.getLogger("rungwise.judging")

LOOKED_AT = 1_000
"""So many of a workload's newest answers are looked at, as far as they came after the certificate."""
SAMPLE = 300
"""So many of their questions are embedded, drawn by chance."""

_PAGE = 100


class Certified(Struct, frozen=True):
    """A certificate with all that decides how long it holds."""

    id: str
    judge: str
    judge_hash: str
    rubric: str
    workload: str
    set_id: str
    set_hash: str
    at: float
    traffic: Traffic
    verdict: Word
    thin: bool
    certificate: Raw
    """As `judge certify --json` shows it."""


class Standing(Struct, frozen=True):
    """What a judge's certificate is worth today."""

    word: Literal["valid", "expired", "none"]
    why: str
    certified: Certified | None = None
    drift: Drift | None = None
    """None where too few questions came after it to tell."""

    @property
    def usable(self) -> bool:
        """Whether something may lean on the judge."""
        return self.word == "valid" and self.certified is not None and self.certified.verdict != "do not use"


class Trust:
    """The certificates of the house. Methods raise Unavailable where store or log cannot be reached."""

    def __init__(self, kept: KeptStore, log: InferenceLog, embedder: Embedder) -> None:
        self._kept = kept
        self._log = log
        self._embedder = embedder

    async def save(self, certified: Certified) -> None:
        """Keep a certificate. Earlier ones stay, for what leant on them."""
        body = Raw(msgspec.json.encode(certified))
        await self._kept.add(Kept(certified.id, "certificate", OWNER, certified.at, body, certified.workload))

    async def all(self, workload: str = "") -> Sequence[Certified]:
        """Every certificate, of one workload or of all, newest first. One that another version of rungwise wrote, and
        this one cannot read, is none.
        """
        found: list[Certified] = []
        after = ""
        while page := await self._kept.list(KeptQuery("certificate", OWNER, workload, after=after, limit=_PAGE)):
            for row in page:
                try:
                    found.append(msgspec.json.decode(row.body, type=Certified))
                except msgspec.DecodeError as error:
                    logger.warning("the certificate %s cannot be read (%s): certify the judge anew", row.id, error)
            after = page[-1].id
        return found

    async def find(self, judge: Judge | PairJudge, workload: str) -> Standing:
        """Whether `judge` has a certificate for `workload` that holds today. Raises UpstreamError where the embedder
        cannot be reached.
        """
        return await self.standing(judge.name, judge.hash, workload)

    async def standing(self, name: str, hash: str, workload: str) -> Standing:
        """The same of a judge that is known by its name and hash alone, as grades have them."""
        there = await self.all(workload)
        same = next((one for one in there if one.judge_hash == hash), None)
        if same is None:
            other = next((one for one in there if one.judge == name), None)
            if other is None:
                return Standing("none", f"{name} was never certified on {workload}")
            why = f"its prompt, examples, model or settings have changed: certified {other.judge_hash}, now {hash}"
            return Standing("expired", why, other)
        if same.traffic.embedder != self._embedder.name:
            return Standing("expired", f"the embedder has changed: {same.traffic.embedder} then", same)
        drift = drift_of(same.traffic, await self.questions(workload, same.at))
        if drift is not None and drift.changed:
            why = (
                f"the traffic has changed: stability index {drift.index:.2f} over {drift.questions} recent questions, "
                f"above {drift.limit:.2f}"
            )
            return Standing("expired", why, same, drift)
        if same.verdict == "do not use":
            why = "certified, and found not to agree with people: do not use it"
            if same.thin:
                why = "certified on grades too few to show that it agrees with people: grade more, and certify it again"
            return Standing("valid", why, same, drift)
        return Standing("valid", f"certified on {same.set_id}: {same.verdict} it", same, drift)

    async def require(self, judge: Judge | PairJudge, workload: str) -> Certified:
        """The valid certificate that somebody leans on.

        Raises:
            SetupError: there is none, or it says that the judge must not be used; the message says what to do.
        """
        standing = await self.find(judge, workload)
        if standing.certified is None or not standing.usable:
            missing = "has no valid certificate for" if standing.word != "valid" else "may not be used on"
            raise SetupError(
                f"The judge {judge.name!r} {missing} {workload!r}: {standing.why}. "
                f"`rungwise judge certify {judge.name} --eval {workload}` makes one from people's grades.",
                code="no_certificate",
            )
        return standing.certified

    async def questions(self, workload: str, since: float = 0.0) -> Vector:
        """A sample of the newest questions that came after `since`, embedded."""
        recent = [one for one in await newest(self._log, workload, LOOKED_AT) if one.at > since and one.query]
        drawn = sorted(recent, key=lambda one: hashlib.sha256(one.id.encode()).digest())[:SAMPLE]
        if not drawn:
            return np.empty((0, self._embedder.dimensions), dtype=np.float32)
        return await self._embedder.embed([one.query for one in drawn], "query")


async def any_certificate(kept: KeptStore) -> bool:
    """Whether any judge was ever certified. Raises Unavailable."""
    return bool(await kept.list(KeptQuery("certificate", OWNER, limit=1)))


def certificate_id() -> str:
    """A fresh id of a certificate."""
    return new_id("cert")
