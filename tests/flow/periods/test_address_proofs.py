"""A link that proves an address works for a day, once, and looking at it proves nothing."""

from datetime import datetime, timedelta

import pytest

from homing.flow.address_proofs import AddressProofs
from homing.flow.wakeup import WakeUp
from homing.loop.problem import Rejected
from homing.store import human_senders
from homing.store.database import Database
from homing.store.human_senders import HumanSender
from tests.disks import roomy
from tests.flow.act.made import OUTGOING
from tests.store.scenes import NOW, an_organization, fresh

SECRET = b"s" * 32
TOKEN = "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M"


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


async def asked(database: Database) -> tuple[AddressProofs, Clock, HumanSender]:
    clock, organization = Clock(), await an_organization(database)
    janet = HumanSender(
        id=fresh(), organization=organization.id, address="janet@example.com", name="Janet", created_at=NOW
    )
    await database.write(human_senders.create, janet)
    proofs = AddressProofs(
        database=database,
        disk=roomy(),
        outgoing=OUTGOING,
        clock=clock,
        work=WakeUp(),
        secret=lambda: SECRET,
        url="https://x.example",
    )
    await proofs.ask(janet)
    return proofs, clock, janet


@pytest.mark.parametrize(("age", "works"), [(timedelta(hours=23, minutes=59), True), (timedelta(hours=24), False)])
async def test_it_works_for_a_day(database: Database, age: timedelta, works: bool) -> None:
    proofs, clock, janet = await asked(database)
    clock.now = NOW + age
    assert (await proofs.look(TOKEN) is not None) is works
    used = await proofs.use(TOKEN)
    assert (used.human_sender if used else None) == (janet.id if works else None)
    assert await proofs.use(TOKEN) is None


async def test_nobody_gets_more_than_three_letters_a_day(database: Database) -> None:
    proofs, clock, janet = await asked(database)
    secrets = iter(range(1, 9))
    proofs = AddressProofs(
        database=database,
        disk=roomy(),
        outgoing=OUTGOING,
        clock=clock,
        work=WakeUp(),
        secret=lambda: bytes([next(secrets)]) * 32,
        url="https://x.example",
    )
    for _ in range(2):
        await proofs.ask(janet)
    with pytest.raises(Rejected) as refused:
        await proofs.ask(janet)
    assert refused.value.problem.status == 429
