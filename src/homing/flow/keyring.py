"""The caller behind an API key: its organization and scopes, cached for a moment."""

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from cachetools import TTLCache

from homing.loop.api_key import Scope, hash_key, is_key
from homing.store import organizations
from homing.store.database import Database
from homing.store.organizations import ApiKey, Organization

KNOWN_FOR = timedelta(seconds=5)
"""A key that was revoked elsewhere works for so long at most."""
KNOWN_AT_MOST = 10_000
OPERATORS = frozenset({Scope.ADMIN, Scope.ATTEST})
"""What a key may be for that is no organization's."""
SETTINGS_KEY = UUID(int=0)
"""The administrator key of the settings, which has no row and no id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The holder of a key. `organization` None: the operator's. `name`: what the key is called."""

    key: UUID
    organization: Organization | None
    scopes: frozenset[Scope]
    name: str = field(default="", compare=False)

    def may(self, *scopes: Scope) -> bool:
        """Whether the key has one of these scopes, or is an administrator's."""
        return Scope.ADMIN in self.scopes or not self.scopes.isdisjoint(scopes)


@dataclass(slots=True, kw_only=True)
class Keyring:
    """Tells callers by their keys. `administrator_key` is that of the settings."""

    database: Database
    clock: Callable[[], datetime]
    administrator_key: str | None = None
    _known: TTLCache[str, Caller | None, datetime] = field(init=False)

    def __post_init__(self) -> None:
        self._known = TTLCache(KNOWN_AT_MOST, KNOWN_FOR, self.clock)

    async def caller(self, key: str) -> Caller | None:
        """The caller; None if the key is not live."""
        if self.administrator_key and hmac.compare_digest(key.encode(), self.administrator_key.encode()):
            return _administrator()
        if not is_key(key):
            return None
        hashed = hash_key(key)
        with suppress(KeyError):
            return self._known[hashed]
        caller = _caller(await self.database.read(organizations.key_by_hash, hashed))
        self._known[hashed] = caller
        return caller

    async def holder(self, key: UUID) -> Caller | None:
        """The holder of the key with this id; None if the key is not live any more."""
        if key == SETTINGS_KEY:
            return _administrator() if self.administrator_key else None
        return _caller(await self.database.read(organizations.key_by_id, key))

    async def holder_by_hash(self, key_hash: str) -> Caller | None:
        """The holder of the key with this hash; None if the key is not live any more, or was replaced."""
        if self.administrator_key and hmac.compare_digest(key_hash, hash_key(self.administrator_key)):
            return _administrator()
        return _caller(await self.database.read(organizations.key_by_hash, key_hash))

    def forget(self) -> None:
        """Drop the cache after keys or organizations were changed here."""
        self._known.clear()


def _administrator() -> Caller:
    return Caller(key=SETTINGS_KEY, organization=None, scopes=frozenset(Scope), name="settings")


def _caller(found: tuple[ApiKey, Organization | None] | None) -> Caller | None:
    if found is None:
        return None
    key, organization = found
    scopes = frozenset(Scope(scope) for scope in key.scopes)
    if organization is None and not scopes <= OPERATORS:
        return None
    if organization is not None and Scope.ADMIN in scopes:
        return None  # an organization's key administers nothing else
    return Caller(key=key.id, organization=organization, scopes=scopes, name=key.name)
