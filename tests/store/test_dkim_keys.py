"""DKIM keys in the store: sealed, one under a name, moved only from where they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homing.loop.domains.signing_keys import RSA, DkimKey, KeyState, move_key
from homing.loop.model import Level
from homing.loop.sealing import SealBroken, Sealer
from homing.mail.dkim import SigningKey
from homing.mail.reply import Stage
from homing.store import deliveries, dkim_keys, tables
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.deliveries import OpenAttempt
from homing.store.dkim_keys import SealedKey
from homing.store.json_documents import identity_from_json
from homing.store.record import record

from .scenes import MINUTE, NOW, all_rows, an_organization, attempted, claimed, event_types, fresh, silent, submitted

SEALER = Sealer(b"k" * 32)
PRIVATE = SigningKey.generate_ed25519("post.example", "h1")


def a_key(selector: str = "h1", state: KeyState = KeyState.ACTIVE) -> SealedKey:
    key = DkimKey(
        id=fresh(),
        organization=None,
        domain="post.example",
        selector=selector,
        algorithm=RSA,
        record_name=f"{selector}._domainkey.post.example",
        record=PRIVATE.dns_record(),
        state=state,
        created_at=NOW,
        published_at=NOW,
        activated_at=NOW,
    )
    return SealedKey(key=key, sealed=SEALER.seal(PRIVATE.pem(), key.place, bytes(12)))


async def test_what_is_stored_is_read_and_opens_at_its_place(database: Database) -> None:
    one = a_key()
    assert await database.write(dkim_keys.add, one)
    assert await database.read(dkim_keys.list_all) == [one.key]
    assert await database.read(dkim_keys.list_all, "elsewhere.example") == []
    assert await database.read(dkim_keys.get, one.key.id) == one.key
    [stored] = await database.read(dkim_keys.signing)
    assert stored == one
    assert SEALER.open(stored.sealed, stored.key.place) == PRIVATE.pem()
    with pytest.raises(SealBroken):
        SEALER.open(stored.sealed, replace(stored.key, selector="h2").place)


async def test_one_key_in_use_under_a_name(database: Database) -> None:
    first = a_key()
    assert await database.write(dkim_keys.add, first)
    assert not await database.write(dkim_keys.add, a_key())
    assert await database.write(dkim_keys.move, [(first.key, KeyState.REVOKED)], NOW)
    assert await database.write(dkim_keys.add, a_key())


async def test_all_moves_or_none_and_only_from_where_a_key_is(database: Database) -> None:
    active, standby = a_key(), a_key("h2", KeyState.PUBLISHED)
    for one in (active, standby):
        assert await database.write(dkim_keys.add, one)
    before = await database.read(dkim_keys.version)
    handed = [(active.key, KeyState.DRAINING), (standby.key, KeyState.ACTIVE)]
    assert await database.write(dkim_keys.move, handed, NOW + MINUTE)
    assert await database.read(dkim_keys.version) != before
    assert not await database.write(dkim_keys.move, handed, NOW + MINUTE)  # another node was first
    assert await database.read(dkim_keys.get, active.key.id) == move_key(active.key, KeyState.DRAINING, NOW + MINUTE)
    states = {one.key.selector: one.key.state for one in await database.read(dkim_keys.signing)}
    assert states == {"h1": KeyState.DRAINING, "h2": KeyState.ACTIVE}


async def test_a_dump_of_the_database_holds_no_private_key(tmp_path: Path) -> None:
    path = tmp_path / "homing.db"
    database = Database.open(f"sqlite:///{path}", durable=False)
    await database.start()
    await database.migrate()
    assert await database.write(dkim_keys.add, a_key())
    await database.close()
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert PRIVATE.dns_record().encode() in everything
    assert b"PRIVATE KEY" not in everything
    assert PRIVATE.pem().splitlines()[1] not in everything
    assert PRIVATE.private_key.private_bytes_raw() not in everything


async def tried_once(database: Database) -> ClaimedDelivery:
    """A delivery that is claimed for its second attempt, an hour after the first."""
    organization = await an_organization(database)
    await submitted(database, organization)
    [job] = await claimed(database)
    opened = await attempted(database, job)
    await database.write(record, [silent(job, opened, Stage.EHLO)])
    [again] = await claimed(database, now=NOW + 60 * MINUTE)
    assert again.selector == "s1"
    return again


def second_attempt(job: ClaimedDelivery, **how: Any) -> OpenAttempt:
    return OpenAttempt(
        id=fresh(),
        delivery=job.delivery.id,
        epoch=job.delivery.epoch,
        started_at=NOW + 60 * MINUTE,
        host="mx.example.net",
        ip="192.0.2.1",
        selector="s2",
        signed_at=NOW + 60 * MINUTE,
        **how,
    )


async def test_a_delivery_that_is_signed_anew_says_so(database: Database) -> None:
    again = await tried_once(database)
    assert await database.write_grouped(deliveries.begin_attempts, second_attempt(again, instead_of="s1"))
    [row] = await database.read(all_rows, tables.delivery, tables.delivery.c.id == again.delivery.id)
    assert (row["selector"], row["signed_at"], row["attempts"]) == ("s2", NOW + 60 * MINUTE, 2)
    assert (await event_types(database, again.delivery.id))[-1] == "signed_anew"


async def test_a_delivery_that_goes_out_under_other_names_says_so(database: Database) -> None:
    again = await tried_once(database)
    after = replace(again.identity, level=Level.SHARED, return_domain="b.post.example", reasons=("no-own-domain",))
    opened = second_attempt(again, renamed=(again.identity, after))
    assert await database.write_grouped(deliveries.begin_attempts, opened)
    [row] = await database.read(all_rows, tables.delivery, tables.delivery.c.id == again.delivery.id)
    assert (row["selector"], row["signed_at"], row["attempts"]) == ("s2", NOW + 60 * MINUTE, 2)
    assert identity_from_json(row["identity"]) == after
    assert (await event_types(database, again.delivery.id))[-1] == "identity_changed"
    lost = replace(opened, id=fresh(), epoch=99, renamed=(after, again.identity))
    assert not await database.write_grouped(deliveries.begin_attempts, lost)
    [row] = await database.read(all_rows, tables.delivery, tables.delivery.c.id == again.delivery.id)
    assert identity_from_json(row["identity"]) == after  # who has lost the lease changes no names
