"""Certificates: kept, found, and expired by what they lean on."""

import pytest
from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.errors import SetupError
from rungwise_server.eval_sets import OWNER
from rungwise_server.judging.certificates.verdict import Word
from rungwise_server.judging.drift import traffic_of
from rungwise_server.judging.trust import Certified, Trust, any_certificate, certificate_id
from rungwise_server.keeping import Kept
from rungwise_server.ledger.trusted import by_certificates
from rungwise_server.log.memory import MemoryLog
from rungwise_server.protocols import Judge
from rungwise_server.testing.judges import WordJudge
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.retrieval_embedder import HashEmbedder

KNOWN = ["how long does a refund take", "when do you open", "can I work from home", "what does a repair cost"]
NEW = ["write a poem about the sea", "translate this into french", "draw me a picture of a cat", "tell me a joke"]


class House:
    """Trust over memory."""

    def __init__(self) -> None:
        self.log, self.embedder, self.kept = MemoryLog(), HashEmbedder(), MemoryKept()
        self.trust = Trust(self.kept, self.log, self.embedder)

    async def ask(self, texts: list[str], count: int, at: float, workload: str = "support") -> None:
        for n in range(count):
            id = f"{workload}-{at}-{n}"
            await self.log.append(an_inference(id, at=at + n, query=texts[n % len(texts)], workload=workload))

    async def certify(self, judge: Judge, at: float, verdict: Word = "trust") -> Certified:
        vectors = await self.embedder.embed(KNOWN, "query")
        certified = Certified(
            id=certificate_id(),
            judge=judge.name,
            judge_hash=judge.hash,
            rubric=judge.rubric,
            workload="support",
            set_id="support@v1",
            set_hash="abc",
            at=at,
            traffic=traffic_of(self.embedder.name, vectors, await self.trust.questions("support")),
            verdict=verdict,
            thin=False,
            certificate=Raw(b"{}"),
        )
        await self.trust.save(certified)
        return certified


@pytest.fixture
async def house() -> House:
    made = House()
    await made.ask(KNOWN, 80, at=1_000)
    return made


async def test_a_judge_nobody_certified(house: House) -> None:
    standing = await house.trust.find(WordJudge("five"), "support")
    assert (standing.word, standing.usable) == ("none", False)
    with pytest.raises(SetupError, match="judge certify words --eval support"):
        await house.trust.require(WordJudge("five"), "support")


async def test_a_certificate_holds(house: House) -> None:
    certified = await house.certify(WordJudge("five"), at=2_000)
    await house.ask(KNOWN, 60, at=3_000)
    standing = await house.trust.find(WordJudge("five"), "support")
    assert (standing.word, standing.certified, standing.usable) == ("valid", certified, True)
    assert standing.drift is not None
    assert standing.drift.questions == 60
    assert await house.trust.require(WordJudge("five"), "support") == certified
    assert (await house.trust.find(WordJudge("five"), "intent")).word == "none"


async def test_it_is_the_judge_and_not_its_name(house: House) -> None:
    await house.certify(WordJudge("five"), at=2_000)
    changed = await house.trust.find(WordJudge("six"), "support")
    assert changed.word == "expired"
    assert "have changed" in changed.why
    await house.certify(WordJudge("six"), at=2_500)
    assert (await house.trust.find(WordJudge("six"), "support")).word == "valid"
    assert (await house.trust.find(WordJudge("five", name="renamed"), "support")).word == "valid"


async def test_other_traffic_ends_it(house: House) -> None:
    await house.certify(WordJudge("five"), at=2_000)
    await house.ask(NEW, 49, at=3_000)
    assert (await house.trust.find(WordJudge("five"), "support")).drift is None
    await house.ask(NEW, 200, at=4_000, workload="intent")
    assert (await house.trust.find(WordJudge("five"), "support")).word == "valid"
    await house.ask(NEW, 40, at=5_000)
    standing = await house.trust.find(WordJudge("five"), "support")
    assert standing.word == "expired"
    assert standing.drift is not None
    assert f"{standing.drift.index:.2f} over 89 recent questions" in standing.why
    with pytest.raises(SetupError, match="the traffic has changed"):
        await house.trust.require(WordJudge("five"), "support")


async def test_another_embedder_ends_it(house: House) -> None:
    certified = await house.certify(WordJudge("five"), at=2_000)
    other = replace(certified, id=certificate_id(), at=2_100, traffic=replace(certified.traffic, embedder="other"))
    await house.trust.save(other)
    assert "the embedder has changed" in (await house.trust.find(WordJudge("five"), "support")).why


async def test_a_judge_found_to_be_no_good_is_not_leant_on(house: House) -> None:
    await house.certify(WordJudge("five"), at=2_000, verdict="do not use")
    standing = await house.trust.find(WordJudge("five"), "support")
    assert (standing.word, standing.usable) == ("valid", False)
    with pytest.raises(SetupError, match="may not be used"):
        await house.trust.require(WordJudge("five"), "support")


async def test_the_ledger_leans_on_what_is_certified(house: House) -> None:
    judge = WordJudge("five")
    certified = await house.certify(judge, at=2_000)
    standings = by_certificates(house.trust)
    found = await standings(f"{judge.name}@{judge.hash}", "support")
    assert (found.usable, found.certificate, found.verdict) == (True, certified.id, "trust")
    other = await standings(f"{judge.name}@other", "support")
    assert (other.usable, other.word, other.certificate) == (False, "expired", certified.id)
    assert (await standings("nobody@1", "support")).why == "nobody was never certified on support"
    assert await any_certificate(house.kept)
    assert not await any_certificate(MemoryKept())


async def test_the_ledger_asks_again_for_a_new_certificate_and_after_a_while(house: House) -> None:
    now = 0.0
    judge = WordJudge("five")
    id = f"{judge.name}@{judge.hash}"
    standings = by_certificates(house.trust, clock=lambda: now)
    assert not (await standings(id, "support")).usable
    await house.certify(judge, at=2_000)
    assert (await standings(id, "support")).usable
    await house.ask(NEW, 90, at=5_000)
    assert (await standings(id, "support")).usable
    now = 60.0
    assert (await standings(id, "support")).word == "expired"


async def test_a_judge_of_which_too_little_is_known_is_not_called_bad(house: House) -> None:
    certified = await house.certify(WordJudge("five"), at=2_000, verdict="do not use")
    await house.trust.save(replace(certified, id=certificate_id(), at=2_100, thin=True))
    standing = await house.trust.find(WordJudge("five"), "support")
    assert not standing.usable
    assert "too few" in standing.why


async def test_a_certificate_that_cannot_be_read_is_none(house: House, caplog: pytest.LogCaptureFixture) -> None:
    await house.certify(WordJudge("five"), at=2_000)
    await house.kept.add(Kept("cert-later", "certificate", OWNER, 3_000, Raw(b'{"id": "cert-later"}'), "support"))
    assert (await house.trust.find(WordJudge("five"), "support")).word == "valid"
    assert "cert-later" in caplog.text


async def test_all_are_listed_newest_first(house: House) -> None:
    for n in range(120):
        await house.certify(WordJudge(str(n)), at=2_000 + n)
    assert [one.at for one in await house.trust.all("support")] == [2_119 - n for n in range(120)]
    assert await house.trust.all("intent") == []
