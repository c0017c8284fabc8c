"""A store that was restored is noticed by whoever has seen more of it; nothing is begun until it is released."""

from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from homing.flow.ending import all_to_their_end
from homing.flow.store_watch import NOTE, StoreHold, StoreWatch, read_note, write_note
from homing.flow.wakeup import WakeUp
from homing.loop.model import Step, StepKind
from homing.loop.store_mark import StoreMark
from homing.store import alarms, store_mark, tables
from homing.store.database import Database
from tests.flow.act.test_worker import an_actor, failed
from tests.flow.clock import Clock
from tests.flow.deliver.scene import a_scene
from tests.store.scenes import a_statement, all_rows


def a_watch(database: Database, clock: Clock, folder: Path) -> StoreWatch:
    folder.mkdir(exist_ok=True)
    work, actions = WakeUp(), WakeUp()
    return StoreWatch(database=database, folder=folder, clock=clock, hold=StoreHold(), work=work, actions=actions)


@pytest.fixture
def watch(database: Database, clock: Clock, tmp_path: Path) -> StoreWatch:
    return a_watch(database, clock, tmp_path / "node")


async def restored(database: Database) -> None:
    """The store as it was some looks ago."""
    await database.write(a_statement("UPDATE store_mark SET mark = mark - 2"))


async def test_each_look_is_noted_in_the_folder(watch: StoreWatch, database: Database) -> None:
    assert read_note(watch.folder) is None
    for _ in range(3):
        await watch.look()
        assert read_note(watch.folder) == (await database.read(store_mark.standing)).mark
    assert [file.name for file in watch.folder.iterdir()] == [NOTE]
    assert not watch.hold.is_held


async def test_after_a_restore_all_is_held_until_the_release(
    watch: StoreWatch, database: Database, clock: Clock, tmp_path: Path
) -> None:
    await watch.look()
    await watch.look()
    seen = read_note(watch.folder)
    await restored(database)
    again, new = a_watch(database, clock, tmp_path / "node"), a_watch(database, clock, tmp_path / "new")
    await again.look()
    await new.look()
    assert (again.hold.is_held, new.hold.is_held) == (True, True), "a new node learns of it from the store"
    assert (read_note(again.folder), read_note(new.folder)) == (seen, None), "the proof stays"
    assert REGISTRY.get_sample_value("homing_store_held") == 1
    assert [alarm.cause for alarm in await database.read(alarms.list_all)] == ["store-held"]

    await new.release()
    assert not new.hold.is_held
    await again.look()
    assert not again.hold.is_held
    assert REGISTRY.get_sample_value("homing_store_held") == 0
    assert await database.read(alarms.list_all) == []
    late = a_watch(database, clock, tmp_path / "late")
    assert seen is not None
    write_note(late.folder, seen)
    await late.look()
    assert not late.hold.is_held, "who was away all the time takes the new generation"
    assert await late.release() is None


async def test_a_new_node_alone_believes_the_store(database: Database, clock: Clock, tmp_path: Path) -> None:
    await a_watch(database, clock, tmp_path / "old").look()
    await restored(database)
    new = a_watch(database, clock, tmp_path / "new")
    await new.look()
    assert not new.hold.is_held


async def test_a_running_node_notices_too_and_its_note_may_be_gone(watch: StoreWatch, database: Database) -> None:
    await watch.look()
    await watch.look()
    (watch.folder / NOTE).unlink()
    await restored(database)
    await watch.look()
    assert watch.hold.is_held


async def test_no_delivery_is_begun_while_it_is_held(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        await scene.waiting()
        for held, state in ((True, "queued"), (False, "sending")):
            scene.deliverer.hold.is_held = held
            await scene.deliverer._claim()
            assert [row["state"] for row in await scene.database.read(all_rows, tables.delivery)] == [state]
        await all_to_their_end(scene.deliverer._running.values())


async def test_no_action_is_begun_while_it_is_held(database: Database) -> None:
    await failed(database, Step(kind=StepKind.LOG))
    actor = an_actor(database)
    for held, begun in ((True, 0), (False, 1)):
        actor.hold.is_held = held
        await actor._claim()
        assert len(actor._running) == begun
    await all_to_their_end(actor._running)


async def test_workers_are_woken_when_the_hold_ends(watch: StoreWatch) -> None:
    await watch.look()
    await watch.hold_now("because")
    assert watch.hold.is_held
    woken: list[str] = []
    watch.work.wake = lambda: woken.append("work")  # type: ignore[method-assign]
    watch.actions.wake = lambda: woken.append("actions")  # type: ignore[method-assign]
    await watch.look()
    assert woken == []
    await watch.release()
    assert woken == ["work", "actions"]


async def test_a_damaged_note_is_no_new_folder(watch: StoreWatch) -> None:
    for damage in ("", "[]", '{"generation": 1}', '{"generation": "x", "mark": 1}'):
        (watch.folder / NOTE).write_text(damage)
        with pytest.raises(ValueError, match=NOTE):
            await watch.look()


def test_the_note_is_written_whole(tmp_path: Path) -> None:
    write_note(tmp_path, StoreMark(1, 2))
    write_note(tmp_path, StoreMark(1, 3))
    assert read_note(tmp_path) == StoreMark(1, 3)
    assert (tmp_path / NOTE).stat().st_mode & 0o777 == 0o600
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError):
        write_note(missing, StoreMark(1, 4))
