"""What stands around a server's words and is not said of the failure: frames, names, greetings, footers, advice.

A program that reports a failure greets, names hosts and header fields, shows what a server can do, and says what could
be done about it. Rules look for words, and these have words too. Names and frames say nothing and are taken away;
advice tells the reason only where nothing else does.
"""

import re

_HOST = r"(?<![\w.@/-])(?:[A-Za-z0-9_-]{1,63}+\.){1,10}[A-Za-z][A-Za-z0-9-]{1,30}"
_IP = r"\[[0-9A-Fa-f.:]{3,60}\]|\([0-9A-Fa-f.:]{3,60}\)"
_END = r"[^.!?\n]{0,300}(?:[.!?](?=\s|$)|\n|\Z)"

_FRAME = re.compile(
    rf"[Hh](?<!\w.)(?<!your .)(?<!client .)(?<!sending .)(?<!the .)ost +{_HOST} *"
    rf"(?:(?:{_IP})(?::\d{{1,5}})?(?: +(?:said|says))?|said|says|replied|reports):?"
)
_MODULE = re.compile(r"\b\w{2,12} module ?\(domain [^)\n]{1,200}\) reports:", re.IGNORECASE)
"""Postfix's "host M[IP] said:", CommuniGate's "SMTP module(domain D) reports:"."""

_NAMED_HOST = re.compile(
    rf"{_HOST}(?: ?(?:{_IP})|:(?=\s))|(\b(?:to|on|at|host|from) )({_HOST})",
)
_HOST_FOLLOWED = re.compile(r"\.[A-Za-z][A-Za-z0-9-]{1,30}(?: ?[\[(]|:\s)")
_BEFORE_HOST = re.compile(
    r"(?:connect(?:ed|ing)? to|talking to|queue on|(?:program|agent|system|server) at|system at host|reply from) $",
    re.IGNORECASE,
)
_NAMING = ("connect", "talking to ", "queue on ", " at ", "reply from ")
"""One of these stands before a host, or its address or a colon behind it."""

_LIST_NAMES = re.compile(
    r"spamhaus|spamcop|sorbs|barracuda|surbl|uribl|proofpoint|cloudmark|sender(?:base|score)|abuseat|uceprotect|psbl|"
    r"mailspike|invaluement|njabl|dsbl|spfbl|blacklist|blocklist|dnsbl|\brbl|\bbl\.|openspf",
    re.IGNORECASE,
)
"""Who keeps a list of senders is told by the name of its zone, and by nothing else."""

_FIELD_NAME = r"[A-Za-z][A-Za-z0-9]{0,30}(?:-[A-Za-z0-9]{1,30}){1,5}"
_NAMED_FIELD = re.compile(
    rf"(\b(?:[Hh]eaders?(?: fields?)?|[Ff]ield):? )['\"]?{_FIELD_NAME}\b:?['\"]?"
    rf"|\b(?![Dd]elivered-){_FIELD_NAME}(?=\s(?:line|field|header)s?\b)"
    rf"|['\"]{_FIELD_NAME}:?['\"](?= (?:header|field|line))"
)
_SIGNED = re.compile(
    r"(?:missing|invalid|fail|verif|bad |no |broken|lacks)[^.]{0,40}(?:dkim|spf|dmarc|arc-)"
    r"|(?:dkim|spf|dmarc|arc)[^.]{0,60}(?:missing|invalid|fail|verif|broken|not )",
    re.IGNORECASE,
)

_SYMBOL = re.compile(r"(?<![\w/=.?&-])[A-Za-z]{2,20}(?:_[A-Za-z]{2,20}){1,6}(?![\w/.=-])")

_ABILITIES = re.compile(r"^[ \t]*(?:<<<|Out:|S:)?[ \t]*250[ -](?![245]\.\d\.\d)[^\n]*$", re.MULTILINE)
_DONE = re.compile(r"^[^\n]{0,60}(?:<--|<<<|\bOut:|\bS:)[ \t]*[23]\d\d[ -](?![245]\.\d\.\d)[^\n]*$", re.MULTILINE)
"""What a server said in a session before it refused anything: its greeting, and what it took."""
_GREETING = re.compile(
    rf"\bthis is the [^.\n]{{0,60}}\b(?:program|system|agent|server|software|daemon|robot|service|gateway)\b{_END}"
    rf"|\bthis message was created automatically by {_END}",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"^[ \t]*the [^.\n]{1,40} (?:program|agent|daemon|robot)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_PROGRAMS = (" program", " agent", " daemon", " robot")
_CHECKING = (
    *("examined", "scanned", "checked", "verified", "screened", "inspected"),
    *("protected", "processed", "certified", "cleaned", "swept"),
)
_CHECKED = rf"(?:{'|'.join(_CHECKING)})"
_SCANNED = re.compile(
    rf"\b(?:this|the|your) (?:e-?mail|message|mail)(?: and any attachments?)? (?:was|has been|have been|is) (?:also )?"
    rf"(?:automatically )?{_CHECKED}\b"
    rf"(?![^.\n]{{0,200}}\b(?:found|contain|infect|detect|reject|block|refus|identif|not )){_END}"
    rf"|\b{_CHECKED} by [^\n]{{0,100}}(?:\n|\Z)",
    re.IGNORECASE,
)
_SECRET = re.compile(
    rf"\bthis (?:e-?mail|message|communication)\b[^.\n]{{0,120}}\b(?:confidential|privileged)\b{_END}", re.IGNORECASE
)

_ADVICE = re.compile(
    r"([.!?;])\s+(?:please|kindly|we (?:recommend|suggest|advise)|you (?:can|may|should|might|could)\b"
    r"|if (?:you|this|the)\b|for (?:more|further|additional) |visit |contact |consult "
    r"|to (?:fix|resolve|solve|avoid|prevent|learn|find out|request) |learn more|make sure"
    r"|check (?:that|your|the) |ask |bitte |veuillez |por favor|si prega)"
    r"(?:[^.!?\n]|\.(?!\s)|\n(?![ \t]*\n)){0,500}(?:(?=[.!?](?:\s|$))|\n|\Z)",
    re.IGNORECASE,
)
_ADVICE_BEGINS = re.compile(
    r"\b(?:what (?:(?:you|i|we) )?(?:can|should|could) (?:(?:you|i|we) )?(?:do|try)|what to do"
    r"|how to (?:fix|resolve|solve)|how (?:can|do) i (?:fix|solve)"
    r"|possible (?:solutions|remedies)|suggested (?:actions?|solutions?)|next steps"
    r"|recommended actions?|was (?:kann ich|können sie|sie) tun|que faire|qué (?:puedo|debo) hacer)\b",
    re.IGNORECASE,
)

_ADVISING = ("what ", "how ", "possible ", "suggested ", "next steps", "recommended ", " tun", "que faire", "hacer")
"""One of these is in each beginning, and in few texts."""

_SHORTEST_ADVICE = 40
"""Characters of what was said and what could be done about it."""

_LINK = re.compile(r"<?https?://\S+", re.IGNORECASE)


def servers_words(text: str) -> str:
    """A text without the names, frames and notes around what a server said."""
    if "_" in text:
        text = _SYMBOL.sub(lambda found: found[0].replace("_", " "), text)
    lowered = text.lower()
    if "host " in lowered:
        text = _FRAME.sub(" ", text)
    if " module" in lowered:
        text = _MODULE.sub(" ", text)
    if _HOST_FOLLOWED.search(text) or any(words in lowered for words in _NAMING):
        text = _NAMED_HOST.sub(_unnamed, text)
    if "-" in text and ("header" in lowered or "field" in lowered or " line" in lowered) and not _SIGNED.search(text):
        text = _NAMED_FIELD.sub(lambda found: f"{found[1] or ''}<field>", text)
    stripped = _without_notes(text, lowered)
    return stripped if stripped.strip() else text


def _unnamed(found: re.Match[str]) -> str:
    """A host's name only in its place: behind words that a host follows, or before its address or a colon."""
    before = found.string[max(0, found.start() - 20) : found.end(1)] if found[2] else ""
    if (found[2] and not _BEFORE_HOST.search(before)) or _LIST_NAMES.search(found[0]):
        return found[0]
    return f"{found[1]}<host>" if found[2] else "<host> "


def _without_notes(text: str, lowered: str) -> str:
    """Without lists of what a server can do, greetings and signatures of programs, notes of scanners and of secrecy."""
    if "250" in text:
        text = _ABILITIES.sub(" ", text)
    if "<--" in text or "<<<" in text or "Out:" in text or "S:" in text:
        text = _DONE.sub(" ", text)
    if "this is the " in lowered or "created automatically" in lowered:
        text = _GREETING.sub(" ", text)
    if "the " in lowered and any(word in lowered for word in _PROGRAMS):
        text = _SIGNATURE.sub(" ", text)
    if any(word in lowered for word in _CHECKING):
        text = _SCANNED.sub(" ", text)
    if "confidential" in lowered or "privileged" in lowered:
        text = _SECRET.sub(" ", text)
    return text


def without_advice(text: str) -> str:
    """A text without what could be done about it, and without links to that; "" if it is nothing else."""
    if len(text) < _SHORTEST_ADVICE:
        return text
    lowered = text.lower()
    if any(word in lowered for word in _ADVISING) and (begins := _ADVICE_BEGINS.search(text)):
        text = text[: begins.start()]
    text = _ADVICE.sub(r"\1", text)
    return (_LINK.sub(_unlinked, text) if "://" in text else text).strip()


def _unlinked(found: re.Match[str]) -> str:
    return found[0] if _LIST_NAMES.search(found[0]) else " "
