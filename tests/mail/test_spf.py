"""SPF as RFC 7208 has it: the conformance suite, and what it leaves out."""

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.spf import Explaining, SpfVerdict, check
from homing.mail.spf_record import SpfRecord, SpfResult, read_spf
from tests.corpora import CORPORA

from .answering import FAILS, Zones, run

DEFAULT = "DEFAULT"


def suite() -> list[Any]:
    """Nothing where the suite is absent."""
    file = CORPORA / "spf" / "rfc7208-tests.yml"
    documents = yaml.load_all(file.read_text(), yaml.CSafeLoader) if file.exists() else ()
    return [
        pytest.param(test, document["zonedata"], id=f"{document['description']}-{name}".replace(" ", "-"))
        for document in documents
        for name, test in document["tests"].items()
    ]


def zones_of(zonedata: dict[str, list[Any]]) -> Zones:
    """The suite's records. Its type SPF stands for TXT wherever a name has no TXT records of its own."""
    return Zones({name.rstrip("."): list(_records(entries)) for name, entries in zonedata.items()})


def _records(entries: list[Any]) -> list[tuple[str, str]]:
    if "TIMEOUT" in entries:
        entries = [entry for entry in entries if entry != "TIMEOUT"]
        return [*_records(entries), (FAILS, FAILS)]
    pairs = [next(iter(entry.items())) for entry in entries]
    kinds = {kind for kind, _ in pairs}
    records = []
    for kind, value in pairs:
        if kind == "SPF" and "TXT" in kinds:
            continue
        if kind in ("SPF", "TXT"):
            records.append(("TXT", value if isinstance(value, str) else "".join(value)))
        elif kind == "MX":
            records.append(("MX", f"{value[0]} {value[1]}."))
        else:
            records.append((kind, value))
    return [record for record in records if record != ("TXT", "NONE")]


@pytest.mark.corpora
@pytest.mark.parametrize(("test", "zonedata"), suite())
def test_the_conformance_suite(test: dict[str, Any], zonedata: dict[str, list[Any]]) -> None:
    verdict = run(check(str(test["host"]), test["mailfrom"], test["helo"], Explaining()), zones_of(zonedata))
    wanted = test["result"] if isinstance(test["result"], list) else [test["result"]]
    assert verdict.result in wanted, verdict
    if "explanation" in test:
        assert verdict.explanation == ("" if test["explanation"] == DEFAULT else test["explanation"])


FAULTS = [
    ("v=spf1 ip4:192.0.2.0/33 -all", ["ip4:192.0.2.0/33"]),
    ("v=spf1 ip4:192.0.2.256 -all", ["ip4:192.0.2.256"]),
    ("v=spf1 ip4=192.0.2.1 ipv4:192.0.2.1 -all", ["ipv4:192.0.2.1"]),
    ("v=spf1 ip6:192.0.2.1 ip4:2001:db8:: -all", ["ip6:192.0.2.1", "ip4:2001:db8::"]),
    ("v=spf1 ip6:fe80::1%eth0 -all", ["ip6:fe80::1%eth0"]),
    ("v=spf1 a:192.0.2.1 include all.", ["a:192.0.2.1", "include", "all."]),
    ("v=spf1 a/08 mx//129 exists:com", ["a/08", "mx//129", "exists:com"]),
    ("v=spf1 exp=a.com redirect=a.com exp=b.com redirect=b.com", ["redirect=b.com", "exp=b.com"]),
    (
        "v=spf1 a:%{x}.com a:%{d0}.com a:%(d) a:% a:%{c}.com",
        ["a:%{x}.com", "a:%{d0}.com", "a:%(d)", "a:%", "a:%{c}.com"],
    ),
    ("v=spf1 include:exämple.com", ["include:exämple.com"]),
    ("v=spf1 -all\tip4:192.0.2.1", ["-all\tip4:192.0.2.1"]),
    ("v=spf2.0/pra -all", ["v=spf2."]),
]


@pytest.mark.parametrize(("text", "terms"), FAULTS)
def test_every_fault_is_told_with_its_term(text: str, terms: list[str]) -> None:
    faults = read_spf(text)
    assert isinstance(faults, tuple)
    assert [fault.term for fault in faults] == terms
    assert all(fault.sentence.endswith(".") for fault in faults)


def test_a_record_is_read_whole() -> None:
    record = read_spf("V=SPF1  ip4:192.0.2.0/24 ~A:mx.corp.com/28//64 -ALL Redirect=corp.com exp=why.corp.com foo=bar ")
    assert isinstance(record, SpfRecord)
    assert [(one.name, one.qualifier, one.text) for one in record.mechanisms] == [
        ("ip4", SpfResult.PASS, "ip4:192.0.2.0/24"),
        ("a", SpfResult.SOFTFAIL, "~A:mx.corp.com/28//64"),
        ("all", SpfResult.FAIL, "-ALL"),
    ]
    assert (record.mechanisms[1].prefix4, record.mechanisms[1].prefix6) == (28, 64)
    assert record.redirect is not None
    assert record.redirect.value == ("corp.com",)
    assert record.explanation is not None
    assert [other.name for other in record.others] == ["foo"]


def verdict_of(records: dict[str, list[str]], mail_from: str = "a@corp.com", ip: str = "192.0.2.1") -> SpfVerdict:
    zones = {name: [tuple(record.split(" ", 1)) for record in texts] for name, texts in records.items()}
    return run(check(ip, mail_from, "mx.corp.com"), Zones(zones))  # type: ignore[arg-type]


def test_the_verdict_says_which_term_decided_and_why() -> None:
    verdict = verdict_of(
        {"corp.com": ["TXT v=spf1 include:_spf.host.com -all"], "_spf.host.com": ["TXT v=spf1 ip4:192.0.2.0/24 -all"]}
    )
    assert (verdict.result, verdict.domain, verdict.term) == (SpfResult.PASS, "corp.com", "include:_spf.host.com")
    assert verdict.reason == "192.0.2.1 is in 192.0.2.0/24, says _spf.host.com"
    assert (verdict.terms, verdict.voids) == (1, 0)


@pytest.mark.parametrize(
    ("records", "ip", "result", "reason"),
    [
        ({}, "192.0.2.1", "none", "corp.com has no SPF record"),
        ({"corp.com": ["TXT v=spf1 -all", "TXT v=spf1 +all"]}, "192.0.2.1", "permerror", "corp.com has 2 SPF records"),
        ({"corp.com": ["fails fails"]}, "192.0.2.1", "temperror", "corp.com could not be looked up: timeout at here"),
        (
            {"corp.com": ["TXT v=spf1 redirect=_spf.host.com"]},
            "192.0.2.1",
            "permerror",
            "_spf.host.com has no SPF record",
        ),
        ({"corp.com": ["TXT v=spf1 ip4:192.0.2.1 -all"]}, "::ffff:192.0.2.1", "pass", None),
        ({"corp.com": ["TXT v=spf1 ip4:192.0.2.1 ?all"]}, "2001:db8::1", "neutral", None),
    ],
)
def test_the_ends_that_it_can_come_to(records: dict[str, list[str]], ip: str, result: str, reason: str | None) -> None:
    verdict = verdict_of(records, ip=ip)
    assert verdict.result == result
    assert reason is None or verdict.reason == reason


def test_the_null_sender_is_judged_by_its_helo() -> None:
    verdict = run(
        check("192.0.2.1", None, "mx.corp.com"), Zones({"mx.corp.com": [("TXT", "v=spf1 ip4:192.0.2.1 -all")]})
    )
    assert (verdict.result, verdict.domain) == (SpfResult.PASS, "mx.corp.com")


def test_an_explanation_is_asked_for_only_where_it_is_wanted() -> None:
    records = {
        "corp.com": [("TXT", "v=spf1 -all exp=why.corp.com")],
        "why.corp.com": [("TXT", "%{i} is not ours, %{r}, at %{t}")],
    }
    zones = Zones(records)
    assert run(check("192.0.2.1", "a@corp.com", "mx.corp.com"), zones).explanation == ""
    assert len(zones.asked) == 1
    verdict = run(check("192.0.2.1", "a@corp.com", "mx.corp.com", Explaining(receiver="mx.us", now=7)), zones)
    assert verdict.explanation == "192.0.2.1 is not ours, mx.us, at 7"


LONG = {
    "a label that never ends": "v=spf1 a:x." + "a" * 60_000 + "! -all",
    "digits": "v=spf1 a:x." + "1" * 60_000 + " -all",
    "hyphens": "v=spf1 a:x.a" + "-" * 60_000 + " -all",
    "prefix lengths": "v=spf1 a" + "/1" * 30_000 + " -all",
    "a prefix length": "v=spf1 a/" + "1" * 60_000 + "x -all",
    "macros": "v=spf1 a:" + "%{s}" * 15_000 + ".com exists:" + "%{sr}." * 9_000 + "com -all",
    "terms": "v=spf1 " + "ip4:1.2.3.4 " * 5_000 + "-all",
}


@pytest.mark.parametrize("name", LONG)
def test_the_longest_record_is_judged_in_no_time(name: str) -> None:
    began = time.process_time()
    sender = "a." * 30 + "a@" + "b." * 100 + "corp.com"
    zones = Zones({sender.partition("@")[2]: [("TXT", LONG[name])]})
    assert run(check("192.0.2.1", sender, "mx.corp.com"), zones).result in {SpfResult.FAIL, SpfResult.PERMERROR}
    assert time.process_time() - began < 2.0


TERMS = st.sampled_from(
    [
        "a",
        "mx",
        "ptr",
        "a:%{l}.corp.com",
        "mx:%{p}.corp.com",
        "include:corp.com",
        "include:%{o}",
        "exists:%{ir}.%{v}.%{d2}",
        "ptr:%{h}",
        "redirect=corp.com",
        "exp=corp.com",
        "ip4:192.0.2.7",
        "ip6:::/0",
        "?all",
        "a:%{s}%{s}%{s}%{s}.com",
    ]
)
TEXTS = st.lists(TERMS, max_size=14).map(lambda terms: " ".join(["v=spf1", *terms]))
RECORDS = st.one_of(
    st.tuples(st.just("TXT"), st.one_of(TEXTS, st.text(max_size=40).map("v=spf1 {}".format))),
    st.tuples(st.just("MX"), st.sampled_from(["10 corp.com.", "0 .", "20 a..b.", "5 mx.corp.com."])),
    st.tuples(st.just("A"), st.sampled_from(["192.0.2.1", "192.0.2.7"])),
    st.tuples(st.just("PTR"), st.sampled_from(["mx.corp.com.", "corp.com.", "a..b."])),
    st.just((FAILS, FAILS)),
)
ZONES = st.dictionaries(
    st.sampled_from(["corp.com", "mx.corp.com", "1.2.0.192.in-addr.arpa", "joe.corp.com"]),
    st.lists(RECORDS, max_size=12),
)


@given(ZONES, st.one_of(st.sampled_from(["joe@corp.com", "@corp.com", ""]), st.text(max_size=40)), st.text(max_size=30))
def test_no_record_and_no_sender_raises_or_asks_without_end(
    records: dict[str, list[tuple[str, str]]], mail_from: str, helo: str
) -> None:
    zones = Zones(records)
    verdict = run(check("192.0.2.1", mail_from, helo, Explaining()), zones)
    assert verdict.result in set(SpfResult)
    assert verdict.reason
    assert len(zones.asked) <= 1 + 10 + 10 * 10 + 11 + 1
