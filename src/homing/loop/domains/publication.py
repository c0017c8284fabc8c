"""Whether a record of ours stands in the DNS, by the answers of the zone's own servers and of resolvers.

A record is published when every server that answers gives it, among them a server of the zone and a resolver. It is
missing when a server of the zone says so and no server contradicts it. All else is no verdict: a timeout proves
nothing, and while servers disagree a change is on its way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from homing.mail.dns_question import Answer, Found, LookupFailed, NoSuchName
from homing.mail.text import clean

_SHOWN = 200


class Publication(StrEnum):
    """Whether a record stands in the DNS as it should."""

    THERE = "there"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One server's answer. `authoritative`: a server of the zone itself; otherwise a resolver."""

    server: str
    authoritative: bool
    answer: Answer[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict, and the answer that decided it: which server said what. `wrong`: something else stands there."""

    standing: Publication
    server: str
    answer: str
    wrong: bool = False


Matches = Callable[[tuple[str, ...]], bool]
"""Whether all records of a name are what they should be."""


def judge(sightings: Sequence[Observation], matches: Matches) -> Judgement:
    """The verdict of all answers together on a record that `matches` recognizes."""
    good = [one for one in sightings if isinstance(one.answer, Found) and matches(one.answer.records)]
    silent = [one for one in sightings if isinstance(one.answer, LookupFailed)]
    bad = [one for one in sightings if one not in good and one not in silent]
    if good and not bad and _from_both(good):
        return _judgement(Publication.THERE, good[0])
    if bad and not good and any(one.authoritative for one in bad):
        decisive = next(one for one in bad if one.authoritative)
        return _judgement(Publication.MISSING, decisive)
    witness = next(iter([*bad, *silent, *good]), None)
    if witness is None:
        return Judgement(standing=Publication.UNKNOWN, server="", answer="no server could be asked")
    return _judgement(Publication.UNKNOWN, witness)


def worst(*judgements: Judgement) -> Judgement:
    """The verdict on records that must all stand: of the first that is missing, else of the first that is unknown."""
    order = (Publication.MISSING, Publication.UNKNOWN, Publication.THERE)
    return min(judgements, key=lambda one: order.index(one.standing))


def same_text(expected: str) -> Matches:
    """One text record, equal but for white space, which means nothing in a tag list (RFC 6376 §3.2)."""
    wanted = "".join(expected.split())
    return lambda records: len(records) == 1 and "".join(records[0].split()) == wanted


def same_name(expected: str) -> Matches:
    """One host name, whatever its case."""
    wanted = expected.rstrip(".").lower()
    return lambda records: len(records) == 1 and records[0].rstrip(".").lower() == wanted


def shown_answer(answer: Answer[str]) -> str:
    """An answer for people, in one line; its text is a stranger's."""
    match answer:
        case Found(records=records):
            return clean(" | ".join(records), _SHOWN)
        case NoSuchName():
            return "no such name"
        case LookupFailed(why=why):
            return f"no answer: {why.value}"
        case _:
            return "no such record"


def _from_both(good: Sequence[Observation]) -> bool:
    return {one.authoritative for one in good} == {True, False}


def _judgement(standing: Publication, witness: Observation) -> Judgement:
    wrong = standing is not Publication.THERE and isinstance(witness.answer, Found)
    return Judgement(standing=standing, server=witness.server, answer=shown_answer(witness.answer), wrong=wrong)
