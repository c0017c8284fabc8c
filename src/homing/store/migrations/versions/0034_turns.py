"""Queues that take turns. Deliveries that wait already have no queue yet: the workers put them into line."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("queue", sa.Uuid()))
    only = sa.text("state IN ('queued', 'deferred')")
    for name, columns in (
        ("ix_delivery_queue", ["queue", "state", "next_attempt_at"]),
        ("ix_delivery_expiring", ["expires_at"]),
    ):
        op.create_index(name, "delivery", columns, sqlite_where=only, postgresql_where=only)
    op.drop_index("ix_delivery_due", "delivery")
    op.create_table(
        "waiting_queue",
        sa.Column("line", sa.String(8), nullable=False),
        sa.Column("queue", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("stream_class", sa.SmallInteger(), nullable=False),
        sa.Column("towards", sa.String(255), nullable=False),
        sa.Column("turn_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("line", "queue", name="pk_waiting_queue"),
    )
    op.create_index("ix_waiting_queue_turn", "waiting_queue", ["organization", "line", "stream_class", "turn_at"])
    op.create_table(
        "waiting_stream",
        sa.Column("line", sa.String(8), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("stream_class", sa.SmallInteger(), nullable=False),
        sa.Column("turn_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("line", "organization", "stream_class", name="pk_waiting_stream"),
    )
    op.create_index("ix_waiting_stream_turn", "waiting_stream", ["line", "turn_at"])
