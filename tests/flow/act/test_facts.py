"""What the texts are told of a case."""

from dataclasses import replace
from datetime import timedelta

import pytest

from homing.flow.act.channel import TOLD, NoText
from homing.flow.act.facts import case_facts
from homing.loop import ids
from homing.loop.model import CaseKind, FailurePolicy, State, Step, StepKind, StepState
from homing.loop.token import Purpose, TokenRefused
from homing.store.case_context import ActionTold

from .made import ALARM, CASE, CONTEXT, DELAY, FACTS_OF, NOW, TOKENS, URL, VERDICT


def test_a_failure_in_facts() -> None:
    facts = FACTS_OF(CONTEXT)
    assert (facts.recipient, facts.message_subject, facts.human_sender_name) == (
        "john@corp.com",
        "Your call",
        "Janet Roe",
    )
    assert (facts.organization_name, facts.failed_at, facts.verdict) == ("CRM", NOW, VERDICT)
    assert facts.suggestion is None


def test_the_link_that_corrects_names_the_delivery_and_lives_for_thirty_days() -> None:
    link = FACTS_OF(CONTEXT).correct_link
    assert link
    assert link == FACTS_OF(CONTEXT).correct_link
    token = link.removeprefix(f"{URL}/correct/")
    assert TOKENS.open(Purpose.CORRECTION, token, now=NOW + timedelta(days=30)) == CASE.delivery
    with pytest.raises(TokenRefused):
        TOKENS.open(Purpose.CORRECTION, token, now=NOW + timedelta(days=31))


def test_where_an_address_behind_it_has_failed_the_link_leads_to_another_one() -> None:
    case = replace(CASE, kind=CaseKind.FORWARDING_FAILURE, failure=None)
    facts = FACTS_OF(replace(CONTEXT, case=case))
    assert (facts.failure, facts.correct_link, facts.verdict) == (None, FACTS_OF(CONTEXT).correct_link, VERDICT)


def test_who_waits_is_told_until_when_and_offered_no_link() -> None:
    """By the link the message would be sent twice."""
    facts = FACTS_OF(DELAY)
    assert (facts.failure, facts.tried_until) == (State.DEFERRED, NOW + timedelta(days=5))
    assert facts.correct_link is None


@pytest.mark.parametrize("kind", sorted(set(CaseKind) - TOLD))
def test_other_kinds_have_no_words_yet(kind: CaseKind) -> None:
    for context in (CONTEXT, ALARM):
        with pytest.raises(NoText, match=kind.value):
            FACTS_OF(replace(context, case=replace(context.case, kind=kind)))


def test_what_was_done_is_told_and_a_step_under_way_that_may_still_reach_somebody_is_not() -> None:
    steps = (Step(kind=StepKind.LIVE), Step(kind=StepKind.SMS), Step(kind=StepKind.ADMINISTRATOR))
    states = (StepState.DONE, StepState.UNHEARD, StepState.RUNNING)
    case = replace(CASE, policy=FailurePolicy(name="thin", steps=steps), steps=states)
    told = ActionTold(kind=StepKind.SMS, step=1, result="no number", ended_at=NOW)
    facts = case_facts(replace(CONTEXT, case=case, actions=(told,)))
    assert (facts.case, facts.policy) == (ids.show("case", CASE.id), "thin")
    assert [(one.kind, one.state, one.ended_at, one.detail) for one in facts.steps] == [
        (StepKind.LIVE, StepState.DONE, None, ""),
        (StepKind.SMS, StepState.UNHEARD, NOW, "no number"),
    ]
