"""The few things that the two databases do not say alike."""

from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert(conn: sa.Connection, table: sa.Table) -> sqlite.Insert:
    """INSERT with `on_conflict_do_nothing` and `on_conflict_do_update`, which both spell alike."""
    if on_postgresql(conn):
        return cast("sqlite.Insert", postgresql.insert(table))
    return sqlite.insert(table)


def on_postgresql(conn: sa.Connection) -> bool:
    return conn.dialect.name == "postgresql"


def insert_all(conn: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        conn.execute(table.insert(), rows)
