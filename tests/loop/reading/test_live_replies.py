"""What large receivers answer in the dialogue, by their published wording, and what follows.

The delivery is tried again (`retry`), everything to that receiver slows down (`slow down`), the message has failed
(`give up`), or the address is not written to any more (`suppress`). A `!` behind it: the operator is alarmed.
"""

import pytest

from homing.loop.evidence import Answered
from homing.loop.model import State
from homing.loop.outcome import conclude
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.reading.classify import classify
from homing.loop.throttle import too_fast
from homing.mail.reply import Reply, Stage
from tests.loop.made import NOW, delivery
from tests.loop.reading.rules import RULES

GMAIL = "gmail-smtp-in.l.google.com"
MICROSOFT = "corp-com.mail.protection.outlook.com"
OUTLOOK = "outlook-com.olc.protection.outlook.com"
YAHOO = "mta5.am0.yahoodns.net"
APPLE = "mx01.mail.icloud.com"
ORANGE = "smtp-in.orange.fr"
QQ = "mx1.qq.com"
GODADDY = "mailstore1.secureserver.net"
RCPT, DOT, MAIL, BANNER = Stage.RCPT_TO, Stage.DOT, Stage.MAIL_FROM, Stage.BANNER

REPLIES = [
    (GMAIL, RCPT, "550 5.1.1 The email account that you tried to reach does not exist. Please try", "suppress"),
    (GMAIL, RCPT, "550 5.2.1 The email account that you tried to reach is inactive.", "suppress"),
    (GMAIL, RCPT, "452 4.2.2 The email account that you tried to reach is over quota.", "retry"),
    (GMAIL, RCPT, "552 5.2.2 The email account that you tried to reach is over quota.", "give up"),
    (GMAIL, RCPT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly.", "retry"),
    (GMAIL, RCPT, "550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents", "retry"),
    (GMAIL, DOT, "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from", "slow down!"),
    (GMAIL, DOT, "421 4.7.26 This mail has been rate limited because it is unauthenticated.", "slow down!"),
    (GMAIL, DOT, "550 5.7.26 Your email has been blocked because the sender is unauthenticated.", "give up!"),
    (GMAIL, DOT, "550 5.7.1 Our system has detected that this message is likely unsolicited mail.", "give up"),
    (GMAIL, DOT, "552 5.3.4 Your message exceeded Google's message size limits.", "give up"),
    (MICROSOFT, RCPT, "550 5.4.1 Recipient address rejected: Access denied. [AM0]", "suppress"),
    (MICROSOFT, RCPT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient john@corp.com not found by", "suppress"),
    (MICROSOFT, RCPT, "451 4.7.500 Server busy. Please try again later from [203.0.113.7]. (S77714)", "slow down!"),
    (MICROSOFT, RCPT, "451 4.7.650 The mail server [203.0.113.7] has been temporarily rate limited", "slow down!"),
    (MICROSOFT, RCPT, "550 5.7.606 Access denied, banned sending IP [203.0.113.7].", "give up!"),
    (MICROSOFT, DOT, "550 5.7.509 Access denied, sending domain corp.com does not pass DMARC verification", "give up!"),
    (OUTLOOK, RCPT, "550 5.5.0 Requested action not taken: mailbox unavailable.", "suppress"),
    (OUTLOOK, MAIL, "550 5.7.1 Unfortunately, messages from [203.0.113.7] weren't sent. (S3150)", "give up!"),
    (YAHOO, RCPT, "552 1 Requested mail action aborted, mailbox not found", "suppress"),
    (YAHOO, DOT, "554 delivery error: dd This user doesn't have a yahoo.com account (john@yahoo.com) [0]", "give up"),
    (YAHOO, MAIL, "421 4.7.0 [TSS04] Messages from 203.0.113.7 temporarily deferred due to unexpected", "slow down!"),
    (YAHOO, MAIL, "553 5.7.1 [BL21] Connections will not be accepted from 203.0.113.7", "give up!"),
    (APPLE, RCPT, "550 5.1.1 <john@icloud.com>: user does not exist", "suppress"),
    (APPLE, RCPT, "552 5.2.2 <john@icloud.com>: user is over quota", "give up"),
    (APPLE, DOT, "554 5.7.1 [CS01] Message rejected due to local policy.", "give up!"),
    (ORANGE, BANNER, "421 mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration.", "slow down!"),
    (ORANGE, RCPT, "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416", "suppress"),
    (QQ, RCPT, "550 Mailbox not found.", "suppress"),
    (QQ, DOT, "550 Ip frequency limited. http://service.mail.qq.com/cgi-bin/help?no=1000725", "slow down!"),
    (GODADDY, BANNER, "421 IB103 Connection refused. 203.0.113.7 has too many concurrent connections", "slow down!"),
    (GODADDY, RCPT, "550 5.1.1 Recipient not found. <http://x.co/irbounce>", "suppress"),
    ("mx.corp.com", RCPT, "450 4.2.0 <john@corp.com>: Recipient address rejected: Greylisted", "retry"),
    ("mx.corp.com", RCPT, "554 5.7.1 Greylisted, please come back later", "retry"),
    ("mx.corp.com", RCPT, "450 4.1.1 <john@corp.com>: user unknown", "retry"),
    ("mx.corp.com", RCPT, "550 5.7.1 Service unavailable; client [203.0.113.7] blocked using", "give up!"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "stage", "said", "follows"), REPLIES, ids=[said[:40] for _, _, said, _ in REPLIES])
def test_what_follows_from_a_live_reply(host: str, stage: Stage, said: str, follows: str) -> None:
    code, _, text = said.partition(" ")
    reply = Reply.of(int(code), text)
    verdict = classify(reply, stage=stage, status="", text="", remote_mta=host, rules=RULES)
    evidence = Answered(stage=stage, reply=reply, host=host, verdict=verdict)
    outcome = conclude(delivery(recipient="john@corp.com"), evidence, BUILTIN_DEFAULT, NOW)
    if outcome.delivery.state is State.DEFERRED:
        decided = "slow down" if too_fast(verdict) else "retry"
    else:
        decided = "suppress" if outcome.suppress else "give up"
    assert decided + "!" * (outcome.alarm is not None) == follows, verdict
