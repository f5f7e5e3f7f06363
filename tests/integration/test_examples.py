"""The examples, ingested and asked: the right document is found, only by those who may read it, and quoted."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from rungwise_server import bootstrap
from rungwise_server.bootstrap import House
from rungwise_server.config.file import load_settings
from rungwise_server.testing.models import chat_request
from rungwise_server.types import Caller, Passage

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG = EXAMPLES / "rungwise.yaml"

pytestmark = pytest.mark.slow


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A line of questions.jsonl."""

    id: str
    text: str
    source: str
    gold_doc_ids: list[str]
    answers: list[str]
    language: str
    groups: list[str]
    answerable: bool

    @property
    def caller(self) -> Caller:
        return Caller(user="ana", groups=frozenset(self.groups))


LINES = (EXAMPLES / "questions.jsonl").read_bytes().splitlines()
QUESTIONS = [msgspec.json.decode(line, type=Asked) for line in LINES]
ANSWERABLE = [question for question in QUESTIONS if question.answerable]
WITHOUT_ANSWER = [question for question in QUESTIONS if not question.answerable]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUNGWISE_HOME after `rungwise ingest`."""
    folder = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "rungwise_pipelines", "ingest", "--config", str(CONFIG), "--json"]
    environ = {**os.environ, "RUNGWISE_HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
async def house(home: Path) -> AsyncIterator[House]:
    environ = {"RUNGWISE_HOME": str(home)}
    opened = await bootstrap.open_house(load_settings(CONFIG, environ), environ)
    try:
        yield opened
    finally:
        await opened.close()


async def ask(house: House, text: str, caller: Caller) -> tuple[str, tuple[Passage, ...], bool]:
    """The answer of the default workload, the passages it was given, and whether it cites."""
    async with await house.engine.chat(chat_request(text), caller) as answer:
        deltas = [delta async for delta in answer]
    return "".join(d.text for d in deltas), answer.passages, any(d.citations for d in deltas)


def is_gold(question: Asked, passage: Passage) -> bool:
    return passage.source == question.source and passage.document_id in question.gold_doc_ids


def test_the_questions_are_what_the_readme_says() -> None:
    assert len(ANSWERABLE) == 20
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS) == 24
    assert {"en", "de", "ja"} == {question.language for question in QUESTIONS}
    assert {group for question in QUESTIONS for group in question.groups} == {"staff", "finance"}
    assert all(question.answers and question.gold_doc_ids for question in ANSWERABLE)
    assert not [q for q in WITHOUT_ANSWER if q.answers or q.gold_doc_ids]


async def test_the_document_that_answers_is_among_the_first_three(house: House) -> None:
    missed = []
    for question in ANSWERABLE:
        _, passages, _ = await ask(house, question.text, question.caller)
        if not any(is_gold(question, passage) for passage in passages[:3]):
            missed.append((question.id, [passage.document_id for passage in passages]))
    assert not missed


async def test_never_for_one_who_may_not_read_it(house: House) -> None:
    guarded = [question for question in ANSWERABLE if question.groups]
    assert len(guarded) >= 3
    for question in guarded:
        for caller in (Caller(), Caller(user="ben", groups=frozenset({"workshop"}))):
            text, passages, _ = await ask(house, question.text, caller)
            assert not [passage for passage in passages if is_gold(question, passage)]
            assert not [passage for passage in passages if not passage.readers & caller.principals]
            assert not any(answer in text for answer in question.answers)


async def test_answers_say_what_they_should(house: House) -> None:
    wrong = []
    for question in ANSWERABLE:
        text, _, cites = await ask(house, question.text, question.caller)
        if not cites or not any(answer in text for answer in question.answers):
            wrong.append((question.id, text))
    assert len(wrong) <= 2, wrong


async def test_what_no_document_answers_is_declined(house: House) -> None:
    answered = []
    for question in WITHOUT_ANSWER:
        text, _, cites = await ask(house, question.text, question.caller)
        if cites:
            answered.append((question.id, text))
    assert len(answered) <= 1, answered
