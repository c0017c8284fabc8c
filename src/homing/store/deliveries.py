"""The queue is the delivery row itself: claimed under a lease, attempted, renewed, recovered.

Ownership is (lease, epoch): a claim raises the epoch, and whatever is written under an older one changes nothing.
SKIP LOCKED only keeps claimers on PostgreSQL out of each other's way; nothing is correct because of it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import sqlalchemy as sa

from homing.loop.evidence import CancelRequested, LeaseLost, LeaseReleased
from homing.loop.model import (
    AttemptId,
    Delivery,
    DeliveryId,
    EventType,
    Identity,
    MessageId,
    NewEvent,
    OrganizationId,
    State,
)
from homing.loop.outcome import Outcome
from homing.loop.queue import LINE_OF, STATE_IN, queue_of
from homing.mail.reply import HOST_STAGES, Stage
from homing.store import tables, turns
from homing.store.dialect import insert_all, sorted_by
from homing.store.events import Happening, Subject, append
from homing.store.json_documents import identity_to_json
from homing.store.record import AttemptResult, DeliveryEvidence, record
from homing.store.rows import DELIVERY, to_delivery
from homing.store.turns import Turn

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
    changed = conn.execute(put_off.values(next_attempt_at=now)).rowcount
    turns.bring_forward(conn, STATE_IN, now, latest)
    return changed


def enter_lines(conn: sa.Connection, limit: int) -> int:
    """Put deliveries into line that an older version accepted or put off; returns how many."""
    query = (
        sa.select(_D.c.id, _D.c.organization, _D.c.recipient_domain, _D.c.state, _D.c.next_attempt_at, _M.c.stream)
        .join(_M, _M.c.id == _D.c.message)
        .where(_QUEUED, _D.c.queue.is_(None))
        .limit(limit)
        .with_for_update(of=_D, skip_locked=True)
    )
    rows = conn.execute(query).all()
    queues = [queue_of(row.organization, row.stream, row.recipient_domain) for row in rows]
    given = [{"b_id": row.id, "b_queue": queue.id} for row, queue in zip(rows, queues, strict=True)]
    if given:
        statement = _D.update().where(_D.c.id == sa.bindparam("b_id")).values(queue=sa.bindparam("b_queue"))
        conn.execute(statement, given)
    turns.enter(
        conn,
        (
            Turn(line=LINE_OF[State(row.state)], queue=queue, at=row.next_attempt_at)
            for row, queue in zip(rows, queues, strict=True)
        ),
    )
    return len(rows)


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


# -- attempting ------------------------------------------------------------------------------------------------------


# Statements of every message are built once: building one costs more than running it.
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
