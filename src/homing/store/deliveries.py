"""The queue is the delivery row itself: claimed under a lease, attempted, renewed, recovered.

Ownership is (lease, epoch): a claim raises the epoch, and whatever is written under an older one changes nothing.
SKIP LOCKED only keeps claimers on PostgreSQL out of each other's way; nothing is correct because of it.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import cast

import sqlalchemy as sa

from homing.loop.evidence import CancelRequested, Evidence, LeaseLost, LeaseReleased, LifetimeOver, SuppressionFound
from homing.loop.model import (
    AttemptId,
    Delivery,
    DeliveryId,
    EventType,
    Identity,
    MessageId,
    NewEvent,
    OrganizationId,
    Origin,
    State,
)
from homing.loop.outcome import Outcome
from homing.mail.reply import HOST_STAGES, Stage
from homing.store import suppressions, tables
from homing.store.dialect import insert_all, sorted_by
from homing.store.events import Happening, Subject, append
from homing.store.json_documents import identity_from_json, identity_to_json
from homing.store.record import AttemptResult, DeliveryEvidence, record
from homing.store.rows import DELIVERY, to_delivery

ORPHANED_AFTER = timedelta(hours=1)
"""An attempt that a report overtook is closed by its own worker; if it is still open after this time, its worker is
dead."""

_D = tables.delivery
_M = tables.message
_A = tables.attempt
_QUEUED = cast("sa.ColumnElement[bool]", sa.text("delivery.state IN ('queued', 'deferred')"))
"""Spelt out, so that both planners see that the index of due rows serves."""
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A leased delivery with all that sending it needs. `selector` and `signed_at`: those of its first attempt, so that
    every attempt sends the same bytes; None before. `body_hash`: of the content, None where an older version accepted
    it. `instead_of`: see `OpenAttempt`. `instead_of_identity`: the stored
    one, where another one stands now."""

    delivery: Delivery
    organization_name: str
    identity: Identity
    stream: str
    message_id: str
    subject: str
    content: bytes
    body_hash: bytes | None
    smtputf8: bool
    selector: str | None
    signed_at: datetime | None
    instead_of: str | None = None
    instead_of_identity: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAttempt:
    """The intent to send, written just before MAIL FROM. `epoch`: that of the claim. `instead_of`: the selectors of the
    first attempt, where their keys sign no more and the delivery was signed anew. `renamed`: the identity so far, and
    the one that it goes out under from now on."""

    id: AttemptId
    delivery: DeliveryId
    epoch: int
    started_at: datetime
    host: str
    ip: str
    egress_ip: str = ""
    receiver: str = ""
    selector: str
    signed_at: datetime
    instead_of: str | None = None
    renamed: tuple[Identity, Identity] | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a worker can take: so many deliveries at most, and not many more octets of contents."""

    deliveries: int
    octets: int = sys.maxsize


def claim(
    conn: sa.Connection,
    owner: str,
    now: datetime,
    room: Capacity,
    lease: timedelta,
    *,
    expiring: bool = True,
) -> list[ClaimedDelivery]:
    """Lease what is due, longest due first, as much as there is room for. Deliveries whose lifetime is over, or whose
    address has been suppressed meanwhile, are concluded instead; not `expiring`: no lifetime ends now."""
    due = _due(conn, owner, now, room.deliveries, expiring=expiring)
    ended = {finding.delivery: finding for finding in _ended(conn, due, now, expiring=expiring)}
    record(conn, list(ended.values()))
    leased = _within(room.octets, [row for row in due if row["id"] not in ended])
    if not leased:
        return []
    taken = {"b_owner": owner, "b_until": now + lease, "b_now": now, "b_ids": [row["id"] for row in leased]}
    conn.execute(_TAKE, taken)
    contents = _contents(conn, {row["message"] for row in leased})
    return [_claimed(row, *contents[row["message"]]) for row in leased]


def begin_attempts(conn: sa.Connection, items: list[OpenAttempt]) -> list[bool]:
    """Commit the intent to send. False: the lease is lost, do not send. After a crash only what was opened here and not
    closed is in doubt."""
    wanted = {"wanted": sorted({item.delivery for item in items})}
    held = {(row.id, row.epoch): row for row in conn.execute(_HELD, wanted) if row.state == State.SENDING}
    opened = [item for item in items if (item.delivery, item.epoch) in held]
    insert_all(
        conn,
        _A,
        [
            {
                "id": item.id,
                "organization": held[item.delivery, item.epoch].organization,
                "delivery": item.delivery,
                "epoch": item.epoch,
                "lease_owner": held[item.delivery, item.epoch].lease_owner,
                "started_at": item.started_at,
                "in_doubt": False,
                "host": item.host[:255],
                "ip": item.ip[:64],
                "egress_ip": item.egress_ip[:64],
                "receiver": item.receiver[:255],
                "tls": "",
                "enhanced_status_code": "",
                "text": "",
            }
            for item in opened
        ],
    )
    _remember_signature(conn, opened)
    return [(item.delivery, item.epoch) in held for item in items]


def renew(conn: sa.Connection, owner: str, ids: Collection[DeliveryId], until: datetime) -> set[DeliveryId]:
    """Prolong the leases that are still the owner's; returns their deliveries."""
    query = (
        _D.update()
        .where(_D.c.id.in_(sorted(ids)), _D.c.lease_owner == owner, _D.c.state == State.SENDING.value)
        .values(lease_until=until)
        .returning(_D.c.id)
    )
    return set(conn.execute(query).scalars())


def bring_forward(conn: sa.Connection, now: datetime, latest: datetime) -> int:
    """Make due now the attempts that a fast clock put off beyond `latest`; returns how many."""
    put_off = _D.update().where(_QUEUED, _D.c.state == State.DEFERRED.value, _D.c.next_attempt_at > latest)
    return conn.execute(put_off.values(next_attempt_at=now)).rowcount


def recover(
    conn: sa.Connection, now: datetime, dead_owner_is: Callable[[str], bool] | None = None
) -> list[Outcome | None]:
    """Conclude for workers that cannot: leases that ran out, and those whose owner is known to be dead.

    With an attempt open a copy may have gone out, and the delivery is in doubt; without one it simply waits again.
    """
    outcomes = record(conn, [_lost(*one, now) for one in _lost_leases(conn, now, dead_owner_is)])
    record(conn, _orphans(conn, now, dead_owner_is))
    return outcomes


def give_back(
    conn: sa.Connection, now: datetime, owner: str, unsent: Collection[DeliveryId] = ()
) -> list[Outcome | None]:
    """Release what a worker holds that stops of its own accord: that counts as nobody's death. In doubt is only what
    may have left; `unsent`: those of its deliveries whose message had not."""
    given = [
        _given_back(lease, attempt, now, unsent=lease["id"] in unsent)
        for lease, attempt in _with_attempts(conn, _under_lease(conn, _D.c.lease_owner == owner))
    ]
    return record(conn, given)


def put_off(conn: sa.Connection, delivery: DeliveryId, epoch: int, now: datetime) -> list[Outcome | None]:
    """Conclude for an attempt that broke by a bug of ours: it waits, and some time it has failed."""
    of_it = sa.and_(_D.c.id == delivery, _D.c.epoch == epoch)
    leases = _with_attempts(conn, _under_lease(conn, of_it))
    return record(conn, [_broken(lease, attempt, now) for lease, attempt in leases])


def cancel(
    conn: sa.Connection, organization: OrganizationId, delivery: DeliveryId, by: str, now: datetime
) -> Outcome | None:
    """Cancel a delivery, unless it is on its way or has ended. None: the organization has no such delivery."""
    if get(conn, organization, delivery) is None:
        return None
    return record(conn, [DeliveryEvidence(delivery=delivery, evidence=CancelRequested(by=by), now=now)])[0]


def get(conn: sa.Connection, organization: OrganizationId, delivery: DeliveryId) -> Delivery | None:
    row = (
        conn.execute(sa.select(*DELIVERY).where(_D.c.id == delivery, _D.c.organization == organization))
        .mappings()
        .first()
    )
    return None if row is None else to_delivery(row)


def by_token(conn: sa.Connection, delivery: DeliveryId) -> Delivery | None:
    """The delivery that a live token names. The token is the pass, so no organization is asked for."""
    row = conn.execute(sa.select(*DELIVERY).where(_D.c.id == delivery)).mappings().first()
    return None if row is None else to_delivery(row)


def unreached(conn: sa.Connection, delivery: DeliveryId) -> dict[str, int]:
    """How often each address was tried for this delivery and refused us as a host, or said nothing."""
    silent = _A.c.reply_code.is_(None) & (_A.c.stage != Stage.DOT.value)
    query = sa.select(_A.c.ip, sa.func.count().label("times")).where(
        _A.c.delivery == delivery, _A.c.stage.in_([stage.value for stage in HOST_STAGES]) | silent
    )
    return {row.ip: row.times for row in conn.execute(query.group_by(_A.c.ip))}


def of_message(conn: sa.Connection, message: MessageId) -> list[Delivery]:
    rows = conn.execute(sa.select(*DELIVERY).where(_D.c.message == message).order_by(_D.c.id))
    return [to_delivery(row) for row in rows.mappings()]


# -- claiming --------------------------------------------------------------------------------------------------------


# A paused organization still learns of failures, and its waiting deliveries still expire.
_PAUSE_SPARES = _D.c.origin.in_([Origin.LETTER.value, Origin.OOPS.value])

# Statements of every message are built once: building one costs more than running it.
_WAITING = (
    sa.select(
        _D,
        _M.c.stream,
        _M.c.message_id,
        _M.c.subject,
        _M.c.smtputf8,
        _M.c.size,
        sa.func.coalesce(tables.organization.c.name, "").label("organization_name"),
    )
    .join_from(_D, _M, _M.c.id == _D.c.message)
    .outerjoin(tables.organization, tables.organization.c.id == _D.c.organization)  # the operator has no row
    .where(_QUEUED)
    .where(_D.c.next_attempt_at <= sa.bindparam("b_now"))
    .where(tables.organization.c.paused.is_(False) | _PAUSE_SPARES | (_D.c.expires_at <= sa.bindparam("b_over")))
    .order_by(_D.c.next_attempt_at)
    .limit(sa.bindparam("b_limit", type_=sa.Integer))
    .with_for_update(of=_D, skip_locked=True)
)
_DUE = _WAITING.where(_D.c.silent_deaths == 0)
_NONE_UNDER_WAY = sa.text(
    "NOT EXISTS (SELECT 1 FROM delivery AS held WHERE held.state = 'sending' AND held.silent_deaths > 0"
    " AND held.lease_owner = :b_owner)"
)
_SUSPECTS = _WAITING.where(sa.text("delivery.silent_deaths > 0"), _NONE_UNDER_WAY)
"""In the words of its index."""
_TAKE = (
    _D.update()
    .where(_D.c.id.in_(sa.bindparam("b_ids", expanding=True)))
    .values(
        state=State.SENDING.value,
        lease_owner=sa.bindparam("b_owner"),
        lease_until=sa.bindparam("b_until"),
        updated_at=sa.bindparam("b_now"),
        epoch=_D.c.epoch + 1,
        next_attempt_at=None,
    )
)
_HELD = (
    sa.select(_D.c.id, _D.c.organization, _D.c.state, _D.c.epoch, _D.c.lease_owner)
    .where(_D.c.id.in_(sa.bindparam("wanted", expanding=True)))
    .order_by(_D.c.id)
    .with_for_update()
)
_SIGNED = (
    _D.update()
    .where(_D.c.id == sa.bindparam("b_id"))
    .values(
        attempts=_D.c.attempts + 1,
        selector=sa.func.coalesce(_D.c.selector, sa.bindparam("b_selector")),
        signed_at=sa.func.coalesce(_D.c.signed_at, sa.bindparam("b_signed_at", type_=tables.Moment)),
        receiver=sa.func.coalesce(sa.bindparam("b_receiver", type_=sa.String), _D.c.receiver),
    )
)


def _due(conn: sa.Connection, owner: str, now: datetime, limit: int, *, expiring: bool) -> Sequence[sa.RowMapping]:
    """What is due. Of the suspects, with which a worker has died, at most one is under way at a time: so a message that
    kills its worker is found, and takes no other with it."""
    over = now if expiring else _NEVER  # a paused organization makes no attempts to wait for
    bounds = {"b_now": now, "b_over": over, "b_limit": limit}
    due = conn.execute(_DUE, bounds).mappings().all()
    suspects = conn.execute(_SUSPECTS, bounds | {"b_limit": 1, "b_owner": owner}).mappings().all()
    return [*suspects, *due[: limit - len(suspects)]]


def _within(octets: int, due: Sequence[sa.RowMapping]) -> Sequence[sa.RowMapping]:
    """The first of the due deliveries, until their contents come to so many octets."""
    before = accumulate((row["size"] for row in due), initial=0)
    return [row for row, so_far in zip(due, before, strict=False) if so_far < octets]


def _ended(
    conn: sa.Connection, due: Sequence[sa.RowMapping], now: datetime, *, expiring: bool
) -> Iterable[DeliveryEvidence]:
    places = {row["id"]: (row["organization"], row["stream"], suppressions.fold(row["recipient"])) for row in due}
    listed = suppressions.find(conn, set(places.values()), now)
    for row in due:
        evidence: Evidence
        if expiring and row["expires_at"] <= now:
            evidence = LifetimeOver()
        elif entry := listed.get(places[row["id"]]):
            evidence = SuppressionFound(reason=entry.reason, since=entry.created_at.isoformat())
        else:
            continue
        yield DeliveryEvidence(delivery=row["id"], evidence=evidence, now=now)


def _contents(conn: sa.Connection, messages: set[MessageId]) -> dict[MessageId, tuple[bytes, bytes | None]]:
    """Each with its body's hash."""
    content = tables.message_content
    rows = conn.execute(content.select().where(content.c.message.in_(messages)))
    return {row.message: (row.content, row.body_hash) for row in rows}


def _claimed(row: sa.RowMapping, content: bytes, body_hash: bytes | None) -> ClaimedDelivery:
    before = to_delivery(row)
    return ClaimedDelivery(
        delivery=replace(before, state=State.SENDING, epoch=before.epoch + 1, next_attempt_at=None),
        organization_name=row["organization_name"],
        identity=identity_from_json(row["identity"]),
        stream=row["stream"],
        message_id=row["message_id"],
        subject=row["subject"],
        content=content,
        body_hash=body_hash,
        smtputf8=row["smtputf8"],
        selector=row["selector"],
        signed_at=row["signed_at"],
    )


def _remember_signature(conn: sa.Connection, opened: Sequence[OpenAttempt]) -> None:
    if not opened:
        return
    for one in opened:
        if one.renamed is not None:
            _rename(conn, one, *one.renamed)
        elif one.instead_of is not None:
            _sign_anew(conn, one, one.instead_of)
    rows = [
        {
            "b_id": one.delivery,
            "b_selector": one.selector,
            "b_signed_at": one.signed_at,
            "b_receiver": one.receiver[:255] or None,
        }
        for one in opened
    ]
    conn.execute(_SIGNED, rows)


def _rename(conn: sa.Connection, opened: OpenAttempt, before: Identity, after: Identity) -> None:
    """Record that it goes out under other names from now on, as other octets."""
    document = identity_to_json(after)
    conn.execute(_D.update().where(_D.c.id == opened.delivery).values(identity=document, selector=None, signed_at=None))
    facts = {
        "level": after.level.value,
        "instead_of": before.level.value,
        "header_from": after.header_from,
        "return_domain": after.return_domain,
        "why": after.reasons[0],
    }
    _tell(conn, opened, NewEvent(type=EventType.IDENTITY_CHANGED, data=facts))


def _sign_anew(conn: sa.Connection, opened: OpenAttempt, instead_of: str) -> None:
    """Record the new keys: the names are the same, but the octets are not."""
    conn.execute(_D.update().where(_D.c.id == opened.delivery).values(selector=None, signed_at=None))
    facts = {"selector": opened.selector, "instead_of": instead_of, "why": "its DKIM key signs no more"}
    _tell(conn, opened, NewEvent(type=EventType.SIGNED_ANEW, data=facts))


def _tell(conn: sa.Connection, opened: OpenAttempt, event: NewEvent) -> None:
    about = sa.select(_D.c.organization, _D.c.message, _M.c.human_sender).join(_M, _M.c.id == _D.c.message)
    row = conn.execute(about.where(_D.c.id == opened.delivery)).one()
    subject = Subject(
        organization=row.organization, message=row.message, delivery=opened.delivery, human_sender=row.human_sender
    )
    append(conn, [Happening(subject=subject, event=event, at=opened.started_at)])


# -- recovering ------------------------------------------------------------------------------------------------------


_Lease = tuple[sa.RowMapping, sa.RowMapping | None]
"""The row of a delivery under lease, and its open attempt."""


def _lost_leases(conn: sa.Connection, now: datetime, dead_owner_is: Callable[[str], bool] | None) -> list[_Lease]:
    if dead_owner_is is None:
        return _with_attempts(conn, _under_lease(conn, _D.c.lease_until < now))
    held = _under_lease(conn, sa.true())
    return _with_attempts(conn, [row for row in held if row["lease_until"] < now or dead_owner_is(row["lease_owner"])])


def _under_lease(conn: sa.Connection, which: sa.ColumnElement[bool]) -> Sequence[sa.RowMapping]:
    query = sa.select(_D.c.id, _D.c.epoch, _D.c.lease_until, _D.c.lease_owner).where(
        sa.text("delivery.state = 'sending'"), which
    )
    locked = query.order_by(sorted_by(_D.c.id)).with_for_update(skip_locked=True)
    return conn.execute(locked).mappings().all()


def _with_attempts(conn: sa.Connection, leases: Sequence[sa.RowMapping]) -> list[_Lease]:
    if not leases:
        return []
    attempts = _A.select().where(_A.c.delivery.in_([row["id"] for row in leases]), _A.c.ended_at.is_(None))
    opened = {(row["delivery"], row["epoch"]): row for row in conn.execute(attempts).mappings()}
    return [(row, opened.get((row["id"], row["epoch"]))) for row in leases]


def _lost(lease: sa.RowMapping, attempt: sa.RowMapping | None, now: datetime) -> DeliveryEvidence:
    if attempt is None:
        return DeliveryEvidence(delivery=lease["id"], evidence=LeaseReleased(), now=now, epoch=lease["epoch"])
    result = _in_doubt(attempt, "the worker died with this attempt open")
    return DeliveryEvidence(delivery=lease["id"], evidence=LeaseLost(), now=now, epoch=lease["epoch"], attempt=result)


def _broken(lease: sa.RowMapping, attempt: sa.RowMapping | None, now: datetime) -> DeliveryEvidence:
    if attempt is not None:
        return _lost(lease, attempt, now)
    broken = LeaseReleased(broke=True)
    return DeliveryEvidence(delivery=lease["id"], evidence=broken, now=now, epoch=lease["epoch"])


def _given_back(
    lease: sa.RowMapping, attempt: sa.RowMapping | None, now: datetime, *, unsent: bool
) -> DeliveryEvidence:
    if attempt is None or unsent:
        result = attempt and replace(_in_doubt(attempt, "the worker was stopped first"), in_doubt=False)
        return DeliveryEvidence(
            delivery=lease["id"], evidence=LeaseReleased(), now=now, epoch=lease["epoch"], attempt=result or None
        )
    result = _in_doubt(attempt, "the worker was stopped with this attempt open")
    lost = LeaseLost(died=False)
    return DeliveryEvidence(delivery=lease["id"], evidence=lost, now=now, epoch=lease["epoch"], attempt=result)


def _orphans(conn: sa.Connection, now: datetime, dead_owner_is: Callable[[str], bool] | None) -> list[DeliveryEvidence]:
    """Attempts that stayed open although their delivery went on without them."""
    query = (
        sa.select(_A)
        .join(_D, _D.c.id == _A.c.delivery)
        .where(_A.c.ended_at.is_(None), (_D.c.state != State.SENDING.value) | (_D.c.epoch != _A.c.epoch))
    )
    rows = conn.execute(query).mappings().all()
    dead = [
        row
        for row in rows
        if row["started_at"] < now - ORPHANED_AFTER or (dead_owner_is and dead_owner_is(row["lease_owner"] or ""))
    ]
    return [
        DeliveryEvidence(
            delivery=row["delivery"],
            evidence=LeaseLost(),
            now=now,
            epoch=row["epoch"],
            attempt=_in_doubt(row, "a report came first, and the worker died"),
        )
        for row in dead
    ]


def _in_doubt(attempt: sa.RowMapping, why: str) -> AttemptResult:
    return AttemptResult(
        id=attempt["id"],
        started_at=attempt["started_at"],
        stage=Stage(attempt["stage"]) if attempt["stage"] else None,
        host=attempt["host"],
        ip=attempt["ip"],
        egress_ip=attempt["egress_ip"],
        receiver=attempt["receiver"],
        tls=attempt["tls"],
        silence=why,
        in_doubt=True,
    )
