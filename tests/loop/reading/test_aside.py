"""What stands around a server's words says nothing of the failure, and advice only where nothing else does."""

import time

import pytest

from homing.loop.model import Verdict
from homing.loop.reading.aside import servers_words, without_advice
from homing.loop.reading.classify import classify
from tests.loop.reading.rules import RULES


def said(text: str) -> Verdict:
    return classify(None, stage=None, status="", text=text, remote_mta="", rules=RULES)


FRAMES = [
    "{}",
    "host mx.spam-relay.example[203.0.113.9] said: {}",
    "host policy.database.example [203.0.113.9]: {}",
    "SMTP module(domain unknown.example) reports:\n host relay.virus.example says:\n {}",
    "This is the mailbox program at relay.example.\n{}",
    "250-8BITMIME\n250-AUTH LOGIN\n250 SMTPUTF8\n{}",
    "{}\nThis message was scanned by the AntiVirus of relay.example.",
    "{}\n\nThis e-mail may hold confidential matter; if you are not the addressee, its use is not allowed.",
    "{}. Please publish an SPF record and fix the reverse DNS.",
    "{}\n\nWhat you can do:\n* Make sure that your mailbox is not full.\n* Remove the virus.",
]
SAID = {
    "550 5.1.1 User unknown": "invalid_recipient",
    "552 5.2.2 Mailbox full": "mailbox_full",
    "550 5.7.20 Signature not found": "auth",
    "451 4.3.2 Queue id not found": "system",
    "550 5.7.1 identified as unsolicited bulk mail": "content",
    "Connection timed out": "unreachable",
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("words", SAID)
def test_what_stands_around_the_words_changes_nothing(frame: str, words: str) -> None:
    assert said(frame.format(words)).failure_class == SAID[words], said(frame.format(words))


@pytest.mark.parametrize(
    ("text", "failure_class"),
    [
        ("550 blocked using zen.spamhaus.org", "reputation"),
        ("550 bl.spamcop.net: 203.0.113.7 is there", "reputation"),
        ("550 host corp.example not found", "invalid_domain"),
        ("550 Please turn on SMTP authentication", "policy"),
        ("550 No. Please turn on SMTP authentication", "policy"),
        ("550 This message was scanned and found to contain a virus", "content"),
        ("550 USER_NOT_FOUND", "invalid_recipient"),
        ("550 err.mailboxfull", "mailbox_full"),
        ("554 header field 'DKIM-Signature' occurs twice", "content"),
        ("554 header X-Spam-Flag is too long", "content"),
        ("550 DKIM-Signature header is missing", "auth"),
        ("the server does not advertise a login method", "system"),
        ("554 Virus found. See https://spf.example/help", "content"),
        ("554 Blocked, see https://www.spamcop.net/bl", "reputation"),
        ("550 Too many 'Received-SPF' fields", "content"),
        ("554 5.4.6 It loops: it has my Delivered-To line", "unreachable"),
        ("550 err.mailbox.notfound", "invalid_recipient"),
        ("550 listed in CSS", "reputation"),
        ("550 La cuenta fue cancelada", "inactive_mailbox"),
        ("550 malformed MX record of corp.example", "unreachable"),
    ],
)
def test_names_and_symbols(text: str, failure_class: str) -> None:
    assert said(text).failure_class == failure_class, said(text)


@pytest.mark.parametrize(
    "piece", ["a.", "a-", "host a.b", "250-\n", "this is the ", ". please ", "[1.2", "\n\t ", "_a", "header x-"]
)
def test_time_is_linear(piece: str) -> None:
    text = piece * (4096 // len(piece))
    began = time.process_time()
    without_advice(servers_words(text))
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "checked",
    [
        "examined",
        "scanned",
        "checked",
        "verified",
        "screened",
        "inspected",
        "protected",
        "processed",
        "certified",
        "cleaned",
        "swept",
    ],
)
def test_a_note_of_who_looked_at_a_message_says_nothing_of_it(checked: str) -> None:
    noted = servers_words(f"Connection timed out\nThis message was {checked} by the AntiVirus of relay.example.\n")
    assert (noted.split()[:3], "AntiVirus" in noted) == (["Connection", "timed", "out"], False)
    signed = servers_words(f"Connection timed out\n{checked} by AntiVirus\n")
    assert "AntiVirus" not in signed
    assert "infected" in servers_words(f"This message was {checked} and found to be infected.\n")


@pytest.mark.parametrize("program", ["program", "agent", "daemon", "robot"])
def test_the_signature_of_a_program_says_nothing_of_the_failure(program: str) -> None:
    assert servers_words(f"Connection timed out\nThe virus mailbox {program}\n").split() == [
        "Connection",
        "timed",
        "out",
    ]


@pytest.mark.parametrize(
    "advice",
    [
        "What you can do: empty the mailbox.",
        "What to do? Empty the mailbox.",
        "How to fix it: empty the mailbox.",
        "How can I solve this? Empty the mailbox.",
        "Possible solutions: empty the mailbox.",
        "Suggested actions: empty the mailbox.",
        "Next steps: empty the mailbox.",
        "Recommended action: empty the mailbox.",
        "Was Sie tun können: leeren Sie das Postfach.",
        "Was kann ich tun? Leeren Sie das Postfach.",
        "Was können Sie tun? Leeren Sie das Postfach.",
        "Que faire ? Videz la boîte.",
        "Qué puedo hacer: vacíe el buzón.",
    ],
)
def test_what_could_be_done_is_not_what_happened(advice: str) -> None:
    said = "550 5.4.1 The connection to the host timed out"
    assert without_advice(f"{said}\n\n{advice}\nThen send again.") == said


@pytest.mark.parametrize(
    "before",
    ["connect to", "connecting to", "while talking to", "queue on", "program at", "mail system at host", "reply from"],
)
def test_the_name_of_a_host_says_nothing_of_the_failure(before: str) -> None:
    """Whatever it is called, and where neither its address nor a colon follows."""
    assert "virus" not in servers_words(f"Timed out: {before} mx.virus-mailbox.example\nSorry")
