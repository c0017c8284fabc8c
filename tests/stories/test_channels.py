"""The ways to reach a person or a program, when those who carry the message say no, say nothing, or say it later."""

import asyncio
from pathlib import Path
from typing import Any

from homing.lab.sms import GENERIC_TEMPLATE
from homing.net.sms import SmsAccepted, SmsAnswer, StatusCallback
from homing.store import actions

from .gateway import Application, Story, a_story, until

JANET, JOHN = "janet@example.net", "john@corp.com"
PHONE = "+442079460001"


async def _failed(story: Story, *steps: dict[str, Any], **organization: Any) -> tuple[Application, dict[str, Any]]:
    """A message of Janet's that was refused, under a policy of these steps."""
    crm = await story.application(**organization)
    await crm.policy("these", *steps)
    await crm.person("Janet Roe", JANET, phone=PHONE)
    story.world.mx("corp.com").refuses(None)
    story.world.mx("acme-admin.com")
    sent = await crm.send(JANET, JOHN, failure_policy="these")
    await crm.becomes(sent, "bounced")
    return crm, sent


async def _settled(crm: Application, sent: dict[str, Any], *states: str) -> list[dict[str, Any]]:
    """The case's actions, once its steps are in these states."""

    async def there() -> bool:
        (delivery,) = (await crm.message(sent))["deliveries"]
        case = delivery["case"]
        return case is not None and [step["state"] for step in case["steps"]] == list(states)

    await until(there)
    (delivery,) = (await crm.message(sent))["deliveries"]
    return list(delivery["case"]["actions"])


async def test_a_provider_that_is_too_busy_is_asked_again(story: Story) -> None:
    story.world.sms.refuses(PHONE, status=429, code=20429, message="Too many requests")
    crm, sent = await _failed(story, {"kind": "sms"})

    async def put_off() -> bool:
        (delivery,) = (await crm.message(sent))["deliveries"]
        (action,) = delivery["case"]["actions"]
        return (action["state"], action["tries"]) == ("due", 1)

    await until(put_off)
    story.world.sms.refused.clear()
    story.advance(minutes=1)
    await _settled(crm, sent, "heard")
    assert len(story.world.sms.inbox(PHONE)) == 1


async def test_a_provider_that_stays_too_busy_is_given_up(story: Story) -> None:
    story.world.sms.refuses(PHONE, status=429, code=20429, message="Too many requests")
    crm, sent = await _failed(story, {"kind": "sms"})

    async def unheard() -> bool:
        story.advance(minutes=6)
        return "unheard" in await crm.types_of(sent)

    await until(unheard)
    (action,) = await _settled(crm, sent, "unheard")
    assert (action["state"], action["tries"]) == ("failed", 3)
    assert "Too many requests" in action["result"]


async def test_a_number_that_is_none_moves_the_case_on_at_once(story: Story) -> None:
    story.world.sms.refuses(PHONE)
    crm, sent = await _failed(story, {"kind": "sms"}, {"kind": "administrator", "only_if_unheard": True})
    sms, _ = await _settled(crm, sent, "unheard", "heard")
    assert (sms["state"], sms["tries"]) == ("failed", 1)


async def test_whether_a_text_went_out_is_in_doubt_when_the_provider_breaks(story: Story) -> None:
    """It may have been sent, so it is not sent again; it may not have been, so the next step follows."""
    story.world.sms.refuses(PHONE, status=500, code=0, message="Oops")
    crm, sent = await _failed(story, {"kind": "sms"}, {"kind": "administrator", "only_if_unheard": True})
    sms, _ = await _settled(crm, sent, "unheard", "heard")
    assert (sms["state"], sms["tries"]) == ("in_doubt", 1)
    failed = await crm.hears("action_failed", sent)
    assert "may have sent it" in failed["data"]["why"]


async def test_whoever_has_no_telephone_is_reached_by_his_organizations(story: Story) -> None:
    crm = await story.application(sms_fallback="+442079460099")
    await crm.policy("these", {"kind": "sms"})
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)
    sent = await crm.send(JANET, JOHN, failure_policy="these")
    await crm.hears("fallback_sent", sent)
    assert len(story.world.sms.inbox("+442079460099")) == 1


async def test_a_budget_for_one_recipient_is_kept(story: Story) -> None:
    crm, first = await _failed(story, {"kind": "sms", "budget_recipient": 1})
    await _settled(crm, first, "heard")
    again = await crm.send(JANET, JOHN, failure_policy="these", stream="other")
    (action,) = await _settled(crm, again, "unheard")
    assert "budget" in action["result"]
    other = await crm.send(JANET, "mary@corp.com", failure_policy="these")
    await _settled(crm, other, "heard")
    assert len(story.world.sms.inbox(PHONE)) == 2


async def test_any_provider_with_an_http_api_will_do(tmp_path: Path) -> None:
    async with a_story(tmp_path, sms_adapter="generic", sms_template=GENERIC_TEMPLATE) as story:
        crm, sent = await _failed(story, {"kind": "sms"})
        await _settled(crm, sent, "heard")
        (text,) = story.world.sms.inbox(PHONE)
    assert (text.shape, JOHN in text.text) == ("generic", True)


async def _webhook(story: Story, answers: list[int]) -> tuple[Application, dict[str, Any]]:
    story.world.webhooks.answers.extend(answers)
    crm = await story.application()
    changed = await crm.call("PATCH", "/v1/organization", {"webhook_url": story.world.webhooks.url})
    story.world.webhooks.secret = changed.json()["webhook_secret"]
    await crm.policy("these", {"kind": "webhook"})
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)
    return crm, await crm.send(JANET, JOHN, failure_policy="these")


async def test_a_webhook_that_is_gone_is_not_called_again(story: Story) -> None:
    crm, sent = await _webhook(story, [410, 204])
    (action,) = await _settled(crm, sent, "unheard")
    assert (action["state"], action["tries"]) == ("failed", 1)
    assert len(story.world.webhooks.received) == 1


async def test_a_webhook_that_never_works_is_given_up_after_its_retries(story: Story) -> None:
    crm, sent = await _webhook(story, [503] * 20)

    async def unheard() -> bool:
        story.advance(hours=11)
        return "unheard" in await crm.types_of(sent)

    await until(unheard)
    (action,) = await _settled(crm, sent, "unheard")
    assert action["state"] == "failed"
    assert len({one.event_id for one in story.world.webhooks.received}) == 1
    assert len(story.world.webhooks.received) == action["tries"] == 8


class _Hanging:
    """A provider that has taken the request and says nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = asyncio.Event()

    async def send(self, to: str, text: str, reference: str, callback: str) -> SmsAnswer:
        self.asked.append(to)
        await self.answer.wait()
        return SmsAccepted(provider_id="late")

    def parse_status_callback(self, body: bytes) -> StatusCallback | None:
        return None


async def test_a_text_that_was_begun_when_the_worker_died_is_not_sent_twice(story: Story) -> None:
    story.app.actor.sms = provider = _Hanging()
    crm, sent = await _failed(story, {"kind": "sms"}, {"kind": "administrator", "only_if_unheard": True})
    await until(lambda: provider.asked)
    await story.app.database.write(actions.recover, story.clock(), True)  # as the next process does
    sms, _ = await _settled(crm, sent, "unheard", "heard")
    assert sms["state"] == "in_doubt"
    provider.answer.set()
    story.advance(minutes=10)
    await crm.hears("notified", sent)
    assert provider.asked == [PHONE]
