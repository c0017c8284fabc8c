"""`homing events`: what happens, as it happens."""

import json
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from homing.cli import timeline
from homing.cli.client import Gateway, Json, with_organization
from homing.cli.exits import ExitCode, Unsuccessful, unsuccessful
from homing.cli.options import Moment, utc
from homing.cli.output import for_person, say, show, table

events = typer.Typer(name="events", help="Events: what happened, and what happens.", no_args_is_help=True)

Cursor = Annotated[str | None, typer.Option(help="The place after the last event that you have.")]

PATIENCE = 30.0
"""Seconds for which a lost gateway is looked for."""
_PAUSE = 1.0


@events.command("list")
@with_organization
def list_events(
    gateway: Gateway,
    cursor: Cursor = None,
    since: Moment = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
) -> None:
    """List events, oldest first."""
    found = gateway.get("/v1/events", cursor=cursor, since=utc(since), limit=limit)
    show(found, lambda: table(timeline.HEADINGS, (timeline.row(event, {}) for event in found["events"])))
    say(f"For what comes next: --cursor {found['cursor']}")


@events.command("follow")
@with_organization
def follow(
    gateway: Gateway,
    cursor: Cursor = None,
    limit: Annotated[int | None, typer.Option(help="Stop after this many events.", min=1)] = None,
) -> None:
    """Print events as they happen: one JSON object a line where the output is no terminal.

    A gateway that restarts is found again, and no event is lost by it.
    """
    if not gateway.running:
        title = "No gateway is running, so there are no events to follow."
        raise unsuccessful(ExitCode.NETWORK, "gateway-not-running", title, "Start it with `homing serve`.")
    for number, (place, event) in enumerate(_followed(gateway, cursor), 1):
        _print(place, event)
        if number == limit:
            return


def _followed(gateway: Gateway, cursor: str | None) -> Iterator[tuple[str, Json]]:
    """Reconnects after the last event when the connection breaks, until nobody answers for a while."""
    lost: float | None = None
    while True:
        try:
            for streamed in gateway.follow(cursor):
                cursor, lost = streamed.cursor, None
                if streamed.event is not None:
                    yield streamed.cursor, streamed.event
        except Unsuccessful as end:
            now = time.monotonic()
            lost = lost or now
            if end.exit_code is not ExitCode.NETWORK or now - lost > PATIENCE:
                raise
        time.sleep(_PAUSE)


def _print(place: str, event: Json) -> None:
    if for_person():
        from rich.console import Console

        Console().print(timeline.line(event, {}))
    else:
        print(json.dumps({"cursor": place} | event), flush=True)
