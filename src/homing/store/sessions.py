"""Sessions of browsers on the pages, one row each until it ends."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from homing.store import tables, tidy

_T = tables.session


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`hash`: of what the cookie holds; `key_hash`: of the API key that it was opened with."""

    hash: str
    key_hash: str
    started_at: datetime
    expires_at: datetime


def begin(conn: sa.Connection, session: Session) -> None:
    conn.execute(_T.insert(), {name: getattr(session, name) for name in Session.__dataclass_fields__})


def key_of(conn: sa.Connection, session_hash: str, now: datetime) -> str | None:
    """The hash of the key that opened a session; None: there is no such session any more."""
    query = sa.select(_T.c.key_hash).where(_T.c.hash == session_hash, _T.c.expires_at > now)
    return conn.execute(query).scalar()


def end(conn: sa.Connection, session_hash: str) -> None:
    conn.execute(_T.delete().where(_T.c.hash == session_hash))


def forget(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Erase sessions that are over."""
    return tidy.forget(conn, _T, _T.c.expires_at <= now, limit)
