"""The outbox at work: every action is claimed, carried out, and ends on record.

Carrying out is at least once, except where a repetition costs money and sleep: an SMS is marked started before the
call, and one that was started and never ended is in doubt, not repeated.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from homing.loop.alarm import Alarm
from homing.loop.model import (
    ActionId,
    ActionKind,
    ActionState,
    CaseId,
    CaseState,
    DeliveryId,
    EventType,
    NewAction,
    NewEvent,
    OrganizationId,
    StepState,
)
from homing.loop.queue import Line, Place, Places, Queue, queue_of_action
from homing.store import alarms, cases, tables, turns
from homing.store.dialect import sorted_by
from homing.store.events import Happening, Subject, append
from homing.store.turns import Turn

_T = tables.action
_C = tables.case
_D = tables.delivery
_M = tables.message

_OPEN = cast("sa.ColumnElement[bool]", sa.text("action.state IN ('due', 'running')"))
"""Spelt out, so that both planners see that the index of what is to be done serves."""
_SPENT = [ActionState.DONE.value, ActionState.IN_DOUBT.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One outbox row. `delivery` is the failed one, `recipient` its recipient. `tries` counts claims."""

    id: ActionId
    organization: OrganizationId
    kind: ActionKind
    case_id: CaseId | None
    step: int | None
    delivery: DeliveryId | None
    recipient: str | None
    data: Mapping[str, str]
    state: ActionState
    tries: int
    due_at: datetime
    epoch: int
    provider_id: str | None
    result: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionClaim:
    """Actions that were claimed, each with the place that it takes. `more`: something else is due; `short`: something
    is due for which there is no place."""

    actions: Sequence[tuple[Action, Place]] = ()
    more: bool = False
    short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How an action ended. `epoch`: that of the claim; None for later news of an ended action (a status callback).
    `step`: how its case's step ended with it; None if the letter's delivery or a callback decides that later. `alarm`:
    what the operator must hear of besides."""

    action: ActionId
    epoch: int | None
    state: ActionState
    result: str
    now: datetime
    events: tuple[NewEvent, ...] = ()
    step: StepState | None = None
    provider_id: str | None = None
    alarm: Alarm | None = None


def put(conn: sa.Connection, organization: OrganizationId, action: NewAction, now: datetime) -> None:
    """An action that serves no case (the Oops! answer)."""
    task = cases.Task(organization=organization, delivery=None, recipient=None, action=action, at=now)
    cases.put(conn, [task])


def claim(conn: sa.Connection, now: datetime, places: Mapping[Line, Places], lease: timedelta) -> ActionClaim:
    """Lease what is due and finds a place; those given are left as they are. What belongs to a resolved case is
    skipped."""
    trials = {line: places[line].copy() for line in places}
    chosen = [turns.choose(conn, line, now, trials[line]) for line in sorted(places)]
    queues = {item: (one.ended.line, queue) for one in chosen for item, queue in one.items.items()}
    rows = {row["id"]: row for row in conn.execute(_CHOSEN, {"b_ids": list(queues)}).mappings()} if queues else {}
    needless = [row["id"] for row in rows.values() if row["resolved"]]
    if needless:
        skipped = {"state": ActionState.SKIPPED.value, "ended_at": now, "result": "the case is resolved"}
        conn.execute(_T.update().where(_T.c.id.in_(needless)).values(skipped))
    wanted = [rows[item] for item in queues if item in rows and not rows[item]["resolved"]]
    if wanted:
        running = {"state": ActionState.RUNNING.value, "lease_until": now + lease, "claimed_at": now}
        update = _T.update().where(_T.c.id.in_([row["id"] for row in wanted]))
        conn.execute(update.values(**running, epoch=_T.c.epoch + 1, tries=_T.c.tries + 1))
    more = turns.end_turns(conn, [one.ended for one in chosen], now)
    return ActionClaim(
        actions=[_claimed(row, *queues[row["id"]], trials) for row in wanted],
        more=more or any(one.more for one in chosen),
        short=any(one.short for one in chosen),
    )


def _claimed(row: sa.RowMapping, line: Line, queue: Queue, trials: Mapping[Line, Places]) -> tuple[Action, Place]:
    changes = {"state": ActionState.RUNNING, "epoch": row["epoch"] + 1, "tries": row["tries"] + 1}
    place = trials[line].take(queue.organization, queue.towards, line)
    return to_action({**row, **changes}), place


_CHOSEN = (
    sa.select(_T, sa.func.coalesce(_C.c.state == CaseState.RESOLVED.value, sa.false()).label("resolved"))
    .join_from(_T, _C, _C.c.id == _T.c.case_id, isouter=True)
    .where(_T.c.id.in_(sa.bindparam("b_ids", expanding=True)), _T.c.state == ActionState.DUE.value)
    .with_for_update(of=_T, skip_locked=True)
)


def mark_started(conn: sa.Connection, action: ActionId, epoch: int, now: datetime) -> bool:
    """The intent, to be committed before an effect that must not happen twice. False: the lease is lost, do nothing."""
    return _set(conn, action, epoch, {"started_at": now})


def retry_at(conn: sa.Connection, action: ActionId, epoch: int, due_at: datetime, result: str) -> bool:
    """Retry at `due_at` an action that certainly had no effect. False: the lease is lost."""
    again = {"state": ActionState.DUE.value, "due_at": due_at, "result": result}
    if not _set(conn, action, epoch, {**again, "lease_until": None, "started_at": None}):
        return False
    enter_line(conn, [action])
    return True


def enter_line(conn: sa.Connection, waiting: Collection[ActionId]) -> None:
    """Put actions into line that have become due again."""
    which = (_T.c.id.in_(waiting), _T.c.state == ActionState.DUE.value)
    turns.enter(conn, map(_turn, conn.execute(_T.select().where(*which)).mappings().all()))


def enter_lines(conn: sa.Connection, limit: int) -> int:
    """Put actions into line that an older version wrote; returns how many."""
    which = (sa.text("action.state = 'due'"), _T.c.queue.is_(None))
    query = _T.select().where(*which).limit(limit).with_for_update(skip_locked=True)
    waiting = [(row["id"], _turn(row)) for row in conn.execute(query).mappings()]
    given = [{"b_id": action, "b_queue": turn.queue.id} for action, turn in waiting]
    if given:
        statement = _T.update().where(_T.c.id == sa.bindparam("b_id")).values(queue=sa.bindparam("b_queue"))
        conn.execute(statement, given)
    turns.enter(conn, (turn for _, turn in waiting))
    return len(waiting)


def _turn(row: sa.RowMapping) -> Turn:
    line, queue = queue_of_action(row["organization"], ActionKind(row["kind"]))
    return Turn(line=line, queue=queue, at=row["due_at"])


def bring_forward(conn: sa.Connection, now: datetime, latest: datetime) -> int:
    """Make due now the tries that a fast clock put off beyond `latest`; returns how many."""
    put_off = _T.update().where(_OPEN, _T.c.state == ActionState.DUE.value, _T.c.tries > 0, _T.c.due_at > latest)
    changed = conn.execute(put_off.values(due_at=now)).rowcount
    turns.bring_forward(conn, (Line.CALLS, Line.WRITING), now, latest)
    return changed


def finish(conn: sa.Connection, finished: Finished) -> bool:
    """Write the end, its events, and let the case go on, all or nothing. False: the lease is lost, nothing changed."""
    found = _subject(conn, finished.action)
    values = {"state": finished.state.value, "result": finished.result, "ended_at": finished.now, "lease_until": None}
    if finished.provider_id is not None:
        values["provider_id"] = finished.provider_id
    if found is None or not _set(conn, finished.action, finished.epoch, values):
        return False
    append(conn, (Happening(subject=found.subject, event=event, at=finished.now) for event in finished.events))
    if finished.alarm:
        alarms.raise_alarm(conn, [(finished.alarm, finished.now)])
    if finished.step and found.cases and found.step is not None:
        [case] = found.cases
        ended = cases.StepEnded(case=case, step=found.step, result=finished.step, at=finished.now)
        cases.advance(conn, [ended], found.cases)
    return True


def by_id(conn: sa.Connection, action: ActionId) -> Action | None:
    """The action that a callback's token names. The token is the pass, so no organization is asked for."""
    row = conn.execute(_T.select().where(_T.c.id == action)).mappings().first()
    return None if row is None else to_action(row)


def get(conn: sa.Connection, organization: OrganizationId, action: ActionId) -> Action | None:
    row = conn.execute(_T.select().where(_T.c.id == action, _T.c.organization == organization)).mappings().first()
    return None if row is None else to_action(row)


def of_case(conn: sa.Connection, case: CaseId) -> list[Action]:
    rows = conn.execute(_T.select().where(_T.c.case_id == case).order_by(_T.c.step)).mappings()
    return [to_action(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Spent:
    """Actions of one kind in a span: all of the organization's, and those about one recipient."""

    organization: int
    recipient: int


def spent(conn: sa.Connection, action: Action, since: datetime) -> Spent:
    """How many actions of this kind were begun since then, up to and with this one: carried out, in doubt, or running
    and claimed before it. So of a burst the first ones are within a budget, whatever becomes of the others."""
    claimed_at = sa.select(_T.c.claimed_at).where(_T.c.id == action.id).scalar_subquery()
    before = sa.tuple_(_T.c.claimed_at, _T.c.id) <= sa.tuple_(claimed_at, sa.literal(action.id, sa.Uuid))
    about = sa.case((_T.c.recipient == action.recipient, 1))
    query = sa.select(sa.func.count(), sa.func.count(about)).where(
        _T.c.organization == action.organization,
        _T.c.kind == action.kind.value,
        _T.c.claimed_at >= since,
        _T.c.state.in_(_SPENT) | ((_T.c.state == ActionState.RUNNING.value) & before),
    )
    return Spent(*conn.execute(query).one())


def recover(conn: sa.Connection, now: datetime, everything: bool = False) -> list[Action]:
    """Actions whose worker died (`everything`: all that run, when no worker can be alive). An SMS that was started is
    in doubt: its step counts as unheard, so that the case goes on. The others are due again."""
    abandoned = [_OPEN, _T.c.state == ActionState.RUNNING.value]
    if not everything:
        abandoned.append(_T.c.lease_until < now)
    rows = conn.execute(_T.select().where(*abandoned).order_by(sorted_by(_T.c.id))).mappings().all()
    in_doubt = [row for row in rows if row["kind"] == ActionKind.SMS.value and row["started_at"] is not None]
    doubtful = {row["id"] for row in in_doubt}
    for row in in_doubt:
        finish(conn, _in_doubt(row, now))
    again = [row["id"] for row in rows if row["id"] not in doubtful]
    due = {"state": ActionState.DUE.value, "lease_until": None, "started_at": None}
    if again:
        conn.execute(_T.update().where(_T.c.id.in_(again), *abandoned).values(due))
        enter_line(conn, again)
    return [to_action(row) for row in rows]


def _in_doubt(row: sa.RowMapping, now: datetime) -> Finished:
    facts = {"kind": row["kind"], "in_doubt": True, "why": "the worker died after the call was begun"}
    return Finished(
        action=row["id"],
        epoch=row["epoch"],
        state=ActionState.IN_DOUBT,
        result="begun, but no answer was recorded: it may have been sent",
        now=now,
        events=(NewEvent(type=EventType.ACTION_FAILED, data=facts),),
        step=StepState.UNHEARD,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    subject: Subject
    step: int | None
    cases: Mapping[CaseId, cases.OpenCase]
    """The case that it serves, locked; none for the Oops! answer."""


def _subject(conn: sa.Connection, action: ActionId) -> _Found | None:
    """The subject of an action. Its case is locked first, in the order that all transactions keep."""
    query = (
        sa.select(_T.c.organization, _T.c.case_id, _T.c.step, _T.c.delivery, _D.c.message, _M.c.human_sender)
        .join_from(_T, _D, _D.c.id == _T.c.delivery, isouter=True)
        .join(_M, _M.c.id == _D.c.message, isouter=True)
        .where(_T.c.id == action)
    )
    row = conn.execute(query).first()
    if row is None:
        return None
    locked = {} if row.case_id is None else cases.load(conn, [row.case_id])
    subject = Subject(
        organization=row.organization, message=row.message, delivery=row.delivery, human_sender=row.human_sender
    )
    return _Found(subject=subject, step=row.step, cases=locked)


def _set(conn: sa.Connection, action: ActionId, epoch: int | None, values: Mapping[str, Any]) -> bool:
    mine: Sequence[sa.ColumnElement[bool]] = [_T.c.id == action]
    if epoch is not None:
        mine = [*mine, _T.c.epoch == epoch, _T.c.state == ActionState.RUNNING.value]
    return conn.execute(_T.update().where(*mine).values(values)).rowcount == 1


def to_action(row: Mapping[str, Any] | sa.RowMapping) -> Action:
    known = {name: row[name] for name in Action.__dataclass_fields__}
    return Action(**{**known, "kind": ActionKind(row["kind"]), "state": ActionState(row["state"])})
