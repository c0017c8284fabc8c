"""Mail that came to us: kept before we say 250, then worked on under a lease, erased after its time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import sqlalchemy as sa

from homing.loop.evidence import What
from homing.loop.model import OPERATOR, DeliveryId, InboundId, MessageId, OrganizationId, Verdict
from homing.loop.outcome import Outcome
from homing.mail.authentication import Authentication
from homing.mail.network import network_of
from homing.store import tables
from homing.store.authentications import authentication_from_json, authentication_to_json
from homing.store.dialect import insert
from homing.store.ids import day_of
from homing.store.json_documents import maybe_verdict_from_json, maybe_verdict_to_json
from homing.store.pages import Page, floor, page
from homing.store.record import DeliveryEvidence, record

_T = tables.inbound
_OOPS = tables.oops_answer
_USAGE = tables.inbound_usage

_OPEN = sa.text("inbound.state IN ('waiting', 'working')")
_CLOSED = sa.text("inbound.state NOT IN ('waiting', 'working')")


NETWORKS = 4
"""So many networks at least must send before an organization, or an address of our own, has had its octets of the
day."""
ALWAYS_TAKEN = 64 * 1024
"""Octets to the address of a delivery, with the null sender and as much without, that are taken whatever else its
organization was sent that day: nearly every bounce."""


class InboundState(StrEnum):
    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    UNPARSED = "unparsed"


class InboundQueue(StrEnum):
    """Where a mail waits to be read: what came to a live token of a delivery, what is too large to be read at once, and
    the rest. None of them waits for another."""

    EVIDENCE = "evidence"
    LARGE = "large"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInbound:
    """`purpose`: which of our addresses it came to (envelope, header_from, postmaster, abuse, fbl, dmarc, tlsrpt).
    `raw`: the first MiB; `spool`: the file with all of it, when it is larger. `flags`: bare_lf, bare_cr, nul, smtputf8.
    """

    id: InboundId
    received_at: datetime
    envelope_sender: str | None
    recipient: str
    purpose: str
    size: int
    raw: bytes
    organization: OrganizationId | None = None
    delivery: DeliveryId | None = None
    ip: str = ""
    helo: str = ""
    tls: str = ""
    flags: frozenset[str] = frozenset()
    spool: str | None = None
    erase_at: datetime | None = None

    @property
    def queue(self) -> InboundQueue:
        if self.spool is not None:
            return InboundQueue.LARGE
        return InboundQueue.OTHER if self.delivery is None else InboundQueue.EVIDENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A kept mail. `raw` None: erased, and only this tombstone is left."""

    id: InboundId
    received_at: datetime
    envelope_sender: str | None
    recipient: str
    purpose: str
    organization: OrganizationId | None
    delivery: DeliveryId | None
    ip: str
    helo: str
    tls: str
    size: int
    flags: frozenset[str]
    raw: bytes | None
    spool: str | None
    state: InboundState
    what: What | None
    verdict: Verdict | None
    authentication: Authentication | None
    tries: int
    erase_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundLine:
    """A line of a list. `organization`, `message` and its `subject` are those whose delivery it turned out to be about;
    None: of no delivery; `organization` None beside a delivery: it answers an e-mail of our own. `kept`: the content
    can still be read."""

    id: InboundId
    received_at: datetime
    envelope_sender: str | None
    recipient: str
    purpose: str
    organization: OrganizationId | None
    delivery: DeliveryId | None
    message: MessageId | None
    subject: str | None
    size: int
    flags: frozenset[str]
    state: InboundState
    what: What | None
    verdict: Verdict | None
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundView:
    """A mail with what is known of it. `head`: the beginning of what came in, None once it was erased."""

    line: InboundLine
    ip: str
    helo: str
    tls: str
    authentication: Authentication | None
    head: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundResult:
    """What a mail turned out to be, and when it is erased (None: with the general retention). `authentication` None:
    it was not asked for."""

    id: InboundId
    what: What | None
    verdict: Verdict | None
    authentication: Authentication | None = None
    state: InboundState = InboundState.DONE
    erase_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundQuota:
    """What strangers may leave with us: mails and octets to the address of one delivery, with the null sender and as
    much without; octets a day to all deliveries of an organization together, beside what is always taken; and octets a
    day to each kind of address that belongs to none. A network has a quarter of a day's octets."""

    mails_per_delivery: int = 50
    octets_per_delivery: int = 64 * 1024 * 1024
    octets_per_organization: int = 256 * 1024 * 1024
    octets_per_day: int = 256 * 1024 * 1024


class Full(StrEnum):
    """Whose room a mail did not find: its delivery has had all that it takes; an organization, or an address that
    belongs to no delivery, all of the day."""

    DELIVERY = "delivery"
    ORGANIZATION = "organization"
    ADDRESS = "address"


def keep(conn: sa.Connection, new: NewInbound, quota: InboundQuota) -> Full | None:
    """To be answered 250 only after this is committed. Returns what has no room for it; nothing is kept then."""
    full = _full_address(conn, new, quota) if new.delivery is None else _full_delivery(conn, new, new.delivery, quota)
    if full is not None:
        return full
    row = {name: getattr(new, name) for name in NewInbound.__dataclass_fields__}
    cut = {"helo": new.helo[:255], "ip": new.ip[:64], "tls": new.tls[:64], "flags": sorted(new.flags)}
    cut["queue"] = new.queue.value
    conn.execute(_T.insert(), {**row, **cut, "state": InboundState.WAITING.value, "tries": 0})
    return None


def organization_of(conn: sa.Connection, delivery: DeliveryId) -> OrganizationId:
    """Whose mail to the address of a delivery is; the operator's where the delivery is gone."""
    found = conn.execute(sa.select(tables.delivery.c.organization).where(tables.delivery.c.id == delivery)).scalar()
    return OPERATOR if found is None else OrganizationId(found)


def _full_address(conn: sa.Connection, new: NewInbound, quota: InboundQuota) -> Full | None:
    return None if _room_today(conn, new, new.purpose, quota.octets_per_day) else Full.ADDRESS


def _room_today(conn: sa.Connection, new: NewInbound, scope: str, most: int) -> bool:
    """Whether the day's octets suffice, those of the client's network and those of all; they are counted."""
    day, by_network = day_of(new.received_at), f"{scope} {network_of(new.ip)}"
    return _counted(conn, day, by_network, new.size, most // NETWORKS) and _counted(conn, day, scope, new.size, most)


def _counted(conn: sa.Connection, day: int, scope: str, octets: int, most: int) -> bool:
    if octets > most:
        return False
    counted = insert(conn, _USAGE).values(day=day, scope=scope, octets=octets)
    more = _USAGE.c.octets + octets
    counted = counted.on_conflict_do_update(index_elements=["day", "scope"], set_={"octets": more}, where=more <= most)
    return conn.execute(counted.returning(_USAGE.c.octets)).first() is not None


def _full_delivery(conn: sa.Connection, new: NewInbound, delivery: DeliveryId, quota: InboundQuota) -> Full | None:
    """Reports have the null sender, and letters a sender: neither takes the other's room."""
    of_nobody = _T.c.envelope_sender.is_(None)
    kind = of_nobody if new.envelope_sender is None else ~of_nobody
    kept = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_T.c.size), 0))
    mails, before = conn.execute(kept.where(_T.c.delivery == delivery, kind)).one()
    octets = before + new.size
    if mails >= quota.mails_per_delivery or (mails and octets > quota.octets_per_delivery):
        return Full.DELIVERY
    if octets <= ALWAYS_TAKEN:
        return None
    scope = organization_of(conn, delivery).hex
    return None if _room_today(conn, new, scope, quota.octets_per_organization) else Full.ORGANIZATION


def claim(conn: sa.Connection, queue: InboundQueue, now: datetime, limit: int, lease: timedelta) -> list[Inbound]:
    """The oldest that wait in a queue, or whose worker died. `tries` counts this claim too: many mean that it kills its
    worker."""
    query = (
        sa.select(_T.c.id)
        .where(_OPEN, _T.c.queue == queue.value, (_T.c.lease_until.is_(None)) | (_T.c.lease_until < now))
        .order_by(_T.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = conn.execute(query).scalars().all()
    if not ids:
        return []
    working = {"state": InboundState.WORKING.value, "lease_until": now + lease}
    conn.execute(_T.update().where(_T.c.id.in_(ids)).values(**working, tries=_T.c.tries + 1))
    rows = conn.execute(_T.select().where(_T.c.id.in_(ids)).order_by(_T.c.id)).mappings()
    return [_inbound(row) for row in rows]


def finish(
    conn: sa.Connection, understood: InboundResult, findings: Sequence[DeliveryEvidence] = ()
) -> list[Outcome | None]:
    """End the work on a mail and record its findings in one transaction, so that each finding is recorded once even if
    work is repeated after a crash. Empty when the mail was finished before."""
    values: dict[str, Any] = {
        "state": understood.state.value,
        "what": understood.what.value if understood.what else None,
        "verdict": maybe_verdict_to_json(understood.verdict),
        "authentication": authentication_to_json(understood.authentication),
        "lease_until": None,
    }
    if understood.erase_at is not None:
        values["erase_at"] = understood.erase_at
    open_still = _T.update().where(_T.c.id == understood.id, _OPEN).values(values)
    if conn.execute(open_still).rowcount == 0:
        return []
    return record(conn, list(findings))


def get(conn: sa.Connection, inbound: InboundId) -> Inbound | None:
    row = conn.execute(_T.select().where(_T.c.id == inbound)).mappings().first()
    return None if row is None else _inbound(row)


def list_page(
    conn: sa.Connection,
    organization: OrganizationId | None = None,
    *,
    what: What | None = None,
    purpose: str | None = None,
    before: InboundId | None = None,
    limit: int = 100,
) -> Page[InboundLine]:
    """Newest first, those before `before`; without an organization all of them, for the operator."""
    looked_at = [] if before is None else [_T.c.id < before]
    asked: list[sa.ColumnElement[bool]] = []
    if organization is not None:
        looked_at.append(_T.c.organization == organization)
    if what is not None:
        (looked_at if organization is None else asked).append(_T.c.what == what.value)
    if purpose is not None:
        asked.append(_T.c.purpose == purpose)
    lowest = floor(conn, _T.c.id, *looked_at) if asked else None
    if lowest is not None:
        looked_at.append(_T.c.id >= lowest)
    rows = conn.execute(_LINES.where(*looked_at, *asked).order_by(_T.c.id.desc()).limit(limit)).mappings().all()
    return page([_line(row) for row in rows], [row["id"] for row in rows], limit, lowest)


def view(
    conn: sa.Connection, inbound: InboundId, organization: OrganizationId | None = None, *, octets: int
) -> InboundView | None:
    """One mail with its first `octets`. None: there is no such, or it is not this organization's."""
    head = sa.func.substr(_T.c.raw, 1, octets, type_=sa.LargeBinary).label("head")
    query = _LINES.add_columns(_T.c.ip, _T.c.helo, _T.c.tls, _T.c.authentication, head).where(_T.c.id == inbound)
    if organization is not None:
        query = query.where(_T.c.organization == organization)
    row = conn.execute(query).mappings().first()
    if row is None:
        return None
    return InboundView(
        line=_line(row),
        ip=row["ip"],
        helo=row["helo"],
        tls=row["tls"],
        authentication=authentication_from_json(row["authentication"]),
        head=row["head"],
    )


_LINES = sa.select(
    *(_T.c[name] for name in InboundLine.__dataclass_fields__ if name not in {"message", "subject", "kept"}),
    tables.delivery.c.message,
    tables.message.c.subject,
    _T.c.raw.is_not(None).label("kept"),
).select_from(
    _T.outerjoin(tables.delivery, (tables.delivery.c.id == _T.c.delivery) & _T.c.organization.is_not(None)).outerjoin(
        tables.message, tables.message.c.id == tables.delivery.c.message
    )
)


class Erased(NamedTuple):
    """How many mails were erased, and the spool files of theirs that may now be deleted."""

    mails: int
    files: list[str]


def erase(conn: sa.Connection, now: datetime, limit: int = 500) -> Erased:
    """Erase contents and keep the rows as tombstones."""
    due = sa.select(_T.c.id).where(_T.c.erase_at <= now, _CLOSED).order_by(_T.c.erase_at).limit(limit)
    rows = conn.execute(sa.select(_T.c.id, _T.c.spool).where(_T.c.id.in_(due))).all()
    gone = {"raw": None, "spool": None, "erase_at": None}
    conn.execute(_T.update().where(_T.c.id.in_([row.id for row in rows])).values(gone))
    return Erased(len(rows), [row.spool for row in rows if row.spool])


def spooled(conn: sa.Connection, mails: Sequence[InboundId]) -> set[InboundId]:
    """The mails among these whose spool file is still needed."""
    known = set()
    for start in range(0, len(mails), 500):
        some = mails[start : start + 500]
        known |= set(conn.execute(sa.select(_T.c.id).where(_T.c.id.in_(some), _T.c.spool.is_not(None))).scalars())
    return known


def take_oops(conn: sa.Connection, organization: OrganizationId, address: str, now: datetime) -> bool:
    """Whether this address may have the organization's one Oops! answer of the day; asking takes it."""
    row = {"organization": organization, "address": address.lower(), "day": day_of(now)}
    taken = conn.execute(insert(conn, _OOPS).values(row).on_conflict_do_nothing().returning(_OOPS.c.day))
    return taken.first() is not None


def _line(row: sa.RowMapping) -> InboundLine:
    known = {name: row[name] for name in InboundLine.__dataclass_fields__}
    known |= {
        "flags": frozenset(row["flags"]),
        "state": InboundState(row["state"]),
        "what": What(row["what"]) if row["what"] else None,
        "verdict": maybe_verdict_from_json(row["verdict"]),
        "organization": None if row["organization"] == OPERATOR else row["organization"],
        "delivery": row["delivery"] if row["organization"] else None,
        "kept": bool(row["kept"]),
    }
    return InboundLine(**known)


def _inbound(row: sa.RowMapping) -> Inbound:
    known = {name: row[name] for name in Inbound.__dataclass_fields__}
    known |= {
        "flags": frozenset(row["flags"]),
        "state": InboundState(row["state"]),
        "what": What(row["what"]) if row["what"] else None,
        "verdict": maybe_verdict_from_json(row["verdict"]),
        "authentication": authentication_from_json(row["authentication"]),
    }
    return Inbound(**known)
