"""One live run: the gateway sends a message, the server answers or sends something back, and we write what follows."""

import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email import message_from_bytes
from email.message import Message
from typing import Any

import sqlalchemy as sa

from homing.store import tables
from tests.patience import until
from tests.stories.gateway import Application, Story, plain_text

from .scenarios import Scenario, Wait

JANET = "janet@example.com"
_ROUTINE = {"queued", "attempted"}
_SHORT = 220


@dataclass(slots=True)
class Finding:
    """What the server said, and what was concluded. `why` says why there is no live cell, or what went wrong with it;
    `differs`: where the conclusion is not the expected one."""

    server: str
    scenario: str
    said: list[str] = field(default_factory=list)
    state: str = ""
    events: list[str] = field(default_factory=list)
    failure_class: str = ""
    kind: str = ""
    rule: str = ""
    suppressed: float | None = 0
    case: bool = False
    about_us: bool = False
    told: list[str] = field(default_factory=list)
    live: bool = True
    why: str = ""
    differs: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Cell:
    """A scenario at a server."""

    story: Story
    application: Application
    server: str
    name: str
    scenario: Scenario

    async def run(self) -> Finding:
        text = "Hello, thank you for your call.\n" + "All the best to you and yours.\n" * (self.scenario.size // 31)
        answer = await self.application.send(JANET, self.scenario.recipient, subject=self.scenario.subject, text=text)
        finding = Finding(self.server, self.name)
        try:
            await self._wait(answer)
        except AssertionError:
            finding.why = f"{self.scenario.wait.value} never came"
        await self._settled(answer)
        await self._fill(finding, answer)
        return finding

    async def _wait(self, answer: dict[str, Any]) -> None:
        async def attempted(state: str | None = None) -> bool:
            now = str((await self.application.states(answer))[0])
            return now == state if state else now not in {"queued", "sending"}

        async def returned() -> bool:
            rows = await self._returned(answer)
            wanted = {"bounce"} if self.scenario.wait is Wait.BOUNCE else None
            return any(row["state"] == "done" and (wanted is None or row["what"] in wanted) for row in rows)

        await until(attempted, self.scenario.patience)
        if self.scenario.wait is Wait.TWO_TRIES:
            await until(lambda: attempted("deferred"), self.scenario.patience)
            self.story.advance(hours=2)
            await until(lambda: attempted("delivered"), self.scenario.patience)
        elif self.scenario.wait is not Wait.DIALOGUE and not await self._refused_at_once(answer):
            await until(returned, self.scenario.patience)

    async def _refused_at_once(self, answer: dict[str, Any]) -> bool:
        """Whether it never was in their hands, so that nothing can come back."""
        (delivery,) = (await self.application.message(answer))["deliveries"]
        return bool(delivery["state"] != "delivered" and delivery["bounced"] != "late")

    async def _settled(self, answer: dict[str, Any]) -> None:
        """Wait until all that was begun about it has ended: a case's steps, mails that are still to be understood."""

        async def quiet() -> bool:
            (delivery,) = (await self.application.message(answer))["deliveries"]
            actions = (delivery["case"] or {}).get("actions", [])
            rows = await self._returned(answer)
            return all(action["ended_at"] for action in actions) and all(row["state"] == "done" for row in rows)

        try:
            await until(quiet, 10)
        except AssertionError:
            return

    async def _returned(self, answer: dict[str, Any]) -> list[sa.RowMapping]:
        """What came back about the delivery, oldest first."""
        delivery = answer["deliveries"][0]["id"].removeprefix("dlv_")

        def look(conn: sa.Connection) -> list[sa.RowMapping]:
            found = conn.execute(tables.inbound.select().order_by(tables.inbound.c.id)).mappings()
            return [row for row in found if row["delivery"] is not None and row["delivery"].hex == delivery]

        return await self.story.app.database.read(look)

    async def _fill(self, finding: Finding, answer: dict[str, Any]) -> None:
        message = await self.application.message(answer)
        (delivery,) = message["deliveries"]
        rows = await self._returned(answer)
        finding.said = [_of_attempt(attempt) for attempt in delivery["attempts"] if attempt["stage"]]
        finding.said += [_of_mail(message_from_bytes(row["raw"])) for row in rows]
        finding.state = delivery["state"]
        finding.events = [event["type"] for event in message["timeline"] if event["type"] not in _ROUTINE]
        decided = [event["data"] for event in message["timeline"] if event["data"].get("failure_class")]
        deciding = delivery["verdict"] or (decided[-1] if decided else {})
        for name in ("failure_class", "kind", "rule"):
            setattr(finding, name, deciding.get(name, ""))
        finding.suppressed = await self._days_suppressed()
        finding.case = "opened_case" in finding.events
        alarms = (await self.story.http.get("/v1/alarms", headers=self.story.administrator)).json()["alarms"]
        finding.about_us = any(alarm["delivery"] == delivery["id"] for alarm in alarms)
        letters = [plain_text(letter) for letter in self.story.world.inbox(JANET)]
        if any(self.scenario.recipient in letter for letter in letters):
            finding.told.append("human sender")
        if finding.about_us:
            finding.told.append("operator")

    async def _days_suppressed(self) -> float | None:
        entries = (await self.application.call("GET", "/v1/suppressions")).json()["suppressions"]
        mine = [entry for entry in entries if entry["address"] == self.scenario.recipient]
        if not mine:
            return 0
        if mine[0]["expires_at"] is None:
            return None
        span = datetime.fromisoformat(mine[0]["expires_at"]) - self.story.clock()
        return round(span.total_seconds() / 86_400, 1)


def _of_attempt(attempt: dict[str, Any]) -> str:
    if attempt["text"] == "size_exceeded":
        return "before MAIL FROM: the SIZE that it announces is too small, so nothing was sent"
    codes = " ".join(str(attempt[name]) for name in ("reply_code", "enhanced_status_code") if attempt[name])
    return _tidy(f"at {attempt['stage'].replace('_', ' ').upper()}: {codes} {attempt['text']}")


def _of_mail(mail: Message) -> str:
    """The words of a mail that came back: of its report where it has one, else of its text."""
    reports = [part for part in mail.walk() if part.get_content_type().endswith("delivery-status")]
    if not reports:
        return _tidy(f"a mail “{mail['Subject']}”: {_text(mail)}")
    told = []
    for block in list(reports[0].get_payload())[1:]:
        assert isinstance(block, Message)
        fields = [
            f"{short} {_value(block[name])}"
            for short, name in (("for", "Original-Recipient"), ("final", "Final-Recipient"))
            if block[name]
        ]
        said = _value(block["Diagnostic-Code"]) or _about(_value(block["Final-Recipient"]), _text(mail))
        told.append(f"{block['Action']} {block['Status']} {', '.join(fields)}: {said}")
    return _tidy("a report: " + "; ".join(told))


def _about(recipient: str, text: str) -> str:
    """What a notice says in words, from where it says whom it is about."""
    start = text.find(recipient)
    return text[start:] if start > 0 else text


def _value(value: object) -> str:
    return str(value or "").partition(";")[2].strip()


def _text(mail: Message) -> str:
    for part in mail.walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return ""


_CHANGING = (
    (r"\bb\+[a-z2-7]+@", "b+…@"),
    (r"\bSRS[01][=+-]\S+?@", "SRS…@"),
    (r"(?i)(queued as|message id|id=|queue id:?) ?\S+", r"\1 …"),
    (r"\S+ Message accepted", "… Message accepted"),
    (r"\s+", " "),
)


def _tidy(text: str) -> str:
    """One line without what changes from run to run."""
    for pattern, instead in _CHANGING:
        text = re.sub(pattern, instead, text)
    text = text.strip()
    return text if len(text) <= _SHORT else text[:_SHORT].rstrip() + " …"
