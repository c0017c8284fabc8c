"""What is over is forgotten in its time, and nothing sooner."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa

from homing.flow.tidy import Tidier
from homing.flow.wakeup import WakeUp
from homing.store import inbound, tables
from homing.store.database import Database
from tests.store.scenes import NOW, QUOTA, an_organization, fresh


class Clock:
    now = NOW
    jumped_at: datetime | None = None

    def __call__(self) -> datetime:
        return self.now


def a_tidier(database: Database, clock: Clock, spool: Path) -> Tidier:
    return Tidier(
        database=database,
        clock=clock,
        jumped_at=lambda: clock.jumped_at,
        owner="node-1",
        alone=True,
        content_retention=timedelta(days=30),
        spool=spool,
        work=WakeUp(),
    )


async def counted(database: Database) -> bool:
    return bool(await database.read(lambda conn: conn.execute(sa.select(tables.oops_answer)).all()))


async def test_the_counters_of_a_day_are_kept_for_three_more(database: Database, tmp_path: Path) -> None:
    organization = await an_organization(database)
    assert await database.write(inbound.take_oops, organization.id, "joe@bloggs.example", NOW)
    clock = Clock()
    tidier = a_tidier(database, clock, tmp_path)
    for days, kept in ((3, True), (4, False)):
        clock.now = NOW + timedelta(days=days)
        await tidier.forget()
        assert await counted(database) is kept, days


async def test_it_forgets_every_ten_minutes_and_for_a_day_after_a_jump_of_the_clock_not_at_all(
    database: Database, tmp_path: Path
) -> None:
    clock = Clock()
    tidier = a_tidier(database, clock, tmp_path)
    looked = []
    for minutes in (0, 9, 10, 19, 20):
        clock.now = NOW + timedelta(minutes=minutes)
        await tidier.look()
        looked.append(tidier._forgot_at == clock.now)
    assert looked == [True, False, True, False, True]
    clock.jumped_at = clock.now
    for hours, forgets in ((23, False), (24, True)):
        clock.now = clock.jumped_at + timedelta(hours=hours)
        await tidier.look()
        assert (tidier._forgot_at == clock.now) is forgets, hours


async def test_a_file_that_belongs_to_no_mail_is_removed_when_nobody_can_be_writing_it(
    database: Database, tmp_path: Path
) -> None:
    stray, young, other = (tmp_path / f"{name}.eml" for name in (UUID(int=1).hex, UUID(int=2).hex, "notes"))
    for file, age in ((stray, 61), (young, 59), (other, 600)):
        file.write_bytes(b"x")
        moment = (NOW - timedelta(minutes=age)).timestamp()
        os.utime(file, (moment, moment))
    kept = tmp_path / f"{fresh().hex}.eml"
    kept.write_bytes(b"x")
    os.utime(kept, (0, 0))
    mail = inbound.NewInbound(
        id=UUID(kept.stem),  # type: ignore[arg-type]
        received_at=NOW,
        envelope_sender=None,
        recipient="b+token@b.post.example",
        purpose="envelope",
        size=1,
        raw=None,
        spool=kept.name,
        flags=frozenset(),
        helo="x",
    )
    await database.write(inbound.keep, mail, QUOTA)
    await a_tidier(database, Clock(), tmp_path).forget()
    assert sorted(tmp_path.glob("*.eml")) == sorted((young, other, kept))
