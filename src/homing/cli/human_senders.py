"""`homing sender`: the people on whose behalf mail goes out."""

from pathlib import Path
from typing import Annotated

import typer

from homing.cli.client import Gateway, Json, given, segment, with_organization
from homing.cli.exits import ExitCode, unsuccessful
from homing.cli.output import moment, say, sheet, show, show_rows, table, told

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
        bool, typer.Option("--proved", help="You attest the address, so no e-mail is sent. Takes the scope attest.")
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
    headings = ("Id", "Name", "Address", "Phone", "User", "Proved (UTC)", "On the word of")
    show_rows(
        "human_senders",
        gateway.each("/v1/human_senders", "human_senders"),
        lambda rows: table(headings, map(_row, rows)),
    )


@people.command("letter")
@with_organization
def letter(gateway: Gateway, who: Who) -> None:
    """Send the e-mail with the link again; at most three a day to one address."""
    identifier = sender_id(gateway, who)
    gateway.call("POST", f"/v1/human_senders/{identifier}/proof")
    show({"id": identifier, "proof_letter_sent": True}, lambda: _letter(gateway))


Note = Annotated[str, typer.Option(help="How you know that the address is his; kept on record.")]


@people.command("prove")
@with_organization
def prove(gateway: Gateway, who: Who, note: Note = "") -> None:
    """Attest an address, so that it counts as proved; your key and the time are kept. Takes the scope attest."""
    path = f"/v1/human_senders/{sender_id(gateway, who)}/prove"
    _show(gateway.call("POST", path, query=given(note=note or None)))


@people.command("attest")
@with_organization
def attest(
    gateway: Gateway,
    file: Annotated[Path, typer.Argument(help="CSV; `-`: standard input.", dir_okay=False, allow_dash=True)],
    note: Note = "",
) -> None:
    """Attest the addresses of many people, whom it creates where they are not there. Takes the scope attest.

    The first line names the columns: name and address; application_user and phone if you like. A file with a fault
    stops at the 500 lines that hold it; to repeat it does no harm.
    """
    from homing.cli.attestations import attest_file

    attest_file(gateway, file, note)


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
    return next(iter(gateway.get("/v1/human_senders", address=address)["human_senders"]), None)


def _word(person: Json) -> str | None:
    """On whose word the address counts as proved; None: nobody but its owner was asked."""
    given_word = person["attested"]
    if given_word is None:
        return None
    note = f": {given_word['note']}" if given_word["note"] else ""
    return f"the key {given_word['by']}, {moment(given_word['at'])}{note}"


def _show(person: Json) -> None:
    facts = told(person, "id", "name", "address", "phone", "application_user")
    word = {"on the word of": _word(person)} if person["attested"] else {}
    show(person, lambda: sheet(facts | {"proved": moment(person["proved_at"]) or "not yet"} | word))


def _row(person: Json) -> list[object]:
    return [person[name] for name in ("id", "name", "address", "phone", "application_user")] + [
        moment(person["proved_at"]),
        _word(person),
    ]
