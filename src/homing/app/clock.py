"""The time, and how far it is to be believed.

The clock of a machine can be set: by hand, by NTP, by the pause of a virtual machine. Its monotonic clock cannot. A
step of the one that the other did not make is a leap: nobody has lived through that time, and nothing was tried in it.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from homing.flow import metrics

LEAP = timedelta(minutes=1)
"""What is less is a clock being put right."""

_log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


class Clock:
    """The time, UTC. Tests and the demo may move it forward; nothing else does, and that is no leap but time that
    passes for the gateway."""

    def __init__(self, wall: Callable[[], datetime] = _now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._seen = wall(), monotonic()
        self._ahead = timedelta()
        self._leapt_at: datetime | None = None

    def __call__(self) -> datetime:
        before, ticks_before = self._seen
        self._seen = wall, ticks = self._wall(), self._monotonic()
        leap = wall - before - timedelta(seconds=ticks - ticks_before)
        now = wall + self._ahead
        if abs(leap) > LEAP:
            self._leapt_at = now
            metrics.CLOCK_LEAPS.inc()
            _log.warning("the clock leapt: for a day nothing is given up untried", seconds=leap.total_seconds())
        return now

    def advance(self, span: timedelta) -> None:
        self._ahead += span

    def leapt_at(self) -> datetime | None:
        """When it was last found to have leapt, by what it shows since then."""
        return self._leapt_at
