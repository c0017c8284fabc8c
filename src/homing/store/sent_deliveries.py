"""The facts about a delivery that are needed to process mail returned for it."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from homing.loop.model import Delivery, DeliveryId, MessageId
from homing.store import tables
from homing.store.json_documents import identity_from_json
from homing.store.rows import DELIVERY, to_delivery

_D = tables.delivery
_M = tables.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A delivery with what its message bore, and its stream. `reply_to` is where answers should have gone."""

    delivery: Delivery
    message_id: str
    subject: str
    human_sender_name: str
    stream: str
    reply_to: str | None


def by_delivery(conn: sa.Connection, delivery: DeliveryId) -> Sent | None:
    return _one(conn, _D.c.id == delivery)


def by_recipient(conn: sa.Connection, message: MessageId, address: str) -> Sent | None:
    """The delivery of that message to that address, in whatever case it is written."""
    return _one(conn, _D.c.message == message, sa.func.lower(_D.c.recipient) == address.lower())


def has_message(conn: sa.Connection, message: MessageId) -> bool:
    return conn.execute(sa.select(_M.c.id).where(_M.c.id == message)).first() is not None


def _one(conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> Sent | None:
    query = (
        sa.select(*DELIVERY, _D.c.identity, _M.c.message_id, _M.c.subject, _M.c.human_sender_name, _M.c.stream)
        .join_from(_D, _M, _M.c.id == _D.c.message)
        .where(*conditions)
        .order_by(_D.c.id)
        .limit(1)
    )
    row = conn.execute(query).mappings().first()
    return None if row is None else _sent(row)


def _sent(row: Any) -> Sent:
    return Sent(
        delivery=to_delivery(row),
        message_id=row["message_id"],
        subject=row["subject"],
        human_sender_name=row["human_sender_name"],
        stream=row["stream"],
        reply_to=identity_from_json(row["identity"]).reply_to,
    )
