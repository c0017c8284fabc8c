"""Addresses: one strict reading (RFC 5321 §4.1.2, RFC 6531)."""

import json
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.address import Address, AddressError, domain_of, mailbox_of, parse_address
from homing.mail.characters import find_hidden, mixed_script
from tests.data import HOSTILE_INPUTS

_CASES = json.loads((HOSTILE_INPUTS / "api" / "addresses.json").read_text())


@pytest.mark.parametrize("text", _CASES["accept"])
def test_good_addresses_are_accepted(text):
    assert str(parse_address(text)) == text


@pytest.mark.parametrize("text", _CASES["reject"], ids=ascii)
def test_bad_addresses_are_refused(text):
    with pytest.raises(AddressError) as refusal:
        parse_address(text)
    assert refusal.value.code.startswith("address-")


@pytest.mark.parametrize("text", _CASES["confusable"], ids=ascii)
def test_confusables_are_accepted_and_detected(text):
    assert parse_address(text)
    assert mixed_script(text)


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("Joe@EXAMPLE.Com", "Joe", "example.com"),
        ('"joe"@example.com', "joe", "example.com"),
        ('"jo\\e"@example.com', "joe", "example.com"),
        ('"a\\"b"@example.com', 'a"b', "example.com"),
        ('"a@b"@example.com', "a@b", "example.com"),
        ('"a..b"@example.com', "a..b", "example.com"),
        ("jo@bücher.example", "jo", "xn--bcher-kva.example"),
        ("jo@BÜCHER.example", "jo", "xn--bcher-kva.example"),
        ("jo@straße.example", "jo", "xn--strae-oqa.example"),
        ("jörg@example.com", "jörg", "example.com"),
        ("jo\u0308rg@example.com", "jörg", "example.com"),
        ("用户@例子.广告", "用户", "xn--fsqu00a.xn--4rr70v"),
        ("a" * 64 + "@example.com", "a" * 64, "example.com"),
        ("jo@xn--", None, None),
        ("jo@xn--a.example", None, None),
        ("jo@XN--bcher-KVA.example", "jo", "xn--bcher-kva.example"),
    ],
)
def test_what_an_address_means(text, local, domain):
    if local is None:
        with pytest.raises(AddressError):
            parse_address(text)
    else:
        assert parse_address(text) == Address(local, domain)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "address-empty"),
        ("joe", "address-syntax"),
        ("joe@", "address-domain"),
        ('""@example.com', "address-syntax"),
        ('"a"b@example.com', "address-syntax"),
        ('"a\\"@example.com', "address-syntax"),
        ('"-x"@example.com', "address-local-part"),
        ('"|x"@example.com', "address-local-part"),
        ("a@10.0.0.0x1", "address-domain"),
        ("a@１２７.0.0.1", "address-domain"),
        ("a@ex_ample.com", "address-domain"),
        ("a@ex ample.com", "address-domain"),
        ("a@example．com", "address-domain"),
        ("a@example.com\x7f", "address-character"),
        ("a@exam\u00adple.com", "address-character"),
        ("a\u00a0b@example.com", "address-character"),
        ("a\u3164@example.com", "address-character"),
        ("\ud800@example.com", "address-character"),
        ("a\u037eb@example.com", "address-syntax"),
        ("ö" * 33 + "@example.com", "address-too-long"),
        ('"' + "a" * 62 + '."@example.com', "address-too-long"),
        ("a" * 100_000, "address-too-long"),
        ("a@" + "é" * 60 + ".com", "address-domain"),
        ("a@b.example,c@d.example", "address-syntax"),
    ],
    ids=ascii,
)
def test_each_refusal_has_a_code(text, code):
    with pytest.raises(AddressError) as refusal:
        parse_address(text[:2000] if code != "address-too-long" else text)
    assert refusal.value.code == code


def test_length_counts_octets_of_the_whole():
    domain = ".".join(["b" * 60] * 3) + ".example"
    room = 254 - len(domain) - 1
    assert parse_address("a" * room + "@" + domain)
    with pytest.raises(AddressError) as refusal:
        parse_address("a" * (room + 1) + "@" + domain)
    assert refusal.value.code == "address-too-long"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jo@xn--bcher-kva.example", "jo@bücher.example"),
        ("jo@\u0430pple.example", "jo@xn--pple-43d.example"),
        ('"a b"@example.com', '"a b"@example.com'),
    ],
)
def test_shown_form_never_shows_a_mixed_label(text, shown):
    assert parse_address(text).shown == shown


def test_comparison_folds_case_and_keeps_the_spelling():
    address = parse_address("Joe.Bloggs@Example.com")
    assert address.folded == "joe.bloggs@example.com"
    assert str(address) == "Joe.Bloggs@example.com"
    assert not address.needs_smtputf8
    assert parse_address("jörg@example.com").needs_smtputf8
    assert not parse_address("jo@bücher.example").needs_smtputf8


@pytest.mark.parametrize("text", ["Joe Bloggs", "Иван Petrov", "東京タワー", "東京 Tower店", "Zoë", "ªº µ", "Ελένη"])
def test_honest_names_do_not_mix_scripts(text):
    assert not mixed_script(text)


@pytest.mark.parametrize("text", ["p\u0430ypal", "Micr\u03bfsoft", "аррle-x", "g\u043eogle2"])
def test_look_alikes_mix_scripts(text):
    assert mixed_script(text)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("john@نامه\u200cای.com", "xn--mgba3gch31f060k.com"),
        ("john@ශ්\u200dරී.lk", "xn--10cl1a0b660p.lk"),
        ("نامه\u200cای@example.com", "example.com"),
    ],
    ids=ascii,
)
def test_joiners_that_the_script_has_are_part_of_an_address(text, domain):
    address = parse_address(text)
    assert address.domain == domain
    assert address.shown == text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("jo\u200dhn@example.com", "U+200D ZERO WIDTH JOINER, character 3"),
        ("john@ex\u200cample.com", "U+200C ZERO WIDTH NON-JOINER, character 8"),
        ("john@نامه\u200c.com", "U+200C ZERO WIDTH NON-JOINER, character 10"),
        ("👨\u200d👩@example.com", "U+200D ZERO WIDTH JOINER, character 2"),
        ("john\u202e@example.com", "U+202E RIGHT-TO-LEFT OVERRIDE, character 5"),
        ("john@exam\u00adple.com", "U+00AD SOFT HYPHEN, character 10"),
        ("john\u200f@example.com", "U+200F RIGHT-TO-LEFT MARK, character 5"),
    ],
    ids=ascii,
)
def test_what_an_address_hides_is_named_with_its_place(text, place):
    with pytest.raises(AddressError, match=rf": {re.escape(place)}\.$") as refusal:
        parse_address(text)
    assert refusal.value.code == "address-character"


_ATOM = st.text(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{}~-äж", min_size=1, max_size=8)
_LOCALS = st.one_of(
    st.lists(_ATOM, min_size=1, max_size=4).map(".".join),
    st.text(st.sampled_from([chr(code) for code in range(32, 127)] + ["ü", "例"]), min_size=1, max_size=24),
)
_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(lambda label: label[2:4] != "--")
_DOMAINS = st.tuples(st.lists(_LABELS, min_size=1, max_size=4).map(".".join), st.sampled_from(["com", "example"]))


@given(_LOCALS.filter(lambda local: local[0] not in "-|"), _DOMAINS.map(".".join))
def test_reading_what_we_wrote_gives_the_same_address(local, domain):
    address = Address(local, domain)
    assert parse_address(str(address)) == address


@given(st.text())
def test_any_text_is_an_address_or_an_error(text):
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(str(address)) == address
    assert find_hidden(address.shown) is None


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("john@Example.COM", "example.com"),
        ('"a@b"@example.com', "example.com"),
        ("postmaster", ""),
        ("john@", ""),
        ("@example.com", "example.com"),
        ("", ""),
    ],
)
def test_the_domain_of_an_address(address, domain):
    assert domain_of(address) == domain


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("Janet@Example.com", "janet@example.com"),
        ("janet+x@example.com", "janet@example.com"),
        ("janet+x+y@example.com", "janet@example.com"),
        ("j.roe@example.com", "j.roe@example.com"),
        ("j.r.oe+x@gmail.com", "jroe@gmail.com"),
        ("jroe@googlemail.com", "jroe@gmail.com"),
        ("+x@example.com", "+x@example.com"),
        ('"janet roe+x"@example.com', "janet roe@example.com"),
        ("+442079460001", "+442079460001"),
    ],
)
def test_mailboxes_to_count_by(address, mailbox):
    assert mailbox_of(address) == mailbox
