"""The pages for those who want to know what became of their messages: the list, one message, the cases."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import Response

from homing.doors.web import plain_words
from homing.doors.web.parts import WebParts
from homing.doors.web.rendering import message_page, page, static_file
from homing.doors.web.search import HINT, search
from homing.doors.web.visitors import Visitor, Visitors
from homing.loop import ids
from homing.loop.evidence import What
from homing.loop.masking import BEYOND, shown_mail
from homing.loop.model import CaseId, CaseKind, CaseState, DeliveryId, InboundId, MessageId, State
from homing.store import inbound, suppressions, views
from homing.store.events import Event
from homing.store.pages import Page
from homing.store.suppressions import Suppression

PAGE = 50
HEAD = 64 * 1024
"""Octets of a mail that are shown."""
COUNTED = timedelta(days=7)
_KINDS = (CaseKind.FAILURE, CaseKind.DELAY, CaseKind.FORWARDING_FAILURE)
"""Of cases that an organization can have today."""


@dataclass(frozen=True, slots=True)
class Pages:
    parts: WebParts
    visitors: Visitors

    async def messages(self, request: Request) -> Response:
        visitor = await self.visitors.visitor(request)
        if visitor is None or visitor.organization is None:
            return _outside(visitor)
        organization, database = visitor.organization.id, self.parts.database
        asked = await search(database, organization, request.query_params.get("q", ""))
        before = ids.read("message", request.query_params.get("before", ""))
        found: Page[views.MessageLine] = Page(lines=(), further=None)
        if asked.wanted is not None:
            place = None if before is None else MessageId(before)
            found = await database.read(views.messages, organization, asked.wanted, before=place, limit=PAGE)
        older = None
        if found.further is not None:
            older = _link("/", visitor, q=asked.text, before=ids.show("message", found.further))
        return page(
            "messages.html",
            visitor=visitor,
            held=self.parts.hold.is_held,
            standing=await self.parts.loop_watch.standing(),
            asked=asked,
            hint=HINT,
            lines=found.lines,
            older=older,
            counts=await database.read(views.counts, organization, self.parts.clock() - COUNTED),
            counted=views.COUNTED,
            states=tuple(State),
        )

    async def message(self, id: str, request: Request) -> Response:  # noqa: A002 - the address's word
        identifier = ids.read("message", id)
        chosen = None
        if identifier is not None:
            chosen = await self.parts.database.read(views.organization_of, MessageId(identifier))
        visitor = await self.visitors.visitor(request, chosen)
        if visitor is None:
            return _outside(None)
        view = None
        if identifier is not None and visitor.organization is not None:
            view = await self.parts.database.read(views.message, visitor.organization.id, MessageId(identifier))
        if view is None or visitor.organization is None:
            return message_page(404, "There is no such message.", "Perhaps it was erased.", visitor=visitor)
        now = self.parts.clock()
        recipients = {one.delivery.id: one.delivery.recipient for one in view.deliveries}
        return page(
            "message.html",
            visitor=visitor,
            message=view.message,
            deliveries=[
                (one, plain_words.why(visitor.organization, view.message, one, now)) for one in view.deliveries
            ],
            suppressed=await self._suppressed(view, now),
            timeline=[(event, _sentence(event, recipients)) for event in view.timeline],
        )

    async def _suppressed(self, view: views.MessageView, now: datetime) -> dict[DeliveryId, Suppression]:
        """The suppressions in force now for the recipients of a message, by delivery."""
        places = {
            one.delivery.id: (
                one.delivery.organization,
                view.message.stream,
                suppressions.fold(one.delivery.recipient),
            )
            for one in view.deliveries
        }
        found = await self.parts.database.read(suppressions.find, set(places.values()), now)
        return {delivery: found[place] for delivery, place in places.items() if place in found}

    async def cases(self, request: Request) -> Response:
        visitor = await self.visitors.visitor(request)
        if visitor is None or visitor.organization is None:
            return _outside(visitor)
        wanted = request.query_params.get("state", "")
        state = CaseState(wanted) if wanted in set(CaseState) else None
        kind = request.query_params.get("kind", "")
        kind = kind if kind in _KINDS else ""
        before = ids.read("case", request.query_params.get("before", ""))
        found = await self.parts.database.read(
            views.cases,
            visitor.organization.id,
            state=state,
            kind=CaseKind(kind) if kind else None,
            before=None if before is None else CaseId(before),
            limit=PAGE,
        )
        older = None
        if found.further is not None:
            older = _link("/cases", visitor, state=state or "", kind=kind, before=ids.show("case", found.further))
        states = [(one, _link("/cases", visitor, state=one or "", kind=kind)) for one in (None, *CaseState)]
        kinds = [(one, _link("/cases", visitor, state=state or "", kind=one or "")) for one in (None, *_KINDS)]
        shown = {"states": states, "kinds": kinds, "state": state, "kind": kind}
        return page("cases.html", visitor=visitor, lines=found.lines, older=older, status=200, **shown)

    async def inbound(self, request: Request) -> Response:
        """The list of all mail that came in, for those who may see all organizations."""
        visitor = await self.visitors.visitor(request)
        if visitor is None or not visitor.sees_all:
            return _outside(visitor) if visitor is None else _no_such_mail(visitor)
        wanted = request.query_params.get("what", "")
        what = What(wanted) if wanted in set(What) else None
        before = ids.read("inbound", request.query_params.get("before", ""))
        place = None if before is None else InboundId(before)
        found = await self.parts.database.read(inbound.list_page, what=what, before=place, limit=PAGE)
        older = None
        if found.further is not None:
            older = _link("/inbound", visitor, what=wanted, before=ids.show("inbound", found.further))
        return page("inbound.html", visitor=visitor, lines=found.lines, older=older, whats=tuple(What), what=what)

    async def one_inbound(self, id: str, request: Request) -> Response:  # noqa: A002
        visitor = await self.visitors.visitor(request)
        if visitor is None:
            return _outside(None)
        identifier = ids.read("inbound", id)
        view = None
        if identifier is not None and visitor.sees_all:
            view = await self.parts.database.read(inbound.view, InboundId(identifier), octets=HEAD + BEYOND)
        if view is None:
            return _no_such_mail(visitor)
        head = None if view.head is None else await asyncio.to_thread(shown_mail, view.head, HEAD)
        return page("one_inbound.html", visitor=visitor, view=view, mail=view.line, head=head)

    async def file(self, name: str) -> Response:
        return static_file(name) or message_page(404, "There is no such file.", "")


def _no_such_mail(visitor: Visitor) -> Response:
    return message_page(404, "There is no such mail.", "Perhaps it was erased.", visitor=visitor)


def _outside(visitor: Visitor | None) -> Response:
    if visitor is None:
        return page("sign_in.html", 401, complaint="", visitor=None)
    text = "Create one with: homing org create NAME"
    return message_page(404, "There is no organization here yet.", text, visitor=visitor)


def _sentence(event: Event, recipients: dict[DeliveryId, str]) -> str:
    recipient = recipients.get(event.delivery, "") if event.delivery else ""
    return plain_words.sentence(event, recipient)


def _link(path: str, visitor: Visitor, **question: str) -> str:
    asked = urlencode({name: value for name, value in question.items() if value})
    return f"{path}?{'&'.join(part for part in (visitor.question, asked) if part)}"
