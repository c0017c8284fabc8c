"""`homing inbound`: mail that came back, and what it is about."""

from typing import TYPE_CHECKING, Annotated

import typer

from homing.cli.client import Gateway, Json, given, segment, with_organization
from homing.cli.output import lines, moment, say, sheet, show, table, told
from homing.loop.evidence import What

if TYPE_CHECKING:
    from rich.console import RenderableType

inbound = typer.Typer(name="inbound", help="Mail that came back, and what it is about.", no_args_is_help=True)


@inbound.command("list")
@with_organization
def list_inbound(
    gateway: Gateway,
    what: Annotated[What | None, typer.Option(help="What the mail turned out to be.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Which kind of our addresses it came to.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the last page ended.")] = None,
) -> None:
    """List mail that came back, newest first; for an administrator also what belongs to no known message."""
    found = gateway.get("/v1/inbound", **given(what=what, purpose=purpose, limit=limit, cursor=cursor))
    headings = ("Id", "Came (UTC)", "What", "From", "Came to", "Is about")
    show(found, lambda: table(headings, map(_row, found["inbound"])))
    if found["cursor"]:
        say(f"There are more: --cursor {found['cursor']}")


@inbound.command("show")
@with_organization
def show_inbound(gateway: Gateway, id: Annotated[str, typer.Argument(help="inb_…")]) -> None:  # noqa: A002
    """Show a mail that came back, with its beginning."""
    mail = gateway.get(f"/v1/inbound/{segment(id)}")
    show(mail, lambda: picture(mail))


def picture(mail: Json) -> "RenderableType":
    """What is known of a mail, and its first lines."""
    from rich.console import Group

    verdict = mail["verdict"] or {}
    facts = {
        "id": mail["id"],
        "came": moment(mail["received_at"]),
        "from": _envelope_sender(mail),
        **told(mail, "recipient", "purpose", "what", "message", "delivery", "helo", "ip", "tls"),
        **told(mail, "authentication", "flags"),
        "class": verdict.get("failure_class"),
        "rule": verdict.get("rule"),
        "matched": verdict.get("matched"),
    }
    return Group(sheet(facts), "", lines("Erased." if mail["head"] is None else mail["head"]))


def _row(mail: Json) -> list[object]:
    about = mail["message"] or "nobody"
    what = mail["what"] or mail["state"]
    return [mail["id"], moment(mail["received_at"]), what, _envelope_sender(mail), mail["recipient"], about]


def _envelope_sender(mail: Json) -> str:
    return mail["envelope_sender"] or "(null sender)"
