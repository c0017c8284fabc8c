"""Watch the return path: send ourselves a notice of failure as a stranger would, and see that it is heard.

What is decided about a round stands in `loop.watch`. Several processes may share one store: each looks at the round
under way, and one of them takes it on.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import nan

import structlog

from homing.flow import metrics
from homing.flow.alarms import noted
from homing.flow.outgoing import Clock, Letter, Outgoing
from homing.flow.wakeup import WakeUp
from homing.flow.worker import work_until_canceled
from homing.loop import watch
from homing.loop.evidence import Unroutable
from homing.loop.letters.letters import Text
from homing.loop.model import OPERATOR, Origin
from homing.loop.watch import PROBE_RECIPIENT, LoopFault, LoopProbe, LoopStanding, LoopState, ProbeState, RoundEnd
from homing.mail.address import parse_address
from homing.mail.compose import Mailbox
from homing.mail.compose_dsn import FailureNotice, failure_notice
from homing.mail.reply import Stage
from homing.net.route import Host, Router
from homing.net.smtp_client import Connection, Envelope, SmtpClient, Tls, Transcript
from homing.store import accepted_messages, alarms, loop_probes
from homing.store.database import Database
from homing.store.loop_probes import EndedRound, MadeProbe

SENT_WITHIN = 120.0
"""Seconds for all that happens between the look-up and the answer to the dot."""

_LOOK_EVERY = 5.0
_LOOK_CLOSELY = 0.2
_TEXT = Text(
    subject="Probe of the return path",
    body="This message is never sent. A notice about it tests the return path.\n",
    html=None,
)

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class LoopWatch:
    """`router` knows no addresses of our own, so that it leads here, but no private ones outside a lab. `port`: where
    strangers find mail hosts. `every`: between two rounds; zero: nothing is watched."""

    database: Database
    outgoing: Outgoing
    router: Router
    client: SmtpClient
    clock: Clock
    hostname: str
    port: int
    every: timedelta
    wake_up: WakeUp

    async def run(self) -> None:
        """Run until canceled, then stop at once: what was begun is begun again. Where nothing is watched, an alarm of
        before is closed."""
        if not self.every:
            await self.database.write(alarms.close, watch.CAUSES)
            return
        await work_until_canceled(
            self.look,
            failed="cannot watch the loop",
            every=_LOOK_EVERY,
            wake_up=self.wake_up,
            first_after=_LOOK_EVERY,
            patience=0.0,
        )

    async def look(self) -> None:
        """Do what the round under way is waiting for, if it is time."""
        now = self.clock()
        probe = await self.database.read(loop_probes.newest)
        if probe is None or watch.is_stale(probe, now):
            made = self._made(1 if probe is None else probe.round + 1, now, now + watch.FIRST_AFTER)
            await self.database.write(loop_probes.begin, made, probe)
        elif watch.is_due(probe, now):
            if await self.database.write(loop_probes.claim, probe, now):
                await self._send(replace(probe, state=ProbeState.SENDING, sent_at=now))
        elif probe.state is ProbeState.SENT:
            arrival = await self.database.read(loop_probes.arrival, probe)
            if end := watch.end_of_wait(probe, arrival, now):
                await self._finish(probe, end)
        self._measure(await self.standing())

    async def standing(self) -> LoopStanding:
        """How the return path stands."""
        if not self.every:
            return LoopStanding(state=LoopState.OFF)
        return await self.database.read(loop_probes.now_standing)

    async def round_now(self, within: float) -> bool:
        """Begin a round at once. Whether one ended within so many seconds."""
        before = await self.database.read(loop_probes.ended)
        until = asyncio.get_running_loop().time() + within
        while asyncio.get_running_loop().time() < until:
            await self.database.write(loop_probes.hurry, self.clock())
            await self.look()
            if await self.database.read(loop_probes.ended) != before:
                return True
            await asyncio.sleep(_LOOK_CLOSELY)
        return False

    async def close(self) -> None:
        await self.client.close()

    async def _send(self, probe: LoopProbe) -> None:
        """Send the notice of a round; the round goes on once a server has accepted it, and else has ended."""
        content = await self._notice(probe)
        envelope = Envelope(envelope_sender=None, recipient=probe.envelope_sender, content=content)
        try:
            async with asyncio.timeout(SENT_WITHIN):
                sent = await self._as_a_stranger(envelope)
        except TimeoutError:
            sent = RoundEnd(fault=LoopFault.UNREACHABLE, said=f"no answer within {SENT_WITHIN:g} seconds")
        if isinstance(sent, RoundEnd):
            await self._finish(probe, sent)
        else:
            await self.database.write(loop_probes.note_sent, probe, f"{sent.host} [{sent.ip}] accepted the notice")
            self.wake_up.wake()

    async def _as_a_stranger(self, envelope: Envelope) -> Transcript | RoundEnd:
        """Look up the hosts of the return domain, and offer the notice to one after the other. A transcript: of the
        host that has accepted it."""
        found = await self.router.route(envelope.recipient.rpartition("@")[2])
        if isinstance(found, Unroutable):
            return watch.end_of_route(found)
        first: RoundEnd | None = None
        for host in found.hosts[: watch.HOSTS]:
            transcript = await self._offer(replace(host, port=self.port), envelope)
            end = watch.end_of_dialogue(transcript)
            if end is None:
                return transcript
            first = first or end
            if not watch.asks_next_host(end):
                return end
        assert first is not None, "a route has hosts"
        return first

    async def _offer(self, host: Host, envelope: Envelope) -> Transcript:
        """TLS where it is offered; in clear where the handshake fails (RFC 7435)."""
        reached = await self.client.acquire(host)
        for tls in (Tls.AT_MOST_1_2, Tls.NONE):
            if isinstance(reached, Connection) or reached.stage is not Stage.TLS:
                break
            reached = await self.client.acquire(host, tls=tls)
        return await reached.send(envelope) if isinstance(reached, Connection) else reached

    async def _notice(self, probe: LoopProbe) -> bytes:
        header = await self.database.read(accepted_messages.content, OPERATOR, probe.message) or b""
        return failure_notice(
            FailureNotice(
                reporting_mta=self.hostname,
                to=probe.envelope_sender,
                final_recipient=PROBE_RECIPIENT,
                status="5.1.1",
                diagnostic_code="550 5.1.1 No such user here",
                header=header.partition(b"\r\n\r\n")[0] + b"\r\n",
                date=self.clock(),
                message_id=f"loop-watch-{probe.round}.{probe.delivery.hex}@{self.hostname}",
            )
        )

    async def _finish(self, probe: LoopProbe, end: RoundEnd) -> None:
        now = self.clock()
        following = self._made(probe.round + 1, now, watch.next_due(end, now, self.every))
        ended = await self.database.write(loop_probes.finish, probe, end, following)
        if ended is not None:
            self._tell(probe, end, ended)

    def _tell(self, probe: LoopProbe, end: RoundEnd, ended: EndedRound) -> None:
        noted(ended.alarm)
        if end.fault is not None:
            _log.warning("a notice to ourselves failed", round=probe.round, fault=end.fault.value, said=end.said)
        elif ended.closed:
            _log.info("the return path works again", round=probe.round)

    def _measure(self, now_is: LoopStanding) -> None:
        known = {LoopState.OK: 1.0, LoopState.DOUBTFUL: 1.0, LoopState.BROKEN: 0.0}
        metrics.RETURN_PATH_OK.set(known.get(now_is.state, nan))
        metrics.RETURN_PATH_OK_AT.set(now_is.concluded_at.timestamp() if now_is.concluded_at else 0)

    def _made(self, number: int, now: datetime, due_at: datetime) -> MadeProbe:
        """A probe as if mail: a message with one delivery, whose return address is minted like any other."""
        to = Mailbox(name="", address=parse_address(PROBE_RECIPIENT))
        letter = Letter(origin=Origin.LETTER, organization=OPERATOR, to=to, text=_TEXT)
        accepted = self.outgoing.letter(letter, now)
        (delivery,) = accepted.deliveries
        envelope_sender = self.outgoing.envelope_sender(delivery.id, delivery.identity, now, delivery.expires_at)
        probe = LoopProbe(
            round=number,
            delivery=delivery.id,
            message=accepted.message.id,
            envelope_sender=envelope_sender,
            made_at=now,
            due_at=due_at,
        )
        return MadeProbe(probe=probe, accepted=accepted)
