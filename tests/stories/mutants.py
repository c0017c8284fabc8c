"""Gateways with one planted fault each. A check that was never seen to fail proves nothing."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import sqlalchemy as sa

from homing.store import accepted_messages, deliveries, tables
from homing.store.accepted_messages import AcceptedMessage, Added
from homing.store.database import Database
from homing.store.record import DeliveryEvidence, record

Item = TypeVar("Item")
T = TypeVar("T")


class AckBeforeCommit(Database):
    """Says 202 at once and commits 20 to 50 ms later: a kill in between loses what was acknowledged."""

    async def write_grouped(self, fn: Callable[[sa.Connection, list[Item]], list[T]], item: Item) -> T:
        if fn is not accepted_messages.add:
            return await super().write_grouped(fn, item)
        assert isinstance(item, AcceptedMessage)
        if await self.read(_is_known, item):
            return await super().write_grouped(fn, item)
        self._late = getattr(self, "_late", set())
        task = asyncio.create_task(self._commit_later(item))
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        answer: Any = Added(response=item.respond(frozenset()))
        return answer

    async def _commit_later(self, item: AcceptedMessage) -> None:
        await asyncio.sleep(random.uniform(0.02, 0.05))
        await super().write_grouped(accepted_messages.add, item)


def _is_known(conn: sa.Connection, item: AcceptedMessage) -> bool:
    """A message that was asked for before gets the honest answer: the planted fault is one alone."""
    key = item.idempotency.key if item.idempotency else ""
    return conn.execute(sa.select(sa.literal(1)).where(tables.idempotency.c.key == key)).first() is not None


class NoIntent(Database):
    """Writes an attempt only when it has ended: a copy that went out before a kill is known to nobody."""

    async def write_grouped(self, fn: Callable[[sa.Connection, list[Item]], list[T]], item: Item) -> T:
        if fn is deliveries.begin_attempts:
            opened: Any = True
            return opened
        if fn is record:
            assert isinstance(item, DeliveryEvidence)
            if item.attempt is not None:
                item = replace(item, attempt=replace(item.attempt, id=None))
        return await super().write_grouped(fn, item)


MUTANTS: dict[str, type[Database]] = {"ack-before-commit": AckBeforeCommit, "no-intent": NoIntent}
