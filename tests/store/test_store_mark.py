"""The mark of the store: it rises, tells a restored store, and a release makes all cursors of before out of date."""

import base64
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from homing.loop.model import EventType, NewEvent
from homing.loop.problem import Rejected
from homing.loop.store_mark import CAUSE, StoreMark
from homing.store import alarms, events, store_mark, tables
from homing.store.database import Database
from homing.store.dialect import on_postgresql
from homing.store.events import Happening, Subject
from homing.store.migrations import upgrade
from homing.store.organizations import Organization
from tests.patience import until
from tests.store.scenes import NOW, a_statement, all_rows, an_organization, fresh

MINUTE = timedelta(minutes=1)


def _append(conn: sa.Connection, organization: Organization, name: str, at: Any = NOW) -> None:
    event = NewEvent(type=EventType.NOTIFIED, data={"name": name})
    events.append(conn, [Happening(subject=Subject(organization=organization.id), event=event, at=at)])


async def _read(database: Database, organization: Organization, cursor: str | None = None, count: int = 0) -> list[str]:
    """The names of the events that can be read, once there are so many: other databases of the server hold them up."""

    async def enough() -> list[events.Event] | None:
        found, _, _ = await database.read(events.after, organization.id, None, cursor)
        return found if len(found) >= count else None

    found = await until(enough) if count else await enough()
    return [str(event.data["name"]) for event in found]


async def _advanced(database: Database, seen: StoreMark | None) -> StoreMark:
    now_is, alarm = await database.write(store_mark.advance, seen, NOW)
    assert (now_is.held_at, alarm) == (None, None)
    return now_is.mark


async def _refusal(database: Database, organization: Organization, cursor: str | None) -> tuple[int, str]:
    with pytest.raises(Rejected) as refused:
        await database.read(events.after, organization.id, None, cursor)
    return refused.value.problem.status, refused.value.problem.code


async def test_the_mark_rises_with_every_look_of_every_node(database: Database) -> None:
    one = await _advanced(database, None)
    other = await _advanced(database, None)
    assert one < other < await _advanced(database, one)


async def test_a_store_that_stands_behind_is_held_for_all_nodes_until_it_is_released(database: Database) -> None:
    last = await _advanced(database, await _advanced(database, None))
    ahead = StoreMark(last.generation, last.mark + 1)
    held, alarm = await database.write(store_mark.advance, ahead, NOW)
    assert held.held_at == NOW
    assert alarm is not None
    for seen in (None, last, ahead):  # a new node sees it too, and the mark stands still
        assert await database.write(store_mark.advance, seen, NOW + MINUTE) == (held, None)
    [standing] = await database.read(alarms.list_all)
    assert standing.cause == CAUSE
    assert "restored from a backup" in standing.text

    released = await database.write(store_mark.release, ahead, NOW + MINUTE)
    assert released is not None
    assert (released.held_at, released.mark.generation > last.generation) == (None, True)
    assert await database.write(store_mark.release, ahead, NOW) is None
    assert await database.read(alarms.list_all) == []
    assert await _advanced(database, ahead) > released.mark, "a node that was away follows"


async def test_a_cursor_is_good_in_its_generation_alone(database: Database) -> None:
    organization = await an_organization(database)
    await database.write(_append, organization, "before")
    assert await _read(database, organization, count=1) == ["before"]
    _, old, _ = await database.read(events.after, organization.id, None, None)
    assert await _read(database, organization, old) == []

    await database.write(store_mark.hold, "because", NOW)
    assert await _refusal(database, organization, old) == (410, "cursor-outdated")
    assert await _refusal(database, organization, None) == (503, "store-held")
    for asked in (events.latest, lambda conn, one: events.since(conn, one, NOW)):
        with pytest.raises(Rejected, match="restored"):
            await database.read(asked, organization.id)

    await database.write(store_mark.release, None, NOW)
    assert await _refusal(database, organization, old) == (410, "cursor-outdated")
    await database.write(_append, organization, "after")
    assert await _read(database, organization, count=2) == ["before", "after"]
    _, new, _ = await database.read(events.after, organization.id, None, None)
    assert await _read(database, organization, new) == []


async def test_cursors_of_before_there_were_generations_stay_good(database: Database) -> None:
    organization = await an_organization(database)
    await database.write(_append, organization, "one")
    await _read(database, organization, count=1)
    [row] = await database.read(all_rows, tables.event)
    old = base64.urlsafe_b64encode(f"{row['txid']}.{row['seq']}".encode()).decode().rstrip("=")
    await database.write(a_statement("UPDATE store_mark SET generation = 0"))
    assert await _read(database, organization, old) == []
    await database.write(a_statement("UPDATE store_mark SET generation = 1"))
    assert await _refusal(database, organization, old) == (410, "cursor-outdated")


async def test_events_since_a_moment(database: Database) -> None:
    """All since then, and of those before at most what happened in the ten minutes until then."""
    organization, other = await an_organization(database), await an_organization(database)
    for number in range(40):
        at = NOW + number * MINUTE
        await database.write(_append, organization, str(number), at)
        await database.write(_append, other, "not his", at)
    await _read(database, organization, count=40)
    for since, first in ((NOW - timedelta(days=1), 0), (NOW, 0), (NOW + 30 * MINUTE, 20), (NOW + 60 * MINUTE, 40)):
        cursor = await database.read(events.since, organization.id, since)
        assert await _read(database, organization, cursor) == [str(number) for number in range(first, 40)]
    nobody = await an_organization(database)
    assert await _read(database, nobody, await database.read(events.since, nobody.id, NOW)) == []


async def test_a_dump_of_another_server_is_held_and_its_events_stay_the_first(database: Database) -> None:
    """PostgreSQL: numbers of transactions are the server's. One that has counted less far would hide what is old."""
    if not await database.read(on_postgresql):
        assert await _advanced(database, None) > StoreMark(0, 0)
        return
    organization = await an_organization(database)
    for name in ("a", "b"):
        await database.write(_append, organization, name)
    await database.write(a_statement("UPDATE event SET txid = txid + 1000000000"))
    held, alarm = await database.write(store_mark.advance, None, NOW)
    assert held.held_at == NOW
    assert alarm is not None
    assert "another server" in alarm.text
    await database.write(_append, organization, "while held")
    await database.write(store_mark.release, None, NOW)
    await database.write(_append, organization, "afterwards")
    assert await _read(database, organization, count=4) == ["a", "b", "while held", "afterwards"]
    _, end, _ = await database.read(events.after, organization.id, None, None)
    await database.write(_append, organization, "later")
    assert await _read(database, organization, end, count=1) == ["later"]
    assert (await database.write(store_mark.advance, None, NOW))[0].held_at is None, "the numbers are this server's now"
    cursor = await database.read(events.since, organization.id, NOW + timedelta(days=1))
    assert await _read(database, organization, cursor) == []


def test_a_store_that_has_told_events_before_begins_with_the_generation_that_their_cursors_have() -> None:
    for told, expected in ((False, False), (True, True)):
        engine = sa.create_engine("sqlite://")
        with engine.begin() as conn:
            upgrade(conn, "0033")
            row = "INSERT INTO event (id, organization, type, at, data) VALUES (?, ?, 'queued', 1, '{}')"
            if told:
                conn.exec_driver_sql(row, (fresh().hex, "0" * 32))
            upgrade(conn)
            generation = conn.exec_driver_sql("SELECT generation FROM store_mark").scalar_one()
        assert (generation == 0) is expected
        engine.dispose()
