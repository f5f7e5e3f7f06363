"""Explore, Canary and Sticky: propensities are what happens, shares are kept, conversations stay."""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rungwise_server.prompt import text_message
from rungwise_server.protocols import Router
from rungwise_server.routing.canary import Canary
from rungwise_server.routing.explore import Explore, Kind
from rungwise_server.routing.rules import Pinned
from rungwise_server.routing.sticky import Sticky
from rungwise_server.testing.routing import FixedRouter
from rungwise_server.types import Caller, Passage, Question, Route

ALL = frozenset({"tools", "json", "logprobs", "images"})
NONE = frozenset[str]()
ABLE = {"a": ALL, "b": ALL, "c": NONE}
BASE = Route("a", "the base", "base", {"a": 0.75, "b": 0.25, "c": 0.0}, {"a": 0.9, "b": 0.6, "c": 0.2})


def asked(
    *texts: str, user: str = "ana", key: str = "", asks: frozenset[str] = NONE, program: bool = False
) -> Question:
    """A conversation: user, assistant, user, …"""
    messages = tuple(text_message("user" if at % 2 == 0 else "assistant", text) for at, text in enumerate(texts))
    return Question("w", Caller(user, key_id=key), messages, texts[-1], asks, program)


class Drawing:
    """A router that draws by its own propensities."""

    def __init__(self, route: Route, seed: int = 0) -> None:
        self._route = route
        self._chance = random.Random(seed)

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        names = list(self._route.propensities)
        drawn = self._chance.choices(names, list(self._route.propensities.values()))[0]
        return replace(self._route, candidate=drawn)


async def frequencies(router: Router, question: Question, count: int) -> tuple[Counter[str], dict[str, float]]:
    """How often each was chosen, and the propensities that every route had."""
    found: Counter[str] = Counter()
    told: list[dict[str, float]] = []
    for _ in range(count):
        route = await router.route(question, [])
        found[route.candidate] += 1
        told.append(dict(route.propensities))
    assert all(each == pytest.approx(told[0]) for each in told)
    return found, told[0]


def holds(found: int, share: float, count: int) -> bool:
    """Within four and a half standard deviations of a binomial."""
    return abs(found - share * count) <= 4.5 * math.sqrt(count * share * (1 - share)) + 1e-9


@pytest.mark.parametrize("kind", ["epsilon", "thompson"])
async def test_exploring_chooses_as_often_as_its_propensities_say(kind: Kind) -> None:
    router = Explore(Drawing(BASE), ABLE, 0.4, kind, outcomes={"a": 20, "b": 10, "c": 5}, chance=_seeded(1))
    found, told = await frequencies(router, asked("q"), 4_000)
    assert sum(told.values()) == pytest.approx(1)
    for name in ABLE:
        assert holds(found[name], told[name], 4_000)
    if kind == "epsilon":
        assert told == pytest.approx({"a": 0.6 * 0.75 + 0.4 / 3, "b": 0.6 * 0.25 + 0.4 / 3, "c": 0.4 / 3})
    else:
        assert told["a"] > 0.6 * 0.75 + 0.4 / 3 > 0.4 / 3 > told["c"]


def _seeded(seed: int) -> Callable[[Question], random.Random]:
    chance = random.Random(seed)
    return lambda _: chance


async def test_a_question_can_have_a_chance_of_its_own() -> None:
    router = Explore(FixedRouter(BASE), ABLE, 0.5, chance=lambda q: random.Random(q.query))
    once = [(await router.route(asked(str(at)), [])).candidate for at in range(50)]
    again = [(await router.route(asked(str(at)), [])).candidate for at in range(50)]
    assert once == again
    assert len(set(once)) == 3


async def test_what_is_uncertain_is_tried_more() -> None:
    async def tried(outcomes: float) -> float:
        router = Explore(FixedRouter(BASE), ABLE, 1.0, "thompson", outcomes=dict.fromkeys("abc", outcomes))
        return (await router.route(asked("q"), [])).propensities["b"]

    assert await tried(2) > await tried(20) > await tried(500)
    assert await tried(500) < 1e-6


async def test_without_estimates_thompson_draws_alike() -> None:
    router = Explore(FixedRouter(replace(BASE, estimates={"a": 0.9})), ABLE, 1.0, "thompson")
    assert (await router.route(asked("q"), [])).propensities == pytest.approx(dict.fromkeys("abc", 1 / 3))


async def test_nothing_is_tried_where_the_choice_stands() -> None:
    pinned = Explore(Pinned("a", "by name"), ABLE, 1.0)
    assert (await pinned.route(asked("q"), [])).propensities == {"a": 1.0}
    for _ in range(20):
        route = await Explore(FixedRouter(BASE), ABLE, 1.0).route(asked("q", program=True), [])
        assert route == BASE


async def test_only_those_are_tried_that_can() -> None:
    router = Explore(Drawing(replace(BASE, propensities={"a": 1.0})), ABLE, 1.0)
    found, told = await frequencies(router, asked("q", asks=frozenset({"tools"})), 200)
    assert set(found) == {"a", "b"}
    assert told == {"a": 0.5, "b": 0.5}
    alone = Explore(FixedRouter(BASE), {"a": ALL, "c": NONE}, 1.0)
    assert (await alone.route(asked("q", asks=frozenset({"tools"})), [])) == BASE


async def test_an_exploring_route_says_so_and_is_no_cascade() -> None:
    router = Explore(FixedRouter(replace(BASE, then=("b",))), {"a": ALL, "c": ALL}, 1.0, chance=_seeded(3))
    routes = [await router.route(asked("q"), []) for _ in range(30)]
    tried = next(route for route in routes if route.candidate == "c")
    assert tried.policy == "explore"
    assert "explored" in tried.reason
    assert "the base" in tried.reason
    assert tried.then == ()
    assert next(route for route in routes if route.candidate == "a").then == ("b",)


@pytest.mark.parametrize("by", ["caller", "conversation"])
@pytest.mark.parametrize("share", [0.02, 0.3])
async def test_a_canary_has_its_share_and_keeps_it(by: str, share: float) -> None:
    router = Canary(FixedRouter(BASE), "c", share, ALL, by)  # type: ignore[arg-type]
    questions = [asked("q", user=f"user{at}") if by == "caller" else asked(f"question {at}") for at in range(3_000)]
    routes = [await router.route(question, []) for question in questions]
    assert holds(sum(route.candidate == "c" for route in routes), share, 3_000)
    for route in routes:
        assert route.propensities == pytest.approx({"a": 0.75 * (1 - share), "b": 0.25 * (1 - share), "c": share})
        assert ("canary" in route.reason) == (route.candidate == "c") == (route.policy == "canary")
    assert [r.candidate for r in routes] == [(await router.route(q, [])).candidate for q in questions]
    wider = Canary(FixedRouter(BASE), "c", share * 2, ALL, by)  # type: ignore[arg-type]
    for question, route in zip(questions, routes, strict=True):
        if route.candidate == "c":
            assert (await wider.route(question, [])).candidate == "c"


async def test_callers_without_a_name_are_told_apart_by_key_then_by_conversation() -> None:
    router = Canary(FixedRouter(BASE), "c", 0.5, ALL)
    by_key = {(await router.route(asked("q", user="", key=str(at)), [])).candidate for at in range(50)}
    by_talk = {(await router.route(asked(str(at), user=""), [])).candidate for at in range(50)}
    of_one = {(await router.route(asked(str(at), user="", key="k"), [])).candidate for at in range(50)}
    assert by_key == by_talk == {"a", "c"}
    assert len(of_one) == 1


async def test_a_canary_is_not_asked_what_it_cannot_do() -> None:
    router = Canary(FixedRouter(BASE), "c", 1.0, NONE)
    assert (await router.route(asked("q"), [])).candidate == "c"
    assert (await router.route(asked("q", asks=frozenset({"json"})), [])) == BASE
    assert (await router.route(asked("q", program=True), [])) == BASE


async def test_a_conversation_stays() -> None:
    fixed = FixedRouter(BASE)
    router = Sticky(fixed, ABLE)
    assert await router.route(asked("hello"), []) == BASE
    fixed.chosen = Route("b", "another mood", "base", {"a": 0.1, "b": 0.9})
    route = await router.route(asked("hello", "hi", "and then?"), [])
    assert (route.candidate, route.policy) == ("a", "sticky")
    assert route.propensities == {"a": 1.0, "b": 0.0}
    assert "stays with a" in route.reason
    assert "another mood" in route.reason
    for other in (asked("good day"), asked("hello", user="bo"), replace(asked("hello"), workload="x")):
        assert (await router.route(other, [])).candidate == "b"


async def test_it_leaves_for_a_stated_gain_only() -> None:
    fixed = FixedRouter(BASE)
    router = Sticky(fixed, ABLE, gain=0.2)
    await router.route(asked("hello"), [])
    fixed.chosen = Route("b", "better now", "base", {"b": 1.0}, {"a": 0.6, "b": 0.75})
    assert (await router.route(asked("hello", "hi", "more"), [])).candidate == "a"
    fixed.chosen = Route("b", "better now", "base", {"b": 1.0}, {"a": 0.5, "b": 0.75})
    left = await router.route(asked("hello", "hi", "more"), [])
    assert left.candidate == "b"
    assert left.propensities == {"a": 0.0, "b": 1.0}
    assert "left a: b is likelier to be good enough, by 0.25" in left.reason
    fixed.chosen = BASE
    assert (await router.route(asked("hello", "hi", "more", "so", "on"), [])).candidate == "a"  # by .3 better again


async def test_it_leaves_what_cannot_do_what_is_asked() -> None:
    fixed = FixedRouter(Route("c", "cheap", "base", {"c": 1.0}))
    router = Sticky(fixed, ABLE)
    await router.route(asked("hello"), [])
    fixed.chosen = Route("a", "tools", "base", {"a": 1.0})
    left = await router.route(asked("hello", "hi", "more", asks=frozenset({"tools"})), [])
    assert left.candidate == "a"
    assert "left c, which cannot do what is asked (tools)" in left.reason
    fixed.chosen = Route("c", "cheap", "base", {"c": 1.0})
    assert (await router.route(asked("hello", "hi", "more", "so", "on"), [])).candidate == "a"


async def test_what_is_remembered_is_bounded_and_ends() -> None:
    now = 0.0
    fixed = FixedRouter(BASE)
    router = Sticky(fixed, ABLE, seconds=10, size=3, clock=lambda: now)
    for at in range(5):
        await router.route(asked(str(at)), [])
    assert len(router) == 3
    fixed.chosen = Route("b", "now b", "base", {"b": 1.0})
    now = 9.0
    assert (await router.route(asked("4", "x", "y"), [])).candidate == "a"  # remembered for another ten seconds
    now = 12.0
    assert (await router.route(asked("3", "x", "y"), [])).candidate == "b"
    assert (await router.route(asked("4", "x", "y"), [])).candidate == "a"
    assert len(router) == 2
    await router.route(asked("t", program=True), [])
    assert len(router) == 2


async def test_a_later_turn_is_chosen_as_often_as_its_propensities_say() -> None:
    chance = {"a": 0.5, "b": 0.3, "c": 0.2}
    found: Counter[str] = Counter()
    drawing = Drawing(Route("a", "r", "base", chance, {"a": 0.5, "b": 0.9, "c": 0.55}), seed=5)
    for _ in range(2_000):
        fixed = FixedRouter(BASE)
        router = Sticky(fixed, ABLE)
        await router.route(asked("hello"), [])
        fixed.chosen = await drawing.route(asked("x"), [])
        route = await router.route(asked("hello", "hi", "more"), [])
        assert route.propensities == pytest.approx({"a": 0.7, "b": 0.3, "c": 0.0})
        found[route.candidate] += 1
    assert set(found) == {"a", "b"}
    assert holds(found["b"], 0.3, 2_000)


@settings(max_examples=100)
@given(
    st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.floats(0.001, 1),
    st.sampled_from(["epsilon", "thompson"]),
    st.floats(0, 1),
    st.lists(st.text(max_size=5), min_size=1, max_size=4),
    st.frozensets(st.sampled_from(sorted(ALL))),
)
async def test_wrapped_in_any_way_propensities_are_probabilities(
    weights: list[float],
    estimates: list[float],
    share: float,
    kind: Kind,
    canary: float,
    texts: list[str],
    asks: frozenset[str],
) -> None:
    base = Route(
        "a",
        "r",
        "base",
        {name: weight / sum(weights) for name, weight in zip("abc", weights, strict=True)},
        dict(zip("abc", estimates, strict=True)),
    )
    router: Router = Explore(FixedRouter(base), ABLE, share, kind)
    router = Sticky(Canary(router, "b", canary, ALL), ABLE)
    for turn in range(1, len(texts) + 1):
        route = await router.route(asked(*texts[:turn], asks=asks), [])
        assert math.isclose(sum(route.propensities.values()), 1, abs_tol=1e-9)
        assert all(value >= -1e-12 for value in route.propensities.values())
        assert route.propensities[route.candidate] > 0
