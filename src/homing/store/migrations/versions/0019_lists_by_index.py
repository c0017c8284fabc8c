"""Lists, figures and what is forgotten by index, so that none reads all that ever was; guarded names as rows."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from homing.loop.domains.impersonation import guard

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_AT_ONCE = 1000
_TROUBLED = "state IN ('deferred', 'bounced', 'expired', 'canceled', 'suppressed', 'failed')"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE organization ALTER COLUMN name TYPE VARCHAR(64) COLLATE "C"')
    _guard_names()
    op.drop_index("ix_delivery_organization_id", "delivery")
    op.create_index("ix_delivery_recipient", "delivery", ["organization", sa.text("lower(recipient)"), "message"])
    _partial("ix_delivery_troubled", "delivery", ["organization", "state", "message"], _TROUBLED)
    op.create_index("ix_case_organization_state_id", "case", ["organization", "state", "id"])
    _partial("ix_case_unsettled", "case", ["state"], "state IN ('open', 'unheard')")
    op.create_index("ix_inbound_organization_id", "inbound", ["organization", "id"])
    op.create_index("ix_inbound_what_id", "inbound", ["what", "id"])
    op.create_index("ix_suppression_address", "suppression", ["organization", "address", "stream"])
    _partial("ix_suppression_expires", "suppression", ["expires_at"], "expires_at IS NOT NULL")
    _partial("ix_alarm_untold", "alarm", ["first_at"], "told_at IS NULL OR last_at > told_at")
    for table, column in (
        ("alarm", "last_at"),
        ("alarm", "told_at"),
        ("full_mailbox", "last_at"),
        ("hearsay", "said_at"),
        ("usage", "day"),
        ("oops_answer", "day"),
        ("proof", "day"),
    ):
        op.create_index(f"ix_{table}_{column}", table, [column])


def _partial(name: str, table: str, columns: list[str], only: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(only), postgresql_where=sa.text(only))


def _guard_names() -> None:
    """Whoever changes what a name may be taken for empties this table and fills it anew, in a migration like this."""
    guarded = op.create_table(
        "guarded_name",
        sa.Column("skeleton", sa.String(200), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("letters", sa.Text(), nullable=False),
        sa.Column("common", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("skeleton", "organization", name="pk_guarded_name"),
    )
    op.create_index("ix_guarded_name_organization", "guarded_name", ["organization"])
    organization = sa.table("organization", sa.column("id", sa.Uuid()), sa.column("display_name", sa.String()))
    query = sa.select(organization).order_by(organization.c.id).limit(_AT_ONCE)
    found = op.get_bind().execute(query).all()
    while found:
        rows = [row for one in found for row in _rows(one.id, one.display_name)]
        if rows:
            op.bulk_insert(guarded, rows)
        found = op.get_bind().execute(query.where(organization.c.id > found[-1].id)).all()


def _rows(organization: object, display_name: str) -> list[dict[str, Any]]:
    rows = {
        skeleton[:200]: {"letters": one.letters, "common": one.common}
        for skeleton, one in guard([display_name]).items()
    }
    return [{"skeleton": skeleton, "organization": organization, **row} for skeleton, row in rows.items()]
