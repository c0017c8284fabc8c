"""The names that mail goes out under: keys that follow each other, keys that are withdrawn, domains that break."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from homing.lab.behaviour import Mail
from homing.mail.dkim import keys_of, verify
from homing.net.questions import answer
from tests.stories.gateway import Story, Tenant, a_story, until

JANET = "janet@example.com"


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    async with a_story(tmp_path) as running:
        yield running


async def dkim_keys(story: Story, *states: str) -> list[dict[str, Any]]:
    listed = await story.http.get("/v1/dkim_keys", headers=story.administrator)
    assert listed.status_code == 200, listed.text
    return [key for key in listed.json()["dkim_keys"] if not states or key["state"] in states]


async def publish(story: Story) -> None:
    """What the operator does: put into the DNS what `homing dkim zone` prints."""
    for key in await dkim_keys(story):
        story.world.dns.publish_text(key["record_name"], key["record"])


async def look(story: Story, **span: float) -> None:
    """Time passes, and the gateway looks at the DNS."""
    story.advance(**span)
    await story.app.examiner.look()


async def received(story: Story, crm: Tenant, to: str = "john@corp.com") -> Mail:
    site = story.world.mx(to.rpartition("@")[2])
    site.mails.clear()
    await crm.becomes(await crm.send(JANET, to), "delivered")
    return site.inbox(to)[0]


async def signatures(story: Story, mail: Mail) -> list[tuple[str, str, str]]:
    """Domain, selector and result of each signature, as a receiver finds them now in the DNS."""
    resolver = story.app.examiner.rotation.resolver
    keys = await answer(keys_of(mail.content), resolver)
    verified = verify(mail.content, keys.get, int(story.clock().timestamp()))
    return [(one.domain, one.selector, one.result.value) for one in verified.signatures]


OWN = "post.acme-mail.com"


async def test_a_whole_rotation(story: Story) -> None:
    crm = await story.tenant()
    await crm.person("Janet Roe", JANET)
    await look(story, minutes=1)
    assert [(key["selector"], key["state"]) for key in await dkim_keys(story)] == [("h1", "active"), ("h2", "created")]
    first = await received(story, crm)
    await look(story, days=200)  # its time is over, but nobody has published the next one
    assert [key["state"] for key in await dkim_keys(story)] == ["active", "created"]
    assert await signatures(story, first) == [(OWN, "h1", "fail")]  # x= has passed
    assert await signatures(story, await received(story, crm)) == [(OWN, "h1", "pass")]

    await publish(story)
    await look(story, minutes=20)
    assert [(key["selector"], key["state"]) for key in await dkim_keys(story)] == [("h1", "draining"), ("h2", "active")]
    second = await received(story, crm)
    assert await signatures(story, second) == [(OWN, "h2", "pass")]

    await look(story, days=12)
    assert len(await dkim_keys(story, "draining")) == 1
    await look(story, days=2)  # lifetime, the signature's own, and a day
    assert [(key["selector"], key["state"]) for key in await dkim_keys(story)] == [
        ("h1", "retired"),
        ("h2", "active"),
        ("h1", "created"),
    ]
    await publish(story)
    await look(story, days=181)
    assert [key["state"] for key in await dkim_keys(story)] == ["retired", "active", "published"]  # caches
    await look(story, hours=3)
    assert [key["state"] for key in await dkim_keys(story)] == ["retired", "draining", "active"]
    assert await signatures(story, await received(story, crm)) == [(OWN, "h1", "pass")]


async def test_what_waits_is_sent_in_the_same_bytes_through_a_rotation(story: Story) -> None:
    crm = await story.tenant()
    await crm.person("Janet Roe", JANET)
    await look(story, minutes=1)
    await publish(story)
    await look(story, minutes=20)
    site = story.world.mx("slow.com")
    site.greylists("john@slow.com")
    sent = await crm.send(JANET, "john@slow.com")
    await crm.becomes(sent, "deferred")
    rotated = await story.http.post("/v1/dkim_keys/rotate", json={}, headers=story.administrator)
    assert rotated.status_code == 200, rotated.text
    assert [key["state"] for key in rotated.json()["dkim_keys"]] == ["draining", "active"]
    story.advance(hours=2)
    await crm.becomes(sent, "delivered")
    assert await signatures(story, site.inbox("john@slow.com")[0]) == [(OWN, "h1", "pass")]
    assert "signed_anew" not in await crm.types_of(sent)


async def test_an_emergency_revoke(story: Story) -> None:
    """A key leaked: it signs nothing more, what waits is signed anew, and says so."""
    crm = await story.tenant()
    await crm.person("Janet Roe", JANET)
    await look(story, minutes=1)
    await publish(story)
    await look(story, minutes=20)
    site = story.world.mx("slow.com")
    site.greylists("john@slow.com")
    sent = await crm.send(JANET, "john@slow.com")
    await crm.becomes(sent, "deferred")

    [leaked] = await dkim_keys(story, "active")
    revoked = await story.http.post(f"/v1/dkim_keys/{leaked['id']}/revoke", headers=story.administrator)
    assert revoked.status_code == 200, revoked.text
    assert [(key["selector"], key["state"]) for key in revoked.json()["dkim_keys"]] == [
        ("h1", "revoked"),
        ("h2", "active"),
    ]
    await publish(story)
    assert await signatures(story, await received(story, crm)) == [(OWN, "h2", "pass")]
    story.advance(hours=2)
    await crm.becomes(sent, "delivered")
    assert await signatures(story, site.inbox("john@slow.com")[0]) == [(OWN, "h2", "pass")]
    anew = await crm.hears("signed_anew", sent)
    assert (anew["data"]["selector"], anew["data"]["instead_of"]) == ("h2", "h1")


async def test_without_any_key_mail_waits_and_nothing_goes_out_unsigned(story: Story) -> None:
    crm = await story.tenant()
    await crm.person("Janet Roe", JANET)
    [only] = await dkim_keys(story, "active")
    await story.http.post(f"/v1/dkim_keys/{only['id']}/revoke", headers=story.administrator)
    site = story.world.mx("corp.com")
    sent = await crm.send(JANET, "john@corp.com")
    found = await crm.becomes(sent, "deferred")
    assert "no DKIM key" in str(found["timeline"][-1]["data"])
    assert site.mails == []
    await look(story, minutes=20)
    await publish(story)
    await look(story, minutes=20)
    await look(story, hours=3)  # the selector was used before
    await until(lambda: site.mails)
    assert await signatures(story, site.inbox("john@corp.com")[0]) == [(OWN, "h2", "pass")]
    assert "signed_anew" not in await crm.types_of(sent)  # it never had another signature


async def test_two_signatures_where_the_operator_wants_them(tmp_path: Path) -> None:
    async with a_story(tmp_path, dkim_ed25519=True) as story:
        crm = await story.tenant()
        await crm.person("Janet Roe", JANET)
        await look(story, minutes=1)
        await publish(story)
        await look(story, minutes=20)
        assert await signatures(story, await received(story, crm)) == [(OWN, "h1", "pass"), (OWN, "e1", "pass")]


async def test_a_gateway_with_another_secret_key_does_not_start(tmp_path: Path) -> None:
    from homing.app import build
    from homing.config import BadSettings

    async with a_story(tmp_path) as story:
        settings = story.app.settings
    (settings.data_dir / "secret.key").write_text("ab" * 32)
    with pytest.raises(BadSettings, match="secret_key"):
        async with build(settings).storing():
            pass
