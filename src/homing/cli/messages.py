"""`homing messages`: what was sent, and what became of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homing.cli import timeline
from homing.cli.client import Gateway, Json, given, segment, with_organization
from homing.cli.human_senders import sender_id
from homing.cli.options import Moment, utc
from homing.cli.output import lines, moment, say, sheet, show, table, told
from homing.loop.model import State

if TYPE_CHECKING:
    from rich.console import RenderableType

messages = typer.Typer(name="messages", help="Messages, and what became of them.", no_args_is_help=True)


@messages.command("list")
@with_organization
def list_messages(  # noqa: PLR0913 - each filter is an option
    gateway: Gateway,
    state: Annotated[State | None, typer.Option(help="Of one of its deliveries.")] = None,
    recipient: Annotated[str | None, typer.Option(help="The whole address of one of its recipients.")] = None,
    from_person: Annotated[str | None, typer.Option(help="Address or id of a human sender.")] = None,
    stream: Annotated[str | None, typer.Option(help="A kind of mail.")] = None,
    since: Moment = None,
    until: Moment = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the last page ended.")] = None,
) -> None:
    """List messages, newest first. All filters that are given must hold."""
    query = given(state=state, recipient=recipient, stream=stream, limit=limit, cursor=cursor)
    query |= given(since=utc(since), until=utc(until))
    if from_person is not None:
        query["human_sender"] = sender_id(gateway, from_person)
    found = gateway.get("/v1/messages", **query)
    show(found, lambda: table(("Id", "Sent (UTC)", "From", "Subject", "Deliveries"), map(_row, found["messages"])))
    if found["cursor"]:
        say(f"There are more: --cursor {found['cursor']}")


@messages.command("show")
@with_organization
def show_message(
    gateway: Gateway,
    id: Annotated[str, typer.Argument(help="msg_…")],  # noqa: A002
    dialogue: Annotated[bool, typer.Option("--dialogue", help="With the SMTP dialogues that were kept.")] = False,
) -> None:
    """Show a message with its deliveries, its timeline and what was done about its failures."""
    message = gateway.get(f"/v1/messages/{segment(id)}")
    show(message, lambda: picture(message, dialogues=dialogue))


@messages.command("cancel")
@with_organization
def cancel(gateway: Gateway, id: Annotated[str, typer.Argument(help="msg_…, or dlv_… for one recipient.")]) -> None:  # noqa: A002
    """Cancel what waits: the deliveries of a message that are queued or deferred, or one of them."""
    waiting = [id]
    if not id.startswith("dlv_"):
        deliveries = gateway.get(f"/v1/messages/{segment(id)}")["deliveries"]
        waiting = [one["id"] for one in deliveries if one["state"] in {"queued", "deferred"}]
    canceled = [gateway.call("POST", f"/v1/deliveries/{segment(one)}/cancel") for one in waiting]
    document = {"canceled": [one["id"] for one in canceled]}
    show(document, lambda: table(("Delivery", "Recipient", "State"), map(_canceled, canceled)))


def picture(message: Json, *, dialogues: bool = False) -> "RenderableType":
    """Everything that is known of a message; `dialogues`: those that were kept, too."""
    from rich.console import Group

    human_sender = message["human_sender"]
    head = {"id": message["id"], "from": f"{human_sender['name']} <{human_sender['address']}>"} | told(
        message, "subject", "stream", "failure_policy"
    )
    recipients = timeline.recipients_of(message)
    parts: list[Any] = [
        sheet(head | {"sent": moment(message["created_at"])}),
        table(("Delivery", "Recipient", "State", "Tries", "Why"), map(_delivery, message["deliveries"])),
        table(timeline.HEADINGS, (timeline.row(event, recipients) for event in message["timeline"])),
    ]
    attempts = [row for delivery in message["deliveries"] for row in _attempts(delivery)]
    if attempts:
        parts.append(table(("Tried", "Attempt", "Host", "Receiver", "From", "Stage", "Answer"), attempts))
    if dialogues:
        parts += [part for delivery in message["deliveries"] for part in _dialogues(delivery)]
    cases = [delivery for delivery in message["deliveries"] if delivery["case"]]
    if cases:
        rows = (one for delivery in cases for one in _steps(delivery))
        parts.append(table(("Case of", "Step", "Came to", "Result"), rows))
    return Group(*parts)


def _row(message: Json) -> list[object]:
    human_sender = message["human_sender"]
    deliveries = [f"{one['recipient']}: {one['state']}" for one in message["deliveries"]]
    return [message["id"], moment(message["created_at"]), human_sender["address"], message["subject"], deliveries]


def _canceled(delivery: Json) -> list[object]:
    return [delivery["id"], delivery["recipient"], delivery["state"]]


def _delivery(delivery: Json) -> list[object]:
    verdict = delivery["verdict"]
    why = f"{verdict['failure_class']} ({timeline.ruling(verdict)})" if verdict else ""
    tries = max((attempt["number"] for attempt in delivery["attempts"]), default=0)
    return [delivery["id"], delivery["recipient"], delivery["state"], tries, why]


def _attempts(delivery: Json) -> list[list[object]]:
    """What came of each host, those that were passed over among them."""
    return [
        [
            delivery["recipient"],
            attempt["number"],
            f"{attempt['host']} [{attempt['ip']}]" if attempt["ip"] else attempt["host"],
            attempt["receiver"],
            attempt["egress_ip"],
            attempt["stage"],
            " ".join(str(attempt[name]) for name in ("reply_code", "enhanced_status_code", "text") if attempt[name])
            + (" (in doubt)" if attempt["in_doubt"] else ""),
        ]
        for attempt in delivery["attempts"]
    ]


def _dialogues(delivery: Json) -> Iterator["RenderableType"]:
    """Of the attempts that did not end with a plain 250."""
    for attempt in delivery["attempts"]:
        if attempt["dialogue"]:
            yield sheet({"dialogue": f"attempt {attempt['number']} for {delivery['recipient']} at {attempt['host']}"})
            yield lines(attempt["dialogue"])


def _steps(delivery: Json) -> list[list[object]]:
    results = {action["step"]: action["result"] for action in delivery["case"]["actions"]}
    return [
        [delivery["recipient"], step["kind"], step["state"], results.get(number, "")]
        for number, step in enumerate(delivery["case"]["steps"])
    ]
