"""Whatever is broken in a zone: what the doctor offers for it, once published, leaves no error and lets everybody in.

Valid records are damaged at random, as people damage them; pyspf, other people's program, has the last word.
"""

import re
from typing import Any

import pytest
import spf as pyspf
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.doctor.finding import Outcome
from homing.mail.dmarc_record import Policy, read_dmarc

from .examined import Records
from .test_offers import AT, KEY, D, Published, examined, offered, report, with_offers, zone

pytestmark = pytest.mark.slow

SENDERS = ("44.0.0.10", "44.0.0.11", "2001:4860::7")
MANY: Records = [("MX", f"10 h{number}.many.{D}.") for number in range(12)]
BELOW: dict[str, Records] = {
    "i": [("TXT", "v=spf1 ip4:44.1.0.0/24 -all")],
    "two": [("TXT", "v=spf1 ip4:44.2.0.1 -all"), ("TXT", "v=spf1 ip4:44.2.0.2 -all")],
    "slip": [("TXT", "v=spf1 ipv4:44.3.0.1 -all")],
    "deep": [("TXT", f"v=spf1 include:none.{D} ip4:44.4.0.1 ~all")],
    "back": [("TXT", f"v=spf1 include:{D} ip4:44.5.0.1 -all")],
    "none": [("TXT", "hello")],
    "a": [("A", "44.6.0.1"), ("AAAA", "2001:4860::8")],
    "many": MANY,
    **{f"h{number}__many": [("A", f"45.0.0.{number}")] for number in range(12)},
}
TERMS = [
    *(f"ip4:{ip}" for ip in SENDERS[:2]),
    f"ip6:{SENDERS[2]}",
    "ip4:44.7.0.0/24",
    "mx",
    f"a:a.{D}",
    f"include:i.{D}",
    f"exists:%{{i}}.ok.{D}",
]
FAULTY_TERMS = [
    "ip4:44.8.0.0/33",
    "ip4:44.0.0.10;",
    "ipv4:44.0.0.11",
    "ip4:10.0.0.1",
    "ip6:fe80::1",
    "ptr",
    "ip4=44.0.0.11",
    "all=no",
    "+all",
    "?all",
    "a:-bad..name",
    "nonsense",
    "exp=a.net",
    "exp=b.net",
    f"a:gone.{D}",
    "mx:gone.net",
    "include:gone.net",
    "include:a..net",
    *(f"{kind}{name}.{D}" for name in ("two", "slip", "deep", "back", "none") for kind in ("include:", "redirect=")),
    f"mx:many.{D}",
    *(f"a:a.{D}" for _ in range(11)),
]


@st.composite
def spf_texts(draw: st.DrawFn) -> list[str]:
    """One or two SPF records, damaged."""
    texts = []
    for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
        terms = draw(st.lists(st.sampled_from(TERMS), max_size=5))
        terms += draw(st.lists(st.sampled_from(FAULTY_TERMS), max_size=4))
        terms = draw(st.permutations(terms))
        terms.insert(draw(st.integers(0, len(terms))), draw(st.sampled_from(("-all", "~all", "mx"))))
        gaps = [draw(st.sampled_from((" ", " ", " ", " ", "  ", "", ",", "; "))) for _ in terms]
        texts.append("v=spf1" + "".join(gap + term for gap, term in zip([" ", *gaps], terms, strict=False)))
    return texts


@st.composite
def dmarc_texts(draw: st.DrawFn) -> list[str]:
    """One or two DMARC records, damaged."""
    tags = [
        draw(st.sampled_from(("p=none", "p=quarantine", "p=reject", "p=block", "p=", "p:reject"))),
        *draw(
            st.lists(
                st.sampled_from(
                    [
                        *(f"rua=mailto:r@{D}", f"rua=a@{D}", f"rua=mailto: b@{D}, mailto:c@{D}", "nonsense", "x=1"),
                        *("sp=none", "sp=x", "np=reject", "pct=50", "pct=200", "adkim=s", "aspf=q", "t=y", "psd=y"),
                        *("fo=1", "rf=afrf"),
                    ]
                ),
                max_size=6,
            )
        ),
    ]
    texts = []
    for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
        version = draw(st.sampled_from(("v=DMARC1", "v=DMARC1", "v=dmarc1", "V = DMARC1")))
        ordered = draw(st.permutations(tags))
        texts.append(version + "".join(draw(st.sampled_from(("; ", ";", " ", "; ;"))) + tag for tag in ordered))
    return texts


@st.composite
def key_texts(draw: st.DrawFn) -> list[str]:
    """A DKIM record, damaged; perhaps twice, perhaps beside one that is revoked."""
    key = draw(st.sampled_from((KEY, KEY, KEY[:30] + " " + KEY[30:], f'{KEY[:9]}" "{KEY[9:]}', "", "AAAA", KEY[:-8])))
    tags = draw(st.lists(st.sampled_from(("t=y", "t=s", "t=y:s", "s=other", "h=sha1", "k=rsa", "k=dsa", "n=ours"))))
    ordered = draw(st.permutations([*tags, f"p={key}"]))
    text = draw(st.sampled_from(("; ", ";", " "))).join([*draw(st.sampled_from((["v=DKIM1"], []))), *ordered])
    return [text, *draw(st.sampled_from(([], [], [f"v=DKIM1; p={KEY}"])))]


def of(published: Published, family: str, *egress: str) -> tuple[Published, dict[str, list[str]], list[str]]:
    """The zone with what is offered, what that is, and the checks of a family that are still broken then."""
    found = report(examined(*egress), published, family)
    after = with_offers(published, found)
    again = report(examined(*egress), after, family)
    broken = [one.check for one in again.values() if one.check.startswith(family) and one.outcome is Outcome.BROKEN]
    return after, offered(found), broken


def by_pyspf(published: Published, ip: str) -> str:
    def look_up(name: str, kind: str, *_: Any, **__: Any) -> list[Any]:
        records = published.get(name.rstrip(".").lower(), [])
        return [((name, kind), _as_pyspf_has_it(kind, text)) for one, text in records if one == kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyspf, "DNSLookup", look_up)
        result, *_ = pyspf.check2(ip, f"doctor@{D}", D)
    return str(result)


def _as_pyspf_has_it(kind: str, text: str) -> object:
    if kind == "MX":
        preference, host = text.split()
        return int(preference), host.rstrip(".")
    return (text.encode(),) if kind == "TXT" else text


@given(spf_texts(), st.sets(st.sampled_from(SENDERS), min_size=1))
def test_spf(texts: list[str], egress: set[str]) -> None:
    published = zone(*texts, **BELOW)
    after, values, broken = of(published, "SPF", *sorted(egress))
    assert broken == [], values
    for ip in egress:
        assert by_pyspf(after, ip) == "pass", values
    assert by_pyspf(after, "9.9.9.9") in ("fail", "softfail"), values


@given(spf_texts())
def test_spf_where_nobody_says_who_sends(texts: list[str]) -> None:
    published = zone(*texts, **BELOW)
    after, values, broken = of(published, "SPF")
    if values:
        assert broken == [], values
        assert by_pyspf(after, "9.9.9.9") in ("fail", "softfail"), values
        for ip in SENDERS:  # who was let in is not shut out
            if by_pyspf(published, ip) == "pass" and "all" not in "".join(texts).replace("-all", "").replace(
                "~all", ""
            ):
                assert by_pyspf(after, ip) == "pass" or "ptr" in "".join(texts), values


@given(dmarc_texts())
def test_dmarc(texts: list[str]) -> None:
    published = zone("v=spf1 mx -all", dmarc=texts)
    _, values, broken = of(published, "DM")
    assert broken == []
    for value in values.get(f"_dmarc.{D}", []):
        read = read_dmarc(value)
        assert read is not None
        assert read.faults == ()
        strictest = [one for one in ("reject", "quarantine") if re.search(rf"\bp[=:]{one}", " ".join(texts))]
        assert read.policy is Policy((*strictest, "none")[0])
        assert (f"mailto:r@{D}" in value) >= any(f"r@{D}" in text for text in texts)


@given(key_texts())
def test_keys(texts: list[str]) -> None:
    published = zone("v=spf1 mx -all") | {AT: [("TXT", text) for text in texts]}
    _, values, broken = of(published, "DK")
    if AT in values:
        assert broken == []
        assert values[AT][0].endswith(f"p={KEY}")
    elif len(texts) == 1 and KEY in texts[0]:
        assert broken == []
