"""Text from strangers, made fit to be shown: one line, bounded, without characters that act instead of being read.

Names, subjects, addresses, server replies and report fields are chosen by people whom we do not know. A line break in
them forges a line of ours (RFC 5322 §2.2 ends a field at CRLF), an escape sequence drives the terminal of whoever reads
the log (ECMA-48 §5.4), a bidirectional control turns "gnp.exe" round (UAX 9 §2, Unicode TR 36), an invisible
character makes two texts look alike. Cleaning does not escape: code that writes HTML or JSON must escape as well.
"""

import re
import unicodedata
from itertools import groupby

_ESCAPE_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?")
_LINE_ENDS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_DOT = "[.。．｡]"  # IDNA takes all four for a dot (RFC 3490 §3.1)
_LINK = re.compile(
    rf"[^\W\d_][\w+.-]{{1,20}}[:：][/／\\]{{2}}\S+"  # https://e.example, whatever the scheme
    rf"|(?<![^\W_])[wｗ]{{3}}{_DOT}\S+"
    r"|\b(?:mailto|tel|sms|sips?):\S+"
    # e.example/here, e.example:8080?here; no numbers alone, such as 192.0.2.0/24
    rf"|[\w-]{{1,63}}+(?:{_DOT}[\w-]{{1,63}}+){{0,8}}?{_DOT}[^\W\d_][\w-]{{1,62}}+{_DOT}?(?::\d{{1,5}})?(?:[/／\\]|[?#]\S)\S*",
    re.IGNORECASE,
)
_JOINERS = "\u200c\u200d"  # Persian words and composed emoji need them; RFC 5892 appendix A allows them in context
_ACTING = frozenset({"Cf", "Cs", "Co", "Cn"})
_GAPS = frozenset({"Cc", "Zl", "Zp", "Zs"})


def clean(text: str, limit: int) -> str:
    """`text` as one readable line of at most `limit` characters, cut with "…". "" if nothing readable is left.

    Escape sequences, invisible, bidirectional and unassigned characters and lone surrogates vanish; controls and any
    run of white space become one space. Idempotent. Work is bounded by `limit`, not by the length of `text`.
    """
    if not text:
        return ""
    bounded = text[: 8 * limit + 256]
    plain = " ".join(bounded.split())
    if plain.isprintable():  # true of nearly all texts: no character of it acts
        return shorten(plain, limit)
    bounded = _ESCAPE_SEQUENCE.sub("", bounded)
    seen, before = [], ""
    for printable, run in groupby(bounded, str.isprintable):
        for piece in ("".join(run),) if printable else run:
            meant = piece if printable else _meant(piece, before)
            before = meant[-1:] or before
            seen.append(meant)
    return shorten(" ".join("".join(seen).split()), limit)


def _meant(character: str, before: str) -> str:
    """What remains of a character that is not printable; `before` is what remained last."""
    if character in _JOINERS:
        return character if before > "\x7f" and before not in _JOINERS else ""
    category = unicodedata.category(character)
    return " " if category in _GAPS else "" if category in _ACTING else character


def clean_lines(text: str, *, width: int, lines: int) -> tuple[str, ...]:
    """The first `lines` readable lines of `text`, each cleaned, at most `width` long; a last "…" if there are more."""
    bounded = text[: 8 * width * lines + 256]
    readable = [line for line in (clean(piece, width) for piece in _LINE_ENDS.split(bounded)) if line]
    more = len(readable) > lines or len(bounded) < len(text)
    return (*readable[:lines], "…") if more else tuple(readable)


def clean_block(raw: bytes, *, octets: int, width: int = 998) -> str:
    """The beginning of a text of unknown charset, line by line, each cleaned, empty ones kept; at most `octets` octets
    of UTF-8."""
    text = raw[:octets].decode("utf-8", "replace")
    lines = "\n".join(clean(line, width) for line in _LINE_ENDS.split(text))
    return lines.encode()[:octets].decode("utf-8", "ignore").strip("\n")


def shorten(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, cut at the end."""
    return text if len(text) <= limit else text[: limit - 1].rstrip(f" {_JOINERS}") + "…"


def without_links(text: str) -> str:
    """`text` with whatever a mail reader or a telephone would make clickable replaced by "(link)": addresses with a
    scheme, with www., or with a path. Of a text from strangers, `clean` must come first: see `quoted`."""
    return _LINK.sub("(link)", text)


def quoted(text: str, limit: int) -> str:
    """A stranger's words as one line that may be shown to people: clean, without links, at most `limit` characters.

    A link in them would be clicked in the belief that we gave it. They are taken out last, since an invisible character
    inside of one hides it only until it is cleaned away.
    """
    return shorten(without_links(clean(text, limit)), limit)


def quoted_lines(text: str, *, width: int, lines: int) -> tuple[str, ...]:
    """The same line by line: see `clean_lines`."""
    return tuple(quoted(line, width) for line in clean_lines(text, width=width, lines=lines))
