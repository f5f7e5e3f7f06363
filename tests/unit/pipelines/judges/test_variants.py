"""Which examples a judge may be shown, and which variants there are."""

from msgspec import Raw

from rungwise_pipelines.judges.variants import Known, groups_of, shots_of, thresholds_of, variants_of
from rungwise_server.config.settings import JudgeSettings
from rungwise_server.evals import Example
from rungwise_server.grading.things import Thing
from rungwise_server.prompt import text_message
from rungwise_server.testing.log import an_inference
from rungwise_server.types import Caller, Message, Passage


def known(
    id: str,
    human: float,
    *,
    groups: frozenset[str] = frozenset(),
    readers: frozenset[str] = frozenset({"everyone"}),
    reference: str = "",
    before: bool = False,
    question: str = "",
) -> Known:
    caller = Caller(user="ana", groups=groups)
    turns: tuple[Message, ...] = (text_message("user", f"{id}?"),)
    if before:
        turns = (*turns, Message("assistant", "So.", Raw(b"{}")), text_message("user", "And?"))
    passages = (Passage("p", "d", "c", "x", readers),)
    answer = an_inference(id, messages=turns, caller=caller, passages=passages)
    return Known(Thing(question or id, (answer,), Example(id, turns, caller, "log", reference=reference)), human)


def shown(*some: Known, count: int = 9) -> list[str]:
    return [shot.inference_id for shot in shots_of(some, count)]


def test_passes_and_fails_in_turn() -> None:
    some = [known(f"p{n}", 1.0) for n in range(4)] + [known(f"f{n}", 0.0) for n in range(2)]
    assert shown(*some, count=3) == ["f0", "p0", "f1"]
    assert shown(*some) == ["f0", "p0", "f1", "p1", "p2", "p3"]


def test_no_doubtful_one_and_none_twice() -> None:
    assert shown(known("a", 0.5), known("b", 0.75), known("c", 1.0, question="b")) == ["b"]


def test_nothing_that_only_some_may_read() -> None:
    finance = frozenset({"finance"})
    assert shown(known("a", 1.0, readers=frozenset({"group:finance"}))) == []
    assert shown(known("b", 1.0, groups=finance, reference="42")) == []
    assert shown(known("c", 1.0, groups=finance, before=True)) == []
    assert shown(known("d", 1.0, groups=finance), known("e", 0.0, reference="42"), known("f", 0.0, before=True)) == [
        "e",
        "d",
        "f",
    ]


def test_answers_to_one_question_are_one_group() -> None:
    some = [known("a", 1.0, question="q"), known("b", 1.0), known("c", 0.0, question="q")]
    assert groups_of(some).tolist() == [0, 1, 0]


def test_the_judge_in_use_comes_first_then_fewer_examples() -> None:
    now = JudgeSettings(kind="prompt", candidate="big", examples=2)
    made = variants_of(now, ("judge-correct", "kind"), (4, 0, 2), ("big",))
    assert [(one.examples, one.prompt) for one in made] == [
        (2, "judge-correct"),
        (0, "judge-correct"),
        (0, "kind"),
        (2, "kind"),
        (4, "judge-correct"),
        (4, "kind"),
    ]


def test_thresholds_tell_values_apart() -> None:
    assert thresholds_of([0.2, 0.4, 0.4, 0.9], None) == [0.5, 0.3, 0.65]
    assert thresholds_of([0.2, 0.2], 0.7) == [0.7]
    assert len(thresholds_of([n / 500 for n in range(500)], None)) <= 31
