"""Room on the disk: what stops when, what the ballast is for, and who is told."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from homing.flow.disk_space import BALLAST, DiskSpace, DiskWatch
from homing.store import alarms
from homing.store.database import Database
from tests.flow.clock import Clock

RESERVE = 1024 * 1024


class Disk:
    """A disk of which so much is free, the ballast aside."""

    def __init__(self, free: int) -> None:
        self.other = free

    def __call__(self, folder: Path) -> int:
        ballast = folder / BALLAST
        return self.other - (ballast.stat().st_size if ballast.exists() else 0)


@pytest.mark.parametrize(
    ("free", "low", "ballast"),
    [
        (10 * RESERVE, False, True),
        (1.5 * RESERVE, False, True),
        (1.4 * RESERVE, False, False),
        (RESERVE, False, False),
        (0.99 * RESERVE, True, False),
        (0, True, False),
    ],
)
def test_at_the_first_look(tmp_path: Path, free: float, low: bool, ballast: bool) -> None:
    space = DiskSpace(folder=tmp_path, reserve=RESERVE, free=Disk(int(free)))
    space.look()
    assert (space.is_low, (tmp_path / BALLAST).exists()) == (low, ballast)


def test_the_ballast_goes_last_and_comes_back_when_there_is_plenty(tmp_path: Path) -> None:
    disk = Disk(4 * RESERVE)
    space = DiskSpace(folder=tmp_path, reserve=RESERVE, free=disk)
    space.look()
    ballast = tmp_path / BALLAST
    assert ballast.stat().st_size == RESERVE // 4
    assert ballast.stat().st_blocks * 512 >= RESERVE // 4, "it takes room, and is no hole"
    seen = []
    for free in (1.0, 0.5, 0.37, 0.36, 0.9, 1.2, 1.3, 1.6):
        disk.other = int(free * RESERVE)
        with capture_logs():
            space.look()
        seen.append((free, space.is_low, ballast.exists()))
    assert seen == [
        (1.0, True, True),
        (0.5, True, True),
        (0.37, True, False),
        (0.36, True, False),
        (0.9, True, False),
        (1.2, True, False),
        (1.3, False, False),
        (1.6, False, True),
    ]


def test_without_a_reserve_nothing_is_kept_free(tmp_path: Path) -> None:
    space = DiskSpace(folder=tmp_path, reserve=0, free=Disk(0))
    space.look()
    assert not space.is_low
    assert not (tmp_path / BALLAST).exists()


async def test_the_operator_is_told_once_a_shortage(database: Database, clock: Clock, tmp_path: Path) -> None:
    disk = Disk(2 * RESERVE)
    watch = DiskWatch(disk=DiskSpace(folder=tmp_path, reserve=RESERVE, free=disk), database=database, clock=clock)
    with capture_logs() as logs:
        for free in (2, 0, 0, 2, 2, 0):
            disk.other = free * RESERVE
            await watch.look()
    [alarm] = await database.read(alarms.list_all)
    assert (alarm.cause, alarm.times) == ("disk-low", 2)
    assert "1 MiB are free" in alarm.text
    assert [log["event"] for log in logs].count("the disk has room again: work goes on") == 1
