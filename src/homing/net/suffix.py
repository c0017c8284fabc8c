"""The public suffix list, by which receivers tell organizations apart that do not walk the DNS tree (RFC 7489 §3.2)."""

from functools import cache

from homing.mail.dmarc import SuffixOf


@cache
def suffix_list() -> SuffixOf | None:
    """What suffix a name ends in; None where the list is not installed (the package publicsuffixlist)."""
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError:
        return None
    known = PublicSuffixList()
    return lambda name: known.publicsuffix(name) or name
