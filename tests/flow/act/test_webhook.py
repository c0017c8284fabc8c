"""A webhook: what it is told, when it is called again, and when it is given up."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from homing.flow.act.channel import Again, Ended, NoText
from homing.flow.act.webhook import Webhook
from homing.flow.sealed_secrets import SealedSecrets
from homing.lab.webhook import SECRET, WebhookSink
from homing.loop import ids
from homing.loop.model import ActionKind, ActionState, CaseKind, EventType, StepState
from homing.loop.sealing import Sealer
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.fetch import Fetcher
from homing.net.webhook import RETRIES
from homing.store.case_context import CaseContext

from .made import ALARM, CASE, CONTEXT, DELAY, NOW, ORGANIZATION, assigned

SAFE = SealedSecrets(sealer=Sealer(b"k" * 32), secret=lambda: b"s" * 32)


@pytest.fixture
async def sink() -> AsyncIterator[WebhookSink]:
    sink = WebhookSink()
    await sink.start()
    yield sink
    await sink.close()


@pytest.fixture
async def channel() -> AsyncIterator[Webhook]:
    fetcher = Fetcher(Resolver([("127.0.0.1", 1)], keep=AS_PUBLISHED), allow_private=True, time_limit=3)
    yield Webhook(fetcher, SAFE, lambda: datetime.now(UTC))
    await fetcher.close()


def calling(url: str, context: CaseContext = CONTEXT) -> CaseContext:
    sealed = SAFE.seal_webhook_secret(SECRET, ORGANIZATION.id)
    return replace(context, organization=replace(ORGANIZATION, webhook_url=url, sealed_webhook_secret=sealed))


async def test_a_failure_behind_the_recipient_has_a_type_of_its_own(sink: WebhookSink, channel: Webhook) -> None:
    case = replace(CASE, kind=CaseKind.FORWARDING_FAILURE, failure=None)
    assert isinstance(await channel(assigned(ActionKind.WEBHOOK, replace(calling(sink.url), case=case))), Ended)
    [received] = sink.received
    body = json.loads(received.body)
    assert (body["type"], body["data"]["case"]) == ("delivery.forwarding_failed", ids.show("case", CASE.id))


async def test_a_delay_is_no_failure(sink: WebhookSink, channel: Webhook) -> None:
    assert isinstance(await channel(assigned(ActionKind.WEBHOOK, replace(calling(sink.url), case=DELAY.case))), Ended)
    [received] = sink.received
    body = json.loads(received.body)
    assert (body["type"], body["data"]["failure_class"]) == ("delivery.delayed", "rate_limited")


async def test_the_failure_arrives_whole_and_signed(sink: WebhookSink, channel: Webhook) -> None:
    assignment = assigned(ActionKind.WEBHOOK, calling(sink.url))
    end = await channel(assignment)
    assert isinstance(end, Ended)
    assert (end.state, end.step, end.result) == (ActionState.DONE, StepState.HEARD, "the webhook answered 204")
    assert [(event.type, event.data) for event in end.events] == [(EventType.NOTIFIED, {"channel": "webhook"})]
    [received] = sink.received
    assert received.genuine
    assert received.event_id == ids.show("action", assignment.action.id)
    body = json.loads(received.body)
    assert (body["type"], body["timestamp"]) == ("delivery.bounced", NOW.isoformat())
    assert CASE.delivery is not None
    told = body["data"]
    assert (told["delivery"], told["case"]) == (ids.show("delivery", CASE.delivery), ids.show("case", CASE.id))
    assert told["human_sender"] == {"name": "Janet Roe", "address": "janet@example.net"}
    assert (told["recipient"], told["subject"], told["rule"]) == ("john@corp.com", "Your call", "5.1.1")


async def test_it_is_called_again_until_its_retries_are_over(sink: WebhookSink, channel: Webhook) -> None:
    sink.answers = [503, 503]
    assert await channel(assigned(ActionKind.WEBHOOK, calling(sink.url), tries=1)) == Again(
        RETRIES[0], "the webhook answered 503"
    )
    end = await channel(assigned(ActionKind.WEBHOOK, calling(sink.url), tries=len(RETRIES) + 1))
    assert isinstance(end, Ended)
    assert (end.state, end.step) == (ActionState.FAILED, StepState.UNHEARD)
    nobody = await channel(assigned(ActionKind.WEBHOOK, calling("http://127.0.0.1:1/"), tries=2))
    assert isinstance(nobody, Again)
    assert nobody.wait == RETRIES[1]


async def test_one_that_is_gone_is_given_up_at_once(sink: WebhookSink, channel: Webhook) -> None:
    sink.answers = [410]
    end = await channel(assigned(ActionKind.WEBHOOK, calling(sink.url), tries=1))
    assert isinstance(end, Ended)
    assert end.state is ActionState.FAILED


async def test_nobody_to_call(channel: Webhook) -> None:
    for context in (CONTEXT, replace(CONTEXT, organization=None)):
        end = await channel(assigned(ActionKind.WEBHOOK, context))
        assert isinstance(end, Ended)
        assert (end.state, end.result) == (ActionState.FAILED, "the organization has no webhook")


async def test_another_kind_of_case_is_not_called_a_failure(sink: WebhookSink, channel: Webhook) -> None:
    with pytest.raises(NoText, match="alarm"):
        await channel(assigned(ActionKind.WEBHOOK, calling(sink.url, ALARM)))
    assert sink.received == []
