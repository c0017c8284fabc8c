"""What an application is answered, and answered again."""

from .gateway import Story, until

JANET, JOHN = "janet@example.net", "john@corp.com"


async def test_what_was_accepted_under_a_key_stays_accepted_when_nothing_new_is(story: Story) -> None:
    crm = await story.application(rate_limit=1)
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com")
    body = {"human_sender": {"name": "Janet", "address": JANET}, "to": [JOHN], "subject": "x", "text": "x"}
    first = await crm.call("POST", "/v1/messages", body, Idempotency_Key="k")
    assert first.status_code == 202
    again = await crm.call("POST", "/v1/messages", body, Idempotency_Key="k")
    assert (again.status_code, again.text) == (202, first.text), "over the rate limit"
    path = f"/v1/organizations/{crm.id}/pause"
    await story.http.post(path, json={"reason": "x"}, headers=story.administrator)

    async def paused() -> bool:
        return bool((await crm.call("POST", "/v1/messages", body)).status_code == 403)

    await until(paused)
    again = await crm.call("POST", "/v1/messages", body, Idempotency_Key="k")
    assert (again.status_code, again.text) == (202, first.text), "paused"
    other = await crm.call("POST", "/v1/messages", {**body, "subject": "y"}, Idempotency_Key="k")
    assert other.status_code == 403


async def test_a_proof_is_of_the_address_as_it_is_written_at_once_and_later(story: Story) -> None:
    crm = await story.application()
    await crm.person("Joe Bloggs", "Joe@example.net")
    story.world.mx("corp.com")
    await crm.send("Joe@example.net", JOHN)
    body = {"human_sender": {"name": "Joe", "address": "joe@example.net"}, "to": [JOHN], "subject": "x", "text": "x"}
    assert (await crm.call("POST", "/v1/messages", body)).status_code == 422
    body["human_sender"] = {"name": "Joe", "address": "Joe@EXAMPLE.NET"}
    assert (await crm.call("POST", "/v1/messages", body)).status_code == 202


async def test_a_corrected_message_keeps_the_recipients_telephone(story: Story) -> None:
    crm = await story.application()
    await crm.policy("call", {"kind": "sms", "reader": "recipient"})
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(None)
    to = {"address": "jonh@corp.com", "phone": "+442079460009"}
    body = {"human_sender": {"name": "Janet", "address": JANET}, "to": [to], "subject": "x", "text": "x"}
    sent = (await crm.call("POST", "/v1/messages", {**body, "failure_policy": "call"})).json()
    await crm.becomes(sent, "bounced")
    again = await crm.call("POST", f"/v1/deliveries/{sent['deliveries'][0]['id']}/resend", {"recipient": JOHN})
    assert again.status_code == 202, again.text
    await until(lambda: len(story.world.sms.inbox("+442079460009")) == 2)
