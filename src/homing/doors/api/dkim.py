"""DKIM keys, for administrators: what stands where, rotation, revocation. Private halves never leave the gateway."""

from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from homing.doors.api.authorization import Administrator
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import Strict
from homing.doors.api.parts import ApiParts, Parts
from homing.doors.api.problems import not_found, refused
from homing.flow.rotate_keys import Selectors
from homing.loop import ids
from homing.loop.domains.sending_domains import published_by_us
from homing.loop.domains.signing_keys import IN_USE, DkimKey
from homing.store import dkim_keys

router = APIRouter(route_class=JsonRoute, tags=["dkim"])


class DkimKeyOut(BaseModel):
    id: str = Field(examples=["dkm_0190c3a100007000800000000000e001"])
    organization: str | None = Field(description="Null: the operator's own.")
    domain: str = Field(
        description="d= of its signatures, or the domain that organizations' selectors lead to.",
        examples=["post.operator.example"],
    )
    selector: str = Field(examples=["h2"])
    algorithm: str = Field(examples=["rsa-sha256"])
    state: str = Field(description="created, published, active, draining, retired or revoked.")
    record_name: str = Field(description="Where the TXT record must stand.")
    record: str = Field(description="What it must say; `v=DKIM1; p=` once the key is revoked or retired.")
    standing: str | None = Field(description="there, missing or unknown: what the DNS last said. Null: not asked yet.")
    evidence: str | None = Field(description="Which server said what.")
    tagged: bool = Field(
        description="Each organization signs under a selector of its own, before this one: that is where the record is."
    )
    created_at: datetime
    published_at: datetime | None
    activated_at: datetime | None
    draining_at: datetime | None
    retired_at: datetime | None
    revoked_at: datetime | None


class DkimKeys(BaseModel):
    dkim_keys: list[DkimKeyOut]
    zone: str = Field(
        description="The records that must stand now, as part of a zone file: keys, and where organizations lead."
    )


class Rotate(Strict):
    domain: str | None = Field(None, description="As the list has it. Null: the operator's shared domain.")


@router.get("/v1/dkim_keys", summary="List DKIM keys")
async def list_dkim_keys(_: Administrator, parts: Parts) -> DkimKeys:
    """Those that have ended too, oldest first, with the records that must stand in the DNS."""
    return await _all(parts)


@router.post("/v1/dkim_keys/rotate", summary="Let the next DKIM key sign")
async def rotate_dkim_keys(body: Rotate, _: Administrator, parts: Parts) -> DkimKeys:
    """Now rather than at its time. 409 `key-not-ready` where its record does not stand in the DNS yet."""
    domain = body.domain or parts.domain_verifier.own.domain
    selectors = _selectors(parts, domain)
    await parts.domain_verifier.rotation.look_after(selectors)
    await parts.domain_verifier.rotation.rotate(selectors)
    return await _all(parts)


@router.post("/v1/dkim_keys/{id}/revoke", summary="Revoke a DKIM key")
async def revoke_dkim_key(id: str, _: Administrator, parts: Parts) -> DkimKeys:  # noqa: A002 - the API's word
    """At once and for good. The next key signs, if it is published; what waits is signed anew at its next attempt, and
    its timeline says so. Then publish the revoked key's record with an empty `p=`."""
    identifier = ids.read("dkim_key", id)
    key = None if identifier is None else await parts.database.read(dkim_keys.get, identifier)
    if key is None:
        raise not_found()
    if key.state not in IN_USE:
        raise refused(409, "key-ended", "This DKIM key has already stopped signing.")
    await parts.domain_verifier.rotation.revoke(_selectors(parts, key.domain), key)
    parts.domain_verifier.wakeup.wake()
    return await _all(parts)


def _selectors(parts: ApiParts, domain: str) -> Selectors:
    for selectors in (parts.domain_verifier.own, parts.domain_verifier.delegated):
        if domain == selectors.domain:
            return selectors
    raise not_found("There are no DKIM keys for this domain.")


async def _all(parts: ApiParts) -> DkimKeys:
    found = await parts.database.read(dkim_keys.list_all)
    return DkimKeys(dkim_keys=[_out(parts, key) for key in found], zone=_zone(found, parts))


def _zone(found: Sequence[DkimKey], parts: ApiParts) -> str:
    """What organizations' domains lead to is there as soon as one of them has been added."""
    records = published_by_us(found, parts.domain_verifier.delegation, parts.domain_verifier.tagged)
    return "".join(f"{record.in_zone()}\n" for record in records)


def _out(parts: ApiParts, key: DkimKey) -> DkimKeyOut:
    judgement = parts.domain_verifier.rotation.judgements.get(key.id) if key.state in IN_USE else None
    same = ("domain", "selector", "algorithm", "record_name", "created_at", "published_at", "activated_at")
    ends = ("draining_at", "retired_at", "revoked_at")
    return DkimKeyOut(
        id=ids.show("dkim_key", key.id),
        organization=ids.show("organization", key.organization) if key.organization else None,
        state=key.state.value,
        record=key.record_now,
        tagged=key.id in parts.domain_verifier.signer.tagged,
        standing=judgement.standing.value if judgement else None,
        evidence=f"{judgement.server}: {judgement.answer}" if judgement else None,
        **{name: getattr(key, name) for name in (*same, *ends)},
    )
