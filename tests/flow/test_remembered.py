"""What is asked for with nearly every message is remembered for a moment, and no longer than that."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from homing.flow.accept import Acceptance
from homing.flow.identity_facts import IdentityFacts
from homing.flow.keyring import KNOWN_FOR, Keyring
from homing.flow.wakeup import WakeUp
from homing.loop.api_key import hash_key, mint_key
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.domains.sending_domains import RecordPurpose
from homing.mail.address import parse_address
from homing.store import human_senders, organizations
from homing.store.database import Database
from homing.store.human_senders import HumanSender
from homing.store.organizations import ApiKey, Organization, Stream
from tests.store.scenes import NOW, an_organization, fresh

MOMENT = timedelta(milliseconds=1)
PERSON = parse_address("joe@bloggs.example")
OPERATOR = OperatorIdentity(from_domain="post.example", return_domain="b.post.example")


class Time:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


class Asked(Database):
    """Counts the questions that came to it."""

    def __init__(self, runner: Any) -> None:
        super().__init__(runner)
        self.questions: Counter[str] = Counter()

    async def read(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.questions[fn.__name__] += 1
        return await super().read(fn, *args, **kwargs)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Asked]:
    database = Asked.open(f"sqlite:///{tmp_path / 'homing.db'}", durable=False)
    assert isinstance(database, Asked)
    await database.start()
    await database.migrate()
    yield database
    await database.close()


async def a_key(database: Database, organization: Organization) -> tuple[str, ApiKey]:
    text = mint_key(bytes(25))
    return text, ApiKey(
        id=fresh(),
        organization=organization.id,
        name="test",
        hash=hash_key(text),
        last_four=text[-4:],
        scopes=frozenset({"send"}),
        created_at=NOW,
    )


def submission_with(database: Database, time: Time) -> Acceptance:
    proved = IdentityFacts(database=database, operator=OPERATOR, signing=lambda: None, clock=time)
    nobody: Any = None
    return Acceptance(database=database, outgoing=nobody, clock=time, work=WakeUp(), proved=proved)


async def lifetime_of(ask: Callable[[], Coroutine[Any, Any, Any]], asked: Callable[[], int], time: Time) -> float:
    """Seconds from the first time that it was asked for until the store is asked again."""
    await ask()
    first, since = asked(), time.now
    while asked() == first:
        time.now += timedelta(seconds=1) - MOMENT
        await ask()
        if asked() > first:
            break
        time.now += MOMENT
        await ask()
    return (time.now - since).total_seconds()


async def test_a_caller_is_known_for_five_seconds(database: Asked) -> None:
    time, organization = Time(), await an_organization(database)
    text, key = await a_key(database, organization)
    await database.write(organizations.create_key, key)
    keyring = Keyring(database=database, clock=time)
    assert await lifetime_of(lambda: keyring.caller(text), lambda: database.questions["key_by_hash"], time) == 5


async def test_a_revoked_key_works_for_a_moment_at_most(database: Asked) -> None:
    time, organization = Time(), await an_organization(database)
    text, key = await a_key(database, organization)
    keyring = Keyring(database=database, clock=time)
    assert await keyring.caller(text) is None
    await database.write(organizations.create_key, key)
    assert await keyring.caller(text) is None, "that a key is unknown is remembered too"
    keyring.forget()
    assert await keyring.caller(text) is not None
    await database.write(organizations.revoke_key, organization.id, key.id, NOW)
    time.now += KNOWN_FOR - MOMENT
    assert await keyring.caller(text) is not None
    time.now += MOMENT
    assert await keyring.caller(text) is None


async def test_proved_domains_are_known_for_five_seconds(database: Asked) -> None:
    time, organization = Time(), await an_organization(database)
    proved = IdentityFacts(database=database, operator=OPERATOR, signing=lambda: RecordPurpose.DKIM_1, clock=time)

    def facts() -> Coroutine[Any, Any, Any]:
        return proved.facts(organization.id, organization.name)

    assert await lifetime_of(facts, lambda: database.questions["list_all"], time) == 5


async def test_what_is_known_of_domains_does_not_outlive_the_key_that_signs(database: Asked) -> None:
    time, signing, organization = Time(), RecordPurpose.DKIM_1, await an_organization(database)
    proved = IdentityFacts(database=database, operator=OPERATOR, signing=lambda: signing, clock=time)
    for expected in (1, 1):
        await proved.facts(organization.id, organization.name)
        assert database.questions["list_all"] == expected
    signing = RecordPurpose.DKIM_2
    await proved.facts(organization.id, organization.name)
    assert database.questions["list_all"] == 2


async def test_people_who_have_proved_their_address_are_known_for_half_a_minute_and_others_not(
    database: Asked,
) -> None:
    time, organization = Time(), await an_organization(database)
    acceptance = submission_with(database, time)
    joe = HumanSender(id=fresh(), organization=organization.id, name="Joe", address=str(PERSON), created_at=NOW)
    await database.write(human_senders.create, joe)
    for expected in (1, 2):
        assert await acceptance._person(organization.id, PERSON) is not None
        assert database.questions["by_address"] == expected, "he may prove it at any moment"
    await database.write(human_senders.prove, organization.id, joe.id, NOW)

    def ask() -> Coroutine[Any, Any, Any]:
        return acceptance._person(organization.id, PERSON)

    assert await lifetime_of(ask, lambda: database.questions["by_address"], time) == 30


@pytest.mark.parametrize("bulk", [True, False])
async def test_a_stream_is_known_for_half_a_minute(database: Asked, bulk: bool) -> None:
    time, organization = Time(), await an_organization(database)
    acceptance = submission_with(database, time)
    if bulk:
        news = Stream(organization=organization.id, name="news", bulk=True, created_at=NOW)
        await database.write(organizations.ensure_stream, news)
    assert await acceptance._is_bulk(organization.id, "news") is bulk

    def ask() -> Coroutine[Any, Any, Any]:
        return acceptance._is_bulk(organization.id, "news")

    assert await lifetime_of(ask, lambda: database.questions["get_stream"], time) == 30
