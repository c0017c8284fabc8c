"""The last time of day that somebody here saw, so that a start under a wrong clock is noticed."""

from datetime import datetime

import sqlalchemy as sa

from homing.store import tables
from homing.store.dialect import insert

_C = tables.wall_clock
_ROW = 1


def last_seen(conn: sa.Connection) -> tuple[datetime | None, datetime | None]:
    """The last time that was noted, and the last jump that was found until then. None: there was none."""
    row = conn.execute(sa.select(_C.c.seen_at, _C.c.jumped_at).where(_C.c.id == _ROW)).first()
    return (None, None) if row is None else (row.seen_at, row.jumped_at)


def note_time(conn: sa.Connection, now: datetime, jumped_at: datetime | None) -> None:
    note = insert(conn, _C).values(id=_ROW, seen_at=now, jumped_at=jumped_at)
    changed = {"seen_at": note.excluded.seen_at, "jumped_at": note.excluded.jumped_at}
    conn.execute(note.on_conflict_do_update(index_elements=[_C.c.id], set_=changed))
