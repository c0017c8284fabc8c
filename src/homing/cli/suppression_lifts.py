"""Lift many suppressions: first they are listed, then, if somebody says so, they are lifted a page at a time."""

import sys
from collections.abc import Iterator
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
        rows = (row for page in _pages(gateway, criteria) for row in page["suppressions"])
        show_rows("suppressions", rows, lambda _: "")


def _with_person(gateway: Gateway, criteria: Json, yes: bool, why: str | None) -> None:
    first: list[Json] = []
    owners: set[str] = set()
    count = hearsay = 0
    for page in _pages(gateway, criteria):
        rows = page["suppressions"]
        first += rows[: SHOWN - len(first)]
        owners.update(row["organization"] for row in rows)
        count += len(rows)
        hearsay += page["hearsay"]
    show(None, lambda: _picture(first, with_owner=len(owners) > 1))
    if not count and not hearsay:
        say("Nothing to lift.")
        return
    if count:
        whole = f"{_suppressions(count)} of {_organizations(len(owners))}"
        say(f"{whole}, the first {len(first)} of them above." if count > len(first) else f"{whole}.")
    if hearsay:
        say(f"Late reports about {_messages(hearsay)}, read by this rule, count against addresses.")
    if yes or _agreed(_question(count)):
        say(f"Lifted {_suppressions(_lift_visibly(gateway, criteria, why, count))}.")
        if hearsay:
            say("The reports count no more.")
    else:
        say("Nothing was lifted.")


def _question(count: int) -> str:
    if not count:
        return "Let the reports count no more?"
    return f"Lift {'it' if count == 1 else 'all of them'}?"


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


def _pages(gateway: Gateway, criteria: Json) -> Iterator[Json]:
    cursor: str | None = None
    while True:
        page = gateway.get("/v1/suppressions", **criteria, limit=_PAGE, cursor=cursor)
        yield page
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


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


def _organizations(count: int) -> str:
    return "1 organization" if count == 1 else f"{count:,} organizations"
