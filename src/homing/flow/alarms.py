"""Warn the operator: alarms are remembered by their cause, and told in letters that do not become a flood."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import structlog

from homing.flow import metrics
from homing.flow.outgoing import Clock, Letter, Outgoing
from homing.flow.wakeup import WakeUp
from homing.flow.worker import work_until_canceled
from homing.loop import ids
from homing.loop.alarm import Alarm, StandingAlarm
from homing.loop.letters.alarm_letter import alarm_letter
from homing.loop.model import OPERATOR, Origin
from homing.mail.address import parse_address
from homing.mail.compose import Mailbox
from homing.store import accepted_messages, alarms
from homing.store.accepted_messages import AcceptedMessage
from homing.store.database import Database

PAGE = "/alarms"
_LOOK_EVERY = 2.0

_log = structlog.get_logger()


def noted(alarm: Alarm | None) -> None:
    """Count an alarm that the store has remembered, and log it where it is new."""
    if alarm is None:
        return
    metrics.ALARMS.inc()
    if not alarm.again:
        delivery = None if alarm.delivery is None else ids.show("delivery", alarm.delivery)
        _log.error("alarm", cause=alarm.cause, alarm=alarm.text, delivery=delivery)


async def raise_alarm(database: Database, alarm: Alarm, now: datetime) -> None:
    """Store, count and log an alarm that does not come from the outcome of a delivery."""
    new = await database.write(alarms.raise_alarm, [(alarm, now)])
    metrics.ALARMS.inc()
    if new:
        _log.error("alarm", cause=alarm.cause, alarm=alarm.text)


@dataclass(slots=True, kw_only=True)
class AlarmNotifier:
    """Writes to the operator's administrator; if the settings name none, the log, metrics and page must do."""

    database: Database
    outgoing: Outgoing
    clock: Clock
    administrator: str | None
    public_url: str
    work: WakeUp

    async def run(self) -> None:
        await work_until_canceled(self._count_and_warn, failed="cannot warn", every=_LOOK_EVERY)

    async def _count_and_warn(self) -> None:
        metrics.ALARMS_STANDING.set(await self.database.read(alarms.count))
        await self.warn()

    async def warn(self) -> int:
        """Send the letters that are due; returns the number of alarms in them."""
        if self.administrator is None:
            return 0
        if not await self.database.read(alarms.untold, self.clock(), lock=False):
            return 0
        told = await self.database.write(_tell, self.clock(), self._letter)
        if told:
            self.work.wake()
        return told

    def _letter(self, told: list[StandingAlarm]) -> AcceptedMessage:
        assert self.administrator is not None
        letter = Letter(
            origin=Origin.LETTER,
            organization=OPERATOR,
            to=Mailbox(name="", address=parse_address(self.administrator)),
            text=alarm_letter(told, f"{self.public_url}{PAGE}"),
        )
        return self.outgoing.letter(letter, self.clock())


Compose = Callable[[list[StandingAlarm]], AcceptedMessage]


def _tell(conn: sa.Connection, now: datetime, compose: Compose) -> int:
    """One transaction: no alarm is told twice, and none counts as told without its letter."""
    standing = alarms.untold(conn, now)
    if not standing:
        return 0
    accepted_messages.add(conn, [compose(standing)])
    alarms.told(conn, [one.cause for one in standing], now)
    return len(standing)
