"""Organizations and their keys (for administrators), and an organization's own settings."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StrictInt, StringConstraints

from homing.doors.api.attestations import AttestationOut, attestation_out
from homing.doors.api.authorization import (
    ORGANIZATION_NAME,
    Administrator,
    ManageAccess,
    ReadAccess,
    find_organization,
    shown_key,
)
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import AskedNumber, Strict
from homing.doors.api.message_input import PolicyName
from homing.doors.api.parts import ApiParts, Parts
from homing.doors.api.problems import invalid, not_found, refused
from homing.doors.api.setting_checks import (
    ORIGINS,
    address_faults,
    name_faults,
    origin_faults,
    phone_faults,
    text_faults,
)
from homing.flow.keyring import Caller
from homing.loop import ids
from homing.loop.api_key import Scope, hash_key, mint_key
from homing.loop.domains.impersonation import Claim, ClaimedWords
from homing.loop.domains.sending_domains import label_of
from homing.loop.ids import new_id
from homing.loop.model import OrganizationId
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.problem import Fault, Rejected
from homing.mail.characters import without_hints
from homing.store import organizations, policies
from homing.store.organizations import AllowedName, ApiKey, Judge, NameClaimed, Organization

router = APIRouter(route_class=JsonRoute, tags=["organizations"])

Name = Annotated[str, Field(pattern=f"^{ORGANIZATION_NAME.pattern}$", examples=["acme"])]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
MOST = 1_000_000_000


class Settings(Strict):
    """What an organization may change about itself. Only the fields that are given change."""

    display_name: str = Field("", description="Stands in From where a human sender has no name.", examples=["Acme Ltd"])
    failure_policy: PolicyName = Field("default", description="For messages that name none.")
    cors_origins: list[str] = Field([], max_length=ORIGINS, examples=[["https://app.example.com"]])
    administrator: str | None = Field(
        None,
        description="Gets an e-mail about failures that nobody else could be told of, once the address is proved: by "
        "the link in an e-mail that goes there when it is set, or by the operator's word.",
    )
    sms_fallback: str | None = Field(None, description="E.164; for people whose number is not known.")
    webhook_url: str | None = Field(None, examples=["https://app.example.com/homing"])


class AllSettings(Settings):
    """What an administrator may change about an organization."""

    display_name_reason: Reason | None = Field(
        None,
        description="Why it may bear a display name that would be refused as somebody else's. Kept on record, with "
        "your key and the time.",
        examples=["Two customers have this name; seen in the commercial register."],
    )

    rate_limit: StrictInt = Field(organizations.NEW_RATE_LIMIT, ge=1, le=MOST, description="Deliveries a minute.")
    daily_cap: StrictInt = Field(organizations.NEW_DAILY_CAP, ge=0, le=MOST, description="Deliveries a day (UTC).")


class OrganizationIn(AllSettings):
    name: Name
    display_name: str = Field(examples=["Acme Ltd"])


class NameAllowed(BaseModel):
    """By which key of the operator's, and why, a display name was allowed that is somebody else's. `key` null: that of
    the settings."""

    claim: Claim
    words: str = Field(description="The words of the name that are somebody else's.")
    reason: str
    by: str = Field(description="What the key is called.", examples=["deploy"])
    key: str | None
    at: datetime


class OrganizationOut(BaseModel):
    id: str = Field(examples=["org_0190c3a100007000800000000000f001"])
    name: str
    display_name: str
    display_name_checked_at: datetime | None = Field(
        description="When it was found to be nobody else's, or was allowed. Null: it is from a version that did not "
        "ask; it stays until it is changed."
    )
    display_name_allowed: NameAllowed | None
    failure_policy: str
    rate_limit: int
    daily_cap: int
    paused: bool
    pause_reason: str | None
    cors_origins: list[str]
    administrator: str | None
    administrator_proved_at: datetime | None = Field(
        description="Null until the owner of the address has confirmed it, or the operator has attested it. Nothing is "
        "sent there before, unless it was taken over."
    )
    administrator_taken_over: bool = Field(
        description="It was set in a version that did not ask for a proof, and counts without."
    )
    administrator_attested: AttestationOut | None = Field(
        description="Null: nobody but the owner of the address was asked."
    )
    sms_fallback: str | None
    webhook_url: str | None
    selector: str | None = Field(
        description="Stands before DKIM selectors at the shared domain; null unless `organization_selectors`.",
        examples=["k3v5q2x7m4n6p8r2"],
    )
    created_at: datetime


class OrganizationChanged(OrganizationOut):
    webhook_secret: str | None = Field(None, description="Shown once: when the first webhook address is set.")
    administrator_letter_sent: bool = Field(
        False,
        description="The e-mail that proves the address of a new administrator is on its way. False: there is no new "
        "one, or a budget is used up for today (`POST /v1/organization/administrator/proof` sends it later).",
    )


class OrganizationPage(BaseModel):
    """In the order of their names. `cursor` leads to the next page; null on the last."""

    organizations: list[OrganizationOut]
    cursor: str | None


class Question(Strict):
    """Which organizations."""

    name: str | None = Field(None, description="How the names begin.", max_length=64, pattern=r"^[a-z0-9-]*$")
    limit: AskedNumber = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=100)


class Pause(Strict):
    reason: str = Field("", max_length=500)


class KeyIn(Strict):
    name: str = Field(examples=["production"])
    scopes: list[Scope] = Field(min_length=1, max_length=5, examples=[["send", "read"]])


class KeyOut(BaseModel):
    id: str = Field(examples=["key_0190c3a100007000800000000000c001"])
    name: str
    last_four: str
    scopes: list[Scope]
    created_at: datetime
    revoked_at: datetime | None


class KeyMade(KeyOut):
    key: str = Field(description="Shown once; we keep only a hash of it.")


class Keys(BaseModel):
    """The oldest first. `cursor` leads to the next page; null on the last."""

    keys: list[KeyOut]
    cursor: str | None


class WhichKeys(Strict):
    """Which keys."""

    limit: AskedNumber = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=100)


class WebhookSecret(BaseModel):
    webhook_secret: str = Field(description="Standard Webhooks form. Shown once.", examples=["whsec_…"])


@router.post("/v1/organizations", status_code=201, summary="Create an organization")
async def create_organization(body: OrganizationIn, caller: Administrator, parts: Parts) -> OrganizationChanged:
    if await parts.database.read(organizations.by_name, body.name) is not None:
        raise _exists()
    now = parts.clock()
    fresh = Organization(id=OrganizationId(new_id(now, parts.dice())), name=body.name, display_name="", created_at=now)
    changes = await _changes(parts, caller, fresh, body)
    organization = replace(fresh, **{**changes.columns, "cors_origins": tuple(body.cors_origins)})
    with _name_free(organization.display_name):
        made = await parts.database.write(organizations.create, organization, changes.allowed, changes.judge)
    if not made:
        raise _exists()
    return OrganizationChanged(
        **_out(parts, organization, changes.allowed).model_dump(),
        webhook_secret=changes.webhook_secret,
        administrator_letter_sent=await _administrator_asked(parts, organization),
    )


@router.get("/v1/organizations", summary="List organizations")
async def list_organizations(
    question: Annotated[Question, Query()], _: Administrator, parts: Parts
) -> OrganizationPage:
    """In the order of their names."""
    after = question.cursor or ""
    if after and not ORGANIZATION_NAME.fullmatch(after):
        raise invalid([Fault("/query:cursor", "cursor-invalid", "Use the cursor of the last answer, or none.")])
    found = await parts.database.read(
        organizations.list_page, begins=question.name or "", after=after, limit=question.limit
    )
    cursor = found[-1].name if len(found) == question.limit else None
    return OrganizationPage(organizations=await shown(parts, *found), cursor=cursor)


@router.get("/v1/organizations/{id}", summary="Look up an organization")
async def get_organization(id: str, _: Administrator, parts: Parts) -> OrganizationOut:  # noqa: A002 - the API's word
    [out] = await shown(parts, await find_organization(parts, id))
    return out


@router.patch("/v1/organizations/{id}", summary="Change an organization")
async def change_organization(
    id: str,  # noqa: A002
    body: AllSettings,
    caller: Administrator,
    parts: Parts,
) -> OrganizationChanged:
    """A display name that is somebody else's is refused, unless `display_name_reason` says why it may be borne."""
    return await _change(parts, caller, await find_organization(parts, id), body)


@router.post("/v1/organizations/{id}/pause", summary="Pause sending")
async def pause_organization(id: str, body: Pause, _: Administrator, parts: Parts) -> OrganizationOut:  # noqa: A002
    """Nothing is accepted or sent until it is resumed; what comes back is still received."""
    faults = text_faults("/reason", body.reason, 500)
    if faults:
        raise invalid(faults)
    organization = await find_organization(parts, id)
    await parts.database.write(organizations.pause, organization.id, body.reason)
    parts.keyring.forget()
    [out] = await shown(parts, await find_organization(parts, id))
    return out


@router.post("/v1/organizations/{id}/resume", summary="Resume sending")
async def resume_organization(id: str, _: Administrator, parts: Parts) -> OrganizationOut:  # noqa: A002
    organization = await find_organization(parts, id)
    await parts.database.write(organizations.resume, organization.id, parts.clock())
    parts.keyring.forget()
    [out] = await shown(parts, await find_organization(parts, id))
    return out


@router.post("/v1/organizations/{id}/keys", status_code=201, summary="Create a key")
async def create_key(id: str, body: KeyIn, _: Administrator, parts: Parts) -> KeyMade:  # noqa: A002
    """The key itself is in this answer and nowhere else. With the scope `attest` you take the application's word for
    the addresses of its people."""
    organization = await find_organization(parts, id)
    if Scope.ADMIN in body.scopes:
        raise invalid([Fault("/scopes", "scope-not-allowed", "An organization's key cannot administer.")])
    return await make_key(parts, organization.id, body)


@router.get("/v1/organizations/{id}/keys", summary="List keys")
async def list_keys(
    id: str,  # noqa: A002
    question: Annotated[WhichKeys, Query()],
    _: Administrator,
    parts: Parts,
) -> Keys:
    """Revoked ones too."""
    return await keys_of(parts, (await find_organization(parts, id)).id, question)


@router.delete("/v1/organizations/{id}/keys/{key}", status_code=204, summary="Revoke a key")
async def revoke_key(id: str, key: str, _: Administrator, parts: Parts) -> Response:  # noqa: A002
    """It stops working at once here, and on other nodes within five seconds."""
    organization = await find_organization(parts, id)
    identifier = ids.read("api_key", key)
    revoke = organizations.revoke_key
    if identifier is None or not await parts.database.write(revoke, organization.id, identifier, parts.clock()):
        raise not_found()
    parts.keyring.forget()
    return Response(status_code=204)


@router.get("/v1/organization", summary="Look up your own organization", tags=["own organization"])
async def get_own_organization(access: ReadAccess, parts: Parts) -> OrganizationOut:
    now = await parts.database.read(organizations.get, access.id)
    [out] = await shown(parts, now or access.organization)
    return out


@router.patch("/v1/organization", summary="Change your own organization", tags=["own organization"])
async def change_own_organization(body: Settings, access: ManageAccess, parts: Parts) -> OrganizationChanged:
    """When the first webhook address is set, the answer holds the secret that signs the calls: keep it. A display name
    that is somebody else's is refused; only the operator may allow it."""
    return await _change(parts, access.caller, access.organization, body)


@router.post("/v1/organization/webhook_secret", summary="Make a new webhook secret", tags=["own organization"])
async def renew_webhook_secret(access: ManageAccess, parts: Parts) -> WebhookSecret:
    """The old one stops working at once."""
    secret = _webhook_secret(parts)
    sealed = {"sealed_webhook_secret": parts.sealed_secrets.seal_webhook_secret(secret, access.id)}
    await parts.database.write(organizations.change, access.id, sealed)
    parts.keyring.forget()
    return WebhookSecret(webhook_secret=secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    """The columns to write; the webhook's secret where it was made just now; the record of a name that the operator
    allows; who looks at any other name once more when it is written."""

    columns: dict[str, Any]
    webhook_secret: str | None = None
    allowed: AllowedName | None = None
    judge: Judge | None = None


async def _change(parts: ApiParts, caller: Caller, organization: Organization, wanted: Settings) -> OrganizationChanged:
    """Writes what was given and nothing else: a change of the name must not lift a pause that somebody else has set."""
    changes = await _changes(parts, caller, organization, wanted)
    if changes.columns:
        arguments = (organization.id, changes.columns, changes.allowed, changes.judge)
        with _name_free(changes.columns.get("display_name", "")):
            await parts.database.write(organizations.change, *arguments, by_itself=caller.organization is not None)
        parts.keyring.forget()
    now = await parts.database.read(organizations.get, organization.id)
    assert now is not None
    [out] = await shown(parts, now)
    return OrganizationChanged(
        **out.model_dump(),
        webhook_secret=changes.webhook_secret,
        administrator_letter_sent=now.administrator != organization.administrator
        and await _administrator_asked(parts, now),
    )


async def _changes(parts: ApiParts, caller: Caller, organization: Organization, wanted: Settings) -> _Changes:
    """Raises Rejected with all faults."""
    given = {name: getattr(wanted, name) for name in wanted.model_fields_set if name not in _NO_COLUMNS}
    faults = [*_setting_faults(parts, given)]
    policy = given.get("failure_policy", BUILTIN_DEFAULT.name)
    if await parts.database.read(policies.get, organization.id, policy, BUILTIN_DEFAULT) is None:
        faults.append(Fault("/failure_policy", "failure-policy-unknown", "There is no policy with that name."))
    reason = wanted.display_name_reason if isinstance(wanted, AllSettings) else None
    faults += text_faults("/display_name_reason", reason, 500)
    if reason and "display_name" not in given:
        faults.append(Fault("/display_name", "field-missing", "Give the display name that the reason is for."))
    allowed = judge = None
    name = without_hints(given.get("display_name", organization.display_name))
    if "display_name" in given and not reason and name == organization.display_name:
        del given["display_name"]  # else it would be written back unguarded after somebody has changed it
    elif "display_name" in given:
        given |= {"display_name": name, "display_name_checked_at": parts.clock()}
        well_formed = not any(fault.path == "/display_name" for fault in faults)
        claim = await parts.acceptance.proved.claim(organization.id, name) if well_formed else None
        if claim is None:
            judge = await parts.acceptance.proved.judge(organization.id, name)
        elif reason:
            allowed = _allowed(parts, caller, organization, name, claim, reason)
        else:
            faults.append(_claimed(name, claim))
    if faults:
        raise invalid(faults)
    if not given.get("webhook_url") or organization.sealed_webhook_secret is not None:
        return _Changes(columns=given, allowed=allowed, judge=judge)
    secret = _webhook_secret(parts)
    given["sealed_webhook_secret"] = parts.sealed_secrets.seal_webhook_secret(secret, organization.id)
    return _Changes(columns=given, webhook_secret=secret, allowed=allowed, judge=judge)


@contextmanager
def _name_free(name: str) -> Iterator[None]:
    """Raises Rejected where another organization has taken the name in the meantime."""
    try:
        yield
    except NameClaimed as taken:
        raise invalid([_claimed(name, taken.found)]) from None


async def _administrator_asked(parts: ApiParts, organization: Organization) -> bool:
    """Whether the e-mail that proves his address was sent."""
    if organization.administrator is None:
        return False
    try:
        await parts.address_proofs.ask_administrator(organization)
    except Rejected:
        return False
    return True


def _claimed(name: str, claim: ClaimedWords) -> Fault:
    told = f"“{name}” {claim.told} Only the operator may allow it: `display_name_reason`."
    return Fault("/display_name", claim.claim, told)


_NO_COLUMNS = frozenset({"name", "display_name_reason"})


def _allowed(
    parts: ApiParts, caller: Caller, organization: Organization, name: str, claim: ClaimedWords, reason: str
) -> AllowedName:
    now = parts.clock()
    return AllowedName(
        id=new_id(now, parts.dice()),
        organization=organization.id,
        display_name=name,
        claim=claim.claim,
        words=claim.words,
        reason=reason,
        api_key=caller.key,
        api_key_name=caller.name,
        allowed_at=now,
    )


def _exists() -> Exception:
    fault = Fault("/name", "organization-exists", "There is already an organization with this name.")
    return refused(409, "organization-exists", fault.message, faults=[fault])


def _setting_faults(parts: ApiParts, given: Mapping[str, Any]) -> Iterator[Fault]:
    if "display_name" in given:
        yield from name_faults("/display_name", given["display_name"])
    yield from origin_faults("/cors_origins", given.get("cors_origins", ()))
    yield from address_faults("/administrator", given.get("administrator"))
    yield from phone_faults("/sms_fallback", given.get("sms_fallback"))
    if given.get("webhook_url") is not None:
        yield from (Fault("/webhook_url", code, text) for code, text in parts.check_url(given["webhook_url"]))


def _webhook_secret(parts: ApiParts) -> str:
    return f"whsec_{base64.b64encode(parts.secret()).decode()}"


async def shown(parts: ApiParts, *found: Organization) -> list[OrganizationOut]:
    allowed = await parts.database.read(organizations.allowed_names, found)
    return [_out(parts, organization, allowed.get(organization.id)) for organization in found]


def _out(parts: ApiParts, organization: Organization, allowed: AllowedName | None) -> OrganizationOut:
    computed = {"id", "selector", "cors_origins", "display_name_allowed", "administrator_attested"}
    same = {name: getattr(organization, name) for name in OrganizationOut.model_fields if name not in computed}
    tagged = parts.domain_verifier.tagged
    return OrganizationOut(
        id=ids.show("organization", organization.id),
        selector=None if tagged is None else label_of(organization.id, tagged),
        cors_origins=list(organization.cors_origins),
        administrator_attested=attestation_out(organization.administrator_attestation),
        display_name_allowed=None if allowed is None else _name_allowed(allowed),
        **same,
    )


def _name_allowed(allowed: AllowedName) -> NameAllowed:
    return NameAllowed(
        claim=Claim(allowed.claim),
        words=allowed.words,
        reason=allowed.reason,
        by=allowed.api_key_name,
        key=shown_key(allowed.api_key),
        at=allowed.allowed_at,
    )


async def make_key(parts: ApiParts, organization: OrganizationId | None, body: KeyIn) -> KeyMade:
    """A new key of an organization, or (None) of an administrator. Raises Rejected: a name with control characters."""
    faults = text_faults("/name", body.name, 64)
    if faults:
        raise invalid(faults)
    text, now = mint_key(parts.secret()), parts.clock()
    key = ApiKey(
        id=new_id(now, parts.dice()),
        organization=organization,
        name=body.name,
        hash=hash_key(text),
        last_four=text[-4:],
        scopes=frozenset(scope.value for scope in body.scopes),
        created_at=now,
    )
    await parts.database.write(organizations.create_key, key)
    return KeyMade(**key_out(key).model_dump(), key=text)


async def keys_of(parts: ApiParts, organization: OrganizationId | None, question: WhichKeys) -> Keys:
    """A page of an organization's keys, or (None) of administrators'. Raises Rejected: no cursor of ours."""
    after = None if question.cursor is None else ids.read("api_key", question.cursor)
    if question.cursor is not None and after is None:
        raise invalid([Fault("/query:cursor", "cursor-invalid", "Use the cursor of the last answer, or none.")])
    found = await parts.database.read(organizations.list_keys, organization, after=after, limit=question.limit)
    shown = [key_out(key) for key in found]
    return Keys(keys=shown, cursor=shown[-1].id if len(shown) == question.limit else None)


def key_out(key: ApiKey) -> KeyOut:
    same = {name: getattr(key, name) for name in ("name", "last_four", "created_at", "revoked_at")}
    return KeyOut(id=ids.show("api_key", key.id), scopes=[Scope(scope) for scope in sorted(key.scopes)], **same)
