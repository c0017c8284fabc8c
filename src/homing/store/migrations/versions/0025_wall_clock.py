"""The last time of day that was seen, and the last jump of the clock."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wall_clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("jumped_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_wall_clock"),
    )
