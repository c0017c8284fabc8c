"""Mail domains of the lab and the hosts that take their mail, by our own SMTP server on loopback."""

import asyncio
import json
import ssl
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from homing.doors.smtp.server import Limits, Peer, Received, SmtpServer
from homing.lab.behaviour import (
    NO_SUCH_USER,
    QUEUED,
    AcceptingThenBouncing,
    BouncingBeforeIts250,
    ClosingAfterDot,
    Good,
    Greylisting,
    Mail,
    OutOfOffice,
    Refusing,
    RefusingContent,
    Replying,
    Slow,
    reply_of,
)
from homing.lab.outbound import Outbound
from homing.lab.returned_mail import Failure
from homing.mail.address import domain_of
from homing.mail.reply import Reply

_RELAYING_DENIED = Reply(550, "5.7.1", "Relaying denied")
_OWN_DOMAIN = Reply(550, "5.7.1", "Mail in the name of this domain is not taken from outside")
_GREETING = Reply(220, "", "")
_OK = Reply(250, "2.1.0", "Ok")


@dataclass
class Site:
    """A mail domain: how its mailboxes behave, and what came for them.

    By default it takes all mail. The methods that change this apply to one address, or with None to all others of the
    domain, and return the site, so that they can be chained.
    """

    domain: str
    mails: list[Mail] = field(default_factory=list)
    _behaviours: dict[str | None, Good] = field(default_factory=dict)
    _refuses_own_domain: bool = False

    def behaves(self, address: str | None, behaviour: Good) -> "Site":
        self._behaviours[address.lower() if address else None] = behaviour
        return self

    def accepts_all(self) -> "Site":
        """Back to the default: all mail is taken."""
        self._behaviours.clear()
        self._refuses_own_domain = False
        return self

    def refuses(self, address: str | None, reply: str = NO_SUCH_USER) -> "Site":
        return self.behaves(address, Refusing(reply_of(reply)))

    def refuses_content(self, address: str | None, reply: str = "554 5.7.1 Message looks like spam") -> "Site":
        return self.behaves(address, RefusingContent(reply_of(reply)))

    def greylists(self, address: str | None = None, times: int = 1) -> "Site":
        return self.behaves(address, Greylisting(times))

    def is_full(self, address: str, *, permanent: bool = False) -> "Site":
        reply = "552 5.2.2 Mailbox is over its quota" if permanent else "452 4.2.2 Mailbox is over its quota"
        return self.refuses(address, reply)

    def bounces_later(self, address: str, failure: Failure | None = None, *, delay: float = 0.05) -> "Site":
        failure = failure or Failure(final_recipient=address)
        return self.behaves(address, AcceptingThenBouncing(failure, delay))

    def bounces_before_its_250(self, address: str, failure: Failure | None = None) -> "Site":
        return self.behaves(address, BouncingBeforeIts250(failure or Failure(final_recipient=address)))

    def forwards(self, address: str, to: str, *, delay: float = 0.05) -> "Site":
        """Forwards to somebody whose server refuses: the bounce names an address that nobody of us wrote to."""
        diagnostic_code = f"smtp; 550 5.1.1 <{to}>: no such user"
        failure = Failure(final_recipient=to, diagnostic_code=diagnostic_code, remote_mta=f"mx.{to.rpartition('@')[2]}")
        return self.bounces_later(address, failure, delay=delay)

    def is_out_of_office(self, address: str, text: str = "I am out of the office until Monday.") -> "Site":
        return self.behaves(address, OutOfOffice(text))

    def replies(self, address: str, text: str = "Thank you, I will look at it.") -> "Site":
        """A person answers to Reply-To."""
        return self.behaves(address, Replying(text))

    def replies_to_from(self, address: str, text: str = "Thank you, I will look at it.") -> "Site":
        """A person answers to the header From, whatever Reply-To says."""
        return self.behaves(address, Replying(text, to_from=True))

    def is_slow(self, address: str | None = None, seconds: float = 1.0) -> "Site":
        return self.behaves(address, Slow(seconds))

    def closes_after_dot(self, address: str | None = None, times: int = 1) -> "Site":
        return self.behaves(address, ClosingAfterDot(times))

    def refuses_own_domain(self) -> "Site":
        """Takes nothing from outside that bears this domain in the envelope sender or the header From."""
        self._refuses_own_domain = True
        return self

    def inbox(self, address: str) -> list[Mail]:
        """What was accepted for this address, oldest first."""
        return [mail for mail in self.mails if mail.recipient.lower() == address.lower()]

    async def wait_for(self, address: str, count: int = 1, seconds: float = 30.0) -> list[Mail]:
        """The address's mail as soon as there are `count`. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.inbox(address)) < count:  # noqa: ASYNC110 - the lab is watched, not designed for speed
                await asyncio.sleep(0.01)
        return self.inbox(address)

    def behaviour(self, recipient: str) -> Good:
        general = self._behaviours.get(None) or Good()
        return self._behaviours.get(recipient.lower(), general)

    def guards_against(self, address: str | None) -> bool:
        """Whether this envelope sender or header From is taken for a forgery."""
        return self._refuses_own_domain and address is not None and self.owns(address)

    def owns(self, address: str) -> bool:
        return domain_of(address) == self.domain


@dataclass
class MxHost:
    """One listening host. It serves the domain that it is given, and refuses all mail until then."""

    ip: str
    post: Outbound
    journal: Path | None = None
    hostname: str = "unused.invalid"
    site: Site | None = None
    _server: SmtpServer | None = None
    _following: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, port: int, tls_context: ssl.SSLContext | None) -> int:
        limits = Limits(connections=1000, connections_per_network=1000, octets_per_network=sys.maxsize)
        self._server = SmtpServer(self, limits, tls_context)
        return await self._server.start(self.ip, port)

    def lacks(self, keyword: str) -> None:
        """From the next connection on this SMTP extension is not offered."""
        assert self._server is not None
        limits = self._server.limits
        self._server.limits = replace(limits, offers=tuple(one for one in limits.offers if one != keyword))

    async def close(self) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        if self._server:
            await self._server.close(grace=1)

    async def greeting(self, peer: Peer) -> Reply | None:  # noqa: ARG002
        return _GREETING

    async def mail_from(self, peer: Peer, envelope_sender: str | None) -> Reply | None:  # noqa: ARG002
        return _OWN_DOMAIN if self.site and self.site.guards_against(envelope_sender) else _OK

    async def recipient(self, peer: Peer, envelope_sender: str | None, recipient: str) -> Reply | None:  # noqa: ARG002
        if self.site is None or not self.site.owns(recipient):
            return _RELAYING_DENIED
        return self.site.behaviour(recipient).at_recipient(recipient)

    async def received(self, peer: Peer, received: Received) -> Reply | None:
        assert self.site is not None
        content = received.body.read()
        mails = [_mail(self.hostname, peer, received, recipient, content) for recipient in received.recipients]
        if any(self.site.guards_against(author) for author in mails[0].addresses("From")):
            return _OWN_DOMAIN
        behaviours = [self.site.behaviour(mail.recipient) for mail in mails]
        for behaviour, mail in zip(behaviours, mails, strict=True):
            answer = await behaviour.at_dot(mail, self.post)
            if answer is None or not answer.positive:
                return answer
        for behaviour, mail in zip(behaviours, mails, strict=True):
            self._keep(self.site, mail)
            self._follow(behaviour.afterwards(mail, self.post))
        return QUEUED

    def _keep(self, site: Site, mail: Mail) -> None:
        site.mails.append(mail)
        if self.journal:
            with self.journal.open("a", encoding="utf-8") as lines:
                lines.write(_as_line(mail) + "\n")

    def _follow(self, deed: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(deed)
        self._following.add(task)
        task.add_done_callback(self._following.discard)


def _mail(hostname: str, peer: Peer, received: Received, recipient: str, content: bytes) -> Mail:
    return Mail(
        hostname=hostname,
        peer_ip=peer.ip,
        helo=peer.helo,
        tls=peer.tls,
        envelope_sender=received.envelope_sender,
        recipient=recipient,
        content=content,
        envid=received.envid,
        at=datetime.now(UTC),
    )


def _as_line(mail: Mail) -> str:
    return json.dumps(
        {
            "at": mail.at.isoformat(),
            "hostname": mail.hostname,
            "envelope_sender": mail.envelope_sender,
            "recipient": mail.recipient,
            "tls": mail.tls,
            "message_id": str(mail.headers.get("Message-ID", "")),
            "content": mail.content.decode("latin-1"),
        }
    )
