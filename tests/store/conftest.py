"""One suite on both databases: `database` is a fresh, migrated one of each kind."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from homing.store.database import Database
from tests.migrated import migrated_database
from tests.postgres import Cluster, cluster

__all__ = ["cluster"]


@pytest.fixture(scope="session")
def templates(cluster: Cluster) -> Iterator[list[str]]:
    """Migrated databases to copy: one, made when it is first wanted."""
    made: list[str] = []
    yield made
    for name in made:
        asyncio.run(cluster.execute(f"DROP DATABASE {name}"))


async def _template(cluster: Cluster, made: list[str]) -> str:
    if not made:
        name = f"homing_template_{uuid4().hex}"
        await cluster.execute(f"CREATE DATABASE {name}")
        made.append(name)
        database = Database.open(cluster.named(name), durable=False)
        await database.start()
        await database.migrate()
        await database.close()
    return made[0]


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Of a fresh, migrated database."""
    async with empty_store(request.param, request, tmp_path) as url:
        yield url


@asynccontextmanager
async def empty_store(kind: str, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[str]:
    """The URL of a fresh, migrated database of that kind."""
    if kind == "sqlite":
        yield f"sqlite:///{await migrated_database(folder / 'homing.db')}"
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(
            cluster.database(await _template(cluster, request.getfixturevalue("templates")))
        )


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database.open(url, durable=False)
    await database.start()
    yield database
    await database.close()
