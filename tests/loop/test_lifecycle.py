"""The states of a delivery: which moves there are, and which there must never be."""

import pytest

from homing.loop.lifecycle import INITIAL, TERMINAL, TRANSITIONS, allowed, move
from homing.loop.model import State

from .made import delivery

WAITING = {State.QUEUED, State.DEFERRED}
ENDS = {State.DELIVERED, State.BOUNCED, State.EXPIRED, State.CANCELED, State.SUPPRESSED, State.FAILED}

MOVES: list[tuple[str, set[State], set[State]]] = [
    ("a worker claims what waits", WAITING, {State.SENDING}),
    (
        "what waits can run out of time, be called off, or come onto the list",
        WAITING,
        ENDS
        & {
            State.EXPIRED,
            State.CANCELED,
            State.SUPPRESSED,
        },
    ),
    (
        "an attempt is taken, refused, put off, given back, or killed its worker",
        {State.SENDING},
        {
            State.DELIVERED,
            State.BOUNCED,
            State.DEFERRED,
            State.QUEUED,
            State.FAILED,
        },
    ),
    (
        "a report tells what became of a copy in doubt",
        {State.DEFERRED, State.EXPIRED},
        {
            State.DELIVERED,
            State.BOUNCED,
        },
    ),
    ("the server took the message, and sends it back later", {State.DELIVERED}, {State.BOUNCED}),
]
"""Why, from where, and where to."""


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_a_delivery_moves_for_a_reason_and_never_without(before: State, after: State) -> None:
    reasons = [why for why, froms, tos in MOVES if before in froms and after in tos]
    assert allowed(before, after) is bool(reasons), reasons
    if reasons:
        assert move(delivery(before), after).state is after
    else:
        with pytest.raises(ValueError, match="cannot go"):
            move(delivery(before), after)


def test_a_message_is_accepted_into_the_queue_or_onto_the_list() -> None:
    """An accepted message to a suppressed address is a failure that is told of, not an error at the door."""
    assert set(INITIAL) == {State.QUEUED, State.SUPPRESSED}


def test_what_has_ended_waits_for_nothing() -> None:
    assert TERMINAL == ENDS
    for state in State:
        at_work = set(TRANSITIONS[state]) & {State.SENDING, State.QUEUED, State.DEFERRED}
        assert bool(at_work) is (state not in TERMINAL)
