"""Somebody sets the machine's clock a month ahead while mail is under way."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from homing.app import Clock, build
from homing.lab.world import World
from homing.store import tables

from .gateway import Application, Story, a_story, settings_in, until

JANET, JOHN = "janet@example.net", "john@corp.com"


class Wall:
    """The machine's clock."""

    def __init__(self) -> None:
        self.ahead = self.passed = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def set_ahead(self, **span: float) -> None:
        self.ahead += timedelta(**span)

    def passes(self, **span: float) -> None:
        """Time goes by, for every clock of the machine."""
        self.ahead += timedelta(**span)
        self.passed += timedelta(**span)

    def monotonic(self) -> float:
        return time.monotonic() + self.passed.total_seconds()


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
        message = await crm.becomes(sent, "delivered", "deferred")
    john, _ = message["deliveries"]
    assert [attempt["reply_code"] for attempt in john["attempts"]] == [450, 250]
    assert [log["seconds"] for log in logs if "jumped" in log["event"]] == [pytest.approx(30 * 86_400, abs=60)]
    assert "homing_clock_jumps_total" in (await story.http.get("/metrics")).text
    wall.set_ahead(days=-30)
    await crm.becomes(sent, "delivered", "deferred")
    story.advance(days=4)
    await crm.becomes(sent, "delivered", "deferred")
    story.advance(days=1, hours=4)
    await crm.becomes(sent, "delivered", "expired")


async def test_a_start_under_a_clock_that_is_ahead_expires_nothing(tmp_path: Path, wall: Wall) -> None:
    """Nor does the next one, as long as it stays ahead."""
    async with World("acme-mail.com") as world:
        wish = settings_in(world, tmp_path)
        wish.data_dir.mkdir()
        world.mx("corp.com").greylists(JOHN, times=3)
        for start, state in enumerate(("deferred", "deferred", "deferred", "delivered")):
            if start == 1:
                wall.set_ahead(days=10)
            clock = Clock(wall, wall.monotonic)
            app = build(wish, clock)
            async with app.running(), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http:
                world.gateway_is_at("127.0.0.1", app.smtp_port)
                for key in app.keys.signing:
                    world.publish_key(key.selector, key.dns_record())
                story = Story(world, app, clock, http)
                if start == 0:
                    crm = await story.application()
                    await crm.person("Janet Roe", JANET)
                    sent = await crm.send(JANET, JOHN)
                else:
                    crm.story = story
                    wall.passes(hours=1)

                await _tried(crm, sent, start + 1)
                await crm.becomes(sent, state)
                await app.tidier.look()
                assert (clock.jumped_at() is not None) is (start > 0)


async def _tried(crm: Application, sent: dict[str, Any], times: int) -> None:
    async def there() -> bool:
        (delivery,) = (await crm.message(sent))["deliveries"]
        return len(delivery["attempts"]) == times

    await until(there)


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
    assert await story.app.database.read(_contents) >= contents
    story.advance(days=2)
    await story.app.tidier.look()
    assert not contents <= await story.app.database.read(_contents), "a clock that stays where it is set is believed"


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


def _contents(conn: sa.Connection) -> set[UUID]:
    return set(conn.execute(sa.select(tables.message_content.c.message)).scalars())
