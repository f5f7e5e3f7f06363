"""The runner against scripted upstreams, in time that does not pass."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from rungwise_pipelines.batch.ask import Answered
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.run import Budget, End, Runner, Tally
from rungwise_server.errors import (
    BadRequest,
    RungwiseError,
    SetupError,
    Unavailable,
    UpstreamError,
    UpstreamLimited,
    UpstreamRefused,
)
from rungwise_server.testing.virtual import run_virtual
from rungwise_server.types import Usage

Script = Callable[[int, int], "float | Exception"]
"""Of a line's number and its attempt: seconds until its answer, or what it fails with at once."""


class Upstream:
    """Answers by a script, `servers` lines at a time: others wait for their turn, or are refused."""

    def __init__(self, script: Script, servers: int = 1_000_000, *, refuses: bool = False, cost: float | None = 1.0):
        self.script, self.cost, self.refuses, self.servers = script, cost, refuses, servers
        self.free = asyncio.Semaphore(servers)
        self.attempts: Counter[int] = Counter()
        self.begun: list[tuple[float, int]] = []
        self.running = self.most = self.cancelled = 0

    async def __call__(self, line: Line) -> Answered:
        if self.refuses and self.running >= self.servers:
            raise UpstreamLimited("too many at once")
        self.attempts[line.number] += 1
        self.begun.append((asyncio.get_running_loop().time(), self.running))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            async with self.free:
                said = self.script(line.number, self.attempts[line.number])
                if isinstance(said, Exception):
                    raise said
                await asyncio.sleep(said)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return Answered("id", b"{}", usage=Usage(3, 2), cost=self.cost)


class Results:
    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: dict[int, Exception] = {}

    def answered(self, line: Line, answer: Answered) -> None:
        self.answers[line.number] += 1

    def failed(self, line: Line, error: Exception) -> None:
        assert line.number not in self.failures
        self.failures[line.number] = error


class Ran:
    """One run, whole."""

    def __init__(self, script: Script, lines: int = 50, **given: object) -> None:
        of_upstream = {name: given.pop(name) for name in ("servers", "refuses", "cost") if name in given}
        stop: Callable[[Runner, int], None] = given.pop("stop", lambda _runner, _done: None)  # type: ignore[assignment]
        self.results, self.tally = Results(), Tally()
        self.end: End

        async def run() -> None:
            self.upstream = Upstream(script, **of_upstream)  # type: ignore[arg-type]
            told: Callable[[], None] = lambda: stop(runner, self.tally.done)  # noqa: E731
            runner = Runner(self.upstream, self.results, self.tally, told=told, **given)  # type: ignore[arg-type]
            self.end = await runner.run(_lines(lines))
            self.seconds = asyncio.get_running_loop().time()

        run_virtual(run())


def _lines(count: int) -> Iterator[Line]:
    return (Line(number, str(number), "/v1/chat/completions", b"{}") for number in range(count))


def test_each_line_has_one_result() -> None:
    ran = Ran(lambda number, _: BadRequest("no") if number % 7 == 0 else 1.0, 500)
    assert ran.end == "done"
    assert set(ran.results.answers) | set(ran.results.failures) == set(range(500))
    assert not set(ran.results.answers) & set(ran.results.failures)
    assert set(ran.results.answers.values()) == {1}
    assert (ran.tally.answered, ran.tally.failed, ran.tally.cost) == (428, 72, 428.0)
    assert ran.tally.tokens == 428 * 5


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (BadRequest("a field"), 1),
        (UpstreamRefused("too long", status=400), 1),
        (UpstreamLimited("slower"), 6),
        (UpstreamError("broken"), 6),
        (Unavailable("the index is away"), 6),
        (ZeroDivisionError("ours"), 1),
    ],
)
def test_only_what_another_attempt_can_mend_is_tried_again(error: Exception, attempts: int) -> None:
    ran = Ran(lambda number, _: error if number == 3 else 1.0, 20)
    assert ran.upstream.attempts[3] == attempts
    assert ran.results.failures == {3: error}
    assert ran.tally.retries == attempts - 1
    assert len(ran.results.answers) == 19


def test_a_second_attempt_is_an_answer_like_any_other() -> None:
    ran = Ran(lambda _, attempt: UpstreamError("once") if attempt == 1 else 1.0, 40)
    assert ran.end == "done"
    assert len(ran.results.answers) == 40
    assert ran.tally.trouble == ""


def test_retry_after_is_waited_for_by_all() -> None:
    def script(number: int, attempt: int) -> float | Exception:
        return UpstreamLimited("per minute", retry_after=30) if (number, attempt) == (10, 1) else 1.0

    ran = Ran(script, 60)
    refused = next(at for (at, _), number in zip(ran.upstream.begun, range(60), strict=False) if number == 10)
    assert not [at for at, _ in ran.upstream.begun if refused < at < refused + 30]
    assert len(ran.results.answers) == 60


def test_a_line_that_hangs_is_left_and_tried_again() -> None:
    ran = Ran(lambda number, attempt: math.inf if (number, attempt) == (5, 1) else 1.0, 30, timeout=60)
    assert len(ran.results.answers) == 30
    assert ran.upstream.cancelled == 1


def test_a_line_that_always_hangs_fails_by_its_timeout() -> None:
    ran = Ran(lambda number, _: 3600 if number == 5 else 1.0, 30, timeout=60)
    assert str(ran.results.failures[5]) == "not answered within 60 s"
    assert len(ran.results.answers) == 29


def test_an_upstream_that_is_down_costs_no_line_its_attempts() -> None:
    down = {"until": 300.0}

    def script(_number: int, _attempt: int) -> float | Exception:
        return UpstreamError("away") if asyncio.get_running_loop().time() < down["until"] else 1.0

    ran = Ran(script, 200)
    assert ran.end == "done"
    assert len(ran.results.answers) == 200
    while_down = [at for at, _ in ran.upstream.begun if at < down["until"]]
    assert len(while_down) < 100, "an upstream that is down is asked now and then, not hammered"


def test_an_upstream_that_stays_away_ends_the_run_with_nothing_failed() -> None:
    ran = Ran(lambda number, _: 1.0 if number < 20 else UpstreamError("away"), 1000, patience=600)
    assert ran.end == "upstream"
    assert len(ran.results.answers) == 20
    assert not ran.results.failures
    assert ran.tally.trouble == "away"
    assert ran.seconds < 1000


def test_what_a_person_must_mend_ends_the_run_with_its_message() -> None:
    with pytest.raises(SetupError, match="no room"):
        Ran(lambda number, _: SetupError("no room") if number == 30 else 1.0, 1000)


def test_a_budget_of_money_is_kept() -> None:
    ran = Ran(lambda _number, _attempt: 1.0, 1000, budget=Budget(cost=200.0))
    assert ran.end == "budget"
    assert 200 - 8 <= ran.tally.cost <= 200
    assert ran.upstream.cancelled == 0, "what was begun is paid for, and is finished"
    assert not ran.results.failures


def test_a_budget_of_tokens_is_kept() -> None:
    ran = Ran(lambda _number, _attempt: 1.0, 1000, budget=Budget(tokens=1001))
    assert ran.end == "budget"
    assert 1001 - 40 <= ran.tally.tokens <= 1001


def test_a_budget_of_money_needs_prices() -> None:
    ran = Ran(lambda _number, _attempt: 1.0, 1000, budget=Budget(cost=200.0), cost=None)
    assert ran.end == "unpriced"
    assert len(ran.results.answers) <= 16


def test_stopping_finishes_what_runs_and_begins_nothing() -> None:
    ran = Ran(
        lambda number, _: UpstreamError("again") if number % 5 == 0 else 1.0,
        1000,
        stop=lambda runner, done: runner.stop() if done >= 100 else None,
    )
    assert ran.end == "stopped"
    assert ran.upstream.cancelled == 0
    assert 100 <= ran.tally.done < 500


def test_stopping_at_once_leaves_what_runs() -> None:
    def stop(runner: Runner, done: int) -> None:
        if done >= 100:
            runner.stop(at_once=True)

    ran = Ran(lambda number, _: 1.0 + number % 3, 1000, stop=stop)
    assert ran.end == "stopped"
    assert ran.upstream.cancelled > 0
    assert ran.tally.done < 110


@pytest.mark.parametrize(("servers", "expected"), [(1, 0.97), (16, 0.95), (100, 0.9)])
def test_the_pace_finds_an_upstreams_limit_without_a_long_queue(servers: int, expected: float) -> None:
    luck = random.Random(servers)
    ran = Ran(lambda _number, _attempt: luck.gammavariate(4, 0.25), 200 * servers, servers=servers)
    assert 200 / ran.seconds > expected
    waiting = sorted(max(0, running - servers) for _, running in ran.upstream.begun)
    assert waiting[len(waiting) // 2] <= 1.5 * servers + 8, "half of the time the queue is short"


def test_a_machine_that_was_busy_at_the_start_is_used_in_full_soon_after() -> None:
    luck = random.Random(3)

    def script(_number: int, _attempt: int) -> float:
        return luck.gammavariate(4, 0.25) * (8 if 1.5 < asyncio.get_running_loop().time() < 9 else 1)

    ran = Ran(script, 100 * 64, servers=64)
    assert 100 / (ran.seconds - 9) > 0.8


def test_an_upstream_that_refuses_is_kept_just_below_its_limit() -> None:
    ran = Ran(lambda _number, _attempt: 1.0, 4000, servers=40, refuses=True)
    assert ran.end == "done"
    assert len(ran.results.answers) == 4000
    assert 100 / ran.seconds > 0.9
    assert ran.tally.retries < 400


def test_concurrency_is_never_above_what_was_asked() -> None:
    ran = Ran(lambda _number, _attempt: 1.0, 500, most=3)
    assert ran.upstream.most == 3


def test_chaos_still_gives_each_line_one_result() -> None:
    luck = random.Random(7)

    def script(_number: int, _attempt: int) -> float | Exception:
        errors: list[RungwiseError] = [
            UpstreamError("5xx"),
            UpstreamLimited("429", retry_after=luck.random()),
            BadRequest("4xx"),
            Unavailable("503"),
        ]
        return luck.choice(errors) if luck.random() < 0.3 else luck.expovariate(0.5)

    ran = Ran(script, 2000, servers=30)
    assert ran.end == "done"
    assert sum(ran.results.answers.values()) + len(ran.results.failures) == 2000
    assert not set(ran.results.answers) & set(ran.results.failures)
