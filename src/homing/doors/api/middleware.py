"""The middleware around every request: an id, a limit on its body, and the headers that every answer has."""

import re
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homing.doors.api.parts import ApiParts
from homing.doors.api.problems import render
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
        headers = Headers(scope=scope)
        identifier = _identifier(headers, cast("ApiParts", scope["app"].state.api))
        scope["homing.request_id"] = identifier
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._largest:
                raise HTTPException(413)
            return message

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["X-Request-Id"] = identifier
                for name, value in _SAFE.items():
                    answer.setdefault(name, value)
            await send(message)

        announced = headers.get("content-length", "0")
        if not announced.isdecimal() or len(announced) > 12 or int(announced) > self._largest:
            too_large = Problem(status=413, code="body-too-large", title="The request's body is too large.")
            await render(too_large, identifier)(scope, receive, framed)
            return
        await self._app(scope, bounded, framed)


def _identifier(headers: Headers, parts: ApiParts) -> str:
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else parts.dice().hex()
