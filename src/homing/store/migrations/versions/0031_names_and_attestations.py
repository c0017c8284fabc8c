"""Names that the operator allowed, which names the guard has seen, and on whose word an address is proved."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("organization", sa.Column("display_name_checked_at", sa.BigInteger()))
    op.create_table(
        "allowed_name",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.String(128), nullable=False),
        sa.Column("claim", sa.String(64), nullable=False),
        sa.Column("words", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Uuid(), nullable=False),
        sa.Column("api_key_name", sa.String(64), nullable=False),
        sa.Column("allowed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_allowed_name"),
    )
    op.create_index("ix_allowed_name_organization", "allowed_name", ["organization"])
    for name, kind in (
        ("attested_at", sa.BigInteger()),
        ("attested_key", sa.Uuid()),
        ("attested_key_name", sa.String(64)),
        ("attested_note", sa.Text()),
    ):
        op.add_column("human_sender", sa.Column(name, kind))
