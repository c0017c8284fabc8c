"""What stands in a gateway's store, read from outside by SQL of one's own: the embedded file, or a PostgreSQL."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg

from homing.store.sqlite import driver

Row = dict[str, Any]


def rows(database_url: str, query: str) -> list[Row]:
    """Ids are told as 32 hexadecimal digits, documents as JSON text."""
    if database_url.startswith("sqlite:///"):
        return _of_sqlite(database_url.removeprefix("sqlite:///"), query)
    found = asyncio.run(_of_postgresql(database_url, query))
    return [{name: value.hex if isinstance(value, UUID) else value for name, value in row.items()} for row in found]


def _of_sqlite(path: str, query: str) -> list[Row]:
    connection = driver().connect(f"file:{path}?mode=ro", uri=True)
    try:
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        connection.close()


async def _of_postgresql(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        found: list[asyncpg.Record] = await connection.fetch(query)
        return found
    finally:
        await connection.close()
