import re
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from rungwise_server.errors import ConfigError
from rungwise_server.prompt import Prompt, compose, load_prompt, text_message
from rungwise_server.types import Message, Passage

PROMPT = Prompt("house", "Be exact.")
PASSAGE = Passage(
    "p", "d.md", "c", "Leave is 25 days.", frozenset({"everyone"}), title="Handbook", headings=("Leave",), page=3
)


def test_passages_stand_before_the_last_question_between_markers_that_no_document_can_know() -> None:
    first, second = (compose(PROMPT, [text_message("user", "How much leave?")], [PASSAGE]) for _ in range(2))
    system, user = first
    assert (system.role, system.text) == ("system", "Be exact.")
    assert "[1] Handbook › Leave, page 3\nLeave is 25 days." in user.text
    assert user.text.endswith("How much leave?")
    marks = [re.findall(r"\b[0-9a-f]{16}\b", m[1].text) for m in (first, second)]
    assert len(set(marks[0])) == 1
    assert marks[0] != marks[1]
    assert msgspec.json.decode(user.raw) == {"role": "user", "content": user.text}


def test_the_clients_system_message_stays_behind_ours_in_one() -> None:
    system, _ = compose(PROMPT, [text_message("developer", "Speak German."), text_message("user", "Hi")], None)
    assert system.text == "Be exact.\n\nSpeak German."
    assert system.role == "developer"


def test_parts_and_unknown_fields_of_a_message_survive() -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    raw = Raw(msgspec.json.encode({"role": "user", "content": parts, "name": "x"}))
    (composed,) = compose(None, [Message("user", "What is this?", raw)], [PASSAGE])
    body = msgspec.json.decode(composed.raw)
    assert body["content"][1:] == parts
    assert "Leave is 25 days." in body["content"][0]["text"]
    assert body["name"] == "x"


def test_having_found_nothing_is_told_and_not_having_searched_is_not() -> None:
    asked = [text_message("user", "How much leave?")]
    assert "no passage was found" in compose(None, asked, [])[0].text
    assert compose(None, asked, None) == tuple(asked)


def test_a_prompts_id_changes_with_its_text() -> None:
    assert PROMPT.id != Prompt("house", "Be exact!").id
    assert re.fullmatch(r"house@[0-9a-f]{12}", PROMPT.id)


def test_own_prompts_come_before_built_in_ones_and_a_missing_one_is_named(tmp_path: Path) -> None:
    assert load_prompt("grounded", tmp_path).text.startswith("You answer questions")
    (tmp_path / "grounded.md").write_text("Ours.\n", encoding="utf-8")
    assert load_prompt("grounded", tmp_path).text == "Ours."
    with pytest.raises(ConfigError, match=r"no prompt 'missing'.*grounded"):
        load_prompt("missing", tmp_path)
