"""How a batch ends other than with all its answers: cancelled, expired, its worker killed; and that it runs once."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import openai
import pytest
from msgspec.structs import replace

if TYPE_CHECKING:
    from tests.integration.api.batches.conftest import Bench
from rungwise_pipelines.batch.job import Batches
from rungwise_server.batches import JOB, BatchBody, batch_body, change_batch, encode
from rungwise_server.keeping import Kept, KeptQuery
from rungwise_server.testing.upstream import Reply, Seen, echo

CHAT: Final = "/v1/chat/completions"


def line(number: int, text: str = "", **changed: object) -> str:
    body: dict[str, object] = {"model": "default", "messages": [{"role": "user", "content": text or f"say {number}"}]}
    whole = {"custom_id": f"id-{number}", "method": "POST", "url": CHAT, "body": body, **changed}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}) + "\n"


GOOD = "".join(map(line, range(3)))


def slow(seen: Seen) -> Reply:
    return Reply(text=echo(seen).text, hang=0.3)


async def test_a_running_batch_is_cancelled(bench: "Bench") -> None:
    bench.upstream.script = slow
    batch = await bench.create("".join(map(line, range(50))))
    async with bench.working():
        await bench.until(batch, "in_progress")
        async with asyncio.timeout(20):
            while not bench.upstream.requests:
                await asyncio.sleep(0.02)
        batch = await bench.ana.batches.cancel(batch.id)
        assert batch.status == "cancelling"
        assert batch.cancelling_at
        batch = await bench.until(batch, "cancelled")
    assert batch.cancelled_at
    assert batch.request_counts
    counts = batch.request_counts
    assert counts.total == counts.completed + counts.failed == 50
    assert counts.failed > 0
    answers, failures = await bench.rows(batch.output_file_id), await bench.rows(batch.error_file_id)
    assert (len(answers), len(failures)) == (counts.completed, counts.failed)
    assert {row["error"]["code"] for row in failures} == {"batch_cancelled"}
    assert len({row["custom_id"] for row in (*answers, *failures)}) == 50


async def test_a_batch_that_waits_is_cancelled_and_none_twice(bench: "Bench") -> None:
    batch = await bench.create(GOOD)
    for _ in range(2):
        assert (await bench.ana.batches.cancel(batch.id)).status == "cancelling"
    await bench.work()
    assert (await bench.ana.batches.cancel(batch.id)).status == "cancelled"
    assert not bench.upstream.requests


async def test_what_is_done_cannot_be_cancelled(bench: "Bench") -> None:
    batch = await bench.done(GOOD)
    with pytest.raises(openai.ConflictError, match="'completed' cannot be cancelled") as told:
        await bench.ana.batches.cancel(batch.id)
    assert told.value.response.headers["x-should-retry"] == "false"


async def test_a_batch_expires_with_what_is_done(bench: "Bench") -> None:
    bench.upstream.script = slow
    batch = await bench.create("".join(map(line, range(50))))
    soon = batch.created_at + 1.5

    def sooner(kept: Kept, body: BatchBody) -> Kept:
        return replace(kept, body=encode(replace(body, expires_at=soon)))

    await change_batch(bench.kept, batch.id, sooner)
    await bench.work()
    batch = await bench.ana.batches.retrieve(batch.id)
    assert batch.status == "expired"
    assert batch.expired_at
    failures = await bench.rows(batch.error_file_id)
    assert {row["error"]["code"] for row in failures} == {"batch_expired"}
    assert all(row["response"] is None for row in failures)
    answers = await bench.rows(batch.output_file_id) if batch.output_file_id else []
    assert len({row["custom_id"] for row in (*answers, *failures)}) == len(answers) + len(failures) == 50


async def test_a_batch_runs_once_however_often_it_is_queued(bench: "Bench") -> None:
    batch = await bench.create(GOOD)
    await bench.queue.put(JOB, batch.id)
    await bench.work()
    await bench.queue.put(JOB, batch.id)
    await bench.work()
    assert len(bench.upstream.requests) == 3
    files = await bench.ana.files.list(purpose="batch_output")
    assert len(files.data) == 1


async def test_an_idempotency_key_makes_one_batch(bench: "Bench") -> None:
    file = await bench.ana.files.create(file=("in.jsonl", GOOD.encode()), purpose="batch")
    made = {
        (
            await bench.ana.batches.create(
                input_file_id=file.id,
                endpoint=CHAT,
                completion_window="24h",
                extra_headers={"Idempotency-Key": "once"},
            )
        ).id
        for _ in range(3)
    }
    assert len(made) == 1
    assert len(await bench.kept.list(KeptQuery("batch", None))) == 1


async def test_a_file_deleted_before_its_batch_is_done(bench: "Bench") -> None:
    batch = await bench.create(GOOD)
    await bench.ana.files.delete(batch.input_file_id)
    await bench.work()
    batch = await bench.ana.batches.retrieve(batch.id)
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    assert batch.errors.data[0].code == "file_not_found"


async def test_output_files_expire_when_asked_to(bench: "Bench") -> None:
    batch = await bench.done(GOOD, output_expires_after={"anchor": "created_at", "seconds": 7200})
    file = await bench.ana.files.retrieve(batch.output_file_id or "")
    assert file.expires_at == file.created_at + 7200


async def test_a_worker_killed_while_it_hands_over_leaves_no_second_file(bench: "Bench", tmp_path: Path) -> None:
    """As if it had died between making the output file and noting it on the batch."""
    batch = await bench.create(GOOD)
    row = await bench.kept.get("batch", batch.id, None)
    assert row
    output = tmp_path / "output.jsonl"
    output.write_text("{}\n")
    batches = Batches(bench.kept, bench.blobs, bench.settings)
    made = await batches._handed(row, batch_body(row), output, f"{batch.id}_output.jsonl")
    await bench.work()
    assert (await bench.ana.batches.retrieve(batch.id)).output_file_id == made
