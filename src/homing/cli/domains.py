"""`homing domains`: an organization's own domains, and the records that prove them."""

import time
from typing import Annotated

import typer

from homing.cli.client import Gateway, Json, segment, with_organization
from homing.cli.exits import ExitCode, unsuccessful
from homing.cli.output import for_person, moment, say, show, table

domains = typer.Typer(name="domains", help="Domains of your own to send from.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The domain, as in example.com.")]

_ASK_EVERY = 10.0


@domains.command("add")
@with_organization
def add(gateway: Gateway, name: Name) -> None:
    """Add a domain, and print the records to publish."""
    made = gateway.call("POST", "/v1/domains", {"domain": name})
    _show_records(gateway, made["domain"])


@domains.command("records")
@with_organization
def records(
    gateway: Gateway,
    name: Name,
    zone: Annotated[bool, typer.Option("--zone", help="As part of a zone file, and nothing else.")] = False,
    cname: Annotated[
        bool, typer.Option("--cname/--no-cname", help="Whether your DNS provider has a CNAME for the return path.")
    ] = True,
) -> None:
    """Print the records to publish."""
    if zone:
        print(gateway.get(_path(name, "/records"))[_ZONES[cname]], end="")
    else:
        _show_records(gateway, name, cname=cname)


@domains.command("verify")
@with_organization
def verify(
    gateway: Gateway,
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until everything is proved.")] = False,
    seconds: Annotated[int, typer.Option(min=1, help="How long to wait at most.")] = 600,
) -> None:
    """Ask the DNS now, and tell what it says."""
    deadline = time.monotonic() + seconds
    found = gateway.call("POST", _path(name, "/verify"))
    while wait and found["level"] != "custom-full" and time.monotonic() < deadline:
        time.sleep(min(_ASK_EVERY, seconds))
        found = gateway.call("POST", _path(name, "/verify"))
    _show(found)
    if wait and found["level"] != "custom-full":
        raise unsuccessful(
            ExitCode.NOT_DELIVERED, "domain-unproved", "Some records of the domain are not proved yet.", name
        )


@domains.command("list")
@with_organization
def list_domains(gateway: Gateway) -> None:
    """List domains, and what mail from each goes out as."""
    found = gateway.get("/v1/domains")
    headings = ("Domain", "Level", "Own recipients", "Not as it should be", "Asked (UTC)")
    show(found, lambda: table(headings, map(_row, found["domains"])))


@domains.command("own-recipients")
@with_organization
def own_recipients(
    gateway: Gateway,
    name: Name,
    on: Annotated[bool, typer.Option("--on/--off", help="Whether its mail server takes them from outside.")] = True,
) -> None:
    """Send to people at the domain itself under the domain, too."""
    _show(gateway.call("PATCH", _path(name), {"own_recipients": on}))


@domains.command("remove")
@with_organization
def remove(gateway: Gateway, name: Name) -> None:
    """Send nothing more from a domain."""
    gateway.call("DELETE", _path(name))
    show({"removed": name}, lambda: "Removed. Bounces to it are still received.")


def _path(name: str, more: str = "") -> str:
    return f"/v1/domains/{segment(name)}{more}"


_ZONES = {True: "zone", False: "zone_without_cname"}


def _show_records(gateway: Gateway, name: str, *, cname: bool = True) -> None:
    found = gateway.get(_path(name, "/records"))
    records = found["records"]
    if not cname:
        records = [one for one in records if one["purpose"] != "return_path"] + found["return_path_without_cname"]
    rows = [[record[field] for field in ("type", "name", "value", "why")] for record in records]
    show(found, lambda: table(("Type", "Name", "Value", "Why"), rows))
    if for_person():
        print(found[_ZONES[cname]], end="")
        other = "" if not cname else " Where no CNAME can stand for the return path: homing domains records --no-cname."
        say(f"Then: homing domains verify {name} --wait.{other}")


def _show(found: Json) -> None:
    show(found, lambda: table(("Record", "State", "Asked", "Answered by", "Answer"), map(_evidence, found["records"])))
    if for_person():
        say(f"{found['domain']}: {found['level']}")
        for record in found["records"]:
            if record["state"] != "verified":
                say(f"To be published: {record['name']} {record['type']} {record['value']}")


def _evidence(record: Json) -> list[object]:
    return [record["purpose"], record["state"], record["query"] or record["name"], record["server"], record["answer"]]


def _row(found: Json) -> list[object]:
    amiss = [record["purpose"] for record in found["records"] if record["state"] != "verified"]
    return [found["domain"], found["level"], found["own_recipients"], amiss, moment(found["checked_at"])]
