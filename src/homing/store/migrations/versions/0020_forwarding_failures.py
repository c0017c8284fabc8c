"""A forwarding failure keeps its place among the cases when it is resolved, so that the next one is told with it."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_STANDING = sa.text("state <> 'resolved' OR kind IN ('failure', 'delay', 'forwarding_failure')")


def upgrade() -> None:
    op.drop_index("uq_case_subject", "case")
    op.create_index(
        "uq_case_subject",
        "case",
        ["organization", "kind", "subject"],
        unique=True,
        sqlite_where=_STANDING,
        postgresql_where=_STANDING,
    )
