"""Take what comes back: admit it, keep it, understand it, conclude, record.

Admission needs no database: a live token or a role address, else 550. An admitted mail is stored and committed before
it is answered with 250. It is understood later.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from homing.flow import metrics
from homing.flow.alarms import noted, raise_alarm
from homing.flow.authenticate_inbound import InboundAuthentication
from homing.flow.disk_space import DiskSpace
from homing.flow.ending import all_to_their_end
from homing.flow.outgoing import Clock, Dice
from homing.flow.own_names import OwnNames
from homing.flow.wakeup import WakeUp
from homing.flow.worker import surviving, work_until_canceled
from homing.loop import ids, store_mark
from homing.loop.alarm import Alarm, alarm
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.evidence import ReportAction, Reported, Unsubscribed, What
from homing.loop.masking import masked
from homing.loop.model import ActionKind, DeliveryId, InboundId, MessageId, NewAction, Strength, Verdict
from homing.loop.queue import Place, Places
from homing.loop.reading import oops
from homing.loop.reading.classify import Rules
from homing.loop.reading.marks import ENVELOPE_LOCAL, UNSUBSCRIBE_LOCAL
from homing.loop.reading.match import NOTHING_SAID, evidence_from, is_feedback_of, is_from_postmaster_of
from homing.loop.reading.understand import Understood, understand
from homing.loop.receivers import receiver_of
from homing.loop.token import Purpose, TokenRefused, Tokens
from homing.loop.watch import PROBE_RECIPIENT, is_probe
from homing.mail.authentication import Authentication, vouched_by
from homing.mail.reply import Reply
from homing.store import actions, inbound, inbound_claims, organizations, sent_deliveries
from homing.store.database import Database
from homing.store.inbound import Full, Inbound, InboundQueue, InboundQuota, InboundState, NewInbound
from homing.store.record import DeliveryEvidence
from homing.store.sent_deliveries import Sent

LEASE = timedelta(seconds=120)
MOST_TRIES = 5
"""A mail that ends its worker so often is kept unparsed."""

_LOOK_EVERY = {InboundQueue.EVIDENCE: 0.5, InboundQueue.OTHER: 2.0, InboundQueue.LARGE: 2.0}
"""Seconds. What this process keeps is read at once; this is for what another left."""
_AT_ONCE = {InboundQueue.EVIDENCE: 32, InboundQueue.OTHER: 8, InboundQueue.LARGE: 1}
"""Most of the time a mail waits for the DNS: whether its sender is who he says."""
"""Mails of a queue that are read side by side."""
_GLANCED_OCTETS = 128 * 1024
"""Of a mail to From, before it is answered: by then a report has said that it is one."""
_ROLES = frozenset({"postmaster", "abuse", "fbl", "dmarc", "tlsrpt"})
_REPORTS = frozenset({What.BOUNCE, What.DELAY, What.COMPLAINT, What.REPORT})
_NO_WISH = frozenset({What.BOUNCE, What.DELAY, What.REPORT})
"""Kinds of mail that stray to the unsubscribe address and express no wish; it is no return address either."""

_SENDER_OK = Reply(250, "2.1.0", "ok")
_OK = Reply(250, "2.1.5", "ok")
_KEPT = Reply(250, "2.0.0", "kept")
_NOBODY = Reply(550, "5.1.1", "no such address here")
_NOT_READ = Reply(
    550, "5.7.1", "this address is not monitored; please write to the address in Reply-To of the message you received"
)
_NO_MORE = Reply(552, "5.2.2", "this address has had all the mail that it takes")
_NO_MORE_TODAY = Reply(452, "4.2.2", "this address takes no more mail today, please try again tomorrow")
_NO_MORE_RETURNED = Reply(452, "4.3.1", "no room for more mail about this sender today, please try again tomorrow")
_NO_ROOM = Reply(452, "4.3.1", "no room on our disk now, please try again later")
_LATER = Reply(451, "4.3.0", "cannot keep your message now, please try again later")

_log = structlog.get_logger()


class Door(StrEnum):
    """Which of our addresses a mail came to; `envelope` and `unsubscribe` are a delivery's own."""

    ENVELOPE = "envelope"
    HEADER_FROM = "header_from"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A mail as a door took it. `head` is its first MiB; `write_whole` writes all of it to a file, None where `head` is
    all there is. `charge` is to be told of the processor seconds spent on it before its answer."""

    envelope_sender: str | None
    recipient: str
    ip: str
    helo: str
    tls: str
    flags: frozenset[str]
    size: int
    head: bytes
    charge: Callable[[float], None]
    write_whole: Callable[[Path], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an address of ours leads. `delivery` is set behind a live token in it only."""

    purpose: str
    delivery: DeliveryId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matched:
    """The delivery that a mail speaks of, and how we know."""

    sent: Sent
    by_envelope: bool = False
    by_trace: bool = False
    by_returned_sender: bool = False


@dataclass(frozen=True, slots=True)
class _Missing:
    """What a live token in a mail names, and the store does not have."""

    what: str


@dataclass(slots=True, kw_only=True)
class Receiver:
    """Serves the MX door, and works on the mail that the door kept. `feedback_domains`: see
    `loop.reading.match.is_feedback_of`. `spool`: the folder of large mails. It wakes `actions` when a failure policy
    has steps to take, and `news` when anything has happened."""

    database: Database
    disk: DiskSpace
    tokens: Tokens
    operator: OperatorIdentity
    rules: Rules
    clock: Clock
    dice: Dice
    spool: Path
    reply_retention: timedelta
    retention: timedelta
    inbound_authentication: InboundAuthentication
    feedback_domains: frozenset[str]
    actions: WakeUp
    news: WakeUp
    names: OwnNames
    quota: InboundQuota
    _waiting: dict[InboundQueue, WakeUp] = field(default_factory=lambda: {queue: WakeUp() for queue in InboundQueue})
    _places: dict[InboundQueue, Places] = field(
        default_factory=lambda: {queue: Places(at_once) for queue, at_once in _AT_ONCE.items()}
    )
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    # -- at the door --------------------------------------------------------------------------------------------------

    def opened(self) -> Reply:
        """The answer to MAIL FROM."""
        return _NO_ROOM if self.disk.is_low else _SENDER_OK

    def admit(self, recipient: str) -> Reply:
        """The answer to RCPT TO."""
        return _NOBODY if self._place(recipient) is None else _OK

    async def keep(self, arrival: Arrival) -> Reply:
        """Commit the mail, then take responsibility for it. Mail from people to the unmonitored From is taken only if
        it will be answered; their other mail is refused in the dialogue, so that they learn of it."""
        place = self._place(arrival.recipient)
        if place is None:
            return _NOBODY
        if self.disk.is_low:
            return _NO_ROOM
        if place.purpose == Door.HEADER_FROM and not await self._wanted_at_from(arrival):
            return _NOT_READ
        now = self.clock()
        identifier = InboundId(ids.new_id(now, self.dice()))
        retention = self.reply_retention if place.purpose == Door.HEADER_FROM else self.retention
        try:
            new = NewInbound(
                id=identifier,
                received_at=now,
                envelope_sender=arrival.envelope_sender,
                recipient=arrival.recipient,
                purpose=place.purpose,
                size=arrival.size,
                raw=arrival.head,
                delivery=place.delivery,
                ip=arrival.ip,
                helo=arrival.helo,
                tls=arrival.tls,
                flags=arrival.flags,
                spool=await self._spooled(identifier, arrival),
                erase_at=now + retention,
            )
            full = await self.database.write(inbound.keep, new, self.quota)
            if full is not None:
                return await self._refused(new, full)
        except (SQLAlchemyError, OSError):
            _log.exception("cannot keep a mail")
            return _LATER
        self._waiting[new.queue].wake()
        return replace(_KEPT, text=f"kept as {ids.show('inbound', identifier)}")

    async def _refused(self, new: NewInbound, full: Full) -> Reply:
        """Whether a later try may help depends on what is full: a delivery's address has had all that it takes."""
        if new.spool:
            await asyncio.to_thread((self.spool / new.spool).unlink, missing_ok=True)
        _log.warning("an address takes no more mail", purpose=new.purpose, full=full, size=new.size, ip=new.ip)
        if full is Full.DELIVERY:
            return _NO_MORE
        if new.delivery is not None:
            await raise_alarm(self.database, await self.database.read(_returned_too_much, new.delivery), self.clock())
            return _NO_MORE_RETURNED
        text = f"mail to {new.purpose} was refused: addresses that belong to no delivery have had their octets of today"
        await raise_alarm(self.database, alarm("role-mail-refused", text), self.clock())
        return _NO_MORE_TODAY

    async def _spooled(self, identifier: InboundId, arrival: Arrival) -> str | None:
        if arrival.write_whole is None:
            return None
        file = self.spool / f"{identifier.hex}.eml"
        await asyncio.to_thread(_write_durably, file, arrival.write_whole)
        return file.name

    async def _wanted_at_from(self, arrival: Arrival) -> bool:
        """Refused mail leaves nothing behind, so no quota ends it: little of it is read, and that is charged."""
        understood, seconds = await asyncio.to_thread(self._glanced, arrival)
        arrival.charge(seconds)
        if understood.what in _REPORTS:
            return True
        return await self._answerable(understood, arrival.envelope_sender) is not None

    def _glanced(self, arrival: Arrival) -> tuple[Understood, float]:
        """What the beginning of the mail says, and the processor seconds that it took to see."""
        began = time.thread_time()
        head, null_sender = arrival.head[:_GLANCED_OCTETS], arrival.envelope_sender is None
        return understand(head, rules=self.rules, null_sender=null_sender), time.thread_time() - began

    def _place(self, recipient: str) -> _Place | None:
        local, _, domain = recipient.lower().rpartition("@")
        if not local:
            return _Place(purpose="postmaster") if domain == "postmaster" else None
        if local.startswith(ENVELOPE_LOCAL) and self._returns_to(domain):
            try:
                subject = self.tokens.open(Purpose.ENVELOPE, local.removeprefix(ENVELOPE_LOCAL), now=self.clock())
            except TokenRefused:
                return None
            return _Place(purpose=Door.ENVELOPE, delivery=DeliveryId(subject))
        if local.startswith(UNSUBSCRIBE_LOCAL) and self._returns_to(domain):
            leaving = self._opened(Purpose.UNSUBSCRIBE, local.removeprefix(UNSUBSCRIBE_LOCAL))
            return None if leaving is None else _Place(purpose=Door.UNSUBSCRIBE, delivery=DeliveryId(leaving))
        own = self.names.local_parts if domain == self.operator.from_domain else frozenset()
        if recipient.lower() == self.operator.header_from.lower() or local in own:
            return _Place(purpose=Door.HEADER_FROM)
        if local in _ROLES and (domain == self.operator.from_domain or self._returns_to(domain)):
            return _Place(purpose=local)
        return None

    def _returns_to(self, domain: str) -> bool:
        return domain == self.operator.return_domain or domain in self.names.return_domains

    # -- in its own time ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read each queue on its own: mail without a token, or one of many megabytes, keeps no bounce waiting."""
        try:
            async with asyncio.TaskGroup() as readers:
                for queue in InboundQueue:
                    readers.create_task(self._read(queue))
        finally:
            await all_to_their_end(self._running)

    async def _read(self, queue: InboundQueue) -> None:
        await work_until_canceled(
            lambda: self._claim(queue),
            failed="cannot claim inbound mail",
            every=_LOOK_EVERY[queue],
            wake_up=self._waiting[queue],
        )

    async def _claim(self, queue: InboundQueue) -> bool:
        """Begin to read as many mails as there is room for; returns whether more may wait."""
        places = self._places[queue]
        if self.disk.is_low or not places.free:
            return False
        found = await self.database.write(inbound_claims.claim, queue, self.clock(), places.copy(), LEASE)
        for mail, place in found.mails:
            places.hold(place)
            task = asyncio.create_task(self._work_on(mail))
            self._running.add(task)
            task.add_done_callback(lambda task, place=place: self._done(task, queue, place))  # type: ignore[misc]
        return found.more and places.free > 0

    def _done(self, task: asyncio.Task[None], queue: InboundQueue, place: Place) -> None:
        self._running.discard(task)
        self._places[queue].give_back(place)
        self._waiting[queue].wake()
        self.news.wake()

    async def _work_on(self, mail: Inbound) -> None:
        """One mail. A bug costs this try: its lease runs out and it comes again, a few times."""
        with surviving("inbound mail broke", inbound=ids.show("inbound", mail.id)):
            if mail.tries > MOST_TRIES:
                await self._give_up(mail)
            else:
                await self._conclude(mail)

    async def _give_up(self, mail: Inbound) -> None:
        """Keep an unreadable mail as it is, and record its arrival where it belongs."""
        evidence = Reported(
            what=What.UNKNOWN,
            action=ReportAction.NONE,
            strength=Strength.WEAK,
            names_recipient=False,
            names_other=False,
            verdict=NOTHING_SAID,
            inbound=mail.id,
        )
        findings = []
        if mail.delivery is not None:
            findings = [DeliveryEvidence(delivery=mail.delivery, evidence=evidence, now=self.clock(), inbound=mail.id)]
        unparsed = inbound.InboundResult(id=mail.id, what=None, verdict=None, state=InboundState.UNPARSED)
        await self.database.write(inbound.finish, unparsed, findings)
        shown = ids.show("inbound", mail.id)
        await raise_alarm(
            self.database, alarm("kept-unread", f"{shown} broke its reader {MOST_TRIES} times"), self.clock()
        )

    async def _conclude(self, mail: Inbound) -> None:
        understood, authentication = await asyncio.gather(
            self._understand(mail.raw or b"", mail.envelope_sender), self.inbound_authentication.authenticate(mail)
        )
        if mail.purpose == Door.HEADER_FROM and understood.what not in _REPORTS:
            await self._answer(mail, understood, authentication)
            return
        findings = await self._findings(mail, understood, authentication)
        verdict = _masked(understood.reports[0].verdict) if understood.reports else None
        read = inbound.InboundResult(id=mail.id, what=understood.what, verdict=verdict, authentication=authentication)
        outcomes = await self.database.write(inbound.finish, read, findings)
        known = [outcome for outcome in outcomes if outcome]
        if any(is_probe(outcome.delivery) for outcome in known):
            return
        _count(understood, matched=bool(findings))
        for outcome in known:
            metrics.CONCLUSIONS.labels(outcome.delivery.state).inc()
            noted(outcome.alarm)
        self.actions.wake()

    async def _answer(self, mail: Inbound, understood: Understood, authentication: Authentication) -> None:
        """Oops! Somebody wrote to the address that nobody reads: say where the right person is, once a day."""
        sent = await self._answerable(understood, mail.envelope_sender)
        read = inbound.InboundResult(id=mail.id, what=understood.what, verdict=None, authentication=authentication)
        if sent is None or mail.envelope_sender is None:
            await self.database.write(inbound.finish, read)
            _count(understood, matched=False)
            return
        answer = NewAction(
            kind=ActionKind.OOPS,
            due_at=self.clock(),
            data={
                "to": mail.envelope_sender,
                "name": sent.human_sender_name,
                "address": sent.reply_to or "",
                "subject": understood.subject,
                "in_reply_to": understood.headers.first("Message-ID").strip().strip("<>"),
            },
        )
        finding = self._finding(mail, understood, _Matched(sent=sent), authentication)
        if oops.is_forged(authentication, mail.envelope_sender):
            _log.info("no answer to a forged sender", inbound=ids.show("inbound", mail.id), by=authentication.summary)
            await self.database.write(inbound.finish, read, [finding])
            _count(understood, matched=True)
            return
        await self.database.write(_answer_once, read, finding, sent, answer, mail.envelope_sender)
        _count(understood, matched=True)
        self.actions.wake()

    async def _findings(
        self, mail: Inbound, understood: Understood, authentication: Authentication
    ) -> tuple[DeliveryEvidence, ...]:
        if mail.purpose == Door.UNSUBSCRIBE and mail.delivery is not None:
            if understood.what in _NO_WISH:
                return ()
            if await self.database.read(sent_deliveries.by_delivery, mail.delivery) is None:
                return await self._missed(mail, understood, _missing_delivery(mail.delivery))
            wish = Unsubscribed(by="mail", inbound=mail.id)
            return (DeliveryEvidence(delivery=mail.delivery, evidence=wish, now=self.clock(), inbound=mail.id),)
        matched = await self._match(mail, understood)
        if isinstance(matched, _Missing):
            return await self._missed(mail, understood, matched)
        return () if matched is None else (self._finding(mail, understood, matched, authentication),)

    async def _missed(self, mail: Inbound, understood: Understood, missing: _Missing) -> tuple[DeliveryEvidence, ...]:
        """Nothing can be recorded: the operator must hear of it. Only the loop watch forgets what it has sent."""
        if not any(report.final_recipient == PROBE_RECIPIENT for report in understood.reports):
            said = f"{ids.show('inbound', mail.id)} ({understood.what}) is about {missing.what}"
            await raise_alarm(self.database, store_mark.missing(said), self.clock())
        return ()

    async def _match(self, mail: Inbound, understood: Understood) -> _Matched | _Missing | None:
        """The delivery by the address that the mail came to; failing that, by the returned original."""
        trace = self._marked(understood)
        returned_sender = self._first_opened(understood.returned_senders, Purpose.ENVELOPE)
        if named := mail.delivery or trace or returned_sender:
            sent = await self.database.read(sent_deliveries.by_delivery, named)
            if sent is None:
                return _missing_delivery(named)
            by_envelope, by_trace = mail.delivery is not None, trace == named
            return _Matched(
                sent=sent,
                by_envelope=by_envelope,
                by_trace=by_trace,
                by_returned_sender=not by_envelope and not by_trace,
            )
        message = self._opened(Purpose.MESSAGE_ID, _local_part(understood.returned_message_id))
        if message is None:
            return None
        if not await self.database.read(sent_deliveries.has_message, MessageId(message)):
            return _Missing(f"{ids.show('message', message)} of {ids.made_at(message):%Y-%m-%d %H:%M} UTC")
        for report in understood.reports:
            for address in (report.original_recipient, report.final_recipient):
                sent = await self.database.read(sent_deliveries.by_recipient, MessageId(message), address)
                if sent is not None:
                    return _Matched(sent=sent)
        return None

    def _marked(self, understood: Understood) -> DeliveryId | None:
        """The delivery named by a signed mark in the returned original, in whichever field survived."""
        return self._first_opened(understood.returned_marks, Purpose.TRACE, Purpose.UNSUBSCRIBE)

    def _first_opened(self, marks: tuple[str, ...], *purposes: Purpose) -> DeliveryId | None:
        for mark in marks:
            for purpose in purposes:
                opened = self._opened(purpose, mark)
                if opened is not None:
                    return DeliveryId(opened)
        return None

    async def _answerable(self, understood: Understood, envelope_sender: str | None) -> Sent | None:
        """The delivery that this mail answers, if a machine may answer it at all."""
        domains = {self.operator.from_domain, self.operator.return_domain, *self.names.return_domains}
        if oops.may_answer(understood.headers, envelope_sender, domains) is not None or envelope_sender is None:
            return None
        for answered in oops.threads(understood.headers):
            message = self._opened(Purpose.MESSAGE_ID, _local_part(answered))
            if message is not None:
                sent = await self.database.read(sent_deliveries.by_recipient, MessageId(message), envelope_sender)
                if sent is not None and sent.reply_to:
                    return sent
        return None

    def _finding(
        self, mail: Inbound, understood: Understood, matched: _Matched, authentication: Authentication
    ) -> DeliveryEvidence:
        evidence = evidence_from(
            understood,
            matched.sent.delivery,
            message_id=matched.sent.message_id,
            inbound=mail.id,
            by_envelope=matched.by_envelope,
            vouched=matched.by_trace or is_feedback_of(self.feedback_domains, authentication),
        )
        proved = matched.by_returned_sender or is_from_postmaster_of(matched.sent.delivery, understood, authentication)
        ours = matched.sent.delivery.origin.ours  # such an e-mail holds links, and who reports on it may quote it
        verdict = _masked(evidence.verdict)
        evidence = replace(
            evidence,
            verdict=replace(verdict, text="") if ours else verdict,
            proved=evidence.proved or proved,
            authentication=authentication.summary,
            receiver=self._receiver(evidence, authentication),
        )
        return DeliveryEvidence(delivery=matched.sent.delivery.id, evidence=evidence, now=self.clock(), inbound=mail.id)

    def _receiver(self, report: Reported, authentication: Authentication) -> str:
        """Who refused, by a report that he has sent himself; "" else: anybody can name a host of somebody else's."""
        suffix_of = self.inbound_authentication.suffix_of
        if suffix_of is None:
            return ""
        vouched = vouched_by(authentication.spf, authentication.dkim)
        receiver = receiver_of(report.verdict.remote_mta, suffix_of)
        proved = {receiver_of(domain, suffix_of) for domain in (vouched.spf, *vouched.dkim) if domain}
        return receiver if receiver in proved else ""

    async def _understand(self, raw: bytes, envelope_sender: str | None) -> Understood:
        return await asyncio.to_thread(understand, raw, rules=self.rules, null_sender=envelope_sender is None)

    def _opened(self, purpose: Purpose, text: str) -> DeliveryId | MessageId | None:
        try:
            return DeliveryId(self.tokens.open(purpose, text.strip(), now=self.clock()))
        except TokenRefused:
            return None


def _answer_once(
    conn: sa.Connection,
    read: inbound.InboundResult,
    finding: DeliveryEvidence,
    sent: Sent,
    answer: NewAction,
    address: str,
) -> None:
    if not inbound.finish(conn, read, [finding]):
        return
    organization = sent.delivery.organization
    if inbound.take_oops(conn, organization, address, finding.now):
        actions.put(conn, organization, answer, finding.now)


def _missing_delivery(delivery: DeliveryId) -> _Missing:
    return _Missing(f"{ids.show('delivery', delivery)} of {ids.made_at(delivery):%Y-%m-%d %H:%M} UTC")


def _returned_too_much(conn: sa.Connection, delivery: DeliveryId) -> Alarm:
    organization = organizations.get(conn, inbound.organization_of(conn, delivery))
    name = "operator" if organization is None else organization.name
    text = f"mail to a return address of {name} was refused: its deliveries have had their octets of today"
    return alarm(f"returned-mail-refused {name}", text, None if organization is None else organization.id)


def _local_part(message_id: str) -> str:
    return message_id.strip().strip("<>").partition("@")[0]


def _write_durably(file: Path, write: Callable[[Path], None]) -> None:
    """Write the file, and fsync it and its folder, before it is reported."""
    write(file)
    for path, flags in ((file, os.O_RDONLY), (file.parent, os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(path, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _masked(verdict: Verdict) -> Verdict:
    """Programs quote our addresses and links; whoever may read of a failure is not to use them."""
    return replace(verdict, text=masked(verdict.text), matched=masked(verdict.matched))


def _count(understood: Understood, *, matched: bool) -> None:
    metrics.RETURNS.labels(understood.what, "yes" if matched else "no").inc()
