"""Somebody else's vector store is not there, on any route that there is; a shared one can be read, and no more.

The routes come from the application itself: one that is added has to be told here what to send, and is held to this.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from rungwise_pipelines.work.testing import NearbyWorker
from rungwise_server.app import create_app
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.types import Caller, IndexQuery, SparseVector

KEYS = {
    "rw-ana": Caller("ana", frozenset({"finance"})),
    "rw-bo": Caller("bo", frozenset({"staff"})),
    "rw-cy": Caller("cy", frozenset({"finance"})),
}
BASE = "/v1/vector_stores/{vector_store_id}"
SENT: dict[tuple[str, str], object] = {
    ("POST", BASE): {"name": "taken over"},
    ("GET", BASE): None,
    ("DELETE", BASE): None,
    ("POST", BASE + "/search"): {"query": "salaries"},
    ("POST", BASE + "/files"): {"file_id": "FILE"},
    ("GET", BASE + "/files"): None,
    ("GET", BASE + "/files/{file_id}"): None,
    ("POST", BASE + "/files/{file_id}"): {"attributes": {"year": 1}},
    ("DELETE", BASE + "/files/{file_id}"): None,
    ("GET", BASE + "/files/{file_id}/content"): None,
    ("POST", BASE + "/file_batches"): {"file_ids": ["FILE"]},
    ("GET", BASE + "/file_batches/{batch_id}"): None,
    ("POST", BASE + "/file_batches/{batch_id}/cancel"): None,
    ("GET", BASE + "/file_batches/{batch_id}/files"): None,
}
ROUTES = sorted(
    (method.upper(), path)
    for path, operations in create_app(fake_parts()).rest.openapi()["paths"].items()
    if path.startswith(BASE)
    for method in operations
)
READING = {(method, path) for method, path in ROUTES if method == "GET" or path.endswith("/search")}


@dataclass
class House:
    """A server on which ana has a store with one file in a batch, all of which is read."""

    http: httpx.AsyncClient
    worker: NearbyWorker
    store: str = ""
    file: str = ""
    batch: str = ""

    async def ask(self, user: str, method: str, path: str, body: object = None) -> httpx.Response:
        return await self.http.request(method, path, json=body, headers={"authorization": f"Bearer rw-{user}"})

    async def try_route(self, user: str, method: str, path: str, file: str = "") -> httpx.Response:
        body = SENT[method, path]
        if isinstance(body, dict):
            body = {key: file or self.file if value == "FILE" else value for key, value in body.items()}
            body = {key: [file or self.file] if value == ["FILE"] else value for key, value in body.items()}
        filled = path.format(vector_store_id=self.store, file_id=self.file, batch_id=self.batch)
        return await self.ask(user, method, filled, body)

    async def upload(self, user: str, text: str) -> str:
        response = await self.http.post(
            "/v1/files",
            data={"purpose": "assistants"},
            files={"file": ("salaries.txt", text.encode())},
            headers={"authorization": f"Bearer rw-{user}"},
        )
        assert response.status_code == 200, response.text
        return str(response.json()["id"])


@pytest.fixture
async def house() -> AsyncIterator[House]:
    parts = fake_parts(keys=KEYS, collections={"handbook": "For everybody."})
    async with listening(create_app(parts)) as url, httpx.AsyncClient(base_url=url) as http:
        house = House(http, NearbyWorker(parts))
        house.store = (await house.ask("ana", "POST", "/v1/vector_stores", {"name": "ana's"})).json()["id"]
        house.file = await house.upload("ana", "The salaries are secret.")
        made = await house.ask(
            "ana", "POST", f"/v1/vector_stores/{house.store}/file_batches", {"file_ids": [house.file]}
        )
        house.batch = made.json()["id"]
        await house.worker.work()
        yield house


def test_there_are_such_routes() -> None:
    assert set(ROUTES) == set(SENT)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nobody_else_finds_it(house: House, method: str, path: str) -> None:
    theirs = await house.try_route("bo", method, path, await house.upload("bo", "Bo's."))
    assert theirs.status_code == 404, theirs.text
    error = theirs.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "ana" not in error["message"]
    nowhere = house.store
    house.store = "vs_0000000000000000000000000000dead"
    missing = (await house.try_route("bo", method, path)).json()["error"]
    assert {**error, "message": error["message"].replace(nowhere, "")} == {
        **missing,
        "message": missing["message"].replace(house.store, ""),
    }, "whether it is there must not show"
    house.store = nowhere
    own = await house.try_route("ana", method, path)
    assert own.status_code == (400 if path.endswith("/cancel") else 200), own.text


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_whom_it_is_shared_with_reads_it(house: House, method: str, path: str) -> None:
    shared = await house.ask("ana", "POST", f"/v1/vector_stores/{house.store}", {"metadata": {"readers": "finance"}})
    assert shared.status_code == 200, shared.text
    status = 200 if (method, path) in READING else 403
    response = await house.try_route("cy", method, path, await house.upload("cy", "Cy's."))
    assert response.status_code == status, response.text
    assert (await house.try_route("bo", method, path)).status_code == 404


async def test_lists_are_ones_own(house: House) -> None:
    await house.ask("ana", "POST", f"/v1/vector_stores/{house.store}", {"metadata": {"readers": "finance"}})
    for user, expected in (("ana", [house.store, "handbook"]), ("bo", ["handbook"]), ("cy", ["handbook"])):
        listed = (await house.ask(user, "GET", "/v1/vector_stores")).json()["data"]
        assert [store["id"] for store in listed] == expected


async def test_another_ones_place_in_a_list_is_nowhere(house: House) -> None:
    for mark in ("after", "before"):
        response = await house.ask("bo", "GET", f"/v1/vector_stores?{mark}={house.store}")
        assert response.status_code == 404


async def test_only_ones_own_files_get_in(house: House) -> None:
    mine = (await house.ask("bo", "POST", "/v1/vector_stores", {})).json()["id"]
    for path, body in (
        (f"/v1/vector_stores/{mine}/files", {"file_id": house.file}),
        (f"/v1/vector_stores/{mine}/file_batches", {"file_ids": [house.file]}),
        ("/v1/vector_stores", {"file_ids": [house.file]}),
    ):
        response = await house.ask("bo", "POST", path, body)
        assert response.status_code == 404, response.text
        assert response.json()["error"]["param"] == "file_id"
    assert (await house.ask("bo", "GET", f"/v1/vector_stores/{mine}/files")).json()["data"] == []
    listed = (await house.ask("bo", "GET", "/v1/vector_stores")).json()["data"]
    assert [store["id"] for store in listed] == [mine, "handbook"], "nothing was made by halves"


async def found(house: House, user: str) -> list[str]:
    response = await house.ask(user, "POST", f"/v1/vector_stores/{house.store}/search", {"query": "salaries"})
    return [hit["file_id"] for hit in response.json().get("data", [])]


async def source(house: House, user: str, passage_id: str) -> int:
    return (await house.ask(user, "GET", f"/v1/sources/{passage_id}")).status_code


async def test_sharing_and_unsharing_hold_for_the_passages_at_once(house: House) -> None:
    index = house.worker._parts.index
    dense = (await house.worker._parts.embedder.embed(["salaries"], "query"))[0]
    anything = IndexQuery(dense, SparseVector((), ()), KEYS["rw-ana"].principals, 10)
    (passage,) = (await index.search(house.store, anything)).dense
    assert await source(house, "cy", passage.id) == 404
    update = f"/v1/vector_stores/{house.store}"
    await house.ask("ana", "POST", update, {"metadata": {"readers": "user:bo, finance"}})
    assert await found(house, "bo") == await found(house, "cy") == [house.file]
    assert await source(house, "cy", passage.id) == 200
    await house.ask("ana", "POST", update, {"metadata": {"readers": "user:bo"}})
    assert await found(house, "bo") == [house.file]
    assert await found(house, "cy") == []
    assert await source(house, "cy", passage.id) == 404
    await house.ask("ana", "POST", update, {"metadata": None})
    assert await found(house, "bo") == []
    assert await found(house, "ana") == [house.file]


async def test_everyone_is_a_choice_that_somebody_wrote(house: House) -> None:
    await house.ask("ana", "POST", f"/v1/vector_stores/{house.store}", {"metadata": {"readers": "everyone"}})
    assert await found(house, "bo") == [house.file]


@pytest.mark.parametrize("readers", ["user:", "role:x", "a b", "x,user:y z"])
async def test_readers_that_are_none_are_refused(house: House, readers: str) -> None:
    for path in ("/v1/vector_stores", f"/v1/vector_stores/{house.store}"):
        response = await house.ask("ana", "POST", path, {"metadata": {"readers": readers}})
        assert response.status_code == 400
        assert "no reader" in response.json()["error"]["message"]
        assert response.json()["error"]["param"] == "metadata"
