"""Guarded names by what names are taken for by now: strokes, hooks, boxes, small letters among capitals, one word."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from homing.loop.domains.impersonation import guard

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_AT_ONCE = 1000


def upgrade() -> None:
    """Whoever changes what a name may be taken for empties this table and fills it anew, in a migration like this."""
    guarded = sa.table(
        "guarded_name",
        sa.column("skeleton", sa.String()),
        sa.column("organization", sa.Uuid()),
        sa.column("letters", sa.Text()),
        sa.column("common", sa.Boolean()),
    )
    op.execute(guarded.delete())
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
