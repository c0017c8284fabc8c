"""The rounds of the loop watch, one row each. The newest round is the one under way, once there is any.

A probe is a message of the operator's with one delivery, written as delivered in the transaction that makes it, so that
nobody ever claims it. What is heard of it is recorded as of any delivery. At the end of its round all of it is erased,
and the row of the round stays for a month.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from homing.loop.alarm import Alarm
from homing.loop.model import State
from homing.loop.watch import (
    CAUSES,
    KEPT,
    LoopFault,
    LoopProbe,
    LoopStanding,
    NoticeArrival,
    ProbeState,
    RoundEnd,
    alarm_for,
    standing,
)
from homing.store import accepted_messages, alarms, tables, tidy
from homing.store.accepted_messages import AcceptedMessage
from homing.store.dialect import insert
from homing.store.inbound import InboundState

_T = tables.loop_probe
_ENDED = (_T.c.ended_at.is_not(None),)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeProbe:
    """A probe with the message that it consists of."""

    probe: LoopProbe
    accepted: AcceptedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRound:
    """What the end of a round changed. `alarm`: the one that stands now; `closed`: one stood before and stands no
    more."""

    standing: LoopStanding
    alarm: Alarm | None
    closed: bool


def newest(conn: sa.Connection) -> LoopProbe | None:
    """The probe of the round under way. None: there never was one."""
    row = conn.execute(_T.select().order_by(_T.c.round.desc()).limit(1)).mappings().first()
    return None if row is None else _probe(row)


def ended(conn: sa.Connection, limit: int = 2) -> list[LoopProbe]:
    """Rounds that ended, the latest first."""
    rows = conn.execute(_T.select().where(*_ENDED).order_by(_T.c.round.desc()).limit(limit))
    return [_probe(row) for row in rows.mappings()]


def now_standing(conn: sa.Connection) -> LoopStanding:
    """How the return path stands."""
    well = sa.select(_T.c.ended_at).where(*_ENDED, _T.c.state == ProbeState.CONCLUDED.value)
    return standing(ended(conn), conn.execute(well.order_by(_T.c.round.desc()).limit(1)).scalar())


def begin(conn: sa.Connection, made: MadeProbe, instead_of: LoopProbe | None = None) -> bool:
    """Begin to watch, or put a fresh probe in the place of one that nobody looked at for too long. False: somebody else
    has."""
    if instead_of is not None:
        conn.execute(_T.delete().where(_T.c.round == instead_of.round))
        _erase(conn, instead_of)
    return _make(conn, made)


def claim(conn: sa.Connection, probe: LoopProbe, now: datetime) -> bool:
    """Take it on to send the notice. False: somebody else has."""
    sent_at = _T.c.sent_at.is_(None) if probe.sent_at is None else _T.c.sent_at == probe.sent_at
    same = (_T.c.round == probe.round, _T.c.state == probe.state.value, sent_at)
    taken = _T.update().where(*same).values(state=ProbeState.SENDING.value, sent_at=now)
    return conn.execute(taken).rowcount == 1


def note_sent(conn: sa.Connection, probe: LoopProbe, said: str) -> None:
    """A server has accepted the notice. `said`: which one."""
    sending = (_T.c.round == probe.round, _T.c.state == ProbeState.SENDING.value)
    conn.execute(_T.update().where(*sending).values(state=ProbeState.SENT.value, said=said))


def arrival(conn: sa.Connection, probe: LoopProbe) -> NoticeArrival:
    """What became of a notice."""
    state = conn.execute(sa.select(tables.delivery.c.state).where(tables.delivery.c.id == probe.delivery)).scalar()
    mails = sa.select(tables.inbound.c.state).where(tables.inbound.c.delivery == probe.delivery)
    came = {InboundState(each) for each in conn.execute(mails).scalars()}
    return NoticeArrival(
        came=bool(came),
        worked_on=bool(came - {InboundState.WAITING, InboundState.WORKING}),
        concluded=state == State.BOUNCED.value,
    )


def finish(conn: sa.Connection, probe: LoopProbe, end: RoundEnd, following: MadeProbe) -> EndedRound | None:
    """End a round and make the probe of the next one, in one transaction with the alarm, which is raised while the
    return path is broken and closed when a round ends well. None: somebody else has ended it."""
    now = following.probe.made_at
    state = ProbeState.CONCLUDED if end.fault is None else ProbeState.FAILED
    values = {
        "state": state.value,
        "fault": None if end.fault is None else end.fault.value,
        "said": end.said,
        "ended_at": now,
    }
    if conn.execute(_T.update().where(_T.c.round == probe.round, ~sa.and_(*_ENDED)).values(values)).rowcount == 0:
        return None
    _erase(conn, probe, mails=end.fault is not LoopFault.MISREAD)
    _make(conn, following)
    now_is = now_standing(conn)
    raised = alarm_for(now_is)
    over = CAUSES - {raised.cause} if raised else CAUSES if end.fault is None else frozenset()
    closed = alarms.close(conn, over)
    if raised is not None:
        raised = replace(raised, again=not alarms.raise_alarm(conn, [(raised, now)]))
    return EndedRound(standing=now_is, alarm=raised, closed=closed)


def hurry(conn: sa.Connection, now: datetime) -> None:
    """Let the round that waits be due now."""
    conn.execute(_T.update().where(_T.c.state == ProbeState.WAITING.value, _T.c.due_at > now).values(due_at=now))


def forget(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Erase rounds that ended long ago."""
    return tidy.forget(conn, _T, _T.c.ended_at < now - KEPT, limit)


def _make(conn: sa.Connection, made: MadeProbe) -> bool:
    row = {name: getattr(made.probe, name) for name in LoopProbe.__dataclass_fields__}
    row["state"] = made.probe.state.value
    if conn.execute(insert(conn, _T).values(row).on_conflict_do_nothing()).rowcount == 0:
        return False
    accepted_messages.add(conn, [made.accepted])
    delivered = {"state": State.DELIVERED.value, "next_attempt_at": None}
    conn.execute(tables.delivery.update().where(tables.delivery.c.id == made.probe.delivery).values(delivered))
    return True


def _erase(conn: sa.Connection, probe: LoopProbe, *, mails: bool = True) -> None:
    """Leave no trace of a probe among messages, deliveries and events, nor of its notice among mails that came in."""
    conn.execute(tables.event.delete().where(tables.event.c.message == probe.message))
    conn.execute(tables.delivery.delete().where(tables.delivery.c.id == probe.delivery))
    conn.execute(tables.message_content.delete().where(tables.message_content.c.message == probe.message))
    conn.execute(tables.message.delete().where(tables.message.c.id == probe.message))
    if mails:
        conn.execute(tables.inbound.delete().where(tables.inbound.c.delivery == probe.delivery))


def _probe(row: sa.RowMapping) -> LoopProbe:
    known = {name: row[name] for name in LoopProbe.__dataclass_fields__}
    fault = None if row["fault"] is None else LoopFault(row["fault"])
    return LoopProbe(**{**known, "state": ProbeState(row["state"]), "fault": fault})
