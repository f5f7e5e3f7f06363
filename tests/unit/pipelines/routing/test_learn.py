"""Learning in worlds that are known: what can be told apart is, what cannot is not made up, and the file keeps it."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from rungwise_pipelines.routing.learn import Learned, learn
from rungwise_pipelines.routing.outcomes import Outcomes
from rungwise_pipelines.routing.report import ROUTER, cross_fitted, estimated, report
from rungwise_pipelines.routing.ridge import errors, fit
from rungwise_pipelines.routing.show import as_json, picture_of, reliability_lines
from rungwise_server.errors import BadRequest, EmbedderMismatch, SetupError
from rungwise_server.routing.model_file import FILE, About, load, save

World = Callable[..., Outcomes]


@pytest.fixture(scope="module")
def learned(world: World) -> Learned:
    """Learned once."""
    return learn(world(200))


def test_two_kinds_of_requests_are_told_apart(world: World) -> None:
    """Near the oracle, on requests not seen, and without any category."""
    outcomes = world(240)
    found = report(outcomes, [cross_fitted(outcomes, 4, 0, lambda: None)], 4)
    methods = found.pairs[0].methods
    assert (found.pairs[0].strong, found.pairs[0].weak) == ("large", "small")
    assert "category" not in methods
    assert methods[ROUTER].apgr.estimate > 0.9 * methods["oracle"].apgr.estimate
    assert methods[ROUTER].apgr.low > methods["random"].apgr.high
    assert found.calibration.ece < 0.05
    spent = found.spent[ROUTER]["95%"].share
    single = found.spent["single"]["95%"].share
    assert spent is not None
    assert single is not None
    assert spent < 0.7 < single


def test_nothing_to_find_is_not_found(world: World) -> None:
    """Where outcomes are chance, estimates stay near the means."""
    outcomes = world(200)
    chance = np.random.default_rng(3).random(outcomes.scores.shape) < (0.8, 0.6)
    estimates = estimated(
        learn(msgspec.structs.replace(outcomes, scores=chance.astype(float))).estimator, world(100, seed=5)
    )
    assert np.abs(estimates.mean(axis=0) - chance.mean(axis=0)).max() < 0.1
    assert estimates.std(axis=0).max() < 0.12


def test_strange_requests_go_by_length(learned: Learned, world: World) -> None:
    """Of a request unlike all, what is known is the candidates' means; the longer, the further they are apart."""
    one = world(1).features[0]
    away = np.zeros(16, np.float32)
    near = learned.estimator.basis.meanings
    away[:] = -near.mean(axis=0) / np.linalg.norm(near.mean(axis=0))
    strange = learned.estimator.estimate(msgspec.structs.replace(one, embedding=away))
    assert strange.familiarity == 0.0
    gaps = [float(np.subtract(*learned.estimator.strange(length))) for length in (1.0, 3.0, 4.0, 6.0)]
    assert gaps == sorted(gaps)
    assert gaps[0] < gaps[-1]


def test_the_same_outcomes_give_the_same_router(world: World) -> None:
    """Nothing depends on the process or the time."""
    first, again = learn(world(60)), learn(world(60))
    assert np.array_equal(first.estimator.weights.words, again.estimator.weights.words)
    assert np.array_equal(first.left_out, again.left_out)


def test_candidates_not_tried_everywhere(world: World) -> None:
    """As in a log: one outcome a request."""
    outcomes = world(200)
    scores = outcomes.scores.copy()
    scores[np.arange(200), np.arange(200) % 2] = np.nan
    estimates = estimated(learn(msgspec.structs.replace(outcomes, scores=scores)).estimator, world(100, seed=9))
    easy = world(100, seed=9).scores[:, 1] == 1
    assert estimates[easy, 1].mean() > estimates[~easy, 1].mean() + 0.4


def test_too_few(world: World) -> None:
    """Says of whom, and how many there must be."""
    with pytest.raises(BadRequest, match="20 or more"):
        learn(world(10))
    outcomes = world(40)
    scores = outcomes.scores.copy()
    scores[5:, 1] = np.nan
    with pytest.raises(BadRequest, match="'small' has 5 outcomes"):
        learn(msgspec.structs.replace(outcomes, scores=scores))


def test_leaving_one_out_is_leaving_one_out() -> None:
    """The closed form against fitting anew without the row."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(12, 30)).astype(np.float32)
    kernel, targets = (rows @ rows.T / 30).astype(np.float32), draw.normal(size=(12, 2))
    found = fit(kernel, targets, 2.0)
    # The closed form keeps the mean of all rows; so does the slow way here.
    mean, others = targets.mean(axis=0), np.arange(1, 12)
    inner = kernel[np.ix_(others, others)] + 2.0 * np.eye(11)
    slow = mean + kernel[0, others] @ np.linalg.solve(inner, targets[others] - mean)
    assert found.left_out[0] == pytest.approx(slow, abs=1e-4)
    assert errors(kernel, targets, [2.0])[0] == pytest.approx(((targets - found.left_out) ** 2).mean(axis=0), abs=1e-3)


def test_a_report_is_told(world: World) -> None:
    """For programs under fixed names, for people in lines, and as a picture that loads nothing."""
    outcomes = world(120)
    found = report(outcomes, [cross_fitted(outcomes, 3, seed, lambda: None) for seed in range(2)], 3)
    told = msgspec.json.decode(msgspec.json.encode(as_json(found)))
    assert {"apgr", "cpt50", "cpt80", "ece", "brier", "baselines"} <= told.keys()
    assert told["baselines"].keys() == {"random", "length", "single", "tfidf", "oracle"}
    assert told["baselines"]["single"]["apgr"] is None
    low, high = told["intervals"]["apgr"]
    assert low <= told["apgr"] <= high
    assert len(reliability_lines(found.calibration)) == 16
    assert picture_of(found.calibration).count("<circle") == 15
    assert "http" not in picture_of(found.calibration).replace("http://www.w3.org/2000/svg", "")


def test_costs_may_be_unknown(world: World) -> None:
    """Then shares of calls are told, and no money."""
    outcomes = world(120)
    unknown = msgspec.structs.replace(outcomes, costs=np.full_like(outcomes.costs, np.nan))
    found = report(unknown, [cross_fitted(unknown, 3, 0, lambda: None)], 3)
    assert not found.spent
    assert "Costs are unknown" in found.notes[0]


def test_a_file_keeps_everything(learned: Learned, world: World, tmp_path: Path) -> None:
    """Same estimates, where it comes from, and well under a megabyte; a folder stands for the file in it."""
    digest = save(tmp_path / "new" / FILE, learned.estimator, About("some-embedder", counts={"large": 200}))
    loaded, about, found = load(tmp_path / "new", "some-embedder")
    assert found == digest
    assert about.counts == {"large": 200}
    assert (tmp_path / "new" / FILE).stat().st_size < 1_000_000
    for one in world(20, seed=4).features:
        assert loaded.estimate(one) == learned.estimator.estimate(one)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE]


def test_every_damage_is_seen(learned: Learned, tmp_path: Path) -> None:
    """A bit flipped anywhere, an end cut off, something added, another kind of file: each says what to do."""
    path = tmp_path / FILE
    save(path, learned.estimator, About("some-embedder"))
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    header = whole.index(b"\n", 100)
    places = [*range(0, header + 1, 29), header, *draw.integers(header, len(whole), 30)]
    broken = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    broken += [b"", whole[:10], whole[:header], whole[: header + 1], whole[:-1], whole + b"\0", b"\x80\x04pickle"]
    for data in broken:
        path.write_bytes(data)
        with pytest.raises(SetupError, match="rungwise router fit"):
            load(path, "some-embedder")


def test_another_embedder_and_no_file(learned: Learned, tmp_path: Path) -> None:
    """Refused, with both names; and a path without a file."""
    save(tmp_path / FILE, learned.estimator, About("some-embedder"))
    with pytest.raises(EmbedderMismatch, match=r"some-embedder.*other-embedder"):
        load(tmp_path, "other-embedder")
    with pytest.raises(SetupError, match="cannot be read"):
        load(tmp_path / "nowhere", "some-embedder")


def test_a_right_hash_over_wrong_arrays(learned: Learned, tmp_path: Path) -> None:
    """Whoever wrote it: arrays that do not fit, and numbers that are none, are refused too."""
    weights, path = learned.estimator.weights, tmp_path / FILE
    for wrong in (
        msgspec.structs.replace(weights, words=weights.words[:-1]),
        msgspec.structs.replace(weights, offset=weights.offset * np.float32("nan")),
        msgspec.structs.replace(weights, means=weights.means[:1]),
    ):
        save(path, msgspec.structs.replace(learned.estimator, weights=wrong), About("some-embedder"))
        with pytest.raises(SetupError, match="do not fit together"):
            load(path, "some-embedder")
