"""A case as the texts tell it: the facts of the failed delivery, and the steps that were taken."""

from dataclasses import replace
from datetime import timedelta

from homing.flow.act.channel import TOLD, NoText
from homing.loop import ids
from homing.loop.domains.domain_typos import suggest
from homing.loop.letters.facts import FailureFacts
from homing.loop.letters.letters import CaseFacts, StepFacts
from homing.loop.model import CaseKind, State, Step, StepState, WhenPossiblyDelivered
from homing.loop.policy import REACHING
from homing.loop.token import Purpose, Tokens
from homing.mail.address import domain_of
from homing.store.case_context import CaseContext

CORRECTION_LIFETIME = timedelta(days=30)


def failure_facts(context: CaseContext, *, tokens: Tokens, public_url: str) -> FailureFacts:
    """The facts, with a link by which the human sender corrects the address, or names another one where somebody behind
    it failed; the same link whenever it is made, and none while the delivery waits. Raises NoText for a case about no
    delivery."""
    case, sent = context.case, context.sent
    if case.kind not in TOLD or case.delivery is None or sent is None:
        raise NoText(case.kind)
    assert case.verdict is not None
    late = case.kind is CaseKind.DELAY
    last_day = (case.opened_at + CORRECTION_LIFETIME).date()
    token = tokens.mint(Purpose.CORRECTION, case.delivery, made=case.opened_at, last_day=last_day)
    return FailureFacts(
        message_subject=sent.message_subject,
        recipient=sent.recipient,
        human_sender_name=sent.human_sender_name,
        human_sender_address=sent.human_sender_address,
        organization_name=context.organization.display_name if context.organization else "",
        sent_at=sent.sent_at,
        failed_at=case.opened_at,
        failure=State.DEFERRED if late else case.failure,
        late=case.late,
        possibly_delivered=case.possibly_delivered,
        verdict=case.verdict,
        suggestion=suggest(domain_of(sent.recipient)),
        correct_link=None if late else f"{public_url}/correct/{token}",
        attempts=sent.attempts,
        resent_from=sent.resent_from,
        tried_until=sent.expires_at if late else None,
    )


def in_view_of(step: Step, context: CaseContext) -> CaseContext:
    """The case as a step sees it that acts as if the message had surely failed."""
    if step.when_possibly_delivered is not WhenPossiblyDelivered.ACT:
        return context
    return replace(context, case=replace(context.case, possibly_delivered=False))


def case_facts(context: CaseContext) -> CaseFacts:
    """The steps that were taken, how each ended, and what its action says of that."""
    results = {told.step: told for told in context.actions}
    steps = tuple(
        StepFacts(
            kind=step.kind,
            state=state,
            ended_at=results[index].ended_at if index in results else None,
            detail=results[index].result if index in results else "",
        )
        for index, (step, state) in enumerate(zip(context.case.policy.steps, context.case.steps, strict=True))
        if state is not StepState.RUNNING or step.kind not in REACHING
    )
    shown = ids.show("case", context.case.id)
    return CaseFacts(case=shown, policy=context.case.policy.name, steps=steps)
