"""Leaving a bulk stream, without the page: what a look and what a use leave in the store."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from homing.flow.unsubscribe import Unsubscribing
from homing.loop.model import State
from homing.loop.token import Purpose, TokenKey, Tokens
from homing.store import alarms, tables
from homing.store.database import Database
from tests.flow.clock import Clock
from tests.store.scenes import NOW, all_rows, an_organization, fresh, state_of, submitted

TOKENS = Tokens([TokenKey(id=1, secret=b"k" * 32, since=NOW - timedelta(days=1))])
DAY = timedelta(days=1)
JOHN = "John@corp.example"


@pytest.fixture
def unsubscribing(database: Database, clock: Clock) -> Unsubscribing:
    return Unsubscribing(database=database, tokens=TOKENS, clock=clock)


def token_of(delivery: UUID, purpose: Purpose = Purpose.UNSUBSCRIBE) -> str:
    return TOKENS.mint(purpose, delivery, made=NOW, last_day=(NOW + DAY).date())


async def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    return {table.name: await database.read(all_rows, table) for table in tables.metadata.sorted_tables}


async def test_a_look_tells_what_it_is_about_and_changes_nothing(
    unsubscribing: Unsubscribing, database: Database
) -> None:
    organization = await an_organization(database)
    [one] = (await submitted(database, organization, JOHN, stream="news")).deliveries
    before = await everything(database)
    for _ in range(2):
        found = await unsubscribing.look(token_of(one.id))
        assert found is not None
        assert (found.sent.delivery.id, found.sent.stream, found.organization) == (one.id, "news", organization)
        assert not found.left
    assert await everything(database) == before


async def test_a_use_leaves_one_stream_of_one_organization_once(
    unsubscribing: Unsubscribing, database: Database
) -> None:
    mine, other = await an_organization(database), await an_organization(database)
    [one] = (await submitted(database, mine, JOHN, stream="news")).deliveries
    used = await unsubscribing.use(token_of(one.id))
    assert used is not None
    [entry] = await database.read(all_rows, tables.suppression)
    assert (entry["organization"], entry["stream"], entry["address"]) == (mine.id, "news", JOHN.lower())
    assert (entry["reason"], entry["expires_at"]) == ("unsubscribe", None)
    after = await everything(database)
    for look in (unsubscribing.use, unsubscribing.look):
        again = await look(token_of(one.id))
        assert again is not None
        assert again.left
    assert await everything(database) == after, "he has left already"
    for organization, stream, state in (
        (mine, "news", State.SUPPRESSED),
        (mine, "calls", State.QUEUED),
        (other, "news", State.QUEUED),
    ):
        [next_one] = (await submitted(database, organization, JOHN, stream=stream)).deliveries
        assert await state_of(database, organization, next_one.id) is state


async def test_a_token_has_its_time_its_purpose_and_its_delivery(
    unsubscribing: Unsubscribing, database: Database, clock: Clock
) -> None:
    [one] = (await submitted(database, await an_organization(database), JOHN, stream="news")).deliveries
    others = [token_of(one.id, purpose) for purpose in Purpose if purpose is not Purpose.UNSUBSCRIBE]
    before = await everything(database)
    for dead in (*others, "", "a" * 48):
        assert await unsubscribing.use(dead) is None
    clock.now = NOW + 2 * DAY
    assert await unsubscribing.use(token_of(one.id)) is None, "its last day is over"
    assert await everything(database) == before
    clock.now = NOW + DAY
    assert await unsubscribing.look(token_of(one.id)) is not None


async def test_who_leaves_a_delivery_that_a_restore_has_taken_is_not_passed_over(
    unsubscribing: Unsubscribing, database: Database
) -> None:
    lost = fresh()
    assert await unsubscribing.use(token_of(lost)) is None
    [alarm] = await database.read(alarms.list_all)
    assert alarm.cause == "missing-from-store"
    assert lost.hex in alarm.text
