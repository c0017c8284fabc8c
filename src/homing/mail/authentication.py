"""What SPF, DKIM and DMARC say together of a mail that came in (RFC 7489 §3.1, RFC 8601).

The mail is a stranger's: the author domain is taken only where it is beyond doubt, from one From with one domain.
"""

import re
from dataclasses import dataclass

from homing.mail.address import AddressError, domain_of, parse_domain
from homing.mail.dkim import relaxed_headers
from homing.mail.dkim_verification import HEADER_OCTETS, Result, Verification
from homing.mail.dmarc import DmarcResult, DmarcVerdict, Vouched
from homing.mail.spf import SpfVerdict
from homing.mail.spf_record import SpfResult
from homing.mail.text import clean

_FIELD_BYTES = 8 << 10
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?$)', re.DOTALL)
"""A quoted string; one that nobody closes goes to the end, so that each character is looked at once."""
_COMMENT = re.compile(r"\([^()]*\)")
_ANGLED = re.compile(r"<[^<>]*>")
_COMMENT_DEPTH = 5
_DOMAINS_SHOWN = 3
_DOMAIN_CHARACTERS = 253
_SUMMARY_CHARACTERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """`dmarc` None: the mail has no one author domain."""

    spf: SpfVerdict
    dkim: Verification
    dmarc: DmarcVerdict | None

    @property
    def summary(self) -> str:
        """The results in one line, like `spf=pass(corp.com) dkim=pass(corp.com) dmarc=pass(corp.com)`. If the two DMARC
        methods differ, the public suffix list's result follows the tree walk's: `dmarc=fail/pass(corp.com)`."""
        return clean(f"{self._spf} {self._dkim} {self._dmarc}", _SUMMARY_CHARACTERS)

    @property
    def _spf(self) -> str:
        domain = clean(self.spf.domain, _DOMAIN_CHARACTERS)
        return f"spf={self.spf.result}({domain})" if domain else f"spf={self.spf.result}"

    @property
    def _dkim(self) -> str:
        passed = [signature.domain for signature in self.dkim.signatures if signature.result is Result.PASS]
        shown = ",".join(clean(domain, _DOMAIN_CHARACTERS) for domain in dict.fromkeys(passed[:_DOMAINS_SHOWN]))
        if shown:
            return f"dkim=pass({shown})"
        return f"dkim={self.dkim.signatures[0].result}" if self.dkim.signatures else "dkim=none"

    @property
    def _dmarc(self) -> str:
        if self.dmarc is None:
            return f"dmarc={DmarcResult.PERMERROR}"
        verdict = self.dmarc
        result = verdict.tree_walk.result.value
        if verdict.suffix_list is not None and verdict.agreed is None:
            result += f"/{verdict.suffix_list.result}"
        return f"dmarc={result}({verdict.author_domain})"


def vouched_by(spf: SpfVerdict, dkim: Verification) -> Vouched:
    """The domains that DMARC may align."""
    passed = (signature.domain.lower() for signature in dkim.signatures if signature.result is Result.PASS)
    failed = any(signature.result is Result.TEMPERROR for signature in dkim.signatures)
    return Vouched(
        spf=spf.domain.lower().removesuffix(".") if spf.result is SpfResult.PASS else "",
        dkim=tuple(dict.fromkeys(passed)),
        uncertain=failed or spf.result is SpfResult.TEMPERROR,
    )


def author_domain(raw: bytes) -> str | None:
    """The domain of header From as lower-case A-labels. None: no From, several, or more than one domain in it."""
    head = raw.partition(b"\r\n\r\n")[0]
    if len(head) > HEADER_OCTETS:
        return None
    values = [line for name, line in relaxed_headers(head) if name == b"from"]
    if len(values) != 1 or len(values[0]) > _FIELD_BYTES:
        return None
    text = _QUOTED.sub("", values[0].partition(b":")[2].decode("utf-8", "replace"))
    for _ in range(_COMMENT_DEPTH):
        text = _COMMENT.sub("", text)
    bare = [word for word in re.split(r"[\s,;]+", _ANGLED.sub(" ", text)) if "@" in word]
    addresses = [angled.strip("<> ") for angled in _ANGLED.findall(text)] + bare
    try:
        domains = {parse_domain(domain_of(address)) for address in addresses}
    except AddressError:
        return None
    return domains.pop() if len(domains) == 1 else None
