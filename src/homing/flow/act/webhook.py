"""Webhooks: signed calls to the organization's own program, repeated if it does not answer."""

import json
from dataclasses import dataclass

from homing.flow.act.channel import TOLD, Again, Assignment, End, Ended, NoText, failed
from homing.flow.outgoing import Clock
from homing.flow.sealed_secrets import SealedSecrets
from homing.loop import ids
from homing.loop.model import ActionState, CaseKind, EventType, NewEvent, StepState
from homing.net import webhook
from homing.net.fetch import Fetcher
from homing.store.case_context import CaseContext


@dataclass(frozen=True, slots=True)
class Webhook:
    fetcher: Fetcher
    sealed_secrets: SealedSecrets
    clock: Clock

    async def __call__(self, assignment: Assignment) -> End:
        action, organization = assignment.action, assignment.context.organization
        if organization is None or organization.webhook_url is None or organization.sealed_webhook_secret is None:
            return failed(action.kind, "the organization has no webhook")
        secret = self.sealed_secrets.open_webhook_secret(organization.sealed_webhook_secret, organization.id)
        answer = await webhook.post(
            self.fetcher,
            webhook.Endpoint(url=organization.webhook_url, secrets=(secret,)),
            json.dumps(_body(assignment.context)),
            event_id=ids.show("action", action.id),
            timestamp=self.clock(),
        )
        match answer:
            case webhook.Delivered(status=status):
                return _delivered(status)
            case webhook.Refused(gone=gone, status=status):
                hopeless, why = gone, f"the webhook answered {status}"
            case webhook.Unreachable(why=why):
                hopeless = False
        if hopeless or action.tries > len(webhook.RETRIES):
            return failed(action.kind, why)
        return Again(webhook.RETRIES[action.tries - 1], why)


_TYPES = {CaseKind.FORWARDING_FAILURE: "forwarding_failed", CaseKind.DELAY: "delayed"}
"""What a call says of a delivery that has not failed."""


def _delivered(status: int) -> Ended:
    event = NewEvent(type=EventType.NOTIFIED, data={"channel": "webhook"})
    result = f"the webhook answered {status}"
    return Ended(state=ActionState.DONE, result=result, step=StepState.HEARD, events=(event,))


def _body(context: CaseContext) -> dict[str, object]:
    """`{type, timestamp, data}`. Raises NoText for a case about no delivery."""
    case, sent = context.case, context.sent
    if case.kind not in TOLD or case.delivery is None or sent is None:
        raise NoText(case.kind)
    assert case.verdict is not None
    return {
        "type": f"delivery.{case.failure.value if case.failure else _TYPES[case.kind]}",
        "timestamp": case.opened_at.isoformat(),
        "data": {
            "delivery": ids.show("delivery", case.delivery),
            "case": ids.show("case", case.id),
            "recipient": sent.recipient,
            "subject": sent.message_subject,
            "human_sender": {"name": sent.human_sender_name, "address": sent.human_sender_address},
            "late": case.late,
            "possibly_delivered": case.possibly_delivered,
            "failure_class": case.verdict.failure_class,
            "kind": case.verdict.kind,
            "rule": case.verdict.rule,
            "matched": case.verdict.matched,
            "reply_code": case.verdict.reply_code,
            "enhanced_status_code": case.verdict.enhanced_status_code,
            "text": case.verdict.text,
        },
    }
