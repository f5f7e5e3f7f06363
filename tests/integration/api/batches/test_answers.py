"""`/v1/batches` through openai-python: a real server, a real worker, a scripted upstream."""

import json
from typing import TYPE_CHECKING, Any, Final, Literal

import openai
import pytest

if TYPE_CHECKING:
    from tests.integration.api.batches.conftest import Bench
from rungwise_server import bootstrap
from rungwise_server.records import Inference, LogQuery
from rungwise_server.testing.upstream import Reply, Seen, echo

CHAT: Final = "/v1/chat/completions"


def line(number: int, text: str = "", **changed: object) -> str:
    body: dict[str, object] = {"model": "default", "messages": [{"role": "user", "content": text or f"say {number}"}]}
    whole = {"custom_id": f"id-{number}", "method": "POST", "url": CHAT, "body": body, **changed}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}) + "\n"


async def test_a_batch_from_upload_to_answers(bench: "Bench") -> None:
    batch = await bench.create("".join(map(line, range(20))), metadata={"for": "the report"})
    assert (batch.status, batch.object, batch.metadata) == ("validating", "batch", {"for": "the report"})
    assert batch.expires_at == batch.created_at + 86_400
    await bench.work()
    batch = await bench.ana.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.model_dump() == {"total": 20, "completed": 20, "failed": 0}
    assert batch.usage
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0
    assert batch.in_progress_at
    assert batch.finalizing_at
    assert batch.completed_at
    assert batch.in_progress_at <= batch.finalizing_at <= batch.completed_at
    assert (batch.errors, batch.error_file_id) == (None, None)
    answers = await bench.rows(batch.output_file_id)
    assert sorted(row["custom_id"] for row in answers) == sorted(f"id-{n}" for n in range(20))
    for row in answers:
        assert row["error"] is None
        assert row["response"]["status_code"] == 200
        said = openai.types.chat.ChatCompletion.model_validate(row["response"]["body"])
        assert said.choices[0].message.content == f"say {row['custom_id'].removeprefix('id-')}"
        assert said.id == row["response"]["request_id"]
    file = await bench.ana.files.retrieve(batch.output_file_id or "")
    assert file.purpose == "batch_output"


async def test_answers_are_in_the_log_as_the_callers_own(bench: "Bench") -> None:
    batch = await bench.done(line(1))
    (answer,) = await bench.rows(batch.output_file_id)
    log = bootstrap.open_log(bench.settings, bench.database)
    (row,) = [each async for each in log.read(LogQuery(kind="inference"))]
    await log.close()
    assert isinstance(row, Inference)
    assert (row.id, row.surface, row.outcome) == (answer["response"]["request_id"], "batch.chat", "ok")
    assert (row.caller.user, row.caller.groups) == ("ana", frozenset({"finance"}))


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"model": "default", "input": "hello there"}),
        ("/v1/completions", {"model": "default", "prompt": "hello there"}),
        ("/v1/completions", {"model": "default", "prompt": ["hello there", "and you"]}),
        ("/v1/embeddings", {"model": "tiny_model", "input": "hello there"}),
    ],
)
async def test_every_endpoint_answers_as_online(bench: "Bench", endpoint: str, body: dict[str, object]) -> None:
    batch = await bench.done(line(1, url=endpoint, body=body), endpoint)
    assert batch.status == "completed"
    assert batch.error_file_id is None, await bench.rows(batch.error_file_id)
    (answer,) = await bench.rows(batch.output_file_id)
    said = answer["response"]["body"]
    match endpoint:
        case "/v1/responses":
            assert openai.types.responses.Response.model_validate(said).output_text == "hello there"
        case "/v1/completions":
            assert openai.types.Completion.model_validate(said).choices[0].text == "hello there"
        case _:
            assert len(openai.types.CreateEmbeddingResponse.model_validate(said).data[0].embedding) > 0
    assert batch.usage
    assert batch.usage.input_tokens > 0


GOOD = "".join(map(line, range(3)))


@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        (GOOD + "{not json\n" + line(9), [(4, "invalid_json_line", None)]),
        (GOOD + line(1) + line(2), [(4, "duplicate_custom_id", "custom_id"), (5, "duplicate_custom_id", "custom_id")]),
        (GOOD + line(4, method="GET"), [(4, "invalid_method", "method")]),
        (GOOD + line(4, url="/v1/embeddings"), [(4, "invalid_url", "url")]),
        (GOOD + line(4, custom_id=...), [(4, "missing_required_parameter", "custom_id")]),
        (GOOD + line(4, body=...), [(4, "missing_required_parameter", "body")]),
        (GOOD + line(4, body={"stream": True}), [(4, "streaming_unsupported", "body.stream")]),
        ("\n \n", [(None, "empty_file", None)]),
        ("".join(map(line, range(51))), [(None, "too_many_requests_in_file", None)]),
    ],
)
async def test_a_file_with_a_fault_fails_whole_with_its_lines(
    bench: "Bench", lines: str, faults: list[tuple[int | None, str, str | None]]
) -> None:
    batch = await bench.done(lines)
    assert batch.status == "failed"
    assert batch.failed_at
    assert batch.errors
    assert batch.errors.data
    assert [(each.line, each.code, each.param) for each in batch.errors.data] == faults
    assert all(each.message for each in batch.errors.data)
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert not bench.upstream.requests, "nothing was asked"


async def test_lines_that_fail_are_in_the_error_file(bench: "Bench") -> None:
    def script(seen: Seen) -> Reply:
        return Reply(status=400, error="too rude", code="rude") if "say 3" in echo(seen).text else echo(seen)

    bench.upstream.script = script
    unknown = {"model": "nobody", "messages": [{"role": "user", "content": "x"}]}
    batch = await bench.done("".join(map(line, range(5))) + line(6, body=unknown) + line(7, body={"model": "default"}))
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.model_dump() == {"total": 7, "completed": 4, "failed": 3}
    assert len(await bench.rows(batch.output_file_id)) == 4
    failures = {row["custom_id"]: row["response"] for row in await bench.rows(batch.error_file_id)}
    assert {id: (r["status_code"], r["body"]["error"]["code"]) for id, r in failures.items()} == {
        "id-3": (400, "rude"),
        "id-6": (404, "model_not_found"),
        "id-7": (400, "missing_required_parameter"),
    }


async def test_a_batch_of_failures_has_no_output_file(bench: "Bench") -> None:
    batch = await bench.done(line(1, body={}))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert len(await bench.rows(batch.error_file_id)) == 1


async def test_others_see_nothing_of_a_batch(bench: "Bench") -> None:
    batch = await bench.done(GOOD)
    ben = bench.client("ben-key")
    with pytest.raises(openai.NotFoundError):
        await ben.batches.retrieve(batch.id)
    with pytest.raises(openai.NotFoundError):
        await ben.batches.cancel(batch.id)
    with pytest.raises(openai.NotFoundError):
        await ben.batches.create(input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h")
    with pytest.raises(openai.NotFoundError):
        await ben.files.content(batch.output_file_id or "")
    with pytest.raises(openai.NotFoundError):
        await ben.batches.list(after=batch.id)
    assert (await ben.batches.list()).data == []


async def test_batches_are_listed_in_pages_newest_first(bench: "Bench") -> None:
    made = [(await bench.create(GOOD)).id for _ in range(5)]
    listed = [batch.id async for batch in bench.ana.batches.list(limit=2)]
    assert listed == made[::-1]


@pytest.mark.parametrize(
    ("changed", "param", "status"),
    [
        ({"endpoint": "/v1/nope"}, "endpoint", 400),
        ({"completion_window": "48h"}, "completion_window", 400),
        ({"input_file_id": "file-none"}, "input_file_id", 404),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata", 400),
        ({"extra_body": {"priority": 1}}, "priority", 400),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after.seconds", 400),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(
    bench: "Bench", changed: dict[str, Any], param: str, status: int
) -> None:
    file = await bench.ana.files.create(file=("in.jsonl", GOOD.encode()), purpose="batch")
    asked: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **changed}
    with pytest.raises(openai.APIStatusError) as told:
        await bench.ana.batches.create(**asked)
    assert (told.value.status_code, told.value.param) == (status, param)


async def test_a_file_for_something_else_is_refused(bench: "Bench") -> None:
    purpose: Literal["user_data"] = "user_data"
    file = await bench.ana.files.create(file=("in.jsonl", GOOD.encode()), purpose=purpose)
    with pytest.raises(openai.BadRequestError, match="must be 'batch'"):
        await bench.ana.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
