"""A message as it left: what receivers ask of its bytes (RFC 5322, RFC 6376, RFC 8058)."""

import re
from collections import Counter
from collections.abc import Iterable
from email.utils import getaddresses

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Opinion, Severity, check, fine, note, settled, wrong
from homing.loop.domains.identity import is_freemail
from homing.mail.address import domain_of
from homing.mail.dkim import relaxed_headers
from homing.mail.dns_question import Dialogue
from homing.mail.text import clean

_LONGEST_LINE = 998
_SPECIMEN = "the message"
_DOMAIN_OF_ID = re.compile(r"<[^<>@]*@([^<>@]+)>")


def _message(facts: DoctorFacts) -> Iterable[str]:
    return [_SPECIMEN] if facts.specimen else []


def _replies_to(facts: DoctorFacts) -> Iterable[str]:
    addresses = [address for value in _values(facts, "reply-to") for _, address in getaddresses([value])]
    domains = [domain_of(address) for address in addresses if "@" in address]
    return dict.fromkeys((*facts.replies_to, *domains))


@check(
    "M01",
    Severity.ERROR,
    _message,
    meaning="The message has exactly one From, with one address in it (RFC 5322 §3.6).",
    cure="Let only one header From leave.",
)
def one_from(facts: DoctorFacts, _: str) -> Dialogue[Opinion]:
    values = _values(facts, "from")
    if len(values) == 1 and values[0].count("@") == 1:
        return settled(fine("The message has one From."))
    return settled(wrong(f"The message has {len(values)} From headers, or several addresses in one."))


@check(
    "M02",
    Severity.ERROR,
    _message,
    meaning="A signature of the domain in From covers From once more than it is there, and Content-Type: nobody can "
    "add a second From, or turn the message into another one.",
    cure="Sign and oversign both headers.",
)
def covered(facts: DoctorFacts, _: str) -> Dialogue[Opinion]:
    own = [tags for tags in _signatures(facts) if tags.get("d", "").lower() == facts.domain]
    if not own:
        return settled(wrong(f"No signature of {facts.domain} is on the message."))
    signed = Counter(own[0].get("h", "").lower().split(":"))
    if signed["from"] <= len(_values(facts, "from")):
        return settled(wrong("The signature lets somebody add another From."))
    if signed["content-type"] < 1:
        return settled(wrong("The signature does not cover Content-Type."))
    return settled(fine("The signature covers From twice, and Content-Type."))


@check(
    "M03",
    Severity.ERROR,
    _message,
    meaning="No signature has l=, which leaves the end of the body to strangers (RFC 6376 §8.2).",
    cure="Sign the whole body.",
)
def whole_body(facts: DoctorFacts, _: str) -> Dialogue[Opinion]:
    if any("l" in tags for tags in _signatures(facts)):
        return settled(wrong("A signature covers only the beginning of the body (l=)."))
    return settled(fine("The whole body is signed."))


@check(
    "M04",
    Severity.WARNING,
    _message,
    meaning="Where List-Unsubscribe stands, List-Unsubscribe-Post stands beside it, and both are signed (RFC 8058 §4).",
    cure="Write and sign both headers, with an https address.",
)
def one_click(facts: DoctorFacts, _: str) -> Dialogue[Opinion]:
    leave, post = _values(facts, "list-unsubscribe"), _values(facts, "list-unsubscribe-post")
    if not leave and not post:
        return settled(fine("The message is no list's."))
    if not leave or not post or "<https://" not in leave[0].lower():
        return settled(wrong("List-Unsubscribe and List-Unsubscribe-Post belong together, with an https address."))
    signed = [tags.get("h", "").lower().split(":") for tags in _signatures(facts)]
    if not any({"list-unsubscribe", "list-unsubscribe-post"} <= set(names) for names in signed):
        return settled(wrong("No signature covers List-Unsubscribe and List-Unsubscribe-Post."))
    return settled(fine("One click is enough to leave the list, and that is signed."))


@check(
    "M05",
    Severity.WARNING,
    _message,
    meaning="Date and Message-ID are there, once each, and the Message-ID is of a domain of ours (RFC 5322 §3.6).",
    cure="Write both headers before the message is signed.",
)
def dated_and_named(facts: DoctorFacts, _: str) -> Dialogue[Opinion]:
    if len(_values(facts, "date")) != 1 or len(_values(facts, "message-id")) != 1:
        return settled(wrong("Date or Message-ID is missing, or there twice."))
    found = _DOMAIN_OF_ID.search(_values(facts, "message-id")[0])
    domain = found[1].lower() if found else ""
    ours = [name for name in (facts.organization or facts.domain, facts.return_domain) if name]
    if not any(f".{domain}".endswith(f".{name}") for name in ours):
        return settled(wrong(f"The Message-ID is of “{domain}”, which is no domain of ours."))
    return settled(fine("Date and Message-ID are there."))


@check(
    "M06",
    Severity.ERROR,
    _message,
    meaning="Lines end in CRLF and nothing else, are no longer than 998 octets, and so is the last one "
    "(RFC 5321 §2.3.8, RFC 5322 §2.1.1).",
    cure="Write lines as the RFC has them before the message is signed.",
)
def tidy_lines(facts: DoctorFacts, _: str) -> Dialogue[Opinion]:
    lines = facts.specimen.split(b"\r\n")
    if any(b"\r" in line or b"\n" in line for line in lines):
        return settled(wrong("A line of the message ends in a bare CR or LF."))
    if any(len(line) > _LONGEST_LINE for line in lines):
        return settled(wrong(f"A line of the message is longer than {_LONGEST_LINE} octets."))
    if lines[-1]:
        return settled(wrong("The last line of the message has no end."))
    return settled(fine("The lines are as they should be."))


@check(
    "M07",
    Severity.WARNING,
    _message,
    meaning="Signatures say when they were made (t=) and until when they hold (x=), the latter being later "
    "(RFC 6376 §3.5).",
    cure="Let x= lie beyond the time for which the message is tried.",
)
def timely(facts: DoctorFacts, _: str) -> Dialogue[Opinion]:
    for tags in _signatures(facts):
        made, ends = tags.get("t", ""), tags.get("x", "")
        if not (made.isdecimal() and ends.isdecimal()):
            return settled(wrong("A signature does not say when it was made and when it ends."))
        if int(ends) <= int(made):
            return settled(wrong("A signature ends before it was made."))
    return settled(fine("Signatures say when they were made and when they end."))


@check(
    "M08",
    Severity.INFO,
    _message,
    meaning="The message says where complaints may go (CFBL-Address, RFC 9477), and that is signed, as is Feedback-ID "
    "where it stands: else no provider believes it.",
    cure="Write CFBL-Address with an address of the domain in From, and sign it.",
)
def asks_for_complaints(facts: DoctorFacts, _: str) -> Dialogue[Opinion]:
    there = [name for name in ("cfbl-address", "cfbl-feedback-id", "feedback-id") if _values(facts, name)]
    own = [tags for tags in _signatures(facts) if tags.get("d", "").lower() == facts.domain]
    signed = {name for tags in own for name in tags.get("h", "").lower().split(":")}
    unsigned = [name for name in there if name not in signed]
    if unsigned:
        return settled(wrong(f"No signature of {facts.domain} covers {', '.join(unsigned)}."))
    if "cfbl-address" not in there:
        return settled(note("The message does not say where complaints may go (CFBL-Address)."))
    domain = domain_of(_values(facts, "cfbl-address")[0].partition(";")[0].strip())
    if not f".{domain}".endswith(f".{facts.organization or facts.domain}"):
        return settled(wrong(f"CFBL-Address leads to {clean(domain, 80)}, which is not of the domain in From."))
    return settled(fine("The message says where complaints may go, and that is signed."))


@check(
    "RT01",
    Severity.INFO,
    _replies_to,
    meaning="Replies go to a domain of one's own: From here and Reply-To at a freemail provider is what fraudsters do, "
    "and spam filters count it against the mail.",
    cure="Let the person prove an address of his organization's own domain, and use that in Reply-To.",
)
def replies_stay_here(_: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    if is_freemail(domain):
        return settled(wrong(f"Replies go to {domain}, a provider of mailboxes for everybody."))
    return settled(fine(f"Replies go to {domain}, which is no provider of mailboxes for everybody."))


CHECKS = (
    one_from,
    covered,
    whole_body,
    one_click,
    dated_and_named,
    tidy_lines,
    timely,
    asks_for_complaints,
    replies_stay_here,
)


def _values(facts: DoctorFacts, name: str) -> list[str]:
    head = facts.specimen.partition(b"\r\n\r\n")[0]
    wanted = name.encode()
    return [
        line.partition(b":")[2].decode("utf-8", "replace") for found, line in relaxed_headers(head) if found == wanted
    ]


def _signatures(facts: DoctorFacts) -> list[dict[str, str]]:
    return [
        {
            tag.strip(): "".join(value.split())
            for tag, _, value in (item.partition("=") for item in text.split(";"))
            if value
        }
        for text in _values(facts, "dkim-signature")
    ]
