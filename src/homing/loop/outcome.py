"""THE JUNCTION: evidence in, conclusion out.

An SMTP reply today, a bounce next week, a lease that ran out: all of it is evidence, and `conclude` says what
follows. It is total (any evidence, in any state) and pure; `loop.lifecycle` has the table that it moves in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from homing.loop import ids, retry, suppression
from homing.loop import policy as policies
from homing.loop.alarm import Alarm, about_us, killed_its_worker
from homing.loop.delay import delay_case, ends_delay
from homing.loop.evidence import (
    Answered,
    CancelRequested,
    Evidence,
    HeldBack,
    Lack,
    LeaseLost,
    LeaseReleased,
    LifetimeOver,
    ReportAction,
    Reported,
    RouteFault,
    SuppressionFound,
    Unanswered,
    Unroutable,
    Unsubscribed,
    Unsupported,
    What,
)
from homing.loop.lifecycle import allowed, move
from homing.loop.model import (
    FAILURES,
    Delivery,
    EventType,
    FailurePolicy,
    NewAction,
    NewCase,
    NewEvent,
    State,
    StepState,
    Strength,
    Verdict,
)
from homing.loop.suppression import Hearsay, Suppress
from homing.loop.throttle import too_fast
from homing.mail.reply import HOST_STAGES, Stage

Facts = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What follows from a piece of evidence. The store writes all of it in one transaction, or nothing.

    `delivery` is the delivery as it now stands (unchanged where the evidence changes nothing); `case` is the case that
    this failure opens, `actions` its first steps. `step` tells how a letter fared for the case that it serves
    (`delivery.case`, `delivery.step`), and `step_why` says it in words where it came to nothing. `suppress`: the
    address goes on the suppression list. `full`: the message failed because the mailbox is full; `hearsay`: a report
    says that the address is dead. Both put it on the list once they have come often enough (`loop.suppression`).
    `alarm` is for the operator: a refusal that is about us, or a message that kills its worker. `ends_delay`: if a case
    tells that the delivery is late, it is over.
    """

    delivery: Delivery
    events: tuple[NewEvent, ...] = ()
    actions: tuple[NewAction, ...] = ()
    case: NewCase | None = None
    step: StepState | None = None
    step_why: str = ""
    suppress: Suppress | None = None
    full: bool = False
    hearsay: Hearsay | None = None
    alarm: Alarm | None = None
    ends_delay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What a failure is judged by: the organization's policy, the moment, and how strong the evidence is."""

    policy: FailurePolicy
    now: datetime
    strength: Strength = Strength.STRONG


def conclude(delivery: Delivery, evidence: Evidence, policy: FailurePolicy, now: datetime) -> Outcome:
    """What follows for `delivery` from `evidence`, under the organization's failure policy, at `now`."""
    terms = _Terms(policy=policy, now=now)
    outcome = _concluded(_routed(delivery, evidence), evidence, terms)
    if case := delay_case(delivery, outcome.delivery, policy, now):
        opened = policies.begin(case)
        return replace(outcome, events=outcome.events + opened.events, actions=opened.actions, case=opened.case)
    return replace(outcome, ends_delay=True) if ends_delay(delivery, outcome.delivery) else outcome


def _concluded(delivery: Delivery, evidence: Evidence, terms: _Terms) -> Outcome:
    match evidence:
        case Answered():
            return _answered(delivery, evidence, terms)
        case Unanswered():
            return _unanswered(delivery, evidence, terms.now)
        case HeldBack():
            return _held_back(delivery, evidence, terms.now)
        case Unroutable() | Unsupported():
            return _never_asked(delivery, evidence, terms)
        case LeaseReleased():
            return _lease_released(delivery, evidence, terms)
        case LeaseLost():
            return _lease_lost(delivery, evidence, terms)
        case LifetimeOver():
            return _end_without_attempt(delivery, State.EXPIRED, _lifetime_verdict(delivery), terms)
        case SuppressionFound():
            verdict = Verdict(
                failure_class="inactive_mailbox", kind="hard", rule="suppression", matched=evidence.reason
            )
            return _end_without_attempt(delivery, State.SUPPRESSED, verdict, terms)
        case CancelRequested():
            return _canceled(delivery, evidence)
        case Reported():
            return _reported(delivery, evidence, terms)
        case Unsubscribed():
            return _unsubscribed(delivery, evidence)
        case _:
            assert_never(evidence)


def _routed(delivery: Delivery, evidence: Evidence) -> Delivery:
    """The delivery with the receiver of the host at which its last attempt ended, whatever else follows."""
    if isinstance(evidence, Answered | Unanswered | Unsupported) and evidence.receiver:
        return replace(delivery, receiver=evidence.receiver)
    return delivery


HELD_BACK = "held-back"
"""The reason why a delivery waits without an attempt: its receiver finds us too fast."""


# -- what a server said, or did not say ------------------------------------------------------------------------------


def _answered(delivery: Delivery, said: Answered, terms: _Terms) -> Outcome:
    event: Facts = {
        "stage": said.stage.value,
        "host": said.host,
        **({} if said.reply.positive else _decided(said.verdict)),
        "reply_code": said.reply.reply_code,
        "enhanced_status_code": said.reply.enhanced_status_code,
        "text": said.reply.text,
        "tls": said.tls,
    }
    if delivery.state is not State.SENDING:
        return _noted(delivery, EventType.ATTEMPTED, {**event, "changes": "nothing"})
    if said.reply.positive and said.stage is Stage.DOT:
        delivered = replace(move(delivery, State.DELIVERED), silent_deaths=0, verdict=None)
        return _settled(delivered, (NewEvent(type=EventType.DELIVERED, data=event),), None)
    passing = said.verdict.passes and delivery.attempts < retry.ASKED_AGAIN
    if said.reply.permanent and said.stage not in HOST_STAGES and not passing and not said.wants_tls:
        outcome = _failed(delivery, State.BOUNCED, said.verdict, terms, event)
        return _suppressing(outcome, suppression.after_answer(said, terms.now))
    return _deferred(
        delivery,
        terms.now,
        event,
        verdict=said.verdict,
        in_doubt=said.stage is Stage.DOT and said.reply.leaves_doubt,
    )


def _unanswered(delivery: Delivery, silence: Unanswered, now: datetime) -> Outcome:
    event: Facts = {"stage": silence.stage.value, "host": silence.host, "why": silence.why, "tls": silence.tls}
    if delivery.state is not State.SENDING:
        return _noted(delivery, EventType.ATTEMPTED, {**event, "changes": "nothing"})
    verdict = Verdict(
        failure_class="unreachable",
        kind="soft",
        rule=f"no-answer-at-{silence.stage.value}",
        text=silence.why,
        remote_mta=silence.host,
    )
    return _deferred(delivery, now, event, verdict=verdict, in_doubt=silence.stage is Stage.DOT)


def _never_asked(delivery: Delivery, finding: Unroutable | Unsupported, terms: _Terms) -> Outcome:
    if isinstance(finding, Unsupported):
        return _unsupported(delivery, finding, terms)
    return _unroutable(delivery, finding, terms)


def _unsupported(delivery: Delivery, finding: Unsupported, terms: _Terms) -> Outcome:
    event: Facts = {"stage": finding.stage.value, "host": finding.host, "why": f"{finding.lack}-not-offered"}
    if delivery.state is not State.SENDING:
        return _noted(delivery, EventType.ATTEMPTED, {**event, "changes": "nothing"})
    verdict = Verdict(
        failure_class="message_too_big" if finding.lack is Lack.SIZE else "policy",
        kind="soft",
        rule=f"{finding.lack}-not-offered",
        remote_mta=finding.host,
    )
    return _failed(delivery, State.BOUNCED, verdict, terms, event)


def _unroutable(delivery: Delivery, finding: Unroutable, terms: _Terms) -> Outcome:
    event: Facts = {
        "stage": Stage.ROUTE.value,
        "why": finding.fault.value,
        "text": finding.detail,
        "suggestion": finding.suggestion,
    }
    if delivery.state is not State.SENDING:
        return _noted(delivery, EventType.ATTEMPTED, {**event, "changes": "nothing"})
    final = finding.permanent and not finding.took_mail
    gone = final and finding.fault is not RouteFault.BROKEN_MX
    verdict = Verdict(
        failure_class="invalid_domain" if gone else "unreachable",
        kind="hard" if gone else "soft",
        rule=f"route-{finding.fault.value}",
        matched=finding.suggestion or "",
        text=finding.detail,
    )
    if final:
        return _failed(delivery, State.BOUNCED, verdict, terms, event)
    return _deferred(delivery, terms.now, event, verdict=verdict)


def _held_back(delivery: Delivery, held: HeldBack, now: datetime) -> Outcome:
    """The delivery waits. No attempt is counted, as there was none; one event tells of it, however often it waits."""
    if delivery.state is not State.SENDING:
        return Outcome(delivery=delivery)
    until = retry.in_lifetime(delivery, held.until, now)
    waits = delivery.verdict is not None and delivery.verdict.rule == HELD_BACK
    verdict = Verdict(failure_class="rate_limited", kind="soft", rule=HELD_BACK, matched=held.receiver, about_us=True)
    facts: Facts = {"why": HELD_BACK, "receiver": held.receiver, "next_attempt_at": until.isoformat()}
    if not too_fast(delivery.verdict):
        delivery = replace(delivery, verdict=verdict, receiver=held.receiver)
    return Outcome(
        delivery=move(delivery, State.DEFERRED, next_attempt_at=until),
        events=() if waits else (NewEvent(type=EventType.DEFERRED, data=facts),),
    )


def _deferred(
    delivery: Delivery,
    now: datetime,
    event: Facts,
    *,
    verdict: Verdict,
    in_doubt: bool = False,
) -> Outcome:
    delivery = replace(
        delivery,
        possibly_delivered=delivery.possibly_delivered or in_doubt,
        silent_deaths=0,
        verdict=verdict,
    )
    next_attempt_at = retry.retry_at(delivery, now, slow_down=too_fast(verdict))
    delivery = move(delivery, State.DEFERRED, next_attempt_at=next_attempt_at)
    data: Facts = {**event, "next_attempt_at": next_attempt_at.isoformat(), "possibly_delivered": in_doubt}
    return Outcome(
        delivery=delivery,
        events=(NewEvent(type=EventType.DEFERRED, data=data),),
        alarm=about_us(delivery, verdict),
    )


# -- leases, lifetime, requests --------------------------------------------------------------------------------------


def _lease_released(delivery: Delivery, released: LeaseReleased, terms: _Terms) -> Outcome:
    if delivery.state is not State.SENDING:
        return Outcome(delivery=delivery)
    if not released.broke:
        return Outcome(delivery=move(delivery, State.QUEUED, next_attempt_at=terms.now))
    delivery = replace(delivery, attempts=delivery.attempts + 1, silent_deaths=delivery.silent_deaths + 1)
    if delivery.silent_deaths >= retry.SILENT_DEATHS:
        return _poisoned(delivery, terms)
    return Outcome(delivery=move(delivery, State.QUEUED, next_attempt_at=retry.retry_at(delivery, terms.now)))


def _lease_lost(delivery: Delivery, lost: LeaseLost, terms: _Terms) -> Outcome:
    if delivery.state is not State.SENDING:
        return Outcome(delivery=delivery)
    delivery = replace(delivery, possibly_delivered=True, silent_deaths=delivery.silent_deaths + lost.died)
    if delivery.silent_deaths >= retry.SILENT_DEATHS:
        return _poisoned(delivery, terms)
    next_attempt_at = retry.retry_at(delivery, terms.now)
    data: Facts = {
        "why": "lease_lost",
        "possibly_delivered": True,
        "next_attempt_at": next_attempt_at.isoformat(),
    }
    return Outcome(
        delivery=move(delivery, State.DEFERRED, next_attempt_at=next_attempt_at),
        events=(NewEvent(type=EventType.DEFERRED, data=data),),
    )


def _poisoned(delivery: Delivery, terms: _Terms) -> Outcome:
    verdict = Verdict(
        failure_class="system",
        kind="soft",
        rule="poison",
        text=f"{delivery.silent_deaths} attempts ended without any answer",
    )
    outcome = _failed(delivery, State.FAILED, verdict, terms, {"text": verdict.text})
    return replace(outcome, alarm=killed_its_worker(delivery, delivery.silent_deaths))


def _lifetime_verdict(delivery: Delivery) -> Verdict:
    last = delivery.verdict
    if last is None:
        return Verdict(failure_class="unreachable", kind="soft", rule="lifetime-over")
    return replace(last, kind="soft", rule="lifetime-over", matched=last.rule)


def _end_without_attempt(delivery: Delivery, state: State, verdict: Verdict, terms: _Terms) -> Outcome:
    if not allowed(delivery.state, state):
        return Outcome(delivery=delivery)
    return _failed(delivery, state, verdict, terms, {"text": verdict.text or verdict.matched})


def _canceled(delivery: Delivery, request: CancelRequested) -> Outcome:
    if not allowed(delivery.state, State.CANCELED):
        return Outcome(delivery=delivery)
    event = NewEvent(type=EventType.CANCELED, data={"by": request.by})
    return _settled(move(delivery, State.CANCELED), (event,), None)


# -- what came back --------------------------------------------------------------------------------------------------


def _reported(delivery: Delivery, report: Reported, terms: _Terms) -> Outcome:
    """The first few reports are worked on, the others counted; but one that ends the delivery is always worked on, as
    it may follow any number of warnings that a message is delayed, and a complaint always suppresses."""
    delivery = replace(delivery, reports=delivery.reports + 1)
    outcome = _said(delivery, report, terms)
    if delivery.reports > policies.REPORTS_WORKED_ON and outcome.delivery.state is delivery.state:
        return Outcome(delivery=delivery, suppress=outcome.suppress)
    return outcome


def _said(delivery: Delivery, report: Reported, terms: _Terms) -> Outcome:
    match report.what:
        case What.BOUNCE | What.DELAY:
            return _dsn(delivery, report, terms)
        case What.COMPLAINT:
            outcome = _noted(delivery, EventType.COMPLAINED, _facts(report))
            return _suppressing(outcome, suppression.after_complaint(report))
        case What.AUTO_REPLY | What.CHALLENGE:
            noted = _noted(delivery, EventType.AUTORESPONDED, _facts(report))
            if delivery.case is None:
                return noted
            if report.receipt:
                return replace(noted, step=StepState.HEARD)
            return replace(noted, step=StepState.UNHEARD, step_why=_ANSWERED_BY_A_PROGRAM)
        case What.HUMAN_REPLY:
            return _noted(delivery, EventType.REPLIED, _facts(report))
        case What.REPORT | What.UNKNOWN:
            return _noted(delivery, EventType.UNEXPLAINED_RETURN, _facts(report))
        case _:
            assert_never(report.what)


def _unsubscribed(delivery: Delivery, wish: Unsubscribed) -> Outcome:
    """The gentle form of a complaint. It counts as one of the delivery's reports, so that nobody fills its timeline."""
    delivery = replace(delivery, reports=delivery.reports + 1)
    if delivery.origin.ours or delivery.reports > policies.REPORTS_WORKED_ON:
        return Outcome(delivery=delivery, suppress=suppression.after_wish(delivery.origin))
    inbound = None if wish.inbound is None else ids.show("inbound", wish.inbound)
    facts: Facts = {"what": "unsubscribe", "by": wish.by, "inbound": inbound}
    return _suppressing(_noted(delivery, EventType.COMPLAINED, facts), suppression.after_wish(delivery.origin))


def _dsn(delivery: Delivery, report: Reported, terms: _Terms) -> Outcome:
    facts = _facts(report)
    if report.names_other:
        return _behind(delivery, report, terms)
    may_change = report.proved and (report.strength is Strength.STRONG or report.names_recipient)
    match report.action:
        case ReportAction.FAILED if may_change and _can_bounce(delivery):
            outcome = _failed(
                replace(_overtaken(delivery), bounced_late=True),
                State.BOUNCED,
                _with_reason_of_delay(report, delivery),
                replace(terms, strength=report.strength),
                {**facts, "late": True},
            )
            outcome = replace(outcome, alarm=about_us(delivery, report.verdict, report.receiver))
            outcome = _with_hearsay(outcome, suppression.hearsay(report, terms.now))
            return _suppressing(outcome, suppression.after_report(report, terms.now))
        case ReportAction.DELIVERED if may_change and allowed(delivery.state, State.DELIVERED):
            delivered = replace(move(_overtaken(delivery), State.DELIVERED), verdict=None)
            return _settled(delivered, (NewEvent(type=EventType.DELIVERED, data=facts),), None)
        case ReportAction.FAILED:
            outcome = _noted(delivery, EventType.BOUNCED, {**facts, "changes": "nothing"})
            return replace(outcome, alarm=_alarming(report, delivery))
        case ReportAction.DELAYED:
            late = delivery.state is State.DELIVERED and report.strength is Strength.STRONG
            known = replace(delivery, verdict=report.verdict) if late else delivery
            outcome = _noted(known, EventType.DEFERRED, {**facts, "changes": "nothing"})
            return replace(outcome, alarm=_alarming(report, delivery))
        case _:
            return _noted(delivery, EventType.UNEXPLAINED_RETURN, facts)


def _with_reason_of_delay(report: Reported, delivery: Delivery) -> Verdict:
    """The verdict of a report of failure. A server that gives up may say no more than that time is over: then the
    reason stood in its last notice of delay."""
    if not (report.out_of_time and delivery.state is State.DELIVERED and delivery.verdict):
        return report.verdict
    return replace(delivery.verdict, kind="soft", rule=report.verdict.rule, matched=delivery.verdict.rule)


def _behind(delivery: Delivery, report: Reported, terms: _Terms) -> Outcome:
    """An address behind our recipient's failed: no verdict on him, whose server took the message, and who may have it.
    Somebody is to know all the same, if the report came to the delivery's own return address, and the server has taken
    the message (its 250 may still be on its way to us)."""
    failed = report.action is ReportAction.FAILED
    noted = _noted(delivery, EventType.FORWARDING_FAILED if failed else EventType.UNEXPLAINED_RETURN, _facts(report))
    taken = delivery.state in {State.DELIVERED, State.SENDING}
    if not (failed and taken and report.at_envelope) or delivery.origin.ours:
        return noted
    case = policies.forwarding_case(delivery, report, policy=terms.policy, now=terms.now)
    opened = policies.begin(case)
    return replace(noted, events=noted.events + opened.events, actions=opened.actions, case=opened.case)


def _alarming(report: Reported, delivery: Delivery) -> Alarm | None:
    """The alarm for a report about us, whatever else it changes; none for a weak one, which anybody may write."""
    return about_us(delivery, report.verdict, report.receiver) if report.strength is Strength.STRONG else None


def _can_bounce(delivery: Delivery) -> bool:
    return allowed(delivery.state, State.BOUNCED)


def _overtaken(delivery: Delivery) -> Delivery:
    """A report that outruns our own commit raises the epoch: the reply that is still to come changes nothing."""
    return replace(delivery, epoch=delivery.epoch + 1) if delivery.state is State.SENDING else delivery


def _facts(report: Reported) -> Facts:
    return {
        "what": report.what.value,
        "action": report.action.value,
        "strength": report.strength.value,
        "inbound": ids.show("inbound", report.inbound),
        "final_recipient": report.final_recipient,
        "reporting_mta": report.reporting_mta,
        **_decided(report.verdict),
        "enhanced_status_code": report.verdict.enhanced_status_code,
        "text": report.verdict.text,
        "authentication": report.authentication,
    }


def _decided(verdict: Verdict) -> Facts:
    """The class, kind, rule and matched words of a verdict, for every event that rests on one."""
    return {
        "failure_class": verdict.failure_class,
        "kind": verdict.kind,
        "rule": verdict.rule,
        "matched": verdict.matched,
    }


# -- ends ------------------------------------------------------------------------------------------------------------


def _failed(
    delivery: Delivery,
    state: State,
    verdict: Verdict,
    terms: _Terms,
    event: Facts,
) -> Outcome:
    """The delivery has failed. An application's opens a case; a letter's moves on the case that it serves."""
    already_a_case = delivery.state in FAILURES
    delivery = replace(move(delivery, state), verdict=verdict)
    data = {
        **event,
        **_decided(verdict),
        "possibly_delivered": delivery.possibly_delivered,
    }
    events = (NewEvent(type=EventType(state.value), data=data),)
    outcome = _settled(delivery, events, verdict)
    if delivery.origin.ours or already_a_case:
        return outcome
    case = policies.failure_case(delivery, verdict, strength=terms.strength, policy=terms.policy, now=terms.now)
    opened = policies.begin(case)
    full = verdict.failure_class == "mailbox_full" and terms.strength is Strength.STRONG
    return replace(
        outcome,
        events=events + opened.events,
        actions=opened.actions,
        case=opened.case,
        full=full and not delivery.possibly_delivered,
    )


_ANSWERED_BY_A_PROGRAM = "a program answered it, out of office for example"
_WHY_UNHEARD = {
    State.BOUNCED: "it bounced",
    State.EXPIRED: "no mail server accepted it in time",
    State.SUPPRESSED: "the address is on the suppression list",
    State.CANCELED: "it was canceled",
    State.FAILED: "a fault of our own stopped it",
}
"""How a letter came to nothing, said of the step that it served."""


def _settled(delivery: Delivery, events: tuple[NewEvent, ...], verdict: Verdict | None) -> Outcome:
    step = None
    if delivery.case:
        step = StepState.HEARD if delivery.state is State.DELIVERED else StepState.UNHEARD
    return Outcome(
        delivery=replace(delivery, next_attempt_at=None),
        events=events,
        step=step,
        step_why=_WHY_UNHEARD.get(delivery.state, "") if step else "",
        alarm=about_us(delivery, verdict),
    )


def _suppressing(outcome: Outcome, suppress: Suppress | None) -> Outcome:
    """A letter of ours suppresses nobody: it goes to people, not to the organization's recipients."""
    if suppress is None or outcome.delivery.origin.ours:
        return outcome
    told, *others = outcome.events
    told = replace(told, data={**told.data, "suppress": suppress.reason})
    return replace(outcome, events=(told, *others), suppress=suppress)


def _with_hearsay(outcome: Outcome, hearsay: Hearsay | None) -> Outcome:
    return outcome if hearsay is None or outcome.delivery.origin.ours else replace(outcome, hearsay=hearsay)


def _noted(delivery: Delivery, event_type: EventType, data: Facts) -> Outcome:
    return Outcome(delivery=delivery, events=(NewEvent(type=event_type, data=data),))
