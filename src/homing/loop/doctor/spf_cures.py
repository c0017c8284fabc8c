"""The terms that somebody meant to write in an SPF record: slips corrected, pieces parted, several records joined."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from homing.mail.dns_question import well_formed
from homing.mail.spf_record import VERSION, Mechanism, SpfRecord, SpfResult, is_spf, read_spf

_MISSPELT = (
    (re.compile(r"^[\"'“”]+|[\"'“”]+$"), ""),
    (re.compile(r"[.,;:]+$"), ""),
    (re.compile(r"^([+?~-]?)ipv?4[:=]", re.IGNORECASE), r"\1ip4:"),
    (re.compile(r"^([+?~-]?)ipv?6[:=]", re.IGNORECASE), r"\1ip6:"),
    (re.compile(r"^([+?~-]?)ip4:(?=[0-9a-f]*:)", re.IGNORECASE), r"\1ip6:"),
    (re.compile(r"^([+?~-]?)ip6:(?=\d+\.\d+\.\d+\.\d+(?:/\d+)?$)", re.IGNORECASE), r"\1ip4:"),
    (re.compile(r"^(?=\d+\.\d+\.\d+\.\d+(?:/\d+)?$)"), "ip4:"),
    (re.compile(r"^([+?~-]?(?:a|mx|include|exists))[=;]", re.IGNORECASE), r"\1:"),
    (re.compile(r"^(redirect|exp):", re.IGNORECASE), r"\1="),
    (re.compile(r"^[\u2010-\u2015]all$"), "-all"),
)
"""Common slips, and what was meant."""

_GLUED = re.compile(
    r"(?:[+?~-]?(?:include[:=]|ipv?[46][:=]|exists[:=]|mx[:/]|a[:/]|ptr\b|all$|mx$)|redirect[:=]|exp[:=])",
    re.IGNORECASE,
)
"""The beginning of a term, where two were written without a space between them."""

MECHANISMS = frozenset({"a", "all", "exists", "include", "ip4", "ip6", "ipv4", "ipv6", "mx", "ptr"})
"""Names of mechanisms, slips among them: with "=" behind them they are unknown modifiers, which receivers overlook
(RFC 7208 §6)."""

_MEANT = re.compile(r"[\s\"']*v\s*=\s*spf1?", re.IGNORECASE)
_NOT_ROUTED_4 = tuple(
    map(
        IPv4Network,
        ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    )
)
_NOT_ROUTED_6 = tuple(map(IPv6Network, ("::1/128", "fc00::/7", "fe80::/10")))
"""Networks from which no mail comes over the Internet (RFC 1918, RFC 6598, RFC 4193, RFC 6890)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a record that are to stay, in order, and those `lost`: nobody can tell what they mean."""

    kept: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def meant_as_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record, or somebody thought so."""
    return is_spf(text) or _MEANT.match(text) is not None


def terms_of(texts: Sequence[str]) -> Terms:
    """The terms of one record, or of several as one: each term once, and no second `redirect=` or `exp=`."""
    pairs = [_meant(word) for text in texts for word in _MEANT.sub("", text, count=1).split()]
    kept = dict.fromkeys(term for terms, _ in pairs for term in terms)
    if len(texts) > 1:
        kept = dict.fromkeys(re.sub("^redirect=", "include:", term, flags=re.IGNORECASE) for term in kept)
    seen: set[str] = set()
    once = []
    for term in kept:
        name = term.partition("=")[0].lower()
        if name not in seen and name != "v":
            once.append(term)
        if name in ("redirect", "exp"):
            seen.add(name)
    return Terms(tuple(once), tuple(word for _, lost in pairs for word in lost))


def parted(word: str) -> tuple[str, ...]:
    """The terms of a word in which several were written together; () if it is none of that kind."""
    for found in _GLUED.finditer(word, 1):
        left, right = _meant(word[: found.start()]), _meant(word[found.start() :])
        if left[0] and right[0] and not left[1] and not right[1]:
            return (*left[0], *right[0])
    return ()


def one_of(term: str) -> Mechanism | None:
    """The mechanism that a readable term is, None if it is a modifier."""
    read = read_spf(f"{VERSION} {term}")
    return read.mechanisms[0] if isinstance(read, SpfRecord) and read.mechanisms else None


def end_of(terms: Iterable[str], *, several: bool) -> str:
    """The `all` of a record, or the most cautious of several, "" if there is none; others are never let in by it."""
    found = [one for term in terms if (one := one_of(term)) is not None and one.name == "all"]
    if not found:
        return ""
    results = [one.qualifier for one in found] if several else [found[0].qualifier]
    if SpfResult.SOFTFAIL in results:
        return "~all"
    return "-all" if SpfResult.FAIL in results or SpfResult.PASS in results else "~all"


def permits(term: str) -> bool:
    """Whether a term lets some host send, but for `all`."""
    one = one_of(term)
    redirects = term.lower().startswith("redirect=")
    return redirects or (one is not None and one.name != "all" and one.qualifier is SpfResult.PASS)


def not_routed(term: Mechanism, egress: Iterable[str] = ()) -> bool:
    """Whether a term names addresses that the Internet does not know, unless mail leaves from one of them."""
    network = term.network
    if network is None or any(ip_address(ip) in network for ip in egress):
        return False
    if isinstance(network, IPv4Network):
        return any(network.subnet_of(other) for other in _NOT_ROUTED_4)
    return any(network.subnet_of(other) for other in _NOT_ROUTED_6)


def term_of(ip: str) -> str:
    return f"ip6:{ip}" if ":" in ip else f"ip4:{ip}"


def _meant(word: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The terms that a word stands for, and what of it has no meaning."""
    for candidate in (word, _corrected(word)):
        if _readable(candidate):
            return (candidate,), ()
    pieces = [piece for piece in re.split("[,;]+", word) if piece]
    if pieces != [word]:
        pairs = [_meant(piece) for piece in pieces]
        return tuple(term for terms, _ in pairs for term in terms), tuple(word for _, lost in pairs for word in lost)
    together = parted(word)
    return (together, ()) if together else ((), (word,) if word.strip("\"'“”.,;:") else ())


def _corrected(word: str) -> str:
    for pattern, right in _MISSPELT:
        word = pattern.sub(right, word)
    return word


def _readable(term: str) -> bool:
    """Whether receivers can read a term, and look up the name in it. A colon in a name is one of a term glued to it."""
    read = read_spf(f"{VERSION} {term}") if term else ()
    if not isinstance(read, SpfRecord) or any(one.name in MECHANISMS for one in read.others):
        return False
    targets = [one.target for one in read.mechanisms if one.target]
    targets += [one.value for one in (read.redirect, read.explanation) if one]
    written = ["".join(piece for piece in target if isinstance(piece, str)) for target in targets]
    whole = [name for name, target in zip(written, targets, strict=True) if all(isinstance(one, str) for one in target)]
    return not any(":" in name for name in written) and all(well_formed(name.removesuffix(".")) for name in whole)
