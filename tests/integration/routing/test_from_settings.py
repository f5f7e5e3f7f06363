"""What a configuration says of a route is what the built engine does."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rungwise_server.bootstrap.engine import build_engine
from rungwise_server.config.file import parse_settings
from rungwise_server.config.settings import Settings
from rungwise_server.engine import Engine
from rungwise_server.errors import ConfigError
from rungwise_server.http.client import HttpClient
from rungwise_server.judging.trust import Trust
from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Inference, LogQuery
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.models import chat_request
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller

YAML = """\
candidates:
  big: {{kind: openai_compatible, url: "{url}", model: B, price: {{input: 10, output: 10}}}}
  small: {{kind: openai_compatible, url: "{url}", model: S{price}}}
judges:
  strict: {{kind: contains}}
workloads:
  w:
    candidates: [big, small]
    route: {route}
"""


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Reply(text="yes")) as fake:
        yield fake


def engine_of(
    upstream: FakeUpstream, log: MemoryLog, route: str, folder: Path, *, price: bool = True, trust: bool = False
) -> Engine:
    known = ", price: {input: 1, output: 1}" if price else ""
    text = YAML.format(url=upstream.url, route=route, price=known)
    settings: Settings = parse_settings(text, {}, label="r.yaml", base=folder)
    embedder = HashEmbedder()
    kept = Trust(MemoryKept(), log, embedder) if trust else None
    return build_engine(settings, MemoryIndex(), embedder, log, client=HttpClient(), environ={}, trust=kept)


async def ask(engine: Engine, text: str = "hello", *, user: str = "ana", model: str = "w") -> Inference:
    request = chat_request(text, id=f"chatcmpl-{user}-{text}", model=model)
    async with await engine.chat(request, Caller(user)) as answer:
        async for _ in answer:
            pass
    found = [r async for r in engine.log.read(LogQuery(ids=frozenset({request.id}), housekeeping=True))]
    assert isinstance(found[0], Inference)
    return found[0]


async def test_canary_explore_and_sticky_stand_in_the_log(
    upstream: FakeUpstream, log: MemoryLog, tmp_path: Path
) -> None:
    route = "{canary: {candidate: small, share: 0.2}, explore: {share: 0.5}, sticky: {}}"
    engine = engine_of(upstream, log, route, tmp_path)
    found: Counter[str] = Counter()
    by_policy: Counter[str] = Counter()
    for at in range(120):
        row = await ask(engine, user=f"user{at}")
        assert row.route is not None
        assert row.candidate == row.route.candidate
        assert row.route.propensities == pytest.approx({"big": 0.8 * 0.75, "small": 0.2 + 0.8 * 0.25})
        found[row.candidate] += 1
        by_policy[row.route.policy] += 1
    assert set(by_policy) == {"rules", "explore", "canary"}
    assert 24 <= found["small"] <= 72  # 48 expected
    again = await ask(engine, user="user7")
    first = await ask(engine, user="user7")
    assert again.candidate == first.candidate
    pinned = await ask(engine, "pinned", model="big")
    assert pinned.route is not None
    assert pinned.route.propensities == {"big": 1.0}
    title = "### Task:\nGenerate a title.\n### Output:\nJSON\n<chat_history>x</chat_history>"
    assert {(await ask(engine, f"{title}{at}")).candidate for at in range(5)} == {"small"}
    await engine.close()


@pytest.mark.parametrize("verify", ["consistency", "logprobs"])
async def test_a_cascade(upstream: FakeUpstream, log: MemoryLog, tmp_path: Path, verify: str) -> None:
    threshold = 0.6  # the fake's tokens have .61
    route = f"{{policy: cascade, cascade: {{drafting: [small], verify: {verify}, threshold: {threshold}}}}}"
    row = await ask(engine_of(upstream, log, route, tmp_path))
    assert row.candidate == "small"
    assert row.route is not None
    assert (row.route.policy, row.route.then) == ("cascade", ("big",))
    assert "held back until it was verified" in row.route.reason


@pytest.mark.parametrize(("trust", "why"), [(True, "never certified on w"), (False, "cannot be looked at here")])
async def test_a_judge_without_a_certificate_verifies_nothing(
    upstream: FakeUpstream, log: MemoryLog, tmp_path: Path, trust: bool, why: str
) -> None:
    route = "{policy: cascade, cascade: {drafting: [small], verify: judge, judge: strict}}"
    row = await ask(engine_of(upstream, log, route, tmp_path, trust=trust))
    assert row.candidate == "big"
    assert row.route is not None
    assert why in row.route.reason


async def test_a_shadow(upstream: FakeUpstream, log: MemoryLog, tmp_path: Path) -> None:
    engine = engine_of(upstream, log, "{shadow: {candidate: small, daily: 1}}", tmp_path)
    row = await ask(engine)
    assert row.candidate == "big"
    async with asyncio.timeout(10):
        while not [r async for r in log.read(LogQuery(own=True)) if isinstance(r, Inference) and r.beside == row.id]:
            await asyncio.sleep(0.005)
    await engine.close()


def test_a_shadow_whose_price_nobody_knows_is_refused(upstream: FakeUpstream, log: MemoryLog, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"price of 'small' is not known.*candidates\.small\.price"):
        engine_of(upstream, log, "{shadow: {candidate: small, daily: 1}}", tmp_path, price=False)
