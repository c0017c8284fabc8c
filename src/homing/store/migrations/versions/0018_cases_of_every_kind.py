"""A case has an id of its own, a kind and a subject, and may be about no delivery. Those of before keep their id."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_KINDS = "kind IN ('failure', 'delay', 'forwarding_failure', 'alarm', 'digest')"
_STATES = "state IN ('open', 'notified', 'unheard', 'resolved')"
_STANDING = sa.text("state <> 'resolved' OR kind IN ('failure', 'delay')")


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    op.add_column("case", sa.Column("kind", sa.String(24)))
    op.add_column("case", sa.Column("subject", sa.String(255)))
    case_of_before = sa.table("case", sa.column("kind"), sa.column("subject"), sa.column("delivery"))
    digits = sa.func.replace(sa.cast(case_of_before.c.delivery, sa.String(36)), "-", "")  # on SQLite it has no dashes
    op.execute(case_of_before.update().values(kind="failure", subject=digits))
    with op.batch_alter_table("case") as case:
        case.alter_column("kind", existing_type=sa.String(24), nullable=False)
        case.alter_column("subject", existing_type=sa.String(255), nullable=False)
        case.alter_column("delivery", existing_type=sa.Uuid(), nullable=True)
        case.alter_column("failure", existing_type=sa.String(10), nullable=True)
        case.alter_column("strength", existing_type=sa.String(8), nullable=True)
        case.alter_column("verdict", existing_type=_JSON, nullable=True)
        case.drop_constraint("uq_case_delivery", type_="unique")
        case.create_check_constraint(op.f("ck_case_kind"), _KINDS)
        if on_sqlite:  # there the table is copied, without the check that it has
            case.create_check_constraint(op.f("ck_case_state"), _STATES)
    op.create_index("ix_case_delivery", "case", ["delivery"])
    op.create_index(
        "uq_case_subject",
        "case",
        ["organization", "kind", "subject"],
        unique=True,
        sqlite_where=_STANDING,
        postgresql_where=_STANDING,
    )
