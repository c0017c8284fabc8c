"""Composing: what a draft becomes on the wire."""

import email
import mailbox
import re
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homing.mail.address import parse_address
from homing.mail.compose import (
    Attachment,
    ComposeError,
    Mailbox,
    check_composed,
    check_filename,
    compose,
    front,
    without_smtputf8,
)
from homing.mail.dkim import sign
from homing.mail.dkim_verification import verify
from homing.mail.header import encoded_words
from tests.mail.drafts import JOE, JOHN, KEY, OURS, decoded, draft, names, read, unfolded, wire

# --- shapes ----------------------------------------------------------------------------------------------------------

LOGO = Attachment("logo.png", "image/png", b"\x89PNG", "logo")
INVOICE = Attachment("Rechnung für dich.pdf", "application/pdf", bytes(range(256)) * 9)


def shape(part):
    if part.is_multipart():
        return part.get_content_subtype(), [shape(inner) for inner in part.iter_parts()]
    return part.get_content_type()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, "text/plain"),
        ({"text": None}, "text/plain"),
        ({"text": ""}, "text/plain"),
        ({"text": None, "html": "<p>"}, "text/html"),
        ({"html": "<p>"}, ("alternative", ["text/plain", "text/html"])),
        ({"attachments": (INVOICE,)}, ("mixed", ["text/plain", "application/pdf"])),
        ({"text": None, "attachments": (INVOICE,)}, ("mixed", ["application/pdf"])),
        ({"attachments": (LOGO,)}, ("mixed", ["text/plain", "image/png"])),
        ({"text": None, "html": "<img src=cid:logo>", "attachments": (LOGO,)}, ("related", ["text/html", "image/png"])),
        (
            {"html": "<img src=cid:logo>", "attachments": (LOGO, INVOICE)},
            (
                "mixed",
                [("alternative", ["text/plain", ("related", ["text/html", "image/png"])]), "application/pdf"],
            ),
        ),
    ],
)
def test_the_tree_has_only_the_levels_it_needs(parts, expected):
    assert shape(read(wire(**parts))) == expected


def test_files_arrive_as_they_were():
    message = read(wire(html="<img src=cid:logo>", attachments=(LOGO, INVOICE)))
    image, invoice = [part for part in message.walk() if part.get_filename()]
    assert (image["Content-ID"], image.get_content_disposition()) == ("<logo>", "inline")
    assert invoice.get_filename() == "Rechnung für dich.pdf"
    assert invoice.get_content() == INVOICE.content


@pytest.mark.parametrize(
    "filename",
    [
        'a "quoted".txt',
        "per%cent.txt",
        "a'b.txt",
        "請求書.pdf",
        "x" * 190 + ".bin",
        "é" * 200,
        "semi;colon=1.txt",
        "a b",
    ],
)
def test_file_names_survive(filename):
    (part,) = read(wire(attachments=(Attachment(filename, "text/csv", b"a"),))).iter_attachments()
    assert check_filename(filename) == []
    assert part.get_filename() == filename


def test_equal_drafts_give_equal_bytes_and_boundaries_follow_the_message():
    parts = {"html": "<p>", "attachments": (LOGO, INVOICE)}
    assert wire(**parts) == wire(**parts)
    other = wire(**parts, message_id="m2@post.example.com")
    assert read(wire(**parts)).get_boundary() != read(other).get_boundary()


def test_a_boundary_never_occurs_in_a_part():
    boundary = read(wire(html="<p>")).get_boundary()
    message = read(wire(text=f"a\r\n--{boundary}--\r\nb\r\n", html="<p>"))
    assert message.get_boundary() != boundary
    assert shape(message) == ("alternative", ["text/plain", "text/html"])


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n", "7bit"),
        ("tab\there\n", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("Grüße\n", "quoted-printable"),
        ("escape \x1b\n", "quoted-printable"),
        ("From here\n", "quoted-printable"),
        pytest.param("x" * 2_000_000, "base64", id="a line that nobody reads"),
        pytest.param("é" + "\n" + "From here on\n" * 40_000, "quoted-printable", id="more than is quoted at once"),
        ("前略 請求書をお送りします。\n", "base64"),
    ],
)
def test_text_is_encoded_as_it_needs(text, encoding):
    message = read(wire(text=text))
    assert message["Content-Transfer-Encoding"] == encoding
    assert message.get_payload(decode=True).decode().replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")


TEXTS = st.lists(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        st.sampled_from(["\r", "\n", " ", ".", "=", "\nFrom ", "x" * 71]),
    )
).map("".join)


@settings(max_examples=200)
@given(TEXTS, st.one_of(st.none(), TEXTS))
@example("a" * 2000 + " \n.\n..\n \n", "é" * 500 + "\t\n")
def test_any_body_is_carried_whole_in_seven_bits(text, html):
    raw = wire(text=text, html=html)
    assert raw.isascii()
    leaves = [part for part in email.message_from_bytes(raw).walk() if not part.is_multipart()]
    for part, sent in zip(leaves, (text, html), strict=False):
        expected = sent.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode()
        assert part.get_payload(decode=True).removesuffix(b"\r\n") == expected.removesuffix(b"\r\n")
        assert not re.search("^From ", part.get_payload(), re.MULTILINE)
        if part["Content-Transfer-Encoding"] != "7bit":
            assert max(map(len, part.get_payload().splitlines() or [""])) <= 76


def test_the_body_survives_an_mbox(tmp_path):
    raw = wire(text=f"Hello\nFrom here on it is\nFrom {'x' * 71}\n", html="é\nFrom x\n", attachments=(INVOICE,))
    kept = mailbox.mbox(tmp_path / "box")
    kept.add(raw)
    kept.flush()
    assert b"\n>From" not in (tmp_path / "box").read_bytes()
    _, _, body = raw.partition(b"\r\n\r\n")
    assert kept[0].as_bytes().partition(b"\n\n")[2].rstrip() == body.replace(b"\r\n", b"\n").rstrip()


# --- headers ---------------------------------------------------------------------------------------------------------


def test_the_header_block_in_full():
    raw = wire(
        cc=(Mailbox("", JOE),),
        in_reply_to="q1@example.org",
        references=("q0@example.org", "q1@example.org"),
        auto_submitted="auto-generated",
        headers=(("X-Campaign", "spring"), ("List-Unsubscribe", "<https://post.example.com/u/1>")),
    )
    assert raw.partition(b"\r\n\r\n")[0].decode().split("\r\n") == [
        'From: "Joe Bloggs" <message-service@post.example.com>',
        "Reply-To: joe@example.net",
        "Homing-Trace: abc234",
        "Date: Tue, 01 Sep 2026 12:00:00 +0000",
        "Message-ID: <m1@post.example.com>",
        'To: "John Smith" <john@example.org>',
        "Cc: joe@example.net",
        "Subject: Your invoice",
        "In-Reply-To: <q1@example.org>",
        "References: <q0@example.org> <q1@example.org>",
        "Auto-Submitted: auto-generated",
        "X-Campaign: spring",
        "List-Unsubscribe: <https://post.example.com/u/1>",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 7bit",
    ]


def test_hidden_recipients_leave_no_trace():
    assert "To: undisclosed-recipients:;" in wire(to=()).decode()


SUBJECTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=300)


@settings(max_examples=300)
@given(SUBJECTS)
@example("=?utf-8?q?hello?=")
@example("a  b   c " + "word " * 40)
@example("x" * 998)
@example("Ü" * 300)
@example("😀" * 100)
def test_subjects_are_carried_exactly_in_folded_lines(subject):
    raw = wire(subject=subject)
    assert decoded(raw, "Subject") == subject.strip(" ")
    lines = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert max(map(len, lines)) <= 78
    assert all(line.strip() for line in lines)


@settings(max_examples=200)
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=128), min_size=1, max_size=5))
@example(['O"Brien \\ Söhne', "a, b <c@d.example>", "=?utf-8?q?x?=", "Ж" * 128])
def test_names_are_carried_exactly_and_never_become_addresses(displayed):
    raw = wire(to=tuple(Mailbox(name, JOHN.address) for name in displayed))
    assert max(map(len, raw.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78
    found = getaddresses([email.message_from_bytes(raw)["To"]])
    assert [address for _, address in found] == ["john@example.org"] * len(displayed)
    assert [unfolded(name) for name, _ in found] == [name.strip(" ") for name in displayed]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200), st.integers(0, 37))
def test_encoded_words_fit_and_decode(text, taken):
    words = encoded_words(text, taken)
    assert max(map(len, words)) <= 75
    assert len(words[0]) + taken <= 75
    assert str(make_header(decode_header(" ".join(words)))) == text


def test_only_an_address_that_needs_smtputf8_is_raw():
    raw = wire(to=(Mailbox("Jörg", parse_address("jörg@bücher.example")),))
    assert "To: =?utf-8?b?SsO2cmc=?= <jörg@xn--bcher-kva.example>".encode() in raw
    assert wire(to=(Mailbox("Jörg", parse_address("jo@bücher.example")),)).isascii()


JOERG = parse_address("jörg@bücher.example")


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (
            [("Jörg Voß", JOERG), ("John Smith", JOHN.address)],
            '=?utf-8?b?SsO2cmcgVm/Dnw==?= :;, "John Smith" <john@example.org>',
        ),
        ([('Mr, J. \\ "Joe"  Doe', JOERG)], '"Mr, J. \\\\ \\"Joe\\"  Doe" :;'),
        ([("", JOERG), ("", JOHN.address)], "=?utf-8?q?j=C3=B6rg=40xn--bcher-kva=2Eexample?= :;, john@example.org"),
        ([("", parse_address('"jö, <x> rg"@a.example')), ("J", JOERG)], None),
        ([("Ann <a@b.example>, Jörg", parse_address("ann@bücher.example")), ("", JOERG)], None),
        ([("Ö" * 120, JOERG)] * 3 + [("", parse_address('"a, b"@c.example'))], None),
    ],
)
def test_who_needs_no_smtputf8_gets_no_address_that_does(to, expected):
    mailboxes = tuple(Mailbox(*one) for one in to)
    full = compose(draft(to=(JOHN,), cc=mailboxes, text="Grüße"))
    plain = without_smtputf8(full)
    check_composed(front(OURS, "Joe", JOE, "abc234") + plain)
    assert plain.isascii()
    assert max(map(len, plain.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78
    assert plain.partition(b"\r\n\r\n")[2] == full.partition(b"\r\n\r\n")[2], "the body, and so its hash, is the same"
    assert names(plain) == names(full)
    groups = read(plain)["Cc"].groups
    told = [(group.display_name or "", [one.addr_spec for one in group.addresses]) for group in groups]
    # Python's parser leaves the spaces between encoded words in.
    assert [(name.replace(" ", ""), members) for name, members in told] == [
        ((name or str(address)).replace(" ", ""), []) if address.needs_smtputf8 else ("", [str(address)])
        for name, address in to
    ]
    if expected:
        assert plain.partition(b"\r\nCc: ")[2].partition(b"\r\nSubject")[0].replace(b"\r\n", b"").decode() == expected


def test_a_copy_without_such_addresses_stays_as_it_is():
    full = compose(draft(subject="Grüße", to=(Mailbox("Jörg", parse_address("jo@bücher.example")),)))
    assert without_smtputf8(full) == full


def test_the_whole_passes_through_dkim():
    raw = wire(subject="Grüße", html="<p>ü</p>", attachments=(LOGO, INVOICE))
    signed = sign(raw, KEY, 1, 2) + raw
    check_composed(signed)
    assert verify(signed, lambda name: KEY.dns_record()).passed


# --- the final gate --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Subject: Your", b"From: x@y.example\r\nSubject: Your"),
        (b"Subject: Your", b"Subject: x\r\nSubject: Your"),
        (b"Subject: Your", b"Bcc: x@y.example\r\nSubject: Your"),
        (b"Subject: Your", b"Message-ID: <x@y>\r\nSubject: Your"),
        (b"Date: ", b"X-Date: "),
        (b"Subject: Your", b"Subject: x\r\rSubject: Your"),
        (b"Subject: Your", b"Subject: x\nYour"),
        (b"Subject: Your", b"Subject Your"),
        (b"Subject: Your", b"Subject: " + b"x" * 998),
        (b"here it is", b"here\nit is"),
        (b"here it is", b"here\0it is"),
        (b"here it is", "hére it is".encode()),
        (b"here it is", b"x" * 999),
        (b"here it is.\r\n", b"here it is."),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_the_gate_is_shut(old, new):
    raw = wire()
    assert old in raw
    with pytest.raises(ComposeError) as refusal:
        check_composed(raw.replace(old, new))
    assert refusal.value.code == "final-gate"


def test_the_gate_is_shut_where_two_parsers_disagree():
    with pytest.raises(ComposeError, match="disagree"):
        check_composed(b"From nobody: x\r\n" + wire())  # one parser's mbox line is the other's header


@pytest.mark.parametrize(
    "broken",
    [
        b" continues nothing\r\n" + wire(),
        wire().partition(b"\r\n\r\n")[0] + b"\r\n",
    ],
    ids=["begins in the middle of a header", "no body"],
)
def test_the_gate_is_shut_for_half_a_message(broken):
    with pytest.raises(ComposeError, match=r"malformed|no body"):
        check_composed(broken)


def test_a_delivery_says_where_complaints_go_and_how_to_leave():
    fbl = parse_address("fbl@post.example.com")
    ways = ("https://mail.example.com/unsubscribe/abc234", "mailto:u+abc234@b.post.example.com?subject=unsubscribe")
    raw = front(OURS, "Joe", JOE, "abc234", feedback_to=fbl, unsubscribe=ways) + compose(draft())
    check_composed(raw)
    mail = read(raw)
    assert mail["CFBL-Address"] == "fbl@post.example.com; report=arf"
    assert mail["CFBL-Feedback-ID"] == mail["Homing-Trace"] == "abc234"
    assert mail["List-Unsubscribe"] == f"<{ways[0]}>, <{ways[1]}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize("way", ["https://x/ y", "https://x/>", "ftp://x/", "https://x/\r\nBcc: y", "", "https://x/é"])
def test_a_way_to_leave_is_one_uri(way):
    with pytest.raises(ComposeError):
        front(OURS, "Joe", None, "abc234", unsubscribe=["https://x/", way])


def test_the_gate_is_shut_for_two_ways_to_leave():
    own = (("List-Unsubscribe", "<https://app.example/leave>"),)
    raw = front(OURS, "Joe", None, "abc234", unsubscribe=["https://x/y"]) + compose(draft(headers=own))
    with pytest.raises(ComposeError, match="twice"):
        check_composed(raw)


@pytest.mark.parametrize("trace", ["", "a b", "a\r\nBcc: x", "a" * 201, "ä"])
def test_a_trace_is_one_token(trace):
    with pytest.raises(ComposeError):
        front(OURS, "Joe", None, trace)
