"""The server's half of an SMTP session, sans I/O: octets in, questions and octets out (RFC 5321, 2920, 3207, 6531).

The session keeps the rules of the protocol and its bounds; it asks its caller whether a sender, a recipient or a
message is welcome, and waits for the answer. Pipelined commands are processed in order, one question at a time.
A command that RFC 2920 §3.1 allows only at the end of a group, and that changes what the next octets mean (EHLO, DATA,
STARTTLS), must be the last one received: octets after it end the session, as they may be smuggled or not SMTP at all.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from homing.mail.reply import Reply
from homing.mail.smtp_command import UNRECOGNISED, Command, Hello, MailFrom, RcptTo, Verb, read_command
from homing.mail.smtp_data import BARE_CR, BARE_LF, LONG_LINE, NUL, DataReader

COMMAND_OCTETS = 2048
OVERRUN_OCTETS = 64 * 1024
_REPLY_LINE_OCTETS = 480  # RFC 5321 §4.5.3.1.5 gives 512 with code and CRLF

_HTTP = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"PRI"})
_OK = Reply(250, "2.0.0", "ok")
_BYE = Reply(221, "2.0.0", "goodbye")
_OUT_OF_ORDER = Reply(503, "5.5.1", "command out of order")
_NO_RECIPIENT = Reply(554, "5.5.1", "no valid recipients")
_NOT_SYNCHRONISED = Reply(554, "5.5.0", "octets came before the reply that they must wait for")
_TOO_LONG = Reply(500, "5.5.2", "the command line is too long")
_BARE_LINE_END = Reply(500, "5.5.2", "a command line ends with CR LF, nothing else")
_BARE_IN_MESSAGE = Reply(554, "5.5.2", "a CR, LF or NUL stands alone in the message")
_TOO_BIG = Reply(552, "5.3.4", "the message is larger than this server takes")
_LINE_TOO_LONG = Reply(552, "5.6.0", "a line of the message is longer than 64 KiB")
_TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "too many recipients; send the rest in another transaction")
_TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors")
_TOO_MANY_COMMANDS = Reply(421, "4.7.0", "too many commands without a message")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """What one session may use up, and what it offers.

    `message_octets` counts the message without dot-stuffing. `errors` and `fruitless_commands` are counted anew after
    each accepted message. `refuse_bare`: a message with a bare CR, LF or NUL is refused (a submission door); otherwise
    it is taken and flagged. `any_sender`: an envelope sender that is no address is taken as it came. `offers`: EHLO
    keywords beside SIZE and STARTTLS.
    """

    message_octets: int = 10 * 1024 * 1024
    recipients: int = 100
    null_sender_recipients: int = 1
    errors: int = 20
    fruitless_commands: int = 100
    refuse_bare: bool = False
    any_sender: bool = False
    offers: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True, slots=True)
class AskSender:
    """May this envelope sender (None: null sender) send here? Wants an answer."""

    envelope_sender: str | None


@dataclass(frozen=True, slots=True)
class AskRecipient:
    """Is this recipient ours? Wants an answer."""

    envelope_sender: str | None
    recipient: str


@dataclass(frozen=True, slots=True)
class BodyOpened:
    """DATA came and a recipient is there: the caller makes room and says `accept_body`, or refuses with `answer`."""


@dataclass(frozen=True, slots=True)
class BodyOctets:
    """The next octets of the message, dots unstuffed."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class BodyDropped:
    """The message will be refused: its octets so far can be discarded, and no more will come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskMessage:
    """The message is complete. Wants an answer: a positive one takes responsibility for it."""

    envelope_sender: str | None
    recipients: tuple[str, ...]
    smtputf8: bool
    envid: str | None
    size: int
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class UpgradeToTls:
    """Send the output, make the TLS handshake, then call `upgraded`."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Send the output and close the connection."""


Event = AskSender | AskRecipient | BodyOpened | BodyOctets | BodyDropped | AskMessage | UpgradeToTls | Closing


class _State(Enum):
    EARLY = auto()
    COMMAND = auto()
    ASKING = auto()
    BODY = auto()
    CLOSED = auto()


@dataclass(slots=True)
class _Transaction:
    mail: MailFrom
    recipients: list[str] = field(default_factory=list)
    reader: DataReader = field(default_factory=DataReader)
    refusal: Reply | None = None


class ServerSession:
    """One connection's dialogue. After `receive`, take `next` until it is None, then send `output`.

    While a question is open (`answer` not yet called) `next` is None and further input waits in the session's buffer,
    so the caller must stop reading: the buffer holds what it is given.
    """

    def __init__(self, hostname: str, limits: SessionLimits, *, starttls: bool) -> None:
        self.hello: Hello | None = None
        self._hostname = hostname
        self._limits = limits
        self._starttls = starttls
        self._secure = False
        self._state = _State.EARLY
        self._buffer = bytearray()
        self._output = bytearray()
        self._events: deque[Event] = deque()
        self._question: MailFrom | RcptTo | BodyOpened | AskMessage | None = None
        self._transaction: _Transaction | None = None
        self._errors = 0
        self._fruitless = 0

    @property
    def buffered(self) -> int:
        """Octets received and not yet worked on."""
        return len(self._buffer)

    @property
    def in_body(self) -> bool:
        return self._state is _State.BODY

    def greet(self, reply: Reply | None) -> None:
        """Open the session with the banner; a reply that is not positive refuses it, None closes without a word."""
        if reply is None or not reply.positive:
            self._end(reply)
        elif self._buffer:
            self._end(_NOT_SYNCHRONISED)
        else:
            self._say(Reply(reply.reply_code, "", f"{self._hostname} ESMTP {reply.text}".rstrip()))
            self._state = _State.COMMAND

    def receive(self, data: bytes) -> None:
        if self._state is not _State.CLOSED:
            self._buffer += data

    def output(self) -> bytes:
        """The octets to send now; the session does not keep them."""
        octets = bytes(self._output)
        self._output.clear()
        return octets

    def next(self) -> Event | None:
        """What the caller has to do next; None when that depends on more input or on an open answer."""
        while not self._events:
            if self._state is _State.COMMAND:
                line = self._take_line()
                if line is not None:
                    self._obey(line)
                elif not self._events:
                    return None
            elif self._state is not _State.BODY or not self._take_body():
                return None
        return self._events.popleft()

    def answer(self, reply: Reply | None) -> None:
        """Answer the open question. None closes the connection without a reply; a 421 closes it after the reply."""
        question, self._question = self._question, None
        assert question is not None, "no question is open"
        self._state = _State.COMMAND
        if reply is None or reply.reply_code == 421:
            self._end(reply)
            return
        match question:
            case MailFrom():
                self._transaction = _Transaction(question) if reply.positive else None
            case RcptTo() if reply.positive and self._transaction:
                self._transaction.recipients.append(question.recipient)
            case AskMessage():
                self._transaction = None
                if reply.positive:
                    self._errors = self._fruitless = 0
        if reply.permanent and isinstance(question, MailFrom | RcptTo):
            self._refuse(reply)
        else:
            self._say(reply)

    def accept_body(self) -> None:
        """There is room for the message: let it come."""
        assert isinstance(self._question, BodyOpened), "no message is waiting"
        self._question = None
        self._state = _State.BODY
        self._say(Reply(354, "", "end the message with a dot on a line of its own"))

    def refuse_body(self, reply: Reply) -> None:
        """Refuse the message while it arrives: it is read to its end, counted, discarded and answered with `reply`."""
        transaction = self._transaction
        assert transaction is not None, "no message is coming"
        if transaction.refusal is None:
            transaction.refusal = reply
            self._events.append(BodyDropped())

    def upgraded(self) -> None:
        """TLS is up: all that the client said before it is forgotten (RFC 3207 §4.2)."""
        self._secure = True
        self.hello = None
        self._transaction = None
        self._state = _State.COMMAND

    def hang_up(self, reply: Reply) -> None:
        """Time is over, or the server goes down: say so and close."""
        self._end(reply)

    # --- commands ---------------------------------------------------------------------------------------------------

    def _take_line(self) -> bytes | None:
        buffer = self._buffer
        if not buffer:
            return None
        if (buffer[0] < 0x20 and buffer[0] not in b"\r\n\t") or buffer[0] > 0x7E:
            self._end(None)  # a TLS hello or another protocol: it would not understand a word
            return None
        end = buffer.find(b"\n", 0, COMMAND_OCTETS)
        if end < 0:
            if len(buffer) >= COMMAND_OCTETS:
                self._end(_TOO_LONG)
            return None
        if end == 0 or buffer[end - 1] != 0x0D:
            self._end(_BARE_LINE_END)
            return None
        line = bytes(buffer[: end - 1])
        del buffer[: end + 1]
        return line

    def _obey(self, line: bytes) -> None:
        if line.partition(b" ")[0].upper() in _HTTP:
            self._end(None)
            return
        smtputf8 = self._transaction is not None and self._transaction.mail.smtputf8
        extended = self.hello is not None and self.hello.extended
        command = read_command(line, extended=extended, smtputf8=smtputf8, any_sender=self._limits.any_sender)
        if isinstance(command, Reply):
            self._refuse(command)
        else:
            self._carry_out(command)
        self._count(command)

    def _count(self, command: Command | Reply) -> None:
        """End a session that makes no progress; recipients have a limit of their own."""
        if not isinstance(command, RcptTo):
            self._fruitless += 1
        if self._state is _State.COMMAND and self._fruitless >= self._limits.fruitless_commands:
            self._end(_TOO_MANY_COMMANDS)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Hello():
                self._greet_back(command)
            case MailFrom():
                self._mail(command)
            case RcptTo():
                self._rcpt(command)
            case Verb("DATA"):
                self._data()
            case Verb("RSET"):
                self._transaction = None
                self._say(_OK)
            case Verb("QUIT"):
                self._end(_BYE)
            case Verb("STARTTLS"):
                self._start_tls()
            case Verb("VRFY"):
                self._say(Reply(252, "2.5.2", "send some mail, and see"))
            case Verb("HELP"):
                self._say(Reply(214, "2.0.0", "RFC 5321 says it all"))
            case Verb("NOOP"):
                self._say(_OK)
            case Verb():
                self._refuse(UNRECOGNISED)

    def _greet_back(self, hello: Hello) -> None:
        if self._buffer:
            self._end(_NOT_SYNCHRONISED)
            return
        self.hello = hello
        self._transaction = None
        lines = [f"{self._hostname} greets {hello.name}"]
        if hello.extended:
            lines += [f"SIZE {self._limits.message_octets}", *self._limits.offers]
            lines += ["STARTTLS"] if self._starttls and not self._secure else []
        self._say(Reply(250, "", "\n".join(lines)))

    def _mail(self, mail: MailFrom) -> None:
        if self.hello is None or self._transaction is not None:
            self._refuse(_OUT_OF_ORDER)
        elif mail.size is not None and mail.size > self._limits.message_octets:
            self._refuse(_TOO_BIG)
        elif mail.smtputf8 and "SMTPUTF8" not in self._limits.offers:
            self._refuse(Reply(555, "5.5.4", "SMTPUTF8 is not offered here"))
        else:
            self._ask(mail, AskSender(mail.envelope_sender))

    def _rcpt(self, rcpt: RcptTo) -> None:
        transaction = self._transaction
        if transaction is None:
            self._refuse(_OUT_OF_ORDER)
            return
        envelope_sender = transaction.mail.envelope_sender
        most = self._limits.recipients if envelope_sender is not None else self._limits.null_sender_recipients
        if len(transaction.recipients) >= most:
            self._refuse(_TOO_MANY_RECIPIENTS)
        else:
            self._ask(rcpt, AskRecipient(envelope_sender, rcpt.recipient))

    def _data(self) -> None:
        if self._buffer:
            self._end(_NOT_SYNCHRONISED)
        elif self._transaction is None:
            self._say(_OUT_OF_ORDER)  # no error counted: a pipelining client had to send it after a refused MAIL
        elif not self._transaction.recipients:
            self._say(_NO_RECIPIENT)
        else:
            self._ask(BodyOpened(), BodyOpened())

    def _start_tls(self) -> None:
        if not self._starttls or self._secure:
            self._refuse(Reply(503, "5.5.1", "TLS is not available now"))
        elif self._buffer:
            self._end(_NOT_SYNCHRONISED)
        else:
            self._say(Reply(220, "2.0.0", "go ahead"))
            self._state = _State.ASKING
            self._events.append(UpgradeToTls())

    # --- the message ------------------------------------------------------------------------------------------------

    def _take_body(self) -> bool:
        """Read on, or end the message once its octets have all been handed out; False when more input is needed."""
        transaction = self._transaction
        assert transaction is not None, "a body without a transaction"
        reader = transaction.reader
        if reader.ended:
            self._finish_body(transaction)
            return True
        if not self._buffer:
            return False
        pieces, rest = reader.receive(bytes(self._buffer))
        self._buffer = bytearray(rest)
        fault = self._fault_of(reader)
        if fault is not None:
            self.refuse_body(fault)
        if transaction.refusal is None:
            self._events.extend(map(BodyOctets, pieces))
        if not reader.ended and reader.size > self._limits.message_octets + OVERRUN_OCTETS:
            self._end(transaction.refusal)
        return True

    def _fault_of(self, reader: DataReader) -> Reply | None:
        if reader.size > self._limits.message_octets:
            return _TOO_BIG
        if LONG_LINE in reader.flags:
            return _LINE_TOO_LONG
        if self._limits.refuse_bare and reader.flags & {BARE_CR, BARE_LF, NUL}:
            return _BARE_IN_MESSAGE
        return None

    def _finish_body(self, transaction: _Transaction) -> None:
        if transaction.refusal is None:
            question = AskMessage(
                envelope_sender=transaction.mail.envelope_sender,
                recipients=tuple(transaction.recipients),
                smtputf8=transaction.mail.smtputf8,
                envid=transaction.mail.envid,
                size=transaction.reader.size,
                flags=transaction.reader.flags,
            )
            self._ask(question, question)
            return
        self._transaction = None
        self._state = _State.COMMAND
        if transaction.refusal is _BARE_IN_MESSAGE:
            self._end(transaction.refusal)
        else:
            self._refuse(transaction.refusal)

    # --- the ends ---------------------------------------------------------------------------------------------------

    def _ask(self, question: MailFrom | RcptTo | BodyOpened | AskMessage, event: Event) -> None:
        self._question = question
        self._state = _State.ASKING
        self._events.append(event)

    def _refuse(self, reply: Reply) -> None:
        self._errors += 1
        self._say(reply)
        if self._errors >= self._limits.errors:
            self._end(_TOO_MANY_ERRORS)

    def _say(self, reply: Reply) -> None:
        self._output += wire(reply)

    def _end(self, reply: Reply | None) -> None:
        if self._state is _State.CLOSED:
            return
        if reply is not None:
            self._say(reply)
        self._state = _State.CLOSED
        self._question = None
        self._transaction = None
        self._buffer.clear()
        self._events.append(Closing())


def wire(reply: Reply) -> bytes:
    """A reply as it goes over the wire: printable, each line within RFC 5321 §4.5.3.1.5's 512 octets."""
    enhanced = f"{reply.enhanced_status_code} " if reply.enhanced_status_code else ""
    lines = [_printable(enhanced + line) for line in reply.text.split("\n")]
    last = len(lines) - 1
    return b"".join(
        b"%d%c%s\r\n" % (reply.reply_code, b" " if number == last else b"-", line) for number, line in enumerate(lines)
    )


def _printable(line: str) -> bytes:
    shown = line if line.isprintable() else "".join(char if char.isprintable() else "?" for char in line)
    return shown.encode("ascii", "replace")[:_REPLY_LINE_OCTETS]
