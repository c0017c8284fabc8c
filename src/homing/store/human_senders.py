"""Human senders, and on whose word an address is theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from homing.loop.model import HumanSenderId, OrganizationId
from homing.store import tables
from homing.store.dialect import insert

_AT_ONCE = 200
ATTESTED = ("attested_at", "attested_key", "attested_key_name", "attested_note")
"""The columns of an attestation."""

_T = tables.human_sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """On whose word an address counts as its human sender's: with which key of the operator's, and what he noted."""

    at: datetime
    key: UUID
    key_name: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanSender:
    """The person on whose behalf mail goes out. `address` has its domain as lower-case A-label; `application_user` is
    the application's own id of this person. `proved_at`: since when the address is known to be his, from a click of its
    owner's or from the operator's word (`attestation`)."""

    id: HumanSenderId
    organization: OrganizationId
    name: str
    address: str
    created_at: datetime
    application_user: str | None = None
    phone: str | None = None
    proved_at: datetime | None = None
    attestation: Attestation | None = None


def create(conn: sa.Connection, human_sender: HumanSender) -> bool:
    """False when the organization already has a human sender with this address."""
    created = conn.execute(insert(conn, _T).values(_fields(human_sender)).on_conflict_do_nothing().returning(_T.c.id))
    return created.first() is not None


def get(conn: sa.Connection, organization: OrganizationId, human_sender: HumanSenderId) -> HumanSender | None:
    return _one(conn, _T.c.organization == organization, _T.c.id == human_sender)


def by_id(conn: sa.Connection, human_sender: HumanSenderId) -> HumanSender | None:
    """The human sender that a live stream token names. The token is the pass, so no organization is asked for."""
    return _one(conn, _T.c.id == human_sender)


def by_address(conn: sa.Connection, organization: OrganizationId, address: str) -> HumanSender | None:
    return _one(conn, _T.c.organization == organization, _T.c.address == address)


def proved(conn: sa.Connection, organization: OrganizationId, limit: int) -> list[str]:
    """Which of its first `limit` addresses are proved."""
    mine = sa.select(_T.c.address, _T.c.proved_at).where(_T.c.organization == organization)
    some = mine.order_by(_T.c.address).limit(limit).subquery()
    return list(conn.scalars(sa.select(some.c.address).where(some.c.proved_at.is_not(None))))


def list_page(
    conn: sa.Connection, organization: OrganizationId, *, address: str | None = None, after: str = "", limit: int = 100
) -> list[HumanSender]:
    """In the order of their addresses, behind the address `after`. `address`: only whose address is this one, whichever
    case it is written in."""
    query = _T.select().where(_T.c.organization == organization, _T.c.address > after)
    if address is not None:
        query = query.where(sa.func.lower(_T.c.address) == address.lower())
    return [_human_sender(row) for row in conn.execute(query.order_by(_T.c.address).limit(limit)).mappings()]


def replace(conn: sa.Connection, human_sender: HumanSender) -> bool:
    """Replace name, application user and phone; the address, the identity of the person, stays as it is."""
    query = _T.update().where(_T.c.organization == human_sender.organization, _T.c.id == human_sender.id)
    values = {"name": human_sender.name, "application_user": human_sender.application_user, "phone": human_sender.phone}
    return conn.execute(query.values(values)).rowcount == 1


def prove(conn: sa.Connection, organization: OrganizationId, human_sender: HumanSenderId, now: datetime) -> bool:
    """The owner of the address has proved it. An attestation stays on record."""
    query = _T.update().where(_T.c.organization == organization, _T.c.id == human_sender)
    return conn.execute(query.values(proved_at=now)).rowcount == 1


def attest(conn: sa.Connection, people: Sequence[HumanSender]) -> int:
    """Record addresses as proved on the operator's word, each with its attestation; returns how many people are new.

    Who is there already, with the same address in the same organization, keeps name, application user and phone,
    and the record of the first word.
    """
    made = 0
    for start in range(0, len(people), _AT_ONCE):
        some = people[start : start + _AT_ONCE]
        place = insert(conn, _T).values([_fields(one) for one in some])
        fresh = place.excluded
        first = {name: sa.func.coalesce(_T.c[name], fresh[name]) for name in ("proved_at", *ATTESTED)}
        query = place.on_conflict_do_update(index_elements=["organization", "address"], set_=first).returning(_T.c.id)
        made += len({one.id for one in some} & set(conn.scalars(query)))
    return made


def attestation_in(given: Attestation | None, columns: Sequence[str] = ATTESTED) -> dict[str, Any]:
    """An attestation as four columns hold it."""
    told = (None,) * 4 if given is None else (given.at, given.key, given.key_name, given.note)
    return dict(zip(columns, told, strict=True))


def attestation_of(row: sa.RowMapping, columns: Sequence[str] = ATTESTED) -> Attestation | None:
    """The attestation that four columns of a row hold."""
    at, key, key_name, note = (row[name] for name in columns)
    return None if at is None else Attestation(at=at, key=key, key_name=key_name, note=note)


def _fields(human_sender: HumanSender) -> dict[str, Any]:
    row = {name: getattr(human_sender, name) for name in _T.c.keys() if name not in ATTESTED}  # noqa: SIM118 - columns
    return row | attestation_in(human_sender.attestation)


def _human_sender(row: sa.RowMapping) -> HumanSender:
    known = {name: row[name] for name in row if name not in ATTESTED}
    return HumanSender(**known, attestation=attestation_of(row))


def _one(conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> HumanSender | None:
    row = conn.execute(_T.select().where(*conditions)).mappings().first()
    return None if row is None else _human_sender(row)
