"""A server session with a handler of plain functions: what a client sends goes in, what it would read comes out."""

from collections.abc import Callable
from dataclasses import dataclass, field

from homing.mail.reply import Reply
from homing.mail.smtp_server import (
    AskMessage,
    AskRecipient,
    AskSender,
    BodyDropped,
    BodyOctets,
    BodyOpened,
    Closing,
    Event,
    ServerSession,
    SessionLimits,
    UpgradeToTls,
)

OK = Reply(250, "2.0.0", "ok")
ENVELOPE = b"MAIL FROM:<a@a.example>\r\nRCPT TO:<token@b.example>\r\nDATA\r\n"


def only_known(event: Event) -> Reply | None:
    """A handler that knows one recipient, `token`, whatever its case."""
    if isinstance(event, AskRecipient) and not event.recipient.lower().startswith("token@"):
        return Reply(550, "5.1.1", "no such recipient")
    return OK


@dataclass
class House:
    limits: SessionLimits = field(default_factory=SessionLimits)
    handler: Callable[[Event], Reply | None] = only_known
    starttls: bool = False
    messages: list[tuple[AskMessage, bytes]] = field(default_factory=list)
    closed: bool = False
    upgrading: bool = False
    dropped: int = 0
    most_buffered: int = 0

    def __post_init__(self) -> None:
        self.session = ServerSession("mx.b.example", self.limits, starttls=self.starttls)
        self._body = b""

    def open(self, *, extended: bool = True) -> "House":
        self.session.greet(Reply(220, "", ""))
        self.say(b"EHLO c.example\r\n" if extended else b"HELO c.example\r\n")
        return self

    def say(self, data: bytes, step: int = 0) -> bytes:
        """Everything that the client reads in answer to `data`, sent in one write or in pieces of `step` octets."""
        answers = b""
        for start in range(0, len(data), step or max(len(data), 1)):
            self.session.receive(data[start : start + step] if step else data)
            self._run()
            self.most_buffered = max(self.most_buffered, self.session.buffered)
            answers += self.session.output()
        return answers

    def settle(self) -> bytes:
        self._run()
        return self.session.output()

    def _run(self) -> None:
        while (event := self.session.next()) is not None:
            match event:
                case BodyOpened():
                    self._body = b""
                    self.session.accept_body()
                case BodyOctets(octets):
                    self._body += octets
                case BodyDropped():
                    self.dropped += 1
                case UpgradeToTls():
                    self.upgrading = True
                case Closing():
                    self.closed = True
                case AskMessage():
                    reply = self.handler(event)
                    if reply is not None and reply.positive:
                        self.messages.append((event, self._body))
                    self.session.answer(reply)
                case AskSender() | AskRecipient():
                    self.session.answer(self.handler(event))


def codes(answers: bytes) -> list[int]:
    """The codes of the replies, one each."""
    return [int(line[:3]) for line in answers.split(b"\r\n") if line[3:4] == b" "]
