"""Somebody sets the machine's clock a month ahead while mail is under way."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from homing.app import Clock
from homing.store import tables

from .gateway import Story, a_story, until

JANET, JOHN = "janet@example.net", "john@corp.com"


class Wall:
    """The machine's clock."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def set_ahead(self, **span: float) -> None:
        self.ahead += timedelta(**span)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def story(tmp_path: Path, wall: Wall) -> AsyncIterator[Story]:
    async with a_story(tmp_path, Clock(wall, time.monotonic)) as story:
        yield story


async def test_what_waits_is_tried_again_and_not_given_up(story: Story, wall: Wall) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").greylists(JOHN).is_full("mary@corp.com")
    sent = await crm.send(JANET, JOHN, "mary@corp.com")
    await crm.becomes(sent, "deferred", "deferred")
    with capture_logs() as logs:
        wall.set_ahead(days=30)
        message = await crm.becomes(sent, "delivered", "expired")
    john, mary = message["deliveries"]
    assert [attempt["reply_code"] for attempt in john["attempts"]] == [450, 250]
    assert [attempt["reply_code"] for attempt in mary["attempts"]] == [452, 452], "one more, and then it is over"
    assert [log["seconds"] for log in logs if "jumped" in log["event"]] == [pytest.approx(30 * 86_400, abs=60)]
    assert "homing_clock_jumps_total" in (await story.http.get("/metrics")).text


async def test_no_lease_is_taken_and_nothing_is_erased(story: Story, wall: Wall) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").is_slow("slow@corp.com", 3)
    await crm.becomes(await crm.send(JANET, JOHN), "delivered")
    slow = await crm.send(JANET, "slow@corp.com")
    await crm.becomes(slow, "sending")
    contents = await story.app.database.read(_contents)
    wall.set_ahead(days=40)
    await story.app.tidier.look()
    (delivery,) = (await crm.becomes(slow, "delivered"))["deliveries"]
    assert [(one["reply_code"], one["in_doubt"]) for one in delivery["attempts"]] == [(250, False)]
    assert await story.app.database.read(_contents) == contents
    story.advance(days=2)
    await story.app.tidier.look()
    assert await story.app.database.read(_contents) < contents, "a clock that stays where it is set is believed"


async def test_what_a_wrong_clock_put_off_comes_when_it_is_put_right(story: Story, wall: Wall) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    changed = await crm.call("PATCH", "/v1/organization", {"webhook_url": story.world.webhooks.url})
    story.world.webhooks.secret = changed.json()["webhook_secret"]
    await crm.policy("program", {"kind": "webhook"})
    wall.set_ahead(days=30)
    story.world.mx("corp.com").greylists(JOHN).refuses("mary@corp.com")
    sent = await crm.send(JANET, JOHN, "mary@corp.com", failure_policy="program")
    await crm.becomes(sent, "deferred", "bounced")

    async def put_off() -> bool:
        (_, mary) = (await crm.message(sent))["deliveries"]
        (action,) = mary["case"]["actions"]
        return (action["state"], action["tries"]) == ("due", 1)  # a signature from next month is refused

    await until(put_off)
    wall.set_ahead(days=-30)
    story.clock()  # it is looked at all the time
    await story.app.tidier.look()
    await crm.becomes(sent, "delivered", "bounced")
    await crm.hears("notified", sent)


def _contents(conn: sa.Connection) -> int:
    return len(conn.execute(sa.select(tables.message_content.c.message)).all())
