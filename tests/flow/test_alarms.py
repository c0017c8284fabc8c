"""The operator is written to: once a day about a cause, and not more than once an hour."""

import asyncio
import email
import email.policy
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import SQLAlchemyError
from structlog.testing import capture_logs

from homing.flow.alarms import AlarmNotifier, noted, raise_alarm
from homing.flow.wakeup import WakeUp
from homing.loop.alarm import LETTERS_APART, TOLD_AGAIN_AFTER, Alarm, alarm
from homing.loop.model import OPERATOR
from homing.store import alarms, tables
from homing.store.database import Database
from tests.flow.act.made import OUTGOING
from tests.flow.clock import Clock
from tests.patience import PATIENCE
from tests.store.scenes import NOW, a_statement, all_rows, an_organization

ADMINISTRATOR = "postmaster@admin.example"
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
def notifier(database: Database, clock: Clock) -> AlarmNotifier:
    return AlarmNotifier(
        database=database,
        outgoing=OUTGOING,
        clock=clock,
        administrator=ADMINISTRATOR,
        public_url="https://post.operator.example",
        work=WakeUp(),
    )


async def raised(database: Database, clock: Clock, *causes: str) -> None:
    with capture_logs():
        for cause in causes:
            await raise_alarm(database, alarm(cause, f"It was {cause}."), clock())


async def letters(database: Database) -> list[str]:
    """The texts of all that wait for the administrator."""
    assert {row["recipient"] for row in await database.read(all_rows, tables.delivery)} <= {ADMINISTRATOR}
    contents = [row["content"] for row in await database.read(all_rows, tables.message_content)]
    parsed = [email.message_from_bytes(content, policy=email.policy.default) for content in contents]
    return [body.get_content() for one in parsed if (body := one.get_body(("plain",)))]


async def untold(database: Database) -> set[str]:
    return {one.cause for one in await database.read(alarms.list_all) if one.told_at is None}


async def test_one_letter_tells_of_each_cause_once_a_day(
    notifier: AlarmNotifier, database: Database, clock: Clock
) -> None:
    await an_organization(database)
    told = []
    for after, causes in (
        (timedelta(), ("rust", "mould")),
        (SECOND, ()),
        (LETTERS_APART - SECOND, ("fire", "rust")),
        (LETTERS_APART, ()),
        (LETTERS_APART * 2, ("rust",)),
        (TOLD_AGAIN_AFTER - SECOND, ("rust",)),
        (TOLD_AGAIN_AFTER, ("rust",)),
        (TOLD_AGAIN_AFTER + LETTERS_APART, ()),
    ):
        clock.now = NOW + after
        await raised(database, clock, *causes)
        told.append(await notifier.warn())
    assert told == [2, 0, 0, 1, 0, 0, 1, 0], "each at its time"
    named = [
        {cause for cause in ("rust", "mould", "fire") if f"It was {cause}." in text} for text in await letters(database)
    ]
    assert named == [{"rust", "mould"}, {"fire"}, {"rust"}]


async def test_a_letter_leads_to_the_page_of_alarms(notifier: AlarmNotifier, database: Database, clock: Clock) -> None:
    await an_organization(database)
    await raised(database, clock, "fire")
    await notifier.warn()
    [text] = await letters(database)
    assert "https://post.operator.example/alarms" in text.split(), "as the dashboard calls it"


async def test_whoever_sends_is_woken(notifier: AlarmNotifier, database: Database, clock: Clock) -> None:
    await an_organization(database)
    await raised(database, clock, "fire")
    await notifier.warn()
    async with asyncio.timeout(PATIENCE):
        await notifier.work.wait(PATIENCE * 2)


async def test_without_an_administrator_nobody_is_written_to(
    notifier: AlarmNotifier, database: Database, clock: Clock
) -> None:
    await an_organization(database)
    await raised(database, clock, "fire")
    notifier.administrator = None
    assert await notifier.warn() == 0
    assert await letters(database) == []
    assert await untold(database) == {"fire"}, "whoever is named later hears of it"


async def test_a_letter_is_the_operators_and_goes_out_in_no_organizations_name(
    notifier: AlarmNotifier, database: Database, clock: Clock
) -> None:
    await raised(database, clock, "fire")
    assert await notifier.warn() == 1, "whether there is an organization or not"
    met = await an_organization(database)
    clock.advance(LETTERS_APART)
    await database.write(alarms.raise_alarm, [(alarm("refused", "Their blocklist.", met.id), clock())])
    await notifier.warn()
    rows = await database.read(all_rows, tables.message)
    assert {row["organization"] for row in rows} == {OPERATOR}
    assert len(rows) == 2


@pytest.mark.parametrize("broken", ["INSERT ON delivery", "UPDATE ON alarm"])
async def test_told_and_letter_are_one(notifier: AlarmNotifier, database: Database, clock: Clock, broken: str) -> None:
    await an_organization(database)
    await raised(database, clock, "fire")
    await database.write(a_statement(f"CREATE TRIGGER never BEFORE {broken} BEGIN SELECT RAISE(ABORT, 'never'); END"))
    with pytest.raises(SQLAlchemyError):
        await notifier.warn()
    assert (await letters(database), await untold(database)) == ([], {"fire"})
    await database.write(a_statement("DROP TRIGGER never"))
    told = await asyncio.gather(*(notifier.warn() for _ in range(3)))
    assert sorted(told) == [0, 0, 1], "nobody is told twice"
    assert len(await letters(database)) == 1


async def test_all_are_counted_and_what_is_new_is_logged(database: Database) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("homing_alarms_total") or 0.0

    before = counted()
    with capture_logs() as logs:
        await raise_alarm(database, alarm("fire", "It burns."), NOW)
        await raise_alarm(database, alarm("fire", "It burns still."), NOW + MINUTE)
        noted(Alarm(cause="refused", text="A blocklist."))
        noted(Alarm(cause="refused", text="A blocklist again.", again=True))
        noted(None)
    assert [(log["cause"], log["alarm"], log["log_level"]) for log in logs] == [
        ("fire", "It burns.", "error"),
        ("refused", "A blocklist.", "error"),
    ]
    assert counted() - before == 4
