"""The doctor, checkdmarc and pyspf look at the same zones in the lab's DNS, and say the same where they judge the same.

Where they differ, the table says why. Both are other people's programs, run as they are installed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import checkdmarc.dmarc
import checkdmarc.smtp
import checkdmarc.smtp_tls_reporting
import checkdmarc.spf
import dns.resolver
import pytest
import spf

from homing.flow.doctor import Doctor
from homing.lab.dns import DnsServer
from homing.loop.doctor.dmarc_lookup import applied_to
from homing.loop.doctor.examined import somebody
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Finding, Outcome
from homing.mail.spf import check
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.dns_dialogue import answer
from homing.net.fetch import Fetcher
from homing.net.suffix import suffix_list

from .broken_zones import BROKEN, GOOD, HOST_IP, STRANGER_IP, Zone

ZONES = BROKEN | GOOD
Verdicts = Mapping[str, object]

DIFFERENCES: dict[tuple[str, str], tuple[object, object, str]] = {
    ("everybody may send", "open to all"): (
        True,
        False,
        "checkdmarc takes +all for what the owner wants; whoever sends under the name passes, and so we call it broken",
    ),
    ("a record between that is an organization", "record at"): (
        "deep.com",
        "b.deep.com",
        "checkdmarc walks the tree alone, and psd=n ends it; by the public suffix list the one above holds: DM08 warns",
    ),
    ("a mail exchange with too many hosts", "look-ups"): (None, 2, "we say which term it is, and count no further"),
    ("names that are gone", "look-ups"): (4, None, "checkdmarc counts no further than to the third name that is gone"),
}
"""What we say, what checkdmarc says, and why."""


@dataclass
class Clinic:
    dns: DnsServer
    resolver: Resolver
    doctor: Doctor

    def examined(self, zone: Zone) -> DoctorFacts:
        return replace(somebody(zone.domain, egress=(HOST_IP,)), suffix_of=suffix_list(), blocklists=())

    @property
    def others_resolver(self) -> dns.resolver.Resolver:
        made = dns.resolver.Resolver(configure=False)
        (ip, made.port), made.lifetime = self.dns.address, 5.0
        made.nameservers = [ip]
        return made


@pytest.fixture
async def clinic() -> AsyncIterator[Clinic]:
    server = DnsServer()
    await server.start()
    for zone in ZONES.values():
        for name, records in zone.published().items():
            server.publish(name, *records)
    resolver = Resolver(server.servers, keep=AS_PUBLISHED, allow_private=True)
    fetcher = Fetcher(resolver)
    yield Clinic(server, resolver, Doctor(resolver=resolver, fetcher=fetcher, hello="mx.me.com", smtp_port=25))
    await fetcher.close()
    await server.close()


@pytest.mark.parametrize("title", BROKEN)
async def test_each_fault_is_named_with_its_cure(clinic: Clinic, title: str) -> None:
    zone = BROKEN[title]
    findings = await clinic.doctor.examine(clinic.examined(zone))
    wrong = {one.check: one for one in findings if one.outcome in (Outcome.BROKEN, Outcome.WARNING)}
    for check_id, words in zone.faults.items():
        named = wrong[check_id]
        told = [named.sentence, *(record.value for record in named.records), *(record.name for record in named.records)]
        assert any(words in text for text in told), named
        assert named.cure
        assert named.evidence


@pytest.mark.parametrize("title", GOOD)
async def test_nothing_is_broken_where_nothing_is(clinic: Clinic, title: str) -> None:
    findings = await clinic.doctor.examine(clinic.examined(GOOD[title]))
    broken = [one for one in findings if one.outcome is Outcome.BROKEN and one.check not in ("PTR01", "PTR02")]
    assert broken == []


@pytest.mark.parametrize("title", ZONES)
async def test_checkdmarc_says_the_same(clinic: Clinic, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, nothing in (("check_dnssec", False), ("get_tlsa_records", [])):  # which ask servers of their own choice
        monkeypatch.setattr(checkdmarc.smtp, name, lambda *_, nothing=nothing, **__: nothing)
    examined = clinic.examined(ZONES[title])
    findings = await clinic.doctor.examine(examined)
    ours = {**_ours(findings), "record at": await _record_at(clinic, examined)}
    theirs = await asyncio.to_thread(_theirs, examined.domain, clinic.others_resolver)
    differing = {what for what in ours if ours[what] != theirs[what]}
    assert differing == {what for zone, what in DIFFERENCES if zone == title}, (ours, theirs)
    for what in differing:
        assert (ours[what], theirs[what]) == DIFFERENCES[title, what][:2]


@pytest.mark.parametrize("title", ZONES)
async def test_pyspf_says_the_same(clinic: Clinic, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = ZONES[title].domain
    monkeypatch.setattr(dns.resolver, "default_resolver", clinic.others_resolver)
    for ip in (HOST_IP, STRANGER_IP):
        ours = await answer(check(ip, f"a@{domain}", f"mx.{domain}"), clinic.resolver)
        theirs, _ = await asyncio.to_thread(spf.check2, ip, f"a@{domain}", f"mx.{domain}")
        assert ours.result.value == theirs


def _ours(findings: tuple[Finding, ...]) -> Verdicts:
    found = {one.check: one for one in findings}

    def broken(*checks: str) -> bool:
        return any(found[one].outcome is Outcome.BROKEN for one in checks)

    unusable = "cannot be evaluated" in found["SPF05"].sentence
    told = found["SPF03"].sentence
    counted = [word for word in told.split() if word.isdecimal()] if "look-ups" in told else []
    return {
        "SPF is usable": not (broken("SPF01", "SPF02", "SPF03", "SPF04", "SPF12") or unusable),
        "look-ups": None if broken("SPF01", "SPF02", "SPF12") or unusable or not counted else int(counted[0]),
        "open to all": broken("SPF06"),
        "DMARC is usable": not broken("DM01", "DM02", "DM03"),
        "reports are wanted": not broken("DM05"),
        "open below": found["DM10"].outcome is Outcome.WARNING,
        "null MX": any("null MX" in found[one].sentence for one in ("MX01", "MX02")),
        "mail host without address": broken("MX01"),
        "mail host is an alias": "an alias of" in found["MX02"].sentence,
        "TLS reports": found["TLS03"].outcome is Outcome.OK,
    }


async def _record_at(clinic: Clinic, examined: DoctorFacts) -> str | None:
    applied = await answer(applied_to(examined, examined.domain), clinic.resolver)
    return None if applied is None else applied.domain


def _theirs(domain: str, resolver: dns.resolver.Resolver) -> Verdicts:
    how: dict[str, Any] = {"resolver": resolver, "timeout": 5.0, "retries": 0}
    policy = checkdmarc.spf.check_spf(domain, **how)
    dmarc = checkdmarc.dmarc.check_dmarc(domain, **how)
    mx = checkdmarc.smtp.check_mx(domain, **how)
    reports = checkdmarc.smtp_tls_reporting.check_smtp_tls_reporting(domain, **how)
    said = " ".join((*policy.get("warnings", ()), *dmarc["warnings"]))
    about_mx = " ".join(mx["warnings"])
    return {
        "SPF is usable": policy["valid"],
        "look-ups": policy.get("dns_lookups"),
        "open to all": "+all" in said,
        "DMARC is usable": dmarc["valid"],
        "record at": dmarc["location"],
        "reports are wanted": "does not indicate that it accepts" not in said,
        "open below": "sp tag value of none" in said,
        "null MX": "null MX" in about_mx,
        "mail host without address": any(not host["addresses"] for host in mx["hosts"]),
        "mail host is an alias": "CNAME alias" in about_mx,
        "TLS reports": reports["valid"],
    }
