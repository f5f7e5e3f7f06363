# ruff: noqa: D102  (a test's name says what it holds)
"""The part of the contract of `PassageIndex` that says who finds what: readers, filters and attributes."""

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rungwise_server.errors import BadRequest
from rungwise_server.filters import Combine, Compare, Filter, Scalar, holds
from rungwise_server.protocols import PassageIndex
from rungwise_server.testing.attributes import ABSURD, ODD, attributed
from rungwise_server.testing.retrieval_entries import ALL, PRINCIPALS, SPEC, entry, query, texts
from rungwise_server.types import EVERYONE


class AccessContract:
    """What `retrieval_index.PassageIndexContract` holds of readers and filters, in an empty collection `docs`."""

    async def test_nobody_reads_without_a_principal(self, docs: PassageIndex) -> None:
        written = entry("apple").passage
        await docs.upsert("docs", [entry("apple")])
        hits = await docs.search("docs", query("apple", frozenset()))
        assert (hits.dense, hits.sparse) == ([], [])
        assert await docs.get(written.id, frozenset()) is None
        assert await docs.neighbours(written, frozenset()) == []
        assert await docs.documents("docs", "folder", frozenset()) == set()

    async def test_documents_are_those_that_are_readable_now(self, docs: PassageIndex) -> None:
        await docs.upsert(
            "docs",
            [
                entry("apple", document_id="a", readers=frozenset({"everyone"})),
                entry("bread", document_id="b", readers=frozenset({"group:finance"})),
            ],
        )
        assert await docs.documents("docs", "folder", frozenset({"everyone"})) == {"a"}
        assert await docs.documents("docs", "folder", frozenset({"everyone", "group:finance"})) == {"a", "b"}
        await docs.set_readers("docs", "folder", "a", frozenset({"group:finance"}))
        assert await docs.documents("docs", "folder", frozenset({"everyone"})) == set()
        assert await docs.documents("docs", "folder") == {"a", "b"}

    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,  # each example makes and drops its collection
            HealthCheck.differing_executors,  # each subclass runs it
            HealthCheck.too_slow,
        ],
    )
    @given(
        readers=st.lists(st.frozensets(st.sampled_from(PRINCIPALS), min_size=1), min_size=1, max_size=12),
        changed=st.frozensets(st.sampled_from(PRINCIPALS), min_size=1),
        principals=st.frozensets(st.sampled_from(PRINCIPALS)),
    )
    async def test_exactly_what_is_readable_is_found(
        self,
        index: PassageIndex,
        readers: list[frozenset[str]],
        changed: frozenset[str],
        principals: frozenset[str],
    ) -> None:
        await index.create("docs", SPEC)
        try:
            entries = [
                entry(f"apple {i}", document_id=f"d{i % 4}", start=i, readers=names) for i, names in enumerate(readers)
            ]
            await index.upsert("docs", entries)
            for names in (None, changed):
                if names:
                    await index.set_readers("docs", "folder", "d0", names)
                now = {e.passage.id: (names if names and i % 4 == 0 else readers[i]) for i, e in enumerate(entries)}
                readable = {id for id, allowed in now.items() if allowed & principals}
                hits = await index.search("docs", query("apple", principals, limit=50))
                assert {hit.id for hit in hits.dense} == readable
                assert {hit.id for hit in hits.sparse} == readable
                for written in entries:
                    passage = written.passage
                    got = await index.get(passage.id, principals)
                    assert (got is not None) == (passage.id in readable)
                    assert got is None or got.readers == now[passage.id]
                    document = [e.passage.id for e in entries if e.passage.document_id == passage.document_id]
                    around = await index.neighbours(passage, principals)
                    assert [other.id for other in around] == [id for id in document if id in readable]
        finally:
            await index.drop("docs")

    async def test_new_readers_hold_for_the_next_search(self, docs: PassageIndex) -> None:
        await docs.upsert("docs", [entry("apple pie", document_id="a"), entry("apple jam", document_id="b")])
        await docs.upsert("docs", [entry("apple tea", document_id="a", source="wiki")])
        await docs.set_readers("docs", "folder", "a", frozenset({"group:hr"}))
        await docs.set_readers("docs", "folder", "not there", frozenset({"group:hr"}))
        everyone = await docs.search("docs", query("apple", ALL))
        hr = await docs.search("docs", query("apple", frozenset({"group:hr"})))
        for hits in (everyone, hr):
            assert {hit.id for hit in hits.dense} == {hit.id for hit in hits.sparse}
        assert set(texts(everyone.dense)) == {"apple jam", "apple tea"}
        assert texts(hr.dense) == ["apple pie"]
        assert hr.dense[0].readers == {"group:hr"}
        assert hr.dense[0].version == "1"
        with pytest.raises(ValueError, match="needs readers"):
            await docs.set_readers("docs", "folder", "a", frozenset())

    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,  # each example makes and drops its collection
            HealthCheck.differing_executors,  # each subclass runs it
            HealthCheck.too_slow,
        ],
    )
    @given(drawn=attributed())
    async def test_exactly_what_the_filter_holds_for_is_found(
        self, index: PassageIndex, drawn: tuple[list[dict[str, Scalar]], list[Filter], dict[str, Scalar]]
    ) -> None:
        attributes, filters, later = drawn
        await index.create("docs", SPEC)
        try:
            entries = [
                entry(f"apple {i}", document_id=f"d{i}", attributes=said, readers=ALL if i % 4 else frozenset({"hr"}))
                for i, said in enumerate(attributes)
            ]
            await index.upsert("docs", entries)
            for _ in range(2):
                for wanted in filters:
                    found = {f"apple {i}" for i, said in enumerate(attributes) if i % 4 and holds(wanted, said)}
                    hits = await index.search("docs", query("apple", filter=wanted))
                    assert set(texts(hits.dense)) == found, wanted
                    assert set(texts(hits.sparse)) == found, wanted
                for i, said in enumerate(attributes):
                    got = await index.get(entries[i].passage.id, frozenset({EVERYONE, "hr"}))
                    assert got
                    assert got.attributes == said
                    assert [type(value) is bool for value in got.attributes.values()] == [
                        type(value) is bool for value in said.values()
                    ]
                attributes[-1] = later
                await index.set_attributes("docs", "folder", f"d{len(attributes) - 1}", later)
        finally:
            await index.drop("docs")

    @pytest.mark.parametrize("key", ODD)
    async def test_an_odd_key_is_a_key(self, docs: PassageIndex, key: str) -> None:
        await docs.upsert("docs", [entry("apple", attributes={key: "x", "n": 1}), entry("pear", attributes={"a": "x"})])
        hits = await docs.search("docs", query("apple", filter=Compare("eq", key, ("x",))))
        assert texts(hits.dense) == ["apple"]
        assert hits.dense[0].attributes == {key: "x", "n": 1}
        assert hits.dense[0].readers == ALL
        for missed in (Compare("gt", key, (0,)), Compare("ne", key, ("x",))):
            hits = await docs.search("docs", query("apple", filter=Combine("and", (missed, Compare("eq", "n", (1,))))))
            assert hits.dense == []

    @pytest.mark.parametrize(
        ("attributes", "error"),
        [
            ({"a": float("nan")}, "finite"),
            ({"a": float("inf")}, "finite"),
            ({"a": (1 << 53) + 1}, "finite"),
            ({"a": 10**400}, "finite"),
            ({"a": "half \ud83d"}, "Unicode"),
            ({"\udc00": "x"}, "Unicode"),
        ],
    )
    async def test_an_attribute_that_cannot_be_kept_is_refused(
        self, docs: PassageIndex, attributes: Mapping[str, Scalar], error: str
    ) -> None:
        with pytest.raises(ValueError, match=error):
            await docs.upsert("docs", [entry("apple"), entry("pear", attributes=attributes)])
        assert await docs.count("docs") == 0
        await docs.upsert("docs", [entry("apple", attributes={"a": "as it was"})])
        with pytest.raises(ValueError, match=error):
            await docs.set_attributes("docs", "folder", "doc", attributes)
        ((key, value),) = attributes.items()
        with pytest.raises(BadRequest, match=error):
            await docs.search("docs", query("apple", filter=Compare("in", key, ("x", value))))
        assert (await docs.search("docs", query("apple"))).dense[0].attributes == {"a": "as it was"}

    @pytest.mark.parametrize("filter", ABSURD.values(), ids=ABSURD)
    async def test_an_absurd_filter_is_refused(self, docs: PassageIndex, filter: Filter) -> None:
        await docs.upsert("docs", [entry("apple")])
        with pytest.raises(BadRequest, match="filter"):
            await docs.search("docs", query("apple", filter=filter))
        assert texts((await docs.search("docs", query("apple"))).dense) == ["apple"]

    async def test_a_large_filter_works(self, docs: PassageIndex) -> None:
        await docs.upsert("docs", [entry("apple", attributes={"n": 7}), entry("pear", attributes={"n": -7})])
        deep: Filter = Compare("in", "n", (*range(9_000), "7"))
        for _ in range(8):
            deep = Combine("or", (Combine("and", (deep,)), Compare("eq", "x", (True,))))
        wide = Combine("or", (Compare("nin", "n", (-7, 7)), *(Compare("gt", "n", (7 - i,)) for i in range(99))))
        assert texts((await docs.search("docs", query("apple", filter=deep))).dense) == ["apple"]
        assert len((await docs.search("docs", query("apple", filter=wide))).dense) == 2

    async def test_new_attributes_hold_for_the_next_search(self, docs: PassageIndex) -> None:
        for start in (0, 9):
            await docs.upsert("docs", [entry("apple", start=start, attributes={"kind": "old", "year": 2020})])
        await docs.upsert("docs", [entry("apple", document_id="other", attributes={"kind": "old"})])
        await docs.upsert("docs", [entry("apple", source="wiki", attributes={"kind": "old"})])
        old, new = Compare("eq", "kind", ("old",)), Compare("eq", "kind", ("new",))
        await docs.set_attributes("docs", "folder", "doc", {"kind": "new"})
        await docs.set_attributes("docs", "folder", "not there", {"kind": "new"})
        found = (await docs.search("docs", query("apple", filter=new))).sparse
        assert [(hit.document_id, hit.source, hit.attributes) for hit in found] == [
            ("doc", "folder", {"kind": "new"})
        ] * 2
        assert len((await docs.search("docs", query("apple", filter=old))).sparse) == 2
        assert (await docs.search("docs", query("apple", filter=Compare("gt", "year", (0,))))).sparse == []
        assert {hit.readers for hit in found} == {ALL}
        await docs.set_attributes("docs", "folder", "doc", {})
        assert (await docs.search("docs", query("apple", filter=new))).sparse == []
        neither = Combine("and", (Compare("ne", "kind", ("new",)), Compare("ne", "kind", ("old",))))
        assert {hit.start for hit in (await docs.search("docs", query("apple", filter=neither))).dense} == {0, 9}
