"""Between a record and its row: the columns that are asked for, and the body with everything."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql, sqlite

from rungwise_server.database import feedback, grade, inference
from rungwise_server.records import OWN_SURFACES, Feedback, Inference, LogQuery, LogRecord, Total

TableName = Literal["inference", "feedback", "grade"]
Columns = dict[str, str | int | float | bool | None]

_LARGEST = 2**63 - 1
_EPOCH = date(1970, 1, 1)
_TABLES: dict[TableName, sa.Table] = {"inference": inference, "feedback": feedback, "grade": grade}
_COLUMNS = {name: {c.name for c in table.c} - {"position", "body"} for name, table in _TABLES.items()}
# Compiled once, and run by the driver itself: SQLAlchemy's way there costs more than the insert does.
_INSERT = {
    dialect.name: {
        name: str(make(table).on_conflict_do_nothing(index_elements=["id"]).compile(dialect=dialect))
        for name, table in _TABLES.items()
    }
    for dialect, make in (
        (sqlite.dialect(paramstyle="named"), sqlite.insert),
        (postgresql.dialect(paramstyle="pyformat"), postgresql.insert),  # type: ignore[no-untyped-call]
    )
}
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[LogRecord] = msgspec.json.Decoder(LogRecord)


class Row(Struct, frozen=True):
    """A record on its way into a table. `body` is its JSON."""

    table: TableName
    columns: Columns
    body: bytes


def encode(record: LogRecord) -> Row:
    """The row of a record. What no JSON and no database can hold (half a surrogate pair, a number that is none) is
    replaced: an answer with one odd character must not escape the log.
    """
    try:
        body = _encoder.encode(record)
        # A NaN becomes null, which the reader's types refuse; most bodies have no null at all.
        if b":null" in body:
            _decoder.decode(body)
    except (UnicodeEncodeError, msgspec.DecodeError):
        record = _mended(record)
        body = _encoder.encode(record)
    if isinstance(record, Inference):
        return Row("inference", _columns(record), body)
    return Row("feedback" if isinstance(record, Feedback) else "grade", _columns(record), body)


def decode(body: bytes | str, position: int) -> LogRecord:
    """The record of a body, standing at `position`. Raises msgspec.DecodeError."""
    return msgspec.structs.replace(_decoder.decode(body), position=position)


def insert(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Write rows in their order, those excepted whose ids are there.

    Positions become visible in order: the update locks the one row of `log_head` until the commit, so that no batch
    with a higher position can be committed before this one, whichever process writes it. Otherwise a reader that
    remembers "read up to 7" would never see a 6 that was committed after it. (A sequence would give numbers without
    waiting, which is just the fault.)
    """
    connection.exec_driver_sql(f"update log_head set position = position + {len(rows)}")
    position: int = connection.exec_driver_sql("select position from log_head").scalar_one() - len(rows)
    batches: dict[TableName, list[dict[str, object]]] = {name: [] for name in _TABLES}
    for row in rows:
        position += 1
        columns = row.columns
        if columns.keys() != _COLUMNS[row.table]:  # spooled by another version
            columns = _columns(_decoder.decode(row.body))
        batches[row.table].append({**columns, "position": position, "body": row.body.decode(errors="replace")})
    for name, batch in batches.items():
        if batch:
            connection.exec_driver_sql(_INSERT[connection.dialect.name][name], batch)


def select(query: LogQuery, after: int, limit: int, dialect: str) -> sa.Select[Any] | sa.CompoundSelect[Any] | None:
    """The statement for (position, body) of the first `limit` records after a position; None where none can be.

    One statement for all tables: several would see several moments, and the later positions that the first lacks.
    """
    parts = []
    if query.kind in (None, "inference") and query.inference_ids is None:
        part = _common(sa.select(inference.c.position, inference.c.body), inference, query, after, dialect)
        parts.append(_answers(part, query))
    for name, table in (("feedback", feedback), ("grade", grade)):
        if query.kind not in (None, name):
            continue
        part = _common(sa.select(table.c.position, table.c.body), table, query, after, dialect)
        if query.inference_ids is not None:
            part = part.where(_among(table.c.inference_id, query.inference_ids, dialect))
        if query.workload:
            about = (inference.c.id == table.c.inference_id) & (inference.c.workload == plain(query.workload))
            part = part.where(sa.exists().where(about))
        parts.append(part)
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0].order_by("position").limit(limit)
    # Each part is cut as well: without it, SQLite sorts all tables whole.
    cut = [sa.select(part.order_by("position").limit(limit).subquery()) for part in parts]
    return sa.union_all(*cut).order_by("position").limit(limit)


def sums(query: LogQuery, dialect: str) -> sa.Select[Any]:
    """The statement for the fields of `Total`, in their order, the day as a number of days since the epoch."""
    c = inference.c
    # A cast cuts off in SQLite, which may lack `floor`, and rounds in PostgreSQL.
    day = sa.cast(c.at / 86400 if dialect == "sqlite" else sa.func.floor(c.at / 86400), sa.BigInteger)
    known = sa.case((c.cost.is_not(None), 1), else_=0)
    fine = sa.case((c.outcome == "ok", 1), else_=0)
    own = c.surface.in_(sorted(OWN_SURFACES))
    summed = [sa.func.coalesce(sa.func.sum(what), 0) for what in (fine, known, c.input_tokens, c.output_tokens)]
    columns = [
        day,
        c.workload,
        c.candidate,
        sa.func.count(),
        *(sa.cast(what, sa.BigInteger) for what in summed),
        *(sa.func.coalesce(sa.func.sum(what), 0.0) for what in (c.cost, c.total_ms)),
        own,
        c.housekeeping,
    ]
    part = _answers(_common(sa.select(*columns), inference, query, query.after, dialect), query)
    by = (day, c.workload, c.candidate, own, c.housekeeping)
    return part.group_by(*by).order_by(*by)


def total(row: Sequence[Any]) -> Total:
    """A row of `sums`."""
    day, *others = row
    return Total((_EPOCH + timedelta(days=int(day))).isoformat(), *others)


def _answers(part: sa.Select[Any], query: LogQuery) -> sa.Select[Any]:
    if query.workload:
        part = part.where(inference.c.workload == plain(query.workload))
    if not query.housekeeping:
        part = part.where(inference.c.housekeeping.is_(False))
    if not query.own:
        part = part.where(inference.c.surface.not_in(sorted(OWN_SURFACES)))
    return part


def _common(part: sa.Select[Any], table: sa.Table, query: LogQuery, after: int, dialect: str) -> sa.Select[Any]:
    part = part.where(table.c.position > after)
    if query.ids is not None:
        part = part.where(_among(table.c.id, query.ids, dialect))
    if query.user:
        part = part.where(table.c.user_name == plain(query.user))
    if query.since:
        part = part.where(table.c.at >= query.since)
    if query.until:
        part = part.where(table.c.at < query.until)
    return part


def _among(column: sa.Column[Any], values: frozenset[str], dialect: str) -> sa.ColumnElement[bool]:
    # One parameter, however many values: both databases have a limit on their number.
    names = sorted(plain(value) for value in values)
    if dialect == "postgresql":
        return column == sa.any_(sa.bindparam(None, names, type_=postgresql.ARRAY(sa.Text)))
    listed = sa.func.json_each(msgspec.json.encode(names).decode()).table_valued("value")
    return column.in_(sa.select(listed.c.value))


def _columns(record: LogRecord) -> Columns:
    if isinstance(record, Inference):
        usage = record.usage
        return {
            "id": plain(record.id),
            "at": record.at,
            "workload": plain(record.workload),
            "candidate": plain(record.candidate),
            "user_name": plain(record.caller.user),
            "outcome": record.outcome,
            "housekeeping": record.housekeeping,
            "input_tokens": None if usage is None else min(usage.input_tokens, _LARGEST),
            "output_tokens": None if usage is None else min(usage.output_tokens, _LARGEST),
            "cost": record.cost,
            "first_ms": record.first_ms,
            "total_ms": record.total_ms,
            "surface": plain(record.surface),
        }
    columns: Columns = {
        "id": plain(record.id),
        "at": record.at,
        "inference_id": plain(record.inference_id),
        "user_name": plain(record.caller.user),
    }
    if isinstance(record, Feedback):
        return {**columns, "kind": record.kind}
    return {**columns, "rubric": plain(record.rubric), "grader": plain(record.grader), "value": record.value}


def plain(text: str) -> str:
    """The text as a database can hold it: PostgreSQL takes no NUL, and nothing takes half a surrogate pair."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mended(value: Any) -> Any:
    """The same value, of the same types, that can be written as JSON and read again."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else 0.0
    if isinstance(value, Struct):
        return type(value)(**{name: _mended(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, Mapping):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, tuple | frozenset):
        return type(value)(_mended(item) for item in value)
    return value
