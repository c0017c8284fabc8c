"""Events: a list with a cursor, and live streams (server-sent events) for an organization and for one human sender.

A live stream goes at its reader's own pace, so that a slow one costs nothing but his own patience.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from homing.doors.api.authorization import ReadAccess
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import AskedNumber, Moment
from homing.doors.api.parts import ApiParts, Parts
from homing.doors.api.problems import invalid, not_found, refused, share_taken, too_busy
from homing.doors.api.responses import EventOut, event_out
from homing.doors.api.tail import News
from homing.doors.budget import NoRoomError
from homing.doors.http_places import key_shown
from homing.doors.shares import NoShareError
from homing.loop import ids
from homing.loop.model import HumanSenderId, OrganizationId
from homing.loop.problem import Fault, Rejected
from homing.loop.token import Purpose, TokenRefused
from homing.store import events, human_senders, organizations
from homing.store.human_senders import HumanSender
from homing.store.organizations import Organization

router = APIRouter(route_class=JsonRoute, tags=["events"])

HEARTBEAT = 15.0
"""Seconds without an event after which a comment shows that the line is alive; the key or token is asked for again."""
PAGE = 200
TOKEN_LIFETIME = timedelta(hours=1)

Cursor = Annotated[
    str | None, Query(description="The cursor of the place right after the last event that you have.", max_length=100)
]
Since = Annotated[
    Moment | None, Query(description="Where to begin without a cursor: before all that has happened since then.")
]
LastEventId = Annotated[str | None, Header(description="As `cursor`; a browser sends it when it reconnects.")]
_STREAM_DOC: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `id` is a cursor, `event` the type, `data` an event as JSON.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: MC4wLjQy\nevent: bounced\ndata: {"id": "evt_…", "type": "bounced", "data": {}}\n\n',
            }
        },
    }
}


class EventPage(BaseModel):
    """Oldest first. `cursor` is the place behind them: ask again from there, now or tomorrow, and miss nothing."""

    events: list[EventOut]
    cursor: str


class StreamToken(BaseModel):
    """For the browser of one human sender: it opens his own live stream, and nothing else."""

    token: str
    expires_at: datetime
    url: str = Field(examples=["/v1/human_senders/snd_…/events/stream?token=…"])


@router.get("/v1/events", summary="List events")
async def list_events(
    access: ReadAccess,
    parts: Parts,
    cursor: Cursor = None,
    since: Since = None,
    limit: Annotated[AskedNumber, Query(ge=1, le=500)] = 100,
) -> EventPage:
    """From a cursor, from a moment, or from the first one. No event is ever skipped, also when many processes write.
    After a backup was restored a cursor of before gets 410 `cursor-outdated`: begin anew with `since`."""
    if since is not None:
        if cursor is not None:
            raise invalid([Fault("/query:since", "cursor-or-since", "Give a cursor or a moment, not both.")])
        cursor = await parts.database.read(events.since, access.id, since)
    found, end, _ = await parts.database.read(events.after, access.id, None, cursor, limit)
    return EventPage(events=[event_out(event) for event in found], cursor=end)


@router.get("/v1/events/stream", summary="Follow events", response_class=StreamingResponse, responses=_STREAM_DOC)
async def stream_events(
    access: ReadAccess, parts: Parts, cursor: Cursor = None, last_event_id: LastEventId = None
) -> Response:
    """The organization's live stream: from a cursor, or from now on."""

    async def welcome() -> bool:
        return await parts.keyring.holder(access.caller.key) is not None

    line = await _line(parts, access.id, None, last_event_id or cursor, welcome)
    return _LiveStream(line, {})


@router.post("/v1/human_senders/{id}/stream_token", summary="Make a stream token", tags=["human senders"])
async def create_stream_token(id: str, access: ReadAccess, parts: Parts) -> StreamToken:  # noqa: A002 - the API's word
    """A token of one hour for this person's live stream, to be handed to his browser."""
    identifier = ids.read("human_sender", id)
    human_sender = None
    if identifier is not None:
        human_sender = await parts.database.read(human_senders.get, access.id, HumanSenderId(identifier))
    if human_sender is None:
        raise not_found()
    until = (parts.clock() + TOKEN_LIFETIME).replace(microsecond=0)
    token = parts.tokens.mint_short(Purpose.STREAM, human_sender.id, until)
    path = f"/v1/human_senders/{ids.show('human_sender', human_sender.id)}/events/stream?token={token}"
    return StreamToken(token=token, expires_at=until, url=path)


@router.get(
    "/v1/human_senders/{id}/events/stream",
    summary="Follow one human sender's events",
    response_class=StreamingResponse,
    responses=_STREAM_DOC,
    tags=["human senders"],
)
async def stream_own_events(
    id: str,  # noqa: A002
    request: Request,
    parts: Parts,
    token: Annotated[str, Query(max_length=100)] = "",
    cursor: Cursor = None,
    last_event_id: LastEventId = None,
) -> Response:
    """For a browser: the events of this person's messages alone. Opened by a stream token, from allowed origins."""
    human_sender, organization, until = await _bearer(parts, id, token)
    key_shown(request)
    headers = _cors(request, organization)

    async def welcome() -> bool:
        return parts.clock() < until

    line = await _line(parts, organization.id, human_sender.id, last_event_id or cursor, welcome)
    return _LiveStream(line, headers)


@router.options("/v1/human_senders/{id}/events/stream", include_in_schema=False)
async def preflight(id: str, request: Request, parts: Parts, token: str = "") -> Response:  # noqa: A002
    """RFC 6454 origins that the organization allows may send Last-Event-ID."""
    _, organization, _ = await _bearer(parts, id, token)
    allowed = {
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": "Last-Event-ID, Cache-Control",
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=_cors(request, organization) | allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One open stream. `welcome` tells whether its reader may still read."""

    parts: ApiParts
    organization: OrganizationId
    human_sender: HumanSenderId | None
    start: str
    welcome: Callable[[], Awaitable[bool]]

    async def frames(self) -> AsyncIterator[str]:
        # The place where it begins, so that whoever is cut off before the first event loses none either.
        yield f"retry: 2000\nid: {self.start}\n\n"
        try:
            async for frame in self._told():
                yield frame
        except Rejected:
            pass  # the store was restored under way: whoever comes back is told so

    async def _told(self) -> AsyncIterator[str]:
        clock, cursor, behind = asyncio.get_running_loop().time, self.start, False
        asked = spoken = clock()
        async with self.parts.tail.listening(self.organization, self.human_sender) as listener:
            while not listener.ended:
                if listener.lost:
                    listener.begin()
                    behind = True
                if behind:
                    news, cursor, behind = await self._missed(cursor)
                else:
                    news = await listener.take(max(min(asked, spoken) + HEARTBEAT - clock(), 0.0), cursor)
                    cursor = news[-1].event.cursor if news else cursor
                for one in news:
                    yield one.frame
                    spoken = clock()
                if clock() - asked >= HEARTBEAT:
                    asked = clock()
                    if not await self.welcome():
                        return
                if clock() - spoken >= HEARTBEAT:
                    yield ": alive\n\n"
                    spoken = clock()

    async def _missed(self, cursor: str) -> tuple[list[News], str, bool]:
        """A page of what he has not seen, the cursor behind it, and whether there may be more."""
        found, cursor, more = await self.parts.database.read(
            events.after, self.organization, self.human_sender, cursor, PAGE
        )
        return [News(event) for event in found], cursor, more


async def _line(
    parts: ApiParts,
    organization: OrganizationId,
    human_sender: HumanSenderId | None,
    cursor: str | None,
    welcome: Callable[[], Awaitable[bool]],
) -> _Line:
    """Raises Rejected: a cursor that is not ours or out of date, or a store that is held."""
    if cursor is None:
        start = await parts.database.read(events.latest, organization)
    else:
        await parts.database.read(events.after, organization, None, cursor, 1)
        start = cursor
    return _Line(parts=parts, organization=organization, human_sender=human_sender, start=start, welcome=welcome)


class _LiveStream(StreamingResponse):
    """It has its place among all of them from its first octet to its last."""

    def __init__(self, line: _Line, headers: dict[str, str]) -> None:
        # Proxies that buffer would hold events back.
        super().__init__(line.frames(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"} | headers)
        self._line = line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Rejected (429, 503) before anything was sent."""
        streams, organization = self._line.parts.streams, self._line.organization
        try:
            streams.take(organization)
        except NoShareError:
            title = "Your organization has as many live streams as it may at the moment."
            raise share_taken("too-many-streams", title) from None
        except NoRoomError:
            raise too_busy("There are too many live streams at the moment.") from None
        try:
            await super().__call__(scope, receive, send)
        finally:
            streams.give_back(organization)


async def _bearer(parts: ApiParts, text: str, token: str) -> tuple[HumanSender, Organization, datetime]:
    """Whose token it is. Raises Rejected (401), the same for whatever is wrong."""
    try:
        subject, until = parts.tokens.open_short(Purpose.STREAM, token, now=parts.clock())
    except TokenRefused:
        raise _bad_token() from None
    if ids.read("human_sender", text) != subject:
        raise _bad_token()
    human_sender = await parts.database.read(human_senders.by_id, HumanSenderId(subject))
    organization = await parts.database.read(organizations.get, human_sender.organization) if human_sender else None
    if human_sender is None or organization is None:
        raise _bad_token()
    return human_sender, organization, until


def _bad_token() -> Rejected:
    return refused(401, "stream-token-invalid", "This is not a valid stream token of this human sender.")


def _cors(request: Request, organization: Organization) -> dict[str, str]:
    origin = request.headers.get("origin")
    if origin is None:
        return {"Vary": "Origin"}
    if origin not in organization.cors_origins:
        raise refused(403, "origin-not-allowed", "Pages of this origin may not read this stream.")
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin}
