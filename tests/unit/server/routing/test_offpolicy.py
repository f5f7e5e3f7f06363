"""Against a simulated log whose truth is known: unbiased, intervals that cover, and refusals where nothing is known."""

import math
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from rungwise_server.routing.offpolicy import Logged, Method, NoSupport, Seen
from rungwise_server.types import Route

NAMES = ("cheap", "middle", "strong")
COSTS = np.array([0.1, 0.3, 1.0])
Floats = NDArray[np.float64]


def truth_of(hard: Floats) -> Floats:
    return np.stack([0.9 - 0.6 * hard, 0.9 - 0.35 * hard, 0.95 - 0.1 * hard], axis=1)


def log(count: int, seed: int, *, wrong: bool = False, share: float = 0.3, clusters: int = 0) -> tuple[Logged, Floats]:
    """A log of a router that explores, and each question's true P(good). With `wrong`, its estimates are far off."""
    rng = np.random.default_rng(seed)
    hard = rng.random(count)
    truth = truth_of(hard)
    first = np.where(hard < 0.4, 0, 2)
    propensities = np.full((count, 3), share / 3)
    propensities[np.arange(count), first] += 1 - share
    seen = []
    for at in range(count):
        chosen = int(rng.choice(3, p=propensities[at]))
        estimates = 1 - truth[at] if wrong else truth[at]
        route = Route(
            NAMES[chosen],
            "explored",
            "explore",
            dict(zip(NAMES, propensities[at].tolist(), strict=True)),
            dict(zip(NAMES, estimates.tolist(), strict=True)),
        )
        score = float(rng.random() < truth[at, chosen])
        cluster = str(at % clusters) if clusters else ""
        seen.append(Seen(route, score, float(COSTS[chosen] * rng.uniform(0.5, 1.5)), cluster))
    return Logged(NAMES, seen), truth


def other(truth: Floats) -> NDArray[np.intp]:
    """The policy that is asked about: the middle one for what is neither easy nor hard."""
    return np.where(truth[:, 0] > 0.7, 0, np.where(truth[:, 1] > 0.65, 1, 2)).astype(np.intp)


@pytest.mark.parametrize("wrong", [False, True])
def test_unbiased_and_covering(wrong: bool) -> None:
    hard = np.linspace(0, 1, 100_001)
    truth = truth_of(hard)
    chosen = other(truth)
    quality = float(truth[np.arange(len(hard)), chosen].mean())
    cost = float(COSTS[chosen].mean())
    runs = 150
    estimates: dict[Method, list[float]] = {method: [] for method in get_args(Method)}
    covered = dict.fromkeys(estimates, 0)
    costs_covered = 0
    for run in range(runs):
        logged, told_truth = log(500, run, wrong=wrong)
        policy = logged.choosing(other(told_truth))
        for method, values in estimates.items():
            told = logged.quality(policy, method)
            values.append(told.estimate)
            covered[method] += told.low <= quality <= told.high
        costs_covered += (told := logged.cost(policy)).low <= cost <= told.high
    for method, values in estimates.items():
        error = float(np.std(values)) / math.sqrt(runs)
        assert abs(float(np.mean(values)) - quality) < 3.5 * error, method
        assert covered[method] >= 0.89 * runs, method
    assert costs_covered >= 0.89 * runs
    if not wrong:
        assert np.std(estimates["doubly robust"]) < np.std(estimates["ips"])


def test_what_was_served_is_told_exactly() -> None:
    logged, _ = log(400, 1)
    told = logged.quality(logged.propensities, "ips")
    assert told.estimate == pytest.approx(logged.scores.mean())
    assert told.effective == pytest.approx(400)
    assert told.clipped == 0


def test_a_candidate_that_was_never_chosen_is_refused() -> None:
    seen = [Seen(Route("strong", "first", "rules", {"cheap": 0.0, "strong": 1.0}), 1.0) for _ in range(20)]
    logged = Logged(("cheap", "strong"), seen)
    with pytest.raises(NoSupport, match=r"cheap was never chosen \(100% of all\): no data.*route.explore"):
        logged.quality(logged.always("cheap"))
    assert logged.quality(logged.always("strong")).estimate == 1.0
    with pytest.raises(NoSupport, match="no answer is known"):
        logged.cost(logged.always("strong"))


def test_one_that_was_chosen_elsewhere_is_refused_where_it_was_not() -> None:
    routes = [Route("cheap", "r", "rules", {"cheap": 1.0, "strong": 0.0})] * 10
    routes += [Route("strong", "r", "rules", {"cheap": 0.0, "strong": 1.0})] * 30
    logged = Logged(("cheap", "strong"), [Seen(route, 1.0, 1.0) for route in routes])
    with pytest.raises(NoSupport, match=r"never chosen in the requests where it would be \(75% of all\)"):
        logged.quality(logged.always("cheap"))


def test_a_little_without_support_widens_the_interval() -> None:
    routes = [Route("cheap", "r", "explore", {"cheap": 0.5, "strong": 0.5}) for _ in range(499)]
    routes.append(Route("strong", "r", "rules", {"cheap": 0.0, "strong": 1.0}))
    logged = Logged(("cheap", "strong"), [Seen(r, float(i % 2), 1.0) for i, r in enumerate(routes)])
    told = logged.quality(logged.always("cheap"), "snips")
    assert told.unsupported == pytest.approx(1 / 500)
    assert told.high - told.estimate > told.estimate - told.low
    assert "0.2% of it was never tried" in str(told)


def test_large_weights_are_cut_and_it_says_so() -> None:
    routes = [Route("strong", "r", "explore", {"cheap": 0.001, "strong": 0.999})] * 99
    routes.append(Route("cheap", "r", "explore", {"cheap": 0.001, "strong": 0.999}))
    logged = Logged(("cheap", "strong"), [Seen(route, 1.0) for route in routes])
    told = logged.quality(logged.always("cheap"), "ips")
    assert (told.clipped, told.most, told.effective) == (1, 10.0, 1.0)
    assert "1 weights cut to 10" in str(told)
    assert logged.quality(logged.always("cheap"), "ips", most=math.inf).clipped == 0


def test_answers_of_one_conversation_count_as_less() -> None:
    seen = []
    rng = np.random.default_rng(2)
    for cluster in range(40):
        score = float(rng.random() < 0.5)
        route = Route("cheap", "r", "explore", {"cheap": 0.5, "strong": 0.5})
        seen += [Seen(route, score, 1.0, str(cluster)) for _ in range(10)]
    alone = [Seen(one.route, one.score, one.cost) for one in seen]
    together, apart = (Logged(("cheap", "strong"), given) for given in (seen, alone))
    told, naive = (x.quality(x.always("cheap"), "snips") for x in (together, apart))
    assert told.high - told.low > 2.5 * (naive.high - naive.low)


def test_what_cannot_be_used_is_counted_or_refused() -> None:
    good = Seen(Route("cheap", "r", "p", {"cheap": 1.0}), 1.0)
    logged = Logged(
        ("cheap",), [good, Seen(Route("gone", "r", "p", {"gone": 1.0}), 1.0), Seen(Route("cheap", "", ""), 1)]
    )
    assert logged.left_out == 2
    assert logged.quality(logged.always("cheap")).high == 1.0  # one answer: nothing is known of the spread
    with pytest.raises(ValueError, match="none is of other"):
        Logged(("other",), [good])
    with pytest.raises(ValueError, match="sum to one"):
        logged.quality([[0.5]])
