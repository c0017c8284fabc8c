"""A small DNS for dialogues: records by name and type, in a dict."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from homing.mail.dns_question import (
    Answer,
    Ask,
    Dialogue,
    Found,
    LookupFailed,
    LookupFault,
    NoData,
    NoSuchName,
    VerdictT,
    well_formed,
)

FAILS = "fails"
"""A record that stands for: nobody could tell."""

SIGNED = "signed"
"""A record that stands for: the resolver vouches for the name's others."""


@dataclass
class Zones:
    """`records` maps a name to pairs of type and text. `asked` are the questions, in order."""

    records: Mapping[str, list[tuple[str, str]]]
    asked: list[Ask] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = {name.lower(): list(records) for name, records in self.records.items()}

    def answer(self, ask: Ask) -> Answer[str]:
        assert well_formed(ask.name)
        assert not ask.name.endswith(".")
        self.asked.append(ask)
        return self._look_up(ask.name.lower(), ask.record_type.value, 0)

    def _look_up(self, name: str, record_type: str, aliases: int) -> Answer[str]:
        records = self.records.get(name)
        if records is None:
            below = any(other.endswith(f".{name}") for other in self.records)
            return NoData(server="here") if below else NoSuchName(server="here", authoritative=True)
        found = tuple(text for kind, text in records if kind == record_type)
        alias = next((text for kind, text in records if kind == "CNAME"), None)
        if (FAILS, FAILS) in records and not found:
            return LookupFailed(why=LookupFault.TIMEOUT, server="here")
        if found:
            return Found(records=found, server="here", secure=(SIGNED, SIGNED) in records)
        if alias is None:
            return NoData(server="here")
        if aliases > 8:
            return LookupFailed(why=LookupFault.GARBLED, server="here")
        return self._look_up(alias.rstrip(".").lower(), record_type, aliases + 1)


def run(dialogue: Dialogue[VerdictT], zones: Zones) -> VerdictT:
    """The verdict of a dialogue in this world."""
    try:
        ask = next(dialogue)
        while True:
            ask = dialogue.send(zones.answer(ask))
    except StopIteration as end:
        verdict: VerdictT = end.value
        return verdict
