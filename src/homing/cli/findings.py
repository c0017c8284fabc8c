"""The doctor's findings: all of them for a program; the faults, and the records to paste, for a person."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING

from homing.cli.output import cell, for_person, show
from homing.mail.text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from homing.loop.doctor.finding import Finding
    from homing.loop.domains.dns_records import DnsRecord

STYLES = {"broken": "bold red", "warning": "yellow", "unknown": "magenta", "info": "cyan", "ok": "green"}
_ORDER = tuple(STYLES)
_MENDED = ("broken", "warning")
_MOST_EVIDENCE = 3
_LONGEST_REMARK = 500


class Form(StrEnum):
    """The form of the output: faults only, everything, a line of JSON for each finding, or the records only."""

    FAULTS = "faults"
    ALL = "all"
    JSON_LINES = "jsonl"
    ZONE = "zone"


def tell(findings: "Sequence[Finding]", form: Form) -> None:
    """To a person a picture, to a program the whole document, unless another form was asked for."""
    match form:
        case Form.JSON_LINES:
            for finding in findings:
                print(json.dumps(asdict(finding)))
        case Form.ZONE:
            for line in _zone(_by_gravity(findings)):
                print(line)
        case _:
            _tell_all(findings, everything=form is Form.ALL)


def _tell_all(findings: "Sequence[Finding]", *, everything: bool) -> None:
    outcomes = Counter(str(finding.outcome) for finding in findings)
    document = {
        "outcome": next((word for word in _ORDER if outcomes[word]), "ok"),
        "outcomes": {word: outcomes[word] for word in _ORDER},
        "findings": [asdict(finding) for finding in findings],
    }
    shown = [finding for finding in _by_gravity(findings) if everything or finding.outcome != "ok"]
    show(document, lambda: _picture(shown, outcomes))
    if for_person():
        _tell_records(shown)


def _by_gravity(findings: "Sequence[Finding]") -> "list[Finding]":
    return sorted(findings, key=lambda finding: _ORDER.index(finding.outcome))


def _picture(shown: "Sequence[Finding]", outcomes: Counter[str]) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counted = Text(" · ").join(Text(f"{outcomes[word]} {word}", STYLES[word]) for word in _ORDER if outcomes[word])
    if not shown:
        return Group(Text("All is well.", "green"), counted)
    picture = Table.grid(padding=(0, 2, 0, 0))
    for heading in ("outcome", "check", "what is the case"):
        picture.add_column(heading, overflow="fold", no_wrap=heading != "what is the case")
    for finding in shown:
        outcome = Text(finding.outcome, STYLES[finding.outcome])
        picture.add_row(outcome, Text(finding.check, "bold"), Group(*_told(finding)))
    return Group(picture, counted)


def _told(finding: "Finding") -> "Iterator[Text]":
    """What is the case; where it is a fault, how to correct it, and who said what."""
    from rich.text import Text

    yield cell(finding.sentence)
    if finding.cure:
        yield Text.assemble(("→ ", "green"), cell(finding.cure))
    if finding.outcome in _MENDED:
        for told in finding.evidence[:_MOST_EVIDENCE]:
            secure = " (signed)" if told.secure else ""
            yield Text.assemble(cell(f"{told.query}? {told.server}: {told.answer}{secure}"), style="dim")
    if finding.cure:
        yield Text()


def _tell_records(findings: "Sequence[Finding]") -> None:
    """The records that correct it, as part of a zone file; never broken into lines, so that they can be copied."""
    from rich.console import Console
    from rich.text import Text

    console, zone = Console(), list(_zone(findings))
    if not zone:
        return
    console.print()
    console.print(Text("Publish these, in place of what stands there of the same kind:", "bold"))
    console.print()
    for line in zone:
        console.print(Text(line, "dim" if line.startswith(";") else ""), soft_wrap=True)


def _zone(findings: "Iterable[Finding]") -> Iterator[str]:
    """The records, each with a remark before it what it is for. Parts of them may be a stranger's."""
    for record, checks in _each_once(finding for finding in findings if finding.outcome in _MENDED):
        yield clean(f"; {record.why} ({', '.join(checks)})", _LONGEST_REMARK)
        yield record.in_zone()


def _each_once(findings: "Iterable[Finding]") -> "Iterator[tuple[DnsRecord, list[str]]]":
    """Each record once, with the checks that want it; no two of them contradict each other."""
    wanted: dict[tuple[str, str, str], tuple[DnsRecord, list[str]]] = {}
    for finding in findings:
        for record in finding.records:
            _, checks = wanted.setdefault((record.name, record.type, record.value), (record, []))
            if finding.check not in checks:
                checks.append(finding.check)
    yield from wanted.values()
