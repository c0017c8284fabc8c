"""The doctor over HTTP: what is wrong in the DNS with a domain, and the records that correct it."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, IPvAnyAddress

from homing.doors.api.authorization import Allow, Known, OnBehalfOf
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import AskedFlag
from homing.doors.api.parts import Parts
from homing.doors.api.problems import invalid, not_found
from homing.loop.api_key import Scope
from homing.loop.doctor.checks import worst
from homing.loop.doctor.finding import Finding, Outcome, Severity
from homing.loop.problem import Fault
from homing.mail.address import AddressError, parse_domain
from homing.store import sending_domains

router = APIRouter(route_class=JsonRoute, tags=["doctor"])
_reader = Allow((Scope.READ,))


class CureRecordOut(BaseModel):
    name: str = Field(examples=["_dmarc.example.com"])
    type: str = Field(examples=["TXT"])
    value: str = Field(examples=["v=DMARC1; p=none"])
    why: str


class EvidenceOut(BaseModel):
    query: str = Field(examples=["_dmarc.example.com TXT"])
    server: str = Field(description="The server that answered.")
    answer: str
    secure: bool = Field(description="The resolver vouches for it: its DNSSEC signatures are right (the AD bit).")


class FindingOut(BaseModel):
    check: str = Field(description="docs/doctor.md has them all.", examples=["DM01"])
    severity: Severity
    about: str = Field(description="The name or address.", examples=["example.com"])
    outcome: Outcome
    sentence: str
    cure: str
    records: list[CureRecordOut] = Field(description="Publish them as they are.")
    evidence: list[EvidenceOut]


class Diagnosis(BaseModel):
    domain: str
    outcome: Outcome = Field(description="The gravest.")
    findings: list[FindingOut]


@router.get("/v1/doctor", summary="Examine a domain's DNS")
async def examine(
    caller: Known,
    parts: Parts,
    domain: Annotated[str | None, Query(max_length=300, description="Default: the operator's own names.")] = None,
    egress: Annotated[
        list[IPvAnyAddress] | None,
        Query(max_length=20, description="Addresses that mail leaves from. Default: those of the gateway's hostname."),
    ] = None,
    probe: Annotated[AskedFlag, Query(description="Connect to the operator's own mail hosts on port 25, too.")] = True,
    homing_organization: OnBehalfOf = None,
) -> Diagnosis:
    """Asks the DNS now, which takes some seconds, and a minute where nobody answers. `unknown` is what the DNS did not
    answer: ask again later. An administrator may ask about any domain, an organization about its sending domains,
    two at once: then 429 `too-many-examinations`."""
    name = _name(domain or parts.own_doctor.operator_domain)
    if caller.may(Scope.ADMIN) and homing_organization is None:
        with parts.examinations.one(None):
            leaving = [str(ip) for ip in egress or ()]
            findings = await parts.own_doctor.examine_domain(name, egress=leaving, probes=probe)
    else:
        access = await _reader(parts, caller, homing_organization)
        known = await parts.database.read(sending_domains.get, access.id, name)
        if known is None:
            raise not_found("This is not one of your sending domains.")
        with parts.examinations.one(access.id):
            findings = await parts.own_doctor.examine_sending_domain(known)
    return Diagnosis(domain=name, outcome=worst(findings), findings=[_out(finding) for finding in findings])


def _name(text: str) -> str:
    try:
        return parse_domain(text)
    except AddressError as error:
        raise invalid([Fault("/query:domain", error.code, str(error))]) from None


def _out(finding: Finding) -> FindingOut:
    return FindingOut(
        check=finding.check,
        severity=finding.severity,
        about=finding.about,
        outcome=finding.outcome,
        sentence=finding.sentence,
        cure=finding.cure,
        records=[CureRecordOut(name=one.name, type=one.type, value=one.value, why=one.why) for one in finding.records],
        evidence=[
            EvidenceOut(query=one.query, server=one.server, answer=one.answer, secure=one.secure)
            for one in finding.evidence
        ],
    )
