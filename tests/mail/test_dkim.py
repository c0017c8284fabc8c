"""DKIM: sign and verify (RFC 6376, RFC 8463), with dkimpy as an independent second opinion."""

import json
import random
import re

import dkim as dkimpy
import dkim.canonicalization as dkimpy_canon
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.dkim import SIGNED_HEADERS, DkimError, SigningKey, body_hash, relaxed_headers, sign
from homing.mail.dkim_body import relaxed_body
from homing.mail.dkim_verification import Result, verify
from tests.data import RFC8463

SIGNED_AT, EXPIRES_AT = 1_700_000_000, 3_000_000_000  # dkimpy holds them against its own clock
RSA_KEY = SigningKey.generate("post.example.com", "k1")
ED25519_KEY = SigningKey("post.example.com", "k2", Ed25519PrivateKey.generate())
KEYS = [RSA_KEY, ED25519_KEY]

HEADERS = {
    "From": '"Joe Bloggs" <message-service@post.example.com>',
    "Reply-To": "joe@example.net",
    "To": "John <john@example.org>",
    "Cc": "Ann <ann@example.org>,\r\n Bob <bob@example.org>",
    "Subject": "Your   invoice\r\n\tof today",
    "Date": "Mon, 21 Sep 2026 10:00:00 +0000",
    "Message-ID": "<m1@post.example.com>",
    "In-Reply-To": "<q1@example.org>",
    "References": "<q0@example.org> <q1@example.org>",
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Transfer-Encoding": "7bit",
    "List-Unsubscribe": "<https://post.example.com/u/1>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    "Auto-Submitted": "auto-generated",
    "Homing-Trace": "abcdefg",
    "CFBL-Address": "fbl@post.example.com; report=arf",
    "CFBL-Feedback-ID": "abcdefg",
    "Feedback-ID": "spring:acme:news:homing",
}
BODY = b"Dear John,\r\n\r\nhere  is\tyour invoice. \r\n\r\nJoe\r\n\r\n\r\n"


def message(headers=HEADERS, body=BODY):
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n" + body


def zone(name):
    return {key.dns_name: key.dns_record() for key in KEYS}.get(name)


def ours(raw):
    return verify(raw, zone).passed


def theirs(raw):
    def lookup(name, timeout=5):
        record = zone(name.decode().rstrip("."))
        return record and record.encode()

    try:
        return dkimpy.DKIM(raw).verify(0, dnsfunc=lookup)
    except dkimpy.DKIMException:
        return False


def signed(key=RSA_KEY, headers=HEADERS, body=BODY):
    raw = message(headers, body)
    return sign(raw, key, SIGNED_AT, EXPIRES_AT) + raw


def test_our_own_table_of_headers_is_whole():
    assert set(HEADERS) == set(SIGNED_HEADERS)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_both_verifiers_accept_what_we_sign(key):
    raw = signed(key)
    verification = verify(raw, zone, now=SIGNED_AT)
    assert verification.passed
    assert verification.passed_for("post.example.com")
    assert not verification.passed_for("example.com")
    assert theirs(raw)


@pytest.mark.parametrize(
    "body", [b"", b"\r\n", b" \r\n \r\n", b"a", b"a \t\r\n", b"\r\n\r\na\r\n", b"." * 998 + b"\r\n"]
)
def test_bodies_at_the_edge(body):
    raw = signed(body=body)
    assert ours(raw)
    assert theirs(raw)


def test_a_message_of_few_headers():
    headers = {name: HEADERS[name] for name in ("From", "Date", "Message-ID")}
    assert ours(signed(headers=headers))
    assert theirs(signed(headers=headers))


@pytest.mark.parametrize("name", SIGNED_HEADERS)
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_no_signed_header_can_be_changed_or_removed(key, name):
    raw = signed(key)
    line = f"\r\n{name}: {HEADERS[name]}\r\n".encode()
    assert line in raw
    for changed in (line.replace(b": ", b": x", 1), b"\r\n"):
        assert not ours(raw.replace(line, changed, 1))
        assert not theirs(raw.replace(line, changed, 1))


@pytest.mark.parametrize("name", SIGNED_HEADERS)
@pytest.mark.parametrize("present", [True, False])
def test_no_signed_header_can_be_added(name, present):
    headers = HEADERS if present else {other: value for other, value in HEADERS.items() if other in ("From", "Date")}
    raw = signed(headers=headers)
    extra = f"{name}: extra\r\n".encode()
    head, separator, body = raw.partition(b"\r\n\r\n")
    for changed in (extra + raw, head + b"\r\n" + extra.removesuffix(b"\r\n") + separator + body):
        assert not ours(changed)
        assert not theirs(changed)


def test_of_equal_names_the_lowest_is_signed_first():
    raw = message().replace(b"To: John", b"To: Ann <ann@example.org>\r\nTo: John")
    raw = sign(raw, RSA_KEY, SIGNED_AT, EXPIRES_AT) + raw
    assert ours(raw)
    assert theirs(raw)


def test_other_headers_can_be_added_on_the_way():
    raw = b"Received: from a by b; Mon, 21 Sep 2026 10:00:01 +0000\r\n" + signed()
    assert ours(raw)
    assert theirs(raw)


@pytest.mark.parametrize("changed", [BODY + b"PS\r\n", BODY.replace(b"invoice", b"1nvoice"), b"", BODY[:-30]])
def test_the_body_cannot_be_changed(changed):
    raw = signed().replace(BODY, changed)
    assert not ours(raw)
    assert not theirs(raw)


def test_relaxed_means_that_white_space_may_change():
    raw = (
        signed()
        .replace(b"here  is\tyour invoice. ", b"here is \t your invoice.")
        .replace(b"invoice\r\n\tof", b"invoice of")
    )
    assert ours(raw)
    assert theirs(raw)


def test_the_header_is_deterministic_short_lined_and_without_a_length():
    header = sign(message(), RSA_KEY, SIGNED_AT, EXPIRES_AT)
    assert header == sign(message(), RSA_KEY, SIGNED_AT, EXPIRES_AT)
    assert header.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n")
    assert header.endswith(b"\r\n")
    assert max(map(len, header.split(b"\r\n"))) <= 78
    assert not re.search(rb"[;\s]l=", header)
    assert f"t={SIGNED_AT}; x={EXPIRES_AT};".encode() in header
    names = re.search(rb"h=([^;]*);", header)[1].replace(b"\r\n\t ", b"").decode().split(":")
    assert all(names.count(name.lower()) == 2 for name in SIGNED_HEADERS)


def test_the_body_hash_is_the_same_whatever_stands_in_front():
    plain = b"Subject: x\r\n\r\nHello \t there\r\n\r\n\r\n"
    assert body_hash(plain) == body_hash(b"From: joe@bloggs.com\r\nHoming-Trace: t\r\n" + plain)
    assert body_hash(plain) != body_hash(plain + b"more\r\n")
    assert body_hash(b"Subject: no body\r\n") == body_hash(b"Subject: x\r\n\r\n")


def test_a_known_body_hash_gives_the_same_signature():
    assert sign(message(), RSA_KEY, 1, 2, body_hash(message())) == sign(message(), RSA_KEY, 1, 2)


# --- the oracle ------------------------------------------------------------------------------------------------------


def random_bodies(seed, count):
    dice = random.Random(seed)
    pieces = [b" ", b"  ", b"\t", b"\r\n", b"\r\n", b"\r\n\r\n", b" \r\n", b"\t\r\n", b"a", b"bc", b"\r", b"\n", b"."]
    for _ in range(count):
        yield b"".join(dice.choices(pieces, k=dice.randrange(24))) + b"\r\n"


@pytest.mark.parametrize(("body", "canonical"), [(b"a \t", b"a\r\n"), (b" \t", b""), (b"a\r\n ", b"a\r\n")])
def test_a_last_line_without_its_end_is_given_one(body, canonical):
    assert relaxed_body(body) == canonical


def differences(seed, count):
    return [
        body
        for body in random_bodies(seed, count)
        if relaxed_body(body) != dkimpy_canon.Relaxed.canonicalize_body(body)
    ]


def test_many_bodies_are_canonicalised_as_by_dkimpy():
    assert differences("bodies", 100_000) == []


def random_headers(seed, count):
    dice = random.Random(seed)
    names = [b"From", b"subject", b"X-Ticket", b"DKIM-Signature", b"To ", b"Cc\t", b"A"]
    pieces = [b" ", b"  ", b"\t", b"\r\n ", b"\r\n\t", b" \r\n  ", b":", b"a", b"bc", b";", b"\xc3\xbc", b"=?"]
    for _ in range(count):
        yield [(dice.choice(names), b"".join(dice.choices(pieces, k=dice.randrange(12)))) for _ in range(3)]


def header_differences(seed, count):
    return [
        headers
        for headers in random_headers(seed, count)
        if relaxed_headers(b"\r\n".join(name + b":" + value for name, value in headers))
        != [
            (name, name + b":" + value.removesuffix(b"\r\n"))
            for name, value in dkimpy_canon.Relaxed.canonicalize_headers(
                [(name, value + b"\r\n") for name, value in headers]
            )
        ]
    ]


def test_many_headers_are_canonicalised_as_by_dkimpy():  # three in each block
    assert header_differences("headers", 34_000) == []


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}[ \t]{0,2}", fullmatch=True),
            st.lists(st.text("ab:; \t", max_size=6), min_size=1, max_size=4).map("\r\n ".join),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_headers_are_canonicalised_as_by_dkimpy(headers):
    head = "\r\n".join(f"{name}:{value}" for name, value in headers).encode()
    expected = dkimpy_canon.Relaxed.canonicalize_headers(
        [(name.encode(), value.encode() + b"\r\n") for name, value in headers]
    )
    assert relaxed_headers(head) == [(name, name + b":" + value.removesuffix(b"\r\n")) for name, value in expected]


@pytest.mark.parametrize("by", [(b"relaxed", b"simple"), (b"simple", b"relaxed"), (b"simple", b"simple")])
def test_we_verify_what_dkimpy_signs(by):
    raw = message()
    header = dkimpy.sign(raw, b"k1", b"post.example.com", RSA_KEY.pem(), canonicalize=by)
    assert ours(header + raw)
    assert not ours(header + raw.replace(b"Dear", b"dear"))
    assert not ours(header + raw.replace(b"John <", b"Jim <"))


@pytest.mark.parametrize("lines", [b"\r\n", b"\n"])
def test_the_example_of_rfc_8463_verifies(lines):
    records = json.loads((RFC8463 / "dns.json").read_text())
    raw = (RFC8463 / "signed.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", lines)

    def lookup(name):
        return "".join(records[name]["TXT"][0]) if name in records else None

    verification = verify(raw, lookup)
    if lines == b"\n":
        assert not verification.passed
        return
    assert [(one.algorithm, one.result) for one in verification.signatures] == [
        ("ed25519-sha256", Result.PASS),
        ("rsa-sha256", Result.PASS),
    ]
    assert not verify(raw.replace(b"Is dinner", b"Was dinner"), lookup).passed


# --- what a verifier must refuse -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"v=1;", b"v=2;", "version"),
        (b"a=rsa-sha256", b"a=rsa-sha1", "version"),
        (b"s=k1;", b"s=k9;", "no key"),
        (b"s=k1;", b"s=k2;", "another kind"),
        (b"s=k1;", b"", "s= is missing"),
        (b"s=k1;", b"s=k1; s=k1;", "malformed"),
        (b"s=k1;", b"s=k1; l=10;", "l="),
        (b"s=k1;", b"s=k1; i=@example.com;", "i="),
        (b"h=from:from:", b"h=", "From is not signed"),
        (b"c=relaxed/relaxed", b"c=nofws", "canonicalisation"),
        (b"t=1700000000", b"t=17900x", "t= is malformed"),
        (b"x=3000000000", b"x=1690600000", "expires before"),
        (b"bh=", b"bh=*", "bh= is malformed"),
    ],
)
def test_bad_signatures_are_explained(old, new, reason):
    raw = signed()
    assert old in raw
    (signature,) = verify(raw.replace(old, new, 1), zone).signatures
    assert signature.result is Result.PERMERROR
    assert reason in signature.reason


@pytest.mark.parametrize(
    ("record", "result"),
    [
        (None, Result.PERMERROR),
        ("v=DKIM1; k=rsa; p=", Result.PERMERROR),
        ("v=DKIM1; k=rsa; p=AAAA", Result.PERMERROR),
        ("v=DKIM2; " + RSA_KEY.dns_record()[10:], Result.PERMERROR),
        (RSA_KEY.dns_record() + "; h=sha1", Result.PERMERROR),
        (RSA_KEY.dns_record() + "; s=tlsrpt", Result.PERMERROR),
        (ED25519_KEY.dns_record(), Result.PERMERROR),
        (SigningKey.generate("x.example", "k").dns_record(), Result.FAIL),
        (RSA_KEY.dns_record() + "; t=y; n=note", Result.PASS),
        (RSA_KEY.dns_record().partition("; ")[2], Result.PASS),
    ],
    ids=["none", "revoked", "broken", "version", "hash", "service", "other-kind", "other-key", "noted", "no-version"],
)
def test_published_keys(record, result):
    (signature,) = verify(signed(), lambda name: record).signatures
    assert signature.result is result


def test_an_expired_signature_fails():
    raw = signed()
    assert verify(raw, zone, now=EXPIRES_AT).passed
    assert not verify(raw, zone, now=EXPIRES_AT + 1).passed


def test_only_the_first_signatures_are_worked_on():
    header = sign(message(), RSA_KEY, SIGNED_AT, EXPIRES_AT)
    assert len(verify(header * 50 + message(), zone).signatures) == 8


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_bytes_give_a_verdict(value, rest):
    verify(b"DKIM-Signature:" + value + b"\r\n" + rest, lambda name: "k=rsa; p=AAAA")
    verify(rest, zone)


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_keys_survive_storage(key):
    again = SigningKey.load(key.pem(), key.domain, key.selector)
    assert again.dns_record() == key.dns_record()
    assert sign(message(), again, 1, 2) == sign(message(), key, 1, 2)
    assert "PRIVATE" not in repr(again)


def test_a_new_key_is_rsa_2048_at_its_name():
    assert RSA_KEY.private_key.key_size == 2048
    assert RSA_KEY.dns_name == "k1._domainkey.post.example.com"
    assert RSA_KEY.dns_record().startswith("v=DKIM1; k=rsa; p=MIIB")
    assert re.fullmatch(r"v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}=", ED25519_KEY.dns_record())


def test_bad_keys_are_refused():
    elliptic = generate_ec(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for pem in (b"", b"nonsense", RSA_KEY.pem()[:-100], elliptic):
        with pytest.raises(DkimError):
            SigningKey.load(pem, "example.com", "k1")
    for domain, selector in (("example.com", "k1; x=1"), ("example.com\r\n", "k1"), ("", "k1"), ("example.com", "K1")):
        with pytest.raises(DkimError):
            SigningKey.load(RSA_KEY.pem(), domain, selector)
