"""How alembic runs here: inside the transaction that `rungwise_server.database` opened and locked."""

from alembic import context

from rungwise_server.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
with context.begin_transaction():
    context.run_migrations()
