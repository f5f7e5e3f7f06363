import time
from collections.abc import AsyncIterator

import httpx
import pytest

from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Feedback, LogQuery
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.serving import serving
from rungwise_server.types import Caller

GOOD = [
    {"kind": "rating", "value": 1},
    {"kind": "rating", "value": False, "reasons": ["outdated"]},
    {"kind": "comment", "text": "too long"},
    {"kind": "correction", "text": "It is 25 days. ä 日本"},
    {"kind": "preference", "over": "chatcmpl-2"},
    {"kind": "passage_vote", "passage_id": "p1", "value": -1},
]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
async def http(log: MemoryLog) -> AsyncIterator[httpx.AsyncClient]:
    engine = small_engine(ScriptedModel(), log=log)
    async with (
        serving(engine, MemoryIndex(), {"rw-ana": Caller("ana")}) as url,
        httpx.AsyncClient(base_url=url, headers={"x-api-key": "rw-ana"}) as made,
    ):
        yield made


async def kept(log: MemoryLog) -> list[Feedback]:
    return [r async for r in log.read(LogQuery(kind="feedback")) if isinstance(r, Feedback)]


@pytest.mark.parametrize("body", GOOD)
async def test_each_kind_is_kept_with_its_caller_before_the_answer_is_there(
    http: httpx.AsyncClient, log: MemoryLog, body: dict[str, object]
) -> None:
    response = await http.post("/v1/feedback", json={"inference_id": "chatcmpl-1", **body})
    assert response.status_code == 201
    (row,) = await kept(log)
    assert row.id == response.json()["id"]
    assert row.caller == Caller("ana")
    assert abs(row.at - time.time()) < 60
    value = body.get("value")
    assert row.value == ({True: 1.0, False: -1.0}[value] if isinstance(value, bool) else value)
    assert row.text == body.get("text", "")


async def test_the_same_id_again_changes_nothing_and_another_word_for_it_is_refused(
    http: httpx.AsyncClient, log: MemoryLog
) -> None:
    body = {"inference_id": "chatcmpl-1", "kind": "rating", "value": 1, "id": "thumb-1"}
    assert [(await http.post("/v1/feedback", json=body)).status_code for _ in range(2)] == [201, 201]
    other = await http.post("/v1/feedback", json={**body, "value": -1})
    assert other.status_code == 409
    assert other.headers["x-should-retry"] == "false"
    assert [row.value for row in await kept(log)] == [1.0]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"kind": "rating"}, None),
        ({"kind": "rating", "value": 5}, "value"),
        ({"kind": "rating", "value": 1, "text": "x"}, None),
        ({"kind": "correction"}, None),
        ({"kind": "correction", "text": ""}, "text"),
        ({"kind": "preference", "over": "chatcmpl-1"}, None),
        ({"kind": "shout", "text": "x"}, "kind"),
        ({"kind": "comment", "text": "x", "colour": "red"}, "colour"),
        ({"kind": "comment", "text": "x", "id": "no spaces"}, "id"),
    ],
)
async def test_feedback_that_makes_no_sense_is_refused_by_name(
    http: httpx.AsyncClient, log: MemoryLog, body: dict[str, object], param: str | None
) -> None:
    response = await http.post("/v1/feedback", json={"inference_id": "chatcmpl-1", **body})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert await kept(log) == []
