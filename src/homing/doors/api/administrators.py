"""Keys of administrators, beside the one in the settings: each person and each program can have one of its own."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from homing.doors.api.authorization import Administrator
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import Strict
from homing.doors.api.organizations import KeyIn, KeyMade, Keys, WhichKeys, keys_of, make_key
from homing.doors.api.parts import Parts
from homing.doors.api.problems import not_found
from homing.loop import ids
from homing.loop.api_key import Scope
from homing.store import organizations

router = APIRouter(route_class=JsonRoute, tags=["administrators"])


class AdministratorKeyIn(Strict):
    name: str = Field(examples=["deploy"])
    scopes: list[Literal[Scope.ADMIN, Scope.ATTEST]] = Field(
        [Scope.ADMIN],
        min_length=1,
        max_length=2,
        description="`attest` alone: it may vouch for addresses of people, in every organization, and do nothing else.",
    )


@router.post("/v1/administrator_keys", status_code=201, summary="Create an administrator's key")
async def create_administrator_key(body: AdministratorKeyIn, _: Administrator, parts: Parts) -> KeyMade:
    """It may do everything, unless its only scope is `attest`. The key itself is in this answer and nowhere else."""
    return await make_key(parts, None, KeyIn(name=body.name, scopes=[*body.scopes]))


@router.get("/v1/administrator_keys", summary="List administrators' keys")
async def list_administrator_keys(question: Annotated[WhichKeys, Query()], _: Administrator, parts: Parts) -> Keys:
    """Revoked ones too; the key in the settings is not among them."""
    return await keys_of(parts, None, question)


@router.delete("/v1/administrator_keys/{key}", status_code=204, summary="Revoke an administrator's key")
async def revoke_administrator_key(key: str, _: Administrator, parts: Parts) -> Response:
    identifier = ids.read("api_key", key)
    if identifier is None or not await parts.database.write(organizations.revoke_key, None, identifier, parts.clock()):
        raise not_found()
    parts.keyring.forget()
    return Response(status_code=204)
