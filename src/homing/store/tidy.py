"""Retention: what is erased, and when. Each function takes one bounded batch and returns its size; call until zero."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from homing.loop.lifecycle import TERMINAL
from homing.store import tables
from homing.store.dialect import note_erased
from homing.store.ids import day_of, earliest

IDEMPOTENCY_KEPT = timedelta(hours=24)
"""At least so long the same key gets the same answer."""

_D = tables.delivery


def forget(conn: sa.Connection, table: sa.Table, old: sa.ColumnElement[bool], limit: int) -> int:
    """Rows of a table that are old, at most `limit` of them; an index should find them."""
    key = table.primary_key.columns
    some = sa.select(*key).where(old).limit(limit)
    return conn.execute(table.delete().where(sa.tuple_(*key).in_(some))).rowcount


def forget_idempotency(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    key = tables.idempotency
    return forget(conn, key, key.c.created_at < now - IDEMPOTENCY_KEPT, limit)


def forget_contents(conn: sa.Connection, before: datetime, limit: int = 500) -> int:
    """Erase the contents of messages accepted before that moment, if every delivery has ended. All other rows stay."""
    content = tables.message_content
    under_way = sa.exists().where(
        _D.c.message == content.c.message, _D.c.state.not_in([state.value for state in TERMINAL])
    )
    old = sa.select(content.c.message).where(content.c.message < earliest(before), ~under_way).limit(limit)
    note_erased(conn)
    return conn.execute(content.delete().where(content.c.message.in_(old))).rowcount


def forget_counters(conn: sa.Connection, before: datetime, limit: int = 1000) -> int:
    """Daily counters, Oops! answers and proofs of days before that moment's."""
    day = day_of(before)
    counters = (tables.usage, tables.oops_answer, tables.inbound_usage, tables.proof)
    return sum(forget(conn, table, table.c.day < day, limit) for table in counters)
