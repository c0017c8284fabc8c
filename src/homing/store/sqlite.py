"""SQLite: one file, one writer thread with group commit, four readers.

The writer takes everything that waits, runs it in one transaction (BEGIN IMMEDIATE, synchronous=FULL) and commits as
soon as the last commit has ended: it does not linger, the batch is what came in meanwhile. Only the writer commits and
checkpoints, so that SQLite's WAL-reset bug (before 3.51.3), which needs a second connection, cannot occur. Checkpoints
are PASSIVE, in idle gaps, or when the WAL has grown large, so that no commit waits for one by surprise.
"""

import asyncio
import queue
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from homing.store.dialect import has_erased
from homing.store.group_commit import Answer, Call, Failed, run_together, settle
from homing.store.lock import FileLock

READERS = 4
LARGEST_BATCH = 1000
IDLE_GAP = 0.05
"""Seconds without work after which the writer checkpoints."""
WAL_LIMIT = 64 * 1024 * 1024
"""Octets of WAL at which the writer checkpoints even when busy."""
_PATIENCE = 10
"""Seconds that a connection waits for another one's lock."""
SOUND_SINCE = (3, 51, 3)


def driver() -> ModuleType:
    """pysqlite3, which carries a current SQLite; the interpreter's own where no wheel exists."""
    try:
        module = import_module("pysqlite3.dbapi2")
    except ImportError:
        module = import_module("sqlite3.dbapi2")
    if module.sqlite_version_info < SOUND_SINCE:
        warnings.warn(
            f"SQLite {module.sqlite_version} has a WAL bug that was fixed in 3.51.3: install pysqlite3 where it exists",
            stacklevel=2,
        )
    return module


class SqliteRunner:
    def __init__(self, path: Path, *, durable: bool, options: dict[str, Any]) -> None:
        self._path = path
        self._wal = Path(f"{path}-wal")
        self._lock = FileLock(Path(f"{path}.lock"))
        module = driver()
        synchronous = "FULL" if durable else "OFF"
        writing = (f"PRAGMA synchronous={synchronous}", "PRAGMA wal_autocheckpoint=0", "PRAGMA secure_delete=ON")
        self._writer_engine = _engine(path, module, options, writing)
        self._reader_engine = _engine(path, module, options, ("PRAGMA query_only=1", "PRAGMA wal_autocheckpoint=0"))
        sa.event.listen(self._writer_engine, "begin", _begin_immediate)
        sa.event.listen(self._reader_engine, "begin", _begin)
        self._waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="homing-read")
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Raises `AlreadyOpen` when another process writes to this file."""
        self._loop = asyncio.get_running_loop()
        self._lock.take()
        self._make_private()
        self._thread = threading.Thread(target=self._write_until_closed, name="homing-write", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Everything that waits is written first."""
        if self._thread:
            self._waiting.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        await asyncio.to_thread(self._readers.shutdown)
        self._writer_engine.dispose()
        self._reader_engine.dispose()
        self._lock.give_back()

    def _make_private(self) -> None:
        """Nobody else reads the files, whoever made the folder. SQLite gives the WAL the mode of the main file."""
        self._path.touch(mode=0o600)
        for file in (self._path, self._wal, Path(f"{self._path}-shm")):
            with suppress(FileNotFoundError):
                file.chmod(0o600)

    def submit(self, call: Call) -> None:
        if not self._thread:
            raise RuntimeError("the database is not started, or already closed")
        self._waiting.put(call)

    async def read(self, fn: Callable[[sa.Connection], Any]) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, fn)

    def _read(self, fn: Callable[[sa.Connection], Any]) -> Any:
        with self._reader_engine.connect() as conn:
            return fn(conn)

    # -- the writer's thread ---------------------------------------------------------------------------------------

    def _write_until_closed(self) -> None:
        with self._writer_engine.connect() as conn:
            unsaved = wiping = False
            while True:
                calls, closing = self._take(IDLE_GAP if unsaved else None)
                if calls:
                    self._answer(_commit(conn, calls))
                    unsaved, wiping = True, has_erased(conn) or wiping
                if closing:
                    break
                if unsaved and (not calls or self._wal_is_large()):
                    unsaved = not _checkpoint(conn) or (wiping and not _wipe(conn))
                    wiping = wiping and unsaved
            _checkpoint(conn, "TRUNCATE")

    def _take(self, patience: float | None) -> tuple[list[Call], bool]:
        """Everything that waits; waits `patience` seconds (None: for ever) for the first. True at the end."""
        calls: list[Call] = []
        try:
            call = self._waiting.get(timeout=patience)
            while call is not None:
                calls.append(call)
                if len(calls) == LARGEST_BATCH:
                    return calls, False
                call = self._waiting.get_nowait()
        except queue.Empty:
            return calls, False
        return calls, True

    def _wal_is_large(self) -> bool:
        return self._wal.exists() and self._wal.stat().st_size > WAL_LIMIT

    def _answer(self, answers: list[Answer]) -> None:
        assert self._loop
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(settle, answers)


def _commit(conn: sa.Connection, calls: list[Call]) -> list[Answer]:
    """One transaction for all; where that fails, one for each."""
    try:
        conn.begin()
        answers = run_together(conn, calls)
    except Exception as error:  # noqa: BLE001 - the culprit's own, handed to its caller
        conn.rollback()
        if len(calls) == 1:
            return [(calls[0], Failed(error))]
        return [answer for call in calls for answer in _commit(conn, [call])]
    try:
        conn.commit()
    except Exception as error:  # noqa: BLE001 - nothing was committed (disk full): every caller hears of it
        conn.rollback()
        return [(call, Failed(error)) for call in calls]
    return answers


def _wipe(conn: sa.Connection) -> bool:
    """Whether the WAL, which may hold what was erased, is empty now. Nobody who reads is waited for: it is tried again
    at the next pause."""
    cursor = conn.connection.cursor()
    cursor.execute("PRAGMA busy_timeout=0")
    try:
        return _checkpoint(conn, "TRUNCATE")
    finally:
        cursor.execute(f"PRAGMA busy_timeout={_PATIENCE * 1000}")
        cursor.close()


def _checkpoint(conn: sa.Connection, mode: str = "PASSIVE") -> bool:
    """Whether the whole WAL is now in the file, and nobody was in the way. A disk that is full only puts it off."""
    assert conn.dialect.dbapi
    cursor = conn.connection.cursor()  # outside of any transaction, which a checkpoint needs
    try:
        busy, in_wal, moved = cursor.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    except conn.dialect.dbapi.Error:
        return False
    finally:
        cursor.close()
    return not busy and bool(in_wal == moved)


def _engine(path: Path, module: ModuleType, options: dict[str, Any], pragmas: tuple[str, ...]) -> sa.Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        module=module,
        poolclass=sa.QueuePool,
        pool_size=READERS,
        connect_args={
            "check_same_thread": False,
            "timeout": _PATIENCE,
            "isolation_level": None,
            "cached_statements": 512,
        },
        execution_options=options,
    )
    always = ("PRAGMA journal_mode=WAL", "PRAGMA foreign_keys=ON", f"PRAGMA journal_size_limit={WAL_LIMIT // 4}")

    def set_up(connection: Any, _record: object) -> None:
        for pragma in (*always, *pragmas):
            connection.execute(pragma)

    sa.event.listen(engine, "connect", set_up)
    return engine


def _begin_immediate(conn: sa.Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(conn: sa.Connection) -> None:
    conn.exec_driver_sql("BEGIN")
