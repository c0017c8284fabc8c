"""docs/conformance.md and .json: what the runs found."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .judge import how_long
from .scenarios import SCENARIOS, Scenario
from .servers import SERVERS

DOCS = Path(__file__).parents[3] / "docs"
_JSON, _PAGE = DOCS / "conformance.json", DOCS / "conformance.md"

Results = dict[str, dict[str, Any]]

_HEAD = """\
# What real mail servers say, and what we conclude

Each cell is a live run: a whole gateway sends a message by SMTP to the server; the server answers in the dialogue, or
takes the message and sends what it has to say by SMTP to the gateway's MX door. Nothing is replayed. The servers are
Debian's, downloaded and unpacked, and Haraka is npm's; they run in a network of their own, where the hosts behind them
and the DNS are the lab's. `make conformance` runs all of it and writes this page and
[conformance.json](conformance.json); it needs root, for mail servers and namespaces do.

What should be concluded stands in `tests/interop/conformance/scenarios.py`, a postmaster's judgement written before the
runs; a cell that is not as it says is marked **differs**, and the command fails.

* The state of a delivery is about our recipient. Whatever fails beyond him, at a member of his list or an address that
  he forwards to, leaves the state `delivered`, suppresses nobody, and is a case for a person.
* A refusal of the recipient in the dialogue may suppress his address until somebody lifts it; a report that comes
  later, for 30 days at most. What is about us, the message, the moment or a host of theirs suppresses nobody.
* What a server says of its own accord is its own words. Refusals that only a configuration brings about (of a HELO, a
  sender, a content, greylisting) are in the words of the configuration wherever a server has none for them.
* The hosts behind a server (`away.com`, `gate.com` and their like) are scripted: they are there to fail. Dovecot with
  Pigeonhole is Debian's, behind each server by LMTP.

"""


def write(found: Results) -> None:
    """What was found takes the place of what was found before; the rest stays."""
    known: Results = json.loads(_JSON.read_text("utf-8")) if _JSON.exists() else {}
    for name, result in found.items():
        before = {cell["scenario"]: cell for cell in known.get(name, {}).get("cells", [])}
        before |= {cell["scenario"]: cell for cell in result["cells"]}
        cells = [before[scenario] for scenario in SCENARIOS if scenario in before]
        known[name] = {"version": result["version"], "cells": cells}
    known = {name: known[name] for name in SERVERS if name in known}
    _JSON.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")
    _PAGE.write_text(text(known), "utf-8")


def summary(found: Results) -> str:
    """How many cells are live, how many not, how many differ."""
    cells = [cell for result in found.values() for cell in result["cells"]]
    live = sum(cell["live"] for cell in cells)
    differing = sum(bool(cell["differs"]) for cell in cells)
    return f"{len(cells)} cells: {live} live, {len(cells) - live} n/a, {differing} differ"


def text(found: Results) -> str:
    table = {(name, cell["scenario"]): cell for name, result in found.items() for cell in result["cells"]}
    parts = [_HEAD, summary(found) + ".\n\n", *_overview(found, table)]
    for name, scenario in SCENARIOS.items():
        parts += _section(name, scenario, found, table)
    return "".join(parts)


_Table = Mapping[tuple[str, str], dict[str, Any]]


def _overview(found: Results, table: _Table) -> Iterator[str]:
    titles = [f"{SERVERS[name].title} {result['version']}" for name, result in found.items()]
    yield _row(["Scenario", *titles]) + _row(["---"] * (len(titles) + 1))
    for name, scenario in SCENARIOS.items():
        marks = [_mark(table.get((server, name))) for server in found]
        yield _row([f"[{scenario.title}](#{name.replace('_', '-')})", *marks])
    yield "\n`–`: there is no such thing at this server; why, stands below.\n"


def _mark(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    if not cell["live"]:
        return "–"
    return "**differs**" if cell["differs"] else "as expected"


def _section(name: str, scenario: Scenario, found: Results, table: _Table) -> Iterator[str]:
    yield f"\n## {name.replace('_', '-')}\n\n{scenario.title}: a message to `{scenario.recipient}`.\n"
    yield f"Not concluded: {scenario.spared}.\n\n"
    same = [SERVERS[server].title for server in found if name in SERVERS[server].words_of]
    if same:
        yield f"{', '.join(same)}: its words are those of an unknown user, and are taken for that.\n\n"
    silent = [SERVERS[server].title for server in found if name in SERVERS[server].silent]
    if silent:
        yield f"{', '.join(silent)}: its notice does not say why, so nothing but `undetermined` can be concluded.\n\n"
    waiting = [SERVERS[server].title for server in found if name in SERVERS[server].waiting]
    if waiting:
        yield (
            f"{', '.join(waiting)}: it takes the refusal for a delay and gives up when time is over, without "
            "saying why. The reason is that of its notice of delay, and such a refusal condemns nobody.\n\n"
        )
    yield _row(["Server", "What it said", "What was concluded"]) + _row(["---"] * 3)
    for server in found:
        cell = table.get((server, name))
        if cell is not None:
            yield _row([SERVERS[server].title, *_cell(cell)])


def _cell(cell: Mapping[str, Any]) -> Iterable[str]:
    if not cell["live"]:
        return (f"n/a because {cell['why']}", "")
    said = "<br>".join(_plain(line) for line in cell["said"])
    return (said, "<br>".join(_concluded(cell)))


def _concluded(cell: Mapping[str, Any]) -> Iterator[str]:
    verdict = f": {cell['failure_class']}, {cell['kind']}, by `{cell['rule']}`" if cell["failure_class"] else ""
    yield f"`{cell['state']}`{verdict}"
    yield "events: " + ", ".join(f"`{event}`" for event in dict.fromkeys(cell["events"]))
    yield f"suppressed: {how_long(cell['suppressed'])}; told: {', '.join(cell['told']) or 'nobody'}"
    if cell["differs"]:
        yield "**differs**: " + "; ".join(cell["differs"])


def _plain(line: str) -> str:
    """Strangers' words as text, not as markup."""
    for sign in "\\`*_<>[]|~":
        line = line.replace(sign, {"|": "&#124;", "<": "&lt;", ">": "&gt;"}.get(sign, "\\" + sign))
    return line


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
