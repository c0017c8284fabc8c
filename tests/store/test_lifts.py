"""A wrong rule taken back, suppressions lifted by reason and period, and suppressions from elsewhere."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from homing.loop.model import OrganizationId, Strength
from homing.store import lifts, pages, suppressions, tables
from homing.store.database import Database
from homing.store.lifts import Criteria, Found, Place
from homing.store.organizations import Organization
from homing.store.suppressions import Merged, Suppression

from .scenes import NOW, all_rows, an_organization, claimed, submitted
from .test_suppressions import TAKEN, all_taken, full_every, hearsay, listed, sent

DAY = timedelta(days=1)
WRONG, RIGHT = "receiver.wrong", "words.right"
ALL_OF_WRONG = Criteria(organization=None, rule=WRONG)


def entry(organization: OrganizationId, name: str, **more: Any) -> Suppression:
    known: dict[str, Any] = {
        "stream": "default",
        "reason": "invalid_recipient",
        "evidence": f"seen of {name}",
        "created_at": NOW,
    }
    return Suppression(organization=organization, address=f"{name}@example.net", **known | more)


async def put(database: Database, *entries: Suppression) -> None:
    await database.write(suppressions.add, entries)


async def lifted(
    database: Database, criteria: Criteria, why: str = "wrong", now: datetime = NOW, limit: int = 500
) -> list[str]:
    """The local parts of all that were lifted, page by page."""
    found: list[str] = []
    after: Place | None = None
    while True:
        page = await database.write(lifts.lift_matching, criteria, why, now, after=after, limit=limit)
        assert len(page.suppressions) <= limit
        found += [one.address.partition("@")[0] for one in page.suppressions]
        if page.further is None:
            return found
        after = page.further


async def looked_at(database: Database, criteria: Criteria, now: datetime = NOW) -> list[str]:
    page: Found = await database.read(lifts.matching, criteria, now, limit=500)
    return [one.address.partition("@")[0] for one in page.suppressions]


async def test_all_that_a_wrong_rule_caused_is_lifted_and_nothing_else(database: Database) -> None:
    mine, other = (await an_organization(database)).id, (await an_organization(database)).id
    await put(
        database,
        *(entry(mine, f"m{number}", rule=WRONG, created_at=NOW + number * DAY) for number in range(5)),
        entry(other, "o", rule=WRONG, stream="news"),
        entry(mine, "right", rule=RIGHT),
        entry(mine, "manual", reason="manual"),
        entry(mine, "over", rule=WRONG, created_at=NOW - 40 * DAY, expires_at=NOW - 10 * DAY),
    )
    assert sorted(await looked_at(database, ALL_OF_WRONG)) == ["m0", "m1", "m2", "m3", "m4", "o"]
    assert len(await listed(database, mine)) == 7, "to look changes nothing"
    assert sorted(await lifted(database, ALL_OF_WRONG, limit=2)) == ["m0", "m1", "m2", "m3", "m4", "o"]
    assert [one.address for one in await listed(database, mine)] == ["manual@example.net", "right@example.net"]
    assert await listed(database, other) == []
    assert await lifted(database, ALL_OF_WRONG) == [], "a second time there is nothing to do"


async def test_one_organization_a_stream_and_a_period_bound_what_is_lifted(database: Database) -> None:
    mine, other = (await an_organization(database)).id, (await an_organization(database)).id
    days = [entry(mine, f"d{number}", rule=WRONG, created_at=NOW + number * DAY) for number in range(5)]
    await put(database, *days, entry(other, "o", rule=WRONG), entry(mine, "news", rule=WRONG, stream="news"))
    period = replace(ALL_OF_WRONG, organization=mine, since=NOW + DAY, until=NOW + 3 * DAY)
    assert await lifted(database, period) == ["d1", "d2"], "the end is beyond the period"
    assert await lifted(database, replace(ALL_OF_WRONG, organization=mine, stream="news")) == ["news"]
    assert await lifted(database, replace(ALL_OF_WRONG, organization=other)) == ["o"]
    assert len(await listed(database, mine)) == 3


async def test_all_for_one_reason_is_lifted_for_its_organization(database: Database) -> None:
    mine, other = (await an_organization(database)).id, (await an_organization(database)).id
    for owner in (mine, other):
        await put(database, entry(owner, "full", reason="mailbox_full"), entry(owner, "gone", rule=RIGHT))
    assert await lifted(database, Criteria(organization=mine, reason="mailbox_full")) == ["full"]
    assert [len(await listed(database, owner)) for owner in (mine, other)] == [1, 2]
    with pytest.raises(ValueError, match="organization and a reason"):
        Criteria(organization=None, reason="mailbox_full")
    with pytest.raises(ValueError, match="organization and a reason"):
        Criteria(organization=mine, since=NOW)


async def test_a_page_looks_at_a_bounded_number_of_rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = (await an_organization(database)).id
    await put(database, *(entry(mine, f"o{number:02}", rule=WRONG, stream="news") for number in range(20)))
    await put(database, entry(mine, "m", rule=WRONG, created_at=NOW + DAY))
    monkeypatch.setattr(pages, "LOOKED_THROUGH", 8)
    default = replace(ALL_OF_WRONG, organization=mine, stream="default")
    first = await database.read(lifts.matching, default, NOW)
    assert (list(first.suppressions), first.further is None) == ([], False)
    assert await lifted(database, default) == ["m"]


@pytest.mark.parametrize("meant", [{"rule": WRONG}, {"reason": "invalid_recipient"}], ids=str)
async def test_no_page_walks_over_another_organizations_rows_or_ends_at_one(
    database: Database, monkeypatch: pytest.MonkeyPatch, meant: dict[str, str]
) -> None:
    mine, other = (await an_organization(database)).id, (await an_organization(database)).id
    await put(database, *(entry(other, f"o{number:02}", rule=WRONG) for number in range(20)))
    await put(database, *(entry(mine, f"m{day}", rule=WRONG, created_at=NOW + day * DAY) for day in (1, 2)))
    monkeypatch.setattr(pages, "LOOKED_THROUGH", 8)
    page = await database.read(lifts.matching, Criteria(organization=mine, **meant), NOW)
    assert ([one.address for one in page.suppressions], page.further) == (["m1@example.net", "m2@example.net"], None)
    page = await database.write(lifts.lift_matching, Criteria(organization=mine, **meant), "wrong", NOW, limit=1)
    assert page.further is not None
    assert page.further.created_at == NOW + DAY
    assert len(await listed(database, other)) == 20


async def test_a_lift_is_remembered_with_what_it_was_and_why(database: Database) -> None:
    mine = (await an_organization(database)).id
    await put(database, entry(mine, "a", rule=WRONG), entry(mine, "b", reason="manual"))
    await lifted(database, ALL_OF_WRONG, "rule receiver.wrong was wrong", NOW + DAY)
    await database.write(lifts.lift, mine, "default", "B@example.net", now=NOW + 2 * DAY, why="he asked")
    second, first = await database.read(lifts.list_lifted, mine)
    assert (first.address, first.rule, first.evidence, first.why) == (
        "a@example.net",
        WRONG,
        "seen of a",
        "rule receiver.wrong was wrong",
    )
    assert (first.suppressed_at, first.lifted_at) == (NOW, NOW + DAY)
    assert (second.address, second.reason, second.rule, second.why) == ("b@example.net", "manual", None, "he asked")
    assert await database.read(lifts.list_lifted, mine, before=second.id) == [first]
    assert await database.read(lifts.list_lifted, (await an_organization(database)).id) == []
    assert [await database.read(lifts.rule_named, rule, None) for rule in (WRONG, RIGHT)] == [True, False]
    other = (await an_organization(database)).id
    assert [await database.read(lifts.rule_named, WRONG, owner) for owner in (mine, other)] == [True, False]
    assert await database.write(lifts.forget_lifted, NOW + 401 * DAY) == 0
    assert await database.write(lifts.forget_lifted, NOW + 401 * DAY + timedelta(seconds=1)) == 1
    assert await database.read(lifts.list_lifted, mine) == [second]


async def test_what_was_counted_for_it_counts_no_more(database: Database) -> None:
    organization, now = await full_every(database, 4, 5)
    assert await lifted(database, Criteria(organization=organization, rule="words.full"), now=now) == ["john"]
    assert await database.read(all_rows, tables.full_mailbox) == []


async def test_hearsay_that_was_lifted_must_be_said_twice_again(database: Database) -> None:
    organization = await an_organization(database)
    for number in range(3):
        message = await submitted(database, organization, "jonh@example.net")
        await sent(database, TAKEN, NOW)
        await hearsay(database, message.deliveries[0].id, NOW)
        assert len(await listed(database, organization.id)) == (number == 1)
        if number == 1:
            await database.write(lifts.lift, organization.id, "default", "jonh@example.net", now=NOW)
    assert await claimed(database) == []


async def said(
    database: Database, organization: Organization, *rules: str, strength: Strength, days: int = 1
) -> datetime:
    """Messages to one address were taken together; then one report a day came, each read by another rule."""
    now = NOW
    waiting = [await submitted(database, organization, "jonh@example.net") for _ in rules]
    await all_taken(database)
    for number, (message, rule) in enumerate(zip(waiting, rules, strict=True)):
        now = NOW + number * days * DAY
        await hearsay(database, message.deliveries[0].id, now, strength=strength, rule=rule)
    return now


@pytest.mark.parametrize("bound", ["all", "organization", "stream", "period"])
async def test_what_a_wrong_rule_said_counts_no_more(database: Database, bound: str) -> None:
    organization = await an_organization(database)
    now = await said(database, organization, WRONG, strength=Strength.WEAK)
    criteria = {
        "all": ALL_OF_WRONG,
        "organization": replace(ALL_OF_WRONG, organization=organization.id),
        "stream": replace(ALL_OF_WRONG, stream="default"),
        "period": replace(ALL_OF_WRONG, since=NOW, until=NOW + DAY),
    }[bound]
    other = replace(criteria, organization=(await an_organization(database)).id)
    elsewhere = (other, replace(criteria, rule=RIGHT), replace(criteria, stream="news"), replace(criteria, until=NOW))
    for missed in elsewhere:
        assert (await database.write(lifts.lift_matching, missed, "wrong", now)).hearsay == 0
    assert await database.read(lifts.rule_named, WRONG, organization.id)
    assert (await database.read(lifts.matching, criteria, now)).hearsay == 1
    assert (await database.write(lifts.lift_matching, criteria, "wrong", now)).hearsay == 1
    assert await database.read(all_rows, tables.hearsay) == []
    await said(database, organization, RIGHT, strength=Strength.WEAK)
    assert await listed(database, organization.id, now) == []


@pytest.mark.parametrize(
    ("rules", "strength", "lifts_it"),
    [
        ((WRONG, RIGHT), Strength.STRONG, True),
        ((WRONG, RIGHT), Strength.WEAK, True),
        ((RIGHT, WRONG), Strength.STRONG, True),
        ((RIGHT, RIGHT, WRONG), Strength.STRONG, False),
        ((WRONG, RIGHT, RIGHT), Strength.WEAK, True),
    ],
)
async def test_what_another_rule_caused_only_together_with_a_wrong_one_is_lifted_too(
    database: Database, rules: tuple[str, ...], strength: Strength, lifts_it: bool
) -> None:
    organization = await an_organization(database)
    now = await said(database, organization, *rules, strength=strength)
    assert len(await listed(database, organization.id, now)) == 1
    assert await looked_at(database, ALL_OF_WRONG, now) == ["jonh"] * lifts_it
    assert await lifted(database, ALL_OF_WRONG, now=now) == ["jonh"] * lifts_it
    assert len(await listed(database, organization.id, now)) == (not lifts_it)
    assert {row["rule"] for row in await database.read(all_rows, tables.hearsay)} <= {RIGHT}
    assert await lifted(database, ALL_OF_WRONG, now=now) == []


async def test_what_rests_on_several_of_a_rules_reports_is_listed_once(database: Database) -> None:
    organization = await an_organization(database)
    now = await said(database, organization, WRONG, RIGHT, WRONG, WRONG, strength=Strength.STRONG)
    pages_of_one = []
    after: Place | None = None
    while after is not None or not pages_of_one:
        page = await database.read(lifts.matching, ALL_OF_WRONG, now, after=after, limit=1)
        pages_of_one.append((len(page.suppressions), page.hearsay))
        after = page.further
    assert pages_of_one == [(1, 1), (0, 1), (0, 1), (0, 0)]
    assert await lifted(database, ALL_OF_WRONG, now=now, limit=1) == ["jonh"]


async def test_hearsay_is_taken_back_page_by_page(database: Database) -> None:
    organization = await an_organization(database)
    now = await said(database, organization, *[WRONG] * 5, strength=Strength.WEAK, days=31)
    await put(database, *(entry(organization.id, f"a{number}", rule=WRONG) for number in range(3)))
    counted = []
    after: Place | None = None
    for _ in range(4):
        page = await database.read(lifts.matching, ALL_OF_WRONG, now, after=after, limit=2)
        counted.append((len(page.suppressions), page.hearsay))
        after = page.further
    assert (counted, after) == ([(2, 0), (1, 1), (0, 2), (0, 2)], Place(now, after.id, hearsay=True) if after else ())
    assert sorted(await lifted(database, ALL_OF_WRONG, now=now, limit=2)) == ["a0", "a1", "a2"]
    assert await database.read(all_rows, tables.hearsay) == []


async def test_what_is_known_elsewhere_is_added_and_weakens_nothing(database: Database) -> None:
    mine = (await an_organization(database)).id
    month, over = NOW + 30 * DAY, NOW - DAY
    await put(
        database,
        entry(mine, "complained", reason="complaint"),
        entry(mine, "dead"),
        entry(mine, "full", reason="mailbox_full", expires_at=month),
        entry(mine, "over", reason="mailbox_full", created_at=NOW - 31 * DAY, expires_at=over),
    )
    long_ago = NOW - 300 * DAY
    given = [
        entry(mine, "complained", evidence="imported", created_at=long_ago),
        entry(mine, "dead", reason="unsubscribe", evidence="imported", created_at=long_ago),
        entry(mine, "full", reason="mailbox_full", evidence="imported", expires_at=month - DAY),
        entry(mine, "over", reason="invalid_domain", evidence="imported", expires_at=month),
        entry(mine, "new", evidence="imported", rule=RIGHT, created_at=long_ago),
        entry(mine, "new", reason="complaint", evidence="imported", created_at=long_ago),
        entry(mine, "NEW", reason="mailbox_full", evidence="imported", expires_at=month),
    ]
    assert await database.write(suppressions.merge, given) == Merged(added=1, strengthened=2, kept=4)
    after = {one.address.partition("@")[0]: one for one in await listed(database, mine)}
    assert {name: (one.reason, one.evidence == "imported") for name, one in after.items()} == {
        "complained": ("complaint", False),
        "dead": ("unsubscribe", True),
        "full": ("mailbox_full", False),
        "over": ("invalid_domain", True),
        "new": ("complaint", True),
    }
    assert (after["new"].created_at, after["new"].rule, after["new"].expires_at) == (long_ago, None, None)
    assert await database.write(suppressions.merge, given) == Merged(added=0, strengthened=0, kept=7)
    assert await database.write(suppressions.merge, []) == Merged(added=0, strengthened=0, kept=0)


async def test_a_thousand_are_one_batch(database: Database) -> None:
    mine = (await an_organization(database)).id
    many = [entry(mine, f"a{number}") for number in range(1000)]
    assert await database.write(suppressions.merge, many) == Merged(added=1000, strengthened=0, kept=0)
    assert len(await lifted(database, Criteria(organization=mine, reason="invalid_recipient"), limit=300)) == 1000
