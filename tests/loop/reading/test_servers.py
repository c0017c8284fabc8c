"""Notices that Debian's Postfix, Exim, Sendmail and OpenSMTPD sent about mail of ours, in a lab: what is concluded."""

from datetime import timedelta
from uuid import UUID

import pytest

from homing.loop.evidence import What
from homing.loop.model import CaseKind, EventType, InboundId, State
from homing.loop.outcome import Outcome, conclude
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.reading.explanation import consequence, rows
from homing.loop.reading.match import evidence_from
from homing.loop.reading.understand import understand
from tests.data import SERVERS
from tests.loop.made import NOW, delivery

from .rules import RULES

BEHIND = [
    ("exim-alias-one-dead-member", "list@ex-recv.com", "gone@dead-forward.com"),
    ("exim-generated-from", "ghost2@ex-recv.com", "nobodyhere@ex-recv.com"),
    ("opensmtpd-dead-forward", "fwd@os-recv.com", "gone@dead-forward.com"),
    ("postfix-alias-one-dead-member", "list@pf-recv.com", "ghost2nobody@mx.pf-recv.com"),
    ("postfix-dead-forward", "fwd@pf-recv.com", "gone@dead-forward.com"),
    ("sendmail-alias-one-dead-member", "list@sm-recv.com", "thereisnobody2@mx.sm-recv.com"),
    ("sendmail-dead-forward-x-actual-recipient", "fwd@sm-recv.com", "gone@dead-forward.com"),
]
"""A notice, the recipient whom we wrote to, and an address that failed behind him."""


def concluded(name: str, recipient: str) -> Outcome:
    understood = understand((SERVERS / f"{name}.eml").read_bytes(), rules=RULES, null_sender=True)
    assert understood.what is What.BOUNCE
    evidence = evidence_from(
        understood,
        delivery(State.DELIVERED, recipient=recipient),
        message_id=understood.returned_message_id.strip("<>"),
        inbound=InboundId(UUID(int=7)),
        by_envelope=True,
    )
    return conclude(delivery(State.DELIVERED, recipient=recipient), evidence, BUILTIN_DEFAULT, NOW)


@pytest.mark.parametrize(("name", "recipient", "behind"), BEHIND)
def test_what_failed_behind_the_recipient_is_not_his(name: str, recipient: str, behind: str) -> None:
    outcome = concluded(name, recipient)
    assert outcome.delivery.state is State.DELIVERED
    assert (outcome.suppress, outcome.hearsay, outcome.full) == (None, None, False)
    assert outcome.case is not None
    assert outcome.case.kind is CaseKind.FORWARDING_FAILURE
    assert outcome.events[0].type is EventType.FORWARDING_FAILED
    assert outcome.events[0].data["final_recipient"] == behind


@pytest.mark.parametrize("name", [name for name, _, _ in BEHIND if name != "opensmtpd-dead-forward"])
def test_explained_without_knowing_whom_we_wrote_to(name: str) -> None:
    """OpenSMTPD alone does not say that another address stood behind."""
    understood = understand((SERVERS / f"{name}.eml").read_bytes(), rules=RULES, null_sender=True)
    assert {row["kind"] for row in rows(understood)} == {"soft"}
    for report in understood.reports:
        outcome = consequence(understood, report, NOW)
        assert (outcome.delivery.state, outcome.suppress) == (State.DELIVERED, None)


def test_a_mailbox_that_was_full_when_it_was_written() -> None:
    outcome = concluded("postfix-mbox-full", "full@pf-recv.com")
    assert outcome.delivery.state is State.BOUNCED
    assert outcome.delivery.verdict is not None
    assert (outcome.delivery.verdict.failure_class, outcome.suppress, outcome.full) == ("mailbox_full", None, True)


def test_the_recipient_himself_is_suppressed_for_a_month() -> None:
    outcome = concluded("opensmtpd-dead-forward", "gone@dead-forward.com")
    assert outcome.suppress is not None
    assert outcome.suppress.expires_at == NOW + timedelta(days=30)
