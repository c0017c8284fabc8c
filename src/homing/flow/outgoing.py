"""Every message that leaves is made here: an application's, a letter of ours, a proof, an Oops! answer.

Makes the rows of a submission (ids, tokens, identities, content); `flow.accept` and `flow.act` store them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from homing.loop import ids
from homing.loop.domains.identity import OperatorIdentity, own_identity
from homing.loop.ids import new_id
from homing.loop.letters.letters import Text
from homing.loop.model import CaseId, Delivery, DeliveryId, Identity, MessageId, OrganizationId, Origin, Role, State
from homing.loop.reading.marks import ENVELOPE_LOCAL, UNSUBSCRIBE_PATH, unsubscribe_uris
from homing.loop.request import LETTERS, CheckedRequest, Recipient
from homing.loop.token import Purpose, Tokens
from homing.mail.address import Address, parse_address
from homing.mail.compose import Draft, Mailbox, check_composed, compose, corrected, front
from homing.mail.dkim import body_hash
from homing.store.accepted_messages import AcceptedMessage, Idempotency, NewDelivery, NewMessage
from homing.store.human_senders import HumanSender
from homing.store.organizations import Organization
from homing.store.resends import Original

Dice = Callable[[], bytes]
"""Ten random bytes at each call."""

Clock = Callable[[], datetime]

LastClockJump = Callable[[], datetime | None]
"""When the last clock jump was found. No process has lived through the time that it skipped."""

ENVELOPE_GRACE = timedelta(days=30)
"""Bounces come back for that long after a delivery's lifetime."""

TRACE_LIFETIME = timedelta(days=400)
"""Complaints come late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail that we write ourselves. `case` and `step`: which step of which case it carries out."""

    origin: Origin
    organization: OrganizationId
    to: Mailbox
    text: Text
    reply_to: Address | None = None
    in_reply_to: str | None = None
    case: CaseId | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Makes submissions under the operator's names and keys. `url` is where people reach our pages."""

    tokens: Tokens
    operator: OperatorIdentity
    operator_name: str
    lifetime: timedelta
    dice: Dice
    url: str

    def application(
        self,
        organization: Organization,
        human_sender: HumanSender | None,
        checked: CheckedRequest,
        identities: Sequence[Identity],
        now: datetime,
    ) -> AcceptedMessage:
        """The submission of an application's message; one identity per recipient, in order."""
        request = checked.request
        message = MessageId(new_id(now, self.dice()))
        draft = Draft(
            subject=request.subject,
            to=checked.mailboxes(Role.TO),
            cc=checked.mailboxes(Role.CC),
            date=now,
            message_id=self._message_id(message, now),
            text=request.text,
            html=request.html,
            attachments=request.attachments,
            headers=request.headers,
        )
        content = compose(draft)
        row = NewMessage(
            id=message,
            organization=organization.id,
            origin=Origin.API,
            stream=request.stream,
            human_sender=human_sender.id if human_sender else None,
            human_sender_name=checked.human_sender.name,
            human_sender_address=str(checked.human_sender.address),
            subject=request.subject,
            message_id=draft.message_id,
            failure_policy=request.failure_policy or organization.failure_policy,
            metadata=dict(request.metadata),
            content=content,
            body_hash=body_hash(content),
            smtputf8=not content.isascii(),
            created_at=now,
        )
        order = sorted(new_id(now, self.dice()) for _ in identities)  # ids keep the order of the recipients
        deliveries = tuple(
            self._delivery(DeliveryId(identifier), recipient, identity, now)
            for identifier, recipient, identity in zip(order, checked.recipients, identities, strict=True)
        )
        self._check(row, deliveries[0])
        key = request.idempotency_key
        idempotency = None if key is None else Idempotency(key=key, payload_hash=request.payload_hash)
        return AcceptedMessage(
            message=row, deliveries=deliveries, idempotency=idempotency, respond=partial(_answer, message, deliveries)
        )

    def resend(self, original: Original, content: bytes, right: Address, key: str, now: datetime) -> AcceptedMessage:
        """The same message once more, to the corrected address; equal `key`s give one delivery."""
        message = MessageId(new_id(now, self.dice()))
        message_id = self._message_id(message, now)
        fixed = corrected(content, parse_address(original.recipient), right, message_id)
        row = NewMessage(
            id=message,
            organization=original.organization,
            origin=original.origin,
            stream=original.stream,
            human_sender=original.human_sender,
            human_sender_name=original.human_sender_name,
            human_sender_address=original.human_sender_address,
            application_user=original.application_user,
            subject=original.subject,
            message_id=message_id,
            failure_policy=original.failure_policy,
            metadata=original.metadata,
            content=fixed,
            body_hash=body_hash(fixed),
            smtputf8=not content.isascii() or right.needs_smtputf8,
            created_at=now,
        )
        recipient = Recipient(mailbox=Mailbox("", right), role=original.role, phone=original.phone)
        delivery = self._delivery(self._delivery_id(now), recipient, original.identity, now)
        delivery = replace(delivery, resent_from=original.delivery, resent_key=key)
        self._check(row, delivery)
        return AcceptedMessage(message=row, deliveries=(delivery,), respond=partial(_answer, message, (delivery,)))

    def letter(self, letter: Letter, now: datetime) -> AcceptedMessage:
        """A letter of ours, ready to be stored. Of an organization's text only the subject stands in its header."""
        message = MessageId(new_id(now, self.dice()))
        automatic = "auto-replied" if letter.origin is Origin.OOPS else "auto-generated"
        draft = Draft(
            subject=letter.text.subject,
            to=(letter.to,),
            cc=(),
            date=now,
            message_id=self._message_id(message, now),
            text=letter.text.body,
            html=letter.text.html,
            attachments=(),
            headers=(),
            in_reply_to=letter.in_reply_to,
            auto_submitted=automatic,
        )
        content = compose(draft)
        row = NewMessage(
            id=message,
            organization=letter.organization,
            origin=letter.origin,
            stream=LETTERS,
            human_sender=None,
            human_sender_name=self.operator_name,
            human_sender_address=self.operator.header_from,
            subject=letter.text.subject,
            message_id=draft.message_id,
            failure_policy="",
            metadata={},
            content=content,
            body_hash=body_hash(content),
            smtputf8=not content.isascii(),
            created_at=now,
            case=letter.case,
            step=letter.step,
        )
        reply_to = None if letter.reply_to is None else str(letter.reply_to)
        identity = own_identity(self.operator_name, self.operator, reply_to)
        recipient = Recipient(mailbox=letter.to, role=Role.TO, phone=None)
        delivery = self._delivery(self._delivery_id(now), recipient, identity, now)
        self._check(row, delivery)
        return AcceptedMessage(message=row, deliveries=(delivery,))

    def envelope_sender(self, delivery: UUID, identity: Identity, created_at: datetime, expires_at: datetime) -> str:
        """The delivery's own envelope sender: the same at every attempt."""
        last_day = (expires_at + ENVELOPE_GRACE).date()
        token = self.tokens.mint(Purpose.ENVELOPE, delivery, made=created_at, last_day=last_day)
        return f"{ENVELOPE_LOCAL}{token}@{identity.return_domain}"

    def marked(self, identity: Identity, *, bulk: bool) -> Identity:
        """The identity of an application's delivery, with the addresses for complaints and for unsubscribing."""
        feedback_to = f"fbl@{self.operator.from_domain}"
        return replace(
            identity, feedback_to=feedback_to, unsubscribe_at=f"{self.url}{UNSUBSCRIBE_PATH}" if bulk else None
        )

    def trace(self, delivery: UUID, created_at: datetime) -> str:
        """The value of the delivery's signed trace header."""
        last_day = (created_at + TRACE_LIFETIME).date()
        return self.tokens.mint(Purpose.TRACE, delivery, made=created_at, last_day=last_day)

    def front(self, delivery: UUID, identity: Identity, created_at: datetime) -> bytes:
        """The header fields that belong to the delivery and stand before the message's own."""
        reply_to = None if identity.reply_to is None else parse_address(identity.reply_to)
        feedback_to = None if identity.feedback_to is None else parse_address(identity.feedback_to)
        return front(
            parse_address(identity.header_from),
            identity.display_name,
            reply_to,
            self.trace(delivery, created_at),
            feedback_to=feedback_to,
            unsubscribe=self._ways_out(delivery, identity, created_at),
        )

    def _ways_out(self, delivery: UUID, identity: Identity, created_at: datetime) -> tuple[str, ...]:
        if identity.unsubscribe_at is None:
            return ()
        last_day = (created_at + TRACE_LIFETIME).date()
        token = self.tokens.mint(Purpose.UNSUBSCRIBE, delivery, made=created_at, last_day=last_day)
        return unsubscribe_uris(identity.unsubscribe_at, identity.return_domain, token)

    def _delivery_id(self, now: datetime) -> DeliveryId:
        return DeliveryId(new_id(now, self.dice()))

    def _delivery(self, identifier: DeliveryId, recipient: Recipient, identity: Identity, now: datetime) -> NewDelivery:
        return NewDelivery(
            id=identifier,
            recipient=str(recipient.mailbox.address),
            recipient_domain=recipient.mailbox.address.domain,
            role=recipient.role,
            identity=identity,
            expires_at=now + self.lifetime,
            phone=recipient.phone,
        )

    def _message_id(self, message: MessageId, now: datetime) -> str:
        return f"{self.tokens.mint(Purpose.MESSAGE_ID, message, made=now)}@{self.operator.from_domain}"

    def _check(self, message: NewMessage, delivery: NewDelivery) -> None:
        check_composed(self.front(delivery.id, delivery.identity, message.created_at) + message.content)


def _answer(message: MessageId, deliveries: Sequence[NewDelivery], suppressed: frozenset[DeliveryId]) -> str:
    """The answer to a submission, as JSON."""
    each = [
        {
            "id": ids.show("delivery", one.id),
            "recipient": one.recipient,
            "state": (State.SUPPRESSED if one.id in suppressed else State.QUEUED).value,
        }
        for one in deliveries
    ]
    return json.dumps({"id": ids.show("message", message), "deliveries": each})


def answer_again(delivery: Delivery) -> str:
    """The answer to a resend that was asked for before."""
    one = {
        "id": ids.show("delivery", delivery.id),
        "recipient": delivery.recipient,
        "state": delivery.state.value,
    }
    return json.dumps({"id": ids.show("message", delivery.message), "deliveries": [one]})
