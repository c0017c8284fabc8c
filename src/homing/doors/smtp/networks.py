"""What the clients of one network may use up together: connections, and octets over time."""

from collections import Counter
from collections.abc import Callable

from cachetools import LRUCache

from homing.mail.network import network_of

_MOST_NETWORKS = 50_000
"""Those that sent least recently are forgotten, and begin anew."""
_MESSAGE_OCTETS = 16 * 1024
"""What a message counts at least: the work on it begins with its arrival, however small it is."""

_SHARE = 10
"""The processor seconds of a network count so much that it can use this part of one processor: a tenth."""


class Networks:
    """Counts by network: a /24 of IPv4 or a /64 of IPv6.

    A network may send `octets` at once, of which `octets_per_second` are given back; a message under way goes on to its
    end, so it may exceed them by one a connection. `now`: seconds of a clock that never goes back.
    """

    def __init__(self, *, connections: int, octets: int, octets_per_second: int, now: Callable[[], float]) -> None:
        self._most_connections = connections
        self._most_octets = octets
        self._octets_per_second = octets_per_second
        self._now = now
        self._connections: Counter[str] = Counter()
        self._used: LRUCache[str, tuple[float, float]] = LRUCache(_MOST_NETWORKS)

    def enter(self, ip: str) -> bool:
        """Count a connection, unless its network has too many."""
        network = network_of(ip)
        if self._connections[network] >= self._most_connections:
            return False
        self._connections[network] += 1
        return True

    def leave(self, ip: str) -> None:
        network = network_of(ip)
        self._connections[network] -= 1
        if not self._connections[network]:
            del self._connections[network]

    def may_send(self, ip: str) -> bool:
        return self._in_use(network_of(ip)) < self._most_octets

    def sent(self, ip: str, octets: int) -> None:
        """Count the octets of a message, whether it was taken or not."""
        network = network_of(ip)
        self._used[network] = (self._in_use(network) + max(octets, _MESSAGE_OCTETS), self._now())

    def worked(self, ip: str, seconds: float) -> None:
        """Count the processor seconds that a message took before it was answered, in octets."""
        network = network_of(ip)
        octets = seconds * _SHARE * self._octets_per_second
        self._used[network] = (self._in_use(network) + octets, self._now())

    def _in_use(self, network: str) -> float:
        used, at = self._used.get(network, (0.0, 0.0))
        return max(0.0, used - (self._now() - at) * self._octets_per_second)
