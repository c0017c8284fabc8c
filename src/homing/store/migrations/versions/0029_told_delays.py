"""One e-mail tells a person that a receiver is late, however many messages wait for it."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "told_delay",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("human_sender", sa.Uuid(), nullable=False),
        sa.Column("receiver", sa.String(320), nullable=False),
        sa.Column("told_by", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_told_delay")),
    )
    op.create_index("ix_told_delay_human_sender_receiver", "told_delay", ["human_sender", "receiver"])
