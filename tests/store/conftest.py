"""One suite on both databases: `database` is a fresh, migrated one of each kind."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from homing.store.database import Database
from tests.postgres import Cluster, cluster

__all__ = ["cluster"]

_templates: dict[str, str] = {}


async def _template(cluster: Cluster) -> str:
    """A migrated database to copy, made once a worker."""
    if cluster.url not in _templates:
        name = f"homing_template_{os.getpid()}"
        await cluster.execute(f"CREATE DATABASE {name}")
        database = Database.open(cluster.named(name), durable=False)
        await database.start()
        await database.migrate()
        await database.close()
        _templates[cluster.url] = name
    return _templates[cluster.url]


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Of a fresh, migrated database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'homing.db'}"
        database = Database.open(url, durable=False)
        await database.start()
        await database.migrate()
        await database.close()
        yield url
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(cluster.database(await _template(cluster)))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database.open(url, durable=False)
    await database.start()
    yield database
    await database.close()
