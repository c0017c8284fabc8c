"""An organization's own domains: which records to publish, how they stand, and under which level mail goes out."""

from collections.abc import Mapping
from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StrictBool

from homing.doors.api.authorization import Access, ManageAccess, ReadAccess
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import Strict
from homing.doors.api.parts import ApiParts, Parts
from homing.doors.api.problems import invalid, not_found, refused
from homing.loop.domains.dns_records import DnsRecord
from homing.loop.domains.identity import is_freemail
from homing.loop.domains.sending_domains import (
    RecordPurpose,
    RecordState,
    SendingDomain,
    alternatives,
    label_of,
    level_of,
    records_of,
)
from homing.loop.ids import new_id
from homing.loop.model import Level
from homing.loop.problem import Fault
from homing.mail.address import AddressError, parse_domain
from homing.store import sending_domains
from homing.store.room import LimitReached
from homing.store.sending_domains import MOST, MOST_EVER

router = APIRouter(route_class=JsonRoute, tags=["domains"])


class RecordToPublish(BaseModel):
    purpose: RecordPurpose
    type: str = Field(examples=["CNAME"])
    name: str = Field(examples=["operator1._domainkey.example.com"])
    value: str = Field(examples=["k3v5q2x7m4n6p8r2.operator1.dkim.operator.example"])
    why: str


class RecordsToPublish(BaseModel):
    records: list[RecordToPublish]
    return_path_without_cname: list[RecordToPublish] = Field(
        description="Instead of the return path's CNAME, where your DNS provider has none."
    )
    zone: str = Field(description="The records as part of a zone file (BIND).")
    zone_without_cname: str = Field(description="The same without a CNAME for the return path.")


class RecordOut(BaseModel):
    purpose: RecordPurpose
    name: str
    type: str
    value: str
    state: RecordState
    held: bool = Field(description="It counts as proved; a timeout does not change that, nor do one or two denials.")
    checked_at: datetime | None
    query: str = Field(description="The last evidence: what was asked,")
    server: str = Field(description="who answered,")
    answer: str = Field(description="and what.")


class DomainOut(BaseModel):
    domain: str
    level: Level = Field(description="What mail from it goes out as: custom-full, custom-dkim, or shared (not proved).")
    own_recipients: bool = Field(description="Mail to the domain itself goes out under it, too.")
    records: list[RecordOut]
    created_at: datetime
    checked_at: datetime | None
    next_check_at: datetime


class Domains(BaseModel):
    domains: list[DomainOut]


class DomainIn(Strict):
    domain: str = Field(examples=["example.com"])


class DomainChange(Strict):
    own_recipients: StrictBool = Field(
        description="True once you have seen that your own mail server takes mail from your domain from outside."
    )


@router.post("/v1/domains", status_code=201, summary="Add a sending domain")
async def add_domain(body: DomainIn, access: ManageAccess, parts: Parts) -> DomainOut:
    """Then publish its records. Nothing goes out under the domain before they are seen. An organization has at most
    100, and 1,000 with those that it has removed (409 `domains-too-many`)."""
    name = _checked(body.domain, parts)
    now = parts.clock()
    domain = SendingDomain(
        id=new_id(now, parts.dice()),
        organization=access.id,
        domain=name,
        label=label_of(access.id, name),
        created_at=now,
        next_check_at=now,
    )
    try:
        added = await parts.database.write(sending_domains.add, domain)
    except LimitReached:
        title = f"An organization has at most {MOST} sending domains, and {MOST_EVER} with those that it has removed."
        raise refused(409, "domains-too-many", title) from None
    if not added:
        fault = Fault("/domain", "domain-exists", "This domain has already been added.")
        raise refused(409, "domain-exists", fault.message, faults=[fault])
    await parts.domain_verifier.names.learn()
    parts.domain_verifier.wakeup.wake()
    return _out(domain, parts)


@router.get("/v1/domains", summary="List sending domains")
async def list_domains(access: ReadAccess, parts: Parts) -> Domains:
    found = await parts.database.read(sending_domains.list_all, access.id)
    return Domains(domains=[_out(domain, parts) for domain in found])


@router.get("/v1/domains/{name}", summary="Look up a sending domain")
async def get_domain(name: str, access: ReadAccess, parts: Parts) -> DomainOut:
    """With the last evidence about each record."""
    return _out(await _find(name, access, parts), parts)


@router.patch("/v1/domains/{name}", summary="Change a sending domain")
async def change_domain(name: str, body: DomainChange, access: ManageAccess, parts: Parts) -> DomainOut:
    domain = await _find(name, access, parts)
    await parts.database.write(sending_domains.set_own_recipients, access.id, domain.domain, body.own_recipients)
    return _out(await _find(name, access, parts), parts)


@router.get("/v1/domains/{name}/records", summary="The records to publish")
async def get_records(name: str, access: ReadAccess, parts: Parts) -> RecordsToPublish:
    """To copy, one by one or as part of a zone file. Keys change behind the aliases: you are not asked again."""
    domain = await _find(name, access, parts)
    records = records_of(domain, parts.domain_verifier.delegation)
    instead = {RecordPurpose.RETURN_PATH: alternatives(domain, parts.domain_verifier.delegation)}
    return RecordsToPublish(
        records=_listed(records),
        return_path_without_cname=_listed(instead),
        zone=_zone(records),
        zone_without_cname=_zone({**records, **instead}),
    )


@router.post("/v1/domains/{name}/verify", summary="Ask the DNS now")
async def verify_domain(name: str, access: ManageAccess, parts: Parts) -> DomainOut:
    """It is asked from time to time anyway. A record that is there counts at once; what was lost, after two good
    looks. Two at once: then 429 `too-many-examinations`."""
    domain = await _find(name, access, parts)
    with parts.examinations.one(access.id):
        return _out(await parts.domain_verifier.check(domain), parts)


@router.delete("/v1/domains/{name}", status_code=204, summary="Remove a sending domain")
async def remove_domain(name: str, access: ManageAccess, parts: Parts) -> Response:
    """Nothing more goes out under it; bounces to it are still received."""
    domain = await _find(name, access, parts)
    await parts.database.write(sending_domains.remove, access.id, domain.domain, parts.clock())
    return Response(status_code=204)


def _checked(text: str, parts: ApiParts) -> str:
    try:
        name = parse_domain(text)
    except AddressError as error:
        raise invalid([Fault("/domain", error.code, str(error))]) from None
    ours = parts.domain_verifier.delegation.operator_domain
    if name == ours or name.endswith(f".{ours}"):
        raise invalid([Fault("/domain", "domain-ours", "This domain is the operator's.")])
    if is_freemail(name):
        raise invalid(
            [Fault("/domain", "domain-public", "Anybody may have a mailbox there: it is nobody's own domain.")]
        )
    return name


async def _find(name: str, access: Access, parts: ApiParts) -> SendingDomain:
    try:
        wanted = parse_domain(name)
    except AddressError:
        raise not_found() from None
    domain = await parts.database.read(sending_domains.get, access.id, wanted)
    if domain is None:
        raise not_found()
    return domain


def _listed(records: Mapping[RecordPurpose, tuple[DnsRecord, ...]]) -> list[RecordToPublish]:
    return [
        RecordToPublish(purpose=purpose, type=record.type, name=record.name, value=record.value, why=record.why)
        for purpose, some in records.items()
        for record in some
    ]


def _zone(records: Mapping[RecordPurpose, tuple[DnsRecord, ...]]) -> str:
    return "".join(f"{record.in_zone()}\n" for some in records.values() for record in some)


def _out(domain: SendingDomain, parts: ApiParts) -> DomainOut:
    same = ("domain", "own_recipients", "created_at", "checked_at", "next_check_at")
    records = [
        _with_fact(domain, purpose, record)
        for purpose, some in records_of(domain, parts.domain_verifier.delegation).items()
        for record in some
    ]
    return DomainOut(level=level_of(domain), records=records, **{name: getattr(domain, name) for name in same})


def _with_fact(domain: SendingDomain, purpose: RecordPurpose, record: DnsRecord) -> RecordOut:
    fact = domain.fact(purpose)
    same = ("state", "held", "checked_at", "query", "server", "answer")
    return RecordOut(
        purpose=purpose,
        name=record.name,
        type=record.type,
        value=record.value,
        **{name: getattr(fact, name) for name in same},
    )
