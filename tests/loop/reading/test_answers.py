"""Answers are told from notices of failure, and what a program wrote from what a person did."""

import pytest

from homing.loop.evidence import What
from homing.loop.reading.answers import RECEIPTS
from homing.loop.reading.understand import Understood, understand
from tests.loop.reading.rules import RULES

NOTICE = "Your message could not be delivered to the following recipient:\n\njoe@corp.example\nUser unknown\n"


def read(*head: str, prose: str, null_sender: bool = False) -> Understood:
    return understand("\n".join([*head, "", prose]).encode(), rules=RULES, null_sender=null_sender)


@pytest.mark.parametrize("sender", ["MAILER-DAEMON", "postmaster"])
def test_a_notice_of_few_words_is_one_if_its_sender_writes_such(sender: str) -> None:
    """Others write such words, too: of somebody else, of a form, of a shop."""
    head, few = "Subject: A note", "User unknown: joe@corp.example"
    found = read(f"From: {sender}@corp.example", head, prose=few)
    (report,) = found.reports
    assert (report.address, report.verdict.kind) == ("joe@corp.example", "hard")
    assert read("From: ann@corp.example", head, prose=few).what is What.UNKNOWN


@pytest.mark.parametrize(
    ("rule", "subject", "words"),
    [
        ("challenge.text", "Undelivered", "Prove that you are not a robot."),
        ("challenge.languages", "Undelivered", "Bestätigen Sie bitte, dass Sie ein Mensch sind."),
        ("challenge.subject", "Please confirm your message", ""),
        ("challenge.subject-languages", "Bitte bestätigen Sie Ihre Nachricht", ""),
    ],
)
def test_words_that_ask_for_proof_must_say_where(rule: str, subject: str, words: str) -> None:
    """Subjects and originals that a notice quotes have such words, too."""
    head = ("From: MAILER-DAEMON@corp.example", f"Subject: {subject}")
    assert read(*head, prose=f"{NOTICE}\n{words}\n", null_sender=True).what is What.BOUNCE
    asked = read(*head, prose=f"{NOTICE}\n{words}\nhttps://corp.example/c\n", null_sender=True)
    assert (asked.what, asked.rule) == (What.CHALLENGE, rule)


@pytest.mark.parametrize("field", ["Subject: Automatic reply: Offer", "X-Autoreply: yes", "X-Autorespond: yes"])
def test_an_answer_that_passed_a_list_is_known_by_what_no_member_writes(field: str) -> None:
    head = ("From: joe@corp.example", "List-Id: <talk.lists.example>")
    assert read(*head, field, prose="Away.").what is What.AUTO_REPLY
    assert read(*head, "Subject: Offer", prose="I am out of the office.").what is What.UNKNOWN


@pytest.mark.parametrize("field", ["User-Agent: Mutt/2.2", "X-Mailer: Apple Mail (2.3)"])
def test_who_writes_with_a_mail_program_of_people_is_one(field: str) -> None:
    thread = ("From: joe@corp.example", "Subject: Re: Offer", "In-Reply-To: <a@post.example>")
    closed = "Das Büro ist vom 23.12. bis 6.1. geschlossen. Ihre Nachricht wird nicht gelesen."
    assert read(*thread, prose=closed).what is What.AUTO_REPLY
    assert read(*thread, field, prose=closed).what is What.HUMAN_REPLY


@pytest.mark.parametrize(
    ("rule", "subject", "words"),
    [
        ("auto-reply.request-received", "Ticket received: 4711", "Hello."),
        ("auto-reply.received", "[#4711] Your letter", "Your request has been received."),
        ("auto-reply.registered", "[#4711] Your letter", "We have created a ticket for you."),
    ],
)
def test_a_desk_that_has_the_message_gives_a_receipt(rule: str, subject: str, words: str) -> None:
    """Somebody will see to it: a letter that got one has reached somebody."""
    found = read("From: desk@corp.example", f"Subject: {subject}", "Auto-Submitted: auto-replied", prose=words)
    assert (found.what, found.rule) == (What.AUTO_REPLY, rule)
    assert found.rule in RECEIPTS
