"""Organizations' own domains, and what the DNS says of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sending_domain",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("domain", sa.String(255), nullable=False),
        sa.Column("label", sa.String(16), nullable=False),
        sa.Column("own_recipients", sa.Boolean(), nullable=False),
        sa.Column("facts", _JSON, nullable=False),
        sa.Column("signing", sa.String(16)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger()),
        sa.Column("next_check_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger()),
        sa.CheckConstraint(
            "signing IN ('dkim_1', 'dkim_2', 'return_path', 'dmarc')", name=op.f("ck_sending_domain_signing")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sending_domain"),
        sa.UniqueConstraint("organization", "domain", name="uq_sending_domain_organization_domain"),
    )
    only = sa.text("removed_at IS NULL")
    op.create_index(
        "ix_sending_domain_due", "sending_domain", ["next_check_at"], sqlite_where=only, postgresql_where=only
    )
