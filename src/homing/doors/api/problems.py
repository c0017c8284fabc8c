"""Every refusal in one form: RFC 9457 problem+json with a stable `code`, all faults at once, and the request's id."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Match

from homing.doors.api.fields import UNKNOWN_FIELDS
from homing.flow import metrics
from homing.loop.problem import SHOWN_FAULTS, Fault, Problem, Rejected, how_many

_log = structlog.get_logger()

More = Callable[[Any, list[str]], list[Fault]]
"""Finds further faults of a body, given the pointers to those of its shape."""

_POINTER_LENGTH = 200
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_KEPT = ("x-request-id", "retry-after", "www-authenticate")

_OF_STATUS = {
    400: ("request-malformed", "The request cannot be read."),
    404: ("not-found", "There is nothing at this address."),
    405: ("method-not-allowed", "This address does not support that method."),
    413: ("body-too-large", "The request's body is too large."),
}
_OF_SHAPE = {
    "missing": ("field-missing", "This field is required."),
    "extra_forbidden": ("field-unknown", "There is no such field."),
    "unknown_fields": ("field-unknown", f"More than {UNKNOWN_FIELDS} fields of this object do not exist."),
    "string_type": ("type-wrong", "This must be text."),
    "string_unicode": ("text-not-unicode", "This text contains half a surrogate pair, which is not a character."),
    "string_too_long": ("text-too-long", "This text is too long."),
    "string_too_short": ("text-too-short", "This text is too short."),
    "string_pattern_mismatch": ("text-form", "This text does not have the documented form."),
    "too_long": ("too-many-items", "There are too many of these."),
    "model_type": ("type-wrong", "This must be an object."),
    "model_attributes_type": ("type-wrong", "This must be an object."),
    "dict_type": ("type-wrong", "This must be an object."),
    "list_type": ("type-wrong", "This must be a list."),
    "bool_type": ("type-wrong", "This must be true or false."),
    "int_type": ("type-wrong", "This must be a whole number."),
    "base64": ("base64-invalid", "This is not Base64 (RFC 4648 §4)."),
}


def refused(status: int, code: str, title: str, *, detail: str = "", faults: Sequence[Fault] = ()) -> Rejected:
    """A refusal by the API itself; its SMTP reply is a generic one."""
    return Rejected(550, "5.7.1", Problem(status=status, code=code, title=title, detail=detail, faults=tuple(faults)))


def invalid(faults: Iterable[Fault]) -> Rejected:
    """All that is wrong with what the caller sent."""
    found = tuple(faults)
    return refused(
        422, "invalid-request", "The request has faults.", detail=how_many(found, SHOWN_FAULTS), faults=found
    )


def not_found(detail: str = "") -> Rejected:
    """404, the same for what does not exist and for what belongs to another organization."""
    return refused(404, *_OF_STATUS[404], detail=detail)


def too_busy(title: str) -> Rejected:
    """503: what the gateway may take up for all callers together is taken up."""
    return Rejected(452, "4.3.1", Problem(status=503, code="gateway-busy", title=title, retry_after=5))


def share_taken(code: str, title: str) -> Rejected:
    """429: there is room, and the organization that asks holds its share of it."""
    metrics.SHARE_REFUSALS.labels(code).inc()
    return Rejected(450, "4.7.0", Problem(status=429, code=code, title=title, retry_after=10))


def shape_faults(errors: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Pydantic's findings in our words."""
    return [_shape_fault(error) for error in errors]


def pointer(steps: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901), bounded, and fit for any encoding."""
    escaped = (str(step)[:64].replace("~", "~0").replace("/", "~1") for step in steps)
    text = "".join(f"/{step}" for step in escaped)[:_POINTER_LENGTH]
    return text.encode("utf-8", "replace").decode()


def request_id(request: Request) -> str:
    return str(request.scope.get("homing.request_id", ""))


def render(problem: Problem, identifier: str) -> Response:
    """The answer to a refused request."""
    document: dict[str, Any] = {
        "type": f"urn:homing:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
    }
    if problem.detail:
        document["detail"] = problem.detail
    if problem.faults:
        shown = problem.faults[:SHOWN_FAULTS]
        document["errors"] = [{"pointer": one.path, "code": one.code, "message": one.message} for one in shown]
    document["request_id"] = identifier
    headers = {"X-Request-Id": identifier}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(document), problem.status, headers, media_type="application/problem+json")


Page = Callable[[int, str, str], Response]
"""A page for a person: status, title, text."""


def install(app: FastAPI, further: Mapping[Any, More], page: Page) -> None:
    """`further`: for an endpoint, what else is wrong with a body whose shape is wrong already. `page`: shown to
    browsers at addresses that are not the API's."""

    async def rejected(request: Request, error: Exception) -> Response:
        assert isinstance(error, Rejected)
        return _told(request, error.problem, page)

    async def unreadable(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = shape_faults(islice(error.errors(), SHOWN_FAULTS))
        more = further.get(request.scope.get("endpoint"))
        if more and len(faults) < SHOWN_FAULTS:
            faults += more(error.body, [fault.path for fault in faults])
        return _told(request, invalid(faults).problem, page)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _http_error(request, error, page)

    async def unavailable(request: Request, error: Exception) -> Response:
        if isinstance(error, DataError | IntegrityError | ProgrammingError):
            raise error  # a bug of ours
        _log.error("database does not answer", error=repr(error))
        detail = "It is not known whether the request was carried out: repeat it with the same Idempotency-Key."
        title = "The database does not answer."
        problem = Problem(status=503, code="database-unavailable", title=title, detail=detail, retry_after=5)
        return _told(request, problem, page)

    async def bug(request: Request, _: Exception) -> Response:
        title = "Something went wrong on our side; nothing is known to be wrong with the request."
        return _told(request, Problem(status=500, code="internal-error", title=title), page)

    app.add_exception_handler(Rejected, rejected)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(HTTPException, http_error)
    for absence in (DBAPIError, PoolTimeout, ConnectionError, TimeoutError):
        app.add_exception_handler(absence, unavailable)
    app.add_exception_handler(Exception, bug)


def _http_error(request: Request, error: HTTPException, page: Page) -> Response:
    if isinstance(error.__cause__, Rejected):  # raised while the body was read
        return _told(request, error.__cause__.problem, page)
    code, title = _OF_STATUS.get(error.status_code, ("request-refused", str(error.detail)))
    response = _told(request, Problem(status=error.status_code, code=code, title=title), page)
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(_allowed(request))
    return response


def _told(request: Request, problem: Problem, page: Page) -> Response:
    """In the form that whoever asks can read."""
    answer = render(problem, request_id(request))
    if _in_the_api(request):
        return answer
    if wants_page(request.headers.get("accept", "")):
        shown = page(problem.status, problem.title, problem.detail)
        shown.headers.update({name: value for name, value in answer.headers.items() if name in _KEPT})
        answer = shown
    answer.headers["Vary"] = "Accept"
    return answer


def wants_page(accept: str) -> bool:
    """Whether a browser asks: it names HTML, and JSON not before it (RFC 9110 §12.5.1)."""
    quality = {"text/html": 0.0, "json": 0.0}
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        kind = "json" if kind.endswith(("/json", "+json")) else kind
        if kind in quality:
            quality[kind] = max(quality[kind], min(map(_quality, parameters), default=1.0))
    return quality["text/html"] > quality["json"]


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 1.0


def _in_the_api(request: Request) -> bool:
    """Whether the address is one of the API, which answers programs."""
    return getattr(request.scope.get("route"), "include_in_schema", False)


def _allowed(request: Request) -> list[str]:
    """All methods of an address, over all its routes (RFC 9110 §10.2.1)."""

    def allowed(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in request.app.router.routes)

    return [method for method in _METHODS if allowed(method)]


def _shape_fault(error: Mapping[str, Any]) -> Fault:
    kind = error["type"]
    place, *steps = error["loc"]
    if place in {"query", "path", "header"}:
        steps = [f"{place}:{'.'.join(map(str, steps))}"]
    code, message = _OF_SHAPE.get(kind, ("value-invalid", str(error["msg"])[:200]))
    if kind == "value_error" and isinstance(error.get("ctx", {}).get("error"), ValueError):
        code, message = "value-invalid", str(error["ctx"]["error"])
    return Fault(pointer(steps), code, message)
