"""Run migrations on the connection ``store.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from perijove_hub.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a column in place.
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
