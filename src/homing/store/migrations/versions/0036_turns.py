"""Queues that take turns. What waits already has no queue yet: the workers put it into line."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
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
    op.add_column("action", sa.Column("queue", sa.Uuid()))
    only = sa.text("state = 'due'")
    op.create_index("ix_action_queue", "action", ["queue", "due_at"], sqlite_where=only, postgresql_where=only)
    op.add_column("inbound", sa.Column("network_queue", sa.Uuid()))
    op.drop_index("ix_inbound_waiting", "inbound")
    for name, columns, state in (
        ("ix_inbound_network_queue", ["network_queue", "queue", "received_at"], "waiting"),
        ("ix_inbound_leased", ["lease_until"], "working"),
    ):
        only = sa.text(f"state = '{state}'")
        op.create_index(name, "inbound", columns, sqlite_where=only, postgresql_where=only)
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
