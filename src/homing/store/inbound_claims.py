"""Who reads which mail that came in, and when: network by network in turn (`store.turns`), under a lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from homing.loop.queue import Line, Place, Places, queue_of_mail
from homing.store import tables, turns
from homing.store.inbound import Inbound, InboundQueue, InboundState, to_inbound
from homing.store.turns import Turn

_T = tables.inbound
_D = tables.delivery
_RECOVERED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MailClaim:
    """Mails that were claimed, each with the place that it takes. `more`: others wait."""

    mails: Sequence[tuple[Inbound, Place]] = ()
    more: bool = False


def claim(conn: sa.Connection, queue: InboundQueue, now: datetime, places: Places, lease: timedelta) -> MailClaim:
    """Lease what waits in a queue and finds a place, network by network in turn; `places` is left as it is. `tries`
    counts this claim too: many mean that it kills its worker."""
    line = Line(queue.value)
    trial = places.copy()
    chosen = turns.choose(conn, line, now, trial)
    rows = {row["id"]: row for row in conn.execute(_CHOSEN, {"b_ids": list(chosen.items)}).mappings()}
    taken = [rows[item] for item in chosen.items if item in rows]
    if taken:
        working = {"state": InboundState.WORKING.value, "lease_until": now + lease}
        conn.execute(_T.update().where(_T.c.id.in_(list(rows))).values(**working, tries=_T.c.tries + 1))
    more = turns.end_turns(conn, [chosen.ended], now)
    mails = []
    for row in taken:
        waited_in = chosen.items[row["id"]]
        mails.append((_taken(row), trial.take(waited_in.organization, waited_in.towards, line)))
    return MailClaim(mails=mails, more=more or chosen.more)


def _taken(row: sa.RowMapping) -> Inbound:
    return to_inbound({**row, "state": InboundState.WORKING.value, "tries": row["tries"] + 1})


def recover(conn: sa.Connection, now: datetime) -> int:
    """Let mail wait again whose worker died, and put into line what an older version kept; returns how many."""
    dead = sa.select(_T.c.id).where(sa.text("inbound.state = 'working'"), _T.c.lease_until < now)
    older = sa.select(_T.c.id).where(sa.text("inbound.state = 'waiting'"), _T.c.network_queue.is_(None))
    found = [
        *conn.execute(dead.limit(_RECOVERED).with_for_update(skip_locked=True)).scalars(),
        *conn.execute(older.limit(_RECOVERED).with_for_update(skip_locked=True)).scalars(),
    ]
    if not found:
        return 0
    rows = conn.execute(_PLACES, {"b_ids": found}).all()
    queues = [queue_of_mail(row.ip, row.purpose, row.organization) for row in rows]
    again = _T.update().where(_T.c.id == sa.bindparam("b_id"))
    waiting = {"state": InboundState.WAITING.value, "lease_until": None}
    conn.execute(
        again.values(**waiting, network_queue=sa.bindparam("b_queue")),
        [{"b_id": row.id, "b_queue": queue.id} for row, queue in zip(rows, queues, strict=True)],
    )
    in_line = zip(rows, queues, strict=True)
    turns.enter(conn, (Turn(line=Line(row.queue), queue=queue, at=now) for row, queue in in_line))
    return len(rows)


_PLACES = (
    sa.select(_T.c.id, _T.c.ip, _T.c.purpose, _T.c.queue, _D.c.organization)
    .join_from(_T, _D, _D.c.id == _T.c.delivery, isouter=True)
    .where(_T.c.id.in_(sa.bindparam("b_ids", expanding=True)))
)
_CHOSEN = (
    _T.select()
    .where(_T.c.id.in_(sa.bindparam("b_ids", expanding=True)), _T.c.state == InboundState.WAITING.value)
    .with_for_update(skip_locked=True)
)
