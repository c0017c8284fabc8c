"""What came back: composed mails of every kind, hostile ones, and every byte string."""

import base64
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homing.loop.evidence import ReportAction, What
from homing.loop.reading.rulebook import Signature
from homing.loop.reading.understand import Understood, understand
from tests.corpora import CORPORA
from tests.data import HOSTILE_INPUTS
from tests.data.large import large_mails
from tests.loop.reading.rules import RULES


def read(raw: bytes | str, *, null_sender: bool = False) -> Understood:
    data = raw if isinstance(raw, bytes) else raw.encode()
    return understand(data, rules=RULES, null_sender=null_sender)


def dsn(
    fields: str, *, prose: str = "Sorry.", returned: str = "Message-ID: <m1@post.example>", subject: str = "x"
) -> str:
    return (
        f"From: MAILER-DAEMON@mx.corp.example\nTo: b+tok@b.post.example\nSubject: {subject}\n"
        "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=B\n\n"
        f"--B\n\n{prose}\n--B\nContent-Type: message/delivery-status\n\n"
        f"Reporting-MTA: dns; mx.corp.example\n\n{fields}\n"
        f"--B\nContent-Type: text/rfc822-headers\n\n{returned}\n\n--B--\n"
    )


JOE = "Final-Recipient: rfc822; joe@corp.example\n"


def test_a_dsn_says_all_it_knows() -> None:
    found = read(
        dsn(
            f"Original-Recipient: rfc822;jo@corp.example\n{JOE}Action: failed\nStatus: 5.1.1\n"
            "Remote-MTA: dns; mx2.corp.example\nDiagnostic-Code: smtp; 550 5.1.1 User unknown",
            returned="Message-ID: <m1@post.example>\nHoming-Trace: abc234\nTo: Joe <jo@corp.example>",
        )
    )
    assert (found.what, found.rule, found.reporting_mta) == (What.BOUNCE, "dsn", "mx.corp.example")
    assert (found.returned_message_id, found.returned_trace) == ("<m1@post.example>", "abc234")
    assert found.returned_recipients == ("jo@corp.example",)
    assert found.auto_submitted == "auto-replied"
    (report,) = found.reports
    assert (report.original_recipient, report.final_recipient) == ("jo@corp.example", "joe@corp.example")
    assert (report.action, report.status, report.remote_mta) == (ReportAction.FAILED, "5.1.1", "mx2.corp.example")
    assert report.verdict.failure_class == "invalid_recipient"
    assert report.verdict.matched == "user unknown"


FAILED = "Action: failed\n"


@pytest.mark.parametrize(
    ("fields", "prose", "verdict"),
    [
        (f"{FAILED}Status: 5.1.1\nDiagnostic-Code: smtp; 552 mailbox is full", "", "bounce failed mailbox_full soft"),
        (f"{FAILED}Status: 5.0.0", "<joe@corp.example>: user unknown", "bounce failed invalid_recipient hard"),
        (f"{FAILED}Status: 4.4.1", "giving up: connection timed out", "bounce failed unreachable soft"),
        (f"{FAILED}Status: 2.0.0\nDiagnostic-Code: smtp; 550 no such user", "", "bounce failed invalid_recipient hard"),
        (
            f"{FAILED}Diagnostic-Code: X-Boxbe-Notice; not on the list",
            "",
            "challenge failed challenge_response auto-reply",
        ),
        ("Action: delayed\nDiagnostic-Code: smtp; 450 user unknown", "", "delay delayed invalid_recipient soft"),
        ("Action: delivered\nDiagnostic-Code: smtp; 550 no such user", "", "bounce delivered delivered none"),
        ("Action: relayed\nStatus: 2.0.0", "", "bounce relayed delivered none"),
        ("Status: 5.2.1", "", "bounce failed inactive_mailbox hard"),
        ("Status: 4.2.2", "It will be retried.", "delay delayed mailbox_full soft"),
        ("Status: 4.2.2", "", "bounce failed mailbox_full soft"),
    ],
)
def test_dsn_verdicts(fields: str, prose: str, verdict: str) -> None:
    found = read(dsn(JOE + fields, prose=prose or "Sorry."))
    (report,) = found.reports
    seen = (found.what.value, report.action.value, report.verdict.failure_class, report.verdict.kind)
    assert " ".join(seen) == verdict, report.verdict


def test_several_recipients_and_one_failure_is_a_bounce() -> None:
    found = read(dsn(f"{JOE}Action: delayed\nStatus: 4.4.1\n\nFinal-Recipient: rfc822; ann@x.example\nAction: failed"))
    assert found.what is What.BOUNCE
    assert [report.action for report in found.reports] == [ReportAction.DELAYED, ReportAction.FAILED]


NOTICE = "From: MAILER-DAEMON@mx.corp.example\nTo: b+tok@b.post.example\n"
QMAIL = (
    "From: MAILER-DAEMON@q.example\nSubject: failure notice\n\nHi. This is the qmail-send program at q.example.\n"
    "I'm afraid I wasn't able to deliver your message to the following addresses.\n\n<joe@corp.example>:\n"
    "192.0.2.1 does not like recipient.\nRemote host said: 550 no such user here\n\n"
    "--- Below this line is a copy of the message.\n\nReturn-Path: <b+tok@b.post.example>\nSubject: hi\n"
)
EXIM = (
    f"{NOTICE}X-Failed-Recipients: joe@corp.example\nAuto-Submitted: auto-replied\n"
    "Subject: Mail delivery failed: returning message to sender\n\n"
    "This message was created automatically by mail delivery software.\n\n  joe@corp.example\n"
    "    host mx.corp.example [192.0.2.1]\n"
    "    SMTP error from remote mail server after RCPT TO:<joe@corp.example>:\n    552 5.2.2 mailbox over quota\n\n"
    "------ This is a copy of the message, including all the headers. ------\n\n"
    "From: a@post.example\nSubject: hi\n"
)
EXIM_DELAY = (
    f"{NOTICE}Subject: Warning: message 1abc delayed 24 hours\nAuto-Submitted: auto-replied\n\n"
    "This message was created automatically by mail delivery software.\n"
    "A message that you sent has not yet been delivered to one or more of its recipients after more than 24 hours on "
    "the queue.\n\n  joe@corp.example\n    Delay reason: Connection timed out\n"
)
EXCHANGE = (
    f"{NOTICE}Subject: Undeliverable: hi\n\n"
    "Your message did not reach some or all of the intended recipients.\n\n"
    "The following recipient could not be reached:\n\n      joe@corp.example on 2 Nov 2026\n"
    "            The e-mail account does not exist at the organization.\n"
)
HTML = "From: postmaster@x.example\nSubject: failure\nContent-Type: text/html\n\n<h1>550 5.1.1 user unknown</h1>"
GERMAN = (
    "From: postmaster@mx.corp.example\nSubject: Unzustellbar: Rechnung\n\n"
    "Ihre Nachricht an joe@corp.example wurde nicht zugestellt: Benutzer unbekannt"
)


@pytest.mark.parametrize(
    ("raw", "address", "failure_class", "action"),
    [
        (QMAIL, "joe@corp.example", "invalid_recipient", "failed"),
        (EXIM, "joe@corp.example", "mailbox_full", "failed"),
        (EXIM_DELAY, "joe@corp.example", "unreachable", "delayed"),
        (EXCHANGE, "joe@corp.example", "invalid_recipient", "failed"),
        (HTML, "", "invalid_recipient", "failed"),
        (GERMAN, "joe@corp.example", "invalid_recipient", "failed"),
    ],
)
def test_notices_in_words(raw: str, address: str, failure_class: str, action: str) -> None:
    found = read(raw)
    assert found.what is (What.DELAY if action == "delayed" else What.BOUNCE), found.rule
    (report,) = found.reports
    assert (report.final_recipient, report.verdict.failure_class) == (address, failure_class), report.verdict
    assert report.action.value == action


FROM = "From: joe@corp.example\n"


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (f"{FROM}Subject: Automatic reply: Invoice\nAuto-Submitted: auto-generated\n\nAway.", "auto_reply"),
        (f"{FROM}Subject: Invoice\nAuto-Submitted: auto-replied (vacation)\n\nAway.", "auto_reply"),
        (f"{FROM}Subject: =?utf-8?q?R=C3=A9ponse_automatique_=3A_x?=\n\nAbsent.", "auto_reply"),
        (f"{FROM}Subject: 自動応答: x\n\n不在です。", "auto_reply"),
        (f"{FROM}Subject: Re: Invoice\nX-Autoreply: yes\n\nAway.", "auto_reply"),
        (f"{FROM}Subject: Invoice\nPrecedence: auto_reply\n\nAway.", "auto_reply"),
        (f"{FROM}Subject: hello\n\nI am currently out of the office.", "auto_reply"),
        (f"{FROM}Subject: Please confirm your message\n\nclick http://x.example/", "challenge"),
        (f"{FROM}Subject: x\nX-Delivery-Agent: TMDA/1.1\n\nreply to confirm", "challenge"),
        (f"{FROM}Subject: Re: Invoice\n\nThe number is 550, user unknown to me.", "human_reply"),
        (f"{FROM}Subject: question\nIn-Reply-To: <m1@post.example>\n\ncall me", "human_reply"),
        (f"{FROM}Subject: Re: Undeliverable: Invoice\nReferences: <m1@post.example>\n\nwhy?", "human_reply"),
        (f"{FROM}Subject: hello\n\nhi", "unknown"),
        ("From: postmaster@corp.example\nSubject: hello\n\nhi", "unknown"),
        ("From: news@corp.example\nSubject: Re: 550 user unknown\nList-Id: <l.corp.example>\n\nbounce", "unknown"),
        ("From: news@corp.example\nSubject: Sale\nList-Unsubscribe: <https://x.example>\n\nbuy", "unknown"),
        (f"{FROM}Subject: Accepted: Kick-off\n\n", "unknown"),
        (f"{FROM}Subject: Read: Invoice\n\nwas read", "unknown"),
        ("From: cron@corp.example\nSubject: Re: job\nAuto-Submitted: auto-generated\n\ndone", "unknown"),
        (f"{FROM}Subject: Report Domain: post.example Submitter: r.example Report-ID: <1@r.example>\n\n", "report"),
        (f"{FROM}Content-Type: multipart/report; report-type=tlsrpt\n\n", "report"),
        ("", "unknown"),
    ],
)
def test_what_is_no_bounce(raw: str, what: str) -> None:
    found = read(raw)
    assert found.what.value == what, found.rule


def test_a_null_sender_that_is_no_daemon_is_an_automatic_answer() -> None:
    raw = "From: joe@corp.example\nSubject: Invoice\n\nThank you, I read mail on Mondays."
    assert read(raw).what is What.UNKNOWN
    found = read(raw, null_sender=True)
    assert (found.what, found.reports[0].final_recipient) == (What.AUTO_REPLY, "joe@corp.example")


@pytest.mark.parametrize(
    ("feedback_type", "what", "failure_class"),
    [
        ("abuse", What.COMPLAINT, "complaint"),
        ("fraud", What.COMPLAINT, "complaint"),
        ("opt-out", What.COMPLAINT, "unsubscribe"),
        ("auth-failure", What.REPORT, "complaint"),
        ("not-spam", What.REPORT, "not_a_report"),
    ],
)
def test_feedback(feedback_type: str, what: What, failure_class: str) -> None:
    raw = (
        "From: fbl@big.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=B\n\n--B\n\nx\n"
        f"--B\nContent-Type: message/feedback-report\n\nFeedback-Type: {feedback_type}\nVersion: 1\n"
        "Original-Rcpt-To: <joe@big.example>\n\n--B\nContent-Type: message/rfc822\n\nHoming-Trace: abc234\n\n--B--\n"
    )
    found = read(raw)
    assert (found.what, found.returned_trace) == (what, "abc234")
    (report,) = found.reports
    assert (report.original_recipient, report.verdict.failure_class) == ("joe@big.example", failure_class)


@pytest.mark.parametrize(
    ("disposition", "prose", "what", "rule"),
    [
        ("deleted", "was automatically rejected: quota exceeded", What.BOUNCE, "disposition.deleted"),
        ("displayed", "was read", What.UNKNOWN, "disposition"),
        ("displayed", "is read when I am back from my holiday", What.UNKNOWN, "disposition"),
    ],
)
def test_disposition_notifications(disposition: str, prose: str, what: What, rule: str) -> None:
    raw = (
        "From: joe@corp.example\nContent-Type: multipart/report; report-type=disposition-notification; boundary=B\n\n"
        f"--B\n\nYour message {prose}\n--B\nContent-Type: message/disposition-notification\n\n"
        f"{JOE}Disposition: automatic-action/MDN-sent-automatically; {disposition}\n--B--\n"
    )
    found = read(raw)
    assert (found.what, found.rule) == (what, rule)


# -- strangers -------------------------------------------------------------------------------------------------------

LARGE = large_mails()
HOSTILE = {
    path.stem: path.read_bytes() for kind in ("bounce", "mime") for path in (HOSTILE_INPUTS / kind).glob("*.eml")
}
REAL = CORPORA / "bounces" / "corpora" / "sisimai" / "maildir"


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() | LARGE.keys()))
def test_hostile_mails(name: str) -> None:
    raw = (HOSTILE | LARGE)[name]
    began = time.process_time()
    found = read(raw)
    assert time.process_time() - began < 1
    shown = [found.subject, found.reporting_mta, found.from_address]
    for report in found.reports:
        shown += [report.diagnostic_code, report.final_recipient, report.remote_mta, report.verdict.text]
    assert not any(character in text for text in shown for character in "\x1b\x00\r\u202e\u2066")
    assert len(found.reports) <= 1000


def test_a_forged_success_after_a_failure_says_delivered() -> None:
    (report,) = read((HOSTILE_INPUTS / "bounce" / "success_after_fail.eml").read_bytes()).reports
    assert (report.action, report.verdict.kind) == (ReportAction.DELIVERED, "none")


def test_a_report_about_a_thousand_others_is_read_quickly() -> None:
    diagnostic = "Diagnostic-Code: smtp; " + "user mailbox account " * 40
    fields = "".join(f"Final-Recipient: rfc822; u{n}@x.example\nAction: failed\n{diagnostic}\n\n" for n in range(1100))
    began = time.process_time()
    read(dsn(fields))
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "prose", ["no user\u200b is not. ", "no user is not. ", "abcdefghijkl. ", "é user no box xz.\n\n"]
)
def test_much_prose_about_many_is_read_quickly(prose: str) -> None:
    many = [f"u{n}@x.example" for n in range(150)]
    listed = f"From: MAILER-DAEMON@x.example\nX-Failed-Recipients: {f',{chr(10)} '.join(many)}\n\n{prose * 3000}"
    fields = "\n\n".join(
        f"Final-Recipient: rfc822; {one}\nAction: failed\nDiagnostic-Code: smtp; {prose * 180}" for one in many
    )
    for mail, recipients in ((listed, 100), (dsn(fields, prose=prose * 3000), 150)):
        began = time.process_time()
        assert len(read(mail).reports) == recipients
        assert time.process_time() - began < 1


def test_a_mail_about_few_is_read_sentence_by_sentence() -> None:
    prose = f"{'We are sorry about that, and hope to see you again. ' * 6}There is no such user here."
    assert read(dsn(JOE + "Action: failed", prose=prose)).reports[0].verdict.failure_class == "invalid_recipient"


@pytest.mark.corpora
@pytest.mark.parametrize("variant", ["dos", "mac"])
def test_newlines_do_not_change_a_verdict(variant: str) -> None:
    compared = 0
    for path in sorted((REAL / variant).glob("*.eml")):
        unix = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert read(path.read_bytes()) == read(unix)
        compared += 1
    assert compared


@pytest.mark.corpora
def test_the_open_corpus_is_read_without_a_stumble() -> None:
    bounces = [read(path.read_bytes()) for path in sorted((REAL / "bsd").glob("[lr]host-*.eml"))]
    returned = [found for found in bounces if found.what in {What.BOUNCE, What.DELAY}]
    assert len(returned) >= 0.97 * len(bounces)


PIECES = st.sampled_from(
    [
        "From: mailer-daemon@x.example",
        "From: joe@corp.example",
        "Subject: failure notice",
        "Subject: Re: x",
        "Content-Type: multipart/report; boundary=B",
        "Content-Type: message/delivery-status",
        "Content-Type: message/feedback-report",
        "Content-Type: message/disposition-notification",
        "Content-Type: message/rfc822",
        "Content-Transfer-Encoding: base64",
        "Feedback-Type: opt-out",
        "Disposition: x; deleted",
        "--B",
        "",
        JOE.strip(),
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 user unknown",
        "<joe@corp.example>:",
        "original message:",
        "X-Failed-Recipients: a@b.example",
    ]
)


@settings(max_examples=300)
@given(
    st.binary(max_size=1000)
    | st.lists(PIECES | st.text(max_size=15), max_size=30)
    .map("\n".join)
    .map(lambda text: text.encode("utf-8", "replace"))
)
@example(b"Content-Type: message/delivery-status\n\nAction: \xff\nStatus: 5.1.1")
def test_never_raises(raw: bytes) -> None:
    found = read(raw)
    assert found.rule
    if found.what in {What.HUMAN_REPLY, What.UNKNOWN}:
        assert not found.reports


SES = (
    '{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"SUBTYPE",'
    '"bouncedRecipients":[{"emailAddress":"joe@corp.example"}]}}'
)


@pytest.mark.parametrize(
    ("subtype", "failure_class"),
    [("Suppressed", "inactive_mailbox"), ("NoEmail", "invalid_recipient"), ("General", "invalid_recipient")],
)
def test_amazon_says_why(subtype: str, failure_class: str) -> None:
    found = read(f"Subject: AWS Notification Message\n\n{SES.replace('SUBTYPE', subtype)}\n")
    assert (found.what, found.rule) == (What.BOUNCE, "sns.bounce")
    assert [(r.address, r.verdict.failure_class) for r in found.reports] == [("joe@corp.example", failure_class)]


def test_powermta_says_why_beside_its_diagnosis() -> None:
    (report,) = read(dsn(f"{JOE}{FAILED}Status: 5.0.0\nX-PowerMTA-BounceCategory: inactive-mailbox")).reports
    assert report.verdict.failure_class == "inactive_mailbox"


def test_a_file_that_took_no_mail_stands_for_the_address_behind_it() -> None:
    prose = (
        "The following address(es) failed:\n\n save to /var/mail/joe\n    generated by joe@corp.example\n    quota full"
    )
    (report,) = read(dsn(f"Final-Recipient: rfc822;/var/mail/joe\n{FAILED}Status: 5.0.0", prose=prose)).reports
    assert (report.address, report.verdict.failure_class) == ("joe@corp.example", "mailbox_full")


def test_the_delivery_agent_knows_better_than_the_server() -> None:
    fields = f"{JOE}{FAILED}Status: 5.1.1\nDiagnostic-Code: smtp; 550 user unknown"
    (report,) = read(dsn(fields, prose="Your message to <joe> was automatically rejected:\nQuota exceeded")).reports
    assert report.verdict.failure_class == "mailbox_full"


def test_fields_that_were_encoded_twice() -> None:
    inner = base64.encodebytes(f"{JOE}{FAILED}Status: 5.2.2\n".encode()).decode()
    fields = f"Content-Transfer-Encoding: base64\nContent-length: 99\n\n{inner}"
    (report,) = read(dsn(fields)).reports
    assert (report.final_recipient, report.verdict.failure_class) == ("joe@corp.example", "mailbox_full")


def test_what_the_remote_server_said_beats_what_the_local_one_made_of_it() -> None:
    transcript = (
        "----- Transcript of session follows -----\nWhile talking to mx.corp.example:\n>>> DATA\n"
        "<<< 550 message rejected as spam\n554 <joe@corp.example>... Remote protocol error: Connection reset\n"
        "550 gone.example (smtp)... 550 Host unknown\n554 <ann@gone.example>... 550 Host unknown\n"
    )
    found = read(f"From: MAILER-DAEMON@x.example\nSubject: Returned mail: User unknown\n\n{transcript}")
    assert [(r.address, r.verdict.failure_class) for r in found.reports] == [
        ("joe@corp.example", "content"),
        ("ann@gone.example", "invalid_domain"),
    ]


def test_hostile_mails_need_little_room() -> None:
    # Not ru_maxrss, which a child inherits from a parent as large as a test worker.
    script = (
        "import re\nfrom pathlib import Path\nfrom tests.loop.reading.test_understand import LARGE, read\n"
        "[read(mail) for mail in LARGE.values()]\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) >> 10)"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert int(run.stdout) < 300


MATCHED = [
    ("Subject: Away\nAuto-Submitted: auto-replied\n\nx\n", "auto-reply.auto-submitted", "auto-submitted: auto-replied"),
    ("Subject: Unsubscribe\n\n\n", "unsubscribe.subject", "unsubscribe"),
    ("Subject: Hello\nReturn-Path: <>\n\nWe have it.\n", "auto-reply.null-sender", "MAIL FROM:<>"),
    (
        "MIME-Version: 1.0\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n",
        "feedback.abuse",
        "feedback-type: abuse",
    ),
]


@pytest.mark.parametrize(("mail", "rule", "matched"), MATCHED, ids=[rule for _, rule, _ in MATCHED])
def test_a_verdict_names_the_rule_and_what_it_matched(mail: str, rule: str, matched: str) -> None:
    understood = understand(f"From: ann@corp.example\n{mail}".encode(), rules=RULES)
    verdict = understood.reports[0].verdict
    assert (understood.rule, understood.matched) == (rule, matched)
    assert (verdict.rule, verdict.matched) == (rule, matched)


@pytest.mark.parametrize("signature", RULES.signatures, ids=lambda signature: signature.id)
def test_what_a_signature_matched_stands_in_the_field(signature: Signature) -> None:
    for value in (*signature.starts, *signature.equals, *(" ".join(phrase) for phrase in signature.contains)):
        found = signature.found_in(value)
        assert found
        assert all(piece in value for piece in found.split(" … "))


WRAPPER = """From: {sender}
Subject: {subject}
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=w

--w
Content-Type: text/plain

See the attached message.
--w
Content-Type: message/rfc822

From: MAILER-DAEMON@inner.example
Subject: Returned mail
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; inner.example

Final-Recipient: rfc822; joe@corp.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 User unknown
--b--
--w--
"""


def test_a_report_that_a_gateway_passes_on_as_an_attached_message() -> None:
    passed_on = WRAPPER.format(sender="MAILER-DAEMON@gateway.example", subject="Returned mail")
    found = understand(passed_on.encode(), rules=RULES)
    assert [(report.address, report.verdict.kind) for report in found.reports] == [("joe@corp.example", "hard")]


@pytest.mark.parametrize("subject", ["Fwd: Returned mail", "Re: your note", "What does this mean?"])
def test_a_report_that_a_person_attaches_is_no_bounce(subject: str) -> None:
    asked = WRAPPER.format(sender="ann@corp.example", subject=subject)
    assert understand(asked.encode(), rules=RULES).reports == ()


def from_a_person(subject: str, text: str, fields: str = "") -> What:
    mail = f"From: Ann <ann@corp.example>\nSubject: {subject}\n{fields}\n{text}\n"
    return understand(mail.encode(), rules=RULES).what


ABSENT = [
    ("Re: Offer", "I am away.", ""),
    ("Re: Offer", "Ich bin bis Montag im Urlaub.", ""),
    ("Re: Offer", "Jsem na dovolené do pondělí.", "Precedence: bulk\nIn-Reply-To: <m1@post.example>\n"),
    (
        "Antw: Offer",
        "Bin bis Montag nicht im Büro.",
        "Sender: Postmaster@corp.example\nReferences: <m1@post.example>\n",
    ),
    ("Offer", "I am on leave.", ""),
    ("(Automatic reply) Offer", "See you.", ""),
    ("[Ticket received] Offer", "Thank you.", "References: <m1@post.example>\n"),
    ("Out of office: Offer", "See you.", "List-Id: <sales.corp.example>\n"),
    ("[#4711] Offer", "Your request has been received.", "In-Reply-To: <m1@post.example>\n"),
    ("Offer", "This mailbox is no longer in use.", "In-Reply-To: <m1@post.example>\n"),
    ("Re: Offer", "Olen vuosilomalla.", ""),
]


@pytest.mark.parametrize(("subject", "text", "fields"), ABSENT)
def test_an_automatic_answer_is_known_by_its_words(subject: str, text: str, fields: str) -> None:
    assert from_a_person(subject, text, fields) is What.AUTO_REPLY


ATTENDED = [
    ("Re: Offer", "I am away until Monday.", "In-Reply-To: <m1@post.example>\n"),
    ("Re: Offer", "I am away until Monday.\n\n> Shall we meet?", ""),
    ("Offer", "I am away until Monday, so shall we meet on Tuesday?", ""),
    ("Offer", "I am away until Monday. " + "Then we can talk about it all. " * 20, ""),
    ("Re: Offer", "I am out of the office.", "List-Id: <sales.corp.example>\n"),
]


@pytest.mark.parametrize(("subject", "text", "fields"), ATTENDED)
def test_what_a_person_writes_is_no_automatic_answer(subject: str, text: str, fields: str) -> None:
    assert from_a_person(subject, text, fields) is not What.AUTO_REPLY


def test_a_notification_with_the_null_sender_answers_nothing() -> None:
    assert from_a_person("New ticket notification", "Hello.", "Return-Path: <>\n") is What.UNKNOWN
    answer = "Return-Path: <>\nIn-Reply-To: <m1@post.example>\n"
    assert from_a_person("New ticket notification", "Hello.", answer) is What.AUTO_REPLY


DEAD = "Your message could not be delivered to the following recipient:\n\njoe@corp.example\n550 5.1.1 User unknown"


def test_hard_is_only_what_a_mail_system_says() -> None:
    for sender, null, kind in (
        ("ann", "", "soft"),
        ("ann", "Return-Path: <>\n", "hard"),
        ("mailer-daemon", "", "hard"),
    ):
        mail = f"From: {sender}@corp.example\n{null}Subject: Undelivered mail\n\n{DEAD}\n"
        (report,) = understand(mail.encode(), rules=RULES).reports
        assert (report.verdict.failure_class, report.verdict.kind) == ("invalid_recipient", kind)


def test_what_a_courier_could_not_deliver_is_no_mail() -> None:
    assert from_a_person("Delivery problem", "The parcel could not be delivered to joe@corp.example") is What.UNKNOWN
    assert from_a_person("Delivery problem", "The mail could not be delivered to joe@corp.example") is What.BOUNCE


@pytest.mark.parametrize("subject", ["Devolución", "Zwrot", "Возврат", "Nedoručený balík", "Undelivered parcel"])
def test_a_parcel_that_came_back_is_no_bounce(subject: str) -> None:
    assert from_a_person(subject, "My address joe@corp.example does not exist any more.") is What.UNKNOWN


def test_a_comment_in_status_is_the_reply() -> None:
    report = dsn("Final-Recipient: rfc822; joe@corp.example\nAction: failed\nStatus: 5.1.2 (550 Tried all MXs)")
    (found,) = read(report).reports
    assert (found.diagnostic_code, found.verdict.failure_class) == ("550 Tried all MXs", "unreachable")
    both = dsn("Final-Recipient: rfc822; joe@corp.example\nStatus: 5.0.0 (no)\nDiagnostic-Code: smtp; 550 User unknown")
    assert read(both).reports[0].diagnostic_code == "550 User unknown"


EXPIRED = "    A message is delayed for more than 0 seconds for the following\n    list of recipients:\n\n"


@pytest.mark.parametrize(
    ("reason", "action"),
    [("Envelope expired", ReportAction.FAILED), ("Connection timed out", ReportAction.DELAYED)],
)
def test_a_final_notice_that_is_labelled_delayed_is_final(reason: str, action: ReportAction) -> None:
    prose = f"{EXPIRED}joe@corp.example: {reason}\n"
    labelled = dsn("Final-Recipient: rfc822; joe@corp.example\nAction: delayed\nStatus: 4.4.7", prose=prose)
    alone = f"From: MAILER-DAEMON@mx.corp.example\nSubject: Delivery status notification: delayed\n\n{prose}"
    for mail in (labelled, alone):
        (report,) = read(mail).reports
        assert (report.action, report.verdict.failure_class) == (action, "unreachable")
