"""How much a mail that came back may change: whose word a complaint is, and about which message."""

from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest

from homing.loop.evidence import ReportAction, Reported, What
from homing.loop.model import InboundId, State, Strength
from homing.loop.reading.match import evidence_from, is_feedback_of, is_from_postmaster_of
from homing.loop.reading.understand import RecipientReport, Understood, understand
from homing.mail.authentication import Authentication
from homing.mail.dkim_verification import Result, Signature, Verification
from homing.mail.dmarc import DmarcResult, DmarcVerdict, MethodVerdict
from homing.mail.mime import read_headers
from homing.mail.spf import SpfVerdict
from homing.mail.spf_record import SpfResult
from tests.loop.made import VERDICT, delivery

from .rules import RULES

OURS = "m1@post.acme.example"


def complaint(returned: str) -> Understood:
    report = RecipientReport(original_recipient="john@corp.com", action=ReportAction.NONE, verdict=VERDICT)
    return Understood(what=What.COMPLAINT, rule="feedback.abuse", reports=(report,), returned_message_id=returned)


@pytest.mark.parametrize(
    ("returned", "vouched", "strength"),
    [
        (f"<{OURS}>", True, Strength.STRONG),
        ("", True, Strength.STRONG),  # redacted
        ("<m2@post.acme.example>", True, Strength.WEAK),  # a mark of ours on another message
        (f"<{OURS}>", False, Strength.WEAK),  # whoever was among the recipients knows as much
    ],
)
def test_a_complaint_needs_somebody_who_vouches_and_the_right_original(
    returned: str, vouched: bool, strength: Strength
) -> None:
    found = evidence_from(
        complaint(returned),
        delivery(State.DELIVERED),
        message_id=OURS,
        inbound=InboundId(UUID(int=7)),
        by_envelope=False,
        vouched=vouched,
    )
    assert (found.what, found.strength) == (What.COMPLAINT, strength)


def said(author: str | None, *signatures: tuple[str, Result]) -> Authentication:
    walk = MethodVerdict(result=DmarcResult.NONE, organizational_domain="")
    return Authentication(
        spf=SpfVerdict(result=SpfResult.PASS, domain="arf.provider.net", reason=""),
        dkim=Verification(tuple(Signature(domain, "s", "rsa-sha256", result) for domain, result in signatures)),
        dmarc=None if author is None else DmarcVerdict(author_domain=author, tree_walk=walk, suffix_list=None),
    )


PASS, FAIL = Result.PASS, Result.FAIL


@pytest.mark.parametrize(
    ("authentication", "vouches"),
    [
        (said("arf.provider.net", ("arf.provider.net", PASS)), True),
        (said("arf.provider.net", ("Provider.net", PASS)), True),
        (said("arf.provider.net", ("stranger.net", PASS), ("arf.provider.net", PASS)), True),
        (said("arf.provider.net"), False),  # SPF alone
        (said("arf.provider.net", ("arf.provider.net", FAIL)), False),
        (said("arf.provider.net", ("stranger.net", PASS)), False),
        (said("arf.provider.net", ("x.arf.provider.net", PASS)), False),
        (said("arf.provider.net", ("vider.net", PASS)), False),
        (said("provider.net", ("provider.net", PASS)), False),  # where people have mailboxes
        (said("x.arf.provider.net", ("arf.provider.net", PASS)), False),
        (said("stranger.net", ("stranger.net", PASS)), False),
        (said(None, ("arf.provider.net", PASS)), False),  # two From, or none
    ],
)
def test_a_provider_vouches_by_the_signature_of_a_domain_that_was_agreed_on(
    authentication: Authentication, vouches: bool
) -> None:
    assert is_feedback_of({"arf.provider.net"}, authentication) is vouches
    assert not is_feedback_of(frozenset(), authentication)


def by_spf(result: SpfResult) -> Authentication:
    return replace(said("corp.com"), spf=SpfVerdict(result=result, domain="mx.corp.com", reason=""))


@pytest.mark.parametrize(
    ("sender", "rule", "authentication", "vouches"),
    [
        ("postmaster@corp.com", "dsn", said("corp.com", ("corp.com", PASS)), True),
        ("Mail System <MAILER-DAEMON@mx.corp.com>", "dsn", said("corp.com", ("mx.corp.com", PASS)), True),
        ("joe@corp.com", "dsn", said("corp.com", ("corp.com", PASS)), False),  # anybody there could write so
        ("postmaster@corp.com", "dsn-in-text", said("corp.com", ("corp.com", PASS)), False),
        ("postmaster@corp.com", "dsn", said("corp.com", ("corp.com", FAIL)), False),
        ("postmaster@corp.com", "dsn", said("corp.com", ("evilcorp.com", PASS)), False),
        ("postmaster@corp.com", "dsn", said("corp.com"), False),
        ("postmaster@corp.com", "dsn", by_spf(SpfResult.PASS), True),
        ("postmaster@corp.com", "dsn", by_spf(SpfResult.SOFTFAIL), False),
    ],
)
def test_a_report_in_the_name_of_a_postmaster_is_his_if_his_domain_says_so(
    sender: str, rule: str, authentication: Authentication, vouches: bool
) -> None:
    told = Understood(what=What.BOUNCE, rule=rule, headers=read_headers(f"From: {sender}\n"))
    ours = delivery(State.DELIVERED, recipient="john@corp.com", receiver="corp.com")
    assert is_from_postmaster_of(ours, told, authentication) is vouches
    mailboxes = delivery(State.DELIVERED, recipient="john@gmail.com", receiver="gmail.com")
    theirs = said("gmail.com", ("gmail.com", PASS))
    assert not is_from_postmaster_of(mailboxes, told, theirs), "people have mailboxes there"


def bounce(final: str, *, original: str = "john@corp.com", behind: str = "", **verdict: str) -> Reported:
    """A strong report to the live return address of a delivery to john@corp.com."""
    report = RecipientReport(
        original_recipient=original,
        final_recipient=final,
        behind=behind,
        action=ReportAction.FAILED,
        verdict=replace(VERDICT, **verdict),
    )
    return evidence_from(
        Understood(what=What.BOUNCE, rule="dsn", reports=(report,)),
        delivery(State.DELIVERED, recipient="john@corp.com"),
        message_id=OURS,
        inbound=InboundId(UUID(int=7)),
        by_envelope=True,
    )


@pytest.mark.parametrize(
    ("final", "behind", "names_recipient", "names_other", "rewritten"),
    [
        ("john@corp.com", "", True, False, False),
        ("JOHN@corp.com", "", True, False, False),
        ("john@mx.corp.com", "", True, False, True),
        ("john@else.com", "", False, True, False),  # our ORCPT, echoed as Original-Recipient, proves nothing
        ("john@corp.com", "gone@else.com", False, True, False),
        ("john@corp.com", "john@mx.corp.com", False, True, False),  # expanded from his
        ("|/usr/bin/filter", "", True, False, True),
        ("", "", True, False, False),
    ],
)
def test_whom_a_report_is_about(
    final: str, behind: str, names_recipient: bool, names_other: bool, rewritten: bool
) -> None:
    found = bounce(final, behind=behind)
    assert (found.names_recipient, found.names_other, found.rewritten) == (names_recipient, names_other, rewritten)
    assert found.final_recipient == (behind or final)


def test_of_several_reports_the_one_about_our_recipient_counts() -> None:
    reports = tuple(
        RecipientReport(final_recipient=final, action=ReportAction.FAILED, verdict=replace(VERDICT, text=final))
        for final in ("gone@else.com", "john@mx.corp.com", "john@corp.com")
    )
    for kept, expected in (
        (reports, "john@corp.com"),
        (reports[:2], "john@mx.corp.com"),
        (reports[:1], "gone@else.com"),
    ):
        found = evidence_from(
            Understood(what=What.BOUNCE, rule="dsn", reports=kept),
            delivery(State.DELIVERED, recipient="john@corp.com"),
            message_id=OURS,
            inbound=InboundId(UUID(int=7)),
            by_envelope=True,
        )
        assert found.final_recipient == expected


GRAVEST_FIRST = [
    ReportAction.FAILED,
    ReportAction.DELAYED,
    ReportAction.DELIVERED,
    ReportAction.RELAYED,
    ReportAction.EXPANDED,
    ReportAction.NONE,
]


@pytest.mark.parametrize(("graver", "lighter"), list(pairwise(GRAVEST_FIRST)))
def test_of_several_words_about_our_recipient_the_gravest_counts(graver: ReportAction, lighter: ReportAction) -> None:
    """A server that says twice what became of him must not hide a failure behind something better."""
    reports = [
        RecipientReport(final_recipient="john@corp.com", action=action, verdict=VERDICT) for action in (lighter, graver)
    ]
    for told in (reports, reports[::-1]):
        found = evidence_from(
            Understood(what=What.BOUNCE, rule="dsn", reports=tuple(told)),
            delivery(State.DELIVERED, recipient="john@corp.com"),
            message_id=OURS,
            inbound=InboundId(UUID(int=7)),
            by_envelope=True,
        )
        assert found.action is graver


@pytest.mark.parametrize("passed_on", [ReportAction.EXPANDED, ReportAction.RELAYED])
def test_who_was_passed_on_from_has_not_failed(passed_on: ReportAction) -> None:
    """RFC 3464 §2.3.3: the report goes on with what became of those behind him."""
    ours = RecipientReport(final_recipient="john@corp.com", action=passed_on, verdict=VERDICT)
    behind = RecipientReport(final_recipient="gone@else.com", action=ReportAction.FAILED, verdict=VERDICT)
    found = evidence_from(
        Understood(what=What.BOUNCE, rule="dsn", reports=(ours, behind)),
        delivery(State.DELIVERED, recipient="john@corp.com"),
        message_id=OURS,
        inbound=InboundId(UUID(int=7)),
        by_envelope=True,
    )
    assert (found.action, found.names_other) == (ReportAction.FAILED, True)


@pytest.mark.parametrize(
    ("rule", "by_envelope", "strength"),
    [
        ("dsn", True, Strength.STRONG),
        ("dsn", False, Strength.WEAK),  # whoever got a copy knows as much as that
        ("dsn-in-text", True, Strength.WEAK),  # anybody can write it
        ("qmail.failure", True, Strength.WEAK),
    ],
)
def test_a_strong_report_is_for_machines_and_comes_home(rule: str, by_envelope: bool, strength: Strength) -> None:
    report = RecipientReport(final_recipient="john@corp.com", action=ReportAction.FAILED, verdict=VERDICT)
    found = evidence_from(
        Understood(what=What.BOUNCE, rule=rule, reports=(report,)),
        delivery(State.DELIVERED, recipient="john@corp.com"),
        message_id=OURS,
        inbound=InboundId(UUID(int=7)),
        by_envelope=by_envelope,
    )
    assert found.strength is strength


def test_a_domain_that_has_just_taken_the_message_exists() -> None:
    found = bounce("john@corp.com", failure_class="invalid_domain", kind="hard")
    assert (found.verdict.failure_class, found.verdict.kind, found.verdict.rule) == (
        "unreachable",
        "soft",
        VERDICT.rule,
    )


def test_expanded_announces_those_behind_him() -> None:
    """RFC 3464 §2.3.3: what is said of the members counts, as no more is said of him."""
    expanded = RecipientReport(final_recipient="john@corp.com", action=ReportAction.EXPANDED, verdict=VERDICT)
    failed = RecipientReport(final_recipient="m@else.com", action=ReportAction.FAILED, verdict=VERDICT)
    for kept, action, names_other in (((expanded, failed), "failed", True), ((expanded,), "expanded", False)):
        found = evidence_from(
            Understood(what=What.BOUNCE, rule="dsn", reports=kept),
            delivery(State.DELIVERED, recipient="john@corp.com"),
            message_id=OURS,
            inbound=InboundId(UUID(int=7)),
            by_envelope=True,
        )
        assert (found.action, found.names_other) == (action, names_other)


@pytest.mark.parametrize(
    ("subject", "text", "receipt"),
    [
        ("Ticket Received - 4711", "We have created a ticket for you.", True),
        ("[#4711] Your letter", "Your request has been received. Its number is 4711.", True),
        ("[#4711] Your letter", "We have created a ticket for you.", True),
        ("Out of office: Your letter", "I am out of the office until Monday and do not read my mail.", False),
        ("Automatic reply: Your letter", "I am away. Your request has been received.", False),
    ],
)
def test_a_receipt_is_told_from_an_absence(subject: str, text: str, receipt: bool) -> None:
    raw = f"From: desk@corp.com\nTo: b+x@b.post.example\nSubject: {subject}\nAuto-Submitted: auto-replied\n\n{text}\n"
    understood = understand(raw.encode(), rules=RULES)
    assert understood.what is What.AUTO_REPLY
    found = evidence_from(
        understood, delivery(State.DELIVERED), message_id=OURS, inbound=InboundId(UUID(int=7)), by_envelope=True
    )
    assert found.receipt is receipt


@pytest.mark.parametrize(
    ("status", "diagnostic", "out_of_time"),
    [
        ("4.4.7", "Envelope expired", True),
        ("4.4.7", "delivery temporarily suspended", True),
        ("4.4.7", "transaction failed", True),
        ("5.0.0", "Message expired", True),
        ("4.4.7", "550 5.1.1 <john@corp.com>: no such user", False),
        ("5.4.4", "host not found", False),
    ],
)
def test_a_bare_end_of_time_is_told_from_a_reason(status: str, diagnostic: str, out_of_time: bool) -> None:
    report = (
        "From: MAILER-DAEMON@mx.corp.com\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        "--b\n\nNot delivered.\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.corp.com\n\n"
        "Final-Recipient: rfc822; john@corp.com\nAction: failed\n"
        f"Status: {status}\nDiagnostic-Code: smtp; {diagnostic}\n\n--b--\n"
    )
    found = evidence_from(
        understand(report.encode(), rules=RULES),
        delivery(State.DELIVERED),
        message_id=OURS,
        inbound=InboundId(UUID(int=7)),
        by_envelope=True,
    )
    assert (found.action, found.out_of_time) == (ReportAction.FAILED, out_of_time)
