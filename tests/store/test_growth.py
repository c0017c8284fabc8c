"""Nothing that is done again and again, and no page, costs more because much has ended: measured by what a database
looks at, on a small store and on a large one."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from homing.loop.evidence import What
from homing.loop.model import CaseKind, CaseState, State
from homing.loop.queue import Line, Places
from homing.store import (
    actions,
    alarms,
    cases,
    claims,
    deliveries,
    dkim_keys,
    events,
    figures,
    human_senders,
    inbound,
    inbound_claims,
    lifts,
    loop_probes,
    mail_domains,
    organizations,
    pages,
    sending_domains,
    suppressions,
    tidy,
    views,
)
from homing.store.database import Database
from homing.store.inbound import InboundQueue
from homing.store.lifts import Criteria
from homing.store.views import Filter

from .conftest import empty_store
from .examined import examined
from .large import Large, Size, build
from .scenes import LEASE, MINUTE, NOW, fresh

DAY = timedelta(days=1)
BY_RULE = Criteria(organization=None, rule="words.1")
AT_MOST = 1.2
SLACK = {"sqlite": 60, "postgresql": 500}
"""By how much two runs may differ beside that: SQLite goes one level deeper into an index; PostgreSQL takes another one
for the lines of a page where both serve."""

_LONG = [pytest.mark.long, pytest.mark.timeout(7200)]

Task = Callable[[sa.Connection], Any]


def periodic(large: Large) -> Mapping[str, Task]:
    """What workers do every few seconds or minutes, as it is when nothing is to be done, or little."""
    room = Places(50)
    return {
        "claim deliveries": lambda c: claims.claim(c, "w", NOW, room, LEASE),
        "claim due deliveries": lambda c: claims.claim(c, "w", NOW + 2 * DAY, room, LEASE),
        "recover deliveries": lambda c: deliveries.recover(c, NOW),
        "recover lost leases": lambda c: deliveries.recover(c, NOW + timedelta(hours=1)),
        "recover at the start": lambda c: deliveries.recover(c, NOW, lambda _: False),
        "bring deliveries forward": lambda c: deliveries.bring_forward(c, NOW, NOW + 2 * DAY),
        "claim actions": lambda c: actions.claim(c, NOW, {Line.CALLS: Places(50), Line.WRITING: Places(50)}, LEASE),
        "recover actions": lambda c: actions.recover(c, NOW),
        "bring actions forward": lambda c: actions.bring_forward(c, NOW, NOW + 30 * DAY),
        **{f"claim mail: {queue}": _claim_mail(queue) for queue in InboundQueue},
        "recover mail": lambda c: inbound_claims.recover(c, NOW),
        "claim domains": lambda c: sending_domains.take_due(c, NOW, 50, LEASE),
        "alarms to be told": lambda c: alarms.untold(c, NOW + DAY),
        "forget idempotency keys": lambda c: tidy.forget_idempotency(c, NOW),
        "forget contents": lambda c: tidy.forget_contents(c, NOW),
        "forget counters": lambda c: tidy.forget_counters(c, NOW - DAY),
        "forget full mailboxes": lambda c: suppressions.forget_full(c, NOW),
        "forget hearsay": lambda c: suppressions.forget_hearsay(c, NOW),
        "forget suppressions": lambda c: suppressions.forget_expired(c, NOW),
        "forget lifted suppressions": lambda c: lifts.forget_lifted(c, NOW),
        "lift what a rule caused": lambda c: lifts.lift_matching(c, BY_RULE, "wrong", NOW, limit=20),
        "lift for a reason": lambda c: lifts.lift_matching(c, _by_reason(large), "wrong", NOW, limit=20),
        "a domain that is denied": lambda c: mail_domains.denied_since(c, "firm17.example", NOW),
        "a domain that took mail": lambda c: mail_domains.took_mail(c, {"firm17.example", "new.example"}, NOW),
        "forget domains that took mail": lambda c: mail_domains.forget_domains(c, NOW),
        "forget alarms": lambda c: alarms.forget(c, NOW),
        "erase mail": lambda c: inbound.erase(c, NOW),
        "forget rounds": lambda c: loop_probes.forget(c, NOW),
    }


def watching(large: Large) -> Mapping[str, Task]:
    """What workers read every few seconds, and what every message asks."""
    mine = large.organization
    return {
        "figures": lambda c: figures.waiting(c, NOW),
        "alarms that stand": alarms.count,
        "is there an alarm to be told": lambda c: alarms.untold(c, NOW + DAY, lock=False),
        "new return domains": lambda c: sending_domains.return_domains(c, NOW - DAY),
        "new organizations": lambda c: organizations.names_since(c, NOW - DAY),
        "signing keys": dkim_keys.list_all,
        "the round under way": loop_probes.newest,
        "how the return path stands": loop_probes.now_standing,
        "whose name is it": lambda c: organizations.guard_against(c, "Firm 17 Bakers"),
        "domains of an organization": lambda c: sending_domains.list_all(c, mine),
        "a human sender": lambda c: human_senders.by_address(c, mine, "janet0@example.com"),
    }


def listed(large: Large) -> Mapping[str, Task]:
    """Every list of the API and the pages."""
    mine, nobody, late = large.organization, fresh(), large.size.deliveries // 2
    before = large.message(late)
    return {
        "messages": lambda c: views.messages(c, mine, Filter()),
        "messages, later": lambda c: views.messages(c, mine, Filter(), before=before),
        "messages to": lambda c: views.messages(c, mine, Filter(recipient=large.recipient)),
        "messages to nobody": lambda c: views.messages(c, mine, Filter(recipient="x@example.org")),
        "messages to, of a stream": lambda c: views.messages(c, mine, Filter(recipient=large.recipient, stream="x")),
        "messages of a stream": lambda c: views.messages(c, mine, Filter(stream="x"), before=before),
        "messages from": lambda c: views.messages(c, mine, Filter(human_sender=large.human_sender)),
        "messages from nobody": lambda c: views.messages(c, mine, Filter(human_sender=nobody)),
        "messages of a day": lambda c: views.messages(c, mine, Filter(since=NOW - MINUTE, until=NOW)),
        "bounced, of a stream": lambda c: views.messages(c, mine, Filter(state=State.BOUNCED, stream="x")),
        **{f"messages {state}": _of_state(large, state) for state in State},
        "a message": lambda c: views.message(c, mine, large.message(1)),
        "counts": lambda c: views.counts(c, mine, NOW - 7 * DAY),
        "cases": lambda c: views.cases(c, mine),
        **{f"cases {state}": _cases(large, state) for state in CaseState},
        "cases of a kind": lambda c: views.cases(c, mine, kind=CaseKind.FORWARDING_FAILURE),
        "cases of a kind, open": lambda c: views.cases(c, mine, kind=CaseKind.DELAY, state=CaseState.OPEN),
        "delays of a delivery": lambda c: cases.of_delays(c, [nobody]),
        "inbound": inbound.list_page,
        "inbound of an organization": lambda c: inbound.list_page(c, mine),
        "inbound of another": lambda c: inbound.list_page(c, nobody),
        "inbound, for": lambda c: inbound.list_page(c, purpose="abuse"),
        **{f"inbound {what}": _inbound(what) for what in What},
        "complaints of an organization": lambda c: inbound.list_page(c, mine, what=What.COMPLAINT),
        "suppressions": lambda c: suppressions.list_page(c, mine, NOW),
        "suppressions, later": lambda c: suppressions.list_page(c, mine, NOW, after=("a1@b.net", "default")),
        "suppressions by a rule": lambda c: lifts.matching(c, BY_RULE, NOW),
        "suppressions by a rule, of one": lambda c: lifts.matching(c, replace(BY_RULE, organization=nobody), NOW),
        "suppressions by a rule, of mine": lambda c: lifts.matching(c, replace(BY_RULE, organization=mine), NOW),
        "suppressions by a rule, since": lambda c: lifts.matching(c, replace(BY_RULE, since=NOW + MINUTE), NOW),
        "suppressions for a reason": lambda c: lifts.matching(c, _by_reason(large), NOW),
        "lifted suppressions": lambda c: lifts.list_lifted(c, mine),
        "is the rule named": lambda c: lifts.rule_named(c, "words.1", None),
        "is another rule named": lambda c: lifts.rule_named(c, "words.9", None),
        "is the rule named, by one": lambda c: lifts.rule_named(c, "words.1", mine),
        "is the rule named, by nobody": lambda c: lifts.rule_named(c, "words.1", nobody),
        "alarms": alarms.list_all,
        "organizations": organizations.list_page,
        "organizations, later": lambda c: organizations.list_page(c, after="firm-2"),
        "organizations called": lambda c: organizations.list_page(c, begins="firm-1"),
        "events": lambda c: events.after(c, mine, None, None),
        "events of one": lambda c: events.after(c, mine, large.human_sender, None),
        "events of nobody": lambda c: events.after(c, mine, nobody, None),
        "the latest event": lambda c: events.latest(c, mine),
    }


def _by_reason(large: Large) -> Criteria:
    return Criteria(organization=large.organization, reason="bounced")


def _of_state(large: Large, state: State) -> Task:
    return lambda c: views.messages(c, large.organization, Filter(state=state))


def _cases(large: Large, state: CaseState) -> Task:
    return lambda c: views.cases(c, large.organization, state=state)


def _claim_mail(queue: InboundQueue) -> Task:
    return lambda conn: inbound_claims.claim(conn, queue, NOW, Places(50), LEASE)


def _inbound(what: What) -> Task:
    return lambda c: inbound.list_page(c, what=what)


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So low that a small store reaches them too."""
    monkeypatch.setattr(pages, "LOOKED_THROUGH", 100)
    monkeypatch.setattr(events, "LOOKED_THROUGH", 100)
    monkeypatch.setattr(views, "COUNTED", 50)
    monkeypatch.setattr(figures, "CASES_COUNTED", 10)
    monkeypatch.setattr(alarms, "COUNTED", 10)


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param((Size(600, 6_000), Size(3_000, 30_000)), id="30_000"),
        pytest.param((Size(1_000, 10_000), Size(10_000, 100_000)), id="100_000", marks=_LONG),
        pytest.param((Size(1_000, 10_000), Size(100_000, 1_000_000)), id="1_000_000", marks=_LONG),
    ],
)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_has_ended_costs_nothing(
    kind: str, sizes: tuple[Size, Size], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    small, large = [await _looked_at(kind, size, request, tmp_path, size.deliveries >= 10**5) for size in sizes]
    print("\n".join(f"{small[task]:>9,} {large[task]:>9,} {task}" for task in small))
    grown = {task: (small[task], large[task]) for task in small if large[task] > AT_MOST * small[task] + SLACK[kind]}
    assert grown == {}


async def _looked_at(
    kind: str, size: Size, request: pytest.FixtureRequest, folder: Path, scans: bool
) -> dict[str, int]:
    looked_at: dict[str, int] = {}
    async with _store(kind, size, request, folder) as (database, large):
        for writes, tasks in ((False, watching(large) | listed(large)), (True, periodic(large))):
            for name, task in tasks.items():
                looked_at[name] = await examined(database, task, writes=writes, scans=scans)
    return looked_at


@asynccontextmanager
async def _store(
    kind: str, size: Size, request: pytest.FixtureRequest, folder: Path
) -> AsyncIterator[tuple[Database, Large]]:
    place = folder / f"{size.deliveries}"
    place.mkdir()
    async with empty_store(kind, request, place) as url:
        database = Database.open(url, durable=False)
        await database.start()
        try:
            large = await database.write(build, size)
            if kind == "postgresql":
                await _vacuum(url)
            yield database, large
        finally:
            await database.close()


async def _vacuum(url: str) -> None:
    """As autovacuum does, which the tests' server is without."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE", timeout=600)
    finally:
        await connection.close()
