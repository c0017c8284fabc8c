"""Who may see the pages: requests from this machine, and holders of a key, who open a session with it."""

from dataclasses import dataclass
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from homing.doors.bounded_body import body_up_to
from homing.doors.http_places import key_shown
from homing.doors.web.parts import WebParts
from homing.doors.web.rendering import page
from homing.flow.keyring import Caller
from homing.flow.sessions import LASTS
from homing.loop import ids
from homing.loop.api_key import Scope
from homing.loop.model import OrganizationId
from homing.store import organizations
from homing.store.organizations import Organization

COOKIE = "homing_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Over TLS: no other host, and nothing in clear, can set a cookie of this name (RFC 6265bis §4.1.3.2)."""
LARGEST_FORM = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody who may look. `organization`: the one he looks at; `chooses`: there are others that he may see.
    `signed_in`: by a cookie, which can be laid down again. `sees_all`: an administrator, or who sits at this machine.
    `manages`: he may change what stands on a page."""

    organization: Organization | None
    signed_in: bool
    chooses: bool = False
    sees_all: bool = False
    manages: bool = False

    @property
    def question(self) -> str:
        """The query that keeps the chosen organization in the URL; "" without a choice."""
        if not self.chooses or self.organization is None:
            return ""
        return f"organization={ids.show('organization', self.organization.id)}"


@dataclass(frozen=True, slots=True)
class Visitors:
    parts: WebParts

    async def visitor(self, request: Request, chosen: UUID | None = None) -> Visitor | None:
        """The visitor; None: the page to sign in must be shown. `chosen`: the organization of the requested object."""
        caller = await self._session(request)
        if caller is not None:
            if not caller.may(Scope.READ):
                return None
            if caller.organization is not None:
                return Visitor(
                    organization=caller.organization,
                    signed_in=True,
                    manages=caller.may(Scope.MANAGE),
                )
        elif not (self.parts.open_here and self.parts.peers.is_local(request)):
            return None
        wanted = chosen or ids.read("organization", request.query_params.get("organization", ""))
        some = await self.parts.database.read(organizations.list_page, limit=2)
        found = next(iter(some), None)
        if wanted is not None:
            found = await self.parts.database.read(organizations.get, OrganizationId(wanted))
        return Visitor(
            organization=found,
            signed_in=caller is not None,
            chooses=len(some) > 1,
            sees_all=True,
            manages=True,
        )

    async def sign_in(self, request: Request) -> Response:
        """Checks the key from the form, and sets the session cookie."""
        if not self.parts.peers.same_origin(request):
            return page("sign_in.html", 403, complaint="Please use the form on this page.", visitor=None)
        key = (await read_form(request)).get("key", "").strip()
        caller = await self.parts.keyring.caller(key)
        if caller is None or not caller.may(Scope.READ):
            return page("sign_in.html", 403, complaint="This is not a valid key with the scope “read”.", visitor=None)
        key_shown(request)
        secure = self.parts.peers.is_secure(request)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            SECURE_COOKIE if secure else COOKIE,
            await self.parts.sessions.begin(key),
            max_age=int(LASTS.total_seconds()),
            path="/",
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return response

    async def sign_out(self, request: Request) -> Response:
        """Ends the session, here and wherever its cookie was copied to."""
        response = RedirectResponse("/", 303)
        if self.parts.peers.same_origin(request):
            await self.parts.sessions.end(self._cookie(request))
            secure = self.parts.peers.is_secure(request)
            response.delete_cookie(SECURE_COOKIE if secure else COOKIE, path="/", secure=secure)
        return response

    async def _session(self, request: Request) -> Caller | None:
        caller = await self.parts.sessions.caller(self._cookie(request))
        if caller is not None:
            key_shown(request)
        return caller

    def _cookie(self, request: Request) -> str:
        return request.cookies.get(SECURE_COOKIE if self.parts.peers.is_secure(request) else COOKIE, "")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a small form; empty for any other body."""
    body = await body_up_to(request, LARGEST_FORM)
    if body is None:
        return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
