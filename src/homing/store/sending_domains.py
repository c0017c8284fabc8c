"""Organizations' own domains: what is known of their records, and when the DNS is asked again."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from homing.loop.domains.sending_domains import RecordFact, RecordPurpose, RecordState, SendingDomain, return_domain_of
from homing.loop.model import NewEvent, OrganizationId
from homing.store import tables
from homing.store.dialect import insert
from homing.store.events import Happening, Subject, append
from homing.store.ids import earliest
from homing.store.room import require_room

MOST = 100
"""Domains of an organization."""
MOST_EVER = 1000
"""The same with those that it has removed, to which bounces come still: every process knows them all."""

_T = tables.sending_domain
_THERE = _T.c.removed_at.is_(None)


def add(conn: sa.Connection, domain: SendingDomain) -> bool:
    """False when the organization has it already. One that was removed comes back, and is proved anew. Raises
    LimitReached."""
    if get(conn, domain.organization, domain.domain) is not None:
        return False
    require_room(conn, _T, domain.organization, MOST, _THERE)
    known = sa.select(_T.c.id).where(_T.c.organization == domain.organization, _T.c.domain == domain.domain)
    if conn.execute(known).first() is None:
        require_room(conn, _T, domain.organization, MOST_EVER)
    row = _row(domain)
    placed = insert(conn, _T).values(row)
    again = {
        name: row[name] for name in ("facts", "signing", "created_at", "checked_at", "next_check_at", "removed_at")
    }
    result = conn.execute(
        placed.on_conflict_do_update(
            index_elements=["organization", "domain"], set_=again, where=_T.c.removed_at.is_not(None)
        ).returning(_T.c.id)
    )
    return result.first() is not None


def list_all(conn: sa.Connection, organization: OrganizationId) -> list[SendingDomain]:
    query = _T.select().where(_T.c.organization == organization, _THERE).order_by(_T.c.domain)
    return [_domain(row) for row in conn.execute(query).mappings()]


def get(conn: sa.Connection, organization: OrganizationId, domain: str) -> SendingDomain | None:
    query = _T.select().where(_T.c.organization == organization, _T.c.domain == domain, _THERE)
    row = conn.execute(query).mappings().first()
    return None if row is None else _domain(row)


def return_domains(conn: sa.Connection, since: datetime) -> frozenset[str]:
    """The domains of envelope senders that may be in use, of domains that were first added since then: of removed ones
    too, to which bounces come still."""
    query = sa.select(_T.c.domain).where(_T.c.id >= earliest(since))
    return frozenset(return_domain_of(domain) for domain in conn.scalars(query))


def take_due(conn: sa.Connection, now: datetime, limit: int, lease: timedelta) -> list[SendingDomain]:
    """Domains due to be checked, longest due first; no other worker gets them within `lease`."""
    due = _T.select().where(_THERE, _T.c.next_check_at <= now).order_by(_T.c.next_check_at).limit(limit)
    found = [_domain(row) for row in conn.execute(due.with_for_update(skip_locked=True)).mappings()]
    if found:
        taken = _T.update().where(_T.c.id.in_([one.id for one in found]))
        conn.execute(taken.values(next_check_at=now + lease))
    return found


def record(conn: sa.Connection, before: SendingDomain, after: SendingDomain, events: Iterable[NewEvent]) -> bool:
    """Store the result of a check. False if the domain was checked or removed meanwhile: then nothing is written, so
    that one answer never counts twice."""
    row = {name: _row(after)[name] for name in ("facts", "signing", "checked_at", "next_check_at")}
    same = _T.c.checked_at.is_not_distinct_from(before.checked_at)
    written = conn.execute(_T.update().where(_T.c.id == before.id, _THERE, same).values(row))
    if written.rowcount != 1:
        return False
    subject = Subject(organization=after.organization)
    moment = after.checked_at
    assert moment is not None
    append(conn, [Happening(subject=subject, event=event, at=moment) for event in events])
    return True


def set_own_recipients(conn: sa.Connection, organization: OrganizationId, domain: str, value: bool) -> bool:
    mine = (_T.c.organization == organization, _T.c.domain == domain, _THERE)
    return conn.execute(_T.update().where(*mine).values(own_recipients=value)).rowcount == 1


def remove(conn: sa.Connection, organization: OrganizationId, domain: str, now: datetime) -> bool:
    """Remove the domain: nothing more goes out from it, but bounces to it are still taken."""
    mine = (_T.c.organization == organization, _T.c.domain == domain, _THERE)
    return conn.execute(_T.update().where(*mine).values(removed_at=now, signing=None)).rowcount == 1


def _row(domain: SendingDomain) -> dict[str, Any]:
    row = {name: getattr(domain, name) for name in _T.c.keys()}  # noqa: SIM118 - a column collection
    row["facts"] = {purpose.value: _fact_to_json(fact) for purpose, fact in domain.facts.items()}
    row["signing"] = domain.signing.value if domain.signing else None
    return row


def _domain(row: sa.RowMapping) -> SendingDomain:
    known = dict(row)
    known["facts"] = {RecordPurpose(name): _fact_from_json(fact) for name, fact in known["facts"].items()}
    known["signing"] = RecordPurpose(known["signing"]) if known["signing"] else None
    return SendingDomain(**known)


def _fact_to_json(fact: RecordFact) -> dict[str, Any]:
    return {
        "state": fact.state.value,
        "held": fact.held,
        "lost": fact.lost,
        "good": fact.good,
        "bad": fact.bad,
        "bad_at": fact.bad_at.isoformat() if fact.bad_at else None,
        "checked_at": fact.checked_at.isoformat() if fact.checked_at else None,
        "query": fact.query,
        "server": fact.server,
        "answer": fact.answer,
    }


def _fact_from_json(document: Mapping[str, Any]) -> RecordFact:
    moments = {
        name: datetime.fromisoformat(document[name]) if document.get(name) else None
        for name in ("bad_at", "checked_at")
    }
    return RecordFact(**{**document, "state": RecordState(document["state"]), **moments})
