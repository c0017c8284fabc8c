"""What other providers export: whom it suppresses, why, since when, and what is left out."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from homing.flow.rules import reading_rules
from homing.loop.suppression_import import REASONS, ExportError, Format, Imported, Omitted, Terms, open_export

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)

SES = """EmailAddress,Reason,LastUpdateTime
dead@example.org,BOUNCE,2026-01-02T03:04:05.123000+01:00
angry@example.org,COMPLAINT,2026-01-02T03:04:05Z
"""
SENDGRID_BOUNCES = """status,reason,email,created
5.1.1,"550 5.1.1 The email account that you tried to reach does not exist, sorry",dead@example.org,1767323045
5.2.2,552 5.2.2 mailbox full,full@example.org,1767323045
4.4.1,421 4.4.1 connection timed out,later@example.org,1767323045
,550 5.7.1 blocked using Spamhaus,blocked@example.org,1767323045
,No MX for gone.example,john@gone.example,1771459200
,No MX for gone.example,jane@gone.example,1767323045
5.0.0,550 permanent failure for one or more recipients,vague@example.org,1767323045
"""
SENDGRID_SPAM = "ip,email,created\n192.0.2.1,angry@example.org,1767323045\n"
SENDGRID_UNSUBSCRIBES = "email,created\nleft@example.org,2026-01-02 03:04:05\n"
POSTMARK = """EmailAddress,SuppressionReason,Origin,CreatedAt
dead@example.org,HardBounce,Recipient,2026-01-01T22:04:05-05:00
angry@example.org,SpamComplaint,Recipient,2026-01-01T22:04:05-05:00
left@example.org,ManualSuppression,Recipient,2026-01-01T22:04:05-05:00
stopped@example.org,ManualSuppression,Customer,2026-01-01T22:04:05-05:00
"""
POSTMARK_BOUNCES = """Type,Email,BouncedAt,Inactive,Details
HardBounce,dead@example.org,2026-01-02T03:04:05.6421112Z,true,smtp;550 5.1.1 user unknown
SoftBounce,soft@example.org,2026-01-02T03:04:05Z,false,smtp;450 later
Transient,later@example.org,2026-01-02T03:04:05Z,false,
HardBounce,back@example.org,2026-01-02T03:04:05Z,false,smtp;550 5.1.1 user unknown
"""
MAILGUN_BOUNCES = """address,code,error,created_at
dead@example.org,550,No such mailbox,"Fri, 02 Jan 2026 03:04:05 UTC"
later@example.org,452,try again,"Fri, 02 Jan 2026 03:04:05 UTC"
silent@example.org,605,,"Fri, 02 Jan 2026 03:04:05 UTC"
"""
MAILGUN_COMPLAINTS = 'address,created_at\nangry@example.org,"Fri, 02 Jan 2026 03:04:05 GMT"\n'
MAILGUN_UNSUBSCRIBES = 'address,tags,created_at\nleft@example.org,*,"Fri, 02 Jan 2026 04:04:05 +0100"\n'

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def read(text: str, **more: object) -> tuple[Format, list[Imported | Omitted]]:
    terms = Terms(rules=reading_rules(), now=NOW, **more)  # type: ignore[arg-type]
    export = open_export(text.splitlines(keepends=True), terms)
    return export.format, list(export.read())


def brief(found: Iterable[Imported | Omitted]) -> list[str]:
    """The local part and the reason of each line, or its number and code; `-` in front of what is rightly left out."""
    return [
        f"{one.address.partition('@')[0]} {one.reason}"
        if isinstance(one, Imported)
        else f"{'-' if one.harmless else ''}{one.line} {one.code}"
        for one in found
    ]


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        (SES, Format.SES, ["dead invalid_recipient", "angry complaint"]),
        (
            "dead@example.org,BOUNCE\nangry@example.org, COMPLAINT\n",
            Format.SES,
            ["dead invalid_recipient", "angry complaint"],
        ),
        (
            SENDGRID_BOUNCES,
            Format.SENDGRID,
            [
                "dead invalid_recipient",
                "-3 row-not-recipient",
                "-4 row-transient",
                "-5 row-not-recipient",
                "john invalid_domain",
                "-7 row-lapsed",
                "vague invalid_recipient",
            ],
        ),
        (SENDGRID_SPAM, Format.SENDGRID, ["angry complaint"]),
        (
            POSTMARK,
            Format.POSTMARK,
            ["dead invalid_recipient", "angry complaint", "left unsubscribe", "stopped manual"],
        ),
        (
            POSTMARK_BOUNCES,
            Format.POSTMARK,
            ["dead invalid_recipient", "-3 row-transient", "-4 row-transient", "-5 row-active"],
        ),
        (MAILGUN_BOUNCES, Format.MAILGUN, ["dead invalid_recipient", "-3 row-transient", "silent invalid_recipient"]),
        (MAILGUN_UNSUBSCRIBES, Format.MAILGUN, ["left unsubscribe"]),
    ],
)
def test_what_a_provider_exports(text: str, form: Format, expected: list[str]) -> None:
    found, rows = read(text)
    assert (found, brief(rows)) == (form, expected)


@pytest.mark.parametrize(
    "text",
    [
        SENDGRID_BOUNCES,
        SENDGRID_UNSUBSCRIBES,
        POSTMARK,
        POSTMARK_BOUNCES,
        MAILGUN_BOUNCES,
        MAILGUN_COMPLAINTS,
        MAILGUN_UNSUBSCRIBES,
    ],
)
def test_the_time_is_kept_in_utc(text: str) -> None:
    form = {SENDGRID_UNSUBSCRIBES: Format.SENDGRID, MAILGUN_COMPLAINTS: Format.MAILGUN}.get(text)
    one = next(row for row in read(text, format=form)[1] if isinstance(row, Imported))
    assert one.created_at is not None
    assert (one.created_at.replace(microsecond=0), one.created_at.utcoffset()) == (AT, timedelta(0))


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        (SENDGRID_UNSUBSCRIBES, Format.SENDGRID, "left unsubscribe"),
        (MAILGUN_COMPLAINTS, Format.MAILGUN, "angry complaint"),
        ("email,group,created\nleft@example.org,,\n", Format.SENDGRID, "left unsubscribe"),
        ("Created,Reason,Email\n,no such user,dead@example.org\n", Format.SENDGRID, "dead invalid_recipient"),
    ],
)
def test_what_could_be_a_providers_or_anybodys_is_asked_for(text: str, form: Format, expected: str) -> None:
    with pytest.raises(ExportError, match=f"--format {form}”") as refused:
        read(text)
    assert refused.value.code == "format-unclear"
    assert (read(text, format=form)[0], brief(read(text, format=form)[1])) == (form, [expected])
    assert read(text, format=Format.CSV)[0] is Format.CSV
    with_reason = "reason" in text.lower()
    assert ("--reason" in str(refused.value)) == (not with_reason)
    if not with_reason:
        found, rows = read(text, reason="unsubscribe")
        assert (found, brief(rows)) == (Format.CSV, [f"{expected.split(maxsplit=1)[0]} unsubscribe"])


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (['a@example.org,spam,"550 no such user', "b@example.org,spam,", "c@example.org,spam,"], 2),
        (["b@example.org,spam,", 'a@example.org,spam,"no', 'c@example.org,spam,"yes"'], 3),
        (['"a@example.org,spam,', "b@example.org,spam,"], 2),
        (['a@example.org,spam,"no', "b@example.org,spam,x", 'c@example.org,spam,"'], 2),
        (['a@example.org,spam,"no', 'b@example.org,spam,"'], 2),
        (["", 'a@example.org,spam,"' + "\n".join(["x" * 70] * 2000)], 3),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", ",;\t")
def test_a_stray_quotation_mark_swallows_no_lines(lines: list[str], line: int, end: str, delimiter: str) -> None:
    text = end.join(["address,reason,details", *lines, ""]).replace(",", delimiter)
    with pytest.raises(ExportError, match=f"line {line} ") as refused:
        read(text)
    assert (refused.value.code, refused.value.line) == ("quote-stray", line)


def test_one_in_a_list_of_addresses_or_in_the_first_line_swallows_none_either() -> None:
    for text in (
        '"a@example.org\nb@example.org\n',
        'address\n"a@example.org\nb@example.org"\n',
        '"address,reason\na@x.org,spam\n',
    ):
        with pytest.raises(ExportError) as refused:
            read(text)
        assert refused.value.code == "quote-stray"


def test_quotation_marks_that_swallow_nothing() -> None:
    text = """address,reason,details
a@example.org,spam,550 "no such" user
b@example.org,spam,"550 ""no such"" user"
c@example.org,spam,"550 no such user:
c@example.org"
d@example.org,spam,"550 \\"no such\\" user"
e@example.org,spam,"550
"""
    assert brief(read(text)[1]) == [
        "a complaint",
        "b complaint",
        "c complaint",
        "6 line-unreadable",
        "7 line-unreadable",
    ]


@pytest.mark.parametrize("first", ["address,reason,Reason", "Email,e-mail,reason", "email,created,email,ip"])
def test_a_column_that_is_there_twice_is_refused(first: str) -> None:
    with pytest.raises(ExportError) as refused:
        read(f"{first}\n")
    assert (refused.value.code, refused.value.line) == ("column-repeated", 1)
    assert read("name,name,address\nx,y,a@example.org\n")[0] is Format.CSV


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", ",;\t")
def test_marks_line_ends_delimiters_cases_and_empty_lines(mark: str, end: str, delimiter: str) -> None:
    lines = ["", '"EMAIL","Reason"', "", "a@example.org,Spam", ",", '"b@example.org","SPAM"', "", ""]
    found = read(mark + end.join(lines).replace(",", delimiter))[1]
    assert [one.line for one in found] == [4, 6]
    assert brief(found) == ["a complaint", "b complaint"]


def test_a_rule_of_ours_that_decided_is_named_and_the_server_quoted() -> None:
    dead, domain, vague = [row for row in read(SENDGRID_BOUNCES)[1] if isinstance(row, Imported)]
    assert dead.rule == "gmail.no-such-user"
    assert dead.evidence == (
        "imported from SendGrid on 2026-03-02: 550 5.1.1 The email account that you tried to reach does not exist, "
        "sorry (rule gmail.no-such-user)"
    )
    assert domain.expires_at == datetime(2026, 2, 19, tzinfo=UTC) + 30 * DAY, "domains come back"
    assert (vague.rule, vague.expires_at) == (None, None)
    assert "(rule" not in vague.evidence


def test_a_plain_list() -> None:
    text = """Email;Reason;Created
a@example.org;hard_bounce;2026-01-02
B@Example.org;unsubscribed;
c@example.org;inactive_mailbox;
d@example.org;soft bounce;
e@example.org;whatever;
f@example.org;;
"""
    form, rows = read(text, format=Format.CSV)
    assert form is Format.CSV
    expected = ["a invalid_recipient", "b unsubscribe", "c inactive_mailbox", "-5 row-transient", "6 reason-unknown"]
    assert brief(rows) == [*expected, "f manual"]
    assert isinstance(rows[1], Imported)
    assert rows[1].created_at is None
    assert brief(read("a@example.org\nb@example.org\n", reason="complaint")[1]) == ["a complaint", "b complaint"]
    assert brief(read("address\na@example.org\n")[1]) == ["a manual"]
    assert read("\ufeff\n\naddress\treason\na@example.org\tspam\n")[1][0].line == 4


def test_a_reason_that_was_given_holds_where_the_file_gives_none() -> None:
    assert brief(read(SENDGRID_UNSUBSCRIBES, reason="complaint")[1]) == ["left complaint"]
    assert brief(read(MAILGUN_COMPLAINTS, reason="unsubscribe")[1]) == ["angry unsubscribe"]
    assert brief(read(SES, reason="manual")[1]) == ["dead invalid_recipient", "angry complaint"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nobody,,", "address-syntax"),
        (",complaint,2026-01-02", "address-empty"),
        ("a@example.org,complaint,yesterday", "moment-form"),
        ("a@example.org,complaint,1/2/2026", "moment-form"),
        ("a@example.org,complaint,12345", "moment-form"),
        ("a@example.org,complaint,2026-03-03", "moment-unlikely"),
        ("a@example.org,complaint,1989-12-31", "moment-unlikely"),
        ("a@example.org,complaint,0001-01-01T00:00:00+14:00", "moment-form"),
        ("a@example.org,complaint,,,too many", "line-unreadable"),
        ("a\udc80@example.org,complaint,", "address-character"),
        ('"' + 140_000 * "x" + '",complaint,', "line-unreadable"),
    ],
)
def test_a_bad_line_is_told_and_the_next_one_read(line: str, code: str) -> None:
    _, (bad, good) = read(f"address,reason,created_at\n{line}\ngood@example.org,complaint,\n")
    assert isinstance(bad, Omitted)
    assert (bad.line, bad.code, bad.harmless) == (2, code, False)
    assert isinstance(good, Imported)
    assert good.line == 3


def test_an_address_that_spans_lines_counts_them() -> None:
    text = 'address,reason,details\na@example.org,bounce,"550 no such\nuser"\nb,bounce,\n'
    assert brief(read(text)[1]) == ["a invalid_recipient", "4 address-syntax"]


@pytest.mark.parametrize(
    ("text", "code"), [("", "file-empty"), ("\n \n", "file-empty"), ("name,town\nJ,Y\n", "format-unknown")]
)
def test_a_file_that_is_none_is_refused(text: str, code: str) -> None:
    with pytest.raises(ExportError) as refused:
        read(text)
    assert refused.value.code == code


def test_words_that_cannot_be_shown_are_not_quoted() -> None:
    [one] = read("address,code,error\na@example.org,550,bad \u200d\u202e\x1b[31m word\n")[1]
    assert isinstance(one, Imported)
    assert one.evidence.isprintable()


def test_a_clock_may_be_five_minutes_ahead_and_what_it_says_is_taken_for_now() -> None:
    text = "address,created_at,reason\na@example.org,{},spam\n"
    [ahead] = read(text.format((NOW + timedelta(minutes=5)).isoformat()))[1]
    [far] = read(text.format((NOW + timedelta(minutes=5, seconds=1)).isoformat()))[1]
    assert isinstance(ahead, Imported)
    assert ahead.created_at == NOW
    assert isinstance(far, Omitted)


def test_thirteen_digits_are_milliseconds() -> None:
    [one] = read("ip,email,created\n,a@example.org,1767323045999\n")[1]
    assert isinstance(one, Imported)
    assert one.created_at == AT


@pytest.mark.parametrize("name", ["EmailAddress", "Email Address", "address", "E-mail", "recipient"])
def test_names_of_the_column_of_addresses(name: str) -> None:
    assert brief(read(f"{name}\na@example.org\n", format=Format.CSV)[1]) == ["a manual"]


@pytest.mark.parametrize("name", ["created_at", "Created", "LastUpdateTime", "BouncedAt", "timestamp", "date"])
def test_names_of_the_column_of_moments(name: str) -> None:
    [one] = read(f"address,{name}\na@example.org,2026-01-02T03:04:05Z\n", format=Format.CSV)[1]
    assert isinstance(one, Imported)
    assert one.created_at == AT


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("bounce Bounced hard_bounce hard Permanent BadEmailAddress invalid invalid_recipient", "invalid_recipient"),
        ("complaint spam SpamComplaint spam-report abuse", "complaint"),
        ("unsubscribe unsubscribed opt-out", "unsubscribe"),
        ("manual ManualSuppression ManuallyDeactivated", "manual"),
    ],
)
def test_words_for_a_reason(words: str, reason: str) -> None:
    lines = "".join(f"a@example.org,{word}\n" for word in words.split())
    assert set(brief(read(f"address,reason\n{lines}")[1])) == {f"a {reason}"}


def test_the_provider_is_believed_only_where_our_rules_cannot_tell() -> None:
    text = "status,reason,email,created\n,550 something,a@example.org,\n5.7.1,550 no,b@example.org,\n"
    assert brief(read(text)[1]) == ["a invalid_recipient", "-3 row-not-recipient"]


@pytest.mark.parametrize(
    ("text", "provider"),
    [(SES, " Amazon SES"), (SENDGRID_SPAM, " SendGrid"), (POSTMARK, " Postmark"), (MAILGUN_BOUNCES, " Mailgun")],
)
def test_the_evidence_names_the_provider(text: str, provider: str) -> None:
    one = read(text)[1][0]
    assert isinstance(one, Imported)
    assert one.evidence.startswith(f"imported from{provider} on 2026-03-02")


def test_reasons_that_can_be_imported() -> None:
    assert set(REASONS) == {
        "invalid_recipient",
        "inactive_mailbox",
        "invalid_domain",
        "complaint",
        "unsubscribe",
        "manual",
    }
