"""Messages and their deliveries: accept, look up, list, cancel, send again."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field

from homing.doors.api.authorization import Access, ReadAccess, SendAccess
from homing.doors.api.body import READ_AT_ONCE, JsonRoute
from homing.doors.api.fields import AskedNumber, Moment, Strict
from homing.doors.api.message_input import MessageIn
from homing.doors.api.parts import ApiParts, Parts
from homing.doors.api.problems import invalid, not_found, refused
from homing.doors.api.responses import (
    DeliveryOut,
    MessageAccepted,
    MessageOut,
    MessagePage,
    delivery_out,
    message_out,
    message_summary,
)
from homing.doors.api.setting_checks import address_faults
from homing.flow import accept
from homing.loop import ids
from homing.loop.model import DeliveryId, HumanSenderId, MessageId, State
from homing.loop.problem import Fault
from homing.loop.request import idempotency_key_faults
from homing.mail.address import parse_address
from homing.store import deliveries, views
from homing.store.views import DeliveryView

router = APIRouter(route_class=JsonRoute, tags=["messages"])

IdempotencyKey = Annotated[
    str | None,
    Header(description="The same key and payload get the same answer again, for a day at least, and send nothing."),
]


class Correction(Strict):
    recipient: str = Field(description="The corrected address.", examples=["john@example.org"])


class MessageQuery(Strict):
    """Which messages. All that is given must hold."""

    state: State | None = Field(None, description="Of one of its deliveries.")
    recipient: str | None = Field(
        None, description="The whole address of one of its recipients.", max_length=320, pattern=r"^\P{C}*$"
    )
    human_sender: str | None = Field(None, description="The id of a human sender.", max_length=100)
    stream: str | None = Field(None, max_length=64, pattern=r"^\P{C}*$")
    since: Moment | None = None
    until: Moment | None = None
    limit: AskedNumber = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=100)


@router.post("/v1/messages", status_code=202, response_model=MessageAccepted, summary="Send a message")
async def create_message(
    body: MessageIn, request: Request, access: SendAccess, parts: Parts, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accepts a message: when the answer is 202, every delivery is on durable storage.

    All faults of a request are reported at once, the first 100 of them. With an `Idempotency-Key` a request can be
    repeated without harm.
    """
    hashed = ""
    if idempotency_key is not None:
        document, large = await request.json(), len(await request.body()) > READ_AT_ONCE
        hashed = await parts.acceptance.large_work.do(access.id, large, _hash, document)
    accepted = await parts.acceptance.accept(access.organization, body.request(idempotency_key, hashed))
    parts.news.wake()
    return _answer(accepted)


@router.get("/v1/messages", summary="List messages")
async def list_messages(question: Annotated[MessageQuery, Query()], access: ReadAccess, parts: Parts) -> MessagePage:
    """Newest first."""
    before = None
    if question.cursor is not None:
        before = ids.read("message", question.cursor)
        if before is None:
            raise invalid([Fault("/query:cursor", "cursor-invalid", "Use the cursor of the last answer, or none.")])
    wanted = _filter(question)
    if wanted is None:
        return MessagePage(messages=[], cursor=None)
    found = await parts.database.read(
        views.messages,
        access.id,
        wanted,
        before=None if before is None else MessageId(before),
        limit=question.limit,
    )
    cursor = None if found.further is None else ids.show("message", found.further)
    return MessagePage(messages=[message_summary(line) for line in found.lines], cursor=cursor)


@router.get("/v1/messages/{id}", summary="Look up a message")
async def get_message(id: str, access: ReadAccess, parts: Parts) -> MessageOut:  # noqa: A002 - the API's word
    """With its deliveries, their attempts, cases and actions, and its timeline. Of the attempts the latest 400, as many
    of each delivery, without dialogues where there are more than 20 deliveries: look up a delivery for the others. Of
    the timeline the latest 2,000 events."""
    identifier = ids.read("message", id)
    view = None
    if identifier is not None:
        view = await parts.database.read(views.message, access.id, MessageId(identifier))
    if view is None:
        raise not_found()
    return message_out(view)


@router.get("/v1/deliveries/{id}", summary="Look up a delivery")
async def get_delivery(id: str, access: ReadAccess, parts: Parts) -> DeliveryOut:  # noqa: A002
    return delivery_out(await _view(parts, access, _delivery_id(id)))


@router.post("/v1/deliveries/{id}/cancel", summary="Cancel a delivery")
async def cancel_delivery(id: str, access: SendAccess, parts: Parts) -> DeliveryOut:  # noqa: A002
    """Only while it is queued or deferred; 409 `not-cancelable` afterwards."""
    delivery, now = _delivery_id(id), parts.clock()
    by = ids.show("api_key", access.caller.key)
    outcome = await parts.database.write(deliveries.cancel, access.id, delivery, by, now)
    if outcome is None:
        raise not_found()
    if outcome.delivery.state is not State.CANCELED:
        raise refused(409, "not-cancelable", f"The delivery is {outcome.delivery.state} and cannot be canceled.")
    parts.news.wake()
    return delivery_out(await _view(parts, access, delivery))


@router.post(
    "/v1/deliveries/{id}/resend", status_code=202, response_model=MessageAccepted, summary="Correct and send again"
)
async def resend_delivery(
    id: str,  # noqa: A002
    body: Correction,
    access: SendAccess,
    parts: Parts,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Sends the message of this delivery to another recipient, as a new delivery that is linked to this one.

    Without an `Idempotency-Key` the same correction of the same delivery is sent once.
    """
    delivery = _delivery_id(id)
    faults = [*idempotency_key_faults(idempotency_key), *address_faults("/recipient", body.recipient)]
    if faults:
        raise invalid(faults)
    address = parse_address(body.recipient)
    key = f"to:{address.folded}"[:255] if idempotency_key is None else idempotency_key
    accepted = await parts.acceptance.resend(access.organization, delivery, str(address), key)
    parts.news.wake()
    return _answer(accepted)


def _answer(accepted: accept.Accepted) -> Response:
    headers = {"Idempotent-Replayed": "true"} if accepted.replayed else None
    return Response(accepted.body, 202, headers, media_type="application/json")


def _hash(document: Any) -> str:
    """The digest of the payload, not of its bytes: another order of fields is the same message."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _filter(question: MessageQuery) -> views.Filter | None:
    """None when nothing can match."""
    human_sender = None
    if question.human_sender is not None:
        human_sender = ids.read("human_sender", question.human_sender)
        if human_sender is None:
            return None
    return views.Filter(
        state=question.state,
        recipient=question.recipient,
        human_sender=None if human_sender is None else HumanSenderId(human_sender),
        stream=question.stream,
        since=question.since,
        until=question.until,
    )


def _delivery_id(text: str) -> DeliveryId:
    identifier = ids.read("delivery", text)
    if identifier is None:
        raise not_found()
    return DeliveryId(identifier)


async def _view(parts: ApiParts, access: Access, delivery: DeliveryId) -> DeliveryView:
    view = await parts.database.read(views.delivery, access.id, delivery)
    if view is None:
        raise not_found()
    return view
