"""Deliver what is due: claim, sign, find the way, talk, conclude, record.

The delivery row is the job. A claim is a lease with an epoch; an attempt row, committed just before MAIL FROM, says
that a copy may go out, so that after a crash only open attempts are in doubt.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from homing.flow import metrics
from homing.flow.alarms import noted, raise_alarm
from homing.flow.ending import PATIENCE, all_to_their_end, to_its_end
from homing.flow.identity_facts import IdentityFacts
from homing.flow.outgoing import Clock, Dice, LastClockJump, Outgoing
from homing.flow.sign import Plan, Signer
from homing.flow.wakeup import WakeUp
from homing.loop.alarm import alarm
from homing.loop.domains.identity import resolve_again
from homing.loop.evidence import Answered, Evidence, HeldBack, Unanswered, Unroutable
from homing.loop.ids import new_id, show
from homing.loop.model import AttemptId, DeliveryId, Identity, Origin, Verdict
from homing.loop.outcome import Outcome
from homing.loop.policy import not_believed
from homing.loop.reading.classify import Rules, classify
from homing.loop.throttle import Throttles, too_fast
from homing.mail.departure_check import check_departure
from homing.mail.reply import Reply, Stage
from homing.mail.smtp_client import Envelope, Silence, Transcript
from homing.net.route import Host, Route, Router, Skipped
from homing.net.smtp_client import Connection, SmtpClient
from homing.store import deliveries
from homing.store.database import Database
from homing.store.deliveries import Capacity, ClaimedDelivery, OpenAttempt
from homing.store.dialect import hopeless
from homing.store.record import AttemptResult, DeliveryEvidence, record

LEASE = timedelta(seconds=180)
_RENEW_EVERY = 60.0
_LOOK_EVERY = 0.5
_HOSTS = 5
_AT_A_GLANCE = 256 * 1024
LONGEST = 1800.0
"""Seconds for one attempt, from its first question to its last answer."""
DEADLINE = "deadline"
NO_SIGNING_KEY = "no DKIM key signs for the domain now"
OCTETS_AT_ONCE = 128 * 1024 * 1024
"""Contents in memory: beyond that nothing new is claimed, however many deliveries there is room for."""
_Lease = tuple[DeliveryId, int]
"""A delivery and the epoch of its claim."""

_Answer = tuple[datetime, Transcript]

_HOST_STAGES = frozenset({Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.TLS})

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Try:
    """One attempt on its way. `until`: when it is given up, in the loop's time. `attempt`: the row that was opened
    before MAIL FROM, if it came so far. `skipped`: hosts that nobody is asked at. `answers`: what came of each other
    one, and since when; the last one decides."""

    leased: ClaimedDelivery
    until: float
    skipped: tuple[Skipped, ...] = ()
    attempt: AttemptId | None = None
    answers: list[_Answer] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Deliverer:
    """Works off the queue, `at_once` deliveries at a time. `owner` names this process in its leases; `work` is rung
    when something became due; it rings `actions` when a policy has steps to take, and `news` when anything happened."""

    database: Database
    outgoing: Outgoing
    proved: IdentityFacts
    signer: Signer
    router: Router
    client: SmtpClient
    throttles: Throttles
    rules: Rules
    clock: Clock
    jumped_at: LastClockJump
    dice: Dice
    owner: str
    at_once: int
    work: WakeUp
    actions: WakeUp
    news: WakeUp
    patience: float = PATIENCE
    longest: float = LONGEST
    _running: dict[_Lease, asyncio.Task[None]] = field(default_factory=dict)
    _octets: int = 0

    async def run(self) -> None:
        """Until canceled: then nothing new is claimed, and what runs is given half a minute to end."""
        renewing = asyncio.create_task(self._renew_leases())
        try:
            while True:
                if not await self._claimed_some():
                    await self.work.wait(_LOOK_EVERY)
        finally:
            renewing.cancel()
            await all_to_their_end(self._running.values(), self.patience)
            await self._give_back()

    async def _claimed_some(self) -> bool:
        try:
            return await to_its_end(self._claim())
        except Exception:  # noqa: BLE001 - whatever it is, the worker lives on
            _log.exception("cannot claim deliveries")
            await asyncio.sleep(_LOOK_EVERY)
            return False

    async def _claim(self) -> bool:
        """Claim as much as there is room for; whether there may be more at once."""
        room, octets = self.at_once - len(self._running), OCTETS_AT_ONCE - self._octets
        if room <= self.at_once // 4 or octets <= 0:
            return False
        now = self.clock()
        jumped_at = not_believed(self.jumped_at(), now)
        claimed = await self.database.write(deliveries.claim, self.owner, now, Capacity(room, octets), LEASE, jumped_at)
        for leased in claimed:
            task = asyncio.create_task(self._work_on(leased))
            self._running[leased.delivery.id, leased.delivery.epoch] = task
            self._octets += len(leased.content)
            task.add_done_callback(lambda _, leased=leased: self._done(leased))  # type: ignore[misc]
        if claimed:
            self.news.wake()
        return len(claimed) == room

    def _done(self, leased: ClaimedDelivery) -> None:
        del self._running[leased.delivery.id, leased.delivery.epoch]
        self._octets -= len(leased.content)
        if len(self._running) <= self.at_once // 2:
            self.work.wake()

    async def _work_on(self, leased: ClaimedDelivery) -> None:
        """One delivery. A bug costs this attempt and no more: the lease runs out, and what was opened is in doubt."""
        try:
            await self._deliver(leased)
        except Exception:  # noqa: BLE001 - the one catch of this worker
            _log.exception("delivery attempt broke", delivery=show("delivery", leased.delivery.id))
        finally:
            self.news.wake()

    async def _deliver(self, leased: ClaimedDelivery) -> None:
        domain = leased.delivery.recipient.rpartition("@")[2]
        trial = _Try(leased=leased, until=asyncio.get_running_loop().time() + self.longest)
        try:
            async with asyncio.timeout_at(trial.until):
                route = await self.router.route(domain)
        except TimeoutError:
            trial.answers.append((self.clock(), _given_up(Stage.CONNECT)))
            await self._conclude(trial)
            return
        if isinstance(route, Unroutable):
            result = AttemptResult(started_at=self.clock(), stage=Stage.ROUTE, silence=route.fault.value)
            await self._record(leased, route, result)
            return
        trial.skipped = route.skipped
        await self._throttled(trial, route)

    async def _throttled(self, trial: _Try, route: Route) -> None:
        """As fast as the receiver likes. A delivery that does not begin waits, and no attempt is counted."""
        receiver, delivery = self.throttles.receiver_of(route.hosts[0].name), trial.leased.delivery.id
        turn = self.throttles.begin(receiver, delivery, self.clock())
        if isinstance(turn, datetime):
            await self._record(trial.leased, HeldBack(receiver=receiver, until=turn))
            return
        try:
            await self._attempt(trial, route)
        finally:
            complaint = next((said for _, said in trial.answers if self._too_fast(said)), None)
            self.throttles.end(turn, well=complaint is None and _answered(trial))
            if complaint is not None:
                self._slow_down(receiver, complaint)
            metrics.SLOWED.set(self.throttles.slowed)

    def _too_fast(self, transcript: Transcript) -> bool:
        reply = transcript.reply
        if reply is None or reply.positive:
            return False
        return too_fast(self._verdict(reply, transcript.stage, transcript.host))

    def _slow_down(self, receiver: str, said: Transcript) -> None:
        until = self.throttles.slow_down(receiver, self.clock())
        if until is not None:
            _log.warning("slowing down", receiver=receiver, until=until.isoformat(), said=str(said.reply))

    async def _attempt(self, trial: _Try, route: Route) -> None:
        leased = await self._identified(trial.leased)
        plan = self.signer.plan(
            leased.identity.sending_domain,
            leased.selector,
            leased.signed_at,
            self.clock(),
            countersigned=_countersigned(leased.identity),
            organization=None if leased.delivery.origin.ours else leased.delivery.organization,
        )
        if plan is None:
            await self._hold_back(leased)
            return
        content, trial.leased = await self._content(leased, plan)
        if await self._try_hosts(trial, content, route.hosts[:_HOSTS]):
            await self._conclude(trial)

    async def _identified(self, leased: ClaimedDelivery) -> ClaimedDelivery:
        """With the identity that stands now: what was proved at acceptance, or at the last attempt, may be so no more.
        Under other names it is another mail, and signed as such."""
        now = self.clock()
        facts = await self.proved.facts(leased.delivery.organization, leased.organization_name, now)
        tried = leased.signed_at is not None
        identity = resolve_again(leased.identity, leased.delivery.recipient.rpartition("@")[2], facts, tried=tried)
        if identity is leased.identity:
            return leased
        return replace(leased, identity=identity, instead_of_identity=leased.identity, selector=None, signed_at=None)

    async def _content(self, leased: ClaimedDelivery, plan: Plan) -> tuple[bytes, ClaimedDelivery]:
        """The bytes that go out, the same at every attempt: the first one's keys and time of signing are kept."""
        raw = self.outgoing.front(leased.delivery.id, leased.identity, leased.delivery.created_at) + leased.content
        content = await self.signer.signed(raw, plan, leased.delivery.expires_at)
        await self._check_departure(content, leased.identity)
        instead_of = leased.selector if plan.anew else None
        return content, replace(leased, selector=plan.selectors, signed_at=plan.signed_at, instead_of=instead_of)

    async def _hold_back(self, leased: ClaimedDelivery) -> None:
        """Nothing goes out unsigned: it waits until its domain has a key that signs."""
        now, domain = self.clock(), leased.identity.sending_domain
        await raise_alarm(
            self.database, alarm(f"no-signing-key {domain}", NO_SIGNING_KEY, leased.delivery.organization), now
        )
        evidence = Unanswered(stage=Stage.ROUTE, why=NO_SIGNING_KEY, host="")
        await self._record(leased, evidence, AttemptResult(started_at=now, stage=Stage.ROUTE, silence=NO_SIGNING_KEY))

    async def _check_departure(self, content: bytes, identity: Identity) -> None:
        """The last look at the very bytes that go out. What does not pass is a bug of ours and never leaves."""
        domains = (identity.sending_domain, self.outgoing.operator.from_domain)
        if len(content) <= _AT_A_GLANCE:
            check_departure(content, *domains)
        else:
            await asyncio.to_thread(check_departure, content, *domains)

    async def _try_hosts(self, trial: _Try, content: bytes, hosts: tuple[Host, ...]) -> bool:
        """As many hosts as it takes until one hears us out. False: the lease was lost meanwhile."""
        for host in hosts:
            connection = await self._reach(trial, host)
            if connection is not None:
                if not await self._may_send(trial, host, connection):
                    return False
                trial.answers.append((self.clock(), await self._send(trial, host, connection, content)))
            last = trial.answers[-1][1]
            if self._too_fast(last) or not _worth_another_host(last):
                break
        return True

    async def _reach(self, trial: _Try, host: Host) -> Connection | None:
        """A connection; else what came of it is in the trial."""
        for starttls in (True, False):
            since = self.clock()
            try:
                async with asyncio.timeout_at(trial.until):
                    reached = await self.client.acquire(host, starttls=starttls)
            except TimeoutError:
                reached = _given_up(Stage.CONNECT, host)
            if isinstance(reached, Connection):
                return reached
            trial.answers.append((since, reached))
            if reached.stage is not Stage.TLS:  # TLS is opportunistic: better in clear than not
                break
        return None

    async def _may_send(self, trial: _Try, host: Host, connection: Connection) -> bool:
        """Whether the intent to send stands in the store; without it the connection is given back."""
        if trial.attempt is not None:
            return True
        try:
            trial.attempt = await self._open_attempt(trial.leased, host)
        finally:
            if trial.attempt is None:
                connection.release()
        return trial.attempt is not None

    async def _send(self, trial: _Try, host: Host, connection: Connection, content: bytes) -> Transcript:
        try:
            async with asyncio.timeout_at(trial.until):
                return await connection.send(self._envelope(trial.leased, content))
        except TimeoutError:
            return _given_up(connection.reached, host, connection.tls)

    async def _open_attempt(self, leased: ClaimedDelivery, host: Host) -> AttemptId | None:
        now = self.clock()
        attempt = AttemptId(new_id(now, self.dice()))
        opened = await self.database.write_grouped(
            deliveries.begin_attempts,
            OpenAttempt(
                id=attempt,
                delivery=leased.delivery.id,
                epoch=leased.delivery.epoch,
                started_at=now,
                host=host.name,
                ip=host.ip,
                selector=leased.selector or "",
                signed_at=leased.signed_at or now,
                instead_of=leased.instead_of,
                renamed=None if leased.instead_of_identity is None else (leased.instead_of_identity, leased.identity),
            ),
        )
        return attempt if opened else None

    def _envelope(self, leased: ClaimedDelivery, content: bytes) -> Envelope:
        delivery = leased.delivery
        envelope_sender = None
        if delivery.origin is not Origin.OOPS:
            envelope_sender = self.outgoing.envelope_sender(
                delivery.id, leased.identity, delivery.created_at, delivery.expires_at
            )
        return Envelope(
            envelope_sender=envelope_sender,
            recipient=delivery.recipient,
            content=content,
            smtputf8=leased.smtputf8 or not delivery.recipient.isascii(),
            envid=delivery.message.hex,
            orcpt=delivery.recipient,
        )

    def _evidence(self, transcript: Transcript) -> Evidence:
        found = {"host": transcript.host, "ip": transcript.ip, "tls": transcript.tls}
        reply = transcript.reply or _OUR_OWN_FINDINGS.get(transcript.silence or "")
        if reply is None:
            return Unanswered(stage=transcript.stage, why=transcript.silence or "silence", **found)
        stage = transcript.stage if transcript.reply else Stage.DATA
        return Answered(stage=stage, reply=reply, verdict=self._verdict(reply, stage, transcript.host), **found)

    def _verdict(self, reply: Reply, stage: Stage, host: str) -> Verdict:
        if reply.positive:
            return Verdict(failure_class="delivered", kind="none", rule="reply-positive", reply_code=reply.reply_code)
        return classify(reply, stage=stage, status="", text="", remote_mta=host, rules=self.rules)

    async def _conclude(self, trial: _Try) -> None:
        """The last host decides; what came of those before it is kept beside."""
        *before, (_, last) = trial.answers
        first, *ends = [since for since, _ in trial.answers]
        skipped = [
            AttemptResult(started_at=first, ended_at=first, stage=Stage.ROUTE, host=one.host, silence=one.why)
            for one in trial.skipped
        ]
        passed_over = (
            *skipped,
            *(
                replace(self._result(since, transcript), ended_at=end)
                for (since, transcript), end in zip(before, ends, strict=True)
            ),
        )
        since, _ = trial.answers[-1]
        result = replace(self._result(since, last), id=trial.attempt)
        await self._record(trial.leased, self._evidence(last), result, passed_over)

    def _result(self, since: datetime, transcript: Transcript) -> AttemptResult:
        evidence = self._evidence(transcript)
        return AttemptResult(
            started_at=since,
            stage=transcript.stage,
            host=transcript.host,
            ip=transcript.ip,
            tls=transcript.tls,
            reply=transcript.reply,
            silence=transcript.silence or "",
            verdict=evidence.verdict if isinstance(evidence, Answered) else None,
            in_doubt=transcript.stage is Stage.DOT and transcript.reply is None,
        )

    async def _record(
        self,
        leased: ClaimedDelivery,
        evidence: Evidence,
        result: AttemptResult | None = None,
        passed_over: tuple[AttemptResult, ...] = (),
    ) -> None:
        finding = DeliveryEvidence(
            delivery=leased.delivery.id,
            evidence=evidence,
            now=self.clock(),
            epoch=leased.delivery.epoch,
            attempt=result,
            passed_over=passed_over,
        )
        outcome = await self._written(finding)
        if outcome:
            metrics.CONCLUSIONS.labels(outcome.delivery.state).inc()
            noted(outcome.alarm)
        if outcome and outcome.actions:
            self.actions.wake()

    async def _written(self, finding: DeliveryEvidence) -> Outcome | None:
        """However long the database takes: what we know of a copy must not become a doubt. Raises what no repetition
        mends."""
        patience = 0.1
        while True:
            try:
                return await self.database.write_grouped(record, finding)
            except (SQLAlchemyError, OSError) as error:
                if hopeless(error):
                    raise
                _log.exception("cannot write a result", delivery=show("delivery", finding.delivery))
                await asyncio.sleep(patience)
                patience = min(patience * 2, 10.0)

    async def _give_back(self) -> None:
        """What could not be ended in time is another's at once, and nobody takes our stopping for a death."""
        try:
            await self.database.write(deliveries.recover, self.clock(), self.owner.__eq__, given_back=True)
        except (SQLAlchemyError, OSError):
            _log.exception("cannot give leases back")

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            try:
                held = {delivery for delivery, _ in self._running}
                await self.database.write(deliveries.renew, self.owner, held, self.clock() + LEASE)
            except Exception:  # noqa: BLE001 - whatever it is, the worker lives on
                _log.exception("cannot renew leases")


_OUR_OWN_FINDINGS = {
    Silence.SMTPUTF8_NOT_OFFERED.value: Reply(
        553, "5.6.7", "The recipient's server does not take internationalized addresses (SMTPUTF8 is not offered)."
    ),
    Silence.SIZE_EXCEEDED.value: Reply(
        552, "5.3.4", "The message is larger than the recipient's server says it takes (SIZE)."
    ),
}
"""What no server had to be asked for: permanent, and about the message."""


def _countersigned(identity: Identity) -> bool:
    """Whether the operator's domain signs beside the sending domain: complaints go to an address of its, and From is of
    another (RFC 9477 §3.1 asks for a signature by either)."""
    return identity.feedback_to is not None and identity.feedback_to.rpartition("@")[2] != identity.sending_domain


def _answered(trial: _Try) -> bool:
    """Whether the last host that was tried talked to us to the end."""
    if not trial.answers:
        return False
    last = trial.answers[-1][1]
    return last.reply is not None and last.stage not in _HOST_STAGES


def _worth_another_host(transcript: Transcript) -> bool:
    """A host that could not be talked to, or that broke off before the message was on its way, with time left."""
    if transcript.silence == DEADLINE:
        return False
    if transcript.stage in _HOST_STAGES:
        return True
    if transcript.stage is Stage.DOT:
        return False
    return transcript.reply is None or transcript.reply.reply_code == 421


def _given_up(stage: Stage, host: Host | None = None, tls: str = "") -> Transcript:
    """The attempt has lasted too long. At stage `dot` a copy may be out there."""
    name, ip = (host.name, host.ip) if host else ("", "")
    return Transcript(stage=stage, reply=None, silence=DEADLINE, host=name, ip=ip, tls=tls, lines=())
