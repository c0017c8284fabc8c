"""Families of words: whatever is said to be missing, shut or full, in whatever order, and whose fault it is."""

from itertools import product
from pathlib import Path

import pytest

from homing.loop.model import Verdict
from homing.loop.reading.classify import classify
from tests.loop.reading.rules import RULES

CODES = ("", "550 ", "550 5.1.1 ", "554 5.0.0 ", "550 5.7.1 ")
RECIPIENTS = (
    "user",
    "mailbox",
    "account",
    "recipient",
    "address",
    "alias",
    "email address",
    "recipient address",
)
SENDERS = (
    "sender", "sender address", "sender's address", "envelope sender", "originator", "return path", "return address",
    "MAIL FROM address", "from address", "your address", "your email address", "your domain", "sender domain",
    "HELO name", "client host", "your host", "your IP address", "sending account", "authenticated user", "relay user",
)  # fmt: skip
ABSENT = (
    "{} unknown", "unknown {}", "{} is unknown", "{} not found", "{} could not be found", "{} cannot be found",
    "no such {}", "no such {} here", "{} does not exist", "{} doesn't exist", "invalid {}", "{} is not valid",
    "not a valid {}", "{} <joe@corp.example> not listed", "{} not recognized", "nonexistent {}", "non-existent {}",
    "{} not registered", "unable to find {}", "{} 'joe' unknown", "this {} does not exist", "{} could not be located",
    "no {} by that name", "{} verification failed", "{} no longer exists",
)  # fmt: skip
SHUT = (
    "{} disabled",
    "{} has been suspended",
    "{} inactive",
    "{} is not active",
    "{} deactivated",
    "{} no longer active",
)
FULL = ("{} over quota", "{} quota exceeded", "{} has exceeded its quota", "{} is over its storage limit", "{} is full")
PARTS = ("mailbox server", "user database", "mailbox store", "account server", "alias database")
STUCK = ("not found", "is down", "timed out", "is locked", "temporarily unavailable", "disabled for maintenance")


def said(text: str) -> Verdict:
    return classify(None, stage=None, status="", text=text, remote_mta="", rules=RULES)


@pytest.mark.parametrize("whom", RECIPIENTS)
def test_a_recipient_that_is_missing_shut_or_full(whom: str) -> None:
    for code, (wanted, saying) in product(
        CODES,
        [
            *(("invalid_recipient", each) for each in ABSENT),
            *(("inactive_mailbox", each) for each in SHUT),
            *(("mailbox_full", each) for each in FULL),
        ],
    ):
        verdict = said(code + saying.format(whom))
        assert verdict.failure_class == wanted, verdict


@pytest.mark.parametrize("sender", SENDERS)
def test_what_is_said_of_the_sender_is_never_held_against_the_recipient(sender: str) -> None:
    for code, saying in product(("", "550 ", "550 5.7.1 "), (*ABSENT, *SHUT)):
        verdict = said(code + saying.format(sender))
        assert verdict.kind == "soft", verdict


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_system_is_no_recipient(part: str) -> None:
    for code, state in product(("", "550 ", "451 "), STUCK):
        verdict = said(f"{code}{part} {state}")
        assert verdict.kind == "soft", verdict


REPLIES = [
    line.split("\t") for line in (Path(__file__).parent / "replies.tsv").read_text("utf-8").splitlines()
]  # in the words of many servers and in twenty languages, written along with the rules


def test_replies_in_many_words_and_languages() -> None:
    wrong = [f"{wanted}: {verdict}" for wanted, text in REPLIES if (verdict := said(text)).failure_class != wanted]
    assert not wrong, "\n".join(wrong)
