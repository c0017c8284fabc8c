"""A dead domain one slip away from one that everybody uses."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from homing.loop.domains.domain_typos import WELL_KNOWN, suggest

SLIPS = [
    ("gmial.com", "gmail.com"),
    ("gmai.com", "gmail.com"),
    ("gmaill.com", "gmail.com"),
    ("gnail.com", "gmail.com"),
    ("gmailcom", "gmail.com"),
    ("g.mail.com", "gmail.com"),
    ("gmail..com", "gmail.com"),
    ("GMAIL.CON", "gmail.com"),
    ("gmail.cmo.", "gmail.com"),
    ("gmail.co", "gmail.com"),
    ("gmail.om", "gmail.com"),
    ("gmail.comm", "gmail.com"),
    ("hotmial.com", "hotmail.com"),
    ("outlok.com", "outlook.com"),
    ("outloook.com", "outlook.com"),
    ("yaho.fr", "yahoo.fr"),
    ("iclould.com", "icloud.com"),
    ("gmx.dd", "gmx.de"),
    ("we.de", "web.de"),
    ("ornage.fr", "orange.fr"),
    ("yahoo.couk", "yahoo.co.uk"),
]


@pytest.mark.parametrize(("given_domain", "meant"), SLIPS)
def test_one_slip(given_domain: str, meant: str) -> None:
    assert suggest(given_domain) == meant


@pytest.mark.parametrize(
    "domain", ["corp.com", "gmali.con", "example.org", "", "mail", "mygmail.com", "xn--gmail-4ua.com"]
)
def test_no_suggestion(domain: str) -> None:
    assert suggest(domain) is None


@pytest.mark.parametrize("domain", WELL_KNOWN)
def test_a_well_known_domain_is_left_alone(domain: str) -> None:
    assert suggest(domain) is None
    assert suggest(f"{domain.upper()}.") is None


def test_the_list_is_one_of_domains_without_doubles() -> None:
    assert len(set(WELL_KNOWN)) == len(WELL_KNOWN) >= 80
    assert all(domain == domain.lower() and "." in domain for domain in WELL_KNOWN)


def _one_edit(one: str, other: str) -> bool:
    """The same question, answered by trying all edits."""
    letters = set(other)
    edits = {one[:i] + one[i + 1 :] for i in range(len(one))}
    edits |= {one[:i] + letter + one[i:] for i in range(len(one) + 1) for letter in letters}
    edits |= {one[:i] + letter + one[i + 1 :] for i in range(len(one)) for letter in letters}
    edits |= {one[:i] + one[i + 1] + one[i] + one[i + 2 :] for i in range(len(one) - 1)}
    return other in edits


@given(st.sampled_from(WELL_KNOWN[:20]), st.data())
def test_suggestions_are_exactly_the_domains_one_edit_away(meant: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(meant)))
    length = data.draw(st.integers(0, 2))
    wrong = meant[:place] + data.draw(st.text("abmgo.", max_size=2)) + meant[place + length :]
    assume(not wrong.endswith("."))
    expected = [known for known in WELL_KNOWN if _one_edit(wrong, known)] if wrong not in WELL_KNOWN else []
    assert suggest(wrong) == next(iter(expected), None)
