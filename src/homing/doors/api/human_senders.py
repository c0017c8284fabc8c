"""Human senders, and the e-mails that prove their addresses."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from homing.doors.api.authorization import Access, AdministratorAccess, ReadAccess, SendOrManageAccess
from homing.doors.api.body import JsonRoute
from homing.doors.api.message_input import Strict
from homing.doors.api.parts import ApiParts, Parts
from homing.doors.api.problems import invalid, not_found, refused
from homing.doors.api.setting_checks import address_faults, name_faults, phone_faults, text_faults
from homing.loop import ids
from homing.loop.ids import new_id
from homing.loop.model import HumanSenderId
from homing.loop.problem import Fault, Rejected
from homing.mail.address import parse_address
from homing.mail.characters import without_hints
from homing.store import human_senders
from homing.store.human_senders import HumanSender

router = APIRouter(route_class=JsonRoute, tags=["human senders"])


class HumanSenderIn(Strict):
    """A person on whose behalf your application sends."""

    name: str = Field(examples=["Janet Roe"])
    address: str = Field(examples=["janet@example.com"])
    application_user: str | None = Field(None, description="Your own id of this person.", examples=["user-17"])
    phone: str | None = Field(None, description="E.164; for text messages of a failure policy.")
    proof_letter: bool = Field(True, description="False: no e-mail now; `…/proof` sends it later.")


class HumanSenderOut(BaseModel):
    id: str = Field(examples=["snd_0190c3a100007000800000000000b001"])
    name: str
    address: str
    application_user: str | None
    phone: str | None
    proved_at: datetime | None = Field(description="Null until the owner of the address has confirmed it.")
    created_at: datetime


class HumanSenderMade(HumanSenderOut):
    proof_letter_sent: bool = Field(
        description="False if none was wanted, or if the address has had its three e-mails for today."
    )


class HumanSenders(BaseModel):
    human_senders: list[HumanSenderOut]


@router.post("/v1/human_senders", status_code=201, summary="Create a human sender")
async def create_human_sender(body: HumanSenderIn, access: SendOrManageAccess, parts: Parts) -> HumanSenderMade:
    """And send the e-mail with the link that proves the address; the link lives for 24 hours."""
    faults = [
        *name_faults("/name", body.name),
        *address_faults("/address", body.address),
        *text_faults("/application_user", body.application_user, 128),
        *phone_faults("/phone", body.phone),
    ]
    name = without_hints(body.name)
    well_formed = not any(fault.path == "/name" for fault in faults)
    claim = await parts.acceptance.proved.person_claim(access.organization, name) if well_formed else None
    if claim is not None:
        faults.append(Fault("/name", claim.claim, f"“{name}” {claim.told}"))
    if faults:
        raise invalid(faults)
    now = parts.clock()
    human_sender = HumanSender(
        id=HumanSenderId(new_id(now, parts.dice())),
        organization=access.id,
        name=name,
        address=str(parse_address(body.address)),
        created_at=now,
        application_user=body.application_user,
        phone=body.phone,
    )
    if not await parts.database.write(human_senders.create, human_sender):
        fault = Fault("/address", "human-sender-exists", "There is already a human sender with this address.")
        raise refused(409, "human-sender-exists", fault.message, faults=[fault])
    sent = body.proof_letter and await _asked(human_sender, parts)
    return HumanSenderMade(**_out(human_sender).model_dump(), proof_letter_sent=sent)


@router.get("/v1/human_senders", summary="List human senders")
async def list_human_senders(access: ReadAccess, parts: Parts) -> HumanSenders:
    found = await parts.database.read(human_senders.list_all, access.id)
    return HumanSenders(human_senders=[_out(human_sender) for human_sender in found])


@router.get("/v1/human_senders/{id}", summary="Look up a human sender")
async def get_human_sender(id: str, access: ReadAccess, parts: Parts) -> HumanSenderOut:  # noqa: A002 - the API's word
    return _out(await _find(id, access, parts))


@router.post("/v1/human_senders/{id}/proof", status_code=202, response_class=Response, summary="Send the e-mail again")
async def ask_for_proof(id: str, access: SendOrManageAccess, parts: Parts) -> Response:  # noqa: A002
    """At most three e-mails a day to one address; 429 `too-many-proof-letters` afterwards."""
    await parts.address_proofs.ask(await _find(id, access, parts))
    return Response(status_code=202)


@router.post("/v1/human_senders/{id}/prove", summary="Vouch for a human sender's address")
async def prove_human_sender(id: str, access: AdministratorAccess, parts: Parts) -> HumanSenderOut:  # noqa: A002
    """For people whose address the administrator has verified. No e-mail is sent."""
    human_sender = await _find(id, access, parts)
    await parts.database.write(human_senders.prove, access.id, human_sender.id, parts.clock())
    return _out(await _find(id, access, parts))


async def _asked(human_sender: HumanSender, parts: ApiParts) -> bool:
    try:
        await parts.address_proofs.ask(human_sender)
    except Rejected:
        return False
    return True


async def _find(text: str, access: Access, parts: ApiParts) -> HumanSender:
    identifier = ids.read("human_sender", text)
    human_sender = None
    if identifier is not None:
        human_sender = await parts.database.read(human_senders.get, access.id, HumanSenderId(identifier))
    if human_sender is None:
        raise not_found()
    return human_sender


def _out(human_sender: HumanSender) -> HumanSenderOut:
    same = ("name", "address", "application_user", "phone", "proved_at", "created_at")
    return HumanSenderOut(
        id=ids.show("human_sender", human_sender.id), **{name: getattr(human_sender, name) for name in same}
    )
