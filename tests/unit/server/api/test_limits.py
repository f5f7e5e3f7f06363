"""What one caller may ask for, against a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.api.limits import Limits
from rungwise_server.errors import RateLimited


class Now:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_burst_then_one_each_so_often() -> None:
    now = Now()
    limits = Limits(requests_per_minute=2, clock=now)
    limits.enter("user:ana")
    limits.enter("user:ana")
    with pytest.raises(RateLimited) as refused:
        limits.enter("user:ana")
    assert refused.value.retry_after == 30
    limits.enter("user:ben")
    now.at = 30
    limits.enter("user:ana")
    with pytest.raises(RateLimited):
        limits.enter("user:ana")


def test_requests_at_once() -> None:
    limits = Limits(concurrent=1)
    limits.enter("user:ana")
    with pytest.raises(RateLimited) as refused:
        limits.enter("user:ana")
    assert refused.value.retry_after == 1
    limits.leave("user:ana")
    limits.enter("user:ana")
    assert limits.headers("user:ana") == []


def test_headers_say_what_is_left_and_when_it_is_all_again() -> None:
    now = Now()
    limits = Limits(requests_per_minute=60, clock=now)
    for _ in range(3):
        limits.enter("user:ana")
    assert dict(limits.headers("user:ana")) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"57",
        b"x-ratelimit-reset-requests": b"3s",
    }
    now.at = 2.5
    assert dict(limits.headers("user:ana"))[b"x-ratelimit-reset-requests"] == b"500ms"


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 30, allow_nan=False)), max_size=60),
)
def test_nobody_gets_more_than_a_burst_and_what_time_gave(most: int, asked: list[tuple[str, float]]) -> None:
    now = Now()
    limits = Limits(requests_per_minute=most, clock=now)
    given: dict[str, int] = {"a": 0, "b": 0}
    for who, wait in asked:
        now.at += wait
        try:
            limits.enter(who)
        except RateLimited as error:
            now.at += (error.retry_after or 0.0) + 1e-6
            limits.enter(who)  # what was promised holds
        limits.leave(who)
        given[who] += 1
        assert given[who] <= most + now.at * most / 60 + 1e-6


def test_callers_who_have_all_again_are_forgotten() -> None:
    now = Now()
    limits = Limits(requests_per_minute=60, clock=now)
    for number in range(1000):
        limits.enter(f"user:{number}")
        limits.leave(f"user:{number}")
    now.at = 60
    limits.enter("user:new")
    assert len(limits._buckets) == 1
