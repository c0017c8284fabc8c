"""Claiming: due deliveries are leased, queue by queue in turn (`store.turns`), as far as there are places for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

import sqlalchemy as sa

from homing.loop.evidence import Evidence, LifetimeOver, SuppressionFound
from homing.loop.model import Delivery, DeliveryId, Identity, MessageId, Origin, State
from homing.loop.queue import LINE_OF, STATE_IN, Place, Places
from homing.store import suppressions, tables, turns
from homing.store.json_documents import identity_from_json
from homing.store.record import DeliveryEvidence, record
from homing.store.rows import to_delivery

_D = tables.delivery
_M = tables.message
_O = tables.organization
_Q = tables.waiting_queue
_WAITS = cast("sa.ColumnElement[bool]", sa.text("delivery.state IN ('queued', 'deferred')"))
"""Spelt out, so that both planners see that the indexes of what waits serve."""
_EXPIRED_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A leased delivery with all that sending it needs. `place`: the one that it takes. `selector` and `signed_at`:
    those of its first attempt, so that every attempt sends the same bytes; None before. `body_hash`: of the content,
    None where an older version accepted it. `instead_of`: see `OpenAttempt`. `instead_of_identity`: the stored one,
    where another one stands now."""

    delivery: Delivery
    place: Place
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
class DeliveryClaim:
    """What was claimed. `more`: something else is due; `short`: something is due for which there is no place."""

    deliveries: Sequence[ClaimedDelivery] = ()
    more: bool = False
    short: bool = False


def claim(
    conn: sa.Connection, owner: str, now: datetime, places: Places, lease: timedelta, *, expiring: bool = True
) -> DeliveryClaim:
    """Lease what is due and finds a place; `places` itself is left as it is. Deliveries whose lifetime is over, or
    whose address has been suppressed meanwhile, are concluded instead; not `expiring`: no lifetime ends now."""
    if expiring:
        _expire(conn, now)
    trial = places.copy()
    suspects = _suspects(conn, owner, now, trial)
    chosen = [turns.choose(conn, line, now, trial) for line in STATE_IN]
    rows = [*suspects, *_load(conn, [DeliveryId(delivery) for one in chosen for delivery in one.items])]
    ended = {finding.delivery: finding for finding in _ended(conn, rows, now, expiring=expiring)}
    record(conn, list(ended.values()))
    leased = _placed([row for row in rows if row["id"] not in ended], places.copy())
    if leased:
        taken = {"b_owner": owner, "b_until": now + lease, "b_now": now, "b_ids": [row["id"] for row, _ in leased]}
        conn.execute(_TAKE, taken)
    more = turns.end_turns(conn, [one.ended for one in chosen], now)
    contents = _contents(conn, {row["message"] for row, _ in leased}) if leased else {}
    return DeliveryClaim(
        deliveries=[_claimed(row, place, *contents[row["message"]]) for row, place in leased],
        more=more or any(one.more for one in chosen),
        short=any(one.short for one in chosen) or len(leased) < len(rows) - len(ended),
    )


# -- leasing ---------------------------------------------------------------------------------------------------------


# A paused organization still learns of failures, and its waiting deliveries still expire.
_NOT_PAUSED = _O.c.paused.is_not(sa.true()) | _D.c.origin.in_([Origin.LETTER.value, Origin.OOPS.value])

_WAITING = (
    sa.select(
        _D,
        _M.c.stream,
        _M.c.message_id,
        _M.c.subject,
        _M.c.smtputf8,
        _M.c.size,
        sa.func.coalesce(_O.c.name, "").label("organization_name"),
    )
    .join_from(_D, _M, _M.c.id == _D.c.message)
    .outerjoin(_O, _O.c.id == _D.c.organization)  # the operator has no row
    .where(_WAITS)
    .with_for_update(of=_D, skip_locked=True)
)
_CHOSEN = _WAITING.where(_D.c.id.in_(sa.bindparam("b_ids", expanding=True)))
_NONE_UNDER_WAY = sa.text(
    "NOT EXISTS (SELECT 1 FROM delivery AS held WHERE held.state = 'sending' AND held.silent_deaths > 0"
    " AND held.lease_owner = :b_owner)"
)
_SUSPECT = (
    _WAITING.where(sa.text("delivery.silent_deaths > 0"), _NONE_UNDER_WAY)  # in the words of its index
    .where(_D.c.next_attempt_at <= sa.bindparam("b_now"), _NOT_PAUSED)
    .order_by(_D.c.next_attempt_at)
    .limit(1)
)
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
_EXPIRED = (
    sa.select(_D.c.id)
    .where(_WAITS, _D.c.expires_at <= sa.bindparam("b_now"))
    .order_by(_D.c.expires_at)
    .limit(_EXPIRED_AT_ONCE)
    .with_for_update(skip_locked=True)
)


def _expire(conn: sa.Connection, now: datetime) -> None:
    over = conn.execute(_EXPIRED, {"b_now": now}).scalars().all()
    record(conn, [DeliveryEvidence(delivery=one, evidence=LifetimeOver(), now=now) for one in sorted(over)])


def _suspects(conn: sa.Connection, owner: str, now: datetime, trial: Places) -> list[sa.RowMapping]:
    """Of those with which a worker has died, at most one is under way at a time: so a message that kills its worker is
    found, and takes no other with it. It needs no turn."""
    if trial.free <= 0:
        return []
    rows = list(conn.execute(_SUSPECT, {"b_now": now, "b_owner": owner}).mappings())
    for row in rows:
        trial.take(row["organization"], row["recipient_domain"], LINE_OF[State(row["state"])])
    return rows


def _load(conn: sa.Connection, chosen: Sequence[DeliveryId]) -> list[sa.RowMapping]:
    """The chosen deliveries in their order, without those that another worker has just taken."""
    if not chosen:
        return []
    rows = {row["id"]: row for row in conn.execute(_CHOSEN, {"b_ids": list(chosen)}).mappings()}
    return [rows[delivery] for delivery in chosen if delivery in rows]


def _placed(rows: Sequence[sa.RowMapping], places: Places) -> list[tuple[sa.RowMapping, Place]]:
    """Those for whose contents there is room, each with its place."""
    placed = []
    for row in rows:
        organization, line = row["organization"], LINE_OF[State(row["state"])]
        if places.has_room(line) and places.has_room_for(organization):
            placed.append((row, places.take(organization, row["recipient_domain"], line, row["size"])))
    return placed


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


def _claimed(row: sa.RowMapping, place: Place, content: bytes, body_hash: bytes | None) -> ClaimedDelivery:
    before = to_delivery(row)
    return ClaimedDelivery(
        place=place,
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
