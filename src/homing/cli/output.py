"""What commands print: a picture for a person, one JSON document for a program.

Names, subjects and the words of other people's servers are strangers' text: every cell is cleaned of what would act on
a terminal, and none is read as markup. JSON is written in plain ASCII.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from homing.mail.text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_LONGEST = 500
_MOST_LINES = 40

_WHOLE = frozenset({"Id", "Delivery"})
"""Columns whose cells are copied, and so never broken."""

STYLES: Mapping[str, str] = {
    "delivered": "green",
    "notified": "green",
    "bounced": "red",
    "expired": "red",
    "failed": "red",
    "unheard": "red",
    "suppressed": "red",
    "complained": "red",
    "deferred": "yellow",
    "action_failed": "yellow",
    "canceled": "dim",
    "paused": "yellow",
}
"""Colours of states and events; the word itself always stands beside its colour."""


def show(document: object, picture: Callable[[], "RenderableType"]) -> None:
    """Prints the picture on a terminal, else the document."""
    if for_person():
        from rich.console import Console

        Console().print(picture())
    else:
        print(json.dumps(document, indent=2))


def show_rows(name: str, rows: Iterable[object], picture: Callable[[Iterable[Any]], "RenderableType"]) -> None:
    """A list that may be long: the picture on a terminal, else a document with the rows under that name, written as
    they come."""
    if for_person():
        show(None, lambda: picture(rows))
        return
    lines = (f"\n    {json.dumps(row)}" for row in rows)
    first = next(lines, "")  # what is refused is refused before anything is printed
    print(f'{{\n  "{name}": [{first}', end="")
    for line in lines:
        print(f",{line}", end="")
    print("\n  ]\n}")


def for_person() -> bool:
    """Whether standard output is a terminal, so that a person reads it."""
    return sys.stdout.isatty()


def say(sentence: str) -> None:
    """Prints a remark for a person, on a terminal only."""
    if for_person():
        from rich.console import Console

        Console(stderr=True).print(lines(sentence))


def cell(value: object) -> "Text":
    """Any value of a document as one readable line."""
    from rich.text import Text

    match value:
        case None:
            return Text("–", "dim")
        case bool():
            return Text("yes" if value else "no")
        case list():
            return Text(clean(", ".join(map(str, value)), _LONGEST) or "–")
        case _:
            text = clean(str(value), _LONGEST)
            return Text(text, STYLES.get(text, ""))


def moment(value: str | None) -> str | None:
    """A moment of the API (RFC 3339, UTC) as a person reads it."""
    return None if value is None else value[:19].replace("T", " ")


def lines(text: str) -> "Text":
    """Several lines, each fit for a terminal."""
    from rich.text import Text

    return Text("\n".join(clean(line, _LONGEST) for line in text.splitlines()[:_MOST_LINES]))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> "RenderableType":
    """One row for each thing; a sentence where there is none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    picture = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        picture.add_column(heading, overflow="fold", no_wrap=heading in _WHOLE)
    for row in rows:
        picture.add_row(*map(cell, row))
    return picture if picture.row_count else Text("None.", "dim")


def sheet(facts: Mapping[str, object]) -> "Table":
    """One thing: what is known of it, a line each."""
    from rich.table import Table
    from rich.text import Text

    picture = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        picture.add_row(Text(name, "dim"), cell(value))
    return picture


def told(document: Mapping[str, Any], *names: str) -> dict[str, object]:
    """These fields of a document, under their names made readable."""
    return {name.replace("_", " "): document[name] for name in names}
