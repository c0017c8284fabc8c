"""What an SMTP server said: reply code, enhanced status code, text (RFC 5321 §4.2, RFC 3463, RFC 2034)."""

import re
from dataclasses import dataclass
from enum import StrEnum

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_GOING = re.compile(r"4\.(?:3\.2|4\.\d+)")
_GOING_IN_WORDS = re.compile(
    r"clos(?:e|ing)|shut(?:ting)? ?down|going down|time[ -]?out|timed out|too long", re.IGNORECASE
)


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

    @property
    def leaves_doubt(self) -> bool:
        """Of a reply to the dot: whether the message may have been taken all the same.

        A 4yz forbids it (RFC 5321 §4.2.5), but 421 is also what a server says as it goes, whatever it did before: bare,
        as a host that shuts down (X.3.2) or lost the line (X.4.z), or in words. With another reason it is a refusal.
        """
        if self.reply_code != 421:
            return not (self.positive or self.transient or self.permanent)
        status = self.enhanced_status_code
        if status.startswith("4.7."):
            return False
        return not status or bool(_GOING.fullmatch(status) or _GOING_IN_WORDS.search(self.text))

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
