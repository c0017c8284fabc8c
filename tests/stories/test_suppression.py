"""An address that is dead is left alone, until somebody who knows better says so."""

from tests.stories.gateway import Story

JANET = "janet@example.net"
JOHN = "john@corp.com"


async def test_a_dead_address_is_left_alone_until_it_is_lifted(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN, "550 5.1.1 No such user here")
    first = await crm.send(JANET, JOHN)
    await crm.becomes(first, "bounced")
    assert (await crm.hears("bounced", first))["data"]["suppress"] == "invalid_recipient"
    [entry] = (await crm.call("GET", "/v1/suppressions")).json()["suppressions"]
    assert (entry["address"], entry["stream"], entry["reason"]) == (JOHN, "default", "invalid_recipient")
    assert "No such user here" in entry["evidence"]

    second = await crm.becomes(await crm.send(JANET, JOHN), "suppressed")
    assert second["deliveries"][0]["attempts"] == [], "their server is not bothered again"

    lifted = await crm.call("DELETE", f"/v1/suppressions?address={JOHN}")
    assert lifted.status_code == 204
    third = await crm.send(JANET, JOHN)
    await crm.becomes(third, "bounced")


async def test_what_a_wrong_rule_did_is_taken_back(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN, "550 5.1.1 No such user here")
    await crm.becomes(await crm.send(JANET, JOHN), "bounced")
    [entry] = (await crm.call("GET", "/v1/suppressions")).json()["suppressions"]
    assert f"(rule {entry['rule']})" in entry["evidence"]
    story.world.mx("corp.com").accepts_all()
    undone = await story.http.post("/v1/suppressions/lift", json={"rule": entry["rule"]}, headers=story.administrator)
    assert undone.json()["lifted"] == 1
    await crm.becomes(await crm.send(JANET, JOHN), "delivered")


async def test_a_refusal_that_is_about_us_silences_nobody(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN, "550 5.7.1 Your IP address is listed at a blocklist, see spamhaus.org")
    await crm.becomes(await crm.send(JANET, JOHN), "bounced")
    assert (await crm.call("GET", "/v1/suppressions")).json()["suppressions"] == []
