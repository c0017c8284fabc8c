"""The life of a DKIM key: its states, their transitions, and the steps that are due. Pure.

A domain has two selectors, and so two places for keys: one signs, the other holds its successor, published ahead and
waiting. So a rotation needs only the publisher of our own records, and a revocation need not wait for the DNS. `due` is
given the DNS verdicts (`loop.domains.publication`) and makes no query.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from homing.loop.domains.dns_records import DnsRecord
from homing.loop.model import OrganizationId


class KeyState(StrEnum):
    """Where a DKIM key stands. Only `active` signs new deliveries; `draining` finishes what it began."""

    CREATED = "created"
    PUBLISHED = "published"
    ACTIVE = "active"
    DRAINING = "draining"
    RETIRED = "retired"
    REVOKED = "revoked"


KEY_TRANSITIONS: Mapping[KeyState, Mapping[KeyState, str]] = {
    KeyState.CREATED: {
        KeyState.PUBLISHED: "its record was seen at the zone's own servers and at the resolvers",
        KeyState.REVOKED: "on request",
    },
    KeyState.PUBLISHED: {
        KeyState.ACTIVE: "there is no active key, or its time is over, and the record is seen still",
        KeyState.REVOKED: "on request",
    },
    KeyState.ACTIVE: {
        KeyState.DRAINING: "its successor signs",
        KeyState.REVOKED: "on request",
    },
    KeyState.DRAINING: {
        KeyState.RETIRED: "nothing that it signed can be on its way any more",
        KeyState.REVOKED: "on request",
    },
    KeyState.RETIRED: {},
    KeyState.REVOKED: {},
}

IN_USE = frozenset({KeyState.CREATED, KeyState.PUBLISHED, KeyState.ACTIVE, KeyState.DRAINING})
"""States that take up a selector: its record must stand in the DNS."""

SIGNING = frozenset({KeyState.ACTIVE, KeyState.DRAINING})

RSA = "rsa-sha256"
ED25519 = "ed25519-sha256"

SKEW = timedelta(minutes=10)
"""Clocks of several nodes may differ by that much. No selector changes hands so quickly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimKey:
    """The public side of a key. `organization` None: the operator's.

    `domain` is d= of its signatures, or the domain of ours that the selectors of other domains lead to, for all of
    which it then signs. `record_name`: where its record stands; a wildcard (RFC 4592) for the latter.
    """

    id: UUID
    organization: OrganizationId | None
    domain: str
    selector: str
    algorithm: str
    record_name: str
    record: str
    state: KeyState
    created_at: datetime
    published_at: datetime | None = None
    activated_at: datetime | None = None
    draining_at: datetime | None = None
    retired_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def probe(self) -> str:
        """A name at which its record is found, if it stands."""
        return self.record_name.replace("*", "probe", 1)

    @property
    def tags(self) -> str:
        """The wildcard under which its record stands once more, for the selectors of organizations' own."""
        return f"*.{self.record_name}"

    @property
    def record_now(self) -> str:
        """The TXT record that must stand now; that of an ended key says that the key is revoked (RFC 6376 §3.6.1)."""
        return self.record if self.state in IN_USE else "v=DKIM1; p="

    @property
    def place(self) -> tuple[str, ...]:
        """The place for which its private half is sealed."""
        return ("dkim", self.organization.hex if self.organization else "", self.domain, self.selector)

    def signed(self, moment: datetime) -> bool:
        """Whether what this selector signed at `moment` was signed by this key, which may sign it again."""
        return self.state in SIGNING and self.activated_at is not None and self.activated_at - SKEW <= moment


_MOMENTS = {
    KeyState.PUBLISHED: "published_at",
    KeyState.ACTIVE: "activated_at",
    KeyState.DRAINING: "draining_at",
    KeyState.RETIRED: "retired_at",
    KeyState.REVOKED: "revoked_at",
}


def move_key(key: DkimKey, state: KeyState, now: datetime) -> DkimKey:
    """The key in its new state, with the moment written down. A move that is not in the table is a bug: ValueError."""
    if state not in KEY_TRANSITIONS[key.state]:
        raise ValueError(f"a DKIM key cannot go from {key.state} to {state}")
    moved = replace(key, state=state)
    return replace(moved, **{_MOMENTS[state]: now})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a key signs; how long its record must stand after the last signature; how long a record must have been
    seen until every cache has dropped the one that stood there before."""

    every: timedelta = timedelta(days=180)
    drain: timedelta
    settle: timedelta = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A new key shall be made under this selector."""

    selector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A key goes on to this state."""

    key: DkimKey
    state: KeyState


Due = Create | Move


def due(
    keys: Sequence[DkimKey], slots: tuple[str, str], seen: Collection[UUID], now: datetime, terms: Terms
) -> tuple[Due, ...]:
    """The steps due now for the keys of one domain and one algorithm, in the order in which they must be written.

    `slots`: the domain's two selectors for this algorithm; `seen`: ids of the keys whose record stands in the DNS
    everywhere we can ask.
    """
    retire = [one for one in keys if _drained(one, now, terms)]
    publish = [one for one in keys if one.state is KeyState.CREATED and one.id in seen]
    taken = {one.selector for one in keys if one.state in IN_USE}
    return (
        *(Move(key=one, state=KeyState.RETIRED) for one in retire),
        *(Move(key=one, state=KeyState.PUBLISHED) for one in publish),
        *_succession(keys, seen, now, terms),
        *(Create(selector=slot) for slot in slots if slot not in taken),
    )


def key_records(keys: Iterable[DkimKey], tagged: str | None = None) -> tuple[DnsRecord, ...]:
    """The records that must stand now: under each name the one of its newest key. `keys`: oldest first. `tagged`: the
    domain under whose selectors each organization has its own."""
    latest = {key.record_name: key for key in keys}.values()
    names = [(key, name) for key in latest for name in (key.record_name, *([key.tags] if key.domain == tagged else ()))]
    return tuple(
        DnsRecord(name=name, type="TXT", value=key.record_now, why=f"DKIM key, {key.state} (RFC 6376)")
        for key, name in names
    )


def active_key(keys: Sequence[DkimKey]) -> DkimKey | None:
    return next((one for one in keys if one.state is KeyState.ACTIVE), None)


def successor(keys: Sequence[DkimKey], seen: Collection[UUID], now: datetime, terms: Terms) -> DkimKey | None:
    """The key that may sign from now on: published, still seen, and never confused with another one by a cache."""
    ready = (one for one in keys if one.state is KeyState.PUBLISHED and one.id in seen)
    return next((one for one in ready if _settled(one, keys, now, terms)), None)


def hand_over(active: DkimKey | None, following: DkimKey) -> tuple[Due, ...]:
    """`following` signs from now on. There is never a moment with two active keys."""
    handed = () if active is None else (Move(key=active, state=KeyState.DRAINING),)
    return (*handed, Move(key=following, state=KeyState.ACTIVE))


def _succession(keys: Sequence[DkimKey], seen: Collection[UUID], now: datetime, terms: Terms) -> tuple[Due, ...]:
    active, following = active_key(keys), successor(keys, seen, now, terms)
    if following is None or (active is not None and not _old(active, now, terms)):
        return ()
    return hand_over(active, following)


def _old(active: DkimKey, now: datetime, terms: Terms) -> bool:
    return active.activated_at is not None and now - active.activated_at >= terms.every


def _drained(key: DkimKey, now: datetime, terms: Terms) -> bool:
    return key.state is KeyState.DRAINING and key.draining_at is not None and now - key.draining_at >= terms.drain


def _settled(key: DkimKey, keys: Sequence[DkimKey], now: datetime, terms: Terms) -> bool:
    assert key.published_at is not None
    had_predecessor = any(one.selector == key.selector and one.id != key.id for one in keys)
    return not had_predecessor or now - key.published_at >= terms.settle
