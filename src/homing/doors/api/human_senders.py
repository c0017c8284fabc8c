"""Human senders, and the e-mails that prove their addresses."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StrictBool

from homing.doors.api.attestations import NOTE, AttestationOut, Noted, attestation_by, attestation_out
from homing.doors.api.authorization import Access, AttestAccess, ReadAccess, SendOrManageAccess
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import AskedNumber, Strict
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

ATTESTED_AT_ONCE = 1000
"""People of one request."""


class HumanSenderIn(Strict):
    """A person on whose behalf your application sends."""

    name: str = Field(examples=["Janet Roe"])
    address: str = Field(examples=["janet@example.com"])
    application_user: str | None = Field(None, description="Your own id of this person.", examples=["user-17"])
    phone: str | None = Field(None, description="E.164; for text messages of a failure policy.")
    proof_letter: StrictBool = Field(True, description="False: no e-mail now; `…/proof` sends it later.")


class PersonAttested(Strict):
    """A person whose address your application has proved."""

    name: str = Field(examples=["Janet Roe"])
    address: str = Field(examples=["janet@example.com"])
    application_user: str | None = Field(None, description="Your own id of this person.", examples=["user-17"])
    phone: str | None = Field(None, description="E.164; for text messages of a failure policy.")


class PeopleAttested(Noted):
    human_senders: list[PersonAttested] = Field(min_length=1, max_length=ATTESTED_AT_ONCE)


class AttestationsMade(BaseModel):
    """`made`: how many of them were new."""

    attested: int
    made: int


class HumanSenderOut(BaseModel):
    id: str = Field(examples=["snd_0190c3a100007000800000000000b001"])
    name: str
    address: str
    application_user: str | None
    phone: str | None
    proved_at: datetime | None = Field(
        description="Null until the owner of the address has confirmed it, or the operator has attested it."
    )
    attested: AttestationOut | None = Field(description="Null: nobody but the owner of the address was asked.")
    created_at: datetime


class HumanSenderMade(HumanSenderOut):
    proof_letter_sent: bool = Field(
        description="False if none was wanted, or if the address has had its three e-mails for today, or the "
        "organization its 200."
    )


class HumanSenders(BaseModel):
    """In the order of their addresses. `cursor` leads to the next page; null on the last."""

    human_senders: list[HumanSenderOut]
    cursor: str | None


class WhichPeople(Strict):
    """Which human senders."""

    address: str | None = Field(
        None, description="Only this address, in whichever case.", max_length=320, pattern=r"^\P{C}*$"
    )
    limit: AskedNumber = Field(500, ge=1, le=500)
    cursor: str | None = Field(None, max_length=500)


@router.post("/v1/human_senders", status_code=201, summary="Create a human sender")
async def create_human_sender(body: HumanSenderIn, access: SendOrManageAccess, parts: Parts) -> HumanSenderMade:
    """And send the e-mail with the link that proves the address; the link lives for 24 hours."""
    faults = await _faults(body, access, parts)
    if faults:
        raise invalid(faults)
    human_sender = _made(body, access, parts, parts.clock())
    if not await parts.database.write(human_senders.create, human_sender):
        fault = Fault("/address", "human-sender-exists", "There is already a human sender with this address.")
        raise refused(409, "human-sender-exists", fault.message, faults=[fault])
    sent = body.proof_letter and await _asked(human_sender, parts)
    return HumanSenderMade(**_out(human_sender).model_dump(), proof_letter_sent=sent)


@router.post("/v1/human_senders/attestations", summary="Attest the addresses of many people")
async def attest_human_senders(body: PeopleAttested, access: AttestAccess, parts: Parts) -> AttestationsMade:
    """For people whose address your application has proved: they are created, and no e-mail is sent. Who is there
    already keeps name, phone and your id. All of them are taken, or none."""
    parts.acceptance.disk.require_room()
    faults = [*text_faults("/note", body.note, NOTE)]
    seen: set[str] = set()
    for index, person in enumerate(body.human_senders):
        path = f"/human_senders/{index}"
        await asyncio.sleep(0)  # a name takes milliseconds: others come between
        found = await _faults(person, access, parts, path)
        address = "" if found else str(parse_address(person.address))
        if address in seen:
            found = [Fault(f"{path}/address", "human-sender-twice", "This address is named twice.")]
        faults += found
        seen.add(address or path)
    if faults:
        raise invalid(faults)
    attestation = attestation_by(access, body.note, parts.clock())
    people = [
        replace(_made(person, access, parts, attestation.at), proved_at=attestation.at, attestation=attestation)
        for person in body.human_senders
    ]
    made = await parts.database.write(human_senders.attest, people)
    return AttestationsMade(attested=len(people), made=made)


@router.get("/v1/human_senders", summary="List human senders")
async def list_human_senders(
    question: Annotated[WhichPeople, Query()], access: ReadAccess, parts: Parts
) -> HumanSenders:
    found = await parts.database.read(
        human_senders.list_page,
        access.id,
        address=question.address,
        after=(question.cursor or "").replace("\0", ""),
        limit=question.limit,
    )
    cursor = found[-1].address if len(found) == question.limit else None
    return HumanSenders(human_senders=[_out(human_sender) for human_sender in found], cursor=cursor)


@router.get("/v1/human_senders/{id}", summary="Look up a human sender")
async def get_human_sender(id: str, access: ReadAccess, parts: Parts) -> HumanSenderOut:  # noqa: A002 - the API's word
    return _out(await _find(id, access, parts))


@router.post("/v1/human_senders/{id}/proof", status_code=202, response_class=Response, summary="Send the e-mail again")
async def ask_for_proof(id: str, access: SendOrManageAccess, parts: Parts) -> Response:  # noqa: A002
    """At most three e-mails a day to one address, and 200 for an organization; afterwards 429
    `too-many-proof-letters`."""
    await parts.address_proofs.ask(await _find(id, access, parts))
    return Response(status_code=202)


@router.post("/v1/human_senders/{id}/prove", summary="Attest a human sender's address")
async def prove_human_sender(
    id: str,  # noqa: A002
    question: Annotated[Noted, Query()],
    access: AttestAccess,
    parts: Parts,
) -> HumanSenderOut:
    """For people whose address you have proved: the operator's word is kept on record, and no e-mail is sent."""
    faults = text_faults("/query:note", question.note, NOTE)
    if faults:
        raise invalid(faults)
    human_sender = await _find(id, access, parts)
    attestation = attestation_by(access, question.note, parts.clock())
    attested = replace(human_sender, proved_at=attestation.at, attestation=attestation)
    await parts.database.write(human_senders.attest, [attested])
    return _out(await _find(id, access, parts))


async def _faults(
    person: HumanSenderIn | PersonAttested, access: Access, parts: ApiParts, path: str = ""
) -> list[Fault]:
    """`path` leads to the person."""
    named = name_faults(f"{path}/name", person.name)
    claim = None if named else await parts.acceptance.proved.person_claim(access.organization, person.name)
    if claim is not None:
        named = [Fault(f"{path}/name", claim.claim, f"“{without_hints(person.name)}” {claim.told}")]
    return [
        *named,
        *address_faults(f"{path}/address", person.address),
        *text_faults(f"{path}/application_user", person.application_user, 128),
        *phone_faults(f"{path}/phone", person.phone),
    ]


def _made(person: HumanSenderIn | PersonAttested, access: Access, parts: ApiParts, now: datetime) -> HumanSender:
    return HumanSender(
        id=HumanSenderId(new_id(now, parts.dice())),
        organization=access.id,
        name=without_hints(person.name),
        address=str(parse_address(person.address)),
        created_at=now,
        application_user=person.application_user,
        phone=person.phone,
    )


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
        id=ids.show("human_sender", human_sender.id),
        attested=attestation_out(human_sender.attestation),
        **{name: getattr(human_sender, name) for name in same},
    )
