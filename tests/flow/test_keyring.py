"""Who is calling: remembered for a moment, and no longer than that."""

from uuid import UUID

import pytest

from homing.flow.keyring import KNOWN_FOR, SETTINGS_KEY, Caller, Keyring
from homing.loop.api_key import Scope, hash_key, mint_key
from homing.loop.model import OrganizationId
from homing.store import organizations
from homing.store.database import Database
from homing.store.organizations import ApiKey
from tests.flow.clock import Clock
from tests.flow.remembered import MOMENT, Asked, lifetime_of
from tests.store.scenes import NOW, an_organization, fresh

TEXT = mint_key(bytes(25))
ADMINISTRATOR = "the key of the settings"


@pytest.fixture
def keyring(database: Database, clock: Clock) -> Keyring:
    return Keyring(database=database, clock=clock, administrator_key=ADMINISTRATOR)


def a_key(organization: OrganizationId | None, *scopes: str) -> ApiKey:
    return ApiKey(
        id=fresh(),
        organization=organization,
        name="test",
        hash=hash_key(TEXT),
        last_four=TEXT[-4:],
        scopes=frozenset(scopes or {"send"}),
        created_at=NOW,
    )


async def test_a_caller_is_known_for_five_seconds(database: Asked, clock: Clock, keyring: Keyring) -> None:
    organization = await an_organization(database)
    await database.write(organizations.create_key, a_key(organization.id))
    assert await lifetime_of(lambda: keyring.caller(TEXT), lambda: database.questions["key_by_hash"], clock) == 5


async def test_a_revoked_key_works_for_a_moment_at_most(database: Database, clock: Clock, keyring: Keyring) -> None:
    organization = await an_organization(database)
    key = a_key(organization.id)
    assert await keyring.caller(TEXT) is None
    await database.write(organizations.create_key, key)
    assert await keyring.caller(TEXT) is None, "that a key is unknown is remembered too"
    keyring.forget()
    assert await keyring.caller(TEXT) is not None
    await database.write(organizations.revoke_key, organization.id, key.id, NOW)
    clock.advance(KNOWN_FOR - MOMENT)
    assert await keyring.caller(TEXT) is not None
    clock.advance(MOMENT)
    assert await keyring.caller(TEXT) is None


async def test_whoever_holds_a_key_is_looked_up_each_time(database: Database, keyring: Keyring) -> None:
    """By its id, as sessions of the pages ask."""
    organization = await an_organization(database)
    key = a_key(organization.id)
    await database.write(organizations.create_key, key)
    assert await keyring.holder(key.id) == Caller(key=key.id, organization=organization, scopes=frozenset({Scope.SEND}))
    await database.write(organizations.revoke_key, organization.id, key.id, NOW)
    assert await keyring.holder(key.id) is None
    assert await keyring.holder(UUID(int=1)) is None


async def test_the_key_of_the_settings_is_an_administrators(database: Asked, clock: Clock, keyring: Keyring) -> None:
    administrator = Caller(key=SETTINGS_KEY, organization=None, scopes=frozenset(Scope))
    assert await keyring.caller(ADMINISTRATOR) == await keyring.holder(SETTINGS_KEY) == administrator
    for wrong in ("", ADMINISTRATOR[:-1], ADMINISTRATOR.upper(), "\N{SNOWMAN}"):
        assert await keyring.caller(wrong) is None, wrong
    assert not database.questions, "none of them looks like a key of the store"
    for nothing in (None, ""):
        without = Keyring(database=database, clock=clock, administrator_key=nothing)
        assert await without.caller("") is None
        assert await without.caller(ADMINISTRATOR) is None
        assert await without.holder(SETTINGS_KEY) is None


@pytest.mark.parametrize(
    ("of_organization", "scopes", "live"),
    [
        (True, ("send", "read", "manage"), True),
        (True, ("admin",), False),
        (True, ("send", "admin"), False),
        (False, ("admin",), True),
        (False, ("send",), False),
    ],
)
async def test_an_organizations_key_administers_nothing_else(
    database: Database, keyring: Keyring, of_organization: bool, scopes: tuple[str, ...], live: bool
) -> None:
    organization = await an_organization(database)
    key = a_key(organization.id if of_organization else None, *scopes)
    await database.write(organizations.create_key, key)
    for caller in (await keyring.caller(TEXT), await keyring.holder(key.id)):
        assert (caller is not None) is live
        assert caller is None or caller.organization == (organization if of_organization else None)


def test_what_a_caller_may() -> None:
    def caller(*scopes: Scope) -> Caller:
        return Caller(key=SETTINGS_KEY, organization=None, scopes=frozenset(scopes))

    assert caller(Scope.SEND).may(Scope.SEND, Scope.MANAGE), "one of them is enough"
    assert not caller(Scope.READ).may(Scope.SEND, Scope.MANAGE)
    assert caller(Scope.ADMIN).may(Scope.SEND), "an administrator may do everything"
    assert not caller(Scope.SEND, Scope.READ, Scope.MANAGE).may(), "what no scope opens is an administrator's"
