"""Lines in which queues wait for their turn, so that no claim looks at more than what it may take.

A queue (`loop.queue`) in which something waits has a row in `waiting_queue`, and its class of streams one in
`waiting_stream`. `turn_at` is the moment since which it waits for its turn, or at which the first thing in it is due.
After its turn it goes to the end of the line, or leaves it when it is empty.

What waits is written before its queue, the queue before its class, each in the order of its key; and whoever removes a
row first locks it and then looks whether it is still needed. So on PostgreSQL nothing waits outside of its line.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import zip_longest
from operator import itemgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from homing.loop.model import OrganizationId
from homing.loop.queue import LETTERS_CLASS, STATE_IN, Line, Places, Queue
from homing.store import tables
from homing.store.dialect import insert_into, on_postgresql

STREAMS = 64
"""Classes of streams at the head of a line that are looked at."""
_QUEUES = 256
"""Queues that are looked at, over all of these."""
_PAUSED = timedelta(minutes=1)
"""How long nothing but letters is looked for where an organization is paused."""
_CROWDED = timedelta(milliseconds=10)
_LONGEST_REST = timedelta(seconds=10)

_Q = tables.waiting_queue
_S = tables.waiting_stream

_StreamKey = tuple[OrganizationId, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Something that waits in a queue, due at `at`."""

    line: Line
    queue: Queue
    at: datetime


def enter(conn: sa.Connection, waiting: Iterable[Turn]) -> None:
    """Put queues into line, unless they stand there already, for what has just been written to wait in them."""
    queues: dict[tuple[Line, UUID], Turn] = {}
    streams: dict[tuple[Line, OrganizationId, int], datetime] = {}
    for turn in waiting:
        place, of = (turn.line, turn.queue.id), (turn.line, turn.queue.organization, turn.queue.stream_class)
        if place not in queues or turn.at < queues[place].at:
            queues[place] = turn
        streams[of] = min(turn.at, streams.get(of, turn.at))
    if not queues:
        return
    rows = [
        {
            "line": line.value,
            "queue": identifier,
            "organization": turn.queue.organization,
            "stream_class": turn.queue.stream_class,
            "towards": turn.queue.towards,
            "turn_at": turn.at,
        }
        for (line, identifier), turn in sorted(queues.items(), key=itemgetter(0))
    ]
    conn.execute(_entering(_Q, conn.dialect.name), rows)
    classes = [
        {"line": line.value, "organization": organization, "stream_class": stream_class, "turn_at": at}
        for (line, organization, stream_class), at in sorted(streams.items())
    ]
    conn.execute(_entering(_S, conn.dialect.name), classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a line's turns came to. `crowded`: queues from which nothing could be taken for want of places, while others
    stand behind them. They rest, the longer the more of them there are, so that those others are seen. `paused`:
    classes of streams whose organization is paused."""

    line: Line
    served: Collection[Queue]
    crowded: Collection[Queue]
    paused: Collection[_StreamKey] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What may be taken of a line, in this order, and of which queue. `more`: other queues stand behind those that were
    seen. `short`: for some there was no place."""

    items: Mapping[UUID, Queue] = field(default_factory=dict)
    ended: Ended
    more: bool = False
    short: bool = False


def choose(conn: sa.Connection, line: Line, now: datetime, trial: Places) -> Chosen:
    """Of each organization one thing that is due, then of each another one, as long as there are places; those are
    taken."""
    if not trial.has_room(line):
        return Chosen(ended=Ended(line=line, served=(), crowded=()), short=True)
    full = trial.full_organizations()
    seen = _heads(conn, line, now, full)
    queues = [queue for some in seen.streams.values() for queue in some]
    waiting = _due(conn, line, now, queues, limit=1 + 2 * trial.free // max(len(queues), 1))
    served = {queue for queue in queues if not waiting[queue]}
    items: dict[UUID, Queue] = {}
    rotations = deque(_rotation(streams) for streams in _by_organization(seen))
    while rotations and trial.has_room(line):
        queue = _next(rotations[0], waiting, trial)
        if queue is not None:
            trial.take(queue.organization, queue.towards, line)
            items[waiting[queue].popleft()] = queue
            served.add(queue)
            rotations.append(rotations[0])
        rotations.popleft()
    passed_over = {queue for queue in queues if waiting[queue]} - served
    crowded = {queue for queue in passed_over if seen.more and not trial.has_room_towards(queue.towards)}
    ended = Ended(line=line, served=served, crowded=crowded, paused=seen.paused)
    return Chosen(items=items, ended=ended, more=seen.more, short=bool(full or passed_over))


def end_turns(conn: sa.Connection, ended: Sequence[Ended], now: datetime) -> bool:
    """Send queues that had their turn to the end of their lines, or out of them; `ended` in the order of lines. Returns
    whether more is due in those that were served."""
    more = [_end_queues(conn, one, now) for one in ended]
    for one in ended:
        _end_streams(conn, one, now)
    return any(more)


def bring_forward(conn: sa.Connection, lines: Collection[Line], now: datetime, latest: datetime) -> None:
    """Give what stands in these lines for a moment beyond `latest` its turn now."""
    for table in (_Q, _S):
        beyond = (table.c.line.in_([line.value for line in lines]), table.c.turn_at > latest)
        conn.execute(table.update().where(*beyond).values(turn_at=now))


def resume(conn: sa.Connection, organization: OrganizationId, now: datetime) -> None:
    """Give an organization that is not paused any more its turn now."""
    mine = (_S.c.organization == organization) & (_S.c.turn_at > now)
    conn.execute(_S.update().where(mine).values(turn_at=now))


# -- choosing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heads:
    """What stands at the head of a line, in order, each class of streams with its queues. `paused`: classes whose
    organization is paused. `more`: others stand behind."""

    line: Line
    streams: Mapping[_StreamKey, Sequence[Queue]]
    paused: Collection[_StreamKey]
    more: bool


def _heads(conn: sa.Connection, line: Line, now: datetime, but_not: Collection[OrganizationId]) -> _Heads:
    """Whose turn it is. `but_not`: organizations that can take nothing now."""
    bounds = {"line": line.value, "now": now, "but_not": list(but_not)}
    rows = conn.execute(_STREAMS, bounds).all()
    paused = {(row.organization, row.stream_class) for row in rows if row.paused and line in STATE_IN}
    wanted = [key for row in rows if (key := (row.organization, row.stream_class)) not in paused]
    streams: dict[_StreamKey, list[Queue]] = {key: [] for key in wanted}
    limit = max(_QUEUES // len(wanted), 1) if wanted else 0
    for row in _find_heads(conn, line, now, wanted, limit):
        queue = Queue(id=row.queue, organization=row.organization, stream_class=row.stream_class, towards=row.towards)
        streams[row.organization, row.stream_class].append(queue)
    more = len(rows) == STREAMS or any(len(queues) == limit for queues in streams.values())
    return _Heads(line=line, streams=streams, paused=paused, more=more)


def _by_organization(seen: _Heads) -> Iterable[Sequence[Sequence[Queue]]]:
    """The classes of streams of each organization, in the order of the line."""
    streams: dict[OrganizationId, list[Sequence[Queue]]] = {}
    for (organization, _), queues in seen.streams.items():
        streams.setdefault(organization, []).append(queues)
    return streams.values()


def _rotation(streams: Sequence[Sequence[Queue]]) -> deque[Queue]:
    """The first queue of each class of streams, then the second of each, and so on."""
    return deque(queue for some in zip_longest(*streams) for queue in some if queue is not None)


def _next(rotation: deque[Queue], waiting: Mapping[Queue, deque[UUID]], trial: Places) -> Queue | None:
    """The organization's next queue that may take a place; it goes to the end of the rotation."""
    while rotation and trial.has_room_for(rotation[0].organization):
        queue = rotation.popleft()
        if waiting[queue] and trial.has_room_towards(queue.towards):
            rotation.append(queue)
            return queue
    return None


def _due(
    conn: sa.Connection, line: Line, now: datetime, queues: Sequence[Queue], limit: int
) -> Mapping[Queue, deque[UUID]]:
    """What is due in each queue, longest due first."""
    found: dict[UUID, deque[UUID]] = {queue.id: deque() for queue in queues}
    bounds: dict[str, object] = {"now": now, "limit": limit}
    bounds |= {f"queue{n}": queue.id for n, queue in enumerate(queues)}
    for row in conn.execute(_due_in(line, len(queues)), bounds) if queues else ():
        found[row.queue].append(row.id)
    return {queue: found[queue.id] for queue in queues}


def _next_at(conn: sa.Connection, line: Line, queues: Sequence[UUID]) -> Mapping[UUID, datetime]:
    """When the first thing that waits in each queue is due; of one that is empty it says nothing."""
    rows = conn.execute(_NEXT_AT[line], {"b_line": line.value, "b_queues": queues})
    return {row.queue: row.next_at for row in rows if row.next_at is not None}


# -- ending ----------------------------------------------------------------------------------------------------------


def _end_queues(conn: sa.Connection, ended: Ended, now: datetime) -> bool:
    queues = sorted(queue.id for queue in {*ended.served, *ended.crowded})
    if not queues:
        return False
    if on_postgresql(conn):
        conn.execute(_LOCK_QUEUES, {"b_line": ended.line.value, "b_queues": queues})
    due = _next_at(conn, ended.line, queues)
    rested = now + min(len(ended.crowded) * _CROWDED, _LONGEST_REST)
    resting = {queue.id for queue in ended.crowded}
    moved, empty = [], []
    for queue in queues:
        place = {"b_line": ended.line.value, "b_queue": queue}
        if queue in due:
            moved.append(place | {"b_turn_at": max(due[queue], rested if queue in resting else now)})
        else:
            empty.append(place)
    _run(conn, _MOVE_QUEUE, moved)
    _run(conn, _LEAVE_QUEUE, empty)
    return any(at <= now for queue, at in due.items() if queue not in resting)


def _end_streams(conn: sa.Connection, ended: Ended, now: datetime) -> None:
    seen = {(queue.organization, queue.stream_class) for queue in (*ended.served, *ended.crowded)}
    streams = sorted(seen | set(ended.paused))
    if not streams:
        return
    which = {"b_line": ended.line.value, "b_streams": streams}
    if on_postgresql(conn):
        conn.execute(_LOCK_STREAMS, which)
    moved, empty = [], []
    for row in conn.execute(_FIRST_OF_STREAMS, which):
        key = (row.organization, row.stream_class)
        place = {"b_line": ended.line.value, "b_organization": key[0], "b_stream_class": key[1]}
        if row.turn_at is None:
            empty.append(place)
        else:
            moved.append(place | {"b_turn_at": max(row.turn_at, now + _PAUSED if key in ended.paused else now)})
    _run(conn, _MOVE_STREAM, moved)
    _run(conn, _LEAVE_STREAM, empty)


def _run(conn: sa.Connection, statement: sa.Executable, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        conn.execute(statement, rows)


# -- statements ------------------------------------------------------------------------------------------------------
# Built once, and those that look into many places at once as text: building one costs more than running it.


@cache
def _entering(table: sa.Table, dialect: str) -> sqlite.Insert:
    """Put a row where none is, or give it the earlier turn of both."""
    place = insert_into(table, dialect)
    earlier = sa.case((place.excluded.turn_at < table.c.turn_at, place.excluded.turn_at), else_=table.c.turn_at)
    return place.on_conflict_do_update(index_elements=list(table.primary_key), set_={"turn_at": earlier})


_STREAMS = (
    sa.select(
        _S.c.organization,
        _S.c.stream_class,
        (tables.organization.c.paused & (_S.c.stream_class != LETTERS_CLASS)).label("paused"),
    )
    .outerjoin(tables.organization, tables.organization.c.id == _S.c.organization)  # the operator has no row
    .where(_S.c.line == sa.bindparam("line"), _S.c.turn_at <= sa.bindparam("now", type_=tables.Moment))
    .where(_S.c.organization.not_in(sa.bindparam("but_not", expanding=True)))
    .order_by(_S.c.turn_at)
    .limit(STREAMS)
)

_OF_LINE = _Q.c.line == sa.bindparam("b_line")
_LOCK_QUEUES = (
    sa.select(_Q.c.queue)
    .where(_OF_LINE, _Q.c.queue.in_(sa.bindparam("b_queues", expanding=True)))
    .order_by(_Q.c.queue)
    .with_for_update()
)
_THIS_QUEUE = (_OF_LINE, _Q.c.queue == sa.bindparam("b_queue"))
_LEAVE_QUEUE = _Q.delete().where(*_THIS_QUEUE)
_MOVE_QUEUE = _Q.update().where(*_THIS_QUEUE).values(turn_at=sa.bindparam("b_turn_at"))

_FIRST_QUEUE = (
    sa.select(_Q.c.turn_at)
    .where(_Q.c.organization == _S.c.organization, _Q.c.line == _S.c.line, _Q.c.stream_class == _S.c.stream_class)
    .order_by(_Q.c.turn_at)
    .limit(1)
    .scalar_subquery()
)
_SEEN_STREAMS = (
    _S.c.line == sa.bindparam("b_line"),
    sa.tuple_(_S.c.organization, _S.c.stream_class).in_(sa.bindparam("b_streams", expanding=True)),
)
_LOCK_STREAMS = (
    sa.select(_S.c.organization).where(*_SEEN_STREAMS).order_by(_S.c.organization, _S.c.stream_class).with_for_update()
)
_FIRST_OF_STREAMS = sa.select(_S.c.organization, _S.c.stream_class, _FIRST_QUEUE.label("turn_at")).where(*_SEEN_STREAMS)
_THIS_STREAM = (
    _S.c.line == sa.bindparam("b_line"),
    _S.c.organization == sa.bindparam("b_organization"),
    _S.c.stream_class == sa.bindparam("b_stream_class"),
)
_LEAVE_STREAM = _S.delete().where(*_THIS_STREAM)
_MOVE_STREAM = _S.update().where(*_THIS_STREAM).values(turn_at=sa.bindparam("b_turn_at"))


@cache
def _heads_of(streams: int) -> sa.TextualSelect:
    """The first queues of so many classes of streams, of each as many as `limit` says."""
    each = " UNION ALL ".join(
        "SELECT * FROM (SELECT queue, organization, stream_class, towards FROM waiting_queue"  # noqa: S608 - a number
        f" WHERE organization = :organization{n} AND line = :line AND stream_class = :class{n} AND turn_at <= :now"
        f" ORDER BY turn_at LIMIT :limit) AS head{n}"
        for n in range(streams)
    )
    named = [sa.bindparam(f"organization{n}", type_=sa.Uuid) for n in range(streams)]
    bound = sa.text(each).bindparams(*named, sa.bindparam("now", type_=tables.Moment))
    return bound.columns(queue=sa.Uuid, organization=sa.Uuid, stream_class=sa.SmallInteger, towards=sa.String)


def _find_heads(
    conn: sa.Connection, line: Line, now: datetime, streams: Sequence[_StreamKey], limit: int
) -> Iterable[sa.Row[Any]]:
    if not streams:
        return ()
    bounds: dict[str, object] = {"line": line.value, "now": now, "limit": limit}
    for n, (organization, stream_class) in enumerate(streams):
        bounds |= {f"organization{n}": organization, f"class{n}": stream_class}
    return conn.execute(_heads_of(len(streams)), bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Where what waits in a line is kept: in which rows of a table; in which columns they say in which queue, and when
    they are due."""

    table: str
    moment: str
    rows: str
    queue: str = "queue"


_OF_DELIVERIES = "state IN ('queued', 'deferred') AND silent_deaths = 0 AND state = "
"""The first words are those of the index."""
_KEPT = {
    **{
        line: _Kept(table="delivery", moment="next_attempt_at", rows=f"{_OF_DELIVERIES}'{state}'")
        for line, state in STATE_IN.items()
    },
    **dict.fromkeys((Line.CALLS, Line.WRITING), _Kept(table="action", moment="due_at", rows="state = 'due'")),
    **{
        line: _Kept(
            table="inbound", moment="received_at", rows=f"state = 'waiting' AND queue = '{line}'", queue="network_queue"
        )
        for line in (Line.EVIDENCE, Line.OTHER, Line.LARGE)
    },
}


@cache
def _due_in(line: Line, queues: int) -> sa.TextualSelect:
    """What is due in so many queues, of each at most `limit`."""
    kept = _KEPT[line]
    each = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {kept.queue} AS queue, id FROM {kept.table}"  # noqa: S608 - our own words
        f" WHERE {kept.queue} = :queue{n}"
        f" AND {kept.rows} AND {kept.moment} <= :now ORDER BY {kept.moment} LIMIT :limit) AS due{n}"
        for n in range(queues)
    )
    named = [sa.bindparam(f"queue{n}", type_=sa.Uuid) for n in range(queues)]
    bound = sa.text(each).bindparams(*named, sa.bindparam("now", type_=tables.Moment))
    return bound.columns(queue=sa.Uuid, id=sa.Uuid)


def _first_in(kept: _Kept) -> sa.TextualSelect:
    first = (
        f"SELECT {kept.moment} FROM {kept.table} WHERE {kept.table}.{kept.queue} = waiting_queue.queue"  # noqa: S608
        f" AND {kept.rows} ORDER BY {kept.moment} LIMIT 1"
    )
    each = f"SELECT queue, ({first}) AS next_at FROM waiting_queue WHERE line = :b_line AND queue IN :b_queues"  # noqa: S608
    bound = sa.text(each).bindparams(sa.bindparam("b_queues", expanding=True, type_=sa.Uuid))
    return bound.columns(queue=sa.Uuid, next_at=tables.Moment)


_NEXT_AT = {line: _first_in(kept) for line, kept in _KEPT.items()}
