"""A database's schema as the database itself tells it, for comparison."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


@contextmanager
def expression_indexes() -> Iterator[None]:
    """While a schema is read: SQLAlchemy cannot tell an index of an expression on SQLite, and warns of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipped unsupported reflection", sa.exc.SAWarning)
        warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression-based index")
        yield


@expression_indexes()
def reflected(conn: sa.Connection) -> dict[str, object]:
    """Of each table its checks, uniques, indexes with their conditions, and columns with their defaults."""
    inspector = sa.inspect(conn)
    return {
        name: (
            sorted((str(check["name"]), _plain(check["sqltext"])) for check in inspector.get_check_constraints(name)),
            sorted(str(unique) for unique in inspector.get_unique_constraints(name)),
            sorted(f"{_where(index)} {index}" for index in map(dict, inspector.get_indexes(name))),
            [
                (column["name"], str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(name)
            ],
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def _plain(condition: str) -> str:
    """Without the casts and parentheses that PostgreSQL writes, others for a table that came out of a dump."""
    return re.sub(r"::(character varying|text|\w+)(\[\])?|[()]", "", condition)


def _where(index: dict[str, Any]) -> str:
    """The condition of a partial index, taken out of the index: its repr has an address."""
    options = index.pop("dialect_options", {})
    return _plain(str(options.get("sqlite_where", options.get("postgresql_where"))))
