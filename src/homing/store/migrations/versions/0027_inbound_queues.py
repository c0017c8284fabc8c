"""Mail that comes in waits in queues (what comes to a live token, what is large, the rest), and what belongs to no
delivery is counted by the day."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_WAITING = sa.text("state IN ('waiting', 'working')")


def upgrade() -> None:
    op.add_column("inbound", sa.Column("queue", sa.String(8), nullable=False, server_default="other"))
    op.execute(
        "UPDATE inbound SET queue = CASE WHEN spool IS NOT NULL THEN 'large' "
        "WHEN delivery IS NOT NULL THEN 'evidence' ELSE 'other' END WHERE state IN ('waiting', 'working')"
    )
    op.create_table(
        "inbound_usage",
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("scope", sa.String(64), primary_key=True),
        sa.Column("octets", sa.BigInteger, nullable=False),
    )
    op.drop_index("ix_inbound_waiting", "inbound")
    op.create_index("ix_inbound_waiting", "inbound", ["queue", "id"], sqlite_where=_WAITING, postgresql_where=_WAITING)
