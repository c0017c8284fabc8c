"""The lock on the SQLite file: it names its holder, dies with it, and is never taken from under it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homing.store.lock import AlreadyOpen, FileLock

HOLD = """
import sys
from pathlib import Path
from homing.store.lock import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        yield other
        other.kill()


def test_who_comes_second_hears_who_was_first_as_often_as_he_asks(tmp_path: Path) -> None:
    path = tmp_path / "homing.db.lock"
    with held_by_another(path) as other:
        for _ in range(3):
            with pytest.raises(AlreadyOpen, match=rf"another process \(pid {other.pid}\) has this database open"):
                FileLock(path).take()


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "homing.db.lock"
    with held_by_another(path) as other:
        other.kill()
        other.wait()
    lock = FileLock(path)
    lock.take()
    lock.give_back()


def test_what_was_given_back_can_be_taken_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "homing.db.lock"
    first, second = FileLock(path), FileLock(path)
    first.take()
    file = path.stat().st_ino
    with pytest.raises(AlreadyOpen):
        second.take()
    first.give_back()
    assert path.stat().st_ino == file, "whoever waits for the old file would not see the new one's holder"
    second.take()
    with pytest.raises(AlreadyOpen):
        first.take()
    second.give_back()
    first.give_back()


def test_a_folder_that_is_not_there_is_no_other_process(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "nowhere" / "homing.db.lock").take()


def test_nobody_else_opens_the_lock(tmp_path: Path) -> None:
    """Whoever can open it can hold it, and then no gateway starts."""
    before = os.umask(0)
    try:
        lock = FileLock(tmp_path / "homing.db.lock")
        lock.take()
        lock.give_back()
    finally:
        os.umask(before)
    assert (tmp_path / "homing.db.lock").stat().st_mode & 0o077 == 0
