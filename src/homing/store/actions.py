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
from homing.store import alarms, cases, tables
from homing.store.dialect import sorted_by
from homing.store.events import Happening, Subject, append

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


def claim(
    conn: sa.Connection,
    now: datetime,
    limit: int,
    lease: timedelta,
    kinds: Collection[ActionKind] = tuple(ActionKind),
) -> list[Action]:
    """Lease what is due of these kinds, longest due first. What belongs to a resolved case is skipped."""
    resolved = _C.c.state == CaseState.RESOLVED.value
    query = (
        sa.select(_T, sa.func.coalesce(resolved, sa.false()).label("resolved"))
        .join_from(_T, _C, _C.c.id == _T.c.case_id, isouter=True)
        .where(_OPEN, _T.c.state == ActionState.DUE.value, _T.c.due_at <= now)
        .where(_T.c.kind.in_([kind.value for kind in kinds]))
        .order_by(_T.c.due_at)
        .limit(limit)
        .with_for_update(of=_T, skip_locked=True)
    )
    rows = conn.execute(query).mappings().all()
    needless = [row["id"] for row in rows if row["resolved"]]
    if needless:
        skipped = {"state": ActionState.SKIPPED.value, "ended_at": now, "result": "the case is resolved"}
        conn.execute(_T.update().where(_T.c.id.in_(needless)).values(skipped))
    wanted = [row for row in rows if not row["resolved"]]
    if wanted:
        running = {"state": ActionState.RUNNING.value, "lease_until": now + lease, "claimed_at": now}
        update = _T.update().where(_T.c.id.in_([row["id"] for row in wanted]))
        conn.execute(update.values(**running, epoch=_T.c.epoch + 1, tries=_T.c.tries + 1))
    changes = {"state": ActionState.RUNNING}
    return [to_action({**row, **changes, "epoch": row["epoch"] + 1, "tries": row["tries"] + 1}) for row in wanted]


def mark_started(conn: sa.Connection, action: ActionId, epoch: int, now: datetime) -> bool:
    """The intent, to be committed before an effect that must not happen twice. False: the lease is lost, do nothing."""
    return _set(conn, action, epoch, {"started_at": now})


def retry_at(conn: sa.Connection, action: ActionId, epoch: int, due_at: datetime, result: str) -> bool:
    """Retry at `due_at` an action that certainly had no effect. False: the lease is lost."""
    again = {"state": ActionState.DUE.value, "due_at": due_at, "result": result}
    return _set(conn, action, epoch, {**again, "lease_until": None, "started_at": None})


def bring_forward(conn: sa.Connection, now: datetime, latest: datetime) -> int:
    """Make due now the tries that a fast clock put off beyond `latest`; returns how many."""
    put_off = _T.update().where(_OPEN, _T.c.state == ActionState.DUE.value, _T.c.tries > 0, _T.c.due_at > latest)
    return conn.execute(put_off.values(due_at=now)).rowcount


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
