"""The SPF records that are offered: what stands there with the fewest changes that mend it, evaluated beforehand.

One record for a name over the whole report. It is offered only if it can be read, nothing in it or behind it is a
permanent error, and every address that mail leaves from passes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Offer, Unanswered, addresses, alias, exchanges, records, text_record
from homing.loop.doctor.spf_cures import (
    Terms,
    end_of,
    meant_as_spf,
    not_routed,
    one_of,
    parted,
    permits,
    term_of,
    terms_of,
)
from homing.loop.doctor.spf_tree import LOOKING_UP, Tree, leads_somewhere, plain, unusable
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dmarc import organizational_domain
from homing.mail.dns_question import Dialogue, Found, RecordType, VerdictT, well_formed
from homing.mail.spf import MOST_NAMES, MOST_TERMS, MOST_VOIDS
from homing.mail.spf import check as evaluate
from homing.mail.spf_record import VERSION, Mechanism, SpfRecord, SpfResult, read_spf

_WHY = "SPF: who may send under this name (RFC 7208)"
_NOBODY = f"{VERSION} -all"
_BY_HAND = "No record could be worked out that is safe to copy."


def names(facts: DoctorFacts) -> Iterable[str]:
    """The names whose SPF records receivers look at."""
    if facts.of_organization:
        return [facts.return_domain]
    return dict.fromkeys(name for name in (facts.return_domain, facts.hostname, facts.domain) if name)


def cname(name: str, target: str) -> DnsRecord:
    return DnsRecord(name=name, type="CNAME", value=target, why="the return path: bounces come back, SPF passes")


def offer(facts: DoctorFacts, name: str) -> Dialogue[Offer]:
    """What to publish so that the record of `name` is right. The names are mended in order, each on top of those before
    it, so that whoever asks is offered the same."""
    planned: dict[str, str] = {}
    for one in names(facts):
        draft = _Draft(facts, dict(planned))
        try:
            made = yield from draft.mended(one)
        except Unanswered as unanswered:
            made = Offer(words=f"{_BY_HAND} {unanswered}")
        if made.records:
            planned = draft.planned
        if one == name:
            return made
    return Offer()


def as_if(dialogue: Dialogue[VerdictT], planned: Mapping[str, str]) -> Dialogue[VerdictT]:
    """A dialogue in a DNS where these SPF records stand in place of those of the same names."""
    try:
        ask = next(dialogue)
        while True:
            answer = yield ask
            text = planned.get(ask.name.lower())
            if text is not None and ask.record_type is RecordType.TXT:
                others = (
                    [other for other in answer.records if not meant_as_spf(other)] if isinstance(answer, Found) else []
                )
                answer = Found(records=(*others, text), server=answer.server)
            ask = dialogue.send(answer)
    except StopIteration as end:
        verdict: VerdictT = end.value
        return verdict


@dataclass(slots=True)
class _Draft:
    """`planned`: the SPF text of each name that is changed. `lost`: terms left out since nobody knows what they mean.
    `foreign`: why the owner of another name must act first. `touched`: the names that were looked at, each once."""

    facts: DoctorFacts
    planned: dict[str, str]
    touched: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    foreign: str = ""

    def mended(self, name: str, path: tuple[str, ...] = ()) -> Dialogue[Offer]:
        """What to publish so that this name's record is right. `path`: the names whose records lead here."""
        facts = self.facts
        self.touched.add(name)
        if facts.return_alias and name == facts.return_domain:
            return Offer(records=(cname(name, facts.return_alias),))
        target = yield from alias(name)
        if target:
            return Offer(words=f"{name} is an alias of {target}: mend the record there, or take the alias out.")
        stands = yield from _meant_at(name)
        known = tuple(record.value for record in facts.to_publish(name, "TXT", VERSION))
        before = (yield from as_if(_meant_at(name), self.planned)) or known or ((_NOBODY,) if facts.egress else ())
        if not before:
            return Offer()
        terms = yield from self._terms(name, path, before)
        self.planned[name] = _text(terms)
        yield from self._within_limits(name)
        why = self.foreign or (yield from self._let_us_in(name, terms_of(known).kept, terms_of(before)))
        if why:
            return Offer(words=f"{_BY_HAND} {why}")
        offered = [
            one for one in self.planned if one in self.touched and not (one == name and self._as_it_is(one, stands))
        ]
        return Offer(records=tuple(map(self._record, offered)), words=self._left_out())

    def _record(self, name: str) -> DnsRecord:
        """The record planned for a name: where it is the very one that was asked for, in the same words."""
        asked_for = {record.value: record for record in self.facts.to_publish(name, "TXT", VERSION)}
        return asked_for.get(self.planned[name], text_record(name, self.planned[name], _WHY))

    def _as_it_is(self, name: str, stands: tuple[str, ...]) -> bool:
        return len(stands) == 1 and _outline(stands[0]) == _outline(self.planned[name])

    def _left_out(self) -> str:
        told = ", ".join(f"“{word[:80]}”" for word in self.lost)
        return f"Publish the record; {told} is not in it, for it cannot be understood." if told else ""

    # -- the terms ----------------------------------------------------------------------------------------------------

    def _terms(self, name: str, path: tuple[str, ...], texts: tuple[str, ...]) -> Dialogue[tuple[str, ...]]:
        """The terms that are to stay, `all` at their end."""
        found = terms_of(texts)
        self.lost += found.lost
        kept: list[str] = []
        for term in found.kept:
            kept += yield from self._mended(term, name, (*path, name))
        examined = name in names(self.facts)
        ends = [term for term in kept if _is_all(term)]
        end = end_of(kept, several=len(texts) > 1) if examined else "".join(ends[:1])
        rest = [term for term in kept if not _is_all(term)]
        if examined and not end and not any(map(_is_redirect, rest)):
            end = "~all"
        if end:
            rest = [term for term in rest if not _is_redirect(term)]
        return tuple(dict.fromkeys((*rest, *([end] if end else ()))))

    def _mended(self, term: str, name: str, path: tuple[str, ...]) -> Dialogue[tuple[str, ...]]:
        """What stands in place of one term: itself mostly."""
        one = one_of(term)
        if one is None or one.name == "include":
            return (yield from self._followed(term, one, path))
        if not_routed(one, self.facts.egress) or (one.name == "ptr" and self.facts.egress):
            return ()
        target = plain(one.target) or ("" if one.target else name)
        if one.name not in LOOKING_UP or one.name == "ptr" or not target:
            return (term,)
        if not (yield from leads_somewhere(one, target)):
            return ()
        hosts = (yield from exchanges(target)) if one.name == "mx" else ()
        if len(hosts) > MOST_NAMES:
            return (yield from _addresses_for(one, hosts))
        return (term,)

    def _followed(self, term: str, one: Mechanism | None, path: tuple[str, ...]) -> Dialogue[tuple[str, ...]]:
        """An include or redirect: kept if it leads to a usable record, mended there if that name is ours."""
        if one is None and not _is_redirect(term):
            return (term,)
        read = read_spf(f"{VERSION} {term}")
        assert isinstance(read, SpfRecord)
        target = plain(one.target if one else read.redirect.value if read.redirect else None)
        if not target:
            return (term,)
        if target in path:
            return ()
        own = f".{target}".endswith(f".{self._organization()}")
        if own and well_formed(target):
            yield from self._mend_below(target, path)
        why = yield from as_if(unusable(target), self.planned)
        if not why:
            return (term,)
        pieces = parted(term)
        if pieces and "no SPF record" in why:
            mended: list[str] = []
            for piece in pieces:
                mended += yield from self._mended(piece, path[-1], path)
            return tuple(mended)
        if not own and "no SPF record" not in why:
            self.foreign = self.foreign or f"Have the owner of {target} mend the SPF record there: {target} {why}."
        return ()

    def _mend_below(self, name: str, path: tuple[str, ...]) -> Dialogue[None]:
        """Mend the record of a name of ours that an examined one leads to, where it needs it."""
        texts = yield from as_if(_meant_at(name), self.planned)
        again = name in self.touched or len(path) > MOST_TERMS
        self.touched.add(name)
        if not texts or again or not (yield from as_if(_is_faulty(name, path), self.planned)):
            return
        below = _Draft(self.facts, dict(self.planned), self.touched)
        if name in names(self.facts):
            made = yield from below.mended(name, path)
            mended = bool(made.records)
        elif not (yield from alias(name)):
            terms = yield from below._terms(name, path, texts)
            below.planned[name] = _text(terms)
            known = any(map(permits, terms)) or bool(self.facts.egress)
            mended = known and not below.lost and not below.foreign
        else:
            mended = False
        if mended:
            self.planned = below.planned

    def _organization(self) -> str:
        facts = self.facts
        if facts.organization or facts.suffix_of is None:
            return facts.organization or facts.domain
        return organizational_domain(facts.domain, facts.suffix_of)

    # -- evaluating ---------------------------------------------------------------------------------------------------

    def _let_us_in(self, name: str, known: tuple[str, ...], before: Terms) -> Dialogue[str]:
        """Put in front what is missing so that all our addresses pass: the terms that we asked for, else the addresses.
        Says why there is no safe record, "" if there is."""
        terms = tuple(self.planned[name].split()[1:])
        asked_for = tuple(term for term in known if not _is_all(term) and term not in terms)
        fronts: list[tuple[str, ...]] = [(), asked_for]
        if self.facts.egress:
            refused = yield from self._refused(name, terms)
            fronts = [asked_for, tuple(map(term_of, refused))] if refused else [()]
        why = ""
        for front in dict.fromkeys(fronts):
            self.planned[name] = _text((*front, *terms))
            why = yield from self._unsafe(name, before)
            if not why:
                break
        return why

    def _refused(self, name: str, terms: tuple[str, ...]) -> Dialogue[list[str]]:
        """The addresses that mail leaves from and that these terms do not let pass."""
        refused = []
        for ip in self.facts.egress:
            asked = evaluate(ip, f"doctor@{name}", self.facts.hostname or name)
            verdict = yield from as_if(asked, {**self.planned, name: _text(terms)})
            if verdict.result is SpfResult.TEMPERROR:
                raise Unanswered(f"{verdict.reason}.")
            if verdict.result is not SpfResult.PASS:
                refused.append(ip)
        return refused

    def _within_limits(self, name: str) -> Dialogue[None]:
        """Put addresses in place of so many names of single hosts as are too many."""
        tree = Tree()
        yield from as_if(tree.count(name), self.planned)
        terms = self.planned[name].split()[1:]
        hosts = [term for term in terms if (one := one_of(term)) is not None and _is_host(one)]
        too_many = tree.terms - MOST_TERMS
        if too_many <= 0 or len(hosts) < too_many:
            return
        flat = {}
        for term in hosts[-too_many:]:
            one = one_of(term)
            assert one is not None
            flat[term] = [term_of(ip) for ip in (yield from addresses(plain(one.target) or name))]
        self.planned[name] = _text(dict.fromkeys(part for term in terms for part in flat.get(term, [term])))

    def _unsafe(self, name: str, before: Terms) -> Dialogue[str]:
        """Why the record as planned must not be published, "" if it may."""
        text = self.planned[name]
        read = read_spf(text)
        if not isinstance(read, SpfRecord):
            return f"“{read[0].term}”: {read[0].sentence}"
        tree = Tree()
        yield from as_if(tree.count(name), self.planned)
        if tree.dead_ends:
            return f"{tree.dead_ends[0].sentence} Have that record mended, or take the term out."
        if tree.circle or tree.terms > MOST_TERMS or len(tree.voids) > MOST_VOIDS:
            return "It still leads in a circle or needs too many look-ups: nobody but you knows which include can go."
        terms = tuple(text.split()[1:])
        if (yield from self._refused(name, terms)):
            return "Its other terms refuse an address that mail leaves from."
        closed = any(map(_is_open, before.kept))
        if not self.facts.egress and (self.lost or closed or any(map(permits, before.kept))):
            if not any(map(permits, terms)):
                return "Nobody could send by it: name the addresses that mail leaves from (--egress)."
            if self.lost:
                told = ", ".join(f"“{word[:80]}”" for word in self.lost)
                return f"It cannot be understood what {told} means: correct it, or name the addresses (--egress)."
        return ""


def _meant_at(name: str) -> Dialogue[tuple[str, ...]]:
    """The SPF records of a name, those too that are none for a slip at their beginning."""
    texts = yield from records(name, RecordType.TXT)
    return tuple(sorted(text for text in texts if meant_as_spf(text)))


def _is_faulty(name: str, path: tuple[str, ...]) -> Dialogue[bool]:
    """Whether the record of a name needs mending, seen from those that lead to it."""
    tree = Tree(path=path)
    yield from tree.count(name)
    why = yield from unusable(name)
    return bool(why or tree.dead_ends or tree.circle or tree.voids or tree.crowded)


def _outline(text: str) -> object:
    """What a record comes to, however its modifiers and spaces are placed; the text itself if it cannot be read."""
    read = read_spf(text)
    if not isinstance(read, SpfRecord):
        return text
    modifiers = (read.redirect, read.explanation, *read.others)
    return [one.text for one in read.mechanisms], {one.text for one in modifiers if one}


def _text(terms: Iterable[str]) -> str:
    return " ".join((VERSION, *terms))


def _addresses_for(term: Mechanism, hosts: tuple[str, ...]) -> Dialogue[tuple[str, ...]]:
    """The addresses of too many mail hosts, for the term that named them."""
    sign = term.text[0] if term.text[0] in "+?~-" else ""
    told = []
    for host in hosts:
        for ip in (yield from addresses(host)) if well_formed(host) else ():
            prefix, whole = (term.prefix6, 128) if ":" in ip else (term.prefix4, 32)
            told.append(f"{sign}{term_of(ip)}" + (f"/{prefix}" if prefix != whole else ""))
    return tuple(dict.fromkeys(told))


def _is_all(term: str) -> bool:
    one = one_of(term)
    return one is not None and one.name == "all"


def _is_redirect(term: str) -> bool:
    return term.lower().startswith("redirect=")


def _is_open(term: str) -> bool:
    one = one_of(term)
    return one is not None and one.name == "all" and one.qualifier is SpfResult.PASS


def _is_host(term: Mechanism) -> bool:
    whole = (term.prefix4, term.prefix6) == (32, 128)
    return (
        term.name == "a" and term.qualifier is SpfResult.PASS and whole and bool(plain(term.target) or not term.target)
    )
