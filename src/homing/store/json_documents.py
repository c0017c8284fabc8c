"""Nouns as JSON documents and back: verdicts, identities, failure policies, steps of a case.

Each pair of functions is an exact inverse for every value of the noun. A key that is missing in an old document
takes the noun's default.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from homing.loop.model import (
    DELAY_TOLD_AFTER,
    FailurePolicy,
    Identity,
    Level,
    Reader,
    Step,
    StepKind,
    StepState,
    Strength,
    Verdict,
    WhenPossiblyDelivered,
)

Document = dict[str, Any]


def verdict_to_json(verdict: Verdict) -> Document:
    return {
        "failure_class": verdict.failure_class,
        "kind": verdict.kind,
        "rule": verdict.rule,
        "matched": verdict.matched,
        "about_us": verdict.about_us,
        "passes": verdict.passes,
        "reply_code": verdict.reply_code,
        "enhanced_status_code": verdict.enhanced_status_code,
        "text": verdict.text,
        "remote_mta": verdict.remote_mta,
    }


def verdict_from_json(document: Mapping[str, Any]) -> Verdict:
    return Verdict(**document)


def maybe_verdict_to_json(verdict: Verdict | None) -> Document | None:
    return None if verdict is None else verdict_to_json(verdict)


def maybe_verdict_from_json(document: Mapping[str, Any] | None) -> Verdict | None:
    return None if document is None else verdict_from_json(document)


def identity_to_json(identity: Identity) -> Document:
    return {
        "level": identity.level.value,
        "header_from": identity.header_from,
        "display_name": identity.display_name,
        "reply_to": identity.reply_to,
        "return_domain": identity.return_domain,
        "sending_domain": identity.sending_domain,
        "reply_route": identity.reply_route,
        "reasons": list(identity.reasons),
        "feedback_to": identity.feedback_to,
        "unsubscribe_at": identity.unsubscribe_at,
        "requested_from": identity.requested_from,
    }


def identity_from_json(document: Mapping[str, Any]) -> Identity:
    level, reasons = Level(document["level"]), tuple(document["reasons"])
    return Identity(**{**document, "level": level, "reasons": reasons})


def policy_to_json(policy: FailurePolicy) -> Document:
    after = policy.delay_told_after
    return {
        "name": policy.name,
        "steps": [_step_to_json(step) for step in policy.steps],
        "delay_told_after": None if after is None else after.total_seconds(),
    }


def policy_from_json(document: Mapping[str, Any]) -> FailurePolicy:
    after = document.get("delay_told_after", DELAY_TOLD_AFTER.total_seconds())
    return FailurePolicy(
        name=document["name"],
        steps=tuple(_step_from_json(step) for step in document["steps"]),
        delay_told_after=None if after is None else timedelta(seconds=after),
    )


def steps_to_json(steps: Iterable[StepState]) -> list[str]:
    return [step.value for step in steps]


def steps_from_json(steps: Iterable[str]) -> tuple[StepState, ...]:
    return tuple(StepState(step) for step in steps)


def _step_to_json(step: Step) -> Document:
    return {
        "kind": step.kind.value,
        "kinds": sorted(step.kinds),
        "min_evidence": step.min_evidence.value,
        "when_possibly_delivered": step.when_possibly_delivered.value,
        "only_if_unheard": step.only_if_unheard,
        "reader": step.reader.value,
        "delay": step.delay.total_seconds(),
        "budget_organization": step.budget_organization,
        "budget_recipient": step.budget_recipient,
    }


def _step_from_json(document: Mapping[str, Any]) -> Step:
    known = dict(document)
    known["kind"] = StepKind(known["kind"])
    if "kinds" in known:
        known["kinds"] = frozenset(known["kinds"])
    if "min_evidence" in known:
        known["min_evidence"] = Strength(known["min_evidence"])
    if "when_possibly_delivered" in known:
        known["when_possibly_delivered"] = WhenPossiblyDelivered(known["when_possibly_delivered"])
    if "reader" in known:
        known["reader"] = Reader(known["reader"])
    if "delay" in known:
        known["delay"] = timedelta(seconds=known["delay"])
    return Step(**known)
