"""Cases and their outbox: every action is written with the transition that caused it.

Locks are taken in one order everywhere (deliveries, then cases, then actions, each by id), so that transactions on
PostgreSQL wait for each other without a deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from homing.loop.model import (
    ActionState,
    Case,
    CaseId,
    CaseKind,
    CaseState,
    DeliveryId,
    EventType,
    NewAction,
    NewCase,
    NewEvent,
    OrganizationId,
    StepState,
)
from homing.loop.policy import FORWARDING_ANEW_AFTER, begin, escalate, resolve
from homing.loop.queue import queue_of_action
from homing.loop.subject import SUBJECT
from homing.store import tables, told_delays, turns
from homing.store.dialect import insert, insert_all
from homing.store.events import Happening, Subject, append
from homing.store.ids import fresh
from homing.store.json_documents import steps_to_json
from homing.store.rows import case_row, to_case
from homing.store.turns import Turn

_C = tables.case
_A = tables.action
_D = tables.delivery
_M = tables.message
ONCE = (CaseKind.FAILURE, CaseKind.DELAY, CaseKind.FORWARDING_FAILURE)
"""Kinds of which a subject has one case, resolved or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """A case with what its actions and events must name: its delivery's recipient, message, human sender."""

    case: Case
    recipient: str | None
    subject: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """How a step of a case ended, or how it turned out after its end. `why`: the reason a letter failed, for the
    timeline and for the result of the step's action."""

    case: CaseId
    step: int
    result: StepState
    at: datetime
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An action to put into the outbox. `delivery` is that of its case, `recipient` its recipient, for budgets."""

    organization: OrganizationId
    delivery: DeliveryId | None
    recipient: str | None
    action: NewAction
    at: datetime


def open_all(conn: sa.Connection, cases: Sequence[NewCase]) -> list[CaseId | None]:
    """Open the cases that do not stand yet: returns the id of each opened one, None for the others. A delivery has one
    case of a kind, however often it fails; a forwarding failure one in `FORWARDING_ANEW_AFTER`; any other subject has
    at most one unresolved case."""
    if not cases:
        return []
    _give_way(conn, [case for case in cases if case.kind is CaseKind.FORWARDING_FAILURE])
    ids = [CaseId(fresh(conn, case.opened_at)) for case in cases]
    rows = [case_row(identifier, case) for identifier, case in zip(ids, cases, strict=True)]
    rows.sort(key=lambda row: (row["organization"], row["kind"], row["subject"]))  # the order that all keep
    opened = set(conn.execute(insert(conn, _C).on_conflict_do_nothing().returning(_C.c.id), rows).scalars())
    return [identifier if identifier in opened else None for identifier in ids]


def _give_way(conn: sa.Connection, cases: Sequence[NewCase]) -> None:
    """Let cases that are old enough make place for new ones of the same subject, by adding their id to theirs."""
    for case in cases:
        old = sa.and_(_of_subject(case), _C.c.opened_at <= case.opened_at - FORWARDING_ANEW_AFTER)
        for identifier in conn.execute(sa.select(_C.c.id).where(old)).scalars().all():
            subject = f"{case.subject}:{identifier.hex}"[-SUBJECT:]
            conn.execute(_C.update().where(_C.c.id == identifier).values(subject=subject))


def standing(conn: sa.Connection, case: NewCase) -> CaseId | None:
    """The case that stands in a new one's place."""
    return conn.execute(sa.select(_C.c.id).where(_of_subject(case)).order_by(_C.c.id.desc()).limit(1)).scalar()


def _of_subject(case: NewCase) -> sa.ColumnElement[bool]:
    """On its place; in the words of the index over those that keep it for ever, so that it is used."""
    keeps = _C.c.kind.in_([sa.literal_column(f"'{kind.value}'") for kind in ONCE])
    place = (_C.c.organization, case.organization), (_C.c.kind, case.kind.value), (_C.c.subject, case.subject)
    return sa.and_(keeps, *(column == value for column, value in place))


def open_case(conn: sa.Connection, case: NewCase) -> CaseId | None:
    """Open a case with its first steps, its event and its actions. None: there is such a case already."""
    begun = begin(case)
    [identifier] = open_all(conn, [begun.case])
    if identifier is None:
        return None
    opened = load(conn, [identifier])[identifier]
    append(conn, [Happening(subject=opened.subject, event=event, at=case.opened_at) for event in begun.events])
    put(conn, [_task(opened, replace(action, case=identifier), case.opened_at) for action in begun.actions])
    return identifier


def of_deliveries(conn: sa.Connection, deliveries: Iterable[DeliveryId]) -> list[CaseId]:
    """The cases about them, of whatever kind."""
    query = sa.select(_C.c.id).where(_C.c.delivery.in_(sorted(set(deliveries)))).order_by(_C.c.id)
    return list(conn.execute(query).scalars())


def of_delays(conn: sa.Connection, deliveries: Iterable[DeliveryId]) -> dict[DeliveryId, CaseId]:
    """The cases that still tell of a delay of theirs."""
    query = sa.select(_C.c.delivery, _C.c.id).where(
        _C.c.delivery.in_(sorted(set(deliveries))),
        _C.c.kind == CaseKind.DELAY.value,
        _C.c.state != CaseState.RESOLVED.value,
    )
    return {row.delivery: row.id for row in conn.execute(query)}


def put(conn: sa.Connection, tasks: Iterable[Task]) -> None:
    """Into the outbox."""
    tasks = list(tasks)
    places = [queue_of_action(task.organization, task.action.kind) for task in tasks]
    rows = [
        {
            "id": fresh(conn, task.at),
            "organization": task.organization,
            "queue": queue.id,
            "kind": task.action.kind.value,
            "case_id": task.action.case,
            "step": task.action.step,
            "delivery": task.delivery,
            "recipient": task.recipient,
            "data": dict(task.action.data),
            "state": ActionState.DUE.value,
            "tries": 0,
            "due_at": task.action.due_at,
            "epoch": 0,
            "result": "",
            "created_at": task.at,
        }
        for task, (_, queue) in zip(tasks, places, strict=True)
    ]
    insert_all(conn, _A, rows)
    waiting = zip(tasks, places, strict=True)
    turns.enter(conn, (Turn(line=line, queue=queue, at=task.action.due_at) for task, (line, queue) in waiting))


def load(conn: sa.Connection, wanted: Iterable[CaseId], *, lock: bool = True) -> dict[CaseId, OpenCase]:
    """Fresh, and locked until the transaction ends (`lock=False`: only to be looked at)."""
    query = (
        sa.select(_C, _D.c.recipient, _D.c.message, _M.c.human_sender)
        .join_from(_C, _D, _D.c.id == _C.c.delivery, isouter=True)
        .join(_M, _M.c.id == _D.c.message, isouter=True)
        .where(_C.c.id.in_(sorted(set(wanted))))
        .order_by(_C.c.id)
    )
    if lock:
        query = query.with_for_update(of=_C)
    return {row["id"]: _open_case(row) for row in conn.execute(query).mappings()}


def advance(conn: sa.Connection, ended: Sequence[StepEnded], loaded: Mapping[CaseId, OpenCase] | None = None) -> None:
    """Let each case go on after its step's end: its state, its events, its next actions. `loaded`: the cases, where
    this transaction has locked them already."""
    if not ended:
        return
    before = load(conn, (step.case for step in ended)) if loaded is None else loaded
    now_open = {case: opened.case for case, opened in before.items()}
    happenings: list[Happening] = []
    tasks: list[Task] = []
    for step in ended:
        if step.case not in before:
            continue
        opened, case = before[step.case], now_open[step.case]
        outcome = escalate(case, step.step, step.result, step.at)
        now_open[step.case] = outcome.case
        if step.why and case.steps[step.step] is not StepState.UNHEARD:
            happenings.append(_came_to_nothing(opened, step))
            conn.execute(_A.update().where(_A.c.case_id == step.case, _A.c.step == step.step).values(result=step.why))
        happenings.extend(Happening(subject=opened.subject, event=event, at=step.at) for event in outcome.events)
        tasks.extend(_task(opened, action, step.at) for action in outcome.actions)
    save(conn, now_open.values())
    append(conn, happenings)
    put(conn, tasks)


def _came_to_nothing(opened: OpenCase, step: StepEnded) -> Happening:
    channel = opened.case.policy.steps[step.step].kind.value
    event = NewEvent(type=EventType.ACTION_FAILED, data={"channel": channel, "why": step.why})
    return Happening(subject=opened.subject, event=event, at=step.at)


def save(conn: sa.Connection, cases: Iterable[Case]) -> None:
    rows = [{"b_id": case.id, "steps": steps_to_json(case.steps), "state": case.state.value} for case in cases]
    if rows:
        conn.execute(_C.update().where(_C.c.id == sa.bindparam("b_id")), rows)


def close(
    conn: sa.Connection,
    wanted: Iterable[CaseId],
    now: datetime,
    organization: OrganizationId | None = None,
    event: NewEvent | None = None,
) -> list[CaseId]:
    """Resolve cases that somebody dealt with, or that are over, and skip the actions that were still due. With
    `organization` only its own."""
    opened = load(conn, wanted)
    if organization is not None:
        opened = {case: one for case, one in opened.items() if one.case.organization == organization}
    if not opened:
        return []
    skipped = _skip_actions(conn, list(opened), now)
    told_delays.forget(conn, [case for case, one in opened.items() if one.case.kind is CaseKind.DELAY])
    save(conn, (_without(resolve(one.case), skipped.get(case, set())) for case, one in opened.items()))
    if event:
        append(conn, [Happening(subject=one.subject, event=event, at=now) for one in opened.values()])
    return list(opened)


def _skip_actions(conn: sa.Connection, wanted: list[CaseId], now: datetime) -> dict[CaseId, set[int]]:
    query = (
        _A.update()
        .where(_A.c.case_id.in_(wanted), _A.c.state == ActionState.DUE.value)
        .values(state=ActionState.SKIPPED.value, ended_at=now, result="the case is resolved")
        .returning(_A.c.case_id, _A.c.step)
    )
    skipped: dict[CaseId, set[int]] = {}
    for case, step in conn.execute(query):
        skipped.setdefault(case, set()).add(step)
    return skipped


def _without(case: Case, steps: set[int]) -> Case:
    states = (StepState.SKIPPED if index in steps else state for index, state in enumerate(case.steps))
    return replace(case, steps=tuple(states))


def _task(opened: OpenCase, action: NewAction, at: datetime) -> Task:
    case = opened.case
    return Task(
        organization=case.organization, delivery=case.delivery, recipient=opened.recipient, action=action, at=at
    )


def _open_case(row: sa.RowMapping) -> OpenCase:
    case = to_case(row)
    subject = Subject(
        organization=case.organization,
        message=row["message"],
        delivery=case.delivery,
        human_sender=row["human_sender"],
    )
    return OpenCase(case=case, recipient=row["recipient"], subject=subject)
