import msgspec
import pytest
from msgspec import Raw

from rungwise_server.prompt import text_message
from rungwise_server.question import features, is_housekeeping, search_query
from rungwise_server.types import Message


def talk(*turns: str) -> list[Message]:
    """Turns of user and assistant, alternating."""
    return [text_message("assistant" if i % 2 else "user", turn) for i, turn in enumerate(turns)]


def test_a_single_question_is_searched_as_it_is() -> None:
    assert search_query(talk("How many days of leave do I get?")) == "How many days of leave do I get?"


@pytest.mark.parametrize(
    "follow_up",
    [
        "And for part-timers?",
        "Who approves it?",
        "Und in Deutschland?",
        "パートは？",
        "What is the limit for that abroad?",
    ],
)
def test_a_follow_up_is_searched_with_the_question_before_it(follow_up: str) -> None:
    query = search_query(talk("How many days of leave do I get?", "25 days [1].", follow_up))
    assert follow_up in query
    assert "How many days of leave do I get?" in query
    assert "25 days" not in query


def test_a_new_question_leaves_the_old_one_behind() -> None:
    query = search_query(
        talk("How much leave?", "25 days.", "Where is the warranty card for a Model 7 pump registered?")
    )
    assert query == "Where is the warranty card for a Model 7 pump registered?"


def test_no_question_no_query_and_a_very_long_one_is_cut() -> None:
    assert search_query([text_message("system", "hello")]) == ""
    assert len(search_query(talk("word " * 5000))) <= 2000


OPEN_WEBUI = "### Task:\nGenerate a title.\n### Output:\nJSON\n### Chat History:\n<chat_history>\n</chat_history>"


@pytest.mark.parametrize(
    "text", [OPEN_WEBUI, "Provide a concise, 5-word-or-less title for the conversation, using title case."]
)
def test_chat_clients_own_calls_are_recognised(text: str) -> None:
    assert is_housekeeping(talk(text))


@pytest.mark.parametrize(
    "turns",
    [
        ("### Task: what does this heading in the handbook mean?",),
        ("What is the title of the conversation guide?",),
        ("Who writes the titles?", "HR.", OPEN_WEBUI),
    ],
)
def test_people_are_not_taken_for_programs(turns: tuple[str, ...]) -> None:
    assert not is_housekeeping(talk(*turns))


def test_features_are_read_off_the_request() -> None:
    params = {
        "tools": Raw(b'[{"type":"function"}]'),
        "logprobs": Raw(b"true"),
        "response_format": Raw(b'{"type": "json_schema", "json_schema": {}}'),
    }
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    message = Message("user", "", Raw(msgspec.json.encode({"role": "user", "content": image})))
    assert features([message], params) == {"tools", "logprobs", "json", "images"}
    plain = {"tools": Raw(b"[]"), "logprobs": Raw(b"false"), "response_format": Raw(b'{"type":"text"}')}
    assert features(talk("hi"), plain) == frozenset()
