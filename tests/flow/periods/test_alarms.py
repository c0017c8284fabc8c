"""The operator hears of what needs him: once, and again a day later if it goes on."""

from datetime import datetime, timedelta
from email import message_from_bytes

import sqlalchemy as sa

from homing.flow.alarms import AlarmNotifier, raise_alarm
from homing.flow.wakeup import WakeUp
from homing.loop.alarm import alarm
from homing.store import tables
from homing.store.database import Database
from tests.flow.act.made import OUTGOING
from tests.store.scenes import NOW, an_organization


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def a_notifier(database: Database, clock: Clock, administrator: str | None = "root@operator.example") -> AlarmNotifier:
    return AlarmNotifier(
        database=database,
        outgoing=OUTGOING,
        clock=clock,
        administrator=administrator,
        public_url="https://mail.example.com",
        work=WakeUp(),
    )


async def letters(database: Database) -> list[bytes]:
    query = sa.select(tables.message_content.c.content)
    return await database.read(lambda conn: list(conn.execute(query).scalars()))


async def test_what_goes_on_is_told_once_a_day_and_what_is_new_after_an_hour(database: Database) -> None:
    await an_organization(database)
    clock = Clock()
    notifier = a_notifier(database, clock)
    told = []
    for hours, causes in ((0, "a"), (0.5, "ab"), (1, "ab"), (23.9, "a"), (24, "a"), (25, "b")):
        clock.now = NOW + timedelta(hours=hours)
        for cause in causes:
            await raise_alarm(database, alarm(cause, "text"), clock.now)
        told.append(await notifier.warn())
    assert told == [1, 0, 1, 0, 1, 1]


async def test_one_letter_names_every_cause_and_the_page_that_shows_them(database: Database) -> None:
    await an_organization(database)
    for cause in ("kept-unread", "killed-its-worker"):
        await raise_alarm(database, alarm(cause, f"text of {cause}"), NOW)
    assert await a_notifier(database, Clock()).warn() == 2
    [letter] = await letters(database)
    mail = message_from_bytes(letter)
    plain = next(part for part in mail.walk() if part.get_content_type() == "text/plain").get_payload(decode=True)
    assert isinstance(plain, bytes)
    for words in ("kept-unread", "killed-its-worker", "https://mail.example.com/alarms"):
        assert words in plain.decode()


async def test_where_no_administrator_is_named_nobody_is_written_to(database: Database) -> None:
    await an_organization(database)
    await raise_alarm(database, alarm("a", "text"), NOW)
    assert await a_notifier(database, Clock(), None).warn() == 0
    assert await letters(database) == []
