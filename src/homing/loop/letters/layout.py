"""The layout of a letter: a few kinds of block, set as plain text and as HTML from one source.

Plain text is wrapped at 72 columns (RFC 5322 §2.1.1 asks for no more than 78), links never. HTML has inline styles
only, no images, no scripts, and every text in it is escaped here and nowhere else. Strangers' words stand in a `Quote`,
where each line is marked, so that they cannot pass for ours.
"""

import textwrap
from dataclasses import dataclass
from html import escape
from typing import assert_never

from homing.mail.text import quoted_lines

WIDTH = 72


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Label and value, one row each; rows without a value are left out."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Points:
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """`words` are what HTML shows in place of the address."""

    url: str
    words: str


@dataclass(frozen=True, slots=True)
class Quote:
    """A stranger's words, as they came: cleaned, bounded and freed of links here, at most `lines` lines."""

    text: str
    lines: int = 8


@dataclass(frozen=True, slots=True)
class Fold:
    """The line below which the details for an administrator stand."""


Block = Paragraph | Heading | Table | Points | Link | Quote | Fold

_PAGE = (
    "margin:0;padding:24px;color:#1f2328;background:#ffffff;font:16px/1.5 -apple-system,'Segoe UI',Roboto,sans-serif"
)
_SHEET = "max-width:36em"
_HEADING = "margin:24px 0 4px;font-size:16px;font-weight:600"
_LABEL = "padding:2px 16px 2px 0;color:#59636e;vertical-align:top;white-space:nowrap;text-align:left;font-weight:400"
_VALUE = "padding:2px 0;overflow-wrap:anywhere"
_BUTTON = (
    "display:inline-block;padding:10px 18px;border-radius:6px;background:#0b5fb0;color:#ffffff;text-decoration:none"
)
_QUOTE = "margin:8px 0;padding:4px 12px;border-left:3px solid #b5bec8;color:#59636e;overflow-wrap:anywhere"
_FOLD = "margin:32px 0 16px;border:0;border-top:1px solid #d1d9e0"


def plain(blocks: tuple[Block, ...]) -> str:
    """The letter as plain text, lines ended by newlines."""
    parts: list[str] = []
    for block in blocks:
        text = _plain(block)
        if text:
            parts.append(text + ("\n" if isinstance(block, Heading) else "\n\n"))
    return "".join(parts).rstrip("\n") + "\n"


def html(blocks: tuple[Block, ...], title: str) -> str:
    """The letter as an HTML page."""
    body = "\n".join(filter(None, (_html(block) for block in blocks)))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n</head>\n"
        f'<body style="{_PAGE}">\n<div style="{_SHEET}">\n{body}\n</div>\n</body>\n</html>\n'
    )


def _plain(block: Block) -> str:
    match block:
        case Paragraph(text) | Heading(text):
            return _wrap(text)
        case Table(rows):
            return _plain_table([row for row in rows if row[1]])
        case Points(texts):
            return "\n".join(_wrap(text, first="- ", rest="  ") for text in texts)
        case Link(url, _):
            return url
        case Quote(text, lines):
            quoted = quoted_lines(text, width=400, lines=lines)
            return "\n".join(_wrap(line, first="> ", rest="> ") for line in quoted)
        case Fold():
            return "-" * WIDTH
        case _:
            assert_never(block)


def _html(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Heading(text):
            return f'<h2 style="{_HEADING}">{escape(text)}</h2>'
        case Table(rows):
            cells = (
                f'<tr><th scope="row" style="{_LABEL}">{escape(label)}</th>'
                f'<td dir="auto" style="{_VALUE}">{escape(value)}</td></tr>'
                for label, value in rows
                if value
            )
            return '<table role="presentation" style="border-collapse:collapse">\n' + "\n".join(cells) + "\n</table>"
        case Points(texts):
            return "<ul>\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"
        case Link(url, words):
            return f'<p><a href="{escape(url)}" style="{_BUTTON}">{escape(words)}</a></p>'
        case Quote(text, lines):
            quoted = "<br>\n".join(escape(line) for line in quoted_lines(text, width=400, lines=lines))
            return f'<blockquote dir="auto" style="{_QUOTE}">{quoted}</blockquote>' if quoted else ""
        case Fold():
            return f'<hr style="{_FOLD}">'
        case _:
            assert_never(block)


def _plain_table(rows: list[tuple[str, str]]) -> str:
    column = max((len(label) for label, _ in rows), default=0) + 3
    return "\n".join(_wrap(value, first=f"  {label + ':':<{column}}", rest=" " * (column + 2)) for label, value in rows)


def _wrap(text: str, *, first: str = "", rest: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
