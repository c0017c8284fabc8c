"""Mail that comes in is held against SPF, DKIM and DMARC, and nothing in it can pretend to more."""

import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.authentication import Authentication, author_domain, vouched_by
from homing.mail.dkim import SigningKey, sign
from homing.mail.dkim_verification import Result, keys_of, verify
from homing.mail.dmarc import Vouched, evaluate
from homing.mail.dns_question import Ask, RecordType
from homing.mail.spf import SpfVerdict, check
from homing.mail.spf_record import SpfResult

from .answering import FAILS, Zones, run
from .test_dmarc import suffix_of

KEY = SigningKey("corp.com", "k1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
RAW = b"From: Joe <joe@corp.com>\r\nTo: a@post.acme.com\r\nSubject: hello\r\nDate: x\r\n\r\nHello.\r\n"
SIGNED = sign(RAW, KEY, 1_700_000_000, 1_800_000_000) + RAW
NOW = 1_750_000_000

AUTHORS = [
    (b"From: joe@corp.com", "corp.com"),
    (b"from : Joe <joe@Corp.COM>", "corp.com"),
    (b'From: "boss@bank.com" <joe@corp.com>', "corp.com"),
    (b"From: Joe (boss@bank.com (really)) <joe@corp.com>", "corp.com"),
    (b'From: "a\\"b@x.com" <"odd@name"@corp.com>', "corp.com"),
    (b"From: Joe\r\n <joe@corp.com>", "corp.com"),
    (b"From: a@corp.com, Bee <b@corp.com>", "corp.com"),
    ("From: joe@exämple.com".encode(), "xn--exmple-cua.com"),
    (b"From: a@corp.com, b@bank.com", None),
    (b"From: boss@bank.com <joe@corp.com>", None),
    (b"From: <boss@bank.com> <joe@corp.com>", None),
    (b"From: joe@corp.com\r\nFrom: boss@bank.com", None),
    (b"From: joe@corp.com\r\nfrom: joe@corp.com", None),
    (b"From: Joe", None),
    (b"From: joe@localhost", None),
    (b"From: joe@[192.0.2.1]", None),
    (b"From: joe@corp.com." + b"x" * 9000, None),
    (b"Sender: joe@corp.com", None),
    (b"", None),
]


@pytest.mark.parametrize(("head", "domain"), AUTHORS)
def test_the_author_domain_is_taken_only_without_doubt(head: bytes, domain: str | None) -> None:
    assert author_domain(head + b"\r\nTo: a@b.com\r\n\r\nFrom: other@other.com\r\n") == domain


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reading(raw: bytes) -> None:
    for mail in (raw, b"From:" + raw, b"DKIM-Signature:" + raw + b"\r\n\r\n"):
        author_domain(mail)
        verify(mail, run(keys_of(mail), Zones({})).get)


SIGNATURE = SIGNED.partition(b"\r\nFrom:")[0]
FLOODS = {
    "folded lines": RAW.replace(b"\r\nTo:", b"\r\nX: a\r\n" + b" x\r\n" * 250_000 + b"To:"),
    "fields that are read": (SIGNATURE + b"\r\n") * 8 + RAW.replace(b"\r\nTo:", b"\r\n" + b"To:\r\n" * 30_000 + b"To:"),
    "fields": (SIGNATURE + b"\r\n") * 8 + RAW.replace(b"\r\nTo:", b"\r\n" + b"X:\r\n" * 250_000 + b"To:"),
    "tags": SIGNATURE + b"; x=" * 250_000 + b"\r\n" + RAW,
    "names": SIGNATURE.replace(b"h=", b"h=" + b"x:" * 500_000) + b"\r\n" + RAW,
    "spaces": SIGNATURE + b" " * 1_000_000 + b"\r\n" + RAW,
    "brackets": b"From: " + b'<("' * 330_000 + b"\r\n\r\n",
    "empty lines": SIGNATURE + b"\r\n" + RAW + b"\r\n" * 500_000,
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_takes_no_longer_than_its_length(name: str) -> None:
    began = time.process_time()
    keys = run(keys_of(FLOODS[name]), Zones({}))
    verify(FLOODS[name], keys.get)
    author_domain(FLOODS[name])
    assert time.process_time() - began < 3.0


def test_keys_are_asked_for_once_and_a_failure_is_not_a_denial() -> None:
    name = "k1._domainkey.corp.com"
    twice = sign(RAW, KEY, 1_700_000_000, 1_800_000_000) + SIGNED
    zones = Zones({name: [("TXT", KEY.dns_record())]})
    keys = run(keys_of(twice), zones)
    assert zones.asked == [Ask(name, RecordType.TXT)]
    assert verify(SIGNED, keys.get, NOW).passed
    assert [one.result for one in verify(SIGNED, run(keys_of(SIGNED), Zones({})).get).signatures] == [Result.PERMERROR]
    (failed,) = verify(SIGNED, run(keys_of(SIGNED), Zones({name: [(FAILS, FAILS)]})).get).signatures
    assert (failed.result, failed.reason) == (Result.TEMPERROR, "the key could not be looked up: timeout")


def authenticated(raw: bytes, mail_from: str | None, zones: Zones) -> Authentication:
    spf = run(check("192.0.2.1", mail_from, "mx.corp.com"), zones)
    dkim = verify(raw, run(keys_of(raw), zones).get, NOW)
    author = author_domain(raw)
    dmarc = run(evaluate(author, vouched_by(spf, dkim), suffix_of), zones) if author else None
    return Authentication(spf=spf, dkim=dkim, dmarc=dmarc)


WORLD = {
    "corp.com": [("TXT", "v=spf1 ip4:192.0.2.1 -all")],
    "mx.corp.com": [("TXT", "v=spf1 a -all"), ("A", "192.0.2.1")],
    "_dmarc.corp.com": [("TXT", "v=DMARC1; p=reject")],
    "k1._domainkey.corp.com": [("TXT", KEY.dns_record())],
    "evil.org": [("TXT", "v=spf1 +all")],
}
OUTAGE = {name: [(FAILS, FAILS)] for name in WORLD}

SUMMARIES = [
    (SIGNED, "joe@corp.com", WORLD, "spf=pass(corp.com) dkim=pass(corp.com) dmarc=pass(corp.com)"),
    (SIGNED, None, WORLD, "spf=pass(mx.corp.com) dkim=pass(corp.com) dmarc=pass(corp.com)"),
    (RAW, None, WORLD, "spf=pass(mx.corp.com) dkim=none dmarc=pass(corp.com)"),
    (RAW, "thief@evil.org", WORLD, "spf=pass(evil.org) dkim=none dmarc=fail(corp.com)"),
    (SIGNED, "thief@evil.org", WORLD, "spf=pass(evil.org) dkim=pass(corp.com) dmarc=pass(corp.com)"),
    (SIGNED + b"P.S.\r\n", "thief@evil.org", WORLD, "spf=pass(evil.org) dkim=fail dmarc=fail(corp.com)"),
    (b"From: boss@bank.com\r\n" + SIGNED, "joe@corp.com", WORLD, "spf=pass(corp.com) dkim=fail dmarc=permerror"),
    (SIGNED, "joe@corp.com", OUTAGE, "spf=temperror(corp.com) dkim=temperror dmarc=temperror(corp.com)"),
    (RAW, "joe@nowhere.org", {}, "spf=none(nowhere.org) dkim=none dmarc=none(corp.com)"),
    (
        RAW.replace(b"joe@corp.com", b"joe@post.x.com"),
        "a@news.x.com",
        {"news.x.com": WORLD["corp.com"], "_dmarc.post.x.com": WORLD["_dmarc.corp.com"]},
        "spf=pass(news.x.com) dkim=none dmarc=fail/pass(post.x.com)",
    ),
    (RAW, "a@e\u202evil.\x1b[31morg", WORLD, "spf=none(evil.org) dkim=none dmarc=fail(corp.com)"),
]


@pytest.mark.parametrize(
    ("raw", "mail_from", "world", "summary"), SUMMARIES, ids=[str(n) for n in range(len(SUMMARIES))]
)
def test_the_summary_says_what_was_found(
    raw: bytes, mail_from: str | None, world: dict[str, list[tuple[str, str]]], summary: str
) -> None:
    assert authenticated(raw, mail_from, Zones(world)).summary == summary


def test_only_a_pass_vouches() -> None:
    softfail = SpfVerdict(result=SpfResult.SOFTFAIL, domain="corp.com")
    assert vouched_by(softfail, verify(SIGNED, {}.get)) == Vouched()
