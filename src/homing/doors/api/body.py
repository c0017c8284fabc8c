"""Reading a JSON body that anybody may have written: bounded in size, depth and number of values; strict in numbers."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from homing.doors.api.authorization import asks_for_key, look_at_key
from homing.doors.api.parts import parts_of
from homing.doors.api.problems import refused

DEEPEST = 32
MOST_VALUES = 20_000
"""Twice as many as the fullest body that we ask for: each may be wrong, and is then told of."""
_FEW = 1_000
READ_AT_ONCE = 64 * 1024
"""Octets of a body that is read at once, however many come; an organization's larger ones wait for each other."""

_BRACKET = re.compile(rb"[][{}]")


def read_json(body: bytes) -> Any:
    """The document, in UTF-8 (RFC 8259 §8.1); in other encodings its bounds could not be seen. Raises Rejected (400
    `json-invalid`, 413 `json-too-deep`)."""
    _bound(body)
    try:
        return json.loads(body.decode("utf-8-sig", "surrogatepass"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, json.JSONDecodeError) else "A number or a character is not valid JSON."
        raise refused(400, "json-invalid", "The body is not JSON (RFC 8259).", detail=why) from None


class JsonRoute(APIRoute):
    """A route whose body is read by `read_json`, and by nothing else; before it is read, the key is looked at.

    A large one that is full of faults takes the loop for a tenth of a second. Thus of each organization one is at work,
    and others come between its bodies.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        keyed = asks_for_key(self.dependant)

        async def strictly(request: Request) -> Response:
            caller = await look_at_key(request) if keyed else None
            if self.body_field and not _is_json(request.headers.get("content-type", "")):
                raise refused(415, "content-type-not-json", "Send the body as application/json.")
            given = _StrictRequest(request.scope, request.receive)
            if caller is None or not self.body_field or len(await given.body()) <= READ_AT_ONCE:
                return await handle(given)
            who = caller.organization.id if caller.organization else caller.key
            async with parts_of(request).large_bodies.of(who):
                return await handle(given)

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
    """Brackets in plain text are rare, so most bodies are done after three counts."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST and body.count(b",") <= _FEW:
        return
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > 4 * MOST_VALUES:
        raise _too_deep()
    bare = b"".join(unescaped.split(b'"')[::2])
    if sum(map(bare.count, (b"[", b"{", b","))) > MOST_VALUES or sum(map(bare.count, (b"]", b"}"))) > MOST_VALUES:
        raise _too_deep()
    depth = 0
    for bracket in _BRACKET.findall(bare):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise _too_deep()


def _too_deep() -> Exception:
    detail = f"At most {DEEPEST} levels and {MOST_VALUES:,} values are read."
    return refused(413, "json-too-deep", "The body is nested too deep or holds too many values.", detail=detail)


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
