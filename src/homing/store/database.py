"""The one way to the database: `write`, `write_grouped`, `read`, each with a plain `fn(conn, …)`.

The functions are synchronous and the same for both databases. `write` returns only after COMMIT.
"""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

import sqlalchemy as sa

from homing.store.group_commit import Call
from homing.store.ids import DICE
from homing.store.migrations import upgrade
from homing.store.postgres import PostgresRunner
from homing.store.sqlite import SqliteRunner

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")


def _ten_octets() -> bytes:
    return os.urandom(10)


class Database:
    """`open`, then `start` and `migrate`; `close` at the end writes what still waits."""

    def __init__(self, runner: SqliteRunner | PostgresRunner) -> None:
        self._runner = runner

    @classmethod
    def open(cls, url: str, durable: bool = True, *, dice: Callable[[], bytes] = _ten_octets) -> "Database":
        """`sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`. `durable=False` is for tests alone: the
        database may then lose what it answered for. `dice` gives the random part of new ids: ten octets a call."""
        options = {DICE: dice}
        if url.startswith("sqlite:///"):
            return cls(SqliteRunner(Path(url.removeprefix("sqlite:///")), durable=durable, options=options))
        if url.startswith(("postgresql://", "postgres://")):
            url = url.replace("postgres://", "postgresql://", 1)
            return cls(PostgresRunner(url, durable=durable, options=options))
        raise ValueError("the database's URL must begin with sqlite:/// or postgresql://")

    async def start(self) -> None:
        """Raises `AlreadyOpen` (SQLite: another process writes) or `NotDurable` (PostgreSQL: fsync or
        synchronous_commit is off)."""
        await self._runner.start()

    async def migrate(self) -> None:
        """Bring the schema to this version's. Safe when several nodes start at once. Raises `NewerSchema`."""
        if isinstance(self._runner, PostgresRunner):
            await self._runner.migrate(upgrade)
        else:
            await self.write(upgrade)

    async def close(self) -> None:
        await self._runner.close()

    async def write(self, fn: Callable[Concatenate[sa.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a transaction, possibly shared: an exception rolls back only its own changes. Raises what `fn`
        raises, or the driver's error when the commit failed or its answer was lost."""
        work = partial(_call, fn, args, kwargs)
        return cast("T", await self._submit(fn, work, grouped=False))

    async def write_grouped(self, fn: Callable[[sa.Connection, list[Item]], list[T]], item: Item) -> T:
        """Run `fn` with the items of all waiting callers of the same `fn`; its results are in the items' order."""
        return cast("T", await self._submit(fn, item, grouped=True))

    async def read(self, fn: Callable[Concatenate[sa.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`fn` on one consistent snapshot; it cannot write."""
        return cast("T", await self._runner.read(partial(_call, fn, args, kwargs)))

    def _submit(self, fn: Callable[..., object], work: object, *, grouped: bool) -> asyncio.Future[object]:
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._runner.submit(Call(fn=fn, work=work, grouped=grouped, answer=answer))
        return answer


def _call(fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object], conn: sa.Connection) -> T:
    return fn(conn, *args, **kwargs)
