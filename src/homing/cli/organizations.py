"""`homing org` and `homing key`: organizations, and what lets their applications in."""

from typing import Annotated

import typer

from homing.cli.client import Gateway, Json, given, segment, with_gateway, with_organization
from homing.cli.exits import bad_input
from homing.cli.output import moment, say, sheet, show, show_rows, table, told

organizations = typer.Typer(name="org", help="Organizations that send through this gateway.", no_args_is_help=True)
administrator = typer.Typer(name="administrator", help="The address of its administrator.", no_args_is_help=True)
organizations.add_typer(administrator)
keys = typer.Typer(name="key", help="API keys of organizations and administrators.", no_args_is_help=True)

_PAGE = 200
_SETTINGS = (
    "display_name",
    "failure_policy",
    "rate_limit",
    "daily_cap",
    "administrator",
    "sms_fallback",
    "webhook_url",
    "cors_origins",
)
Name = Annotated[str, typer.Argument(help="Its name (or id).")]
DisplayName = Annotated[str | None, typer.Option(help="Name in From where a human sender has none.")]
DisplayNameReason = Annotated[
    str | None,
    typer.Option(help="Why it may bear a display name that is somebody else's; kept on record. Administrators only."),
]
RateLimit = Annotated[int | None, typer.Option(help="Deliveries a minute.")]
DailyCap = Annotated[int | None, typer.Option(help="Deliveries a day (UTC). New ones start at 100.")]


@organizations.command("create")
@with_gateway
def create(
    gateway: Gateway,
    name: Annotated[str, typer.Argument(help="Short and for ever: lower-case letters, digits, hyphens.")],
    display_name: DisplayName = None,
    display_name_reason: DisplayNameReason = None,
    rate_limit: RateLimit = None,
    daily_cap: DailyCap = None,
) -> None:
    """Create an organization. Its other settings: `homing org set`."""
    body = given(name=name, display_name=display_name or name, rate_limit=rate_limit, daily_cap=daily_cap)
    body |= given(display_name_reason=display_name_reason)
    _show(gateway.call("POST", "/v1/organizations", body))
    say(f"Next: a key for its application (homing key create --org {name}).")


@organizations.command("list")
@with_gateway
def list_organizations(
    gateway: Gateway, name: Annotated[str | None, typer.Option(help="Only those whose name begins so.")] = None
) -> None:
    """List all organizations."""
    headings = ("Name", "Display name", "A minute", "A day", "Policy", "State")
    found = gateway.each("/v1/organizations", "organizations", name=name, limit=_PAGE)
    show_rows("organizations", found, lambda rows: table(headings, map(_row, rows)))


@organizations.command("show")
@with_organization
def show_organization(
    gateway: Gateway, name: Annotated[str | None, typer.Argument(help="Default: that of your key.")] = None
) -> None:
    """Show an organization's settings."""
    _show(gateway.get("/v1/organization" if name is None else f"/v1/organizations/{segment(name)}"))


@organizations.command("set")
@with_organization
def set_settings(  # noqa: PLR0913 - each setting is an option
    gateway: Gateway,
    name: Annotated[str | None, typer.Argument(help="Default: that of your key.")] = None,
    display_name: DisplayName = None,
    display_name_reason: DisplayNameReason = None,
    policy: Annotated[str | None, typer.Option(help="Failure policy for messages that name none.")] = None,
    rate_limit: RateLimit = None,
    daily_cap: DailyCap = None,
    administrator: Annotated[
        str | None, typer.Option(help='Address to notify of failures that nobody else could be told of; "" for none.')
    ] = None,
    sms_fallback: Annotated[
        str | None, typer.Option(help='Number (E.164) for people whose own is not known; "" for none.')
    ] = None,
    webhook_url: Annotated[str | None, typer.Option(help='Where webhook steps call; "" for nowhere.')] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help='A web origin whose pages may follow live streams; repeat, "" for none.')
    ] = None,
) -> None:
    """Change settings. What is not given stays as it is."""
    body = given(display_name=display_name, failure_policy=policy, rate_limit=rate_limit, daily_cap=daily_cap)
    body |= given(display_name_reason=display_name_reason)
    clearable = given(administrator=administrator, sms_fallback=sms_fallback, webhook_url=webhook_url)
    body |= {setting: value or None for setting, value in clearable.items()}
    if cors_origin:
        body["cors_origins"] = [origin for origin in cors_origin if origin]
    if not body:
        raise bad_input("options", "nothing-given", "Give at least one setting to change.")
    _show(gateway.call("PATCH", "/v1/organization" if name is None else f"/v1/organizations/{segment(name)}", body))


@administrator.command("letter")
@with_organization
def send_letter(gateway: Gateway) -> None:
    """Send the e-mail with the link that proves the address again; at most three a day to one address."""
    gateway.call("POST", "/v1/organization/administrator/proof")
    show({"administrator_letter_sent": True}, lambda: "An e-mail with a link is on its way.")


@administrator.command("prove")
@with_organization
def prove(
    gateway: Gateway, note: Annotated[str, typer.Option(help="How you know that it is his; kept on record.")] = ""
) -> None:
    """Attest the address, so that it counts as proved; your key and the time are kept. Takes the scope attest."""
    _show(gateway.call("POST", "/v1/organization/administrator/prove", query=given(note=note or None)))


@organizations.command("pause")
@with_gateway
def pause(
    gateway: Gateway,
    name: Name,
    reason: Annotated[str, typer.Option(help="The reason, shown to whoever tries to send.")] = "",
) -> None:
    """Stop accepting and sending its messages. What comes back is still received."""
    _show(gateway.call("POST", f"/v1/organizations/{segment(name)}/pause", {"reason": reason}))


@organizations.command("resume")
@with_gateway
def resume(gateway: Gateway, name: Name) -> None:
    """End a pause."""
    _show(gateway.call("POST", f"/v1/organizations/{segment(name)}/resume"))


# -- keys ------------------------------------------------------------------------------------------------------------


Org = Annotated[str | None, typer.Option(envvar="HOMING_ORG", help="The organization's name or id.")]
Admin = Annotated[bool, typer.Option("--admin", help="An administrator's key instead of an organization's.")]


@keys.command("create")
@with_gateway
def create_key(
    gateway: Gateway,
    org: Org = None,
    admin: Admin = False,
    name: Annotated[str, typer.Option(help="What it is for; shown in the list.")] = "application",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="send, read, manage or attest; repeat. Default: send and read; with --admin: admin, or attest alone."
        ),
    ] = None,
) -> None:
    """Make a key. It is shown this once: only a hash of it is kept."""
    body: Json = {"name": name, "scopes": scope or (["admin"] if admin else ["send", "read"])}
    made = gateway.call("POST", _keys(org, admin), body)
    show(made, lambda: sheet({"key": made["key"]} | _key_facts(made)))
    say("Keep the key now: it is shown this once, and only a hash of it is stored.")


@keys.command("list")
@with_gateway
def list_keys(gateway: Gateway, org: Org = None, admin: Admin = False) -> None:
    """List keys, revoked ones too. The keys themselves are not known."""
    found = gateway.each(_keys(org, admin), "keys")
    headings = ("Id", "Name", "Ends in", "Scopes", "Created (UTC)", "Revoked (UTC)")
    show_rows("keys", found, lambda rows: table(headings, (list(_key_facts(one).values()) for one in rows)))


@keys.command("revoke")
@with_gateway
def revoke_key(
    gateway: Gateway,
    id: Annotated[str, typer.Argument(help="From `homing key list`.")],  # noqa: A002 - the API's word
    org: Org = None,
    admin: Admin = False,
) -> None:
    """End a key. It stops working at once, on other nodes within five seconds."""
    gateway.call("DELETE", f"{_keys(org, admin)}/{segment(id)}")
    show({"revoked": id}, lambda: "Revoked.")


def _keys(org: str | None, admin: bool) -> str:
    if admin == (org is not None):
        raise bad_input("--org, --admin", "one-of-two", "Say whose key: --org NAME, or --admin.")
    return "/v1/administrator_keys" if org is None else f"/v1/organizations/{segment(org)}/keys"


def _key_facts(key: Json) -> dict[str, object]:
    moments = {"created": moment(key["created_at"]), "revoked": moment(key["revoked_at"])}
    return told(key, "id", "name", "last_four", "scopes") | moments


def _show(organization: Json) -> None:
    secret = {"webhook secret": organization["webhook_secret"]} if organization.get("webhook_secret") else {}
    tag = {"DKIM selector": f"{organization['selector']}.…"} if organization["selector"] else {}
    facts = (
        told(organization, "id", "name", *_SETTINGS)
        | _name_facts(organization)
        | _administrator_facts(organization)
        | {"state": _state(organization)}
        | tag
        | secret
    )
    show(organization, lambda: sheet(facts))
    if organization.get("webhook_secret"):
        say("Keep the webhook secret now: it is shown this once.")
    if organization.get("administrator_letter_sent"):
        say("An e-mail asks the administrator to confirm the address; nothing else is sent there before.")


def _name_facts(organization: Json) -> dict[str, object]:
    allowed = organization["display_name_allowed"]
    if allowed is not None:
        return {"display name allowed": f"{moment(allowed['at'])} with the key {allowed['by']}: {allowed['reason']}"}
    checked = moment(organization["display_name_checked_at"])
    return {"display name checked": checked or "not yet: it is from an earlier version"}


def _administrator_facts(organization: Json) -> dict[str, object]:
    if organization["administrator"] is None:
        return {}
    unproved = "not needed: it is from an earlier version" if organization["administrator_taken_over"] else "not yet"
    facts: dict[str, object] = {"administrator proved": moment(organization["administrator_proved_at"]) or unproved}
    word = organization["administrator_attested"]
    if word is not None:
        note = f": {word['note']}" if word["note"] else ""
        facts["on the word of"] = f"the key {word['by']}, {moment(word['at'])}{note}"
    return facts


def _row(organization: Json) -> list[object]:
    shown = ("name", "display_name", "rate_limit", "daily_cap", "failure_policy")
    return [*(organization[name] for name in shown), _state(organization)]


def _state(organization: Json) -> str:
    if not organization["paused"]:
        return "sending"
    reason = organization["pause_reason"]
    return f"paused: {reason}" if reason else "paused"
