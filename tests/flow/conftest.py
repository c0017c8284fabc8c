"""What the rooms of `flow` stand on: a fresh store on SQLite, a clock that the test holds, the lab's DNS."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homing.lab.dns import DnsServer
from homing.store.database import Database
from tests.flow.deliver.scene import Clock


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store to copy: migrating takes longer than most of these tests."""
    file = tmp_path_factory.mktemp("store") / "homing.db"

    async def migrate() -> None:
        database = Database.open(f"sqlite:///{file}", durable=False)
        await database.start()
        await database.migrate()
        await database.close()

    asyncio.run(migrate())
    return file


@pytest.fixture
async def database(tmp_path: Path, migrated: Path) -> AsyncIterator[Database]:
    file = shutil.copy(migrated, tmp_path / "homing.db")
    database = Database.open(f"sqlite:///{file}", durable=False)
    await database.start()
    yield database
    await database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    """The one server of the zone `example`, and the one resolver."""
    server = DnsServer()
    await server.start()
    server.publish("example", "NS ns.lab")
    server.publish("ns.lab", "A 127.0.0.1")
    yield server
    await server.close()
