"""`homing alarms`: problems with the gateway itself, for administrators."""

from typing import TYPE_CHECKING, Annotated

import typer

from homing.cli.client import Gateway, Json, with_gateway
from homing.cli.output import moment, sheet, show

if TYPE_CHECKING:
    from rich.console import RenderableType

alarms = typer.Typer(name="alarms", help="Alarms: problems with the gateway itself.", no_args_is_help=True)


@alarms.command("list")
@with_gateway
def list_alarms(gateway: Gateway) -> None:
    """List alarms by their causes, the latest first."""
    found = gateway.get("/v1/alarms")
    show(found, lambda: picture(found))


@alarms.command("clear")
@with_gateway
def clear(gateway: Gateway, cause: Annotated[str, typer.Argument(help="The whole cause, as in the list.")]) -> None:
    """Clear an alarm that has been dealt with. If it comes again, you are notified again."""
    gateway.call("DELETE", "/v1/alarms", query={"cause": cause})
    show({"cleared": cause}, lambda: "Cleared.")


def picture(found: Json) -> "RenderableType":
    """All of them, a few lines each: a cause is copied whole."""
    from rich.console import Group
    from rich.text import Text

    if not found["alarms"]:
        return Text("None.", "dim")
    return Group(*(part for one in found["alarms"] for part in (sheet(_facts(one)), "")))


def _facts(one: Json) -> dict[str, object]:
    times = "once" if one["times"] == 1 else f"{one['times']} times"
    happened = f"{times} since {moment(one['first_at'])}, last {moment(one['last_at'])} UTC"
    told_at = moment(one["told_at"]) or "not yet"
    return {
        "cause": one["cause"],
        "happened": happened,
        "said": one["text"],
        "delivery": one["delivery"],
        "what to do": one["advice"],
        "letter": told_at,
    }
