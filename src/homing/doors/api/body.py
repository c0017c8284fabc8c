"""Reading a JSON body that anybody may have written: bounded in size, depth and number of values; strict in numbers."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from homing.doors.api.authorization import asks_for_key, look_at_key
from homing.doors.api.problems import refused

DEEPEST = 32
MOST_VALUES = 200_000
_FEW = 1_000

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[][{}]")


def read_json(body: bytes) -> Any:
    """The document. Raises Rejected (400 `json-invalid`, 413 `json-too-deep`)."""
    _bound(body)
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, json.JSONDecodeError) else "A number or a character is not valid JSON."
        raise refused(400, "json-invalid", "The body is not JSON (RFC 8259).", detail=why) from None


class JsonRoute(APIRoute):
    """A route whose body is read by `read_json`, and by nothing else; before it is read, the key is looked at."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        keyed = asks_for_key(self.dependant)

        async def strictly(request: Request) -> Response:
            if keyed:
                await look_at_key(request)
            if self.body_field and not _is_json(request.headers.get("content-type", "")):
                raise refused(415, "content-type-not-json", "Send the body as application/json.")
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body())
        return self._json


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _bound(body: bytes) -> None:
    """Brackets in plain text are rare, so most bodies are done after two counts."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST and body.count(b",") <= _FEW:
        return
    bare = _STRING.sub(b"", body)
    if bare.count(b"[") + bare.count(b"{") + bare.count(b",") > MOST_VALUES:
        raise _too_deep()
    depth = 0
    for bracket in _BRACKET.findall(bare):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise _too_deep()


def _too_deep() -> Exception:
    detail = f"At most {DEEPEST} levels and {MOST_VALUES} values are read."
    return refused(413, "json-too-deep", "The body is nested too deep or holds too many values.", detail=detail)


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
