"""The verbs over a house that the command line itself filled."""

import asyncio
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app
from rungwise_server import bootstrap
from rungwise_server.config.file import load_settings
from rungwise_server.records import Feedback
from rungwise_server.types import Caller

PUBLIC = """\
---
title: Handbook
readers: [everyone]
---
# Leave

Everybody has thirty days of paid holiday in a year.
"""
SECRET = """\
---
title: Plan
readers: [finance]
---
# Acquisition

We will buy the wheel factory for nine million euros of holiday savings.
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def rows(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with two documents, ingested, and the working directory."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "docs").mkdir()
    (folder / "docs" / "handbook.md").write_text(PUBLIC)
    (folder / "docs" / "plan.md").write_text(SECRET)
    (folder / "rungwise.yaml").write_text("sources:\n  docs: {path: docs, collection: company, readers: [everyone]}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("RUNGWISE_HOME", "RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL"):
            patch.delenv(name, raising=False)
        result = run("ingest")
        assert result.exit_code == 0, result.output
        ana = run("keys", "create", "--user", "ana", "--group", "finance", "--json")
        assert ana.exit_code == 0, ana.output
        yield folder


def found(result: Result) -> set[object]:
    (row,) = rows(result)
    results = row["results"]
    assert isinstance(results, list)
    return {hit["document_id"] for hit in results}


def test_search_is_json_for_programs(house: Path) -> None:
    result = run("search", "company", "How many days of holiday?", "--json", "--limit", "1")
    assert result.exit_code == 0, result.output
    (row,) = rows(result)
    assert row["id"] == ""
    results = row["results"]
    assert isinstance(results, list)
    (hit,) = results
    assert set(hit) == {"document_id", "passage_id", "score", "text"}
    assert hit["document_id"] == "handbook.md"
    assert "thirty days" in hit["text"]


def test_search_is_a_table_for_people(house: Path) -> None:
    result = run("search", "company", "holiday")
    assert result.stdout.splitlines()[0].split() == ["score", "place", "text", "document"]
    assert "Handbook" in result.stdout


@pytest.mark.parametrize(
    ("caller", "documents"),
    [
        ([], {"handbook.md"}),
        (["--as", "ana"], {"handbook.md", "plan.md"}),
        (["--group", "finance"], {"handbook.md", "plan.md"}),
        (["--as", "ben"], {"handbook.md"}),
        (["--as", "ben", "--group", "staff"], {"handbook.md"}),
    ],
)
def test_search_sees_what_the_caller_may(house: Path, caller: list[str], documents: set[str]) -> None:
    result = run("search", "company", "holiday", "--json", *caller)
    assert found(result) == documents
    assert ("ben has no key" in result.stderr) == ("ben" in caller)


@pytest.mark.parametrize("packed", [False, True])
def test_search_for_a_file_of_queries(house: Path, tmp_path: Path, packed: bool) -> None:
    text = '{"id": "q1", "text": "holiday"}\n\n{"id": 2, "text": "wheel factory"}\n'
    file = tmp_path / ("q.jsonl.gz" if packed else "q.jsonl")
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    result = run("search", "company", "--queries", str(file), "--json", "--group", "finance")
    assert [row["id"] for row in rows(result)] == ["q1", "2"]
    assert rows(result)[1]["results"][0]["document_id"] == "plan.md"  # type: ignore[index]
    assert "2 queries in" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": 1, "text": "a"}\nnope\n', "q.jsonl:2: this is not JSON"),
        ('{"id": 1}\n', 'q.jsonl:1: a query is {"id"'),
        ("[]\n", "q.jsonl:1: a query is"),
        (None, "q.jsonl cannot be read"),
    ],
)
def test_search_names_the_line_that_is_no_query(house: Path, tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "q.jsonl").write_text(text)
    result = run("search", "company", "--queries", str(tmp_path / "q.jsonl"))
    assert result.exit_code == 1
    assert message in result.stderr


def test_search_in_a_collection_that_is_not_there(house: Path) -> None:
    result = run("search", "nope", "x")
    assert result.exit_code == 1
    assert "rungwise ingest --path FOLDER --collection nope" in result.stderr


def test_ask_streams_the_answer_and_lists_its_sources(house: Path) -> None:
    result = run("ask", "default", "How many days of paid holiday?")
    assert result.exit_code == 0, result.output
    assert "thirty days of paid holiday" in result.stdout
    assert re.search(r"^\[1\] Handbook › Leave", result.stdout, re.MULTILINE)


def test_ask_keeps_to_what_the_caller_may_read(house: Path) -> None:
    question = "What will we buy for nine million euros?"
    everyone, ana = run("ask", "default", question, "--json"), run("ask", "default", question, "--json", "--as", "ana")
    assert "wheel factory" not in everyone.stdout
    assert "wheel factory" in str(rows(ana)[0]["answer"])


def test_ask_of_a_model_that_is_not_there_names_those_that_are(house: Path) -> None:
    result = run("ask", "gpt", "Hello?")
    assert result.exit_code == 1
    assert "default, extractive" in result.stderr


async def tell(said: Feedback) -> None:
    settings = load_settings(None, os.environ)
    database = await bootstrap.open_house_database(settings)
    log = bootstrap.open_log(settings, database)
    await log.append(said)
    await log.close()
    database.close()


def test_feedback_is_listed_and_exported_with_what_it_is_about(house: Path, tmp_path: Path) -> None:
    (asked,) = rows(run("ask", "default", "How many days of paid holiday?", "--json"))
    about, ana = str(asked["id"]), Caller(user="ana")
    asyncio.run(tell(Feedback("fb-1", 1_700_000_000.0, about, "correction", ana, text="Thirty, plus birthdays.")))
    asyncio.run(tell(Feedback("fb-2", 1_800_000_000.0, "chatcmpl-unknown", "rating", ana, value=-1.0)))

    listed = rows(run("feedback", "list", "--json"))
    assert [row["id"] for row in listed] == ["fb-1", "fb-2"]
    first = listed[0]
    assert first["question"] == "How many days of paid holiday?"
    assert first["answer"] == asked["answer"]
    assert first["correction"] == "Thirty, plus birthdays."
    assert first["workload"] == "default"
    assert listed[1]["answer"] is None
    assert "Thirty, plus birthdays." in run("feedback", "list").stdout

    def ids(*options: str) -> list[object]:
        return [row["id"] for row in rows(run("feedback", "list", "--json", *options))]

    assert ids("--kind", "rating") == ["fb-2"]
    assert ids("--workload", "default") == ["fb-1"]
    assert ids("--since", "2025-01-01") == ["fb-2"]
    assert ids("--limit", "1") == ["fb-1"]

    file = tmp_path / "f.jsonl"
    (told,) = rows(run("feedback", "export", "-o", str(file), "--json"))
    assert told["count"] == 2
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["fb-1", "fb-2"]
    asyncio.run(tell(Feedback("fb-3", 1_800_000_001.0, about, "rating", ana, value=1.0)))
    assert run("feedback", "export", "-o", str(file), "--after", str(told["position"])).exit_code == 0
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["fb-1", "fb-2", "fb-3"]


def test_export_to_where_nothing_can_be_written(house: Path) -> None:
    result = run("feedback", "export", "-o", "no/such/f.jsonl")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_key_is_shown_once_and_can_be_revoked(house: Path) -> None:
    made = run("keys", "create", "--user", "cleo", "--group", "a", "--group", "b", "--admin")
    secret = made.stdout.strip()
    assert secret.startswith("rw-")
    (listed,) = (row for row in rows(run("keys", "list", "--json")) if row["user"] == "cleo")
    assert (listed["groups"], listed["admin"], listed["revoked_at"]) == (["a", "b"], True, None)
    assert secret not in run("keys", "list").stdout
    assert not any(secret.encode() in file.read_bytes() for file in (house / ".rungwise").glob("rungwise.db*"))
    assert run("keys", "revoke", str(listed["id"])).exit_code == 0
    (listed,) = (row for row in rows(run("keys", "list", "--json")) if row["user"] == "cleo")
    assert listed["revoked_at"]


def test_keys_refuses_names_and_ids_that_are_none(house: Path) -> None:
    assert run("keys", "create", "--user", "a b").exit_code == 1
    assert "keys list" in run("keys", "revoke", "key-nope").stderr


def test_doctor_of_a_healthy_house(house: Path) -> None:
    result = run("doctor", "--json")
    assert result.exit_code == 0, result.output
    (report,) = rows(result)
    checks = {check["name"]: check for check in report["checks"]}  # type: ignore[attr-defined]
    assert {check["status"] for check in checks.values()} == {"ok"}
    assert "2 passages" in checks["collection company"]["detail"]
    assert "collection company" in run("doctor").stdout
