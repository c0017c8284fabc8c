"""`homing sender attest`: people whose addresses the operator's application has proved, from a CSV file (RFC 4180)."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO

from homing.cli.client import Gateway, Json, given
from homing.cli.exits import Unsuccessful, bad_input
from homing.cli.output import sheet, show
from homing.loop.problem import Fault

AT_ONCE = 500
"""People of one request."""
_COLUMNS = frozenset({"name", "address", "application_user", "phone"})
_NEEDED = frozenset({"name", "address"})


def attest_file(gateway: Gateway, file: Path, note: str) -> None:
    """Batch after batch; raises Unsuccessful at the first one with a fault, of which nothing is taken."""
    counts = {"attested": 0, "made": 0}
    with _opened(file) as source:
        rows = _rows(source)
        while batch := list(islice(rows, AT_ONCE)):
            body = given(note=note, human_senders=[person for _, person in batch])
            try:
                answer = gateway.call("POST", "/v1/human_senders/attestations", body)
            except Unsuccessful as refusal:
                raise _by_lines(refusal, [line for line, _ in batch]) from None
            counts = {name: count + answer[name] for name, count in counts.items()}
    show(counts, lambda: sheet(counts))


def _rows(source: IO[str]) -> Iterator[tuple[int, Json]]:
    """Each person, with the number of the line."""
    reader = csv.DictReader(source, restkey="more")
    columns = {column.strip().lower() for column in reader.fieldnames or ()}
    if not columns >= _NEEDED or not columns <= _COLUMNS:
        text = f"The first line must name the columns name and address, and may name {', '.join(_COLUMNS - _NEEDED)}."
        raise bad_input("FILE", "format-unknown", text)
    for row in reader:
        if "more" in row or None in row.values():
            raise bad_input(
                f"line {reader.line_num}", "line-unreadable", "It has not as many fields as the first line."
            )
        person = {name.strip().lower(): text.strip() for name, text in row.items()}
        yield reader.line_num, {name: text for name, text in person.items() if text or name in _NEEDED}


def _by_lines(refusal: Unsuccessful, lines: list[int]) -> Unsuccessful:
    """The same with the numbers of lines instead of pointers."""
    problem = refusal.problem
    faults = tuple(_by_line(fault, lines) for fault in problem.faults)
    return Unsuccessful(refusal.exit_code, replace(problem, faults=faults))


def _by_line(fault: Fault, lines: list[int]) -> Fault:
    match fault.path.split("/"):
        case ["", "human_senders", index, *more] if index.isdecimal():
            return replace(fault, path=" ".join([f"line {lines[int(index)]}", *more]))
        case _:
            return fault


@contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    if str(file) == "-":
        yield sys.stdin
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            yield source
    except (OSError, UnicodeDecodeError) as error:
        raise bad_input("FILE", "file-unreadable", str(error)) from None
