"""A delivery as it was, for sending its message again to a corrected address."""

from dataclasses import dataclass

import sqlalchemy as sa

from homing.loop.model import DeliveryId, HumanSenderId, Identity, MessageId, OrganizationId, Origin, Role, State
from homing.store import tables
from homing.store.json_documents import identity_from_json

_D = tables.delivery
_M = tables.message
_C = tables.message_content


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """`content` None: erased after its retention time."""

    delivery: DeliveryId
    organization: OrganizationId
    recipient: str
    role: Role
    phone: str | None
    state: State
    origin: Origin
    identity: Identity
    stream: str
    human_sender: HumanSenderId | None
    human_sender_name: str
    human_sender_address: str
    application_user: str | None
    subject: str
    failure_policy: str
    metadata: dict[str, str]
    content: bytes | None


def original(conn: sa.Connection, organization: OrganizationId, delivery: DeliveryId) -> Original | None:
    """None when the organization has no such delivery."""
    query = (
        sa.select(_D.c.recipient, _D.c.role, _D.c.phone, _D.c.state, _D.c.identity, _M, _C.c.content)
        .join_from(_D, _M, _M.c.id == _D.c.message)
        .outerjoin(_C, _C.c.message == _M.c.id)
        .where(_D.c.id == delivery, _D.c.organization == organization)
    )
    row = conn.execute(query).mappings().first()
    if row is None:
        return None
    return Original(
        delivery=delivery,
        organization=organization,
        recipient=row["recipient"],
        role=Role(row["role"]),
        phone=row["phone"],
        state=State(row["state"]),
        origin=Origin(row["origin"]),
        identity=identity_from_json(row["identity"]),
        stream=row["stream"],
        human_sender=row["human_sender"],
        human_sender_name=row["human_sender_name"],
        human_sender_address=row["human_sender_address"],
        application_user=row["application_user"],
        subject=row["subject"],
        failure_policy=row["failure_policy"],
        metadata=row["metadata"],
        content=row["content"],
    )


def kept(conn: sa.Connection, message: MessageId) -> bool:
    """Whether what a message says is still there, so that it can be sent again."""
    return conn.execute(sa.select(sa.exists().where(_C.c.message == message))).scalar_one()
