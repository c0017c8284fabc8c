"""Mail that breaks its reader comes again a few times, and is then kept as it is."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from structlog.testing import capture_logs

from homing.flow.receive import Receiver
from homing.flow.wakeup import WakeUp
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.reading.rulebook import assemble
from homing.store import alarms, inbound, inbound_claims, tables
from homing.store.database import Database
from homing.store.inbound import InboundState
from tests.disks import roomy
from tests.flow.act.made import TOKENS
from tests.flow.inbound_mail import read_all
from tests.store.scenes import NOW, QUOTA, fresh

NOBODY: Any = None


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


class Broken:
    """Authentication with a bug."""

    tried = 0

    async def authenticate(self, _: object) -> Any:
        self.tried += 1
        raise RuntimeError("a bug")


def a_receiver(database: Database, clock: Clock, authentication: Any, spool: Path) -> Receiver:
    return Receiver(
        database=database,
        disk=roomy(),
        tokens=TOKENS,
        operator=OperatorIdentity(from_domain="post.example", return_domain="b.post.example"),
        rules=assemble((), (), ()),
        clock=clock,
        dice=lambda: bytes(10),
        spool=spool,
        reply_retention=timedelta(days=30),
        retention=timedelta(days=30),
        inbound_authentication=authentication,
        feedback_domains=frozenset(),
        actions=WakeUp(),
        news=WakeUp(),
        names=NOBODY,
        quota=QUOTA,
    )


async def test_what_breaks_its_reader_is_tried_five_times_two_minutes_apart_and_then_kept(
    database: Database, tmp_path: Path
) -> None:
    mail = inbound.NewInbound(
        id=fresh(),
        received_at=NOW,
        envelope_sender=None,
        recipient="b+token@b.post.example",
        purpose="envelope",
        size=3,
        raw=b"\r\n.",
        flags=frozenset(),
        helo="x",
    )
    await database.write(inbound.keep, mail, QUOTA)
    clock, broken = Clock(), Broken()
    receiver = a_receiver(database, clock, broken, tmp_path)
    tried = []
    with capture_logs():
        for seconds in (0, 119, 121, 242, 363, 484, 605):
            clock.now = NOW + timedelta(seconds=seconds)
            await database.write(inbound_claims.recover, clock.now)
            await read_all(receiver)
            tried.append(broken.tried)
    assert tried == [1, 1, 2, 3, 4, 5, 5]
    [state] = await database.read(lambda conn: conn.execute(sa.select(tables.inbound.c.state)).scalars().all())
    assert state == InboundState.UNPARSED
    assert [one.cause for one in await database.read(alarms.list_all)] == ["kept-unread"]
