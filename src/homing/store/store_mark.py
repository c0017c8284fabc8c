"""The mark of the store, one row: it rises with every look of every node, and says whether what is queued is held."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from homing.loop.alarm import Alarm
from homing.loop.model import OPERATOR
from homing.loop.store_mark import CAUSE, StoreMark, StoreStanding, held_alarm, next_generation, why_held
from homing.store import alarms, tables
from homing.store.dialect import on_postgresql
from homing.store.tables.columns import TRANSACTION_NUMBER

_T = tables.store_mark
_ROW = _T.select().where(_T.c.id == 1)
_LOCKED = _ROW.with_for_update()
_CHANGE = _T.update().where(_T.c.id == 1)

OLDEST_RUNNING = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_LATEST = sa.text(
    "SELECT txid, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next FROM event ORDER BY seq DESC LIMIT 1"
)
_HIGHEST = sa.text(
    "SELECT max(its.txid) AS highest, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running"
    " FROM (SELECT id FROM organization UNION ALL SELECT :operator) AS owner (id) CROSS JOIN LATERAL"
    " (SELECT txid FROM event WHERE organization = owner.id ORDER BY txid DESC, seq DESC LIMIT 1) AS its"
).bindparams(sa.bindparam("operator", OPERATOR, type_=sa.Uuid))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNumbers:
    """What the numbers of events mean now. `generation` None: nobody's place among them is good, since another
    generation is about to begin. `txid_ahead`: by how much their transactions' numbers are ahead of the server's."""

    generation: int | None
    txid_ahead: int


def standing(conn: sa.Connection) -> StoreStanding:
    return _standing(conn.execute(_ROW).one())


def event_numbers(conn: sa.Connection) -> EventNumbers:
    row = conn.execute(_ROW).one()
    return EventNumbers(generation=row.generation if row.held_at is None else None, txid_ahead=row.txid_ahead)


def advance(conn: sa.Connection, seen: StoreMark | None, now: datetime) -> tuple[StoreStanding, Alarm | None]:
    """Let the mark rise, unless the store stands behind what its caller has seen of it: then what is queued is held
    from now on, and an alarm says why."""
    row = conn.execute(_LOCKED).one()
    if row.held_at is not None:
        return _standing(row), None
    if why := why_held(StoreMark(row.generation, row.mark), seen, moved=_moved(conn, row.txid_ahead)):
        return hold(conn, why, now)
    conn.execute(_CHANGE.values(mark=row.mark + 1))
    return StoreStanding(mark=StoreMark(row.generation, row.mark + 1)), None


def hold(conn: sa.Connection, why: str, now: datetime) -> tuple[StoreStanding, Alarm | None]:
    """Hold what is queued until `release`. Alarm None: it is held already."""
    row = conn.execute(_LOCKED).one()
    if row.held_at is not None:
        return _standing(row), None
    conn.execute(_CHANGE.values(held_at=now, txid_ahead=_put_in_order(conn, row.txid_ahead)))
    alarm = held_alarm(why)
    alarms.raise_alarm(conn, [(alarm, now)])
    return StoreStanding(mark=StoreMark(row.generation, row.mark), held_at=now), alarm


def release(conn: sa.Connection, seen: StoreMark | None, now: datetime) -> StoreStanding | None:
    """Begin the next generation: what was held goes on, on all nodes. None: nothing is held."""
    row = conn.execute(_LOCKED).one()
    if row.held_at is None:
        return None
    begun = StoreMark(next_generation(now, StoreMark(row.generation, row.mark), seen), row.mark + 1)
    conn.execute(_CHANGE.values(generation=begun.generation, mark=begun.mark, held_at=None))
    alarms.close(conn, [CAUSE])
    return StoreStanding(mark=begun)


def _standing(row: sa.Row[Any]) -> StoreStanding:
    return StoreStanding(mark=StoreMark(row.generation, row.mark), held_at=row.held_at)


def _moved(conn: sa.Connection, ahead: int) -> bool:
    """Whether the latest event is of a transaction that this server has not had yet: it was another one's."""
    if not on_postgresql(conn):
        return False
    latest = conn.execute(_LATEST).first()
    return latest is not None and latest.txid >= latest.next + ahead


def _put_in_order(conn: sa.Connection, ahead: int) -> int:
    """See that events to come have higher numbers than those that are there, which may be another server's; returns by
    how much the numbers of events are ahead of this server's from now on."""
    if not on_postgresql(conn):
        return ahead
    found = conn.execute(_HIGHEST).one()
    if found.highest is None or found.highest < found.oldest_running + ahead:
        return ahead
    conn.exec_driver_sql("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
    found = conn.execute(_HIGHEST).one()
    ahead = int(found.highest - found.oldest_running + 1)
    conn.exec_driver_sql(f"ALTER TABLE event ALTER COLUMN txid SET DEFAULT {TRANSACTION_NUMBER} + {ahead}")
    return ahead
