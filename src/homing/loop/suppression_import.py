"""Suppressions as other providers export them, in CSV (RFC 4180): what each line says, and whether it suppresses.

A provider calls an address dead and quotes a server. Our rules read what is quoted: they say whether the address or its
domain is gone, and leave out what was about the moment, the message or the sender. Where they cannot tell, the provider
is believed.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from itertools import chain

from homing.loop.reading.classify import classify
from homing.loop.reading.rulebook import Rules
from homing.loop.suppression import GONE_DOMAIN_FOR
from homing.mail.address import AddressError, parse_address
from homing.mail.compose import check_text
from homing.mail.text import clean

REASONS = ("invalid_recipient", "inactive_mailbox", "invalid_domain", "complaint", "unsubscribe", "manual")
"""Of what is imported."""

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
CLOCKS_DIFFER = timedelta(minutes=5)
"""By how much a moment may lie in the future."""

_QUOTED = 300


class Format(StrEnum):
    SES = "ses"
    SENDGRID = "sendgrid"
    POSTMARK = "postmark"
    MAILGUN = "mailgun"
    CSV = "csv"


_PROVIDERS = {
    Format.SES: "Amazon SES",
    Format.SENDGRID: "SendGrid",
    Format.POSTMARK: "Postmark",
    Format.MAILGUN: "Mailgun",
}

_ADDRESS = ("emailaddress", "address", "email", "recipient")
_CREATED = ("createdat", "created", "lastupdatetime", "bouncedat", "timestamp", "date")
_WHY = ("suppressionreason", "reason", "type")
_QUOTES = ("error", "details", "description", "evidence")
_READ = frozenset((*_ADDRESS, *_CREATED, *_WHY, *_QUOTES, "status", "code", "ip", "inactive", "origin", "tags", "tag"))

_BOUNCE, _TRANSIENT = "bounce", "transient"
_PASSING = re.findall(
    r"\w+",
    "transient softbounce soft temporary undetermined blocked block deferred mailboxfull dnserror autoresponder "
    "addresschange spamnotification virusnotification challengeverification unknown unconfirmed subscribe "
    "openrelaytest dmarcpolicy smtpapierror inbounderror templaterenderingfailed",
)
_WORDS: Mapping[str, str] = {
    **{word.replace("_", ""): word for word in REASONS},
    **dict.fromkeys(("bounce", "bounced", "hardbounce", "hard", "permanent", "bademailaddress", "invalid"), _BOUNCE),
    **dict.fromkeys(("complaint", "spam", "spamcomplaint", "spamreport", "abuse"), "complaint"),
    **dict.fromkeys(("unsubscribe", "unsubscribed", "optout"), "unsubscribe"),
    **dict.fromkeys(("manual", "manualsuppression", "manuallydeactivated"), "manual"),
    **dict.fromkeys(_PASSING, _TRANSIENT),
}
"""What the words of the providers mean: SES's reasons, the types of Postmark's suppressions and bounces, our own."""


class ExportError(ValueError):
    """The file is none that can be imported. `code` is a stable word, the message is for a person; `line`: where."""

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a file is read. `reason`: for lines that give none; `now` (UTC): the moment of the import."""

    rules: Rules
    now: datetime
    format: Format | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a line suppresses. `created_at` None: it does not say since when. `rule`: the one of ours that gave the
    reason; None: the provider did."""

    line: int
    address: str
    reason: str
    evidence: str
    created_at: datetime | None
    expires_at: datetime | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Omitted:
    """A line that is not imported: it is wrong, or (`harmless`) it says nothing that should suppress anybody."""

    line: int
    code: str
    message: str
    harmless: bool = False


class _Unfit(Exception):  # noqa: N818 - it says what is the case
    """Why a line is not imported: `code`, a sentence, and whether that is as it should be."""


@dataclass(frozen=True, slots=True)
class Export:
    """A file whose form is known. `columns`: their names without spaces, in lower case."""

    format: Format
    columns: tuple[str, ...]
    terms: Terms
    rows: Iterator[tuple[int, list[str] | None]]

    def read(self) -> Iterator[Imported | Omitted]:
        """Each line in turn; empty ones are passed over. Raises ExportError where quotation marks have swallowed
        lines: whoever wants all or nothing reads the `rows` first."""
        for line, cells in self.rows:
            try:
                if cells is None or any(cells):
                    yield self._read(line, self._row(cells))
            except _Unfit as why:
                code, message, harmless = why.args
                yield Omitted(line=line, code=code, message=message, harmless=harmless)

    def _row(self, cells: Sequence[str] | None) -> Mapping[str, str]:
        if cells is None or len(cells) > len(self.columns):
            raise _Unfit("line-unreadable", "The line is not CSV as the first one announces it (RFC 4180).", False)
        return dict(zip(self.columns, cells, strict=False))

    def _read(self, line: int, row: Mapping[str, str]) -> Imported:
        try:
            address = parse_address(_first(row, _ADDRESS)).folded
        except AddressError as error:
            raise _Unfit(error.code, str(error), False) from None
        created_at = moment_in(_first(row, _CREATED), self.terms.now)
        reason, rule, expires_at = self._why(row), None, None
        quoted = self._quoted(row)
        if reason == _BOUNCE:
            reason, rule = self._of_bounce(row, quoted)
        if reason == _TRANSIENT:
            raise _Unfit("row-transient", "This failure was one of the moment, and suppresses nobody.", True)
        if row.get("inactive", "").lower() == "false":
            raise _Unfit("row-active", "The provider itself sends to this address again.", True)
        if reason == "invalid_domain":
            expires_at = (created_at or self.terms.now) + GONE_DOMAIN_FOR
            if expires_at <= self.terms.now:
                raise _Unfit("row-lapsed", "The domain was missing more than 30 days ago, and may be back.", True)
        return Imported(
            line=line,
            address=address,
            reason=reason,
            evidence=self._evidence(quoted, rule),
            created_at=created_at,
            expires_at=expires_at,
            rule=rule,
        )

    def _why(self, row: Mapping[str, str]) -> str:
        """A word of REASONS, or that it bounced or was transient."""
        match self.format:
            case Format.SENDGRID if "ip" in row:
                return "complaint"
            case Format.SENDGRID if "status" in row or "reason" in row:
                return _BOUNCE
            case Format.SENDGRID:
                return self.terms.reason or "unsubscribe"
            case Format.MAILGUN if "code" in row or "error" in row:
                return _BOUNCE
            case Format.MAILGUN:
                return self.terms.reason or ("unsubscribe" if "tags" in row or "tag" in row else "complaint")
        word = _first(row, _WHY)
        if not word:
            return self.terms.reason or "manual"
        meant = _WORDS.get(_plain(word))
        if meant is None:
            raise _Unfit("reason-unknown", f"We know no such reason: {clean(word, 40)}", False)
        by_recipient = meant == "manual" and _plain(row.get("origin", "")) == "recipient"
        return "unsubscribe" if by_recipient else meant

    def _quoted(self, row: Mapping[str, str]) -> str:
        """The server's words; "" where they cannot be shown."""
        words = _first(row, _QUOTES)
        if self.format is Format.SENDGRID:
            words = row.get("reason", "")
        quoted = clean(words, _QUOTED)
        return "" if check_text(quoted, _QUOTED) else quoted

    def _of_bounce(self, row: Mapping[str, str], quoted: str) -> tuple[str, str | None]:
        """What our rules make of it: the reason, and the rule where one decided."""
        code = row.get("code", "") if self.format is Format.MAILGUN else ""
        status = next(iter(_STATUS.findall(row.get("status", ""))), "")
        if status.startswith("4") or code.startswith("4") or _TRANSIENT_REPLY.match(quoted):
            return _TRANSIENT, None
        if not quoted and not status:
            return "invalid_recipient", None
        text = f"{code} {quoted}".strip()
        verdict = classify(None, stage=None, status=status, text=text, remote_mta="", rules=self.terms.rules)
        if verdict.kind == "hard":
            return verdict.failure_class, verdict.rule
        if verdict.failure_class != "undetermined":
            why = f"{verdict.failure_class} (rule {verdict.rule})"
            raise _Unfit("row-not-recipient", f"The address was not what was refused: {why}.", True)
        return "invalid_recipient", None

    def _evidence(self, quoted: str, rule: str | None) -> str:
        source = f"imported from {_PROVIDERS[self.format]}" if self.format in _PROVIDERS else "imported"
        told = f"{source} on {self.terms.now.date().isoformat()}" + (f": {quoted}" if quoted else "")
        return f"{told} (rule {rule})" if rule else told


_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")  # RFC 3463 §2
_TRANSIENT_REPLY = re.compile(r"4[0-9][0-9](?![0-9])")  # RFC 5321 §4.2.1


def open_export(lines: Iterable[str], terms: Terms) -> Export:
    """Tell the form of a file from its first line, unless the terms name it. Raises ExportError, also where that line
    is of more than one form, and neither format nor reason is given."""
    source = iter(lines)
    first, passed = "", 0
    for first in source:
        if first.strip("\ufeff \t\r\n"):
            break
        passed += 1
    first = first.removeprefix("\ufeff")
    delimiter = max(",;\t", key=first.count)
    rows = _rows(chain([first], source), delimiter, passed)
    line, cells = next(rows, (0, None))
    if not cells or not any(cells):
        raise ExportError("file-empty", "The file has no line that can be read.")
    names = tuple(map(_plain, cells))
    if set(names).intersection(_ADDRESS):
        if twice := sorted(name for name in _READ.intersection(names) if names.count(name) > 1):
            message = f"The first line names the column “{twice[0]}” twice."
            raise ExportError("column-repeated", message, line)
        return Export(terms.format or _told(frozenset(names), terms), names, terms, _whole(rows, names, delimiter))
    form, names = _without_header(cells, terms)
    return Export(form, names, terms, _whole(chain([(line, cells)], rows), names, delimiter))


def _told(names: frozenset[str], terms: Terms) -> Format:
    """The form of which the columns are. Lists that say of whom but not why are alike, and a reason is anybody's."""
    form = _sniffed(names)
    alike = (form is Format.SENDGRID and not names & {"status", "ip"}) or names == {"address", "createdat"}
    if not alike:
        return form
    if terms.reason is not None and "reason" not in names:
        return Format.CSV
    more = "" if "reason" in names else ", or give the reason (“--reason”)"
    options = f"“--format {form}” or “--format csv”{more}"
    message = f"A list of {_PROVIDERS[form]}'s has these columns, and so have others: say {options}."
    raise ExportError("format-unclear", message)


def _sniffed(names: frozenset[str]) -> Format:
    if ("emailaddress" in names and names & {"suppressionreason", "origin"}) or {"email", "bouncedat", "type"} <= names:
        return Format.POSTMARK
    if {"emailaddress", "reason"} <= names:
        return Format.SES
    if {"email", "created"} <= names:
        return Format.SENDGRID
    if "address" in names and (names & {"code", "error", "tags"} or names == {"address", "createdat"}):
        return Format.MAILGUN
    return Format.CSV


def _without_header(cells: Sequence[str], terms: Terms) -> tuple[Format, tuple[str, ...]]:
    """Addresses alone, or with a reason as in SES's bulk form; and its columns."""
    if "@" not in cells[0] or len(cells) > 2:
        raise ExportError("format-unknown", "The first line names no column with addresses, as “address” or “email”.")
    bulk = len(cells) == 2 and _plain(cells[1]) in {"bounce", "complaint"}
    return terms.format or (Format.SES if bulk else Format.CSV), ("address", "reason")


def _rows(lines: Iterator[str], delimiter: str, passed: int) -> Iterator[tuple[int, list[str] | None]]:
    """Each row with the number of its first line; None: it cannot be read. Raises ExportError where that took others
    with it."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        line = passed + reader.line_num + 1
        try:
            yield line, [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            if passed + reader.line_num > line:
                raise _swallowed(line) from None
            yield line, None


def _whole(
    rows: Iterable[tuple[int, list[str] | None]], columns: Sequence[str], delimiter: str
) -> Iterator[tuple[int, list[str] | None]]:
    """The same rows. Raises ExportError where a cell holds lines that look like rows: two stray quotation marks swallow
    what is between them, and are good CSV."""
    place = next(columns.index(name) for name in _ADDRESS if name in columns)
    for line, cells in rows:
        for cell in cells or ():
            _, *further = cell.splitlines() or [""]
            found = [one.split(delimiter) for one in further]
            full = [one for one in found if len(one) == len(columns)] + [one for one in found[-1:] if len(one) > 1]
            if any(len(one) > place and _is_address(one[place]) for one in full):
                raise _swallowed(line)
        yield line, cells


def _swallowed(line: int) -> ExportError:
    message = f"A quotation mark in line {line} swallows the lines behind it: it has no other one, or a stray one."
    return ExportError("quote-stray", message, line)


def _is_address(text: str) -> bool:
    try:
        parse_address(text.strip().strip('"'))
    except AddressError:
        return False
    return True


def moment_in(text: str, now: datetime) -> datetime | None:
    """A moment as exports write it, in UTC: RFC 3339 and its kin, RFC 5322 §3.3, or seconds since 1970. One without a
    zone is UTC. None: there is none."""
    if not text:
        return None
    moment = _epoch(text) if text.isdecimal() else _iso(text) or _rfc5322(text)
    if moment is None:
        raise _Unfit("moment-form", f"We know no moment of this form: {clean(text, 40)}", False)
    if not EARLIEST <= moment <= now + CLOCKS_DIFFER:
        raise _Unfit("moment-unlikely", "This moment lies in the future, or before 1990.", False)
    return min(moment, now)


def _epoch(text: str) -> datetime | None:
    """Ten digits are seconds, thirteen are milliseconds."""
    if len(text) not in (9, 10, 13):
        return None
    return datetime.fromtimestamp(int(text[:10] if len(text) == 13 else text), UTC)


def _iso(text: str) -> datetime | None:
    try:
        return _utc(datetime.fromisoformat(text.removesuffix(" UTC").removesuffix(" +0000")))
    except (ValueError, OverflowError):
        return None


def _rfc5322(text: str) -> datetime | None:
    try:
        return _utc(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _first(row: Mapping[str, str], names: Iterable[str]) -> str:
    return next((row[name] for name in names if row.get(name)), "")


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]", "", word).lower()
