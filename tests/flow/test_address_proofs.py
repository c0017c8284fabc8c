"""An address is proved by whoever reads its mail: a letter, a link that works once, and no more letters than three."""

import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP
from itertools import count
from typing import Any

import pytest

from homing.flow.address_proofs import AddressProofs
from homing.flow.outgoing import Outgoing
from homing.flow.wakeup import WakeUp
from homing.loop.problem import Rejected
from homing.loop.token import TokenKey, Tokens
from homing.store import human_senders, organizations, tables
from homing.store.database import Database
from homing.store.human_senders import HumanSender
from tests.disks import roomy
from tests.flow.deliver.scene import OPERATOR, Clock
from tests.store.scenes import NOW, all_rows, an_organization, fresh

URL = "https://gateway.example"
DAY = timedelta(days=1)


class Calls(WakeUp):
    """A wake-up that remembers how often it was called."""

    times = 0

    def wake(self) -> None:
        self.times += 1


@dataclass(slots=True, kw_only=True)
class Office:
    database: Database
    clock: Clock
    proofs: AddressProofs
    work: Calls = field(default_factory=Calls)

    async def person(self, address: str = "janet@example.com") -> HumanSender:
        """Somebody of an organization of his own."""
        organization = await an_organization(self.database)
        janet = HumanSender(
            id=fresh(), organization=organization.id, name="Janet Roe", address=address, created_at=self.clock()
        )
        assert await self.database.write(human_senders.create, janet)
        return janet

    async def letters(self) -> list[dict[str, Any]]:
        """All that waits, with its text, oldest first."""
        waiting = await self.database.read(all_rows, tables.delivery)
        contents = {
            row["message"]: row["content"] for row in await self.database.read(all_rows, tables.message_content)
        }
        return [row | {"text": _text(contents[row["message"]])} for row in waiting]

    async def token(self) -> str:
        """That of the newest letter."""
        found = re.findall(rf"{URL}/prove/(\S+)", (await self.letters())[-1]["text"])
        assert found
        return str(found[0])

    async def proved(self, person: HumanSender) -> bool:
        found = await self.database.read(human_senders.get, person.organization, person.id)
        assert found
        return found.proved_at is not None


def _text(content: bytes) -> str:
    body = message_from_bytes(content, policy=SMTP).get_body(("plain",))
    assert body
    return str(body.get_content())


@pytest.fixture
def office(database: Database, clock: Clock) -> Office:
    work, numbers = Calls(), count()
    outgoing = Outgoing(
        tokens=Tokens([TokenKey(id=1, secret=b"k" * 32, since=NOW - DAY)]),
        operator=OPERATOR,
        operator_name="Operator",
        lifetime=timedelta(days=5),
        dice=lambda: next(numbers).to_bytes(10),  # so that ids keep the order of one moment
        url=URL,
    )
    proofs = AddressProofs(
        database=database,
        disk=roomy(),
        outgoing=outgoing,
        clock=clock,
        work=work,
        secret=lambda: os.urandom(32),
        url=URL,
    )
    return Office(database=database, clock=clock, proofs=proofs, work=work)


async def test_the_letter_goes_to_the_address_and_to_work_at_once(office: Office) -> None:
    janet = await office.person()
    await office.proofs.ask(janet)
    [letter] = await office.letters()
    assert (letter["recipient"], letter["state"]) == ("janet@example.com", "queued")
    assert "Operator" in letter["text"]
    assert office.work.times == 1
    assert not await office.proved(janet), "asking proves nothing"


async def test_no_letter_is_written_while_the_disk_is_low(office: Office) -> None:
    janet = await office.person()
    office.proofs.disk.is_low = True
    with pytest.raises(Rejected) as refused:
        await office.proofs.ask(janet)
    assert refused.value.problem.code == "disk-full"
    assert await office.letters() == []


async def test_a_link_is_used_once_and_looking_proves_nothing(office: Office) -> None:
    janet = await office.person()
    await office.proofs.ask(janet)
    token = await office.token()
    for _ in range(2):  # mail scanners follow links
        seen = await office.proofs.look(token)
        assert seen and (seen.human_sender, seen.address) == (janet.id, janet.address)
    assert not await office.proved(janet)
    used = await office.proofs.use(token)
    assert used and (used.human_sender, used.address) == (janet.id, janet.address)
    assert await office.proved(janet)
    assert await office.proofs.look(token) is None
    assert await office.proofs.use(token) is None


async def test_a_link_works_for_a_day(office: Office) -> None:
    janet, jack = await office.person(), await office.person("jack@example.com")
    await office.proofs.ask(janet)
    of_janet = await office.token()
    await office.proofs.ask(jack)
    of_jack = await office.token()
    office.clock.now = NOW + DAY - timedelta(seconds=1)
    assert await office.proofs.use(of_janet)
    office.clock.now = NOW + DAY
    assert await office.proofs.look(of_jack) is None
    assert await office.proofs.use(of_jack) is None
    assert not await office.proved(jack)


async def test_the_fourth_letter_of_a_day_is_not_sent_whichever_organization_asks(office: Office) -> None:
    janet, elsewhere = await office.person(), await office.person("Janet@example.com")
    for one in (janet, elsewhere, janet):
        await office.proofs.ask(one)
    with pytest.raises(Rejected) as refused:
        await office.proofs.ask(elsewhere)
    assert (refused.value.problem.status, refused.value.problem.code) == (429, "too-many-proof-letters")
    assert (len(await office.letters()), office.work.times) == (3, 3)
    await office.proofs.ask(await office.person("jack@example.com"))
    office.clock.now = NOW + DAY
    await office.proofs.ask(janet)
    assert [row["recipient"] for row in await office.letters()][3:] == ["jack@example.com", "janet@example.com"]


async def test_one_organizations_link_proves_nothing_for_another(office: Office) -> None:
    janet, elsewhere = await office.person(), await office.person()
    await office.proofs.ask(janet)
    await office.proofs.use(await office.token())
    assert (await office.proved(janet), await office.proved(elsewhere)) == (True, False)


async def test_two_letters_have_two_links_and_both_work(office: Office) -> None:
    """Whoever asks again because the first was slow may click on either."""
    janet = await office.person()
    await office.proofs.ask(janet)
    first = await office.token()
    await office.proofs.ask(janet)
    second = await office.token()
    assert first != second
    assert await office.proofs.use(first)
    assert await office.proofs.look(second)


async def test_the_store_does_not_know_the_token(office: Office) -> None:
    """Whoever reads the table of proofs can use none of them."""
    await office.proofs.ask(await office.person())
    token = await office.token()
    [row] = await office.database.read(all_rows, tables.proof)
    assert token not in str(row)
    assert await office.proofs.use(row["token_hash"]) is None


# -- the administrator -----------------------------------------------------------------------------------------------


async def test_an_administrators_address_is_proved_in_the_same_way(office: Office) -> None:
    one = await an_organization(office.database, administrator="it@crm.example")
    await office.proofs.ask_administrator(one)
    [letter] = await office.letters()
    assert (letter["recipient"], letter["state"]) == ("it@crm.example", "queued")
    assert "as the address of its administrator" in " ".join(letter["text"].split())
    token = await office.token()
    assert await office.proofs.look(token)
    found = await office.database.read(organizations.get, one.id)
    assert found and found.proved_administrator is None, "looking proves nothing"
    assert await office.proofs.use(token)
    found = await office.database.read(organizations.get, one.id)
    assert found and (found.proved_administrator, found.administrator_proved_at) == ("it@crm.example", NOW)
    assert await office.proofs.use(token) is None


async def test_people_and_administrators_have_one_budget_and_each_refusal_is_on_record(office: Office) -> None:
    """Whoever names an address as a person's and as an administrator's sends it no more letters by that."""
    janet = await office.person()
    one = await an_organization(office.database, administrator="janet@example.com")
    for _ in range(3):
        await office.proofs.ask(janet)
    with pytest.raises(Rejected) as refused:
        await office.proofs.ask_administrator(one)
    assert refused.value.problem.code == "too-many-proof-letters"
    assert len(await office.letters()) == 3
    [event] = await office.database.read(all_rows, tables.event, tables.event.c.type == "action_failed")
    assert event["organization"] == one.id
    assert event["data"] == {
        "channel": "proof",
        "why": "janet@example.com has had 3 today",
        "budget": "proof-person",
        "to": "janet@example.com",
    }
