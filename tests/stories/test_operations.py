"""What those who keep a gateway running see of it."""

from .gateway import Story, until

JANET, JOHN = "janet@example.net", "john@corp.com"


async def test_metrics_count_what_happened_in_our_own_words(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)
    await crm.becomes(await crm.send(JANET, JOHN), "bounced")
    await story.world.mx("example.net").wait_for(JANET)

    async def counted() -> str:
        page = (await story.http.get("/metrics")).text
        words = ('homing_conclusions_total{state="bounced"}', 'homing_actions_total{kind="letter",state="done"}')
        return page if all(word in page for word in words) else ""

    assert JOHN not in await until(counted)
    await story.app.tidier._measure()
    assert 'homing_queue{state="queued"} 0.0' in (await story.http.get("/metrics")).text


async def test_health_needs_the_database(story: Story) -> None:
    assert (await story.http.get("/healthz")).json() == {
        "status": "ok",
        "disk": "ok",
        "store": "ok",
        "return_path": "unknown",
    }


async def test_a_paused_organization_sends_nothing_until_it_is_resumed(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com").greylists()
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "deferred")
    path = f"/v1/organizations/{crm.id}"
    paused = await story.http.post(f"{path}/pause", json={"reason": "too many complaints"}, headers=story.administrator)
    assert paused.status_code == 200, paused.text
    story.advance(minutes=5)
    body = {"human_sender": {"name": "Janet", "address": JANET}, "to": [JOHN], "subject": "x", "text": "x"}

    async def refused() -> bool:
        answer = await crm.call("POST", "/v1/messages", body)
        return bool(answer.status_code == 403 and answer.json()["code"] == "organization-paused")

    await until(refused)
    assert site.mails == []
    await story.http.post(f"{path}/resume", headers=story.administrator)
    story.advance(minutes=1)
    await crm.becomes(sent, "delivered")


async def test_an_sms_budget_is_kept_and_each_refusal_is_on_record(story: Story) -> None:
    crm = await story.application()
    await crm.policy("text", {"kind": "sms", "budget_organization": 2})
    await crm.person("Janet Roe", JANET, phone="+442079460003")
    story.world.mx("corp.com").refuses(None)
    sent = [await crm.send(JANET, f"john{n}@corp.com", failure_policy="text") for n in range(4)]
    for message in sent:
        await crm.becomes(message, "bounced")

    async def all_settled() -> bool:
        cases = [(await crm.message(message))["deliveries"][0]["case"] for message in sent]
        return all(case["steps"][0]["state"] in {"heard", "unheard"} for case in cases)

    await until(all_settled)
    assert len(story.world.sms.inbox("+442079460003")) == 2
    refusals = [event for event in await crm.events() if event["type"] == "action_failed"]
    assert len(refusals) == 2
    assert all("budget" in event["data"]["why"] for event in refusals)
