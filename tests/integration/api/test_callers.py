"""Who may see what over HTTP: keys, sources, models; nothing that a caller may not read, whichever way they ask."""

from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rungwise_server.log.memory import MemoryLog
from rungwise_server.retrieval.hybrid import Hybrid
from rungwise_server.retrieval.indexes.edge import EdgeIndex
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import serving
from rungwise_server.types import Caller, CollectionSpec, IndexedPassage, Passage, SparseVector

KEYS = {
    "rw-ana": Caller("ana", frozenset({"finance"})),
    "rw-bo": Caller("bo", frozenset({"staff"})),
    "rw-cy": Caller("cy", frozenset()),
}
MIXES = (("everyone",), ("group:staff",), ("group:finance",), ("user:ana",), ("user:bo", "group:finance"))


async def index_of(passages: Sequence[Passage]) -> MemoryIndex:
    import numpy as np

    index = MemoryIndex()
    await index.create("default", CollectionSpec("e", 2, "s"))
    entries = [IndexedPassage(p, np.array([1, 0], np.float32), SparseVector((1,), (1.0,))) for p in passages]
    await index.upsert("default", entries)
    return index


@pytest.fixture
async def passages() -> list[Passage]:
    return [passage(f"salary secret {n}", *mix, number=n, title=f"Doc {n}") for n, mix in enumerate(MIXES)]


@pytest.fixture
async def http(passages: list[Passage]) -> AsyncIterator[httpx.AsyncClient]:
    # The scripted model cites every number there could be: only those that were retrieved may become citations.
    engine = small_engine(ScriptedModel(["All: [1] [2] [3] [4] [5]"]), passages=passages, log=MemoryLog())
    async with serving(engine, await index_of(passages), KEYS) as url, httpx.AsyncClient(base_url=url) as made:
        yield made


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_both_headers_carry_a_key(http: httpx.AsyncClient, header: str) -> None:
    value = "Bearer rw-ana" if header == "authorization" else "rw-ana"
    assert (await http.get("/v1/models", headers={header: value})).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer rw-nobody"}, {"authorization": "Basic rw-ana"}])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/v1/feedback", "/v1/sources/x"])
async def test_no_key_no_answer(http: httpx.AsyncClient, headers: dict[str, str], path: str) -> None:
    method = "POST" if path in ("/v1/chat/completions", "/v1/feedback") else "GET"
    body = {"model": "default", "messages": [{"role": "user", "content": "x"}], "inference_id": "x", "kind": "comment"}
    response = await http.request(method, path, headers=headers, json=body if method == "POST" else None)
    assert response.status_code == 401
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("key", KEYS)
async def test_answers_and_sources_show_exactly_what_the_caller_may_read(
    http: httpx.AsyncClient, passages: list[Passage], key: str
) -> None:
    headers = {"authorization": f"Bearer {key}"}
    readable = {p.id for p in passages if p.readers & KEYS[key].principals}
    body = {"model": "default", "messages": [{"role": "user", "content": "salary secret"}]}
    response = await http.post("/v1/chat/completions", json=body, headers=headers)
    annotations = response.json()["choices"][0]["message"]["annotations"]
    assert {a["url_citation"]["url"].rsplit("/", 1)[1] for a in annotations} == readable
    for one in passages:
        source = await http.get(f"/v1/sources/{one.id}", headers=headers)
        page = await http.get(f"/v1/sources/{one.id}", headers={**headers, "accept": "text/html"})
        assert (source.status_code, page.status_code) == ((200, 200) if one.id in readable else (404, 404))
        assert (one.text in page.text) == (one.id in readable)
    missing = await http.get("/v1/sources/00000000-0000-0000-0000-00000000ffff", headers=headers)
    hidden = [p for p in passages if p.id not in readable]
    if hidden:
        other = await http.get(f"/v1/sources/{hidden[0].id}", headers=headers)
        # An object of somebody else cannot be told from none.
        assert other.json()["error"]["code"] == missing.json()["error"]["code"] == "source_not_found"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mixes=st.lists(st.sets(st.sampled_from(["everyone", "group:a", "group:b", "user:u"]), min_size=1), max_size=6),
    callers=st.lists(
        st.tuples(
            st.sampled_from(["", "u", "a", "everyone"]),
            st.frozensets(st.sampled_from(["a", "b", "everyone", "user:u"])),
        ),
        min_size=2,
        max_size=4,
    ),
)
async def test_over_generated_permissions_nothing_leaks(
    tmp_path_factory: pytest.TempPathFactory, mixes: list[set[str]], callers: list[tuple[str, frozenset[str]]]
) -> None:
    """The real index and retriever, several callers with the same question one after the other: what one may read is
    never shown to another, and a group called `user:u` or a user called `everyone` opens nothing that is not theirs.
    """
    passages = [passage(f"salary secret {n}", *mix, number=n) for n, mix in enumerate(mixes)]
    embedder, terms = HashEmbedder(), Bm25Encoder()
    index = EdgeIndex(tmp_path_factory.mktemp("index"))
    await index.create("default", CollectionSpec(embedder.name, embedder.dimensions, terms.name))
    if passages:
        vectors = await embedder.embed([p.text for p in passages], "passage")
        entries = [IndexedPassage(p, v, terms.passage(p.text)) for p, v in zip(passages, vectors, strict=True)]
        await index.upsert("default", entries)
    retriever = Hybrid(index, embedder, terms, ("default",))
    engine = small_engine(ScriptedModel(["[1][2][3][4][5][6]"]), retriever=retriever)
    keys = {f"k{n}": Caller(user, groups) for n, (user, groups) in enumerate(callers)}
    try:
        async with serving(engine, index, keys) as url, httpx.AsyncClient(base_url=url) as http:
            for key, (user, groups) in zip(keys, callers, strict=True):
                http.headers["x-api-key"] = key
                body = {"model": "default", "messages": [{"role": "user", "content": "salary secret"}]}
                message = (await http.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]
                cited = {a["url_citation"]["url"].rsplit("/", 1)[1] for a in message["annotations"]}
                for one, mix in zip(passages, mixes, strict=True):
                    allowed = (
                        "everyone" in mix
                        or (user == "u" and "user:u" in mix)
                        or any(f"group:{g}" in mix for g in groups & {"a", "b"})
                    )
                    assert (one.id in cited) == allowed
                    assert ((await http.get(f"/v1/sources/{one.id}")).status_code == 200) == allowed
    finally:
        await index.close()


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"host": "[::bad"}, {"origin": "null"}]
)
async def test_without_keys_another_sites_page_cannot_use_the_loopback(headers: dict[str, str]) -> None:
    engine = small_engine(ScriptedModel())
    async with serving(engine, MemoryIndex()) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/v1/models")).status_code == 200
        assert (await http.get("/v1/models", headers={"origin": url})).status_code == 200
        refused = await http.get("/v1/models", headers=headers)
        assert refused.status_code == 403
        assert "rungwise keys create" in refused.json()["error"]["message"]


async def test_a_source_page_shows_hostile_documents_as_text() -> None:
    hostile = passage("<script>alert(1)</script>", "everyone", number=1, title="<img src=x onerror=alert(2)>")
    async with (
        serving(small_engine(ScriptedModel()), await index_of([hostile])) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        page = await http.get(f"/v1/sources/{hostile.id}", headers={"accept": "text/html"})
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]


async def test_unknown_paths_and_methods_answer_in_openais_shape() -> None:
    async with serving(small_engine(ScriptedModel()), MemoryIndex()) as url, httpx.AsyncClient(base_url=url) as http:
        missing = await http.get("/v1/nothing")
        wrong = await http.get("/v1/chat/completions")
    assert missing.status_code == 404
    assert wrong.status_code in (404, 405)
    for response in (missing, wrong):
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
