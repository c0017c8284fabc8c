"""Sessions on the pages: opened with a key, and ended by a sign-out, by time, and with the key itself.

A browser holds a random value, the store its hash and that of the key: so a stolen database opens no session, and a key
that is revoked or replaced takes its sessions along.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from homing.flow.keyring import Caller, Keyring
from homing.flow.outgoing import Clock
from homing.loop.api_key import hash_key
from homing.store import sessions
from homing.store.database import Database
from homing.store.sessions import Session

LASTS = timedelta(hours=12)
_LONGEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """`secret` gives 32 random octets at each call."""

    database: Database
    keyring: Keyring
    clock: Clock
    secret: Callable[[], bytes]

    async def begin(self, key: str) -> str:
        """The value of the cookie for a session with this key, which must be live."""
        value = urlsafe_b64encode(self.secret()).decode().rstrip("=")
        now = self.clock()
        new = Session(hash=_hash(value), key_hash=hash_key(key), started_at=now, expires_at=now + LASTS)
        await self.database.write(sessions.begin, new)
        return value

    async def caller(self, value: str) -> Caller | None:
        """Whoever opened the session with this value; None where it is over, or its key is."""
        if not value or len(value) > _LONGEST:
            return None
        key_hash = await self.database.read(sessions.key_of, _hash(value), self.clock())
        return None if key_hash is None else await self.keyring.holder_by_hash(key_hash)

    async def end(self, value: str) -> None:
        await self.database.write(sessions.end, _hash(value))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
