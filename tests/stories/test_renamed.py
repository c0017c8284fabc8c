"""What was proved when a message was accepted may be so no more when it goes out at last, or the other way round."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from homing.lab.behaviour import QUEUED, Good, Mail
from homing.lab.outbound import Outbound
from homing.lab.returned_mail import Failure, bounce, human_reply
from homing.mail.reply import Reply
from tests.postgres import Cluster, durable_cluster
from tests.stories.gateway import Application, Story, a_story
from tests.stories.zones import (
    JOE,
    OWN,
    D,
    a_domain,
    ask,
    dkim_keys,
    look,
    publish_zone,
    receivers_agree,
    signatures,
)

__all__ = ["durable_cluster"]

JOHN = "john@slow.com"
SHARED = f"message-service@{OWN}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def story(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Story]:
    async with AsyncExitStack() as stack:
        settings = {}
        if request.param == "postgresql":
            cluster: Cluster = request.getfixturevalue("durable_cluster")
            settings["database_url"] = await stack.enter_async_context(cluster.database())
        yield await stack.enter_async_context(a_story(tmp_path, **settings))


class Forgetful(Good):
    """Has every copy, and closes the connection without a word as long as it is `silent`."""

    def __init__(self) -> None:
        self.silent = True
        self.copies: list[Mail] = []

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:
        self.copies.append(mail)
        return None if self.silent else QUEUED


async def identity_of(crm: Application, sent: dict[str, Any]) -> dict[str, Any]:
    return dict((await crm.message(sent))["deliveries"][0]["identity"])


def return_domain(mail: Mail) -> str:
    return (mail.envelope_sender or "").rpartition("@")[2]


async def loses(story: Story, crm: Application, name: str, level: str) -> list[str]:
    """Somebody tidies a record away: three looks later what it proved is gone. The records that stood there."""
    before = story.world.dns.zones.pop(name)
    for _ in range(3):
        await look(story, minutes=80)
    assert (await crm.call("GET", f"/v1/domains/{D}")).json()["level"] == level
    return before


async def test_a_waiting_delivery_goes_out_under_what_is_proved_by_then(story: Story) -> None:
    """Accepted from joe@bloggs.com, and tried; then the domain's alias is gone. It leaves as ours, says so, and what
    comes back to either name finds it."""
    crm = await story.application()
    await a_domain(story, crm)
    john = Forgetful()
    story.world.mx("slow.com").behaves(JOHN, john)
    sent = await crm.send(JOE, JOHN)
    await crm.becomes(sent, "deferred")
    assert (await identity_of(crm, sent))["level"] == "custom-full"
    await loses(story, crm, f"acme-mail1._domainkey.{D}", "shared")

    john.silent = False
    story.advance(hours=3)
    await crm.becomes(sent, "delivered")
    first, last = john.copies[0], john.copies[-1]
    assert (first.addresses("From"), return_domain(first)) == ([JOE], f"bounce.{D}")
    assert (last.addresses("From"), last.addresses("Reply-To"), return_domain(last)) == ([SHARED], [JOE], f"b.{OWN}")
    assert await signatures(story, last) == [(OWN, "h1", "pass")]
    await receivers_agree(story, last)
    assert first.headers["Message-ID"] == last.headers["Message-ID"]
    assert first.envelope_sender.partition("@")[0] == last.envelope_sender.partition("@")[0]  # type: ignore[union-attr]

    identity = await identity_of(crm, sent)
    assert (identity["level"], identity["header_from"]) == ("shared", SHARED)
    assert identity["reasons"][0] == "no-own-domain-proved"
    assert identity["reasons"][-1] == "accepted-as=custom-full"
    changed = (await crm.hears("identity_changed", sent))["data"]
    assert (changed["level"], changed["instead_of"], changed["why"]) == (
        "shared",
        "custom-full",
        "no-own-domain-proved",
    )
    kinds = await crm.types_of(sent)
    assert kinds.count("identity_changed") == 1
    assert "signed_anew" not in kinds

    reply = human_reply(JOHN, SHARED, last.content, "Hello?")
    assert (await story.world.writes(JOHN, SHARED, reply)).accepted
    await crm.hears("replied", sent)
    notice = bounce("mx.slow.com", first.envelope_sender or "", first.content, Failure(final_recipient=JOHN))
    assert (await story.world.writes(None, first.envelope_sender or "", notice)).accepted
    await crm.becomes(sent, "bounced")


async def test_only_the_return_path_falls(story: Story) -> None:
    """From stays; the envelope sender becomes ours, for nobody would take a bounce at the old one."""
    crm = await story.application()
    await a_domain(story, crm)
    john = Forgetful()
    story.world.mx("slow.com").behaves(JOHN, john)
    sent = await crm.send(JOE, JOHN)
    await crm.becomes(sent, "deferred")
    await loses(story, crm, f"bounce.{D}", "custom-dkim")
    john.silent = False
    story.advance(hours=3)
    await crm.becomes(sent, "delivered")
    last = john.copies[-1]
    assert (last.addresses("From"), return_domain(last)) == ([JOE], f"b.{OWN}")
    assert ("pass", D) in {(result, domain) for domain, _, result in await signatures(story, last)}
    await receivers_agree(story, last)
    assert (await crm.hears("identity_changed", sent))["data"]["level"] == "custom-dkim"
    notice = bounce("mx.slow.com", last.envelope_sender or "", last.content, Failure(final_recipient=JOHN))
    assert (await story.world.writes(None, last.envelope_sender or "", notice)).accepted
    await crm.becomes(sent, "bounced")


async def test_what_somebody_has_heard_of_is_not_raised(story: Story) -> None:
    """The domain breaks, a delivery leaves under our name into doubt, the domain comes back: it keeps our name, so that
    all its copies since are the same bytes. What is accepted from then on bears its own again."""
    crm = await story.application()
    await a_domain(story, crm)
    alias = f"acme-mail1._domainkey.{D}"
    before = await loses(story, crm, alias, "shared")
    await crm.person("Joe Bloggs", JOE)
    story.advance(minutes=1)
    john = Forgetful()
    story.world.mx("slow.com").behaves(JOHN, john)
    sent = await crm.send(JOE, JOHN)
    await crm.becomes(sent, "deferred")
    story.world.dns.publish(alias, *before)
    for _ in range(2):
        await look(story, minutes=80)
    assert (await ask(crm))["level"] == "custom-full"
    john.silent = False
    story.advance(hours=3)
    await crm.becomes(sent, "delivered")
    assert len(john.copies) > 1
    assert {copy.content for copy in john.copies} == {john.copies[0].content}
    assert "identity_changed" not in await crm.types_of(sent)
    again = await crm.becomes(await crm.send(JOE, JOHN), "delivered")
    assert again["deliveries"][0]["identity"]["level"] == "custom-full"


async def test_what_nobody_has_heard_of_is_raised(story: Story) -> None:
    """Nobody could be talked to yet when the domain was proved: why should it not bear the name?"""
    crm = await story.application()
    await crm.person("Joe Bloggs", JOE)
    story.world.mx("slow.com")
    away = story.world.dns.zones.pop("slow.com")
    story.world.dns.publish("slow.com", "MX 10 mx.nowhere.com.")
    story.world.dns.publish("mx.nowhere.com", "A 127.0.0.99")
    sent = await crm.send(JOE, JOHN)
    await crm.becomes(sent, "deferred")
    assert (await identity_of(crm, sent))["level"] == "shared"
    await a_domain(story, crm)
    story.world.dns.publish("slow.com", *away)
    story.advance(hours=3)
    await crm.becomes(sent, "delivered")
    [mail] = story.world.mx("slow.com").inbox(JOHN)
    assert (mail.addresses("From"), return_domain(mail)) == ([JOE], f"bounce.{D}")
    assert (await identity_of(crm, sent))["reasons"][-1] == "accepted-as=shared"
    changed = (await crm.hears("identity_changed", sent))["data"]
    assert (changed["level"], changed["instead_of"]) == ("custom-full", "shared")


async def test_a_domain_that_its_owner_removed_stands_in_nothing_that_waits(story: Story) -> None:
    crm = await story.application()
    await a_domain(story, crm)
    story.world.mx("slow.com").greylists(JOHN)
    sent = await crm.send(JOE, JOHN)
    await crm.becomes(sent, "deferred")
    assert (await crm.call("DELETE", f"/v1/domains/{D}")).status_code == 204
    story.advance(hours=3)
    await crm.becomes(sent, "delivered")
    [mail] = story.world.mx("slow.com").inbox(JOHN)
    assert mail.addresses("From") == [SHARED]


async def rotates(story: Story) -> None:
    """The next key for other domains signs from now on."""
    await look(story, minutes=20)
    await publish_zone(story)
    await look(story, hours=3)
    rotated = await story.http.post(
        "/v1/dkim_keys/rotate", json={"domain": "dkim.acme-mail.com"}, headers=story.administrator
    )
    assert rotated.status_code == 200, rotated.text


async def test_a_domain_that_published_one_alias_only_is_not_signed_with_the_other_key(story: Story) -> None:
    """From the moment of the rotation, not only from the next look at the domain."""
    crm = await story.application()
    await a_domain(story, crm)
    story.world.mx("slow.com")
    await loses(story, crm, f"acme-mail2._domainkey.{D}", "custom-full")
    before = await crm.becomes(await crm.send(JOE, JOHN), "delivered")
    assert before["deliveries"][0]["identity"]["level"] == "custom-full"
    await rotates(story)
    await crm.becomes(await crm.send(JOE, JOHN), "delivered")
    mail = story.world.mx("slow.com").inbox(JOHN)[-1]
    assert mail.addresses("From") == [SHARED]
    await receivers_agree(story, mail)


async def test_a_leaked_key_of_other_domains(story: Story) -> None:
    """What waits is signed anew with the next key and keeps its name, for both aliases have been published."""
    crm = await story.application()
    await a_domain(story, crm)
    await look(story, minutes=20)
    await publish_zone(story)
    await look(story, minutes=20)
    story.world.mx("slow.com").greylists(JOHN)
    sent = await crm.send(JOE, JOHN)
    await crm.becomes(sent, "deferred")
    [leaked] = [key for key in await dkim_keys(story, "active") if key["domain"] == "dkim.acme-mail.com"]
    revoked = await story.http.post(f"/v1/dkim_keys/{leaked['id']}/revoke", headers=story.administrator)
    assert revoked.status_code == 200, revoked.text
    await publish_zone(story)
    story.advance(hours=3)
    await crm.becomes(sent, "delivered")
    [mail] = story.world.mx("slow.com").inbox(JOHN)
    assert mail.addresses("From") == [JOE]
    assert (D, "acme-mail2", "pass") in await signatures(story, mail)
    assert {result for *_, result in await signatures(story, mail)} == {"pass"}
    assert (await crm.hears("signed_anew", sent))["data"]["instead_of"].startswith("acme-mail1")
    assert "identity_changed" not in await crm.types_of(sent)


async def test_without_any_key_for_other_domains_mail_leaves_as_ours(story: Story) -> None:
    crm = await story.application()
    await a_domain(story, crm)
    story.world.mx("slow.com")
    for key in await dkim_keys(story, "active", "published", "created"):
        if key["domain"] == "dkim.acme-mail.com":
            await story.http.post(f"/v1/dkim_keys/{key['id']}/revoke", headers=story.administrator)
    await crm.becomes(await crm.send(JOE, JOHN), "delivered")
    mail = story.world.mx("slow.com").inbox(JOHN)[-1]
    assert mail.addresses("From") == [SHARED]
    assert await signatures(story, mail) == [(OWN, "h1", "pass")]
