"""The last time of day that somebody here believed, so that a start under a wrong clock is noticed."""

from datetime import datetime

import sqlalchemy as sa

from homing.store import tables
from homing.store.dialect import insert

_C = tables.wall_clock
_ROW = 1


def last_seen(conn: sa.Connection) -> datetime | None:
    """None: nobody has looked yet."""
    return conn.execute(sa.select(_C.c.seen_at).where(_C.c.id == _ROW)).scalar()


def note_time(conn: sa.Connection, now: datetime) -> None:
    note = insert(conn, _C).values(id=_ROW, seen_at=now)
    conn.execute(note.on_conflict_do_update(index_elements=[_C.c.id], set_={"seen_at": note.excluded.seen_at}))
