"""What a grader sees. Everything that came from documents, people or models is text and steers nothing."""

import re
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from rungwise_pipelines.commands.output import plain
from rungwise_pipelines.grading.excerpts import excerpt, flowing
from rungwise_server.grading.desk import Turn, Turns
from rungwise_server.grading.rubrics import rubric_of
from rungwise_server.grading.summary import Standing
from rungwise_server.grading.things import text_of
from rungwise_server.records import GradeScale, Inference
from rungwise_server.types import Passage

_WIDEST = 100
_MARKER = re.compile(r"[\[【]\d{1,3}(?:[,;、 ]+\d{1,3})*[\]】]")
_CITED, _OTHER = 400, 160
"""So many characters are shown of a passage that is cited, and of others where none is, until they are opened."""

KEYS: dict[GradeScale, tuple[tuple[str, str], ...]] = {
    "pass": (("p", "pass"), ("f", "fail")),
    "five": (("1", "bad"), ("2", ""), ("3", ""), ("4", ""), ("5", "good")),
    "pair": (("a", "A is better"), ("b", "B is better"), ("t", "tie")),
}
_OTHERS = (("s", "skip"), ("r", "reason"), ("o", "open passages"), ("u", "undo"), ("q", "quit"))


class Screen:
    """Draws on `console`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._console.width = min(self._console.width, _WIDEST) if console.is_terminal else _WIDEST

    def turn(self, turn: Turn, turns: Turns, rubric: str, scale: GradeScale) -> None:
        """A thing to grade: question, answers, what is known of the right one, passages, keys."""
        self._console.print()
        self._console.print(Rule(Text(f"{rubric}: {turns.graded} graded, {turns.left} left"), style="dim"))
        if asks := rubric_of(rubric).asks:
            self._console.print(Text(asks if scale != "pair" else f"Which is better? {asks}", style="italic"))
        messages = [m for m in turn.answers[0].messages if m.role not in ("system", "developer")]
        last = max((i for i, m in enumerate(messages) if m.role == "user"), default=len(messages))
        for message in messages[:last]:
            self._block(f"{message.role} said before", Text(plain(message.text.strip()), style="dim"))
        example = turn.thing.example
        written = " (a model wrote it)" if example is not None and example.synthetic else ""
        self._block(f"Question{written}", Text(plain("".join(m.text for m in messages[last : last + 1]).strip())))
        for name, answer in zip(("Answer",) if len(turn.answers) == 1 else ("A", "B"), turn.answers, strict=True):
            self._block(name, _marked(answer))
        if turn.reference:
            self._block("The right answer", Text(plain(turn.reference.strip()), style="green"))
        elif example is not None and example.answerable is False:
            self._block("The right answer", Text("The documents do not say.", style="green"))
        self.passages(turn, whole=False)
        self._console.print()
        self._console.print(Text(f"Why this one: {plain(turn.why)}", style="dim"))
        self.keys(rubric, scale)

    def passages(self, turn: Turn, *, whole: bool) -> None:
        """What the answers were given: the cited ones, shortened; or all of it."""
        same = len({tuple(p.id for p in answer.passages) for answer in turn.answers}) == 1
        for name, answer in [("", turn.answers[0])] if same else zip(("A", "B"), turn.answers, strict=True):
            cited = {c.passage_id for each in (turn.answers if same else (answer,)) for c in each.citations}
            title = f"Passages{f' of {name}' if name else ''}"
            if not answer.passages:
                self._block(title, Text("none", style="dim"))
                continue
            self._heading(title)
            for number, passage in enumerate(answer.passages, 1):
                known = passage.id in cited
                if whole:
                    text = flowing(passage.text)
                elif known:
                    text = excerpt(passage.text, " ".join(text_of(each) for each in turn.answers), _CITED)
                else:
                    text = "" if cited else excerpt(passage.text, answer.query, _OTHER)
                self._passage(number, passage, text, cited=known)

    def keys(self, rubric: str, scale: GradeScale) -> None:
        """What can be pressed."""
        line = Text()
        points = rubric_of(rubric).points if scale == "five" else ()
        for key, meaning in (*(zip("12345", points, strict=True) if points else KEYS[scale]), *_OTHERS):
            line.append(key, style="bold reverse").append(f" {meaning}   " if meaning else " ")
        self._console.print(line)

    def say(self, text: str, style: str = "") -> None:
        """A line of our own."""
        self._console.print(Text(plain(text), style=style))

    def standings(self, standings: Sequence[Standing]) -> None:
        """How good each candidate is, as far as it is known."""
        graded = [standing for standing in standings if standing.graded]
        for standing in graded:
            self.say(line_of(standing, named=len(standings) > 1), "bold" if len(standings) == 1 else "")

    def _passage(self, number: int, passage: Passage, text: str, *, cited: bool) -> None:
        head = Text().append(f"[{number}] ", style="bold cyan" if cited else "dim")
        head.append(plain(passage.place), style="" if cited else "dim")
        self._console.print(Padding(head, (0, 0, 0, 2), expand=False))
        if text:
            self._console.print(Padding(Text(plain(text), style="" if cited else "dim"), (0, 0, 0, 6), expand=False))

    def _heading(self, title: str) -> None:
        self._console.print()
        self._console.print(Text(title, style="bold"))

    def _block(self, title: str, body: Text) -> None:
        self._heading(title)
        self._console.print(Padding(body, (0, 0, 0, 2), expand=False))


def line_of(standing: Standing, *, named: bool) -> str:
    """`8 graded: 75 %, 41 to 93 %`."""
    said = f"{standing.graded} graded"
    if standing.quality is not None:
        estimate, low, high = (f"{100 * share:.0f}" for share in _ends(standing))
        said += f": {estimate} %, {low} to {high} %"
    if len(standing.candidates) > 1:
        first, second = standing.candidates
        written = " on questions that a model wrote" if standing.synthetic else ""
        return f"{first} wins against {second}{written}, {said}"
    if standing.synthetic:
        said = f"questions that a model wrote, {said}"
    return f"{standing.candidates[0]}, {said}" if named else said


def _ends(standing: Standing) -> tuple[float, float, float]:
    quality = standing.quality
    assert quality is not None
    return quality.estimate, quality.low, quality.high


def _marked(answer: Inference) -> Text:
    """The answer, with the numbers of the passages that it cites: its own markers, or ours where it has none."""
    numbers = {passage.id: number for number, passage in enumerate(answer.passages, 1)}
    whole = text_of(answer)
    text, at = Text(), 0
    if not _MARKER.search(whole):
        for citation in sorted(answer.citations, key=lambda c: (c.end, c.start)):
            if citation.passage_id in numbers and at <= citation.end <= len(whole):
                text.append(plain(whole[at : citation.end]))
                text.append(f" [{numbers[citation.passage_id]}]")
                at = citation.end
    text.append(plain(whole[at:]))
    text.highlight_regex(_MARKER, "bold cyan")
    text.rstrip()
    return text
