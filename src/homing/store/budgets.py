"""What was written to whom within a day, and the place that one more action takes in its budgets."""

from datetime import datetime

import sqlalchemy as sa

from homing.loop.budget import SPAN, Budget, OverBudget, Spent, over
from homing.loop.model import ActionKind, ActionState
from homing.mail.address import mailbox_of
from homing.store import tables
from homing.store.actions import Action
from homing.store.dialect import on_postgresql

_T = tables.action
_LOCK = 0x62756467
"""The lock that PostgreSQL holds for whoever takes a place, so that of two who want the last one, one gets it."""
HOLDING = (ActionState.RUNNING.value, ActionState.DONE.value, ActionState.IN_DOUBT.value)
"""States of an action that may have written, once it was started."""


def take(conn: sa.Connection, action: Action, to: str, budget: Budget, now: datetime) -> OverBudget | None:
    """Let a running action write to that address or number: it takes a place in both budgets, and gives it back if it
    ends without having written. To repeat it for the same action takes no second one. Returns the budget that is used
    up, and then nothing is taken."""
    folded = folded_for(action.kind, to)
    lock(conn)
    found = over(action.kind, budget, _spent(conn, action, folded, budget, now), to)
    if found is None:
        begun = {"sent_to": folded, "started_at": now}
        conn.execute(_T.update().where(_T.c.id == action.id, _T.c.epoch == action.epoch).values(begun))
    return found


def folded_for(kind: ActionKind, to: str) -> str:
    """An address or number as what is written to it is counted. An organization has one administrator, by whatever
    spelling of his mailbox; two people may share a mailbox and have letters of their own."""
    return mailbox_of(to) if kind is ActionKind.ADMINISTRATOR else to.lower()


def lock(conn: sa.Connection) -> None:
    """Nobody else takes a place before this transaction ends; on SQLite there is one writer anyway."""
    if on_postgresql(conn):
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def _spent(conn: sa.Connection, action: Action, to: str, budget: Budget, now: datetime) -> Spent:
    others = (
        _T.c.kind == action.kind.value,
        _T.c.claimed_at >= now - SPAN,
        _T.c.state.in_(HOLDING),
        _T.c.started_at.is_not(None),
        _T.c.id != action.id,
    )
    own = _T.c.organization == action.organization
    person = (*others, _T.c.sent_to == to, *(() if budget.everybody else (own,)))
    count = sa.select(sa.func.count()).select_from(_T)
    return Spent(
        organization=0 if budget.organization is None else conn.scalar(count.where(*others, own)) or 0,
        person=conn.scalar(count.where(*person)) or 0,
    )
