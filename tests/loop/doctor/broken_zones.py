"""Domains as the lab publishes them: twelve and more with one planted fault each, and some with none.

Each has the address 192.0.2.10 of its mail host, from which it says that it sends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

HOST_IP, STRANGER_IP = "192.0.2.10", "198.51.100.7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """`records`: what is published under names relative to the domain ("" is the domain itself), in place of what is
    well; `above`: under other names. `faults`: the checks that must name the fault, each with words of its sentence or
    of the record that mends it."""

    domain: str
    records: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    above: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    def published(self) -> dict[str, tuple[str, ...]]:
        well = {
            "": ("MX 10 mx.{d}.", 'TXT "v=spf1 mx -all"'),
            "mx": (f"A {HOST_IP}",),
            "_dmarc": ('TXT "v=DMARC1; p=reject; np=reject; rua=mailto:d@{d}"',),
            "_smtp._tls": ('TXT "v=TLSRPTv1; rua=mailto:t@{d}"',),
        }
        own = {
            f"{name}.{self.domain}".lstrip("."): tuple(record.replace("{d}", self.domain) for record in records)
            for name, records in (well | dict(self.records)).items()
            if records
        }
        return own | dict(self.above)


MX = "MX 10 mx.{d}."
WATCHING = "v=DMARC1; p=none; rua=mailto:d@deep.com"


def text(value: str) -> str:
    return f'TXT "{value}"'


BROKEN = {
    "two SPF records": Zone(
        domain="two-spf.com",
        records={"": (MX, text("v=spf1 mx -all"), text("v=spf1 ip4:192.0.2.11 -all"))},
        faults={"SPF01": "v=spf1 ip4:192.0.2.11 mx -all"},
    ),
    "a slip in the SPF record": Zone(
        domain="slip.com",
        records={"": (MX, text("v=spf1 mx ipv4:192.0.2.11 -all"))},
        faults={"SPF02": "v=spf1 mx ip4:192.0.2.11 -all"},
    ),
    "eleven look-ups": Zone(
        domain="eleven.com",
        records={
            "": (MX, text("v=spf1 mx " + " ".join(f"a:h{number}.{{d}}" for number in range(10)) + " -all")),
            **{f"h{number}": (f"A {HOST_IP}",) for number in range(10)},
        },
        faults={
            "SPF03": "v=spf1 mx " + " ".join(f"a:h{number}.eleven.com" for number in range(9)) + " ip4:192.0.2.10 -all"
        },
    ),
    "names that are gone": Zone(
        domain="gone-names.com",
        records={"": (MX, text("v=spf1 mx a:a.{d} a:b.{d} a:c.{d} -all"))},
        faults={"SPF04": "v=spf1 mx -all"},
    ),
    "an include without a record": Zone(
        domain="dead-include.com",
        records={"": (MX, text("v=spf1 include:spf.{d} mx -all"))},
        faults={
            "SPF04": "v=spf1 mx -all",
            "SPF05": "spf.dead-include.com has no SPF record",
            "SPF12": "v=spf1 mx -all",
        },
    ),
    "an include without a record, one level deeper": Zone(
        domain="dead-below.com",
        records={
            "": (MX, text("v=spf1 ip4:192.0.2.10 include:y.{d} -all")),
            "y": (text("v=spf1 include:z.{d} ~all"),),
            "z": (text("google-site-verification=x"),),
        },
        faults={"SPF12": "v=spf1 ~all"},
    ),
    "an include of two records": Zone(
        domain="two-below.com",
        records={
            "": (MX, text("v=spf1 mx include:y.{d} -all")),
            "y": (text("v=spf1 ip4:192.0.2.11 -all"), text("v=spf1 ip4:192.0.2.12 -all")),
        },
        faults={"SPF12": "v=spf1 ip4:192.0.2.11 ip4:192.0.2.12 -all"},
    ),
    "a redirect to a malformed record": Zone(
        domain="slip-below.com",
        records={"": (MX, text("v=spf1 mx redirect=y.{d}")), "y": (text("v=spf1 ipv4:192.0.2.11 -all"),)},
        faults={"SPF12": "v=spf1 ip4:192.0.2.11 -all"},
    ),
    "a space is missing": Zone(
        domain="glued.com",
        records={"": (MX, text("v=spf1 mxinclude:y.{d} -all")), "y": (text("v=spf1 ip4:192.0.2.11 -all"),)},
        faults={"SPF02": "v=spf1 mx include:y.glued.com -all"},
    ),
    "a mail exchange with too many hosts": Zone(
        domain="crowded.com",
        records={
            "": (MX, text("v=spf1 mx mx:many.{d} -all")),
            "many": tuple(f"MX 10 h{number}.many.{{d}}." for number in range(11)),
            **{f"h{number}.many": (f"A 192.0.2.{20 + number}",) for number in range(11)},
        },
        faults={"SPF03": "mx:many.crowded.com"},
    ),
    "a null MX beside another": Zone(
        domain="null-beside.com",
        records={"": (MX, "MX 0 .", text("v=spf1 mx -all"))},
        faults={"MX02": "10 mx.null-beside.com"},
    ),
    "a circle of includes": Zone(
        domain="circle.com",
        records={"": (MX, text("v=spf1 mx include:b.{d} -all")), "b": (text("v=spf1 include:{d} -all"),)},
        faults={"SPF03": "circle.com → b.circle.com → circle.com"},
    ),
    "everybody may send": Zone(
        domain="everybody.com",
        records={"": (MX, text("v=spf1 mx +all"))},
        faults={"SPF06": "v=spf1 mx -all"},
    ),
    "anybody may try": Zone(
        domain="anybody.com",
        records={"": (MX, text("v=spf1 mx ?all"))},
        faults={"SPF06": "v=spf1 mx ~all"},
    ),
    "another address than that of the mail host": Zone(
        domain="moved.com",
        records={"": (MX, text("v=spf1 ip4:192.0.2.99 -all"))},
        faults={"SPF05": "v=spf1 ip4:192.0.2.10 ip4:192.0.2.99 -all"},
    ),
    "no SPF record": Zone(domain="no-spf.com", records={"": (MX,)}, faults={"SPF01": "v=spf1 ip4:192.0.2.10 -all"}),
    "two DMARC records": Zone(
        domain="two-dmarc.com",
        records={"_dmarc": (text("v=DMARC1; p=none"), text("v=DMARC1; p=reject"))},
        faults={"DM01": "v=DMARC1; p=reject"},
    ),
    "no DMARC record": Zone(domain="no-dmarc.com", records={"_dmarc": ()}, faults={"DM01": "v=DMARC1; p=none"}),
    "DMARC with a small v": Zone(
        domain="small-v.com",
        records={"_dmarc": (text("v=dmarc1; p=reject"),)},
        faults={"DM01": "v=DMARC1; p=reject", "DM02": "v=DMARC1; p=reject"},
    ),
    "a DMARC policy that nobody knows": Zone(
        domain="odd-policy.com",
        records={"_dmarc": (text("v=DMARC1; p=block"),)},
        faults={"DM03": "v=DMARC1; p=none"},
    ),
    "DMARC at the domain itself": Zone(
        domain="misplaced.com",
        records={"": (MX, text("v=spf1 mx -all"), text("v=DMARC1; p=reject")), "_dmarc": ()},
        faults={"DM14": "v=DMARC1; p=reject", "DM01": "v=DMARC1; p=reject"},
    ),
    "reports to somebody who does not want them": Zone(
        domain="unwanted.com",
        records={"_dmarc": (text("v=DMARC1; p=reject; rua=mailto:a@reports.net"),)},
        faults={"DM05": "unwanted.com._report._dmarc.reports.net"},
    ),
    "subdomains left open": Zone(
        domain="open-below.com",
        records={"_dmarc": (text("v=DMARC1; p=reject; sp=none; rua=mailto:d@{d}"),)},
        faults={"DM10": "v=DMARC1; p=reject; rua=mailto:d@open-below.com"},
    ),
    "a record between that is an organization": Zone(
        domain="a.b.deep.com",
        records={"_dmarc": ()},
        above={"_dmarc.b.deep.com": (text("v=DMARC1; p=reject; psd=n"),), "_dmarc.deep.com": (text(WATCHING),)},
        faults={"DM08": "v=DMARC1; p=reject"},
    ),
    "no mail wanted, and mail sent": Zone(
        domain="null-mx.com",
        records={"": ("MX 0 .", text("v=spf1 a:mx.{d} -all"))},
        faults={"MX02": "takes no mail"},
    ),
    "a mail host without address": Zone(
        domain="lost-host.com",
        records={"": (MX, text("v=spf1 ip4:192.0.2.10 -all")), "mx": ()},
        faults={"MX01": "mx.lost-host.com"},
    ),
    "a mail host that is an alias": Zone(
        domain="alias-host.com",
        records={"mx": ("CNAME real.{d}.",), "real": (f"A {HOST_IP}",)},
        faults={"MX02": "10 real.alias-host.com"},
    ),
    "TLS reports to nowhere": Zone(
        domain="no-tls-reports.com",
        records={"_smtp._tls": (text("v=TLSRPTv1"),)},
        faults={"TLS03": "v=TLSRPTv1; rua=mailto:tlsrpt@no-tls-reports.com"},
    ),
}

GOOD = {
    "all in order": Zone(domain="good.com"),
    "a child of a domain with DMARC": Zone(domain="child.good.com", records={"_dmarc": ()}),
    "SPF by redirect": Zone(
        domain="redirected.com",
        records={"": (MX, text("v=spf1 redirect=spf.{d}")), "spf": (text("v=spf1 a:mx.{d} -all"),)},
    ),
    "SPF with a macro": Zone(
        domain="macro.com",
        records={"": (MX, text("v=spf1 exists:%{i}.ok.{d} -all")), f"{HOST_IP}.ok": ("A 127.0.0.2",)},
    ),
    "SPF that is not quite sure": Zone(domain="unsure.com", records={"": (MX, text("v=spf1 mx ~all"))}),
    "DMARC only to watch": Zone(
        domain="watched.com", records={"_dmarc": (text("v=DMARC1; p=none; rua=mailto:d@{d}"),)}
    ),
}
