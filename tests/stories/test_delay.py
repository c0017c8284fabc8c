"""Mail that waits: whoever sent it is told once, in words and by e-mail, and hears again only if it fails."""

import asyncio
from typing import Any

import pytest

from tests.stories.gateway import Application, Story, plain_text, until

JANET, PHONE = "janet@example.net", "+442079460001"
JOHN, ANN, MARY, EVE = "john@corp.com", "ann@corp.com", "mary@corp.com", "eve@corp.com"
LATER = '450 4.2.0 Please come again, or see <a href="http://evil.example/">here</a>'


async def janet(story: Story, **policy: Any) -> Application:
    """Her organization tells failures by e-mail and by text message."""
    crm = await story.application()
    steps = [{"kind": "letter"}, {"kind": "sms"}]
    put = await crm.call("PUT", "/v1/failure_policies/default", {"steps": steps, **policy})
    assert put.status_code == 200, put.text
    await crm.person("Janet Roe", JANET, phone=PHONE)
    return crm


async def the_case(crm: Application, sent: dict[str, Any]) -> dict[str, Any]:
    [delivery] = (await crm.message(sent))["deliveries"]
    return dict(delivery["case"] or {"kind": None, "state": None, "actions": []})


async def case_is(crm: Application, sent: dict[str, Any], kind: str, state: str) -> dict[str, Any]:
    async def there() -> bool:
        case = await the_case(crm, sent)
        return (case["kind"], case["state"]) == (kind, state)

    await until(there)
    return await the_case(crm, sent)


async def tried_again(story: Story, crm: Application, *messages: dict[str, Any], hours: float) -> None:
    """Time passes, and each of these messages is put off once more."""
    before = [(await crm.types_of(sent)).count("deferred") for sent in messages]
    story.advance(hours=hours)
    for sent, times in zip(messages, before, strict=True):
        await crm.hears_so_often("deferred", times + 1, sent)


@pytest.mark.slow
async def test_who_sent_what_waits_is_told_once_and_hears_of_failure_again(story: Story) -> None:
    crm, home = await janet(story), story.world.mx("example.net")
    site = story.world.mx("corp.com").refuses(None, LATER)
    messages = [await crm.send(JANET, recipient, subject="Minutes") for recipient in (JOHN, ANN, MARY)]
    for sent in messages:
        await crm.becomes(sent, "deferred")
    await tried_again(story, crm, *messages, hours=3)
    assert [(await the_case(crm, sent))["kind"] for sent in messages] == [None] * 3, "three hours are not long"

    await tried_again(story, crm, *messages, hours=2)
    await home.wait_for(JANET)
    story.advance(minutes=5)
    for sent in messages:
        await case_is(crm, sent, "delay", "notified")
    [letter] = await home.wait_for(JANET)
    text = plain_text(letter)
    assert "has not arrived yet" in text
    assert "You need do nothing." in " ".join(text.split())
    assert "> Please come again, or see" in text
    assert "evil.example" not in text.partition("-" * 72)[0], "no link of a stranger's above the fold"
    [told] = [sent for sent in messages if "rerouted" in await crm.types_of(sent)]
    named = (await the_case(crm, told))["id"]
    for sent in messages:
        [action] = (await the_case(crm, sent))["actions"]
        assert action["kind"] == "letter"
        if sent is not told:
            assert (action["state"], action["result"]) == ("skipped", f"told with {named}")

    john, ann, _ = messages
    site.accepts_all().refuses(ANN).refuses(MARY, LATER).refuses(EVE, LATER)
    story.advance(hours=1)
    await crm.becomes(john, "delivered")
    await crm.becomes(ann, "bounced")
    closed = (await case_is(crm, john, "delay", "resolved"))["id"]
    assert (await crm.hears("delivered", john))["data"]["closed_case"] == closed
    await case_is(crm, ann, "failure", "notified")
    [*_, failed] = await home.wait_for(JANET, 2)
    assert "was not delivered" in plain_text(failed)
    await until(lambda: story.world.sms.inbox(PHONE))
    assert "was not delivered" in story.world.sms.inbox(PHONE)[0].text, "a text message about the failure alone"

    eve = await crm.send(JANET, EVE)
    await crm.becomes(eve, "deferred")
    await tried_again(story, crm, eve, hours=5)
    await case_is(crm, eve, "delay", "notified")
    assert len(home.inbox(JANET)) == 2, "she knows since the first e-mail, as long as one of them waits"
    assert len(story.world.sms.inbox(PHONE)) == 1


async def test_a_policy_may_tell_nothing_of_delays(story: Story) -> None:
    crm, home = await janet(story, delay_told_after_seconds=None), story.world.mx("example.net")
    story.world.mx("corp.com").refuses(None, LATER)
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "deferred")
    await tried_again(story, crm, sent, hours=5)
    assert (await the_case(crm, sent))["kind"] is None
    assert home.inbox(JANET) == []


@pytest.mark.parametrize(
    "hosts",
    [("MX 10 mx.evil.org",), ("MX 5 www.corp.com", "MX 10 mx.evil.org"), ("MX 5 www.corp.com",)],
    ids=["honest", "names-anothers-host", "names-no-other"],
)
async def test_a_domain_that_names_anothers_host_keeps_no_delay_of_that_one_untold(
    story: Story, hosts: tuple[str, ...]
) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", "janet@example.net")
    for domain in ("corp.com", "evil.org"):
        story.world.mx(domain).refuses(None, "451 4.3.0 try later")
    story.world.dns.publish("www.corp.com", "A 127.0.8.1")
    story.world.dns.publish("evil.org", *hosts)
    home = story.world.mx("example.net")
    for number, recipient in enumerate(("eve@evil.org", "john@corp.com"), 1):
        sent = await crm.send("janet@example.net", recipient)
        await crm.becomes(sent, "deferred")
        for _ in range(8):
            story.advance(hours=1)
            await asyncio.sleep(0.2)
        await home.wait_for("janet@example.net", number)
        assert len(home.inbox("janet@example.net")) == number, recipient
