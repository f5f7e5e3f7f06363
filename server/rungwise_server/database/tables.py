"""Every table of the house. A change here needs a migration: a test compares the two."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint, text

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)

# SQLite numbers a row by its primary key only where the type is spelled INTEGER; that also makes it the row's address.
_Position = BigInteger().with_variant(Integer, "sqlite")

log_head = Table(
    "log_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    comment="One row: the last position given. Whoever writes to the log holds its lock until the commit.",
)

# The records of the log. Append-only. The columns are what is asked for or summed; `body` is the whole record as JSON,
# as text because jsonb would change a client's own bytes. `user_name` because in PostgreSQL `user` is somebody else.
inference = Table(
    "inference",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("at", Float(53), nullable=False),
    Column("workload", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("housekeeping", Boolean, nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cost", Float(53)),
    Column("first_ms", Float(53), nullable=False),
    Column("total_ms", Float(53), nullable=False),
    Column("body", Text, nullable=False),
    Column("surface", Text, nullable=False, server_default=text("''")),
    # All that sums are made of, so that they are read from here and not from between the bodies.
    Index(
        "ix_inference_sums",
        "at",
        "workload",
        "candidate",
        "surface",
        "housekeeping",
        "outcome",
        "input_tokens",
        "output_tokens",
        "cost",
        "total_ms",
    ),
    Index(None, "workload", "position"),
    Index(None, "user_name", "position"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("at", Float(53), nullable=False),
    Column("inference_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "inference_id"),
    Index(None, "user_name", "position"),
)

grade = Table(
    "grade",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("at", Float(53), nullable=False),
    Column("inference_id", Text, nullable=False),
    Column("rubric", Text, nullable=False),
    Column("grader", Text, nullable=False, comment="`Grade.grader`: a judge, or a person's principal."),
    Column("user_name", Text, nullable=False),
    Column("value", Float(53)),
    Column("body", Text, nullable=False),
    Index(None, "inference_id"),
    Index(None, "user_name", "position"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("user_name", Text, nullable=False),
    Column("groups", Text, nullable=False, comment="A JSON array of names, without `group:`."),
    Column("admin", Boolean, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("revoked_at", Float(53)),
)

# What ingest knows of each source; only `rungwise ingest` writes here.
source_state = Table(
    "source_state",
    metadata,
    Column("source", Text, primary_key=True),
    Column("collection", Text, nullable=False),
    Column("collection_id", Text, nullable=False, comment="Which incarnation of the collection the cursor is about."),
    Column("cursor", Text),
    Column("updated_at", Float(53), nullable=False),
)

source_document = Table(
    "source_document",
    metadata,
    Column("source", Text, primary_key=True),
    Column("document_id", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("readers", Text, nullable=False, comment="A JSON array of principals."),
    Column("passages", Integer, nullable=False),
    Column("failed_reason", Text, nullable=False, comment="Empty where the document is indexed."),
    Column("indexed_at", Float(53), nullable=False),
)

# What is kept for clients (`keeping.Kept`), whatever it is: each kind's own fields are in `body`, as JSON.
kept = Table(
    "kept",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("parent", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False, comment="0: never."),
    Column("revision", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "kind", "owner", "created_at", "id"),
    Index(None, "kind", "parent", "created_at", "id"),
    Index(None, "kind", "expires_at"),
)

# Work for workers (`keeping.Job`): one row for all of a kind on one subject, so that no two workers are ever on it.
job = Table(
    "job",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("next_body", Text, comment="Put while a worker was on it: queued anew once that is done."),
    Column("worker", Text, nullable=False, comment="Empty while nobody has it."),
    Column("free_at", Float(53), nullable=False, comment="When the lease, or the wait for another try, is over."),
    Column("attempts", Integer, nullable=False),
    UniqueConstraint("kind", "subject"),
    Index(None, "kind", "position"),
)
