"""`homing suppression`: addresses that are no longer sent to."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from homing.cli.client import Gateway, Json, given, with_organization
from homing.cli.exits import bad_input
from homing.cli.options import Moment, utc
from homing.cli.output import moment, say, sheet, show, table, told
from homing.cli.suppression_lifts import lift_all

suppressions = typer.Typer(name="suppression", help="Addresses that are no longer sent to.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="The whole address.")]
Format = Literal["ses", "sendgrid", "postmark", "mailgun", "csv"]
Reason = Literal["invalid_recipient", "inactive_mailbox", "invalid_domain", "complaint", "unsubscribe", "manual"]
Yes = Annotated[bool, typer.Option("--yes", help="Lift them, and do not ask.")]
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
def lift(  # noqa: PLR0913 - each filter is an option
    gateway: Gateway,
    address: Annotated[str | None, typer.Argument(help="The whole address; else give a reason.")] = None,
    stream: Annotated[
        str | None, typer.Option(help="Whose list is meant. Default: of an address `default`, for a reason all.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="All for this reason, as the list says it.")] = None,
    since: Moment = None,
    until: Moment = None,
    why: Annotated[str | None, typer.Option(help="In words, for the record.")] = None,
    yes: Yes = False,
) -> None:
    """Send to an address again, or to all that were suppressed for a reason.

    Those for a reason are listed first, and lifted after a question or with `--yes`.
    """
    if (address is None) == (reason is None):
        raise bad_input("ADDRESS", "usage", "Name either an address or, with --reason, a reason.")
    if address is not None:
        if since or until:
            raise bad_input("--since, --until", "usage", "A period belongs to a reason, not to an address.")
        place = given(address=address, stream=stream or "default", why=why)
        gateway.call("DELETE", "/v1/suppressions", query=place)
        show({"lifted": address, "stream": stream or "default"}, lambda: "Lifted.")
        return
    criteria = given(reason=reason, stream=stream, since=utc(since), until=utc(until))
    lift_all(gateway, criteria, yes=yes, why=why)


@suppressions.command("undo")
@with_organization
def undo(
    gateway: Gateway,
    rule: Annotated[str, typer.Option(help="The rule that was wrong, as evidence and verdicts name it.")],
    since: Moment = None,
    until: Moment = None,
    yes: Yes = False,
) -> None:
    """Take back what a wrong rule did: list every suppression that it caused, and lift them.

    Late reports that it read count no more, and what another rule suppressed only together with it is lifted too.

    With an administrator's key and no `--org`, those of all organizations. They are lifted after a question or with
    `--yes`; to repeat it does no harm.
    """
    lift_all(gateway, given(rule=rule, since=utc(since), until=utc(until)), yes=yes)


@suppressions.command("import")
@with_organization
def import_suppressions(
    gateway: Gateway,
    file: Annotated[Path, typer.Argument(help="CSV; `-`: standard input.", dir_okay=False)],
    stream: Stream = "default",
    format: Annotated[  # noqa: A002
        Format | None, typer.Option(help="Whose export it is. Default: what its first line says.")
    ] = None,
    reason: Annotated[Reason | None, typer.Option(help="For lines that give none.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if a line has a fault.")] = False,
) -> None:
    """Import the suppressions of Amazon SES, SendGrid, Postmark or Mailgun, or a plain CSV file.

    Bounces, complaints and unsubscriptions, with their times. Failures of the moment are skipped. Each line that is
    left out is told with its number and a code. No suppression that is there is weakened; to repeat it does no harm.
    """
    from homing.cli import suppression_import
    from homing.flow.rules import reading_rules
    from homing.loop import suppression_import as exports

    terms = exports.Terms(
        rules=reading_rules(),
        now=datetime.now(UTC),
        format=exports.Format(format) if format else None,
        reason=reason,
    )
    suppression_import.import_file(gateway, file, stream, terms, strict=strict)


@suppressions.command("lifted")
@with_organization
def lifted(
    gateway: Gateway,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    cursor: Annotated[str | None, typer.Option(help="Where the last page ended.")] = None,
) -> None:
    """List what was lifted, and why, the latest first."""
    found = gateway.get("/v1/suppressions/lifted", limit=limit, cursor=cursor)
    headings = ("Address", "Stream", "Reason", "Evidence", "Lifted (UTC)", "Why")
    show(found, lambda: table(headings, map(_lifted_row, found["lifted"])))
    if found["cursor"]:
        say(f"There are more: --cursor {found['cursor']}")


def _row(entry: Json) -> list[object]:
    return [
        *(entry[name] for name in ("address", "stream", "reason", "evidence")),
        moment(entry["created_at"]),
        moment(entry["expires_at"]),
    ]


def _lifted_row(entry: Json) -> list[object]:
    before = (entry[name] for name in ("address", "stream", "reason", "evidence"))
    return [*before, moment(entry["lifted_at"]), entry["why"]]
