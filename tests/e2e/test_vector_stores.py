"""Files into a vector store in real processes: a server that keeps its own worker, and workers that are killed."""

import asyncio
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from openai import NotFoundError, OpenAI

from rungwise_pipelines.commands.options import open_keys
from rungwise_server import bootstrap
from rungwise_server.config.settings import Settings
from rungwise_server.files import Files
from rungwise_server.keeping import Kept
from rungwise_server.types import Passage
from rungwise_server.vector_stores import JOB, LIVE, FileBody, StoreBody, encode, file_body, file_key

pytestmark = pytest.mark.slow

RUNGWISE = [sys.executable, "-m", "rungwise_pipelines"]
PATIENCE = 60.0
LONG = "".join(
    f"Sheet {number}: pump {number} has {number % 7} valves, and each of them drips.\n\n" for number in range(400)
)


def environ(home: Path) -> dict[str, str]:
    ours = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL", "RUNGWISE_CONFIG"}
    return {**{k: v for k, v in os.environ.items() if k not in ours}, "RUNGWISE_HOME": str(home)}


class Serving:
    """A `rungwise serve` with two users, in a process of its own."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.keys = asyncio.run(make_keys(home))
        self.process = subprocess.Popen(
            [*RUNGWISE, "serve", "--port", "0", "--json", *options],
            cwd=home.parent,
            env=environ(home),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())["url"]

    def client(self, user: str = "ana") -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.keys[user], max_retries=0)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def make_keys(home: Path) -> dict[str, str]:
    """A key for each of two users."""
    async with open_keys(Settings(home=home)) as keys:
        return {user: (await keys.create(user))[1] for user in ("ana", "bo")}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    serving = Serving(tmp_path_factory.mktemp("place") / "home")
    yield serving
    serving.end()


def wait_for(what: str, reached: object) -> None:
    """Poll `reached()` until it is true."""
    assert callable(reached)
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_uploads_are_found_without_anything_else_to_be_done(served: Serving) -> None:
    client = served.client()
    store = client.vector_stores.create(name="pumps", expires_after={"anchor": "last_active_at", "days": 7})
    file = client.files.create(
        file=("leave.md", b"# Leave\n\nEverybody has 28 days of annual leave.\n"), purpose="assistants"
    )
    added = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, attributes={"year": 2026})
    assert added.status == "completed"
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id,
        files=[("parking.txt", b"The car park closes at 22:00."), ("fees.csv", b"what,fee\nparking,3 pounds\n")],
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    hits = client.vector_stores.search(store.id, query="How many days of leave do I have?").data
    assert (hits[0].file_id, hits[0].filename) == (file.id, "leave.md")
    assert "28 days" in hits[0].content[0].text
    newer = {"type": "gte", "key": "year", "value": 2027}
    assert not client.vector_stores.search(store.id, query="days of leave", filters=newer).data  # type: ignore[arg-type]
    client.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"year": 2027})
    (hit,) = client.vector_stores.search(store.id, query="days of leave", filters=newer).data  # type: ignore[arg-type]
    assert hit.attributes == {"year": 2027.0}
    content = client.vector_stores.files.content(file.id, vector_store_id=store.id).data
    assert "28 days" in (content[0].text or "")
    with pytest.raises(NotFoundError):
        served.client("bo").vector_stores.retrieve(store.id)
    client.vector_stores.files.delete(file.id, vector_store_id=store.id)
    assert "28 days" not in str(client.vector_stores.search(store.id, query="How many days of leave do I have?").data)
    client.vector_stores.delete(store.id)
    with pytest.raises(NotFoundError):
        client.vector_stores.search(store.id, query="parking")


def test_poisoned_files_fail_with_their_reasons_and_hold_up_nobody(served: Serving) -> None:
    client = served.client()
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"<w:t>" + b"a" * 50_000_000)
    files = {
        "bomb.docx": bomb.getvalue(),
        "deep.json": b"[" * 200_000,
        "deep.html": b"<div>" * 100_000,
        "not.pdf": b"%PDF-1.4\n" + os.urandom(2000),
        "noise.bin": os.urandom(2000),
        "blank.txt": b" \n ",
    }
    store = client.vector_stores.create()
    ids = {name: client.files.create(file=(name, data), purpose="assistants").id for name, data in files.items()}
    ids["good.txt"] = client.files.create(file=("good.txt", b"All is well."), purpose="assistants").id
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=list(ids.values()))
    states = {name: client.vector_stores.files.retrieve(id, vector_store_id=store.id) for name, id in ids.items()}
    assert states.pop("good.txt").status == "completed"
    states.pop("deep.html")  # a parser may well read it
    for name, state in states.items():
        assert state.status == "failed", name
        assert state.last_error is not None
        assert state.last_error.code == ("unsupported_file" if name == "noise.bin" else "invalid_file")
        assert state.last_error.message.startswith(name)
        assert "Traceback" not in state.last_error.message
    assert batch.file_counts.total == len(ids)
    assert client.vector_stores.search(store.id, query="All is well").data[0].filename == "good.txt"


def test_the_worker_beside_the_server_is_started_anew(served: Serving) -> None:
    def workers() -> list[int]:
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(served.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(line) for line in found.stdout.split()]

    wait_for("no worker runs", lambda: len(workers()) == 1)
    (first,) = workers()
    os.kill(first, signal.SIGKILL)
    wait_for("no other was started", lambda: workers() not in ([], [first]))
    client = served.client()
    store = client.vector_stores.create(
        file_ids=[client.files.create(file=("a.txt", b"Words."), purpose="assistants").id]
    )
    wait_for("it works", lambda: client.vector_stores.retrieve(store.id).file_counts.completed == 1)


async def prepare(settings: Settings) -> str:
    """A store with a long file that nobody has read yet; the id of the file's row."""
    database = await bootstrap.open_house_database(settings)
    kept, blobs, queue = bootstrap.open_kept(database), bootstrap.open_blobs(settings), bootstrap.open_queue(database)

    async def pieces() -> AsyncIterator[bytes]:
        yield LONG.encode()

    file = await Files(kept, blobs, 10_000_000).create("user:ana", "sheets.txt", "assistants", pieces())
    now = time.time()
    store = Kept("vs_1", "vector_store", "user:ana", now, encode(StoreBody(now)), state=LIVE)
    await kept.add(store)
    body = encode(FileBody(file.id, file.filename))
    row = Kept(
        file_key("vs_1", file.id), "vector_store_file", "user:ana", now, body, parent="vs_1", state="in_progress"
    )
    await kept.add(row)
    await queue.put(JOB, row.id)
    database.close()
    return row.id


async def outcome(settings: Settings, row_id: str) -> tuple[str, list[str]]:
    """The state of a file's row, and its passages."""
    database = await bootstrap.open_house_database(settings)
    row = await bootstrap.open_kept(database).get("vector_store_file", row_id, None)
    database.close()
    assert row is not None
    body = file_body(row)
    index = await bootstrap.open_index(settings)
    document = Passage("", body.file_id, "vs_1", "", frozenset(), source="vs_1", version=body.version)
    passages = await index.neighbours(document, frozenset({"user:ana"}))
    assert len(passages) == await index.count("vs_1")
    await index.close()
    return row.state, [passage.text for passage in passages]


def test_killed_in_mid_file_another_worker_goes_on(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    row_id = asyncio.run(prepare(settings))

    def attempts() -> int:
        with closing(sqlite3.connect(settings.home / "rungwise.db")) as connection:
            return int(connection.execute("select attempts from job").fetchone()[0])

    def start(*options: str) -> subprocess.Popen[str]:
        command = [*RUNGWISE, "worker", "--json", "--lease", "2", *options]
        return subprocess.Popen(command, env=environ(settings.home), stdout=subprocess.PIPE, text=True)

    for number, begun in enumerate((settings.home / "index" / "vs_1", settings.home / "rungwise.db"), start=1):
        with start() as worker:
            # Once the collection is there, the file is about to be read, cut, embedded: seconds.
            wait_for("the file is not begun", lambda: attempts() >= number and begun.exists())  # noqa: B023
            worker.kill()
        assert asyncio.run(outcome(settings, row_id))[0] == "in_progress"

    deadline = time.monotonic() + PATIENCE
    ended: list[dict[str, object]] = []
    while not ended:  # the lease of the one that was killed must run out first
        assert time.monotonic() < deadline
        with start("--until-idle") as worker:
            printed, _ = worker.communicate(timeout=PATIENCE)
            ended = [json.loads(line) for line in printed.splitlines()]
    assert [(end["subject"], end["outcome"]) for end in ended] == [(row_id, "done")]
    attempts_of = ended[0]["attempts"]
    assert isinstance(attempts_of, int)
    assert attempts_of >= 3  # one more where a busy machine let a short lease lapse
    state, parts = asyncio.run(outcome(settings, row_id))
    assert state == "completed"
    assert " ".join(parts).split() == LONG.split(), "nothing is missing, and nothing is there twice"


def test_a_worker_for_cron(tmp_path: Path) -> None:
    """Nothing serves: it has the index for itself, does what waits, and ends."""
    command = [*RUNGWISE, "worker", "--until-idle"]
    done = subprocess.run(command, env=environ(tmp_path), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
