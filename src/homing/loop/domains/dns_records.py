"""The records that the operator's DNS needs, so that mail passes authentication and bounces come back.

The mail leaves from the addresses of `hostname`; SPF says so for the return path, for the name in EHLO, and for the
visible From too, which some receivers test though no standard asks them to (RFC 7208 §2.4 knows the first two).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from homing.loop.domains.identity import OperatorIdentity

_TTL = 3600
_NO_NAMES = frozenset({"A", "AAAA", "TLSA"})
_STRING = 255
"""Octets of one character-string (RFC 1035 §3.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsRecord:
    """A record to publish. `name` and host names in `value` end without the final dot."""

    name: str
    type: str
    value: str
    why: str

    def in_zone(self) -> str:
        """The record as a line of a zone file (RFC 1035 §5.1)."""
        return f"{_plain(self.name)}. {_TTL} IN {self.type} {_rdata(self)}"


def records_to_publish(
    operator_domain: str, identity: OperatorIdentity, hostname: str, dkim: Iterable[tuple[str, str]]
) -> tuple[DnsRecord, ...]:
    """All records but the addresses of `hostname`, which only the operator knows. `dkim`: each key's name and value."""
    shared, back = identity.from_domain, identity.return_domain
    spf = f"v=spf1 a:{hostname} -all"
    mx = f"10 {hostname}"
    reports = f"rua=mailto:dmarc@{shared}"
    records = [
        DnsRecord(name=back, type="MX", value=mx, why="bounces come back to us"),
        DnsRecord(name=back, type="TXT", value=spf, why="SPF of the return path, aligned with From (RFC 7208)"),
        DnsRecord(name=shared, type="MX", value=mx, why="replies to the unmonitored From get an answer"),
        DnsRecord(name=shared, type="TXT", value=spf, why="SPF of the visible From, for receivers that test it"),
        *(DnsRecord(name=name, type="TXT", value=value, why="the DKIM key (RFC 6376)") for name, value in dkim),
        DnsRecord(
            name=f"_dmarc.{shared}",
            type="TXT",
            value=f"v=DMARC1; p=none; adkim=s; {reports}",
            why="DMARC, first to watch; raise p when the reports are clean (RFC 9989)",
        ),
        DnsRecord(
            name=f"*._report._dmarc.{shared}",
            type="TXT",
            value="v=DMARC1",
            why="we want the DMARC reports of organizations' own domains (RFC 9990)",
        ),
        DnsRecord(name=hostname, type="TXT", value="v=spf1 a -all", why="SPF of the name in EHLO, for the null sender"),
    ]
    if operator_domain != shared:
        records.append(
            DnsRecord(
                name=f"_dmarc.{operator_domain}",
                type="TXT",
                value=f"v=DMARC1; p=none; {reports}",
                why="DMARC at the organizational domain, unless there is a record already (RFC 9989)",
            )
        )
    return tuple(records)


def zone(records: Iterable[DnsRecord], hostname: str) -> str:
    """The records as part of a zone file, with a reminder of what only the operator can fill in."""
    reminder = (
        f"; {hostname}. {_TTL} IN A    the public IPv4 address that mail leaves from\n"
        f"; {hostname}. {_TTL} IN AAAA its IPv6 address, if mail leaves over IPv6\n"
        f"; and the PTR record of each of these addresses must say {hostname}.\n"
    )
    return reminder + "".join(f"{record.in_zone()}\n" for record in records)


def _rdata(record: DnsRecord) -> str:
    if record.type != "TXT":
        value = _plain(record.value)
        return value if record.type in _NO_NAMES else f"{value}."
    octets = record.value.encode()
    pieces = [octets[at : at + _STRING] for at in range(0, len(octets), _STRING)] or [b""]
    return " ".join('"' + "".join(map(_escaped, piece)) + '"' for piece in pieces)


def _escaped(octet: int) -> str:
    """An octet of a quoted string: three digits where it would act instead of being read (RFC 1035 §5.1)."""
    if octet in b'"\\':
        return f"\\{octet:c}"
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def _plain(text: str) -> str:
    """Names and numbers as they are, without characters that would act on whoever reads them."""
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}" for octet in text.encode())
