"""A mail that came back, as it is understood, and the view of it that every reader shares."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, repeat
from typing import NamedTuple

from homing.loop.evidence import ReportAction, What
from homing.loop.model import Verdict
from homing.loop.reading.classify import classify, weight
from homing.loop.reading.prose import PROSE_CHARACTERS, Notice, first_address, read_plain
from homing.loop.reading.rulebook import HARD, SUBJECTS, FieldSignatures, Form, Rules, Signature
from homing.loop.reading.wording import Phrase, fold
from homing.mail.address import domain_of
from homing.mail.mime import Headers, Mail
from homing.mail.reply import Stage
from homing.mail.text import clean

LINE = 500
DIAGNOSTIC = 2000
MATCHED = 100
"""Characters of what a rule matched that are kept."""
_OPENING_CHARACTERS = 1500
_VIEWS = SUBJECTS | {"text", "from-local"}
"""Fields of signatures that are no header fields, or are read folded."""
_BEFORE_WORDS = "[({<*-\"' "

_STRONG, _GENUINE, _VAGUE = 3, 2, 1
FEW = 5
"""The most recipients for which a mail is read closely; with many more, that would take too long."""

_LONG = 250
"""Characters. No server says so much at once."""

_REPLY = re.compile(r"""[45](?<![^\s:'"(<\[].)\d\d[ -][^\n]{4,400}(?:\n[^\n]{1,400}){0,4}""")
_REPLY_ENDS = re.compile(
    r"\n\s*(?:i'm not going to try again|giving up on|i've given up|starttls proto)|\(in reply to", re.IGNORECASE
)
_BEFORE_A_REPLY = 61
"""Characters. If so many words stand before a reply, they are a program's own."""
_SENTENCE = re.compile(r"\s(?:(?<=[^\d\s][.!?。]\s)\s*|(?<=\n)\s*\n)")
_REASON = re.compile(
    r"^[ \t>*-]{0,20}(?:the )?(?:reason|error|cause|explanation|diagnosis|diagnostic|description|details?|grund|"
    r"ursache|fehler|fehlermeldung|raison|motif|erreur|motivo|causa|errore|erro|razón|reden|orsak|årsag|syy|powód|důvod|причина|"
    r"原因|理由|退信原因|사유)[ \t]{0,4}[:：][ \t]{0,8}(\S[^\n]{3,400}(?:\n[ \t]+\S[^\n]{0,400}){0,4})",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientReport:
    """What the mail says of one recipient, under RFC 3464's names. An address may be "": the mail names nobody.

    `behind`: the address that failed, where the notice says that it was generated or expanded from another one; ""
    where it does not say so.
    """

    original_recipient: str = ""
    final_recipient: str = ""
    action: ReportAction
    status: str = ""
    diagnostic_code: str = ""
    remote_mta: str = ""
    behind: str = ""
    verdict: Verdict

    @property
    def address(self) -> str:
        """The address that the report is about: the final recipient, except where that is no address with a full
        domain. The original one only echoes what the sender wrote (RFC 3461 §5.2.8)."""
        original, final = self.original_recipient, self.final_recipient
        return final if "." in domain_of(final) or "@" not in original else original


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A mail that came back, understood. `rule` is the id of the rule that decided `what`, `matched` the words.

    A delivery report of success has `what` BOUNCE and reports whose action says delivered, relayed or expanded: it is a
    DSN, and each report's action decides. `headers` are the mail's own, for the decision about an answer.
    """

    what: What
    rule: str
    matched: str = ""
    reports: tuple[RecipientReport, ...] = ()
    subject: str = ""
    from_address: str = ""
    auto_submitted: str = ""
    reporting_mta: str = ""
    original_envelope_id: str = ""
    returned_message_id: str = ""
    returned_trace: str = ""
    returned_marks: tuple[str, ...] = ()
    returned_senders: tuple[str, ...] = ()
    returned_recipients: tuple[str, ...] = ()
    headers: Headers = field(default_factory=Headers)


class Reading(NamedTuple):
    """What one reader makes of a mail; the fields are those of `Understood`."""

    what: What
    rule: str
    matched: str = ""
    reports: tuple[RecipientReport, ...] = ()
    reporting_mta: str = ""
    original_envelope_id: str = ""
    original_mail_from: str = ""
    returned_message_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A mail with the facts that readers ask for, each found once, on first use (hence without slots)."""

    mail: Mail
    rules: Rules
    from_address: str
    null_sender: bool

    @cached_property
    def subject(self) -> str:
        """The subject, folded."""
        return fold(self.mail.headers.first("Subject")[:LINE]).strip()

    @cached_property
    def prose(self) -> str:
        """The beginning of its prose, folded."""
        return fold(self.mail.prose[:PROSE_CHARACTERS])

    @cached_property
    def phrases(self) -> Mapping[str, list[Phrase]]:
        """The phrases of forms and signatures that stand in the prose, by the ids of those."""
        return self.rules.prose_index.find(self.prose)

    @cached_property
    def subject_phrases(self) -> Mapping[str, list[Phrase]]:
        """The phrases of signatures that stand in the subject, by the ids of those."""
        return self.rules.subject_index.find(self.subject)

    @cached_property
    def opening(self) -> str:
        """The first words, folded."""
        longer = len(self.mail.prose) > _OPENING_CHARACTERS
        return (fold(self.mail.prose[:_OPENING_CHARACTERS]) if longer else self.prose).strip()

    @cached_property
    def notice(self) -> Notice:
        """The mail, read as a notice in words."""
        return read_plain(self.mail, self.phrases, self.rules)

    @cached_property
    def borne(self) -> Mapping[str, tuple[str, ...]]:
        """The ids of the signatures that the mail bears, by the `what` that they stand for."""
        found: dict[str, tuple[str, ...]] = {}
        for signature in _signatures(self):
            found[signature.what] = (*found.get(signature.what, ()), signature.id)
        return found

    def signatures(self, what: str) -> tuple[str, ...]:
        """The ids of the signatures of this kind that the mail bears."""
        return self.borne.get(what, ())

    def signature(self, what: str) -> str:
        """The first of them, "" if none."""
        return self.borne.get(what, ("",))[0]

    def matched(self, rule: str) -> str:
        """The words by which a signature or form of this id holds, "" if `rule` is neither."""
        match self.rules.whole.get(rule):
            case Signature(field=name) as signature:
                found = signature.found_in(self.value(name))
                return found if name in _VIEWS else f"{name}: {found}"[:MATCHED]
            case Form(phrase=phrase):
                return phrase[0]
            case _:
                return ""

    def value(self, name: str) -> str:
        """What a signature's field says here, in lower case."""
        match name:
            case "subject":
                return self.subject
            case "subject-text":  # as a program puts its own words into brackets before the subject that it answers
                return self.subject.lstrip(_BEFORE_WORDS)
            case "text":
                return self.opening
            case "from-local":
                header_from = self.from_address or self.mail.headers.first("From")
                return header_from.partition("@")[0].strip(' "<').lower()
            case _:
                return self.mail.headers.first(name).lower()


def see(mail: Mail, rules: Rules, *, null_sender: bool = False) -> Seen:
    """The view of a mail. `null_sender`: it came with MAIL FROM:<>; a Return-Path or From of "<>" says so too, and
    MAILER-DAEMON, which some servers write there for nobody (Postfix, local(8))."""
    header_from = mail.headers.first("From")
    return Seen(
        mail=mail,
        rules=rules,
        from_address=first_address(header_from),
        null_sender=null_sender
        or mail.headers.first("Return-Path").replace(" ", "").lower().startswith(("<>", "<mailer-daemon"))
        or header_from.rstrip().endswith("<>"),
    )


def _signatures(seen: Seen) -> Iterator[Signature]:
    present = seen.mail.headers.names()
    for name, signatures in seen.rules.signatures_by_field.items():
        if (name in present or name in _VIEWS) and (value := seen.value(name)):
            yield from signatures.borne(value, _phrases(name, value, signatures, seen))


def _phrases(name: str, value: str, signatures: FieldSignatures, seen: Seen) -> Mapping[str, list[Phrase]]:
    if name in SUBJECTS:
        return seen.subject_phrases
    return seen.phrases if name == "text" else signatures.index.find(value)


class Said(NamedTuple):
    """The texts of a notice about one recipient: `words` about that one alone, best first; then `prose` about the whole
    mail, closest first. Both may be lazy: most verdicts need no more than the first. `closely`: single sentences are
    judged too, where the whole tells little.
    """

    words: Iterable[str]
    prose: Iterable[str] = ()
    status: str = ""
    remote_mta: str = ""
    stage: Stage | None = None
    closely: bool = False


def judge(said: Said, action: ReportAction, rules: Rules) -> Verdict:
    """The verdict of the first words that tell; a genuine code beats the prose, the prose beats a vague code."""
    best, heavy, shown = None, -1, None
    remote_mta = clean(said.remote_mta, LINE)
    asked = {""}
    for text, enough in _told(said):
        if heavy >= enough:
            break
        if (words := text.strip()) in asked:
            continue
        asked.add(words)
        shown = clean(words, DIAGNOSTIC) if shown is None else shown
        verdict = classify(None, stage=said.stage, status=said.status, text=text, remote_mta=remote_mta, rules=rules)
        if (tells := weight(verdict, rules)) > heavy:
            best, heavy = verdict, tells
        if heavy >= _STRONG:  # before the next text is looked for
            break
    if best is None:
        best = classify(None, stage=None, status=said.status, text="", remote_mta=remote_mta, rules=rules)
    return softened(best if best.text == shown else replace(best, text=shown or ""), action)


def _told(said: Said) -> Iterator[tuple[str, int]]:
    """Each text, and the weight of an earlier verdict that makes it needless. A long text holds more than the server's
    words: the reply that it quotes, or the reason that it gives, comes first, and its single sentences last."""
    texts = chain(zip(said.words, repeat(_STRONG)), zip(said.prose, (_GENUINE, _VAGUE), strict=False))
    for text, enough in texts:
        quoted, around = _REPLY.search(text), enough
        if quoted and (quoted.start() > _BEFORE_A_REPLY or len(text) > _LONG):
            yield _REPLY_ENDS.split(quoted[0], maxsplit=1)[0], enough
            around = min(enough, _GENUINE)  # a reply with a code of its own beats the words around it
        elif len(text) > _LONG and (reason := _REASON.search(text)):
            yield reason[1], enough
        yield text, around
        if said.closely and len(text) > _LONG:
            yield from ((sentence, enough) for sentence in _SENTENCE.split(text[:4000]) if len(sentence) > 12)


def softened(verdict: Verdict, action: ReportAction, behind: str = "") -> Verdict:
    """The verdict, never hard for a delay, which is not held against an address, nor where another one failed."""
    if (action is ReportAction.DELAYED or behind) and verdict.failure_class in HARD:
        return replace(verdict, kind="soft")
    return verdict


def from_behind(verdict: Verdict) -> Verdict:
    """The verdict of a report on a message that the recipient's domain has taken. Such a domain exists, so what was not
    found is a host behind it, or another domain."""
    if verdict.failure_class != "invalid_domain":
        return verdict
    return replace(verdict, failure_class="unreachable", kind="soft")
