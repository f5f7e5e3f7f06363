"""Eval sets as they are kept: rows of the KeptStore, which commands write and whoever evaluates reads.

A version of a set is one row, `draft` or `frozen`, that lists its examples; the examples themselves lie in rows of
their own, many in one, whose parent is the version that they were added to. Later versions list them where they lie.
All that happens to a set is one change of its row, decided by the revision: an adder that dies before it leaves
examples that no set lists, which the next freeze clears away; a frozen row takes no change, so its examples are those
that its hash was made of.

Everything here belongs to `OWNER`, a principal that no route takes for a person: an eval set is the operators', made
from many callers' questions, and is seen through the command line and admin routes alone.
"""

import hashlib
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_server.errors import BadRequest, Conflict, NotFound, SetupError
from rungwise_server.evals import EvalRun, EvalSet, Example
from rungwise_server.keeping import Kept, KeptQuery, KeptStore, Kind
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Inference, LogQuery
from rungwise_server.types import new_id

OWNER = "house"
"""Nobody's principal: callers' are `everyone`, `user:NAME` and `group:NAME`, so no caller owns what is kept here."""

DRAFT = "draft"
FROZEN = "frozen"
_SAME = "same"
"""A draft that held what the version before it holds when it was frozen: no version, until there is a draft again."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REF = re.compile(r"(.*)@v([1-9][0-9]{0,8})", re.DOTALL)
_PAGE = 50
_ROW = 250
"""How many examples lie in one row: a row is one commit, and a commit may take a disk a tenth of a second."""

_SEEN = frozenset({DRAFT, FROZEN})


class _Member(Struct, frozen=True, array_like=True):
    """Where an example lies: in which row, of which version; and whether a model wrote it."""

    row: str
    version: int
    synthetic: bool = False


class _Body(Struct, frozen=True):
    set: EvalSet
    members: Mapping[str, _Member] = {}


class _Head(Struct, frozen=True):
    set: EvalSet


class _Examples(Struct, frozen=True):
    examples: tuple[Example, ...]


class EvalSets:
    """The eval sets of the house. Methods raise Unavailable where the store cannot be reached."""

    def __init__(self, kept: KeptStore, clock: Callable[[], float] = time.time) -> None:
        self._kept = kept
        self._clock = clock

    async def draft(self, name: str, workload: str) -> EvalSet:
        """The open draft; where there is none it is made, with all examples of the newest frozen version.

        Raises:
            BadRequest: `name` is none.
            Conflict: the set is another workload's.
        """
        if not _NAME.fullmatch(name):
            raise BadRequest(
                f"{name!r} is no name of an eval set: take letters, digits, '.', '_' and '-', 64 at most, and begin "
                "with a letter or digit.",
                param="name",
            )
        while True:
            rows = [(row, _body(row)) async for row in self._rows("eval_set", name)]
            newest = max(
                (body.set for row, body in rows if row.state in _SEEN), key=lambda one: one.version, default=None
            )
            if newest is not None and newest.workload != workload:
                raise Conflict(
                    f"The eval set {name!r} is of the workload {newest.workload!r}: give this one another name.",
                    param="name",
                )
            if newest is not None and not newest.frozen_at:
                return newest
            version = 1 if newest is None else newest.version + 1
            members = next((body.members for _, body in rows if body.set == newest), {})
            made = _with(EvalSet(name, version, workload, self._clock()), members)
            vacant = next((row for row, body in rows if body.set.version == version), None)
            try:
                if vacant is None:
                    await self._kept.add(
                        Kept(made.set.id, "eval_set", OWNER, made.set.created_at, _raw(made), name, DRAFT)
                    )
                else:
                    await self._kept.change(replace(vacant, state=DRAFT, body=_raw(made)))
            except Conflict:
                continue  # another has made it meanwhile
            return made.set

    async def add(self, drafted: EvalSet, examples: Sequence[Example], *, update: bool = False) -> Sequence[Example]:
        """Take in those that are not in the draft yet, and return them. With `update`, one that is there and says
        something else is replaced, and returned too. All or none, and none twice, whoever else adds.

        Raises:
            Conflict: the set is frozen.
            BadRequest: an example holds what no JSON can.
            NotFound: there is no such set.
        """
        new: dict[str, Example] = {}
        for example in examples:
            new.setdefault(example.id, _sound(example))
        written: dict[str, str] = {}  # the row of each example
        while True:
            try:
                row, body = await self._open(drafted)
            except (Conflict, NotFound):
                await self._forget(written)
                raise
            had = await self._read(body) if update else {}
            if had is None:
                continue
            new = {
                id: one
                for id, one in new.items()
                if id not in body.members or (update and _encoded(had[id]) != _encoded(one))
            }
            if new and not written:
                written = await self._write(drafted, list(new.values()))
            added = {id: _Member(written[id], drafted.version, one.synthetic) for id, one in new.items()}
            # An error here may be of a change that came to pass: what was written is left for `freeze` to clear away.
            if not new or await self._changed(row, _with(body.set, {**body.members, **added})):
                break
        await self._forget({id: at for id, at in written.items() if id not in new})
        await self._forget(_own(drafted, {id: body.members[id] for id in new if id in body.members}))
        return list(new.values())

    async def remove(self, drafted: EvalSet, ids: Collection[str]) -> int:
        """Take examples out of the draft; how many were in it. Those that no frozen version holds are gone for good.

        Raises:
            Conflict: the set is frozen.
            NotFound: there is no such set.
        """
        while True:
            row, body = await self._open(drafted)
            gone = {id: member for id, member in body.members.items() if id in ids}
            if not gone:
                return 0
            left = {id: member for id, member in body.members.items() if id not in gone}
            if await self._changed(row, _with(body.set, left)):
                break
        await self._forget(_own(drafted, gone))
        return len(gone)

    async def freeze(self, drafted: EvalSet) -> EvalSet:
        """Make the draft a version that never changes. One that holds just what the newest version holds becomes no
        new version: that one is returned. Freezing what is frozen changes nothing.

        Raises:
            BadRequest: there is no example in it.
            NotFound: there is no such set.
        """
        while True:
            row, body = await self._row(drafted)
            if row.state == FROZEN:
                await self._clear(body)
                return body.set
            if not body.members:
                raise BadRequest(f"There is no example in {drafted.id}: add some before it is frozen.", param="name")
            found = await self._read(body)
            if found is None:
                continue
            digest = _hash(found)
            last = await self._kept.get("eval_set", f"{drafted.name}@v{drafted.version - 1}", OWNER)
            if last is not None and (before := _body(last).set).hash == digest:
                if await self._changed(row, body, _SAME):
                    return before
                continue
            frozen = replace(body, set=replace(body.set, frozen_at=self._clock(), hash=digest))
            if await self._changed(row, frozen, FROZEN):
                await self._clear(frozen)
                return frozen.set

    async def get(self, ref: str) -> EvalSet:
        """`support`: the newest frozen version, or the draft while there is none; `support@v3`: that one.

        Raises:
            NotFound: with what there is.
        """
        at = _REF.fullmatch(ref)
        found = await self._kept.get("eval_set", ref, OWNER) if at else None
        if found is not None and found.state in _SEEN:
            return _body(found).set
        sets = await self.list()
        versions = [one for one in sets if one.name == (at[1] if at else ref)]
        frozen = [one for one in versions if one.frozen_at]
        if not at and versions:
            return max(frozen or versions, key=lambda one: one.version)
        there = ", ".join(one.id for one in versions or sets[-20:])
        hint = f"There are: {there}." if there else "There is none yet: `rungwise eval new WORKLOAD` makes one."
        raise NotFound(f"There is no eval set {ref!r}. {hint}", param="eval_set")

    async def list(self) -> Sequence[EvalSet]:
        """Every version of every set, by name and version."""
        sets = [
            msgspec.json.decode(row.body, type=_Head).set async for row in self._rows("eval_set") if row.state in _SEEN
        ]
        return sorted(sets, key=lambda one: (one.name, one.version))

    async def examples(self, of: EvalSet) -> Sequence[Example]:
        """Those of a version, by id.

        Raises:
            SetupError: a frozen version's examples are no longer those that its hash was made of.
            NotFound: there is no such set.
        """
        while True:
            row, body = await self._row(of)
            found = await self._read(body)
            if found is None:
                continue
            if row.state == FROZEN and _hash(found) != body.set.hash:
                raise _broken(of, "its examples are not those that were frozen")
            return [found[id] for id in sorted(found)]

    async def add_run(self, run: EvalRun) -> None:
        """Keep a run. Raises Conflict where its id is taken."""
        name = run.set_id.rpartition("@")[0]
        await self._kept.add(Kept(run.id, "eval_run", OWNER, run.at, _raw(run), name, "done"))

    async def runs(self, name: str) -> Sequence[EvalRun]:
        """The runs of all versions of a set, newest first."""
        kept = [row async for row in self._rows("eval_run", name)]
        return [msgspec.json.decode(row.body, type=EvalRun) for row in reversed(kept)]

    async def answers(self, of: EvalSet, log: InferenceLog) -> Sequence[tuple[Example, Inference]]:
        """The `ok` answers to a version's examples, by example: of each candidate the newest that a run got, whatever
        version it ran on; and, of an example from the log, the answer that its asker got.
        """
        examples = {example.id: example for example in await self.examples(of)}
        wanted: dict[tuple[str, str], str] = {}
        for run in await self.runs(of.name):
            for cell in run.cells:
                if cell.outcome == "ok" and cell.example in examples:
                    wanted.setdefault((cell.example, cell.candidate), cell.inference_id)
        asked: dict[str, dict[str, None]] = {}
        for (id, _), inference in wanted.items():
            asked.setdefault(inference, {})[id] = None
        for example in examples.values():
            if example.origin == "log" and example.source:
                asked.setdefault(example.source, {})[example.id] = None
        query = LogQuery(kind="inference", ids=frozenset(asked), housekeeping=True, own=True)
        found: list[tuple[Example, Inference]] = []
        async for record in log.read(query):
            if isinstance(record, Inference) and record.outcome == "ok":
                found += [(examples[id], record) for id in asked[record.id]]
        return sorted(found, key=lambda pair: (pair[0].id, pair[1].position))

    async def _row(self, of: EvalSet) -> tuple[Kept, _Body]:
        row = await self._kept.get("eval_set", of.id, OWNER)
        if row is None or row.state not in _SEEN:
            raise NotFound(f"There is no eval set {of.id!r} any more.", param="eval_set")
        return row, _body(row)

    async def _open(self, drafted: EvalSet) -> tuple[Kept, _Body]:
        row, body = await self._row(drafted)
        if row.state != DRAFT:
            raise Conflict(
                f"{drafted.id} is frozen: nothing comes or goes. `rungwise eval add {drafted.workload}` begins the "
                "next version.",
                param="eval_set",
            )
        return row, body

    async def _changed(self, row: Kept, body: Struct, state: str = DRAFT) -> bool:
        """Whether nobody was faster."""
        try:
            await self._kept.change(replace(row, state=state, body=_raw(body)))
        except Conflict:
            return False
        return True

    async def _write(self, drafted: EvalSet, examples: Sequence[Example]) -> dict[str, str]:
        """Write examples, which no set lists yet; the row of each."""
        written: dict[str, str] = {}
        for start in range(0, len(examples), _ROW):
            part = tuple(examples[start : start + _ROW])
            row = Kept(new_id("examples"), "eval_example", OWNER, self._clock(), _raw(_Examples(part)), drafted.id)
            written.update(dict.fromkeys((example.id for example in part), row.id))
            await self._kept.add(row)
        return written

    async def _read(self, body: _Body) -> dict[str, Example] | None:
        """The examples that `body` lists; None where the draft has changed since. Raises SetupError."""
        found: dict[str, Example] = {}
        for version in sorted({member.version for member in body.members.values()}):
            async for row in self._rows("eval_example", f"{body.set.name}@v{version}"):
                for example in msgspec.json.decode(row.body, type=_Examples).examples:
                    member = body.members.get(example.id)
                    if member is not None and member.row == row.id:
                        found[example.id] = example
        if len(found) == len(body.members):
            return found
        _, now = await self._row(body.set)
        if now == body:
            raise _broken(body.set, f"{len(body.members) - len(found)} of its examples are gone")
        return None

    async def _forget(self, gone: Mapping[str, str]) -> None:
        """Delete examples that no set lists; `gone` says which row each lies in."""
        for row_id in sorted(set(gone.values())):
            while (row := await self._kept.get("eval_example", row_id, OWNER)) is not None:
                examples = msgspec.json.decode(row.body, type=_Examples).examples
                left = tuple(one for one in examples if gone.get(one.id) != row_id)
                if not left:
                    await self._kept.remove("eval_example", row_id)
                elif not await self._changed(row, _Examples(left), ""):
                    continue
                break

    async def _clear(self, frozen: _Body) -> None:
        """Delete rows of a version that it does not list, of adders that died: it takes no more."""
        listed = {member.row for member in frozen.members.values()}
        for row in [row async for row in self._rows("eval_example", frozen.set.id)]:
            if row.id not in listed:
                await self._kept.remove("eval_example", row.id)

    async def _rows(self, kind: Kind, parent: str = "") -> AsyncIterator[Kept]:
        after = ""
        while page := await self._kept.list(
            KeptQuery(kind, OWNER, parent, after=after, newest_first=False, limit=_PAGE)
        ):
            for row in page:
                yield row
            if len(page) < _PAGE:
                return
            after = page[-1].id


def _raw(body: Struct) -> Raw:
    return Raw(msgspec.json.encode(body))


def _body(row: Kept) -> _Body:
    return msgspec.json.decode(row.body, type=_Body)


def _with(of: EvalSet, members: Mapping[str, _Member]) -> _Body:
    synthetic = sum(member.synthetic for member in members.values())
    return _Body(replace(of, size=len(members), synthetic=synthetic), members)


def _own(drafted: EvalSet, members: Mapping[str, _Member]) -> Mapping[str, str]:
    """The rows of those that were added to this very version: no other can list them."""
    return {id: member.row for id, member in members.items() if member.version == drafted.version}


def _encoded(example: Example) -> bytes:
    return msgspec.json.encode(example, order="deterministic")


def _hash(examples: Mapping[str, Example]) -> str:
    """Over all that the examples say, in the order of their ids."""
    return hashlib.sha256(b"\n".join(_encoded(examples[id]) for id in sorted(examples))).hexdigest()


def _sound(example: Example) -> Example:
    """The example, if it comes back from the store as it went in. Raises BadRequest."""
    try:
        _encoded(example)
    except UnicodeEncodeError as error:
        raise BadRequest(f"The question {example.question[:80]!r} has text that is no Unicode.") from error
    if not math.isfinite(example.weight) or example.weight <= 0:
        raise BadRequest(f"The weight of {example.id} is {example.weight}: it must be above 0.")
    return example


def _broken(of: EvalSet, why: str) -> SetupError:
    return SetupError(
        f"{of.id} is not to be trusted: {why}. Restore the database from a backup, or freeze a new version.",
        code="eval_set_changed",
    )
