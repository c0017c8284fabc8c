"""The rounds of the loop watch."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "loop_probe",
        sa.Column("round", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("delivery", sa.Uuid(), nullable=False),
        sa.Column("message", sa.Uuid(), nullable=False),
        sa.Column("envelope_sender", sa.String(320), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("fault", sa.String(32)),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("round", name="pk_loop_probe"),
    )
    op.create_index("ix_loop_probe_ended_at", "loop_probe", ["ended_at"])
