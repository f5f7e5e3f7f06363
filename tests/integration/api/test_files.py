"""`/v1/files` as OpenAI's own client uses it: every object parsed strictly, every error told by name, owners apart."""

import time
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, AsyncOpenAI, NotFoundError
from openai.pagination import AsyncCursorPage
from openai.types import FileDeleted, FileObject, FilePurpose

from rungwise_server.app import create_app
from rungwise_server.database import open_database
from rungwise_server.files import Files
from rungwise_server.store.blobs import FolderBlobs
from rungwise_server.store.sql import SqlKept
from rungwise_server.testing.keeping import Clock
from rungwise_server.testing.scratch import scratch
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.types import Caller

KEYS = {"rw-ana": Caller("ana"), "rw-bo": Caller("bo"), "rw-root": Caller("root", admin=True)}
LIMIT = 1_000_000


class Room:
    """A server with its store, whose time can be told."""

    def __init__(self, url: str, kept: SqlKept, folder: Path, clock: Clock) -> None:
        self.url = f"{url}/v1"
        self.folder = folder
        self.clock = clock
        self.files = Files(kept, FolderBlobs(folder), LIMIT)

    def client(self, user: str) -> AsyncOpenAI:
        return AsyncOpenAI(api_key=f"rw-{user}", base_url=self.url, max_retries=0)

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    async def post(self, **form: Any) -> httpx.Response:
        async with httpx.AsyncClient(headers={"authorization": "Bearer rw-ana"}) as http:
            return await http.post(f"{self.url}/files", **form)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    with scratch() as folder:
        clock = Clock(time.time())
        database = open_database(f"sqlite:///{folder}/rungwise.db")
        kept, blobs = SqlKept(database, clock), FolderBlobs(folder / "files")
        (folder / "files").mkdir()
        app = create_app(fake_parts(keys=KEYS, kept=kept, blobs=blobs), max_upload=LIMIT)
        async with listening(app) as url:
            yield Room(url, kept, folder / "files", clock)
        database.close()


@pytest.fixture
async def ana(room: Room) -> AsyncIterator[AsyncOpenAI]:
    async with room.client("ana") as client:
        yield client


async def upload(client: AsyncOpenAI, name: str = "a.txt", data: bytes = b"hello", **more: Any) -> FileObject:
    raw = await client.files.with_raw_response.create(file=(name, data), **{"purpose": "user_data", **more})
    return FileObject.model_validate_json(raw.text, strict=True)


async def refused(call: Any) -> Mapping[str, Any]:
    with pytest.raises(APIStatusError) as caught:
        await call
    body = caught.value.body
    assert isinstance(body, dict)
    assert set(body) == {"message", "type", "param", "code"}
    return {**body, "status": caught.value.status_code}


async def test_a_file_goes_in_is_shown_comes_out_and_is_deleted(room: Room, ana: AsyncOpenAI) -> None:
    before = int(time.time())
    content = bytes(range(256)) * 100
    made = await upload(ana, "Bericht ü 日本.bin", content)
    assert made.id.startswith("file-")
    assert before <= made.created_at <= time.time()
    assert made.model_dump(exclude={"id", "created_at"}) == {
        "object": "file",
        "bytes": 25_600,
        "filename": "Bericht ü 日本.bin",
        "purpose": "user_data",
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }
    shown = await ana.files.with_raw_response.retrieve(made.id)
    assert FileObject.model_validate_json(shown.text, strict=True) == made
    assert (await ana.files.content(made.id)).content == content
    assert room.names() == {made.id}
    deleted = await ana.files.with_raw_response.delete(made.id)
    assert FileDeleted.model_validate_json(deleted.text, strict=True) == FileDeleted(
        id=made.id, deleted=True, object="file"
    )
    assert room.names() == set()
    assert (await ana.files.list()).data == []
    for call in (ana.files.retrieve(made.id), ana.files.content(made.id), ana.files.delete(made.id)):
        error = await refused(call)
        assert (error["status"], error["param"], error["code"]) == (404, "file_id", "not_found")


@pytest.mark.parametrize("purpose", ["assistants", "batch", "fine-tune", "vision", "user_data"])
async def test_purposes(ana: AsyncOpenAI, purpose: FilePurpose) -> None:
    made = await upload(ana, purpose=purpose)
    assert made.purpose == purpose
    assert [file.id async for file in ana.files.list(purpose=purpose)] == [made.id]
    others = {"assistants", "batch", "fine-tune", "vision", "user_data", "evals"} - {purpose}
    for other in others:
        assert (await ana.files.list(purpose=other)).data == []


async def test_each_sees_their_own_files_alone(room: Room, ana: AsyncOpenAI) -> None:
    mine = await upload(ana, "mine.txt", b"ana's")
    for user in ("bo", "root"):
        async with room.client(user) as other:
            theirs = await upload(other, "mine.txt", user.encode())
            assert [file.id async for file in other.files.list()] == [theirs.id]
            answers = [
                await refused(call)
                for call in (
                    other.files.retrieve(mine.id),
                    other.files.content(mine.id),
                    other.files.delete(mine.id),
                    other.files.list(after=mine.id),
                )
            ]
            never = mine.id[:-4] + "0000"
            for answer, call in zip(
                answers,
                (
                    other.files.retrieve(never),
                    other.files.content(never),
                    other.files.delete(never),
                    other.files.list(after=never),
                ),
                strict=True,
            ):
                nothing = await refused(call)
                assert answer["status"] == 404
                assert {**answer, "message": ""} == {**nothing, "message": ""}, "it tells that the file exists"
    assert (await ana.files.content(mine.id)).content == b"ana's"
    async with AsyncOpenAI(api_key="rw-nobody", base_url=room.url, max_retries=0) as nobody:
        assert (await refused(nobody.files.list()))["status"] == 401
        assert (await refused(nobody.files.create(file=b"x", purpose="batch")))["status"] == 401


async def test_pages(ana: AsyncOpenAI) -> None:
    made = [(await upload(ana, f"f{number}.txt", purpose=("batch", "vision")[number % 2])).id for number in range(7)]
    page = await ana.files.with_raw_response.list(limit=3)
    body = page.http_response.json()
    assert (body["object"], body["first_id"], body["last_id"], body["has_more"]) == ("list", made[6], made[4], True)
    assert isinstance(page.parse(), AsyncCursorPage)
    assert [file.id async for file in ana.files.list(limit=3)] == made[::-1]
    assert [file.id async for file in ana.files.list(limit=3, order="desc")] == made[::-1]
    assert [file.id async for file in ana.files.list(limit=3, order="asc")] == made
    assert [file.id async for file in ana.files.list(limit=2, purpose="batch")] == made[::-2]
    last = (await ana.files.with_raw_response.list(after=made[0])).http_response.json()
    assert last == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    times = [file.created_at async for file in ana.files.list(order="asc")]
    assert all(a <= b for a, b in pairwise(times))


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"order": "up"}, "order"),
        ({"purpose": "fun"}, "purpose"),
    ],
)
async def test_lists_that_cannot_be(ana: AsyncOpenAI, query: dict[str, Any], param: str) -> None:
    error = await refused(ana.files.list(**query))
    assert (error["status"], error["param"], error["type"]) == (400, param, "invalid_request_error")


async def test_a_list_after_a_file_that_is_gone_says_so(ana: AsyncOpenAI) -> None:
    gone = await upload(ana)
    await ana.files.delete(gone.id)
    assert (await refused(ana.files.list(after=gone.id)))["param"] == "after"


@pytest.mark.parametrize("seconds", [3600, 86_400, 2_592_000])
async def test_a_file_expires_when_it_was_to(room: Room, ana: AsyncOpenAI, seconds: int) -> None:
    made = await upload(ana, expires_after={"anchor": "created_at", "seconds": seconds})
    stays = await upload(ana)
    assert made.expires_at == made.created_at + seconds
    room.clock.now += seconds - 60
    assert (await ana.files.content(made.id)).content == b"hello"
    room.clock.now += 120
    for call in (ana.files.retrieve(made.id), ana.files.content(made.id), ana.files.delete(made.id)):
        assert (await refused(call))["status"] == 404
    assert [file.id async for file in ana.files.list()] == [stays.id]
    assert room.names() == {made.id, stays.id}
    assert await room.files.sweep() == 1
    assert room.names() == {stays.id}


@pytest.mark.parametrize(
    ("expires_after", "param"),
    [
        ({"anchor": "created_at", "seconds": 3599}, "expires_after[seconds]"),
        ({"anchor": "created_at", "seconds": 2_592_001}, "expires_after[seconds]"),
        ({"anchor": "created_at", "seconds": -1}, "expires_after[seconds]"),
        ({"anchor": "created_at", "seconds": "1e4"}, "expires_after[seconds]"),
        ({"anchor": "created_at", "seconds": "9" * 4000}, "expires_after[seconds]"),
        ({"anchor": "created_at"}, "expires_after[seconds]"),
        ({"anchor": "now", "seconds": 3600}, "expires_after[anchor]"),
        ({"seconds": 3600}, "expires_after[anchor]"),
    ],
)
async def test_expiries_that_cannot_be(room: Room, ana: AsyncOpenAI, expires_after: Any, param: str) -> None:
    error = await refused(ana.files.create(file=b"x", purpose="batch", expires_after=expires_after))
    assert (error["status"], error["param"]) == (400, param)
    assert room.names() == set()
    assert (await ana.files.list()).data == []


@pytest.mark.parametrize(
    ("file", "purpose", "param", "code", "says"),
    [
        (("a", b""), "batch", "file", "empty_file", "empty"),
        (("a", b"x"), "batch_output", "purpose", "invalid_value", "assistants, batch, fine-tune, vision, user_data"),
        (("a", b"x"), "Batch", "purpose", "invalid_value", "evals"),
        (("../a", b"x"), "batch", "file", "invalid_filename", "'/'"),
        (("a\\b", b"x"), "batch", "file", "invalid_filename", r"'\\'"),
        (("..", b"x"), "batch", "file", "invalid_filename", "no name"),
        (("a\x7fb", b"x"), "batch", "file", "invalid_filename", "x7f"),
        (("report\u202efdp.exe", b"x"), "batch", "file", "invalid_filename", "202e"),
        (("é" * 256, b"x"), "batch", "file", "invalid_filename", "at most 255"),
        (("a", b"x" * (LIMIT + 1)), "batch", "file", "file_too_large", "more than 1 MB"),
    ],
)
async def test_uploads_that_cannot_be(
    room: Room, ana: AsyncOpenAI, file: Any, purpose: Any, param: str, code: str, says: str
) -> None:
    error = await refused(ana.files.create(file=file, purpose=purpose))
    assert (error["status"], error["param"], error["code"]) == (413 if code == "file_too_large" else 400, param, code)
    assert says in error["message"]
    assert room.names() == set()
    assert (await ana.files.list()).data == []
    room.clock.now += 1e6
    assert await room.files.sweep() == 0, "a refused upload left a row behind"


async def test_the_limit_itself_is_taken_and_odd_names_come_back(ana: AsyncOpenAI) -> None:
    assert (await upload(ana, data=b"x" * LIMIT)).bytes == LIMIT
    for name in ("a b & (c); d=e, 'f'.tar.gz", "👩‍🚀.txt", ".hidden", "é" * 255, "100%", "noextension"):
        made = await upload(ana, name)
        assert made.filename == name


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ({"json": {"purpose": "batch"}}, None, "invalid_form"),
        ({"data": {"purpose": "batch"}}, None, "invalid_form"),
        ({}, None, "invalid_form"),
        ({"files": {"file": ("a", b"x")}}, "purpose", "missing_required_parameter"),
        ({"files": {"purpose": (None, "batch")}}, "file", "missing_required_parameter"),
        ({"files": {"purpose": (None, "batch"), "file": (None, b"x")}}, "file", "invalid_value"),
        ({"files": [("file", ("a", b"x")), ("file", ("b", b"y"))], "data": {"purpose": "batch"}}, "file", None),
        ({"files": {"file": ("a", b"x"), "color": (None, "red")}}, "color", "unknown_parameter"),
        ({"files": {"file": ("a", b"x"), "purpose": (None, "x" * 9_000)}}, "purpose", "request_too_large"),
    ],
)
async def test_forms_that_cannot_be(room: Room, form: dict[str, Any], param: str | None, code: str | None) -> None:
    response = await room.post(**form)
    error = response.json()["error"]
    assert response.status_code == (413 if code == "request_too_large" else 400)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert code in (None, error["code"])
    assert room.names() == set()


@pytest.mark.parametrize("order", [["file", "purpose"], ["purpose", "file"]])
async def test_the_parts_may_come_in_any_order(room: Room, order: list[str]) -> None:
    parts: dict[str, Any] = {"file": ("a.txt", b"hello"), "purpose": (None, "batch")}
    response = await room.post(files=[(name, parts[name]) for name in order])
    assert response.status_code == 200
    assert FileObject.model_validate_json(response.content, strict=True).purpose == "batch"


async def test_no_browser_runs_what_was_uploaded(room: Room, ana: AsyncOpenAI) -> None:
    name = "x\"; evil=y'%41é.html"
    made = await upload(ana, "x.html", b"<script>alert(1)</script>")
    headers = (await ana.files.with_raw_response.content(made.id)).headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "attachment; filename=\"x.html\"; filename*=UTF-8''x.html"
    assert headers["content-length"] == "25"
    odd = await room.files.create("user:ana", name, "user_data", _once(b"x"))
    told = (await ana.files.with_raw_response.content(odd.id)).headers["content-disposition"]
    assert (
        told == "attachment; filename=\"x_; evil=y'_41_.html\"; filename*=UTF-8''x%22%3B%20evil%3Dy%27%2541%C3%A9.html"
    )


@pytest.mark.parametrize("id", ["..%2f..%2frungwise.db", "%00", "file-%ff", "..", "x" * 3_000, "%F0%9F%99%82"])
async def test_hostile_ids_are_not_there(room: Room, id: str) -> None:
    async with httpx.AsyncClient(headers={"authorization": "Bearer rw-ana"}) as http:
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            response = await http.request(method, httpx.URL(f"{room.url}/files/{id}{path}"))
            assert response.status_code in (404, 405)
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}


async def test_files_that_the_house_makes_are_their_owners(room: Room, ana: AsyncOpenAI) -> None:
    made = await room.files.create("user:ana", "out.jsonl", "batch_output", _once(b"{}\n"), expires_after=86_400)
    shown = FileObject.model_validate_json((await ana.files.with_raw_response.retrieve(made.id)).text, strict=True)
    assert (shown.purpose, shown.bytes, shown.expires_at) == ("batch_output", 3, int(made.created_at) + 86_400)
    assert [file.id async for file in ana.files.list(purpose="batch_output")] == [made.id]
    async with room.client("bo") as bo:
        with pytest.raises(NotFoundError):
            await bo.files.content(made.id)


async def test_bytes_that_are_gone_are_not_found(room: Room, ana: AsyncOpenAI) -> None:
    made = await upload(ana)
    (room.folder / made.id).unlink()
    assert (await refused(ana.files.content(made.id)))["status"] == 404
    assert (await ana.files.delete(made.id)).deleted


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
