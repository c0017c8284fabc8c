"""DKIM keys follow each other: none signs before the DNS has it everywhere, and of two nodes' work one's counts."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from homing.flow.deliver.sign import Signer
from homing.flow.rotate_keys import KeyRotation, Selectors, terms_for
from homing.flow.sealed_secrets import SealedSecrets
from homing.lab.dns import DnsServer, Failing
from homing.loop.domains.signing_keys import RSA, DkimKey, KeyState
from homing.loop.problem import Rejected
from homing.mail.dkim import SigningKey
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.store import alarms, dkim_keys
from homing.store.database import Database
from homing.store.dkim_keys import SealedKey
from tests.flow.deliver.scene import SEALER, Clock
from tests.store.scenes import NOW, fresh

OWN = "post.example"
SELECTORS = Selectors(
    domain=OWN, rsa=("h1", "h2"), ed25519=None, record_name=lambda selector: f"{selector}._domainkey.{OWN}"
)
LIFETIME, EVERY = timedelta(days=5), timedelta(days=180)
DRAINED = LIFETIME + timedelta(days=8)
"""After its last signature: the delivery's lifetime, a week in others' queues, and a day."""


@dataclass(slots=True, kw_only=True)
class Keys:
    database: Database
    dns: DnsServer
    clock: Clock
    rotation: KeyRotation

    async def put(self, selector: str, state: KeyState) -> DkimKey:
        """A key in the store since now. Ed25519 keys pass for RSA here: they are made at once."""
        private = SigningKey.generate_ed25519(OWN, selector)
        now = self.clock()
        key = DkimKey(
            id=fresh(now),
            organization=None,
            domain=OWN,
            selector=selector,
            algorithm=RSA,
            record_name=private.dns_name,
            record=private.dns_record(),
            state=state,
            created_at=now,
            published_at=None if state is KeyState.CREATED else now,
            activated_at=now if state is KeyState.ACTIVE else None,
        )
        sealed = SEALER.seal(private.pem(), key.place, bytes(12))
        assert await self.database.write(dkim_keys.add, SealedKey(key=key, sealed=sealed))
        await self.rotation.signer.reload()
        return key

    def publish(self, *keys: DkimKey) -> None:
        for key in keys:
            self.dns.publish_text(key.record_name, key.record)

    async def stored(self) -> list[DkimKey]:
        return await self.database.read(dkim_keys.list_all, OWN)

    async def look(self, later: timedelta = timedelta()) -> dict[str, KeyState]:
        """Time passes, and the keys are looked after; how each then stands."""
        self.clock.now += later
        await self.rotation.look_after(SELECTORS)
        return await self.states()

    async def states(self) -> dict[str, KeyState]:
        return {key.selector: key.state for key in await self.stored()}

    @property
    def signing(self) -> str | None:
        """The selector that new deliveries are signed with."""
        plan = self.rotation.signer.plan(OWN, None, None, self.clock())
        return plan.selectors if plan else None


def a_rotation(database: Database, dns: DnsServer, clock: Clock) -> KeyRotation:
    """One node's."""
    return KeyRotation(
        database=database,
        resolver=Resolver(dns.servers, keep=AS_PUBLISHED, timeout=5, zone_port=dns.servers[0][1], allow_private=True),
        sealed_secrets=SealedSecrets(sealer=SEALER, secret=lambda: os.urandom(32)),
        signer=Signer(database, SEALER, own=OWN, delegated="dkim.example", threads=1),
        clock=clock,
        dice=lambda: os.urandom(10),
        terms=terms_for(LIFETIME, EVERY),
    )


@pytest.fixture
async def keys(database: Database, dns: DnsServer, clock: Clock) -> AsyncIterator[Keys]:
    rotation = a_rotation(database, dns, clock)
    await rotation.signer.reload()
    yield Keys(database=database, dns=dns, clock=clock, rotation=rotation)
    rotation.signer.close()


async def test_two_nodes_at_once_make_one_key_under_each_selector(keys: Keys) -> None:
    other = a_rotation(keys.database, keys.dns, keys.clock)
    await asyncio.gather(*(node.look_after(SELECTORS) for node in (keys.rotation, other)))
    made = await keys.stored()
    assert sorted((key.selector, key.state) for key in made) == [("h1", "created"), ("h2", "created")]
    assert keys.signing is None, "nobody has published it"
    keys.publish(*made)
    await asyncio.gather(*(node.look_after(SELECTORS) for node in (keys.rotation, other)))
    assert sorted((await keys.states()).values()) == ["active", "published"]
    for node in (keys.rotation, other):
        await node.signer.reload_if_changed()  # each looks now and then, since the other may have moved a key
    assert keys.signing is not None
    assert other.signer.plan(OWN, None, None, NOW) == keys.rotation.signer.plan(OWN, None, None, NOW)
    other.signer.close()


async def test_a_key_is_published_when_everybody_who_is_asked_has_it(keys: Keys) -> None:
    first, second = await keys.put("h1", KeyState.CREATED), await keys.put("h2", KeyState.CREATED)
    keys.publish(first)
    behind = DnsServer(zones=dict(keys.dns.zones))  # a second resolver, which has not seen the change yet
    del behind.zones[first.record_name]
    await behind.start()
    keys.rotation.resolver = Resolver(
        [*keys.dns.servers, *behind.servers], keep=AS_PUBLISHED, zone_port=keys.dns.servers[0][1], allow_private=True
    )
    assert await keys.look() == {"h1": "created", "h2": "created"}
    behind.publish_text(first.record_name, second.record)  # another key
    assert await keys.look() == {"h1": "created", "h2": "created"}
    behind.publish_text(first.record_name, first.record)
    assert await keys.look() == {"h1": "active", "h2": "created"}
    assert keys.signing == "h1"
    await behind.close()


@pytest.mark.parametrize("failing", [Failing.SERVFAIL, Failing.REFUSED])
async def test_a_dns_that_fails_moves_no_key_and_raises_no_alarm(keys: Keys, failing: Failing) -> None:
    keys.publish(await keys.put("h1", KeyState.ACTIVE), await keys.put("h2", KeyState.CREATED))
    keys.dns.failing["example"] = failing
    assert await keys.look(EVERY) == {"h1": "active", "h2": "created"}
    assert await keys.database.read(alarms.list_all) == []


async def test_a_key_that_signs_and_is_not_published_is_an_alarm_and_signs_on(keys: Keys) -> None:
    """Whoever lets it stop lets all mail stop."""
    await keys.put("h1", KeyState.ACTIVE)
    await keys.put("h2", KeyState.CREATED)
    assert await keys.look() == {"h1": "active", "h2": "created"}
    assert [one.cause for one in await keys.database.read(alarms.list_all)] == [
        f"key-not-published h1._domainkey.{OWN}"
    ]


async def test_the_successor_signs_when_its_time_comes_and_the_first_drains_as_long_as_it_must(keys: Keys) -> None:
    keys.publish(await keys.put("h1", KeyState.ACTIVE), await keys.put("h2", KeyState.CREATED))
    assert await keys.look(EVERY - timedelta(seconds=1)) == {"h1": "active", "h2": "published"}
    assert await keys.look(timedelta(seconds=1)) == {"h1": "draining", "h2": "active"}
    assert keys.signing == "h2"
    before = keys.rotation.signer.plan(OWN, "h1", NOW, keys.clock())
    assert before and (before.selectors, before.anew) == ("h1", False), "what it began it finishes"
    assert await keys.look(DRAINED - timedelta(seconds=1)) == {"h1": "draining", "h2": "active"}
    await keys.look(timedelta(seconds=1))
    ended, active, made = await keys.stored()
    assert (ended.state, active.state, made.state) == ("retired", "active", "created")
    assert made.selector == ended.selector
    assert made.record != ended.record


async def test_rotating_by_hand_needs_a_successor_that_is_published(keys: Keys) -> None:
    first, second = await keys.put("h1", KeyState.ACTIVE), await keys.put("h2", KeyState.CREATED)
    keys.publish(first)
    await keys.look()
    with pytest.raises(Rejected) as refused:
        await keys.rotation.rotate(SELECTORS)
    assert (refused.value.problem.status, refused.value.problem.code) == (409, "key-not-ready")
    assert second.record_name in refused.value.problem.detail
    assert "no such name" in refused.value.problem.detail
    assert keys.signing == "h1"
    keys.publish(second)
    await keys.look()
    await keys.rotation.rotate(SELECTORS)
    assert await keys.states() == {"h1": "draining", "h2": "active"}
    assert keys.signing == "h2"


async def test_a_revoked_key_signs_nothing_more_and_its_published_successor_does(keys: Keys) -> None:
    leaked = await keys.put("h1", KeyState.ACTIVE)
    keys.publish(leaked, await keys.put("h2", KeyState.PUBLISHED))
    assert keys.signing == "h1"
    await keys.rotation.revoke(SELECTORS, leaked)
    assert await keys.states() == {"h1": "revoked", "h2": "active"}
    anew = keys.rotation.signer.plan(OWN, "h1", NOW, keys.clock())
    assert anew and (anew.selectors, anew.anew) == ("h2", True), "not even what it began"


async def test_without_a_published_successor_nothing_signs_after_a_revocation(keys: Keys) -> None:
    leaked = await keys.put("h1", KeyState.ACTIVE)
    await keys.put("h2", KeyState.CREATED)
    await keys.rotation.revoke(SELECTORS, leaked)
    assert await keys.states() == {"h1": "revoked", "h2": "created"}
    assert keys.signing is None


async def test_a_revocation_that_comes_a_second_time_changes_nothing(keys: Keys) -> None:
    """Least of all does it let another key sign beside the one that signs by now."""
    leaked = await keys.put("h1", KeyState.ACTIVE)
    await keys.put("h2", KeyState.PUBLISHED)
    await keys.rotation.revoke(SELECTORS, leaked)
    await keys.put("h1", KeyState.PUBLISHED)
    await keys.rotation.revoke(SELECTORS, leaked)  # by a node that has not heard of the first
    assert sorted(key.state for key in await keys.stored()) == ["active", "published", "revoked"]
    assert keys.signing == "h2"


async def test_a_key_in_a_file_is_adopted_once(keys: Keys) -> None:
    first, second = (SigningKey.generate_ed25519(OWN, "h1") for _ in range(2))
    for private in (first, second):
        await keys.rotation.adopt(private, NOW - timedelta(days=30))
    [adopted] = await keys.stored()
    assert (adopted.record, adopted.state) == (first.dns_record(), KeyState.ACTIVE)
    assert adopted.activated_at == NOW - timedelta(days=30), "its time runs since it signed"
