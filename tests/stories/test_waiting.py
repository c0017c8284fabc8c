"""What a stranger, or another organization, leaves with us keeps nobody else waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from homing.flow.authenticate_inbound import InboundAuthentication
from homing.lab.returned_mail import Failure, bounce, human_reply
from homing.mail.authentication import Authentication
from homing.store.inbound import Inbound

from .gateway import Story, until

JANET, JOHN, EVE = "janet@example.net", "john@corp.com", "eve@rival.net"
SILENT = "x@silent.example"
"""A sender whose name servers never answer."""
POSTMASTER, HEADER_FROM = "postmaster@post.acme-mail.com", "message-service@post.acme-mail.com"


async def test_mail_of_one_organization_keeps_no_bounce_of_another_waiting(story: Story) -> None:
    crm, rival = await story.application("crm"), await story.application("rival")
    await crm.person("Janet", JANET)
    await rival.person("Eve", EVE)
    site, own = story.world.mx("corp.com"), story.world.mx("rival.net")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    [mail] = site.inbox(JOHN)
    bait = await rival.send(EVE, "bait@rival.net", "more@rival.net")
    await rival.becomes(bait, "delivered", "delivered")
    addresses = [own.inbox(f"{name}@rival.net")[0].envelope_sender or "" for name in ("bait", "more")]
    async with _held_up(story):
        await _leave(story, addresses, 80)
        report = bounce(mail.hostname, mail.envelope_sender or "", mail.content, Failure(final_recipient=JOHN))
        assert (await story.world.writes(None, mail.envelope_sender or "", report)).accepted
        await crm.becomes(sent, "bounced")


async def test_mail_of_one_stranger_keeps_no_answer_to_another_waiting(story: Story) -> None:
    crm = await story.application("crm")
    await crm.person("Janet", JANET)
    site = story.world.mx("corp.com")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    [mail] = site.inbox(JOHN)
    async with _held_up(story):
        await _leave(story, [POSTMASTER], 24)
        answer = human_reply(JOHN, HEADER_FROM, mail.content, "Thank you")
        assert (await story.world.writes(JOHN, HEADER_FROM, answer)).accepted
        await until(lambda: len(site.inbox(JOHN)) > 1)


async def test_a_webhook_that_hangs_keeps_no_webhook_of_another_waiting(story: Story) -> None:
    story.app.actor.fetcher._time_limit = 600.0
    async with _web_server(answers=False) as (port, calls), _web_server(answers=True) as (own_port, heard):
        slow = await story.application("slow", webhook_url=f"http://127.0.0.1:{port}/hook")
        crm = await story.application(webhook_url=f"http://127.0.0.1:{own_port}/hook")
        for one in (slow, crm):
            await one.policy("hook", {"kind": "webhook"})
        await slow.person("Joe Bloggs", "joe@example.net")
        await crm.person("Janet Roe", JANET)
        story.world.mx("corp.com").refuses(None)
        many = [f"nobody{number}@corp.com" for number in range(60)]
        await slow.becomes(await slow.send("joe@example.net", *many, failure_policy="hook"), *["bounced"] * 60)
        await until(lambda: calls)
        await crm.becomes(await crm.send(JANET, JOHN, failure_policy="hook"), "bounced")
        await until(lambda: heard)
        for call in calls:
            call.transport.abort()


async def _leave(story: Story, addresses: list[str], mails: int) -> None:
    """So many mails of `SILENT`, to these addresses in turn."""
    for number in range(mails):
        content = f"From: {SILENT}\r\nSubject: {number}\r\nMessage-ID: <{number}@silent.example>\r\n\r\nhello\r\n"
        kept = await story.world.writes(SILENT, addresses[number % len(addresses)], content.encode())
        assert kept.accepted


class _Held:
    """Asks nobody about mail of `SILENT` until that is over."""

    def __init__(self, real: InboundAuthentication) -> None:
        self.real, self.over = real, asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def authenticate(self, mail: Inbound) -> Authentication:
        if mail.envelope_sender == SILENT:
            await self.over.wait()
        return await self.real.authenticate(mail)


@asynccontextmanager
async def _held_up(story: Story) -> AsyncIterator[None]:
    held = _Held(story.app.receiver.inbound_authentication)
    story.app.receiver.inbound_authentication = held  # type: ignore[assignment]
    try:
        yield
    finally:
        held.over.set()


@asynccontextmanager
async def _web_server(*, answers: bool) -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """Its port, and the calls that it has taken."""
    calls: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(writer)
        if answers:
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], calls
    finally:
        server.close()
        for writer in calls:
            writer.close()
