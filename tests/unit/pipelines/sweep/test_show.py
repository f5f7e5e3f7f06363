"""A sweep in words, rows and a picture."""

import xml.etree.ElementTree as ET

import pytest
from msgspec.structs import replace

from rungwise_pipelines.sweep.page import page_of, picture_of
from rungwise_pipelines.sweep.result import Gain, Sweep, Tried
from rungwise_pipelines.sweep.show import COLUMNS, lines_of, rows_of
from rungwise_server.judging.certificates.intervals import Interval


def _tried(name: str, mean: float, cost: float | None, **more: bool | str | int) -> Tried:
    quality = Interval(mean, max(0.0, mean - 0.1), min(1.0, mean + 0.1), 0.95, "beta posterior", 40)
    found = Tried(name, {"answers": name}, False, quality, cost, 10.0, 20.0, 3)
    return replace(found, **more)


SWEEP = Sweep(
    id="sweep-1",
    at=1.0,
    workload="support",
    set_id="support@v1",
    set_hash="h",
    metric="right",
    level=0.95,
    seed=0,
    settings=(
        _tried("strong (today)", 0.9, 8.0, today=True, contender=True, frontier=True),
        _tried("fair", 0.88, 2.0, contender=True, frontier=True),
        _tried("bad", 0.3, 9.0, dropped_for="fair"),
    ),
    sizes=(8, 20, 40),
    examples=40,
    synthetic=0,
    best="strong (today)",
    cheapest="fair",
    worse_by=0.04,
    needed=None,
    cost=1.5,
    answers=90,
    full=120,
    seconds=65.0,
)


def test_a_firm_verdict_says_take_it() -> None:
    told = " ".join(lines_of(SWEEP))
    assert "'fair' (88.0; the best, 'strong (today)': 90.0). It costs 75 % less." in told
    assert "It is worse by 4.0 points at most: take it." in told
    assert "90 answers in 1 min 5 s, 1.50 spent; dropping early spared 25 % of the grid's 120 answers." in told
    rows = rows_of(SWEEP)
    assert [row[0] for row in rows] == ["strong (today)", "fair", "bad"]
    assert [row[-1] for row in rows] == ["best, frontier", "take, frontier", "behind fair"]
    assert all(len(row) == len(COLUMNS) for row in rows)


def test_thin_evidence_is_no_advice() -> None:
    thin = replace(SWEEP, worse_by=0.3, needed=1200)
    told = " ".join(lines_of(thin))
    assert "take it" not in told
    assert "not shown to be as good: it may be worse by up to 30.0 points. About 1,200 examples in all" in told
    assert rows_of(thin)[1][-1] == "cheapest, frontier"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"cheapest": "strong (today)"}, "It is what is configured: there is nothing to change."),
        ({"stopped": "a model stayed away."}, "Stopped early: a model stayed away."),
        ({"synthetic": 12}, "12 of the 40 examples were written by a model"),
        ({"caution": "The judge is not certified."}, "The judge is not certified."),
    ],
)
def test_what_else_there_is_to_know(changed: dict[str, object], told: str) -> None:
    assert told in " ".join(lines_of(replace(SWEEP, **changed)))


def test_failures_are_told_with_the_first_reason() -> None:
    failed = replace(SWEEP, settings=(*SWEEP.settings[:2], replace(SWEEP.settings[2], failed=2)), trouble="Overloaded.")
    assert "2 answers failed and are left out; the same command again tries again. The first: Overloaded." in lines_of(
        failed
    )
    assert rows_of(failed)[-1][-1] == "behind fair, 2 failed"


def test_a_gain_is_claimed_of_held_out_examples_alone() -> None:
    held = Interval(0.1, -0.02, 0.22, 0.95, "bonett-price", 20)
    gain = Gain("support-1@a", "t", "plain@b", "strong", 3, 1, (), 0.25, 20, held)
    line = (
        "Rewriting the prompt (support-1@a, answered by strong): +25.0 points on the 20 training examples, +10.0 points"
    )
    told = next(text for text in lines_of(replace(SWEEP, gain=gain)) if text.startswith(line))
    assert told.endswith("+10.0 points on 20 held-out ones (-2.0 to +22.0). No gain is proven.")
    proven = replace(gain, held_out=replace(held, low=0.01))
    assert any(text.endswith("(+1.0 to +22.0).") for text in lines_of(replace(SWEEP, gain=proven)))
    none = replace(gain, kept=0, held_out=None)
    assert any("none of 3 proposals was better" in text for text in lines_of(replace(SWEEP, gain=none)))


@pytest.mark.parametrize(
    "costs", [(8.0, 2.0, 9.0), (8.0, 0.01, 0.0), (None, None, None), (0.0, 0.0, 0.0), (5.0, 5.0, 5.0)]
)
def test_the_picture_is_whole_whatever_things_cost(costs: tuple[float | None, ...]) -> None:
    settings = tuple(replace(t, cost_per_1000=c) for t, c in zip(SWEEP.settings, costs, strict=True))
    drawn = ET.fromstring(picture_of(replace(SWEEP, settings=settings)))
    marks = [float(circle.attrib["cx"]) for circle in drawn.iter("circle") if circle.attrib["r"] == "5"]
    assert len(marks) == 3
    assert all(0 < x < 640 for x in marks)


def test_names_and_prompts_cannot_become_markup() -> None:
    hostile = replace(SWEEP.settings[0], name="<script>alert(1)</script>")
    page = page_of(replace(SWEEP, settings=(hostile, *SWEEP.settings[1:]), best=hostile.name, change="+<script>x"))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
