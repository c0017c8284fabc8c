"""Servers that find us too fast, and servers that say "never" and mean "not now"."""

import pytest

from homing.loop.retry import ASKED_AGAIN
from tests.stories.gateway import Application, Story, until

JANET = "janet@example.net"
GMAIL = "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address."
YAHOO = "421 4.7.0 [TSS04] Messages from 203.0.113.7 temporarily deferred due to unexpected volume or user complaints"
MICROSOFT = "451 4.7.650 The mail server [203.0.113.7] has been temporarily rate limited due to IP reputation."


async def janet(story: Story) -> Application:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    return crm


@pytest.mark.parametrize("reply", [GMAIL, YAHOO, MICROSOFT], ids=["gmail", "yahoo", "microsoft"])
async def test_a_receiver_that_finds_us_too_fast_is_left_alone_and_others_are_not(story: Story, reply: str) -> None:
    crm = await janet(story)
    site = story.world.mx("corp.com").refuses(None, reply)
    story.world.mx("other.com")
    refused = await crm.becomes(await crm.send(JANET, "john@corp.com"), "deferred")
    [delivery] = refused["deliveries"]
    assert delivery["verdict"]["failure_class"] == "rate_limited"
    assert len(delivery["attempts"]) == 1

    site.accepts_all()
    sent = await crm.send(JANET, "ann@corp.com")
    [held] = (await crm.becomes(sent, "deferred"))["deliveries"]
    assert held["attempts"] == [], "nobody tried"
    told = await crm.hears("deferred", sent)
    assert (told["data"]["why"], told["data"]["receiver"]) == ("held-back", "corp.com")
    await crm.becomes(await crm.send(JANET, "eve@other.com"), "delivered")

    story.advance(minutes=11)
    await crm.becomes(sent, "delivered")
    assert (await crm.types_of(sent)).count("deferred") == 1
    assert (await crm.call("GET", "/v1/suppressions")).json()["suppressions"] == []


async def test_a_refusal_for_good_that_is_greylisting_is_tried_again(story: Story) -> None:
    crm = await janet(story)
    site = story.world.mx("corp.com").refuses("john@corp.com", "554 5.7.1 Greylisted, please try again in 300 seconds")
    sent = await crm.send(JANET, "john@corp.com")
    await crm.becomes(sent, "deferred")
    await crm.becomes(await crm.send(JANET, "ann@corp.com"), "delivered")
    site.accepts_all()
    story.advance(minutes=2)
    await crm.becomes(sent, "delivered")
    assert "opened_case" not in await crm.types_of(sent)


async def test_it_is_believed_when_it_says_so_for_hours(story: Story) -> None:
    crm = await janet(story)
    story.world.mx("corp.com").refuses("john@corp.com", "554 5.7.1 Greylisted, please try again in 300 seconds")
    sent = await crm.send(JANET, "john@corp.com")
    for tries in range(1, ASKED_AGAIN):
        await crm.hears_so_often("deferred", tries, sent)
        story.advance(hours=3)
    [delivery] = (await crm.becomes(sent, "bounced"))["deliveries"]
    assert len(delivery["attempts"]) == ASKED_AGAIN
    assert (await crm.call("GET", "/v1/suppressions")).json()["suppressions"] == []


async def test_a_domain_that_names_anothers_host_before_its_own_slows_nobody_else_down(story: Story) -> None:
    crm = await janet(story)
    dns = story.world.dns
    story.world.mx("corp.com")
    dns.publish("www.corp.com", "A 127.0.8.1")
    story.world.mx("evil.org").refuses(None, GMAIL)
    dns.publish("evil.org", "MX 5 www.corp.com", "MX 10 mx.evil.org")
    refused = await crm.becomes(await crm.send(JANET, "eve@evil.org"), "deferred")
    assert refused["deliveries"][0]["verdict"]["remote_mta"] == "mx.evil.org"

    sent = await crm.send(JANET, "john@corp.com")

    async def ended() -> bool:
        return await crm.states(sent) not in (["queued"], ["sending"])

    await until(ended)
    assert await crm.states(sent) == ["delivered"]


async def test_an_alarm_names_whoever_said_it_and_not_the_host_before(story: Story) -> None:
    crm = await janet(story)
    dns = story.world.dns
    dns.publish("www.corp.com", "A 127.0.8.1")
    story.world.mx("evil.org").refuses(None, GMAIL)
    dns.publish("evil.org", "MX 5 www.corp.com", "MX 10 mx.evil.org")
    await crm.becomes(await crm.send(JANET, "eve@evil.org"), "deferred")
    listed = await story.http.get("/v1/alarms", headers=story.administrator)
    assert [one["cause"].rpartition(" ")[2] for one in listed.json()["alarms"]] == ["evil.org"]
