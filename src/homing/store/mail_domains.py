"""Domains that took mail lately, and since when the DNS denies it: what worked yesterday is not given up at once."""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa

from homing.loop.retry import TOOK_MAIL_WITHIN
from homing.store import tables
from homing.store.dialect import insert
from homing.store.tidy import forget

_T = tables.mail_domain
_DENIAL_COUNTS_FOR = timedelta(days=7)
"""After that the zone may have been mended in between, and nobody noticed since no server took anything."""
_NOTED_EVERY = timedelta(days=1)
"""So that a large receiver's row is not written, and locked, for each message."""


def took_mail(conn: sa.Connection, domains: Collection[str], now: datetime) -> None:
    """Note that servers of these domains have taken a message."""
    known = sa.select(_T.c.domain).where(
        _T.c.domain.in_(domains), _T.c.taken_at > now - _NOTED_EVERY, _T.c.denied_since.is_(None)
    )
    new = sorted(set(domains) - set(conn.execute(known).scalars()))
    if not new:
        return
    rows = [{"domain": domain, "taken_at": now, "denied_since": None} for domain in new]
    note = insert(conn, _T)
    conn.execute(
        note.on_conflict_do_update(
            index_elements=[_T.c.domain], set_={"taken_at": note.excluded.taken_at, "denied_since": None}
        ),
        rows,
    )


def denied_since(conn: sa.Connection, domain: str, now: datetime) -> datetime | None:
    """The moment from which on the DNS has denied the domain, now at the latest. None: it has taken no mail lately."""
    lately = (_T.c.domain == domain, _T.c.taken_at > now - TOOK_MAIL_WITHIN)
    row = conn.execute(sa.select(_T.c.denied_since).where(*lately).with_for_update()).first()
    if row is None:
        return None
    since: datetime | None = row.denied_since
    if since is not None and now - since < _DENIAL_COUNTS_FOR:
        return min(since, now)
    conn.execute(_T.update().where(*lately).values(denied_since=now))
    return now


def forget_domains(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Erase what was noted too long ago to count."""
    return forget(conn, _T, _T.c.taken_at <= now - TOOK_MAIL_WITHIN, limit)
