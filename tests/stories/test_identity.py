"""The names that mail goes out under: keys that follow each other, keys that are withdrawn, domains that break."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homing.app import build
from homing.config import BadSettings
from homing.lab.behaviour import Mail
from homing.lab.dns import Failing
from homing.store.organizations import webhook_secrets
from tests.stories.gateway import Application, Story, a_story, until
from tests.stories.zones import (
    JOE,
    OWN,
    D,
    a_domain,
    ask,
    dkim_keys,
    look,
    publish,
    publish_zone,
    receivers_agree,
    signatures,
    states,
)

JANET = "janet@example.com"


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    async with a_story(tmp_path) as running:
        yield running


async def received(story: Story, crm: Application, to: str = "john@corp.com") -> Mail:
    site = story.world.mx(to.rpartition("@")[2])
    site.mails.clear()
    await crm.becomes(await crm.send(JANET, to), "delivered")
    return site.inbox(to)[0]


async def test_a_whole_rotation(story: Story) -> None:
    crm = await story.application()
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
    crm = await story.application()
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
    crm = await story.application()
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
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    [only] = await dkim_keys(story, "active")
    await story.http.post(f"/v1/dkim_keys/{only['id']}/revoke", headers=story.administrator)
    site = story.world.mx("corp.com")
    sent = await crm.send(JANET, "john@corp.com")
    found = await crm.becomes(sent, "deferred")
    assert "no DKIM key" in str(found["timeline"][-1]["data"])
    alarms = (await story.http.get("/v1/alarms", headers=story.administrator)).json()["alarms"]
    assert f"no-signing-key {OWN}" in [alarm["cause"] for alarm in alarms]
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
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        await look(story, minutes=1)
        await publish(story)
        await look(story, minutes=20)
        assert await signatures(story, await received(story, crm)) == [(OWN, "h1", "pass"), (OWN, "e1", "pass")]


async def test_each_organization_has_a_selector_of_its_own_where_the_operator_wants_it(tmp_path: Path) -> None:
    """One key behind a wildcard: reports tell organizations apart, and one's signatures can be withdrawn alone."""
    async with a_story(tmp_path, organization_selectors=True) as story:
        crm, shop = await story.application(), await story.application("shop")
        for one in (crm, shop):
            await one.person("Janet Roe", JANET)
        await look(story, minutes=1)
        assert await signatures(story, await received(story, crm)) == [(OWN, "h1", "pass")]  # not published yet
        await publish_zone(story)
        await look(story, minutes=20)
        crms, shops = [(await one.call("GET", "/v1/organization")).json()["selector"] for one in (crm, shop)]
        of_crm, of_shop = await received(story, crm), await received(story, shop)
        assert await signatures(story, of_crm) == [(OWN, f"{crms}.h1", "pass")]
        assert await signatures(story, of_shop) == [(OWN, f"{shops}.h1", "pass")]
        await receivers_agree(story, of_crm)

        story.world.dns.publish_text(f"{crms}.h1._domainkey.{OWN}", "v=DKIM1; p=")  # its mail is being replayed
        assert await signatures(story, of_crm) == [(OWN, f"{crms}.h1", "permerror")]
        assert await signatures(story, of_shop) == [(OWN, f"{shops}.h1", "pass")]

        del story.world.dns.zones[f"*.h1._domainkey.{OWN}"]  # whoever tidies up breaks nothing that is to come
        await look(story, minutes=20)
        assert await signatures(story, await received(story, shop)) == [(OWN, "h1", "pass")]


async def test_what_waits_keeps_its_organizations_selector(tmp_path: Path) -> None:
    async with a_story(tmp_path, organization_selectors=True) as story:
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        await look(story, minutes=1)
        await publish_zone(story)
        await look(story, minutes=20)
        site = story.world.mx("slow.com")
        site.greylists("john@slow.com")
        sent = await crm.send(JANET, "john@slow.com")
        await crm.becomes(sent, "deferred")
        story.app.domain_verifier.signer.tagged = frozenset()  # as after a restart, before the first look
        story.advance(hours=2)
        await crm.becomes(sent, "delivered")
        [(_, selector, result)] = await signatures(story, site.inbox("john@slow.com")[0])
        assert (selector.partition(".")[2], result) == ("h1", "pass")
        assert "signed_anew" not in await crm.types_of(sent)


async def test_a_gateway_with_another_secret_key_does_not_start(tmp_path: Path) -> None:
    async with a_story(tmp_path) as story:
        settings = story.app.settings
    (settings.data_dir / "secret.key").write_text("ab" * 32)
    with pytest.raises(BadSettings, match="secret_key"):
        async with build(settings).storing():
            pass


async def sent_as(story: Story, crm: Application, to: str = "john@corp.com") -> tuple[str, str, str]:
    """Level, From and domain of the envelope sender of a message of Joe's as it arrives."""
    site = story.world.mx(to.rpartition("@")[2])
    site.mails.clear()
    sent = await crm.becomes(await crm.send(JOE, to), "delivered")
    [mail] = site.inbox(to)
    signed = await signatures(story, mail)
    assert {result for *_, result in signed} == {"pass"}
    domain = mail.addresses("From")[0].rpartition("@")[2]
    assert [one for one, *_ in signed] == ([OWN] if domain == OWN else [domain, OWN])  # RFC 9477 §3.1
    assert mail.headers["CFBL-Address"] == f"fbl@{OWN}; report=arf"
    return_domain = (mail.envelope_sender or "").rpartition("@")[2]
    await receivers_agree(story, mail)
    return sent["deliveries"][0]["identity"]["level"], mail.addresses("From")[0], return_domain


async def test_the_secret_key_changes(tmp_path: Path) -> None:
    """The old one is put aside; a start seals everything anew, and the old one is needed no more."""
    async with a_story(tmp_path) as story:
        crm = await story.application()
        url = {"webhook_url": story.world.webhooks.url}
        webhook_secret = (await crm.call("PATCH", "/v1/organization", url)).json()["webhook_secret"]
        settings = story.app.settings
    old = settings.data_dir / "secret.key.before"
    (settings.data_dir / "secret.key").rename(old)
    async with build(settings).storing():
        assert (settings.data_dir / "secret.key").read_text() != old.read_text()
    old.unlink()
    async with build(settings).storing() as app:
        assert app.domain_verifier.signer.plan(OWN, None, None, app.clock()) is not None
        [(organization, plain, sealed)] = await app.database.write(webhook_secrets)
        assert (plain, app.actor.sealed_secrets.open_webhook_secret(sealed, organization)) == (None, webhook_secret)


async def test_a_proved_domain_stands_in_from_and_its_bounces_come_home(story: Story) -> None:
    crm = await story.application()
    refused = await crm.call(
        "POST", "/v1/messages", {"human_sender": {"name": "Joe", "address": JOE}, "to": ["a@b.com"]}
    )
    assert refused.status_code == 422
    domain = await a_domain(story, crm)
    assert domain["level"] == "custom-full", domain
    assert set(states(domain).values()) == {"verified"}
    assert await sent_as(story, crm) == ("custom-full", JOE, f"bounce.{D}")

    site = story.world.mx("late.com")
    site.bounces_later("john@late.com")
    sent = await crm.send(JOE, "john@late.com")
    await crm.becomes(sent, "bounced")
    event = await crm.hears("domain_changed")
    assert (event["data"]["domain"], event["data"]["held"]) == (D, True)


async def test_mail_to_the_domain_itself_goes_out_as_ours_until_it_is_known_to_be_taken(story: Story) -> None:
    crm = await story.application()
    await a_domain(story, crm)
    colleague = f"ann@{D}"
    assert (await sent_as(story, crm, colleague))[:2] == ("shared", f"message-service@{OWN}")
    changed = await crm.call("PATCH", f"/v1/domains/{D}", {"own_recipients": True})
    assert changed.json()["own_recipients"]
    story.advance(minutes=1)
    assert (await sent_as(story, crm, colleague))[:2] == ("custom-full", JOE)


async def test_a_return_path_without_cname(story: Story) -> None:
    crm = await story.application()
    await a_domain(story, crm)
    records = (await crm.call("GET", f"/v1/domains/{D}/records")).json()["return_path_without_cname"]
    mx, spf = records
    story.world.dns.publish(f"bounce.{D}", f"MX {mx['value']}.", f'TXT "{spf["value"]}"')
    assert (await ask(crm))["level"] == "custom-full"
    story.world.dns.publish(f"bounce.{D}", f"MX {mx['value']}.", 'TXT "v=spf1 -all"')
    for _ in range(3):
        found = await ask(crm)
        story.advance(minutes=5)
    assert (found["level"], states(found)["return_path"]) == ("custom-dkim", "failed")
    story.advance(minutes=1)
    assert await sent_as(story, crm) == ("custom-dkim", JOE, f"b.{OWN}")


async def test_a_broken_dns_demotes_slowly_and_comes_back(story: Story) -> None:
    crm = await story.application()
    await a_domain(story, crm)
    await crm.person("Joe Bloggs", JOE)
    dns = story.world.dns
    alias = f"acme-mail1._domainkey.{D}"

    dns.failing[D] = Failing.SERVFAIL  # an outage proves nothing, however long
    for _ in range(10):
        await look(story, hours=2)
    found = (await crm.call("GET", f"/v1/domains/{D}")).json()
    assert (found["level"], states(found)["dkim_1"]) == ("custom-full", "temporary_failure")
    del dns.failing[D]
    await look(story, hours=2)
    assert (await crm.call("GET", f"/v1/domains/{D}")).json()["level"] == "custom-full"

    before = dns.zones[alias]
    del dns.zones[alias]  # somebody tidied up
    for times in (1, 2):
        await look(story, minutes=80)
        found = (await crm.call("GET", f"/v1/domains/{D}")).json()
        assert (found["level"], states(found)["dkim_1"]) == ("custom-full", "failed"), times
    await look(story, minutes=80)
    found = (await crm.call("GET", f"/v1/domains/{D}")).json()
    assert found["level"] == "shared"
    [dkim] = [record for record in found["records"] if record["purpose"] == "dkim_1"]
    assert (dkim["query"], dkim["answer"]) == (f"{alias} CNAME", "no such name")
    lost = [event["data"] for event in await crm.events() if event["type"] == "domain_changed"][-1]
    assert (lost["record"], lost["held"], lost["level"]) == ("dkim_1", False, "shared")
    assert (await sent_as(story, crm))[:2] == ("shared", f"message-service@{OWN}")

    dns.publish(alias, *before)
    await look(story, minutes=80)
    assert (await crm.call("GET", f"/v1/domains/{D}")).json()["level"] == "shared"  # once is not enough
    await look(story, minutes=80)
    assert (await crm.call("GET", f"/v1/domains/{D}")).json()["level"] == "custom-full"
    assert (await sent_as(story, crm))[:2] == ("custom-full", JOE)


async def test_a_correction_goes_out_under_what_is_proved_by_then(story: Story) -> None:
    crm = await story.application()
    await a_domain(story, crm)
    story.world.mx("corp.com").refuses("jon@corp.com")
    sent = await crm.becomes(await crm.send(JOE, "jon@corp.com"), "bounced")
    await crm.call("DELETE", f"/v1/domains/{D}")
    story.advance(minutes=1)
    path = f"/v1/deliveries/{sent['deliveries'][0]['id']}/resend"
    again = await crm.call("POST", path, {"recipient": "john@corp.com"}, idempotency_key="once")
    assert again.status_code == 202, again.text
    await crm.becomes(again.json(), "delivered")
    [mail] = story.world.mx("corp.com").inbox("john@corp.com")
    assert mail.addresses("From") == [f"message-service@{OWN}"]


async def test_keys_rotate_behind_the_aliases_and_nobody_is_asked(story: Story) -> None:
    crm = await story.application()
    await a_domain(story, crm)
    await look(story, minutes=20)
    tenants_zone = {name: records for name, records in story.world.dns.zones.items() if name.endswith(D)}
    used = []
    for _ in range(3):
        site = story.world.mx("corp.com")
        site.mails.clear()
        await crm.becomes(await crm.send(JOE, "john@corp.com"), "delivered")
        signature, ours = await signatures(story, site.inbox("john@corp.com")[0])
        assert (ours[0], ours[2]) == (OWN, "pass")
        used.append(signature)
        await look(story, days=20)  # what drained is retired, and its successor made
        await publish_zone(story)
        await look(story, days=1)
        await look(story, days=181)
        await look(story, hours=3)
    assert used == [(D, f"acme-mail{slot}", "pass") for slot in (1, 2, 1)]
    assert (await ask(crm))["level"] == "custom-full"
    assert {name: records for name, records in story.world.dns.zones.items() if name.endswith(D)} == tenants_zone


async def test_another_organizations_records_prove_nothing(story: Story) -> None:
    crm = await story.application()
    thief = await story.application("thief")
    await a_domain(story, crm)
    added = await thief.call("POST", "/v1/domains", {"domain": D})
    assert added.status_code == 201
    found = await ask(thief)
    assert found["level"] == "shared"
    assert states(found)["dkim_1"] == "failed"  # something else stands there
    await thief.call("DELETE", f"/v1/domains/{D}")
    assert (await thief.call("GET", f"/v1/domains/{D}")).status_code == 404


async def test_an_organization_with_an_address_of_its_own_at_the_shared_domain(tmp_path: Path) -> None:
    async with a_story(tmp_path, organization_addresses=True) as story:
        crm = await story.application()
        await crm.person("Joe Bloggs", JOE)
        await story.app.domain_verifier.names.learn()
        assert (await sent_as(story, crm))[:2] == ("shared-tenant", f"crm@{OWN}")
        mail = story.world.mx("corp.com").inbox("john@corp.com")[0]
        reply = (
            f"From: John <john@corp.com>\r\nTo: crm@{OWN}\r\nSubject: Re: Your call\r\n"
            f"Message-ID: <1@corp.com>\r\nIn-Reply-To: {mail.headers['Message-ID']}\r\n\r\nThank you\r\n"
        )
        answered = await story.world.writes("john@corp.com", f"crm@{OWN}", reply.encode())
        assert answered.accepted
        nobody = await story.world.writes("john@corp.com", f"nobody@{OWN}", reply.encode())
        assert not nobody.accepted
