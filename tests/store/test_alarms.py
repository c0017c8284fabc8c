"""Alarms by their causes: counted, told once, cleared, forgotten."""

from datetime import datetime, timedelta

from homing.loop.alarm import Alarm, alarm
from homing.loop.evidence import Answered
from homing.loop.model import Verdict
from homing.mail.reply import Reply, Stage
from homing.store import alarms
from homing.store.database import Database
from homing.store.record import DeliveryEvidence, record
from tests.store.scenes import NOW, an_organization, claimed, submitted

SLOW = Verdict(failure_class="rate_limited", kind="soft", rule="slow", about_us=True, remote_mta="mx.corp.example")


async def sounded(database: Database, *causes: str, now: datetime = NOW) -> set[str]:
    return await database.write(alarms.raise_alarm, [(alarm(cause, f"text of {cause}"), now) for cause in causes])


async def untold(database: Database, now: datetime) -> list[str]:
    return [one.cause for one in await database.write(alarms.untold, now)]


async def test_a_cause_is_one_row_however_often_it_comes(database: Database) -> None:
    assert await sounded(database, "a", "b", "a") == {"a", "b"}
    assert await sounded(database, "a", now=NOW + timedelta(hours=1)) == set()
    b, a = sorted(await database.read(alarms.list_all), key=lambda one: one.cause, reverse=True)
    assert (a.times, a.first_at, a.last_at) == (3, NOW, NOW + timedelta(hours=1))
    assert (b.times, b.text) == (1, "text of b")
    assert await database.read(alarms.count) == 2


async def test_after_a_days_silence_it_is_new(database: Database) -> None:
    await sounded(database, "a")
    assert await sounded(database, "a", now=NOW + timedelta(days=1)) == {"a"}


async def test_what_was_told_waits_for_a_day_and_what_is_new_for_an_hour(database: Database) -> None:
    await sounded(database, "a")
    assert await untold(database, NOW) == ["a"]
    assert [one.cause for one in await database.read(alarms.untold, NOW, lock=False)] == ["a"]
    await database.write(alarms.told, ["a"], NOW)
    soon, later, next_day = NOW + timedelta(minutes=5), NOW + timedelta(hours=1), NOW + timedelta(days=1)
    await sounded(database, "a", "b", now=soon)
    assert await untold(database, soon) == [], "a letter went out a short while ago"
    assert await untold(database, later) == ["b"]
    assert await untold(database, next_day) == ["a", "b"]


async def test_what_is_cleared_and_comes_again_is_new(database: Database) -> None:
    await sounded(database, "a")
    await database.write(alarms.told, ["a"], NOW)
    assert await database.write(alarms.clear, "a")
    assert not await database.write(alarms.clear, "a")
    assert await sounded(database, "a", now=NOW + timedelta(minutes=1)) == {"a"}
    assert await untold(database, NOW + timedelta(minutes=1)) == ["a"]


async def test_it_is_forgotten_when_nobody_has_heard_of_it_for_months(database: Database) -> None:
    await sounded(database, "a")
    await sounded(database, "b", now=NOW + timedelta(days=2))
    assert await database.write(alarms.forget, NOW + timedelta(days=91)) == 1
    assert [one.cause for one in await database.read(alarms.list_all)] == ["b"]


async def test_of_many_refusals_with_one_cause_the_first_is_new(database: Database) -> None:
    await submitted(database, await an_organization(database), *(f"j{n}@corp.example" for n in range(3)))
    findings = [
        DeliveryEvidence(
            delivery=one.delivery.id,
            evidence=Answered(
                stage=Stage.RCPT_TO, reply=Reply.of(421, "4.7.0 slow down"), host="mx.corp.example", verdict=SLOW
            ),
            now=NOW,
            epoch=one.delivery.epoch,
        )
        for one in await claimed(database)
    ]
    outcomes = await database.write(record, findings)
    raised = [outcome.alarm for outcome in outcomes if outcome]
    assert [isinstance(one, Alarm) and one.again for one in raised] == [False, True, True]
    [standing] = await database.read(alarms.list_all)
    assert (standing.cause, standing.times) == ("rate_limited slow corp.example", 3)
    assert standing.organization is not None
