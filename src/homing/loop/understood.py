"""A mail that came back, as it is understood, and the view of it that every reader shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from homing.loop.classify import classify, stage_in, weight
from homing.loop.evidence import ReportAction, What
from homing.loop.model import Verdict
from homing.loop.plain import first_address
from homing.loop.rulebook import HARD, Rules
from homing.loop.wording import fold, phrase_in
from homing.mail.mime import Headers, Mail
from homing.mail.text import clean

LINE = 500
DIAGNOSTIC = 2000
_OPENING_CHARACTERS = 1500
_STRONG, _GENUINE, _VAGUE = 3, 2, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientReport:
    """What the mail says of one recipient, under RFC 3464's names. An address may be "": the mail names nobody."""

    original_recipient: str = ""
    final_recipient: str = ""
    action: ReportAction
    status: str = ""
    diagnostic_code: str = ""
    remote_mta: str = ""
    verdict: Verdict

    @property
    def address(self) -> str:
        """Whom it is about: the address that was written to, as far as it is told, else the one that failed."""
        original, final = self.original_recipient, self.final_recipient
        return original if "@" in original or not final else final


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A mail that came back, understood. `rule` names what made us think that it is a `what`.

    A delivery report of success has `what` BOUNCE and reports whose action says delivered, relayed or expanded: it is a
    DSN, and each report's action decides. `headers` are the mail's own, for whoever decides about an answer.
    """

    what: What
    rule: str
    reports: tuple[RecipientReport, ...] = ()
    subject: str = ""
    from_address: str = ""
    auto_submitted: str = ""
    reporting_mta: str = ""
    original_envelope_id: str = ""
    returned_message_id: str = ""
    returned_trace: str = ""
    returned_marks: tuple[str, ...] = ()
    returned_recipients: tuple[str, ...] = ()
    headers: Headers = field(default_factory=Headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A mail with what every reader asks of it, found once. `borne` holds the ids of the signatures that it bears, by
    what they say that it is."""

    mail: Mail
    rules: Rules
    from_address: str
    subject: str
    opening: str
    null_sender: bool
    borne: Mapping[str, tuple[str, ...]]

    def signatures(self, what: str) -> tuple[str, ...]:
        """The ids of the signatures of this kind that the mail bears."""
        return self.borne.get(what, ())

    def signature(self, what: str) -> str:
        """The first of them, "" if none."""
        return self.borne.get(what, ("",))[0]


def see(mail: Mail, rules: Rules, *, null_sender: bool = False) -> Seen:
    """The view of a mail. `null_sender`: it came with MAIL FROM:<>; a Return-Path or From of "<>" says so too."""
    headers = mail.headers
    sender = headers.first("From")
    from_address = first_address(sender)
    subject = fold(headers.first("Subject")[:LINE]).strip()
    opening = fold(mail.prose[:_OPENING_CHARACTERS]).strip()
    values = {
        "subject": subject,
        "text": opening,
        "from-local": (from_address or sender).partition("@")[0].strip(' "<').lower(),
    }
    return Seen(
        mail=mail,
        rules=rules,
        from_address=from_address,
        subject=subject,
        opening=opening,
        null_sender=null_sender
        or headers.first("Return-Path").replace(" ", "") == "<>"
        or sender.rstrip().endswith("<>"),
        borne=_borne(mail, values, rules),
    )


def _borne(mail: Mail, values: Mapping[str, str], rules: Rules) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, numbers in rules.signatures_by_field.items():
        value = values[name] if name in values else mail.headers.first(name).lower()
        if not value:
            continue
        phrases = rules.signature_index[name].find(value)
        for number in numbers:
            signature = rules.signatures[number]
            if (
                signature.present
                or value in signature.equals
                or value.startswith(signature.starts)
                or any(phrase_in(phrase, value) for phrase in phrases.get(number, ()))
            ):
                found[signature.what] = (*found.get(signature.what, ()), signature.id)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a notice says of one recipient: `words` about him alone, best first; then `prose` about the whole mail, what
    comes closer to him first."""

    words: tuple[str, ...]
    prose: tuple[str, ...] = ()
    status: str = ""
    remote_mta: str = ""


def judge(said: Said, action: ReportAction, rules: Rules) -> Verdict:
    """The verdict of the first words that tell; a genuine code beats the prose, the prose beats a vague code."""
    words = [text for text in said.words if text.strip()]
    stage = next((known for text in words if (known := stage_in(text))), None)
    best: Verdict | None = None
    best_weight = -1
    for text, enough in (*((text, _STRONG) for text in words), *zip(said.prose, (_GENUINE, _VAGUE), strict=False)):
        if best_weight >= enough:
            break
        verdict = classify(None, stage=stage, status=said.status, text=text, remote_mta=said.remote_mta, rules=rules)
        tells = weight(verdict, rules)
        if tells > best_weight:
            best, best_weight = verdict, tells
    if best is None:
        best = classify(None, stage=None, status=said.status, text="", remote_mta=said.remote_mta, rules=rules)
    best = replace(best, text=clean([*words, *said.prose, ""][0], DIAGNOSTIC), remote_mta=clean(best.remote_mta, LINE))
    return softened(best, action)


def softened(verdict: Verdict, action: ReportAction) -> Verdict:
    """A delay is never held against an address."""
    if action is ReportAction.DELAYED and verdict.failure_class in HARD:
        return replace(verdict, kind="soft")
    return verdict
