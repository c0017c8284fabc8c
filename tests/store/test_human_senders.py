"""Organizations, keys, streams, human senders and the proof of their addresses; policies; documents."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.model import FailurePolicy, Identity, Step, StepKind, Verdict
from homing.loop.policy import BUILTIN_DEFAULT
from homing.store import human_senders, organizations, policies
from homing.store.database import Database
from homing.store.human_senders import Attestation, HumanSender
from homing.store.json_documents import (
    identity_from_json,
    identity_to_json,
    policy_from_json,
    policy_to_json,
    verdict_from_json,
    verdict_to_json,
)
from homing.store.organizations import ApiKey, Organization, Stream
from tests.store.scenes import NOW, an_organization, fresh


async def test_an_organization_comes_back_as_it_was_written(database: Database) -> None:
    one = await an_organization(
        database, name="crm", cors_origins=("https://app.example",), webhook_url="https://h.example"
    )
    assert await database.read(organizations.get, one.id) == one
    assert await database.read(organizations.by_name, "crm") == one
    assert not await database.write(organizations.create, replace(one, id=fresh()))  # the name is taken
    await database.write(organizations.change, one.id, {"rate_limit": 7, "daily_cap": 8})
    await database.write(organizations.pause, one.id, "complaints")
    paused = replace(one, rate_limit=7, daily_cap=8, paused=True, pause_reason="complaints")
    assert await database.read(organizations.get, one.id) == paused
    assert await database.write(organizations.replace, replace(one, display_name="New"))
    assert await database.read(organizations.list_page) == [replace(one, display_name="New")]
    assert not await database.write(organizations.resume, fresh(), NOW)


async def test_organizations_are_found_by_how_their_names_begin(database: Database) -> None:
    names = ["a", "a-b", "a-c", "a0", "ab", "ab-1", "b", "b-", "z"]
    for name in reversed(names):
        await an_organization(database, name=name)

    async def found(**asked: Any) -> list[str]:
        return [one.name for one in await database.read(organizations.list_page, **asked)]

    assert await found() == sorted(names)
    assert await found(after="ab", limit=2) == ["ab-1", "b"]
    assert await found(begins="a-") == ["a-b", "a-c"]
    assert await found(begins="a", after="a-c") == ["a0", "ab", "ab-1"]
    assert await found(begins="c") == await found(after="z") == []
    assert sorted(await database.read(organizations.names_since, NOW)) == sorted(names)
    assert await database.read(organizations.names_since, NOW + timedelta(days=1)) == []


def test_a_new_organization_starts_small() -> None:
    one = Organization(id=fresh(), name="n", display_name="N", created_at=NOW)
    assert one.daily_cap == 100


async def test_keys_are_found_by_hash_until_revoked(database: Database) -> None:
    one = await an_organization(database)
    key = ApiKey(
        id=fresh(),
        organization=one.id,
        name="k",
        hash="ab" * 32,
        last_four="wxyz",
        scopes=frozenset({"send", "read"}),
        created_at=NOW,
    )
    admin = replace(key, id=fresh(), organization=None, hash="cd" * 32, scopes=frozenset({"admin"}))
    for each in (key, admin):
        await database.write(organizations.create_key, each)
    assert await database.read(organizations.key_by_hash, key.hash) == (key, one)
    assert await database.read(organizations.key_by_hash, admin.hash) == (admin, None)
    assert await database.read(organizations.list_keys, one.id) == [key]
    assert await database.read(organizations.list_keys, None) == [admin]
    assert not await database.write(organizations.revoke_key, fresh(), key.id, NOW)
    assert await database.write(organizations.revoke_key, one.id, key.id, NOW)
    assert not await database.write(organizations.revoke_key, one.id, key.id, NOW)
    assert await database.read(organizations.key_by_hash, key.hash) is None
    assert await database.write(organizations.revoke_key, None, admin.id, NOW)


async def test_a_stream_is_made_once(database: Database) -> None:
    one = await an_organization(database)
    stream = Stream(organization=one.id, name="news", bulk=True, created_at=NOW)
    await database.write(organizations.ensure_stream, stream)
    await database.write(organizations.ensure_stream, replace(stream, bulk=False))
    assert await database.read(organizations.get_stream, one.id, "news") == stream


async def _janet(database: Database) -> HumanSender:
    one = await an_organization(database)
    janet = HumanSender(id=fresh(), organization=one.id, name="Janet", address="Janet@example.com", created_at=NOW)
    assert await database.write(human_senders.create, janet)
    return janet


async def test_human_senders(database: Database) -> None:
    janet = await _janet(database)
    assert not await database.write(human_senders.create, replace(janet, id=fresh()))
    assert await database.read(human_senders.by_address, janet.organization, janet.address) == janet
    assert await database.write(human_senders.replace, replace(janet, phone="+43", address="other@example.com"))
    assert await database.read(human_senders.list_page, janet.organization) == [replace(janet, phone="+43")]
    assert await database.read(human_senders.get, fresh(), janet.id) is None
    assert await database.write(human_senders.prove, janet.organization, janet.id, NOW)


async def test_the_first_word_for_an_address_stays_on_record(database: Database) -> None:
    janet, key = await _janet(database), fresh()
    word = Attestation(at=NOW + timedelta(hours=1), key=key, key_name="sign-up", note="by e-mail")
    joe = replace(janet, id=fresh(), name="Joe", address="joe@example.com", phone="+43")
    people = [replace(one, proved_at=word.at, attestation=word) for one in (replace(janet, name="J.", id=fresh()), joe)]
    assert await database.write(human_senders.attest, people) == 1
    attested = replace(janet, proved_at=word.at, attestation=word)
    assert await database.read(human_senders.list_page, janet.organization) == [attested, people[1]]
    later = replace(word, at=NOW + timedelta(hours=2), key=fresh(), note="")
    again = replace(people[1], id=fresh(), proved_at=later.at, attestation=later)
    assert await database.write(human_senders.attest, [again]) == 0
    assert await database.read(human_senders.get, joe.organization, joe.id) == people[1]
    clicked = NOW + timedelta(hours=3)
    assert await database.write(human_senders.prove, janet.organization, janet.id, clicked)
    assert await database.read(human_senders.by_id, janet.id) == replace(attested, proved_at=clicked)
    assert await database.write(human_senders.attest, []) == 0


@pytest.mark.slow
async def test_thousands_are_attested_at_once_and_read_page_by_page(database: Database) -> None:
    janet = await _janet(database)
    word = Attestation(at=NOW, key=fresh(), key_name="sign-up")
    people = [
        replace(janet, id=fresh(), address=f"p{number:04}@example.com", proved_at=NOW, attestation=word)
        for number in range(450)
    ]
    assert await database.write(human_senders.attest, people) == 450
    seen, after = [], ""
    while page := await database.read(human_senders.list_page, janet.organization, after=after, limit=200):
        seen += page
        after = page[-1].address
    assert sorted(seen, key=lambda one: one.address) == [janet, *people]
    assert len({one.id for one in seen}) == 451
    for address in ("JANET@example.com", "janet@EXAMPLE.com"):
        assert await database.read(human_senders.list_page, janet.organization, address=address) == [janet]
    assert await database.read(human_senders.list_page, fresh(), address="janet@example.com") == []


async def test_policies_have_a_built_in_one(database: Database) -> None:
    one = await an_organization(database)
    assert await database.read(policies.get, one.id, "default", BUILTIN_DEFAULT) == BUILTIN_DEFAULT
    assert await database.read(policies.get, one.id, "other", BUILTIN_DEFAULT) is None
    own = FailurePolicy(name="default", steps=(Step(kind=StepKind.LOG),))
    await database.write(policies.put, one.id, BUILTIN_DEFAULT, NOW)
    await database.write(policies.put, one.id, own, NOW)
    assert await database.read(policies.get, one.id, "default", BUILTIN_DEFAULT) == own
    assert await database.read(policies.list_page, one.id, limit=9) == [own]
    assert await database.write(policies.remove, one.id, "default")
    assert not await database.write(policies.remove, one.id, "default")


@given(st.builds(Verdict))
def test_verdicts_survive_json(verdict: Verdict) -> None:
    assert verdict_from_json(verdict_to_json(verdict)) == verdict


@given(st.builds(Identity))
def test_identities_survive_json(identity: Identity) -> None:
    assert identity_from_json(identity_to_json(identity)) == identity


_steps = st.builds(Step, delay=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=365)))


@given(st.builds(FailurePolicy, steps=st.lists(_steps, max_size=4).map(tuple)))
def test_policies_survive_json(policy: FailurePolicy) -> None:
    assert policy_from_json(policy_to_json(policy)) == policy


def test_an_old_policy_takes_the_defaults_of_what_it_does_not_say() -> None:
    policy = policy_from_json({"name": "old", "steps": [{"kind": "letter"}]})
    assert policy.steps == (Step(kind=StepKind.LETTER),)
