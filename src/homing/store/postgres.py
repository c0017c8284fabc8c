"""PostgreSQL through asyncpg: any number of nodes, each with a few transactions at a time.

Grouped calls wait in line per function; a handful of batchers each take a whole line into one transaction. A
transaction that was certainly not committed (deadlock, connection lost before COMMIT) runs again; when the answer to
COMMIT itself is lost, nobody knows, and the caller gets the exception.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from homing.store.group_commit import Answer, Call, Failed, run_together, settle

BATCHERS = 3
LARGEST_BATCH = 500
TRIES = 3
CONNECT_TIMEOUT = 10
COMMAND_TIMEOUT = 60
"""Seconds without an answer after which the server counts as gone."""
OLDEST = 150_000
"""server_version_num of the oldest PostgreSQL that we know."""


class NotDurable(Exception):  # noqa: N818 - it says what is the case
    """The server would forget what it answered for."""


class _CommitUnknown(Exception):  # noqa: N818 - never leaves this file
    """COMMIT was sent, and its answer did not come."""


class _Unreachable(Exception):  # noqa: N818 - never leaves this file
    """No connection could be had, or the server fell silent: all waiting callers get the error now, without a timeout
    each."""


class PostgresRunner:
    def __init__(self, url: str, *, durable: bool, options: dict[str, Any]) -> None:
        self._durable = durable
        self._url = sa.make_url(url).set(drivername="postgresql+asyncpg")
        self._options = options
        self._engine = self._new_engine(COMMAND_TIMEOUT, pool_size=BATCHERS + 8, max_overflow=8)
        self._lines: dict[Callable[..., Any], list[Call]] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._batchers: list[asyncio.Task[None]] = []
        self._single: set[asyncio.Task[None]] = set()

    def _new_engine(self, command_timeout: float | None, **pool: Any) -> AsyncEngine:
        settings = {"application_name": "homing"} | ({} if self._durable else {"synchronous_commit": "off"})
        timeouts = {"timeout": CONNECT_TIMEOUT, "command_timeout": command_timeout}
        return create_async_engine(
            self._url,
            connect_args={"server_settings": settings, **timeouts},
            execution_options=self._options,
            **pool,
        )

    async def start(self) -> None:
        """Raises `NotDurable` if the server does not commit durably, unless opened with `durable=False`."""
        async with self._engine.connect() as conn:
            await conn.run_sync(_check, self._durable)
        self._closing = False
        self._batchers = [asyncio.create_task(self._batch_until_closed()) for _ in range(BATCHERS)]

    async def close(self) -> None:
        """Everything that waits is written first."""
        self._closing = True
        self._wake.set()
        await asyncio.gather(*self._batchers, *self._single)
        self._batchers = []
        await self._engine.dispose()

    def submit(self, call: Call) -> None:
        if not self._batchers or self._closing:
            raise RuntimeError("the database is not started, or already closed")
        if call.grouped:
            self._lines.setdefault(call.fn, []).append(call)
            self._wake.set()
        else:
            task = asyncio.create_task(self._run([call]))
            self._single.add(task)
            task.add_done_callback(self._single.discard)

    async def read(self, fn: Callable[[sa.Connection], Any]) -> Any:
        async with self._engine.connect() as conn:
            await conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            return await conn.run_sync(fn)

    async def migrate(self, upgrade: Callable[[sa.Connection], None]) -> None:
        """Migrate without a timeout: a large table is rewritten, or another node is at it."""
        engine = self._new_engine(None, poolclass=NullPool)
        async with engine.begin() as conn:
            await conn.run_sync(upgrade)

    async def _batch_until_closed(self) -> None:
        while True:
            if self._lines:
                await self._run(self._take())
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _take(self) -> list[Call]:
        """The line that waits longest, up to the largest batch."""
        fn = next(iter(self._lines))
        line = self._lines.pop(fn)
        if len(line) > LARGEST_BATCH:
            self._lines[fn] = line[LARGEST_BATCH:]
        return line[:LARGEST_BATCH]

    async def _run(self, calls: Sequence[Call]) -> None:
        try:
            settle(await self._transaction(calls))
        except (_CommitUnknown, _Unreachable) as failure:
            settle((call, Failed(_cause(failure))) for call in calls)
        except Exception as error:  # noqa: BLE001 - the culprit's own, handed to its caller
            if len(calls) == 1:
                settle([(calls[0], Failed(error))])
                return
            for call in calls:
                await self._run([call])

    async def _transaction(self, calls: Sequence[Call]) -> list[Answer]:
        for _ in range(TRIES - 1):
            try:
                return await self._once(calls)
            except sa.exc.DBAPIError as error:
                if not _certainly_undone(error):
                    raise
        return await self._once(calls)

    async def _once(self, calls: Sequence[Call]) -> list[Answer]:
        async with AsyncExitStack() as stack:
            try:
                conn = await stack.enter_async_context(self._engine.connect())
            except Exception as error:
                raise _Unreachable from error
            transaction = await conn.begin()
            try:
                answers = await conn.run_sync(run_together, calls)
            except TimeoutError as error:
                raise _Unreachable from error
            try:
                await transaction.commit()
            except Exception as error:
                raise _CommitUnknown from error
        return answers


def _cause(failure: _CommitUnknown | _Unreachable) -> Exception:
    assert isinstance(failure.__cause__, Exception)
    return failure.__cause__


def _certainly_undone(error: sa.exc.DBAPIError) -> bool:
    """Deadlock or serialization failure (the server rolled back), or a connection that died before COMMIT."""
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in {"40P01", "40001"}


def _check(conn: sa.Connection, durable: bool) -> None:
    version = int(conn.exec_driver_sql("SHOW server_version_num").scalar_one())
    if version < OLDEST:
        raise RuntimeError(f"PostgreSQL 15 or later is needed, this is {version // 10_000}")
    off = [name for name in ("fsync", "synchronous_commit") if conn.exec_driver_sql(f"SHOW {name}").scalar() == "off"]
    if durable and off:
        raise NotDurable(f"off on this server: {', '.join(off)}. An accepted message could be lost: turn it on.")
