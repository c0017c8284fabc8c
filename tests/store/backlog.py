"""A backlog, quickly: deliveries of one organization to one domain that are due, made by the database itself."""

from uuid import UUID

import sqlalchemy as sa

from homing.loop.model import OrganizationId, State
from homing.loop.queue import LINE_OF, queue_of
from homing.store import tables, turns
from homing.store.accepted_messages import AcceptedMessage
from homing.store.dialect import on_postgresql
from homing.store.turns import Turn

from .scenes import NOW

SLOW = "slow.example"


def build(conn: sa.Connection, like: AcceptedMessage, count: int, state: State = State.QUEUED) -> None:
    """So many more recipients of a message that was accepted, all at `SLOW`, due for a while."""
    message, model = like.message, like.deliveries[0]
    queue = queue_of(message.organization, message.stream, SLOW)
    given = {"id", "queue", "recipient_domain"}
    others = [column.name for column in tables.delivery.columns if column.name not in given]
    own = {"recipient": f"'person' || s.n || '@{SLOW}'", "state": f"'{state}'", "next_attempt_at": ":now - s.n"}
    if on_postgresql(conn):
        numbers = "generate_series(CAST(1 AS bigint), :count) AS s(n)"
        fresh, place = "gen_random_uuid()", "CAST(:queue AS uuid)"
    else:
        numbers = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :count) SELECT n FROM s) s"
        fresh, place = "lower(hex(randomblob(16)))", ":queue"
    chosen = ", ".join([fresh, place, f"'{SLOW}'", *(own.get(name, f"model.{name}") for name in others)])
    statement = (
        f"INSERT INTO delivery (id, queue, recipient_domain, {', '.join(others)})"
        f" SELECT {chosen} FROM delivery AS model, {numbers} WHERE model.id = :model"
    )
    bounds = {
        "now": int(NOW.timestamp()) * 1_000_000,
        "count": count,
        "queue": _text(conn, queue.id),
        "model": model.id,
    }
    conn.execute(sa.text(statement).bindparams(sa.bindparam("model", type_=sa.Uuid)), bounds)
    turns.enter(conn, [Turn(line=LINE_OF[state], queue=queue, at=NOW)])


def _text(conn: sa.Connection, identifier: UUID) -> str:
    return str(identifier) if on_postgresql(conn) else identifier.hex


def out_of_line(conn: sa.Connection) -> list[tuple[OrganizationId, str]]:
    """What waits although its queue, or the class of its streams, stands in no line in time for it."""
    delivery, queue, stream = tables.delivery, tables.waiting_queue, tables.waiting_stream
    line = sa.case((delivery.c.state == State.QUEUED.value, "first"), else_="later")
    in_line = (
        sa.select(sa.literal(1))
        .select_from(
            queue.join(
                stream,
                (stream.c.line == queue.c.line)
                & (stream.c.organization == queue.c.organization)
                & (stream.c.stream_class == queue.c.stream_class),
            )
        )
        .where(queue.c.queue == delivery.c.queue, queue.c.line == line)
        .correlate(delivery)
    )
    waits = delivery.c.state.in_([State.QUEUED.value, State.DEFERRED.value]) & (delivery.c.silent_deaths == 0)
    rows = conn.execute(
        sa.select(delivery.c.organization, delivery.c.recipient).where(
            waits, delivery.c.queue.is_not(None), ~sa.exists(in_line)
        )
    )
    return [(row.organization, row.recipient) for row in rows]


def analyze(conn: sa.Connection) -> None:
    """What a database does by itself from time to time: count what its planner goes by."""
    conn.exec_driver_sql("ANALYZE delivery")
