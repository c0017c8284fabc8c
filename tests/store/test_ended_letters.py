"""What our own e-mails say is erased when they have ended: a link in them must not be read from a store or a backup."""

import importlib
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from homing.loop.evidence import LifetimeOver
from homing.loop.lifecycle import TERMINAL
from homing.loop.model import Origin, State
from homing.store import deliveries, sqlite, suppressions, tables
from homing.store.accepted_messages import AcceptedMessage
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.organizations import Organization
from homing.store.record import DeliveryEvidence, record
from homing.store.suppressions import Suppression
from tests.migrated import migrated_database
from tests.patience import until
from tests.store.scenes import (
    LEASE,
    MINUTE,
    NOW,
    all_rows,
    an_organization,
    answered,
    attempted,
    claimed,
    reported,
    state_of,
    submitted,
)

LINK = b"https://gateway.example/prove/0123456789abcdef"
OURS = [origin for origin in Origin if origin.ours]


@pytest.fixture
async def organization(database: Database) -> Organization:
    return await an_organization(database)


async def a_letter(database: Database, organization: Organization, origin: Origin, **fields: Any) -> AcceptedMessage:
    return await submitted(database, organization, origin=origin, content=b"Subject: x\r\n\r\n" + LINK, **fields)


async def kept(database: Database) -> list[bytes]:
    return [row["content"] for row in await database.read(all_rows, tables.message_content)]


async def end(database: Database, organization: Organization, one: AcceptedMessage, state: State) -> None:
    """Let the only delivery of a message end so."""
    [delivery] = one.deliveries
    match state:
        case State.DELIVERED | State.BOUNCED:
            [leased] = await claimed(database)
            code = 250 if state is State.DELIVERED else 550
            await database.write(record, [answered(leased, await attempted(database, leased), code)])
        case State.CANCELED:
            await database.write(deliveries.cancel, organization.id, delivery.id, "somebody", NOW)
        case State.EXPIRED:
            over = DeliveryEvidence(delivery=delivery.id, evidence=LifetimeOver(), now=delivery.expires_at)
            await database.write(record, [over])
        case State.SUPPRESSED:
            entry = Suppression(
                organization=organization.id,
                stream="default",
                address=delivery.recipient,
                reason="manual",
                evidence="",
                created_at=NOW,
            )
            await database.write(suppressions.add, [entry])
            assert await claimed(database) == []
        case State.FAILED:
            await die_until_failed(database, organization, one)
        case _:
            raise AssertionError(state)
    assert await state_of(database, organization, delivery.id) is state


async def die_until_failed(database: Database, organization: Organization, one: AcceptedMessage) -> None:
    now = NOW
    while await state_of(database, organization, one.deliveries[0].id) is not State.FAILED:
        now += timedelta(hours=6)
        for leased in await claimed(database, now=now):
            await attempted(database, leased, now)
        now += LEASE + MINUTE
        await database.write(deliveries.recover, now)


@pytest.mark.parametrize("state", sorted(TERMINAL))
@pytest.mark.parametrize("origin", OURS)
async def test_a_letter_is_erased_as_it_ends(
    database: Database, organization: Organization, origin: Origin, state: State
) -> None:
    letter = await a_letter(database, organization, origin)
    assert len(await kept(database)) == 1
    await end(database, organization, letter, state)
    assert await kept(database) == []


@pytest.mark.parametrize("state", [State.DELIVERED, State.BOUNCED])
async def test_an_applications_message_stays_to_be_sent_again(
    database: Database, organization: Organization, state: State
) -> None:
    await end(database, organization, await submitted(database, organization), state)
    assert len(await kept(database)) == 1


async def test_a_letter_to_a_suppressed_address_is_not_even_kept(
    database: Database, organization: Organization
) -> None:
    await end(database, organization, await a_letter(database, organization, Origin.LETTER), State.SUPPRESSED)
    await a_letter(database, organization, Origin.LETTER)
    assert await kept(database) == []


async def test_a_letter_that_waits_keeps_what_it_says_and_is_sent(
    database: Database, organization: Organization
) -> None:
    await a_letter(database, organization, Origin.PROOF)
    [leased] = await claimed(database)
    await database.write(record, [answered(leased, await attempted(database, leased), 450)])
    again: list[ClaimedDelivery] = await claimed(database, now=NOW + timedelta(days=1))
    assert [LINK in one.content for one in again] == [True]
    now = NOW + timedelta(days=1)
    await database.write(record, [answered(again[0], await attempted(database, again[0], now), now=now)])
    assert await kept(database) == []
    await database.write(record, [reported(leased.delivery.id, now=now)])  # a late bounce finds nothing to erase
    assert await state_of(database, organization, leased.delivery.id) is State.BOUNCED


async def test_the_migration_erases_what_ended_before(database: Database, organization: Organization) -> None:
    migration = importlib.import_module("homing.store.migrations.versions.0038_letters_are_erased")
    await submitted(database, organization, content=b"an application's")
    waits, *ended = [(await a_letter(database, organization, origin)).message.id for origin in OURS]

    def migrate(conn: sa.Connection) -> None:
        conn.execute(tables.delivery.update().where(tables.delivery.c.message != waits).values(state="delivered"))
        with Operations.context(MigrationContext.configure(conn)):
            migration.upgrade()

    await database.write(migrate)
    left = {row["message"] for row in await database.read(all_rows, tables.message_content)}
    assert waits in left
    assert not left & set(ended)
    assert len(left) == 2


async def test_no_file_holds_the_link_of_a_letter_that_has_ended(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{await migrated_database(tmp_path / 'homing.db')}", durable=False)
    await database.start()
    organization = await an_organization(database)
    with closing(sqlite.driver().connect(tmp_path / "homing.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message_content").fetchall()
        letter = await a_letter(database, organization, Origin.PROOF)
        await end(database, organization, letter, State.DELIVERED)
        assert _holding(tmp_path) == ["homing.db-wal"], "as long as somebody reads, nothing can be taken out of the log"
    await until(lambda: not _holding(tmp_path))
    await database.close()


def test_the_log_is_emptied_as_soon_as_nobody_reads_and_nobody_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PATIENCE", 3600)
    engine = sqlite._engine(tmp_path / "homing.db", sqlite.driver(), {}, ())
    with engine.connect() as writer, engine.connect() as reader:
        writer.exec_driver_sql("CREATE TABLE t (n INTEGER)")
        reader.exec_driver_sql("BEGIN")
        assert reader.exec_driver_sql("SELECT * FROM t").all() == []
        assert not sqlite._wipe(writer)  # had it waited, it would wait still
        assert (tmp_path / "homing.db-wal").stat().st_size > 0
        reader.exec_driver_sql("ROLLBACK")
        assert sqlite._wipe(writer)
        assert (tmp_path / "homing.db-wal").stat().st_size == 0
        assert writer.exec_driver_sql("PRAGMA busy_timeout").scalar() == 3_600_000


def _holding(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file() and LINK in file.read_bytes()]
