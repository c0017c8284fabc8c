"""`homing alarms`: what goes wrong that is about this gateway, for administrators."""

from typing import TYPE_CHECKING, Annotated

import typer

from homing.cli.gateway import Gateway, Json, with_gateway
from homing.cli.output import moment, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

alarms = typer.Typer(name="alarms", help="What goes wrong that is about this gateway.", no_args_is_help=True)

_HEADINGS = ("Cause", "Times", "Since (UTC)", "Last (UTC)", "Said", "What to do")


@alarms.command("list")
@with_gateway
def list_alarms(gateway: Gateway) -> None:
    """List alarms by their causes, the latest first."""
    found = gateway.get("/v1/alarms")
    show(found, lambda: picture(found))


@alarms.command("clear")
@with_gateway
def clear(gateway: Gateway, cause: Annotated[str, typer.Argument(help="As the list has it, whole.")]) -> None:
    """Take an alarm away that is dealt with. If it comes again, you hear of it again."""
    gateway.call("DELETE", "/v1/alarms", query={"cause": cause})
    show({"cleared": cause}, lambda: "Cleared.")


def picture(found: Json) -> "RenderableType":
    """All of them, a row each."""
    return table(_HEADINGS, map(_row, found["alarms"]))


def _row(one: Json) -> list[object]:
    first, last = moment(one["first_at"]), moment(one["last_at"])
    return [one["cause"], one["times"], first, last, one["text"], one["advice"]]
