"""Facts known before the doctor asks: the names of outgoing mail, its addresses, and the expected records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dmarc import SuffixOf
from homing.mail.dns_question import Answer

BLOCKLISTS = ("zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAt:
    """A DKIM key that should be in the DNS at `name`.

    `record` is its text, "" where we do not have the key; `alias` the target of the CNAME that should stand there, ""
    where the key itself should. `proof` is a message signed with it; `retired`: it should be gone; `spare`: it
    signs later, so that only its name must be right.
    """

    domain: str
    selector: str
    record: str = ""
    alias: str = ""
    proof: bytes = field(default=b"", repr=False)
    retired: bool = False
    spare: bool = False

    @property
    def name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProbe:
    """The answers of a mail host, probed at port 25. `silence`: why there was no answer, "" if there was one.

    `refused` holds the reply to each recipient that it refused; "" stands for the null sender. `certificates` (DER) are
    those that it showed after STARTTLS, its own first; `tls_failure`: why there are none.
    """

    host: str
    ip: str
    silence: str = ""
    starttls: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    tls_failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file as fetched over HTTPS; `failure`: why it could not be had."""

    url: str = ""
    content: bytes = field(default=b"", repr=False)
    failure: str = ""

    @property
    def text(self) -> str:
        return self.content.decode("ascii", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorFacts:
    """The names examined: the domain in From, and those that go with it. "" and () mean unknown or unused.

    `domain` is the domain of header From, `return_domain` that of the envelope sender, and `return_alias` where a CNAME
    there should lead; `hostname` is our name in EHLO. `of_organization`: the domain is that of an organization that
    sends through us; its other mail and our hosts are not examined. `reports_to` is the mailbox that should get
    aggregate reports; `organization` the organizational domain where the caller knows it. `publish` are the records
    that should be there. `replies_to`: domains that replies to mail under `domain` go to. `specimen` is a message as it
    left, CRLF-ended.

    These are there only if they were looked up: `probes` (by host), `policies` of MTA-STS (by domain), `files` (logos
    and their certificates, by URL), `by_server` (the answers for a name, by server of its zone or resolver), `starts`
    (the SOA record of a name's zone, by server), `bogus` (names whose signatures are wrong) and `times_to_live`
    (seconds, by name). `now`: the time of that.
    """

    domain: str
    return_domain: str = ""
    hostname: str = ""
    egress: tuple[str, ...] = ()
    keys: tuple[PublishedAt, ...] = ()
    reports_to: str = ""
    organization: str = ""
    publish: tuple[DnsRecord, ...] = ()
    return_alias: str = ""
    of_organization: bool = False
    blocklists: tuple[str, ...] = BLOCKLISTS
    probes: Mapping[str, HostProbe] = field(default_factory=dict)
    policies: Mapping[str, Fetched] = field(default_factory=dict)
    files: Mapping[str, Fetched] = field(default_factory=dict)
    by_server: Mapping[str, Mapping[str, Answer[str]]] = field(default_factory=dict)
    starts: Mapping[str, Mapping[str, Answer[str]]] = field(default_factory=dict)
    bogus: frozenset[str] = frozenset()
    times_to_live: Mapping[str, float] = field(default_factory=dict)
    replies_to: tuple[str, ...] = ()
    specimen: bytes = field(default=b"", repr=False)
    now: datetime | None = None
    suffix_of: SuffixOf | None = field(default=None, compare=False)

    def key(self, name: str) -> PublishedAt:
        return next(key for key in self.keys if key.name == name)

    def to_publish(self, name: str, record_type: str, beginning: str = "") -> tuple[DnsRecord, ...]:
        """The records of a name and type that should be there; `beginning` of their values."""
        return tuple(
            record
            for record in self.publish
            if (record.name, record.type) == (name, record_type) and record.value.startswith(beginning)
        )
