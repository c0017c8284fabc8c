"""Why was it refused? Ordered rules over fields, read from `rules.toml`; the first that holds decides and is named.

The words of the remote server beat its codes: one enhanced code in four says something else than the sentence beside
it. So the order is: what a known receiver means by its own codes; words about the sender, then about the recipient, the
message and the way; the enhanced code inside the quoted reply; the reported status; vague words; the bare reply code.
Rules about us come before rules about the address, because a wrong "hard" burns a good address.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from homing.loop.model import Verdict
from homing.loop.reading.aside import servers_words, without_advice
from homing.loop.reading.rulebook import CLASSES, FAMILIES, HARD, Rule, Rules, RulesError, kind_of, load_rules
from homing.loop.reading.wording import Phrase, fold, phrase_in
from homing.mail.reply import HOST_STAGES, Reply, Stage

__all__ = [
    "CLASSES",
    "FAMILIES",
    "HARD",
    "Rules",
    "RulesError",
    "classify",
    "kind_of",
    "load_rules",
    "plain_verdict",
    "stage_in",
    "weight",
]

_ABOUT_THE_RECIPIENT = HARD | {"recipient_refused", "mailbox_full", "undetermined"}
_OF_THE_WAY = frozenset({"message_too_big", "system"})
"""Classes that are about the message or the server, at whichever command."""

_ABOUT_THE_MESSAGE = frozenset({"words.smtputf8", "code.6.7"})
"""Rules that hold as early as MAIL FROM and are not about us, as the size is not (RFC 1870 §6.1, RFC 6531 §3.4)."""
WANTS_TLS = frozenset({"words.tls-required", "code.7.10", "code.7.11"})
"""Rules of a refusal of clear text."""
TEXT_CHARACTERS = 4096
_STORAGE_EXCEEDED = 552
_STATUS = re.compile(r"([245])(?<![\d.].)\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
_CODE = re.compile(r"([45](?<![\d.\[].)\d\d)(?=[ \-#:]|$)")
_LITERAL = re.compile(r"\d(?<![\d.].)\d{0,2}(?:\.\d{1,3}){3}(?![\d.]*\d)")
_VAGUE_CODES = frozenset({"1.5", "1.9", "5.0", "2.0", "3.0", "4.0", "7.0"})
_VAGUE_STATUS = re.compile(r"[45]\.(?:\d{1,3}\.0|7\.1|5\.[14]|3\.5)")
_OF_A_MAILBOX = HARD | {"recipient_refused", "mailbox_full"}
_STAGES: tuple[tuple[str, tuple[str, ...], Stage], ...] = tuple(
    (command, tuple(f"{before} {command}" for before in befores), stage)
    for command, befores, stage in (
        ("mail from", ("in reply to", "after", "after pipelined", "sending"), Stage.MAIL_FROM),
        ("rcpt to", ("in reply to", "after", "after pipelined", "for", ">>>"), Stage.RCPT_TO),
        ("end of data", ("in reply to", "after", "after pipelined", "for"), Stage.DOT),
        ("data command", ("in reply to",), Stage.DATA),
        ("data", ("after", ">>>"), Stage.DATA),
    )
)
"""A command, the words in which servers tell that they answer it, and the stage to which it belongs."""
_IN_THE_GREETING = "refused to talk to me"
"""Postfix, of a host that refused it before any command."""


class _Facts(NamedTuple):
    text: str
    said: str
    reply_code: int | None
    statuses: tuple[str, ...]
    stage: Stage | None
    remote_mta: str


# -- the verdict -----------------------------------------------------------------------------------------------------


def classify(
    reply: Reply | None, *, stage: Stage | None, status: str, text: str, remote_mta: str, rules: Rules
) -> Verdict:
    """Why this failed, from a live reply, or from a report's status and diagnostic text.

    `stage` is where the reply came, None if unknown. A transient live reply is never hard: it is not the last word."""
    if reply is not None:
        text = f"{reply.text}\n{text}" if text else reply.text
        status = reply.enhanced_status_code or status
    facts = _facts(reply, stage, status, text, remote_mta)
    rule, matched = _decide(facts, rules)
    transient = reply is not None and reply.transient
    failure_class, kind, about_us = rule.failure_class, rule.kind, rule.about_us
    if facts.stage is Stage.MAIL_FROM and not transient:  # the server has not heard of the recipient yet
        if failure_class in _ABOUT_THE_RECIPIENT:
            failure_class = "message_too_big" if _is_the_size(failure_class, facts) else "policy"
        kind, about_us = "soft", failure_class not in _OF_THE_WAY and rule.id not in _ABOUT_THE_MESSAGE
    if facts.stage in HOST_STAGES and failure_class in _OF_A_MAILBOX:  # it has heard of nobody yet
        failure_class, kind = "unreachable", "soft"
    return Verdict(
        failure_class=failure_class,
        kind="soft" if transient and kind == "hard" else kind,
        rule=rule.id,
        matched=matched,
        about_us=about_us,
        passes=rule.passes and failure_class == rule.failure_class,
        reply_code=facts.reply_code,
        enhanced_status_code=_best_status(facts.statuses),
        text=text.strip(),
        remote_mta=remote_mta,
    )


def _is_the_size(failure_class: str, facts: _Facts) -> bool:
    """Whether a server that knows no recipient yet has no room for the size that was announced (RFC 1870 §6.1)."""
    return failure_class == "mailbox_full" and facts.reply_code == _STORAGE_EXCEEDED and "sender" not in facts.text


def plain_verdict(failure_class: str, rule: str, matched: str = "") -> Verdict:
    """A verdict that needs no words of a server: complaints, automatic answers, reports of success."""
    return Verdict(failure_class=failure_class, kind=kind_of(failure_class), rule=rule, matched=matched)


def _facts(reply: Reply | None, stage: Stage | None, status: str, text: str, remote_mta: str) -> _Facts:
    bounded = text[:TEXT_CHARACTERS]
    words = servers_words(bounded)
    said = without_advice(words)
    inner = [f"{found[1]}.{int(found[2])}.{int(found[3])}" for found in _STATUS.finditer(bounded)]
    folded = _folded(words)
    code = _CODE.search(bounded)
    return _Facts(
        text=folded,
        said=_folded(said) if said and len(said) < len(words) else folded,
        reply_code=reply.reply_code if reply else int(code[1]) if code else None,
        statuses=(*reversed(inner), *((status,) if status else ())),
        stage=stage or stage_in(bounded),
        remote_mta=remote_mta.lower().rstrip("."),
    )


def _folded(text: str) -> str:
    return _LITERAL.sub("<#>", fold(text))


def stage_in(text: str) -> Stage | None:
    """The stage of the SMTP dialogue that a server's words are reported for, None if they do not tell."""
    folded = text.lower()
    if _IN_THE_GREETING in folded:
        return Stage.BANNER
    return next(
        (stage for command, told, stage in _STAGES if command in folded and any(each in folded for each in told)), None
    )


def _decide(facts: _Facts, rules: Rules) -> tuple[Rule, str]:
    return next(_holding(facts, rules), (_UNDETERMINED, ""))


def _holding(facts: _Facts, rules: Rules) -> Iterator[tuple[Rule, str]]:
    """The rules that hold, in the order in which they are asked, each with what it matched."""
    candidates = rules.worded_index.find(facts.text)
    numbers = sorted({*(number for number in candidates if number >= 0), *rules.unworded})
    at = bisect_left(numbers, len(rules.receiver))
    end = bisect_left(numbers, len(rules.worded) - len(rules.hints), at)
    of_receivers, of_words, of_hints = numbers[:at], numbers[at:end], numbers[end:]
    yield from _worded(of_receivers, candidates, facts.text, facts, rules)
    coded = [(rule, status) for status in facts.statuses if (rule := _by_code(status, rules))]
    genuine = [each for each in coded if each[1].partition(".")[2] not in _VAGUE_CODES]
    if facts.said != facts.text:
        yield from _worded(of_words, candidates, facts.said, facts, rules)  # its words stand in the whole text too
        yield from (each for each in genuine if each[0].failure_class not in HARD)  # before the words of advice
    yield from _worded(of_words, candidates, facts.text, facts, rules)
    yield from genuine
    yield from _worded(of_hints, candidates, facts.text, facts, rules)
    yield from coded
    for rule in rules.replies:
        matched = _holds(rule, facts)
        if matched:
            yield rule, matched


def _worded(
    numbers: Sequence[int], candidates: Mapping[int, Sequence[Phrase]], text: str, facts: _Facts, rules: Rules
) -> Iterator[tuple[Rule, str]]:
    for number in numbers:
        matched = _holds(rules.worded[number], facts, candidates.get(number, ()), text, candidates.get(~number, ()))
        if matched:
            yield rules.worded[number], matched


def _by_code(status: str, rules: Rules) -> Rule | None:
    if status.startswith("2"):  # success, as a session shows it of the commands before
        return None
    return rules.codes.get(status) or rules.codes.get(status.partition(".")[2])


def _holds(
    rule: Rule, facts: _Facts, phrases: Iterable[Phrase] = (), text: str = "", unless: Iterable[Phrase] = ()
) -> str:
    """What made the rule hold, "" if it does not. `phrases` are those of its words that may occur in `text`, `unless`
    those that forbid it."""
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
    found = next((phrase for phrase in phrases if phrase_in(phrase, text)), None)
    if found is None or any(phrase_in(phrase, text) for phrase in unless):
        return ""
    return " … ".join(found)


def weight(verdict: Verdict, rules: Rules) -> int:
    """How much a verdict tells: 3 words, 2 a genuine code, 1 a vague code, a hint or a bare reply, 0 nothing."""
    match rules.families.get(verdict.rule):
        case "receiver" | "words":
            return 3
        case "code":
            return 1 if _VAGUE_STATUS.fullmatch(verdict.matched) else 2
        case "hint" | "reply":
            return 1
        case _:
            return 0


def _best_status(statuses: tuple[str, ...]) -> str:
    """The most telling code: a genuine one before x.0.0, that of the quoted reply before the reported one."""
    telling = (status for status in statuses if not status.endswith(".0.0"))
    return next(telling, statuses[-1] if statuses else "")


_UNDETERMINED = Rule(
    id="undetermined",
    family="reply",
    failure_class="undetermined",
    kind="soft",
    about_us=False,
    source="nothing known matched",
    example="",
)
