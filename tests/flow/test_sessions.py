"""Sessions: what opens one, and each of the things that end it."""

import os
from datetime import timedelta

import pytest

from homing.flow.keyring import Keyring
from homing.flow.sessions import LASTS, Sessions
from homing.store import tables
from homing.store.database import Database
from tests.flow.clock import Clock
from tests.store.scenes import all_rows

KEY = "homing_admin_0123456789"


@pytest.fixture
def sessions(database: Database, clock: Clock) -> Sessions:
    keyring = Keyring(database=database, clock=clock, administrator_key=KEY)
    return Sessions(database=database, keyring=keyring, clock=clock, secret=lambda: os.urandom(32))


async def test_it_lasts_half_a_day_and_no_longer(sessions: Sessions, clock: Clock) -> None:
    value = await sessions.begin(KEY)
    clock.advance(LASTS - timedelta(seconds=1))
    assert await sessions.caller(value)
    clock.advance(timedelta(seconds=1))
    assert await sessions.caller(value) is None


async def test_it_ends_with_its_key_and_by_itself_alone(sessions: Sessions) -> None:
    one, other = await sessions.begin(KEY), await sessions.begin(KEY)
    assert one != other
    await sessions.end(one)
    assert await sessions.caller(one) is None
    assert await sessions.caller(other)
    sessions.keyring.administrator_key = f"{KEY}x"
    assert await sessions.caller(other) is None


async def test_the_store_holds_neither_value_nor_key(sessions: Sessions, database: Database) -> None:
    value = await sessions.begin(KEY)
    [row] = await database.read(all_rows, tables.session)
    assert value not in str(row)
    assert KEY not in str(row)
    for guess in (row["hash"], row["key_hash"], "", "x" * 10_000, "\udcff"):
        assert await sessions.caller(guess) is None
