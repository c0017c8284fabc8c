"""Who may come in, and on whose behalf."""

import re
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from homing.doors.api.parts import ApiParts, Parts, parts_of
from homing.doors.api.problems import not_found, refused
from homing.doors.http_places import key_shown
from homing.flow.keyring import SETTINGS_KEY, Caller
from homing.loop import ids
from homing.loop.api_key import Scope
from homing.loop.model import OPERATOR, OrganizationId
from homing.mail.text import clean
from homing.store import organizations
from homing.store.organizations import Organization

ORGANIZATION_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_bearer = HTTPBearer(
    scheme_name="API key",
    description="`Authorization: Bearer homing_live_…`. A key has scopes: send, read, manage, attest; or admin.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Access:
    """A caller at work for one organization."""

    organization: Organization
    caller: Caller

    @property
    def id(self) -> OrganizationId:
        return self.organization.id


async def known_caller(
    request: Request, parts: Parts, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Whoever sent a live key. Raises Rejected (401)."""
    caller = await parts.keyring.caller(credentials.credentials) if credentials else None
    if caller is None:
        raise refused(401, "key-invalid", "Send a valid API key: Authorization: Bearer homing_live_…")
    key_shown(request)
    return caller


async def look_at_key(request: Request) -> Caller:
    """The same for a request of which nothing but the head was read yet; what its body takes up counts as his from
    then on. Raises Rejected (401)."""
    caller = await known_caller(request, parts_of(request), await _bearer(request))
    request.scope["homing.holder"] = OPERATOR if caller.organization is None else caller.organization.id
    return caller


def asks_for_key(dependant: Dependant) -> bool:
    """Whether what a route depends on includes a live key."""
    return dependant.call is known_caller or any(map(asks_for_key, dependant.dependencies))


Known = Annotated[Caller, Depends(known_caller)]
OnBehalfOf = Annotated[
    str | None,
    Header(description="An administrator's key only: the organization that the request is for, its id or its name."),
]


@dataclass(frozen=True)
class Allow:
    """A dependency: an organization's caller with one of these scopes."""

    scopes: tuple[Scope, ...]

    async def __call__(self, parts: Parts, caller: Known, homing_organization: OnBehalfOf = None) -> Access:
        if not caller.may(*self.scopes):
            raise missing_scope(*self.scopes)
        if caller.organization is not None:
            return Access(caller.organization, caller)
        if homing_organization is None:
            raise organization_required()
        return Access(await find_organization(parts, homing_organization), caller)


def shown_key(key: UUID) -> str | None:
    """A key's id as the API shows it; None: it is that of the settings."""
    return None if key == SETTINGS_KEY else ids.show("api_key", key)


async def find_organization(parts: ApiParts, text: str) -> Organization:
    """By its id or its name; a name has no underscore, so it cannot be taken for an id. Raises Rejected (404)."""
    identifier = ids.read("organization", text)
    if identifier is not None:
        organization = await parts.database.read(organizations.get, OrganizationId(identifier))
    else:
        known = ORGANIZATION_NAME.fullmatch(text)
        organization = await parts.database.read(organizations.by_name, text) if known else None
    if organization is None:
        raise not_found(f"No organization has the name or id “{clean(text, 64)}”.")
    return organization


async def watching_organization(
    parts: Parts, caller: Known, homing_organization: OnBehalfOf = None
) -> OrganizationId | None:
    """The organization whose objects the caller may see; None: an administrator, who may see all."""
    if caller.organization is None and homing_organization is None:
        await administrator(caller)
        return None
    return (await Allow((Scope.READ,))(parts, caller, homing_organization)).id


async def managed_organization(
    parts: Parts, caller: Known, homing_organization: OnBehalfOf = None
) -> OrganizationId | None:
    """The organization whose objects the caller may change; None: an administrator, who may change all."""
    if caller.organization is None and homing_organization is None:
        await administrator(caller)
        return None
    return (await Allow((Scope.MANAGE,))(parts, caller, homing_organization)).id


def organization_required() -> Exception:
    """For an administrator who named none where one is needed."""
    detail = "Name one in the header Homing-Organization, or use a key of its own."
    return refused(403, "organization-required", "An administrator's key stands for no organization.", detail=detail)


async def administrator(caller: Known) -> Caller:
    """An administrator. Raises Rejected (403)."""
    if not caller.may(Scope.ADMIN):
        raise missing_scope(Scope.ADMIN)
    return caller


def missing_scope(*scopes: Scope) -> Exception:
    names = " or ".join(scopes)
    return refused(403, "scope-missing", f"This key may not do that: it takes the scope {names}.")


SendAccess = Annotated[Access, Depends(Allow((Scope.SEND,)))]
ReadAccess = Annotated[Access, Depends(Allow((Scope.READ,)))]
ManageAccess = Annotated[Access, Depends(Allow((Scope.MANAGE,)))]
SendOrManageAccess = Annotated[Access, Depends(Allow((Scope.SEND, Scope.MANAGE)))]
AttestAccess = Annotated[Access, Depends(Allow((Scope.ATTEST,)))]
"""A caller whose word the operator takes for the addresses of one organization's people."""
WatchingOrganization = Annotated[OrganizationId | None, Depends(watching_organization)]
ManagedOrganization = Annotated[OrganizationId | None, Depends(managed_organization)]
Administrator = Annotated[Caller, Depends(administrator)]
