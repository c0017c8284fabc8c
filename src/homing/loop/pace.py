"""How fast we may go: a receiver that finds us too fast is left alone for a while, and then tried gently.

A receiver is whoever stands behind the mail hosts of one organization, such as google.com: it counts what comes from us
for all of its domains together. Nothing is done about one that does not complain. One that does has a lane: it rests,
then takes one delivery at a time, and one more with each that it does not complain of, until nobody thinks of it any
more. If it complains again, it rests for twice as long.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from homing.loop.model import DeliveryId, Verdict

FIRST_REST = timedelta(minutes=5)
LONGEST_REST = timedelta(hours=1)
WIDE = 16
"""Deliveries at once: a lane that has grown so wide is none any more."""

_TOGETHER = timedelta(seconds=30)
"""The longest that those who are turned away from a narrow lane wait at least."""


def too_fast(verdict: Verdict | None) -> bool:
    """Whether a receiver says that we, and not the recipient or the moment, are too much for it."""
    return verdict is not None and verdict.about_us and verdict.failure_class == "rate_limited"


@dataclass(slots=True, kw_only=True)
class _Lane:
    rest: timedelta
    until: datetime
    at_once: int = 1
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A delivery that may go on. `lane`: that of its receiver, None if it had none; `since`: when that last opened."""

    receiver: str
    lane: _Lane | None = None
    since: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Pace:
    """The lanes of this process. `receiver_of` tells whose a mail host is; one without an answer is its own."""

    receiver_of: Callable[[str], str]
    _lanes: dict[str, _Lane] = field(default_factory=dict)

    @property
    def slowed(self) -> int:
        """How many receivers have a lane."""
        return len(self._lanes)

    def begin(self, receiver: str, delivery: DeliveryId, now: datetime) -> Turn | datetime:
        """Go on with this turn, and `end` it; or the moment to come again, for each delivery another, so that a crowd
        does not come back together."""
        lane = self._lanes.get(receiver)
        if lane is None:
            return Turn(receiver=receiver)
        if now >= lane.until and lane.running < lane.at_once:
            lane.running += 1
            return Turn(receiver=receiver, lane=lane, since=lane.until)
        dice = int.from_bytes(hashlib.blake2b(delivery.bytes, digest_size=4).digest()) / 0xFFFFFFFF
        return max(lane.until, now + _TOGETHER) + lane.rest * dice

    def end(self, turn: Turn, *, well: bool) -> None:
        """A delivery has ended; `well`: without a complaint about our pace. What had begun before the last complaint
        tells nothing about the pace since."""
        lane = turn.lane
        if lane is None:
            return
        lane.running -= 1
        lane.at_once += well and turn.since == lane.until
        if lane.at_once > WIDE and self._lanes.get(turn.receiver) is lane:
            del self._lanes[turn.receiver]

    def slow_down(self, receiver: str, now: datetime) -> datetime | None:
        """It finds us too fast: until when it rests now. None if it rests already: what was on its way when it first
        complained tells nothing new."""
        lane = self._lanes.get(receiver)
        if lane is None:
            lane = self._lanes[receiver] = _Lane(rest=FIRST_REST, until=now + FIRST_REST)
            return lane.until
        if now < lane.until:
            return None
        lane.rest = min(2 * lane.rest, LONGEST_REST)
        lane.until, lane.at_once = now + lane.rest, 1
        return lane.until
