"""The middleware around every request: an id, a limit on its body, and the headers that every answer has."""

import re
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homing.doors.api.parts import SMALL_BODY, ApiParts
from homing.doors.api.problems import render, share_taken, too_busy
from homing.doors.budget import NoRoomError
from homing.doors.shares import Holder, NoShareError, Shares
from homing.loop.problem import Problem

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class RequestMiddleware:
    """ASGI middleware. `largest`: octets of a request's body, whether announced or just sent."""

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, parts = Headers(scope=scope), cast("ApiParts", scope["app"].state.api)
        identifier = _identifier(headers, parts)
        scope["homing.request_id"] = identifier
        body = _Body(receive, scope, parts, self._largest)

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["X-Request-Id"] = identifier
                for name, value in _SAFE.items():
                    answer.setdefault(name, value)
                body.answered = True
                if message["status"] >= 400 and body.coming:
                    answer["Connection"] = "close"  # the rest is not read
            await send(message)

        if not body.fits:
            too_large = Problem(status=413, code="body-too-large", title="The request's body is too large.")
            await render(too_large, identifier)(scope, receive, framed)
            return
        try:
            await self._app(scope, body.receive, framed)
        except ClientDisconnect:
            return  # gone in the middle of its body: no fault of ours, and nobody to be told
        finally:
            body.let_go()


class _Body:
    """A request's body on its way to the application, which holds it in memory until it has answered."""

    def __init__(self, receive: Receive, scope: Scope, parts: ApiParts, largest: int) -> None:
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "0")
        self.fits = announced.isdecimal() and len(announced) <= 12 and int(announced) <= largest
        self.coming = announced != "0" or "transfer-encoding" in headers
        self.answered = False
        self._receive = receive
        self._scope = scope
        self._parts = parts
        self._largest = largest
        self._held = 0
        self._has_place = False

    async def receive(self) -> Message:
        """Raises HTTPException (413) and Rejected (429, 503)."""
        if self.coming and not self.answered:
            self._begin_upload()
        message = await self._receive()
        self.coming = self.coming and message.get("more_body", False)
        if not self.coming:
            self._end_upload()
        if self.answered:
            return message  # a live stream waits for its end, and keeps nothing of it
        octets = len(message.get("body", b""))
        if self._held + octets > self._largest:
            raise HTTPException(413)
        bodies = self._parts.bodies
        _take(bodies, self._holder, octets, leaving=bodies.whole // 4 if self._held > SMALL_BODY else 0)
        self._held += octets
        return message

    def let_go(self) -> None:
        self._end_upload()
        self._parts.bodies.give_back(self._holder, self._held)
        self._held = 0

    @property
    def _holder(self) -> Holder:
        """Known from when its key was looked at, before anything is read."""
        return self._scope.get("homing.holder")

    def _begin_upload(self) -> None:
        """Strangers need no place: their connections give way to whoever comes."""
        if self._holder is not None and not self._has_place:
            _take(self._parts.uploads, self._holder, 1)
            self._has_place = True

    def _end_upload(self) -> None:
        if self._has_place:
            self._parts.uploads.give_back(self._holder)
            self._has_place = False


def _take(shares: Shares, holder: Holder, amount: int, *, leaving: int = 0) -> None:
    try:
        shares.take(holder, amount, leaving=leaving)
    except NoShareError:
        title = "Your organization has as many request bodies under way as it may at the moment."
        raise share_taken("too-many-bodies", title) from None
    except NoRoomError:
        raise too_busy("There is no room for the request's body at the moment.") from None


def _identifier(headers: Headers, parts: ApiParts) -> str:
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else parts.dice().hex()
