"""The rules by which returned mail is read, as data: reading and checking them.

Three files. `rules.toml`: why something was refused. `signatures.toml`: what a whole mail is, by one of its fields.
`forms.toml`: how notices in words are laid out, so that their recipients and reasons are found. Each entry has an id,
the source of the knowledge and an example composed for it.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from homing.loop.reading.wording import Phrase, PhraseIndex, phrase_in, plain
from homing.mail.reply import Stage

RULE_FILES = ("rules.toml", "signatures.toml", "forms.toml")
"""The files that `load_rules` is to be given, in this package."""

HARD = frozenset({"invalid_recipient", "invalid_domain", "inactive_mailbox"})
"""Classes after which the address should not be used again, when the failure is final."""

ABOUT_US = frozenset({"auth", "reputation", "policy", "rate_limited"})
_KINDS: Mapping[str, str] = {
    "complaint": "complaint",
    "unsubscribe": "complaint",
    "auto_reply": "auto-reply",
    "challenge_response": "auto-reply",
    "delivered": "none",
    "not_a_report": "none",
}
CLASSES = (
    HARD
    | ABOUT_US
    | frozenset(_KINDS)
    | {"mailbox_full", "recipient_refused", "message_too_big", "content", "unreachable", "system", "undetermined"}
)
"""The classes of a verdict: why something failed, in twenty words."""

FAMILIES = ("receiver", "words", "code", "hint", "reply")
"""How a rule knows: one receiver's habits, words, an enhanced code (RFC 3463), vague words, a bare reply code."""

PLACES = ("line", "inside", "next", "every", "names", "none")
"""Where a form names its recipients: on lines of their own after its start, inside the gap of the start itself, as the
first address after it, as every address after it, as local parts of the reporting domain, nowhere."""

SUBJECTS = frozenset({"subject", "subject-text"})
"""Fields of signatures that stand for a subject: as it is, and without what programs put before their own words."""

_FORM_GAP = 320


class RulesError(ValueError):
    """The rules are wrong; the message names the one that is."""


def kind_of(failure_class: str) -> str:
    """What a class means for the address, if the failure is final."""
    return "hard" if failure_class in HARD else _KINDS.get(failure_class, "soft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. Every condition that is given must hold; each is a set of alternatives.

    `words` and `unless` are phrases, each in its pieces between "…". `statuses` are subject.detail or
    class.subject.detail; `hosts` are domain suffixes of the remote MTA. `narrow` marks a rule with a single witness.
    `passes`: the refusal is about the moment, so it is asked again for some time even if the reply says "for good".
    """

    id: str
    family: str
    failure_class: str
    kind: str
    about_us: bool
    source: str
    example: str
    words: tuple[Phrase, ...] = ()
    unless: tuple[Phrase, ...] = ()
    hosts: tuple[str, ...] = ()
    reply_codes: frozenset[int] = frozenset()
    statuses: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    passes: bool = False
    narrow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a whole mail is, by one field: a header field's name, "text" (its opening words), or "from-local"."""

    id: str
    what: str
    field: str
    equals: tuple[str, ...]
    starts: tuple[str, ...]
    contains: tuple[Phrase, ...]
    present: bool
    source: str
    example: str
    narrow: bool = False

    def found_in(self, value: str) -> str:
        """The words by which it holds for a value; the whole value where the field's presence is enough."""
        phrase = next((phrase for phrase in self.contains if phrase_in(phrase, value)), ())
        start = next((start for start in self.starts if value.startswith(start)), "")
        return " … ".join(phrase) or start or value


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSignatures:
    """The signatures of one field together, by their ids, so that a value which bears none of them is told at once."""

    signatures: Mapping[str, Signature]
    present: bool
    equals: frozenset[str]
    starts: tuple[str, ...]
    index: PhraseIndex[str]

    def borne(self, value: str, phrases: Mapping[str, list[Phrase]]) -> Iterator[Signature]:
        """The signatures that a value bears. `phrases` are those that an index found in it, by signature id."""
        whole = self.present or value in self.equals or value.startswith(self.starts)
        known = self.signatures
        for signature in known.values() if whole else [known[each] for each in phrases if each in known]:
            if (
                signature.present
                or value in signature.equals
                or (whole and value.startswith(signature.starts))
                or any(phrase_in(phrase, value) for phrase in phrases.get(signature.id, ()))
            ):
                yield signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one program writes its notices: the words that begin its list of recipients, and what follows them.

    `start` finds them in the prose, `place` says where the addresses are (see PLACES), `failure_class` is what the form
    itself means when nothing in it says more, `action` is failed or delayed. `stop` ends it.
    """

    id: str
    family: str
    start: re.Pattern[str]
    phrase: Phrase
    place: str
    stop: tuple[str, ...]
    failure_class: str
    action: str
    source: str
    example: str
    narrow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules by family, in the order in which they are asked, with the indexes that find those worth asking.

    `worded` are those of receivers, of words and hints; `worded_index` finds their words by their numbers n, and by ~n
    the phrases that forbid them. `families` are those of the rules by their ids, `whole` the
    signatures and forms by theirs. `prose_index` finds what a mail's prose may bear: forms, and signatures of its text;
    `subject_index` the signatures of its subject, whatever stands before that.
    """

    receiver: tuple[Rule, ...]
    words: tuple[Rule, ...]
    codes: Mapping[str, Rule]
    hints: tuple[Rule, ...]
    replies: tuple[Rule, ...]
    signatures: tuple[Signature, ...]
    forms: tuple[Form, ...]
    families: Mapping[str, str]
    whole: Mapping[str, Signature | Form]
    worded: tuple[Rule, ...]
    worded_index: PhraseIndex[int] = field(repr=False)
    unworded: tuple[int, ...] = ()
    signatures_by_field: Mapping[str, FieldSignatures] = field(default_factory=dict, repr=False)
    prose_index: PhraseIndex[str] = field(repr=False)
    subject_index: PhraseIndex[str] = field(repr=False)

    @property
    def all(self) -> tuple[Rule, ...]:
        return (*self.receiver, *self.words, *self.codes.values(), *self.hints, *self.replies)

    @property
    def ids(self) -> tuple[str, ...]:
        entries: tuple[Rule | Signature | Form, ...] = (*self.all, *self.signatures, *self.forms)
        return tuple(entry.id for entry in entries)


def load_rules(*toml_texts: str) -> Rules:
    """Parse and check the rules. Raises RulesError, naming the rule that is wrong."""
    rules: list[Rule] = []
    signatures: list[Signature] = []
    forms: list[Form] = []
    for toml_text in toml_texts:
        try:
            document = tomllib.loads(toml_text)
        except tomllib.TOMLDecodeError as error:
            raise RulesError(str(error)) from None
        vocabulary = document.get("vocabulary", {})
        rules += [_rule(_spelt_out(entry, vocabulary)) for entry in document.get("rule", ())]
        for status, entry in document.get("codes", {}).items():
            rules.append(_rule({"id": f"code.{status}", "family": "code", "statuses": [status], **entry}))
        signatures += [_signature(entry) for entry in document.get("signature", ())]
        forms += [_form(entry) for entry in document.get("form", ())]
    return assemble(tuple(rules), tuple(signatures), tuple(forms))


_NAMED = re.compile(r"\{(\w+)\}")


def _spelt_out(entry: dict[str, object], vocabulary: Mapping[str, list[str]]) -> dict[str, object]:
    """The rule with a phrase for each word that a name in braces stands for: "no such {whom}" is many phrases."""
    return {
        key: [spelt for phrase in _strings(entry, key) for spelt in _each(phrase, vocabulary, str(entry.get("id")))]
        if key in {"words", "unless"}
        else value
        for key, value in entry.items()
    }


def _each(phrase: str, vocabulary: Mapping[str, list[str]], rule: str) -> list[str]:
    if "{" not in phrase:
        return [phrase]
    pieces = _NAMED.split(phrase)
    names = pieces[1::2]
    if unknown := set(names) - vocabulary.keys():
        raise RulesError(f"{rule}: no such vocabulary: {sorted(unknown)}")
    choices = [vocabulary[piece] if number % 2 else [piece] for number, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in product(*choices)]


def assemble(rules: tuple[Rule, ...], signatures: tuple[Signature, ...], forms: tuple[Form, ...]) -> Rules:
    """Rules ready to be asked, in their order. Raises RulesError if an id occurs twice."""
    ids = [entry.id for entry in rules] + [entry.id for entry in signatures] + [entry.id for entry in forms]
    if len(ids) != len(set(ids)):
        raise RulesError(f"ids occur twice: {sorted({known for known in ids if ids.count(known) > 1})}")
    by_family = {family: tuple(rule for rule in rules if rule.family == family) for family in FAMILIES}
    worded = (*by_family["receiver"], *by_family["words"], *by_family["hint"])
    fields = dict.fromkeys(signature.field for signature in signatures)
    by_field = {name: _of_field([each for each in signatures if each.field == name]) for name in fields}
    return Rules(
        receiver=by_family["receiver"],
        words=by_family["words"],
        codes={status: rule for rule in by_family["code"] for status in rule.statuses},
        hints=by_family["hint"],
        replies=by_family["reply"],
        signatures=signatures,
        forms=forms,
        families={rule.id: rule.family for rule in rules},
        whole={each.id: each for each in signatures} | {each.id: each for each in forms},
        worded=worded,
        worded_index=PhraseIndex(
            (owner, phrase)
            for n, rule in enumerate(worded)
            for owner, phrases in ((n, rule.words), (~n, rule.unless))
            for phrase in phrases
        ),
        unworded=tuple(n for n, rule in enumerate(worded) if not rule.words),
        signatures_by_field=by_field,
        prose_index=PhraseIndex(
            [(form.id, form.phrase) for form in forms]
            + [(each.id, phrase) for each in signatures if each.field == "text" for phrase in each.contains]
        ),
        subject_index=PhraseIndex(
            (each.id, phrase) for each in signatures if each.field in SUBJECTS for phrase in each.contains
        ),
    )


def _of_field(signatures: list[Signature]) -> FieldSignatures:
    return FieldSignatures(
        signatures={each.id: each for each in signatures},
        present=any(each.present for each in signatures),
        equals=frozenset(value for each in signatures for value in each.equals),
        starts=tuple(start for each in signatures for start in each.starts),
        index=PhraseIndex((each.id, phrase) for each in signatures for phrase in each.contains),
    )


_RULE_KEYS = frozenset(
    {"id", "family", "class", "kind", "about_us", "source", "example", "words", "unless", "hosts", "reply_codes"}
    | {"statuses", "stages", "passes", "narrow"}
)
_SIGNATURE_KEYS = frozenset(
    {"id", "what", "field", "equals", "starts", "contains", "present", "source", "example", "narrow"}
)
_FORM_KEYS = frozenset(
    {"id", "family", "start", "place", "stop", "class", "action", "source", "example", "narrow"},
)


def _rule(entry: dict[str, object]) -> Rule:
    known = _checked(entry, _RULE_KEYS, required=("id", "family", "class", "source", "example"))
    failure_class, family = str(known["class"]), str(known["family"])
    if failure_class not in CLASSES or family not in FAMILIES:
        raise RulesError(f"{known['id']}: no such class or family: {failure_class}, {family}")
    if not any(known.get(key) for key in ("words", "statuses", "reply_codes", "stages")):
        raise RulesError(f"{known['id']}: a rule needs a condition")
    return Rule(
        id=str(known["id"]),
        family=family,
        failure_class=failure_class,
        kind=str(known.get("kind", kind_of(failure_class))),
        about_us=bool(known.get("about_us", failure_class in ABOUT_US)),
        source=str(known["source"]),
        example=str(known["example"]),
        words=_phrases(known, "words"),
        unless=_phrases(known, "unless"),
        hosts=_strings(known, "hosts"),
        reply_codes=frozenset(int(code) for code in _strings(known, "reply_codes")),
        statuses=frozenset(_strings(known, "statuses")),
        stages=frozenset(Stage(stage) for stage in _strings(known, "stages")),
        passes=bool(known.get("passes", failure_class == "rate_limited" and family in {"receiver", "words"})),
        narrow=bool(known.get("narrow", False)),
    )


def _signature(entry: dict[str, object]) -> Signature:
    known = _checked(entry, _SIGNATURE_KEYS, required=("id", "what", "field", "source", "example"))
    if not any(known.get(key) for key in ("equals", "starts", "contains", "present")):
        raise RulesError(f"{known['id']}: a signature needs a condition")
    return Signature(
        id=str(known["id"]),
        what=str(known["what"]),
        field=str(known["field"]).lower(),
        equals=tuple(plain(value) for value in _strings(known, "equals")),
        starts=tuple(plain(value) for value in _strings(known, "starts")),
        contains=_phrases(known, "contains"),
        present=bool(known.get("present", False)),
        source=str(known["source"]),
        example=str(known["example"]),
        narrow=bool(known.get("narrow", False)),
    )


def _form(entry: dict[str, object]) -> Form:
    known = _checked(entry, _FORM_KEYS, required=("id", "family", "start", "source", "example"))
    phrase = _as_written({**known, "start": [known["start"]]}, "start")[0]
    place, failure_class = str(known.get("place", "line")), str(known.get("class", "undetermined"))
    if place not in PLACES or failure_class not in CLASSES:
        raise RulesError(f"{known['id']}: no such place or class: {place}, {failure_class}")
    spaced = [r"\s+".join(map(re.escape, piece.split())) for piece in phrase]
    return Form(
        id=str(known["id"]),
        family=str(known["family"]),
        start=re.compile(f"(.{{0,{_FORM_GAP}}}?)".join(spaced), re.DOTALL),
        phrase=(plain(phrase[0]),),
        place=place,
        stop=_strings(known, "stop"),
        failure_class=failure_class,
        action=str(known.get("action", "failed")),
        source=str(known["source"]),
        example=str(known["example"]),
        narrow=bool(known.get("narrow", False)),
    )


def _checked(entry: dict[str, object], keys: frozenset[str], required: Iterable[str]) -> dict[str, object]:
    name = entry.get("id", "a rule without id")
    if unknown := entry.keys() - keys:
        raise RulesError(f"{name}: unknown keys {sorted(unknown)}")
    if missing := [key for key in required if not entry.get(key)]:
        raise RulesError(f"{name}: lacks {missing}")
    return entry


def _strings(entry: dict[str, object], key: str) -> tuple[str, ...]:
    values = entry.get(key, [])
    if not isinstance(values, list):
        raise RulesError(f"{entry['id']}: {key} must be a list")
    return tuple(str(value) for value in values)


def _phrases(entry: dict[str, object], key: str) -> tuple[Phrase, ...]:
    """The phrases of an entry as folded text has them, also with umlauts written as ae, oe, ue."""
    spelt = (
        spelling
        for phrase in _as_written(entry, key)
        for spelling in (phrase, tuple(piece.translate(_UMLAUTS) for piece in phrase))
    )
    return tuple(dict.fromkeys(tuple(map(plain, phrase)) for phrase in spelt))


_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def _as_written(entry: dict[str, object], key: str) -> tuple[Phrase, ...]:
    phrases = _strings(entry, key)
    for phrase in phrases:
        if phrase != phrase.lower() or not all(phrase.split("…")):
            raise RulesError(f"{entry['id']}: not a phrase in lower case: {phrase!r}")
    return tuple(tuple(piece.strip() or piece for piece in phrase.split("…")) for phrase in phrases)
