"""An SPF record and all that it leads to, as far as receivers may follow it (RFC 7208 §4.6.4, §5.2, §6.1)."""

from dataclasses import dataclass, field

from homing.loop.doctor.finding import exchanges, records, reply
from homing.mail.dns_question import Dialogue, Found, RecordType, well_formed
from homing.mail.spf import MOST_NAMES, MOST_TERMS
from homing.mail.spf_record import Mechanism, Pieces, SpfRecord, is_spf, read_spf

LOOKING_UP = ("include", "a", "mx", "exists", "ptr")


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """A term of the record of `holder` that leads to `target`, whose SPF record is none or unusable: `why` says it, and
    continues "which". Receivers give up there (permerror)."""

    holder: str
    term: str
    target: str
    why: str

    @property
    def sentence(self) -> str:
        return f"“{self.term[:80]}” in the record of {self.holder} leads to {self.target[:80]}, which {self.why}."


@dataclass(slots=True)
class Tree:
    """All terms of a record and of those that it includes, even those that an address met earlier would not reach.

    `voids` are names that lead nowhere, `crowded` terms whose name has more mail hosts than receivers look at,
    `circle` the way back to a name that is being read.
    """

    terms: int = 0
    voids: list[str] = field(default_factory=list)
    crowded: list[str] = field(default_factory=list)
    dead_ends: list[DeadEnd] = field(default_factory=list)
    path: tuple[str, ...] = ()
    circle: tuple[str, ...] = ()

    def count(self, name: str) -> Dialogue[None]:
        if name in self.path:
            self.circle = (*self.path[self.path.index(name) :], name)
        if name in self.path or self.terms > MOST_TERMS:
            return
        texts = yield from spf_texts(name)
        read = read_spf(texts[0]) if len(texts) == 1 else ()
        if not isinstance(read, SpfRecord):
            return
        self.path = (*self.path, name)
        for term in reached(read):
            if term.name in LOOKING_UP:
                yield from self._look_up(term, plain(term.target) or ("" if term.target else name))
        if read.redirect is not None and not ends(read):
            self.terms += 1
            yield from self._follow(read.redirect.text, plain(read.redirect.value))
        self.path = self.path[:-1]

    def _look_up(self, term: Mechanism, target: str) -> Dialogue[None]:
        self.terms += 1
        if term.name == "include":
            yield from self._follow(term.text, target)
        elif well_formed(target) and term.name != "ptr":
            if not (yield from leads_somewhere(term, target)):
                self.voids.append(target)
            elif term.name == "mx" and len((yield from exchanges(target))) > MOST_NAMES:
                self.crowded.append(term.text)

    def _follow(self, term: str, target: str) -> Dialogue[None]:
        if not target:  # only a message fills it in
            return
        why = yield from unusable(target)
        if why:
            self.dead_ends.append(DeadEnd(self.path[-1], term, target, why))
        if well_formed(target) and not isinstance((yield from reply(target, RecordType.TXT)), Found):
            self.voids.append(target)
        yield from self.count(target)


def unusable(name: str) -> Dialogue[str]:
    """Why nobody can include the record of a name, "" where it can be read; continues "which"."""
    if not well_formed(name) or "." not in name:
        return "is no name that can be looked up"
    texts = yield from spf_texts(name)
    if len(texts) != 1:
        return f"has {len(texts)} SPF records" if texts else "has no SPF record"
    read = read_spf(texts[0])
    return "" if isinstance(read, SpfRecord) else f"has a malformed one (“{read[0].term[:80]}”)"


def leads_somewhere(term: Mechanism, target: str) -> Dialogue[bool]:
    """Whether the look-up of an a, mx or exists finds something."""
    kinds = (RecordType.MX,) if term.name == "mx" else (RecordType.A, RecordType.AAAA)
    for kind in kinds:
        answer = yield from reply(target, kind)
        if isinstance(answer, Found):
            return True
    return False


def spf_texts(name: str) -> Dialogue[tuple[str, ...]]:
    texts = yield from records(name, RecordType.TXT)
    return tuple(sorted(text for text in texts if is_spf(text)))


def plain(pieces: Pieces | None) -> str:
    """A name without macros; "" for one with them, which only a message can fill."""
    if pieces is None or not all(isinstance(piece, str) for piece in pieces):
        return ""
    return "".join(map(str, pieces)).rstrip(".").lower()


def ends(record: SpfRecord) -> list[Mechanism]:
    return [term for term in record.mechanisms if term.name == "all"]


def reached(record: SpfRecord) -> tuple[Mechanism, ...]:
    """The mechanisms up to the first `all`: nothing behind it is ever looked at (§5.1)."""
    names = [term.name for term in record.mechanisms]
    return record.mechanisms[: names.index("all") + 1] if "all" in names else record.mechanisms


def empty_labels(record: SpfRecord) -> list[str]:
    """Terms whose name nobody can look up: a label is empty or too long (RFC 1035 §2.3.4, RFC 7208 §4.8)."""
    named = [(term.text, plain(term.target)) for term in record.mechanisms if term.target]
    return [text for text, name in named if name and not well_formed(name)]
