"""A gateway whose return path is broken knows it: the MX record, the port, another server, the token keys."""

import html
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY

from homing.app import Clock, build
from homing.flow import watch_loop
from homing.lab.world import World
from homing.loop.model import OPERATOR
from homing.loop.token import TokenKey, Tokens
from homing.loop.watch import LoopProbe
from homing.store import alarms, loop_probes, tables

from .gateway import Story, a_story, plain_text, settings_in, until

ADMINISTRATOR = "postmaster@acme-admin.com"
UNHEARD = "Your failures may be going unheard"
RETURN_DOMAIN = "b.post.acme-mail.com"
COUNTED = ("homing_returns_total", "homing_conclusions_total")


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    async with a_story(tmp_path, open_pages_here=True) as story:
        await story.application()
        story.world.dns.publish(story.app.settings.hostname, "A 127.0.0.1")  # which other mail of ours would not go to
        story.world.mx("acme-admin.com")
        await story.app.loop_watch.look()
        yield story


async def test_whatever_breaks_is_named_within_two_rounds_and_its_alarm_closes(story: Story) -> None:
    assert (await a_round(story)).fault is None
    tokens = story.app.receiver.tokens
    for broken in ("no-mx", "unreachable", "refused", "token-refused"):
        breaks(story, broken)
        ended = await a_round(story)
        if await state(story) == "doubtful":
            assert await causes(story) == [], "it may pass"
            ended = await a_round(story)
        assert (ended.fault, await state(story)) == (broken, "broken")
        assert await causes(story) == [f"return-path-{broken}"]
        assert REGISTRY.get_sample_value("homing_return_path_ok") == 0

        story.app.loop_watch.port = story.app.smtp_port
        story.world.gateway_is_at("127.0.0.1", story.app.smtp_port)
        story.app.receiver.tokens = tokens
        ended = await a_round(story)
        assert (ended.fault, await state(story), await causes(story)) == (None, "ok", [])
        assert REGISTRY.get_sample_value("homing_return_path_ok") == 1


async def test_it_watches_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_loop, "_LOOK_EVERY", 0.05)
    async with a_story(tmp_path) as story:
        await until(lambda: story.app.database.read(loop_probes.newest))
        story.advance(minutes=1)

        async def is_ok() -> bool:
            return await state(story) == "ok"

        await until(is_ok)


async def test_everybody_is_told(story: Story) -> None:
    assert UNHEARD not in (await story.http.get("/")).text
    assert (await story.http.get("/healthz")).json()["return_path"] == "unknown"
    breaks(story, "no-mx")
    await a_round(story)
    told = (await story.http.get("/v1/loop_watch", headers=story.administrator)).json()
    cure = told["rounds"][0]["cure"]
    for path in ("/", "/health"):
        shown = (await story.http.get(path)).text
        assert UNHEARD in shown
        assert html.escape(cure) in shown
    assert (await story.http.get("/healthz")).json()["return_path"] == "broken"
    await story.app.alarm_notifier.warn()
    [letter] = await story.world.mx("acme-admin.com").wait_for(ADMINISTRATOR)
    assert cure in " ".join(plain_text(letter).split())


async def test_a_probe_is_nobodys_mail(story: Story) -> None:
    before = counted()
    await a_round(story)
    await a_round(story)
    assert counted() == before
    assert await story.applications["crm"].events() == []
    assert (await story.http.get("/v1/inbound", headers=story.administrator)).json()["inbound"] == []
    assert await story.app.database.read(_left) == {"message": 1, "delivery": 1, "event": 1, "inbound": 0, "case": 0}


async def test_the_return_path_is_tested_on_demand(story: Story) -> None:
    tested = await story.http.post("/v1/loop_watch", headers=story.administrator)
    assert tested.status_code == 200, tested.text
    assert tested.json()["state"] == "ok"
    assert tested.json()["rounds"][0]["fault"] is None


async def test_keys_that_are_lost_between_two_starts_are_noticed(tmp_path: Path) -> None:
    """As in a container whose folder is no volume: what left before can come back no more."""
    async with World("acme-mail.com") as world:
        wish, clock = settings_in(world, tmp_path), Clock()
        for start in range(2):
            app = build(wish, clock)
            async with app.running():
                world.gateway_is_at("127.0.0.1", app.smtp_port)
                clock.advance(timedelta(hours=1))
                await app.loop_watch.look()
                if start == 0:
                    (wish.data_dir / "token-keys.json").unlink()
                    continue
                standing = await app.loop_watch.standing()
                assert standing.last is not None
                assert (standing.last.fault, standing.state) == ("token-refused", "broken")


async def a_round(story: Story) -> LoopProbe:
    """The round that is due next, once it has ended."""
    database, before = story.app.database, await story.app.database.read(loop_probes.ended)
    story.advance(hours=1, minutes=1)

    async def over() -> LoopProbe | None:
        await story.app.loop_watch.look()
        ended = await database.read(loop_probes.ended)
        return None if ended == before else ended[0]

    found = await until(over)
    assert isinstance(found, LoopProbe)
    return found


async def state(story: Story) -> str:
    return (await story.app.loop_watch.standing()).state


async def causes(story: Story) -> list[str]:
    return [alarm.cause for alarm in await story.app.database.read(alarms.list_all)]


def breaks(story: Story, broken: str) -> None:
    dns, app = story.world.dns, story.app
    match broken:
        case "no-mx":
            dns.publish(RETURN_DOMAIN, 'TXT "v=spf1 -all"')
        case "unreachable":
            dns.publish("mx.post.acme-mail.com", "A 127.0.0.99")  # where nobody listens
        case "refused":  # by another server: "550 5.7.1 Relaying denied"
            story.world.mx("elsewhere.com")
            dns.publish(RETURN_DOMAIN, "MX 10 mx.elsewhere.com")
            app.loop_watch.port = story.world.smtp_port
        case "token-refused":
            app.receiver.tokens = Tokens([TokenKey(id=1, secret=b"another", since=datetime(2020, 1, 1, tzinfo=UTC))])


def counted() -> dict[str, float]:
    """What is counted of mail that came back; a probe's notice is not."""
    return {
        f"{sample.name}{sample.labels}": sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name in COUNTED
    }


def _left(conn: sa.Connection) -> dict[str, int]:
    """Rows of the operator's: those of the probe that waits for its round."""
    named = (tables.message, tables.delivery, tables.event, tables.inbound, tables.case)
    count = sa.select(sa.func.count())
    return {
        table.name: conn.execute(count.select_from(table).where(table.c.organization == OPERATOR)).scalar_one()
        for table in named
    }
