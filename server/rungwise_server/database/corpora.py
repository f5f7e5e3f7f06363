"""What collections hold, by what ingest knows of their sources."""

import sqlalchemy as sa

from rungwise_server.database.engine import Database
from rungwise_server.database.tables import source_document, source_state


def read_corpora(database: Database) -> dict[str, tuple[int, int]]:
    """Documents that are indexed, and their passages, by collection. Blocks. Raises Unavailable."""
    statement = (
        sa.select(
            source_state.c.collection, sa.func.count(), sa.func.coalesce(sa.func.sum(source_document.c.passages), 0)
        )
        .join(source_document, source_document.c.source == source_state.c.source)
        .where(source_document.c.passages > 0)
        .group_by(source_state.c.collection)
    )
    with database.read() as connection:
        return {name: (int(documents), int(passages)) for name, documents, passages in connection.execute(statement)}
