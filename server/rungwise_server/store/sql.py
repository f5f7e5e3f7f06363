"""What is kept for clients, in SQLite or PostgreSQL."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import Raw
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from rungwise_server.database import Database
from rungwise_server.database import kept as table
from rungwise_server.errors import Conflict, NotFound
from rungwise_server.keeping import Kept, KeptQuery, Kind

_SELECT: sa.Select[Any] = sa.select(*(table.c[name] for name in Kept.__struct_fields__))
"""The columns in the order of a Kept's fields: ten thousand rows are a page."""


class SqlKept:
    """A KeptStore over a database. `clock` gives seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def add(self, kept: Kept) -> Kept:
        """Keep a new thing; see KeptStore. It takes the place of an expired one of its id."""
        kept = replace(kept, revision=1)
        await asyncio.to_thread(self._add, kept)
        return kept

    async def get(self, kind: Kind, id: str, owner: str | None) -> Kept | None:
        """The thing, if it is `owner`'s; see KeptStore."""
        return await asyncio.to_thread(self._get, kind, id, owner)

    async def change(self, kept: Kept) -> Kept:
        """Write state, body and expiry anew; see KeptStore."""
        await asyncio.to_thread(self._change, kept)
        return replace(kept, revision=kept.revision + 1)

    async def remove(self, kind: Kind, id: str) -> bool:
        """Whether it was there; see KeptStore. One that has expired is removed too, and was not there."""
        return await asyncio.to_thread(self._remove, kind, id)

    async def list(self, query: KeptQuery) -> Sequence[Kept]:
        """At most `limit` things; see KeptStore. With `before` alone, those nearest to it."""
        return await asyncio.to_thread(self._list, query)

    async def sweep(self, kind: Kind, limit: int = 100) -> Sequence[Kept]:
        """Expired things; see KeptStore."""
        return await asyncio.to_thread(self._sweep, kind, limit)

    # On threads.

    def _add(self, kept: Kept) -> None:
        same = (table.c.kind == kept.kind) & (table.c.id == kept.id)
        try:
            with self._database.write() as connection:
                connection.execute(sa.delete(table).where(same, self._expired()))
                connection.execute(
                    sa.insert(table).values(
                        kind=kept.kind,
                        id=kept.id,
                        owner=kept.owner,
                        parent=kept.parent,
                        state=kept.state,
                        created_at=kept.created_at,
                        expires_at=kept.expires_at,
                        revision=kept.revision,
                        body=bytes(kept.body).decode(),
                    )
                )
        except IntegrityError as error:
            raise Conflict(f"There is a {kept.kind} with the id {kept.id!r} already.") from error

    def _get(self, kind: Kind, id: str, owner: str | None) -> Kept | None:
        if not _can_be(id):
            return None
        statement = _SELECT.where(table.c.kind == kind, table.c.id == id, ~self._expired())
        if owner is not None:
            statement = statement.where(table.c.owner == owner)
        with self._database.read() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _kept(row)

    def _change(self, kept: Kept) -> None:
        ours = (table.c.kind == kept.kind) & (table.c.id == kept.id) & ~self._expired()
        with self._database.write() as connection:
            done = connection.execute(
                sa.update(table)
                .where(ours, table.c.revision == kept.revision)
                .values(
                    state=kept.state,
                    expires_at=kept.expires_at,
                    body=bytes(kept.body).decode(),
                    revision=kept.revision + 1,
                )
            )
            if done.rowcount:
                return
            there = connection.execute(sa.select(table.c.id).where(ours)).first() is not None
        if there:
            raise Conflict(f"The {kept.kind} {kept.id!r} was changed meanwhile: read it again.")
        raise NotFound(f"There is no {kept.kind} {kept.id!r} any more.")

    def _remove(self, kind: Kind, id: str) -> bool:
        if not _can_be(id):
            return False
        ours = (table.c.kind == kind) & (table.c.id == id)
        with self._database.write() as connection:
            until = connection.execute(sa.delete(table).where(ours).returning(table.c.expires_at)).scalar_one_or_none()
        return until is not None and not 0 < until <= self._clock()

    def _list(self, query: KeptQuery) -> Sequence[Kept]:
        chosen = self._chosen(query)
        place = sa.tuple_(table.c.created_at, table.c.id)
        # Away from the start of the list, or, with `before` alone, from its mark back to the start.
        backwards = bool(query.before) and not query.after
        falling = query.newest_first != backwards
        statement = _SELECT.where(*chosen)
        if query.states:
            statement = statement.where(table.c.state.in_(sorted(query.states)))
        with self._database.read() as connection:
            for id, later in ((query.after, True), (query.before, False)):
                if not id:
                    continue
                mark = sa.select(table.c.created_at).where(*chosen, table.c.id == id)
                at = connection.execute(mark).scalar_one_or_none() if _can_be(id) else None
                if at is None:
                    return []
                there = sa.tuple_(sa.literal(at, sa.Float(53)), sa.literal(id, sa.Text))
                statement = statement.where(place < there if query.newest_first == later else place > there)
            order = [table.c.created_at.desc(), table.c.id.desc()] if falling else [table.c.created_at, table.c.id]
            rows = connection.execute(statement.order_by(*order).limit(query.limit)).all()
        found = [_kept(row) for row in rows]
        return found[::-1] if backwards else found

    def _sweep(self, kind: Kind, limit: int) -> Sequence[Kept]:
        expired = _SELECT.where(table.c.kind == kind, self._expired())
        with self._database.read() as connection:
            return [_kept(row) for row in connection.execute(expired.order_by(table.c.expires_at).limit(limit))]

    def _chosen(self, query: KeptQuery) -> Sequence[sa.ColumnElement[bool]]:
        conditions = [table.c.kind == query.kind, ~self._expired()]
        if query.owner is not None:
            conditions.append(table.c.owner == query.owner)
        if query.parent:
            conditions.append(table.c.parent == query.parent)
        return conditions

    def _expired(self) -> sa.ColumnElement[bool]:
        return (table.c.expires_at > 0) & (table.c.expires_at <= self._clock())


def _kept(row: Sequence[Any]) -> Kept:
    id, kind, owner, created_at, body, parent, state, expires_at, revision = row
    return Kept(id, kind, owner, created_at, Raw(body.encode()), parent, state, expires_at, revision)


def _can_be(id: str) -> bool:
    """Whether a client's id can be one of ours: what no database can hold is asked of none."""
    return "\0" not in id and not any("\ud800" <= character <= "\udfff" for character in id)
