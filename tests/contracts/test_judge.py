"""Every Judge and PairJudge keeps its contract: fakes, programs, and models with a rubric over HTTP."""

import json
from collections.abc import AsyncIterator

import pytest

from rungwise_server.bootstrap import Bench
from rungwise_server.config.settings import CandidateSettings, JudgeSettings, Settings
from rungwise_server.http.client import HttpClient
from rungwise_server.judging.judges.grounded import Grounded, declining
from rungwise_server.judging.judges.programs import PassFrom, compared, json_schema, regex
from rungwise_server.log.memory import MemoryLog
from rungwise_server.protocols import Judge, PairJudge
from rungwise_server.records import GradeScale
from rungwise_server.testing.judges import (
    JudgeContract,
    PairJudgeContract,
    WordJudge,
    WordPairJudge,
    answered,
    judging,
    preferring,
)
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.upstream import FakeUpstream
from rungwise_server.types import Caller


class TestWordJudge(JudgeContract):
    @pytest.fixture
    def judge(self) -> Judge:
        return WordJudge("five days")


class TestContains(JudgeContract):
    @pytest.fixture
    def judge(self) -> Judge:
        return compared("contains", "contains", "correct")


class TestF1FromAThreshold(JudgeContract):
    @pytest.fixture
    def judge(self) -> Judge:
        return PassFrom(compared("f1", "f1", "correct"), 0.3)


class TestRegex(JudgeContract):
    @pytest.fixture
    def judge(self) -> Judge:
        return regex("days", "correct", r"(?i)\bfive days\b")


class TestJsonSchema(JudgeContract):
    @pytest.fixture
    def judge(self) -> Judge:
        return json_schema("form", "form", '{"type": "object", "required": ["days"]}')

    async def test_a_good_answer_passes(self, judge: Judge) -> None:
        assert (await judge.grade(answered('{"days": 5}'), Caller())).value == 1


class TestGroundedness(JudgeContract):
    @pytest.fixture
    def judge(self) -> Judge:
        return Grounded("groundedness", "grounded", HashEmbedder())


class TestDeclining(JudgeContract):
    @pytest.fixture
    def judge(self) -> Judge:
        return declining("declines", "declines")

    async def test_a_good_answer_passes(self, judge: Judge) -> None:
        assert (await judge.grade(answered(answerable=True), Caller())).value == 1
        assert (await judge.grade(answered(answerable=False), Caller())).value == 0


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with FakeUpstream(judging(lambda answer: "five days" in answer)) as upstream:
        candidates = {"big": CandidateSettings(kind="openai_compatible", url=upstream.url, model="m")}
        client = HttpClient()
        yield Bench(Settings(candidates=candidates), HashEmbedder(), MemoryLog(), client=client, environ={})
        await client.close()


class TestPrompted(JudgeContract):
    @pytest.fixture
    def judge(self, bench: Bench) -> Judge:
        return bench.judge("correct", JudgeSettings(kind="prompt", candidate="big"))


class TestWordPairJudge(PairJudgeContract):
    @pytest.fixture
    def judge(self) -> PairJudge:
        return WordPairJudge("five days")


class TestPreferring(PairJudgeContract):
    @pytest.fixture
    async def judge(self) -> AsyncIterator[PairJudge]:
        def which(first: str, second: str) -> str:
            good = ["five days" in text for text in (first, second)]
            return "tie" if good[0] == good[1] else "first" if good[0] else "second"

        async with FakeUpstream(preferring(which)) as upstream:
            candidates = {"big": CandidateSettings(kind="openai_compatible", url=upstream.url, model="m")}
            client = HttpClient()
            bench = Bench(Settings(candidates=candidates), HashEmbedder(), MemoryLog(), client=client, environ={})
            yield bench.pair_judges()["prefer"]
            await client.close()


def test_the_schema_of_a_verdict_is_one() -> None:
    from rungwise_server.judging.judges.verdicts import response_format, verdict_text

    scales: tuple[GradeScale, ...] = ("pass", "five", "pair")
    for scale in scales:
        wanted = json.loads(bytes(response_format(scale)))["json_schema"]["schema"]
        judge = json_schema("verdict", "form", json.dumps(wanted))
        assert judge.hash
        assert json.loads(verdict_text(1.0, "so", scale)).keys() == set(wanted["required"])
