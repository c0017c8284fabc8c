"""Deliveries that may have killed their worker are looked for one by one."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    waiting = sa.text("state IN ('queued', 'deferred') AND silent_deaths > 0")
    op.create_index(
        "ix_delivery_suspect", "delivery", ["next_attempt_at"], sqlite_where=waiting, postgresql_where=waiting
    )
