"""A copy of the whole database as of one moment, while others write."""

import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from homing.loop.store_mark import StoreMark
from homing.store.sqlite import driver

_PAGES = 2048
"""Copied at a time, between two calls of `told`."""

Told = Callable[[int, int], None]
"""Is told how much has been copied, and how much there is in all."""


class BackupFailed(Exception):  # noqa: N818 - it says what is the case
    """The copy is not whole."""


def copy_sqlite(source: Path, target: Path, told: Told) -> StoreMark:
    """Copy the file to one that is whole by itself; returns the mark in it. Nobody waits for the copy:
    it reads one snapshot, which the write-ahead log keeps meanwhile. Raises BackupFailed."""
    module = driver()
    try:
        with (
            closing(module.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)) as whole,
            closing(module.connect(target, isolation_level=None)) as copy,
        ):
            whole.execute("PRAGMA query_only=1")
            whole.execute("PRAGMA wal_autocheckpoint=0")
            whole.execute("BEGIN")
            whole.execute("SELECT 1 FROM sqlite_master").fetchone()  # from here on it is one snapshot
            whole.backup(copy, pages=_PAGES, progress=lambda _, left, pages: told(pages - left, pages))
            copy.execute("PRAGMA journal_mode=DELETE")
            [found] = copy.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise BackupFailed(f"the database is damaged: {found}")
            return _mark_in(copy)
    except module.Error as error:
        raise BackupFailed(str(error)) from None


def dump_postgresql(url: str, target: Path) -> None:
    """Dump with the server's own `pg_dump`, which reads one snapshot. The password is handed over in the environment,
    which other users do not see. Raises BackupFailed."""
    place = sa.make_url(url)
    query = {"sslmode" if name == "ssl" else name: value for name, value in place.query.items()}  # libpq's word for it
    where = sa.URL.create("postgresql", place.username, None, place.host, place.port, place.database, query)
    password = {"PGPASSWORD": place.password} if place.password else {}
    command = ["pg_dump", "--format=custom", "--no-owner", f"--file={target}", f"--dbname={where.render_as_string()}"]
    try:
        ended = subprocess.run(command, env=os.environ | password, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    except FileNotFoundError:
        raise BackupFailed("there is no pg_dump here: install PostgreSQL's client of the server's version") from None
    if ended.returncode != 0:
        raise BackupFailed(ended.stderr.strip() or f"pg_dump ended with code {ended.returncode}")


def _mark_in(copy: Any) -> StoreMark:
    """The first there is, where the tables are of an older version, which had none."""
    there = copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'store_mark'").fetchone()
    return StoreMark(*copy.execute("SELECT generation, mark FROM store_mark").fetchone()) if there else StoreMark(0, 0)
