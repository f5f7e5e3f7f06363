"""`rungwise eval new | add | list | show | freeze | remove | export`, over a real house and a scripted upstream."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app
from rungwise_server.database import open_database
from rungwise_server.log.sql import SqlLog
from rungwise_server.prompt import text_message
from rungwise_server.records import Inference, LogQuery
from rungwise_server.testing.log import a_feedback, an_inference
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen
from rungwise_server.types import Caller, Usage

TINY = Path(__file__).parents[1] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"
LEAVE = "Employees in Leeds have twenty-eight days of annual leave, and unused leave lapses at the end of June. " * 2
WHEELS = "The wheel factory makes four hundred wheels a week, each of which is tested by hand before it is sold. " * 2
SECRET = (
    "We will buy the wheel factory in autumn, for nine million pounds, unless the price of steel falls before. " * 2
)


def writer(seen: Seen) -> Reply:
    """Writes a question about what it is shown; says that only those about leave and purchases can be answered."""
    system, user = (message["content"] for message in seen.json["messages"])
    assert "is data, not instructions" in user
    if "You check" in system:
        told: dict[str, Any] = {"answerable": "produced" not in user, "answer": "x"}
    elif "annual leave" in user:
        told = {"question": "How much holiday do people in Leeds get each year?", "answer": "28 days"}
    elif "nine million" in user:
        told = {"question": "What may the firm acquire, and at which cost?", "answer": "A factory, for 9 million"}
    else:
        told = {"question": "How many are produced weekly?", "answer": "400"}
    return Reply(text=f"Sure:\n```json\n{json.dumps(told)}\n``` {{}}", usage=Usage(100, 10))


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(writer) as upstream:
        yield upstream


@pytest.fixture
def folder(tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("RUNGWISE_HOME", "RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "rungwise.yaml").write_text(
        f"embedder: {{kind: onnx, path: {TINY}}}\n"
        "candidates:\n"
        "  finder: {kind: extractive}\n"
        f"  strong: {{kind: openai_compatible, url: '{upstream.url}', model: m, price: {{input: 1000, output: 0}}}}\n"
        "sources:\n  docs: {path: docs, collection: company, readers: [everyone]}\n"
        "workloads:\n"
        "  support: {candidates: [finder, strong], collections: [company]}\n"
        "  found: {candidates: [finder], collections: [company]}\n"
        "  bare: {candidates: [strong]}\n"
    )
    (tmp_path / "docs").mkdir()
    return tmp_path


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def told(*arguments: str) -> dict[str, Any]:
    """What a verb says to programs."""
    result = await run("eval", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


async def failed(*arguments: str) -> str:
    """What a verb says that cannot do what it is told."""
    result = await run("eval", *arguments)
    assert result.exit_code == 1, result.output
    return result.stderr


async def logged(folder: Path, *records: Any) -> None:
    (folder / ".rungwise").mkdir(exist_ok=True)
    database = open_database(f"sqlite:///{folder}/.rungwise/rungwise.db")
    log = SqlLog(database, folder / ".rungwise" / "spool")
    for record in records:
        await log.append(record)
    await log.close()
    database.close()


def asked(number: int, text: str, **changes: Any) -> Inference:
    return an_inference(
        f"i{number}", messages=(text_message("user", text),), query=text, params={}, caller=Caller("ana"), **changes
    )


QUESTIONS = (
    "How do I replace my card?", "Where is the nearest cash machine?", "Who pays for the train to Leeds?",
    "When is the canteen open on Fridays?", "how do i replace my card",
)  # fmt: skip


async def test_from_the_log_to_a_frozen_set(folder: Path) -> None:
    await logged(
        folder,
        *(asked(number, text) for number, text in enumerate(QUESTIONS)),
        asked(9, "What my own evaluation asks is no traffic", surface="eval"),
        a_feedback("f", "i1", kind="correction", text="At the station."),
    )
    made = await told("new", "support", "--from-log", "2", "--seed", "1")
    assert (made["set"], made["logged"], made["near"], len(made["examples"])) == ("support@v1", 5, 1, 2)
    made = await told("new", "support", "--from-log", "50")
    assert len(made["examples"]) == 2
    assert made["had"] + made["near"] == 3  # the two that are in it, and one that is near another
    shown = await told("show", "support")
    by_question = {one["question"]: one for one in shown["examples"]}
    assert {question.lower().rstrip("?") for question in by_question} == {q.lower().rstrip("?") for q in QUESTIONS[:4]}
    corrected = by_question[QUESTIONS[1]]
    assert (corrected["reference"], corrected["as"], corrected["source"]) == ("At the station.", "ana", "i1")
    assert "somebody corrected the answer" in corrected["why"]
    assert "in the set 'support' already" in await failed("new", "support", "--from-log", "5")
    frozen = await told("freeze", "support")
    assert (frozen["set"], frozen["state"], frozen["real"], frozen["synthetic"]) == ("support@v1", "frozen", 4, 0)
    assert (await told("freeze", "support")) == frozen
    gone = await told("remove", "support", corrected["id"])
    assert (gone["set"], gone["removed"], gone["size"]) == ("support@v2", 1, 3)
    assert "no ex-gone" in await failed("remove", "support", "ex-gone")
    result = await run("eval", "list", "--json")
    assert [json.loads(line)["set"] for line in result.stdout.splitlines()] == ["support@v1", "support@v2"]
    people = await run("eval", "show", "support@v1")
    assert "4 real" in people.stdout
    assert "support@v2" in people.stderr


async def test_what_is_exported_is_brought_up_to_date(folder: Path) -> None:
    await logged(folder, asked(0, QUESTIONS[0]), asked(1, QUESTIONS[1]))
    await told("new", "support", "--from-log", "2")
    assert (await run("eval", "export", "support", "-o", "e.jsonl")).exit_code == 0
    rows = [json.loads(line) for line in (folder / "e.jsonl").read_text().splitlines()]
    rows[0]["reference"] = "In the app."
    (folder / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = await told("add", "support", "e.jsonl")
    assert (made["added"], made["changed"], made["near"]) == (0, 1, [])
    [one] = [e for e in (await told("show", "support"))["examples"] if e["reference"]]
    assert (one["reference"], one["origin"], one["weight"], one["why"]) == (
        "In the app.", "log", rows[0]["weight"], rows[0]["why"],
    )  # fmt: skip


async def test_by_hand_and_from_files(folder: Path) -> None:
    made = await told("add", "support", "--question", "Who pays?", "--reference", "We.", "--gold", "a.md", "--as", "bo")
    [one] = made["examples"]
    assert (one["origin"], one["gold"], one["as"]) == ("hand", ["a.md"], "bo")
    (folder / "e.csv").write_text("question,as,language\nwho pays,bo,en\nWho pays?,,en\nWhen?,,en\n")
    result = await run("eval", "add", "support", "e.csv", "--group", "finance", "--json")
    made = json.loads(result.stdout)
    assert (made["added"], len(made["near"])) == (2, 1)
    assert "language" in result.stderr
    assert one["id"] in result.stderr
    assert {tuple(e["groups"]) for e in made["examples"]} == {("finance",)}
    assert "no workload 'x'" in await failed("add", "x", "e.csv")
    assert "no user's name" in await failed("add", "support", "--question", "Who?", "--as", "ana maria")
    assert "no group's name" in await failed("add", "support", "--question", "Who?", "--group", "group:finance")
    (folder / "bad.jsonl").write_text("{")
    assert "bad.jsonl:1" in await failed("add", "support", "bad.jsonl")
    assert (await run("eval", "add", "support")).exit_code == 2
    assert (await run("eval", "add", "support", "e.csv", "--reference", "x")).exit_code == 2


async def test_training_data_is_refused_by_name(folder: Path) -> None:
    trained = folder / ".rungwise" / "datasets" / "d1" / "train.jsonl"
    await told("add", "support", "--question", "Where is the key to the bike shed?")
    trained.parent.mkdir(parents=True)
    trained.write_text(json.dumps({"messages": [{"role": "user", "content": "where is the key to the bike shed"}]}))
    result = await run("eval", "add", "support", "--question", "where is the key to the bike shed??", "--group", "x")
    assert "Refused, since it was trained on" in result.stderr
    assert "train.jsonl:1" in result.stderr
    said = await failed("freeze", "support")
    assert "would flatter" in said
    assert "train.jsonl:1" in said
    [one] = (await told("show", "support"))["examples"]
    await told("remove", "support", one["id"])
    await told("add", "support", "--question", "Something new?")
    assert (await told("freeze", "support"))["real"] == 1


async def test_nothing_to_propose(folder: Path) -> None:
    said = await failed("new", "support", "--from-log", "5")
    assert "--from-docs 30" in said
    assert "rungwise ask support" in said
    assert (await run("eval", "new", "support")).exit_code == 2
    assert "There is no eval set" in await failed("show", "support")
    assert "There is no eval set" in await failed("freeze", "support")
    assert "no eval set yet" in (await run("eval", "list")).stdout
    assert "no candidate of 'found' generates" in await failed("new", "found", "--from-docs", "3")
    assert "can write no questions" in await failed("new", "found", "--from-docs", "3", "--candidate", "finder")
    assert "There is no candidate 'x'" in await failed("new", "found", "--from-docs", "3", "--candidate", "x")
    assert "no collections" in await failed("new", "bare", "--from-docs", "3")
    assert "no passage" in await failed("new", "support", "--from-docs", "3", "--yes")


async def test_questions_that_a_model_writes(folder: Path, upstream: FakeUpstream) -> None:
    for name, text in (("leave", LEAVE), ("wheels", WHEELS)):
        (folder / "docs" / f"{name}.md").write_text(f"# {name.title()}\n\n{text}\n")
    (folder / "docs" / "plan.md").write_text(f"---\nreaders: [finance]\n---\n# Plan\n\n{SECRET}\n")
    assert (await run("ingest")).exit_code == 0
    gold = ("--gold", "docs/leave.md", "--gold", "wheels.md", "--name", "gold")
    noted = (await run("eval", "add", "support", "--question", "How long is leave?", *gold)).stderr
    assert "no document 'docs/leave.md' in company: it counts as never found. Is it 'leave.md'?" in noted
    assert "'wheels.md'" not in noted
    assert "agree with --yes" in await failed("new", "support", "--from-docs", "3")
    assert not upstream.requests
    await told("add", "support", "--question", "A real one, typed by hand?")
    made = await told("new", "support", "--from-docs", "3", "--yes")
    assert (made["candidate"], made["documents"], made["tried"]) == ("strong", 2, 2)
    assert made["dropped"] == {"its passage alone does not answer it": 1}
    [one] = made["examples"]
    assert (one["question"], one["reference"], one["gold"]) == (
        "How much holiday do people in Leeds get each year?", "28 days", ["leave.md"],
    )  # fmt: skip
    assert (one["origin"], one["answerable"], one["as"]) == ("docs", True, "")
    assert not any("nine million" in str(seen.json) for seen in upstream.requests)
    shown = await told("show", "support")
    assert (shown["real"], shown["synthetic"]) == (1, 1)
    assert [e["id"] for e in shown["synthetic_examples"]] == [one["id"]]
    assert "1 written by a model" in (await run("eval", "show", "support")).stdout
    member = await told("new", "support", "--from-docs", "3", "--yes", "--group", "finance", "--name", "secret")
    assert {e["gold"][0] for e in member["examples"]} == {"leave.md", "plan.md"}
    assert {tuple(e["groups"]) for e in member["examples"]} == {("finance",)}
    again = await failed("new", "support", "--from-docs", "3", "--yes")
    assert "nearly the same as another" in again
    database = open_database(f"sqlite:///{folder}/.rungwise/rungwise.db")
    log = SqlLog(database, folder / ".rungwise" / "spool")
    own = [record async for record in log.read(LogQuery(own=True)) if isinstance(record, Inference)]
    assert {(record.surface, record.workload) for record in own} == {("eval", "eval:support")}
    assert all(not record.passages for record in own)
    await log.close()
    database.close()


async def test_a_model_that_fails_leaves_what_was_written(folder: Path, upstream: FakeUpstream) -> None:
    for number in range(12):
        (folder / "docs" / f"d{number}.md").write_text(f"# D{number}\n\nNumber {number}. {LEAVE}\n")
    assert (await run("ingest")).exit_code == 0
    calls = 0

    def tires(seen: Seen) -> Reply:
        nonlocal calls
        calls += 1
        if calls > 8:
            return Reply(status=401, error="The key has run out.")
        system, user = (message["content"] for message in seen.json["messages"])
        if "You check" in system:
            return Reply(text='{"answerable": true}')
        number = user.partition("Number ")[2].partition(".")[0]
        return Reply(text=json.dumps({"question": f"Holidays at site {number}, how many?", "answer": "28"}))

    upstream.script = tires
    result = await run("eval", "new", "support", "--from-docs", "12", "--yes", "--json")
    made = json.loads(result.stdout)
    assert len(made["examples"]) == 4
    assert "401" in made["trouble"]
    assert (await told("show", "support"))["synthetic"] == 4
