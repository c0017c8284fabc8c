"""The public suffix list, by which receivers tell organizations apart that do not walk the DNS tree (RFC 7489 §3.2)."""

from functools import cache, lru_cache

from homing.mail.dmarc import SuffixOf


@cache
def suffix_list() -> SuffixOf:
    """A function that gives a name's suffix; that of a suffix is itself. The list is read once, at the first call."""
    from publicsuffixlist import PublicSuffixList

    known = PublicSuffixList()
    return lru_cache(4096)(lambda name: known.publicsuffix(name) or name)
