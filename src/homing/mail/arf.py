"""Feedback reports: complaints and what resembles them (RFC 5965; authentication failures: RFC 6591)."""

from dataclasses import dataclass, field

from homing.mail.dsn import read_recipient
from homing.mail.mime import Headers, Mail, read_headers

COMPLAINTS = frozenset({"abuse", "fraud", "virus", "other", ""})
"""Feedback types that mean that the recipient does not want this mail. One without a type counts as a complaint."""

UNSUBSCRIBES = frozenset({"opt-out", "opt-out-list"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """The fields of a message/feedback-report, under their RFC names; those that may repeat are tuples."""

    feedback_type: str
    user_agent: str = ""
    version: str = ""
    original_envelope_id: str = ""
    original_mail_from: str = ""
    original_rcpt_to: tuple[str, ...] = ()
    removal_recipient: str = ""
    reporting_mta: str = ""
    source_ip: str = ""
    arrival_date: str = ""
    incidents: int = 1
    reported_domain: tuple[str, ...] = ()
    reported_uri: tuple[str, ...] = ()
    authentication_results: tuple[str, ...] = ()
    auth_failure: str = ""
    fields: Headers = field(default_factory=Headers)


def find_feedback(mail: Mail) -> Feedback | None:
    """The mail's feedback report, wherever its part stands in the tree; None if there is none."""
    part = next((part for part in mail.parts if part.content_type == "message/feedback-report"), None)
    return read_feedback(part.text) if part else None


def read_feedback(text: str) -> Feedback | None:
    """The fields of a message/feedback-report body (newlines "\\n"). None if it holds no field of RFC 5965."""
    fields = read_headers(text)
    if not any(name in fields for name in ("Feedback-Type", "User-Agent", "Version", "Source-IP")):
        return None
    incidents = fields.first("Incidents")
    rcpt_to = [read_recipient(value) for value in fields.all("Original-Rcpt-To")]
    return Feedback(
        feedback_type=fields.first("Feedback-Type").lower().partition(";")[0].strip(),
        user_agent=fields.first("User-Agent"),
        version=fields.first("Version"),
        original_envelope_id=fields.first("Original-Envelope-Id"),
        original_mail_from=fields.first("Original-Mail-From").strip("<> "),
        original_rcpt_to=tuple(dict.fromkeys(address for address in rcpt_to if address)),
        removal_recipient=read_recipient(fields.first("Removal-Recipient")),
        reporting_mta=fields.first("Reporting-MTA").rpartition(";")[2].strip(),
        source_ip=fields.first("Source-IP"),
        arrival_date=fields.first("Arrival-Date") or fields.first("Received-Date"),
        incidents=int(incidents) if incidents.isascii() and incidents.isdigit() and len(incidents) < 10 else 1,
        reported_domain=fields.all("Reported-Domain"),
        reported_uri=fields.all("Reported-URI"),
        authentication_results=fields.all("Authentication-Results"),
        auth_failure=fields.first("Auth-Failure").lower(),
        fields=fields,
    )
