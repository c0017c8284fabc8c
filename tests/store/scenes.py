"""Scenes for the store's tests: an organization, messages of it, and what the world says of them."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from homing.loop.evidence import Answered, ReportAction, Reported, Unanswered, What
from homing.loop.ids import new_id
from homing.loop.model import CaseId, Delivery, Identity, Level, Origin, State, Strength, Verdict
from homing.loop.queue import Line, Places
from homing.mail.reply import Reply, Stage
from homing.store import accepted_messages, actions, cases, claims, deliveries, inbound_claims, organizations, tables
from homing.store.accepted_messages import AcceptedMessage, Idempotency, NewDelivery, NewMessage
from homing.store.actions import Action
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.deliveries import OpenAttempt
from homing.store.inbound import Inbound, InboundQueue, InboundQuota
from homing.store.organizations import Organization
from homing.store.record import AttemptResult, DeliveryEvidence

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
QUOTA = InboundQuota()
LEASE = timedelta(minutes=3)
MINUTE = timedelta(minutes=1)

IDENTITY = Identity(
    level=Level.SHARED,
    header_from="message-service@post.example",
    display_name="Joe Bloggs",
    reply_to="joe@bloggs.example",
    return_domain="b.post.example",
    sending_domain="post.example",
    reasons=("nothing stronger is proved",),
)
NO_SUCH_USER = Verdict(
    failure_class="no_such_user", kind="hard", rule="550-5.1.1", reply_code=550, enhanced_status_code="5.1.1"
)


def fresh(now: datetime = NOW) -> Any:
    return new_id(now, os.urandom(10))


async def an_organization(database: Database, **settings: Any) -> Organization:
    given = {"name": f"crm-{os.urandom(4).hex()}", "display_name": "CRM", "daily_cap": 10_000} | settings
    organization = Organization(id=fresh(), created_at=NOW, **given)
    assert await database.write(organizations.create, organization)
    return organization


def a_submission(
    organization: Organization,
    *recipients: str,
    key: str | None = None,
    payload: str = "p",
    now: datetime = NOW,
    **fields: Any,
) -> AcceptedMessage:
    """`fields` that a delivery has go to the deliveries, the others to the message."""
    of_delivery = {name: fields.pop(name) for name in list(fields) if name in NewDelivery.__dataclass_fields__}
    message = NewMessage(
        **{
            "id": fresh(now),
            "organization": organization.id,
            "origin": Origin.API,
            "stream": "default",
            "human_sender": None,
            "human_sender_name": "Janet",
            "human_sender_address": "janet@example.com",
            "subject": "Your call",
            "message_id": "1@post.example",
            "content": b"Subject: Your call\r\n\r\nHello\r\n",
            "created_at": now,
            **fields,
        }
    )
    each = [
        NewDelivery(
            **{
                "id": fresh(now),
                "recipient": recipient,
                "recipient_domain": recipient.rpartition("@")[2],
                "identity": IDENTITY,
                "expires_at": now + timedelta(days=5),
                **of_delivery,
            }
        )
        for recipient in recipients or ("john@example.net",)
    ]
    idempotency = Idempotency(key=key, payload_hash=payload) if key else None
    return AcceptedMessage(
        message=message, deliveries=tuple(each), idempotency=idempotency, respond=lambda _: f"accepted {message.id.hex}"
    )


async def submitted(database: Database, organization: Organization, *recipients: str, **fields: Any) -> AcceptedMessage:
    acceptance = a_submission(organization, *recipients, **fields)
    answer = await database.write_grouped(accepted_messages.add, acceptance)
    assert isinstance(answer, accepted_messages.Added)
    return acceptance


async def claimed(
    database: Database, owner: str = "worker", now: datetime = NOW, limit: int = 100
) -> list[ClaimedDelivery]:
    claim = await database.write(claims.claim, owner, now, Places(limit), LEASE)
    return list(claim.deliveries)


async def claimed_actions(database: Database, now: datetime = NOW, places: int = 500) -> list[Action]:
    """What a worker gets that has so many places for actions of each line."""
    lines = {Line.CALLS: Places(places), Line.WRITING: Places(places)}
    claim = await database.write(actions.claim, now, lines, LEASE)
    return [action for action, _ in claim.actions]


async def claimed_mail(
    database: Database, queue: InboundQueue, now: datetime = NOW, places: int = 100
) -> list[Inbound]:
    """What a worker gets that has so many places for mail of a queue."""
    claim = await database.write(inbound_claims.claim, queue, now, Places(places), LEASE)
    return [mail for mail, _ in claim.mails]


async def attempted(database: Database, one: ClaimedDelivery, now: datetime = NOW) -> OpenAttempt:
    attempt = OpenAttempt(
        id=fresh(),
        delivery=one.delivery.id,
        epoch=one.delivery.epoch,
        started_at=now,
        host="mx.example.net",
        ip="192.0.2.1",
        selector="s1",
        signed_at=now,
    )
    assert await database.write_grouped(deliveries.begin_attempts, attempt)
    return attempt


def answered(
    one: ClaimedDelivery, attempt: OpenAttempt | None, code: int = 250, stage: Stage = Stage.DOT, now: datetime = NOW
) -> DeliveryEvidence:
    reply = Reply.of(code, {250: "2.0.0 ok", 550: "5.1.1 no such user", 450: "4.2.0 later"}[code])
    verdict = NO_SUCH_USER if code == 550 else Verdict(failure_class="", kind="none", rule="")
    result = AttemptResult(
        id=attempt.id if attempt else None,
        started_at=now,
        stage=stage,
        host="mx.example.net",
        reply=reply,
        verdict=verdict,
    )
    evidence = Answered(stage=stage, reply=reply, host="mx.example.net", verdict=verdict)
    return DeliveryEvidence(
        delivery=one.delivery.id, evidence=evidence, now=now, epoch=one.delivery.epoch, attempt=result
    )


def silent(
    one: ClaimedDelivery, attempt: OpenAttempt, stage: Stage = Stage.DOT, now: datetime = NOW
) -> DeliveryEvidence:
    in_doubt = stage is Stage.DOT
    result = AttemptResult(id=attempt.id, started_at=now, stage=stage, silence="timeout", in_doubt=in_doubt)
    evidence = Unanswered(stage=stage, why="timeout", host="mx.example.net")
    return DeliveryEvidence(
        delivery=one.delivery.id, evidence=evidence, now=now, epoch=one.delivery.epoch, attempt=result
    )


def reported(
    delivery: UUID, what: What = What.BOUNCE, now: datetime = NOW, inbound: UUID | None = None
) -> DeliveryEvidence:
    evidence = Reported(
        what=what,
        action=ReportAction.FAILED if what is What.BOUNCE else ReportAction.NONE,
        strength=Strength.STRONG,
        names_recipient=True,
        proved=True,
        names_other=False,
        verdict=NO_SUCH_USER,
        inbound=inbound or fresh(),
    )
    return DeliveryEvidence(delivery=delivery, evidence=evidence, now=now, inbound=inbound)  # type: ignore[arg-type]


async def the_delivery(database: Database, organization: Organization, delivery: UUID) -> Delivery:
    found = await database.read(deliveries.get, organization.id, delivery)
    assert found
    return found


async def the_case(database: Database, delivery: UUID) -> CaseId:
    """The only case about that delivery."""
    [case] = await database.read(cases.of_deliveries, [delivery])
    return case


async def state_of(database: Database, organization: Organization, delivery: UUID) -> State:
    return (await the_delivery(database, organization, delivery)).state


def all_rows(conn: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    return [dict(row) for row in conn.execute(table.select().where(*where).order_by(*table.primary_key)).mappings()]


async def event_types(database: Database, delivery: UUID) -> list[str]:
    rows = await database.read(all_rows, tables.event, tables.event.c.delivery == delivery)
    return [row["type"] for row in rows]


def a_statement(sql: str) -> Callable[[sa.Connection], list[Any]]:
    def run(conn: sa.Connection) -> list[Any]:
        result = conn.exec_driver_sql(sql)
        return list(result.all()) if result.returns_rows else []

    return run
