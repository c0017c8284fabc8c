"""What is known of each server: its packages, how it is started, and which scenarios it cannot have."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from .machine import Machine

Start = Callable[[Machine], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`packages` are Debian's, `npm` those of npm. `start` lays it out on a machine and starts it. `lacks`: scenarios
    that it cannot have, and why; `words_of`: those in which its words are the very ones of another scenario, so that
    nobody could conclude anything else; `silent`: those in which its notice does not say why; `waiting`: those in which
    it takes a final refusal for a delay. `version` is the command that tells it, with the pattern that finds it."""

    name: str
    title: str
    start: Start
    version: tuple[str, ...]
    packages: tuple[str, ...] = ()
    npm: str = ""
    lacks: Mapping[str, str] = field(default_factory=dict)
    words_of: Mapping[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
