"""THE one way to change a delivery: evidence comes in, and what `conclude` makes of it is written, all or nothing.

Rows are read fresh (and locked on PostgreSQL), so that no conclusion rests on stale data. A finding of a worker whose
lease is gone is kept on its attempt and changes nothing else.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from homing.loop import ids
from homing.loop.evidence import Answered, Evidence, Reported, Unanswered, Unroutable, Unsubscribed, Unsupported
from homing.loop.lifecycle import TERMINAL
from homing.loop.model import (
    OPERATOR,
    AttemptId,
    CaseId,
    CaseKind,
    Delivery,
    DeliveryId,
    EventType,
    InboundId,
    NewEvent,
    OrganizationId,
    State,
    Verdict,
)
from homing.loop.outcome import Outcome, conclude
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.queue import LINE_OF, queue_of
from homing.loop.suppression import after_full_mailbox, after_hearsay
from homing.mail.address import domain_of
from homing.mail.reply import Reply, Stage
from homing.store import alarms, cases, gathered_cases, mail_domains, policies, suppressions, tables, turns
from homing.store.dialect import insert_all, note_erased
from homing.store.events import Happening, Subject, append
from homing.store.ids import fresh
from homing.store.json_documents import maybe_verdict_to_json
from homing.store.rows import DELIVERY, delivery_changes, to_delivery
from homing.store.turns import Turn

_D = tables.delivery
_M = tables.message
_A = tables.attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """How an attempt ended. `id` None: it ended before its row was opened (no host could be talked to), and is written
    now. `silence`: why there was no usable reply. `ended_at` None: when it was found. `dialogue`: what was said, where
    that is worth keeping."""

    id: AttemptId | None = None
    started_at: datetime
    ended_at: datetime | None = None
    stage: Stage | None = None
    host: str = ""
    ip: str = ""
    egress_ip: str = ""
    tls: str = ""
    receiver: str = ""
    reply: Reply | None = None
    silence: str = ""
    verdict: Verdict | None = None
    in_doubt: bool = False
    dialogue: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryEvidence:
    """A piece of evidence about one delivery. `epoch`: that of the lease under which it was found; None for evidence
    that needs no lease (reports, requests, time). `inbound`: the mail that it came with. `passed_over`: the results of
    the hosts tried before the one that `attempt` ended at; they are part of it, and not counted."""

    delivery: DeliveryId
    evidence: Evidence
    now: datetime
    epoch: int | None = None
    attempt: AttemptResult | None = None
    passed_over: tuple[AttemptResult, ...] = ()
    inbound: InboundId | None = None


def record(conn: sa.Connection, findings: list[DeliveryEvidence]) -> list[Outcome | None]:
    """Record the outcome of each finding, in order. None: no such delivery, or the lease was lost."""
    if not findings:
        return []
    known = _load(conn, {finding.delivery for finding in findings})
    entries = _conclude(conn, findings, known)
    stale = [finding for finding, entry in zip(findings, entries, strict=True) if entry is None]
    opened = iter(cases.open_all(conn, [entry.outcome.case for entry in entries if entry and entry.outcome.case]))
    entries = [_of_case(conn, entry, next(opened)) if entry and entry.outcome.case else entry for entry in entries]
    entries = _sounded(conn, _without_delays(conn, entries))
    _write(conn, [entry for entry in entries if entry])
    _write_stale(conn, [_Stale(finding, known[finding.delivery]) for finding in stale if finding.delivery in known])
    return [entry.outcome if entry else None for entry in entries]


@dataclass(frozen=True, slots=True)
class _Known:
    """A delivery as it was, with what stands around it."""

    delivery: Delivery
    subject: Subject
    stream: str
    failure_policy: str
    domain: str


@dataclass(frozen=True, slots=True)
class _Entry:
    finding: DeliveryEvidence
    known: _Known
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Stale:
    """A finding of somebody who no longer holds the lease."""

    finding: DeliveryEvidence
    known: _Known


def _load(conn: sa.Connection, wanted: set[DeliveryId]) -> dict[DeliveryId, _Known]:
    return {row["id"]: _known(row) for row in conn.execute(_KNOWN, {"wanted": sorted(wanted)}).mappings()}


# Built once: building a statement costs more than running it.
_KNOWN = (
    sa.select(*DELIVERY, _D.c.recipient_domain, _M.c.human_sender, _M.c.stream, _M.c.failure_policy)
    .join_from(_D, _M, _M.c.id == _D.c.message)
    .where(_D.c.id.in_(sa.bindparam("wanted", expanding=True)))
    .order_by(_D.c.id)
    .with_for_update(of=_D)
)


def _known(row: sa.RowMapping) -> _Known:
    delivery = to_delivery(row)
    subject = Subject(
        organization=delivery.organization,
        message=delivery.message,
        delivery=delivery.id,
        human_sender=row["human_sender"],
    )
    return _Known(delivery, subject, row["stream"], row["failure_policy"], row["recipient_domain"])


def _conclude(
    conn: sa.Connection, findings: Sequence[DeliveryEvidence], known: dict[DeliveryId, _Known]
) -> list[_Entry | None]:
    """Conclude in order: a later finding about the same delivery applies to the result of the earlier one."""
    stored = policies.find(conn, {(one.delivery.organization, one.failure_policy) for one in known.values()})
    now_is = {delivery: one.delivery for delivery, one in known.items()}
    entries: list[_Entry | None] = []
    for finding in findings:
        delivery = now_is.get(finding.delivery)
        if delivery is None or (finding.epoch is not None and not _holds_lease(delivery, finding.epoch)):
            entries.append(None)
            continue
        one = known[finding.delivery]
        policy = stored.get((delivery.organization, one.failure_policy), BUILTIN_DEFAULT)
        outcome = conclude(_counted(delivery, finding), finding.evidence, policy, finding.now)
        now_is[finding.delivery] = outcome.delivery
        entries.append(_Entry(finding, one, outcome))
    return entries


def _holds_lease(delivery: Delivery, epoch: int) -> bool:
    return delivery.state is State.SENDING and delivery.epoch == epoch


def _counted(delivery: Delivery, finding: DeliveryEvidence) -> Delivery:
    """An attempt that ended before its row was opened is counted here; `begin_attempts` counts the others."""
    tried = isinstance(finding.evidence, Answered | Unanswered | Unsupported | Unroutable)
    opened_before = finding.attempt is not None and finding.attempt.id is not None
    return replace(delivery, attempts=delivery.attempts + 1) if tried and not opened_before else delivery


def _of_case(conn: sa.Connection, entry: _Entry, opened: CaseId | None) -> _Entry:
    """The entry with its actions tied to the case that was opened. A delivery that fails twice keeps its first case,
    whose actions were taken then; of a forwarding failure, the event names the case that stands for it already."""
    outcome = entry.outcome
    if opened is not None:
        actions = tuple(replace(action, case=opened) for action in outcome.actions)
        return replace(entry, outcome=replace(outcome, actions=actions))
    of_the_case = {EventType.OPENED_CASE, EventType.UNHEARD}
    events = tuple(event for event in outcome.events if event.type not in of_the_case)
    if (
        outcome.case
        and outcome.case.kind is CaseKind.FORWARDING_FAILURE
        and (case := cases.standing(conn, outcome.case))
    ):
        events = tuple(replace(event, data={**event.data, "case": ids.show("case", case)}) for event in events)
    return replace(entry, outcome=replace(outcome, events=events, actions=(), case=None))


def _without_delays(conn: sa.Connection, entries: Sequence[_Entry | None]) -> list[_Entry | None]:
    """The entries after the cases of delays that they end are closed; their events name those. All cases that this
    transaction changes are locked at once, in the order that all keep."""
    ended = [entry for entry in entries if entry and entry.outcome.ends_delay]
    delays = cases.of_delays(conn, (entry.known.delivery.id for entry in ended)) if ended else {}
    if not delays:
        return list(entries)
    cases.load(conn, {*delays.values(), *(step.case for step in _steps(conn, [entry for entry in entries if entry]))})
    cases.close(conn, delays.values(), max(entry.finding.now for entry in ended))
    return [entry and _ending(entry, delays.get(entry.known.delivery.id)) for entry in entries]


def _ending(entry: _Entry, delay: CaseId | None) -> _Entry:
    if delay is None or not entry.outcome.ends_delay:
        return entry
    first, *others = entry.outcome.events
    first = replace(first, data={**first.data, "closed_case": ids.show("case", delay)})
    return replace(entry, outcome=replace(entry.outcome, events=(first, *others)))


def _sounded(conn: sa.Connection, entries: Sequence[_Entry | None]) -> list[_Entry | None]:
    """The entries after their alarms are stored, with already known alarms marked."""
    raised = [(entry.outcome.alarm, entry.finding.now) for entry in entries if entry and entry.outcome.alarm]
    if not raised:
        return list(entries)
    new = alarms.raise_alarm(conn, raised)
    return [entry and _seen_before(entry, new) for entry in entries]


def _seen_before(entry: _Entry, new: set[str]) -> _Entry:
    """Of several with the same new cause, only the first keeps it as new."""
    alarm = entry.outcome.alarm
    if alarm is None or alarm.cause in new:
        new.discard(alarm.cause if alarm else "")
        return entry
    return replace(entry, outcome=replace(entry.outcome, alarm=replace(alarm, again=True)))


# -- writing ---------------------------------------------------------------------------------------------------------


def _write(conn: sa.Connection, entries: Sequence[_Entry]) -> None:
    _update_deliveries(conn, entries)
    _erase_letters(conn, entries)
    _write_attempts(conn, [(entry.finding, entry.known) for entry in entries])
    append(
        conn,
        (
            Happening(subject=entry.known.subject, event=event, at=entry.finding.now)
            for entry in entries
            for event in entry.outcome.events
        ),
    )
    cases.put(conn, _tasks(entries))
    cases.advance(conn, _steps(conn, entries))
    _note_domains(conn, entries)
    suppressions.no_longer_full(conn, {_place(entry) for entry in entries if _now_delivered(entry)})
    suppressions.add(conn, _suppressions(conn, entries))
    _tie_inbound(conn, entries)
    turns.enter(conn, _waiting(entries))


def _waiting(entries: Iterable[_Entry]) -> Iterator[Turn]:
    """What waits again, with its queue."""
    last = {entry.known.delivery.id: entry for entry in entries}
    for entry in last.values():
        delivery = entry.outcome.delivery
        if delivery.next_attempt_at is not None and delivery.state in LINE_OF:
            queue = queue_of(delivery.organization, entry.known.stream, entry.known.domain)
            yield Turn(line=LINE_OF[delivery.state], queue=queue, at=delivery.next_attempt_at)


def _write_stale(conn: sa.Connection, stale: Sequence[_Stale]) -> None:
    _write_attempts(conn, [(one.finding, one.known) for one in stale])
    append(
        conn,
        (
            Happening(
                subject=one.known.subject,
                event=NewEvent(type=EventType.ATTEMPTED, data=_stale_facts(one.finding)),
                at=one.finding.now,
            )
            for one in stale
        ),
    )


def _update_deliveries(conn: sa.Connection, entries: Sequence[_Entry]) -> None:
    last = {entry.known.delivery.id: entry for entry in entries}
    changed = [entry for entry in last.values() if entry.outcome.delivery != entry.known.delivery]
    for still_leased in (True, False):
        rows = [
            {
                "b_id": entry.known.delivery.id,
                "updated_at": entry.finding.now,
                **delivery_changes(entry.outcome.delivery),
            }
            for entry in changed
            if (entry.outcome.delivery.state is State.SENDING) is still_leased
        ]
        if rows:
            conn.execute(_CHANGE if still_leased else _CHANGE_AND_LET_GO, rows)


_CHANGE = _D.update().where(_D.c.id == sa.bindparam("b_id"))
_CHANGE_AND_LET_GO = _CHANGE.values(lease_until=None, lease_owner=None)


def _erase_letters(conn: sa.Connection, entries: Iterable[_Entry]) -> None:
    """What our own e-mails say goes as soon as they have ended: nobody sends them again or looks at them, and whoever
    read a link in them could use it."""
    ended = {
        entry.known.delivery.message
        for entry in entries
        if entry.outcome.delivery.origin.ours
        and entry.outcome.delivery.state in TERMINAL
        and entry.known.delivery.state not in TERMINAL
    }
    if ended:
        content = tables.message_content
        conn.execute(content.delete().where(content.c.message.in_(sorted(ended))))
        note_erased(conn)


def _write_attempts(conn: sa.Connection, found: Iterable[tuple[DeliveryEvidence, _Known]]) -> None:
    ended = [
        (finding, known, result)
        for finding, known in found
        for result in (*finding.passed_over, finding.attempt)
        if result is not None
    ]
    closed = [
        {"b_id": result.id, "b_in_doubt": result.in_doubt, **_result_row(finding, result)}
        for finding, _, result in ended
        if result.id
    ]
    if closed:
        conn.execute(_CLOSE, closed)
    unopened = [
        {
            "id": fresh(conn, finding.now),
            "organization": known.delivery.organization,
            "delivery": finding.delivery,
            "epoch": known.delivery.epoch if finding.epoch is None else finding.epoch,
            "started_at": result.started_at,
            "in_doubt": result.in_doubt,
            **_result_row(finding, result),
        }
        for finding, known, result in ended
        if not result.id
    ]
    insert_all(conn, _A, unopened)


# Once in doubt, always in doubt: a reply that comes after the lease was lost does not take back a copy.
_CLOSE = (
    _A.update()
    .where(_A.c.id == sa.bindparam("b_id"))
    .values(in_doubt=_A.c.in_doubt | sa.bindparam("b_in_doubt", type_=sa.Boolean))
)


def _result_row(finding: DeliveryEvidence, result: AttemptResult) -> dict[str, Any]:
    reply = result.reply
    return {
        "ended_at": result.ended_at or finding.now,
        "stage": result.stage.value if result.stage else None,
        "host": result.host[:255],
        "ip": result.ip[:64],
        "egress_ip": result.egress_ip[:64],
        "receiver": result.receiver[:255],
        "tls": result.tls[:64],
        "reply_code": reply.reply_code if reply else None,
        "enhanced_status_code": reply.enhanced_status_code if reply else "",
        "text": reply.text if reply else result.silence,
        "verdict": maybe_verdict_to_json(result.verdict),
        "dialogue": result.dialogue,
    }


def _tasks(entries: Iterable[_Entry]) -> Iterable[cases.Task]:
    for entry in entries:
        delivery = entry.outcome.delivery
        for action in entry.outcome.actions:
            yield cases.Task(
                organization=delivery.organization,
                delivery=delivery.id,
                recipient=delivery.recipient,
                action=action,
                at=entry.finding.now,
            )


def _steps(conn: sa.Connection, entries: Iterable[_Entry]) -> list[cases.StepEnded]:
    """The steps that end with the letters that serve them: of the letter's own case, and of those that it tells too."""
    letters = [entry for entry in entries if entry.outcome.step and entry.outcome.delivery.case is not None]
    gathered = gathered_cases.of_letters(conn, {entry.outcome.delivery.message for entry in letters})
    return [step for entry in letters for step in _steps_of(entry, gathered.get(entry.outcome.delivery.message, ()))]


def _steps_of(entry: _Entry, gathered: Iterable[tuple[CaseId, int]]) -> Iterator[cases.StepEnded]:
    letter, result = entry.outcome.delivery, entry.outcome.step
    why = f"e-mail to {letter.recipient}: {entry.outcome.step_why}" if entry.outcome.step_why else ""
    if result is not None and letter.case is not None and letter.step is not None:
        for case, step in ((letter.case, letter.step), *gathered):
            yield cases.StepEnded(case=case, step=step, result=result, at=entry.finding.now, why=why)


def _suppressions(conn: sa.Connection, entries: Iterable[_Entry]) -> Iterator[suppressions.Suppression]:
    for entry in entries:
        suppress = entry.outcome.suppress
        if entry.outcome.full:
            suppress = after_full_mailbox(
                *suppressions.note_full(conn, _place(entry), entry.finding.now), entry.finding.now
            )
        if hearsay := entry.outcome.hearsay:
            delivery, now = entry.known.delivery.id, entry.finding.now
            times = suppressions.note_hearsay(conn, _place(entry), delivery, hearsay, now)
            suppress = after_hearsay(hearsay, times) or suppress
        if suppress:
            organization, stream, address = _place(entry)
            yield suppressions.Suppression(
                organization=organization,
                stream=stream,
                address=address,
                reason=suppress.reason,
                evidence=_in_words(entry.finding),
                created_at=entry.finding.now,
                expires_at=suppress.expires_at,
                rule=_rule(entry.finding.evidence),
            )


def _place(entry: _Entry) -> suppressions.Listed:
    delivery = entry.outcome.delivery
    return delivery.organization, entry.known.stream, suppressions.fold(delivery.recipient)


def _now_delivered(entry: _Entry) -> bool:
    before, after = entry.known.delivery, entry.outcome.delivery
    return after.state is State.DELIVERED and before.state is not State.DELIVERED and not after.origin.ours


def _note_domains(conn: sa.Connection, entries: Sequence[_Entry]) -> None:
    taken = [entry for entry in entries if isinstance(entry.finding.evidence, Answered) and _now_delivered(entry)]
    if taken:
        domains = {domain_of(entry.known.delivery.recipient) for entry in taken}
        mail_domains.took_mail(conn, domains, max(entry.finding.now for entry in taken))


def _tie_inbound(conn: sa.Connection, entries: Iterable[_Entry]) -> None:
    rows = [
        {
            "b_id": entry.finding.inbound,
            "delivery": entry.known.delivery.id,
            "organization": _whose(entry.known.delivery),
        }
        for entry in entries
        if entry.finding.inbound
    ]
    if rows:
        conn.execute(tables.inbound.update().where(tables.inbound.c.id == sa.bindparam("b_id")), rows)


def _whose(delivery: Delivery) -> OrganizationId:
    """Who may read what came back for a delivery. What answers an e-mail of ours quotes it, with the links in it: that
    is the operator's."""
    return OPERATOR if delivery.origin.ours else delivery.organization


def _stale_facts(finding: DeliveryEvidence) -> dict[str, str | int | bool | None]:
    facts: dict[str, str | int | bool | None] = {"stale": True, "epoch": finding.epoch}
    result = finding.attempt
    if result is None:
        return facts
    facts |= {"stage": result.stage.value if result.stage else None, "host": result.host, "why": result.silence}
    if result.reply:
        facts |= {"reply_code": result.reply.reply_code, "text": result.reply.text}
    return facts


def _rule(evidence: Evidence) -> str | None:
    return evidence.verdict.rule if isinstance(evidence, Answered | Reported) else None


def _in_words(finding: DeliveryEvidence) -> str:
    """The evidence in words, for people who later ask why an address is suppressed."""
    day = finding.now.date().isoformat()
    match finding.evidence:
        case Answered() as said:
            return f"{said.host} answered on {day} at {said.stage}: {said.reply} (rule {said.verdict.rule})"
        case Reported() as report:
            by = f" from {report.reporting_mta}" if report.reporting_mta else ""
            told = f": {report.verdict.text}" if report.verdict.text else ""
            mail = ids.show("inbound", report.inbound)
            return f"{report.what}{by} on {day}{told} (rule {report.verdict.rule}, mail {mail})"
        case Unsubscribed() as wish:
            return f"the recipient left on {day}, by {wish.by}"
        case evidence:
            return f"{type(evidence).__name__} on {day}"
