"""`homing dkim`: the keys that sign what leaves, for administrators."""

from typing import Annotated

import typer

from homing.cli.client import Gateway, Json, given, segment, with_gateway
from homing.cli.exits import ExitCode, unsuccessful
from homing.cli.output import moment, say, show, table

dkim = typer.Typer(
    name="dkim", help="DKIM keys: those that sign, those that come next, those that have ended.", no_args_is_help=True
)

Domain = Annotated[
    str | None, typer.Option(help="Whose key, as `homing dkim list` has it. Default: your own shared domain.")
]

_HEADINGS = ("Id", "Domain", "Selector", "Algorithm", "State", "In the DNS", "Since (UTC)")


@dkim.command("list")
@with_gateway
def list_keys(gateway: Gateway) -> None:
    """List DKIM keys, the ended ones too."""
    _show(gateway.get("/v1/dkim_keys"))


@dkim.command("zone")
@with_gateway
def zone(gateway: Gateway) -> None:
    """The records that must be in the DNS now, as part of a zone file."""
    print(gateway.get("/v1/dkim_keys")["zone"], end="")


@dkim.command("rotate")
@with_gateway
def rotate(gateway: Gateway, domain: Domain = None) -> None:
    """Let the next key sign now; otherwise it takes over after 180 days."""
    _show(gateway.call("POST", "/v1/dkim_keys/rotate", given(domain=domain)))


@dkim.command("revoke")
@with_gateway
def revoke(
    gateway: Gateway,
    selector: Annotated[str, typer.Argument(help="The key's selector, or its id.")],
    domain: Domain = None,
) -> None:
    """Withdraw a key at once and for good. The next one signs; what waits is signed again."""
    found = gateway.get("/v1/dkim_keys")["dkim_keys"]
    key = next((one for one in found if _is(one, selector, domain)), None)
    if key is None:
        raise unsuccessful(ExitCode.NOT_FOUND, "not-found", "No DKIM key in use has this selector.", selector)
    after = gateway.call("POST", f"/v1/dkim_keys/{segment(key['id'])}/revoke")
    _show(after)
    say(f"Now publish at {key['record_name']}: v=DKIM1; p=")
    if not any(one["domain"] == key["domain"] and one["state"] == "active" for one in after["dkim_keys"]):
        say(f"NO KEY SIGNS for {key['domain']} now: its mail waits until the next key's record is in the DNS.")


def _is(key: Json, selector: str, domain: str | None) -> bool:
    in_use = key["state"] in {"created", "published", "active", "draining"}
    named = key["selector"] == selector and (key["domain"] == domain or (domain is None and not key["organization"]))
    return key["id"] == selector or (in_use and named)


def _show(found: Json) -> None:
    show(found, lambda: table(_HEADINGS, map(_row, found["dkim_keys"])))


def _row(key: Json) -> list[object]:
    since = key[_SINCE[key["state"]]]
    return [key[name] for name in ("id", "domain", "selector", "algorithm", "state", "standing")] + [moment(since)]


_SINCE = {
    "created": "created_at",
    "published": "published_at",
    "active": "activated_at",
    "draining": "draining_at",
    "retired": "retired_at",
    "revoked": "revoked_at",
}
