"""The result of an attempt: a transcript becomes evidence, the evidence a finding, and the finding is recorded."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from homing.flow import metrics
from homing.flow.alarms import noted
from homing.flow.outgoing import Clock
from homing.flow.wakeup import WakeUp
from homing.loop.evidence import Answered, Evidence, Lack, Unanswered, Unsupported
from homing.loop.ids import show
from homing.loop.masking import masked
from homing.loop.model import AttemptId, Verdict
from homing.loop.outcome import Outcome
from homing.loop.reading.classify import WANTS_TLS, Rules, classify
from homing.loop.reading.ours import NOBODY, Ours, about_us
from homing.loop.receivers import receiver_of
from homing.loop.throttle import too_fast
from homing.mail.address import domain_of
from homing.mail.dmarc import SuffixOf
from homing.mail.reply import Reply, Stage
from homing.mail.smtp_client import Silence, Transcript
from homing.net.route import Skipped
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.dialect import hopeless
from homing.store.record import AttemptResult, DeliveryEvidence, record

HostResult = tuple[datetime, Transcript]
"""What came of one host, and since when it was tried."""

_NOT_OFFERED = {
    Silence.SMTPUTF8_NOT_OFFERED.value: Lack.SMTPUTF8,
    Silence.SIZE_EXCEEDED.value: Lack.SIZE,
}

_STARTTLS_FIRST = 530
"""RFC 3207 §4. Another meaning, that the client must authenticate, is none in clear text (RFC 4954 §4)."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the replies to one attempt: by the rules, and by what a server may call us and the recipient."""

    rules: Rules
    suffix_of: SuffixOf
    ours: Ours = NOBODY
    recipient: str = ""

    def receiver(self, host: str) -> str:
        """Who runs a host that was tried, and so answers for it; "" if there was none."""
        return host and (receiver_of(host, self.suffix_of) or domain_of(self.recipient))

    def verdict(self, reply: Reply, transcript: Transcript) -> Verdict:
        if reply.positive:
            return Verdict(failure_class="delivered", kind="none", rule="reply-positive", reply_code=reply.reply_code)
        said = classify(reply, stage=transcript.stage, status="", text="", remote_mta=transcript.host, rules=self.rules)
        verdict = about_us(said, self.ours._replace(egress_address=transcript.egress_ip), self.recipient)
        # Who refuses "by policy" what came in clear may mean that, and in TLS he takes it.
        perhaps_tls = transcript.fell_back and verdict.failure_class == "policy" and not verdict.about_us
        return replace(verdict, passes=True) if perhaps_tls else verdict


def evidence_of(transcript: Transcript, reader: Reader) -> Evidence:
    """What the end of a dialogue says about the delivery."""
    receiver = reader.receiver(transcript.host)
    found = {"host": transcript.host, "ip": transcript.ip, "tls": transcript.tls, "receiver": receiver}
    reply, silence = _answer(transcript), transcript.silence or "silence"
    if reply is not None:
        verdict = reader.verdict(reply, transcript)
        wants_tls = transcript.fell_back and (verdict.rule in WANTS_TLS or reply.reply_code == _STARTTLS_FIRST)
        return Answered(stage=transcript.stage, reply=reply, verdict=verdict, wants_tls=wants_tls, **found)
    if silence in _NOT_OFFERED:
        return Unsupported(lack=_NOT_OFFERED[silence], stage=transcript.stage, **found)
    return Unanswered(stage=transcript.stage, why=silence, **found)


def finds_us_too_fast(transcript: Transcript, reader: Reader) -> bool:
    """Whether the host's reply complains about our pace."""
    reply = transcript.reply
    if reply is None or reply.positive:
        return False
    return too_fast(reader.verdict(reply, transcript))


def host_results(
    hosts: Sequence[HostResult],
    skipped: Sequence[Skipped],
    reader: Reader,
    attempt: AttemptId | None = None,
) -> tuple[AttemptResult, ...]:
    """The results to store for an attempt: hosts not tried, hosts passed over, and last the one that decides.
    `attempt`: the row opened before MAIL FROM, if the attempt came so far."""
    since = [one for one, _ in hosts]
    unasked = [
        AttemptResult(
            started_at=since[0],
            ended_at=since[0],
            stage=Stage.ROUTE,
            host=one.host,
            receiver=reader.receiver(one.host),
            silence=one.why,
        )
        for one in skipped
    ]
    *before, last = [_result(one, transcript, reader) for one, transcript in hosts]
    passed_over = [replace(one, ended_at=end) for one, end in zip(before, since[1:], strict=True)]
    return (*unasked, *passed_over, replace(last, id=attempt))


def _result(since: datetime, transcript: Transcript, reader: Reader) -> AttemptResult:
    evidence = evidence_of(transcript, reader)
    return AttemptResult(
        started_at=since,
        stage=transcript.stage,
        host=transcript.host,
        ip=transcript.ip,
        egress_ip=transcript.egress_ip,
        receiver=reader.receiver(transcript.host),
        tls=transcript.tls,
        reply=_answer(transcript),
        silence=transcript.silence or "",
        verdict=evidence.verdict if isinstance(evidence, Answered) else None,
        in_doubt=transcript.stage is Stage.DOT and (transcript.reply is None or transcript.reply.leaves_doubt),
        dialogue=None if transcript.clean else masked(transcript.log.text) or None,
    )


def _answer(transcript: Transcript) -> Reply | None:
    """The reply, in which nobody can read the token of our envelope sender, as servers quote it."""
    return transcript.reply and replace(transcript.reply, text=masked(transcript.reply.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Writes what was found, and wakes `actions` when a policy has steps to take."""

    database: Database
    clock: Clock
    actions: WakeUp

    async def record(self, leased: ClaimedDelivery, evidence: Evidence, *results: AttemptResult) -> None:
        """Record the outcome of the evidence under the lease of the claim. The last result is the attempt's, those
        before it are of hosts passed over. Raises errors that no repetition cures."""
        finding = DeliveryEvidence(
            delivery=leased.delivery.id,
            evidence=evidence,
            now=self.clock(),
            epoch=leased.delivery.epoch,
            attempt=results[-1] if results else None,
            passed_over=results[:-1],
        )
        outcome = await self._written(finding)
        if outcome:
            metrics.CONCLUSIONS.labels(outcome.delivery.state).inc()
            noted(outcome.alarm)
        if outcome and outcome.actions:
            self.actions.wake()

    async def _written(self, finding: DeliveryEvidence) -> Outcome | None:
        """Write the finding, however long the database takes: a known result must not become a delivery in doubt."""
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
