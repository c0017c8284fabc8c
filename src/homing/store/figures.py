"""How much is waiting: figures for the operator's monitoring, over all organizations.

Each is counted through an index of what waits, so that what has ended costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from homing.loop.lifecycle import TERMINAL
from homing.loop.model import CaseState, State
from homing.loop.queue import Line
from homing.store import tables

CASES_COUNTED = 10_000
"""At most so many cases of a state are counted: those that were unheard stay so until somebody deals with them."""

_D = tables.delivery
_C = tables.case
_S = tables.waiting_stream
_QUEUED = sa.text("delivery.state IN ('queued', 'deferred')")
_LEASED = sa.text("delivery.state = 'sending'")
_TO_DO = sa.text("action.state IN ('due', 'running')")
_UNSETTLED = sa.text("\"case\".state IN ('open', 'unheard')")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`oldest_due`: since when the queue that has waited longest has waited for its turn; None if none does."""

    deliveries: Mapping[State, int]
    cases: Mapping[CaseState, int]
    oldest_due: datetime | None


def waiting(conn: sa.Connection, now: datetime) -> Waiting:
    """Every state that is not an end has its figure, be it 0."""
    count = sa.select(_D.c.state, sa.func.count()).group_by(_D.c.state)
    rows = [*conn.execute(count.where(_QUEUED)), *conn.execute(count.where(_LEASED))]
    deliveries = {state: number for state, number in rows}  # noqa: C416 - rows are no pairs to a type checker
    due = sa.select(sa.func.min(_S.c.turn_at)).where(_S.c.line == sa.bindparam("line"), _S.c.turn_at <= now)
    first = [at for line in Line if (at := conn.execute(due, {"line": line.value}).scalar())]
    return Waiting(
        deliveries={state: deliveries.get(state.value, 0) for state in State if state not in TERMINAL},
        cases={state: _cases(conn, state) for state in (CaseState.OPEN, CaseState.UNHEARD)},
        oldest_due=min(first, default=None),
    )


def actions_waiting(conn: sa.Connection) -> int:
    """Those that are under way count too."""
    return conn.execute(sa.select(sa.func.count()).select_from(tables.action).where(_TO_DO)).scalar_one()


def _cases(conn: sa.Connection, state: CaseState) -> int:
    some = sa.select(_C.c.state).where(_UNSETTLED, _C.c.state == state.value).limit(CASES_COUNTED)
    return conn.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one()
