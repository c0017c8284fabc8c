"""How much a database looks at: steps of SQLite's virtual machine, rows and index entries on PostgreSQL."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from homing.store.database import Database
from homing.store.dialect import on_postgresql

_READ = sa.text(
    "SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i')"
)
"""In this transaction: rows of sequential scans, and entries that index scans returned, before any filter."""


class _Examined(Exception):  # noqa: N818 - the way out of a transaction that leaves nothing behind
    pass


Task = Callable[[sa.Connection], Any]


async def examined(database: Database, task: Task, *, writes: bool = False, scans: bool = True) -> int:
    """What one run of the task looks at. Nothing of it stays written. `scans=False`: PostgreSQL reads a small table
    whole only where it has no index that would serve, as if the table were a large one."""
    if not writes:
        return await database.read(_count, task, scans)
    try:
        await database.write(_count_and_undo, task, scans)
    except _Examined as counted:
        return int(counted.args[0])
    raise AssertionError("the task was not undone")


def _count_and_undo(conn: sa.Connection, task: Task, scans: bool) -> None:
    raise _Examined(_count(conn, task, scans))


def _count(conn: sa.Connection, task: Task, scans: bool) -> int:
    return _rows(conn, task, scans) if on_postgresql(conn) else _steps(conn, task)


def _steps(conn: sa.Connection, task: Task) -> int:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    connection: Any = conn.connection.driver_connection
    connection.set_progress_handler(step, 1)
    try:
        task(conn)
    finally:
        connection.set_progress_handler(None, 1)
    return steps


def _rows(conn: sa.Connection, task: Task, scans: bool) -> int:
    if not scans:
        for method in ("seqscan", "hashjoin", "mergejoin"):
            conn.exec_driver_sql(f"SET LOCAL enable_{method} = off")
    before = conn.execute(_READ).scalar_one()
    task(conn)
    return int(conn.execute(_READ).scalar_one() - before)
