"""Mail that does not say what it is, or says something else."""

import pytest

from homing.loop.evidence import ReportAction, What
from homing.loop.reading.prose import expansions
from homing.loop.reading.understand import Understood, understand
from tests.loop.reading.rules import RULES

SESSION = """Failed address: <joe@corp.example>

 11:02:41.401: <-- 220 Mailboxes over quota are refused with 552 mailbox full.
 11:02:41.401: --> EHLO mx.post.example
 11:02:41.440: <-- 250 SIZE 36700160
 11:02:41.441: --> MAIL From:<b+tok@b.post.example>
 11:02:41.480: <-- 250 Sender OK
 11:02:41.480: --> RCPT To:<joe@corp.example>
 11:02:41.533: <-- 550-5.1.1 There is
 11:02:41.533: <-- 550 5.1.1 no such user here
 11:02:41.533: --> QUIT
"""


def plainly(subject: str, prose: str, *fields: str) -> Understood:
    head = ("From: Ann <ann@corp.example>", "To: b+tok@b.post.example", f"Subject: {subject}", *fields)
    return understand("\n".join([*head, "", prose]).encode(), rules=RULES)


def test_the_last_reply_of_a_session_counts_and_not_its_greeting() -> None:
    found = plainly("Permanent Delivery Failure", SESSION, "Return-Path: <>")
    (report,) = found.reports
    assert (report.address, report.verdict.failure_class) == ("joe@corp.example", "invalid_recipient")


def test_who_stands_behind_an_alias_may_be_told_on_the_next_line() -> None:
    told = "<joe@corp.example> (expanded from\n    <all@club.example>): host mx said: 550 5.1.1 No such user"
    assert list(expansions(told)) == [("joe@corp.example", "all@club.example")]


@pytest.mark.parametrize(
    ("prose", "fields"),
    [
        ("Ich bin bis 4.12. im Urlaub. In dringenden Fällen hilft Frau Kurz.", ()),
        ("Das Büro ist vom 23.12. bis 6.1. geschlossen. Ihre Nachricht wird nicht gelesen.", ()),
        ("We have created a ticket for you.", ("X-Mailer: OTRS Mail Service",)),
        ("Sie wurde registriert. Ihre Ticketnummer lautet 4812.", ()),
    ],
)
def test_two_signs_make_an_answer_in_a_thread_automatic(prose: str, fields: tuple[str, ...]) -> None:
    assert plainly("Re: Offer", prose, "In-Reply-To: <a@post.example>", *fields).what is What.AUTO_REPLY


@pytest.mark.parametrize(
    "prose",
    [
        "I was on vacation last week, sorry. Please send the invoice.",
        "Wir haben Ihre Nachricht erhalten und nehmen das Angebot an.",
        "Es ist dringend: bitte liefern Sie bis 4.12.",
        "Das Büro ist geschlossen, in dringenden Fällen klingeln Sie.",
        "Ich bin im Urlaub. Dringende Fragen?",
    ],
)
def test_one_sign_does_not(prose: str) -> None:
    assert plainly("Re: Offer", prose, "In-Reply-To: <a@post.example>").what is What.HUMAN_REPLY


@pytest.mark.parametrize(
    ("prose", "what"),
    [
        ("Your message was not delivered. Answer: until you confirm, it waits. https://corp.example/c", What.CHALLENGE),
        ("Ihre Nachricht wurde nicht zugestellt. Zur Zustellung bestätigen: https://corp.example/c", What.CHALLENGE),
        (
            "Your message was not delivered to joe@corp.example: 550 5.7.1 until you confirm https://corp.example/c",
            What.BOUNCE,
        ),
    ],
)
def test_who_is_to_confirm_has_not_failed(prose: str, what: What) -> None:
    assert plainly("Undelivered mail", prose, "Return-Path: <>").what is what


@pytest.mark.parametrize("field", ["X-Failed-Recipients: joe@corp.example", "Auto-Submitted: auto-generated (failure)"])
@pytest.mark.parametrize("more", [(), ("In-Reply-To: <a@post.example>",)])
def test_a_field_that_only_mail_systems_write_is_enough(field: str, more: tuple[str, ...]) -> None:
    """Whoever stands in From, and however little the words say."""
    assert plainly("A note", "It came back.", field, *more).what is What.BOUNCE
    assert plainly("A note", "It came back.", *more).what is not What.BOUNCE
    (report,) = plainly("A note", "User unknown: joe@corp.example", field).reports
    assert (report.address, report.verdict.kind) == ("joe@corp.example", "hard")


def test_a_shop_that_asks_to_confirm_is_no_challenge() -> None:
    prose = "Please confirm to have your message delivered with the parcel: https://shop.example/c"
    assert plainly("Your parcel", prose).what is What.UNKNOWN


@pytest.mark.parametrize(
    ("prose", "action"),
    [
        ("It was removed from the queue. No further attempts will be made.", ReportAction.FAILED),
        ("If it fails for 3 days, no further attempts will be made.", ReportAction.DELAYED),
        ("Es gibt keine weiteren Versuche.", ReportAction.FAILED),
    ],
)
def test_a_notice_that_calls_the_end_a_delay(prose: str, action: ReportAction) -> None:
    status = "Final-Recipient: rfc822; joe@corp.example\nAction: delayed\nStatus: 4.4.1\n"
    parts = f"--b\n\n{prose}\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n{status}--b--\n"
    fields = "MIME-Version: 1.0", "Content-Type: multipart/report; report-type=delivery-status; boundary=b"
    assert [each.action for each in plainly("Undeliverable", parts, *fields).reports] == [action]
