"""Fresh ids. The dice were given once, when the database was opened, and travel with each connection."""

from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa

from homing.loop.ids import new_id

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)

DICE = "homing_dice"
"""The execution option that carries them: a function that returns ten random bytes."""


def fresh(conn: sa.Connection, now: datetime) -> UUID:
    return new_id(now, conn.get_execution_options()[DICE]())


def earliest(moment: datetime) -> UUID:
    """The smallest id of that millisecond: ids are in order of time, so a bound on ids is a bound on time. No id is
    older than 1970."""
    return new_id(max(moment, _FIRST), bytes(10))


def day_of(moment: datetime) -> int:
    """Days since 1970 (UTC)."""
    return int(moment.timestamp()) // 86_400
