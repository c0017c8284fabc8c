"""Does the domain in From stand behind this message? DMARC by both methods in use, as a dialogue with the DNS.

Receivers find the domain at which alignment is judged either by the DNS tree walk (RFC 9989 §4.10) or, still, by the
public suffix list (RFC 7489 §3.2). The two can disagree, so both verdicts are always given. Domain names are lower-case
A-labels without a final dot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from homing.mail.dmarc_record import DmarcRecord, Policy, read_dmarc
from homing.mail.dns_question import Ask, Dialogue, Found, LookupFailed, NoSuchName, RecordType, well_formed

_WALK_LABELS = 7  # after the first question, so that eight are asked at most
SuffixOf = Callable[[str], str]
"""The public suffix that a domain ends in: "com", "co.uk"; the domain itself where it is one."""


class DmarcResult(StrEnum):
    """RFC 8601 §2.7, RFC 7489 §11.2."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a word of RFC 7489
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """The SPF and DKIM results of a message: the domain for which SPF passed ("": none), and the domains whose
    signatures verify. `uncertain`: a check could not be made, so a DMARC fail may be wrong."""

    spf: str = ""
    dkim: tuple[str, ...] = ()
    uncertain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodVerdict:
    """The verdict of one method. `found_at` is the domain of the record that was applied, "" if there is none.

    `policy` is what that record asks for mail from this domain, `testing` that it is to be lowered a level.
    """

    result: DmarcResult
    organizational_domain: str
    found_at: str = ""
    policy: Policy | None = None
    testing: bool = False
    spf_aligned: bool = False
    dkim_aligned: bool = False

    @property
    def disposition(self) -> Policy:
        """What the domain's owner asks to be done with this message."""
        if self.result is not DmarcResult.FAIL or self.policy is None:
            return Policy.NONE
        return self.policy.lowered if self.testing else self.policy


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcVerdict:
    """`suffix_list` is None where no list was at hand."""

    author_domain: str
    tree_walk: MethodVerdict
    suffix_list: MethodVerdict | None

    @property
    def agreed(self) -> DmarcResult | None:
        """What both methods say, None if they differ."""
        alone = self.suffix_list is None or self.suffix_list.result is self.tree_walk.result
        return self.tree_walk.result if alone else None


@dataclass(frozen=True, slots=True)
class Published:
    """A record and the domain that it is of: it stands at `_dmarc.<domain>`."""

    domain: str
    record: DmarcRecord


def organizational_domain(name: str, suffix_of: SuffixOf) -> str:
    """The organizational domain by the public suffix list: the suffix and one label more (RFC 7489 §3.2)."""
    suffix = suffix_of(name)
    if not name.endswith(f".{suffix}"):
        return name
    return f"{name.removesuffix(f'.{suffix}').rpartition('.')[2]}.{suffix}"


def organizational_domain_of_walk(start: str, walk: Sequence[Published]) -> str:
    """The organizational domain by the records that a tree walk from `start` met (RFC 9989 §4.10.2)."""
    for published in walk:
        if published.record.public_suffix == "n":
            return published.domain
        if published.record.public_suffix == "y" and published.domain != start:
            below = start.removesuffix(f".{published.domain}").rpartition(".")[2]
            return f"{below}.{published.domain}"
    return walk[-1].domain if walk else start


def tree_walk(start: str) -> Dialogue[tuple[Published, ...] | None]:
    """The records at `start` and above it, at most eight questions (RFC 9989 §4.10). None: a question had no answer."""
    try:
        return (yield from _Discovery().walk(start))
    except _Uncertain:
        return None


def evaluate(author_domain: str, vouched: Vouched, suffix_of: SuffixOf | None) -> Dialogue[DmarcVerdict]:
    """Whether a message from `author_domain`, that of header From, is vouched for by an aligned domain."""
    discovery = _Discovery()
    by_walk = yield from discovery.by_walk(author_domain, vouched)
    by_list = None
    if suffix_of is not None:
        by_list = yield from discovery.by_list(author_domain, vouched, suffix_of)
    return DmarcVerdict(author_domain=author_domain, tree_walk=by_walk, suffix_list=by_list)


class _Uncertain(Exception):  # noqa: N818 - leaves this module as a temporary error
    """A record could not be looked up."""


@dataclass(slots=True)
class _Discovery:
    """The records that both methods need; each is looked up once."""

    known: dict[str, DmarcRecord | None] = field(default_factory=dict)

    def by_walk(self, author: str, vouched: Vouched) -> Dialogue[MethodVerdict]:
        try:
            walk = yield from self.walk(author)
            organization = organizational_domain_of_walk(author, walk)
            applied = _applied(author, organization, walk)
            if applied is None:
                return MethodVerdict(result=DmarcResult.NONE, organizational_domain=organization)
            policy = yield from self._policy(author, applied)
        except _Uncertain:
            return MethodVerdict(result=DmarcResult.TEMPERROR, organizational_domain=author)
        uncertain = vouched.uncertain
        aligned: dict[str, bool] = {}
        for domain in dict.fromkeys((vouched.spf, *vouched.dkim)):
            try:
                aligned[domain] = domain == author or (yield from self._walks_to(domain, organization))
            except _Uncertain:
                aligned[domain], uncertain = False, True
        return _verdict(author, organization, applied, policy, _Alignment(vouched, aligned, uncertain))

    def by_list(self, author: str, vouched: Vouched, suffix_of: SuffixOf) -> Dialogue[MethodVerdict]:
        organization = organizational_domain(author, suffix_of)
        try:
            applied = yield from self._first(author, organization)
        except _Uncertain:
            return MethodVerdict(result=DmarcResult.TEMPERROR, organizational_domain=organization)
        if applied is None:
            return MethodVerdict(result=DmarcResult.NONE, organizational_domain=organization)
        record = applied.record
        policy = record.policy if applied.domain == author else record.subdomains or record.policy
        aligned = {
            domain: organizational_domain(domain, suffix_of) == organization for domain in (vouched.spf, *vouched.dkim)
        }
        return _verdict(author, organization, applied, policy, _Alignment(vouched, aligned, vouched.uncertain))

    def walk(self, start: str) -> Dialogue[tuple[Published, ...]]:
        labels = start.split(".")
        rest = labels[1:] if len(labels) <= _WALK_LABELS else labels[-_WALK_LABELS:]
        names = [start, *(".".join(rest[skipped:]) for skipped in range(len(rest)))]
        met: list[Published] = []
        for name in names:
            record = yield from self._record(name)
            if record is not None:
                met.append(Published(name, record))
                if record.public_suffix in ("y", "n"):
                    break
        return tuple(met)

    def _walks_to(self, domain: str, organization: str) -> Dialogue[bool]:
        """Whether `organization` is also the organizational domain of `domain`, which is itself or a subdomain."""
        if not f".{domain}".endswith(f".{organization}"):
            return False
        walk = yield from self.walk(domain)
        return organizational_domain_of_walk(domain, walk) == organization

    def _policy(self, author: str, applied: Published) -> Dialogue[Policy | None]:
        record = applied.record
        if applied.domain == author or record.policy is None:
            return record.policy
        if record.nonexistent is not None and (yield from self._is_missing(author)):
            return record.nonexistent
        return record.subdomains or record.policy

    def _is_missing(self, name: str) -> Dialogue[bool]:
        """NXDOMAIN: neither the name nor anything below it exists (RFC 8020)."""
        answer = yield Ask(name, RecordType.A)
        if isinstance(answer, LookupFailed):
            raise _Uncertain
        return isinstance(answer, NoSuchName)

    def _first(self, *domains: str) -> Dialogue[Published | None]:
        for domain in domains:
            record = yield from self._record(domain)
            if record is not None:
                return Published(domain, record)
        return None

    def _record(self, domain: str) -> Dialogue[DmarcRecord | None]:
        """The record of a domain; several records count as none."""
        if domain not in self.known:
            name = f"_dmarc.{domain}"
            answer = (yield Ask(name, RecordType.TXT)) if well_formed(name) else None
            if isinstance(answer, LookupFailed):
                raise _Uncertain
            texts = answer.records if isinstance(answer, Found) else ()
            records = [record for record in map(read_dmarc, texts) if record is not None]
            self.known[domain] = records[0] if len(records) == 1 else None
        return self.known[domain]


def _applied(author: str, organization: str, walk: Sequence[Published]) -> Published | None:
    """The author domain's record, else its organizational domain's, else the public suffix domain's (§4.10.1)."""
    met = {published.domain: published for published in walk}
    above = [published for published in walk if published.record.public_suffix == "y"]
    return met.get(author) or met.get(organization) or (above[-1] if above else None)


@dataclass(frozen=True, slots=True)
class _Alignment:
    """Which of the vouched-for domains belong to the author's organization."""

    vouched: Vouched
    relaxed: dict[str, bool]
    uncertain: bool


def _verdict(
    author: str, organization: str, applied: Published, policy: Policy | None, alignment: _Alignment
) -> MethodVerdict:
    record, vouched = applied.record, alignment.vouched

    def aligned(domain: str, *, strictly: bool) -> bool:
        return bool(domain) and (domain == author or (not strictly and alignment.relaxed[domain]))

    spf_aligned = aligned(vouched.spf, strictly=record.strict_spf)
    dkim_aligned = any(aligned(domain, strictly=record.strict_dkim) for domain in vouched.dkim)
    if policy is None:
        result = DmarcResult.PERMERROR
    elif spf_aligned or dkim_aligned:
        result = DmarcResult.PASS
    else:
        result = DmarcResult.TEMPERROR if alignment.uncertain else DmarcResult.FAIL
    return MethodVerdict(
        result=result,
        organizational_domain=organization,
        found_at=applied.domain,
        policy=policy,
        testing=record.testing,
        spf_aligned=spf_aligned,
        dkim_aligned=dkim_aligned,
    )
