"""The whole of this door: every route, in one application."""

from functools import cache

from fastapi import APIRouter, FastAPI

from homing.doors.api import (
    administrator_proofs,
    administrators,
    alarms,
    dkim,
    doctor,
    domains,
    events,
    human_senders,
    inbound,
    loop_watch,
    messages,
    operations,
    organizations,
    policies,
    problems,
    store,
    suppression_imports,
    suppression_lifts,
    suppressions,
)
from homing.doors.api.message_input import further_faults
from homing.doors.api.middleware import RequestMiddleware
from homing.doors.api.parts import LARGEST_BODY, ApiParts

_ABOUT = """E-mail that reports back.

Every error is `application/problem+json` (RFC 9457) with a stable `code`, all faults in `errors`, and a `request_id`.
"""


@cache
def api_router() -> APIRouter:
    """All routes. They find their parts in the application that they serve, so that those of one process share them:
    to make them takes a quarter of a second."""
    router = APIRouter(
        responses={
            401: {"description": "`key-invalid`: no valid API key."},
            "4XX": {
                "description": "A problem (RFC 9457).",
                "content": {"application/problem+json": {"schema": _PROBLEM}},
            },
        }
    )
    for room in (
        messages,
        events,
        inbound,
        human_senders,
        policies,
        suppressions,
        suppression_lifts,
        suppression_imports,
        organizations,
        administrator_proofs,
        administrators,
        dkim,
        domains,
        doctor,
        alarms,
        loop_watch,
        store,
        operations,
    ):
        router.include_router(room.router)
    return router


def create_api(parts: ApiParts, page: problems.Page) -> FastAPI:
    """The application. `page`: what it shows to a browser that has lost its way. Other routers may be mounted on it;
    they get the same frame around their requests."""
    # A slash too many is no address of ours: a redirect to what the Host field names could lead out of TLS.
    app = FastAPI(
        title="Homing", version="1", description=_ABOUT, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.api = parts
    app.add_middleware(RequestMiddleware, largest=LARGEST_BODY)
    problems.install(app, {messages.create_message: further_faults}, page)
    app.router.routes.extend(api_router().routes)
    return app


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "message"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer (RFC 6901)."},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
        "request_id": {"type": "string"},
    },
}
