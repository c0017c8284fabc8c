"""Evidence: everything the world, or time, can tell us of a delivery. `loop.outcome.conclude` draws the conclusion.

An SMTP reply today and a bounce next week are both evidence. Nothing is summarised away here: code, enhanced
code, text, host, stage and TLS are kept as they came (cleaned of control characters at the edge).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from homing.loop.model import InboundId, Strength, Verdict
from homing.mail.reply import Reply, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A server answered at `stage`. After a whole transaction this is the reply to the dot. `receiver`: who runs
    this host. `wants_tls`: it refuses only that we came in clear, which it would have protected had the handshake not
    failed."""

    stage: Stage
    reply: Reply
    host: str
    ip: str = ""
    tls: str = ""
    receiver: str = ""
    wants_tls: bool = False
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """No usable answer at `stage`: connection refused, timeout, closed, garbled. At the dot: in doubt."""

    stage: Stage
    why: str
    host: str
    ip: str = ""
    tls: str = ""
    receiver: str = ""


class Lack(StrEnum):
    """What a server does not offer, and a message needs. The values are parts of ids of rules."""

    SIZE = "size"
    """The message is larger than it says that it takes (RFC 1870)."""
    SMTPUTF8 = "smtputf8"
    """An address in the message needs RFC 6531."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """By what the server offers it cannot take the message, so it was not asked."""

    lack: Lack
    stage: Stage
    host: str
    ip: str = ""
    tls: str = ""
    receiver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """Not tried, because the receiver finds us too fast at the moment; it is due again at `until`."""

    receiver: str
    until: datetime


class RouteFault(StrEnum):
    NO_SUCH_DOMAIN = "no_such_domain"
    NULL_MX = "null_mx"
    PRIVATE_ADDRESS = "private_address"
    LOOKUP_FAILED = "lookup_failed"
    NO_MAIL_HOST = "no_mail_host"
    BROKEN_MX = "broken_mx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unroutable:
    """DNS gave no host to talk to. `detail` says which server answered what. `took_mail`: the domain took mail not long
    ago, and it is too early to believe that it is gone."""

    fault: RouteFault
    detail: str
    suggestion: str | None = None
    took_mail: bool = False

    @property
    def permanent(self) -> bool:
        """Whether a second source has confirmed it, so that to ask again would not help (RFC 5321 §5.1)."""
        return self.fault is not RouteFault.LOOKUP_FAILED

    """A well-known domain one letter away, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReleased:
    """The worker gave the delivery back unharmed, or died without an open attempt: nothing was sent, and this
    delivery cannot have killed it. `broke`: it was its own attempt that broke, by a bug of ours."""

    broke: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost:
    """An attempt was open when the worker `died`, or was stopped: a copy may have gone out."""

    died: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeOver:
    """Nobody took the message within its lifetime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionFound:
    """The address is on the organization's suppression list."""

    reason: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    """The recipient wants no more of this stream: by `one-click` (RFC 8058), or by a `mail`."""

    by: str
    inbound: InboundId | None = None


class What(StrEnum):
    """What a mail that came back is."""

    BOUNCE = "bounce"
    DELAY = "delay"
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto_reply"
    CHALLENGE = "challenge"
    HUMAN_REPLY = "human_reply"
    REPORT = "report"
    UNKNOWN = "unknown"


class ReportAction(StrEnum):
    """RFC 3464 §2.3.3's actions."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A mail that came back about this delivery, already understood.

    `names_recipient`: what failed is our recipient's address, as he is written to or (`rewritten`) as his own house
    writes it. `names_other`: it is only others' (`final_recipient`), behind his: the target of a forward, a member of a
    list. A report that names nobody has both False. `receipt`: it is an automatic answer by which a help desk confirms
    that it has the message. `out_of_time`: a server has given up, and says no more than that.
    `at_envelope`: it came to the delivery's own return address. `proved`: only who has the message, or runs the
    recipient's mail, can have written it. `receiver`: of the remote host that it names.
    `authentication`: what SPF, DKIM and DMARC say of the mail, in one line, "" where nobody asked them.
    """

    what: What
    action: ReportAction
    strength: Strength
    names_recipient: bool
    names_other: bool
    rewritten: bool = False
    receipt: bool = False
    out_of_time: bool = False
    verdict: Verdict
    inbound: InboundId
    final_recipient: str = ""
    reporting_mta: str = ""
    at_envelope: bool = False
    proved: bool = False
    receiver: str = ""
    authentication: str = ""


Evidence = (
    Answered
    | Unanswered
    | Unsupported
    | HeldBack
    | Unroutable
    | LeaseReleased
    | LeaseLost
    | LifetimeOver
    | SuppressionFound
    | CancelRequested
    | Reported
    | Unsubscribed
)
