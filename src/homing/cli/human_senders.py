"""`homing sender`: the people on whose behalf mail goes out."""

from typing import Annotated

import typer

from homing.cli.client import Gateway, Json, given, segment, with_organization
from homing.cli.exits import ExitCode, unsuccessful
from homing.cli.output import moment, say, sheet, show, table, told

people = typer.Typer(name="sender", help="Human senders: people on whose behalf mail goes out.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="Id or address.")]


@people.command("create")
@with_organization
def create(
    gateway: Gateway,
    name: Annotated[str, typer.Option(help="As recipients see it in From.")],
    address: Annotated[str, typer.Option(help="Where replies and e-mails about failures go.")],
    phone: Annotated[str | None, typer.Option(help="E.164; for text messages of a failure policy.")] = None,
    user: Annotated[str | None, typer.Option(help="Your application's own id of this person.")] = None,
    proved: Annotated[
        bool, typer.Option("--proved", help="You vouch for the address, so no e-mail is sent. Administrators only.")
    ] = False,
) -> None:
    """Create a human sender. An e-mail with a link asks the owner of the address to confirm it."""
    body = given(name=name, address=address, phone=phone, application_user=user)
    made = gateway.call("POST", "/v1/human_senders", body | {"proof_letter": not proved})
    if proved:
        made |= gateway.call("POST", f"/v1/human_senders/{made['id']}/prove")
    _show(made)
    if not proved:
        say(_letter(gateway) if made["proof_letter_sent"] else _NO_MORE_LETTERS)


@people.command("list")
@with_organization
def list_senders(gateway: Gateway) -> None:
    """List human senders."""
    found = gateway.get("/v1/human_senders")
    headings = ("Id", "Name", "Address", "Phone", "User", "Proved (UTC)")
    show(found, lambda: table(headings, map(_row, found["human_senders"])))


@people.command("letter")
@with_organization
def letter(gateway: Gateway, who: Who) -> None:
    """Send the e-mail with the link again; at most three a day to one address."""
    identifier = sender_id(gateway, who)
    gateway.call("POST", f"/v1/human_senders/{identifier}/proof")
    show({"id": identifier, "proof_letter_sent": True}, lambda: _letter(gateway))


@people.command("prove")
@with_organization
def prove(gateway: Gateway, who: Who) -> None:
    """Vouch for an address, so that it counts as proved. Administrators only."""
    _show(gateway.call("POST", f"/v1/human_senders/{sender_id(gateway, who)}/prove"))


def _letter(gateway: Gateway) -> str:
    if gateway.running:
        return "An e-mail with a link is on its way."
    return "An e-mail with a link will go out as soon as the gateway runs: homing serve."


_NO_MORE_LETTERS = "No e-mail was sent: this address has had its three for today. Try `homing sender letter` tomorrow."


def sender_id(gateway: Gateway, who: str) -> str:
    """The id of a human sender who is named by id or address. Raises Unsuccessful (not found)."""
    if "@" not in who:
        return segment(who)
    found = find_sender(gateway, who)
    if found is None:
        raise unsuccessful(ExitCode.NOT_FOUND, "not-found", "No human sender has this address.", who)
    return str(found["id"])


def find_sender(gateway: Gateway, address: str) -> Json | None:
    """By address, whichever case it is written in."""
    found = gateway.get("/v1/human_senders")["human_senders"]
    return next((one for one in found if one["address"].casefold() == address.casefold()), None)


def _show(person: Json) -> None:
    facts = told(person, "id", "name", "address", "phone", "application_user")
    show(person, lambda: sheet(facts | {"proved": moment(person["proved_at"]) or "not yet"}))


def _row(person: Json) -> list[object]:
    return [person[name] for name in ("id", "name", "address", "phone", "application_user")] + [
        moment(person["proved_at"])
    ]
