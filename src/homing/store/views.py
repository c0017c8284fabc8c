"""Read-only queries for the API and the pages: one message with everything, lists, counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa

from homing.loop.lifecycle import TERMINAL
from homing.loop.model import (
    AttemptId,
    Case,
    CaseId,
    CaseKind,
    CaseState,
    Delivery,
    DeliveryId,
    HumanSenderId,
    Identity,
    MessageId,
    OrganizationId,
    Origin,
    Role,
    State,
    Verdict,
)
from homing.mail.reply import Stage
from homing.store import tables
from homing.store.actions import Action, of_case
from homing.store.events import Event, of_message
from homing.store.ids import earliest
from homing.store.json_documents import identity_from_json, maybe_verdict_from_json
from homing.store.pages import Page, floor, page
from homing.store.rows import to_case, to_delivery
from homing.store.suppressions import fold

COUNTED = 1000
"""Deliveries that are counted by state, at most."""
LISTED = 2000
"""Deliveries of the messages of one page, unless one message has more."""
ATTEMPTS = 400
"""Attempts that are shown with a message, the latest of each delivery, and with a delivery that is asked for alone."""
DIALOGUES = 20
"""Deliveries of a message up to which their dialogues are shown with it."""
TIMELINE = 2000
"""Events that are shown with a message, the latest."""

_M = tables.message
_D = tables.delivery
_C = tables.case


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    id: MessageId
    organization: OrganizationId
    origin: Origin
    stream: str
    human_sender: HumanSenderId | None
    human_sender_name: str
    human_sender_address: str
    application_user: str | None
    subject: str
    message_id: str
    failure_policy: str
    metadata: Mapping[str, Any]
    size: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of one host. `ended_at` None: open. `text`: of the reply, or why there was none. `number`: which
    attempt of its delivery it belongs to; the last one of a number is where it ended, those before were passed over.
    `dialogue`: what was said, unless it ended with a plain 250."""

    id: AttemptId
    delivery: DeliveryId
    number: int
    started_at: datetime
    ended_at: datetime | None
    in_doubt: bool
    stage: Stage | None
    host: str
    ip: str
    egress_ip: str
    receiver: str
    tls: str
    reply_code: int | None
    enhanced_status_code: str
    text: str
    verdict: Verdict | None
    dialogue: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """A delivery with its latest attempts, and with the case of its failure, or else of one behind it, or else of its
    delay, and that one's actions."""

    delivery: Delivery
    role: Role
    identity: Identity
    resent_from: DeliveryId | None
    attempts: tuple[Attempt, ...]
    case: Case | None
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    message: Message
    deliveries: tuple[DeliveryView, ...]
    timeline: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """All that is given must hold. `state` and `recipient` must hold for one and the same delivery."""

    state: State | None = None
    recipient: str | None = None
    human_sender: HumanSenderId | None = None
    stream: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLine:
    """A line of a list: the message and its deliveries."""

    message: Message
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """A case with what a list says of it. `message` and what follows are None for a case about no delivery."""

    case: Case
    message: MessageId | None
    subject: str | None
    recipient: str | None
    human_sender_name: str | None
    human_sender_address: str | None


def message(conn: sa.Connection, organization: OrganizationId, wanted: MessageId) -> MessageView | None:
    """What is known of a message; None when the organization has no such. With many recipients it has fewer attempts
    of each, and no dialogues: `delivery` has them."""
    row = conn.execute(_M.select().where(_M.c.id == wanted, _M.c.organization == organization)).mappings().first()
    if row is None:
        return None
    rows = conn.execute(_D.select().where(_D.c.message == wanted).order_by(_D.c.id)).mappings().all()
    timeline = of_message(conn, organization, wanted, TIMELINE)
    return MessageView(message=_message(row), deliveries=_delivery_views(conn, rows), timeline=tuple(timeline))


def delivery(conn: sa.Connection, organization: OrganizationId, wanted: DeliveryId) -> DeliveryView | None:
    """What is known of one delivery; None when the organization has no such."""
    query = _D.select().where(_D.c.id == wanted, _D.c.organization == organization)
    return next(iter(_delivery_views(conn, conn.execute(query).mappings().all())), None)


def organization_of(conn: sa.Connection, wanted: MessageId) -> OrganizationId | None:
    """For those who may see every organization."""
    return conn.execute(sa.select(_M.c.organization).where(_M.c.id == wanted)).scalar()


def messages(
    conn: sa.Connection,
    organization: OrganizationId,
    wanted: Filter,
    *,
    before: MessageId | None = None,
    limit: int = 50,
) -> Page[MessageLine]:
    """Newest first, those before `before`. Letters and other mail of our own is left out. A page is shorter where its
    messages have very many deliveries."""
    led = _led(wanted)
    place = _M.c.id if led is None else _D.c.message
    owner = _M.c.organization if led is None else _D.c.organization
    looked_at = [owner == organization, *(led or ()), *_between(place, wanted, before)]
    lowest = floor(conn, place, *looked_at)
    if lowest is not None:
        looked_at.append(place >= lowest)
    if led is None:
        query = _M.select().where(*looked_at, *_of_message(wanted), *_with_delivery(wanted))
    else:
        query = _M.select().where(_M.c.id.in_(_found(looked_at, wanted, limit)), *_of_message(wanted))
    rows = conn.execute(query.order_by(_M.c.id.desc()).limit(limit)).mappings().all()
    found = [row["id"] for row in rows]
    shown = _few(conn, found)
    deliveries = _deliveries(conn, shown)
    lines = [
        MessageLine(message=_message(row), deliveries=tuple(deliveries.get(row["id"], ())))
        for row in rows[: len(shown)]
    ]
    if len(shown) < len(found):
        return Page(lines=lines, further=shown[-1])
    return page(lines, found, limit, lowest)


def cases(
    conn: sa.Connection,
    organization: OrganizationId,
    *,
    state: CaseState | None = None,
    kind: CaseKind | None = None,
    before: CaseId | None = None,
    limit: int = 50,
) -> Page[CaseLine]:
    """Newest first. Cases that were opened before cases had ids of their own stand by their delivery's."""
    looked_at = [_C.c.organization == organization]
    if state is not None:
        looked_at.append(_C.c.state == state.value)
    if before is not None:
        looked_at.append(_C.c.id < before)
    lowest = None
    if kind is not None:
        lowest = floor(conn, _C.c.id, *looked_at)
        looked_at += [_C.c.kind == kind.value, *([] if lowest is None else [_C.c.id >= lowest])]
    query = (
        sa.select(_C, *_ABOUT)
        .join_from(_C, _D, _D.c.id == _C.c.delivery, isouter=True)
        .join(_M, _M.c.id == _D.c.message, isouter=True)
        .where(*looked_at)
    )
    lines = [_case_line(row) for row in conn.execute(query.order_by(_C.c.id.desc()).limit(limit)).mappings()]
    return page(lines, [line.case.id for line in lines], limit, lowest)


def case(conn: sa.Connection, organization: OrganizationId, wanted: CaseId) -> CaseLine | None:
    query = (
        sa.select(_C, *_ABOUT)
        .join_from(_C, _D, _D.c.id == _C.c.delivery, isouter=True)
        .join(_M, _M.c.id == _D.c.message, isouter=True)
        .where(_C.c.organization == organization, _C.c.id == wanted)
    )
    row = conn.execute(query).mappings().first()
    return None if row is None else _case_line(row)


def counts(conn: sa.Connection, organization: OrganizationId, since: datetime | None = None) -> dict[State, int]:
    """The newest deliveries in each state, `COUNTED` of them at most, our own letters left out."""
    mine = [_M.c.organization == organization, _M.c.origin.in_(_THEIRS)]
    if since is not None:
        mine.append(_M.c.id >= earliest(since))
    newest = sa.select(_M.c.id).where(*mine).order_by(_M.c.id.desc()).limit(COUNTED).subquery()
    some = sa.select(_D.c.state).join_from(newest, _D, _D.c.message == newest.c.id).limit(COUNTED).subquery()
    query = sa.select(some.c.state, sa.func.count()).group_by(some.c.state)
    return {State(state): count for state, count in conn.execute(query)}


# -- what is asked for -----------------------------------------------------------------------------------------------

_THEIRS = [origin.value for origin in Origin if not origin.ours]
_TROUBLED = frozenset({State.DEFERRED, *TERMINAL} - {State.DELIVERED})
_IN_INDEX = sa.text(
    "delivery.state IN ('deferred', 'bounced', 'expired', 'canceled', 'suppressed', 'failed')"  # as the index says it
)


def _led(wanted: Filter) -> list[sa.ColumnElement[bool]] | None:
    """The conditions that an index of deliveries serves; None: the page goes through messages."""
    if wanted.recipient is not None:
        return [sa.func.lower(_D.c.recipient) == fold(wanted.recipient)]
    if wanted.state in _TROUBLED:
        return [cast("sa.ColumnElement[bool]", _IN_INDEX), _D.c.state == wanted.state.value]
    return None


def _between(place: sa.Column[UUID], wanted: Filter, before: MessageId | None) -> Iterator[sa.ColumnElement[bool]]:
    if before is not None:
        yield place < before
    if wanted.since is not None:
        yield place >= earliest(wanted.since)
    if wanted.until is not None:
        yield place < earliest(wanted.until)


def _found(looked_at: list[sa.ColumnElement[bool]], wanted: Filter, limit: int) -> sa.Select[tuple[UUID]]:
    """Messages of the deliveries that are asked for."""
    query = sa.select(_D.c.message).where(*looked_at, _D.c.origin.in_(_THEIRS)).distinct()
    if wanted.state is not None:
        query = query.where(_D.c.state == wanted.state.value)
    if wanted.human_sender is None and wanted.stream is None:
        query = query.order_by(_D.c.message.desc()).limit(limit)
    return query


def _of_message(wanted: Filter) -> Iterator[sa.ColumnElement[bool]]:
    yield _M.c.origin.in_(_THEIRS)
    if wanted.human_sender is not None:
        yield _M.c.human_sender == wanted.human_sender
    if wanted.stream is not None:
        yield _M.c.stream == wanted.stream


def _with_delivery(wanted: Filter) -> Iterator[sa.ColumnElement[bool]]:
    if wanted.state is not None:
        yield sa.exists().where(_D.c.message == _M.c.id, _D.c.state == wanted.state.value)


_ABOUT = (
    _D.c.message,
    _D.c.recipient,
    _M.c.subject.label("message_subject"),
    _M.c.human_sender_name,
    _M.c.human_sender_address,
)


# -- rows ------------------------------------------------------------------------------------------------------------


def _few(conn: sa.Connection, messages: Sequence[MessageId]) -> Sequence[MessageId]:
    """The first of them, which have not more than `LISTED` deliveries together."""
    count = sa.func.count().label("deliveries")
    query = sa.select(_D.c.message, count).where(_D.c.message.in_(messages)).group_by(_D.c.message)
    deliveries = {row.message: row.deliveries for row in conn.execute(query)}
    together = accumulate(deliveries.get(message, 0) for message in messages)
    return messages[: max(1, sum(number <= LISTED for number in together))]


def _deliveries(conn: sa.Connection, messages: Sequence[MessageId]) -> dict[MessageId, list[Delivery]]:
    found: dict[MessageId, list[Delivery]] = {}
    rows = conn.execute(_D.select().where(_D.c.message.in_(messages)).order_by(_D.c.id)).mappings()
    for row in rows:
        found.setdefault(row["message"], []).append(to_delivery(row))
    return found


def _delivery_views(conn: sa.Connection, rows: Sequence[sa.RowMapping]) -> tuple[DeliveryView, ...]:
    attempts = _attempts(conn, [row["id"] for row in rows])
    cases = _cases(conn, [row["id"] for row in rows])
    return tuple(_delivery_view(conn, row, attempts, cases) for row in rows)


def _attempts(conn: sa.Connection, deliveries: Sequence[DeliveryId]) -> dict[DeliveryId, list[Attempt]]:
    attempt = tables.attempt
    dialogue = attempt.c.dialogue if len(deliveries) <= DIALOGUES else sa.null().label("dialogue")
    columns = [column for column in attempt.c if column.name != "dialogue"]
    place = (attempt.c.epoch, attempt.c.ended_at.nulls_last(), attempt.c.started_at)
    back = (attempt.c.epoch.desc(), attempt.c.ended_at.desc().nulls_first(), attempt.c.started_at.desc())
    found: dict[DeliveryId, list[Attempt]] = {}
    number = sa.func.dense_rank().over(partition_by=attempt.c.delivery, order_by=attempt.c.epoch).label("number")
    latest = sa.func.row_number().over(partition_by=attempt.c.delivery, order_by=back).label("latest")
    order = sa.func.row_number().over(order_by=place).label("place")
    some = sa.select(*columns, dialogue, number, latest, order).where(attempt.c.delivery.in_(deliveries)).subquery()
    each = max(1, ATTEMPTS // max(1, len(deliveries)))
    rows = conn.execute(sa.select(some).where(some.c.latest <= each).order_by(some.c.place))
    for row in rows.mappings():
        found.setdefault(row["delivery"], []).append(_attempt(row))
    return found


def _cases(conn: sa.Connection, deliveries: Sequence[DeliveryId]) -> dict[DeliveryId, Case]:
    kinds = [kind.value for kind in (CaseKind.DELAY, CaseKind.FORWARDING_FAILURE, CaseKind.FAILURE)]
    rows = conn.execute(_C.select().where(_C.c.delivery.in_(deliveries), _C.c.kind.in_(kinds))).mappings().all()
    by_weight = sorted(rows, key=lambda row: kinds.index(row["kind"]))  # the last one counts
    return {row["delivery"]: to_case(row) for row in by_weight}


def _message(row: sa.RowMapping) -> Message:
    known = {name: row[name] for name in Message.__dataclass_fields__}
    return Message(**{**known, "origin": Origin(row["origin"])})


def _delivery_view(
    conn: sa.Connection,
    row: sa.RowMapping,
    attempts: Mapping[DeliveryId, Sequence[Attempt]],
    cases: Mapping[DeliveryId, Case],
) -> DeliveryView:
    case = cases.get(row["id"])
    return DeliveryView(
        delivery=to_delivery(row),
        role=Role(row["role"]),
        identity=identity_from_json(row["identity"]),
        resent_from=row["resent_from"],
        attempts=tuple(attempts.get(row["id"], ())),
        case=case,
        actions=tuple(of_case(conn, case.id)) if case else (),
    )


def _attempt(row: sa.RowMapping) -> Attempt:
    known = {name: row[name] for name in Attempt.__dataclass_fields__}
    known |= {
        "stage": Stage(row["stage"]) if row["stage"] else None,
        "verdict": maybe_verdict_from_json(row["verdict"]),
    }
    return Attempt(**known)


def _case_line(row: sa.RowMapping) -> CaseLine:
    return CaseLine(
        case=to_case(row),
        message=row["message"],
        subject=row["message_subject"],
        recipient=row["recipient"],
        human_sender_name=row["human_sender_name"],
        human_sender_address=row["human_sender_address"],
    )
