"""What may go out: the parts that need no upstream. The rest is held in a real cascade."""

import asyncio

import pytest
from msgspec import Raw

from rungwise_server.errors import Unavailable, UpstreamError
from rungwise_server.judging.certificates.verdict import Word
from rungwise_server.judging.drift import traffic_of
from rungwise_server.judging.trust import Certified, Standing, Trust
from rungwise_server.judging.verifying import ByEvidence, ByJudge, ByRepeating, ByTokens, logprobs
from rungwise_server.log.memory import MemoryLog
from rungwise_server.protocols import Judge, PairJudge
from rungwise_server.testing.judges import WordJudge, answered
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Caller

ANA = Caller("ana")


async def nobody() -> str:
    raise AssertionError


class Certifying(Trust):
    """A Trust that counts how often it is asked, and can be down."""

    def __init__(self) -> None:
        super().__init__(MemoryKept(), MemoryLog(), HashEmbedder())
        self.finds = 0
        self.down = False

    async def find(self, judge: Judge | PairJudge, workload: str) -> Standing:
        self.finds += 1
        if self.down:
            raise Unavailable("the database is down")
        return await super().find(judge, workload)

    async def certify(self, judge: Judge, verdict: Word = "trust") -> None:
        embedder = HashEmbedder()
        vectors = await embedder.embed(["a question", "another one"], "query")
        traffic = traffic_of(embedder.name, vectors, vectors)
        await self.save(
            Certified(
                "cert-1",
                judge.name,
                judge.hash,
                judge.rubric,
                "w",
                "w@v1",
                "h",
                1.0,
                traffic,
                verdict,
                False,
                Raw(b"{}"),
            )
        )


async def test_a_judge_is_leant_on_with_a_certificate_alone() -> None:
    now = 0.0
    trust, judge = Certifying(), WordJudge("five")
    verifier = ByJudge(judge, trust, clock=lambda: now)
    assert "never certified on w" in await verifier.ready("w")
    await trust.certify(judge)
    assert await verifier.ready("w") != ""  # found so lately that it is taken as it was
    now = 1_000.0
    await verifier.ready("w")
    async with asyncio.timeout(10):
        while await verifier.ready("w"):
            await asyncio.sleep(0.001)
    assert trust.finds == 2
    assert "cannot be looked at here" in await ByJudge(judge, None).ready("w")


async def test_while_certificates_cannot_be_looked_at_what_was_found_stands() -> None:
    now = 0.0
    trust, judge = Certifying(), WordJudge("five")
    verifier = ByJudge(judge, trust, clock=lambda: now)
    trust.down = True
    with pytest.raises(Unavailable):
        await verifier.ready("w")
    trust.down = False
    await trust.certify(judge)
    assert await verifier.ready("w") == ""
    now, trust.down = 1_000.0, True
    assert await verifier.ready("w") == ""
    async with asyncio.timeout(10):
        while trust.finds < 3:
            await asyncio.sleep(0.001)
    assert await verifier.ready("w") == ""


async def test_what_a_judge_says_decides() -> None:
    verifier = ByJudge(WordJudge("five"), None)
    good = await verifier.check(answered("It takes five days."), ANA, b"", nobody)
    bad = await verifier.check(answered("It takes six days."), ANA, b"", nobody)
    assert (good.holds, bad.holds) == (True, False)
    assert bad.why == "the judge words gave it 0.00 (0.50 asked)"


async def test_no_evidence_supports_nothing() -> None:
    draft = answered("Refunds take five days [1].")
    verifier = ByEvidence(HashEmbedder())
    assert (await verifier.check(draft, ANA, b"", nobody)).holds
    without = type(draft)(draft.messages, draft.answer, ())
    assert "no passage was found" in (await verifier.check(without, ANA, b"", nobody)).why


def test_logprobs_are_read_from_any_wire() -> None:
    other = b'{"index":1,"logprobs":{"content":[{"logprob":-7}]}}'
    whole = b'{"choices":[{"logprobs":{"content":[{"logprob":-1.5},{"logprob":-9999}]}},' + other + b"]}"
    assert list(logprobs(whole)) == [-1.5, -50.0]
    event = b'data: {"choices":[{"index":0,"logprobs":{"content":[{"logprob":-0.5}]}}]}\n\n'
    assert list(logprobs(event + b'data: {"choices":[]}\n\n' + event + b"data: [DONE]\n\n")) == [-0.5, -0.5]
    for hostile in (b"", b"{", b'data: {"choices":[{"logprobs":{"content":[{"logprob":"x"}]}}]}', b"[" * 100_000):
        assert list(logprobs(hostile)) == []


async def test_a_model_that_tells_no_probabilities_does_not_pass() -> None:
    said = await ByTokens().check(answered(), ANA, b'{"choices":[{"index":0,"logprobs":null}]}', nobody)
    assert not said.holds
    assert "tells no probabilities" in said.why


async def test_short_answers_are_alike_when_they_are_the_same() -> None:
    async def yes() -> str:
        return "yes."

    async def no() -> str:
        return "No"

    verifier = ByRepeating(HashEmbedder())
    assert (await verifier.check(answered("Yes"), ANA, b"", yes)).holds
    assert not (await verifier.check(answered("Yes"), ANA, b"", no)).holds


async def test_one_call_that_fails_ends_the_others() -> None:
    ended = 0

    async def once() -> str:
        nonlocal ended
        ended += 1
        if ended == 1:
            raise UpstreamError("gone")
        try:
            await asyncio.Event().wait()
        finally:
            ended += 10
        raise AssertionError

    with pytest.raises(UpstreamError):
        await ByRepeating(HashEmbedder(), samples=3).check(answered(), ANA, b"", once)
    assert ended == 23
