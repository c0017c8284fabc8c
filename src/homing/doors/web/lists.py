"""Pages of alarms, of suppressed addresses, of people, and of organizations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from homing.doors.web.parts import WebParts
from homing.doors.web.rendering import message_page, page
from homing.doors.web.visitors import Visitor, Visitors, read_form
from homing.loop.letters.alarm_letter import advice
from homing.mail.text import clean
from homing.store import alarms, human_senders, lifts, organizations, suppressions

PAGE = 100
_Do = Callable[[Visitor, dict[str, str]], Awaitable[str]]
"""The change that a form asks for; it returns the path to go to afterwards."""


@dataclass(frozen=True, slots=True)
class Lists:
    parts: WebParts
    visitors: Visitors

    async def alarms(self, request: Request) -> Response:
        visitor = await self.visitors.visitor(request)
        if visitor is None:
            return _sign_in()
        if not visitor.sees_all:
            return message_page(404, "There is no such page.", "Only administrators see the alarms.", visitor=visitor)
        found = await self.parts.database.read(alarms.list_all)
        return page("alarms.html", visitor=visitor, alarms=[(standing, advice(standing.cause)) for standing in found])

    async def organizations(self, request: Request) -> Response:
        """The page to choose an organization by the beginning of its name, for those who may see all."""
        visitor = await self.visitors.visitor(request)
        if visitor is None:
            return _sign_in()
        if not visitor.sees_all:
            text = "Only administrators see other organizations."
            return message_page(404, "There is no such page.", text, visitor=visitor)
        begins, after = (clean(request.query_params.get(name, ""), 64).strip().lower() for name in ("name", "after"))
        found = await self.parts.database.read(organizations.list_page, begins=begins, after=after, limit=PAGE)
        more = None
        if len(found) == PAGE:
            more = f"/organizations?{urlencode({'name': begins, 'after': found[-1].name})}"
        allowed = await self.parts.database.read(organizations.allowed_names, found)
        return page(
            "organizations.html", visitor=visitor, begins=begins, organizations=found, allowed=allowed, more=more
        )

    async def people(self, request: Request) -> Response:
        """Those on whose behalf the organization sends, and on whose word their addresses count as theirs."""
        visitor = await self.visitors.visitor(request)
        if visitor is None:
            return _sign_in()
        if visitor.organization is None:
            return message_page(404, "There is no organization here yet.", "", visitor=visitor)
        after = request.query_params.get("after", "").replace("\0", "")
        found = await self.parts.database.read(
            human_senders.list_page, visitor.organization.id, after=after, limit=PAGE
        )
        more = None
        if len(found) == PAGE:
            last = urlencode({"after": found[-1].address})
            more = f"/people?{'&'.join(part for part in (visitor.question, last) if part)}"
        return page("people.html", visitor=visitor, people=found, more=more)

    async def clear(self, request: Request) -> Response:
        return await self._changed(request, self._clear)

    async def suppressions(self, request: Request) -> Response:
        visitor = await self.visitors.visitor(request)
        if visitor is None:
            return _sign_in()
        if visitor.organization is None:
            return message_page(404, "There is no organization here yet.", "", visitor=visitor)
        after = (clean(request.query_params.get("address", ""), 320), clean(request.query_params.get("stream", ""), 64))
        entries = await self.parts.database.read(
            suppressions.list_page, visitor.organization.id, self.parts.clock(), after=after, limit=PAGE
        )
        more = None
        if len(entries) == PAGE:
            last = urlencode({"address": entries[-1].address, "stream": entries[-1].stream})
            more = f"/suppressions?{'&'.join(part for part in (visitor.question, last) if part)}"
        return page("suppressions.html", visitor=visitor, entries=entries, more=more)

    async def lift(self, request: Request) -> Response:
        return await self._changed(request, self._lift)

    async def _changed(self, request: Request, do: _Do) -> Response:
        """Carries out a form, if the visitor may change things and the form came from a page of ours."""
        visitor = await self.visitors.visitor(request)
        if visitor is None:
            return _sign_in()
        if not visitor.manages or not self.parts.peers.same_origin(request):
            text = "This takes a key with the scope “manage”, and the form on the page."
            return message_page(403, "You may not do that here.", text, visitor=visitor)
        return RedirectResponse(await do(visitor, await read_form(request)), 303)

    async def _clear(self, visitor: Visitor, form: dict[str, str]) -> str:
        if visitor.sees_all:
            await self.parts.database.write(alarms.clear, form.get("cause", "").replace("\0", ""))
        return "/alarms"

    async def _lift(self, visitor: Visitor, form: dict[str, str]) -> str:
        if visitor.organization is not None:
            place = (form.get("stream", "").replace("\0", ""), form.get("address", "").replace("\0", ""))
            await self.parts.database.write(lifts.lift, visitor.organization.id, *place, now=self.parts.clock())
        return f"/suppressions?{visitor.question}" if visitor.question else "/suppressions"


def _sign_in() -> Response:
    return page("sign_in.html", 401, complaint="", visitor=None)
