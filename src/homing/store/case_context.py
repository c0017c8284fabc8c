"""What there is to tell of a case: the message, the people and the organization around it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from homing.loop.model import Case, CaseId, DeliveryId, StepKind
from homing.loop.outcome import HELD_BACK
from homing.mail.address import domain_of
from homing.store import cases, organizations, tables
from homing.store.json_documents import identity_from_json, maybe_verdict_from_json
from homing.store.organizations import Organization

_D = tables.delivery
_M = tables.message
_A = tables.action
_OLD = tables.delivery.alias("old")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTold:
    """One action of the case as it stands: what a letter to an administrator tells of it."""

    kind: StepKind
    step: int
    result: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The delivery that a case is about, with its message. `resent_from`: the recipient that it replaced. `receiver`:
    whose hosts it waits for, or the recipient's domain where none answered: a host's name alone proves nothing."""

    message_subject: str
    message_id: str
    recipient: str
    human_sender_name: str
    human_sender_address: str
    sent_at: datetime
    expires_at: datetime
    attempts: int
    resent_from: str | None
    receiver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseContext:
    """A case and everything that a letter, a pop-up or a text message about it may name.

    `organization` None: it is the operator's. `sent` None: it is about no delivery. `letter_to`: an address that its
    owner has proved, the human sender's own, or where replies go instead.
    """

    case: Case
    organization: Organization | None
    sent: Sent | None
    letter_to: str | None
    human_sender_phone: str | None
    recipient_phone: str | None
    actions: tuple[ActionTold, ...]


def load(conn: sa.Connection, wanted: CaseId) -> CaseContext | None:
    """None when there is no such case."""
    opened = cases.load(conn, [wanted], lock=False).get(wanted)
    if opened is None:
        return None
    case = opened.case
    row = None if case.delivery is None else conn.execute(_delivery(case.delivery)).first()
    return CaseContext(
        case=case,
        organization=organizations.get(conn, case.organization),
        sent=None if row is None else _sent(row),
        letter_to=None if row is None else _letter_to(row),
        human_sender_phone=None if row is None else row.human_sender_phone,
        recipient_phone=None if row is None else row.phone,
        actions=tuple(_told(action) for action in _actions(conn, wanted)),
    )


def _delivery(wanted: DeliveryId) -> sa.Select[Any]:
    people = tables.human_sender
    return (
        sa.select(_D, _M.c.subject, _M.c.message_id, _M.c.human_sender_name, _M.c.human_sender_address)
        .add_columns(people.c.phone.label("human_sender_phone"), people.c.proved_at.label("human_sender_proved_at"))
        .add_columns(_OLD.c.recipient.label("old_recipient"))
        .join_from(_D, _M, _M.c.id == _D.c.message)
        .outerjoin(people, people.c.id == _M.c.human_sender)
        .outerjoin(_OLD, _OLD.c.id == _D.c.resent_from)
        .where(_D.c.id == wanted)
    )


def _sent(row: sa.Row[Any]) -> Sent:
    verdict = maybe_verdict_from_json(row.verdict)
    answered = verdict is not None and (verdict.reply_code is not None or verdict.rule == HELD_BACK)
    return Sent(
        message_subject=row.subject,
        message_id=row.message_id,
        recipient=row.recipient,
        human_sender_name=row.human_sender_name,
        human_sender_address=row.human_sender_address,
        sent_at=row.created_at,
        expires_at=row.expires_at,
        attempts=row.attempts,
        resent_from=row.old_recipient,
        receiver=(answered and row.receiver) or domain_of(row.recipient).lower(),
    )


def _letter_to(row: sa.Row[Any]) -> str | None:
    if row.human_sender_proved_at:
        return str(row.human_sender_address)
    return identity_from_json(row.identity).reply_to


def _actions(conn: sa.Connection, case: CaseId) -> sa.CursorResult[Any]:
    return conn.execute(_A.select().where(_A.c.case_id == case).order_by(_A.c.step))


def _told(row: sa.Row[Any]) -> ActionTold:
    return ActionTold(kind=StepKind(row.kind), step=row.step, result=row.result, ended_at=row.ended_at)
