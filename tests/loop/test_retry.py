"""When a delivery is attempted again."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.model import DeliveryId, State
from homing.loop.retry import (
    ASKED_AGAIN,
    LIFETIME,
    LONGEST_WAIT,
    RETRY_AFTER,
    RETRY_IN_DOUBT,
    RETRY_SLOWED_DOWN,
    SILENT_DEATHS,
    is_disputed,
    retry_at,
)

from .made import NOW, delivery


@pytest.mark.parametrize(
    ("attempts", "minutes"),
    [(0, 1), (1, 1), (2, 5), (3, 15), (4, 30), (5, 60), (6, 120), (7, 240), (8, 240), (60, 240)],
)
def test_the_schedule(attempts: int, minutes: int) -> None:
    """Each wait to within its jitter, and the longest until the lifetime is over."""
    tried = delivery(State.SENDING, attempts=attempts)
    wait = timedelta(minutes=minutes)
    assert 0.8 * wait <= retry_at(tried, NOW) - NOW <= 1.2 * wait


def test_greylisting_is_forgiven_and_a_server_may_be_gone_for_days() -> None:
    """RFC 5321 §4.5.4.1: four to five days at least."""
    assert RETRY_AFTER[0] <= timedelta(minutes=1)
    assert list(RETRY_AFTER) == sorted(RETRY_AFTER)
    assert timedelta(days=4) <= LIFETIME <= timedelta(days=7)
    assert RETRY_IN_DOUBT == RETRY_SLOWED_DOWN == timedelta(minutes=15)


def test_nobody_is_believed_too_soon_or_asked_for_ever() -> None:
    """Greylisting that says 5yz lasts an hour at most; a message that kills its worker must not do so all day."""
    assert timedelta(hours=1) < sum(RETRY_AFTER[: ASKED_AGAIN - 1], timedelta()) < timedelta(hours=8)
    assert SILENT_DEATHS == 5


def test_a_crowd_that_was_put_off_together_does_not_come_back_together() -> None:
    crowd = [delivery(State.SENDING, id=DeliveryId(UUID(int=number)), attempts=6) for number in range(500)]
    waits = sorted((retry_at(one, NOW) - NOW) / timedelta(hours=2) for one in crowd)
    assert 0.8 <= waits[0] < 0.85
    assert 1.15 < waits[-1] <= 1.2
    slowest = max(retry_at(replace(one, attempts=60), NOW, slow_down=True) for one in crowd)
    assert 0.95 < (slowest - NOW) / LONGEST_WAIT <= 1, "a longer wait than that was set by a clock ahead"
    assert len(set(waits)) > 450


@given(st.integers(0, 60), st.booleans(), st.booleans())
def test_retries_spread_grow_and_stay_within_the_lifetime(attempts: int, doubt: bool, slow_down: bool) -> None:
    tried = delivery(State.SENDING, attempts=attempts, possibly_delivered=doubt)
    at = retry_at(tried, NOW, slow_down=slow_down)
    assert NOW < at <= min(tried.expires_at, NOW + LONGEST_WAIT)
    assert at == retry_at(tried, NOW, slow_down=slow_down)
    if slow_down:
        assert at - NOW >= RETRY_SLOWED_DOWN
    if doubt:
        assert at - NOW >= RETRY_IN_DOUBT


@pytest.mark.parametrize(
    ("jumped_at", "counts"),
    [
        (None, False),
        (NOW, True),
        (NOW - timedelta(hours=23), True),
        (NOW - timedelta(days=1), False),
        (NOW + timedelta(minutes=5), True),  # put back a little, since
    ],
)
def test_a_leap_of_the_clock_counts_for_a_day(jumped_at: datetime | None, counts: bool) -> None:
    assert is_disputed(jumped_at, NOW) is counts


def test_a_lifetime_that_nobody_believes_to_be_over_is_no_bound() -> None:
    past = delivery(expires_at=NOW - timedelta(days=3), attempts=2)
    assert retry_at(past, NOW) > NOW + timedelta(minutes=3)
