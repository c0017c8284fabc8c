"""What a message says of itself in signed header fields, so that a copy of it still tells which delivery it was.

A bounce comes to the delivery's own return address and needs none of this. A complaint or a wish to leave comes to a
shared address, weeks later, and with part of the header redacted. So the delivery's trace token stands in two fields
(Homing-Trace and CFBL-Feedback-ID, RFC 9477 §3.2), and on bulk streams another token in List-Unsubscribe (RFC 2369,
RFC 8058). None of them is a secret: anybody who has the message has them.
"""

import re

from homing.mail.header import TRACE_HEADER
from homing.mail.mime import Headers

ENVELOPE_LOCAL = "b+"
"""The local part of a delivery's envelope sender, at the return domain, is this and the token. Mail to it came back."""

UNSUBSCRIBE_LOCAL = "u+"
"""The local part of the address for wishes to leave, at the return domain, is this and the token."""

UNSUBSCRIBE_PATH = "/unsubscribe/"
"""Below our public address; the token follows."""

_FIELDS = (TRACE_HEADER, "CFBL-Feedback-ID", "List-Unsubscribe")
_TOKEN = re.compile(r"(?<![a-z0-9])[a-z2-7]{48}(?![a-z0-9])")
_READ = 2000
_MOST = 8


def unsubscribe_uris(base: str, return_domain: str, token: str) -> tuple[str, ...]:
    """Both ways to leave: one click over HTTPS (RFC 8058 §3.1), and a mail, for readers that know no other way."""
    return f"{base}{token}", f"mailto:{UNSUBSCRIBE_LOCAL}{token}@{return_domain}?subject=unsubscribe"


def marks_in(returned: Headers) -> tuple[str, ...]:
    """What may be tokens of ours in the header of a returned original, each once, at most eight."""
    values = (value[:_READ].lower() for name in _FIELDS for value in returned.all(name))
    return tuple(dict.fromkeys(token for value in values for token in _TOKEN.findall(value)))[:_MOST]


def senders_in(returned: Headers, *told: str) -> tuple[str, ...]:
    """Possible tokens of our envelope senders: in the returned original's Return-Path, and in what a report tells of it
    (Original-Mail-From, RFC 5965 §3.2). They name the delivery if nothing else does, and vouch for nothing."""
    values = (*returned.all("Return-Path")[:_MOST], *told)
    return tuple(dict.fromkeys(token for value in values for token in _TOKEN.findall(value[:_READ].lower())))[:_MOST]
