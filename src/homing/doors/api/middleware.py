"""The middleware around every request: an id, a limit on its body, and the headers that every answer has."""

import re
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homing.doors.api.parts import ApiParts
from homing.doors.api.problems import render, too_busy
from homing.doors.budget import Budget, NoRoomError
from homing.loop.problem import Problem

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_SMALL = 1024 * 1024
"""Octets of a body; the last quarter of the room is for those that are not larger."""


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
        body = _Body(receive, parts.bodies, self._largest, headers)

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

    def __init__(self, receive: Receive, budget: Budget, largest: int, headers: Headers) -> None:
        announced = headers.get("content-length", "0")
        self.fits = announced.isdecimal() and len(announced) <= 12 and int(announced) <= largest
        self.coming = announced != "0" or "transfer-encoding" in headers
        self.answered = False
        self._receive = receive
        self._budget = budget
        self._largest = largest
        self._held = 0

    async def receive(self) -> Message:
        """Raises HTTPException (413) and Rejected (503)."""
        message = await self._receive()
        self.coming = self.coming and message.get("more_body", False)
        if self.answered:
            return message  # a live stream waits for its end, and keeps nothing of it
        octets = len(message.get("body", b""))
        if self._held + octets > self._largest:
            raise HTTPException(413)
        try:
            self._budget.take(octets, leaving=self._budget.octets // 4 if self._held > _SMALL else 0)
        except NoRoomError:
            raise too_busy("There is no room for the request's body at the moment.") from None
        self._held += octets
        return message

    def let_go(self) -> None:
        self._budget.give_back(self._held)
        self._held = 0


def _identifier(headers: Headers, parts: ApiParts) -> str:
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else parts.dice().hex()
