"""`/v1/ledger` over HTTP: for admins, and for everybody while no key exists."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from rungwise_server.log.memory import MemoryLog
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.serving import serving
from rungwise_server.types import Caller

KEYS = {"rw-root": Caller("root", admin=True), "rw-ana": Caller("ana")}


@pytest.fixture
async def log() -> MemoryLog:
    made = MemoryLog()
    for number in range(20):
        await made.append(an_inference(f"chatcmpl-{number}", at=time.time() - 3 * 86_400, cost=0.5))
    return made


@pytest.fixture
async def http(log: MemoryLog) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(small_engine(ScriptedModel([]), log=log), MemoryIndex(), KEYS) as url,
        httpx.AsyncClient(base_url=url) as made,
    ):
        yield made


def as_(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer rw-{name}"}


async def test_an_admin_sees_all_workloads(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/ledger", headers=as_("root"))).json()
    assert listed["object"] == "list"
    (page,) = listed["data"]
    assert (page["workload"], page["traffic"]["requests"], page["traffic"]["money"]) == ("support", 20, 10.0)
    assert page["simulation"] is None
    one = await http.get("/v1/ledger/support", params={"simulate": "2x", "since": "7d"}, headers=as_("root"))
    assert one.status_code == 200
    assert one.json()["simulation"]["worlds"][0]["label"] == "2x"
    assert one.json()["advice"] == page["advice"]


async def test_others_do_not(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/ledger")).status_code == 401
    for path in ("/v1/ledger", "/v1/ledger/support", "/v1/ledger/nobody"):
        refused = await http.get(path, headers=as_("ana"))
        assert refused.status_code == 403
        assert refused.json()["error"].keys() == {"message", "type", "param", "code"}
        assert "support" not in refused.text


async def test_while_no_key_exists_everybody_on_this_machine_does(log: MemoryLog) -> None:
    async with (
        serving(small_engine(ScriptedModel([]), log=log), MemoryIndex()) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert (await http.get("/v1/ledger")).status_code == 200


@pytest.mark.parametrize(
    "path, status, param",
    [
        ("/v1/ledger/nobody", 404, "workload"),
        ("/v1/ledger?since=ever", 400, "since"),
        ("/v1/ledger?simulate=-1x", 400, "simulate"),
        ("/v1/ledger/support?simulate=0x", 400, "simulate"),
    ],
)
async def test_what_is_wrong_is_named(http: httpx.AsyncClient, path: str, status: int, param: str) -> None:
    answer = await http.get(path, headers=as_("root"))
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param
