"""One attempt at a delivery: the route, the identity and the signature, then host after host until one is decisive.

An attempt row, committed just before MAIL FROM, says that a copy may go out, so that after a crash only open attempts
are in doubt.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import structlog

from homing.flow import metrics
from homing.flow.alarms import raise_alarm
from homing.flow.deliver.result import HostResult, Reader, Recorder, evidence_of, finds_us_too_fast, host_results
from homing.flow.deliver.sign import Plan, Signer
from homing.flow.identity_facts import IdentityFacts
from homing.flow.outgoing import Clock, Dice, Outgoing
from homing.loop.alarm import alarm
from homing.loop.domains.identity import resolve_again
from homing.loop.evidence import HeldBack, Unanswered, Unroutable
from homing.loop.ids import new_id
from homing.loop.model import AttemptId, Delivery, DeliveryId, Identity, Origin
from homing.loop.outcome import HELD_BACK
from homing.loop.queue import Places
from homing.loop.reading.classify import Rules
from homing.loop.reading.ours import Ours
from homing.loop.retry import DNS_PATIENCE
from homing.loop.throttle import Permit, Throttles
from homing.mail.address import domain_of
from homing.mail.compose import without_smtputf8
from homing.mail.departure_check import check_departure
from homing.mail.dmarc import SuffixOf
from homing.mail.reply import HOST_STAGES, Stage
from homing.mail.smtp_client import Envelope, Log, Silence, Transcript
from homing.net.route import Host, Router, Skipped
from homing.net.smtp_client import Connection, SmtpClient, Tls
from homing.store import deliveries, mail_domains
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.deliveries import OpenAttempt
from homing.store.record import AttemptResult

_HOSTS = 5
_AT_A_GLANCE = 256 * 1024
LONGEST = 1800.0
"""Seconds for one attempt, from its first question to its last answer."""
DEADLINE = "deadline"
NO_SIGNING_KEY = "no DKIM key signs for the domain now"

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Try:
    """One attempt in progress. `until`: when it is given up, in the event loop's time. `attempt`: the row opened before
    MAIL FROM, if the attempt came so far; `dot_left`: a copy may have gone out since. `content`: the signed bytes, once
    there is a host to try. `skipped`: hosts that were not tried. `hosts`: the result of each host tried; the last one
    decides."""

    leased: ClaimedDelivery
    until: float
    content: bytes = b""
    skipped: tuple[Skipped, ...] = ()
    attempt: AttemptId | None = None
    dot_left: bool = False
    hosts: list[HostResult] = field(default_factory=list)

    def leave_out(self, why: str) -> None:
        """The last host was not tried after all: no machine tries what it has no way to."""
        _, last = self.hosts.pop()
        self.skipped = (*self.skipped, Skipped(last.host, why))


@dataclass(slots=True, kw_only=True)
class DeliveryAgent:
    """Attempts claimed deliveries, one at each call, and records what came of each. `longest`: seconds for one. `helo`:
    the name that we give ourselves."""

    database: Database
    outgoing: Outgoing
    proved: IdentityFacts
    signer: Signer
    router: Router
    client: SmtpClient
    throttles: Throttles
    places: Places
    suffix_of: SuffixOf
    rules: Rules
    recorder: Recorder
    clock: Clock
    dice: Dice
    longest: float = LONGEST
    helo: str = ""
    unsent: set[DeliveryId] = field(default_factory=set)
    """Of attempts that were canceled: those whose message had certainly not left."""

    async def close(self) -> None:
        """Close connections and the signer's threads, once nothing runs any more."""
        await self.client.close()
        self.signer.close()

    async def deliver(self, leased: ClaimedDelivery) -> None:
        """Make one attempt and record it. Raises only bugs, and errors that no repetition cures."""
        domain = domain_of(leased.delivery.recipient)
        trial = _Try(leased=leased, until=asyncio.get_running_loop().time() + self.longest)
        try:
            await self._deliver(trial, domain)
        except asyncio.CancelledError:
            if not trial.dot_left:
                self.unsent.add(leased.delivery.id)
            raise

    async def _deliver(self, trial: _Try, domain: str) -> None:
        leased = trial.leased
        try:
            async with asyncio.timeout_at(trial.until):
                route = await self.router.route(domain)
        except TimeoutError:
            trial.hosts.append((self.clock(), _given_up(Stage.CONNECT)))
            await self._conclude(trial)
            return
        if isinstance(route, Unroutable):
            route = await self._believed(route, domain)
            result = AttemptResult(started_at=self.clock(), stage=Stage.ROUTE, silence=route.fault.value)
            await self.recorder.record(leased, route, result)
            return
        trial.skipped = route.skipped
        if await self._try_hosts(trial, await self._in_order(leased.delivery, route.hosts)):
            await self._conclude(trial)

    async def _believed(self, route: Unroutable, domain: str) -> Unroutable:
        """The finding; a domain that took mail not long ago is given a day."""
        if not route.permanent:
            return route
        now = self.clock()
        since = await self.database.write(mail_domains.denied_since, domain, now)
        return replace(route, took_mail=since is not None and now - since < DNS_PATIENCE)

    async def _signed(self, trial: _Try) -> bool:
        """Whether the bytes that go out are there, by the identity and the keys that hold now."""
        if trial.content:
            return True
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
            return False
        trial.content, trial.leased = await self._content(leased, plan)
        return True

    async def _identified(self, leased: ClaimedDelivery) -> ClaimedDelivery:
        """The delivery with the identity that holds now: proofs may have lapsed since acceptance or the last attempt.
        Under other names it is a different mail, and is signed as such."""
        facts = await self.proved.facts(leased.delivery.organization, leased.organization_name)
        tried = leased.signed_at is not None
        identity = resolve_again(leased.identity, domain_of(leased.delivery.recipient), facts, tried=tried)
        if identity is leased.identity:
            return leased
        return replace(leased, identity=identity, instead_of_identity=leased.identity, selector=None, signed_at=None)

    async def _content(self, leased: ClaimedDelivery, plan: Plan) -> tuple[bytes, ClaimedDelivery]:
        """The bytes that go out, the same at every attempt: the first one's keys and time of signing are kept. Only who
        has such an address himself gets the others' that need SMTPUTF8; the body, and so its hash, is everybody's."""
        if leased.smtputf8 and leased.delivery.recipient.isascii():
            leased = replace(leased, content=without_smtputf8(leased.content), smtputf8=False)
        raw = self.outgoing.front(leased.delivery.id, leased.identity, leased.delivery.created_at) + leased.content
        content = await self.signer.signed(raw, plan, leased.delivery.expires_at, leased.body_hash)
        await self._check_departure(content, leased.identity)
        instead_of = leased.selector if plan.anew else None
        return content, replace(leased, selector=plan.selectors, signed_at=plan.signed_at, instead_of=instead_of)

    async def _hold_back(self, leased: ClaimedDelivery) -> None:
        """Hold the delivery back until its domain has a key that signs: nothing goes out unsigned."""
        now, domain = self.clock(), leased.identity.sending_domain
        await raise_alarm(
            self.database, alarm(f"no-signing-key {domain}", NO_SIGNING_KEY, leased.delivery.organization), now
        )
        evidence = Unanswered(stage=Stage.ROUTE, why=NO_SIGNING_KEY, host="")
        result = AttemptResult(started_at=now, stage=Stage.ROUTE, silence=NO_SIGNING_KEY)
        await self.recorder.record(leased, evidence, result)

    async def _check_departure(self, content: bytes, identity: Identity) -> None:
        """The last look at the very bytes that go out. What does not pass is a bug of ours and never leaves."""
        domains = (identity.sending_domain, self.outgoing.operator.from_domain)
        if len(content) <= _AT_A_GLANCE:
            check_departure(content, *domains)
        else:
            await asyncio.to_thread(check_departure, content, *domains)

    async def _in_order(self, delivery: Delivery, hosts: tuple[Host, ...]) -> Sequence[Host]:
        """The hosts by preference; but where there are too many for one attempt, those first that could be reached or
        were not tried yet, so that each has its turn (RFC 5321 §5.1)."""
        if len(hosts) <= _HOSTS or not delivery.attempts:
            return hosts
        times = await self.database.read(deliveries.unreached, delivery.id)
        return sorted(hosts, key=lambda host: times.get(host.ip, 0))

    async def _try_hosts(self, trial: _Try, hosts: Sequence[Host]) -> bool:
        """Try hosts until the result of one is decisive, each at the pace of its receiver. False: there is nothing to
        conclude. What is held back at the first host waits, and no attempt is counted."""
        left, tried, without_route = list(hosts), 0, set[_Network]()
        while left and tried < _HOSTS:
            host = left.pop(0)
            receiver = self._reader(trial).receiver(host.name)
            self.places.settle(trial.leased.place, receiver)
            turn = self.throttles.begin(receiver, trial.leased.delivery.id, self.clock())
            if isinstance(turn, datetime) and not trial.hosts:
                await self.recorder.record(trial.leased, HeldBack(receiver=receiver, until=turn))
                return False
            if isinstance(turn, datetime):
                trial.skipped = (*trial.skipped, Skipped(host.name, HELD_BACK))
                break
            if not await self._try_host(trial, host, turn):
                return False
            last = trial.hosts[-1][1]
            if last.silence == Silence.NO_ROUTE:
                without_route.add(_network(host.ip))
                left = [other for other in left if not _beyond(other.ip, without_route)]
                if left or len(trial.hosts) > 1:
                    trial.leave_out(f"no route from here to {host.ip}")
                continue
            tried += 1
            if finds_us_too_fast(last, self._reader(trial)) or not _worth_another_host(last):
                break
        return True

    async def _try_host(self, trial: _Try, host: Host, turn: Permit) -> bool:
        """Add what came of this host to `trial.hosts`. If it complains about our pace, its own receiver is slowed down,
        and nobody else's. False: nothing may be sent."""
        before = len(trial.hosts)
        try:
            return await self._signed(trial) and await self._ask(trial, host)
        finally:
            said = [one for _, one in trial.hosts[before:]]
            complaint = next((one for one in said if finds_us_too_fast(one, self._reader(trial))), None)
            self.throttles.end(turn, well=complaint is None and _answered(said))
            if complaint is not None:
                self._slow_down(turn.receiver, complaint)
            metrics.SLOWED.set(self.throttles.slowed)

    async def _ask(self, trial: _Try, host: Host) -> bool:
        """Send there, if there is a connection. False: the lease was lost meanwhile."""
        connection = await self._reach(trial, host)
        if connection is None:
            return True
        if not await self._may_send(trial, host, connection):
            return False
        trial.hosts.append((self.clock(), await self._send(trial, host, connection)))
        return True

    def _slow_down(self, receiver: str, said: Transcript) -> None:
        until = self.throttles.slow_down(receiver, self.clock())
        if until is not None:
            _log.warning("slowing down", receiver=receiver, until=until.isoformat(), said=str(said.reply))

    async def _reach(self, trial: _Try, host: Host) -> Connection | None:
        """A connection, or None with the failures added to `trial.hosts`."""
        for tls in Tls:
            since, log = self.clock(), Log()
            try:
                async with asyncio.timeout_at(trial.until):
                    reached = await self.client.acquire(host, tls=tls, log=log)
            except TimeoutError:
                reached = replace(_given_up(Stage.CONNECT, host), log=log)
            if isinstance(reached, Connection):
                return reached
            trial.hosts.append((since, reached))
            if reached.stage is not Stage.TLS:  # TLS is opportunistic: better in clear than not
                break
        return None

    async def _may_send(self, trial: _Try, host: Host, connection: Connection) -> bool:
        """Whether the intent to send is committed; if not, the connection is released."""
        if trial.attempt is not None:
            return True
        try:
            trial.attempt = await self._open_attempt(trial, host, connection.egress_ip)
        finally:
            if trial.attempt is None:
                connection.release()
        return trial.attempt is not None

    async def _send(self, trial: _Try, host: Host, connection: Connection) -> Transcript:
        try:
            async with asyncio.timeout_at(trial.until):
                return await connection.send(self._envelope(trial.leased, trial.content))
        except TimeoutError:
            given_up = _given_up(connection.reached, host)
            return replace(given_up, tls=connection.tls, egress_ip=connection.egress_ip, log=connection.log)
        finally:
            trial.dot_left = connection.reached is Stage.DOT

    async def _conclude(self, trial: _Try) -> None:
        """The last host decides; what came of those before it is kept beside."""
        reader = self._reader(trial)
        results = host_results(trial.hosts, trial.skipped, reader, trial.attempt)
        evidence = evidence_of(trial.hosts[-1][1], reader)
        await self.recorder.record(trial.leased, evidence, *results)

    def _reader(self, trial: _Try) -> Reader:
        identity = trial.leased.identity
        ours = Ours(return_domain=identity.return_domain, from_domain=domain_of(identity.header_from), helo=self.helo)
        recipient = trial.leased.delivery.recipient
        return Reader(rules=self.rules, suffix_of=self.suffix_of, ours=ours, recipient=recipient)

    async def _open_attempt(self, trial: _Try, host: Host, egress_ip: str) -> AttemptId | None:
        now, leased = self.clock(), trial.leased
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
                egress_ip=egress_ip,
                receiver=self._reader(trial).receiver(host.name),
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
            smtputf8=not (content.isascii() and delivery.recipient.isascii()),
            envid=delivery.message.hex,
            orcpt=delivery.recipient,
        )


def _countersigned(identity: Identity) -> bool:
    """Whether the operator's domain signs beside the sending domain: it does if complaints go to the operator's domain
    and From has another one (RFC 9477 §3.1 asks for a signature by either)."""
    return identity.feedback_to is not None and domain_of(identity.feedback_to) != identity.sending_domain


def _answered(said: Sequence[Transcript]) -> bool:
    """Whether the last dialogue came to its end."""
    return bool(said) and said[-1].reply is not None and said[-1].stage not in HOST_STAGES


def _worth_another_host(transcript: Transcript) -> bool:
    """Whether to try the next host: this one was unreachable or broke off before the message was sent, and time is
    left."""
    if transcript.silence == DEADLINE:
        return False
    if transcript.stage in HOST_STAGES:
        return True
    if transcript.stage is Stage.DOT:
        return False
    return transcript.reply is None or transcript.reply.reply_code == 421


_Network = IPv4Network | IPv6Network


def _network(ip: str) -> _Network:
    """What one route usually leads to."""
    return ip_network((ip, 16 if ip_address(ip).version == 4 else 32), strict=False)


def _beyond(ip: str, without_route: Collection[_Network]) -> bool:
    """Whether there is no use in trying the address: its network cannot be reached, or two others of its family."""
    address = ip_address(ip)
    same_family = [network for network in without_route if network.version == address.version]
    return len(same_family) > 1 or any(address in network for network in same_family)


def _given_up(stage: Stage, host: Host | None = None) -> Transcript:
    """The transcript of an attempt that ran out of time. At stage `dot` a copy may have been delivered."""
    name, ip = (host.name, host.ip) if host else ("", "")
    return Transcript(stage=stage, reply=None, silence=DEADLINE, host=name, ip=ip, tls="")
