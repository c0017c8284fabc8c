"""Names that others bear are asked for by what a name may be taken for, and judged as if all of them were looked at."""

import asyncio
import importlib
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from homing.loop.domains.impersonation import Claim, ClaimedWords, Guard, claimed_words, guard
from homing.store import organizations, tables
from homing.store.database import Database
from homing.store.organizations import AllowedName, NameClaimed, Organization
from tests.loop.domains.test_impersonation import HONEST, IMPERSONATES, LOOK_ALIKE, claimed, names
from tests.store.scenes import NOW, all_rows, an_organization, fresh

OTHERS = ("Acme Rockets Ltd", "Smith & Sons", "John Smith", "Janet", "Sales", "Bob", "Contoso GmbH", "Paypal Müller")


async def test_each_name_is_judged_as_beside_all_others(database: Database) -> None:
    for number, name in enumerate(OTHERS):
        await an_organization(database, display_name=name, name=f"o{number}")
    everything = guard(OTHERS)
    for name in names(HONEST + ";" + LOOK_ALIKE + ";" + IMPERSONATES):
        some = await database.read(organizations.guard_against, name)
        assert len(some) <= 4
        for own in ("Bloggs Ltd", "Acme Rockets", name):
            assert claimed(name, [some], own=own) is claimed(name, [everything], own=own), (name, own)


async def test_a_name_is_guarded_as_long_as_somebody_bears_it(database: Database) -> None:
    one = await an_organization(database, display_name="Acme Rockets")
    assert await _claim(database, "Acrne Rockets") is Claim.LOOK_ALIKE
    await database.write(organizations.change, one.id, {"display_name": "Contoso"})
    assert await _claim(database, "Acrne Rockets") is None
    assert await _claim(database, "Contoso Service") is Claim.IMPERSONATES
    await database.write(organizations.change, one.id, {"daily_cap": 5})
    await database.write(organizations.pause, one.id, "")
    assert await _claim(database, "Contoso Service") is Claim.IMPERSONATES


async def test_whoever_was_there_first_bears_a_name(database: Database) -> None:
    for name, now in (("Acme Rockets", NOW - timedelta(days=1)), ("Acrne Rockets", NOW)):
        one = Organization(id=fresh(now), name=f"o{now.day}", display_name=name, created_at=now)
        assert await database.write(organizations.create, one)
    assert await _claim(database, "Acme Rockets", own="Acme Rockets") is None
    assert await _claim(database, "Acrne Rockets", own="Bloggs") is Claim.LOOK_ALIKE


async def test_its_own_name_is_not_in_the_way_of_whoever_asks(database: Database) -> None:
    one = await an_organization(database, display_name="Acme Rockets")
    await an_organization(database, display_name="Contoso GmbH")
    for name, found in (("Acme Rockets Ltd", 0), ("Contoso", 1)):
        assert len(await database.read(organizations.guard_against, name, one.id)) == found
    assert len(await database.read(organizations.guard_against, "Acme Rockets Ltd")) == 1


async def test_of_two_who_take_one_name_at_once_one_comes_second(database: Database) -> None:
    some = [await an_organization(database, display_name=f"Firm {letter}") for letter in "ABCDEF"]

    def judge(others: Guard) -> ClaimedWords | None:
        return claimed_words("Northwind", [others], own="", never_a_person=True)

    async def take(one: Organization) -> bool:
        try:
            return await database.write(organizations.change, one.id, {"display_name": "Northwind"}, None, judge)
        except NameClaimed as taken:
            assert taken.found == ClaimedWords(Claim.IMPERSONATES, "Northwind")
            return False

    assert sorted(await asyncio.gather(*map(take, some))) == [False] * 5 + [True]


async def test_what_the_operator_allowed_stays_on_record(database: Database) -> None:
    one = await an_organization(database, display_name="Acme")
    two = await an_organization(database, display_name="Bloggs")
    first, second = [_allowed(one, name, NOW + timedelta(minutes=at)) for at, name in ((1, "PayPal"), (2, "Apple"))]
    for allowed in (first, second):
        changes = {"display_name": allowed.display_name, "display_name_checked_at": allowed.allowed_at}
        assert await database.write(organizations.change, one.id, changes, allowed)
    assert not await database.write(organizations.change, fresh(), {"display_name": "x"}, _allowed(one, "x", NOW))
    now = await database.read(organizations.get, one.id)
    assert now is not None
    assert now.display_name_checked_at == second.allowed_at
    assert await database.read(organizations.allowed_names, [now, two]) == {one.id: second}
    assert await database.read(organizations.allowed_names, [replace(one, display_name="PayPal")]) == {one.id: first}
    assert await database.read(organizations.allowed_names, []) == {}
    made = Organization(id=fresh(), name="new", display_name="Stripe", created_at=NOW)
    assert await database.write(organizations.create, made, _allowed(made, "Stripe", NOW))
    assert not await database.write(organizations.create, replace(made, id=fresh()), _allowed(made, "Stripe", NOW))
    assert len(await database.read(all_rows, tables.allowed_name)) == 3


def _allowed(organization: Organization, name: str, now: datetime) -> AllowedName:
    return AllowedName(
        id=fresh(now),
        organization=organization.id,
        display_name=name,
        claim="display-name-impersonates",
        words=name,
        reason="a reason",
        api_key=fresh(now),
        api_key_name="deploy",
        allowed_at=now,
    )


@pytest.mark.parametrize("name", ["a " * 64, "ﷺ" * 128, "x" * 128, "1|!I" * 32])
async def test_the_longest_names_can_be_borne(database: Database, name: str) -> None:
    await an_organization(database, display_name=name)
    await database.read(organizations.guard_against, name)


async def _claim(database: Database, name: str, own: str = "Bloggs") -> Claim | None:
    return claimed(name, [await database.read(organizations.guard_against, name)], own=own)


def test_what_is_stored_stays_right() -> None:
    """If this fails, names are taken for others than those that stores hold: empty `guarded_name` and fill it anew in a
    migration, as 0037 does."""
    wanted = {
        "Acme Rockets Ltd": {"acmerockets": "acmerockets", "acmerocketsltd": "acmerocketsltd"},
        "Smith & Sons": {"smithsons": "smithsons"},
        "Zoë 1st": {"zoeist": "zoe1st", "zoelst": "zoe1st"},
        "B0b's Büro": {"bobsburo": "b0bsburo"},
        "Ƥaul Łoś": {"paullos": "paullos"},
        "TlPo Sales": {"tipo": "tlpo", "tlpo": "tlpo", "tiposales": "tlposales", "tlposales": "tlposales"},
    }
    made = {name: {skeleton: one.letters for skeleton, one in guard([name]).items()} for name in wanted}
    assert made == wanted


async def test_the_migration_guards_the_names_that_are_there(database: Database) -> None:
    migration = importlib.import_module("homing.store.migrations.versions.0037_names_guarded_anew")
    for number, name in enumerate(OTHERS):
        await an_organization(database, display_name=name, name=f"o{number}")
    wanted = await _guarded(database)
    await database.write(_spoil)

    def migrate(conn: sa.Connection) -> None:
        with Operations.context(MigrationContext.configure(conn)):
            migration.upgrade()

    assert await _guarded(database) != wanted
    await database.write(migrate)
    assert await _guarded(database) == wanted


def _spoil(conn: sa.Connection) -> None:
    conn.execute(tables.guarded_name.update().values(letters="of yesterday"))
    conn.execute(tables.guarded_name.delete().where(tables.guarded_name.c.skeleton.like("%s")))


async def _guarded(database: Database) -> list[str]:
    return sorted(str(dict(row)) for row in await database.read(all_rows, tables.guarded_name))
