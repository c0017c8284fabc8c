"""How Alembic finds the database: it is handed a connection with a running transaction, and leaves it so."""

from alembic import context

from homing.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
