"""An organization's domain as the DNS has it: proved at once, lost slowly, and never for a server that is silent."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from homing.flow.deliver.sign import Signer
from homing.flow.own_names import OwnNames
from homing.flow.rotate_keys import KeyRotation, Selectors, terms_for
from homing.flow.sealed_secrets import SealedSecrets
from homing.flow.verify_domains import DomainVerifier
from homing.flow.wakeup import WakeUp
from homing.lab.dns import DnsServer, Failing
from homing.loop.domains.sending_domains import (
    CHECK_DOUBTFUL,
    CHECK_FRESH,
    CHECK_PROVED,
    Delegation,
    RecordPurpose,
    SendingDomain,
    behind_aliases,
    level_of,
    records_of,
)
from homing.loop.domains.signing_keys import RSA, DkimKey, KeyState
from homing.loop.model import OrganizationId
from homing.mail.dkim import SigningKey
from homing.net.dns import Keep, Resolver
from homing.store import dkim_keys, sending_domains, tables
from homing.store.database import Database
from homing.store.dkim_keys import SealedKey
from tests.flow.deliver.scene import SEALER, Clock
from tests.silent_dns import has_free_places, patient, under_way
from tests.store.scenes import NOW, all_rows, an_organization, fresh

BLOGGS = "bloggs.example"
OURS = Delegation(
    operator_domain="acme.example",
    dkim_domain="dkim.example",
    return_host="rp.example",
    hostname="mx.acme.example",
    selectors=("acme1", "acme2"),
    reports_to="dmarc@post.acme.example",
)
DELEGATED = Selectors(domain=OURS.dkim_domain, rsa=OURS.selectors, ed25519=None, record_name=OURS.record_name)
OWN = Selectors(domain="post.acme.example", rsa=("h1", "h2"), ed25519=None, record_name="{}._domainkey".format)
ZONES_KNOWN = Keep(least=1e9, most=1e9, negative=1e9, failure=0)
"""Where zones begin is found out once; what is asked everywhere is asked anew each time."""
FIRST = f"acme1._domainkey.{BLOGGS}"


class Calls(WakeUp):
    """A wake-up that remembers how often it was called."""

    times = 0

    def wake(self) -> None:
        self.times += 1


@dataclass(slots=True, kw_only=True)
class Office:
    database: Database
    dns: DnsServer
    clock: Clock
    verifier: DomainVerifier
    organization: OrganizationId
    news: Calls = field(default_factory=Calls)

    async def add(self) -> SendingDomain:
        """The domain, of which nothing is published yet."""
        domain = SendingDomain(
            id=fresh(),
            organization=self.organization,
            domain=BLOGGS,
            label="label",
            created_at=self.clock(),
            next_check_at=self.clock(),
        )
        assert await self.database.write(sending_domains.add, domain)
        return domain

    async def published(self) -> SendingDomain:
        """The domain, with all that its owner was asked for, as proved as can be."""
        self.publish(await self.add())
        return await self.check()

    def publish(self, domain: SendingDomain) -> None:
        for [record] in records_of(domain, OURS).values():
            value = f'"{record.value}"' if record.type == "TXT" else f"{record.value}."
            self.dns.publish(record.name, f"{record.type} {value}")

    async def check(self, later: timedelta = timedelta()) -> SendingDomain:
        """Time passes, and the DNS is asked."""
        self.clock.now += later
        return await self.verifier.check(await self.stored())

    async def stored(self) -> SendingDomain:
        found = await self.database.read(sending_domains.get, self.organization, BLOGGS)
        assert found
        return found

    async def events(self) -> list[dict[str, Any]]:
        rows = await self.database.read(all_rows, tables.event)
        assert {row["type"] for row in rows} <= {"domain_changed"}
        return [row["data"] for row in rows]


async def put_keys(database: Database, dns: DnsServer) -> None:
    """Those that sign for other domains, published. Ed25519 keys pass for RSA here: they are made at once."""
    for selector, state in zip(OURS.selectors, (KeyState.ACTIVE, KeyState.PUBLISHED), strict=True):
        private = SigningKey.generate_ed25519(OURS.dkim_domain, selector)
        key = DkimKey(
            id=fresh(),
            organization=None,
            domain=OURS.dkim_domain,
            selector=selector,
            algorithm=RSA,
            record_name=OURS.record_name(selector),
            record=private.dns_record(),
            state=state,
            created_at=NOW,
            published_at=NOW,
            activated_at=NOW if state is KeyState.ACTIVE else None,
        )
        sealed = SEALER.seal(private.pem(), key.place, bytes(12))
        assert await database.write(dkim_keys.add, SealedKey(key=key, sealed=sealed))
        dns.publish_text(key.record_name, key.record)


@pytest.fixture
async def office(database: Database, dns: DnsServer, clock: Clock) -> AsyncIterator[Office]:
    await put_keys(database, dns)
    mx, spf = behind_aliases(OURS)
    dns.publish(OURS.return_host, f"MX {mx.value}.", f'TXT "{spf.value}"')
    resolver = Resolver(dns.servers, keep=ZONES_KNOWN, timeout=5, zone_port=dns.servers[0][1], allow_private=True)
    signer = Signer(database, SEALER, own=OWN.domain, delegated=OURS.dkim_domain, threads=1)
    rotation = KeyRotation(
        database=database,
        resolver=resolver,
        sealed_secrets=SealedSecrets(sealer=SEALER, secret=lambda: os.urandom(32)),
        signer=signer,
        clock=clock,
        dice=lambda: os.urandom(10),
        terms=terms_for(timedelta(days=5), timedelta(days=180)),
    )
    news = Calls()
    verifier = DomainVerifier(
        database=database,
        resolver=resolver,
        rotation=rotation,
        signer=signer,
        own=OWN,
        delegated=DELEGATED,
        delegation=OURS,
        clock=clock,
        spread=lambda: 0.0,
        news=news,
        names=OwnNames(database=database, organization_addresses=False, clock=clock),
    )
    verifier._keys_at = NOW + timedelta(days=1000)  # our own keys are another room's matter
    organization = (await an_organization(database)).id
    yield Office(database=database, dns=dns, clock=clock, verifier=verifier, organization=organization, news=news)
    signer.close()


async def test_what_is_published_is_proved_at_once_and_told(office: Office) -> None:
    assert level_of(await office.published()) == "custom-full"
    assert level_of(await office.stored()) == "custom-full"
    told = await office.events()
    assert {event["record"] for event in told} == {"dkim_1", "dkim_2", "return_path", "dmarc"}
    assert {(event["domain"], event["held"], event["level"]) for event in told} == {(BLOGGS, True, "custom-full")}
    assert office.news.times == 1
    await office.check()
    assert (len(await office.events()), office.news.times) == (4, 1), "nothing is told twice"


@pytest.mark.parametrize("failing", [Failing.SERVFAIL, Failing.TIMEOUT])
async def test_silence_takes_nothing_away_and_is_no_news(office: Office, failing: Failing) -> None:
    told = len((await office.published()).facts)
    office.dns.failing[BLOGGS] = failing
    port = office.dns.servers[0][1]
    office.verifier.resolver = Resolver(
        office.dns.servers, keep=ZONES_KNOWN, timeout=0.02, zone_port=port, allow_private=True
    )
    for _ in range(5):
        after = await office.check(timedelta(hours=6))
    assert level_of(after) == "custom-full"
    assert {fact.state for fact in after.facts.values()} == {"temporary_failure"}
    assert len(await office.events()) == told


async def test_the_third_denial_takes_the_proof_away_and_the_second_good_answer_brings_it_back(office: Office) -> None:
    await office.published()
    alias = office.dns.zones.pop(FIRST)
    levels = [level_of(await office.check(timedelta(minutes=5))).value for _ in range(3)]
    assert levels == ["custom-full", "custom-full", "shared"]
    lost = (await office.events())[-1]
    assert (lost["record"], lost["held"], lost["level"]) == ("dkim_1", False, "shared")
    assert (lost["query"], lost["answer"]) == (f"{FIRST} CNAME", "no such name")
    office.dns.publish(FIRST, *alias)
    levels = [level_of(await office.check(timedelta(minutes=5))).value for _ in range(2)]
    assert levels == ["shared", "custom-full"]
    assert [event["held"] for event in (await office.events())[4:]] == [False, True]


async def test_the_alias_must_lead_to_the_key_that_signs(office: Office) -> None:
    """An alias to a record that says something else proves nothing: receivers would find the other key."""
    office.dns.publish_text(OURS.record_name("acme1"), SigningKey.generate_ed25519(OURS.dkim_domain, "x").dns_record())
    after = await office.published()
    assert level_of(after) == "shared"
    assert {purpose: fact.held for purpose, fact in after.facts.items()} == {
        "dkim_1": False,
        "dkim_2": True,
        "return_path": True,
        "dmarc": True,
    }


async def test_somebody_elses_return_path_leaves_the_key(office: Office) -> None:
    await office.published()
    office.dns.publish(f"bounce.{BLOGGS}", "CNAME rp.another.example.")
    levels = [level_of(await office.check(timedelta(minutes=5))).value for _ in range(3)]
    assert levels == ["custom-full", "custom-full", "custom-dkim"]


async def test_the_policy_of_a_parent_is_one_and_two_policies_are_none(office: Office) -> None:
    domain = await office.add()
    name = f"sales.{BLOGGS}"
    await office.database.write(sending_domains.add, replace(domain, id=fresh(), domain=name))
    below = await office.database.read(sending_domains.get, office.organization, name)
    assert below
    policy = 'TXT "v=DMARC1; p=none"'
    office.dns.publish(f"_dmarc.{BLOGGS}", policy)
    once = await office.verifier.check(below)
    assert once.fact(RecordPurpose.DMARC).held
    office.dns.publish(f"_dmarc.{name}", policy, 'TXT "v=DMARC1; p=reject"')
    twice = await office.verifier.check(once)
    assert twice.fact(RecordPurpose.DMARC).state == "failed"


async def test_the_next_look_comes_soon_while_somebody_waits_or_something_is_amiss(office: Office) -> None:
    await office.add()
    waits = await office.check()
    assert waits.next_check_at == NOW + CHECK_FRESH
    for record in (record for [record] in records_of(waits, OURS).values() if record.type == "CNAME"):
        office.dns.publish(record.name, f"CNAME {record.value}.")
    assert (await office.check()).next_check_at == NOW + CHECK_PROVED
    office.dns.failing[FIRST] = Failing.SERVFAIL
    assert (await office.check()).next_check_at == NOW + CHECK_DOUBTFUL
    del office.dns.failing[FIRST]
    office.verifier.spread = lambda: 1.0
    assert (await office.check()).next_check_at == NOW + CHECK_PROVED * 1.25


async def test_only_what_is_due_is_asked_about(office: Office) -> None:
    await office.published()
    office.dns.asked.clear()
    office.clock.now = NOW + CHECK_PROVED - timedelta(seconds=1)
    await office.verifier.look()
    assert office.dns.asked == []
    office.clock.now = NOW + CHECK_PROVED
    await office.verifier.look()
    assert (FIRST, "CNAME") in office.dns.asked
    assert (await office.stored()).checked_at == office.clock()


async def test_of_two_nodes_that_ask_at_once_one_writes_and_tells(office: Office) -> None:
    before = await office.add()
    office.publish(before)
    first = await office.verifier.check(before)
    office.clock.now += timedelta(minutes=5)
    assert await office.verifier.check(before) == first, "it saw the domain as it was before the first had looked"
    assert await office.stored() == first
    assert (len(await office.events()), office.news.times) == (4, 1)


async def test_a_domain_that_was_removed_meanwhile_stays_so_and_nothing_is_told(office: Office) -> None:
    before = await office.published()
    told = len(await office.events())
    await office.database.write(sending_domains.remove, office.organization, BLOGGS, NOW)
    del office.dns.zones[FIRST]
    assert await office.verifier.check(before) == before
    assert await office.database.read(sending_domains.get, office.organization, BLOGGS) is None
    assert len(await office.events()) == told


async def test_a_check_has_few_questions_under_way_and_those_in_the_background_leave_places_for_others(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.flow.verify_domains._QUESTIONS", 2)
    office.verifier.resolver = resolver = patient(office.dns, 3)
    await office.add()
    for _ in range(3):
        assert await under_way(office.dns, office.check(), BLOGGS, 2) == 2
    monkeypatch.setattr("homing.flow.verify_domains._IN_BACKGROUND", 1)
    assert await under_way(office.dns, office.verifier.look(), BLOGGS, 1) == 1
    assert await has_free_places(office.dns, resolver)
