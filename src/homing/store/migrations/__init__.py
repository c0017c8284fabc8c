"""The schema's history, run at start-up. The first version was written from `store.tables`."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from homing.store.dialect import on_postgresql

_LOCK = 0x686F6D696E67
"""Any number will do, as long as every node takes the same."""


class NewerSchema(Exception):  # noqa: N818 - it says what is the case
    """A newer version has changed the tables: this version cannot read them, and there is no downgrade."""


def upgrade(conn: sa.Connection, revision: str = "head") -> None:
    """Bring the schema to the newest version, or that one, in the running transaction. Raises `NewerSchema`."""
    if on_postgresql(conn):
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    config = _config(conn)
    _refuse_newer(conn, config)
    command.upgrade(config, revision)


def _refuse_newer(conn: sa.Connection, config: Config) -> None:
    found = MigrationContext.configure(conn).get_current_heads()
    history = ScriptDirectory.from_config(config)
    known = {script.revision for script in history.walk_revisions()} if found else set()
    for revision in set(found) - known:
        raise NewerSchema(
            f"the database has schema {revision}, and this version of Homing knows those up to "
            f"{history.get_current_head()}: start the newer version again, or restore a backup that is older than it"
        )


def _config(conn: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    return config
