"""Pages that look at a bounded number of rows: whoever follows them to the end has seen all, once, in order."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from homing.loop.evidence import What
from homing.loop.model import Origin, State
from homing.store import inbound, pages, views
from homing.store.database import Database
from homing.store.inbound import InboundResult, NewInbound
from homing.store.record import record
from homing.store.views import Filter
from tests.store.scenes import MINUTE, NOW, QUOTA, an_organization, answered, claimed, fresh, submitted

JANET = fresh()
JOHN = "John@example.net"


async def _some(database: Database) -> Any:
    """Thirty messages, some of which are like none of the others; letters of ours among them."""
    organization, other = await an_organization(database), await an_organization(database)
    for number in range(30):
        await submitted(
            database,
            organization,
            JOHN if number % 7 == 0 else f"r{number}@example.net",
            "second@example.net",
            subject=str(number),
            stream="rare" if number in {3, 21} else "default",
            human_sender=JANET if number in {4, 22} else None,
            origin=Origin.LETTER if number % 5 == 4 else Origin.API,
            now=NOW + number * MINUTE,
        )
        await submitted(database, other, JOHN, now=NOW + number * MINUTE)
    for one in await claimed(database, now=NOW + timedelta(hours=1), limit=60):
        code = 550 if one.subject in {"0", "5", "6", "20"} else 250
        await database.write_grouped(record, answered(one, None, code, now=NOW + timedelta(hours=1)))
    return organization


ASKED: list[dict[str, Any]] = [
    {},
    {"recipient": JOHN.lower()},
    {"recipient": "SECOND@example.net"},
    {"recipient": "nobody@example.net"},
    {"recipient": JOHN, "stream": "rare"},
    {"recipient": JOHN, "state": State.BOUNCED},
    {"stream": "rare"},
    {"human_sender": JANET},
    {"state": State.DELIVERED},
    {"state": State.BOUNCED},
    {"state": State.BOUNCED, "stream": "rare"},
    {"state": State.QUEUED},
    {"state": State.FAILED},
    {"since": NOW + 5 * MINUTE, "until": NOW + 20 * MINUTE},
    {"since": NOW + 5 * MINUTE, "state": State.BOUNCED, "until": NOW + 20 * MINUTE},
]


async def test_messages_page_by_page_are_all_messages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    organization = await _some(database)
    for wanted in ASKED:
        monkeypatch.undo()
        everything = await database.read(views.messages, organization.id, Filter(**wanted), limit=200)
        assert everything.further is None
        ids = [line.message.id for line in everything.lines]
        assert all(later < earlier for earlier, later in pairwise(ids))
        assert all(_holds(line, wanted) for line in everything.lines)
        for looked_through, limit in ((4, 3), (1, 1), (7, 50), (5000, 2)):
            monkeypatch.setattr(pages, "LOOKED_THROUGH", looked_through)
            assert await _followed(database, organization, wanted, limit) == ids, (wanted, looked_through, limit)


def _holds(line: views.MessageLine, wanted: dict[str, Any]) -> bool:
    message = line.message
    deliveries = [
        one
        for one in line.deliveries
        if one.state is wanted.get("state", one.state)
        and one.recipient.lower() == wanted.get("recipient", one.recipient).lower()
    ]
    return (
        not message.origin.ours
        and bool(deliveries)
        and message.stream == wanted.get("stream", message.stream)
        and message.human_sender == wanted.get("human_sender", message.human_sender)
        and wanted.get("since", NOW) <= message.created_at < wanted.get("until", NOW + timedelta(days=1))
    )


async def _followed(database: Database, organization: Any, wanted: dict[str, Any], limit: int) -> list[Any]:
    found, before = [], None
    while True:
        page = await database.read(views.messages, organization.id, Filter(**wanted), before=before, limit=limit)
        found += [line.message.id for line in page.lines]
        if page.further is None:
            return found
        assert before is None or page.further < before
        before = page.further


async def test_returned_mail_page_by_page_is_all_of_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        now = NOW + number * MINUTE
        mail = NewInbound(
            id=fresh(now),
            received_at=now,
            envelope_sender=None,
            recipient="b+x@b.post.example",
            purpose="abuse" if number in {2, 15} else "envelope",
            size=1,
            raw=b"x",
        )
        await database.write(inbound.keep, mail, QUOTA)
        what = What.COMPLAINT if number % 6 == 0 else What.BOUNCE
        await database.write(inbound.finish, InboundResult(id=mail.id, what=what, verdict=None))
    asked: list[tuple[dict[str, Any], int]] = [({}, 20), ({"what": What.COMPLAINT}, 4), ({"purpose": "abuse"}, 2)]
    for wanted, many in [*asked, ({"what": What.BOUNCE, "purpose": "abuse"}, 2)]:
        everything = [line.id for line in (await database.read(inbound.list_page, **wanted)).lines]
        assert len(everything) == many
        monkeypatch.setattr(pages, "LOOKED_THROUGH", 3)
        page = await database.read(inbound.list_page, limit=2, **wanted)
        found = list(page.lines)
        while page.further is not None:
            page = await database.read(inbound.list_page, before=page.further, limit=2, **wanted)
            found += page.lines
        assert [line.id for line in found] == everything
        monkeypatch.undo()


async def test_no_more_than_the_newest_are_counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    organization = await _some(database)
    monkeypatch.setattr(views, "COUNTED", 10)
    counts = await database.read(views.counts, organization.id)
    assert sum(counts.values()) == 10
