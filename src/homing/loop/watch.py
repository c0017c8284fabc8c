"""The loop watch: whether a notice of failure still finds its way back to us.

A gateway whose return path is broken sends on, and nothing that fails later is ever heard of. So, round after round, a
probe is made: a delivery of our own that is recorded as delivered and never sent. When its round comes, a notice of its
failure goes out from the null sender to its envelope sender, as a stranger's would: by the MX records of the return
domain, to a public address, port 25. It must come in by the door, be read, and end the probe as `bounced`.

The probe of a round was made at the end of the one before, so that its token is as old as those of mail on its way:
keys that were lost meanwhile are noticed. Where a round fails for a reason that passes by itself, the next one decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from homing.loop.alarm import Alarm, alarm
from homing.loop.evidence import RouteFault, Unroutable
from homing.loop.masking import masked
from homing.loop.model import OPERATOR, Delivery, DeliveryId, MessageId
from homing.mail.reply import HOST_STAGES, Stage
from homing.mail.smtp_client import Transcript
from homing.mail.text import clean

PROBE_RECIPIENT = "probe@loop-watch.invalid"
"""Nobody's address, for ever (RFC 2606 §2)."""

FIRST_AFTER = timedelta(minutes=1)
AGAIN_AFTER = timedelta(minutes=10)
"""How soon a round follows one that failed."""

CONCLUDED_WITHIN = timedelta(minutes=10)
"""From the moment at which a server accepted the notice."""

LEASE = timedelta(minutes=5)
"""After that, whoever began to send the notice is taken for dead."""

STALE_AFTER = timedelta(days=7)
"""A probe that has waited for so long, since nobody ran, says nothing of mail that is on its way."""

KEPT = timedelta(days=30)
HOSTS = 5
_NO_SUCH_ADDRESS = "5.1.1"
"""What our own door says to a token that it does not know, as others do of addresses."""
_TEXT = 300


class ProbeState(StrEnum):
    """`sent`: a server has accepted the notice. `concluded` and `failed` are the ends of a round."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    CONCLUDED = "concluded"
    FAILED = "failed"


class LoopFault(StrEnum):
    """Where the way back is broken. The values are stable: they stand in alarms, the API and the metrics' log."""

    LOOKUP_FAILED = "lookup-failed"
    NO_MX = "no-mx"
    PRIVATE_MX = "private-mx"
    UNREACHABLE = "unreachable"
    DEFERRED = "deferred"
    REFUSED = "refused"
    TOKEN_REFUSED = "token-refused"  # noqa: S105 - no password
    LOST = "lost"
    NOT_CONCLUDED = "not-concluded"
    MISREAD = "misread"


CURES = {
    LoopFault.LOOKUP_FAILED: "The DNS gave no answer about the return domain. Check its name servers, and the "
    "resolvers of this machine.",
    LoopFault.NO_MX: "The return domain has no MX record that leads to a mail host. Publish the records that "
    "`homing config check` prints.",
    LoopFault.PRIVATE_MX: "The MX record of the return domain leads to an address that nobody outside can reach. "
    "Publish a public one.",
    LoopFault.UNREACHABLE: "No host behind the MX record of the return domain takes mail on port 25. Check its "
    "address, the firewall and `smtp_port`. If others can reach it and only this machine cannot (NAT without "
    "hairpin), set `loop_watch_minutes = 0`.",
    LoopFault.DEFERRED: "The host behind the MX record of the return domain puts notices off. Its reply says why.",
    LoopFault.REFUSED: "The host behind the MX record of the return domain refuses notices from the null sender. If "
    "it is not this gateway, correct the MX record; else its reply says why.",
    LoopFault.TOKEN_REFUSED: "The host behind the MX record of the return domain does not know our return addresses: "
    "the token keys have changed, differ between nodes (`token-keys.json` in `data_dir`), or it is another server.",
    LoopFault.LOST: "A server accepted the notice, and it never came here: the MX record leads to another server, or "
    "to a gateway on another database.",
    LoopFault.NOT_CONCLUDED: "The notice came in and was not worked on in time. Look in the log for what stops the "
    "workers.",
    LoopFault.MISREAD: "The notice came in and was not understood as a failure, which is a bug. The mail is kept at "
    "`/inbound`: report it.",
}

_CERTAIN = frozenset(
    {LoopFault.NO_MX, LoopFault.PRIVATE_MX, LoopFault.REFUSED, LoopFault.TOKEN_REFUSED, LoopFault.MISREAD}
)
"""Said by a server, or seen here: no second round is needed to believe it."""

_OF_ROUTE = {
    RouteFault.LOOKUP_FAILED: LoopFault.LOOKUP_FAILED,
    RouteFault.PRIVATE_ADDRESS: LoopFault.PRIVATE_MX,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopProbe:
    """One round: its probe, when the notice is due, and how it ended. `envelope_sender`: as mail would have borne it.
    `fault` None at the end: all went well. `said`: by which server, in whose words."""

    round: int
    delivery: DeliveryId
    message: MessageId
    envelope_sender: str
    made_at: datetime
    due_at: datetime
    state: ProbeState = ProbeState.WAITING
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    fault: LoopFault | None = None
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundEnd:
    """How a round ended; `fault` None: the notice was received and concluded."""

    fault: LoopFault | None = None
    said: str = ""


class LoopState(StrEnum):
    """`doubtful`: the last round failed in a way that may pass; the next one decides."""

    OK = "ok"
    DOUBTFUL = "doubtful"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStanding:
    """How the return path stands. `last`: the last round that ended. `concluded_at`: when a round ended well last."""

    state: LoopState
    last: LoopProbe | None = None
    concluded_at: datetime | None = None

    @property
    def cure(self) -> str:
        """What to do about it; "" where nothing is to be done."""
        return "" if self.last is None or self.last.fault is None else CURES[self.last.fault]


def is_probe(delivery: Delivery) -> bool:
    """Whether this is no mail of anybody's, but a probe of the watch."""
    return delivery.organization == OPERATOR and delivery.recipient == PROBE_RECIPIENT


def is_due(probe: LoopProbe, now: datetime) -> bool:
    """Whether its notice is to be sent now. Whoever began that and was not heard of again is dead."""
    if probe.state is ProbeState.SENDING and probe.sent_at is not None:
        return not _within(LEASE, probe.sent_at, now)
    return probe.state is ProbeState.WAITING and not probe.made_at <= now < probe.due_at


def _within(span: timedelta, since: datetime, now: datetime) -> bool:
    """A moment that is still to come is that of a clock that was ahead: its time is over."""
    return timedelta() <= now - since < span


def is_stale(probe: LoopProbe, now: datetime) -> bool:
    return probe.state is ProbeState.WAITING and now - probe.due_at >= STALE_AFTER


def end_of_route(found: Unroutable) -> RoundEnd:
    """There is no host to send the notice to."""
    return RoundEnd(fault=_OF_ROUTE.get(found.fault, LoopFault.NO_MX), said=clean(found.detail, _TEXT))


def end_of_dialogue(transcript: Transcript) -> RoundEnd | None:
    """What a host's answer means for the round. None: it has accepted the notice."""
    reply, stage = transcript.reply, transcript.stage
    place = f"{transcript.host} [{transcript.ip}]"
    if reply is None:
        silence = f"{place}: {transcript.silence} at {stage.value}"
        return RoundEnd(fault=LoopFault.UNREACHABLE, said=clean(silence, _TEXT))
    if stage is Stage.DOT and reply.positive:
        return None
    if stage in HOST_STAGES:
        fault = LoopFault.UNREACHABLE
    elif stage is Stage.RCPT_TO and reply.enhanced_status_code == _NO_SUCH_ADDRESS:
        fault = LoopFault.TOKEN_REFUSED
    else:
        fault = LoopFault.REFUSED if reply.permanent else LoopFault.DEFERRED
    return RoundEnd(fault=fault, said=clean(masked(f"{place} at {stage.value}: {reply}"), _TEXT))


def asks_next_host(end: RoundEnd) -> bool:
    """Whether a stranger would now try the next host (RFC 5321 §5.1)."""
    return end.fault in {LoopFault.UNREACHABLE, LoopFault.DEFERRED}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeArrival:
    """What is known of a notice that a server has accepted. `came`: it came in here; `worked_on`: it was read, too;
    `concluded`: its probe has become `bounced`."""

    came: bool = False
    worked_on: bool = False
    concluded: bool = False


def end_of_wait(probe: LoopProbe, arrival: NoticeArrival, now: datetime) -> RoundEnd | None:
    """Whether the notice that was accepted has done its work. None: it may yet."""
    if arrival.concluded:
        return RoundEnd(said=probe.said)
    if arrival.worked_on:
        return RoundEnd(fault=LoopFault.MISREAD, said=probe.said)
    if probe.sent_at is None or _within(CONCLUDED_WITHIN, probe.sent_at, now):
        return None
    return RoundEnd(fault=LoopFault.NOT_CONCLUDED if arrival.came else LoopFault.LOST, said=probe.said)


def next_due(end: RoundEnd, now: datetime, every: timedelta) -> datetime:
    """When the next round is due."""
    return now + (every if end.fault is None else min(every, AGAIN_AFTER))


def standing(ended: Sequence[LoopProbe], concluded_at: datetime | None) -> LoopStanding:
    """How the return path stands after these rounds, the latest first; two of them are enough."""
    if not ended:
        return LoopStanding(state=LoopState.UNKNOWN)
    last, *before = ended
    state = LoopState.OK
    if last.fault is not None:
        again = bool(before) and before[0].fault is not None
        state = LoopState.BROKEN if again or last.fault in _CERTAIN else LoopState.DOUBTFUL
    return LoopStanding(state=state, last=last, concluded_at=concluded_at)


CAUSE = "return-path-"
CAUSES = frozenset(f"{CAUSE}{fault}" for fault in LoopFault)
"""Causes of alarms: at most one of them stands."""


def alarm_for(now_is: LoopStanding) -> Alarm | None:
    """The alarm for a return path that is broken, else None."""
    if now_is.state is not LoopState.BROKEN or now_is.last is None or now_is.last.fault is None:
        return None
    return alarm(f"{CAUSE}{now_is.last.fault}", now_is.last.said)
