"""The cursor: it skips nobody, however late he commits."""

import asyncio
import threading
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from homing.loop.model import EventType, HumanSenderId, NewEvent
from homing.loop.problem import Rejected
from homing.store import events, tables
from homing.store.database import Database
from homing.store.dialect import on_postgresql
from homing.store.events import Happening, Subject
from homing.store.migrations import upgrade
from homing.store.organizations import Organization
from tests.store.scenes import NOW, all_rows, an_organization, fresh


def _append(conn: sa.Connection, organization: Organization, name: str, sender: HumanSenderId | None = None) -> None:
    event = NewEvent(type=EventType.NOTIFIED, data={"name": name, "number": 1, "yes": True, "none": None})
    subject = Subject(organization=organization.id, human_sender=sender)
    events.append(conn, [Happening(subject=subject, event=event, at=NOW)])


def _names(page: tuple[list[events.Event], str, bool]) -> list[object]:
    return [event.data["name"] for event in page[0]]


async def _settled(database: Database, organization: Organization) -> str:
    """When all that was committed can be read: a transaction in any database of the server may hold it up."""
    rows = await database.read(all_rows, tables.event, tables.event.c.organization == organization.id)
    last = max(((row["txid"], row["seq"]) for row in rows), default=(0, 0))
    while events.read_cursor(cursor := await database.read(events.latest, organization.id))[1] < last:
        await asyncio.sleep(0.02)
    return cursor


async def test_pages_follow_each_other(database: Database) -> None:
    organization, other = await an_organization(database), await an_organization(database)
    for number in range(7):
        await database.write(_append, organization, f"n{number}")
        await database.write(_append, other, "not his")
    await _settled(database, organization)
    seen, cursor = [], None
    for expected in (3, 3, 1, 0):
        page = await database.read(events.after, organization.id, None, cursor, 3)
        assert len(page[0]) == expected
        seen += _names(page)
        cursor = page[1]
    assert seen == [f"n{number}" for number in range(7)]
    await database.write(_append, organization, "n7")
    await _settled(database, organization)
    assert _names(await database.read(events.after, organization.id, None, cursor)) == ["n7"]
    page = await database.read(events.after, organization.id, None, None)
    resumed = await database.read(events.after, organization.id, None, page[0][2].cursor)
    assert _names(resumed) == [f"n{number}" for number in range(3, 8)]
    assert page[0][0].data == {"name": "n0", "number": 1, "yes": True, "none": None}


async def test_a_live_stream_starts_now(database: Database) -> None:
    organization = await an_organization(database)
    assert await database.read(
        events.after, organization.id, None, await database.read(events.latest, organization.id)
    ) == (
        [],
        await database.read(events.latest, organization.id),
        False,
    )
    await database.write(_append, organization, "before")
    now = await _settled(database, organization)
    await database.write(_append, organization, "after")
    await _settled(database, organization)
    assert _names(await database.read(events.after, organization.id, None, now)) == ["after"]


async def test_one_human_senders_cursor_moves_past_the_others(database: Database) -> None:
    organization = await an_organization(database)
    janet, joe = fresh(), fresh()
    for number in range(5):
        await database.write(_append, organization, f"joe {number}", joe)
    await database.write(_append, organization, "janet", janet)
    await _settled(database, organization)
    page = await database.read(events.after, organization.id, janet, None, 10)
    assert _names(page) == ["janet"]
    await database.write(_append, organization, "joe again", joe)
    end = await _settled(database, organization)
    moved = await database.read(events.after, organization.id, janet, page[1], 10)
    assert moved[0] == []
    assert moved[1] == end != page[1]


async def test_of_others_events_so_many_are_passed_over_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = await an_organization(database)
    janet, joe = fresh(), fresh()
    for number in range(10):
        await database.write(_append, organization, f"n{number}", janet if number in {0, 4, 9} else joe)
    end = await _settled(database, organization)
    monkeypatch.setattr(events, "LOOKED_THROUGH", 3)
    found: list[str] = []
    cursor, more, looks = None, True, 0
    while more:
        page = await database.read(events.after, organization.id, janet, cursor, 10)
        found += _names(page)
        cursor, more, looks = page[1], page[2], looks + 1
    assert (found, cursor, looks) == (["n0", "n4", "n9"], end, 4)
    page = await database.read(events.after, organization.id, janet, None, 1)
    assert (_names(page), page[2]) == (["n0"], True)


_GATE = 1
"""An advisory lock: whoever wants it waits until it is given back."""


async def test_a_late_committer_is_not_skipped(database: Database, url: str) -> None:
    """One transaction writes its event first and commits last; the reader in between must not pass it by."""
    organization = await an_organization(database)
    is_postgresql = await database.read(on_postgresql)
    written, finish = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(conn: sa.Connection) -> None:
        _append(conn, organization, "slow")
        written.set()
        if is_postgresql:  # run_sync runs in the event loop: wait inside the database, where others can go on
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_GATE})")
        else:
            asyncio.run_coroutine_threadsafe(finish.wait(), loop).result()

    gate = await asyncpg.connect(url) if is_postgresql else None
    if gate:
        await gate.execute(f"SELECT pg_advisory_lock({_GATE})")
    slow_one = asyncio.create_task(database.write(slow))
    while not written.is_set():
        await asyncio.sleep(0.01)
    quick_one = asyncio.create_task(database.write(_append, organization, "quick"))
    if is_postgresql:
        await quick_one
    seen, cursor = [], None
    for _ in range(3):
        page = await database.read(events.after, organization.id, None, cursor)
        seen += _names(page)
        cursor = page[1]
    assert seen == []
    assert cursor == await database.read(events.latest, organization.id)
    finish.set()
    if gate:
        await gate.close()
    await asyncio.gather(slow_one, quick_one)
    await _settled(database, organization)
    assert _names(await database.read(events.after, organization.id, None, cursor)) == ["slow", "quick"]


async def test_a_reader_among_many_writers_sees_each_once(database: Database) -> None:
    organization = await an_organization(database)
    writers = asyncio.gather(*(database.write(_append, organization, f"n{number}") for number in range(150)))
    seen: list[object] = []
    cursor = None
    while len(seen) < 150:
        page = await database.read(events.after, organization.id, None, cursor, 7)
        seen += _names(page)
        cursor = page[1]
        assert len(seen) == len(set(map(str, seen)))
    await writers
    assert {str(name) for name in seen} == {f"n{number}" for number in range(150)}


async def test_of_several_organizations_at_once_from_one_cursor(database: Database) -> None:
    one, other, third = [await an_organization(database) for _ in range(3)]
    await database.write(_append, one, "before")
    await _settled(database, one)
    begin = await database.read(events.latest_of_all)
    for number in range(3):
        for organization in (one, other, third):
            await database.write(_append, organization, f"{organization.name} {number}")
    for organization in (one, other, third):
        await _settled(database, organization)
    heard, cursor, looks = [], begin, 0
    while True:
        found, cursor, more = await database.read(events.after_of_all, [one.id, other.id], cursor, 4)
        heard += [event.data["name"] for event in found]
        looks += 1
        if not more:
            break
    assert heard == [f"{organization.name} {number}" for number in range(3) for organization in (one, other)]
    assert looks == 2
    assert await database.read(events.after, one.id, None, cursor) == ([], cursor, False)


async def test_a_tail_among_many_writers_sees_each_once(database: Database) -> None:
    """Wherever each transaction ends among the others."""
    organizations = [await an_organization(database) for _ in range(3)]
    cursor = await database.read(events.latest_of_all)
    wanted = {f"{number}" for number in range(120)}
    writing = asyncio.gather(*(database.write(_append, organizations[int(name) % 3], name) for name in wanted))
    heard: list[str] = []
    async with asyncio.timeout(60):
        while len(heard) < len(wanted):
            found, cursor, _ = await database.read(
                events.after_of_all, [organization.id for organization in organizations], cursor, 50
            )
            heard += [str(event.data["name"]) for event in found]
            await asyncio.sleep(0)
    await writing
    assert len(heard) == len(set(heard))
    assert set(heard) == wanted


@pytest.mark.parametrize(
    "cursor", ["", "x", "MS4y!", "LTEuMg", "MS4", "MTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMC4x", "ä", "1.2"]
)
async def test_a_foreign_cursor_is_a_callers_mistake(database: Database, cursor: str) -> None:
    organization = await an_organization(database)
    with pytest.raises(Rejected) as refusal:
        await database.read(events.after, organization.id, None, cursor)
    assert refusal.value.problem.code == "cursor-invalid"


async def test_numbers_of_events_go_on_through_an_upgrade(tmp_path: Path) -> None:
    """SQLite copies the table to allow new types of events: nothing is lost, and no number is used twice."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'homing.db'}")
    with engine.begin() as conn:
        upgrade(conn, "0010")
        row = "INSERT INTO event (id, organization, type, at, data) VALUES (?, ?, 'queued', 1, '{}')"
        for number in range(1, 6):
            conn.exec_driver_sql(row, (f"{number:032x}", "0" * 32))
        conn.exec_driver_sql("DELETE FROM event WHERE seq >= 4")  # the newest are gone; a reader has seen them
        upgrade(conn)
        assert [seq for (seq,) in conn.exec_driver_sql("SELECT seq FROM event ORDER BY seq")] == [1, 2, 3]
        conn.exec_driver_sql(row.replace("queued", "domain_changed"), ("f" * 32, "0" * 32))
        assert conn.exec_driver_sql("SELECT max(seq) FROM event").scalar() == 6
        indexes = {name for (name,) in conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'")}
        assert {"ix_event_message", "ix_event_organization_txid_seq"} <= indexes
        with pytest.raises(sa.exc.IntegrityError):
            conn.exec_driver_sql(row.replace("queued", "nonsense"), ("e" * 32, "0" * 32))
    engine.dispose()
