"""How much all connections of a door may hold in memory together."""

from dataclasses import dataclass


class NoRoomError(Exception):
    """There is no room for more in memory or on disk at the moment."""


@dataclass(slots=True)
class Budget:
    """Octets that all connections of a door may hold in memory together."""

    octets: int
    used: int = 0

    @property
    def exhausted(self) -> bool:
        return self.used >= self.octets

    def take(self, octets: int, *, leaving: int = 0) -> None:
        """Raises NoRoomError when nothing is left, or less than `leaving`."""
        if self.used + octets > self.octets - leaving:
            raise NoRoomError
        self.used += octets

    def give_back(self, octets: int) -> None:
        self.used -= octets
