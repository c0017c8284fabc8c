"""Deliveries that fail, as a worker would have found out."""

from homing.loop import ids
from homing.loop.evidence import Answered, Evidence, RouteFault, Unroutable
from homing.loop.model import DeliveryId, Verdict
from homing.mail.reply import Reply, Stage
from homing.store import tables
from homing.store.record import AttemptResult, DeliveryEvidence, record

from .gateway import Gateway

NO_SUCH_DOMAIN = Unroutable(fault=RouteFault.NO_SUCH_DOMAIN, detail="NXDOMAIN, twice", suggestion="gmail.com")


async def fail(home: Gateway, delivery: str, evidence: Evidence = NO_SUCH_DOMAIN) -> DeliveryId:
    """The delivery with this id is claimed, and this is what comes of it."""
    identifier = DeliveryId(ids.read("delivery", delivery))
    now = home.clock()
    await home.database.write(_claim, identifier)
    attempt = None
    if isinstance(evidence, Answered):
        attempt = AttemptResult(
            started_at=now, stage=evidence.stage, host=evidence.host, ip="192.0.2.25", reply=evidence.reply
        )
    finding = DeliveryEvidence(delivery=identifier, evidence=evidence, now=home.clock(), attempt=attempt)
    await home.database.write(record, [finding])
    return identifier


def refusal(text: str = "No such user here", host: str = "mx.example.org") -> Answered:
    verdict = Verdict(
        failure_class="invalid_recipient",
        kind="hard",
        rule="status-5.1.1",
        matched="no such user",
        text=text,
        remote_mta=host,
    )
    reply = Reply(reply_code=550, enhanced_status_code="5.1.1", text=text)
    return Answered(stage=Stage.RCPT_TO, reply=reply, host=host, tls="TLSv1.3", verdict=verdict)


def _claim(conn, delivery: DeliveryId) -> None:
    conn.execute(tables.delivery.update().where(tables.delivery.c.id == delivery).values(state="sending"))
