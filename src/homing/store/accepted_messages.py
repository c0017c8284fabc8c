"""Accepting: message, deliveries, idempotency row, usage and events in ONE transaction. Its commit is the promise."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from homing.loop import ids
from homing.loop.evidence import SuppressionFound
from homing.loop.model import (
    CaseId,
    DeliveryId,
    EventType,
    HumanSenderId,
    Identity,
    MessageId,
    NewEvent,
    OrganizationId,
    Origin,
    Role,
    State,
)
from homing.loop.queue import Line, Queue, queue_of
from homing.store import cases, suppressions, tables, turns, usage
from homing.store.dialect import insert, insert_all
from homing.store.events import Happening, Subject, append
from homing.store.json_documents import identity_to_json
from homing.store.record import DeliveryEvidence, record
from homing.store.turns import Turn
from homing.store.usage import OverCap

_M = tables.message
_D = tables.delivery
_I = tables.idempotency

Metadata = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """`content`: header block without From, Reply-To, trace and signature, and the body; `body_hash`: what DKIM says of
    that body (`mail.dkim.body_hash`). `case` and `step`: the case that a letter serves."""

    id: MessageId
    organization: OrganizationId
    origin: Origin
    stream: str
    human_sender: HumanSenderId | None
    human_sender_name: str
    human_sender_address: str
    subject: str
    message_id: str
    content: bytes
    body_hash: bytes | None = None
    created_at: datetime
    failure_policy: str = "default"
    application_user: str | None = None
    metadata: Metadata = field(default_factory=dict)
    smtputf8: bool = False
    case: CaseId | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """`resent_from` and `resent_key`: the delivery that this one corrects, and its caller's key; the same pair is sent
    once."""

    id: DeliveryId
    recipient: str
    recipient_domain: str
    identity: Identity
    expires_at: datetime
    role: Role = Role.TO
    next_attempt_at: datetime | None = None
    resent_from: DeliveryId | None = None
    resent_key: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    key: str
    payload_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedMessage:
    """`respond` composes the answer to the caller, for this request and repeated ones under the same key, from the
    deliveries that ended at once because their address is suppressed."""

    message: NewMessage
    deliveries: tuple[NewDelivery, ...]
    idempotency: Idempotency | None = None
    respond: Callable[[frozenset[DeliveryId]], str] = lambda _: ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The submission is accepted, and committed as a whole. `suppressed`: deliveries that ended at once."""

    response: str = ""
    suppressed: frozenset[DeliveryId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """It was accepted before. `delivery`: the one that a resend with the same key made then."""

    response: str
    delivery: DeliveryId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReused:
    """The idempotency key belongs to another payload."""


Answer = Added | Replayed | KeyReused | OverCap


def add(conn: sa.Connection, items: list[AcceptedMessage]) -> list[Answer]:
    """Accept each submission as a whole or not at all, and return the answer to each."""
    answers: dict[int, Answer] = {}
    twins = _find_resent(conn, items, answers) | _take_keys(conn, items, answers)
    _count_usage(conn, items, answers)
    answers |= {twin: answers[first] for twin, first in twins.items() if first in answers}
    accepted = [item for index, item in enumerate(items) if index not in answers]
    _insert(conn, accepted)
    _mark_resent(conn, accepted)
    suppressed = _suppress(conn, accepted)
    turns.enter(conn, _waiting(accepted, suppressed))
    for index, item in enumerate(items):
        if index not in answers:
            ended = suppressed.intersection(one.id for one in item.deliveries)
            answers[index] = Added(response=item.respond(ended), suppressed=ended)
            if ended:
                _remember_answer(conn, item, item.respond(ended))
    return [answers[index] for index in range(len(items))]


def answered(conn: sa.Connection, organization: OrganizationId, idempotency: Idempotency) -> str | None:
    """What was answered to this payload under this key before."""
    mine = (_I.c.organization == organization, _I.c.key == idempotency.key)
    query = sa.select(_I.c.response).where(*mine, _I.c.payload_hash == idempotency.payload_hash)
    return conn.execute(query).scalar()


def content(conn: sa.Connection, organization: OrganizationId, message: MessageId) -> bytes | None:
    """The stored content; None when it is not there any more, or never was."""
    query = (
        sa.select(tables.message_content.c.content)
        .join(_M, _M.c.id == tables.message_content.c.message)
        .where(_M.c.id == message, _M.c.organization == organization)
    )
    return conn.execute(query).scalar()


# -- asked before? ---------------------------------------------------------------------------------------------------

_Resend = tuple[OrganizationId, DeliveryId, str]
_Key = tuple[OrganizationId, str]


def _resend_of(item: AcceptedMessage) -> _Resend | None:
    for one in item.deliveries:
        if one.resent_from is not None:
            return item.message.organization, one.resent_from, one.resent_key or ""
    return None


_Twins = dict[int, int]
"""Submissions whose answer hangs on that of an earlier one in the same batch."""


def _find_resent(conn: sa.Connection, items: Sequence[AcceptedMessage], answers: dict[int, Answer]) -> _Twins:
    """Find earlier resends. The lock on the corrected delivery makes concurrent resends of it wait for each other."""
    wanted = {index: resend for index, item in enumerate(items) if (resend := _resend_of(item))}
    if not wanted:
        return {}
    originals = sorted({original for _, original, _ in wanted.values()})
    conn.execute(sa.select(_D.c.id).where(_D.c.id.in_(originals)).order_by(_D.c.id).with_for_update())
    place = (_D.c.organization, _D.c.resent_from, _D.c.resent_key)
    query = sa.select(_D.c.id, *place).where(sa.tuple_(*place).in_(list(set(wanted.values()))))
    found = {(row.organization, row.resent_from, row.resent_key): row.id for row in conn.execute(query)}
    first: dict[_Resend, int] = {}
    twins: _Twins = {}
    for index, resend in wanted.items():
        if resend in found:
            answers[index] = Replayed(response="", delivery=found[resend])
        elif resend in first:
            twins[index] = first[resend]
            answers[index] = Replayed(response="", delivery=_resent(items[first[resend]]))
        else:
            first[resend] = index
    return twins


def _resent(item: AcceptedMessage) -> DeliveryId:
    return next(one.id for one in item.deliveries if one.resent_from is not None)


def _take_keys(conn: sa.Connection, items: Sequence[AcceptedMessage], answers: dict[int, Answer]) -> _Twins:
    """Take the idempotency keys. A concurrent request with the same key waits here for the other's commit, then gets
    its answer."""
    first: dict[_Key, int] = {}
    later: dict[int, _Key] = {}
    for index, item in enumerate(items):
        if item.idempotency and index not in answers:
            key = (item.message.organization, item.idempotency.key)
            if first.setdefault(key, index) != index:
                later[index] = key
    if not first:
        return {}
    rows = [_key_row(items[first[key]]) for key in sorted(first)]
    place = insert(conn, _I).on_conflict_do_nothing().returning(_I.c.organization, _I.c.key)
    taken = {(row.organization, row.key) for row in conn.execute(place, rows)}
    later |= {index: key for key, index in first.items() if key not in taken}
    _answer_known(conn, items, later, answers)
    return {index: first[key] for index, key in later.items() if key in taken}


def _answer_known(
    conn: sa.Connection, items: Sequence[AcceptedMessage], later: Mapping[int, _Key], answers: dict[int, Answer]
) -> None:
    if not later:
        return
    stored = _I.select().where(sa.tuple_(_I.c.organization, _I.c.key).in_(list(set(later.values()))))
    known = {(row.organization, row.key): row for row in conn.execute(stored)}
    for index, key in later.items():
        idempotency = items[index].idempotency
        same = idempotency is not None and known[key].payload_hash == idempotency.payload_hash
        answers[index] = Replayed(response=known[key].response) if same else KeyReused()


def _key_row(item: AcceptedMessage) -> dict[str, object]:
    assert item.idempotency
    return {
        "organization": item.message.organization,
        "key": item.idempotency.key,
        "payload_hash": item.idempotency.payload_hash,
        "message": item.message.id,
        "response": item.respond(frozenset()),
        "created_at": item.message.created_at,
    }


def _remember_answer(conn: sa.Connection, item: AcceptedMessage, response: str) -> None:
    if item.idempotency:
        mine = (_I.c.organization == item.message.organization) & (_I.c.key == item.idempotency.key)
        conn.execute(_I.update().where(mine).values(response=response))


def _count_usage(conn: sa.Connection, items: Sequence[AcceptedMessage], answers: dict[int, Answer]) -> None:
    wishes = {
        index: usage.Wish(
            organization=item.message.organization, deliveries=len(item.deliveries), at=item.message.created_at
        )
        for index, item in enumerate(items)
        if index not in answers and not item.message.origin.ours
    }
    for index, over in usage.count(conn, wishes).items() if wishes else ():
        answers[index] = over
        _give_key_back(conn, items[index])


def _give_key_back(conn: sa.Connection, item: AcceptedMessage) -> None:
    """Nothing was accepted under the key, so tomorrow the caller may use it again."""
    if item.idempotency:
        mine = (_I.c.organization == item.message.organization) & (_I.c.key == item.idempotency.key)
        conn.execute(_I.delete().where(mine))


# -- writing ---------------------------------------------------------------------------------------------------------


def _insert(conn: sa.Connection, accepted: Sequence[AcceptedMessage]) -> None:
    insert_all(conn, _M, [_message_row(item.message) for item in accepted])
    contents = [
        {"message": item.message.id, "content": item.message.content, "body_hash": item.message.body_hash}
        for item in accepted
    ]
    insert_all(conn, tables.message_content, contents)
    each = [(item.message, one) for item in accepted for one in item.deliveries]
    insert_all(conn, _D, [_delivery_row(message, one) for message, one in each])
    queued = NewEvent(type=EventType.QUEUED)
    append(
        conn, (Happening(subject=_subject(message, one), event=queued, at=message.created_at) for message, one in each)
    )


def _waiting(accepted: Iterable[AcceptedMessage], suppressed: Collection[DeliveryId]) -> Iterator[Turn]:
    for item in accepted:
        for one in item.deliveries:
            if one.id not in suppressed:
                at = one.next_attempt_at or item.message.created_at
                yield Turn(line=Line.FIRST, queue=_queue(item.message, one), at=at)


def _queue(message: NewMessage, delivery: NewDelivery) -> Queue:
    return queue_of(message.organization, message.stream, delivery.recipient_domain)


def _subject(message: NewMessage, delivery: NewDelivery) -> Subject:
    return Subject(
        organization=message.organization,
        message=message.id,
        delivery=delivery.id,
        human_sender=message.human_sender,
    )


def _message_row(message: NewMessage) -> dict[str, object]:
    return {
        "id": message.id,
        "organization": message.organization,
        "origin": message.origin.value,
        "stream": message.stream,
        "human_sender": message.human_sender,
        "human_sender_name": message.human_sender_name,
        "human_sender_address": message.human_sender_address,
        "application_user": message.application_user,
        "subject": message.subject,
        "message_id": message.message_id,
        "failure_policy": message.failure_policy,
        "metadata": dict(message.metadata),
        "size": len(message.content),
        "smtputf8": message.smtputf8,
        "case_id": message.case,
        "case_step": message.step,
        "created_at": message.created_at,
    }


def _delivery_row(message: NewMessage, delivery: NewDelivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "organization": message.organization,
        "message": message.id,
        "origin": message.origin.value,
        "recipient": delivery.recipient,
        "recipient_domain": delivery.recipient_domain,
        "role": delivery.role.value,
        "state": State.QUEUED.value,
        "possibly_delivered": False,
        "bounced_late": False,
        "identity": identity_to_json(delivery.identity),
        "epoch": 0,
        "attempts": 0,
        "silent_deaths": 0,
        "reports": 0,
        "next_attempt_at": delivery.next_attempt_at or message.created_at,
        "expires_at": delivery.expires_at,
        "resent_from": delivery.resent_from,
        "phone": delivery.phone,
        "resent_key": None if delivery.resent_from is None else delivery.resent_key or "",
        "case_id": message.case,
        "case_step": message.step,
        "created_at": message.created_at,
        "updated_at": message.created_at,
        "queue": _queue(message, delivery).id,
    }


def _mark_resent(conn: sa.Connection, accepted: Iterable[AcceptedMessage]) -> None:
    """The old delivery's timeline leads to the new one, and its case, if any, is dealt with."""
    for item in accepted:
        for one in item.deliveries:
            if one.resent_from is None:
                continue
            query = (
                sa.select(_D.c.message, _M.c.human_sender)
                .join(_M, _M.c.id == _D.c.message)
                .where(_D.c.id == one.resent_from, _D.c.organization == item.message.organization)
            )
            old = conn.execute(query).one()
            subject = Subject(
                organization=item.message.organization,
                message=old.message,
                delivery=one.resent_from,
                human_sender=old.human_sender,
            )
            facts = {
                "delivery": ids.show("delivery", one.id),
                "message": ids.show("message", item.message.id),
                "recipient": one.recipient,
            }
            event = NewEvent(type=EventType.RESENT, data=facts)
            append(conn, [Happening(subject=subject, event=event, at=item.message.created_at)])
            cases.close(conn, cases.of_deliveries(conn, [one.resent_from]), item.message.created_at)


def _suppress(conn: sa.Connection, accepted: Sequence[AcceptedMessage]) -> frozenset[DeliveryId]:
    """End deliveries to suppressed addresses: a failure like any other, to which the failure policy applies."""
    places = {
        one.id: (item.message.organization, item.message.stream, suppressions.fold(one.recipient))
        for item in accepted
        for one in item.deliveries
    }
    moments = {one.id: item.message.created_at for item in accepted for one in item.deliveries}
    if not places:
        return frozenset()
    listed = suppressions.find(conn, set(places.values()), max(moments.values()))
    findings = [
        DeliveryEvidence(
            delivery=delivery,
            evidence=SuppressionFound(reason=listed[place].reason, since=listed[place].created_at.isoformat()),
            now=moments[delivery],
        )
        for delivery, place in places.items()
        if place in listed
    ]
    record(conn, findings)
    return frozenset(finding.delivery for finding in findings)
