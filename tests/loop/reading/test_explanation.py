"""Rows for a program, and sentences that say what `conclude` says."""

from datetime import UTC, datetime

import pytest

from homing.loop.evidence import What
from homing.loop.model import FailurePolicy, State, Step, StepKind
from homing.loop.outcome import conclude
from homing.loop.reading.explanation import WHAT_IT_IS, consequence, meaning, rows, sentences
from homing.loop.reading.understand import Understood, understand
from tests.loop.made import delivery, reported
from tests.loop.reading.rules import RULES

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def dsn(*recipients: str) -> bytes:
    """A report in the form of RFC 3464; each recipient is its block."""
    blocks = "\n\n".join(("Reporting-MTA: dns; mx.corp.example", *recipients))
    return (
        "From: MAILER-DAEMON@mx.corp.example\nTo: b@return.example\nSubject: Undelivered\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nIt failed.\n\n"
        f"--b\nContent-Type: message/delivery-status\n\n{blocks}\n\n--b--\n"
    ).encode()


UNKNOWN_USER = (
    "Final-Recipient: rfc822; jon@corp.example\nAction: failed\nStatus: 5.1.1\n"
    "Diagnostic-Code: smtp; 550 5.1.1 <jon@corp.example>: no such user here"
)
GONE = (
    "Final-Recipient: rfc822; jon@gone.example\nAction: failed\nStatus: 5.1.2\n"
    "Diagnostic-Code: smtp; 550 5.1.2 Host unknown"
)
LATE = "Final-Recipient: rfc822; ann@corp.example\nAction: delayed\nStatus: 4.4.1"
ALIAS = (
    "Original-Recipient: rfc822; info@corp.example\nFinal-Recipient: rfc822; ann@corp.example\n"
    "Action: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 5.2.2 mailbox full"
)


def read(raw: bytes) -> Understood:
    return understand(raw, rules=RULES)


def test_a_row_for_each_recipient_in_order() -> None:
    first, second = rows(read(dsn(UNKNOWN_USER, ALIAS)))
    assert {**first, "reason": ""} == {
        "address": "jon@corp.example",
        "status": "5.1.1",
        "reason": "",
        "class": "invalid_recipient",
        "kind": "hard",
        "action": "failed",
    }
    assert first["reason"]
    assert (second["address"], second["class"], second["kind"]) == ("ann@corp.example", "mailbox_full", "soft")


def test_a_late_message_is_no_failure() -> None:
    understood = read(dsn(LATE))
    (row,) = rows(understood)
    assert (understood.what, row["kind"], row["action"]) == (What.DELAY, "soft", "delayed")


def test_a_domain_that_has_taken_the_message_suppresses_nobody() -> None:
    behind = GONE.replace("gone.example", "corp.example")
    for block, kind in ((behind, "soft"), (GONE, "hard")):
        understood = read(dsn(block))
        outcome = consequence(understood, understood.reports[0], NOW)
        assert rows(understood)[0]["kind"] == kind
        assert not outcome.suppress


def test_ordinary_mail_has_no_rows() -> None:
    assert rows(read(b"From: ann@corp.example\nSubject: Lunch?\n\nAt one.\n")) == ()


def test_every_word_for_what_it_is_is_explained() -> None:
    assert set(WHAT_IT_IS) == set(What)


ANSWERS = [
    (
        "Subject: Re: invoice\nIn-Reply-To: <1@corp.example>\n\nThanks!\n",
        What.HUMAN_REPLY,
        "would be told whom to write to",
    ),
    ("Subject: Lunch?\n\nAt one.\n", What.UNKNOWN, "so that somebody can look at it"),
    ("Subject: Report Domain: corp.example Submitter: mx.example Report-ID: 1\n\nx\n", What.REPORT, "about a domain"),
]


@pytest.mark.parametrize(("mail", "what", "said"), ANSWERS)
def test_what_follows_from_a_mail_that_reports_on_nobody(mail: str, what: What, said: str) -> None:
    understood = read(f"From: ann@corp.example\n{mail}".encode())
    assert understood.what is what
    told = " ".join(sentences(consequence(understood, None, NOW), None, what))
    assert said in told
    assert "state stays as it is" in told


def told(raw: bytes) -> str:
    understood = read(raw)
    report = understood.reports[0]
    return " ".join(sentences(consequence(understood, report, NOW), report))


@pytest.mark.parametrize(
    ("block", "said", "unsaid"),
    [
        (UNKNOWN_USER, "changes from delivered to bounced", "operator"),
        (LATE, "the other server is still trying", "changes"),
        (ALIAS, "The address stays in use", "operator"),
        (GONE, "so it exists", "suppressed"),
        (
            UNKNOWN_USER.replace("no such user here", "your IP is listed at Spamhaus"),
            "alarm is raised",
            "suppressed",
        ),
    ],
)
def test_the_sentences_say_what_would_be_concluded(block: str, said: str, unsaid: str) -> None:
    sentence = told(dsn(block))
    assert said in sentence
    assert unsaid not in sentence


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (StepKind.LIVE, "screen"),
        (StepKind.LETTER, "e-mail to the human sender"),
        (StepKind.SMS, "text message"),
        (StepKind.WEBHOOK, "webhook"),
        (StepKind.ADMINISTRATOR, "administrator"),
        (StepKind.LOG, "log"),
    ],
)
def test_each_step_of_a_policy_is_told_in_words(kind: StepKind, said: str) -> None:
    outcome = conclude(delivery(State.DELIVERED), reported(), FailurePolicy(name="x", steps=(Step(kind=kind),)), NOW)
    told = " ".join(sentences(outcome, read(dsn(UNKNOWN_USER)).reports[0]))
    (case,) = [sentence for sentence in told.split(". ") if "case opens" in sentence]
    assert said in case


def test_what_a_verdict_means_stands_in_one_sentence() -> None:
    assert meaning(read(dsn(UNKNOWN_USER)).reports[0]) == "There is no mailbox jon@corp.example."
    braces = UNKNOWN_USER.replace("jon@", "{0.__class__}@")
    assert meaning(read(dsn(braces)).reports[0])
