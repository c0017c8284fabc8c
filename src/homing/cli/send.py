"""`homing send`: one message from a terminal or a script."""

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from homing.cli import timeline
from homing.cli.client import Gateway, Json, given, segment, with_organization
from homing.cli.exits import ExitCode, Unsuccessful, bad_input, unsuccessful
from homing.cli.human_senders import find_sender
from homing.cli.messages import picture
from homing.cli.output import for_person, say, sheet, show
from homing.loop.lifecycle import TERMINAL

_NAMED = re.compile(r'\s*"?([^"<>]*?)"?\s*<([^<>]+)>\s*')
_LOOK_EVERY = 0.3

Addresses = Annotated[list[str] | None, typer.Option(help='Address, or "Name <address>"; repeat.')]


@with_organization
def send(  # noqa: PLR0913 - each part of a message is an option
    gateway: Gateway,
    from_person: Annotated[str, typer.Option(help='On whose behalf: address, or "Name <address>". It must be proved.')],
    to: Addresses = None,
    cc: Addresses = None,
    bcc: Addresses = None,
    subject: Annotated[str, typer.Option()] = "",
    text: Annotated[str | None, typer.Option(help="The text, or - to read it from standard input.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="A file with the HTML version.", exists=True, dir_okay=False)
    ] = None,
    attach: Annotated[list[Path] | None, typer.Option(help="A file; repeat.", exists=True, dir_okay=False)] = None,
    reply_to: Annotated[str | None, typer.Option(help="Default: the person's address. It must be proved.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, comes back with events; repeat.")] = None,
    policy: Annotated[str | None, typer.Option(help="Failure policy. Default: the organization's.")] = None,
    stream: Annotated[str | None, typer.Option(help="A kind of mail with a suppression list of its own.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key and message are sent once.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every delivery has ended, and its case too.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="How many seconds --wait waits at most.", min=0)] = 60.0,
) -> None:
    """Send a message. With --wait, show what becomes of it: exit code 0 if all was delivered, else 3."""
    body = given(subject=subject, failure_policy=policy, stream=stream, reply_to=reply_to, text=_text(text))
    body |= {"to": list(map(_party, to or ())), "cc": list(map(_party, cc or ())), "bcc": list(map(_party, bcc or ()))}
    body |= {"attachments": list(map(_attachment, attach or ())), "metadata": dict(map(_pair, metadata or ()))}
    if html is not None:
        body["html"] = html.read_text("utf-8")
    body["human_sender"] = _person(gateway, from_person)
    if wait and not gateway.running:
        title = "No gateway is running, so nothing would be sent while we wait."
        raise unsuccessful(ExitCode.NETWORK, "gateway-not-running", title, "Start it with `homing serve`.")
    headers = given(**{"Idempotency-Key": idempotency_key})
    accepted = gateway.call("POST", "/v1/messages", body, headers=headers)
    if wait:
        _wait(gateway, accepted["id"], timeout)
        return
    states = {one["recipient"]: one["state"] for one in accepted["deliveries"]}
    show(accepted, lambda: sheet({"id": accepted["id"]} | states))
    if not gateway.running:
        say("No gateway is running: the message is kept, and leaves when `homing serve` runs.")


def _wait(gateway: Gateway, message: str, timeout: float) -> None:
    found = _watched(gateway, message, timeout)
    show(found, lambda: picture(found))
    if any(delivery["state"] != "delivered" for delivery in found["deliveries"]):
        raise typer.Exit(ExitCode.NOT_DELIVERED)


def _watched(gateway: Gateway, message: str, timeout: float) -> Json:
    """The message in the end; meanwhile a person sees each event as it happens."""
    until = time.monotonic() + timeout
    shown = 0
    while True:
        found = gateway.get(f"/v1/messages/{segment(message)}")
        _print_events(found, shown)
        shown = len(found["timeline"])
        if _is_over(found) or time.monotonic() >= until:
            return found
        time.sleep(_LOOK_EVERY)


def _is_over(message: Json) -> bool:
    """Every delivery has ended, and whoever had to be told of a failure has been, or cannot be."""
    return all(
        delivery["state"] in TERMINAL and (delivery["case"] is None or delivery["case"]["state"] != "open")
        for delivery in message["deliveries"]
    )


def _print_events(message: Json, shown: int) -> None:
    if for_person():
        from rich.console import Console

        recipients = timeline.recipients_of(message)
        for event in message["timeline"][shown:]:
            Console().print(timeline.line(event, recipients))


def _text(text: str | None) -> str | None:
    return sys.stdin.read() if text == "-" else text


def _party(text: str) -> Json:
    named = _NAMED.fullmatch(text)
    return {"name": named[1], "address": named[2]} if named else {"address": text}


def _person(gateway: Gateway, text: str) -> Json:
    """The human sender with their known name, if none is given and the key may read it."""
    party = _party(text)
    if "name" not in party:
        try:
            known = find_sender(gateway, text)
        except Unsuccessful as refusal:
            if refusal.exit_code is not ExitCode.AUTH:
                raise
            known = None
        party["name"] = known["name"] if known else ""
    return party


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise bad_input("--metadata", "pair", f"Write NAME=VALUE, not {text!r}.")
    return name, value


def _attachment(file: Path) -> Json:
    import base64
    import mimetypes

    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    content = base64.b64encode(file.read_bytes()).decode()
    return {"filename": file.name, "content_type": content_type, "content": content}
