"""What tables are made of: types that both databases have, checks, and indexes of some rows."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(sa.TypeDecorator[datetime]):
    """An aware datetime as microseconds since 1970 (UTC)."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else _EPOCH + timedelta(microseconds=value)


TRANSACTION_NUMBER = "(pg_current_xact_id()::text)::bigint"


class CurrentTransaction(sa.sql.functions.FunctionElement[int]):
    """The number of the running transaction on PostgreSQL; 0 on SQLite, which has one writer and needs none."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(CurrentTransaction)
def _no_transaction_number(element: CurrentTransaction, compiler: SQLCompiler, **_: object) -> str:  # noqa: ARG001
    return "0"


@compiles(CurrentTransaction, "postgresql")
def _transaction_number(element: CurrentTransaction, compiler: SQLCompiler, **_: object) -> str:  # noqa: ARG001
    return TRANSACTION_NUMBER


Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def one_of(column: str, values: type) -> sa.CheckConstraint:
    words = ", ".join(f"'{value}'" for value in values)  # type: ignore[attr-defined]
    return sa.CheckConstraint(f"{column} IN ({words})", name=column)


def where(name: str, *columns: str, only: str, unique: bool = False) -> sa.Index:
    """An index of the rows alone for which `only` holds. A statement that it shall serve says the same words."""
    return sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(only), postgresql_where=sa.text(only))


# Compared octet by octet, so that an index serves for beginnings of names.
Name = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
