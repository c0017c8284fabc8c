"""Mailboxes that were full at the last messages to them: how often, and since when."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "full_mailbox",
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_at", _MOMENT, nullable=False),
        sa.Column("last_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("organization", "stream", "address", name="pk_full_mailbox"),
    )
