"""SMTP dialogues and what a careless or hostile client makes of them: seeded, so that each can be had again."""

import re
from dataclasses import dataclass
from random import Random

OTHERS = (
    b"stranger@elsewhere.example",
    b"b+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b.post.example",
    b"stranger%elsewhere.example@b.post.example",
    b"@b.post.example:stranger@elsewhere.example",
    b'"b+stranger"@b.post.example',
    b"stranger!elsewhere.example@post.example",
    b"postmaster@[127.0.0.1]",
    b"nobody@post.example",
)
BODY = b"Subject: Undelivered Mail\r\nFrom: MAILER-DAEMON@c.example\r\n\r\n550 5.1.1 no such user\r\n..dot\r\n"

DIALOGUES: tuple[tuple[bytes, ...], ...] = (
    (b"EHLO c.example\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<OURS>\r\n", b"DATA\r\n", BODY + b".\r\n", b"QUIT\r\n"),
    (b"EHLO c.example\r\n", b"MAIL FROM:<>\r\nRCPT TO:<OURS>\r\nDATA\r\n", BODY, b".\r\n", b"QUIT\r\n"),
    (b"HELO c.example\r\n", b"MAIL FROM:<a@c.example>\r\n", b"RCPT TO:<postmaster@post.example>\r\n", b"DATA\r\n",
     BODY, BODY, b".\r\n", b"QUIT\r\n"),
    (b"EHLO c.example\r\n", b"MAIL FROM:<> SIZE=200 BODY=8BITMIME\r\n", b"RCPT TO:<OURS> NOTIFY=NEVER\r\n", b"DATA\r\n",
     BODY + b".\r\nMAIL FROM:<>\r\nRCPT TO:<OURS>\r\nDATA\r\n", BODY + b".\r\n", b"NOOP\r\n", b"QUIT\r\n"),
    (b"EHLO c.example\r\n", b"MAIL FROM:<a@c.example>\r\n", b"RCPT TO:<OTHER>\r\n", b"DATA\r\n", BODY + b".\r\n",
     b"RCPT TO:<OURS>\r\n", b"RSET\r\n", b"VRFY postmaster\r\n", b"QUIT\r\n"),
    (b"EHLO c.example\r\n", b"MAIL FROM:<\xc3\xa4@c.example> SMTPUTF8\r\n", b"RCPT TO:<OURS>\r\n", b"DATA\r\n",
     b"Subject: \xc3\xa4\r\n\r\n\xff\x00\r\n.\r\n", b"HELP\r\n", b"EXPN x\r\n", b"BDAT 4 LAST\r\n", b"quit\r\n"),
    (b"EHLO c.example\r\n", b"STARTTLS\r\n", b"~TLS", b"EHLO c.example\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<OURS>\r\n",
     b"DATA\r\n", BODY + b".\r\n", b"QUIT\r\n"),
    (b"EHLO c.example\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<OURS>\r\n", b"STARTTLS\r\n", b"~TLS", b"DATA\r\n",
     BODY + b".\r\n", b"QUIT\r\n"),
    (b"EHLO c.example\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<OURS>\r\n", b"DATA\r\n", BODY + b"x" * 9000, b"\r\n.\r\n",
     b"MAIL FROM:<>\r\n", b"RCPT TO:<OTHER>\r\n", b"RCPT TO:<abuse@b.post.example>\r\n", b"DATA\r\n", b".\r\n"),
)  # fmt: skip
"""Writes of a client, one after the other. `~TLS` is a handshake; OURS and OTHER stand for addresses."""

ODD = (
    b"\r", b"\n", b"\r\n", b"\0", b".", b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r",
    b"\r\n..\r\n", b"\r\n\0.\r\n", b"\xff\xf4\xff\xfd\x06", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n",
    b"STARTTLS\r\n", b"RSET\r\n", b"DATA\r\n", b"QUIT\r\n", b"EHLO \r\n", b"EHLO d.example\r\n", b"MAIL FROM:<>\r\n",
    b"RCPT TO:<OTHER>\r\n", b"RCPT TO:<OURS>\r\n", b"<", b">", b"@", b'"', b"\\", b" ", b"\t", b"\x80\xfe",
    b"\xe2\x80\xa8", b"A" * 600, b"A" * 70_000, b"x\r\n" * 2000, b"NOOP\r\n" * 120, b"RCPT TO:<OTHER>\r\n" * 30,
)  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """`patient`: the client waits for an answer after each write; `stays`: it does not close in the end."""

    writes: tuple[bytes, ...]
    patient: bool
    stays: bool


def attack(seed: int, ours: bytes) -> Attack:
    dice = Random(seed)
    writes = list(dice.choice(DIALOGUES))
    for _ in range(dice.choice((0, 1, 1, 2, 3, 5, 8))):
        dice.choice(_MUTATIONS)(writes, dice)
    named = (_with_addresses(write, ours, dice) for write in writes)
    return Attack(tuple(named), patient=dice.random() < 0.75, stays=dice.random() < 0.05)


def _with_addresses(write: bytes, ours: bytes, dice: Random) -> bytes:
    write = re.sub(rb"OTHER", lambda _: dice.choice(OTHERS), write)
    return re.sub(rb"OURS", lambda _: _almost(ours, dice), write)


def _almost(address: bytes, dice: Random) -> bytes:
    """The address of ours, seldom with one octet changed, in capitals, or with something behind it."""
    place = dice.randrange(len(address))
    changed = address[:place] + bytes([dice.choice(b"abcdefgh234567@.+%")]) + address[place + 1 :]
    behind = (b">", b" ", b"@elsewhere.example", b"\0", b".")
    return dice.choices((address, address.upper(), changed, address + dice.choice(behind)), (12, 1, 2, 1))[0]


def _place(writes: list[bytes], dice: Random) -> tuple[int, int]:
    number = dice.randrange(len(writes))
    return number, dice.randint(0, len(writes[number]))


def _insert(writes: list[bytes], dice: Random) -> None:
    number, at = _place(writes, dice)
    octets = dice.choice(ODD) if dice.random() < 0.8 else dice.randbytes(dice.randint(1, 40))
    writes[number] = writes[number][:at] + octets + writes[number][at:]


def _delete(writes: list[bytes], dice: Random) -> None:
    number, at = _place(writes, dice)
    writes[number] = writes[number][:at] + writes[number][at + dice.choice((1, 1, 2, 5, 50)) :]


def _replace(writes: list[bytes], dice: Random) -> None:
    number, at = _place(writes, dice)
    writes[number] = writes[number][:at] + dice.randbytes(1) + writes[number][at + 1 :]


def _line_ends(writes: list[bytes], dice: Random) -> None:
    number, _ = _place(writes, dice)
    writes[number] = writes[number].replace(b"\r\n", dice.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\r\n")))


def _split(writes: list[bytes], dice: Random) -> None:
    number, at = _place(writes, dice)
    writes[number : number + 1] = [writes[number][:at], writes[number][at:]]


def _merge(writes: list[bytes], dice: Random) -> None:
    first = dice.randrange(len(writes))
    last = len(writes) if dice.random() < 0.3 else first + 2
    if b"~TLS" not in writes[first:last]:
        writes[first:last] = [b"".join(writes[first:last])]


def _swap(writes: list[bytes], dice: Random) -> None:
    one, other = dice.randrange(len(writes)), dice.randrange(len(writes))
    writes[one], writes[other] = writes[other], writes[one]


def _again(writes: list[bytes], dice: Random) -> None:
    number, _ = _place(writes, dice)
    writes[number:number] = [writes[number]] * dice.choice((1, 1, 1, 30))


def _interleave(writes: list[bytes], dice: Random) -> None:
    number, _ = _place(writes, dice)
    writes[number:number] = dice.choice(
        ([b"STARTTLS\r\n"], [b"STARTTLS\r\n", b"~TLS"], [b"STARTTLS\r\nNOOP\r\n"], [b"~TLS"])
    )


_MUTATIONS = (_insert, _insert, _delete, _replace, _line_ends, _split, _merge, _swap, _again, _interleave)
