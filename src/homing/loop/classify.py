"""Why was it refused? Ordered rules over fields, read from `rules.toml`; the first that holds decides and is named.

The words of the remote server beat its codes: one enhanced code in four says something else than the sentence beside
it. So the order is: what a known receiver means by its own codes; words about the sender, then about the recipient, the
message and the way; the enhanced code inside the quoted reply; the reported status; vague words; the bare reply code.
Rules about us come before rules about the address, because a wrong "hard" burns a good address.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from homing.loop.model import Verdict
from homing.mail.reply import Reply, Stage

HARD = frozenset({"invalid_recipient", "invalid_domain", "inactive_mailbox"})
"""Classes after which the address should not be used again, when the failure is final."""

_ABOUT_US = frozenset({"auth", "reputation", "policy", "rate_limited"})
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
    | _ABOUT_US
    | frozenset(_KINDS)
    | {"mailbox_full", "recipient_refused", "message_too_big", "content", "unreachable", "system", "undetermined"}
)
"""Why, in twenty words."""

FAMILIES = ("receiver", "words", "code", "hint", "reply")
"""How a rule knows: one receiver's habits, words, an enhanced code (RFC 3463), vague words, a bare reply code."""

TEXT_CHARACTERS = 4096
_GAP_CHARACTERS = 80
_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
_CODE = re.compile(r"(?<![\d.\[])([45]\d\d)(?=[ \-#:]|$)")
_CONTINUED = re.compile(r"(?<![\d.])[245]\d\d-(?:[245]\.\d{1,3}\.\d{1,3}[ -])?")
_WRAPPER = re.compile(r"[45]\.\d\.\d - (?:Unknown address error|Other mail system problem)(?= [45]\d\d[-' ])")
_ADDRESS = re.compile(r"<?[\w.+=/'-]{1,64}@[\w.-]{1,255}>?")
_SPACE = re.compile(r"\s+")
_QUOTES = str.maketrans("’‘“”´`", "''\"\"''")
_STAGES: tuple[tuple[str, Stage], ...] = (
    ("in reply to mail from", Stage.MAIL_FROM),
    ("after mail from", Stage.MAIL_FROM),
    ("sending mail from", Stage.MAIL_FROM),
    ("in reply to rcpt to", Stage.RCPT_TO),
    ("after rcpt to", Stage.RCPT_TO),
    (">>> rcpt to", Stage.RCPT_TO),
    ("in reply to end of data", Stage.DOT),
    ("after end of data", Stage.DOT),
    ("in reply to data command", Stage.DATA),
)


class RulesError(ValueError):
    """`rules.toml` is wrong; the message names the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. Every condition that is given must hold; each is a set of alternatives.

    `words` and `unless` are phrases, each in its pieces between "…". `statuses` are subject.detail or
    class.subject.detail; `hosts` are domain suffixes of the remote MTA. `narrow` marks a rule with a single witness.
    """

    id: str
    family: str
    failure_class: str
    kind: str
    about_us: bool
    source: str
    example: str
    words: tuple[tuple[str, ...], ...] = ()
    unless: tuple[tuple[str, ...], ...] = ()
    hosts: tuple[str, ...] = ()
    reply_codes: frozenset[int] = frozenset()
    statuses: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    narrow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a whole mail is, by one field: a header field's name, "text" (its opening words), or "from-local"."""

    id: str
    what: str
    field: str
    starts: tuple[str, ...]
    contains: tuple[tuple[str, ...], ...]
    present: bool
    source: str
    example: str

    def matches(self, value: str) -> str:
        """The words that match, "" if none; `value` is folded."""
        if self.present:
            return value[:80] or self.field
        start = next((start for start in self.starts if value.startswith(start)), "")
        return start or next((" … ".join(phrase) for phrase in self.contains if phrase_in(phrase, value)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules by family, in the order in which they are asked."""

    receiver: tuple[Rule, ...]
    words: tuple[Rule, ...]
    codes: Mapping[str, Rule]
    hints: tuple[Rule, ...]
    replies: tuple[Rule, ...]
    signatures: tuple[Signature, ...]

    @property
    def all(self) -> tuple[Rule, ...]:
        return (*self.receiver, *self.words, *self.codes.values(), *self.hints, *self.replies)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    text: str
    reply_code: int | None
    statuses: tuple[str, ...]
    stage: Stage | None
    remote_mta: str


# -- the verdict -----------------------------------------------------------------------------------------------------


def classify(
    reply: Reply | None, *, stage: Stage | None, status: str, text: str, remote_mta: str, rules: Rules
) -> Verdict:
    """Why this failed, from a live reply, or from a report's status and diagnostic text.

    `stage` is where the reply came, None if unknown. A transient live reply is never hard: it is not the last word.
    """
    if reply is not None:
        text = f"{reply.text}\n{text}" if text else reply.text
        status = reply.enhanced_status_code or status
    facts = _facts(reply, stage, status, text, remote_mta)
    rule, matched = _decide(facts, rules)
    transient = reply is not None and reply.transient
    failure_class, kind, about_us = rule.failure_class, rule.kind, rule.about_us
    if facts.stage is Stage.MAIL_FROM and not transient:  # the server has not heard of the recipient yet
        failure_class = failure_class if failure_class in _ABOUT_US else "policy"
        kind, about_us = "soft", True
    return Verdict(
        failure_class=failure_class,
        kind="soft" if transient and kind == "hard" else kind,
        rule=rule.id,
        matched=matched,
        about_us=about_us,
        reply_code=facts.reply_code,
        enhanced_status_code=_best_status(facts.statuses),
        text=text.strip(),
        remote_mta=remote_mta,
    )


def kind_of(failure_class: str) -> str:
    """What a class means for the address, if the failure is final."""
    return "hard" if failure_class in HARD else _KINDS.get(failure_class, "soft")


def plain_verdict(failure_class: str, rule: str, matched: str = "") -> Verdict:
    """A verdict that needs no words of a server: complaints, automatic answers, reports of success."""
    return Verdict(failure_class=failure_class, kind=kind_of(failure_class), rule=rule, matched=matched)


def _facts(reply: Reply | None, stage: Stage | None, status: str, text: str, remote_mta: str) -> _Facts:
    bounded = text[:TEXT_CHARACTERS]
    inner = [f"{found[1]}.{int(found[2])}.{int(found[3])}" for found in _STATUS.finditer(bounded)]
    folded = fold(bounded)
    code = _CODE.search(bounded)
    return _Facts(
        text=folded,
        reply_code=reply.reply_code if reply else int(code[1]) if code else None,
        statuses=(*reversed(inner), *((status,) if status else ())),
        stage=stage or next((known for phrase, known in _STAGES if phrase in folded), None),
        remote_mta=remote_mta.lower().rstrip("."),
    )


def fold(text: str) -> str:
    """Text as phrases are compared with it: lower case, one line, without continuation codes, addresses, wrappers."""
    text = _CONTINUED.sub(" ", _WRAPPER.sub(" ", text))
    text = _ADDRESS.sub("<>", text).translate(_QUOTES)
    return f" {_SPACE.sub(' ', text).strip().lower()} "


def _decide(facts: _Facts, rules: Rules) -> tuple[Rule, str]:
    for rule in (*rules.receiver, *rules.words):
        matched = _holds(rule, facts)
        if matched:
            return rule, matched
    for status in facts.statuses:
        by_code = rules.codes.get(status) or rules.codes.get(status.partition(".")[2])
        if by_code is not None:
            return by_code, status
    for rule in (*rules.hints, *rules.replies):
        matched = _holds(rule, facts)
        if matched:
            return rule, matched
    return _UNDETERMINED, ""


def _holds(rule: Rule, facts: _Facts) -> str:
    """What made the rule hold, "" if it does not."""
    if rule.hosts and not any(facts.remote_mta == host or facts.remote_mta.endswith(f".{host}") for host in rule.hosts):
        return ""
    if rule.reply_codes and facts.reply_code not in rule.reply_codes:
        return ""
    if rule.stages and facts.stage not in rule.stages:
        return ""
    if rule.statuses and not any(s in rule.statuses or s.partition(".")[2] in rule.statuses for s in facts.statuses):
        return ""
    if not rule.words:
        return facts.statuses[0] if rule.statuses else str(facts.reply_code or facts.stage)
    text = facts.text
    found = next((phrase for phrase in rule.words if phrase[0] in text and phrase_in(phrase, text)), None)
    if found is None or any(phrase_in(phrase, text) for phrase in rule.unless):
        return ""
    return " … ".join(found)


def phrase_in(phrase: tuple[str, ...], text: str) -> bool:
    """Whether the pieces occur in this order, each at the start of a word and at most 80 characters after the last."""
    at = _find(phrase[0], text, 0, len(text))
    while at >= 0:
        end = at + len(phrase[0])
        for piece in phrase[1:]:
            at_piece = _find(piece, text, end, end + _GAP_CHARACTERS + len(piece))
            if at_piece < 0:
                break
            end = at_piece + len(piece)
        else:
            return True
        at = _find(phrase[0], text, at + 1, len(text))
    return False


def _find(piece: str, text: str, start: int, end: int) -> int:
    """Where a piece stands at the beginning of a word, -1 if nowhere."""
    at = text.find(piece, start, end)
    while at > 0 and piece[0].isalnum() and text[at - 1].isascii() and text[at - 1].isalnum():
        at = text.find(piece, at + 1, end)
    return at


def _best_status(statuses: tuple[str, ...]) -> str:
    """The most telling code: a genuine one before x.0.0, the reported one before those found in the text."""
    telling = [status for status in reversed(statuses) if not status.endswith(".0.0")]
    return telling[0] if telling else statuses[-1] if statuses else ""


_UNDETERMINED = Rule(
    id="undetermined",
    family="reply",
    failure_class="undetermined",
    kind="soft",
    about_us=False,
    source="nothing known matched",
    example="",
)


# -- reading rules.toml ----------------------------------------------------------------------------------------------


def load_rules(toml_text: str) -> Rules:
    """Parse and check the rules. Raises RulesError, naming the rule that is wrong."""
    try:
        document = tomllib.loads(toml_text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(str(error)) from None
    rules = [_rule(entry) for entry in document.get("rule", ())]
    for status, entry in document.get("codes", {}).items():
        rules.append(_rule({"id": f"code.{status}", "family": "code", "statuses": [status], **entry}))
    signatures = [_signature(entry) for entry in document.get("signature", ())]
    ids = [rule.id for rule in rules] + [signature.id for signature in signatures]
    if len(ids) != len(set(ids)):
        raise RulesError(f"ids occur twice: {sorted({known for known in ids if ids.count(known) > 1})}")
    by_family = {family: tuple(rule for rule in rules if rule.family == family) for family in FAMILIES}
    return Rules(
        receiver=by_family["receiver"],
        words=by_family["words"],
        codes={status: rule for rule in by_family["code"] for status in rule.statuses},
        hints=by_family["hint"],
        replies=by_family["reply"],
        signatures=tuple(signatures),
    )


_RULE_KEYS = frozenset(
    {"id", "family", "class", "kind", "about_us", "source", "example", "words", "unless", "hosts", "reply_codes"}
    | {"statuses", "stages", "narrow"}
)
_SIGNATURE_KEYS = frozenset({"id", "what", "field", "starts", "contains", "present", "source", "example"})


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
        about_us=bool(known.get("about_us", failure_class in _ABOUT_US)),
        source=str(known["source"]),
        example=str(known["example"]),
        words=_phrases(known, "words"),
        unless=_phrases(known, "unless"),
        hosts=_strings(known, "hosts"),
        reply_codes=frozenset(int(code) for code in _strings(known, "reply_codes")),
        statuses=frozenset(_strings(known, "statuses")),
        stages=frozenset(Stage(stage) for stage in _strings(known, "stages")),
        narrow=bool(known.get("narrow", False)),
    )


def _signature(entry: dict[str, object]) -> Signature:
    known = _checked(entry, _SIGNATURE_KEYS, required=("id", "what", "field", "source", "example"))
    if not any(known.get(key) for key in ("starts", "contains", "present")):
        raise RulesError(f"{known['id']}: a signature needs a condition")
    return Signature(
        id=str(known["id"]),
        what=str(known["what"]),
        field=str(known["field"]).lower(),
        starts=_strings(known, "starts"),
        contains=_phrases(known, "contains"),
        present=bool(known.get("present", False)),
        source=str(known["source"]),
        example=str(known["example"]),
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


def _phrases(entry: dict[str, object], key: str) -> tuple[tuple[str, ...], ...]:
    phrases = _strings(entry, key)
    for phrase in phrases:
        if phrase != phrase.lower() or not all(phrase.split("…")):
            raise RulesError(f"{entry['id']}: not a phrase in lower case: {phrase!r}")
    return tuple(tuple(piece.strip() or piece for piece in phrase.split("…")) for phrase in phrases)
