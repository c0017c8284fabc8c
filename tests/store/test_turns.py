"""Who comes next: organizations, their streams and receivers take turns, and a backlog is nobody else's."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from homing.loop.model import OrganizationId, Origin, State
from homing.loop.queue import Line, Places
from homing.loop.request import LETTERS
from homing.store import claims, deliveries, organizations, tables, turns
from homing.store.claims import ClaimedDelivery, DeliveryClaim
from homing.store.database import Database
from homing.store.record import record

from . import backlog
from .backlog import SLOW
from .examined import examined
from .scenes import LEASE, MINUTE, NOW, all_rows, an_organization, answered, attempted, claimed, state_of, submitted


async def claim(database: Database, places: Places, now: datetime = NOW) -> DeliveryClaim:
    found = await database.write(claims.claim, "worker", now, places, LEASE)
    for one in found.deliveries:
        places.hold(one.place)
    return found


def of(found: Sequence[ClaimedDelivery]) -> Counter[OrganizationId]:
    return Counter(one.delivery.organization for one in found)


async def test_organizations_take_turns(database: Database) -> None:
    many, few = await an_organization(database), await an_organization(database)
    await submitted(database, many, *(f"{n}@{n}.example" for n in range(40)), next_attempt_at=NOW - MINUTE)
    await submitted(database, few, "john@john.example", "mary@mary.example")
    assert of((await claim(database, Places(6))).deliveries) == {many.id: 3, few.id: 2}


async def test_who_had_a_turn_goes_to_the_end_of_the_line(database: Database) -> None:
    everybody = [await an_organization(database) for _ in range(5)]
    for n, one in enumerate(everybody):
        await submitted(database, one, *(f"{m}@{n}-{m}.example" for m in range(2)), next_attempt_at=NOW - n * MINUTE)
    served = []
    for second in range(10):
        found = await claim(database, Places(1), NOW + timedelta(seconds=second))
        served += [one.delivery.organization for one in found.deliveries]
    in_line = [one.id for one in reversed(everybody)]
    assert served == in_line * 2


async def test_streams_take_turns(database: Database) -> None:
    organization = await an_organization(database)
    much = (f"{n}@{n}.example" for n in range(300))
    await submitted(database, organization, *much, stream="news", next_attempt_at=NOW - MINUTE)
    await submitted(database, organization, "john@john.example", stream="receipts")
    assert "receipts" in {one.stream for one in (await claim(database, Places(4))).deliveries}


async def test_receivers_take_turns(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization, *(f"{n}@one.example" for n in range(30)), next_attempt_at=NOW - MINUTE)
    await submitted(database, organization, "john@two.example")
    found = await claim(database, Places(4))
    assert Counter(one.place.towards for one in found.deliveries) == {"one.example": 2, "two.example": 1}


async def test_first_attempts_come_before_later_ones(database: Database) -> None:
    tried, fresh = await an_organization(database), await an_organization(database)
    like = await submitted(database, tried)
    await claimed(database)
    await database.write(backlog.build, like, 100, State.DEFERRED)
    await submitted(database, fresh, *(f"{n}@{n}.example" for n in range(100)))
    found = (await claim(database, Places(60))).deliveries
    assert [one.place.line for one in found] == [Line.FIRST] * 40 + [Line.LATER] * 10, "of what is left, their share"


async def test_what_was_put_off_is_due_again_in_time(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    await database.write_grouped(record, answered(one, await attempted(database, one), 450))
    assert await database.read(backlog.out_of_line) == []
    (row,) = await database.read(all_rows, tables.delivery)
    assert await claimed(database, now=row["next_attempt_at"] - timedelta(seconds=1)) == []
    assert len(await claimed(database, now=row["next_attempt_at"])) == 1


async def test_what_waits_behind_a_full_receiver_is_seen(database: Database) -> None:
    """More organizations wait for a receiver that takes no more than are looked at in one claim."""
    for n in range(turns.STREAMS + 10):
        await submitted(database, await an_organization(database), f"{n}@{SLOW}", next_attempt_at=NOW - MINUTE)
    other = await an_organization(database)
    await submitted(database, other, "john@idle.example")
    places = Places(4)
    for _ in range(2):
        places.take(other.id, SLOW, Line.LATER)
    first = await claim(database, places)
    assert (first.deliveries, first.more, first.short) == ([], True, True)
    assert of((await claim(database, places)).deliveries) == {other.id: 1}
    assert len((await claim(database, Places(9), NOW + MINUTE)).deliveries) == 5, "they have only rested"


async def test_an_empty_queue_leaves_its_line(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization, "john@one.example", "mary@two.example")
    assert len(await database.read(all_rows, tables.waiting_queue)) == 2
    await claimed(database)
    assert await database.read(all_rows, tables.waiting_queue) == []
    assert await database.read(all_rows, tables.waiting_stream) == []


async def test_what_ended_by_itself_leaves_its_line(database: Database) -> None:
    organization = await an_organization(database)
    acceptance = await submitted(database, organization)
    await database.write(deliveries.cancel, organization.id, acceptance.deliveries[0].id, "key_1", NOW)
    assert await claimed(database) == []
    assert await database.read(all_rows, tables.waiting_stream) == []


async def test_the_backlog_of_a_paused_organization_is_not_looked_through(database: Database) -> None:
    for n in range(turns.STREAMS + 1):
        paused = await an_organization(database)
        await submitted(database, paused, f"{n}@{n}.example", next_attempt_at=NOW - MINUTE)
        await database.write(organizations.pause, paused.id, "too many complaints")
    other = await an_organization(database)
    await submitted(database, other)
    await submitted(database, paused, "janet@example.com", stream=LETTERS, origin=Origin.LETTER)
    first = await claim(database, Places(100))
    assert (first.deliveries, first.more) == ([], True)
    assert of((await claim(database, Places(100))).deliveries) == {other.id: 1, paused.id: 1}, "it is told of failures"
    await database.write(organizations.resume, paused.id, NOW)
    assert of((await claim(database, Places(100))).deliveries) == {paused.id: 1}


async def test_what_a_paused_organization_keeps_waiting_expires(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization, expires_at=NOW + MINUTE)
    await database.write(organizations.pause, organization.id, "too many complaints")
    assert await claimed(database, now=NOW + MINUTE) == []
    assert await state_of(database, organization, one.deliveries[0].id) is State.EXPIRED


async def test_what_an_older_version_accepted_is_put_into_line(database: Database) -> None:
    organization = await an_organization(database)
    for _ in range(3):
        await submitted(database, organization)
    await database.write(_as_before)
    assert await claimed(database) == []
    assert [await database.write(deliveries.enter_lines, 2) for _ in range(3)] == [2, 1, 0]
    assert len(await claimed(database)) == 3


def _as_before(conn: sa.Connection) -> None:
    conn.execute(tables.delivery.update().values(queue=None))
    conn.execute(tables.waiting_queue.delete())
    conn.execute(tables.waiting_stream.delete())


async def test_a_clock_that_was_fast_keeps_no_queue_waiting(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    later = NOW + timedelta(days=300)
    await database.write_grouped(record, answered(one, await attempted(database, one, later), 450, now=later))
    await database.write(deliveries.bring_forward, NOW, NOW + timedelta(days=1))
    assert len(await claimed(database)) == 1


_LONG = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    ("few", "many"),
    [pytest.param(500, 10_000, id="10_000"), pytest.param(1_000, 1_000_000, id="1_000_000", marks=_LONG)],
)
@pytest.mark.parametrize("state", [State.QUEUED, State.DEFERRED])
async def test_a_backlog_costs_others_nothing(database: Database, state: State, few: int, many: int) -> None:
    """Of one organization, for one slow receiver, whose places are taken."""
    slow, other = await an_organization(database), await an_organization(database)
    like = await submitted(database, slow)
    await claimed(database)
    looked_at = []
    for count in (few, many - few):
        await database.write(backlog.build, like, count, state)
        await database.write(backlog.analyze)
        places = Places(200)
        for _ in range(100):
            places.take(slow.id, SLOW, Line.FIRST)
        await submitted(database, other, "john@idle.example")
        looked_at.append(await examined(database, lambda c: claims.claim(c, "w", NOW, places, LEASE), writes=True))  # noqa: B023
        assert of((await claim(database, places)).deliveries) == {other.id: 1}
    assert looked_at[1] < looked_at[0] * 1.2 + 500
