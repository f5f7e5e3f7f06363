"""`rungwise eval grade` as a person meets it: on a terminal, key by key; and line by line without one."""

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app
from rungwise_server.database import open_database
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import Cell, EvalRun, Example, example_id
from rungwise_server.keys import KeyStore
from rungwise_server.log.sql import SqlLog
from rungwise_server.records import Choice, Grade, Inference, LogQuery
from rungwise_server.store.sql import SqlKept
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.retriever import passage
from rungwise_server.types import Caller, Citation, Message

CONFIG = "candidates:\n  x: {kind: extractive}\nworkloads:\n  support: {candidates: [x]}\n"
LEAVE = passage(
    "Filler about the kitchen. " * 40 + "Annual leave is 25 days. " + "Filler about the garden. " * 40,
    "everyone",
    number=1,
    title="Handbook",
)
PLAN = passage("We will buy the wheel factory.", "group:finance", number=2, title="Plan")


def an_answer(id: str, candidate: str = "x", question: str = "", **changes: object) -> Inference:
    text = question or f"What of {id}?"
    fields: dict[str, object] = {
        "candidate": candidate,
        "messages": (Message("user", text, Raw(msgspec.json.encode({"role": "user", "content": text}))),),
        "params": {},
        "passages": (LEAVE, passage("Of no use.", "everyone", number=3, title="Kitchen")),
        "choices": (Choice(f"{candidate}: annual leave is 25 days, {id} [1]."),),
        "citations": (Citation(LEAVE.id, "Handbook", 0, 3),),
    }
    return an_inference(id, **{**fields, **changes})


class House:
    """A folder with a configuration, and its database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "rungwise.yaml"
        self.config.write_text(CONFIG)
        (folder / "home").mkdir()

    def fill(self, *records: Inference, sets: int = 0) -> None:
        """Log answers; with `sets`, so many questions in an eval set, each answered by x and y."""

        async def write() -> None:
            database = open_database(f"sqlite:///{self.folder}/home/rungwise.db")
            log = SqlLog(database, self.folder / "home" / "spool")
            for record in records:
                await log.append(record)
            if sets:
                await self._set(EvalSets(SqlKept(database)), log, sets)
            await log.close()
            database.close()

        asyncio.run(write())

    async def _set(self, sets: EvalSets, log: SqlLog, count: int) -> None:
        draft = await sets.draft("support", "support")
        cells = []
        for n in range(count):
            asked = an_answer("", question=f"Question {n}?").messages
            id = example_id(asked, Caller(), {})
            await sets.add(draft, [Example(id, asked, Caller(), "docs", reference=f"Right is {n}.")])
            for candidate in "xy":
                await log.append(an_answer(f"{candidate}{n}", candidate, f"Question {n}?", surface="eval"))
                cells.append(Cell(id, candidate, f"{candidate}{n}", "ok"))
        frozen = await sets.freeze(draft)
        await sets.add_run(EvalRun("run-1", frozen.id, frozen.hash, "support", 1.0, ("x", "y"), tuple(cells)))

    def grades(self) -> list[Grade]:
        async def read() -> list[Grade]:
            database = open_database(f"sqlite:///{self.folder}/home/rungwise.db")
            log = SqlLog(database, self.folder / "home" / "spool")
            found = [g async for g in log.read(LogQuery(kind="grade")) if isinstance(g, Grade)]
            await log.close()
            database.close()
            return found

        return asyncio.run(read())

    def command(self, *arguments: str) -> list[str]:
        return ["eval", "grade", "support", "--config", str(self.config), *arguments]

    def lines(self, lines: str, *arguments: str) -> Result:
        """The verb, with these lines on standard input."""
        return CliRunner().invoke(app, self.command(*arguments), input=lines)


class Person:
    """Somebody at a terminal."""

    def __init__(self, master: int, process: "subprocess.Popen[bytes]") -> None:
        self._master = master
        self._process = process
        self.screen = ""

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def waits_for(self, text: str, times: int = 1) -> None:
        """Look until the screen has shown it so many times."""
        until = time.monotonic() + 60
        while self.shown().count(text) < times:
            assert time.monotonic() < until, f"{text!r} did not come:\n{self.shown()}"
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.screen += os.read(self._master, 65536).decode(errors="replace")
                except OSError:  # it ended
                    assert self.shown().count(text) >= times, self.shown()
            else:
                assert self._process.poll() is None or text in self.shown(), self.shown()

    def shown(self) -> str:
        """Without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.screen).replace("\r", "")

    def ends(self) -> int:
        self.waits_for("graded now")
        return self._process.wait(timeout=60)


# The terminal leads the program, so that its Ctrl-C is a signal, which may not be ignored because the tests ignore it.
SEATED = """
import os, signal, sys
os.login_tty(int(sys.argv.pop(1)))
signal.signal(signal.SIGINT, signal.default_int_handler)
from rungwise_pipelines.cli import main
main()
"""


@contextmanager
def at_terminal(house: House, *arguments: str) -> Iterator[Person]:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 100))
    before = termios.tcgetattr(slave)
    process = subprocess.Popen([sys.executable, "-c", SEATED, str(slave), *house.command(*arguments)], pass_fds=[slave])
    try:
        yield Person(master, process)
        process.wait(timeout=60)
        assert termios.tcgetattr(slave) == before
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(slave)
        os.close(master)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    for name in ("RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("RUNGWISE_HOME", str(tmp_path / "home")), ("LOGNAME", "ana"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    return House(tmp_path)


KEYS = "p pass"  # the line below each answer: it waits for a key


def test_one_key_a_grade_on_a_terminal(house: House) -> None:
    house.fill(*(an_answer(f"a{n}") for n in range(6)))
    with at_terminal(house) as ana:
        ana.waits_for(KEYS)
        assert "Traffic of support, graded by ana." in ana.shown()
        # The part of a long passage that the answer is from, with what stands around it.
        assert "kitchen. Annual leave is 25 days. Filler about the garden." in " ".join(ana.shown().split())
        assert "Of no use." not in ana.shown()
        ana.press("p")
        ana.waits_for("1 graded: 100 %")
        ana.waits_for(KEYS, 2)
        ana.press("x\x1b[A")  # no key, and an arrow: it says again what there is
        ana.waits_for(KEYS, 3)
        ana.press("r")
        ana.waits_for("Reason: ")
        ana.press("it says 52\x7f\x7f25\n")  # edited, as the terminal edits
        ana.waits_for("Noted: it says 25")
        ana.press("f")
        ana.waits_for("2 graded: 50 %")
        ana.waits_for(KEYS, 4)
        ana.press("s")
        ana.waits_for(KEYS, 5)
        ana.press("o")
        ana.waits_for("Of no use.")
        ana.waits_for(KEYS, 6)
        ana.press("u")  # the skip
        ana.waits_for(KEYS, 7)
        ana.press("pppp")  # typed ahead
        assert ana.ends() == 0
        assert "6 graded: 83 %" in ana.shown()
        assert "6 graded now; 6 in all, 0 left." in ana.shown()
    grades = house.grades()
    assert [grade.value for grade in grades] == [1.0, 0.0, None, None, 1.0, 1.0, 1.0, 1.0]
    assert grades[1].reason == "it says 25"
    assert grades[2].inference_id == grades[3].inference_id == grades[4].inference_id
    assert {grade.caller.owner for grade in grades} == {"user:ana"}


def test_ctrl_c_leaves_what_was_graded_and_the_terminal_as_it_was(house: House) -> None:
    house.fill(*(an_answer(f"a{n}") for n in range(3)))
    with at_terminal(house) as ana:
        ana.waits_for(KEYS)
        ana.press("p")
        ana.waits_for(KEYS, 2)
        ana.press("\x03")
    assert [grade.value for grade in house.grades()] == [1.0]


def test_it_goes_on_where_it_was_left(house: House) -> None:
    house.fill(*(an_answer(f"a{n}") for n in range(5)))
    first = house.lines("p\ns\nf\nu\nq\n")
    assert first.exit_code == 0, first.stderr
    assert "1 graded now, 1 skipped; 1 in all, 2 left." in first.stdout
    second = house.lines("f\n" * 10)  # what is left, then what was left without a grade
    assert "Why this one: you left it without a grade" in second.stdout
    assert "4 graded now; 5 in all, 0 left." in second.stdout
    last = {grade.inference_id: grade.value for grade in house.grades()}
    assert sorted(last) == [f"a{n}" for n in range(5)]
    assert sorted(value for value in last.values() if value is not None) == [0.0] * 4 + [1.0]
    assert "0 graded now; 5 in all, 0 left." in house.lines("").stdout


def test_undo_shows_the_one_before_again_and_then_the_one_that_was_open(house: House) -> None:
    house.fill(*(an_answer(f"a{n}") for n in range(3)))
    done = house.lines("p\nf\nu\nu\nu\nf\np\np\n")
    assert "There is nothing to undo in this session." in done.stdout
    asked = re.findall(r"What of (a\d)\?", done.stdout)
    assert asked == [asked[0], asked[1], asked[2], asked[1], asked[0], asked[1], asked[2]]
    last = {grade.inference_id: grade.value for grade in house.grades()}
    assert last == {asked[0]: 0.0, asked[1]: 1.0, asked[2]: 1.0}
    assert "3 graded now; 3 in all, 0 left." in done.stdout


def test_an_eval_set_blind_in_pairs_for_programs(house: House) -> None:
    house.fill(sets=6)
    done = house.lines("a\nb\nt\n", "--scale", "pair", "--limit", "3", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["eval_set"], told["mode"], told["given"], told["left"]) == ("support@v1", "pair", 3, 3)
    (standing,) = told["candidates"]
    assert (standing["candidates"], standing["graded"]) == (["x", "y"], 3)
    assert "Right is" in done.stderr
    assert "(a model wrote it)" in done.stderr
    grades = house.grades()
    assert [(grade.value, grade.scale) for grade in grades] == [(1.0, "pair"), (0.0, "pair"), (0.5, "pair")]
    shown = re.findall(r"([xy]): annual leave is 25 days, \1(\d)", done.stderr)
    assert shown == [(id[0], id[1]) for grade in grades for id in (grade.inference_id, grade.over)]


def test_scores_from_one_to_five_and_two_people(house: House) -> None:
    house.fill(sets=3)
    assert house.lines("5\n" * 6, "--scale", "five", "--user", "bo").exit_code == 0
    done = house.lines("5\n" * 5 + "2\n", "--scale", "five", "--set", "support@v1", "--rubric", "correct")
    assert (
        "2 people graded. They agree on 83 % (36 to 100 %) of the 6 answers that several of them graded." in done.stdout
    )
    assert "Krippendorff's alpha" in done.stdout
    assert [grade.value for grade in house.grades()][-2:] == [1.0, 0.25]


def test_what_the_grader_may_not_read_is_left_out_and_counted(house: House) -> None:
    house.fill(an_answer("open"), an_answer("secret", passages=(LEAVE, PLAN)))
    done = house.lines("p\np\n")
    assert "wheel factory" not in done.stdout
    assert "1 are left out: ana may not read all that they rest on." in done.stderr
    assert "1 graded now; 1 in all, 0 left." in done.stdout

    async def key() -> None:
        database = open_database(f"sqlite:///{house.folder}/home/rungwise.db")
        await KeyStore(database).create("cy", frozenset({"finance"}))
        database.close()

    asyncio.run(key())
    assert "2 graded now" in house.lines("p\np\n", "--user", "cy").stdout


def test_documents_and_answers_steer_no_terminal(house: House) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J[bold]x[/bold]"
    house.fill(
        an_answer(
            "a1",
            question=f"Q {hostile}",
            choices=(Choice(f"A {hostile}"),),
            passages=(passage(f"P {hostile}", "everyone", title=f"T {hostile}"),),
        )
    )
    done = house.lines("o\np\n")
    assert done.exit_code == 0, done.stderr
    assert "\x1b]" not in done.stdout
    assert "\x07" not in done.stdout
    assert "[bold]x[/bold]" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "There are no answers in the traffic of 'support' yet: `rungwise ask support QUESTION` makes some."),
        (("--set", "nothing"), "There is no eval set 'nothing'."),
        (("--scale", "pair"), "No question has different answers of two candidates"),
        (("--user", "no good"), "is no user's name"),
        (("--set", "a", "--traffic"), "--set and --traffic"),
    ],
)
def test_it_says_what_is_missing(house: House, arguments: tuple[str, ...], said: str) -> None:
    house.fill()
    done = house.lines("", *arguments)
    assert done.exit_code in (1, 2)
    assert " ".join(said.split()) in " ".join(re.sub(r"[│╭╮╰╯─\s]+", " ", done.stderr).split())
    assert "Traceback" not in done.stderr
