"""What a check is, and what it finds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dns_question import (
    Answer,
    Ask,
    Dialogue,
    Found,
    LookupFailed,
    NoData,
    NoSuchName,
    RecordType,
    well_formed,
)
from homing.mail.text import clean

_ANSWER_CHARACTERS = 500
_MOST_EVIDENCE = 8


class Severity(StrEnum):
    """How grave a check's fault is: mail fails, mail is at risk, or only worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Outcome(StrEnum):
    """The outcome of a check. `unknown`: the DNS did not answer, so nothing is proved either way."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    BROKEN = "broken"
    UNKNOWN = "unknown"


_OF_FAULT = {Severity.ERROR: Outcome.BROKEN, Severity.WARNING: Outcome.WARNING, Severity.INFO: Outcome.INFO}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A query, who answered it, and the answer. Texts are cleaned. `secure`: a validating resolver vouches for the
    answer's signatures (the AD bit)."""

    query: str
    server: str
    answer: str
    secure: bool = False

    @classmethod
    def of(cls, ask: Ask, answer: Answer[str]) -> "Evidence":
        match answer:
            case Found(records=records):
                told = "; ".join(records)
            case NoData():
                told = "no such record"
            case NoSuchName():
                told = "no such name"
            case LookupFailed(why=why):
                told = f"no answer: {why}"
        return cls(
            query=f"{ask.name} {ask.record_type}",
            server=answer.server,
            answer=clean(told, _ANSWER_CHARACTERS),
            secure=isinstance(answer, Found) and answer.secure,
        )

    @classmethod
    def everywhere(cls, ask: Ask, told: Mapping[str, Answer[str]]) -> "tuple[Evidence, ...]":
        """The answer of each server that was asked by itself."""
        return tuple(replace(cls.of(ask, answer), server=server) for server, answer in told.items())

    @classmethod
    def elsewhere(cls, query: str, server: str, told: str) -> "Evidence":
        """What was learned from others than the DNS."""
        return cls(query=query, server=server, answer=clean(told, _ANSWER_CHARACTERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Records to publish, evaluated beforehand. `words`: what to do in place of the check's general cure, above all
    where no record is safe."""

    records: tuple[DnsRecord, ...] = ()
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """The opinion of a check. `outcome` None: a fault, as grave as the check says. `cure`: how to mend this very case.
    `evidence`: what it rests on beside the check's own queries. `offered` finds out which records mend it; what it asks
    is no evidence."""

    sentence: str
    outcome: Outcome | None = None
    cure: str = ""
    records: tuple[DnsRecord, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    offered: Dialogue[Offer] | None = None

    def seen(self, *evidence: Evidence) -> "Opinion":
        """The same opinion, with further evidence."""
        return replace(self, evidence=(*self.evidence, *evidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found about one name. `records` are to be published as they stand."""

    check: str
    severity: Severity
    about: str
    outcome: Outcome
    sentence: str
    cure: str = ""
    records: tuple[DnsRecord, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check. `meaning` says how it should be and why; `cure` how to mend it in general.

    `about` gives the names (or addresses) that it is run for; `judge` asks about one of them.
    """

    id: str
    severity: Severity
    meaning: str
    cure: str
    about: Callable[[DoctorFacts], Iterable[str]]
    judge: Callable[[DoctorFacts, str], Dialogue[Opinion]]


Judge = Callable[[DoctorFacts, str], Dialogue[Opinion]]
About = Callable[[DoctorFacts], Iterable[str]]


def check(identifier: str, severity: Severity, about: About, *, meaning: str, cure: str) -> Callable[[Judge], Check]:
    """Makes a check of the function below it."""

    def made(judge: Judge) -> Check:
        return Check(id=identifier, severity=severity, meaning=meaning, cure=cure, about=about, judge=judge)

    return made


def examine(checked: Check, facts: DoctorFacts, about: str) -> Dialogue[Finding]:
    """Run one check about one name, and keep the answers as evidence."""
    evidence: list[Evidence] = []
    dialogue = checked.judge(facts, about)
    try:
        ask = next(dialogue)
        while True:
            answer = yield ask
            evidence.append(Evidence.of(ask, answer))
            ask = dialogue.send(answer)
    except StopIteration as end:
        opinion: Opinion = end.value
    except Unanswered as unknown:
        opinion = Opinion(sentence=str(unknown), outcome=Outcome.UNKNOWN)
    made = yield from _offer(opinion)
    outcome = opinion.outcome or _OF_FAULT[checked.severity]
    mendable = opinion.outcome is None or outcome is Outcome.WARNING
    return Finding(
        check=checked.id,
        severity=checked.severity,
        about=about,
        outcome=outcome,
        sentence=opinion.sentence,
        cure=made.words or (checked.cure if mendable else ""),
        records=made.records,
        evidence=tuple(dict.fromkeys((*opinion.evidence, *evidence)))[:_MOST_EVIDENCE],
    )


def _offer(opinion: Opinion) -> Dialogue[Offer]:
    """The records of an opinion: those that it has, and those that it finds to be safe."""
    if opinion.offered is None:
        return Offer(records=opinion.records, words=opinion.cure)
    try:
        found = yield from opinion.offered
    except Unanswered as unanswered:
        found = Offer(words=f"Ask again later which record mends it: {unanswered}")
    return Offer(records=(*opinion.records, *found.records), words=found.words or opinion.cure)


# -- what checks say --------------------------------------------------------------------------------------------------


def fine(sentence: str) -> Opinion:
    """Nothing is wrong."""
    return Opinion(sentence=sentence, outcome=Outcome.OK)


def moot(sentence: str) -> Opinion:
    """There is nothing to judge; if that is wrong, another check says so."""
    return Opinion(sentence=sentence, outcome=Outcome.OK)


def note(sentence: str, cure: str = "", *, offered: Dialogue[Offer] | None = None) -> Opinion:
    """Nothing is wrong, yet somebody may want to know."""
    return Opinion(sentence=sentence, outcome=Outcome.INFO, cure=cure, offered=offered)


def warn(sentence: str, *records: DnsRecord, cure: str = "", offered: Dialogue[Offer] | None = None) -> Opinion:
    """A fault that is less grave than the check's others."""
    return Opinion(sentence=sentence, outcome=Outcome.WARNING, cure=cure, records=records, offered=offered)


def wrong(sentence: str, *records: DnsRecord, cure: str = "", offered: Dialogue[Offer] | None = None) -> Opinion:
    """A fault, as grave as the check says."""
    return Opinion(sentence=sentence, cure=cure, records=records, offered=offered)


def unknown(sentence: str) -> Opinion:
    """It could not be found out."""
    return Opinion(sentence=sentence, outcome=Outcome.UNKNOWN)


# -- what checks ask --------------------------------------------------------------------------------------------------


class Unanswered(Exception):  # noqa: N818 - it leaves as a Finding
    """A query had no answer, and the check cannot be decided without it."""


def reply(name: str, record_type: RecordType) -> Dialogue[Answer[str]]:
    """One answer, where there is one: a look-up that fails ends the check as `unknown`."""
    answer: Answer[str] = NoSuchName(server="none: this is no DNS name", authoritative=True)
    if well_formed(name):
        answer = yield Ask(name, record_type)
    if isinstance(answer, LookupFailed):
        raise Unanswered(f"{record_type} of {name} could not be looked up: {answer.why} at {answer.server}.")
    return answer


def records(name: str, record_type: RecordType) -> Dialogue[tuple[str, ...]]:
    """The records of a name, () where there are none."""
    answer = yield from reply(name, record_type)
    return answer.records if isinstance(answer, Found) else ()


def addresses(name: str) -> Dialogue[tuple[str, ...]]:
    """IPv4 and IPv6 addresses of a host."""
    four = yield from records(name, RecordType.A)
    six = yield from records(name, RecordType.AAAA)
    return four + six


def exchanges(name: str) -> Dialogue[tuple[str, ...]]:
    """The hosts that MX records name, best first; "" is the root of a null MX (RFC 7505)."""
    told = yield from records(name, RecordType.MX)
    pairs = sorted((int(preference), host) for preference, host in (record.split() for record in told))
    return tuple(host.rstrip(".").lower() for _, host in pairs)


def alias(name: str) -> Dialogue[str]:
    """Where a CNAME leads, "" where there is none."""
    told = yield from records(name, RecordType.CNAME)
    return told[0].rstrip(".").lower() if told else ""


def settled(opinion: Opinion) -> Dialogue[Opinion]:
    """For a check that has nothing to ask."""
    return opinion
    yield


def text_record(name: str, value: str, why: str) -> DnsRecord:
    return DnsRecord(name=name, type="TXT", value=value, why=why)
