"""Events as a person reads them: when, what, to whom, and in whose words."""

from typing import Any

from homing.cli.client import Json
from homing.cli.output import cell, moment

HEADINGS = ("When (UTC)", "What", "About", "Said")

_OF_A_DOMAIN = ("record", "state", "level", "answer")
_OF_A_DELIVERY = ("channel", "reply_code", "enhanced_status_code", "why", "title", "text", "to", "suggestion", "by")
_SAID = (*_OF_A_DOMAIN, *_OF_A_DELIVERY)


def row(event: Json, recipients: dict[str, str]) -> list[object]:
    """`recipients`: those of the deliveries, by their ids; other events show a recipient, domain or message."""
    data = event["data"]
    about = recipients.get(event["delivery"] or "") or data.get("recipient") or data.get("domain") or event["message"]
    return [moment(event["at"]), event["type"], about or "", said(data)]


def said(data: Json) -> str:
    """What an event's data say, in one line."""
    words = [str(data[name]) for name in _SAID if data.get(name)]
    if data.get("rule"):
        words.append(f"[{ruling(data)}]")
    if data.get("possibly_delivered"):
        words.append("(a copy may have arrived)")
    return " ".join(words)


def ruling(verdict: Json) -> str:
    """The rule that decided, and the words that it matched."""
    matched = verdict.get("matched")
    return f"{verdict['rule']}: “{matched}”" if matched else str(verdict["rule"])


def recipients_of(message: Json) -> dict[str, str]:
    return {delivery["id"]: delivery["recipient"] for delivery in message["deliveries"]}


def line(event: Json, recipients: dict[str, str]) -> Any:
    """One event as it happens."""
    from rich.text import Text

    when, what, recipient, words = map(cell, row(event, recipients))
    what.pad_right(max(0, 18 - len(what)))
    return Text("  ").join([when, what, recipient, words])
