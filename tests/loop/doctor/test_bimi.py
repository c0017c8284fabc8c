"""The logo: what a picture and a certificate must be."""

from datetime import UTC, datetime

import pytest

from homing.loop.doctor.bimi import certificate_faults, picture_faults

from .certificates import FOR_SERVERS, mark_certificate

NOW = datetime(2026, 3, 2, tzinfo=UTC)


WELL = 'version="1.2" baseProfile="tiny-ps" viewBox="0 0 64 64"'


def picture(root: str = WELL, inside: str = "", title: str = "<title>Acme</title>", head: str = "") -> bytes:
    return f'{head}<svg xmlns="http://www.w3.org/2000/svg" {root}>{title}{inside}</svg>'.encode()


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (picture(), ""),
        (picture(inside='<g id="a"/><use href="#a"/>'), ""),
        (picture(root='version="1.1"'), 'version="1.2"'),
        (picture(title=""), "no <title>"),
        (picture(root='version="1.2" baseProfile="tiny-ps" x="0"'), "x= or y="),
        (picture(root='version="1.2" baseProfile="tiny-ps" viewBox="0 0 64 32"'), "not square"),
        (picture(inside="<script>1</script>"), "not allowed: script"),
        (picture(inside='<image href="data:image/png;base64,AA"/>'), "not allowed: image"),
        (
            picture(inside='<a xmlns:l="http://www.w3.org/1999/xlink" l:href="https://evil.com"/>'),
            "outside of it",
        ),
        (picture(inside=f"<!--{'x' * (32 * 1024 - len(picture(inside='<!---->')))}-->"), ""),
        (picture(inside=f"<!--{'x' * (32 * 1024 - len(picture(inside='<!---->')) + 1)}-->"), "32769 octets"),
        (picture(head='<!DOCTYPE svg [<!ENTITY a "aaaa">]>', inside="&a;"), "document type"),
        (picture(head='<!DOCTYPE svg SYSTEM "file:///etc/passwd">'), "document type"),
        (b"<svg><title>", "not well-formed"),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'/>", "is no SVG"),
        (b"", "not well-formed"),
        (b"\x1f\x8b\x08", "packed"),
    ],
)
def test_pictures(octets: bytes, words: str) -> None:
    faults = picture_faults(octets)
    assert words in "; ".join(faults)
    assert bool(faults) == bool(words)


@pytest.mark.parametrize(
    ("element", "why"),
    [
        ("script", "a logo runs nothing"),
        ("image", "it is drawn, and holds no pixels"),
        ("foreignObject", "it is SVG, and not HTML inside of SVG"),
        ("animate", "it stands still"),
        ("animateMotion", "it stands still"),
        ("animateTransform", "it stands still"),
        ("set", "it stands still: this changes it after a time"),
    ],
)
def test_what_no_logo_may_hold(element: str, why: str) -> None:
    """SVG Tiny PS leaves these out, and mailboxes show no logo with one of them."""
    assert picture_faults(picture(inside=f"<g><{element}/></g>")) == [f"holds what is not allowed: {element}"], why


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (mark_certificate("acme-mail.com"), ""),
        (mark_certificate("default._bimi.acme-mail.com"), ""),
        (mark_certificate("post.acme-mail.com"), ""),
        (mark_certificate("mail.com"), "is for mail.com"),
        (mark_certificate("acme-mail.com", usage=FOR_SERVERS), "not one for logos"),
        (mark_certificate("acme-mail.com", days=30), "ended on 2026-01-31"),
        (b"", "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_certificates(pem: bytes, words: str) -> None:
    faults = certificate_faults(pem, "post.acme-mail.com", NOW)
    assert words in "; ".join(faults)
    assert bool(faults) == bool(words)


def test_a_certificate_of_tomorrow() -> None:
    assert certificate_faults(mark_certificate("a.com"), "a.com", datetime(2025, 1, 1, tzinfo=UTC)) == [
        "does not hold yet"
    ]
