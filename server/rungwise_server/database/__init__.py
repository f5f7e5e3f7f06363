"""The one database of the house: its tables, and the door to SQLite and PostgreSQL.

Calls block: they run on threads, never on the event loop. Importing this takes SQLAlchemy, not alembic, whose half
second is paid only when there is something to migrate.
"""

from rungwise_server.database.engine import Database, open_database
from rungwise_server.database.tables import (
    api_key,
    feedback,
    grade,
    inference,
    job,
    kept,
    log_head,
    metadata,
    source_document,
    source_state,
)

__all__ = [
    "Database",
    "api_key",
    "feedback",
    "grade",
    "inference",
    "job",
    "kept",
    "log_head",
    "metadata",
    "open_database",
    "source_document",
    "source_state",
]
