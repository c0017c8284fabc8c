"""Names of ours that change while we run, as the store last told them: admission at the MX door asks no database."""

from dataclasses import dataclass

import sqlalchemy as sa

from homing.store import organizations, sending_domains
from homing.store.database import Database

RESERVED = frozenset({"postmaster", "abuse", "fbl", "dmarc", "tlsrpt", "message-service"})
"""Local parts that mean somebody else at the shared domain."""


@dataclass(slots=True, kw_only=True)
class OwnNames:
    """`return_domains`: those of all envelope senders that may be in use, beside the operator's. `local_parts`: those
    of organizations' own addresses at the shared domain, where they have such (`organization_addresses`)."""

    database: Database
    organization_addresses: bool
    return_domains: frozenset[str] = frozenset()
    local_parts: frozenset[str] = frozenset()
    _counted: tuple[int, int] = (0, 0)

    async def learn(self) -> None:
        """Nothing is ever taken out of the store's lists, so their lengths tell whether there is news."""
        counted = await self.database.read(_count)
        if counted == self._counted:
            return
        self.return_domains = await self.database.read(sending_domains.return_domains)
        if self.organization_addresses:
            found = await self.database.read(organizations.list_all)
            self.local_parts = frozenset(organization.name for organization in found) - RESERVED
        self._counted = counted


def _count(conn: sa.Connection) -> tuple[int, int]:
    return sending_domains.count(conn), organizations.count(conn)
