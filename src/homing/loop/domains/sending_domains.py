"""An organization's own domain: the records it must publish, the state of each, and the level they prove.

The domain's owner publishes aliases of our names. So keys and addresses can change behind them without asking again;
and since each DKIM alias leads to a name that is this organization's alone, it proves that the domain's owner wants it.

Pure: the DNS is asked elsewhere (`flow.verify_domains`), and its verdicts (`loop.domains.publication`) change facts
here, slowly. A timeout never takes anything away; three denials in a row by the zone's own servers do, and two good
answers bring it back.
"""

from base64 import b32encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from homing.loop.domains.dns_records import DnsRecord
from homing.loop.domains.publication import Judgement, Publication
from homing.loop.domains.signing_keys import DkimKey, key_records
from homing.loop.model import Level, OrganizationId

LOST_AFTER = 3
"""Denials in a row, each by a server of the zone, after which a proof is lost."""
APART = timedelta(minutes=5)
"""The least time between two denials that count, however often the DNS is asked."""
BACK_AFTER = 2
"""Good answers in a row after which it is proved again."""

CHECK_FRESH = timedelta(minutes=5)
CHECK_DOUBTFUL = timedelta(minutes=15)
CHECK_PROVED = timedelta(hours=1)
_FRESH_FOR = timedelta(days=2)
_LABEL = 16


class RecordState(StrEnum):
    """How a record stands. `pending`: not there yet; `failed`: it was there, or something else is."""

    PENDING = "pending"
    VERIFIED = "verified"
    FAILED = "failed"
    TEMPORARY_FAILURE = "temporary_failure"


class RecordPurpose(StrEnum):
    """What a record of a sending domain is for."""

    DKIM_1 = "dkim_1"
    DKIM_2 = "dkim_2"
    RETURN_PATH = "return_path"
    DMARC = "dmarc"


_DKIM = (RecordPurpose.DKIM_1, RecordPurpose.DKIM_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFact:
    """The facts about one record. `held`: it counts as proved; `lost`: it did before, but no longer. `good` and `bad`:
    answers in a row, and `bad_at` when the last denial counted. `query`, `server`, `answer`: the last evidence."""

    state: RecordState = RecordState.PENDING
    held: bool = False
    lost: bool = False
    good: int = 0
    bad: int = 0
    bad_at: datetime | None = None
    checked_at: datetime | None = None
    query: str = ""
    server: str = ""
    answer: str = ""


UNKNOWN = RecordFact()


def after_check(fact: RecordFact, found: Judgement, query: str, now: datetime) -> RecordFact:
    """The fact after the DNS has been asked once more."""
    seen = replace(fact, checked_at=now, query=query, server=found.server, answer=found.answer)
    match found.standing:
        case Publication.UNKNOWN:
            return replace(seen, state=RecordState.TEMPORARY_FAILURE)
        case Publication.THERE:
            good = fact.good + 1
            held = fact.held or good >= (BACK_AFTER if fact.lost else 1)
            state = RecordState.VERIFIED if held else RecordState.PENDING
            return replace(seen, state=state, held=held, lost=fact.lost and not held, good=good, bad=0)
        case Publication.MISSING:
            again = fact.bad > 0 and fact.bad_at is not None and now - fact.bad_at < APART
            bad = fact.bad if again else fact.bad + 1
            held = fact.held and bad < LOST_AFTER
            lost = fact.lost or (fact.held and not held)
            broken = fact.held or lost or found.wrong
            state = RecordState.FAILED if broken else RecordState.PENDING
            return replace(
                seen, state=state, held=held, lost=lost, good=0, bad=bad, bad_at=fact.bad_at if again else now
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingDomain:
    """A domain that an organization wants to send from. `own_recipients`: its own mail server is known to take mail
    from it that comes from outside. `signing`: which of its DKIM records leads to the key that signs now, None: none
    does."""

    id: UUID
    organization: OrganizationId
    domain: str
    label: str
    created_at: datetime
    next_check_at: datetime
    own_recipients: bool = False
    facts: Mapping[RecordPurpose, RecordFact] = field(default_factory=dict)
    signing: RecordPurpose | None = None
    checked_at: datetime | None = None
    removed_at: datetime | None = None

    def fact(self, purpose: RecordPurpose) -> RecordFact:
        return self.facts.get(purpose, UNKNOWN)

    @property
    def return_domain(self) -> str:
        """The domain of its envelope senders, a child of it."""
        return return_domain_of(self.domain)


def return_domain_of(domain: str) -> str:
    """The domain of the envelope senders of mail from `domain`: a child, so that SPF is aligned (RFC 9989)."""
    return f"bounce.{domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """The names of ours that other domains' records lead to. Keys stand below `dkim_domain`, under wildcards, so that
    one record serves every label; `return_host` has the MX and the SPF record of a return path; `selectors` are the
    two that a domain publishes."""

    operator_domain: str
    dkim_domain: str
    return_host: str
    hostname: str
    selectors: tuple[str, str]
    reports_to: str

    @property
    def spf(self) -> str:
        return f"v=spf1 a:{self.hostname} -all"

    def purpose_of(self, selector: str | None) -> "RecordPurpose | None":
        """Which of a domain's records leads to the key under this selector."""
        return None if selector is None else _DKIM[self.selectors.index(selector)]

    def record_name(self, selector: str, label: str = "*") -> str:
        """Where the key's record stands: for all labels, or for one."""
        return f"{label}.{selector}.{self.dkim_domain}"


def label_of(organization: OrganizationId, domain: str) -> str:
    """A name for this domain of this organization: two organizations never have the same."""
    digest = sha256(f"{organization.hex} {domain}".encode()).digest()
    return b32encode(digest).decode().lower()[:_LABEL]


def records_of(domain: SendingDomain, ours: Delegation) -> dict[RecordPurpose, tuple[DnsRecord, ...]]:
    """The records that its owner publishes, by purpose; of several records, either all or their `alternatives`."""
    name = domain.domain
    first, second = ours.selectors
    return {
        RecordPurpose.DKIM_1: (_dkim_alias(domain, first, ours, "the DKIM key that signs, or the one that follows"),),
        RecordPurpose.DKIM_2: (_dkim_alias(domain, second, ours, "the other DKIM key: keys change without your help"),),
        RecordPurpose.RETURN_PATH: (
            DnsRecord(
                name=domain.return_domain,
                type="CNAME",
                value=ours.return_host,
                why="bounces come back to us, and SPF passes (RFC 7208); nothing else may stand at this name",
            ),
        ),
        RecordPurpose.DMARC: (
            DnsRecord(
                name=f"_dmarc.{name}",
                type="TXT",
                value=f"v=DMARC1; p=none; rua=mailto:{ours.reports_to}",
                why="DMARC, unless there is a record already: then only add our rua to it (RFC 9989)",
            ),
        ),
    }


def alternatives(domain: SendingDomain, ours: Delegation) -> tuple[DnsRecord, ...]:
    """Instead of the return path's CNAME, where the DNS provider has none."""
    return (
        DnsRecord(name=domain.return_domain, type="MX", value=f"10 {ours.hostname}", why="bounces come back to us"),
        DnsRecord(
            name=domain.return_domain,
            type="TXT",
            value=f"v=spf1 include:{ours.return_host} -all",
            why="SPF of the return path (RFC 7208)",
        ),
    )


def behind_aliases(ours: Delegation) -> tuple[DnsRecord, ...]:
    """What we ourselves publish where return paths lead."""
    return (
        DnsRecord(
            name=ours.return_host, type="MX", value=f"10 {ours.hostname}", why="bounces of organizations' domains"
        ),
        DnsRecord(name=ours.return_host, type="TXT", value=ours.spf, why="SPF of organizations' return paths"),
    )


def published_by_us(keys: Sequence[DkimKey], ours: Delegation, tagged: str | None = None) -> tuple[DnsRecord, ...]:
    """All records that change with keys and domains: the keys, and the targets of organizations' aliases once a domain
    has been added. `keys`: oldest first; `tagged`: see `key_records`."""
    led_to = any(key.domain == ours.dkim_domain for key in keys)
    return key_records(keys, tagged) + (behind_aliases(ours) if led_to else ())


def is_owned(domain: SendingDomain) -> bool:
    """Whether its owner has put an alias there that is this organization's alone, whichever key signs now."""
    return domain.removed_at is None and any(domain.fact(purpose).held for purpose in _DKIM)


def level_of(domain: SendingDomain) -> Level:
    """The best level that the facts about the domain bear out; `shared` when they bear out none of its own."""
    if domain.removed_at or domain.signing is None or not domain.fact(domain.signing).held:
        return Level.SHARED
    return Level.CUSTOM_FULL if domain.fact(RecordPurpose.RETURN_PATH).held else Level.CUSTOM_DKIM


def next_check(domain: SendingDomain, now: datetime, spread: float) -> datetime:
    """When to ask the DNS again: soon while somebody waits or something is amiss. `spread`: 0 to 1, so that domains of
    one day are not asked about in one second."""
    facts = [domain.fact(purpose) for purpose in RecordPurpose if purpose is not RecordPurpose.DMARC]
    if any(fact.held and fact.state is not RecordState.VERIFIED for fact in facts) or any(one.lost for one in facts):
        every = CHECK_DOUBTFUL
    elif level_of(domain) is not Level.CUSTOM_FULL and now - domain.created_at < _FRESH_FOR:
        every = CHECK_FRESH
    else:
        every = CHECK_PROVED
    return now + every * (1 + spread / 4)


def _dkim_alias(domain: SendingDomain, selector: str, ours: Delegation, why: str) -> DnsRecord:
    return DnsRecord(
        name=f"{selector}._domainkey.{domain.domain}",
        type="CNAME",
        value=ours.record_name(selector, domain.label),
        why=why,
    )
