"""Refusals that name our sender, our domain, our host or the name that it gives itself are about us."""

import pytest

from homing.loop.model import Verdict
from homing.loop.reading.classify import classify
from homing.loop.reading.ours import NAMED, Ours, about_us
from homing.loop.reading.understand import understand
from homing.mail.reply import Reply, Stage

from .rules import RULES

OURS = Ours(
    return_domain="b.post.acme-mail.com",
    from_domain="post.acme-mail.com",
    helo="mx.acme-mail.com",
    egress_address="203.0.113.7",
)

ABOUT_US = [
    "550 5.1.2 b.post.acme-mail.com: host unknown",
    "550 <b+aea2ekip@b.post.acme-mail.com>: Sender address rejected: Domain not found",
    "550 5.1.8 <b+aea2ekip@b.post.acme-mail.com>: Domain of sender address does not exist",
    "550 Verification failed for <b+aea2ekip@b.post.acme-mail.com>",
    "550-Callout verification failed:\n550 cannot reach b.post.acme-mail.com",
    "550 5.7.1 HELO name mx.acme-mail.com does not exist",
    "550 Bad HELO - Host impersonating domain name [mx.acme-mail.com]",
    "504 5.5.2 <mx.acme-mail.com>: Helo command rejected: need fully-qualified hostname",
    "550 5.7.1 <mx.acme-mail.com>: Helo command rejected: Host not found",
    "554 5.7.1 <mx.acme-mail.com>: Helo command rejected: You are not me",
    "550 5.7.1 <mx.acme-mail.com>: Helo command rejected: Access denied",
    "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)",
    "550 203.0.113.7 does not resolve",
    "550 5.7.25 cannot resolve your host name [203.0.113.7]",
    "550 unknown domain post.acme-mail.com",
    "554 5.7.1 <b+aea2ekip@b.post.acme-mail.com>: no such user",
    "550 No MX record for b.post.acme-mail.com",
]
ABOUT_THE_RECIPIENT = [
    "550 5.1.1 <john@corp.com>: Recipient address rejected: User unknown",
    "550 5.1.1 message from <b+aea2ekip@b.post.acme-mail.com> to john@corp.com: user unknown",
    "550 No such user (john); mail from mx.acme-mail.com [203.0.113.7]",
    "550 5.1.1 from post.acme-mail.com: mailbox unknown",
    "550 5.1.1 <bob@corp.com>: User unknown in table; from=<b+x@b.post.acme-mail.com> helo=<mx.acme-mail.com>",
    "550 No such user here (HELO mx.acme-mail.com)",
    "550 5.1.1 <bob@corp.com> unable to find mailbox for message from b+x@b.post.acme-mail.com",
    "550 5.1.1 Message from b+x@b.post.acme-mail.com: no such user bob",
    "550 User unknown, sender=b+x@b.post.acme-mail.com, invalid recipient bob@corp.com",
    "550 john@corp.com does not exist here; talk to mx.acme-mail.com",
]


def of(reply: Reply) -> Verdict:
    return classify(reply, stage=Stage.RCPT_TO, status="", text="", remote_mta="mx.corp.com", rules=RULES)


@pytest.mark.parametrize("line", ABOUT_US)
def test_a_refusal_of_what_we_are_is_about_us(line: str) -> None:
    code, _, text = line.partition(" ") if line[3] == " " else (line[:3], "", line[4:])
    status = text.split(" ")[0] if text[:2] in {"5.", "4."} else ""
    reply = Reply(int(code), status, text.removeprefix(status).strip())
    verdict = about_us(of(reply), OURS)
    assert (verdict.about_us, verdict.kind) == (True, "soft"), verdict


@pytest.mark.parametrize("line", ABOUT_THE_RECIPIENT)
def test_a_refusal_of_the_recipient_may_name_us_too(line: str) -> None:
    reply = Reply(550, "", line[4:])
    verdict = about_us(of(reply), OURS)
    assert not verdict.about_us, verdict
    assert verdict.failure_class in {"invalid_recipient", "recipient_refused"}, verdict


def test_that_they_do_not_relay_is_about_their_domain() -> None:
    said = Reply(550, "5.7.1", "<john@else.com>... Relaying denied. IP name lookup failed [203.0.113.7]")
    assert not about_us(of(said), OURS).about_us


def test_a_name_that_is_the_recipients_too_says_nothing() -> None:
    ours = Ours(return_domain="b.corp.com", from_domain="corp.com", helo="mx.corp.com")
    assert ours.names("john@corp.com") == ("mx.corp.com", "b.corp.com")
    assert ours.names("john@mail.corp.com") == ("mx.corp.com", "b.corp.com")
    said = Verdict(failure_class="invalid_domain", kind="hard", rule="x", text="corp.com: host unknown")
    assert about_us(said, ours, "john@corp.com") == said
    assert about_us(said, ours, "john@else.com").rule == NAMED == "ours.named"


@pytest.mark.parametrize("text", ["", "b.post.acme-mail.com", "xb.post.acme-mail.com: host unknown", "<our> unknown"])
def test_a_name_must_stand_whole_and_be_refused(text: str) -> None:
    said = Verdict(failure_class="invalid_domain", kind="hard", rule="x", text=text)
    assert about_us(said, OURS) == said


def test_in_a_report_the_client_is_the_server_that_reports() -> None:
    notice = """From: MAILER-DAEMON@mx.corp.com
To: b+aea2ekip@b.post.acme-mail.com
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.corp.com

Final-Recipient: rfc822; john@corp.com
Action: failed
Status: 5.5.2
Diagnostic-Code: smtp; {}

--b--
"""
    for said, ours in (
        ("504 5.5.2 <mx.corp.com>: Helo command rejected: need fully-qualified hostname", False),
        ("550 5.7.25 192.0.2.1 has no reverse DNS", False),
        ("550 5.1.2 b.post.acme-mail.com: host unknown", True),
    ):
        (report,) = understand(notice.format(said).encode(), rules=RULES, null_sender=True).reports
        assert (report.verdict.about_us, report.verdict.kind) == (ours, "soft"), report.verdict
