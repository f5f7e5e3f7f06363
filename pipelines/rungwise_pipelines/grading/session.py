"""A person's grading session: shows what is next, takes a key, appends the grade, tells what it brought.

There is nothing to save and nothing to resume: a grade is in the log as soon as it is given, and what has one is not
shown again.
"""

import asyncio
import time
from dataclasses import dataclass, field

from msgspec import Struct

from rungwise_pipelines.grading.keys import Keys
from rungwise_pipelines.grading.screen import KEYS, Screen
from rungwise_server.grading.counting import Counted
from rungwise_server.grading.desk import Desk, Pile, Turn, Turns, turns_of
from rungwise_server.grading.summary import Summary, summary_of
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Grade, GradeScale
from rungwise_server.types import Caller, new_id

TAKEN_BACK = "taken back"
_VALUES: dict[GradeScale, dict[str, float]] = {
    "pass": {"p": 1.0, "f": 0.0},
    "five": {str(score): (score - 1) / 4 for score in range(1, 6)},
    "pair": {"a": 1.0, "b": 0.0, "t": 0.5},
}


class Ended(Struct, frozen=True):
    """What a session came to."""

    given: int
    skipped: int
    turns: Turns
    summary: Summary


@dataclass
class Session:
    """One person's, over a pile. `limit` 0 goes on until nothing is left."""

    desk: Desk
    log: InferenceLog
    pile: Pile
    caller: Caller
    rubric: str
    scale: GradeScale
    limit: int
    _given: list[tuple[Turn, Grade]] = field(default_factory=list)
    _again: list[Turn] = field(default_factory=list)
    """What was taken back, to be shown anew before anything else."""
    _seen: set[str] = field(default_factory=set)

    def run(self, runner: asyncio.Runner, keys: Keys, screen: Screen) -> Ended:
        """Until the person has enough, or there is no more. Raises Unavailable, KeyboardInterrupt."""
        grades = runner.run(self.desk.grades(self.pile, self.rubric))
        while not self.limit or len(self._given) < self.limit:
            turns = self._turns(grades)
            turn = self._again.pop() if self._again else next(iter(turns.turns), None)
            if turn is None:
                break
            screen.turn(turn, turns, self.rubric, self.scale)
            grade = self._asked(turn, keys, screen)
            if grade is None:
                break
            self._seen.add(turn.thing.id)
            runner.run(self.log.append(grade))
            grades = runner.run(self.desk.grades(self.pile, self.rubric))
            if grade.value is not None:
                screen.standings(self._summary(grades).standings)
        skipped = sum(grade.value is None for _, grade in self._given)
        return Ended(len(self._given) - skipped, skipped, self._turns(grades), self._summary(grades))

    def _turns(self, grades: Counted) -> Turns:
        """What was skipped before this session comes at its end; what was skipped in it does not."""
        turns = turns_of(self.pile, grades, self.caller, 1)
        if not turns.turns:
            again = turns_of(self.pile, grades, self.caller, len(self.pile.things), skipped=True)
            turns = Turns(
                tuple(turn for turn in again.turns if turn.thing.id not in self._seen),
                turns.graded,
                turns.skipped,
                turns.left,
                turns.unreadable,
            )
        return turns

    def _summary(self, grades: Counted) -> Summary:
        return summary_of(self.pile.things, grades, self.rubric, self.pile.mode)

    def _asked(self, turn: Turn, keys: Keys, screen: Screen) -> Grade | None:
        """The grade that the person gives, or the one that takes an earlier back; None to end."""
        reason = ""
        while key := keys.key():
            match key:
                case "q":
                    return None
                case "o":
                    screen.passages(turn, whole=True)
                    screen.keys(self.rubric, self.scale)
                case "r":
                    reason = keys.line("Reason: ")
                    if reason:
                        screen.say(f"Noted: {reason}", "dim")
                case "u" if not self._given:
                    screen.say("There is nothing to undo in this session.", "yellow")
                case "u":
                    before, _ = self._given.pop()
                    self._again += [turn, before]
                    screen.say("Taken back.", "yellow")
                    return self._grade(before, None, TAKEN_BACK)
                case "s":
                    screen.say("Skipped.", "yellow")
                    return self._take(turn, None, reason)
                case _ if (value := _VALUES[self.scale].get(key)) is not None:
                    colour = "green" if value > 0.5 else "red" if value < 0.5 else ""
                    screen.say(dict(KEYS[self.scale])[key] or key, colour)
                    return self._take(turn, value, reason)
                case _:
                    screen.keys(self.rubric, self.scale)
        return None

    def _take(self, turn: Turn, value: float | None, reason: str) -> Grade:
        grade = self._grade(turn, value, reason)
        self._given.append((turn, grade))
        return grade

    def _grade(self, turn: Turn, value: float | None, reason: str) -> Grade:
        first, *second = turn.answers
        return Grade(
            id=new_id("gr"),
            at=time.time(),
            inference_id=first.id,
            rubric=self.rubric,
            caller=self.caller,
            value=value,
            scale=self.scale,
            over=second[0].id if second else "",
            reason=reason,
            example=turn.thing.example.id if turn.thing.example else "",
        )
