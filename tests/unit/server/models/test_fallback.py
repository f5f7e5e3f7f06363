"""Which errors another candidate may mend, and what a dead one costs."""

import pytest

from rungwise_server.errors import (
    RungwiseError,
    StreamBroken,
    UpstreamError,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from rungwise_server.http.client import UNREACHABLE
from rungwise_server.models.fallback import Fallback
from rungwise_server.testing.models import ScriptedModel, chat_request, collect
from rungwise_server.types import Delta


def dead() -> ScriptedModel:
    return ScriptedModel([UpstreamError("cannot reach a:1", code=UNREACHABLE)])


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("down"),
        UpstreamTimeout("late"),
        UpstreamLimited("slow down"),
        UpstreamRefused("no such model", status=404),
    ],
)
async def test_another_may_mend_it(error: RungwiseError) -> None:
    deltas = await collect(Fallback([("a", ScriptedModel([error])), ("b", ScriptedModel(["hi"]))]), chat_request())
    assert text(deltas) == "hi"
    assert {delta.candidate for delta in deltas} == {"b"}


async def test_the_routed_one_is_not_named() -> None:
    other = ScriptedModel(["no"])
    deltas = await collect(Fallback([("a", ScriptedModel(["hi"])), ("b", other)]), chat_request())
    assert {delta.candidate for delta in deltas} == {""}
    assert not other.requests


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_request_is_the_callers_to_mend(status: int) -> None:
    other = ScriptedModel(["hi"])
    refusing = ScriptedModel([UpstreamRefused("too long", status=status)])
    with pytest.raises(UpstreamRefused, match="too long"):
        await collect(Fallback([("a", refusing), ("b", other)]), chat_request())
    assert not other.requests


async def test_nothing_is_tried_again_after_the_first_delta() -> None:
    other = ScriptedModel(["hi"])
    for error in (StreamBroken("gone"), UpstreamError("of a model that breaks its promise")):
        with pytest.raises(type(error)):
            await collect(Fallback([("a", ScriptedModel(["some", error])), ("b", other)]), chat_request())
    assert not other.requests


async def test_where_none_answers_the_routed_ones_error_tells_all() -> None:
    models = [
        ("a", ScriptedModel([UpstreamLimited("slow down", retry_after=3)])),
        ("b", ScriptedModel([UpstreamError("out of memory")])),
    ]
    with pytest.raises(UpstreamLimited) as caught:
        await collect(Fallback(models), chat_request())
    assert caught.value.message == "slow down; b, asked instead: out of memory"
    assert caught.value.retry_after == 3


async def test_a_dead_candidate_is_tried_last_for_a_while() -> None:
    now = 0.0
    first, second = dead(), ScriptedModel(["hi"])
    model = Fallback([("a", first), ("b", second)], failures=3, pause=5, clock=lambda: now)
    for _ in range(10):
        assert text(await collect(model, chat_request())) == "hi"
    assert len(first.requests) == 3
    now = 5.0
    for _ in range(10):
        await collect(model, chat_request())
    assert len(first.requests) == 4
    now = 10.0
    first.script = ("back",)
    deltas = await collect(model, chat_request())
    assert (text(deltas), deltas[0].candidate) == ("back", "")
    first.script = dead().script
    for _ in range(10):
        await collect(model, chat_request())
    assert len(first.requests) == 5 + 3


async def test_other_failures_do_not_make_it_dead() -> None:
    first = ScriptedModel([UpstreamError("out of memory")])
    model = Fallback([("a", first), ("b", ScriptedModel(["hi"]))], clock=lambda: 0.0)
    for _ in range(10):
        await collect(model, chat_request())
    assert len(first.requests) == 10


async def test_where_all_are_dead_all_are_asked() -> None:
    models = [("a", dead()), ("b", dead())]
    model = Fallback(models, clock=lambda: 0.0)
    for asked in range(1, 6):
        with pytest.raises(UpstreamError, match="asked instead"):
            await collect(model, chat_request())
        assert [len(each.requests) for _, each in models] == [asked, asked]
