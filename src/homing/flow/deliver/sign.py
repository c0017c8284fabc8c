"""Sign what leaves, off the event loop: RSA is most of a message's cost and runs on every core.

Keys come from the store, are opened once, and are looked at again when they change.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from homing.loop.domains.sending_domains import label_of
from homing.loop.domains.signing_keys import ED25519, RSA, DkimKey, KeyState
from homing.loop.model import OrganizationId
from homing.loop.sealing import Sealer
from homing.mail.dkim import SigningKey, body_hash, sign
from homing.store import dkim_keys
from homing.store.database import Database
from homing.store.dkim_keys import SealedKey

BEYOND_LIFETIME = timedelta(days=7)
"""A signature outlives the delivery's lifetime by that much: queues of receivers and forwarders."""

_OURS = "@"


@dataclass(frozen=True, slots=True)
class _Opened:
    key: DkimKey
    private: SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The selectors (joined by commas) of a domain that sign a delivery. `@` before a selector: it is the operator's
    own domain's; a part before a dot is an organization's. `anew`: not as at the first attempt, because that key no
    longer signs."""

    domain: str
    selectors: str
    signed_at: datetime
    anew: bool


class Signer:
    """The keys that sign. `own`: the shared domain; `delegated`: the domain of ours whose keys sign for all domains
    that have none of their own, since their selectors lead there. `threads`: how many signatures are made at once.
    `tagged`: ids of the shared domain's keys whose record stands for each organization's own selector, too; with them
    reports and reputations tell organizations apart, and one organization's signatures can be withdrawn alone."""

    def __init__(self, database: Database, sealer: Sealer, *, own: str, delegated: str, threads: int) -> None:
        self._database = database
        self._sealer = sealer
        self._delegated = delegated
        self._keys: Mapping[str, list[_Opened]] = {}
        self._opened: dict[UUID, _Opened] = {}
        self._operator = own
        self._own = {own}
        self.tagged: frozenset[UUID] = frozenset()
        self._version: object = None
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sign")

    async def reload(self) -> None:
        """Load the current keys. Raises SealBroken if they were sealed with another secret key."""
        self._version = await self._database.read(dkim_keys.version)
        stored = await self._database.read(dkim_keys.signing)
        fresh = {one.key.id: self._open(one) for one in stored}
        by_domain: dict[str, list[_Opened]] = {}
        for one in fresh.values():
            by_domain.setdefault(one.key.domain, []).append(one)
        self._opened, self._keys = fresh, by_domain
        self._own |= await self._database.read(dkim_keys.domains)

    async def reload_if_changed(self) -> None:
        """Reload if the keys have changed, perhaps by another node."""
        if await self._database.read(dkim_keys.version) != self._version:
            await self.reload()

    def plan(
        self,
        domain: str,
        before: str | None,
        signed_at: datetime | None,
        now: datetime,
        *,
        countersigned: bool = False,
        organization: OrganizationId | None = None,
    ) -> Plan | None:
        """How to sign a delivery from this domain: as at its first attempt (`before`, `signed_at`), else with the
        active keys. `countersigned`: the operator's own domain signs too, if it has a key. `organization`: whose
        delivery it is, for its own selector. None: the domain has no key."""
        if before and signed_at and all(self._at(domain, selector, signed_at) for selector in before.split(",")):
            return Plan(domain=domain, selectors=before, signed_at=signed_at, anew=False)
        active = self._active(domain)
        if RSA not in active:
            return None
        selectors = [self._selector(active[one], organization) for one in (RSA, ED25519) if one in active]
        ours = self._active(self._operator).get(RSA) if countersigned else None
        if ours is not None:
            selectors.append(_OURS + self._selector(ours, organization))
        return Plan(domain=domain, selectors=",".join(selectors), signed_at=now, anew=before is not None)

    async def signed(self, raw: bytes, plan: Plan, expires_at: datetime, digest: bytes | None = None) -> bytes:
        """`raw` with its signatures in front; equal arguments give equal bytes. `digest`: the `body_hash` of `raw`;
        None: not known, since an older version accepted it."""
        until = int((expires_at + BEYOND_LIFETIME).timestamp())
        moment = int(plan.signed_at.timestamp())
        loop = asyncio.get_running_loop()
        if digest is None:
            digest = await loop.run_in_executor(self._threads, body_hash, raw)
        signatures = []
        for selector in plan.selectors.split(","):
            opened = self._at(plan.domain, selector, plan.signed_at)
            assert opened is not None
            domain = self._operator if selector.startswith(_OURS) else plan.domain
            private = replace(opened.private, domain=domain, selector=selector.removeprefix(_OURS))
            signatures.append(loop.run_in_executor(self._threads, sign, raw, private, moment, until, digest))
        return b"".join((*await asyncio.gather(*signatures), raw))

    @property
    def delegated_selector(self) -> str | None:
        """The selector that signs now for domains without keys of their own."""
        found = [one.key for one in self._keys.get(self._delegated, []) if one.key.algorithm == RSA]
        return next((key.selector for key in found if key.state is KeyState.ACTIVE), None)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _of(self, domain: str) -> list[_Opened]:
        return self._keys.get(domain if domain in self._own else self._delegated, [])

    def _active(self, domain: str) -> dict[str, DkimKey]:
        """The keys that sign now, by algorithm."""
        return {one.key.algorithm: one.key for one in self._of(domain) if one.key.state is KeyState.ACTIVE}

    def _selector(self, key: DkimKey, organization: OrganizationId | None) -> str:
        if organization is None or key.id not in self.tagged:
            return key.selector
        return f"{label_of(organization, key.domain)}.{key.selector}"

    def _at(self, domain: str, selector: str, moment: datetime) -> _Opened | None:
        """The key that signed under this selector at that moment, if it may sign still."""
        candidates = self._of(self._operator if selector.startswith(_OURS) else domain)
        name = selector.removeprefix(_OURS).rpartition(".")[2]
        return next((one for one in candidates if one.key.selector == name and one.key.signed(moment)), None)

    def _open(self, stored: SealedKey) -> _Opened:
        key = stored.key
        known = self._opened.get(key.id)
        if known is not None:
            return _Opened(key, known.private)
        pem = self._sealer.open(stored.sealed, key.place)
        return _Opened(key, SigningKey.load(pem, key.domain, key.selector, own=True))
