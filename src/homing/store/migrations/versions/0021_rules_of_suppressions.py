"""Which rule led to a suppression, so that a wrong one can be taken back, and what was lifted."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_AT_ONCE = 1000
_EVIDENCE = re.compile(
    r"(?:\S* answered on \d{4}-\d\d-\d\d at \w+: .*|(?:bounce|delay|complaint|report)\b.* on \d{4}-\d\d-\d\d.*)"
    r" \(rule ([^\s(),]+)(?:, mail inb_[0-9a-f]{32})?\)",
    re.DOTALL,
)
"""As evidence from servers and reports was written until now. Somebody's own words look otherwise."""


def upgrade() -> None:
    op.add_column("suppression", sa.Column("rule", sa.Text()))
    _fill_rules()
    op.create_index(
        "ix_suppression_rule",
        "suppression",
        ["rule", "created_at", "id"],
        sqlite_where=sa.text("rule IS NOT NULL"),
        postgresql_where=sa.text("rule IS NOT NULL"),
    )
    op.create_index("ix_suppression_reason", "suppression", ["organization", "reason", "created_at", "id"])
    op.create_table(
        "lifted_suppression",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text()),
        sa.Column("suppressed_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted_at", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lifted_suppression"),
    )
    op.create_index("ix_lifted_suppression_lifted_at", "lifted_suppression", ["lifted_at"])
    op.create_index("ix_lifted_suppression_organization_id", "lifted_suppression", ["organization", "id"])
    op.create_index(
        "ix_lifted_suppression_rule",
        "lifted_suppression",
        ["rule"],
        sqlite_where=sa.text("rule IS NOT NULL"),
        postgresql_where=sa.text("rule IS NOT NULL"),
    )


def _fill_rules() -> None:
    """From the evidence, where it tells."""
    suppression = sa.table(
        "suppression", sa.column("id", sa.Uuid()), sa.column("evidence", sa.Text()), sa.column("rule", sa.Text())
    )
    change = suppression.update().where(suppression.c.id == sa.bindparam("b_id")).values(rule=sa.bindparam("b_rule"))
    query = sa.select(suppression.c.id, suppression.c.evidence).order_by(suppression.c.id).limit(_AT_ONCE)
    found = op.get_bind().execute(query).all()
    while found:
        told = [(one.id, _EVIDENCE.fullmatch(one.evidence)) for one in found]
        rows = [{"b_id": identifier, "b_rule": match[1]} for identifier, match in told if match]
        if rows:
            op.get_bind().execute(change, rows)
        found = op.get_bind().execute(query.where(suppression.c.id > found[-1].id)).all()
