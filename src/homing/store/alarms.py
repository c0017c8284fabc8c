"""Alarms, one row for each cause: how often, since when, and when somebody was told."""

from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy as sa

from homing.loop.alarm import FORGOTTEN_AFTER, LETTERS_APART, TOLD_AGAIN_AFTER, Alarm, StandingAlarm, due
from homing.store import tables, tidy
from homing.store.dialect import insert

COUNTED = 10_000
"""Alarms that are counted, at most."""

_T = tables.alarm
_UNTOLD = sa.text("(alarm.told_at IS NULL OR alarm.last_at > alarm.told_at)")
Raised = tuple[Alarm, datetime]


def raise_alarm(conn: sa.Connection, sounded: Iterable[Raised]) -> set[str]:
    """Remember alarms; the causes among them that are new, or come back after a day's silence."""
    by_cause: dict[str, list[Raised]] = {}
    for one in sounded:
        by_cause.setdefault(one[0].cause, []).append(one)
    known = _last(conn, by_cause.keys())
    for cause in sorted(by_cause):  # in one order, so that nodes do not wait for each other in a circle
        _count(conn, by_cause[cause])
    return {
        cause for cause, told in by_cause.items() if cause not in known or told[0][1] - known[cause] >= TOLD_AGAIN_AFTER
    }


def _count(conn: sa.Connection, told: list[Raised]) -> None:
    alarm, now = told[-1]
    row = {
        "cause": alarm.cause,
        "text": alarm.text,
        "organization": alarm.organization,
        "delivery": alarm.delivery,
        "first_at": told[0][1],
        "last_at": now,
        "times": len(told),
    }
    news = {name: row[name] for name in ("text", "organization", "delivery", "last_at")}
    conn.execute(
        insert(conn, _T)
        .values(row)
        .on_conflict_do_update(index_elements=["cause"], set_={**news, "times": _T.c.times + len(told)})
    )


def _last(conn: sa.Connection, causes: Iterable[str]) -> dict[str, datetime]:
    rows = conn.execute(sa.select(_T.c.cause, _T.c.last_at).where(_T.c.cause.in_(sorted(causes))))
    return {row.cause: row.last_at for row in rows}


def list_all(conn: sa.Connection, limit: int = 200) -> list[StandingAlarm]:
    """The latest first."""
    rows = conn.execute(_T.select().order_by(_T.c.last_at.desc(), _T.c.cause).limit(limit))
    return [_standing(row) for row in rows.mappings()]


def count(conn: sa.Connection) -> int:
    """How many stand; `COUNTED` at most."""
    some = sa.select(_T.c.last_at).limit(COUNTED).subquery()
    return conn.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()


def clear(conn: sa.Connection, cause: str) -> bool:
    """Remove an alarm: if its cause is met again, it is new. False: there is no such alarm."""
    return close(conn, [cause])


def close(conn: sa.Connection, causes: Collection[str]) -> bool:
    """Remove alarms whose causes are over. False: none of them stood."""
    return conn.execute(_T.delete().where(_T.c.cause.in_(sorted(causes)))).rowcount > 0


def untold(conn: sa.Connection, now: datetime, *, lock: bool = True) -> list[StandingAlarm]:
    """Those that are due to be told, the oldest first; none shortly after a letter. `lock=False`: only to see whether
    there are any."""
    last = conn.execute(sa.select(sa.func.max(_T.c.told_at))).scalar()
    if last is not None and now - last < LETTERS_APART:
        return []
    waiting = _T.select().where(_UNTOLD).order_by(_T.c.first_at)
    if lock:
        waiting = waiting.with_for_update(skip_locked=True)
    return [standing for standing in map(_standing, conn.execute(waiting).mappings()) if due(standing, now)]


def told(conn: sa.Connection, causes: Collection[str], now: datetime) -> None:
    """Record that a letter told the operator of them."""
    conn.execute(_T.update().where(_T.c.cause.in_(sorted(causes))).values(told_at=now))


def forget(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Erase alarms whose causes have not been met for months."""
    return tidy.forget(conn, _T, _T.c.last_at < now - FORGOTTEN_AFTER, limit)


def _standing(row: sa.RowMapping) -> StandingAlarm:
    return StandingAlarm(**{name: row[name] for name in StandingAlarm.__dataclass_fields__})
