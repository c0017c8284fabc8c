"""What becomes of mail in the name of a domain: each reason, what it rests on, and how sure the guess is."""

import pytest

from homing.loop.audit import MEANING, Audited, MailHost, Reason, Sureness, audit
from homing.loop.domains.identity import is_freemail
from tests.mail.answering import FAILS, Zones, run

D = "corp.com"
HARD, SOFT = ("TXT", "v=spf1 ip4:198.51.100.7 -all"), ("TXT", "v=spf1 ip4:198.51.100.7 ~all")
REJECT, QUARANTINE = ("TXT", "v=DMARC1; p=reject"), ("TXT", "v=DMARC1; p=quarantine")
Records = list[tuple[str, str]]


def judged(records: Records, dmarc: Records = [], egress: tuple[str, ...] = ()) -> Audited:  # noqa: B006 - not changed
    zones: dict[str, Records] = {"com": []}
    if records:
        zones[D] = records
    if dmarc:
        zones[f"_dmarc.{D}"] = dmarc
    return run(audit(D, egress, lambda name: "com"), Zones(zones))


def mx(host: str) -> tuple[str, str]:
    return ("MX", f"10 {host}.")


OTHER = mx("mx.host.net")


@pytest.mark.parametrize(
    ("records", "dmarc", "egress", "reasons"),
    [
        ([], [], (), [Reason.NO_SUCH_DOMAIN]),
        ([("TXT", "hello")], [], (), [Reason.NO_MAIL]),
        ([("MX", "0 .")], [], (), [Reason.NO_MAIL]),
        ([("A", "192.0.2.9")], [], (), []),
        ([("AAAA", "2001:db8::9")], [], (), []),
        ([OTHER], [], (), []),
        ([OTHER, SOFT], [], (), []),
        ([OTHER, HARD], [], (), [Reason.SPF_HARD_FAIL]),
        ([OTHER, HARD], [], ("198.51.100.7",), []),
        ([OTHER, HARD], [], ("198.51.100.7", "198.51.100.8"), [Reason.SPF_HARD_FAIL]),
        ([OTHER], [REJECT], (), [Reason.DMARC_REJECT]),
        ([OTHER, HARD], [REJECT], (), [Reason.DMARC_REJECT, Reason.SPF_HARD_FAIL]),
        ([OTHER, SOFT], [REJECT], ("198.51.100.7",), []),
        ([OTHER], [QUARANTINE], (), [Reason.DMARC_QUARANTINE]),
        ([OTHER], [("TXT", "v=DMARC1; p=reject; t=y")], (), [Reason.DMARC_REJECT]),
        ([OTHER], [("TXT", "v=DMARC1; p=none")], (), []),
        ([mx(f"mx.{D}"), HARD], [], (), [Reason.SPF_HARD_FAIL, Reason.OWN_REFUSAL]),
        ([("TXT", "v=spf1 -all")], [], (), [Reason.NO_MAIL, Reason.SPF_HARD_FAIL]),
    ],
)
def test_the_reasons(records: Records, dmarc: Records, egress: tuple[str, ...], reasons: list[Reason]) -> None:
    assert list(judged(records, dmarc, egress).reasons) == reasons


@pytest.mark.parametrize(
    ("host", "more", "dmarc", "kind", "sureness"),
    [
        (f"mx.{D}", [HARD], [], MailHost.OWN, Sureness.LIKELY),
        (f"mx.{D}", [], [REJECT], MailHost.OWN, Sureness.LIKELY),
        (f"mx.{D}", [SOFT], [], MailHost.OWN, Sureness.POSSIBLE),
        (f"mx.{D}", [], [], MailHost.OWN, Sureness.NO),
        ("eu.in.mimecast.com", [], [], MailHost.GATEWAY, Sureness.POSSIBLE),
        ("mx1.pphosted.com", [HARD], [], MailHost.GATEWAY, Sureness.LIKELY),
        ("aspmx.l.google.com", [], [QUARANTINE], MailHost.GOOGLE, Sureness.LIKELY),
        ("aspmx.l.google.com", [HARD], [], MailHost.GOOGLE, Sureness.NO),
        ("aspmx2.googlemail.com", [], [REJECT], MailHost.GOOGLE, Sureness.LIKELY),
        ("corp-com.mail.protection.outlook.com", [HARD], [], MailHost.MICROSOFT, Sureness.POSSIBLE),
        ("corp-com.mail.protection.outlook.com", [], [REJECT], MailHost.MICROSOFT, Sureness.LIKELY),
        ("corp-com.a-v1.mx.microsoft", [], [REJECT], MailHost.MICROSOFT, Sureness.LIKELY),
        ("mx.notmimecast.com", [HARD], [], MailHost.OTHER, Sureness.NO),
    ],
)
def test_how_sure_an_own_refusal_is(
    host: str, more: Records, dmarc: Records, kind: MailHost, sureness: Sureness
) -> None:
    found = judged([mx(host), *more], dmarc)
    assert (found.mail_host, found.own_refusal, found.mx) == (kind, sureness, host)
    assert (Reason.OWN_REFUSAL in found.reasons) is (sureness is Sureness.LIKELY)


@pytest.mark.parametrize(
    ("record", "addresses", "worst"),
    [
        ("", "7 8", "none"),
        ("ip4:198.51.100.7 ip4:198.51.100.8 -all", "7 8", "pass"),
        ("ip4:198.51.100.7", "7 8", "neutral"),
        ("ip4:198.51.100.7 ?ip4:198.51.100.8 ~all", "7 8 9", "softfail"),
        ("ip4:198.51.100.7 ~ip4:198.51.100.8 include:nothing.net", "7 8 9", "permerror"),
        ("-ip4:198.51.100.7 ip4:198.51.100.8 include:nothing.net", "7 8 9", "fail"),
        ("ip4:198.51.100.7 ~ip4:198.51.100.8 include:silent.net", "7 8 9", "temperror"),
        ("-ip4:198.51.100.7 include:silent.net", "7 8", "fail"),
    ],
)
def test_the_worst_of_the_addresses_that_are_sent_from_counts(record: str, addresses: str, worst: str) -> None:
    """A receiver sees one of them, and nobody knows which. What a domain refuses is worse than what nobody could
    tell."""
    published = [OTHER, ("TXT", f"v=spf1 {record}")] if record else [OTHER]
    zones = Zones({"com": [], "net": [], "silent.net": [(FAILS, FAILS)], D: published})
    egress = [f"198.51.100.{last}" for last in addresses.split()]
    for order in (egress, egress[::-1]):
        assert run(audit(D, order, lambda name: "com"), zones).spf == worst


def test_the_stricter_method_counts() -> None:
    """psd=n makes b.corp.com an organization of its own for the tree walk alone."""
    zones = Zones(
        {
            "a.b.corp.com": [OTHER],
            "_dmarc.b.corp.com": [("TXT", "v=DMARC1; p=none; psd=n")],
            "_dmarc.corp.com": [REJECT],
        }
    )
    assert run(audit("a.b.corp.com", (), None), zones).reasons == ()
    assert run(audit("a.b.corp.com", (), lambda name: "com"), zones).reasons == (Reason.DMARC_REJECT,)


def test_one_word_for_each() -> None:
    assert judged([OTHER]).verdict == "fine"
    assert judged([OTHER], [REJECT]).verdict == "dmarc_reject"
    guess = judged([mx("x.mimecast.com")])
    assert (guess.verdict, guess.fails) == ("own_refusal", False)
    assert Audited(domain=D, unknown="MX").verdict == "unknown"
    assert set(MEANING) == set(Reason)


def test_a_null_mx_counts_only_alone() -> None:
    assert judged([("MX", "0 ."), OTHER]).reasons == ()
    assert judged([("MX", "0 ."), OTHER]).mx == "mx.host.net"


def test_what_nobody_could_tell_is_no_reason() -> None:
    found = judged([(FAILS, FAILS)])
    assert (found.reasons, found.unknown) == ((), "MX, SPF")
    found = judged([OTHER], [(FAILS, FAILS)])
    assert (found.reasons, found.unknown, found.dmarc, found.verdict) == ((), "DMARC", "unknown", "unknown")


def test_a_name_that_nobody_could_tell_shuts_nobody_out() -> None:
    """RFC 7208 §5.5 lets "ptr" not match then; what would follow from it is not known."""
    zones = Zones(
        {
            "com": [],
            D: [OTHER, ("TXT", "v=spf1 ptr -all")],
            "1.2.0.192.in-addr.arpa": [(FAILS, FAILS)],
        }
    )
    found = run(audit(D, (), lambda name: "com"), zones)
    assert (found.reasons, found.unknown, found.verdict) == ((), "SPF", "unknown")


def test_a_guess_does_not_rest_on_silence() -> None:
    """SPF may pass, for all that we know: then its server refuses nothing."""
    zones = Zones(
        {"com": [], D: [mx("x.mimecast.com"), ("TXT", "v=spf1 include:slow.net ~all")], "slow.net": [(FAILS, FAILS)]}
    )
    found = run(audit(D, (), lambda name: "com"), zones)
    assert (found.own_refusal, found.verdict) == (Sureness.NO, "unknown")


@pytest.mark.parametrize(
    "domain",
    [
        "gmail.com",
        "yahoo.co.uk",
        "hotmail.com.br",
        "gmx.at",
        "t-online.de",
        "live.nl",
        "xs4all.nl",
        "nc.rr.com",
        "bk.ru",
    ],
)
def test_freemail(domain: str) -> None:
    assert is_freemail(domain)


@pytest.mark.parametrize("domain", ["corp.com", "mygmail.com", "live.corp.com", "outlook.company.org", "mail.rr.org"])
def test_no_freemail(domain: str) -> None:
    assert not is_freemail(domain)
