"""May this host send mail from this domain? Sender Policy Framework, as a dialogue with the DNS (RFC 7208).

The limits are those of RFC 7208 §4.6.4: ten terms that look something up, two look-ups without an answer, ten names per
MX or PTR. Every outcome is a result with its reason; nothing that a domain publishes raises.
"""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote

from homing.mail.dns_question import (
    Answer,
    Ask,
    Dialogue,
    Found,
    LookupFailed,
    RecordType,
    well_formed,
)
from homing.mail.spf_record import (
    Macro,
    Mechanism,
    Modifier,
    Pieces,
    SpfRecord,
    SpfResult,
    is_spf,
    read_explanation,
    read_spf,
)

MOST_TERMS = 10
MOST_VOIDS = 2
MOST_NAMES = 10
_NAME_CHARACTERS = 253
_EXPLANATION_CHARACTERS = 500

Ip = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfVerdict:
    """The result for `domain`, that of MAIL FROM or, for the null sender, of HELO.

    `term` is the term of its record that decided, as written, "" where none did; `reason` says it for a person.
    `terms` and `voids` are how much of the limits was used. `explanation` is the domain's own text after a fail.
    """

    result: SpfResult
    domain: str
    term: str = ""
    reason: str = ""
    terms: int = 0
    voids: int = 0
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explaining:
    """The host that asks a domain to explain a fail, and the time in Unix seconds."""

    receiver: str = "unknown"
    now: int = 0


def check(ip: str, mail_from: str | None, helo: str, explaining: Explaining | None = None) -> Dialogue[SpfVerdict]:
    """Whether `ip` may use `mail_from` (None or "": the null sender, and `helo` is judged in its stead, §2.4).

    `ip` is that of the SMTP client; raises ValueError if it is none. An explanation is looked up only if `explaining`.
    """
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    local, _, domain = (mail_from or f"postmaster@{helo}").rpartition("@")
    check_of = _Check(ip=address, local=local or "postmaster", domain=domain, helo=helo, explaining=explaining)
    return (yield from check_of.verdict())


def _as_text(ip: Ip) -> str:
    """The %{i} macro: dots between octets, or between nibbles (§7.3)."""
    return str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", "").upper())


@dataclass(frozen=True, slots=True)
class _Decided:
    """A result, the term that decided and the domain whose record it is in."""

    result: SpfResult
    term: str
    reason: str
    domain: str
    record: SpfRecord


class _Stop(Exception):  # noqa: N818 - leaves this module as an SpfVerdict
    """The whole check ends here, however deep inside includes."""

    def __init__(self, result: SpfResult, reason: str, term: str = "") -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.term = term


@dataclass(slots=True, kw_only=True)
class _Check:
    """One evaluation: what it is about, and how much of its limits is used."""

    ip: Ip
    local: str
    domain: str
    helo: str
    explaining: Explaining | None
    terms: int = 0
    voids: int = 0
    names: tuple[str, ...] | None = field(default=None)

    def verdict(self) -> Dialogue[SpfVerdict]:
        try:
            decided = yield from self._check_host(self.domain.removesuffix("."))
        except _Stop as stop:
            return self._verdict(stop.result, stop.term, stop.reason)
        explanation = ""
        if decided.result is SpfResult.FAIL and decided.record.explanation and self.explaining:
            explanation = yield from self._explanation(decided.record.explanation, decided.domain)
        return self._verdict(decided.result, decided.term, decided.reason, explanation)

    def _verdict(self, result: SpfResult, term: str, reason: str, explanation: str = "") -> SpfVerdict:
        return SpfVerdict(
            result=result,
            domain=self.domain,
            term=term,
            reason=reason,
            terms=min(self.terms, MOST_TERMS),
            voids=min(self.voids, MOST_VOIDS),
            explanation=explanation,
        )

    def _check_host(self, domain: str) -> Dialogue[_Decided]:
        """§4: the first mechanism that matches decides, else the record that `redirect=` names."""
        record = yield from self._record(domain)
        for mechanism in record.mechanisms:
            because = yield from self._because(mechanism, domain)
            if because:
                return _Decided(mechanism.qualifier, mechanism.text, because, domain, record)
        if record.redirect is None:
            return _Decided(SpfResult.NEUTRAL, "", f"no term of the record of {domain} matches", domain, record)
        self._count(record.redirect.text)
        target = yield from self._name(record.redirect.value, domain)
        return (yield from self._other(target, record.redirect.text))

    def _other(self, target: str, term: str) -> Dialogue[_Decided]:
        """The policy of another domain, which must be there (§5.2, §6.1)."""
        try:
            return (yield from self._check_host(target))
        except _Stop as stop:
            if stop.result is SpfResult.NONE:
                raise _Stop(SpfResult.PERMERROR, stop.reason, term) from None
            raise

    def _record(self, domain: str) -> Dialogue[SpfRecord]:
        if not well_formed(domain) or "." not in domain:
            raise _Stop(SpfResult.NONE, f'"{domain[:_NAME_CHARACTERS]}" is not a full domain name')
        answer = yield Ask(domain, RecordType.TXT)
        texts = [text for text in self._found(answer, domain) if is_spf(text)]
        if not texts:
            raise _Stop(SpfResult.NONE, f"{domain} has no SPF record")
        if len(texts) > 1:
            raise _Stop(SpfResult.PERMERROR, f"{domain} has {len(texts)} SPF records")
        record = read_spf(texts[0])
        if isinstance(record, SpfRecord):
            return record
        raise _Stop(SpfResult.PERMERROR, f"the record of {domain} is malformed: {record[0].sentence}", record[0].term)

    # -- mechanisms ---------------------------------------------------------------------------------------------------

    def _because(self, mechanism: Mechanism, domain: str) -> Dialogue[str]:
        """Why this mechanism matches, in words; "" if it does not (§5)."""
        if mechanism.network is not None:
            return f"{self.ip} is in {mechanism.network}, says {domain}" if self.ip in mechanism.network else ""
        if mechanism.name == "all":
            return f'nothing before "{mechanism.text}" of {domain} matches'
        self._count(mechanism.text)
        target = domain
        if mechanism.target is not None:
            target = yield from self._name(mechanism.target, domain)
        match mechanism.name:
            case "include":
                other = yield from self._other(target, mechanism.text)
                return other.reason if other.result is SpfResult.PASS else ""
            case "a":
                return (yield from self._by_addresses(mechanism, target, "address"))
            case "mx":
                return (yield from self._by_exchanges(mechanism, target))
            case "ptr":
                return (yield from self._by_reverse(target))
            case _:
                found = yield from self._addresses(target, RecordType.A)
                return f"{target} exists, says {domain}" if found else ""

    def _by_addresses(self, mechanism: Mechanism, name: str, what: str) -> Dialogue[str]:
        prefix = mechanism.prefix4 if self.ip.version == 4 else mechanism.prefix6
        addresses = yield from self._addresses(name, self._address_type)
        near = any(self.ip in ip_network((address, prefix), strict=False) for address in addresses)
        return f"{self.ip} is an {what} of {name}" if near else ""

    def _by_exchanges(self, mechanism: Mechanism, name: str) -> Dialogue[str]:
        answer = yield from self._ask(name, RecordType.MX)
        exchanges = [record.partition(" ")[2].rstrip(".") for record in self._counted(answer, name)]
        if len(exchanges) > MOST_NAMES:
            raise _Stop(SpfResult.PERMERROR, f"{name} has more than {MOST_NAMES} MX records", mechanism.text)
        for exchange in exchanges:
            because = yield from self._by_addresses(mechanism, exchange, f"MX ({exchange})")
            if because:
                return because
        return ""

    def _by_reverse(self, target: str) -> Dialogue[str]:
        names = yield from self._validated(counted=True)
        near = next((name for name in names if _at_or_under(name, target)), None)
        return f"the name of {self.ip} is {near}" if near else ""

    def _validated(self, *, counted: bool = False) -> Dialogue[tuple[str, ...]]:
        """The names of the client that point back at it (§5.5). A look-up that fails leaves its name out."""
        if self.names is not None:
            return self.names
        answer = yield Ask(self.ip.reverse_pointer, RecordType.PTR)
        if counted and not isinstance(answer, LookupFailed):
            self._counted(answer, self.ip.reverse_pointer)
        found = answer.records[:MOST_NAMES] if isinstance(answer, Found) else ()
        validated = []
        for name in (record.rstrip(".") for record in found):
            back = (yield Ask(name, self._address_type)) if well_formed(name) else None
            if isinstance(back, Found) and any(ip_address(text) == self.ip for text in back.records):
                validated.append(name)
        self.names = tuple(validated)
        return self.names

    # -- asking -------------------------------------------------------------------------------------------------------

    @property
    def _address_type(self) -> RecordType:
        return RecordType.A if self.ip.version == 4 else RecordType.AAAA

    def _addresses(self, name: str, record_type: RecordType) -> Dialogue[tuple[Ip, ...]]:
        answer = yield from self._ask(name, record_type)
        return tuple(ip_address(text) for text in self._counted(answer, name))

    def _ask(self, name: str, record_type: RecordType) -> Dialogue[Answer[str] | None]:
        """None: the DNS cannot be asked about such a name, and nothing matches it (§4.8)."""
        return (yield Ask(name, record_type)) if well_formed(name) else None

    def _counted(self, answer: Answer[str] | None, name: str) -> tuple[str, ...]:
        """The records of a term's answer. "Void" look-ups are counted, as they are limited."""
        if answer is None:
            return ()
        if not isinstance(answer, Found | LookupFailed):
            self.voids += 1
            if self.voids > MOST_VOIDS:
                raise _Stop(SpfResult.PERMERROR, f"more than {MOST_VOIDS} names without a record, the last is {name}")
        return self._found(answer, name)

    def _found(self, answer: Answer[str], name: str) -> tuple[str, ...]:
        if isinstance(answer, LookupFailed):
            raise _Stop(SpfResult.TEMPERROR, f"{name} could not be looked up: {answer.why} at {answer.server}")
        return answer.records if isinstance(answer, Found) else ()

    def _count(self, term: str) -> None:
        self.terms += 1
        if self.terms > MOST_TERMS:
            raise _Stop(SpfResult.PERMERROR, f"more than {MOST_TERMS} terms that look something up", term)

    # -- macros -------------------------------------------------------------------------------------------------------

    def _name(self, pieces: Pieces, domain: str) -> Dialogue[str]:
        """A domain name from text with macros; if too long, it loses labels at the left (§7.3)."""
        name = (yield from self._expanded(pieces, domain)).removesuffix(".")
        return name if len(name) <= _NAME_CHARACTERS else name[-_NAME_CHARACTERS - 1 :].partition(".")[2]

    def _expanded(self, pieces: Pieces, domain: str) -> Dialogue[str]:
        if any(isinstance(piece, Macro) and piece.letter == "p" for piece in pieces):
            yield from self._validated()
        return "".join(piece if isinstance(piece, str) else self._value(piece, domain) for piece in pieces)

    def _value(self, macro: Macro, domain: str) -> str:
        parts = re.split(f"[{re.escape(macro.delimiters)}]", self._letter(macro.letter, domain))
        if macro.reverse:
            parts.reverse()
        text = ".".join(parts[-macro.keep :])
        return quote(text, safe="") if macro.escape else text

    def _letter(self, letter: str, domain: str) -> str:
        explaining = self.explaining or Explaining()
        match letter:
            case "p":
                return self._best_name(domain)
            case _:
                return {
                    "s": f"{self.local}@{self.domain}",
                    "l": self.local,
                    "o": self.domain,
                    "d": domain,
                    "i": _as_text(self.ip),
                    "v": "in-addr" if self.ip.version == 4 else "ip6",
                    "h": self.helo,
                    "c": str(self.ip),
                    "r": explaining.receiver,
                    "t": str(explaining.now),
                }[letter]

    def _best_name(self, domain: str) -> str:
        """%{p}: the domain itself, else a name below it, else any that is validated (§7.3)."""
        names = self.names or ()
        ranked = sorted(names, key=lambda name: (name.lower() != domain.lower(), not _at_or_under(name, domain)))
        return ranked[0] if ranked else "unknown"

    def _explanation(self, modifier: Modifier, domain: str) -> Dialogue[str]:
        """The explanation of a fail; "" if anything goes wrong (§6.2)."""
        name = yield from self._name(modifier.value, domain)
        answer = yield from self._ask(name, RecordType.TXT)
        if not isinstance(answer, Found) or len(answer.records) != 1:
            return ""
        pieces = read_explanation(answer.records[0])
        if pieces is None:
            return ""
        return (yield from self._expanded(pieces, domain))[:_EXPLANATION_CHARACTERS]


def _at_or_under(name: str, domain: str) -> bool:
    return f".{name.lower()}".endswith(f".{domain.lower()}")
