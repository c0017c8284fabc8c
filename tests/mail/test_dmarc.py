"""DMARC under the tree walk (RFC 9989) and under the public suffix list (RFC 7489): where they agree, and where not."""

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.dmarc import (
    DmarcResult,
    DmarcVerdict,
    Policy,
    Vouched,
    evaluate,
    organizational_domain,
    tree_walk,
)
from homing.mail.dmarc_record import read_dmarc
from homing.mail.dns_question import RecordType

from .answering import FAILS, Zones, run

SUFFIXES = ("com", "org", "uk", "co.uk", "github.io")


def suffix_of(name: str) -> str:
    known = [suffix for suffix in SUFFIXES if f".{name}".endswith(f".{suffix}")]
    return max(known, key=len, default=name.rpartition(".")[2])


def published(records: Mapping[str, str | None], *names: str) -> Zones:
    """DMARC records by domain, and names that exist. None: the domain's record cannot be looked up."""
    zones = {
        f"_dmarc.{domain}": [(FAILS, FAILS)] if text is None else [("TXT", one) for one in text.split("\n")]
        for domain, text in records.items()
    }
    return Zones({**zones, **{name: [("A", "192.0.2.1")] for name in names}})


def verdict_of(author: str, records: Mapping[str, str | None], vouched: Vouched, *names: str) -> DmarcVerdict:
    return run(evaluate(author, vouched, suffix_of), published(records, *names))


# -- the record ------------------------------------------------------------------------------------------------------


NOT_DMARC = [
    "",
    "v=spf1 -all",
    "p=none; v=DMARC1",
    "v=DMARC2; p=none",
    "v=dmarc1; p=none",
    "v=DMARC10; p=none",
    " v=DMARC1",
]


@pytest.mark.parametrize("text", NOT_DMARC)
def test_what_does_not_begin_with_the_version_is_no_record(text: str) -> None:
    assert read_dmarc(text) is None


def test_a_record_is_read_whole() -> None:
    record = read_dmarc(
        "v=DMARC1; p=Reject ;sp=quarantine;np=none; adkim=s; aspf=S; psd=n; t=y; pct=50; fo=1:d; new=thing;"
        "rua=mailto:a@corp.com!10m, mailto:b@corp.com; ruf=mailto:c@corp.com"
    )
    assert record is not None
    assert record.faults == ()
    assert (record.policy, record.subdomains, record.nonexistent) == (Policy.REJECT, Policy.QUARANTINE, Policy.NONE)
    assert (record.strict_dkim, record.strict_spf, record.public_suffix, record.testing) == (True, True, "n", True)
    assert (record.rua, record.ruf, record.percent) == (("a@corp.com", "b@corp.com"), ("c@corp.com",), 50)
    assert record.tags["new"] == "thing"


FAULTY = [
    ("v=DMARC1", None, ["p"]),
    ("v=DMARC1; rua=mailto:a@corp.com", "none", ["p"]),
    ("v=DMARC1; p=rejct; rua=mailto:a@corp.com", "none", ["p"]),
    ("v=DMARC1; p=rejct", None, ["p"]),
    ("v=DMARC1; p=reject; sp=all", None, ["sp"]),
    ("v=DMARC1; p=reject; sp=all; rua=mailto:a@corp.com", "none", ["sp"]),
    ("v=DMARC1; p=reject; rua=a@corp.com", "reject", ["rua"]),
    ("v=DMARC1; p=reject; rua=https://corp.com/", "reject", ["rua"]),
    ("v=DMARC1; p=reject; p=none", "reject", ["p"]),
    ("v=DMARC1; p=reject, rua=mailto:a@corp.com", None, ["p"]),
    (
        "v=DMARC1; p=reject; adkim=strict; pct=101; psd=yes; t=1; fo=x; banana",
        "reject",
        ["banana", "adkim", "psd", "t", "pct", "fo"],
    ),
]


@pytest.mark.parametrize(("text", "policy", "tags"), FAULTY)
def test_every_fault_is_told_and_the_rest_still_counts(text: str, policy: str | None, tags: list[str]) -> None:
    record = read_dmarc(text)
    assert record is not None
    assert record.policy == policy
    assert [fault.tag for fault in record.faults] == tags


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    record = read_dmarc("v=DMARC1;" + text)
    assert record is not None
    assert record.policy is not None or record.faults


@pytest.mark.parametrize(
    "value", [" " * 60_000 + "x", "x " * 30_000, "mailto:" + "a." * 30_000 + "!", "mailto:a@" + "a." * 30_000 + "!"]
)
def test_the_longest_record_is_read_in_no_time(value: str) -> None:
    began = time.process_time()
    record = read_dmarc(f"v=DMARC1; p=none; rua={value}; {value}")
    assert record is not None
    assert record.faults
    assert time.process_time() - began < 2.0


# -- finding the organizational domain -------------------------------------------------------------------------------


WALKS = [
    ("corp.com", ["corp.com", "com"]),
    (
        "a.b.c.d.e.f.g.com",
        [
            "a.b.c.d.e.f.g.com",
            "b.c.d.e.f.g.com",
            "c.d.e.f.g.com",
            "d.e.f.g.com",
            "e.f.g.com",
            "f.g.com",
            "g.com",
            "com",
        ],
    ),
    (
        "a.b.c.d.e.f.g.h.i.j.mail.corp.com",
        [
            "a.b.c.d.e.f.g.h.i.j.mail.corp.com",
            "g.h.i.j.mail.corp.com",
            "h.i.j.mail.corp.com",
            "i.j.mail.corp.com",
            "j.mail.corp.com",
            "mail.corp.com",
            "corp.com",
            "com",
        ],
    ),
]


@pytest.mark.parametrize(("start", "asked"), WALKS, ids=["two", "eight", "thirteen"])
def test_a_walk_asks_eight_times_at_most(start: str, asked: list[str]) -> None:
    zones = published({})
    assert run(tree_walk(start), zones) == ()
    assert [ask.name.removeprefix("_dmarc.") for ask in zones.asked] == asked
    assert {ask.record_type for ask in zones.asked} == {RecordType.TXT}


ANY = "v=DMARC1; p=none"
ORGANIZATIONS = [
    ("mail.corp.com", {}, "mail.corp.com"),
    ("mail.corp.com", {"mail.corp.com": ANY}, "mail.corp.com"),
    ("mail.corp.com", {"mail.corp.com": ANY, "corp.com": ANY}, "corp.com"),
    ("a.mail.corp.com", {"mail.corp.com": f"{ANY}; psd=n", "corp.com": ANY}, "mail.corp.com"),
    ("a.mail.corp.com", {"corp.com": ANY, "com": f"{ANY}; psd=y"}, "corp.com"),
    ("a.mail.corp.com", {"a.mail.corp.com": ANY, "com": f"{ANY}; psd=y"}, "corp.com"),
    ("bank.com", {"bank.com": f"{ANY}; psd=y"}, "bank.com"),
    ("a.mail.corp.com", {"corp.com": f"{ANY}\n{ANY}", "mail.corp.com": ANY}, "mail.corp.com"),
    ("a.mail.corp.com", {"corp.com": "v=spf1 -all", "mail.corp.com": ANY}, "mail.corp.com"),
    ("a.mail.corp.com", {"mail.corp.com": ANY, "com": ANY}, "com"),
]


@pytest.mark.parametrize(("author", "records", "organization"), ORGANIZATIONS)
def test_the_walk_finds_the_organization(author: str, records: dict[str, str | None], organization: str) -> None:
    assert verdict_of(author, records, Vouched()).tree_walk.organizational_domain == organization


@pytest.mark.parametrize(
    ("name", "organization"),
    [
        ("corp.com", "corp.com"),
        ("a.b.corp.com", "corp.com"),
        ("a.b.corp.co.uk", "corp.co.uk"),
        ("co.uk", "co.uk"),
        ("me.github.io", "me.github.io"),
        ("x.me.github.io", "me.github.io"),
        ("odd", "odd"),
    ],
)
def test_the_list_finds_the_organization(name: str, organization: str) -> None:
    assert organizational_domain(name, suffix_of) == organization


# -- alignment -------------------------------------------------------------------------------------------------------


NONE = "v=DMARC1; p=none"
REJECT = "v=DMARC1; p=reject"
OURS = {"acme.com": NONE, "post.acme.com": "v=DMARC1; p=reject; adkim=s"}
XERO = {"post.x.com": REJECT}

SCENARIOS: dict[str, tuple[str, dict[str, str | None], Vouched, str, str]] = {
    # name: author domain, records, what SPF and DKIM vouch for, by the walk, by the list
    "shared": ("post.acme.com", OURS, Vouched(spf="b.post.acme.com", dkim=("post.acme.com",)), "pass", "pass"),
    "shared, forwarded": ("post.acme.com", OURS, Vouched(dkim=("post.acme.com",)), "pass", "pass"),
    "shared, modified": ("post.acme.com", OURS, Vouched(spf="b.post.acme.com"), "pass", "pass"),
    "custom-full": (
        "corp.com",
        {"corp.com": REJECT},
        Vouched(spf="bounce.corp.com", dkim=("corp.com",)),
        "pass",
        "pass",
    ),
    "custom-full below": (
        "billing.corp.com",
        {"corp.com": REJECT},
        Vouched(spf="bounce.billing.corp.com", dkim=("billing.corp.com",)),
        "pass",
        "pass",
    ),
    "custom-dkim": (
        "corp.com",
        {"corp.com": REJECT},
        Vouched(spf="b.post.acme.com", dkim=("corp.com",)),
        "pass",
        "pass",
    ),
    "custom, by SPF only": ("corp.com", {"corp.com": REJECT}, Vouched(spf="bounce.corp.com"), "pass", "pass"),
    "impersonation": (
        "corp.com",
        {"corp.com": REJECT, **OURS},
        Vouched(spf="b.post.acme.com", dkim=("post.acme.com",)),
        "fail",
        "fail",
    ),
    "no record": ("corp.com", OURS, Vouched(spf="b.post.acme.com", dkim=("post.acme.com",)), "none", "none"),
    "sibling return path": ("post.x.com", XERO, Vouched(spf="notifications.x.com"), "fail", "pass"),
    "sibling, record above": (
        "post.x.com",
        {**XERO, "x.com": NONE},
        Vouched(spf="notifications.x.com"),
        "pass",
        "pass",
    ),
    "sibling, psd=n": (
        "post.x.com",
        {"post.x.com": f"{REJECT}; psd=n", "x.com": NONE},
        Vouched(spf="notifications.x.com"),
        "fail",
        "pass",
    ),
    "child, psd=n": ("post.x.com", {"post.x.com": f"{REJECT}; psd=n"}, Vouched(spf="b.post.x.com"), "pass", "pass"),
    "child, record at From": ("post.x.com", XERO, Vouched(spf="b.post.x.com"), "pass", "pass"),
    "strict SPF": ("post.x.com", {"post.x.com": f"{REJECT}; aspf=s"}, Vouched(spf="b.post.x.com"), "fail", "fail"),
    "strict DKIM": ("post.x.com", {"x.com": f"{REJECT}; adkim=s"}, Vouched(dkim=("x.com",)), "fail", "fail"),
    "strict and equal": ("x.com", {"x.com": f"{REJECT}; adkim=s"}, Vouched(dkim=("y.com", "x.com")), "pass", "pass"),
    "signed from above": ("post.x.com", {"x.com": REJECT}, Vouched(dkim=("x.com",)), "pass", "pass"),
    "signed from below": ("x.com", {"x.com": REJECT}, Vouched(dkim=("post.x.com",)), "pass", "pass"),
    "a neighbour under a suffix": (
        "me.github.io",
        {"me.github.io": REJECT},
        Vouched(spf="you.github.io"),
        "fail",
        "fail",
    ),
    "a suffix without a list": (
        "a.corp.co.uk",
        {"a.corp.co.uk": REJECT},
        Vouched(dkim=("b.corp.co.uk",)),
        "fail",
        "pass",
    ),
    "a suffix that says so": (
        "a.bank.com",
        {"a.bank.com": REJECT, "com": f"{REJECT}; psd=y"},
        Vouched(dkim=("b.bank.com",)),
        "pass",
        "pass",
    ),
    "nothing vouches": ("corp.com", {"corp.com": REJECT}, Vouched(), "fail", "fail"),
    "nothing could be checked": ("corp.com", {"corp.com": REJECT}, Vouched(uncertain=True), "temperror", "temperror"),
    "the record cannot be had": ("corp.com", {"corp.com": None}, Vouched(dkim=("corp.com",)), "temperror", "temperror"),
    "above cannot be had": (
        "corp.com",
        {"corp.com": REJECT, "com": None},
        Vouched(dkim=("corp.com",)),
        "temperror",
        "pass",
    ),
    "a broken record": (
        "corp.com",
        {"corp.com": "v=DMARC1; p=rejct"},
        Vouched(dkim=("corp.com",)),
        "permerror",
        "permerror",
    ),
    "two records": ("corp.com", {"corp.com": f"{REJECT}\n{NONE}"}, Vouched(dkim=("corp.com",)), "none", "none"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_methods_give_their_verdict(name: str) -> None:
    author, records, vouched, by_walk, by_list = SCENARIOS[name]
    verdict = verdict_of(author, records, vouched)
    assert verdict.suffix_list is not None
    assert (verdict.tree_walk.result, verdict.suffix_list.result) == (by_walk, by_list)
    assert verdict.agreed == (by_walk if by_walk == by_list else None)


def test_each_leg_is_told() -> None:
    verdict = verdict_of("post.acme.com", OURS, Vouched(spf="b.post.acme.com", dkim=("acme.com",)))
    assert (verdict.tree_walk.spf_aligned, verdict.tree_walk.dkim_aligned) == (True, False)
    assert verdict.tree_walk.found_at == "post.acme.com"


POLICIES = [
    ("corp.com", "v=DMARC1; p=reject; sp=none", [], "reject", "reject"),
    ("a.corp.com", "v=DMARC1; p=reject; sp=quarantine; np=none", ["a.corp.com"], "quarantine", "quarantine"),
    ("a.corp.com", "v=DMARC1; p=reject; sp=quarantine; np=none", [], "none", "quarantine"),
    ("a.corp.com", "v=DMARC1; p=reject; np=none", ["x.a.corp.com"], "reject", "reject"),
    ("a.corp.com", "v=DMARC1; p=quarantine", [], "quarantine", "quarantine"),
]


@pytest.mark.parametrize(("author", "record", "names", "by_walk", "by_list"), POLICIES)
def test_the_policy_depends_on_where_the_record_is(
    author: str, record: str, names: list[str], by_walk: str, by_list: str
) -> None:
    verdict = verdict_of(author, {"corp.com": record}, Vouched(), *names)
    assert verdict.suffix_list is not None
    assert (verdict.tree_walk.disposition, verdict.suffix_list.disposition) == (by_walk, by_list)


def test_a_test_lowers_what_is_asked_and_a_pass_asks_nothing() -> None:
    records = {"corp.com": "v=DMARC1; p=reject; t=y"}
    failed = verdict_of("corp.com", records, Vouched()).tree_walk
    assert (failed.policy, failed.disposition) == (Policy.REJECT, Policy.QUARANTINE)
    passed = verdict_of("corp.com", records, Vouched(dkim=("corp.com",))).tree_walk
    assert (passed.result, passed.disposition) == (DmarcResult.PASS, Policy.NONE)


def test_without_a_list_the_walk_stands_alone() -> None:
    verdict = run(evaluate("corp.com", Vouched(dkim=("corp.com",)), None), published({"corp.com": REJECT}))
    assert verdict.suffix_list is None
    assert verdict.agreed is DmarcResult.PASS


def test_strangers_domains_cost_no_questions() -> None:
    zones = published({"corp.com": REJECT})
    run(evaluate("corp.com", Vouched(dkim=tuple(f"{number}.evil.org" for number in range(50))), suffix_of), zones)
    assert len(zones.asked) == 2
