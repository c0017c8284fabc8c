"""Events: append-only, read by a cursor that skips none.

On SQLite the sequence is the order of commits. On PostgreSQL a transaction can take a number and commit after a later
one; so events are ordered by (transaction, sequence) and read only below the oldest transaction still running: what
comes after the cursor is then complete for ever.

Where a backup is restored, numbers are given out again. So a cursor names the generation of the store, too, and is good
in that one alone.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from homing.loop.model import DeliveryId, EventId, EventType, HumanSenderId, MessageId, NewEvent, OrganizationId
from homing.loop.problem import Fault, Problem, Rejected
from homing.store import store_mark, tables
from homing.store.dialect import insert_all, on_postgresql
from homing.store.ids import fresh
from homing.store.store_mark import OLDEST_RUNNING, EventNumbers

_T = tables.event

LOOKED_THROUGH = 5000
"""Events of an organization that are looked through for those of one human sender."""

_Position = tuple[int, int]
"""Transaction and sequence."""
_START: _Position = (0, 0)
_OUT_OF_ORDER = timedelta(minutes=10)
"""So much earlier an event may have happened than one that was written before it: clocks differ, transactions last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The subject of an event."""

    organization: OrganizationId
    message: MessageId | None = None
    delivery: DeliveryId | None = None
    human_sender: HumanSenderId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A new event with its subject and moment."""

    subject: Subject
    event: NewEvent
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One stored event. `cursor` is the place right behind it; "" in a message's timeline, which has no places."""

    id: EventId
    cursor: str
    organization: OrganizationId
    message: MessageId | None
    delivery: DeliveryId | None
    human_sender: HumanSenderId | None
    type: EventType
    at: datetime
    data: Mapping[str, Any]


def append(conn: sa.Connection, happenings: Iterable[Happening]) -> None:
    rows = [
        {
            "id": fresh(conn, happening.at),
            "organization": happening.subject.organization,
            "message": happening.subject.message,
            "delivery": happening.subject.delivery,
            "human_sender": happening.subject.human_sender,
            "type": happening.event.type.value,
            "at": happening.at,
            "data": dict(happening.event.data),
        }
        for happening in happenings
    ]
    insert_all(conn, _T, rows)


def latest(conn: sa.Connection, organization: OrganizationId) -> str:
    """The cursor behind everything that can be read now: where a live stream starts. Raises `Rejected` while the store
    is held."""
    numbers = store_mark.event_numbers(conn)
    return _show(_generation(numbers), _end(conn, organization, numbers))


def since(conn: sa.Connection, organization: OrganizationId, moment: datetime) -> str:
    """The cursor before everything that has happened since then, and before some of what happened in the ten minutes
    until then. Raises `Rejected` while the store is held."""
    numbers = store_mark.event_numbers(conn)
    end, column = _end(conn, organization, numbers), _T.c.txid if on_postgresql(conn) else _T.c.seq
    low, high = 0, end[0 if column is _T.c.txid else 1] + 1
    mine = sa.select(column, _T.c.at).where(_T.c.organization == organization).order_by(_T.c.txid, _T.c.seq).limit(1)
    if column is _T.c.seq:
        mine = mine.where(_T.c.txid == 0)
    while low < high:
        middle = (low + high) // 2
        row = conn.execute(mine.where(column >= middle)).first()
        if row is None or row.at >= moment - _OUT_OF_ORDER:
            high = middle
        else:
            low = row[0] + 1
    before = (low - 1, 2**63 - 1) if column is _T.c.txid else (0, low - 1)
    return _show(_generation(numbers), max(before, _START))


def after(
    conn: sa.Connection,
    organization: OrganizationId,
    human_sender: HumanSenderId | None,
    cursor: str | None,
    limit: int = 100,
) -> tuple[list[Event], str, bool]:
    """The next events behind `cursor` (None: from the first), oldest first, the cursor behind them, and whether there
    may be more by now.

    With `human_sender` only his; the cursor moves past those of others too, `LOOKED_THROUGH` events at a time. Raises
    `Rejected` for a cursor that is not ours or of another generation, and for any while the store is held.
    """
    numbers = store_mark.event_numbers(conn)
    begin = _START if cursor is None else _place(cursor, numbers)
    generation, end = _generation(numbers), _end(conn, organization, numbers)
    if end <= begin:
        return [], _show(generation, begin), False
    place = sa.tuple_(_T.c.txid, _T.c.seq)
    behind = _T.select().where(_T.c.organization == organization, place > sa.tuple_(*begin), place <= sa.tuple_(*end))
    query, more = behind.order_by(_T.c.txid, _T.c.seq), False
    if human_sender is not None:
        if last := _last_looked_at(conn, query, begin, end):
            more, end = last < end, last
        some = query.limit(LOOKED_THROUGH).subquery()
        query = sa.select(some).where(some.c.human_sender == human_sender).order_by(some.c.txid, some.c.seq)
    events = read_rows(conn.execute(query.limit(limit)).all(), generation)
    if len(events) == limit:
        return events, events[-1].cursor, True
    return events, _show(generation, end), more


def _last_looked_at(conn: sa.Connection, query: sa.Select[Any], begin: _Position, end: _Position) -> _Position | None:
    """The last of so many events between them; None: there are fewer."""
    if begin[0] == end[0] and end[1] - begin[1] < LOOKED_THROUGH:
        return None
    last = conn.execute(query.offset(LOOKED_THROUGH - 1).limit(1)).first()
    return None if last is None else (last.txid, last.seq)


def latest_of_all(conn: sa.Connection) -> str:
    """The cursor behind everything that can be read now, of whatever organization. Raises `Rejected` while the store is
    held."""
    numbers = store_mark.event_numbers(conn)
    return _show(_generation(numbers), _end_of_all(conn, numbers))


def after_of_all(
    conn: sa.Connection, organizations: Sequence[OrganizationId], cursor: str, limit: int
) -> tuple[list[Event], str, bool]:
    """As `after`, for several organizations at once, from one cursor."""
    numbers = store_mark.event_numbers(conn)
    begin, end, generation = _place(cursor, numbers), _end_of_all(conn, numbers), _generation(numbers)
    if end <= begin:
        return [], cursor, False
    bounds: dict[str, object] = {"organizations": list(organizations), "limit": limit}
    bounds |= {"txid": begin[0], "seq": begin[1], "last_txid": end[0], "last_seq": end[1]}
    found = read_rows(conn.execute(_AFTER_OF_ALL, bounds).all(), generation)
    if len(found) == limit:
        return found, found[-1].cursor, True
    return found, _show(generation, end), False


def read_rows(rows: Sequence[sa.Row[Any]], generation: int | None = None) -> list[Event]:
    return [
        Event(
            id=row.id,
            cursor="" if generation is None else _show(generation, (row.txid, row.seq)),
            organization=row.organization,
            message=row.message,
            delivery=row.delivery,
            human_sender=row.human_sender,
            type=EventType(row.type),
            at=row.at,
            data=row.data,
        )
        for row in rows
    ]


def of_message(conn: sa.Connection, organization: OrganizationId, message: UUID, limit: int) -> list[Event]:
    """The end of the timeline, in the order in which it was written."""
    query = _T.select().where(_T.c.message == message, _T.c.organization == organization)
    return read_rows(conn.execute(query.order_by(_T.c.seq.desc()).limit(limit)).all()[::-1])


def _end(conn: sa.Connection, organization: OrganizationId, numbers: EventNumbers) -> _Position:
    """Behind the last event that can be read: every transaction up to there has ended."""
    query = sa.select(_T.c.txid, _T.c.seq).where(_T.c.organization == organization)
    if on_postgresql(conn):
        query = query.where(_T.c.txid < sa.text(f"{OLDEST_RUNNING} + {numbers.txid_ahead}"))
    row = conn.execute(query.order_by(_T.c.txid.desc(), _T.c.seq.desc()).limit(1)).first()
    return _START if row is None else (row.txid, row.seq)


def _end_of_all(conn: sa.Connection, numbers: EventNumbers) -> _Position:
    """As `_end`, over all organizations."""
    if on_postgresql(conn):
        oldest = conn.execute(sa.text(f"SELECT {OLDEST_RUNNING}")).scalar_one()
        return oldest + numbers.txid_ahead - 1, 2**63 - 1
    return 0, conn.execute(sa.select(sa.func.coalesce(sa.func.max(_T.c.seq), 0))).scalar_one()


def _generation(numbers: EventNumbers) -> int:
    if numbers.generation is None:
        title = "The database was restored from a backup; no events are told until the operator has released it."
        raise Rejected(451, "4.3.0", Problem(status=503, code="store-held", title=title, retry_after=60))
    return numbers.generation


def _place(cursor: str, numbers: EventNumbers) -> _Position:
    generation, position = read_cursor(cursor)
    if generation != numbers.generation:
        raise _outdated()
    return position


def _show(generation: int, position: _Position) -> str:
    return base64.urlsafe_b64encode("{}.{}.{}".format(generation, *position).encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, _Position]:
    """The generation, and the place in it, that a cursor names. Raises `Rejected` for one that is not ours."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        *generation, txid, seq = [int(number) for number in text.split(".")]
        numbers = (*(generation or [0]), txid, seq)  # of generation 0 cursors did not speak
    except (ValueError, binascii.Error):
        raise bad_cursor() from None
    if len(numbers) != 3 or not all(0 <= number < 2**63 for number in numbers):
        raise bad_cursor()
    return numbers[0], (txid, seq)


def is_behind(cursor: str, other: str) -> bool:
    """Whether a place comes after another one of the same generation."""
    return read_cursor(cursor)[1] > read_cursor(other)[1]


def bad_cursor() -> Rejected:
    """For a cursor that we never gave out."""
    problem = Problem(
        status=422,
        code="cursor-invalid",
        title="The cursor is not one of ours",
        faults=(Fault(path="", code="cursor-invalid", message="use the cursor of the last answer, or none"),),
    )
    return Rejected(501, "5.5.4", problem)


_position = sa.tuple_(_T.c.txid, _T.c.seq)
_AFTER_OF_ALL = (
    _T.select()
    .where(_T.c.organization.in_(sa.bindparam("organizations", expanding=True)))
    .where(_position > sa.tuple_(sa.bindparam("txid"), sa.bindparam("seq")))
    .where(_position <= sa.tuple_(sa.bindparam("last_txid"), sa.bindparam("last_seq")))
    .order_by(_T.c.txid, _T.c.seq)
    .limit(sa.bindparam("limit"))
)


def _outdated() -> Rejected:
    problem = Problem(
        status=410,
        code="cursor-outdated",
        title="The database was restored from a backup, and this cursor names a place in what was before.",
        detail="Begin anew: ask with `since`, a moment before the last event that you have, and no cursor; then go on "
        "with the cursor of the answer. Events that you have bear ids that you know. A live stream without a cursor "
        "begins now.",
    )
    return Rejected(550, "5.7.1", problem)
