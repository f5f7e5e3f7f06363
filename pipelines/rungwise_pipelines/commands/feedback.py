"""`rungwise feedback`: what people said of answers, listed, and exported together with what it was said of."""

import asyncio
import datetime
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_server.errors import SetupError

if TYPE_CHECKING:
    from rungwise_server.config.settings import Settings
    from rungwise_server.log.sql import SqlLog
    from rungwise_server.records import Feedback, Inference

feedback = typer.Typer(no_args_is_help=True, help="What people said of answers.")

PAGE = 500

Kind = Literal["rating", "comment", "correction", "preference", "passage_vote"]
WorkloadOption = Annotated[str, typer.Option("--workload", help="Only on answers of this workload.")]
KindOption = Annotated[Kind | None, typer.Option("--kind", help="Only of this kind.", show_default=False)]
SinceOption = Annotated[
    datetime.datetime | None,
    typer.Option("--since", help="Only from then on.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], show_default=False),
]


@feedback.command("list")
def list_feedback(
    workload: WorkloadOption = "",
    kind: KindOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(help="At most so many, the oldest first; 0: all.", min=0)] = 50,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List feedback, oldest first, with the question that was asked."""
    asyncio.run(_list(settings_of(config), workload, kind, since, limit, as_json))


@feedback.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.", metavar="F.jsonl")],
    workload: WorkloadOption = "",
    kind: KindOption = None,
    since: SinceOption = None,
    after: Annotated[int, typer.Option(help="Go on after this position: add to the file.", min=0)] = 0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write feedback, each joined with its question and answer, as JSON lines."""
    asyncio.run(_export(settings_of(config), output, workload, kind, since, after, as_json))


class Said(NamedTuple):
    """Feedback with the answer that it is about and the one that it was preferred to, where the log has them."""

    feedback: "Feedback"
    about: "Inference | None"
    over: "Inference | None"


async def _list(
    settings: "Settings", workload: str, kind: Kind | None, since: datetime.datetime | None, limit: int, as_json: bool
) -> None:
    found = []
    async with _log(settings) as log:
        async for said in joined(log, workload=workload, kind=kind, since=since, limit=limit):
            if as_json:
                emit(as_row(said))
            else:
                found.append(said)
    if as_json:
        return
    if not found:
        say("There is no such feedback yet. Clients send it to POST /v1/feedback.")
        return
    table(("at", "kind", "value", "said", "question", "candidate", "inference"), [_cells(said) for said in found])


def _cells(said: Said) -> tuple[str, ...]:
    feedback, about, _ = said
    return (
        datetime.datetime.fromtimestamp(feedback.at).isoformat(" ", "minutes"),
        feedback.kind,
        "" if feedback.value is None else f"{feedback.value:+}",
        feedback.text or feedback.passage_id,
        about.query if about else "",
        about.candidate if about else "",
        feedback.inference_id,
    )


async def _export(
    settings: "Settings",
    output: Path,
    workload: str,
    kind: Kind | None,
    since: datetime.datetime | None,
    after: int,
    as_json: bool,
) -> None:
    count, position = 0, after
    try:
        with output.open("a" if after else "w", encoding="utf-8") as file:
            async with _log(settings) as log:
                async for said in joined(log, workload=workload, kind=kind, since=since, after=after):
                    file.write(json.dumps(as_row(said), ensure_ascii=False) + "\n")
                    count, position = count + 1, said.feedback.position
    except OSError as error:
        raise SetupError(f"{output} cannot be written: {error.strerror}.") from None
    if as_json:
        emit({"path": str(output), "count": count, "position": position})
    else:
        note(f"{count} written to {output}. Later, `--after {position}` adds what has come since.")


@asynccontextmanager
async def _log(settings: "Settings") -> "AsyncIterator[SqlLog]":
    from rungwise_server import bootstrap

    database = await bootstrap.open_house_database(settings)
    try:
        log = bootstrap.open_log(settings, database)
        try:
            yield log
        finally:
            await log.close()
    finally:
        database.close()


async def joined(
    log: "SqlLog",
    *,
    workload: str = "",
    kind: Kind | None = None,
    since: datetime.datetime | None = None,
    after: int = 0,
    limit: int = 0,
) -> AsyncIterator[Said]:
    """Feedback by position, oldest first. With a `workload`, feedback whose answer is not in the log is left out."""
    from rungwise_server.records import Feedback, LogQuery

    left = limit or math.inf
    while True:
        query = LogQuery(kind="feedback", after=after, since=since.timestamp() if since else 0.0, limit=PAGE)
        page = [record async for record in log.read(query) if isinstance(record, Feedback)]
        answers = await _answers(log, page)
        for said in page:
            after = said.position
            about = answers.get(said.inference_id)
            if (kind and said.kind != kind) or (workload and (about is None or about.workload != workload)):
                continue
            yield Said(said, about, answers.get(said.over))
            left -= 1
            if left <= 0:
                return
        if len(page) < PAGE:
            return


async def _answers(log: "SqlLog", page: "list[Feedback]") -> "dict[str, Inference]":
    from rungwise_server.records import Inference, LogQuery

    wanted = frozenset({said.inference_id for said in page} | {said.over for said in page if said.over})
    if not wanted:
        return {}
    query = LogQuery(kind="inference", ids=wanted, housekeeping=True)
    return {record.id: record async for record in log.read(query) if isinstance(record, Inference)}


def as_row(joined: Said) -> dict[str, object]:
    """What programs get: a line of JSON. What is not known is null."""
    said, about, over = joined

    def text(inference: "Inference | None") -> str | None:
        return inference.choices[0].text if inference and inference.choices else None

    return {
        "position": said.position,
        "id": said.id,
        "at": said.at,
        "kind": said.kind,
        "user": said.caller.user,
        "value": said.value,
        "text": said.text if said.kind != "correction" else "",
        "correction": said.text if said.kind == "correction" else None,
        "reasons": list(said.reasons),
        "passage_id": said.passage_id or None,
        "inference_id": said.inference_id,
        "workload": about.workload if about else None,
        "candidate": about.candidate if about else None,
        "model": about.model if about else None,
        "question": about.query if about else None,
        "messages": [json.loads(bytes(message.raw)) for message in about.messages] if about else None,
        "answer": text(about),
        "over": said.over or None,
        "over_answer": text(over),
    }
