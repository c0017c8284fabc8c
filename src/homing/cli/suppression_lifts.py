"""Lift many suppressions: first they are listed, then, if somebody says so, they are lifted a page at a time."""

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import typer

from homing.cli.client import Gateway, Json, given
from homing.cli.output import for_person, moment, say, show, show_rows, table
from homing.mail.text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN = 20
"""Rows of the table for a person."""
_PAGE = 500
_EVIDENCE = 100
"""Characters of the evidence that the table shows."""


def lift_all(gateway: Gateway, criteria: Json, *, yes: bool, why: str | None = None) -> None:
    """`criteria` as the API takes them. To a program they are listed or, with `yes`, lifted and counted; a person sees
    the first of them and is asked."""
    if for_person():
        _with_person(gateway, criteria, yes, why)
    elif yes:
        show({**criteria, "lifted": sum(_lift(gateway, criteria, why))}, lambda: "")
    else:
        show_rows("suppressions", _found(gateway, criteria), lambda _: "")


def _with_person(gateway: Gateway, criteria: Json, yes: bool, why: str | None) -> None:
    rows = _found(gateway, criteria)
    first = list(islice(rows, SHOWN))
    owners = {row["organization"] for row in first}
    count = len(first)
    for row in rows:
        owners.add(row["organization"])
        count += 1
    show(None, lambda: _picture(first, with_owner=len(owners) > 1))
    if not count:
        say("Nothing to lift.")
        return
    whole = f"{_suppressions(count)} of {_organizations(len(owners))}"
    say(f"{whole}, the first {len(first)} of them above." if count > len(first) else f"{whole}.")
    if yes or _agreed(f"Lift {'it' if count == 1 else 'all of them'}?"):
        say(f"Lifted {_suppressions(_lift_visibly(gateway, criteria, why, count))}.")
    else:
        say("Nothing was lifted.")


def _agreed(question: str) -> bool:
    if not _asks():
        say("To lift them, add --yes.")
        return False
    return typer.confirm(question, err=True)


def _asks() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def _lift_visibly(gateway: Gateway, criteria: Json, why: str | None, count: int) -> int:
    from rich.console import Console
    from rich.progress import Progress

    lifted = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("lifting", total=count)
        for more in _lift(gateway, criteria, why):
            lifted += more
            progress.update(task, completed=lifted)
    return lifted


def _found(gateway: Gateway, criteria: Json) -> Iterator[Json]:
    cursor: str | None = None
    while True:
        page = gateway.get("/v1/suppressions", **criteria, limit=_PAGE, cursor=cursor)
        yield from page["suppressions"]
        cursor = page["cursor"]
        if cursor is None:
            return


def _lift(gateway: Gateway, criteria: Json, why: str | None) -> Iterator[int]:
    """How many were lifted of each page."""
    cursor: str | None = None
    while True:
        asked = criteria | given(why=why, limit=_PAGE, cursor=cursor)
        page = gateway.call("POST", "/v1/suppressions/lift", asked)
        yield page["lifted"]
        cursor = page["cursor"]
        if cursor is None:
            return


def _picture(rows: list[Json], *, with_owner: bool) -> "RenderableType":
    headings = ("Address", "Stream", "Reason", "Evidence", "Since (UTC)")
    cells = [
        [row["address"], row["stream"], row["reason"], clean(row["evidence"], _EVIDENCE), moment(row["created_at"])]
        for row in rows
    ]
    if not with_owner:
        return table(headings, cells)
    owned = [[row["organization"], *more] for row, more in zip(rows, cells, strict=True)]
    return table(("Organization", *headings), owned)


def _suppressions(count: int) -> str:
    return "1 suppression" if count == 1 else f"{count:,} suppressions"


def _organizations(count: int) -> str:
    return "1 organization" if count == 1 else f"{count:,} organizations"
