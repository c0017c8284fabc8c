"""`homing suppression`: addresses that are no longer sent to."""

from typing import Annotated

import typer

from homing.cli.client import Gateway, Json, given, with_organization
from homing.cli.output import moment, say, sheet, show, table, told

suppressions = typer.Typer(name="suppression", help="Addresses that are no longer sent to.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="The whole address.")]
Stream = Annotated[str, typer.Option(help="The kind of mail whose list is meant.")]


@suppressions.command("list")
@with_organization
def list_suppressions(
    gateway: Gateway,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    cursor: Annotated[str | None, typer.Option(help="Where the last page ended.")] = None,
) -> None:
    """List suppressed addresses, in the order of the alphabet."""
    found = gateway.get("/v1/suppressions", limit=limit, cursor=cursor)
    headings = ("Address", "Stream", "Reason", "Evidence", "Since (UTC)", "Until (UTC)")
    show(found, lambda: table(headings, map(_row, found["suppressions"])))
    if found["cursor"]:
        say(f"There are more: --cursor {found['cursor']}")


@suppressions.command("add")
@with_organization
def add(
    gateway: Gateway,
    address: Address,
    stream: Stream = "default",
    reason: Annotated[str, typer.Option(help="One word.")] = "manual",
    evidence: Annotated[str, typer.Option(help="In words: who asked for it, and when.")] = "",
    expires: Annotated[str | None, typer.Option(help="A moment (RFC 3339); default: for ever.")] = None,
) -> None:
    """Send nothing more to an address."""
    body = given(address=address, stream=stream, reason=reason, evidence=evidence, expires_at=expires)
    made = gateway.call("POST", "/v1/suppressions", body)
    show(made, lambda: sheet(told(made, "address", "stream", "reason", "evidence")))


@suppressions.command("lift")
@with_organization
def lift(gateway: Gateway, address: Address, stream: Stream = "default") -> None:
    """Send to an address again."""
    gateway.call("DELETE", "/v1/suppressions", query={"address": address, "stream": stream})
    show({"lifted": address, "stream": stream}, lambda: "Lifted.")


def _row(entry: Json) -> list[object]:
    return [
        *(entry[name] for name in ("address", "stream", "reason", "evidence")),
        moment(entry["created_at"]),
        moment(entry["expires_at"]),
    ]
