"""Bounces without a machine-readable part: whom do they name, and in which words?

Half of all bounces follow no standard, but each program that writes them has a form (`forms.toml`), and nearly all
forms have one shape: some prose, a line that holds the failed address, and the reason behind or below it. Where no form
is known, the shape alone is read. What cannot be found is left open: the envelope token already says whom it is about.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from homing.loop.reading.rulebook import Form, Rules
from homing.loop.reading.wording import addresses_in
from homing.mail.address import domain_of
from homing.mail.mime import Mail

RECIPIENTS = 100
PROSE_CHARACTERS = 6000
"""So much of a prose is looked through for a form."""
_LINES = 2000
_REASON_LINES = 20
_REASON_CHARACTERS = 2000
_TRANSCRIPT_LINES = 20
_BLOCKS = 20

_ADDRESS = r"""(?:"[^"\n]{1,64}"|[^\s<>()\[\]:;,"'@\\|：，；（）【】「」、]{1,64})@[A-Za-z0-9][\w.-]{1,252}\w"""
_NAMING_LINE = re.compile(
    r"[ \t>*•|-]{0,40}(?:\d{1,3}[.)][ \t]+)?(?:[45]\d\d[ -](?:[45]\.\d{1,3}\.\d{1,3}[ \t]+)?)?"
    r"(?:(?:to|addressed to|rcpt to|recipients?|recipient of the message|intended recipient|"
    r"(?:failed |final |original )?recipient(?:'s)?(?: e?-?mail)? addresse?s?|"
    r"address|failed address|addressee|e-?mail(?: address)?|user|failed recipients?|original recipient|final-recipient|"
    r"destinatario|destinatário|empfänger|destinataire|an|à|收件人|宛先|받는사람|кому|"
    r"(?:undeliverable|delivery failed|undelivered)(?: to)?)"
    r"[ \t]{0,4}[:=：][ \t]{0,8}|(?:smtp|to|rcpt to|rcpt to:)[ \t]+)?"
    rf"""["'(<\[]{{0,3}}(?:smtp:|mailto:|rfc-?822;[ ]?)?({_ADDRESS})["')>\]]{{0,3}}(.*)""",
    re.IGNORECASE,
)
_ORIGINAL_BEGINS = re.compile(
    r"(?:received|return-path|message-id|dkim-signature|x-received|mime-version):\s", re.IGNORECASE
)
_REASON_MAY_FOLLOW = re.compile(
    r"\s*(?:$|[:.,;(\[<—–-]|on (?:\d|\w{3},? )|\.\.\.|failed|unknown|user|was|is|has|could|not|does|\d{3}\b|smtp|"
    r"delivery|invalid|mailbox|account|no such|unable)",
    re.IGNORECASE,
)
_FAILS = re.compile(
    r"[>\"')\]]{0,3}[ ,:–-]{0,3}(?:has )?(?:failed|bounced|"
    r"was (?:rejected|refused|returned|not)|is (?:unknown|not|invalid|full)|"
    r"could not|cannot|can't|does(?: not|n't)|unknown|rejected|refused|undeliverable|[45]\d\d[ -])",
    re.IGNORECASE,
)
_EXPANDED = re.compile(rf"(?:generated|expanded)\s+from:?\s{{0,12}}<?({_ADDRESS})>?\s{{0,12}}\)", re.IGNORECASE)
_AT_LINE_START = re.compile(rf"[ \t]{{0,8}}<?({_ADDRESS}|[\w.+-]{{1,64}})>?(?=[\s:(]|$)")
_EXPANDED_WITHIN = 12
"""Lines between an address that failed and the words that tell from which it was expanded."""
_GENERATED = re.compile(rf"generated (?:from|by) <?({_ADDRESS})", re.IGNORECASE)
_NAME_LINE = re.compile(r"[ \t]+([A-Za-z0-9][\w.+-]{0,62})(?:[ \t]{2,}(.*))?$")
_GATEWAY_PREFIX = re.compile(r"(?:.{0,40}[=;:])?(?:smtp|rfc-?822)=", re.IGNORECASE)
_TRANSCRIBED = re.compile(r"[45]\d\d[ -].{0,200}\.\.\. ")
_QUOTED = re.compile(r"[ \t]*>(?!>>)")
_TALKING = re.compile(r"(?:\.\.\. )?while talking to|>>> (?!data)|5\d\d \S{1,200} \(\w{1,20}\)\.\.\.", re.IGNORECASE)
_COPY_FOLLOWS = re.compile(
    r"^[ \t]*[-=*_#|]{3,}[ \t]*(?:original|unsent|message header|message text|returned|begin|start of|below|forwarded|"
    r"copy|this is a copy|the following)",
    re.IGNORECASE | re.MULTILINE,
)


class Named(NamedTuple):
    """An address that the notice names ("" if it names nobody), the words about it, and what was said before them."""

    address: str
    reason: str
    context: str = ""


class Notice(NamedTuple):
    """What a notice in words says. `form` is the known form that it has, None if it has none; `words` what it says of
    the failure, without the form's own opening; `at` where the form begins."""

    named: tuple[Named, ...]
    words: str
    form: Form | None = None
    at: int = 0


def read_plain(mail: Mail, phrases: Iterable[str], rules: Rules) -> Notice:
    """The addresses that the notice names, each with its reason; one nameless entry if it names none. `phrases` are ids
    of forms whose first words stand in the first `PROSE_CHARACTERS` of its prose; other ids do not matter."""
    if spoken := _by_dialogue(mail.prose[:PROSE_CHARACTERS]):
        return Notice(named=spoken, words=spoken[-1].reason)
    notice = _by_form(mail, phrases, rules)
    if notice.form is None or notice.form.family == "general":
        notice = notice._replace(named=_by_caption(mail) or notice.named)
    listed = [found for value in mail.headers.all("X-Failed-Recipients") for found in _all(value)]
    if listed:
        known = {each.address.lower(): each for each in notice.named or _by_shape(mail)}
        addresses = dict.fromkeys(listed[:RECIPIENTS])
        named = tuple(known.get(address.lower(), Named(address, notice.words)) for address in addresses)
        return notice._replace(named=named)
    return notice._replace(named=notice.named or _by_shape(mail) or _by_mention(mail))


_TURN = re.compile(
    r"^(?:[ \t]*(In|Out):|[ \t\w:.,/()\[\]-]{0,60}(?<![\w-])(-->|<--)(?![-\w]))[ \t]+(.{0,1000})", re.MULTILINE
)
_RCPT = re.compile(rf"rcpt to:[ \t]*<?({_ADDRESS})", re.IGNORECASE)


def _by_dialogue(prose: str) -> tuple[Named, ...]:
    """The recipients of a session that is shown command by command, as Postfix and MDaemon show it, with what was said
    to each; what refuses the message refuses all who were accepted before it. A greeting refuses nobody."""
    if " Out:" not in prose and "<--" not in prose:
        return ()
    refused: dict[str, str] = {}
    accepted: list[str] = []
    asked = said = ""
    for turn in _TURN.finditer(prose):
        if turn[1] == "In" or turn[2] == "-->":
            found = _RCPT.match(turn[3])
            asked, said = found[1] if found else "", ""
        elif turn[3].startswith(("4", "5")):
            said = f"{said}\n{turn[3]}" if said else turn[3]
            refused |= dict.fromkeys([asked] if asked else accepted, said)
        elif asked and len(accepted) < RECIPIENTS:
            accepted.append(asked)
    return tuple(Named(address, reply) for address, reply in refused.items())


_CAPTION = re.compile(
    rf"^[ \t>*-]{{0,8}}(?:intended |failed |original )?"
    rf"(?:recipients?|recipient\(s\)|empfänger|destinataires?|destinatari[oi]s?|"
    rf"destinatários?|ontvangers?|odbiorc[ay]|получател[ьи])[ \t]*[:：][ \t]*\n?[ \t]*<?({_ADDRESS})>?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)


def _by_caption(mail: Mail) -> tuple[Named, ...]:
    """The addresses below or behind a caption that says that they are the recipients."""
    found = {each[1].lower(): each[1] for each in islice(_CAPTION.finditer(mail.prose[:PROSE_CHARACTERS]), RECIPIENTS)}
    return tuple(Named(address, "") for address in found.values())


def _by_form(mail: Mail, phrases: Iterable[str], rules: Rules) -> Notice:
    """The notice by its first form that names somebody, else by its first form."""
    prose = mail.prose[:PROSE_CHARACTERS]
    first = Notice(named=(), words=mail.prose)
    lowered = prose.lower()
    lowered = lowered if len(lowered) == len(prose) else prose
    for form in (each for known in phrases if isinstance(each := rules.whole[known], Form)):
        began = form.start.search(lowered)
        if began is None or _QUOTED.match(prose, prose.rfind("\n", 0, began.start()) + 1, began.start()):
            continue
        rest = _until_stop(form, prose[began.end() :])
        start = prose[began.start() : began.end()]
        named = _at_place(form, start, rest, mail)
        if named:
            named += _further(form, lowered, prose, began.end()) if form.place == "next" else ()
            spoken = form.place in {"inside", "next"}
            return Notice(named=named, words=f"{start} {rest}" if spoken else rest, form=form, at=began.start())
        if first.form is None:
            first = Notice(named=(), words=prose, form=form, at=began.start())
    return first


def _further(form: Form, lowered: str, prose: str, at: int) -> tuple[Named, ...]:
    """What the blocks say that begin with the form's words again."""
    named: list[Named] = []
    while len(named) < _BLOCKS and (began := form.start.search(lowered, at)):
        at = began.end()
        named += _next(_until_stop(form, prose[at:]))
    return tuple(named)


def _until_stop(form: Form, rest: str) -> str:
    folded = rest.lower()
    ends = [at for stop in form.stop if (at := folded.find(stop)) >= 0]
    copy = _COPY_FOLLOWS.search(rest)
    ends += [copy.start()] if copy else []
    return rest[: min(ends, default=len(rest))]


def _at_place(form: Form, start: str, rest: str, mail: Mail) -> tuple[Named, ...]:
    match form.place:
        case "inside":
            return tuple(Named(each, rest[:_REASON_CHARACTERS]) for each in _addresses(start))
        case "next":
            return _next(rest)
        case "every":
            return tuple(_every(rest))
        case "names":
            return tuple(_names(rest, domain_of(first_address(mail.headers.first("From")))))
        case "line":
            return _by_line(rest, frozenset(), loosely=True) or _generated(rest)
        case _:
            return ()


def _next(rest: str) -> tuple[Named, ...]:
    at, end = next(addresses_in(rest[:_REASON_CHARACTERS]), (0, 0))
    paragraph = rest[end : end + _REASON_CHARACTERS].strip(" :;.\n>])'\"").partition("\n\n")[0]
    reason = f"{paragraph}\n{rest[:at]}".strip(" :\n>")
    return (Named(_cleaned(rest[at:end]), reason),) if end else ()


def _addresses(text: str) -> list[str]:
    return list(dict.fromkeys(_cleaned(found) for found in _all(text)))


def _cleaned(address: str) -> str:
    """Without the labels that X.400 gateways glue to it."""
    return _GATEWAY_PREFIX.sub("", address) if "=" in address else address


def _every(rest: str) -> Iterator[Named]:
    """Each address, with the words up to the next."""
    found = list(addresses_in(rest))[:RECIPIENTS]
    seen: set[str] = set()
    for (start, end), (until, _) in zip(found, [*found[1:], (len(rest), 0)], strict=False):
        if rest[start:end].lower() not in seen:
            seen.add(rest[start:end].lower())
            yield Named(_cleaned(rest[start:end]), rest[end:until].strip(" :;\n")[:_REASON_CHARACTERS])


def _names(rest: str, domain: str) -> Iterator[Named]:
    """Local parts that stand alone on their lines; a gateway left its own domain out."""
    for line in rest.split("\n")[:_REASON_LINES]:
        found = _NAME_LINE.match(line)
        if found and domain:
            yield Named(f"{found[1]}@{domain}", (found[2] or "").strip())


def _generated(rest: str) -> tuple[Named, ...]:
    """The address behind a file or a pipe that took no mail."""
    found = _GENERATED.search(rest)
    return (Named(found[1], rest[found.end() : found.end() + _REASON_CHARACTERS].strip(" >)\n")),) if found else ()


def _by_shape(mail: Mail) -> tuple[Named, ...]:
    """The addresses with a line of their own; one that the notice itself is addressed to, only if there is no other."""
    others = _not_recipients(mail)
    written_to = {address.lower() for value in mail.headers.all("To") for address in _all(value)}
    return _by_line(mail.prose, others, loosely=False) or _by_line(mail.prose, others - written_to, loosely=False)


def _by_mention(mail: Mail) -> tuple[Named, ...]:
    """Where no address has a line of its own: the only address mentioned, else those of which a line says what failed,
    else the only recipient of the original."""
    ours = _not_recipients(mail)
    mentioned = {found.lower(): found for found in _all(mail.prose) if found.lower() not in ours}
    if len(mentioned) == 1:
        return (Named(_cleaned(next(iter(mentioned.values()))), mail.prose),)
    if told := tuple(_by_sentence(mail.prose, ours)):
        return told
    returned = returned_recipients(mail)
    return (Named(returned[0] if len(returned) == 1 else "", mail.prose),)


def _by_sentence(prose: str, ours: frozenset[str]) -> Iterator[Named]:
    seen = set(ours)
    for line in prose.split("\n")[:_LINES]:
        for start, end in islice(addresses_in(line), 2):
            if line[start:end].lower() not in seen and _FAILS.match(line, end) and len(seen) - len(ours) < RECIPIENTS:
                seen.add(line[start:end].lower())
                yield Named(_cleaned(line[start:end]), line[end:].strip(" >)\"':"))


def expansions(prose: str) -> Iterator[tuple[str, str]]:
    """The addresses that failed and those from which they were expanded, as Exim, Sendmail and Postfix tell: the one
    stands at the beginning of a line, the other in brackets behind it or below."""
    for found in islice(_EXPANDED.finditer(prose), RECIPIENTS):
        before = prose[max(0, found.start() - _REASON_CHARACTERS) : found.start()].split("\n")
        for line in reversed(before[-_EXPANDED_WITHIN:]):
            failed = _AT_LINE_START.match(line)
            if failed:
                yield failed[1], found[1]
                break
            if not line.strip():
                break


def returned_recipients(mail: Mail) -> tuple[str, ...]:
    """The addresses in To and Cc of the returned original."""
    if mail.returned is None:
        return ()
    fields = (*mail.returned.all("To"), *mail.returned.all("Cc"))
    return tuple(dict.fromkeys(found for value in fields for found in _all(value)))


def first_address(value: str) -> str:
    """The address of a From field: the one in angle brackets, else the first; "" if none."""
    bracketed = _all(value[value.rfind("<") :]) if "<" in value else []
    return next(iter(bracketed or _all(value)), "")


def _all(text: str) -> list[str]:
    return [text[start:end] for start, end in addresses_in(text)]


def _not_recipients(mail: Mail) -> frozenset[str]:
    """Addresses that a notice also shows but that did not fail: its own sender and receiver, the original's sender."""
    values = [value for name in ("From", "To", "Reply-To", "Sender") for value in mail.headers.all(name)]
    if mail.returned is not None:
        values += [value for name in ("From", "Return-Path", "Sender", "Reply-To") for value in mail.returned.all(name)]
    return frozenset(found.lower() for value in values for found in _all(value))


def _by_line(prose: str, ours: frozenset[str], *, loosely: bool) -> tuple[Named, ...]:
    """Addresses that begin a line. `loosely`: whatever stands behind them, since a known form said that they come."""
    found: dict[str, Named] = {}
    said: list[str] = []
    used = False
    lines = prose.split("\n")[:_LINES]
    for number, line in enumerate(lines):
        if _ORIGINAL_BEGINS.match(line) or len(found) >= RECIPIENTS:
            break
        if line.startswith("<<<"):
            said = [*([] if used else said), line[3:]][-_TRANSCRIPT_LINES:]
            used = False
        elif _TALKING.match(line):
            said = []
        naming = _NAMING_LINE.match(line[:1000]) if "@" in line and not line.startswith((">>>", "<<<")) else None
        if not naming or naming[1].lower() in ours or not (loosely or _REASON_MAY_FOLLOW.match(naming[2])):
            continue
        if naming[1].lower() not in found:
            below = lines[number + 1 : number + 1 + _REASON_LINES]
            transcribed = _TRANSCRIBED.match(line) is not None
            reason = naming[2].strip(" .") if transcribed else _reason(naming[1].lower(), naming[2], below)
            context = "" if "<<<" in reason else "\n".join(said)
            found[naming[1].lower()] = Named(_cleaned(naming[1]), reason, context)
            used = True
    return tuple(found.values())


def _reason(address: str, rest: str, below: list[str]) -> str:
    """What stands behind the address, and below it up to another address or the end of its paragraph."""
    kept = [rest]
    for line in below:
        blank = not line.strip()
        naming = _NAMING_LINE.match(line[:1000]) if "@" in line else None
        if (naming and naming[1].lower() != address) or (blank and "".join(kept).strip(" :.\n>")):
            break
        kept.append(line)
    return "\n".join(kept).strip(" :\n")[:_REASON_CHARACTERS]
