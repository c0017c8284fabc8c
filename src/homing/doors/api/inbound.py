"""Mail that came back: what it was, and whose message it was about."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from homing.doors.api.authorization import Known, WatchingOrganization
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import AskedNumber, Strict
from homing.doors.api.parts import Parts
from homing.doors.api.problems import invalid, not_found
from homing.doors.api.responses import VerdictOut, shown_id, verdict_out
from homing.loop import ids
from homing.loop.api_key import Scope
from homing.loop.evidence import What
from homing.loop.masking import BEYOND, masked, shown_mail
from homing.loop.model import InboundId
from homing.loop.problem import Fault
from homing.mail.mime import header_of
from homing.store import inbound
from homing.store.inbound import InboundLine, InboundState

router = APIRouter(route_class=JsonRoute, tags=["inbound"])

HEAD = 64 * 1024
"""Octets of a mail that are shown."""


class InboundQuery(Strict):
    """Which mails. All that is given must hold."""

    what: What | None = Field(None, description="What the mails turned out to be.")
    purpose: str | None = Field(
        None, description="Which kind of our addresses they came to.", pattern=r"^[a-z_]{1,16}$"
    )
    limit: AskedNumber = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=100)


class InboundSummary(BaseModel):
    """A mail that came to us. `what` null: not understood yet. `message` and `delivery`: what it is about; null where
    no delivery was found. `organization`: theirs. `state`: `unparsed` where nobody can read it. `kept`: not yet erased.
    """

    id: str = Field(examples=["inb_0190c3a100007000800000000000f001"])
    received_at: datetime
    what: What | None
    purpose: str
    envelope_sender: str | None
    recipient: str
    size: int
    flags: list[str]
    state: InboundState
    organization: str | None
    message: str | None
    delivery: str | None
    verdict: VerdictOut | None
    kept: bool


class InboundOut(InboundSummary):
    """With where it came from, what SPF, DKIM and DMARC say of it, and its beginning: at most 64 KiB of what strangers
    wrote, cleaned of what would act on a reader's screen; tokens and links of ours that act are cut short, encoded ones
    too."""

    ip: str
    helo: str
    tls: str
    authentication: str | None = Field(examples=["spf=pass(corp.com) dkim=none dmarc=pass(corp.com)"])
    head: str | None


class InboundPage(BaseModel):
    """Newest first. `cursor` leads to the next page; null on the last. A page looks through 5,000 mails at most: it may
    be short, or empty, and still not be the last."""

    inbound: list[InboundSummary]
    cursor: str | None


@router.get("/v1/inbound", summary="List mail that came back")
async def list_inbound(
    question: Annotated[InboundQuery, Query()], whose: WatchingOrganization, parts: Parts
) -> InboundPage:
    """For an organization what is about its messages; for an administrator without `Homing-Organization` everything,
    also what nobody could be found for."""
    before = None
    if question.cursor is not None:
        before = ids.read("inbound", question.cursor)
        if before is None:
            raise invalid([Fault("/query:cursor", "cursor-invalid", "Use the cursor of the last answer, or none.")])
    found = await parts.database.read(
        inbound.list_page,
        whose,
        what=question.what,
        purpose=question.purpose,
        before=None if before is None else InboundId(before),
        limit=question.limit,
    )
    cursor = None if found.further is None else ids.show("inbound", found.further)
    return InboundPage(inbound=[InboundSummary(**_summary(line)) for line in found.lines], cursor=cursor)


@router.get("/v1/inbound/{id}", summary="Look up a mail that came back")
async def get_inbound(id: str, whose: WatchingOrganization, caller: Known, parts: Parts) -> InboundOut:  # noqa: A002
    """With its beginning, as long as it is kept. A key without the scope `manage` is shown the header alone: the
    original that a mail quotes may hold links, which act for whoever follows them."""
    identifier = ids.read("inbound", id)
    view = None
    if identifier is not None:
        view = await parts.database.read(inbound.view, InboundId(identifier), whose, octets=HEAD + BEYOND)
    if view is None:
        raise not_found()
    return InboundOut(
        **_summary(view.line),
        ip=view.ip,
        helo=view.helo,
        tls=view.tls,
        authentication=view.authentication.summary if view.authentication else None,
        head=None if view.head is None else await _shown(view.head, whole=caller.may(Scope.MANAGE)),
    )


async def _shown(head: bytes, *, whole: bool) -> str:
    return await asyncio.to_thread(shown_mail, head if whole else header_of(head), HEAD)


def _summary(line: InboundLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in InboundSummary.model_fields} | {
        "id": ids.show("inbound", line.id),
        "recipient": masked(line.recipient),
        "envelope_sender": None if line.envelope_sender is None else masked(line.envelope_sender),
        "flags": sorted(line.flags),
        "organization": shown_id("organization", line.organization),
        "message": shown_id("message", line.message),
        "delivery": shown_id("delivery", line.delivery),
        "verdict": verdict_out(line.verdict),
    }
