"""`homing policy`: which steps follow a failure, in which order."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from homing.cli.client import Gateway, Json, segment, with_organization
from homing.cli.exits import bad_input
from homing.cli.output import show, show_rows, table

policies = typer.Typer(name="policy", help="Failure policies: what is done about a failure.", no_args_is_help=True)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])")

Name = Annotated[str, typer.Argument(help="Its name.")]


@policies.command("create")
@with_organization
def create(
    gateway: Gateway,
    name: Name,
    file: Annotated[
        Path | None, typer.Option(help="JSON or TOML with `steps`, as the API has them.", exists=True, dir_okay=False)
    ] = None,
    step: Annotated[
        list[str] | None, typer.Option(help="KIND[:if-unheard][:delay=10m][:kinds=hard,expired]…; repeat, in order.")
    ] = None,
    delay_told_after: Annotated[
        str | None, typer.Option(help="How long a delivery may wait before somebody is told, like 4h; or never.")
    ] = None,
) -> None:
    """Set a failure policy, for failures from now on.

    A step is a kind (letter, live, sms, webhook, administrator, log) and words after colons: if-unheard,
    delay=10m, kinds=hard,expired, evidence=strong, doubt=act or say_so or hold, reader=recipient,
    budget-organization=100, budget-recipient=1.
    """
    if (file is None) == (not step):
        raise bad_input("--file, --step", "one-of-two", "Give either a file or steps.")
    body: Json = _read(file) if file is not None else {"steps": [read_step(text) for text in step or ()]}
    if delay_told_after is not None:
        never = delay_told_after == "never"
        body["delay_told_after_seconds"] = None if never else _seconds(delay_told_after, "--delay-told-after")
    _show(gateway.call("PUT", f"/v1/failure_policies/{segment(name)}", body))


@policies.command("list")
@with_organization
def list_policies(gateway: Gateway) -> None:
    """List failure policies."""
    found = gateway.each("/v1/failure_policies", "failure_policies")

    def row(policy: Json) -> list[object]:
        return [policy["name"], policy["builtin"], [step["kind"] for step in policy["steps"]]]

    show_rows("failure_policies", found, lambda rows: table(("Name", "Built in", "Steps"), map(row, rows)))


@policies.command("show")
@with_organization
def show_policy(gateway: Gateway, name: Name) -> None:
    """Show a failure policy's steps."""
    _show(gateway.get(f"/v1/failure_policies/{segment(name)}"))


@policies.command("remove")
@with_organization
def remove(gateway: Gateway, name: Name) -> None:
    """Remove a failure policy. Messages that name it are judged by the built-in one from then on."""
    gateway.call("DELETE", f"/v1/failure_policies/{segment(name)}")
    show({"removed": name}, lambda: "Removed.")


def read_step(text: str) -> Json:
    """A step as written behind `--step`, for the API. Raises Unsuccessful."""
    kind, *words = text.split(":")
    step: Json = {"kind": kind.strip()}
    for word in words:
        name, equals, value = word.strip().partition("=")
        match name, bool(equals):
            case "if-unheard", False:
                step["only_if_unheard"] = True
            case "delay", True:
                step["delay_seconds"] = _seconds(value)
            case "kinds", True:
                step["kinds"] = [one for one in value.split(",") if one]
            case "evidence", True:
                step["min_evidence"] = value
            case "doubt", True:
                step["when_possibly_delivered"] = value
            case "reader", True:
                step["reader"] = value
            case (("budget-organization" | "budget-recipient"), True):
                step[name.replace("-", "_")] = _number(value)
            case _:
                raise bad_input("--step", "step-word", f"A step has no word {word!r}; see homing policy create --help.")
    return step


def _seconds(value: str, option: str = "--step") -> int:
    found = _DURATION.fullmatch(value)
    if not found:
        raise bad_input(option, "duration", f"A delay is a number and s, m, h or d, like 10m; not {value!r}.")
    return int(found[1]) * _UNITS[found[2]]


def _number(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise bad_input("--step", "number", f"A budget is a number of actions a day, not {value!r}.")
    return int(value)


def _read(file: Path) -> Json:
    import json
    import tomllib

    try:
        text = file.read_text("utf-8")
        document: Any = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise bad_input(str(file), "file-unreadable", str(error)) from None
    if not isinstance(document, dict):
        raise bad_input(str(file), "type-wrong", "A policy is an object with `steps`.")
    return document


def _show(policy: Json) -> None:
    headings = ("", "Step", "When", "For", "Told")
    steps = enumerate(policy["steps"], 1)
    rows = [[number, step["kind"], _when(step), _for(step), _told(step)] for number, step in steps]
    after = policy["delay_told_after_seconds"]
    rows.append(["", "delay", "not told" if after is None else f"after waiting {after} s", "what waits", ""])
    show(policy, lambda: table(headings, rows))


def _when(step: Json) -> str:
    turn = "if nobody was reached" if step["only_if_unheard"] else "at once"
    delay = step["delay_seconds"]
    return f"{turn}, after {delay} s" if delay else turn


def _for(step: Json) -> str:
    kinds = ", ".join(step["kinds"]) or "every failure"
    return f"{kinds}, strong evidence" if step["min_evidence"] == "strong" else kinds


def _told(step: Json) -> str:
    return str(step["reader"]) if step["kind"] == "sms" else ""
