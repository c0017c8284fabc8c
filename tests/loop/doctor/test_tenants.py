"""An organization's own domain: well as it was asked to be published, and told of each record that is missing."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from homing.loop.doctor.examined import of_organization
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Outcome
from homing.loop.domains.sending_domains import Delegation, SendingDomain, label_of
from homing.loop.model import OrganizationId

from .examined import FROM, HELO, IP, ORGANIZATION, Records, facts, findings, key, of, zones

BROKEN, OK, WARNING = Outcome.BROKEN, Outcome.OK, Outcome.WARNING


def tenants() -> tuple[DoctorFacts, dict[str, Records]]:
    """An organization's own domain, all records published as asked."""
    moment = datetime(2026, 3, 2, tzinfo=UTC)
    owner = OrganizationId(UUID(int=1))
    domain = SendingDomain(
        id=UUID(int=2),
        organization=owner,
        domain="corp.com",
        label=label_of(owner, "corp.com"),
        created_at=moment,
        next_check_at=moment,
    )
    ours = Delegation(
        operator_domain=ORGANIZATION,
        dkim_domain=f"dkim.{ORGANIZATION}",
        return_host=f"rp.{ORGANIZATION}",
        hostname=HELO,
        selectors=("acme1", "acme2"),
        reports_to=f"dmarc@{FROM}",
    )
    examined = replace(of_organization(domain, ours, egress=(IP, "2001:4860:4860::8844")), suffix_of=facts().suffix_of)
    told = {record.name: [(record.type, record.value)] for record in examined.publish}
    behind = {
        examined.keys[0].alias: [("TXT", key().dns_record())],
        ours.return_host: [("MX", f"10 {HELO}."), ("TXT", ours.spf)],
        f"corp.com._report._dmarc.{FROM}": [("TXT", "v=DMARC1")],
        "corp.com": [("MX", "10 mx.corp.com."), ("TXT", "v=spf1 mx -all")],
        "mx.corp.com": [("A", "192.0.2.3")],
    }
    return examined, zones() | told | behind


def test_a_tenant_who_published_what_he_was_asked_to_is_well() -> None:
    examined, published_now = tenants()
    wrong = {which for which, one in findings(examined, published_now).items() if one.outcome in (BROKEN, WARNING)}
    assert wrong == set()
    assert not {about for _, about in findings(examined, published_now)} & {HELO, IP, FROM}


@pytest.mark.parametrize(
    ("lost", "check", "cure"),
    [
        ("acme1._domainkey.corp.com", "DK01", "CNAME"),
        ("acme2._domainkey.corp.com", "DK01", "CNAME"),
        ("bounce.corp.com", "SPF11", "CNAME"),
        ("_dmarc.corp.com", "DM01", "TXT"),
    ],
)
def test_a_tenant_is_told_which_record_is_missing(lost: str, check: str, cure: str) -> None:
    examined, published_now = tenants()
    published_now.pop(lost)
    wrong = {one.check: one for one in findings(examined, published_now).values() if one.outcome is BROKEN}
    assert wrong[check].records[0].type == cure
    assert wrong[check].records[0].name == lost
    (wanted,) = [record for record in examined.publish if record.name == lost]
    assert wrong[check].records[0].value == wanted.value


def test_a_tenant_without_cname_is_well_too() -> None:
    examined, published_now = tenants()
    published_now["bounce.corp.com"] = [("MX", f"10 {HELO}."), ("TXT", f"v=spf1 include:rp.{ORGANIZATION} -all")]
    assert [one.outcome for one in of("SPF11", examined, published_now)] == [OK]
    assert [one.outcome for one in of("SPF05", examined, published_now)] == [OK]
