"""The schema's history, run at start-up. The first version was written from `store.tables`."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from homing.store.dialect import on_postgresql

_LOCK = 0x686F6D696E67
"""Any number will do, as long as every node takes the same."""


def upgrade(conn: sa.Connection, revision: str = "head") -> None:
    """Bring the schema to the newest version, or that one, in the running transaction."""
    if on_postgresql(conn):
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    command.upgrade(_config(conn), revision)


def _config(conn: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    return config
