"""Suppressed addresses, and the streams to whose lists they belong."""

import base64
import binascii
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, StrictBool

from homing.doors.api.authorization import ManageAccess, ReadAccess, WatchingOrganization, organization_required
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import AskedNumber, Moment, Strict
from homing.doors.api.parts import Parts
from homing.doors.api.problems import invalid, not_found, refused
from homing.doors.api.setting_checks import text_faults
from homing.doors.api.suppression_shapes import (
    NAME,
    REASON,
    CriteriaIn,
    StreamName,
    SuppressionOut,
    criteria_of,
    cursor_invalid,
    cursor_of,
    place_at,
    shown,
)
from homing.loop.problem import Fault
from homing.loop.request import LETTERS, RESERVED
from homing.mail.address import AddressError, parse_address
from homing.store import lifts, organizations, suppressions
from homing.store.organizations import Stream
from homing.store.room import LimitReached
from homing.store.suppressions import Suppression

router = APIRouter(route_class=JsonRoute, tags=["suppressions"])


class SuppressionIn(Strict):
    address: str = Field(examples=["john@example.org"])
    stream: StreamName = "default"
    reason: str = Field("manual", pattern=REASON)
    evidence: str = Field("", description="In words: who asked for it, and when.")
    expires_at: Moment | None = Field(None, description="Null: for ever.")


class SuppressionQuery(CriteriaIn):
    """Which suppressions. All that is given must hold; a stream or a period takes a reason or a rule besides."""

    limit: AskedNumber = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=1000)


class SuppressionPage(BaseModel):
    """`cursor` leads to the next page; null on the last. By reason or rule a page looks through 5,000 suppressions at
    most: it may be short, or empty, and still not be the last. By a rule its last pages also count the deliveries about
    which late reports, read by this rule, count against an address (`hearsay`)."""

    suppressions: list[SuppressionOut]
    hearsay: int = 0
    cursor: str | None


class StreamIn(Strict):
    bulk: StrictBool = Field(False, description="Many people get the same: each of them may unsubscribe.")


class StreamOut(BaseModel):
    name: str
    bulk: bool
    created_at: datetime


class Streams(BaseModel):
    """In the order of their names. `cursor` leads to the next page; null on the last."""

    streams: list[StreamOut]
    cursor: str | None


class WhichStreams(Strict):
    """Which streams."""

    limit: AskedNumber = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=64, pattern=r"^\P{C}*$")


@router.get("/v1/suppressions", summary="List suppressions")
async def list_suppressions(
    question: Annotated[SuppressionQuery, Query()], organization: WatchingOrganization, parts: Parts
) -> SuppressionPage:
    """In the order of their addresses; those for a reason or by a rule in the order in which they came onto the list.
    By a rule an administrator may ask without naming an organization: of all; and those come last that another rule
    caused together with this one."""
    now, limit = parts.clock(), question.limit
    if question.narrow:
        criteria = await criteria_of(parts, organization, question, "/query:")
        after = place_at(question.cursor, "/query:cursor")
        page = await parts.database.read(lifts.matching, criteria, now, after=after, limit=limit)
        found = [shown(one) for one in page.suppressions]
        return SuppressionPage(suppressions=found, hearsay=page.hearsay, cursor=cursor_of(page.further))
    if organization is None:
        raise organization_required()
    entries = await parts.database.read(
        suppressions.list_page, organization, now, after=_read_cursor(question.cursor), limit=limit
    )
    more = _cursor(entries[-1]) if len(entries) == limit else None
    return SuppressionPage(suppressions=[shown(entry) for entry in entries], cursor=more)


@router.post("/v1/suppressions", status_code=201, summary="Suppress an address")
async def create_suppression(body: SuppressionIn, access: ManageAccess, parts: Parts) -> SuppressionOut:
    """An entry that is there already stays as it is, unless it expires or is weaker than this one."""
    faults = text_faults("/evidence", body.evidence, 500)
    address = ""
    try:
        address = parse_address(body.address).folded
    except AddressError as error:
        faults.append(Fault("/address", error.code, str(error)))
    now = parts.clock()
    if body.expires_at is not None and body.expires_at <= now:
        faults.append(Fault("/expires_at", "moment-past", "This moment has passed."))
    if faults:
        raise invalid(faults)
    entry = Suppression(
        organization=access.id,
        stream=body.stream,
        address=address,
        reason=body.reason,
        evidence=body.evidence,
        created_at=now,
        expires_at=body.expires_at,
    )
    await parts.database.write(suppressions.add, [entry])
    place = (access.id, entry.stream, entry.address)
    return shown((await parts.database.read(suppressions.find, [place], now))[place])


@router.delete("/v1/suppressions", status_code=204, summary="Lift a suppression")
async def lift_suppression(
    access: ManageAccess,
    parts: Parts,
    address: Annotated[str, Query(max_length=320, pattern=r"^\P{C}*$")],
    stream: Annotated[str, Query(pattern=NAME)] = "default",
    why: Annotated[str, Query(max_length=500, pattern=r"^\P{C}*$")] = "",
) -> Response:
    """What it was, and `why` it was lifted, is kept for 400 days."""
    if not await parts.database.write(lifts.lift, access.id, stream, address, now=parts.clock(), why=why):
        raise not_found("The address is not on the list of this stream. Is it on another one's?")
    return Response(status_code=204)


@router.get("/v1/streams", summary="List streams", tags=["streams"])
async def list_streams(question: Annotated[WhichStreams, Query()], access: ReadAccess, parts: Parts) -> Streams:
    """`default` is there without being listed."""
    after, limit = question.cursor or "", question.limit
    found = await parts.database.read(organizations.list_streams, access.id, after=after, limit=limit)
    cursor = found[-1].name if len(found) == limit else None
    return Streams(streams=[_stream(stream) for stream in found], cursor=cursor)


@router.get("/v1/streams/{name}", summary="Look up a stream", tags=["streams"])
async def get_stream(name: Annotated[str, Path(pattern=NAME)], access: ReadAccess, parts: Parts) -> StreamOut:
    stream = await parts.database.read(organizations.get_stream, access.id, name)
    if stream is None:
        raise not_found()
    return _stream(stream)


@router.put("/v1/streams/{name}", summary="Create a stream", tags=["streams"])
async def put_stream(
    name: Annotated[str, Path(pattern=NAME)], body: StreamIn, access: ManageAccess, parts: Parts
) -> StreamOut:
    """A stream is created once; what it is for does not change afterwards (409 `stream-differs`). An organization has
    1,000 at most (409 `limit-reached`)."""
    if name == LETTERS:
        raise invalid([Fault("/path:name", "stream-reserved", RESERVED)])
    stream = Stream(organization=access.id, name=name, bulk=body.bulk, created_at=parts.clock())
    try:
        await parts.database.write(organizations.ensure_stream, stream)
    except LimitReached:
        raise refused(409, "limit-reached", f"An organization has at most {organizations.STREAMS} streams.") from None
    stored = await parts.database.read(organizations.get_stream, access.id, name)
    assert stored is not None
    if stored.bulk != body.bulk:
        raise refused(409, "stream-differs", "This stream already exists, for another kind of mail.")
    return _stream(stored)


def _stream(stream: Stream) -> StreamOut:
    return StreamOut(name=stream.name, bulk=stream.bulk, created_at=stream.created_at)


def _cursor(entry: Suppression) -> str:
    return base64.urlsafe_b64encode(f"{entry.stream} {entry.address}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return ("", "")
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        stream, space, address = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(" ")
    except (ValueError, binascii.Error):
        space = ""
    if not space or "\0" in stream + address:
        raise cursor_invalid("/query:cursor")
    return (address, stream)
