"""The client's half of SMTP, sans I/O: each dialogue is a generator that says what to send and is told what came back
(RFC 5321, 1870 SIZE, 2920 PIPELINING, 3207 STARTTLS, 3461 DSN, 6531 SMTPUTF8).

A dialogue yields a `Turn`: octets to send, and the stage that we are then at. It is sent a `ServerReply` reply or a
`Silence`, and returns a value in the end; neither a reply nor the lack of one raises.

A refusal belongs to the first command that was refused, whatever the server replies to those pipelined after it. Once
the dot has been sent, only a complete reply to it tells the fate of the message: all else is silence at stage `dot`.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from homing.mail.reply import HOST_STAGES, Reply, Stage
from homing.mail.smtp_reply import ServerReply
from homing.mail.text import clean

DIALOGUE_CHARACTERS = 8000
_LOG_ENTRIES = 64
_LOG_OCTETS = 16 * 1024
_LOG_CHARACTERS = 500


class Silence(StrEnum):
    """Why there is no reply to go by. `no_route`: this machine has none to addresses of that family. The last two are
    our own finding: the server was not asked."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    NO_ROUTE = "no_route"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    GARBLED = "garbled"
    BUSY = "busy"
    TLS_FAILED = "tls_failed"
    TLS_INJECTION = "tls_injection"
    SMTPUTF8_NOT_OFFERED = "smtputf8_not_offered"
    SIZE_EXCEEDED = "size_exceeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message to one recipient. `envelope_sender` None is the null sender; addresses are in wire form, validated.

    `content` has CRLF line ends throughout. `envid` is echoed in DSNs; `orcpt` is the address that the human sender
    gave, where it differs from `recipient`.
    """

    envelope_sender: str | None
    recipient: str
    content: bytes
    smtputf8: bool = False
    envid: str | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """Send `octets` (none: only listen) or `content`, dot-stuffed and with its final dot; then one reply is due."""

    stage: Stage
    octets: bytes = b""
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The answer to a turn whose content was not sent up to the dot: the server has certainly not taken the message."""

    received: ServerReply | Silence


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a dialogue. `reply` None: see `silence`. `reusable`: the connection is good for another message.

    `stale`: the connection was gone before MAIL had an answer, as idle ones may be; a new one may well do.
    """

    stage: Stage
    reply: Reply | None = None
    silence: Silence | None = None
    reusable: bool = False
    stale: bool = False


Answer = ServerReply | Silence | Interrupted


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server offered in answer to EHLO; `size` is 0 where it named no limit (RFC 1870 §4)."""

    keywords: frozenset[str] = frozenset()
    size: int = 0

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    def without(self, keyword: str) -> "Capabilities":
        return replace(self, keywords=self.keywords - {keyword})

    @classmethod
    def of(cls, lines: tuple[str, ...]) -> "Capabilities":
        """The capabilities in the lines of the reply to EHLO; the first line is only a greeting."""
        words = [line.upper().split() for line in lines[1:] if line]
        sizes = [line[1] for line in words if line[0] == "SIZE" and len(line) > 1]
        size = int(sizes[0]) if sizes and sizes[0].isdecimal() and len(sizes[0]) <= 20 else 0
        return cls(frozenset(line[0] for line in words if line), size)


@dataclass(slots=True)
class Log:
    """The record of a dialogue, kept by reference and formatted only when somebody will read it.

    `number`: the message's position on its connection. At most 64 entries, and nothing more once 16 KiB are kept,
    whatever the server says. Of a message only its size is kept.
    """

    number: int = 1
    _entries: list["bytes | int | str | Answer"] = field(default_factory=list)
    _octets: int = 0

    def sent(self, octets: bytes) -> None:
        self._keep(octets, len(octets))

    def sent_message(self, octets: int) -> None:
        self._keep(octets, 0)

    def received(self, answer: "Answer") -> None:
        self._keep(answer, sum(map(len, answer.lines)) if isinstance(answer, ServerReply) else 0)

    def note(self, words: str) -> None:
        self._keep(words, len(words))

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines for a person: `>` sent, `<` received, `=` happened. Cleaned, 500 characters each."""
        told = (line for entry in self._entries for line in _lines_of(entry))
        again = () if self.number == 1 else (f"= message {self.number} on this connection",)
        return (*again, *(clean(line, _LOG_CHARACTERS) for line in told))

    @property
    def text(self) -> str:
        """The lines in at most 8,000 characters; where they are more, the middle is left out."""
        text, half = "\n".join(self.lines), DIALOGUE_CHARACTERS // 2 - 2
        return text if len(text) <= DIALOGUE_CHARACTERS else f"{text[:half]}\n…\n{text[-half:]}"

    def _keep(self, entry: "bytes | int | str | Answer", octets: int) -> None:
        if len(self._entries) < _LOG_ENTRIES and self._octets < _LOG_OCTETS:
            self._entries.append(entry)
            self._octets += octets


def _lines_of(entry: "bytes | int | str | Answer") -> Iterator[str]:
    match entry:
        case bytes():
            yield from (f"> {command}" for command in entry.decode(errors="replace").splitlines())
        case int():
            yield f"> (a message of {entry} octets)"
        case ServerReply():
            yield f"< {entry.reply}"
        case Interrupted(received):
            yield "= before the message had left:"
            yield from _lines_of(received)
        case _:
            yield f"= {entry}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """How an attempt at one host ended: at which stage, with which reply, or with which silence instead of one.

    All went well when `stage` is dot and `reply` positive. Stage dot without a reply is in doubt: the server may have
    taken the message. `silence` smtputf8_not_offered (stage ehlo) and size_exceeded (stage mail_from) are permanent for
    this host. `tls` is "" in clear, and `fell_back` says that it is so although the server offers STARTTLS.
    `egress_ip`: our own address of the connection, "" where there was none.
    """

    stage: Stage
    reply: Reply | None
    silence: str | None
    host: str
    ip: str
    tls: str
    fell_back: bool = False
    egress_ip: str = ""
    log: Log = field(default_factory=Log, repr=False, compare=False)

    @property
    def clean(self) -> bool:
        """Whether it ended with a plain 250 to the dot, so that nobody needs the dialogue."""
        return self.stage is Stage.DOT and self.reply is not None and self.reply.reply_code == 250


Dialogue = Generator[Turn, Answer, Ending]


def opening(hostname: str) -> Generator[Turn, Answer, Capabilities | Ending]:
    """Wait for the banner, then introduce ourselves."""
    banner = yield Turn(Stage.BANNER)
    if not (isinstance(banner, ServerReply) and banner.reply_code == 220):
        return _ending(Stage.BANNER, banner)
    return (yield from introduction(hostname))


def introduction(hostname: str) -> Generator[Turn, Answer, Capabilities | Ending]:
    """EHLO, or HELO where EHLO is not known (RFC 5321 §3.2)."""
    ehlo = yield Turn(Stage.EHLO, f"EHLO {hostname}\r\n".encode())
    if isinstance(ehlo, ServerReply) and ehlo.reply_code == 250:
        return Capabilities.of(ehlo.lines)
    if isinstance(ehlo, ServerReply) and ehlo.reply_code in {500, 501, 502, 504}:
        helo = yield Turn(Stage.EHLO, f"HELO {hostname}\r\n".encode())
        return Capabilities() if isinstance(helo, ServerReply) and helo.reply_code == 250 else _ending(Stage.EHLO, helo)
    return _ending(Stage.EHLO, ehlo)


def asking_for_tls() -> Generator[Turn, Answer, bool | Ending]:
    """Whether the handshake may begin. If a server offers TLS and then refuses it, the session goes on in clear."""
    answer = yield Turn(Stage.TLS, b"STARTTLS\r\n")
    if isinstance(answer, ServerReply) and answer.reply_code != 421:
        return answer.reply_code == 220
    return _ending(Stage.TLS, answer)


def transaction(envelope: Envelope, offered: Capabilities, *, reset: bool = False) -> Dialogue:
    """Send one message. `reset`: the transaction before was left open by a refusal, so RSET goes first.

    With PIPELINING all commands leave in one write (RFC 2920) and all their replies are awaited; without it, each
    command waits for the reply to the one before.
    """
    unsendable = _unsendable(envelope, offered)
    if unsendable is not None:
        return unsendable
    commands = [(Stage.MAIL_FROM, b"RSET\r\n")] if reset else []
    commands.append((Stage.MAIL_FROM, _mail_command(envelope, offered)))
    commands.append((Stage.RCPT_TO, _rcpt_command(envelope, offered)))
    commands.append((Stage.DATA, b"DATA\r\n"))
    pipelined = "PIPELINING" in offered
    if pipelined:
        together = b"".join(command for _, command in commands)
        commands = [(stage, b"" if number else together) for number, (stage, _) in enumerate(commands)]
    refusal: Ending | None = None
    answer: Answer = Silence.CLOSED
    for number, (stage, octets) in enumerate(commands):
        answer = yield Turn(stage, octets)
        if not _welcome(stage, answer):
            refusal = refusal or _refusal(stage, answer, resetting=reset and number == 0, first=number == 0)
            if not (pipelined and refusal.reusable and isinstance(answer, ServerReply)):
                break
    if refusal is None:
        return (yield from _message(envelope.content))
    if not isinstance(answer, ServerReply) or answer.reply_code < 400 or answer.reply_code == 421:
        # After 354 the server waits for a message that nobody is to get: only closing the connection stops that.
        return replace(refusal, reusable=False)
    return refusal


def refuses_parameters(ending: Ending) -> bool:
    """Whether what was refused may be the parameters of MAIL or RCPT, which the server offers and does not know, rather
    than the address (RFC 5321 §4.2.3, 555; RFC 3463 §3.2 has the address)."""
    reply = ending.reply
    return (
        reply is not None
        and ending.reusable
        and ending.stage in {Stage.MAIL_FROM, Stage.RCPT_TO}
        and reply.reply_code in {501, 504, 555}
        and not reply.enhanced_status_code.startswith("5.1.")
    )


def lost_when_pipelined(ending: Ending) -> bool:
    """Whether the silence is that of a server, or a firewall before it, which loses the commands that come together
    with another."""
    return ending.silence is not None and ending.stage in {Stage.RCPT_TO, Stage.DATA}


def _refusal(stage: Stage, answer: Answer, *, resetting: bool, first: bool) -> Ending:
    if resetting:
        return Ending(stage, silence=answer if isinstance(answer, Silence) else Silence.GARBLED, stale=True)
    ending = _ending(stage, answer)
    gone = ending.reply.reply_code == 421 if ending.reply else ending.silence is not Silence.TIMEOUT
    return replace(ending, stale=first and gone)


def _message(content: bytes) -> Dialogue:
    answer = yield Turn(Stage.DOT, content=content)
    if isinstance(answer, Interrupted):
        early = answer.received
        if isinstance(early, ServerReply) and early.reply_code >= 400:
            return Ending(Stage.DATA, early.reply)
        return Ending(Stage.DATA, silence=early if isinstance(early, Silence) else Silence.GARBLED)
    return _ending(Stage.DOT, answer)


def _welcome(stage: Stage, answer: Answer) -> bool:
    """Whether the next command may follow: 354 to DATA, 2yz to the others."""
    if not isinstance(answer, ServerReply):
        return False
    return answer.reply_code == 354 if stage is Stage.DATA else answer.reply_code < 300


def _ending(stage: Stage, answer: Answer) -> Ending:
    """The end at `stage`. A reply that does not fit the command (3yz, or 2yz to DATA) shows that client and server are
    out of step, and counts as no reply."""
    match answer:
        case ServerReply(reply_code=code):
            fitting = code >= 400 or (code < 300 and stage is Stage.DOT)
            if fitting:
                reusable = code != 421 and stage not in HOST_STAGES
                return Ending(stage, answer.reply, reusable=reusable)
            return Ending(stage, silence=Silence.GARBLED)
        case Interrupted():
            return Ending(stage, silence=Silence.GARBLED)
        case _:
            return Ending(stage, silence=answer)


def _unsendable(envelope: Envelope, offered: Capabilities) -> Ending | None:
    if envelope.smtputf8 and "SMTPUTF8" not in offered:
        return Ending(Stage.EHLO, silence=Silence.SMTPUTF8_NOT_OFFERED, reusable=True)
    if 0 < offered.size < len(envelope.content):
        return Ending(Stage.MAIL_FROM, silence=Silence.SIZE_EXCEEDED, reusable=True)
    return None


def _mail_command(envelope: Envelope, offered: Capabilities) -> bytes:
    words = [f"MAIL FROM:<{_wire_address(envelope.envelope_sender or '', envelope)}>"]
    if "SIZE" in offered:
        words.append(f"SIZE={len(envelope.content)}")
    if "8BITMIME" in offered and (envelope.smtputf8 or not envelope.content.isascii()):
        words.append("BODY=8BITMIME")
    if envelope.smtputf8:
        words.append("SMTPUTF8")
    if "DSN" in offered:
        words.append("RET=HDRS")
        if envelope.envid:
            words.append(f"ENVID={xtext(envelope.envid)}")
    return " ".join(words).encode() + b"\r\n"


def _rcpt_command(envelope: Envelope, offered: Capabilities) -> bytes:
    command = f"RCPT TO:<{_wire_address(envelope.recipient, envelope)}>"
    if "DSN" in offered:
        notify = "FAILURE,DELAY" if envelope.envelope_sender else "NEVER"  # RFC 3461 §4.1: nobody to tell
        command += f" NOTIFY={notify} ORCPT={_orcpt(envelope.orcpt or envelope.recipient)}"
    return command.encode() + b"\r\n"


def _wire_address(address: str, envelope: Envelope) -> str:
    """The address as it was validated long ago. Raises ValueError if it could end the command line all the same."""
    if not address.isprintable() or not (address.isascii() or envelope.smtputf8):
        raise ValueError("an address that was never validated reached the wire")
    return address


def xtext(text: str) -> str:
    """RFC 3461 §4: printable ASCII but "+" and "=" as it is, the rest as +XX; beyond ASCII, by UTF-8 octets."""
    plain = frozenset(range(33, 127)) - frozenset(b"+=")
    return "".join(chr(octet) if octet in plain else f"+{octet:02X}" for octet in text.encode())


def _orcpt(address: str) -> str:
    if address.isascii():
        return f"rfc822;{xtext(address)}"
    # RFC 6533 §3: the form that is ASCII itself
    plain = frozenset(map(chr, range(33, 127))) - frozenset("+=\\")
    return "utf-8;" + "".join(char if char in plain else f"\\x{{{ord(char):X}}}" for char in address)
