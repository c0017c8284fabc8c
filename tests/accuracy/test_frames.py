"""What a program writes around the words of a server changes neither whom a notice names nor why it failed."""

import pytest

from homing.loop.reading.understand import understand
from tests.loop.reading.rules import RULES

FRAMES = {
    "postfix": """This is the mail system at host mx.corp.example.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system

<joe@corp.example>: {r}
""",
    "exim": """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  joe@corp.example
    {r}
""",
    "qmail": """Hi. This is the qmail-send program at mx.corp.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<joe@corp.example>:
{r}
""",
    "sendmail": """The original message was received at Mon, 2 Nov 2026 10:00:00 +0100
from localhost [127.0.0.1]

   ----- The following addresses had permanent fatal errors -----
<joe@corp.example>
    (reason: {r})

   ----- Transcript of session follows -----
... while talking to mx.corp.example.:
>>> DATA
<<< {r}
""",
    "exchange": """Delivery has failed to these recipients or groups:

joe@corp.example
{r}

Diagnostic information for administrators:

Generating server: mx.corp.example

joe@corp.example
#550 #SMTP#

Original message headers:
""",
    "gmail": """** Message blocked **

Your message to joe@corp.example has been blocked. See technical details below for more information.

The response from the remote server was:
{r}
""",
    "gmail of old": """Delivery to the following recipient failed permanently:

     joe@corp.example

Technical details of permanent failure:
Google tried to deliver your message, but it was rejected by the server for the recipient domain
corp.example by mx.corp.example. [203.0.113.9].

The error that the other server returned was:
{r}
""",
    "yahoo": """Sorry, we were unable to deliver your message to the following address.

<joe@corp.example>:
Remote host said:
{r}
[RCPT_TO]
""",
    "notes": """Your message

  Subject: News

was not delivered to:

  joe@corp.example

because:

  {r}
""",
    "groupwise": """The message that you sent was undeliverable to the following:
	joe@corp.example ({r})

Possibly truncated original message follows:
""",
    "exchange 2003": """This is an automatically generated Delivery Status Notification.

Delivery to the following recipients failed.

       joe@corp.example

{r}
""",
    "ironport": """The following message to <joe@corp.example> was undeliverable.
The reason for the problem:
{r}
""",
    "zimbra": """This is the mail system at host mx.corp.example.

Your message could not be delivered to one or more recipients. Please check the address and the
reason below, and contact your IT department if you need help.

<joe@corp.example>: {r}
""",
    "german": """Ihre Nachricht konnte nicht zugestellt werden an:

joe@corp.example

Grund: {r}

Bitte prüfen Sie die Adresse und versuchen Sie es erneut. Wenden Sie sich an Ihren Administrator,
falls der Fehler erneut auftritt.
""",
    "french": """Votre message n'a pas pu être remis à : joe@corp.example

Raison : {r}

Vérifiez l'adresse et réessayez. Contactez votre administrateur si l'erreur persiste.
""",
    "with a note on scanning": """Dear sender,

your mail to joe@corp.example could not be delivered. The server said: {r}

To protect our users from spam and viruses all mail is scanned. See our policy at
https://corp.example/policy. This mailbox is not monitored, please do not reply to this message.
""",
}
SAID = {
    "550 5.1.1 User unknown": "invalid_recipient",
    "552 mailbox full": "mailbox_full",
    "550 account disabled": "inactive_mailbox",
    "550 5.7.1 message looks like spam": "content",
    "554 5.7.1 blocked using bl.example": "reputation",
    "451 4.7.1 greylisted": "rate_limited",
    "550 5.7.26 DMARC fail": "auth",
    "552 message too large": "message_too_big",
    "550 Sender address rejected: domain not found": "policy",
    "550 relay access denied": "policy",
    "550 no": "",
    "554 transaction failed": "",
}
"""Words of a server and their class, "" where they tell nothing."""


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_changes_nothing(frame: str) -> None:
    head = "From: MAILER-DAEMON@mx.corp.example\nTo: b@post.example\nSubject: Undelivered Mail Returned to Sender\n\n"
    for words, wanted in SAID.items():
        found = understand(f"{head}{FRAMES[frame].format(r=words)}".encode(), rules=RULES)
        assert [report.address for report in found.reports] == ["joe@corp.example"], words
        verdict = found.reports[0].verdict
        if wanted:
            assert verdict.failure_class == wanted, verdict
        else:
            assert verdict.kind == "soft", verdict
            assert verdict.failure_class in {"undetermined", "recipient_refused", "policy", "system"}, verdict


BOTH = {
    "exim": """A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  joe@corp.example
    host mx.corp.example [203.0.113.9]
    SMTP error from remote mail server after RCPT TO:<joe@corp.example>:
    550 5.1.1 <joe@corp.example>: User unknown
  ann@dept.example
    mailbox is full: retry timeout exceeded
""",
    "postfix": """I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

<joe@corp.example>: host mx.corp.example[203.0.113.9] said: 550 5.1.1
    <joe@corp.example>: Recipient address rejected: User unknown in local
    recipient table (in reply to RCPT TO command)

<ann@dept.example>: host mx.dept.example[203.0.113.8] said: 552 5.2.2 Mailbox
    full (in reply to RCPT TO command)
""",
    "qmail": """I'm afraid I wasn't able to deliver your message to the following addresses.

<joe@corp.example>:
203.0.113.9 does not like recipient.
Remote host said: 550 5.1.1 No such user
Giving up on 203.0.113.9.

<ann@dept.example>:
203.0.113.8 failed after I sent the message.
Remote host said: 552 over quota
""",
    "sendmail": """   ----- The following addresses had permanent fatal errors -----
<joe@corp.example>
    (reason: 550 5.1.1 User unknown)
<ann@dept.example>
    (reason: 552 5.2.2 Mailbox full)

   ----- Transcript of session follows -----
... while talking to mx.corp.example.:
>>> RCPT To:<joe@corp.example>
<<< 550 5.1.1 User unknown
550 5.1.1 <joe@corp.example>... User unknown
... while talking to mx.dept.example.:
>>> RCPT To:<ann@dept.example>
<<< 552 5.2.2 Mailbox full
554 5.0.0 <ann@dept.example>... Service unavailable
""",
    "sendmail-old": """   ----- Transcript of session follows -----
550 <joe@corp.example>... User unknown
552 <ann@dept.example>... Mailbox full
""",
    "exchange55": """Your message

  To: x

did not reach the following recipient(s):

joe@corp.example on Mon, 2 Nov 2026 10:00:00 +0000
    The recipient name is not recognized
	The MTS-ID of the original message is: c=us
    MSEXCH:IMS:A:B:C 0 (000C05A6) Unknown Recipient
ann@dept.example on Mon, 2 Nov 2026 10:00:00 +0000
    The recipient's mailbox is full
""",
    "groupwise": """The message that you sent was undeliverable to the following:
	joe@corp.example (user not found)
	ann@dept.example (mailbox is full)
""",
    "exchange2010": """Delivery has failed to these recipients or groups:

joe@corp.example<mailto:joe@corp.example>
The e-mail address you entered couldn't be found.

ann@dept.example<mailto:ann@dept.example>
The recipient's mailbox is full and can't accept messages now.

""",
    "courier": """Your message to the following recipients cannot be delivered:

<joe@corp.example>:
    mx.corp.example [203.0.113.9]:
>>> RCPT TO:<joe@corp.example>
<<< 550 User unknown.

<ann@dept.example>:
    mx.dept.example [203.0.113.8]:
>>> RCPT TO:<ann@dept.example>
<<< 552 Mailbox full.
""",
    "sun": """Your message cannot be delivered to the following recipients:

  Recipient address: joe@corp.example
  Reason: unknown or illegal alias: joe

  Recipient address: ann@dept.example
  Reason: Over quota
""",
    "generic": """Delivery to the following recipients failed:

 * joe@corp.example - no such user
 * ann@dept.example - mailbox full
""",
    "inline": """Mail to joe@corp.example failed: user unknown.
Mail to ann@dept.example failed: mailbox full.
""",
}
"""Notices about two recipients: nobody by that name, and no room."""


@pytest.mark.parametrize("frame", BOTH)
def test_each_recipient_has_a_reason_of_his_own(frame: str) -> None:
    head = "From: MAILER-DAEMON@mx.corp.example\nTo: b@post.example\nSubject: Undelivered Mail Returned to Sender\n\n"
    found = understand(f"{head}{BOTH[frame]}".encode(), rules=RULES)
    told = [(report.address, report.verdict.failure_class) for report in found.reports]
    assert told == [("joe@corp.example", "invalid_recipient"), ("ann@dept.example", "mailbox_full")]
