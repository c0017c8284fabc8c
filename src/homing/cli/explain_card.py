"""The card that `homing explain` shows of a mail. Its words are strangers': cleaned, and never read as markup."""

from collections import Counter
from datetime import UTC, datetime
from itertools import islice

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from homing.cli.output import cell, lines, table
from homing.loop.reading.explanation import WHAT_IT_IS, consequence, meaning, sentences
from homing.loop.reading.understand import RecipientReport, Understood
from homing.mail.text import clean

_MOST_RECIPIENTS = 5
_SAID_LINES = 6
_COLOURS = {"hard": "red", "soft": "yellow", "complaint": "magenta", "auto-reply": "cyan", "none": "green"}


def card(understood: Understood, file: str, remark: str = "") -> Panel:
    """One mail, in a frame with its file's name; a remark says what is odd about the file."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _of_the_mail(understood):
        facts.add_row(name, value)
    if remark:
        facts.add_row("Remark", Text(remark, "yellow"))
    reports = understood.reports
    if not reports:
        outcome = consequence(understood, None, datetime.now(UTC))
        facts.add_row("Homing", Text("\n".join(sentences(outcome, None, understood.what))))
    for report in islice(reports, _MOST_RECIPIENTS):
        facts.add_row()
        for name, value in _of_a_recipient(understood, report):
            facts.add_row(name, value)
    if len(reports) > _MOST_RECIPIENTS:
        facts.add_row("", Text(f"… and {len(reports) - _MOST_RECIPIENTS} more recipients", "dim"))
    colour = _COLOURS.get(reports[0].verdict.kind, "white") if reports else "white"
    return Panel(facts, title=_title(file), title_align="left", border_style=colour)


def unreadable(file: str, error: str, remark: str = "") -> Panel:
    """A file that could not be read, and what to do about it."""
    text = Text(clean(f"cannot be read: {error}. {remark}".strip(), 300), "red")
    return Panel(text, title=_title(file), title_align="left", border_style="red")


def _title(file: str) -> Text:
    return Text(clean(file, 200), "bold")


def summary(counted: Counter[tuple[str, str, str]]) -> RenderableType:
    """How many of each kind there were."""
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return table(("Count", "What", "Class", "Kind"), ((number, *words) for words, number in ranked))


def _of_the_mail(understood: Understood) -> list[tuple[str, Text]]:
    what = Text.assemble((understood.what.value, "bold"), f"  {WHAT_IT_IS[understood.what]}")
    known_by = Text(clean(understood.rule, 100))
    if understood.matched:
        known_by.append("  ").append(clean(f"“{understood.matched}”", 120), "italic")
    about = [("What", what), ("Known by", known_by), ("Subject", cell(understood.subject or None))]
    if understood.from_address:
        about.append(("From", cell(understood.from_address)))
    return about


def _of_a_recipient(understood: Understood, report: RecipientReport) -> list[tuple[str, Text]]:
    verdict = report.verdict
    status = report.status or verdict.enhanced_status_code
    code = " ".join(word for word in (str(verdict.reply_code or ""), status) if word)
    whom = Text.assemble((clean(report.address, 300) or "not named", "bold"), f"  {report.action.value}  {code}")
    if report.final_recipient not in {"", report.address}:
        whom.append(clean(f"  (there: {report.final_recipient})", 300))
    words = dict.fromkeys((verdict.failure_class, verdict.kind))
    kind = Text(", ".join(words), _COLOURS.get(verdict.kind, ""))
    about = [
        ("Whom", whom),
        ("Why", Text.assemble(kind, f"  {clean(meaning(report), 400)}")),
        ("Rule", Text(clean(verdict.rule, 100))),
    ]
    if verdict.matched:
        about.append(("Matched", Text(clean(f"“{verdict.matched}”", 300), "italic")))
    if said := lines("\n".join(verdict.text.splitlines()[:_SAID_LINES])):
        by = f"{clean(report.remote_mta, 200)}: " if report.remote_mta else ""
        about.append(("Said", Text.assemble((by, "dim"), said)))
    outcome = consequence(understood, report, datetime.now(UTC))
    about.append(("Homing", Text("\n".join(sentences(outcome, report)))))
    return about
