"""What organizations share at a door, so that none of them takes all of it."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from homing.doors.budget import NoRoomError

Holder = UUID | None
"""An organization; the operator is one too. None: strangers, all of them together."""


class NoShareError(NoRoomError):
    """There is room, and whoever asks holds his share of it."""


@dataclass(slots=True)
class Shares:
    """Octets or places, `whole` in all. A holder has no more than he leaves free for all others, but `least` as long as
    there is room. So one alone has half of it, and whoever comes finds half of what is left, without waiting for
    anybody."""

    whole: int
    least: int = 1
    used: int = 0
    _held: Counter[Holder] = field(default_factory=Counter)

    def take(self, holder: Holder, amount: int = 1, *, leaving: int = 0) -> None:
        """Raises NoRoomError where less than `amount` is there beside `leaving`, NoShareError where it would be more
        than the holder's share."""
        free = self.whole - leaving - self.used - amount
        held = self._held[holder] + amount
        if free < 0:
            raise NoRoomError
        if held > max(self.least, free):
            raise NoShareError
        self.used += amount
        self._held[holder] = held

    def give_back(self, holder: Holder, amount: int = 1) -> None:
        self.used -= amount
        self._held[holder] -= amount
        if not self._held[holder]:
            del self._held[holder]
