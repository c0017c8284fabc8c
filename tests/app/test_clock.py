"""A clock that is set is told from time that passes."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from homing.app import Clock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Machine:
    """Its two clocks."""

    def __init__(self) -> None:
        self.wall, self.monotonic = NOW, 1000.0
        self.clock = Clock(lambda: self.wall, lambda: self.monotonic)

    def passes(self, span: timedelta, *, unlived: timedelta = timedelta()) -> None:
        self.monotonic += span.total_seconds()
        self.wall += span + unlived


SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("unlived", "jumps"), [(30 * DAY, True), (-2 * HOUR, True), (61 * SECOND, True), (59 * SECOND, False)]
)
def test_a_step_that_the_monotonic_clock_did_not_make(unlived: timedelta, jumps: bool) -> None:
    machine = Machine()
    machine.passes(HOUR)
    assert machine.clock() == NOW + HOUR
    with capture_logs() as logs:
        machine.passes(SECOND, unlived=unlived)
        shown = machine.clock()
        machine.passes(HOUR)
        assert machine.clock() == shown + HOUR == NOW + HOUR + SECOND + unlived + HOUR
    assert machine.clock.jumped_at() == (shown if jumps else None)
    assert [log["seconds"] for log in logs] == ([unlived.total_seconds()] if jumps else [])


def test_time_that_passes_is_no_leap_however_long_nobody_looks() -> None:
    machine = Machine()
    machine.passes(40 * DAY)
    machine.clock()
    for _ in range(100):  # a clock that goes wrong by a second an hour
        machine.passes(HOUR, unlived=SECOND)
        machine.clock()
    assert machine.clock.jumped_at() is None


def test_what_is_advanced_on_purpose_has_passed() -> None:
    machine = Machine()
    machine.clock.advance(6 * DAY)
    assert machine.clock() == NOW + 6 * DAY
    assert machine.clock.jumped_at() is None
    machine.passes(SECOND, unlived=DAY)
    machine.clock()
    assert machine.clock.jumped_at() == NOW + 7 * DAY + SECOND


@pytest.mark.parametrize(
    ("away", "jumps"),
    [(SECOND, False), (23 * HOUR, False), (DAY, True), (10 * DAY, True), (-30 * SECOND, False), (-HOUR, True)],
)
def test_a_start_after_time_that_nobody_lived_through(away: timedelta, jumps: bool) -> None:
    machine = Machine()
    with capture_logs():
        machine.clock.resume(NOW - away, None)
    assert (machine.clock.jumped_at() is not None) is jumps


def test_a_dispute_goes_on_over_starts_and_ends_after_its_day() -> None:
    machine = Machine()
    machine.clock.resume(NOW - HOUR, NOW - 20 * HOUR)
    assert machine.clock.jumped_at() == NOW - 20 * HOUR
    machine.clock.resume(None, None)
    assert machine.clock.jumped_at() is None
