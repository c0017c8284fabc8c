"""Who holds the places of the HTTP door, and who gives way when there are none left.

A place is nobody's for being there first: whoever has shown no live key gives way, whatever he is doing, and of all of
them those of the network that holds most, so that a crowd from one network pushes out itself and nobody else.
"""

from collections import defaultdict
from enum import Enum, auto
from typing import Generic, TypeVar

from fastapi import Request

C = TypeVar("C")


class Standing(Enum):
    """What a connection is doing, in the order in which they give way."""

    ENDING = auto()
    """All has been answered, and taken; only the end is waited for."""
    STRANGER = auto()
    """It has shown no live key, session or token."""
    IDLE = auto()
    """It has, and no request is under way."""
    AT_WORK = auto()
    """It has, and keeps its place."""


class Places(Generic[C]):
    """Connections, by their standing, and those of a standing in the order in which they took their last step."""

    def __init__(self) -> None:
        self._of: dict[C, tuple[Standing, str]] = {}
        self._in_order: dict[Standing, dict[C, None]] = {standing: {} for standing in Standing}
        self._unknown: _ByNetwork[C] = _ByNetwork()

    @property
    def taken(self) -> int:
        return len(self._of)

    def everybody(self) -> list[C]:
        return list(self._of)

    def standing(self, one: C) -> Standing | None:
        """None: it has no place."""
        return self._of[one][0] if one in self._of else None

    def put(self, one: C, standing: Standing, network: str) -> None:
        """Give it a place, or another one: it has just taken a step, as a client of this network."""
        self.remove(one)
        self._of[one] = (standing, network)
        if standing is Standing.STRANGER:
            self._unknown.add(one, network)
        else:
            self._in_order[standing][one] = None

    def remove(self, one: C) -> None:
        if one not in self._of:
            return
        standing, network = self._of.pop(one)
        if standing is Standing.STRANGER:
            self._unknown.remove(one, network)
        else:
            del self._in_order[standing][one]

    def next_to_go(self) -> C | None:
        """None: all of them keep their places."""
        ending, idle = self._in_order[Standing.ENDING], self._in_order[Standing.IDLE]
        return next(iter(ending), None) or self._unknown.first() or next(iter(idle), None)


class _ByNetwork(Generic[C]):
    """Connections by network, and networks by how many they hold: nothing here takes longer when there are more."""

    def __init__(self) -> None:
        self._of: dict[str, dict[C, None]] = {}
        self._holding: defaultdict[int, dict[str, None]] = defaultdict(dict)
        self._most = 0

    def add(self, one: C, network: str) -> None:
        held = self._of.setdefault(network, {})
        held[one] = None
        self._count(network, len(held) - 1, len(held))

    def remove(self, one: C, network: str) -> None:
        held = self._of[network]
        del held[one]
        self._count(network, len(held) + 1, len(held))
        if not held:
            del self._of[network]

    def first(self) -> C | None:
        """Of the network that holds most, the one whose last step is longest ago."""
        if not self._most:
            return None
        return next(iter(self._of[next(iter(self._holding[self._most]))]))

    def _count(self, network: str, before: int, now: int) -> None:
        if before:
            del self._holding[before][network]
        if now:
            self._holding[now][network] = None
        for number in (before, now):
            if not self._holding[number]:
                del self._holding[number]
        if now > self._most or (before == self._most and before not in self._holding):
            self._most = now


KEY_SHOWN = "homing_key_shown"
"""Where the state of a request (ASGI's) has what is to be called then."""


def key_shown(request: Request) -> None:
    """Tells the connection that whoever sent this has shown a live key, session or token: no stranger any more."""
    told = request.scope.get("state", {}).get(KEY_SHOWN)
    if told is not None:
        told()
