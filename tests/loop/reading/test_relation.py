"""Whose failure a report tells of, by the address in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.reading.relation import Relation, relation
from homing.mail.dsn import read_recipient

SAME, REWRITTEN, OTHER = Relation

TABLE = [
    ("john@corp.com", "rfc822; john@corp.com", SAME),
    ("john@corp.com", "rfc822; JOHN@Corp.COM", SAME),
    ("john@xn--bcher-kva.com", r"utf-8; john@b\x{FC}cher.com", SAME),
    ("john@xn--bcher-kva.com", "utf-8; john@bücher.com", SAME),
    ("john@xn--bcher-kva.com", "rfc822; john@BÜCHER.com", SAME),
    ("jörg@corp.com", r"utf-8; j\x{F6}rg@corp.com", SAME),
    ("jörg@corp.com", "utf-8; jo\u0308rg@corp.com", SAME),
    ('"john..doe"@corp.com', "rfc822; john..doe@corp.com", SAME),
    ('"john doe"@corp.com', r'rfc822; "john\ doe"@corp.com', SAME),
    ("john@corp.com", 'rfc822; "john"@corp.com', SAME),
    ("john@corp.com", "rfc822; john@corp.com.", SAME),
    ("john@corp.com", "rfc822; @relay.corp.com:john@corp.com", SAME),
    ("john@corp.com", "rfc822; <@a.org,@b.org:john@corp.com>", SAME),
    ("john@corp.com", "rfc822; mailto:john@corp.com", SAME),
    ("john@corp.com", "rfc822; SMTP:john@corp.com", SAME),
    ("john@corp.com", "rfc822; john@CORP.COM;", SAME),
    ("john+crm@corp.com", "rfc822;john+2Bcrm@corp.com", SAME),
    ("john=x@corp.com", "rfc822;john+3Dx@corp.com", SAME),
    ("john+crm@corp.com", "rfc822; john@corp.com", REWRITTEN),
    ("john@corp.com", "rfc822; john+lists@corp.com", REWRITTEN),
    ("john@corp.com", "rfc822; john@mail.corp.com", REWRITTEN),
    ("john+crm@corp.com", "rfc822; John@mx1.mail.corp.com", REWRITTEN),
    ("john@corp.com", "rfc822; john@corp.onmicrosoft.com", REWRITTEN),
    ("john@corp.com", "rfc822; john@corp.mail.onmicrosoft.com", REWRITTEN),
    ("john@corp.com", "rfc822; IMCEAEX-_O=EXCH_OU=FIRST+20SITE_CN=RECIPIENTS_CN=john@corp.com", REWRITTEN),
    ("john@corp.com", "rfc822; IMCEASMTP-john+40corp+2Ecom@hub.example", REWRITTEN),
    ("john@corp.com", "rfc822; john", REWRITTEN),
    ("john@corp.com", "rfc822; john@server", REWRITTEN),
    ("john@corp.com", "rfc822; jane@server", OTHER),
    ("john@corp.com", "rfc822; jdoe@corp.com", OTHER),
    ("john@corp.com", "rfc822; jdoe@corp.onmicrosoft.com", OTHER),
    ("john@corp.com", "rfc822; john@else.com", OTHER),
    ("john@corp.com", "rfc822; john@notcorp.com", OTHER),
    ("john@mail.corp.com", "rfc822; john@corp.com", OTHER),
    ("list@corp.com", "rfc822; ghost@mx.corp.com", OTHER),
    ("john@corp.com", "rfc822; john.doe@corp.com", OTHER),
    ("john@corp.com", "rfc822; IMCEAEX-_O=EXCH_CN=jane@corp.com", OTHER),
    ("john@corp.com", "rfc822; IMCEAEX-_O=EXCH_CN=john@else.com", OTHER),
    ("john@corp.com", "rfc822; xjohn@corp.com", OTHER),
    ("+john@corp.com", "rfc822; +jane@corp.com", OTHER),
]


@pytest.mark.parametrize(("recipient", "field", "expected"), TABLE)
def test_whom_a_field_names(recipient: str, field: str, expected: Relation) -> None:
    assert relation(recipient, read_recipient(field)) is expected


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_has_an_answer(recipient: str, written: str) -> None:
    assert relation(recipient, written) in Relation
    assert relation(f"{recipient}@corp.com", f"{recipient}@else.com") is not Relation.REWRITTEN


@pytest.mark.parametrize("address", ["john@corp.com", '"a b"@corp.com', "jörg@xn--bcher-kva.com", "a+b@c.org"])
def test_every_address_is_its_own_spelling(address: str) -> None:
    assert relation(address, address) is Relation.SAME
    assert relation(address, f"<{address}>") is Relation.SAME
    assert relation(address, read_recipient(f"rfc822;{address}")) is Relation.SAME
