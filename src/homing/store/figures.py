"""How much is waiting: figures for the operator's monitoring, over all organizations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from homing.loop.lifecycle import TERMINAL
from homing.loop.model import CaseState, State
from homing.store import tables

_D = tables.delivery
_C = tables.case


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`oldest_due`: since when the longest waiting due delivery has been due; None if nothing is due."""

    deliveries: Mapping[State, int]
    cases: Mapping[CaseState, int]
    oldest_due: datetime | None


def waiting(conn: sa.Connection, now: datetime) -> Waiting:
    """Every state that is not an end has its figure, be it 0."""
    under_way = [state for state in State if state not in TERMINAL]
    unsettled = [CaseState.OPEN, CaseState.UNHEARD]
    deliveries = _counts(conn, _D.c.state, [state.value for state in under_way])
    cases = _counts(conn, _C.c.state, [state.value for state in unsettled])
    due = sa.select(sa.func.min(_D.c.next_attempt_at)).where(
        sa.text("delivery.state IN ('queued', 'deferred')"), _D.c.next_attempt_at <= now
    )
    return Waiting(
        deliveries={state: deliveries.get(state.value, 0) for state in under_way},
        cases={state: cases.get(state.value, 0) for state in unsettled},
        oldest_due=conn.execute(due).scalar(),
    )


def _counts(conn: sa.Connection, column: sa.Column[str], values: list[str]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(column.in_(values)).group_by(column)
    return {state: count for state, count in conn.execute(query)}  # noqa: C416 - rows are no pairs to a type checker
