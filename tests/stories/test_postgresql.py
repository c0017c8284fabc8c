"""The same gateway on PostgreSQL: one URL is changed, and nothing else. Two of them share one database."""

from contextlib import AsyncExitStack
from pathlib import Path

import httpx2

from homing.app import build
from homing.lab.returned_mail import Failure
from tests.postgres import Cluster, durable_cluster

from .gateway import PATIENCE, a_story, plain_text, settings_in, until

__all__ = ["durable_cluster"]

JANET, JOHN = "janet@example.net", "john@corp.com"


async def test_both_ways_of_a_bounce(durable_cluster: Cluster, tmp_path: Path) -> None:
    async with durable_cluster.database() as url, a_story(tmp_path, database_url=url) as story:
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        site = story.world.mx("corp.com").refuses(JOHN)
        site.bounces_later("mary@corp.com", Failure(final_recipient="mary@corp.com"))
        sent = await crm.send(JANET, JOHN, "mary@corp.com")
        message = await crm.becomes(sent, "bounced", "bounced")
        assert [one["bounced"] for one in message["deliveries"]] == ["immediate", "late"]
        home = story.world.mx("example.net")
        await home.wait_for(JANET)
        story.advance(minutes=5)  # one person gets one e-mail in five minutes
        letters = await home.wait_for(JANET, 2)
        assert {"mailbox" in plain_text(letter) for letter in letters} == {True}


async def test_two_nodes_share_the_work_and_send_each_message_once(durable_cluster: Cluster, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(durable_cluster.database())
        story = await stack.enter_async_context(a_story(tmp_path, database_url=url))
        second = build(settings_in(story.world, tmp_path, database_url=url), story.clock)
        await stack.enter_async_context(second.running())
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        site = story.world.mx("corp.com")
        other = await stack.enter_async_context(httpx2.AsyncClient(base_url=f"http://127.0.0.1:{second.http_port}"))
        recipients = [f"customer{number}@corp.com" for number in range(60)]
        for index, recipient in enumerate(recipients):
            story.http, other = other, story.http  # one message to this node, one to that
            await crm.send(JANET, recipient, subject=f"number {index}")
        await until(lambda: len(site.mails) >= len(recipients), PATIENCE * 2)
        assert sorted(mail.recipient for mail in site.mails) == sorted(recipients)

        async def all_delivered() -> bool:
            """The record may be a moment behind the host that has the mail."""
            return sum(event["type"] == "delivered" for event in await crm.events()) >= len(recipients)

        await until(all_delivered)
        await other.aclose()
