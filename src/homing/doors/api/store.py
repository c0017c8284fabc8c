"""The store as a whole: whether it was restored from a backup, and what is held since. For administrators."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from homing.doors.api.authorization import Administrator
from homing.doors.api.body import JsonRoute
from homing.doors.api.parts import ApiParts, Parts
from homing.doors.api.problems import refused
from homing.loop.model import State
from homing.store import figures, store_mark

router = APIRouter(route_class=JsonRoute, tags=["operations"])


class StoreOut(BaseModel):
    """`deliveries`, `actions`: how many wait; `oldest_due`: since when the longest waiting delivery has been due."""

    state: Literal["ok", "held"] = Field(description="`held`: nothing that is queued is begun.")
    generation: int = Field(description="Which every cursor of events names. It changes by a release alone.")
    held_at: datetime | None
    deliveries: int
    actions: int
    oldest_due: datetime | None


@router.get("/v1/store", summary="Show the store")
async def show_store(_: Administrator, parts: Parts) -> StoreOut:
    """Whether it was restored from a backup, so that what is queued is held, and how much that is."""
    await parts.store_watch.look()
    return await _out(parts)


@router.post("/v1/store/hold", summary="Hold what is queued")
async def hold_store(_: Administrator, parts: Parts) -> StoreOut:
    """For a restore that cannot be noticed, as of a snapshot of the whole machine. New messages are accepted and wait;
    mail that comes back is read."""
    await parts.store_watch.look()
    await parts.store_watch.hold_now("an administrator asked for it")
    return await _out(parts)


@router.post("/v1/store/release", summary="Release what is held")
async def release_store(_: Administrator, parts: Parts) -> StoreOut:
    """Begin a new generation: on all nodes what is queued goes out within seconds, and cursors of events of before are
    out of date. 409 `store-not-held` where nothing is held."""
    await parts.store_watch.look()
    if await parts.store_watch.release() is None:
        raise refused(409, "store-not-held", "Nothing is held.")
    return await _out(parts)


async def _out(parts: ApiParts) -> StoreOut:
    now_is = await parts.database.read(store_mark.standing)
    waiting = await parts.database.read(figures.waiting, parts.clock())
    return StoreOut(
        state="ok" if now_is.held_at is None else "held",
        generation=now_is.mark.generation,
        held_at=now_is.held_at,
        deliveries=waiting.deliveries[State.QUEUED] + waiting.deliveries[State.DEFERRED],
        actions=await parts.database.read(figures.actions_waiting),
        oldest_due=waiting.oldest_due,
    )
