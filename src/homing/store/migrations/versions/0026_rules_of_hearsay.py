"""Which rule hearsay came of, so that it can be taken back, and how strong the report was."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_AT_ONCE = 1000
_H = sa.table(
    "hearsay",
    sa.column("organization", sa.Uuid()),
    sa.column("stream", sa.String()),
    sa.column("address", sa.String()),
    sa.column("delivery", sa.Uuid()),
    sa.column("strength", sa.String()),
    sa.column("rule", sa.Text()),
)
_D = sa.table("delivery", sa.column("id", sa.Uuid()), sa.column("message", sa.Uuid()))
_E = sa.table(
    "event",
    sa.column("message", sa.Uuid()),
    sa.column("delivery", sa.Uuid()),
    sa.column("type", sa.String()),
    sa.column("data", sa.JSON().with_variant(JSONB(), "postgresql")),
)
_KEY = ("organization", "stream", "address", "delivery")


def upgrade() -> None:
    op.add_column("hearsay", sa.Column("strength", sa.String(8), nullable=False, server_default="weak"))
    op.add_column("hearsay", sa.Column("rule", sa.Text()))
    _fill()
    for name, columns in (
        ("ix_hearsay_rule", ["rule", "said_at", "delivery"]),
        ("ix_hearsay_own_rule", ["organization", "rule", "said_at", "delivery"]),
    ):
        only = sa.text("rule IS NOT NULL")
        op.create_index(name, "hearsay", columns, sqlite_where=only, postgresql_where=only)


def _fill() -> None:
    """From the event of the late bounce. Where there is none, the report counts as a weak one."""
    key = [_H.c[name] for name in _KEY]
    told = sa.and_(_E.c.message == _D.c.message, _E.c.delivery == _H.c.delivery, _E.c.type == "bounced")
    query = (
        sa.select(*key, _E.c.data)
        .select_from(_H.outerjoin(_D, _D.c.id == _H.c.delivery).outerjoin(_E, told))
        .order_by(*key)
    )
    change = (
        _H.update()
        .where(*(_H.c[name] == sa.bindparam(f"b_{name}") for name in _KEY))
        .values(strength=sa.bindparam("b_strength"), rule=sa.bindparam("b_rule"))
    )
    found = op.get_bind().execute(query.limit(_AT_ONCE)).mappings().all()
    while found:
        rows = [
            {f"b_{name}": one[name] for name in _KEY} | {"b_strength": data["strength"], "b_rule": data.get("rule")}
            for one in found
            if (data := one["data"]) and data.get("late") and "strength" in data
        ]
        if rows:
            op.get_bind().execute(change, rows)
        last = sa.tuple_(*(sa.literal(found[-1][name], _H.c[name].type) for name in _KEY))
        found = op.get_bind().execute(query.where(sa.tuple_(*key) > last).limit(_AT_ONCE)).mappings().all()
