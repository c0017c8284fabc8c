"""One SMTP command line, read strictly (RFC 5321 §4.1; RFC 1870 SIZE, 6152 8BITMIME, 6531 SMTPUTF8, 3461 DSN).

A line becomes a command value, or the reply that says what is wrong with it. Addresses are read by `mail.address` and
nowhere else; a source route is left out (RFC 5321 App. C), and other forms that once asked a server to relay (percent,
bang, quoted "@") are refused by name.
"""

import re
from dataclasses import dataclass, field

from homing.mail.address import AddressError, parse_address
from homing.mail.reply import Reply
from homing.mail.text import clean

_HELLO_NAME = re.compile(r"[A-Za-z0-9:._\[\]-]{1,255}")
_ESMTP_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,31})(?:=([^\x00-\x20=\x7f][^\x00-\x20\x7f]{0,499}))?")
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")
_SIZE = re.compile(r"[0-9]{1,20}")
_ROUTE = re.compile(r"\A@[^:<>\s]{1,500}:")
_REVERSE_PATH = 320
"""Characters that are kept of a reverse-path."""
_RELAY_FORMS = frozenset("@%!")

UNRECOGNISED = Reply(500, "5.5.2", "command not recognised")
_NOT_HERE = Reply(502, "5.5.1", "command not implemented")
_UNKNOWN_PARAMETER = Reply(555, "5.5.4", "parameter not recognised or not implemented")
_BAD_PARAMETER = Reply(501, "5.5.4", "bad parameter value")
_BAD_SYNTAX = Reply(501, "5.5.2", "syntax error in the argument")


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO, or HELO when not `extended`."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFrom:
    """MAIL FROM. `envelope_sender` None is the null sender, and any text where any is taken; `size` the octets that the
    client announced, or None."""

    envelope_sender: str | None
    size: int | None = None
    smtputf8: bool = False
    envid: str | None = None
    ret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptTo:
    """RCPT TO. `recipient` is an address in wire form, or "postmaster" alone (RFC 5321 §4.5.1)."""

    recipient: str
    notify: str | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Verb:
    """A command without an argument, or whose argument is ignored: DATA, RSET, NOOP, QUIT, STARTTLS, VRFY, HELP."""

    name: str


Command = Hello | MailFrom | RcptTo | Verb

_BARE = frozenset({"DATA", "RSET", "QUIT", "STARTTLS"})
_WITH_ANY_ARGUMENT = frozenset({"NOOP", "VRFY", "HELP"})
_KNOWN_BUT_NOT_HERE = frozenset({"AUTH", "BDAT", "EXPN", "TURN", "ETRN", "ATRN", "SEND", "SOML", "SAML"})


def read_command(line: bytes, *, extended: bool, smtputf8: bool = False, any_sender: bool = False) -> Command | Reply:
    """The command in one line (CRLF taken off).

    `extended`: the client said EHLO, so parameters are allowed; `smtputf8`: its MAIL asked for SMTPUTF8, so RCPT may.
    `any_sender`: a reverse-path that is no address is taken as it is. Whoever sends a bounce with one is often the very
    system that is out of order.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Reply(500, "5.5.2", "the command is not valid UTF-8")
    if not text.replace("\t", " ").isprintable():
        return Reply(500, "5.5.2", "the command holds a character that is not printable")
    word, _, argument = text.partition(" ")
    verb, argument = word.upper(), argument.strip(" \t")
    if verb in _BARE:
        return Reply(501, "5.5.4", f"{verb} takes no argument") if argument else Verb(verb)
    if verb in _WITH_ANY_ARGUMENT:
        return Verb(verb)
    match verb:
        case "EHLO" | "HELO":
            return _read_hello(argument, extended=verb == "EHLO")
        case "MAIL":
            return _read_mail(argument, extended=extended, any_sender=any_sender)
        case "RCPT":
            return _read_rcpt(argument, extended=extended, smtputf8=smtputf8)
    return _NOT_HERE if verb in _KNOWN_BUT_NOT_HERE else UNRECOGNISED


def _read_hello(name: str, *, extended: bool) -> Command | Reply:
    if _HELLO_NAME.fullmatch(name):
        return Hello(name, extended)
    return Reply(501, "5.5.4", "a host name or address literal is needed")


@dataclass(frozen=True, slots=True)
class _Path:
    mailbox: str
    parameters: dict[str, str] = field(default_factory=dict)


def _read_mail(argument: str, *, extended: bool, any_sender: bool) -> Command | Reply:
    path = _read_path(_bracketed(argument) if any_sender else argument, "FROM:", extended=extended)
    if isinstance(path, Reply):
        return path
    size = ret = envid = None
    smtputf8 = False
    for name, value in path.parameters.items():
        match name, value.upper():
            case "SIZE", number if _SIZE.fullmatch(number):
                size = int(number)
            case "BODY", "7BIT" | "8BITMIME":
                pass
            case "SMTPUTF8", "":
                smtputf8 = True
            case "RET", "FULL" | "HDRS":
                ret = value.upper()
            case "ENVID", given if given and len(value) <= 100:
                envid = value
            case "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID", _:
                return _BAD_PARAMETER
            case _:
                return _UNKNOWN_PARAMETER
    if any_sender:
        as_it_came = clean(path.mailbox, _REVERSE_PATH) or None
        return MailFrom(envelope_sender=as_it_came, size=size, smtputf8=smtputf8, envid=envid, ret=ret)
    envelope_sender = _read_mailbox(path.mailbox, smtputf8=smtputf8) if path.mailbox else None
    if isinstance(envelope_sender, Reply):
        return Reply(
            envelope_sender.reply_code,
            envelope_sender.enhanced_status_code.replace("5.1.3", "5.1.7"),
            envelope_sender.text,
        )
    return MailFrom(envelope_sender=envelope_sender, size=size, smtputf8=smtputf8, envid=envid, ret=ret)


def _bracketed(argument: str) -> str:
    """MAIL's argument with the angle brackets that some clients leave out."""
    keyword, _, rest = argument.partition(":")
    address, _, parameters = rest.lstrip(" ").partition(" ")
    if keyword.upper() != "FROM" or address.startswith("<"):
        return argument
    return f"FROM:<{address}> {parameters}".rstrip(" ")


def _read_rcpt(argument: str, *, extended: bool, smtputf8: bool) -> Command | Reply:
    path = _read_path(argument, "TO:", extended=extended)
    if isinstance(path, Reply):
        return path
    notify = orcpt = None
    for name, value in path.parameters.items():
        match name, value.upper():
            case "NOTIFY", wishes if _NOTIFY.fullmatch(wishes):
                notify = wishes
            case "ORCPT", given if ";" in given:
                orcpt = value
            case "NOTIFY" | "ORCPT", _:
                return _BAD_PARAMETER
            case _:
                return _UNKNOWN_PARAMETER
    if path.mailbox.lower() == "postmaster":
        return RcptTo(recipient="postmaster", notify=notify, orcpt=orcpt)
    recipient = _read_mailbox(path.mailbox, smtputf8=smtputf8)
    if isinstance(recipient, Reply):
        return recipient
    if _RELAY_FORMS & set(recipient.rpartition("@")[0]):
        return Reply(553, "5.1.3", "this form of address asks for relaying, which is refused")
    return RcptTo(recipient=recipient, notify=notify, orcpt=orcpt)


def _read_path(argument: str, keyword: str, *, extended: bool) -> _Path | Reply:
    """`FROM:<path> NAME=value …`. A space after the colon is forgiven, as every large server does."""
    if argument[: len(keyword)].upper() != keyword:
        return Reply(501, "5.5.2", f"{keyword}<address> is needed")
    rest = argument[len(keyword) :].lstrip(" ")
    end = _path_end(rest)
    if end < 0:
        return Reply(501, "5.5.2", "the address must stand in angle brackets")
    if rest[end + 1 : end + 2] not in {"", " "}:
        return _BAD_SYNTAX
    path = _Path(rest[1:end])
    words = rest[end + 1 :].split()
    if words and not extended:
        return Reply(555, "5.5.4", "parameters need EHLO")
    for word in words:
        parameter = _ESMTP_PARAMETER.fullmatch(word)
        if not parameter or parameter[1].upper() in path.parameters:
            return _BAD_SYNTAX
        path.parameters[parameter[1].upper()] = parameter[2] or ""
    return path


def _path_end(text: str) -> int:
    """The position of the path's closing bracket, not counting those in a quoted local part; -1 without one."""
    if not text.startswith("<"):
        return -1
    quoted = escaped = False
    for position, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return position
    return -1


def _read_mailbox(text: str, *, smtputf8: bool) -> str | Reply:
    text = _ROUTE.sub("", text).removesuffix(".")
    if text.endswith("]"):
        return Reply(553, "5.1.3", "address literals are refused")
    if not text.isascii() and not smtputf8:
        return Reply(553, "5.6.7", "an address beyond ASCII needs SMTPUTF8")
    try:
        return str(parse_address(text))
    except AddressError as error:
        return Reply(553, "5.1.3", str(error))
