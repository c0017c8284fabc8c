"""How fast we may go: a receiver that finds us too fast is left alone for a while, and then tried gently.

Nothing is done about a receiver (`loop.receivers`) that does not complain. One that does is throttled: it rests, then
takes one delivery at a time, and one more with each that it does not complain of, until the throttle is lifted. If it
complains again, it rests for twice as long.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from homing.loop.model import DeliveryId, Verdict

FIRST_REST = timedelta(minutes=5)
LONGEST_REST = timedelta(hours=1)
WIDE = 16
"""Deliveries at once beyond which a throttle is lifted."""

_TOGETHER = timedelta(seconds=30)
"""The shortest time for which a throttle turns a delivery away."""


def too_fast(verdict: Verdict | None) -> bool:
    """Whether a receiver says that we, and not the recipient or the moment, are too much for it."""
    return verdict is not None and verdict.about_us and verdict.failure_class == "rate_limited"


@dataclass(slots=True, kw_only=True)
class _Throttle:
    rest: timedelta
    until: datetime
    at_once: int = 1
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A delivery that may go on. `throttle`: that of its receiver, if it has one; `since`: when that last opened."""

    receiver: str
    throttle: _Throttle | None = None
    since: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Throttles:
    """The throttles of this process, by receiver."""

    _throttles: dict[str, _Throttle] = field(default_factory=dict)

    @property
    def slowed(self) -> int:
        """How many receivers are throttled."""
        return len(self._throttles)

    def begin(self, receiver: str, delivery: DeliveryId, now: datetime) -> Permit | datetime:
        """A permit to go on, to be given back with `end`; or the time to come again, another for each delivery so that
        a crowd does not come back together."""
        throttle = self._throttles.get(receiver)
        if throttle is None:
            return Permit(receiver=receiver)
        if now >= throttle.until and throttle.running < throttle.at_once:
            throttle.running += 1
            return Permit(receiver=receiver, throttle=throttle, since=throttle.until)
        dice = int.from_bytes(hashlib.blake2b(delivery.bytes, digest_size=4).digest()) / 0xFFFFFFFF
        return max(throttle.until, now + _TOGETHER) + throttle.rest * dice

    def end(self, permit: Permit, *, well: bool) -> None:
        """A delivery has ended; `well`: without a complaint about our pace. What had begun before the last complaint
        tells nothing about the pace since."""
        throttle = permit.throttle
        if throttle is None:
            return
        throttle.running -= 1
        throttle.at_once += well and permit.since == throttle.until
        if throttle.at_once > WIDE and self._throttles.get(permit.receiver) is throttle:
            del self._throttles[permit.receiver]

    def slow_down(self, receiver: str, now: datetime) -> datetime | None:
        """The receiver finds us too fast. The end of its rest, or None if it rests already: a delivery that was on its
        way at the first complaint tells nothing new."""
        throttle = self._throttles.get(receiver)
        if throttle is None:
            throttle = self._throttles[receiver] = _Throttle(rest=FIRST_REST, until=now + FIRST_REST)
            return throttle.until
        if now < throttle.until:
            return None
        throttle.rest = min(2 * throttle.rest, LONGEST_REST)
        throttle.until, throttle.at_once = now + throttle.rest, 1
        return throttle.until
