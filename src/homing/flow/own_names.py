"""Our names that change at run time, as last read from the store: admission at the MX door makes no database query."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from homing.flow.outgoing import Clock
from homing.store import organizations, sending_domains
from homing.store.database import Database

RESERVED = frozenset({"postmaster", "abuse", "fbl", "dmarc", "tlsrpt", "message-service"})
"""Local parts that mean somebody else at the shared domain."""

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_AGAIN = timedelta(days=1)


@dataclass(slots=True, kw_only=True)
class OwnNames:
    """`return_domains`: those of all envelope senders that may be in use, beside the operator's. `local_parts`: those
    of organizations' own addresses at the shared domain, where they have such (`organization_addresses`)."""

    database: Database
    organization_addresses: bool
    clock: Clock
    return_domains: frozenset[str] = frozenset()
    local_parts: frozenset[str] = frozenset()
    _learned_at: datetime | None = None

    async def learn(self) -> None:
        """Read the names that are new since the last time (none is ever removed), and those of one day more: clocks of
        other nodes may be behind, or a transaction slow."""
        now = self.clock()
        since = _EVER if self._learned_at is None else min(self._learned_at, now) - _AGAIN
        found = await self.database.read(sending_domains.return_domains, since)
        if not found <= self.return_domains:
            self.return_domains |= found
        if self.organization_addresses:
            names = frozenset(await self.database.read(organizations.names_since, since)) - RESERVED
            if not names <= self.local_parts:
                self.local_parts |= names
        self._learned_at = now
