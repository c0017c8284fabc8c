"""What is proved of organizations' domains, and whose name is whose: remembered for a moment, each for its own."""

from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from homing.flow.identity_facts import IdentityFacts
from homing.flow.own_names import RESERVED
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.domains.impersonation import claimed_words
from homing.loop.domains.sending_domains import RecordFact, RecordPurpose, RecordState, SendingDomain
from homing.loop.model import Level
from homing.store import sending_domains
from homing.store.database import Database
from homing.store.organizations import Organization
from tests.flow.clock import Clock
from tests.flow.remembered import MOMENT, Asked, lifetime_of
from tests.store.scenes import NOW, an_organization, fresh

OPERATOR = OperatorIdentity(from_domain="post.example", return_domain="b.post.example", name="Postmeister")
HELD = RecordFact(state=RecordState.VERIFIED, held=True, good=1, checked_at=NOW)


class Signing:
    """Which record of a domain leads to the key that signs now."""

    purpose = RecordPurpose.DKIM_1

    def __call__(self) -> RecordPurpose:
        return self.purpose


@pytest.fixture
def signing() -> Signing:
    return Signing()


@pytest.fixture
def proved(database: Database, clock: Clock, signing: Signing) -> IdentityFacts:
    return IdentityFacts(database=database, operator=OPERATOR, signing=signing, clock=clock)


async def a_domain(database: Database, organization: Organization, name: str, *held: RecordPurpose) -> None:
    domain = SendingDomain(
        id=fresh(), organization=organization.id, domain=name, label="l", created_at=NOW, next_check_at=NOW
    )
    assert await database.write(sending_domains.add, domain)
    checked = replace(domain, facts=dict.fromkeys(held, HELD), signing=RecordPurpose.DKIM_1, checked_at=NOW)
    assert await database.write(sending_domains.record, domain, checked, ())


async def test_proved_domains_are_known_for_five_seconds(database: Asked, clock: Clock, proved: IdentityFacts) -> None:
    organization = await an_organization(database)

    def ask() -> Awaitable[Any]:
        return proved.facts(organization.id, organization.name)

    assert await lifetime_of(ask, lambda: database.questions["list_all"], clock) == 5


async def test_names_of_others_are_known_for_a_minute(database: Asked, clock: Clock, proved: IdentityFacts) -> None:
    organization = await an_organization(database)

    def ask() -> Awaitable[Any]:
        return proved.facts(organization.id, organization.name, display_name="Joe Bloggs")

    assert await lifetime_of(ask, lambda: database.questions["guard_against"], clock) == 60
    await proved.facts(organization.id, organization.name)
    assert database.questions["guard_against"] == 2, "nothing new would stand in From"


async def test_a_domain_is_its_organizations_alone(database: Database, clock: Clock, proved: IdentityFacts) -> None:
    mine, other = await an_organization(database), await an_organization(database)
    await a_domain(database, mine, "full.example", RecordPurpose.DKIM_1, RecordPurpose.RETURN_PATH)
    await a_domain(database, mine, "signed.example", RecordPurpose.DKIM_1)
    await a_domain(database, mine, "wished.example")
    await a_domain(database, other, "other.example", RecordPurpose.DKIM_1)
    for _ in range(2):
        facts = await proved.facts(mine.id, mine.name, frozenset({"joe@full.example"}))
        assert {name: fact.level for name, fact in facts.domains.items()} == {
            "full.example": Level.CUSTOM_FULL,
            "signed.example": Level.CUSTOM_DKIM,
        }
        assert facts.proved == {"joe@full.example"}
        assert set((await proved.facts(other.id, other.name)).domains) == {"other.example"}


async def test_what_is_known_of_domains_does_not_outlive_the_key_that_signs(
    database: Asked, proved: IdentityFacts, signing: Signing
) -> None:
    organization = await an_organization(database)
    await a_domain(database, organization, "bloggs.example", RecordPurpose.DKIM_1)
    for expected, level in ((1, Level.CUSTOM_DKIM), (1, Level.CUSTOM_DKIM), (2, Level.SHARED)):
        if expected == 2:
            signing.purpose = RecordPurpose.DKIM_2
        facts = await proved.facts(organization.id, organization.name)
        assert facts.domains["bloggs.example"].level is level
        assert database.questions["list_all"] == expected


async def test_a_name_that_another_organization_bears_is_guarded(
    database: Database, clock: Clock, proved: IdentityFacts
) -> None:
    mine = await an_organization(database)

    async def passes_off(name: str) -> bool:
        guards = (await proved.facts(mine.id, mine.name, display_name=name)).guards
        return claimed_words(name, guards, own=mine.display_name) is not None

    assert await passes_off("Postmeister Support"), "the operator's"
    assert not await passes_off("Wobbly Widgets Support")
    await an_organization(database, display_name="Wobbly Widgets")
    clock.advance(timedelta(minutes=1) - MOMENT)
    assert not await passes_off("Wobbly Widgets Support"), "what is known may be a minute old"
    clock.advance(MOMENT)
    assert await passes_off("Wobbly Widgets Support")


@pytest.mark.parametrize(
    ("addresses", "name", "local_part"),
    [(True, "crm", "crm"), (False, "crm", None), *((True, reserved, None) for reserved in sorted(RESERVED))],
)
async def test_an_organizations_own_address_is_nobody_elses(
    database: Database, proved: IdentityFacts, addresses: bool, name: str, local_part: str | None
) -> None:
    proved.organization_addresses = addresses
    organization = await an_organization(database, name=name)
    assert (await proved.facts(organization.id, name)).local_part == local_part
