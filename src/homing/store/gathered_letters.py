"""Letters that tell one person of several cases.

The first case is told at once. What else the same person must hear waits for the end of a window after that letter;
whichever of these actions comes first then takes along all that wait. Each of the cases has its own end of the action,
and its step ends as the letter's delivery does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from homing.loop import ids
from homing.loop.model import ActionState, CaseId, CaseState, StepState
from homing.store import actions, cases, gathered_cases, tables, told_delays
from homing.store.accepted_messages import AcceptedMessage, add
from homing.store.actions import Action, Finished
from homing.store.budgets import HOLDING, folded_for, lock
from homing.store.told_delays import Delay

WINDOW = timedelta(minutes=5)
"""Where the settings say nothing else."""
AT_ONCE = 500
"""Most cases of one letter; others wait for the next one."""

_T = tables.action
_WAITING = (ActionState.DUE.value, ActionState.RUNNING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What a letter tells besides: how that action ends with it, for which step of which case, and the delay of which
    it tells, if any."""

    finished: Finished
    case: CaseId
    step: int
    delay: Delay | None = None


def turn(
    conn: sa.Connection, action: Action, to: str, now: datetime, window: timedelta = WINDOW
) -> list[Action] | datetime | None:
    """Whether a running action may write to that address now: then all that waits for it, oldest first. A moment: it
    must not, as a letter has just gone there, and is due again then. None: its lease is lost."""
    lock(conn)
    folded = folded_for(action.kind, to)
    same = (_T.c.kind == action.kind.value, _T.c.sent_to == folded, _T.c.organization == action.organization)
    others = (*same, _T.c.id != action.id)
    begun = sa.select(sa.func.max(_T.c.started_at)).where(
        *others, _T.c.state.in_(HOLDING), _T.c.started_at > now - window, _T.c.started_at <= now
    )
    mine = (_T.c.id == action.id, _T.c.epoch == action.epoch, _T.c.state == ActionState.RUNNING.value)
    told_at: datetime | None = conn.scalar(begun)
    if told_at is not None:
        waits = {"state": ActionState.DUE.value, "due_at": told_at + window, "lease_until": None, "sent_to": folded}
        put_off = conn.execute(_T.update().where(*mine).values(waits)).rowcount == 1
        if put_off:
            actions.enter_line(conn, [action.id])
        return told_at + window if put_off else None
    if conn.execute(_T.update().where(*mine).values(sent_to=folded, started_at=now)).rowcount == 0:
        return None
    waiting = _T.select().where(*others, _T.c.state.in_(_WAITING), _T.c.started_at.is_(None))
    oldest = waiting.order_by(_T.c.created_at, _T.c.id).limit(AT_ONCE)
    return [actions.to_action(row) for row in conn.execute(oldest).mappings()]


def tell(
    conn: sa.Connection,
    finished: Finished,
    letter: AcceptedMessage,
    delay: Delay | None = None,
    gathered: Sequence[Gathered] = (),
) -> ActionState | None:
    """Add the letter, and end its action and those that it took along, in one transaction: a crash sends it neither
    twice nor never. Returns how the action ended; None: the lease is lost, and no letter was added.

    A `delay` that is over, or that another case has told, is skipped; if it is that of the letter's own case, no letter
    goes out, and what was gathered waits on.
    """
    own = [letter.message.case] if letter.message.case else []
    opened = cases.load(conn, [*own, *(other.case for other in gathered)])
    if why := _untold(conn, opened, delay):
        return ActionState.SKIPPED if actions.finish(conn, _skipped(finished, why)) else None
    if not actions.finish(conn, finished):
        return None
    for other in gathered:
        _end(conn, letter, other, opened)
    add(conn, [letter])
    return finished.state


def _end(
    conn: sa.Connection, letter: AcceptedMessage, other: Gathered, opened: Mapping[CaseId, cases.OpenCase]
) -> None:
    """End an action that the letter took along, unless it has ended otherwise in the meantime."""
    there = sa.select(_T.c.id).where(_T.c.id == other.finished.action, _T.c.state.in_(_WAITING))
    if conn.scalar(there) is None or opened[other.case].case.state is CaseState.RESOLVED:
        return
    if why := _untold(conn, opened, other.delay):
        actions.finish(conn, _skipped(other.finished, why))
        return
    actions.finish(conn, other.finished)
    gathered_cases.add(conn, letter.message.id, other.case, other.step)


def _untold(conn: sa.Connection, opened: Mapping[CaseId, cases.OpenCase], delay: Delay | None) -> str:
    """Why a delay is not to be told after all; "" if it is, or if there is none."""
    if delay is None:
        return ""
    if opened[delay.case].case.state is CaseState.RESOLVED:
        return "the case is resolved"
    told_by = told_delays.claim(conn, delay)
    return "" if told_by == delay.case else f"told with {ids.show('case', told_by)}"


def _skipped(finished: Finished, why: str) -> Finished:
    return replace(finished, state=ActionState.SKIPPED, result=why, events=(), step=StepState.SKIPPED)
