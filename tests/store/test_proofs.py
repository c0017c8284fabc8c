"""Proofs of addresses: each works once, for whoever still has the address, and there are not too many a day."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from homing.loop.budget import OverBudget
from homing.store import human_senders, organizations, proofs
from homing.store.database import Database
from homing.store.human_senders import Attestation, HumanSender
from homing.store.organizations import Organization
from homing.store.proofs import Proof
from tests.store.scenes import NOW, an_organization, fresh

DAY = timedelta(days=1)
BOSS = "Boss@example.com"


async def a_person(database: Database, address: str = "Janet@example.com") -> HumanSender:
    one = await an_organization(database)
    janet = HumanSender(id=fresh(), organization=one.id, name="Janet", address=address, created_at=NOW)
    assert await database.write(human_senders.create, janet)
    return janet


def of_person(sender: HumanSender, token: str, **changes: object) -> Proof:
    given = Proof(
        token_hash=token,
        organization=sender.organization,
        human_sender=sender.id,
        address=sender.address,
        created_at=NOW,
        expires_at=NOW + DAY,
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def of_administrator(one: Organization, token: str, address: str = BOSS) -> Proof:
    return Proof(
        token_hash=token,
        organization=one.id,
        human_sender=None,
        address=address,
        created_at=NOW,
        expires_at=NOW + DAY,
    )


async def now_is(database: Database, one: Organization) -> Organization:
    found = await database.read(organizations.get, one.id)
    assert found
    return found


async def test_a_proof_works_once_and_looking_does_not_use_it(database: Database) -> None:
    janet = await a_person(database)
    assert await database.write(proofs.create, of_person(janet, "t")) is None
    for _ in range(2):  # mail scanners follow links
        opened = await database.read(proofs.usable, "t", NOW)
        assert opened and (opened.human_sender, opened.address) == (janet.id, "janet@example.com")
    uses = await asyncio.gather(*(database.write(proofs.use, "t", NOW) for _ in range(6)))
    assert [(use.human_sender, use.used_at) for use in uses if use] == [(janet.id, NOW)]
    proved = await database.read(human_senders.get, janet.organization, janet.id)
    assert proved == replace(janet, proved_at=NOW)
    assert await database.read(proofs.usable, "t", NOW) is None


async def test_a_proof_expires(database: Database) -> None:
    janet = await a_person(database)
    await database.write(proofs.create, of_person(janet, "t"))
    assert await database.read(proofs.usable, "t", NOW + DAY) is None
    assert await database.write(proofs.use, "t", NOW + DAY) is None
    assert await database.write(proofs.use, "other", NOW) is None


async def test_three_letters_a_day_to_one_address_whoever_asks(database: Database) -> None:
    janet, elsewhere = await a_person(database), await a_person(database)
    wanted = [of_person(janet if number % 2 else elsewhere, f"t{number}") for number in range(8)]
    refused = await asyncio.gather(*(database.write(proofs.create, proof) for proof in wanted))
    assert refused.count(None) == 3
    assert {found.name for found in refused if found} == {"proof-person"}
    tomorrow = of_person(janet, "later", created_at=NOW + DAY)
    assert await database.write(proofs.create, tomorrow) is None


async def test_letters_are_counted_by_mailbox(database: Database) -> None:
    """However an organization spells it; and whoever has another mailbox has letters of his own."""
    janet = await a_person(database)
    wanted = [f"janet+{number}@example.com" for number in range(5)]
    refused = [
        await database.write(proofs.create, of_person(janet, f"t{number}", address=address))
        for number, address in enumerate(wanted)
    ]
    assert refused.count(None) == 3
    assert refused[-1] == OverBudget(name="proof-person", why="janet+4@example.com has had 3 today")
    assert await database.write(proofs.create, of_person(janet, "other", address="janet1@example.com")) is None


async def test_a_link_proves_the_address_as_it_was_spelled(database: Database) -> None:
    """Not every server takes janet+x@ for janet@: whoever reads the one has not proved the other."""
    janet = await a_person(database, "janet@example.com")
    await database.write(proofs.create, of_person(janet, "t", address="janet+x@example.com"))
    assert await database.write(proofs.use, "t", NOW) is None


async def test_an_organization_has_a_number_of_letters_a_day_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "OF_ORGANIZATION", 3)
    janet, elsewhere = await a_person(database), await a_person(database)
    wanted = [of_person(janet, f"t{number}", address=f"j{number}@example.com") for number in range(6)]
    refused = await asyncio.gather(*(database.write(proofs.create, proof) for proof in wanted))
    assert refused.count(None) == 3
    assert OverBudget(name="proof-organization", why="the organization has had 3 sent today") in refused
    assert await database.write(proofs.create, of_person(elsewhere, "other")) is None
    later = of_person(janet, "later", created_at=NOW + DAY)
    assert await database.write(proofs.create, later) is None


# -- the administrator -----------------------------------------------------------------------------------------------


async def test_an_administrator_is_written_to_once_his_address_is_proved(database: Database) -> None:
    one = await an_organization(database, administrator=BOSS)
    assert (await now_is(database, one)).proved_administrator is None
    await database.write(proofs.create, of_administrator(one, "t"))
    used = await database.write(proofs.use, "t", NOW)
    assert used and (used.organization, used.human_sender) == (one.id, None)
    proved = await now_is(database, one)
    assert (proved.proved_administrator, proved.administrator_proved_at) == (BOSS, NOW)


async def test_of_another_address_nothing_is_proved(database: Database) -> None:
    one = await an_organization(database, administrator=BOSS)
    await database.write(proofs.create, of_administrator(one, "t"))
    word = Attestation(at=NOW, key=fresh(), key_name="settings")
    assert await database.write(organizations.attest_administrator, one.id, BOSS, word)
    await database.write(organizations.change, one.id, {"administrator": BOSS})
    assert (await now_is(database, one)).proved_administrator == BOSS, "it is the same"
    await database.write(organizations.change, one.id, {"administrator": "eve@example.com", "rate_limit": 7})
    changed = await now_is(database, one)
    assert (changed.administrator, changed.rate_limit) == ("eve@example.com", 7)
    assert (changed.proved_administrator, changed.administrator_attestation) == (None, None)
    assert await database.write(proofs.use, "t", NOW) is None, "the link was for the other one"
    assert (await now_is(database, one)).proved_administrator is None
    assert not await database.write(organizations.attest_administrator, one.id, BOSS, word)


async def test_the_operators_word_for_an_administrator_is_kept_and_the_first_one_stands(database: Database) -> None:
    one = await an_organization(database, administrator=BOSS)
    first = Attestation(at=NOW, key=fresh(), key_name="deploy", note="his contract")
    for word in (first, replace(first, at=NOW + DAY, note="again")):
        assert await database.write(organizations.attest_administrator, one.id, BOSS, word)
    attested = await now_is(database, one)
    assert (attested.administrator_attestation, attested.administrator_proved_at) == (first, NOW)
    assert attested.proved_administrator == BOSS


async def test_what_was_taken_over_counts_until_it_is_changed(database: Database) -> None:
    one = await an_organization(database, administrator=BOSS, administrator_taken_over=True)
    assert (await now_is(database, one)).proved_administrator == BOSS
    await database.write(organizations.change, one.id, {"administrator": None})
    await database.write(organizations.change, one.id, {"administrator": BOSS})
    assert (await now_is(database, one)).proved_administrator is None
