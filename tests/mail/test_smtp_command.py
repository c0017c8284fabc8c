import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.reply import Reply
from homing.mail.smtp_command import Hello, MailFrom, RcptTo, Verb, read_command

ACCEPTED = [
    (b"EHLO mx.example", Hello("mx.example", True)),
    (b"helo [192.0.2.1]", Hello("[192.0.2.1]", False)),
    (b"EHLO [IPv6:2001:db8::1]", Hello("[IPv6:2001:db8::1]", True)),
    (b"MAIL FROM:<>", MailFrom(envelope_sender=None)),
    (b"mail from:<a@B.Example>", MailFrom(envelope_sender="a@b.example")),
    (b"MAIL FROM: <a@b.example>  SIZE=12", MailFrom(envelope_sender="a@b.example", size=12)),
    (b'MAIL FROM:<"a> b"@b.example>', MailFrom(envelope_sender='"a> b"@b.example')),
    (b"MAIL FROM:<a%b@b.example> BODY=8bitmime", MailFrom(envelope_sender="a%b@b.example")),
    (b"MAIL FROM:<> RET=hdrs ENVID=x+2By", MailFrom(envelope_sender=None, ret="HDRS", envid="x+2By")),
    ("MAIL FROM:<josé@b.example> SMTPUTF8".encode(), MailFrom(envelope_sender="josé@b.example", smtputf8=True)),
    (
        "MAIL FROM:<a@bücher.example> SMTPUTF8".encode(),
        MailFrom(envelope_sender="a@xn--bcher-kva.example", smtputf8=True),
    ),
    (b"RCPT TO:<a@b.example>", RcptTo(recipient="a@b.example")),
    (b"RCPT TO:<Postmaster>", RcptTo(recipient="postmaster")),
    (
        b"RCPT TO:<a@b.example> NOTIFY=failure,DELAY ORCPT=rfc822;a+2Bx@b.example",
        RcptTo(recipient="a@b.example", notify="FAILURE,DELAY", orcpt="rfc822;a+2Bx@b.example"),
    ),
    (b"RCPT TO:<a@b.example.>", RcptTo(recipient="a@b.example")),
    (b"RCPT TO:<@x.example,@y.example:a@b.example>", RcptTo(recipient="a@b.example")),
    (b"MAIL FROM:<@x.example:a@b.example>", MailFrom(envelope_sender="a@b.example")),
    (b"DATA", Verb("DATA")),
    (b"noop what ever", Verb("NOOP")),
    (b"QUIT ", Verb("QUIT")),
]

REFUSED = [
    (b"", 500, "5.5.2"),
    (b"XYZZY", 500, "5.5.2"),
    (b"MAIL\0FROM:<a@b.example>", 500, "5.5.2"),
    (b"MAIL FROM:<a\rRCPT TO:<b@b.example>", 500, "5.5.2"),
    (b"MAIL FROM:<\xff@b.example> SMTPUTF8", 500, "5.5.2"),
    (b"EXPN all", 502, "5.5.1"),
    (b"AUTH PLAIN AAAA", 502, "5.5.1"),
    (b"BDAT 10 LAST", 502, "5.5.1"),
    (b"DATA now", 501, "5.5.4"),
    (b"EHLO", 501, "5.5.4"),
    (b"EHLO a b", 501, "5.5.4"),
    (b"EHLO <script>", 501, "5.5.4"),
    (b"EHLO " + b"a" * 256, 501, "5.5.4"),
    (b"MAIL <a@b.example>", 501, "5.5.2"),
    (b"MAIL FROM:a@b.example", 501, "5.5.2"),
    (b"MAIL FROM:<a@b.example", 501, "5.5.2"),
    (b"MAIL FROM:<a@b.example>x", 501, "5.5.2"),
    (b"MAIL FROM:<a@b.example> SIZE=1 SIZE=1", 501, "5.5.2"),
    (b"MAIL FROM:<a@b.example> SIZE=-1", 501, "5.5.4"),
    (b"MAIL FROM:<a@b.example> SIZE=" + b"9" * 21, 501, "5.5.4"),
    (b"MAIL FROM:<a@b.example> BODY=BINARYMIME", 501, "5.5.4"),
    (b"MAIL FROM:<a@b.example> SMTPUTF8=yes", 501, "5.5.4"),
    (b"MAIL FROM:<a@b.example> ENVID=" + b"x" * 101, 501, "5.5.4"),
    (b"MAIL FROM:<a@b.example> X=1", 555, "5.5.4"),
    (b"MAIL FROM:<a@b>", 553, "5.1.7"),
    (b"MAIL FROM:<a@[192.0.2.1]>", 553, "5.1.7"),
    ("MAIL FROM:<josé@b.example>".encode(), 553, "5.6.7"),
    ("RCPT TO:<josé@b.example>".encode(), 553, "5.6.7"),
    (b"RCPT TO:<>", 553, "5.1.3"),
    (b"RCPT TO:<a@[192.0.2.1]>", 553, "5.1.3"),
    (b"RCPT TO:<@x.example:a%c.example@b.example>", 553, "5.1.3"),
    (b"RCPT TO:<@x.example>", 553, "5.1.3"),
    (b"RCPT TO:<x%elsewhere.example@b.example>", 553, "5.1.3"),
    (b"RCPT TO:<elsewhere.example!x@b.example>", 553, "5.1.3"),
    (b'RCPT TO:<"x@elsewhere.example"@b.example>', 553, "5.1.3"),
    (b"RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", 501, "5.5.4"),
    (b"RCPT TO:<a@b.example> ORCPT=x", 501, "5.5.4"),
    (b"RCPT TO:<a@b.example> SIZE=3", 555, "5.5.4"),
]


@pytest.mark.parametrize(("line", "command"), ACCEPTED)
def test_accepted(line: bytes, command: object) -> None:
    assert read_command(line, extended=True) == command


@pytest.mark.parametrize(("line", "code", "enhanced"), REFUSED)
def test_refused(line: bytes, code: int, enhanced: str) -> None:
    reply = read_command(line, extended=True)
    assert isinstance(reply, Reply)
    assert (reply.reply_code, reply.enhanced_status_code) == (code, enhanced)


@pytest.mark.parametrize(
    ("argument", "sender"),
    [
        ("<>", None),
        ("", None),
        ("<MAILER-DAEMON>", "MAILER-DAEMON"),
        ("<root@localhost>", "root@localhost"),
        ("<john..doe@docomo.example.com>", "john..doe@docomo.example.com"),
        ("<.john.@corp.com>", ".john.@corp.com"),
        ("<john@my_host.corp.com>", "john@my_host.corp.com"),
        ("<-bounce@corp.com>", "-bounce@corp.com"),
        ("<john@corp.com.>", "john@corp.com."),
        ("<john@[127.0.0.1]>", "john@[127.0.0.1]"),
        ("<john@[IPv6:::1]>", "john@[IPv6:::1]"),
        (f"<{'a' * 70}@corp.com>", f"{'a' * 70}@corp.com"),
        ("<@a.example:john@corp.com>", "@a.example:john@corp.com"),
        ("john@corp.com", "john@corp.com"),
        (" john@corp.com", "john@corp.com"),
        ("<jörg@corp.com>", "jörg@corp.com"),
        (f"<{'a' * 400}@corp.com>", f"{'a' * 319}…"),
    ],
)
def test_whoever_sends_evidence_may_call_himself_anything(argument: str, sender: str | None) -> None:
    line = f"MAIL FROM:{argument} SIZE=100".encode() if argument else b"MAIL FROM:"
    command = read_command(line, extended=True, any_sender=True)
    assert isinstance(command, MailFrom)
    assert (command.envelope_sender, command.size) == (sender, 100 if argument else None)


@pytest.mark.parametrize("line", ["MAIL FROM:<a@b.example", "MAIL <a>", "MAIL FROM:<a> SIZE=x", "MAIL FROM:<a\x00b>"])
def test_but_not_write_anything(line: str) -> None:
    assert isinstance(read_command(line.encode(), extended=True, any_sender=True), Reply)


def test_parameters_need_ehlo() -> None:
    reply = read_command(b"MAIL FROM:<a@b.example> SIZE=1", extended=False)
    assert isinstance(reply, Reply)
    assert reply.reply_code == 555


def test_a_recipient_beyond_ascii_after_smtputf8() -> None:
    command = read_command("RCPT TO:<josé@b.example>".encode(), extended=True, smtputf8=True)
    assert command == RcptTo(recipient="josé@b.example")


@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"MAIL FROM:<", b"RCPT TO:<", b"EHLO ", b"MAIL FROM:<> "]),
    st.booleans(),
)
def test_any_line_is_a_command_or_a_refusal(tail: bytes, head: bytes, any_sender: bool) -> None:
    command = read_command(head + tail, extended=True, smtputf8=True, any_sender=any_sender)
    if isinstance(command, Reply):
        assert command.permanent
    for text in (getattr(command, "recipient", ""), getattr(command, "envelope_sender", None) or ""):
        assert text.isprintable()
