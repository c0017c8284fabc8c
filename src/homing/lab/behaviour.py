"""How a mailbox of the lab behaves. Each behaviour is a case that a gateway meets among real mail hosts."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.message import Message

from homing.lab.outbound import Outbound
from homing.lab.returned_mail import Failure, addresses_in, auto_reply, bounce, headers_of, human_reply
from homing.mail.reply import Reply
from homing.net.smtp_client import Envelope

OK = Reply(250, "2.1.5", "Ok")
QUEUED = Reply(250, "2.0.0", "Ok: queued")
NO_SUCH_USER = "550 5.1.1 No such user here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message as a host of the lab got it. `tls` is "" if it came in clear."""

    hostname: str
    peer_ip: str
    helo: str
    tls: str
    envelope_sender: str | None
    recipient: str
    content: bytes
    envid: str | None
    at: datetime

    @property
    def headers(self) -> Message:
        return headers_of(self.content)

    def addresses(self, name: str) -> list[str]:
        """The addresses in the header fields of this name."""
        return addresses_in(self.headers, name)


def reply_of(line: str) -> Reply:
    """A reply as one writes it: "550 5.1.1 No such user"."""
    code, _, text = line.partition(" ")
    return Reply.of(int(code), text)


class Good:
    """Takes every message and keeps it; the other behaviours differ from this one."""

    def at_recipient(self, recipient: str) -> Reply:  # noqa: ARG002
        return OK

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:  # noqa: ARG002
        """The answer to the whole message; None closes the connection instead. A positive one keeps the message."""
        return QUEUED

    async def afterwards(self, mail: Mail, post: Outbound) -> None:
        """What follows an accepted message, some time after its 250."""


@dataclass
class Refusing(Good):
    """Refuses at RCPT, such as 550 5.1.1 or 552 5.2.2."""

    reply: Reply

    def at_recipient(self, recipient: str) -> Reply:  # noqa: ARG002
        return self.reply


@dataclass
class RefusingContent(Good):
    """Takes the recipient and refuses the message."""

    reply: Reply

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:  # noqa: ARG002
        return self.reply


@dataclass
class Greylisting(Good):
    """Puts each recipient off `times` times, then takes its mail."""

    times: int = 1
    seen: dict[str, int] = field(default_factory=dict)

    def at_recipient(self, recipient: str) -> Reply:
        self.seen[recipient] = self.seen.get(recipient, 0) + 1
        if self.seen[recipient] <= self.times:
            return Reply(450, "4.2.0", "Greylisted, please come again")
        return OK


@dataclass
class AcceptingThenBouncing(Good):
    """Says 250, finds out `delay` seconds later that it cannot deliver, and sends a bounce."""

    failure: Failure
    delay: float = 0.05

    async def afterwards(self, mail: Mail, post: Outbound) -> None:
        await asyncio.sleep(self.delay)
        await send_bounce(mail, post, self.failure)


@dataclass
class BouncingBeforeIts250(Good):
    """Sends its bounce before its own 250, which follows `thinking` seconds after the bounce has arrived."""

    failure: Failure
    thinking: float = 0.5

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:
        await send_bounce(mail, post, self.failure)
        await asyncio.sleep(self.thinking)
        return QUEUED


@dataclass
class OutOfOffice(Good):
    """Takes the message; an automaton answers to the envelope sender, from the null sender (RFC 3834)."""

    text: str = "I am out of the office until Monday."
    delay: float = 0.05

    async def afterwards(self, mail: Mail, post: Outbound) -> None:
        if mail.envelope_sender is None:
            return
        await asyncio.sleep(self.delay)
        content = auto_reply(mail.recipient, mail.envelope_sender, mail.content, self.text)
        await post.send(mail.hostname, Envelope(envelope_sender=None, recipient=mail.envelope_sender, content=content))


@dataclass
class Replying(Good):
    """A person answers: to Reply-To as he should, or, if `to_from`, to the header From."""

    text: str = "Thank you, I will look at it."
    to_from: bool = False
    delay: float = 0.05

    async def afterwards(self, mail: Mail, post: Outbound) -> None:
        reply_to = mail.addresses("From") if self.to_from else mail.addresses("Reply-To") or mail.addresses("From")
        await asyncio.sleep(self.delay)
        content = human_reply(mail.recipient, reply_to[0], mail.content, self.text)
        envelope = Envelope(envelope_sender=mail.recipient, recipient=reply_to[0], content=content)
        await post.send(mail.hostname, envelope)


@dataclass
class Slow(Good):
    """Thinks for so many seconds before it answers to the dot."""

    seconds: float

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:  # noqa: ARG002
        await asyncio.sleep(self.seconds)
        return QUEUED


@dataclass
class ClosingAfterDot(Good):
    """Receives the message and closes the connection without a reply, `times` times."""

    times: int = 1

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:  # noqa: ARG002
        self.times -= 1
        return None if self.times >= 0 else QUEUED


async def send_bounce(mail: Mail, post: Outbound, failure: Failure) -> None:
    """A bounce of `mail` from the null sender to its envelope sender; none for what had the null sender itself."""
    if mail.envelope_sender is None:
        return
    told = replace(failure, original_envelope_id=failure.original_envelope_id or mail.envid)
    content = bounce(mail.hostname, mail.envelope_sender, mail.content, told)
    await post.send(mail.hostname, Envelope(envelope_sender=None, recipient=mail.envelope_sender, content=content))
