"""`homing store`: whether a backup was restored, and the release of what is held since."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from homing.cli.client import Gateway, Json, with_gateway
from homing.cli.output import moment, say, sheet, show

if TYPE_CHECKING:
    from rich.console import RenderableType

store = typer.Typer(name="store", help="Store: what is held after a restore.", no_args_is_help=True)


@store.command("show")
@with_gateway
def show_store(gateway: Gateway) -> None:
    """Show whether what is queued is held, how much waits, and since when."""
    found = gateway.get("/v1/store")
    show(found, lambda: picture(found))


@store.command("hold")
@with_gateway
def hold(gateway: Gateway) -> None:
    """Hold what is queued, before the first start after a restore that cannot be noticed: of a whole machine."""
    found = gateway.call("POST", "/v1/store/hold")
    show(found, lambda: picture(found))


@store.command("release")
@with_gateway
def release(
    gateway: Gateway, yes: Annotated[bool, typer.Option("--yes", help="Without a question at the terminal.")] = False
) -> None:
    """Let everything that is held go out, and begin a new generation: cursors of events of before end."""
    if not yes and sys.stdin.isatty():
        waiting = gateway.get("/v1/store")
        say(_waits(waiting))
        if waiting["state"] == "held" and not typer.confirm("Send it?", err=True):
            say("Nothing was released.")
            return
    found = gateway.call("POST", "/v1/store/release")
    show(found, lambda: picture(found))


def picture(found: Json) -> "RenderableType":
    held_at = moment(found["held_at"])
    return sheet(
        {
            "state": found["state"],
            "held since": f"{held_at} UTC" if held_at else None,
            "waiting": _waits(found),
            "generation": found["generation"],
        }
    )


def _waits(found: Json) -> str:
    oldest = moment(found["oldest_due"])
    since = f", the first due since {oldest} UTC" if oldest else ""
    return f"deliveries: {found['deliveries']:,}, actions: {found['actions']:,}{since}"
