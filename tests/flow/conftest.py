"""What the rooms of `flow` stand on: a fresh store on SQLite, a clock that the test holds, the lab's DNS."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homing.lab.dns import DnsServer
from homing.store.database import Database
from tests.flow.deliver.scene import Clock


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'homing.db'}", durable=False)
    await database.start()
    await database.migrate()
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
