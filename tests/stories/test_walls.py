"""Walls between tenants and us: no tenant sees what answers our own e-mails, and no reader's key finds a link."""

import asyncio
import re
from contextlib import suppress
from typing import Any

from homing.loop.token import Purpose, TokenRefused
from tests.stories.gateway import Application, Story, until

JANET, JOHN, VICTIM = "janet@example.net", "john@corp.com", "victim@bank.com"
ADMINISTRATOR = "postmaster@acme-admin.com"
TOKEN = re.compile(r"[a-z2-7]{48}")


async def inbound(story: Story, key: str | None = None) -> list[dict[str, Any]]:
    """All mails that came back, as that key sees them; the operator's sees all."""
    headers = story.administrator if key is None else {"Authorization": f"Bearer {key}"}
    listed = (await story.http.get("/v1/inbound", headers=headers)).json()["inbound"]
    return [(await story.http.get(f"/v1/inbound/{one['id']}", headers=headers)).json() for one in listed]


async def key_with(story: Story, crm: Application, *scopes: str) -> str:
    wish = {"name": "another", "scopes": list(scopes)}
    made = await story.http.post(f"/v1/organizations/{crm.id}/keys", json=wish, headers=story.administrator)
    return str(made.json()["key"])


def usable(story: Story, text: str) -> set[str]:
    """What the tokens in a text could be used for; those of a Message-ID only tell which message it was."""
    found: set[str] = set()
    for token in TOKEN.findall(text):
        for purpose in set(Purpose) - {Purpose.MESSAGE_ID, Purpose.TRACE}:
            with suppress(TokenRefused):
                story.app.receiver.tokens.open(purpose, token, now=story.clock())
                found.add(purpose.value)
    return found


async def told(story: Story) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        return [one for one in await inbound(story) if one["state"] == "done"]

    return list(await until(read))


async def test_a_tenant_who_claims_anothers_address_is_shown_no_link_when_the_proof_letter_comes_back(
    story: Story,
) -> None:
    crm = await story.application()
    bank = story.world.mx("bank.com").bounces_later(VICTIM)
    await crm.call("POST", "/v1/human_senders", {"name": "Ann Smith", "address": VICTIM})
    [letter] = await bank.wait_for(VICTIM)
    link = story.link(letter, "/prove/")
    [seen] = await told(story)
    assert seen["what"] == "bounce"
    assert (seen["organization"], seen["message"] is not None) == (None, True)
    assert await inbound(story, crm.key) == []
    assert link not in str(await crm.events())
    assert link.rpartition("/")[2] not in str(await crm.events())
    other = await crm.call("GET", f"/v1/inbound/{seen['id']}")
    assert other.status_code == 404
    assert (await crm.call("GET", "/v1/human_senders")).json()["human_senders"][0]["proved_at"] is None


async def test_an_alarm_letter_is_in_no_tenants_list_and_what_answers_it_neither(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    await crm.policy("log", {"kind": "log"})
    admin = story.world.mx("acme-admin.com").bounces_later(ADMINISTRATOR)
    story.world.mx("corp.com").refuses(None, "550 5.7.1 Your IP address is listed at a blocklist, see spamhaus.org")
    await crm.becomes(await crm.send(JANET, JOHN, failure_policy="log"), "bounced")
    await admin.wait_for(ADMINISTRATOR)
    await told(story)
    listed = (await crm.call("GET", "/v1/messages")).json()["messages"]
    assert ADMINISTRATOR not in str(listed)
    assert await inbound(story, crm.key) == []
    assert ADMINISTRATOR not in str(await crm.events())


async def test_a_key_that_may_only_read_finds_no_link_and_no_token_that_it_could_use(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    await crm.call("PUT", "/v1/streams/news", {"bulk": True})
    corp = story.world.mx("corp.com").bounces_later(JOHN)
    story.world.mx("other.com").refuses(None, "451 4.3.0 <b+%s@b.post.acme-mail.com>: later" % ("a" * 48))
    sent = await crm.send(JANET, JOHN, "ann@other.com", stream="news")
    [mail] = await corp.wait_for(JOHN)
    await crm.becomes(sent, "bounced", "deferred")
    unsubscribe = re.search(rb"http[^>]+/unsubscribe/(\S+?)>", mail.content)
    assert unsubscribe, mail.content
    reader = await key_with(story, crm, "read", "send")
    [as_reader] = await inbound(story, reader)
    [as_manager] = await inbound(story, crm.key)
    assert "Subject:" in as_reader["head"]
    assert "Your call" in as_manager["head"], "who may manage sees the original"
    message = (await story.http.get(f"/v1/messages/{sent['id']}", headers={"Authorization": f"Bearer {reader}"})).json()
    for shown in (as_reader, as_manager, message, await crm.events()):
        assert not usable(story, str(shown))
    assert usable(story, f"{mail.envelope_sender} {mail.content!r}") == {"envelope", "unsubscribe"}
    assert "MAIL FROM:<b+" in str(message), "a dialogue keeps the beginning of each token"


async def test_a_link_to_correct_sends_once_however_many_follow_it_at_once(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)
    sent = await crm.send(JANET, JOHN)
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    link = story.link(letter, "/correct/")
    wishes = [{"recipient": f"u{number}@other.com"} for number in range(6)]
    pages = await asyncio.gather(*(story.http.post(link, data=wish) for wish in wishes))
    assert (await crm.types_of(sent)).count("resent") == 1
    named = [{wish["recipient"] for wish in wishes if wish["recipient"] in page.text} for page in pages]
    assert len(set.union(*named)) == 1, "each page says where it went"
