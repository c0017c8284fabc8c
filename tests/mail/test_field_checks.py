"""What callers may not write into a mail."""

import pytest

from homing.mail.compose import Attachment, ComposeError, compose
from homing.mail.field_checks import (
    check_body,
    check_content_type,
    check_display_name,
    check_filename,
    check_header,
    check_headers,
    check_message_id,
)
from tests.mail.drafts import draft, wire


@pytest.mark.parametrize(
    "name",
    [
        "Joe Bloggs",
        "Acme Inc.",
        "J. R. R. Tolkien",
        "Dr. Zoë Müller",
        "Ελένη",
        "山田　太郎",
        "Joe Bloggs, M.Sc.",
        "O'Brien & Sons",
        "Acme 2.0",
        "S.p.A. Roma",
        "Ph.D. Joe",
        "Joe ❤️",
    ],
)
def test_honest_display_names(name):
    assert check_display_name(name) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u3000",
        "joe@example.net",
        "Joe (joe＠example.net)",
        "joe﹫example.net",
        "PayPal.com",
        "paypal.com",
        "www.paypal.com",
        "Bank of x.com",
        "t.co",
        "service.paypal.com Team",
        "paypal．com",
        "paypal。com",
        "paypal․com",
        "Пейпал.рф",
        "google.com,",
        "(apple.com)",
        "apple.com/support",
        "https://apple.com",
        "Joe\u202egnp",
        "Joe\u2066x",
        "Joe\u200bBloggs",
        "Joe\u200fB",
        "\ufeffJoe",
        "Joe\u00adB",
        "Joe\x07",
        "Joe\r\nBcc: x",
        "Joe\x85",
        "Joe\u2028",
        "J" * 129,
        "\ud800",
        "=?utf-8?q?a=0Ab?=",
        "\u3164",
        "APPLE.COM",
        "my-bank.de",
        "P\u0430yPal",
        "Αpple",
        "Joe xn--pypal-4ve",
        "XN--80AK6AA92E",
    ],
    ids=ascii,
)
def test_deceiving_display_names_are_refused(name):
    assert check_display_name(name)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("X-Campaign", "spring, für alle", None),
        ("x-a", "a", None),
        ("Comments", "a", None),
        ("References", "<a@b.example> <c@d.example>", None),
        ("In-Reply-To", "<a@b.example>", None),
        ("List-Unsubscribe", "<https://a.example/u?x=1>, <mailto:u@a.example>", None),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click", None),
        ("List-Id", "Weekly news <news.a.example>", None),
        ("Feedback-ID", "spring:acme:news:homing", None),
        ("Auto-Submitted", "auto-generated", None),
        ("Importance", "high", None),
        ("X-", "a", "header-not-allowed"),
        ("", "a", "header-name-invalid"),
        ("X:Y", "a", "header-name-invalid"),
        ("X-A\r\nBcc", "a", "header-name-invalid"),
        ("X_A", "a", "header-name-invalid"),
        ("X-" + "a" * 63, "a", "header-name-invalid"),
        ("X-A", "", "header-value-empty"),
        ("X-A", "a\nb", "control-character"),
        ("X-A", "=?utf-16?b?AA0ACg==?=", "encoded-word"),
        ("X-A", "=?utf-8?b?DQo?=", "control-character"),
        ("X-A", "é" * 4097, "text-too-long"),
        ("References", "a b", "header-value-invalid"),
        ("List-Unsubscribe", "https://a.example", "header-value-invalid"),
        ("List-Unsubscribe", "<javascript:alert(1)>", "header-value-invalid"),
        ("List-Unsubscribe", "<https://" + "a" * 990 + ">", "header-value-invalid"),
        ("List-Unsubscribe-Post", "yes", "header-value-invalid"),
        ("Auto-Submitted", "auto-generated; owner-email=x", "header-value-invalid"),
        *[
            (name, "a", "header-not-allowed")
            for name in (
                "From",
                "Sender",
                "Reply-To",
                "To",
                "Cc",
                "Bcc",
                "Subject",
                "Date",
                "Message-ID",
                "MIME-Version",
                "Content-Type",
                "Content-Transfer-Encoding",
                "Content-Disposition",
                "Content-ID",
                "Return-Path",
                "Received",
                "DKIM-Signature",
                "DKIM-Anything",
                "ARC-Seal",
                "Authentication-Results",
                "Homing-Trace",
                "CFBL-Address",
                "CFBL-Feedback-ID",
                "Resent-From",
                "Resent-To",
                "Delivered-To",
                "Errors-To",
                "Disposition-Notification-To",
                "Return-Receipt-To",
                "Apparently-To",
                "X-Homing-Token",
                "X-Received",
                "X-DKIM",
                "Precedence",
                "Received-SPF",
                "Organization",
            )
        ],
    ],
    ids=ascii,
)
def test_custom_headers(name, value, code):
    assert [found for found, _ in check_header(name, value)] == ([code] if code else [])
    if code is None:
        wire(headers=((name, value),))
    else:
        with pytest.raises(ComposeError):
            compose(draft(headers=((name, value),)))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([("X-A", "1"), ("x-a", "2"), ("Comments", "a"), ("Comments", "b")], None),
        ([("References", "<a@b.c>"), ("references", "<a@b.c>")], "header-repeated"),
        ([(f"X-{number}", "a") for number in range(51)], "too-many-headers"),
        ([(f"X-{number}", "a" * 8000) for number in range(9)], "text-too-long"),
    ],
)
def test_lists_of_custom_headers(headers, code):
    assert [found for found, _ in check_headers(headers)] == ([code] if code else [])


def test_a_header_and_a_field_for_the_same_thing_clash():
    with pytest.raises(ComposeError, match="only once"):
        compose(draft(in_reply_to="a@b.example", headers=(("In-Reply-To", "<c@d.example>"),)))


@pytest.mark.parametrize("text", ["image/png", "text/plain; charset=utf-8", 'text/calendar; method=REQUEST;name="a b"'])
def test_content_types(text):
    assert check_content_type(text) == []
    assert wire(attachments=(Attachment("a", text, b""),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "png",
        "image/",
        "image/png\r\nX: y",
        "image/png;",
        "multipart/mixed",
        "Message/rfc822",
        'text/plain; a="b',
        "text/plain; charset*=utf-8''x",
        "a/b" * 200,
    ],
)
def test_bad_content_types(text):
    assert check_content_type(text)
    with pytest.raises(ComposeError):
        compose(draft(attachments=(Attachment("a", text, b""),)))


@pytest.mark.parametrize("filename", ["", " ", "..", "a/b", "..\\b", "gnp\u202eexe", "a\nb", "a" * 201, "\u200b"])
def test_bad_file_names(filename):
    assert check_filename(filename)


def test_bodies_without_characters_that_are_none():
    assert check_body("any\x1b text\r") == []
    assert check_body("a\0b")
    assert check_body("a\ud800")


@pytest.mark.parametrize("text", ["<a.b@example.com>", "a@b", "a@[127.0.0.1]"])
def test_message_ids(text):
    assert check_message_id(text) == []


@pytest.mark.parametrize("text", ["", "a", "<a@b", "a b@c", "a@b> <c@d", "<<a@b>>", "a@b\n", "ä@b", "a@" + "b" * 300])
def test_bad_message_ids(text):
    assert check_message_id(text)
