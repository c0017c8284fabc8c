"""A refusal of a command, or a look-up that failed, is not a refusal of the recipient."""

import pytest

from homing.loop.model import Verdict
from homing.loop.reading.classify import classify
from homing.mail.reply import Reply, Stage
from tests.loop.reading.rules import RULES


def live(text: str, stage: Stage) -> Verdict:
    reply = Reply.of(int(text[:3]), text[4:])
    return classify(reply, stage=stage, status="", text="", remote_mta="", rules=RULES)


ABOUT_NO_RECIPIENT = [
    "555 5.5.4 RCPT TO parameters not recognized or not implemented",
    "555 RCPT TO parameters not recognized or not implemented",
    "501 5.5.4 RCPT TO parameters not recognized",
    "501 5.5.4 Unrecognized parameter NOTIFY=FAILURE",
    "501 5.5.4 Invalid arguments",
    "501 5.5.4 Invalid domain name",
    "504 5.5.4 ORCPT not supported",
    "555 5.5.4 Unsupported option: ORCPT",
    "550 5.5.4 RCPT TO: syntax not recognized",
    "501 5.5.4 RCPT TO argument invalid",
    "501 5.5.2 RCPT TO syntax error: extension unknown",
    "555 RCPT TO option not known",
    "500 RCPT TO command not found",
    "500 5.5.1 Command unrecognized: RCPT",
    "502 RCPT TO is nothing that we know; no such address form",
    "550 5.5.1 recipient command not found",
    "503 5.5.1 Error: need RCPT command",
    "554 5.5.1 Error: no valid recipients",
    "550 user lookup failed: LDAP server not found",
    "550 5.1.1 user lookup failed, LDAP timeout",
    "550 5.1.1 Directory lookup failure",
    "550 5.4.1 Recipient address rejected: directory service not found",
    "550 Mailbox database is not found or unavailable",
    "550 5.3.0 Backend for recipient not found",
    "550 Invalid recipient: database error",
    "550 The user database could not be reached",
]


@pytest.mark.parametrize("text", ABOUT_NO_RECIPIENT)
def test_a_command_or_a_look_up_that_failed_is_no_recipient(text: str) -> None:
    verdict = live(text, Stage.RCPT_TO)
    assert (verdict.failure_class, verdict.kind, verdict.about_us) == ("system", "soft", False), verdict


def test_a_server_that_knows_no_way_is_no_recipient() -> None:
    verdict = live("550 The recipient's mail server does not exist in our routing table", Stage.RCPT_TO)
    assert (verdict.failure_class, verdict.kind) == ("unreachable", "soft")


ABOUT_THE_RECIPIENT = [
    "501 5.1.3 Bad recipient address syntax",
    "501 5.1.3 Syntax error in recipient address",
    "501 5.5.4 Invalid Address",
    "550 5.5.0 user unknown",
    "550 5.5.4 unknown recipient",
    "550 RCPT TO:<joe@corp.example> User unknown",
    "550 RCPT TO:<joe@corp.example> not found",
    "550 5.1.1 user not found in LDAP directory",
    "550 5.1.1 Recipient not found in directory",
    "550 User unknown in local recipient database",
    "550 Mailbox lookup: no such user",
    "559 Invalid rcptto",
]


@pytest.mark.parametrize("text", ABOUT_THE_RECIPIENT)
def test_what_is_said_of_the_recipient_stays_so(text: str) -> None:
    verdict = live(text, Stage.RCPT_TO)
    assert (verdict.failure_class, verdict.kind) == ("invalid_recipient", "hard"), verdict


@pytest.mark.parametrize(
    "text", ["552 5.3.4 Message size exceeds", "552 5.2.3 no", "552 no", "523 5.3.4 no", "554 5.3.4 no"]
)
def test_the_size_that_mail_from_announced_is_not_about_us(text: str) -> None:
    verdict = live(text, Stage.MAIL_FROM)
    assert (verdict.failure_class, verdict.about_us) == ("message_too_big", False), verdict


@pytest.mark.parametrize("stage", [Stage.MAIL_FROM, Stage.RCPT_TO])
@pytest.mark.parametrize("text", ["553 5.6.7 no", "550 SMTPUTF8 is required", "553 Non-ASCII address not supported"])
def test_a_server_without_smtputf8_found_nothing_in_the_content(text: str, stage: Stage) -> None:
    verdict = live(text, stage)
    assert (verdict.failure_class, verdict.kind, verdict.about_us) == ("policy", "soft", False), verdict


@pytest.mark.parametrize(
    "before", ["", "Client host rejected: ", "Access denied: ", "Sender rejected. ", "User unknown? "]
)
def test_too_many_messages_is_a_matter_of_pace_whatever_stands_before_it(before: str) -> None:
    verdict = live(f"550 5.7.1 {before}Too many messages from your host, slow down", Stage.RCPT_TO)
    assert verdict.failure_class == "rate_limited", verdict


def test_an_administrative_prohibition_is_nobodys_in_particular() -> None:
    assert live("550 Administrative prohibition", Stage.RCPT_TO).rule == "words.policy"
