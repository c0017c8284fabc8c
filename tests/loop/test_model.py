"""What others are told of, and what they have their own words for."""

import pytest

from homing.loop.lifecycle import TERMINAL
from homing.loop.model import FAILURES, EventType, State, anymail_event

ANYMAIL = {
    EventType.QUEUED: "queued",
    EventType.DEFERRED: "deferred",
    EventType.DELIVERED: "delivered",
    EventType.BOUNCED: "bounced",
    EventType.EXPIRED: "bounced",
    EventType.FAILED: "failed",
    EventType.SUPPRESSED: "rejected",
    EventType.CANCELED: "rejected",
    EventType.COMPLAINED: "complained",
    EventType.AUTORESPONDED: "autoresponded",
    EventType.REPLIED: "inbound",
}
"""Applications have handlers for django-anymail's words: "bounced" for what the other side gave up or let lie,
"rejected" for what was never tried, "failed" for a fault of the service."""


@pytest.mark.parametrize("event", EventType)
def test_an_event_bears_the_word_that_handlers_of_anymail_know(event: EventType) -> None:
    assert anymail_event(event, {}) == ANYMAIL.get(event, "unknown")


def test_leaving_a_stream_is_told_from_a_complaint() -> None:
    assert anymail_event(EventType.COMPLAINED, {"suppress": "unsubscribe"}) == "unsubscribed"
    assert anymail_event(EventType.COMPLAINED, {"suppress": "complaint"}) == "complained"


def test_whoever_sent_is_told_of_each_end_but_success_and_his_own_wish() -> None:
    assert TERMINAL - {State.DELIVERED, State.CANCELED} == FAILURES
