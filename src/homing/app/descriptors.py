"""File descriptors: how many there are, and how many connections each door may hold, so that none starves the other."""

import sys
from dataclasses import dataclass

import structlog

from homing.config import Settings

_log = structlog.get_logger()

OWN = 128
"""For the database, the log, webhooks and whatever else is open in a process."""
READING, EXAMINING, BESIDE = 80, 64, 16
"""Questions to the DNS under way at once, a socket each: for mail that came in, two for each that is read; for
examinations of domains; for all else. A delivery or a call that asks has no connection yet, and uses its descriptor."""
DNS = READING + EXAMINING + BESIDE
BACKLOG = 128
"""Connections that the HTTP door takes at once only to turn them away."""
MX = 500
"""Connections at the MX door: each with a file where its message waits."""
_FEWEST = 16
_ENOUGH = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Connections at once."""

    http: int
    mx: int


def places(settings: Settings) -> Places:
    """As many as the settings want, and the descriptors of this process allow; warns where those are too few."""
    available = _descriptors()
    found = shared(available, http=settings.http_connections, deliveries=settings.deliveries_at_once)
    if found != Places(http=settings.http_connections, mx=MX):
        _log.warning("few file descriptors: raise their limit", limit=available, http=found.http, smtp=found.mx)
    return found


def shared(descriptors: int, *, http: int, deliveries: int) -> Places:
    """What is left when sending has its own is shared: two descriptors for each connection at the MX door, and at
    least half of them all for that door where they are too few."""
    rest = descriptors - OWN - DNS - BACKLOG - 2 * deliveries
    mx = max(_FEWEST, min(MX, max(rest - http, rest // 2) // 2))
    return Places(http=max(_FEWEST, min(http, rest - 2 * mx)), mx=mx)


def _descriptors() -> int:
    """How many this process may have: as many as the system lets it ask for."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if most == resource.RLIM_INFINITY else min(most, _ENOUGH)
    if now == resource.RLIM_INFINITY or now >= wanted:
        return sys.maxsize if now == resource.RLIM_INFINITY else now
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    except (OSError, ValueError):  # some systems promise more than they give
        return now
    return wanted
