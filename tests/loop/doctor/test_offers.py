"""What the doctor offers to copy: it can be read, lets in all who were named, keeps what was right, and is one record.

The operator named an address that mail leaves from; mail hosts, addresses and keys are in order unless a case says so.
"""

from base64 import b64encode
from collections.abc import Iterable

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from homing.loop.doctor.checks import CHECKS, reconciled
from homing.loop.doctor.examined import somebody
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Finding, Outcome, Severity, examine
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dmarc_record import read_dmarc
from homing.mail.spf import check as evaluate
from homing.mail.spf_record import SpfRecord, SpfResult, read_spf
from tests.mail.answering import FAILS, Zones, run

from .examined import FROM, HELO, IP, RETURN, Records, facts, findings, zones
from .test_checks import CASES, Case, spoilt

EGRESS, D = "44.0.0.10", "janet.com"
PUBLIC = RSAPublicNumbers(65537, (1 << 2047) + 1).public_key()
KEY = b64encode(PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
AT = f"s1._domainkey.{D}"
DMARC = f"v=DMARC1; p=reject; np=reject; rua=mailto:r@{D}"
FAULTY = (Outcome.BROKEN, Outcome.WARNING)

Published = dict[str, Records]


def zone(*texts: str, dmarc: Iterable[str] = (DMARC,), **others: Records) -> Published:
    """A domain with these SPF records; "i" stands for what is at i.janet.com."""
    well: Published = {
        "com": [],
        D: [*(("TXT", text) for text in texts), ("MX", f"10 mx.{D}.")],
        f"mx.{D}": [("A", "44.0.0.40")],
        f"_dmarc.{D}": [("TXT", text) for text in dmarc],
        f"_smtp._tls.{D}": [("TXT", f"v=TLSRPTv1; rua=mailto:t@{D}")],
        AT: [("TXT", f"v=DKIM1; k=rsa; p={KEY}")],
    }
    return well | {f"{name}.{D}".replace("__", "."): records for name, records in others.items()}


def examined(*egress: str) -> DoctorFacts:
    keys = somebody(D, selectors=("s1",)).keys
    return DoctorFacts(domain=D, egress=egress, keys=keys, blocklists=(), suffix_of=lambda _: "com")


def report(asked: DoctorFacts, published: Published, family: str = "") -> dict[str, Finding]:
    """Every finding of a family, by check; of several the gravest."""
    dns = Zones(published)
    checks = [check for check in CHECKS if check.id.startswith(family)]
    found = reconciled([run(examine(check, asked, about), dns) for check in checks for about in check.about(asked)])
    offered = {(record.name, record.type, record.value) for one in found for record in one.records}
    texts = [(name, value[:6]) for name, kind, value in offered if kind == "TXT"]
    assert len(texts) == len(set(texts)), "two records are offered for one name"
    ranked = sorted(found, key=lambda one: (*FAULTY, *Outcome).index(one.outcome), reverse=True)
    return {one.check: one for one in ranked}


def offered(found: dict[str, Finding]) -> dict[str, list[str]]:
    """The values that a faulty finding offers, by name."""
    values: dict[str, list[str]] = {}
    for one in found.values():
        for record in one.records if one.outcome in FAULTY else ():
            if record.value not in values.setdefault(record.name, []):
                values[record.name].append(record.value)
    return values


def with_offers(published: Published, found: dict[str, Finding]) -> Published:
    """The zone after its owner has copied what was offered, in place of what stood there of the same kind."""
    after = dict(published)
    records = dict.fromkeys(record for one in found.values() if one.outcome in FAULTY for record in one.records)
    for name in {record.name for record in records}:
        new = [record for record in records if record.name == name]
        kinds = {(record.type, record.value[:6] if record.type == "TXT" else "") for record in new}
        kept = [
            (kind, text)
            for kind, text in after.get(name, [])
            if (kind, "") not in kinds
            and not (kind == "TXT" and "_domainkey" in name)
            and not any(
                kind == "TXT" == one and text.replace(" ", "").lower()[:5] == start.lower()[:5] for one, start in kinds
            )
        ]
        dots = {"MX": ".", "CNAME": ".", "PTR": "."}
        after[name] = kept + [(record.type, record.value + dots.get(record.type, "")) for record in new]
    return after


def is_permitted(published: Published, ip: str = EGRESS) -> bool:
    return run(evaluate(ip, f"a@{D}", D), Zones(published)).result is SpfResult.PASS


SPF_CASES = {
    "a semicolon": (["v=spf1 ip4:44.0.0.10; -all"], "v=spf1 ip4:44.0.0.10 -all"),
    "a prefix that is none": (["v=spf1 ip4:44.0.0.0/33 -all"], "v=spf1 ip4:44.0.0.10 -all"),
    "a space is missing": (
        ["v=spf1 ip4:44.0.0.10include:i.janet.com -all"],
        "v=spf1 ip4:44.0.0.10 include:i.janet.com -all",
    ),
    "a space is missing before all": (["v=spf1 ip4:44.0.0.10-all"], "v=spf1 ip4:44.0.0.10 -all"),
    "a space is missing, and it can be read": (
        ["v=spf1 ip4:44.0.0.10 include:i.janet.com-all"],
        "v=spf1 ip4:44.0.0.10 include:i.janet.com -all",
    ),
    "two explanations": (
        ["v=spf1 +mx ip4:44.0.0.10 exp=a.janet.com -all exp=b.janet.com"],
        "v=spf1 +mx ip4:44.0.0.10 exp=a.janet.com -all",
    ),
    "commas": (["v=spf1 ip4:44.0.0.10,ip4:44.0.0.11 -all"], "v=spf1 ip4:44.0.0.10 ip4:44.0.0.11 -all"),
    "no term at all": (["v=spf1 44.0.0.10 ip4:2001:4860::1 -all"], "v=spf1 ip4:44.0.0.10 ip6:2001:4860::1 -all"),
    "quotation marks": (['v=spf1 "ip4:44.0.0.10" -all'], "v=spf1 ip4:44.0.0.10 -all"),
    "no space after the version": (["v=spf1;ip4:44.0.0.11 -all"], "v=spf1 ip4:44.0.0.10 ip4:44.0.0.11 -all"),
    "an include that is gone": (["v=spf1 ip4:44.0.0.10 include:gone.net -all"], "v=spf1 ip4:44.0.0.10 -all"),
    "a redirect that is gone": (["v=spf1 redirect=gone.net"], "v=spf1 ip4:44.0.0.10 ~all"),
    "behind all": (["v=spf1 ip4:44.0.0.10 -all ip4:1.2.3.4"], "v=spf1 ip4:44.0.0.10 ip4:1.2.3.4 -all"),
    "private": (["v=spf1 ip4:44.0.0.10 ip4:10.0.0.1 ip6:fe80::1 ptr ~all"], "v=spf1 ip4:44.0.0.10 ~all"),
    "an empty label": (["v=spf1 ip4:44.0.0.10 a:-bad..name -all"], "v=spf1 ip4:44.0.0.10 -all"),
    "two, one that redirects": (
        ["v=spf1 ip4:44.0.0.10 -all", "v=spf1 redirect=i.janet.com"],
        "v=spf1 ip4:44.0.0.10 include:i.janet.com -all",
    ),
    "everything at once": (
        ["v=spf1 ipv4:44.0.0.11 include:gone.net ptr +all mx:nowhere.net"],
        "v=spf1 ip4:44.0.0.10 ip4:44.0.0.11 -all",
    ),
}


@pytest.mark.parametrize("title", SPF_CASES)
def test_spf_that_is_offered(title: str) -> None:
    texts, right = SPF_CASES[title]
    published = zone(*texts, i=[("TXT", "v=spf1 ip4:44.1.0.0/24 -all")])
    found = report(examined(EGRESS), published)
    assert offered(found)[D] == [right]
    after = with_offers(published, found)
    assert is_permitted(after)
    again = report(examined(EGRESS), after)
    assert [one for one in again.values() if one.check.startswith("SPF") and one.outcome in FAULTY] == []


def test_an_mx_with_too_many_hosts() -> None:
    hosts: dict[str, Records] = {f"h{number}__many": [("A", f"45.0.0.{number}")] for number in range(10, 22)}
    many: Records = [("MX", f"10 h{number}.many.{D}.") for number in range(10, 22)]
    published = zone(f"v=spf1 mx:many.{D} ip4:{EGRESS} -all", many=many, **hosts)
    found = report(examined(EGRESS), published)
    assert found["SPF03"].outcome is Outcome.BROKEN
    assert f"mx:many.{D}" in found["SPF05"].sentence
    (text,) = offered(found)[D]
    assert text == "v=spf1 " + " ".join(f"ip4:45.0.0.{number}" for number in range(10, 22)) + f" ip4:{EGRESS} -all"
    assert is_permitted(with_offers(published, found), "45.0.0.11")


ABOVE: dict[str, tuple[str, dict[str, Records]]] = {
    "q1": ("v=spf1 redirect=_x.janet.com", {}),
    "q2": ("v=spf1 include:_x.janet.com -all", {}),
    "q4": ("v=spf1 include:_y.janet.com -all", {"_y": [("TXT", "hello")]}),
    "q5": ("v=spf1 include:_y.janet.com -all", {"_y": [("TXT", "v=spf1 ip4:1.2.3.4/99 -all")]}),
    "q7": (
        "v=spf1 ip4:44.0.0.10 include:_y.janet.com -all",
        {"_y": [("TXT", "v=spf1 ip4:1.2.3.4 -all"), ("TXT", "v=spf1 ip4:1.2.3.5 -all")]},
    ),
    "q8": (
        "v=spf1 ip4:44.0.0.10 include:_y.janet.com -all",
        {"_y": [("TXT", "v=spf1 include:_z.janet.com ~all")], "_z": [("TXT", "google-site-verification=x")]},
    ),
    "q9": ("v=spf1 ip4:44.0.0.10 redirect=_y.janet.com", {"_y": [("TXT", "v=spf1 ipv4:1.2.3.4 -all")]}),
}


@pytest.mark.parametrize("title", ABOVE)
@pytest.mark.parametrize("egress", [(), (EGRESS,), ("127.0.2.1",)])
def test_an_include_or_redirect_without_a_usable_record(title: str, egress: tuple[str, ...]) -> None:
    text, others = ABOVE[title]
    published = zone(text, **others)
    found = report(examined(*egress), published)
    assert found["SPF12"].outcome is Outcome.BROKEN
    assert any(f"{name}.{D}" in found["SPF12"].sentence for name in ("_x", "_y", "_z"))
    again = report(examined(*egress), with_offers(published, found))
    assert (again["SPF12"].outcome is Outcome.OK) is bool(found["SPF12"].records)
    if egress:
        assert again["SPF12"].outcome is Outcome.OK
        assert again["SPF05"].outcome is Outcome.OK
    else:
        assert found["SPF12"].records or "(--egress)" in found["SPF12"].cure or "mended" in found["SPF12"].cure


def test_a_way_back_that_only_opens_when_all_is_at_the_end() -> None:
    back: Records = [("TXT", f"v=spf1 include:{D} ip4:44.5.0.1 -all")]
    published = zone(f"v=spf1 -all include:back.{D}", back=back)
    found = report(examined(EGRESS), published)
    assert offered(found) == {
        f"back.{D}": ["v=spf1 ip4:44.5.0.1 -all"],
        D: [f"v=spf1 ip4:{EGRESS} include:back.{D} -all"],
    }


def test_what_is_below_is_mended_below() -> None:
    text, others = ABOVE["q7"]
    found = report(examined(EGRESS), zone(text, **others))
    assert offered(found) == {f"_y.{D}": ["v=spf1 ip4:1.2.3.4 ip4:1.2.3.5 -all"]}


def test_of_a_strangers_record_nothing_is_taken_out() -> None:
    """It may be whole again tomorrow, and what it lets in sends today."""
    published = zone("v=spf1 ip4:44.0.0.10 include:spf.big.com -all") | {
        "spf.big.com": [("TXT", "v=spf1 include:below.big.com ~all")],
        "below.big.com": [("TXT", "v=spf1 ip4:8.8.8.8 -all"), ("TXT", "v=spf1 ip4:8.8.8.9 -all")],
    }
    found = report(examined(EGRESS), published)
    assert found["SPF12"].outcome is Outcome.BROKEN
    assert found["SPF12"].records == ()
    assert "below.big.com, which has 2 SPF records" in found["SPF12"].cure


@pytest.mark.parametrize(
    "text",
    ["v=spf1 +all", "v=spf1 ip4:44.0.0.0/33 -all", "v=spf1 include:gone.net -all", "v=spf1 ip4:1.2.3.4 a:b -all"],
)
def test_nobody_is_shut_out_for_want_of_an_address(text: str) -> None:
    found = report(examined(), zone(text))
    assert D not in offered(found)
    assert any("(--egress)" in one.cure for one in found.values() if one.outcome is Outcome.BROKEN)


def test_a_look_up_that_fails_offers_nothing() -> None:
    published = zone("v=spf1 +all a:slow.net ip4:44.0.0.10") | {"slow.net": [(FAILS, FAILS)]}
    found = report(examined(EGRESS), published)
    assert found["SPF06"].outcome is Outcome.BROKEN
    assert D not in offered(found)
    assert "slow.net could not be looked up" in found["SPF06"].cure


DMARC_CASES = {
    "two": (
        [f"v=DMARC1; p=reject; rua=mailto:r@{D}", "v=DMARC1; p=none"],
        f"v=DMARC1; p=reject; rua=mailto:r@{D}",
    ),
    "two with reports": (
        [f"v=DMARC1; p=none; rua=mailto:r@{D}", f"v=DMARC1; p=quarantine; adkim=s; rua=mailto:s@{D}"],
        f"v=DMARC1; p=quarantine; rua=mailto:s@{D},mailto:r@{D}",
    ),
    "no semicolons": ([f"v=DMARC1 p=reject rua=mailto:r@{D}"], f"v=DMARC1; p=reject; rua=mailto:r@{D}"),
    "some semicolons": ([f"v=DMARC1; p=reject rua=mailto:r@{D}"], f"v=DMARC1; p=reject; rua=mailto:r@{D}"),
    "no mailto": (
        [f"v=DMARC1;p=quarantine;sp=none; pct=50; rua=a@{D}"],
        f"v=DMARC1; p=quarantine; pct=50; rua=mailto:a@{D}",
    ),
    "a small v": ([f"v=dmarc1; p=reject; rua=mailto:r@{D}"], f"v=DMARC1; p=reject; rua=mailto:r@{D}"),
    "a space in the address": (
        [f"v=DMARC1; p=reject; rua=mailto: r@{D}; mailto:s@{D}"],
        f"v=DMARC1; p=reject; rua=mailto:r@{D},mailto:s@{D}",
    ),
    "an unknown tag": (
        [f"v=DMARC1; p=reject; adkim=x; x=1; fo=1; rua=mailto:r@{D}"],
        f"v=DMARC1; p=reject; x=1; fo=1; rua=mailto:r@{D}",
    ),
    "a colon": ([f"v=DMARC1; p:reject; rua=mailto:r@{D}"], f"v=DMARC1; p=reject; rua=mailto:r@{D}"),
}


@pytest.mark.parametrize("title", DMARC_CASES)
def test_dmarc_that_is_offered(title: str) -> None:
    texts, right = DMARC_CASES[title]
    published = zone("v=spf1 ip4:44.0.0.10 -all", dmarc=texts)
    found = report(examined(EGRESS), published)
    assert offered(found)[f"_dmarc.{D}"] == [right]
    again = report(examined(EGRESS), with_offers(published, found))
    assert [one for one in again.values() if one.check.startswith("DM") and one.outcome in FAULTY] == []


def test_p_out_of_place_is_a_note() -> None:
    found = report(examined(), zone("v=spf1 mx -all", dmarc=[f"v=DMARC1; rua=mailto:r@{D}; p=reject"]))
    assert found["DM03"].outcome is Outcome.INFO
    assert found["DM03"].records[0].value == f"v=DMARC1; p=reject; rua=mailto:r@{D}; np=reject"


def test_a_key_with_several_faults() -> None:
    spoilt = f"v=DKIM1; k=rsa; t=y; s=other; h=sha1; n=ours; p={KEY}"
    published = zone("v=spf1 mx -all") | {AT: [("TXT", spoilt)]}
    found = report(examined(), published)
    assert "h=sha1" in found["DK07"].sentence
    assert "s=other" in found["DK07"].sentence
    assert found["DK06"].outcome is Outcome.WARNING
    assert offered(found)[AT] == [f"v=DKIM1; k=rsa; n=ours; p={KEY}"]
    assert found["DK07"].records == found["DK06"].records
    again = report(examined(), with_offers(published, found))
    assert [one for one in again.values() if one.check.startswith("DK") and one.outcome in FAULTY] == []


@pytest.mark.parametrize("text", ["v=DKIM1 p={}", "p={} t=y", "v=DKIM1, k=rsa, h=sha1, p={}", "k=dsa; v=DKIM1; p={}"])
def test_semicolons_are_put_in(text: str) -> None:
    published = zone("v=spf1 mx -all") | {AT: [("TXT", text.format(KEY))]}
    assert offered(report(examined(), published))[AT] == [f"v=DKIM1; k=rsa; p={KEY}"]


@pytest.mark.parametrize("text", ["v=DKIM1; p=", "v=DKIM1; h=sha1; p=AAAA", "v=DKIM1; s=x"])
def test_no_key_is_made_up(text: str) -> None:
    found = report(examined(), zone("v=spf1 mx -all") | {AT: [("TXT", text)]})
    assert found["DK02"].outcome is Outcome.BROKEN
    assert AT not in offered(found)


def test_two_different_keys_are_not_chosen_from() -> None:
    other = b64encode(
        RSAPublicNumbers(65537, (1 << 2047) + 3)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    keys = [("TXT", f"v=DKIM1; p={KEY}"), ("TXT", f"v=DKIM1; p={other}")]
    assert AT not in offered(report(examined(), zone("v=spf1 mx -all") | {AT: keys}))
    keys = [("TXT", f"v=DKIM1; p={KEY}"), ("TXT", f"k=rsa p={KEY}")]
    assert offered(report(examined(), zone("v=spf1 mx -all") | {AT: keys}))[AT] == [f"v=DKIM1; k=rsa; p={KEY}"]


def test_a_null_mx_beside_another() -> None:
    published = zone("v=spf1 ip4:44.0.0.10 -all")
    published[D] += [("MX", "0 .")]
    found = report(examined(), published)
    assert found["MX02"].outcome is Outcome.BROKEN
    assert "it must stand alone (RFC 7505)" in found["MX02"].sentence
    assert "“”" not in found["MX01"].sentence
    assert offered(found)[D] == [f"10 mx.{D}"]


def test_every_odd_mail_host_is_told() -> None:
    published = zone("v=spf1 ip4:44.0.0.10 -all", alias=[("CNAME", f"mx.{D}.")])
    published[D] = [("TXT", "v=spf1 ip4:44.0.0.10 -all"), ("MX", "10 44.0.0.40."), ("MX", f"20 alias.{D}.")]
    found = report(examined(), published)
    assert "names the address 44.0.0.40" in found["MX02"].sentence
    assert f"names alias.{D}, an alias of mx.{D}" in found["MX02"].sentence
    assert offered(found)[D] == [f"20 mx.{D}"]


def test_what_can_be_read_is_what_was_meant() -> None:
    for texts, right in SPF_CASES.values():
        assert isinstance(read_spf(right), SpfRecord), texts
    for told, right in DMARC_CASES.values():
        read = read_dmarc(right)
        assert read is not None, told
        assert not read.faults, told


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)])
def test_no_two_checks_offer_different_records(case: Case) -> None:
    """Not even before the report is put together, whatever is wrong."""
    _, changes, other, _, _ = case
    found = findings(facts(**other), spoilt(changes)).values()
    of_name: dict[tuple[str, str, str], set[tuple[str, ...]]] = {}
    for one in found:
        for name, kind in {(record.name, record.type) for record in one.records}:
            values = [record.value for record in one.records if (record.name, record.type) == (name, kind)]
            starts = {value[:6] if kind == "TXT" else "" for value in values}
            for start in starts:
                wanted = tuple(value for value in values if value.startswith(start))
                of_name.setdefault((name, kind, start), set()).add(wanted)
    assert {which: wanted for which, wanted in of_name.items() if len(wanted) > 1} == {}


def test_the_gravest_finding_gives_the_record() -> None:
    def finding(outcome: Outcome, *records: tuple[str, str]) -> Finding:
        told = tuple(DnsRecord(name=D, type=kind, value=value, why="") for kind, value in records)
        return Finding(check="X", severity=Severity.ERROR, about=D, outcome=outcome, sentence="", records=told)

    note = finding(Outcome.INFO, ("TXT", "v=spf1 a"), ("TXT", "v=DMARC1; p=none"), ("MX", "10 a"))
    broken = finding(Outcome.BROKEN, ("TXT", "v=spf1 mx"), ("MX", "10 b"), ("MX", "20 c"))
    first, second = reconciled([note, broken])
    assert [record.value for record in first.records] == ["v=spf1 mx", "v=DMARC1; p=none", "10 b", "20 c"]
    assert second == broken
    alias = finding(Outcome.WARNING, ("CNAME", "d.net"))
    assert [[record.value for record in one.records] for one in reconciled([note, broken, alias])] == [
        [],
        [],
        ["d.net"],
    ]


def test_names_that_lead_to_each_other_are_mended_together() -> None:
    """Two examined names, one of which includes the other, and both are at fault."""
    published = zones() | {
        RETURN: [("TXT", f"v=spf1 include:{FROM} include:gone.net -all"), ("MX", f"10 {HELO}.")],
        FROM: [("TXT", f"v=spf1 include:{RETURN} ipv4:{IP} -all"), ("MX", f"10 {HELO}.")],
    }
    found = [
        run(examine(check, facts(), about), Zones(published)) for check in CHECKS for about in check.about(facts())
    ]
    records = {(one.name, one.value) for finding in found for one in finding.records if one.value.startswith("v=spf1")}
    assert len({name for name, _ in records}) == len(records) == 2
    for name, value in records:
        kept = [one for one in published[name] if one[0] != "TXT"]
        published = published | {name: [("TXT", value), *kept]}
    again = [one for one in findings(facts(), published).values() if one.check.startswith("SPF")]
    assert {one.outcome for one in again} == {Outcome.OK}


def test_a_ptr_that_nobody_could_tell_is_no_fault() -> None:
    published = zone("v=spf1 ptr -all") | {"10.0.0.44.in-addr.arpa": [(FAILS, FAILS)], "arpa": []}
    assert report(examined(EGRESS), published)["SPF05"].outcome is Outcome.UNKNOWN


def test_a_walk_that_nobody_could_tell_is_unknown() -> None:
    published = {
        f"_dmarc.a.b.{D}": [("TXT", DMARC)],
        f"a.b.{D}": [("MX", f"10 mx.{D}.")],
        f"_dmarc.b.{D}": [(FAILS, FAILS)],
        "com": [],
    }
    asked = DoctorFacts(domain=f"a.b.{D}", suffix_of=lambda _: "com")
    assert report(asked, published)["DM08"].outcome is Outcome.UNKNOWN
