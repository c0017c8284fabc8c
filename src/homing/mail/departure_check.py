"""The last look at the bytes of a message, signature and all, before they leave (RFC 5322, RFC 6376).

`compose.check_composed` checked the whole message with a second parser when it was accepted. Only the delivery's front
and signature are new since then. So this check parses the header again, with code that did not write it, and only scans
the body: cheap enough for every delivery.
"""

import re
from collections import Counter
from collections.abc import Collection

from homing.mail.dkim import SIGNED_HEADERS
from homing.mail.field_checks import NEVER_SENT, ONCE_AT_MOST
from homing.mail.header import LINE_OCTETS, ComposeError

_NAMES = re.compile(rb"[!-9;-~]+:(?:\n[!-9;-~]+:)*")
_DATE = re.compile(
    rb" (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"
    rb" \d\d:\d\d:\d\d [+-]\d{4}"
)
_MESSAGE_ID = re.compile(rb" +<[!-;=?-~]+@([A-Za-z0-9.-]+)>")
_SIGNATURE = b"dkim-signature"
_OVERSIGNED = tuple(name.lower().encode() for name in SIGNED_HEADERS)
_ONCE = frozenset(name.encode() for name in ONCE_AT_MOST)
_NEVER = frozenset(name.encode() for name in NEVER_SENT)
_ALWAYS = (b"from", b"date", b"message-id")


def check_departure(signed: bytes, sending_domain: str, host: str) -> None:
    """Check the finished bytes. Raises ComposeError (code final-gate) unless all of this holds.

    CRLF line ends only, lines within 998 octets, a 7-bit body. One From, Date and Message-ID, no structural header
    twice, no Bcc. The first signature is by `sending_domain`, a further one by that or by `host`; none omits a part of
    the body (`l=`), and each covers every required header once more often than it occurs. Message-ID is of `host`.
    """
    _check_lines(signed)
    head, _, body = signed.partition(b"\r\n\r\n")
    _require(body.isascii(), "the body is not 7-bit")
    fields = [line.partition(b":") for line in _unfolded(head).split(b"\r\n")]
    _require(
        _NAMES.fullmatch(b"\n".join([name + colon for name, colon, _ in fields])) is not None, "the header is malformed"
    )
    names = [name.lower() for name, _, _ in fields]
    times = Counter(names)
    _require(all(times[name] == 1 for name in _ALWAYS), "From, Date or Message-ID is not there once")
    if len(times) < len(names):
        _require(_ONCE.isdisjoint(name for name in times if times[name] > 1), "a structural header is there twice")
    _require(_NEVER.isdisjoint(times), "a header is there that must never leave")
    _require(_DATE.fullmatch(fields[names.index(b"date")][2]) is not None, "Date is not ours")
    found = _MESSAGE_ID.fullmatch(fields[names.index(b"message-id")][2])
    _require(found is not None and found[1].decode() == host, "Message-ID is not ours")
    _require(names[0] == _SIGNATURE == names[times[_SIGNATURE] - 1], "the signatures are not on top")
    signers = {sending_domain.encode()}
    for _, _, signature in fields[: times[_SIGNATURE]]:
        _check_signature(signature, signers, times)
        signers.add(host.encode())


def _unfolded(head: bytes) -> bytes:
    return head.replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")


def _check_lines(raw: bytes) -> None:
    _require(b"\0" not in raw and raw.endswith(b"\r\n"), "the message holds NUL or does not end with CRLF")
    lines = raw.count(b"\n")
    _require(raw.count(b"\r\n") == lines == raw.count(b"\r"), "there is a bare CR or LF")
    start = 0
    while start < len(raw):  # from each line end to the last one that may follow: far fewer steps than lines
        start = raw.rfind(b"\n", start, start + LINE_OCTETS + 2) + 1
        _require(start > 0, "a line is too long")


def _check_signature(signature: bytes, signers: Collection[bytes], times: Counter[bytes]) -> None:
    tags = [tag.partition(b"=") for tag in signature.replace(b" ", b"").replace(b"\t", b"").split(b";")]
    said = {name: value for name, _, value in tags}
    _require(len(said) == len(tags) and said.get(b"d") in signers, "the signature is not of the sending domain")
    _require(b"l" not in said, "the signature leaves a part of the body out")
    covered = Counter(said.get(b"h", b"").split(b":"))
    wanted = {name: times.get(name, 0) + 1 for name in _OVERSIGNED}
    _require(wanted.items() <= covered.items(), "the signature does not cover every header once more than it is there")


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ComposeError("final-gate", f"The finished message was refused: {sentence}.")
