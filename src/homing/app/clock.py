"""The time, and how far it can be trusted.

The clock of a machine can be set: by hand, by NTP, by the pause of a virtual machine. Its monotonic clock cannot. A
step of the first without the second is a jump: no process has lived through that time, and nothing was tried in it.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from homing.flow import metrics

CLOCK_JUMP = timedelta(minutes=1)
"""A smaller step is an ordinary correction of the clock."""
LONGEST_PAUSE = timedelta(days=1)
"""A gateway that stood still for longer has tried nothing in that time, whatever the clock says."""

_log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


class Clock:
    """The time, UTC. Tests and the demo may move it forward; that is no jump, but time that passes for the gateway."""

    def __init__(self, wall: Callable[[], datetime] = _now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._seen = wall(), monotonic()
        self._ahead = timedelta()
        self._jumped_at: datetime | None = None

    def resume(self, last_seen: datetime | None, jumped_at: datetime | None) -> None:
        """Start where somebody left off. What lies between was not lived through here: after a day and more, or a step
        back, the clock counts as one that has jumped. Else the jump that was known stays the last one."""
        self._jumped_at = jumped_at
        if last_seen is not None and not -CLOCK_JUMP < self() - last_seen < LONGEST_PAUSE:
            self._jump(self() - last_seen)

    def __call__(self) -> datetime:
        before, ticks_before = self._seen
        self._seen = wall, ticks = self._wall(), self._monotonic()
        jump = wall - before - timedelta(seconds=ticks - ticks_before)
        if abs(jump) > CLOCK_JUMP:
            self._jump(jump)
        return wall + self._ahead

    def _jump(self, span: timedelta) -> None:
        self._jumped_at = self._seen[0] + self._ahead
        metrics.CLOCK_JUMPS.inc()
        _log.warning("the clock jumped: for a day nothing expires and nothing is erased", seconds=span.total_seconds())

    def advance(self, span: timedelta) -> None:
        self._ahead += span

    def jumped_at(self) -> datetime | None:
        """When the last jump was found, by the clock after it; None: no jump."""
        return self._jumped_at
