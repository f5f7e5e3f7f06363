"""What each rubric asks of an answer, in words for people. A judge's are in its prompt."""

from collections.abc import Mapping

from msgspec import Struct


class Rubric(Struct, frozen=True):
    """A rubric as a grader reads it."""

    name: str
    asks: str = ""
    """The question that a pass says yes to; empty where the rubric is somebody's own."""
    points: tuple[str, ...] = ()
    """What 1, 2, 3, 4 and 5 mean."""


RUBRICS: Mapping[str, Rubric] = {
    rubric.name: rubric
    for rubric in (
        Rubric(
            "correct",
            "Would somebody who knows the matter let the answer stand as it is?",
            ("wrong", "mostly wrong", "partly right", "right but for a small matter", "right"),
        ),
        Rubric(
            "grounded",
            "Is all that it says in the passages?",
            ("nothing is", "little is", "about half is", "all but a detail is", "all is"),
        ),
        Rubric(
            "complete",
            "Does it say all that the question needs and the passages hold?",
            ("misses the point", "misses most", "misses something that matters", "misses a detail", "misses nothing"),
        ),
        Rubric(
            "cites",
            "Does each citation stand where the passage says so, and none miss?",
            ("none is right", "few are", "about half are", "all but one are", "all are"),
        ),
        Rubric(
            "declines",
            "Does it decline where the passages hold no answer, and only there?",
            ("the wrong way", "mostly the wrong way", "half and half", "right, badly put", "right"),
        ),
    )
}


def rubric_of(name: str) -> Rubric:
    """The rubric of that name; one of somebody's own has its name alone."""
    return RUBRICS.get(name) or Rubric(name)
