"""Secrets in the database lie sealed, those of older versions too, and follow the secret key when it changes."""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from homing.flow.sealed_secrets import SealedSecrets, seal_anew
from homing.loop.domains.signing_keys import KeyState
from homing.loop.sealing import SealBroken, Sealer
from homing.store import dkim_keys, organizations, tables
from homing.store.database import Database
from homing.store.organizations import Organization

from .scenes import an_organization
from .test_dkim_keys import PRIVATE, SEALER, a_key

OLD, NEW = SEALER.key, b"n" * 32
PLAIN = "whsec_aHVzaCwgdGhpcyBpcyBhIHNlY3JldCBvZiAzMiBvY3Q="


def a_safe(key: bytes = OLD, before: bytes | None = None) -> SealedSecrets:
    return SealedSecrets(sealer=Sealer(key, before), secret=lambda: os.urandom(32))


def left_by_an_older_version(conn: sa.Connection, organization: Organization) -> None:
    conn.execute(
        tables.organization.update().where(tables.organization.c.id == organization.id), {"webhook_secret": PLAIN}
    )


async def sealed_secret(database: Database, organization: Organization) -> bytes:
    found = await database.read(organizations.get, organization.id)
    assert found is not None
    assert found.sealed_webhook_secret is not None
    assert PLAIN not in repr(found)
    return found.sealed_webhook_secret


async def test_what_an_older_version_left_is_sealed_once(database: Database) -> None:
    organization, other = await an_organization(database), await an_organization(database)
    await database.write(left_by_an_older_version, organization)
    assert await database.write(seal_anew, a_safe()) == 1
    assert await database.write(seal_anew, a_safe()) == 0
    [(identifier, plain, sealed)] = await database.write(organizations.webhook_secrets)
    assert (identifier, plain) == (organization.id, None)
    assert sealed == await sealed_secret(database, organization)
    assert a_safe().open_webhook_secret(sealed, organization.id) == PLAIN
    with pytest.raises(SealBroken):
        a_safe().open_webhook_secret(sealed, other.id)  # copied into another organization's row it is of no use


async def test_all_secrets_follow_the_secret_key(database: Database) -> None:
    organization = await an_organization(database)
    await database.write(left_by_an_older_version, organization)
    await database.write(seal_anew, a_safe())
    active, revoked = a_key(), a_key("h0", KeyState.REVOKED)
    for one in (active, revoked):
        assert await database.write(dkim_keys.add, one)
    with pytest.raises(SealBroken, match="another secret key"):
        await database.write(seal_anew, a_safe(NEW))
    with pytest.raises(SealBroken, match="another secret key"):
        await database.write(seal_anew, a_safe(NEW, b"x" * 32))
    assert await database.write(seal_anew, a_safe(OLD)) == 0  # refused whole, nothing was changed

    changed = a_safe(NEW, OLD)
    assert await database.write(seal_anew, changed) == 3
    assert await database.write(seal_anew, changed) == 0
    alone = a_safe(NEW)  # the old one is needed no more
    assert await database.write(seal_anew, alone) == 0
    assert {alone.sealer.open(one.sealed, one.key.place) for one in await database.write(dkim_keys.sealed)} == {
        PRIVATE.pem()
    }
    assert alone.open_webhook_secret(await sealed_secret(database, organization), organization.id) == PLAIN


async def test_a_dump_of_the_database_holds_no_webhook_secret(tmp_path: Path) -> None:
    path = tmp_path / "homing.db"
    database = Database.open(f"sqlite:///{path}", durable=False)
    await database.start()
    await database.migrate()
    organization = await an_organization(database)
    sealed = a_safe().seal_webhook_secret(PLAIN, organization.id)
    await database.write(organizations.change, organization.id, {"sealed_webhook_secret": sealed})
    await database.close()
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert sealed in everything
    assert PLAIN.encode() not in everything
