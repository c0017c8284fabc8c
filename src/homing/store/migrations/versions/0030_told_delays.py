"""One e-mail tells a person that a receiver is late, however many messages wait for it."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "told_delay",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("receiver", sa.String(320), nullable=False),
        sa.Column("told_by", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_told_delay")),
    )
    place, told = ["organization", "address", "receiver"], sa.text("told_by = case_id")
    op.create_index("ix_told_delay_place", "told_delay", place)
    op.create_index("uq_told_delay_place", "told_delay", place, unique=True, sqlite_where=told, postgresql_where=told)
