"""What an SMTP server said: reply code, enhanced status code, text (RFC 5321 §4.2, RFC 3463, RFC 2034)."""

import re
from dataclasses import dataclass
from enum import StrEnum

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")


class Stage(StrEnum):
    """How far an SMTP transaction had come. A refusal is about another party at each stage."""

    ROUTE = "route"
    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    TLS = "tls"
    MAIL_FROM = "mail_from"
    RCPT_TO = "rcpt_to"
    DATA = "data"
    DOT = "dot"


HOST_STAGES = frozenset({Stage.ROUTE, Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.TLS})
"""Before the transaction: what is said here is about the host, and about no recipient or message."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `text` is without codes, its lines joined by newlines; `enhanced_status_code` may be ""."""

    reply_code: int
    enhanced_status_code: str
    text: str

    @property
    def positive(self) -> bool:
        return 200 <= self.reply_code < 300

    @property
    def transient(self) -> bool:
        return 400 <= self.reply_code < 500

    @property
    def permanent(self) -> bool:
        return 500 <= self.reply_code < 600

    def __str__(self) -> str:
        parts = (str(self.reply_code), self.enhanced_status_code, self.text.replace("\n", " / "))
        return " ".join(part for part in parts if part)

    @classmethod
    def of(cls, reply_code: int, text: str) -> "Reply":
        """A reply from its code and its text lines, the enhanced code split off each line (RFC 2034 §4)."""
        enhanced_status_code = ""
        lines = []
        for line in text.split("\n"):
            found = _ENHANCED.match(line)
            if found and found[1] == str(reply_code)[0]:
                enhanced_status_code = enhanced_status_code or found[0]
                lines.append(line[found.end() :].lstrip())
            else:
                lines.append(line)
        return cls(reply_code, enhanced_status_code, "\n".join(lines))
