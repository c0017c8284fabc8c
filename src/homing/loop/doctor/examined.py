"""The subject of an examination: our own names with all that should be published, or a domain known by name alone."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from homing.loop.doctor.facts import DoctorFacts, PublishedAt
from homing.loop.domains.dns_records import records_to_publish
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.domains.sending_domains import Delegation, RecordPurpose, SendingDomain, records_of
from homing.mail.address import Address
from homing.mail.compose import Draft, Mailbox, compose, front
from homing.mail.dkim import SigningKey, sign

_HOLDS = timedelta(days=7)


def ourselves(
    operator_domain: str,
    identity: OperatorIdentity,
    hostname: str,
    *,
    keys: Sequence[PublishedAt],
    egress: tuple[str, ...],
) -> DoctorFacts:
    """The operator's own names. `egress`: the addresses that mail leaves from."""
    records = [(key.name, key.record) for key in keys if key.record and not key.retired]
    return DoctorFacts(
        domain=identity.from_domain,
        return_domain=identity.return_domain,
        hostname=hostname,
        egress=egress,
        keys=tuple(keys),
        reports_to=f"dmarc@{identity.from_domain}",
        organization=operator_domain,
        publish=records_to_publish(operator_domain, identity, hostname, records),
        specimen=next((key.proof for key in keys if key.proof), b""),
    )


def of_organization(domain: SendingDomain, ours: Delegation, *, egress: tuple[str, ...]) -> DoctorFacts:
    """An organization's own domain, by the records that its owner was asked to publish."""
    selectors = {RecordPurpose.DKIM_1: ours.selectors[0], RecordPurpose.DKIM_2: ours.selectors[1]}
    signing = domain.signing or RecordPurpose.DKIM_1
    records = records_of(domain, ours)
    return DoctorFacts(
        domain=domain.domain,
        return_domain=domain.return_domain,
        hostname=ours.hostname,
        egress=egress,
        keys=tuple(
            PublishedAt(
                domain=domain.domain, selector=selector, alias=records[purpose][0].value, spare=purpose is not signing
            )
            for purpose, selector in selectors.items()
        ),
        reports_to=ours.reports_to,
        publish=tuple(record for some in records.values() for record in some),
        return_alias=ours.return_host,
        of_organization=True,
    )


def somebody(domain: str, *, selectors: Iterable[str] = (), egress: tuple[str, ...] = ()) -> DoctorFacts:
    """Any domain: its records are judged by themselves. `egress`: addresses that should be allowed to send."""
    keys = tuple(PublishedAt(domain=domain, selector=selector) for selector in selectors)
    return DoctorFacts(domain=domain, egress=egress, keys=keys)


def canned(identity: OperatorIdentity, now: datetime) -> bytes:
    """A message of ours, as it is before it is signed."""
    draft = Draft(
        subject="The doctor's own message",
        to=(Mailbox("", Address("postmaster", identity.from_domain)),),
        date=now,
        message_id=f"doctor@{identity.return_domain}",
        text="This message is signed and verified, and never sent.\n",
    )
    author, complaints = Address(identity.local_part, identity.from_domain), Address("fbl", identity.from_domain)
    return front(author, "The doctor", None, "doctor", feedback_to=complaints) + compose(draft)


def in_use(key: SigningKey, identity: OperatorIdentity, now: datetime) -> PublishedAt:
    """A key that we sign with, and a message signed with it."""
    raw, moment = canned(identity, now), int(now.timestamp())
    proof = sign(raw, key, moment, moment + int(_HOLDS.total_seconds())) + raw
    return PublishedAt(domain=key.domain, selector=key.selector, record=key.dns_record(), proof=proof)
