"""Organizations and their keys (for administrators), and an organization's own settings."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from homing.doors.api.authorization import ORGANIZATION_NAME, Administrator, ManageAccess, ReadAccess, find_organization
from homing.doors.api.body import JsonRoute
from homing.doors.api.message_input import PolicyName, Strict
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
from homing.loop import ids
from homing.loop.api_key import Scope, hash_key, mint_key
from homing.loop.domains.sending_domains import label_of
from homing.loop.ids import new_id
from homing.loop.model import OrganizationId
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.problem import Fault
from homing.store import organizations, policies
from homing.store.organizations import ApiKey, Organization

router = APIRouter(route_class=JsonRoute, tags=["organizations"])

Name = Annotated[str, Field(pattern=f"^{ORGANIZATION_NAME.pattern}$", examples=["acme"])]
MOST = 1_000_000_000


class Settings(Strict):
    """What an organization may change about itself. Only the fields that are given change."""

    display_name: str = Field("", description="Stands in From where a human sender has no name.", examples=["Acme Ltd"])
    failure_policy: PolicyName = Field("default", description="For messages that name none.")
    cors_origins: list[str] = Field([], max_length=ORIGINS, examples=[["https://app.example.com"]])
    administrator: str | None = Field(
        None, description="Gets an e-mail about failures that nobody else could be told of."
    )
    sms_fallback: str | None = Field(None, description="E.164; for people whose number is not known.")
    webhook_url: str | None = Field(None, examples=["https://app.example.com/homing"])


class AllSettings(Settings):
    """What an administrator may change about an organization."""

    rate_limit: int = Field(organizations.NEW_RATE_LIMIT, ge=1, le=MOST, description="Deliveries a minute.")
    daily_cap: int = Field(organizations.NEW_DAILY_CAP, ge=0, le=MOST, description="Deliveries a day (UTC).")


class OrganizationIn(AllSettings):
    name: Name
    display_name: str = Field(examples=["Acme Ltd"])


class OrganizationOut(BaseModel):
    id: str = Field(examples=["org_0190c3a100007000800000000000f001"])
    name: str
    display_name: str
    failure_policy: str
    rate_limit: int
    daily_cap: int
    paused: bool
    pause_reason: str | None
    cors_origins: list[str]
    administrator: str | None
    sms_fallback: str | None
    webhook_url: str | None
    selector: str | None = Field(
        description="Stands before DKIM selectors at the shared domain; null unless `organization_selectors`.",
        examples=["k3v5q2x7m4n6p8r2"],
    )
    created_at: datetime


class OrganizationChanged(OrganizationOut):
    webhook_secret: str | None = Field(None, description="Shown once: when the first webhook address is set.")


class OrganizationPage(BaseModel):
    """In the order of their names. `cursor` leads to the next page; null on the last."""

    organizations: list[OrganizationOut]
    cursor: str | None


class Question(Strict):
    """Which organizations."""

    name: str | None = Field(None, description="How the names begin.", max_length=64, pattern=r"^[a-z0-9-]*$")
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=100)


class Pause(Strict):
    reason: str = Field("", max_length=500)


class KeyIn(Strict):
    name: str = Field(examples=["production"])
    scopes: list[Scope] = Field(min_length=1, max_length=4, examples=[["send", "read"]])


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
    keys: list[KeyOut]


class WebhookSecret(BaseModel):
    webhook_secret: str = Field(description="Standard Webhooks form. Shown once.", examples=["whsec_…"])


@router.post("/v1/organizations", status_code=201, summary="Create an organization")
async def create_organization(body: OrganizationIn, _: Administrator, parts: Parts) -> OrganizationChanged:
    now = parts.clock()
    fresh = Organization(
        id=OrganizationId(new_id(now, parts.dice())), name=body.name, display_name=body.display_name, created_at=now
    )
    changes, secret = await _changes(parts, fresh, body)
    organization = replace(fresh, **{**changes, "cors_origins": tuple(body.cors_origins)})
    if not await parts.database.write(organizations.create, organization):
        fault = Fault("/name", "organization-exists", "There is already an organization with this name.")
        raise refused(409, "organization-exists", fault.message, faults=[fault])
    return OrganizationChanged(**_out(parts, organization).model_dump(), webhook_secret=secret)


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
    return OrganizationPage(organizations=[_out(parts, organization) for organization in found], cursor=cursor)


@router.get("/v1/organizations/{id}", summary="Look up an organization")
async def get_organization(id: str, _: Administrator, parts: Parts) -> OrganizationOut:  # noqa: A002 - the API's word
    return _out(parts, await find_organization(parts, id))


@router.patch("/v1/organizations/{id}", summary="Change an organization")
async def change_organization(
    id: str,  # noqa: A002
    body: AllSettings,
    _: Administrator,
    parts: Parts,
) -> OrganizationChanged:
    return await _change(parts, await find_organization(parts, id), body)


@router.post("/v1/organizations/{id}/pause", summary="Pause sending")
async def pause_organization(id: str, body: Pause, _: Administrator, parts: Parts) -> OrganizationOut:  # noqa: A002
    """Nothing is accepted or sent until it is resumed; what comes back is still received."""
    faults = text_faults("/reason", body.reason, 500)
    if faults:
        raise invalid(faults)
    organization = await find_organization(parts, id)
    await parts.database.write(organizations.pause, organization.id, body.reason)
    parts.keyring.forget()
    return _out(parts, await find_organization(parts, id))


@router.post("/v1/organizations/{id}/resume", summary="Resume sending")
async def resume_organization(id: str, _: Administrator, parts: Parts) -> OrganizationOut:  # noqa: A002
    organization = await find_organization(parts, id)
    await parts.database.write(organizations.resume, organization.id)
    parts.keyring.forget()
    return _out(parts, await find_organization(parts, id))


@router.post("/v1/organizations/{id}/keys", status_code=201, summary="Create a key")
async def create_key(id: str, body: KeyIn, _: Administrator, parts: Parts) -> KeyMade:  # noqa: A002
    """The key itself is in this answer and nowhere else."""
    organization = await find_organization(parts, id)
    if Scope.ADMIN in body.scopes:
        raise invalid([Fault("/scopes", "scope-not-allowed", "An organization's key cannot administer.")])
    return await make_key(parts, organization.id, body)


@router.get("/v1/organizations/{id}/keys", summary="List keys")
async def list_keys(id: str, _: Administrator, parts: Parts) -> Keys:  # noqa: A002
    """Revoked ones too."""
    organization = await find_organization(parts, id)
    found = await parts.database.read(organizations.list_keys, organization.id)
    return Keys(keys=[key_out(key) for key in found])


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
    return _out(parts, access.organization)


@router.patch("/v1/organization", summary="Change your own organization", tags=["own organization"])
async def change_own_organization(body: Settings, access: ManageAccess, parts: Parts) -> OrganizationChanged:
    """When the first webhook address is set, the answer holds the secret that signs the calls: keep it."""
    return await _change(parts, access.organization, body)


@router.post("/v1/organization/webhook_secret", summary="Make a new webhook secret", tags=["own organization"])
async def renew_webhook_secret(access: ManageAccess, parts: Parts) -> WebhookSecret:
    """The old one stops working at once."""
    secret = _webhook_secret(parts)
    sealed = {"sealed_webhook_secret": parts.sealed_secrets.seal_webhook_secret(secret, access.id)}
    await parts.database.write(organizations.change, access.id, sealed)
    parts.keyring.forget()
    return WebhookSecret(webhook_secret=secret)


async def _change(parts: ApiParts, organization: Organization, wanted: Settings) -> OrganizationChanged:
    """Writes what was given and nothing else: a change of the name must not lift a pause that somebody else has set."""
    changes, secret = await _changes(parts, organization, wanted)
    if changes:
        await parts.database.write(organizations.change, organization.id, changes)
        parts.keyring.forget()
    now = await parts.database.read(organizations.get, organization.id)
    assert now is not None
    return OrganizationChanged(**_out(parts, now).model_dump(), webhook_secret=secret)


async def _changes(parts: ApiParts, organization: Organization, wanted: Settings) -> tuple[dict[str, Any], str | None]:
    """The columns to write, and the webhook's secret where it was made just now. Raises Rejected with all faults."""
    given = {name: getattr(wanted, name) for name in wanted.model_fields_set if name != "name"}
    faults = [*_setting_faults(parts, given)]
    policy = given.get("failure_policy", BUILTIN_DEFAULT.name)
    if await parts.database.read(policies.get, organization.id, policy, BUILTIN_DEFAULT) is None:
        faults.append(Fault("/failure_policy", "failure-policy-unknown", "There is no policy with that name."))
    if faults:
        raise invalid(faults)
    if not given.get("webhook_url") or organization.sealed_webhook_secret is not None:
        return given, None
    secret = _webhook_secret(parts)
    return given | {"sealed_webhook_secret": parts.sealed_secrets.seal_webhook_secret(secret, organization.id)}, secret


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


def _out(parts: ApiParts, organization: Organization) -> OrganizationOut:
    computed = {"id", "selector", "cors_origins"}
    same = {name: getattr(organization, name) for name in OrganizationOut.model_fields if name not in computed}
    tagged = parts.domain_verifier.tagged
    return OrganizationOut(
        id=ids.show("organization", organization.id),
        selector=None if tagged is None else label_of(organization.id, tagged),
        cors_origins=list(organization.cors_origins),
        **same,
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


def key_out(key: ApiKey) -> KeyOut:
    same = {name: getattr(key, name) for name in ("name", "last_four", "created_at", "revoked_at")}
    return KeyOut(id=ids.show("api_key", key.id), scopes=[Scope(scope) for scope in sorted(key.scopes)], **same)
