import pytest

from rungwise_server.protocols import Router
from rungwise_server.routing.canary import Canary
from rungwise_server.routing.cascade import Cascade
from rungwise_server.routing.explore import Explore
from rungwise_server.routing.housekeeping import Housekeeping
from rungwise_server.routing.rules import Pinned, Rules, When
from rungwise_server.routing.sticky import Sticky
from rungwise_server.testing.routing import FixedRouter, RouterContract
from rungwise_server.types import Route

ALL = frozenset({"tools", "json", "logprobs", "images"})


class TestRules(RouterContract):
    @pytest.fixture
    def router(self) -> Router:
        rules = [(When(min_chars=100), "b"), (When(evidence="none"), "c"), (When(asks=frozenset({"tools"})), "b")]
        return Rules({"a": frozenset(), "b": ALL, "c": ALL}, rules)

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        return frozenset("abc")


class TestPinned(RouterContract):
    @pytest.fixture
    def router(self) -> Router:
        return Pinned("a", "asked for")

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        return frozenset("a")


class TestHousekeeping(RouterContract):
    @pytest.fixture
    def router(self) -> Router:
        return Housekeeping(Rules({"a": ALL, "b": ALL}), "b")

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        return frozenset("ab")


class TestFixedRouter(RouterContract):
    @pytest.fixture
    def router(self) -> Router:
        return FixedRouter(Route("a", "told so", "fixed", {"a": 0.7, "b": 0.3}, {"a": 0.9, "b": 0.4}))

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        return frozenset("ab")


class TestExplore(RouterContract):
    @pytest.fixture
    def router(self) -> Router:
        return Explore(Rules({"a": ALL, "b": ALL}), {"a": ALL, "b": ALL}, 0.5)

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        return frozenset("ab")


class TestCanary(RouterContract):
    @pytest.fixture
    def router(self) -> Router:
        return Canary(Rules({"a": ALL, "b": ALL}), "b", 0.5, ALL)

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        return frozenset("ab")


class TestSticky(RouterContract):
    @pytest.fixture
    def router(self) -> Router:
        able = {"a": ALL, "b": ALL}
        return Sticky(Explore(Rules(able), able, 0.5), able)

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        return frozenset("ab")


class TestCascade(RouterContract):
    @pytest.fixture
    def router(self) -> Router:
        return Cascade({"a": ALL, "b": frozenset()}, ["b"])

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        return frozenset("ab")
