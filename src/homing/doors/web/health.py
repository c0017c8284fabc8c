"""The page on how the gateway itself is: whether failures find their way back, what waits, and what is held."""

from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response

from homing.doors.web.parts import WebParts
from homing.doors.web.rendering import message_page, page
from homing.doors.web.visitors import Visitors
from homing.loop.watch import CURES
from homing.store import alarms, figures, loop_probes, store_mark

ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Health:
    parts: WebParts
    visitors: Visitors

    async def show(self, request: Request) -> Response:
        visitor = await self.visitors.visitor(request)
        if visitor is None:
            return page("sign_in.html", 401, complaint="", visitor=None)
        if not visitor.sees_all:
            return message_page(404, "There is no such page.", "Only administrators see this page.", visitor=visitor)
        database = self.parts.database
        waiting = await database.read(figures.waiting, self.parts.clock())
        return page(
            "health.html",
            visitor=visitor,
            held_at=(await database.read(store_mark.standing)).held_at,
            standing=await self.parts.loop_watch.standing(),
            every=self.parts.loop_watch.every,
            rounds=await database.read(loop_probes.ended, ROUNDS),
            cures=CURES,
            deliveries=waiting.deliveries,
            cases=waiting.cases,
            oldest_due=waiting.oldest_due,
            alarms=await database.read(alarms.count),
        )
