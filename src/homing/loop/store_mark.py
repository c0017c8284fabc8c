"""The mark by which a store that was restored from a backup is told from the one that it was.

A store has a generation, and within it a mark that rises all the time. Whoever works on the store remembers the highest
mark that he has seen, in a place that is not restored together with it: a store that stands behind has forgotten what
was done since. The next generation begins when the operator says so, and makes all memories of before out of date.
"""

from dataclasses import dataclass
from datetime import datetime

from homing.loop.alarm import Alarm, alarm

CAUSE = "store-held"
MISSING = "missing-from-store"
"""Cause of the alarm about what comes back for something that the store has never heard of."""


@dataclass(frozen=True, slots=True, order=True)
class StoreMark:
    """Later ones are greater. `generation` is the moment at which it began, in microseconds since 1970, so that none
    comes twice whatever is restored; 0 in stores that are older than generations."""

    generation: int
    mark: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStanding:
    """`held_at`: since when nothing that is queued is begun; None: nothing is held."""

    mark: StoreMark
    held_at: datetime | None = None


def why_held(store: StoreMark, seen: StoreMark | None, *, moved: bool) -> str:
    """Why what is queued must be held; "": it need not. `seen`: the highest mark that this node has seen, None for a
    new one, which knows nothing. `moved`: the store has events of another server."""
    if seen is not None and store < seen:
        return "the database stands behind what this node has seen of it: it was restored from a backup"
    if moved:
        return "the events in the database bear numbers of another server: it was restored from a dump"
    return ""


def next_generation(now: datetime, store: StoreMark, seen: StoreMark | None) -> int:
    """The number of the generation that begins now: later than all that are known, also under a clock that is slow."""
    known = max(store, seen or store).generation
    return max(int(now.timestamp() * 1_000_000), known + 1)


def held_alarm(why: str) -> Alarm:
    return alarm(CAUSE, f"{why}; what is queued is held")


def missing(what: str) -> Alarm:
    """Something came back with a live token of ours, for something that the store does not have."""
    return alarm(MISSING, f"{what}, which is not in the database")
