"""What a rule caused, by organization: whoever looks for his own walks over nobody else's."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _of_rules("ix_suppression_own_rule", "suppression", ["organization", "rule", "created_at", "id"])
    op.drop_index("ix_lifted_suppression_rule", "lifted_suppression")
    _of_rules("ix_lifted_suppression_rule", "lifted_suppression", ["rule", "organization"])


def _of_rules(name: str, table: str, columns: list[str]) -> None:
    only = sa.text("rule IS NOT NULL")
    op.create_index(name, table, columns, sqlite_where=only, postgresql_where=only)
