"""The few differences between the two databases."""

from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert(conn: sa.Connection, table: sa.Table) -> sqlite.Insert:
    """INSERT with `on_conflict_do_nothing` and `on_conflict_do_update`, which both spell alike."""
    return insert_into(table, conn.dialect.name)


def insert_into(table: sa.Table, dialect: str) -> sqlite.Insert:
    """The same for a statement that is built once for each database."""
    return cast("sqlite.Insert", postgresql.insert(table)) if dialect == "postgresql" else sqlite.insert(table)


def on_postgresql(conn: sa.Connection) -> bool:
    return conn.dialect.name == "postgresql"


def insert_all(conn: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        conn.execute(table.insert(), rows)


def sorted_by(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Order few rows by a column. By the bare column name SQLite would walk the column's index through all existing
    rows to save itself the sorting."""
    return sa.func.coalesce(column, column)


_ERASED = "contents were erased"


def note_erased(conn: sa.Connection) -> None:
    """Contents were erased in this transaction. On SQLite the write-ahead log, which may hold them still, is emptied
    soon; PostgreSQL forgets them by VACUUM, and its log by its own rules."""
    conn.info[_ERASED] = True


def has_erased(conn: sa.Connection) -> bool:
    """Whether contents were erased over this connection since this was last asked."""
    return bool(conn.info.pop(_ERASED, False))


def hopeless(error: Exception) -> bool:
    """Whether the database refuses the data themselves, so that no repetition can succeed."""
    match error:
        case sa.exc.IntegrityError() | sa.exc.DataError():
            return True
        case sa.exc.DBAPIError():
            return str(getattr(error.orig, "sqlstate", None))[:2] in _REFUSED or _never_sent(error)
        case sa.exc.StatementError():
            return True  # a value that its column's type cannot say
    return False


_REFUSED = {"22", "23"}
"""Classes of SQLSTATE: data exception, integrity constraint violation (ISO/IEC 9075-2 §24)."""


def _never_sent(error: sa.exc.DBAPIError) -> bool:
    """asyncpg looks at the values before the server does."""
    return error.orig is not None and isinstance(error.orig.__cause__, ValueError)
