"""What the dead left is taken over, what is over is forgotten, and neither because a clock was set ahead."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from homing.flow.deliver import LEASE
from homing.flow.tidy import Tidier
from homing.flow.wakeup import WakeUp
from homing.loop.alarm import FORGOTTEN_AFTER, alarm
from homing.loop.model import State, Strength
from homing.loop.retry import BELIEVED_AFTER, TOOK_MAIL_WITHIN
from homing.loop.suppression import FULL_FORGOTTEN_AFTER, LATE_WITHIN, Hearsay, Suppress
from homing.loop.watch import KEPT as ROUNDS_KEPT
from homing.store import alarms, inbound, lifts, mail_domains, suppressions, tables, wall_clock
from homing.store.database import Database
from homing.store.inbound import InboundResult, NewInbound
from homing.store.organizations import Organization
from homing.store.record import record
from homing.store.suppressions import Suppression
from tests.flow.clock import Clock
from tests.patience import until
from tests.store.scenes import (
    NOW,
    QUOTA,
    all_rows,
    an_organization,
    answered,
    attempted,
    claimed,
    fresh,
    state_of,
    submitted,
    the_delivery,
)

RETENTION = timedelta(days=30)
MOMENT, SOON, DAY = timedelta(seconds=1), timedelta(minutes=10), timedelta(days=1)
ROW_OF_A_MAIL = {
    "received_at": NOW,
    "recipient": "abuse@post.example",
    "purpose": "abuse",
    "ip": "",
    "helo": "",
    "tls": "",
    "size": 1,
    "flags": [],
    "raw": b"x",
    "tries": 1,
}
ME, HIM = "this-process", "another-process"


class Jumps:
    at: datetime | None = None

    def __call__(self) -> datetime | None:
        return self.at


@pytest.fixture
def jumps() -> Jumps:
    return Jumps()


@pytest.fixture
def tidier(database: Database, clock: Clock, jumps: Jumps, tmp_path: Path) -> Tidier:
    return Tidier(
        database=database,
        clock=clock,
        jumped_at=jumps,
        owner=ME,
        alone=True,
        content_retention=RETENTION,
        spool=tmp_path,
        work=WakeUp(),
    )


async def test_a_lease_that_ran_out_with_an_attempt_open_is_in_doubt(
    tidier: Tidier, database: Database, clock: Clock
) -> None:
    organization = await an_organization(database)
    await submitted(database, organization, "open@corp.example", "waits@corp.example")
    begun, waits = await claimed(database, HIM)
    await attempted(database, begun)
    clock.advance(timedelta(minutes=3))
    await tidier.look()
    assert await state_of(database, organization, begun.delivery.id) is State.SENDING, "his lease has not run out"
    clock.advance(MOMENT)
    await tidier.look()
    for one in (begun, waits):
        delivery = await the_delivery(database, organization, one.delivery.id)
        assert delivery.possibly_delivered is (one is begun)
        assert delivery.state is (State.DEFERRED if one is begun else State.QUEUED)
    [attempt] = await database.read(all_rows, tables.attempt)
    assert attempt["in_doubt"]


@pytest.mark.parametrize("alone", [True, False])
async def test_whoever_is_alone_takes_over_at_his_start(tidier: Tidier, database: Database, alone: bool) -> None:
    organization = await an_organization(database)
    tidier.alone = alone
    leased = {}
    for owner in (ME, HIM):
        await submitted(database, organization, f"{owner}@corp.example")
        [one] = await claimed(database, owner)
        leased[owner] = one.delivery.id
    with capture_logs() as logs:
        await tidier.recover()
    states = {owner: await state_of(database, organization, delivery) for owner, delivery in leased.items()}
    assert states == {ME: State.SENDING, HIM: State.QUEUED if alone else State.SENDING}
    assert [log["deliveries"] for log in logs] == ([1] if alone else [])


Seed = Callable[[Database, Organization], Awaitable[Any]]


async def _ended(database: Database, organization: Organization) -> None:
    await submitted(database, organization, key="k")
    [one] = await claimed(database)
    await database.write_grouped(record, answered(one, await attempted(database, one)))


def _unread() -> NewInbound:
    return NewInbound(
        id=fresh(),
        received_at=NOW,
        envelope_sender=None,
        recipient="abuse@post.example",
        purpose="abuse",
        size=1,
        raw=b"x",
        erase_at=NOW + RETENTION,
    )


async def _read(database: Database, organization: Organization) -> None:
    mail = _unread()
    await database.write(inbound.keep, mail, QUOTA)
    await database.write(inbound.finish, InboundResult(id=mail.id, what=None, verdict=None))


async def _suppressed(database: Database, organization: Organization) -> None:
    entry = Suppression(
        organization=organization.id,
        stream="default",
        address="a@b.example",
        reason="mailbox_full",
        evidence="",
        created_at=NOW,
        expires_at=NOW + 9 * DAY,
    )
    await database.write(suppressions.add, [entry, replace(entry, address="for@ever.example", expires_at=None)])


async def _lifted(database: Database, organization: Organization) -> None:
    await _suppressed(database, organization)
    assert await database.write(lifts.lift, organization.id, "default", "a@b.example", now=NOW)


async def _oops(database: Database, organization: Organization) -> None:
    await database.write(inbound.take_oops, organization.id, "joe@corp.example", NOW)


async def _full(database: Database, organization: Organization) -> None:
    await database.write(suppressions.note_full, (organization.id, "default", "a@b.example"), NOW)


async def _hearsay(database: Database, organization: Organization) -> None:
    said = Hearsay(suppress=Suppress(reason="invalid_recipient"), strength=Strength.WEAK, rule="words.unknown")
    await database.write(suppressions.note_hearsay, (organization.id, "default", "a@b.example"), fresh(), said, NOW)


async def _domain(database: Database, _organization: Organization) -> None:
    await database.write(mail_domains.took_mail, {"corp.com"}, NOW)


async def _alarm(database: Database, organization: Organization) -> None:
    await database.write(alarms.raise_alarm, [(alarm("a", "text"), NOW)])


async def _round(database: Database, _organization: Organization) -> None:
    ids = {"delivery": fresh(), "message": fresh()}
    moments = dict.fromkeys(("made_at", "due_at", "ended_at"), NOW)
    row = {"round": 1, "envelope_sender": "b+x@b.post.example", "state": "concluded", "said": "", **ids, **moments}
    await database.write(lambda conn: conn.execute(tables.loop_probe.insert(), row).rowcount)


MIDNIGHT = timedelta(hours=12)
"""After `NOW`."""
KEPT: list[tuple[sa.Table, sa.ColumnElement[bool], Seed, timedelta]] = [
    (tables.idempotency, sa.true(), _ended, DAY),
    (tables.message_content, sa.true(), _ended, RETENTION),
    (tables.usage, sa.true(), _ended, MIDNIGHT + 3 * DAY),
    (tables.oops_answer, sa.true(), _oops, MIDNIGHT + 3 * DAY),
    (tables.inbound, tables.inbound.c.raw.is_not(None), _read, RETENTION),
    (tables.suppression, tables.suppression.c.expires_at.is_not(None), _suppressed, 9 * DAY),
    (tables.lifted_suppression, sa.true(), _lifted, 400 * DAY),
    (tables.full_mailbox, sa.true(), _full, FULL_FORGOTTEN_AFTER),
    (tables.hearsay, sa.true(), _hearsay, LATE_WITHIN),
    (tables.mail_domain, sa.true(), _domain, TOOK_MAIL_WITHIN),
    (tables.alarm, sa.true(), _alarm, FORGOTTEN_AFTER),
    (tables.loop_probe, sa.true(), _round, ROUNDS_KEPT),
]


@pytest.mark.parametrize(("table", "there", "seed", "kept"), KEPT, ids=[str(kept[0]) for kept in KEPT])
async def test_what_is_over_is_forgotten_when_its_time_has_come_and_not_before(
    tidier: Tidier,
    database: Database,
    clock: Clock,
    table: sa.Table,
    there: sa.ColumnElement[bool],
    seed: Seed,
    kept: timedelta,
) -> None:
    await seed(database, await an_organization(database))
    before = await database.read(all_rows, table)
    clock.now = NOW + kept - MOMENT
    await tidier.forget()
    assert await database.read(all_rows, table) == before
    clock.now = NOW + kept + MOMENT
    await tidier.forget()
    assert await database.read(all_rows, table, there) == []
    left = len(await database.read(all_rows, table))
    assert left == (1 if table in (tables.inbound, tables.suppression) else 0), "a tombstone, and what is for ever"


async def test_what_is_still_wanted_outlives_its_retention(tidier: Tidier, database: Database, clock: Clock) -> None:
    """A message that is under way, and a mail that nobody has read."""
    organization = await an_organization(database)
    await submitted(database, organization)
    await database.write(inbound.keep, _unread(), QUOTA)
    clock.advance(RETENTION * 2)
    await tidier.forget()
    assert len(await database.read(all_rows, tables.message_content)) == 1
    assert [row["raw"] for row in await database.read(all_rows, tables.inbound)] == [b"x"]


async def test_mails_that_had_no_file_are_erased_at_once_however_many(
    tidier: Tidier, database: Database, clock: Clock
) -> None:
    done = {"state": "done", "erase_at": NOW}
    mails = [{**ROW_OF_A_MAIL, **done, "id": fresh()} for _ in range(1200)]
    await database.write(lambda conn: conn.execute(tables.inbound.insert(), mails) and None)
    clock.advance(MOMENT)
    await tidier.forget()
    assert {row["raw"] for row in await database.read(all_rows, tables.inbound)} == {None}


async def test_nothing_of_what_was_erased_is_left_in_a_file_and_nobody_else_reads_them(
    tidier: Tidier, database: Database, clock: Clock, tmp_path: Path
) -> None:
    marker = b"What nobody shall read again. "
    spool = tmp_path / f"{fresh().hex}.eml"
    spool.write_bytes(marker)
    mails = [
        {**ROW_OF_A_MAIL, "id": fresh(), "raw": marker * count, "spool": file, "state": "done", "erase_at": NOW}
        for count, file in ((1, spool.name), (50, None), (10_000, None))
    ]
    await database.write(lambda conn: conn.execute(tables.inbound.insert(), mails) and None)
    assert await asyncio.to_thread(_holding, tmp_path, marker)
    clock.advance(MOMENT)
    await tidier.forget()

    async def wiped() -> bool:
        return not await asyncio.to_thread(_holding, tmp_path, marker)

    await until(wiped)
    files = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.name.startswith("homing.db")}
    assert set(files) >= {"homing.db", "homing.db-wal"}
    assert {mode for name, mode in files.items() if not name.endswith(".lock")} == {0o600}


def _holding(folder: Path, marker: bytes) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file() and marker in file.read_bytes()]


async def test_it_forgets_every_ten_minutes(tidier: Tidier, database: Database, clock: Clock) -> None:
    clock.advance(2 * DAY)
    await tidier.look()
    await _ended(database, await an_organization(database))
    for pause, left in ((SOON - MOMENT, 1), (MOMENT, 0)):
        clock.advance(pause)
        await tidier.look()
        assert len(await database.read(all_rows, tables.idempotency)) == left


async def test_a_clock_that_was_set_ahead_ends_no_lease_at_once_and_erases_nothing_for_a_day(
    tidier: Tidier, database: Database, clock: Clock, jumps: Jumps
) -> None:
    organization = await an_organization(database)
    await _ended(database, organization)
    await submitted(database, organization)
    [held] = await claimed(database, HIM)
    clock.advance(RETENTION * 2)
    jumps.at = clock.now
    for after, state, contents in (
        (timedelta(), State.SENDING, 2),
        (LEASE - MOMENT, State.SENDING, 2),
        (LEASE, State.QUEUED, 2),
        (BELIEVED_AFTER - MOMENT, State.QUEUED, 2),
        (BELIEVED_AFTER, State.QUEUED, 1),
    ):
        clock.now = jumps.at + after
        await tidier.look()
        assert await state_of(database, organization, held.delivery.id) is state, after
        assert len(await database.read(all_rows, tables.message_content)) == contents, after


async def test_the_time_is_noted_each_minute_with_the_last_jump(
    tidier: Tidier, database: Database, clock: Clock, jumps: Jumps
) -> None:
    noted = []
    for seconds in (0, 30, 30, 60):
        clock.advance(timedelta(seconds=seconds))
        await tidier.look()
        noted.append(await database.read(wall_clock.last_seen))
    minute = timedelta(minutes=1)
    assert noted == [(NOW, None), (NOW, None), (NOW + minute, None), (NOW + 2 * minute, None)]
    clock.advance(RETENTION)
    jumps.at = clock.now
    await tidier.look()
    assert await database.read(wall_clock.last_seen) == (clock.now, jumps.at)


async def test_what_a_wrong_clock_put_off_is_due_once_it_is_put_right(
    tidier: Tidier, database: Database, jumps: Jumps
) -> None:
    await submitted(database, await an_organization(database))
    [one] = await claimed(database)
    wrong = NOW + RETENTION
    await database.write_grouped(record, answered(one, await attempted(database, one), 450, now=wrong))
    await tidier.look()
    assert await claimed(database) == [], "it is put off for a month"
    jumps.at = NOW
    await tidier.look()
    assert [again.delivery.id for again in await claimed(database)] == [one.delivery.id]


async def test_what_waits_is_measured(tidier: Tidier, database: Database, clock: Clock) -> None:
    await submitted(database, await an_organization(database), "a@corp.example", "b@corp.example")
    clock.advance(timedelta(seconds=90))
    await tidier.look()
    assert REGISTRY.get_sample_value("homing_queue", {"state": "queued"}) == 2
    assert REGISTRY.get_sample_value("homing_oldest_due_seconds") == 90
    for one in await claimed(database):
        await database.write_grouped(record, answered(one, await attempted(database, one)))
    await tidier.look()
    assert REGISTRY.get_sample_value("homing_queue", {"state": "queued"}) == 0
    assert REGISTRY.get_sample_value("homing_oldest_due_seconds") == 0
