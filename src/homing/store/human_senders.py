"""Human senders, and the proof that an address is theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from homing.loop.model import HumanSenderId, OrganizationId
from homing.store import tables
from homing.store.dialect import insert
from homing.store.ids import day_of

PROOFS_PER_DAY = 3
"""Letters a day to one address, whichever organization asks for them."""

_AT_ONCE = 200
_ATTESTED = ("attested_at", "attested_key", "attested_key_name", "attested_note")
_T = tables.human_sender
_PROOF = tables.proof


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A one-time token on its way to an address; we keep only its hash (SHA-256, hex)."""

    token_hash: str
    organization: OrganizationId
    human_sender: HumanSenderId
    address: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


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


def list_all(conn: sa.Connection, organization: OrganizationId) -> list[HumanSender]:
    query = _T.select().where(_T.c.organization == organization).order_by(_T.c.address)
    return [_human_sender(row) for row in conn.execute(query).mappings()]


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
        first = {name: sa.func.coalesce(_T.c[name], fresh[name]) for name in ("proved_at", *_ATTESTED)}
        query = place.on_conflict_do_update(index_elements=["organization", "address"], set_=first).returning(_T.c.id)
        made += len({one.id for one in some} & set(conn.scalars(query)))
    return made


# -- proofs ----------------------------------------------------------------------------------------------------------


def create_proof(conn: sa.Connection, proof: Proof) -> bool:
    """False when the address has had its letters for today."""
    folded, day = proof.address.lower(), day_of(proof.created_at)
    row = {
        "token_hash": proof.token_hash,
        "organization": proof.organization,
        "human_sender": proof.human_sender,
        "address": folded,
        "day": day,
        "created_at": proof.created_at,
        "expires_at": proof.expires_at,
    }
    # Of two concurrent requests, one meets the unique (address, day, number) and takes the next number.
    for number in range(1, PROOFS_PER_DAY + 1):
        place = insert(conn, _PROOF).values({**row, "number": number})
        free = place.on_conflict_do_nothing(index_elements=["address", "day", "number"]).returning(_PROOF.c.number)
        if conn.execute(free).first() is not None:
            return True
    return False


def open_proof(conn: sa.Connection, token_hash: str, now: datetime) -> Proof | None:
    """The proof behind a token that can still be used. Looking does not use it."""
    columns = [_PROOF.c[name] for name in Proof.__dataclass_fields__]
    query = sa.select(*columns).where(_PROOF.c.token_hash == token_hash, *_usable(now))
    row = conn.execute(query).mappings().first()
    return None if row is None else Proof(**row)


def use_proof(conn: sa.Connection, token_hash: str, now: datetime) -> HumanSender | None:
    """The address is proved: once, and only for the human sender that still has it."""
    used = (
        _PROOF.update()
        .where(_PROOF.c.token_hash == token_hash, *_usable(now))
        .values(used_at=now)
        .returning(_PROOF.c.organization, _PROOF.c.human_sender, _PROOF.c.address)
    )
    proof = conn.execute(used).first()
    if proof is None:
        return None
    human_sender = get(conn, proof.organization, proof.human_sender)
    if human_sender is None or human_sender.address.lower() != proof.address:
        return None
    prove(conn, human_sender.organization, human_sender.id, now)
    return get(conn, human_sender.organization, human_sender.id)


def _usable(now: datetime) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return _PROOF.c.used_at.is_(None), _PROOF.c.expires_at > now


def _fields(human_sender: HumanSender) -> dict[str, Any]:
    row = {name: getattr(human_sender, name) for name in _T.c.keys() if name not in _ATTESTED}  # noqa: SIM118 - columns
    given = human_sender.attestation
    told = (None,) * 4 if given is None else (given.at, given.key, given.key_name, given.note)
    return row | dict(zip(_ATTESTED, told, strict=True))


def _human_sender(row: sa.RowMapping) -> HumanSender:
    given = None
    if row["attested_at"] is not None:
        at, key, key_name, note = (row[name] for name in _ATTESTED)
        given = Attestation(at=at, key=key, key_name=key_name, note=note)
    return HumanSender(**{name: row[name] for name in row if name not in _ATTESTED}, attestation=given)


def _one(conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> HumanSender | None:
    row = conn.execute(_T.select().where(*conditions)).mappings().first()
    return None if row is None else _human_sender(row)
