"""The proof that the address of an organization's administrator is his, as with human senders."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from homing.doors.api.attestations import NOTE, Noted, attestation_by
from homing.doors.api.authorization import Access, AttestAccess, ManageAccess
from homing.doors.api.body import JsonRoute
from homing.doors.api.organizations import OrganizationOut, shown
from homing.doors.api.parts import ApiParts, Parts
from homing.doors.api.problems import invalid, refused
from homing.doors.api.setting_checks import text_faults
from homing.store import organizations
from homing.store.organizations import Organization

router = APIRouter(route_class=JsonRoute, tags=["own organization"])


@router.post(
    "/v1/organization/administrator/proof",
    status_code=202,
    response_class=Response,
    summary="Send the administrator's e-mail again",
)
async def ask_administrator(access: ManageAccess, parts: Parts) -> Response:
    """With the link that proves the address: at most three e-mails a day to one address, and 200 for an organization;
    429 `too-many-proof-letters` afterwards. 409 `administrator-missing` where none is named."""
    organization, _ = await _administrator(access, parts)
    await parts.address_proofs.ask_administrator(organization)
    return Response(status_code=202)


@router.post("/v1/organization/administrator/prove", summary="Attest the administrator's address")
async def attest_administrator(
    question: Annotated[Noted, Query()], access: AttestAccess, parts: Parts
) -> OrganizationOut:
    """Where you know that it is his: the operator's word is kept on record, and no e-mail is sent."""
    faults = text_faults("/query:note", question.note, NOTE)
    if faults:
        raise invalid(faults)
    organization, address = await _administrator(access, parts)
    attestation = attestation_by(access, question.note, parts.clock())
    await parts.database.write(organizations.attest_administrator, organization.id, address, attestation)
    parts.keyring.forget()
    attested, _ = await _administrator(access, parts)
    [out] = await shown(parts, attested)
    return out


async def _administrator(access: Access, parts: ApiParts) -> tuple[Organization, str]:
    """The organization as it is now, and the address. Raises Rejected (409)."""
    organization = await parts.database.read(organizations.get, access.id)
    if organization is None or organization.administrator is None:
        raise refused(409, "administrator-missing", "The organization names no administrator: set `administrator`.")
    return organization, organization.administrator
