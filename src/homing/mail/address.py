"""One strict reading of an address: an addr-spec and nothing around it (RFC 5321 §4.1.2, RFC 5322 §3.4.1, RFC 6531).

Every address that goes on the wire was read here first, so a wire layer never has to guess. The syntax is narrower than
the RFCs' where theirs serves only attackers: no address literals, comments, lists or display names; no single-label
domain; no local part that begins with "-" or "|", which a careless delivery agent would hand to a shell.
"""

import re
import unicodedata
from dataclasses import dataclass

import idna

from homing.mail.characters import find_hidden, mixed_script

LOCAL_OCTETS = 64  # RFC 5321 §4.5.3.1.1
ADDRESS_OCTETS = 254  # RFC 5321 §4.5.3.1.3: a path of 256 octets with its angle brackets
_DOMAIN_OCTETS = 253
_WITHOUT_DOTS = frozenset({"gmail.com", "googlemail.com"})
_READ_AT_MOST = 1000  # characters looked at, before normalisation

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_DOT_ATOM = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])+)"')
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class AddressError(ValueError):
    """Not an address that we send to. `code` is a stable word, the message is for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox, as `parse_address` read it: `local` unquoted in NFC, `domain` as lower-case A-labels."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{_quoted(self.local)}@{self.domain}"

    @property
    def folded(self) -> str:
        """The address in lower case, to compare and suppress: in practice no server has case-sensitive local parts."""
        return str(self).lower()

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server with SMTPUTF8 can take this address (RFC 6531): its local part is not ASCII."""
        return not self.local.isascii()

    @property
    def shown(self) -> str:
        """For a person's eyes: the domain in Unicode, except labels that mix scripts to look like another."""
        return f"{_quoted(self.local)}@{'.'.join(map(_shown_label, self.domain.split('.')))}"


def parse_address(text: str) -> Address:
    """Read a bare addr-spec such as `joe@example.com`; surrounding space, brackets or names are errors.

    Raises AddressError with one of the codes address-empty, address-too-long, address-character, address-syntax,
    address-local-part, address-domain.
    """
    if not text:
        raise AddressError("address-empty", "The address is empty.")
    if len(text) > _READ_AT_MOST:
        raise AddressError("address-too-long", f"An address has at most {ADDRESS_OCTETS} octets.")
    _refuse_hidden(text)
    local_form, at, domain_form = unicodedata.normalize("NFC", text).rpartition("@")
    if not at:
        raise AddressError("address-syntax", 'An address has the form "name@example.com".')
    address = Address(_parse_local(local_form), parse_domain(domain_form))
    if len(str(address).encode()) > ADDRESS_OCTETS:
        raise AddressError("address-too-long", f"An address has at most {ADDRESS_OCTETS} octets.")
    return address


def mailbox_of(address: str) -> str:
    """The mailbox that an address most likely leads to, to count what one person gets; never to tell who somebody is,
    as not every server reads local parts so. In lower case, without the detail after a plus sign (RFC 5233 §1), and
    without dots where the provider ignores them. What is no address is only in lower case."""
    local, at, domain = address.lower().rpartition("@")
    local = local.strip('"')
    local = local[:1] + local[1:].partition("+")[0]
    if domain in _WITHOUT_DOTS:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}{at}{domain}"


def domain_of(address: str) -> str:
    """What stands behind the last @, in lower case; "" where there is none. Nothing is checked: for addresses that were
    read before, and for texts that only resemble one."""
    return address.rpartition("@")[2].lower() if "@" in address else ""


def parse_domain(text: str) -> str:
    """A mail domain as lower-case A-labels (RFC 5890), at least two of them. Raises AddressError."""
    if len(text) > _DOMAIN_OCTETS:
        raise AddressError("address-domain", f"A domain name has at most {_DOMAIN_OCTETS} octets.")
    domain = text.lower() if text.isascii() else _to_ascii(text)
    labels = domain.split(".")
    if len(domain) > _DOMAIN_OCTETS or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressError("address-domain", "The part after the @ is not a domain name.")
    if len(labels) < 2 or not labels[-1][0].isalpha():
        raise AddressError("address-domain", 'The part after the @ must be a full domain name such as "example.com".')
    for label in labels:
        if label.startswith("xn--") and _unicode_label(label) is None:
            raise AddressError("address-domain", f'"{label}" is not a valid internationalised domain label.')
    return domain


def _refuse_hidden(text: str) -> None:
    found = find_hidden(text)
    if found is not None:
        raise AddressError("address-character", f"An address holds no hidden character: {found}.")


def _parse_local(form: str) -> str:
    quoted = _QUOTED.fullmatch(form)
    if quoted:
        local = re.sub(r"\\(.)", r"\1", quoted[1])
    elif _DOT_ATOM.fullmatch(form):
        local = form
    else:
        raise AddressError("address-syntax", "The part before the @ is not well formed; give one bare address.")
    if local[0] in "-|":
        raise AddressError("address-local-part", f'The part before the @ must not begin with "{local[0]}".')
    if len(_quoted(local).encode()) > LOCAL_OCTETS:
        raise AddressError("address-too-long", f"The part before the @ has at most {LOCAL_OCTETS} octets.")
    return local


def _quoted(local: str) -> str:
    if _DOT_ATOM.fullmatch(local):
        return local
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'


def _to_ascii(text: str) -> str:
    """UTS 46, non-transitional; only the ASCII full stop separates labels, so look-alikes of it are errors."""
    _refuse_hidden(text)
    if any(stop in text for stop in "\u3002\uff0e\uff61"):
        raise AddressError("address-domain", "The part after the @ is not a domain name.")
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError("address-domain", f"The part after the @ is not a domain name: {error}.") from None


def _unicode_label(label: str) -> str | None:
    try:
        shown = idna.ulabel(label)
        return shown if idna.alabel(shown).decode("ascii") == label else None
    except (idna.IDNAError, UnicodeError):
        return None


def _shown_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    shown = _unicode_label(label)
    return label if shown is None or mixed_script(shown) else shown
