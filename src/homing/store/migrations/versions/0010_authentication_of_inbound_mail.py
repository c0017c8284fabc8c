"""Mail that came in: what SPF, DKIM and DMARC said of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0002"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Mail that came before has none."""
    op.add_column("inbound", sa.Column("authentication", _JSON))
