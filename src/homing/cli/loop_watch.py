"""`homing loop`: whether notices of failure find their way back to this gateway."""

from typing import TYPE_CHECKING

import typer

from homing.cli.client import PATIENCE, Gateway, Json, with_gateway
from homing.cli.output import moment, sheet, show

if TYPE_CHECKING:
    from rich.console import RenderableType

loop = typer.Typer(name="loop", help="Loop watch: whether failures find their way back.", no_args_is_help=True)


@loop.command("show")
@with_gateway
def show_loop(gateway: Gateway) -> None:
    """Show how the return path stands, with the latest rounds."""
    found = gateway.get("/v1/loop_watch")
    show(found, lambda: picture(found))


@loop.command("test")
@with_gateway
def test(gateway: Gateway) -> None:
    """Send a notice to our own return address now, as a stranger would, and wait until it is heard."""
    found = gateway.call("POST", "/v1/loop_watch", patience=2 * PATIENCE)
    show(found, lambda: picture(found))


def picture(found: Json) -> "RenderableType":
    return sheet(
        {
            "return path": found["state"],
            "last concluded": moment(found["concluded_at"]) or "never",
            **{f"round {one['round']}": _told(one) for one in found["rounds"][:5]},
        }
    )


def _told(one: Json) -> str:
    parts = (moment(one["ended_at"]), one["fault"] or "concluded", one["said"], one["cure"])
    return "\n".join(part for part in parts if part)
