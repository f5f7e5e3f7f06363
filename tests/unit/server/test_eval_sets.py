"""Eval sets: versions, what comes and goes, and who is in between.

More than 400 lines, for every part of it stands on the same makers and stores.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.database import open_database
from rungwise_server.errors import BadRequest, Conflict, NotFound, SetupError
from rungwise_server.eval_sets import OWNER, EvalSets
from rungwise_server.evals import Cell, EvalRun, EvalSet, Example, example_id
from rungwise_server.keeping import Kept, KeptQuery, KeptStore
from rungwise_server.log.memory import MemoryLog
from rungwise_server.store.sql import SqlKept
from rungwise_server.testing.keeping import Clock, MemoryKept
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.scratch import scratch
from rungwise_server.types import Caller, Message

ANA = Caller(user="ana", groups=frozenset({"staff", "finance", "legal"}))


def an_example(question: str, **changes: Any) -> Example:
    """A question of Ana's; `changes` replace some of its fields."""
    raw = Raw(msgspec.json.format(msgspec.json.encode({"role": "user", "content": question})))
    messages = (Message("user", question, raw),)
    params = {"temperature": Raw(b"0.10")}
    return replace(Example(example_id(messages, ANA, params), messages, ANA, "hand", params), **changes)


def some(*numbers: int) -> list[Example]:
    """One example a number."""
    return [an_example(f"question {number}") for number in numbers]


def questions(examples: Any) -> list[str]:
    """What they ask, in order."""
    return sorted(example.question for example in examples)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, clock: Clock) -> Iterator[KeptStore]:
    if request.param == "memory":
        yield MemoryKept(clock)
        return
    with scratch() as folder:
        sqlite = request.param == "sqlite"
        database = open_database(
            f"sqlite:///{folder}/rungwise.db" if sqlite else request.getfixturevalue("postgres_url")
        )
        yield SqlKept(database, clock)
        database.close()


@pytest.fixture
def sets(kept: KeptStore, clock: Clock) -> EvalSets:
    return EvalSets(kept, clock)


async def rows(kept: KeptStore) -> list[Kept]:
    """All rows with examples."""
    return list(await kept.list(KeptQuery("eval_example", OWNER, limit=10_000)))


async def test_from_draft_to_frozen_and_on(sets: EvalSets, clock: Clock) -> None:
    draft = await sets.draft("support", "support")
    assert (draft.id, draft.size, draft.hash) == ("support@v1", 0, "")
    assert await sets.draft("support", "support") == draft
    assert questions(await sets.add(draft, some(1, 2, 2))) == ["question 1", "question 2"]
    assert (await sets.get("support")).size == 2
    clock.now += 5
    frozen = await sets.freeze(draft)
    assert (frozen.id, frozen.size, frozen.frozen_at) == ("support@v1", 2, clock.now)
    assert len(frozen.hash) == 64
    second = await sets.draft("support", "support")
    assert (second.id, second.size) == ("support@v2", 2)
    await sets.add(second, some(3))
    assert await sets.remove(second, [some(1)[0].id, "ex-nothing"]) == 1
    assert await sets.get("support") == frozen
    assert questions(await sets.examples(frozen)) == ["question 1", "question 2"]
    assert questions(await sets.examples(second)) == ["question 2", "question 3"]
    newest = await sets.freeze(second)
    assert await sets.get("support") == newest == await sets.get("support@v2")
    assert [one.id for one in await sets.list()] == ["support@v1", "support@v2"]
    assert await sets.get("support@v1") == frozen


async def test_what_is_added_comes_back_whole(sets: EvalSets) -> None:
    """Every field, the client's bytes among them."""
    draft = await sets.draft("s", "w")
    one = an_example(
        "¿Qué? \0 \u2028",
        reference="Four.",
        gold=("d2", "d1"),
        answerable=False,
        source="x:1",
        topic="t",
        why="y",
        weight=2.5,
        origin="docs",
    )
    [added] = await sets.add(draft, [one])
    [found] = await sets.examples(draft)
    assert msgspec.json.encode(found, order="deterministic") == msgspec.json.encode(one, order="deterministic")
    assert bytes(found.messages[0].raw) == bytes(one.messages[0].raw)
    assert added is one
    now = await sets.get("s")
    assert (now.size, now.synthetic) == (1, 1)


async def test_an_example_is_added_once(sets: EvalSets) -> None:
    """The first stays, unless it is to be brought up to date."""
    draft = await sets.draft("s", "w")
    await sets.add(draft, some(1, 2))
    assert await sets.add(draft, [an_example("question 1", reference="R")]) == []
    assert [one.reference for one in await sets.examples(draft)] == ["", ""]
    assert questions(await sets.add(draft, [an_example("question 1", reference="R"), *some(2, 3)], update=True)) == [
        "question 1",
        "question 3",
    ]
    assert sorted(one.reference for one in await sets.examples(draft)) == ["", "", "R"]


async def test_updating_leaves_frozen_versions_as_they_were(sets: EvalSets, kept: KeptStore) -> None:
    draft = await sets.draft("s", "w")
    await sets.add(draft, some(1, 2))
    frozen = await sets.freeze(draft)
    second = await sets.draft("s", "w")
    await sets.add(second, [an_example("question 1", reference="new")], update=True)
    await sets.add(second, [an_example("question 1", reference="newer")], update=True)
    await sets.remove(second, [some(2)[0].id])
    assert [one.reference for one in await sets.examples(second)] == ["newer"]
    assert [one.reference for one in await sets.examples(frozen)] == ["", ""]
    assert len(await rows(kept)) == 2  # "new" is gone


async def test_an_unchanged_draft_becomes_no_version(sets: EvalSets) -> None:
    """And the number is taken by the next one that changes something."""
    first = await sets.draft("s", "w")
    await sets.add(first, some(1))
    frozen = await sets.freeze(first)
    second = await sets.draft("s", "w")
    assert await sets.freeze(second) == frozen
    assert [one.id for one in await sets.list()] == ["s@v1"]
    with pytest.raises(NotFound):
        await sets.examples(second)
    with pytest.raises(NotFound):
        await sets.add(second, some(2))
    again = await sets.draft("s", "w")
    assert (again.id, again.size) == ("s@v2", 1)
    await sets.add(again, some(2))
    assert (await sets.freeze(again)).size == 2


async def test_frozen_sets_take_nothing(sets: EvalSets, kept: KeptStore) -> None:
    draft = await sets.draft("s", "w")
    await sets.add(draft, some(1))
    frozen = await sets.freeze(draft)
    assert await sets.freeze(draft) == frozen
    with pytest.raises(Conflict, match="s@v1 is frozen"):
        await sets.add(draft, some(2))
    with pytest.raises(Conflict, match="s@v1 is frozen"):
        await sets.remove(frozen, [some(1)[0].id])
    assert len(await rows(kept)) == 1


async def test_the_hash_is_of_what_is_in_it_alone(sets: EvalSets) -> None:
    """Whatever order, and however many steps."""
    hashes = []
    for name, order in (("a", some(1, 2, 3)), ("b", some(3, 1, 2)), ("c", some(1, 2))):
        draft = await sets.draft(name, "w")
        for example in order:
            await sets.add(draft, [example])
        hashes.append((await sets.freeze(draft)).hash)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("tamper", ["change", "remove"])
async def test_frozen_examples_that_changed_are_told(sets: EvalSets, kept: KeptStore, tamper: str) -> None:
    """Somebody who writes past this room cannot change what was frozen unseen."""
    draft = await sets.draft("s", "w")
    await sets.add(draft, some(1))
    frozen = await sets.freeze(draft)
    [row] = await rows(kept)
    if tamper == "change":
        await kept.change(replace(row, body=Raw(bytes(row.body).replace(b"question 1", b"question 2"))))
    else:
        await kept.remove("eval_example", row.id)
    with pytest.raises(SetupError, match="s@v1 is not to be trusted"):
        await sets.examples(frozen)


async def test_names(sets: EvalSets) -> None:
    for name in ("", "a b", "a@v1", "-x", "x" * 65, "a\n"):
        with pytest.raises(BadRequest, match="no name of an eval set"):
            await sets.draft(name, "w")
    with pytest.raises(NotFound, match="`rungwise eval new WORKLOAD`"):
        await sets.get("s")
    draft = await sets.draft("s", "w")
    with pytest.raises(Conflict, match="of the workload 'w'"):
        await sets.draft("s", "other")
    with pytest.raises(BadRequest, match="no example"):
        await sets.freeze(draft)
    await sets.add(draft, some(1))
    await sets.freeze(draft)
    for ref in ("s@v2", "s@v01", "s@v", "t", "t@v1", "s@v99999999999999", "\0", "@v1"):
        with pytest.raises(NotFound, match="s@v1"):
            await sets.get(ref)


async def test_examples_that_no_store_can_hold(sets: EvalSets) -> None:
    draft = await sets.draft("s", "w")
    for bad in (an_example("x", reference="\ud83d"), an_example("x", weight=float("nan")), an_example("x", weight=0)):
        with pytest.raises(BadRequest):
            await sets.add(draft, [*some(1), bad])
    assert await sets.examples(draft) == []


async def test_thousands(sets: EvalSets) -> None:
    """More than one row and more than one page."""
    draft = await sets.draft("s", "w")
    many = some(*range(13_000))
    assert len(await sets.add(draft, many)) == 13_000
    frozen = await sets.freeze(draft)
    second = await sets.draft("s", "w")
    assert await sets.remove(second, [one.id for one in many[:5_000]]) == 5_000
    assert len(await sets.examples(second)) == 8_000
    assert len(await sets.examples(frozen)) == frozen.size == 13_000


async def test_many_add_at_once(sets: EvalSets) -> None:
    """Each example is new to one of them."""
    drafts = await asyncio.gather(*(sets.draft("s", "w") for _ in range(6)))
    assert len(set(drafts)) == 1
    added = await asyncio.gather(*(sets.add(drafts[0], some(*range(n, n + 5))) for n in range(0, 12, 2)))
    assert questions(one for part in added for one in part) == questions(some(*range(15)))
    assert questions(await sets.examples(drafts[0])) == questions(some(*range(15)))
    assert (await sets.get("s")).size == 15


async def test_who_adds_while_it_is_frozen(sets: EvalSets) -> None:
    """Is in it, or is told so."""
    for round in range(8):
        draft = await sets.draft("s", "w")
        await sets.add(draft, some(1000 + round))
        ends = await asyncio.gather(
            sets.freeze(draft), *(sets.add(draft, some(n, n + 500)) for n in range(4)), return_exceptions=True
        )
        frozen = ends[0]
        assert isinstance(frozen, EvalSet)
        inside = set(questions(await sets.examples(frozen)))
        for number, end in enumerate(ends[1:]):
            assert isinstance(end, Conflict) or f"question {number}" in inside
    assert len(await sets.examples(await sets.get("s"))) == (await sets.get("s")).size


class _Dies(Exception):
    pass


class _Dying:
    """A store whose process dies before or after its nth write. All else is the real one's."""

    def __init__(self, kept: KeptStore, writes: int, *, after: bool) -> None:
        self._kept, self._left, self._after = kept, writes, after

    async def _write(self, call: Any) -> Any:
        self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._after):
            call.close()
            raise _Dies
        result = await call
        if self._left == 0:
            raise _Dies
        return result

    async def add(self, kept: Kept) -> Any:
        return await self._write(self._kept.add(kept))

    async def change(self, kept: Kept) -> Any:
        return await self._write(self._kept.change(kept))

    async def remove(self, kind: Any, id: str) -> Any:
        return await self._write(self._kept.remove(kind, id))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept, name)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("writes", range(1, 11))
async def test_a_process_that_dies_leaves_nothing_half_true(
    kept: KeptStore, sets: EvalSets, writes: int, after: bool
) -> None:
    """At whichever write; what it began can be done again, and leaves no example that no set lists."""
    draft = await sets.draft("s", "w")
    await sets.add(draft, some(1, 2))
    old = await sets.freeze(draft)

    async def works(by: EvalSets) -> None:
        second = await by.draft("s", "w")
        await by.add(second, some(3, 4))
        await by.add(second, [an_example("question 4", reference="R"), *some(*range(10, 10 + 300))], update=True)
        await by.remove(second, [some(3)[0].id])
        await by.freeze(second)

    with pytest.raises(_Dies):
        await works(EvalSets(_Dying(kept, writes, after=after)))
    for version in await sets.list():
        found = await sets.examples(version)
        assert len(found) == version.size
        assert not version.frozen_at or version.size in (2, 303)
    assert questions(await sets.examples(old)) == ["question 1", "question 2"]
    await works(sets)
    newest = await sets.get("s")
    listed = await sets.examples(newest)
    assert len(listed) == 303
    lying = [one for row in await rows(kept) for one in msgspec.json.decode(row.body)["examples"]]
    frozen = [one for version in await sets.list() if version.frozen_at for one in await sets.examples(version)]
    assert {one["id"] for one in lying} == {one.id for one in frozen}


def a_run(id: str, at: float, *cells: Cell, set_id: str = "s@v1") -> EvalRun:
    """A run with these cells."""
    return EvalRun(id, set_id, "hash", "w", at, tuple(sorted({cell.candidate for cell in cells})), cells)


async def test_runs(sets: EvalSets) -> None:
    await sets.add_run(a_run("r1", 1.0))
    await sets.add_run(a_run("r3", 3.0, Cell("e", "c", "i", "ok", {"correct": 0.5}), set_id="s@v2"))
    await sets.add_run(a_run("r2", 2.0, set_id="s-2@v2"))
    with pytest.raises(Conflict):
        await sets.add_run(a_run("r1", 9.0))
    assert [run.id for run in await sets.runs("s")] == ["r3", "r1"]
    assert (await sets.runs("s"))[0].cells[0].metrics == {"correct": 0.5}
    assert await sets.runs("t") == []


async def test_answers(sets: EvalSets) -> None:
    """The newest of each candidate, and the one that was logged; failed ones are none."""
    log = MemoryLog()
    first, logged, other = an_example("1"), an_example("2", origin="log", source="traffic"), an_example("3")
    draft = await sets.draft("s", "w")
    await sets.add(draft, [first, logged])
    frozen = await sets.freeze(draft)
    for id, outcome in (("traffic", "ok"), ("a1", "ok"), ("a2", "ok"), ("a3", "ok"), ("b1", "ok"), ("bad", "failed")):
        surface = "chat" if id == "traffic" else "eval"
        await log.append(an_inference(id, outcome=outcome, surface=surface, housekeeping=id == "b1"))
    await sets.add_run(a_run("r1", 1.0, Cell(first.id, "a", "a1", "ok"), Cell(first.id, "b", "b1", "ok")))
    await sets.add_run(a_run("r2", 2.0, Cell(first.id, "a", "a2", "ok"), Cell(logged.id, "a", "bad", "failed")))
    await sets.add_run(a_run("r3", 3.0, Cell(other.id, "a", "a3", "ok"), Cell(first.id, "a", "gone", "broken")))
    pairs = {(example.question, inference.id) for example, inference in await sets.answers(frozen, log)}
    assert pairs == {("1", "a2"), ("1", "b1"), ("2", "traffic")}


async def test_nobody_owns_them(sets: EvalSets, kept: KeptStore) -> None:
    """No caller's principal reads what is kept here."""
    draft = await sets.draft("s", "w")
    await sets.add(draft, some(1))
    for caller in (Caller(), ANA, Caller(user="house"), Caller(groups=frozenset({"house"}))):
        assert await kept.get("eval_set", "s@v1", caller.owner) is None
        assert OWNER not in caller.principals


_numbers = st.lists(st.integers(0, 5), max_size=4)


class Versions(RuleBasedStateMachine):
    """A set against what it must be: versions that are dictionaries, the last of them open or not."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.kept = MemoryKept(Clock())
        self.sets = EvalSets(self.kept, Clock())
        self.frozen: list[dict[int, str]] = []
        self.open: dict[int, str] | None = None

    def drafted(self) -> EvalSet:
        if self.open is None:
            self.open = dict(self.frozen[-1]) if self.frozen else {}
        return self.runner.run(self.sets.draft("s", "w"))

    @rule(numbers=_numbers, reference=st.sampled_from(["", "a", "b"]), update=st.booleans())
    def add(self, numbers: list[int], reference: str, update: bool) -> None:
        draft = self.drafted()
        assert self.open is not None
        examples = [an_example(f"question {number}", reference=reference) for number in numbers]
        added = self.runner.run(self.sets.add(draft, examples, update=update))
        new = {n for n in numbers if n not in self.open or (update and self.open[n] != reference)}
        assert questions(added) == [f"question {number}" for number in sorted(new)]
        self.open |= dict.fromkeys(new, reference)

    @rule(numbers=_numbers)
    def remove(self, numbers: list[int]) -> None:
        draft = self.drafted()
        assert self.open is not None
        gone = set(numbers) & set(self.open)
        assert self.runner.run(self.sets.remove(draft, [one.id for one in some(*numbers)])) == len(gone)
        for number in gone:
            del self.open[number]

    @rule()
    def freeze(self) -> None:
        draft = self.drafted()
        if not self.open:
            with pytest.raises(BadRequest):
                self.runner.run(self.sets.freeze(draft))
            return
        if not self.frozen or self.frozen[-1] != self.open:
            self.frozen.append(self.open)
        self.open = None
        assert self.runner.run(self.sets.freeze(draft)).version == len(self.frozen)

    @invariant()
    def all_versions_are_as_they_were(self) -> None:
        versions = [*self.frozen, *([] if self.open is None else [self.open])]
        found = self.runner.run(self.sets.list())
        assert [one.version for one in found] == list(range(1, len(versions) + 1))
        for of, expected in zip(found, versions, strict=True):
            examples = self.runner.run(self.sets.examples(of))
            assert {one.question: one.reference for one in examples} == {
                f"question {number}": reference for number, reference in expected.items()
            }
            assert of.size == len(expected)

    @invariant()
    def nothing_lies_about(self) -> None:
        listed = {
            (one.id, one.reference) for of in self.runner.run(self.sets.list())
            for one in self.runner.run(self.sets.examples(of))
        }  # fmt: skip
        lying = [one for row in self.runner.run(rows(self.kept)) for one in msgspec.json.decode(row.body)["examples"]]
        assert {(one["id"], one.get("reference", "")) for one in lying} == listed

    def teardown(self) -> None:
        self.runner.close()


TestVersions = Versions.TestCase
TestVersions.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
