"""Each recipient has his own reason, and a reason his own speaker: a server, and no program, list or greeting."""

import pytest

from homing.loop.evidence import ReportAction, What
from homing.loop.reading.understand import Understood, understand
from tests.loop.reading.rules import RULES

HEAD = "From: MAILER-DAEMON@mx.corp.example\nSubject: Undelivered mail\n"


def read(text: str, head: str = HEAD) -> Understood:
    return understand(f"{head}\n{text}\n".encode(), rules=RULES)


def classes(found: Understood) -> dict[str, str]:
    return {report.address: report.verdict.failure_class for report in found.reports}


def report(
    fields: str, *, prose: str = "Sorry.", trace: str = "", reporting_mta: str = "mx.other.example"
) -> Understood:
    head = f"{HEAD}Content-Type: multipart/report; report-type=delivery-status; boundary=b\n"
    returned = f"{trace}Message-ID: <m1@post.example>"
    return read(
        f"--b\n\n{prose}\n--b\nContent-Type: message/delivery-status\n\n"
        f"Reporting-MTA: dns; {reporting_mta}\n\n{fields}\n"
        f"--b\nContent-Type: text/rfc822-headers\n\n{returned}\n--b--",
        head,
    )


def test_a_reason_does_not_pass_to_the_next_recipient() -> None:
    found = read(
        "The addresses to which the message has not yet been delivered are:\n\n"
        "  joe@corp.example\n    Delay reason: host mx.corp.example [203.0.113.9]: 452 mailbox is over quota\n"
        "  ann@corp.example\n"
    )
    assert classes(found) == {"joe@corp.example": "mailbox_full", "ann@corp.example": "unreachable"}


def test_each_block_of_a_notice_is_read() -> None:
    block = "Unknown user: {}@corp.example\n\nRCPT TO generated following response:\n553 Addressee unknown\n\n"
    found = read("".join(block.format(name) for name in ("joe", "ann", "ida")))
    assert classes(found) == dict.fromkeys(
        (f"{name}@corp.example" for name in ("joe", "ann", "ida")), "invalid_recipient"
    )


def test_a_caption_says_who_the_recipient_is() -> None:
    found = read("Your mail did not reach the recipient.\n\nRecipient(s):\nJoe@corp.example\n\nAsk help@corp.example.")
    assert [report.address for report in found.reports] == ["Joe@corp.example"]


SESSION = """ Out: 220 mx.corp.example ESMTP
 In:  EHLO gate.example
 Out: 250-8BITMIME
 Out: 250 SMTPUTF8
 In:  MAIL FROM:<ida@post.example>
 Out: 250 2.1.0 Ok
 In:  RCPT TO:<ann@corp.example>
 Out: 550 5.1.1 User unknown
 In:  RCPT TO:<joe@corp.example>
 Out: 250 2.1.5 Ok
 In:  DATA
 Out: 354 Go ahead
 Out: 452 4.3.1 Insufficient system storage
 In:  QUIT"""


def test_a_session_that_is_shown_says_who_was_refused_and_why() -> None:
    assert classes(read(SESSION)) == {"ann@corp.example": "invalid_recipient", "joe@corp.example": "system"}
    unfinished = read(SESSION.partition(" In:  RCPT TO:<ann")[0])
    assert all(each.verdict.kind == "soft" for each in unfinished.reports)


PROGRAM = "Final-Recipient: rfc822; joe@corp.example\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: X-Unix; {}"


@pytest.mark.parametrize(
    ("code", "printed", "failure_class"),
    [
        (70, "KeyError: no such user in the cache", "system"),
        (1, "too many open connections", "system"),
        (67, "sorry", "invalid_recipient"),
        (75, "Quota exceeded for joe", "mailbox_full"),
    ],
)
def test_what_a_program_printed_is_no_reply(code: int, printed: str, failure_class: str) -> None:
    prose = f"   ----- Transcript of session follows -----\n{printed}\n554 5.3.0 unknown mailer error {code}"
    assert classes(report(PROGRAM.format(code), prose=prose)) == {"joe@corp.example": failure_class}


GONE = (
    "Final-Recipient: rfc822; joe@corp.example\nAction: failed\nStatus: 5.1.2\nDiagnostic-Code: smtp; 550 Host unknown"
)
TRACE = "Received: from post.example by {}\n with ESMTP; Mon, 2 Nov 2026 10:00:00 +0000\n"


@pytest.mark.parametrize(
    ("reporting_mta", "trace", "failure_class"),
    [
        ("mx.other.example", "", "invalid_domain"),
        ("mx.other.example", TRACE.format("mx.other.example"), "invalid_domain"),
        ("notcorp.example", "", "invalid_domain"),
        ("mx.corp.example", "", "unreachable"),
        ("CORP.example.", "", "unreachable"),
        ("localhost", TRACE.format("in.corp.example"), "unreachable"),
    ],
)
def test_a_domain_that_just_took_the_mail_is_there(reporting_mta: str, trace: str, failure_class: str) -> None:
    found = report(GONE, reporting_mta=reporting_mta, trace=trace)
    assert classes(found) == {"joe@corp.example": failure_class}
    assert {each.verdict.kind for each in found.reports} == {"hard" if failure_class == "invalid_domain" else "soft"}


def test_a_refusal_in_the_greeting_is_not_about_a_mailbox() -> None:
    (found,) = read(
        "<joe@corp.example>: host mx.corp.example[203.0.113.9] refused to talk to me: 421 4.2.1 Not now"
    ).reports
    assert (found.verdict.failure_class, found.verdict.kind) == ("unreachable", "soft")


def test_a_notice_that_quotes_the_subject_of_a_list() -> None:
    subject = "Subject: Your message to Rowers awaits moderator approval"
    assert read("It is held.", f"From: rowers@corp.example\n{subject}\n").what is What.AUTO_REPLY
    found = read(
        "Your message could not be delivered to\n\n  joe@corp.example", f"From: MAILER-DAEMON@a.example\n{subject}\n"
    )
    assert (found.what, [each.address for each in found.reports]) == (What.BOUNCE, ["joe@corp.example"])


HELD = "Your message to Rowers awaits moderator approval"


@pytest.mark.parametrize(
    ("fields", "words", "what"),
    [
        (f"Subject: {HELD}\n", "", What.AUTO_REPLY),
        (f"Subject: Undeliverable: {HELD}\n", "", What.BOUNCE),
        (f"Subject: {HELD}\n", "Hi. This is the qmail-send program at corp.example.\n", What.BOUNCE),
        (f"Subject: {HELD}\nX-Failed-Recipients: joe@corp.example\n", "", What.BOUNCE),
    ],
)
def test_a_note_of_a_list_is_one_unless_its_sender_says_that_something_failed(
    fields: str, words: str, what: What
) -> None:
    mail = f"From: MAILER-DAEMON@corp.example\n{fields}\n{words}User unknown: joe@corp.example\n"
    assert understand(mail.encode(), rules=RULES, null_sender=True).what is what


def test_a_delay_whose_subject_says_failure() -> None:
    head = "From: MAILER-DAEMON@corp.example\nSubject: Delivery failure notification\n"
    found = read("Could not be delivered to:\n\njoe@corp.example\n\nIt will be retried for 4 days.", head)
    assert [each.action for each in found.reports] == [ReportAction.DELAYED]


def test_a_sentence_from_nobody_is_a_notice() -> None:
    found = read("joe@corp.example is no valid user of this server.", "From: <>\nAuto-Submitted: auto-replied\n")
    assert (found.what, classes(found)) == (What.BOUNCE, {"joe@corp.example": "invalid_recipient"})
