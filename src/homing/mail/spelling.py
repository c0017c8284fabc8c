"""Spellings of one mailbox: what reports write is compared with what was written to.

Quoted or not (RFC 5321 §4.1.2), with a source route (RFC 5321 appendix C), a trailing dot (RFC 1034 §3.1), as U-labels
or A-labels (RFC 5890), in the "utf-8" form of RFC 6533 §3, as a URL (RFC 6068), with brackets or a semicolon.
"""

import re
import unicodedata

import idna

_PREFIX = re.compile(r"(?:mailto|smtp):", re.IGNORECASE)
_ROUTE = re.compile(r"@[^\s@:<>\"]{1,255}(?:,@[^\s@:<>\"]{1,255}){0,20}:")
_UTF8_XTEXT = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def bare(written: str) -> str:
    """A written address without brackets, URL scheme, source route, trailing dot or semicolon; in NFC."""
    address = written.strip().strip("<>").rstrip("; \t").strip("<> \t")
    address = _PREFIX.sub("", address, count=1) if _PREFIX.match(address) else address
    route = _ROUTE.match(address)
    address = address[route.end() :] if route else address
    return unicodedata.normalize("NFC", address.rstrip(".") if "@" in address else address)


def split(written: str) -> tuple[str, str]:
    """Local part and domain of an address, as they are compared: unquoted, lower case, A-labels. Without an "@" all of
    it is the local part. Nothing is checked: what is no address comes out as it can."""
    local, at, domain = bare(from_utf8(written)).rpartition("@")
    if not at:
        local, domain = domain, ""
    if len(local) > 1 and local.startswith('"') and local.endswith('"'):
        local = _ESCAPED.sub(r"\1", local[1:-1])
    return local.lower(), a_labels(domain.strip().rstrip("."))


def a_labels(domain: str) -> str:
    """A domain in lower case, its U-labels as A-labels; as it is, where that cannot be."""
    domain = domain.lower()
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain


def from_utf8(text: str) -> str:
    """Text with the characters that RFC 6533 §3 writes as `\\x{…}`."""
    return _UTF8_XTEXT.sub(_character, text)


def from_xtext(text: str) -> str:
    """Text with the characters that RFC 3461 §4 writes as `+XX`."""
    return _XTEXT.sub(lambda hexed: chr(int(hexed[1], 16)), text)


def _character(hexed: re.Match[str]) -> str:
    number = int(hexed[1], 16)
    return chr(number) if 0xA0 <= number < 0xD800 or 0xE000 <= number <= 0x10FFFF else "\ufffd"
