"""Every step of a failure policy comes to an end of its own, and none of them keeps others waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from homing.store import actions

from .gateway import Story, until

JANET, JOHN, VICTIM = "janet@example.net", "john@corp.com", "victim@elsewhere.org"


async def _steps(story: Story, sent: dict[str, object], application: str = "crm") -> list[tuple[str, str]]:
    [delivery] = (await story.applications[application].message(sent))["deliveries"]
    return [(step["kind"], step["state"]) for step in (delivery["case"] or {"steps": []})["steps"]]


@asynccontextmanager
async def _hanging_server() -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """It takes every call and never answers: its port, and the calls that it has taken."""
    calls: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: calls.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], calls
    finally:
        server.close()
        for writer in calls:
            writer.close()


async def test_an_administrator_without_an_address_is_told_of(story: Story) -> None:
    story.app.actor.administrator = "nobody in particular"
    crm = await story.application()
    await crm.policy("thin", {"kind": "administrator"})
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)
    sent = await crm.send(JANET, JOHN, failure_policy="thin")
    await crm.hears("unheard", sent)
    failed = await crm.hears("action_failed", sent)
    assert "nobody in particular" in failed["data"]["why"]


async def test_a_step_that_breaks_every_time_ends_unheard(story: Story) -> None:
    story.app.actor.outgoing = None  # type: ignore[assignment]
    crm = await story.application()
    await crm.policy("thin", {"kind": "letter"})
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)
    with capture_logs():
        sent = await crm.send(JANET, JOHN, failure_policy="thin")
        await crm.becomes(sent, "bounced")

        async def unheard() -> bool:
            story.advance(minutes=5)
            await story.app.database.write(actions.recover, story.clock())
            return await _steps(story, sent) == [("letter", "unheard")]

        await until(unheard)
    assert await crm.hears("unheard", sent)


async def test_a_webhook_that_hangs_keeps_nobody_else_waiting(story: Story) -> None:
    story.app.actor.fetcher._time_limit = 600.0
    async with _hanging_server() as (port, calls):
        slow = await story.application("slow", webhook_url=f"http://127.0.0.1:{port}/hook")
        await slow.policy("hook", {"kind": "webhook"})
        await slow.person("Joe Bloggs", "joe@example.net")
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        story.world.mx("corp.com").refuses(None)
        await slow.becomes(await slow.send("joe@example.net", JOHN, failure_policy="hook"), "bounced")
        await until(lambda: calls)
        sent = await crm.send(JANET, JOHN)

        async def told() -> bool:
            return "notified" in await crm.types_of(sent)

        await until(told)
        for call in calls:
            call.transport.abort()


async def test_no_letter_goes_to_an_address_that_nobody_proved(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)
    victim = story.world.mx("elsewhere.org")
    sent = await crm.send(VICTIM, JOHN, reply_to=JANET)
    await crm.becomes(sent, "bounced")
    await story.world.mx("example.net").wait_for(JANET)
    assert victim.mails == []


async def test_who_is_paused_is_told_of_his_failures_all_the_same(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com").greylists()
    sent = await crm.send(JANET, JOHN, "mary@corp.com")
    await crm.becomes(sent, "deferred", "deferred")
    await story.http.post(f"/v1/organizations/{crm.id}/pause", json={"reason": "x"}, headers=story.administrator)
    story.advance(days=6)
    await crm.becomes(sent, "expired", "expired")
    assert site.mails == []
    home = story.world.mx("example.net")
    await home.wait_for(JANET)
    story.advance(minutes=5)  # one person gets one e-mail in five minutes
    await home.wait_for(JANET, 2)


@pytest.mark.parametrize("message_id", ["<an odd one>", "no brackets@nor dots", "<\u00e9@corp.com>", ""])
async def test_whoever_has_an_odd_mailer_is_answered_too(story: Story, message_id: str) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    await crm.send(JANET, JOHN)
    [mail] = await site.wait_for(JOHN)
    reply = (
        f"From: {JOHN}\r\nTo: {mail.addresses('From')[0]}\r\nSubject: Re: Your call\r\n"
        f"Message-ID: {message_id}\r\nIn-Reply-To: {mail.headers['Message-ID']}\r\n\r\nThank you!\r\n"
    )
    await story.world.writes(JOHN, mail.addresses("From")[0], reply.encode())
    await site.wait_for(JOHN, 2)
