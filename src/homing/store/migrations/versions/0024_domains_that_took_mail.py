"""Domains that took mail lately, and since when the DNS denies them."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mail_domain",
        sa.Column("domain", sa.String(255), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("denied_since", sa.BigInteger()),
        sa.PrimaryKeyConstraint("domain", name="pk_mail_domain"),
    )
    op.create_index("ix_mail_domain_taken_at", "mail_domain", ["taken_at"])
