"""DMARC records as they should be: the existing record, with the fewest changes that mend it."""

from collections.abc import Mapping

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import text_record
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dmarc import Published

_WHY = "DMARC (RFC 9989)"


def wanted(facts: DoctorFacts, domain: str) -> tuple[DnsRecord, ...]:
    """The record that should be there, else one that only watches."""
    return facts.to_publish(f"_dmarc.{domain}", "TXT") or (watching(domain, facts.reports_to),)


def watching(domain: str, reports_to: str) -> DnsRecord:
    reports = f"; rua=mailto:{reports_to}" if reports_to else ""
    return text_record(f"_dmarc.{domain}", f"v=DMARC1; p=none{reports}", "DMARC, first to watch (RFC 9989)")


def with_reports(applied: Published, reports_to: str) -> DnsRecord:
    """The record as it is, and our address in rua=."""
    rua = ",".join(f"mailto:{address}" for address in (*applied.record.rua, reports_to))
    return _of(applied, {**applied.record.tags, "rua": rua})


def with_tag(applied: Published, tag: str, value: str) -> DnsRecord:
    return _of(applied, {**applied.record.tags, tag: value})


def without(applied: Published, *unwanted: str) -> DnsRecord:
    return _of(applied, {name: value for name, value in applied.record.tags.items() if name not in unwanted})


def corrected(applied: Published) -> DnsRecord:
    """The record without its invalid tags, and with a policy: its own, else `none`."""
    faulty = {fault.tag for fault in applied.record.faults}
    said = {name: value for name, value in applied.record.tags.items() if name not in faulty or name in ("rua", "ruf")}
    for tag, addresses in (("rua", applied.record.rua), ("ruf", applied.record.ruf)):
        if tag in said:
            said[tag] = ",".join(f"mailto:{address}" for address in addresses)
    policy = said.pop("p", applied.record.policy or "none")
    return _of(applied, {"p": str(policy), **{name: value for name, value in said.items() if value}})


def moved(domain: str, text: str) -> DnsRecord:
    """A record at its place."""
    return text_record(f"_dmarc.{domain}", text, _WHY)


def begun_rightly(domain: str, text: str) -> DnsRecord:
    """The text that was meant as a record, with v=DMARC1 first."""
    tags = (tag.strip() for tag in text.split(";"))
    rest = [tag for tag in tags if tag and not tag.lower().replace(" ", "").startswith("v=")]
    return text_record(f"_dmarc.{domain}", "; ".join(("v=DMARC1", *rest)), _WHY)


def _of(applied: Published, tags: Mapping[str, str]) -> DnsRecord:
    rest = [f"{name}={value}" for name, value in tags.items() if name != "v"]
    return text_record(f"_dmarc.{applied.domain}", "; ".join(("v=DMARC1", *rest)), _WHY)
