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

    def take(self, octets: int) -> None:
        """Raises NoRoomError when there is not so much left."""
        if self.used + octets > self.octets:
            raise NoRoomError
        self.used += octets

    def give_back(self, octets: int) -> None:
        self.used -= octets
