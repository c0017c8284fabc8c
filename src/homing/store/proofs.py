"""Proofs that an address is a human sender's or an administrator's: tokens on their way, and how many a day may be."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from homing.loop.budget import OverBudget
from homing.loop.model import HumanSenderId, OrganizationId
from homing.mail.address import mailbox_of
from homing.store import human_senders, organizations, tables
from homing.store.budgets import lock
from homing.store.dialect import insert
from homing.store.ids import day_of

A_DAY = 3
"""Letters a day (UTC) to one mailbox, whichever organization asks for them and however it spells the address."""
OF_ORGANIZATION = 200
"""Letters a day that one organization may have sent. Whoever moves in with more people attests their addresses."""

_T = tables.proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A one-time token on its way to an address; we keep only its hash (SHA-256, hex). `human_sender` None: it is for
    the administrator of the organization."""

    token_hash: str
    organization: OrganizationId
    human_sender: HumanSenderId | None
    address: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


def create(conn: sa.Connection, proof: Proof) -> OverBudget | None:
    """The budget that is used up for today; then there is no proof."""
    day = day_of(proof.created_at)
    row = {
        "token_hash": proof.token_hash,
        "organization": proof.organization,
        "human_sender": proof.human_sender,
        "address": proof.address.lower(),
        "mailbox": mailbox_of(proof.address),
        "day": day,
        "created_at": proof.created_at,
        "expires_at": proof.expires_at,
    }
    lock(conn)
    of_organization = sa.select(sa.func.count()).where(_T.c.organization == proof.organization, _T.c.day == day)
    if (conn.scalar(of_organization) or 0) >= OF_ORGANIZATION:
        return OverBudget(name="proof-organization", why=f"the organization has had {OF_ORGANIZATION} sent today")
    # Of two concurrent requests, one meets the unique (mailbox, day, number) and takes the next number.
    for number in range(1, A_DAY + 1):
        place = insert(conn, _T).values({**row, "number": number})
        free = place.on_conflict_do_nothing(index_elements=["mailbox", "day", "number"]).returning(_T.c.number)
        if conn.execute(free).first() is not None:
            return None
    return OverBudget(name="proof-person", why=f"{proof.address} has had {A_DAY} today")


def usable(conn: sa.Connection, token_hash: str, now: datetime) -> Proof | None:
    """The proof behind a token that can still be used. Looking does not use it."""
    columns = [_T.c[name] for name in Proof.__dataclass_fields__]
    row = conn.execute(sa.select(*columns).where(_T.c.token_hash == token_hash, *_usable(now))).mappings().first()
    return None if row is None else Proof(**row)


def use(conn: sa.Connection, token_hash: str, now: datetime) -> Proof | None:
    """The address is proved: once, and only for whoever still has it."""
    columns = [_T.c[name] for name in Proof.__dataclass_fields__]
    used = _T.update().where(_T.c.token_hash == token_hash, *_usable(now)).values(used_at=now).returning(*columns)
    row = conn.execute(used).mappings().first()
    if row is None:
        return None
    proof = Proof(**row)
    if proof.human_sender is None:
        return proof if organizations.prove_administrator(conn, proof.organization, proof.address, now) else None
    human_sender = human_senders.get(conn, proof.organization, proof.human_sender)
    if human_sender is None or human_sender.address.lower() != proof.address:
        return None
    human_senders.prove(conn, human_sender.organization, human_sender.id, now)
    return proof


def _usable(now: datetime) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return _T.c.used_at.is_(None), _T.c.expires_at > now
