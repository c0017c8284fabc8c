"""The states of a delivery and what may follow what: one table, and the only way to change a state.

Everything about transitions lives here. `loop.outcome` chooses among them, `docs/states.md` is written from them.
Where a move is not in the table, evidence adds an event and changes nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from homing.loop.model import Delivery, State

TRANSITIONS: Mapping[State, Mapping[State, str]] = {
    State.QUEUED: {
        State.SENDING: "claimed by a worker",
        State.EXPIRED: "its lifetime is over",
        State.CANCELED: "on request",
        State.SUPPRESSED: "the address came onto the suppression list",
    },
    State.SENDING: {
        State.DELIVERED: "250 to the final dot, or a report says so",
        State.BOUNCED: "refused for good, no such domain, or a report of failure",
        State.DEFERRED: "a transient answer, no answer, or the lease was lost with an attempt open",
        State.QUEUED: "the lease was released or lost with no attempt open",
        State.FAILED: "too many attempts died without an answer",
    },
    State.DEFERRED: {
        State.SENDING: "claimed by a worker",
        State.DELIVERED: "a report speaks of a copy that was in doubt",
        State.BOUNCED: "a report speaks of a copy that was in doubt",
        State.EXPIRED: "its lifetime is over",
        State.CANCELED: "on request",
        State.SUPPRESSED: "the address came onto the suppression list",
    },
    State.DELIVERED: {State.BOUNCED: "a late report of failure"},
    State.EXPIRED: {
        State.BOUNCED: "a late report of failure",
        State.DELIVERED: "a late report of success",
    },
    State.BOUNCED: {},
    State.CANCELED: {},
    State.SUPPRESSED: {},
    State.FAILED: {},
}

INITIAL: Mapping[State, str] = {
    State.QUEUED: "accepted",
    State.SUPPRESSED: "accepted, but the address is on the suppression list",
}

TERMINAL = frozenset({State.DELIVERED, State.BOUNCED, State.EXPIRED, State.CANCELED, State.SUPPRESSED, State.FAILED})
"""States with nothing left to do, unless a report comes."""


def allowed(before: State, after: State) -> bool:
    return after in TRANSITIONS[before]


def move(delivery: Delivery, state: State, *, next_attempt_at: datetime | None = None) -> Delivery:
    """The delivery in its new state. A move that is not in the table is a bug: ValueError."""
    if not allowed(delivery.state, state):
        raise ValueError(f"a delivery cannot go from {delivery.state} to {state}")
    return replace(delivery, state=state, next_attempt_at=next_attempt_at)
