"""How many of a kind an organization may have: what it can create without end, everybody would have to wait for."""

import sqlalchemy as sa

from homing.loop.model import OrganizationId
from homing.store import tables

_ORGANIZATION = tables.organization


class LimitReached(Exception):  # noqa: N818 - it says what is the case
    """The organization has as many as it may."""


def require_room(
    conn: sa.Connection, table: sa.Table, organization: OrganizationId, most: int, *of: sa.ColumnElement[bool]
) -> None:
    """Raises LimitReached where it has `most` rows already, of a kind. Of two who ask at once, the second one waits for
    what the first one writes."""
    conn.execute(sa.select(_ORGANIZATION.c.id).where(_ORGANIZATION.c.id == organization).with_for_update())
    theirs = sa.select(sa.literal(1)).where(table.c.organization == organization, *of).limit(most).subquery()
    if conn.execute(sa.select(sa.func.count()).select_from(theirs)).scalar_one() >= most:
        raise LimitReached
