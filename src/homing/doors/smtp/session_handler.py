"""The interface behind an SMTP door: the session handler that decides, and what it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from homing.doors.smtp.body import SpooledBody
from homing.mail.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The client of a session. `helo` is the name it gives, unproved, "" before EHLO; `tls` is "" in clear."""

    ip: str
    port: int
    helo: str = ""
    tls: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message as it came. `envelope_sender` None is the null sender; `recipients` are those that the handler
    accepted.

    `charge` is to be told of the processor seconds that the handler spends on it: the client's network pays for them.
    `flags` names what should not stand in a message and did: bare_cr, bare_lf, nul.
    """

    envelope_sender: str | None
    recipients: tuple[str, ...]
    body: SpooledBody
    flags: frozenset[str]
    smtputf8: bool
    envid: str | None
    charge: Callable[[float], None]


class SessionHandler(Protocol):
    """Decides at each step; a positive reply lets the client go on, any other is passed on to it.

    Everywhere, a 421 reply is said and then closes the connection, and None closes it without a word. An exception
    becomes 451 4.3.0 and is logged. The client may be gone by the time of the answer; `received` is never cut short.
    """

    @property
    def hostname(self) -> str:
        """The host name in the banner and in replies to EHLO."""

    async def greeting(self, peer: Peer) -> Reply | None:
        """Decides whether this peer may talk to us at all. The text of a positive reply (220) follows the host name."""

    async def mail_from(self, peer: Peer, envelope_sender: str | None) -> Reply | None:
        """MAIL FROM; None is the null sender."""

    async def recipient(self, peer: Peer, envelope_sender: str | None, recipient: str) -> Reply | None:
        """RCPT TO: an address in wire form, domain in lower case A-labels, or "postmaster" alone."""

    async def received(self, peer: Peer, received: Received) -> Reply | None:
        """The message is complete. A positive reply takes responsibility, so it comes after the commit.

        The body is gone when this returns.
        """
