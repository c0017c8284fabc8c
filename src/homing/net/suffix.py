"""The public suffix list, by which receivers tell organizations apart that do not walk the DNS tree (RFC 7489 §3.2)."""

from functools import cache

from homing.mail.dmarc import SuffixOf


@cache
def suffix_list() -> SuffixOf:
    """What suffix a name ends in; a suffix itself is its own. The list is read once, at the first call."""
    from publicsuffixlist import PublicSuffixList

    known = PublicSuffixList()
    return lambda name: known.publicsuffix(name) or name
