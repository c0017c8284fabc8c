"""Endpoints for operation: health, metrics, and the SMS provider's callbacks."""

import asyncio
from typing import Literal

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from homing.doors.api.body import JsonRoute
from homing.doors.api.parts import Parts
from homing.doors.api.problems import refused
from homing.doors.bounded_body import body_up_to
from homing.doors.http_places import key_shown
from homing.loop.api_key import Scope
from homing.loop.problem import Problem, Rejected
from homing.loop.watch import LoopState

router = APIRouter(route_class=JsonRoute, tags=["operations"])

PATIENCE = 2.0
LARGEST_CALLBACK = 64 * 1024


class Health(BaseModel):
    """`return_path`: whether failures find their way back, as the loop watch has it. `store`: `held` while nothing that
    is queued is begun, since the database was restored from a backup."""

    status: Literal["ok"]
    disk: Literal["ok", "low"]
    store: Literal["ok", "held"]
    return_path: LoopState


@router.get("/healthz", summary="Health", responses={503: {"description": "The database does not answer."}})
async def health(parts: Parts) -> Health:
    """200 when this process can read its database. `disk` is `low` while nothing is accepted for want of room."""
    try:
        async with asyncio.timeout(PATIENCE):
            standing = await parts.loop_watch.standing()
            await parts.database.read(_one)
    except (TimeoutError, SQLAlchemyError, OSError):
        title = "The database does not answer."
        problem = Problem(status=503, code="database-unavailable", title=title, retry_after=5)
        raise Rejected(451, "4.3.0", problem) from None
    disk: Literal["ok", "low"] = "low" if parts.acceptance.disk.is_low else "ok"
    store: Literal["ok", "held"] = "held" if parts.store_watch.hold.is_held else "ok"
    return Health(status="ok", disk=disk, store=store, return_path=standing.state)


@router.get("/metrics", summary="Metrics", response_class=Response)
async def metrics(request: Request, parts: Parts) -> Response:
    """For Prometheus: from this machine, or with an administrator's key."""
    if not parts.peers.is_local(request):
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        caller = await parts.keyring.caller(key) if scheme.lower() == "bearer" else None
        if caller is None or not caller.may(Scope.ADMIN):
            raise refused(401, "key-invalid", "Send an administrator's API key.")
        key_shown(request)
    return Response(generate_latest(parts.metrics), media_type=CONTENT_TYPE_LATEST)


@router.post("/v1/sms/status/{token}", status_code=204, response_class=Response, summary="Receive an SMS callback")
async def sms_status(token: str, request: Request, parts: Parts) -> Response:
    """What became of a text message, from its provider. The token in the path authorizes it."""
    body = await body_up_to(request, LARGEST_CALLBACK)
    if body is None or not await parts.sms_status(token, body):
        raise refused(404, "sms-unknown", "This is not about a text message that we sent.")
    return Response(status_code=204)


def _one(conn: sa.Connection) -> None:
    conn.execute(sa.select(1))
