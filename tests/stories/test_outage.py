"""What a gateway lives on after: a database that goes away and comes back, and bugs of our own. Nobody restarts it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from structlog.testing import capture_logs

from tests.postgres import Cluster, durable_cluster

from .gateway import Story, a_story, until

__all__ = ["durable_cluster"]

JANET, JOHN = "janet@example.net", "john@corp.com"


@asynccontextmanager
async def _turned_away(cluster: Cluster, url: str) -> AsyncIterator[None]:
    """A server that is there and lets nobody in: what it does while it starts, and when it is full."""
    name = urlsplit(url).path.strip("/")
    await cluster.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    await cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        yield
    finally:
        await cluster.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


async def test_a_database_that_turns_us_away_stops_nothing_for_good(durable_cluster: Cluster, tmp_path: Path) -> None:
    async with durable_cluster.database() as url, a_story(tmp_path, database_url=url) as story:
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        with capture_logs() as logs:
            async with _turned_away(durable_cluster, url):
                await until(lambda: {"cannot claim deliveries", "cannot claim actions"} <= {x["event"] for x in logs})
                body = {"human_sender": {"name": "J", "address": JANET}, "to": [JOHN], "subject": "x", "text": "x"}
                answer = await crm.call("POST", "/v1/messages", body)
                assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
                assert int(answer.headers["Retry-After"]) > 0
            story.world.mx("corp.com").refuses(JOHN)
            await crm.becomes(await crm.send(JANET, JOHN), "bounced")
            await story.world.mx("example.net").wait_for(JANET)


async def test_a_bug_in_a_worker_costs_a_moment_and_not_the_worker(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    broken: list[str] = []

    def breaking(name: str, clock: Callable[[], datetime]) -> Callable[[], datetime]:
        def once() -> datetime:
            if name not in broken:
                broken.append(name)
                raise LookupError(name)
            return clock()

        return once

    app = story.app
    workers = (app.deliverer, app.receiver, app.actor)
    for worker in workers:
        worker.clock = breaking(type(worker).__name__, worker.clock)  # type: ignore[assignment]
    with capture_logs():
        await until(lambda: len(broken) == len(workers))
        story.world.mx("corp.com").refuses(JOHN)
        await crm.becomes(await crm.send(JANET, JOHN), "bounced")
        await story.world.mx("example.net").wait_for(JANET)


async def test_what_breaks_before_an_attempt_gives_its_connection_back(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    agent = story.app.deliverer.agent
    dice = agent.dice

    def broken() -> bytes:
        raise LookupError("dice")

    with capture_logs() as logs:
        agent.dice = broken
        await crm.send(JANET, *(f"customer{number}@corp.com" for number in range(25)))
        await until(lambda: sum(log["event"] == "delivery attempt broke" for log in logs) >= 20)
        agent.dice = dice
        await crm.send(JANET, JOHN)
        await site.wait_for(JOHN)


async def test_a_stop_that_cannot_wait_gives_back_what_it_holds(tmp_path: Path) -> None:
    async with a_story(tmp_path) as story:
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        story.app.deliverer.patience = 0.1
        story.app.deliverer.agent.router = _Endless()  # type: ignore[assignment]
        sent = await crm.send(JANET, JOHN)
        await crm.becomes(sent, "sending")
        url = story.app.settings.database_url
    with sqlite3.connect(url.removeprefix("sqlite:///")) as left:
        query = "SELECT state, silent_deaths, lease_owner FROM delivery WHERE origin = 'api'"
        assert left.execute(query).fetchall() == [("queued", 0, None)]


class _Endless:
    async def route(self, domain: str) -> None:
        await asyncio.Event().wait()
