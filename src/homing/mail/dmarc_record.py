"""Reading a DMARC policy record with all its faults (RFC 9989 §4.7, and the tags of RFC 7489 §6.3 that it dropped).

Receivers overlook nearly every fault: a tag that they cannot understand counts as absent. `policy` tells whether they
obey the record at all; `faults` lists what its owner should mend.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Policy(StrEnum):
    """What a domain owner asks to be done with mail that fails."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def lowered(self) -> "Policy":
        """One level down, as `t=y` asks."""
        return Policy.QUARANTINE if self is Policy.REJECT else Policy.NONE


@dataclass(frozen=True, slots=True)
class DmarcFault:
    """What is wrong with which tag, for a person."""

    tag: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcRecord:
    """What a record says. `policy` None: receivers treat the domain as if it had no record.

    `strict_dkim`, `strict_spf`: the domains must be equal. `public_suffix`: `psd=`, "y", "n" or "u" (find out).
    `rua` and `ruf` are mail addresses, in order. `tags` are all of them as written, also those that nobody knows.
    """

    text: str
    policy: Policy | None
    subdomains: Policy | None = None
    nonexistent: Policy | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    public_suffix: str = "u"
    testing: bool = False
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()
    percent: int = 100
    tags: Mapping[str, str]
    faults: tuple[DmarcFault, ...] = ()


_IS_DMARC = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_MAILTO = re.compile(r"mailto:([^\s,;!@]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+)(?:![0-9]+[kmgtKMGT]?)?", re.IGNORECASE)
_VALUES = {
    "p": "none|quarantine|reject",
    "sp": "none|quarantine|reject",
    "np": "none|quarantine|reject",
    "adkim": "r|s",
    "aspf": "r|s",
    "psd": "y|n|u",
    "t": "y|n",
    "pct": "100|[1-9]?[0-9]",
    "fo": "[01ds](?:[ \t]*:[ \t]*[01ds])*",
    "rf": "afrf",
    "ri": "[0-9]+",
}
_POLICIES = ("p", "sp", "np")


def read_dmarc(text: str) -> DmarcRecord | None:
    """The record, or None if this TXT record, its strings joined, is no DMARC record at all."""
    if not _IS_DMARC.match(text):
        return None
    faults: list[DmarcFault] = []
    tags = _tags(text, faults)
    known = {tag: tags[tag].lower() for tag in _VALUES if tag in tags}
    senseless = [
        DmarcFault(tag, f'"{tag}={tags[tag][:80]}" means nothing; the values are {_VALUES[tag].replace("|", ", ")}.')
        for tag, value in known.items()
        if not re.fullmatch(_VALUES[tag], value)
    ]
    faults += senseless
    wrong = {fault.tag for fault in senseless}
    said = {tag: value for tag, value in known.items() if tag not in wrong}
    rua, ruf = (_addresses(tag, tags, faults) for tag in ("rua", "ruf"))
    policies = {tag: Policy(said[tag]) for tag in _POLICIES if tag in said}
    if "p" not in tags:
        faults.append(DmarcFault("p", "The policy p= is missing."))
    if "p" not in policies or wrong & set(_POLICIES):  # RFC 9989 §4.10.1
        policies = {"p": Policy.NONE} if rua else {}
    return DmarcRecord(
        text=text,
        policy=policies.get("p"),
        subdomains=policies.get("sp"),
        nonexistent=policies.get("np"),
        strict_dkim=said.get("adkim") == "s",
        strict_spf=said.get("aspf") == "s",
        public_suffix=said.get("psd", "u"),
        testing=said.get("t") == "y",
        rua=rua,
        ruf=ruf,
        percent=int(said.get("pct", 100)),
        tags=tags,
        faults=tuple(faults),
    )


def _tags(text: str, faults: list[DmarcFault]) -> dict[str, str]:
    """Tags by their lower-case names; the first one counts if a tag is given twice."""
    tags: dict[str, str] = {}
    for item in text.split(";"):
        written, equals, value = (part.strip(" \t") for part in item.partition("="))
        name = written.lower()
        if not equals or not _NAME.fullmatch(written):
            if written or equals:
                faults.append(DmarcFault(item.strip(" \t")[:20], "This is not a tag, an equals sign and a value."))
        elif name in tags:
            faults.append(DmarcFault(name, f'"{written}=" stands there twice.'))
        else:
            tags[name] = value
    return tags


def _addresses(tag: str, tags: Mapping[str, str], faults: list[DmarcFault]) -> tuple[str, ...]:
    addresses = []
    for uri in tags[tag].split(",") if tag in tags else ():
        found = _MAILTO.fullmatch(uri.strip(" \t"))
        if found:
            addresses.append(found[1])
        else:
            faults.append(DmarcFault(tag, f'"{uri.strip()[:80]}" is not "mailto:" and an address.'))
    return tuple(addresses)
