"""The way to the database: group commit, isolation of culprits, durability, one process per file."""

import asyncio
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from homing.store.database import Database
from homing.store.lock import AlreadyOpen
from homing.store.migrations import upgrade
from homing.store.postgres import NotDurable
from homing.store.tables import metadata


async def test_the_migrated_schema_is_the_schema(database: Database) -> None:
    def differences(conn: sa.Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(conn, opts={"compare_server_default": False}), metadata)

    assert await database.read(differences) == []
