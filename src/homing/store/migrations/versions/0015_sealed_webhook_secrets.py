"""Secrets that sign calls of webhooks lie sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Those that are there are sealed by the gateway when it starts: the database does not know the secret key."""
    op.add_column("organization", sa.Column("sealed_webhook_secret", sa.LargeBinary()))
