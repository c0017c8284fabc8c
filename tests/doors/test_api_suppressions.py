"""Suppressions over the API: by rule, reason and period, lifted, and imported."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from homing.loop.model import Strength
from homing.loop.suppression import Hearsay, Suppress
from homing.store import lifts, pages, suppressions
from homing.store.suppressions import Suppression

from .gateway import START, Gateway, Member, make_key

DAY = timedelta(days=1)
NOTHING: dict[str, Any] = {"lifted": 0, "suppressions": [], "hearsay": 0, "cursor": None}
RULE = "gmail.unsolicited-rate"  # one that we have


async def put(home: Gateway, member: Member, name: str, *, day: int = 0, **more: Any) -> None:
    entry = Suppression(
        organization=member.organization.id,
        address=f"{name}@example.org",
        created_at=START + day * DAY,
        evidence=f"seen of {name}",
        **{"stream": "default", "reason": "invalid_recipient"} | more,
    )
    await home.database.write(suppressions.add, [entry])


async def listed(home: Gateway, headers: dict[str, str], **question: Any) -> list[str]:
    """The local parts of all pages."""
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = question | ({"cursor": cursor} if cursor else {})
        answer = await home.client.get("/v1/suppressions", params=params, headers=headers)
        assert answer.status_code == 200, answer.text
        names += [one["address"].partition("@")[0] for one in answer.json()["suppressions"]]
        cursor = answer.json()["cursor"]
    return names


async def lift(home: Gateway, headers: dict[str, str], **body: Any) -> Any:
    return await home.client.post("/v1/suppressions/lift", json=body, headers=headers)


async def test_an_administrator_takes_back_a_rule_for_all_organizations(home: Gateway) -> None:
    for day in range(3):
        await put(home, home.acme, f"a{day}", day=day, rule=RULE)
    await put(home, home.other, "o", rule=RULE, stream="news")
    await put(home, home.acme, "manual", reason="manual")
    everywhere = home.administrator
    assert sorted(await listed(home, everywhere, rule=RULE, limit=2)) == ["a0", "a1", "a2", "o"]
    assert await listed(home, everywhere, rule=RULE, since=(START + 2 * DAY).isoformat()) == ["a2"]
    assert await listed(home, home.other.headers, rule=RULE) == ["o"], "an organization sees its own"
    answer = await lift(home, everywhere, rule=RULE, limit=3)
    more = await lift(home, everywhere, rule=RULE, limit=3, cursor=answer.json()["cursor"])
    assert [one.json()["lifted"] for one in (answer, more)] == [3, 1]
    assert {one["organization"][:4] for one in answer.json()["suppressions"]} == {"org_"}
    assert more.json()["cursor"] is None
    assert await listed(home, home.acme.headers) == ["manual"]
    assert (await lift(home, everywhere, rule=RULE)).json() == NOTHING
    [record] = (await home.call("GET", "/v1/suppressions/lifted", home.other)).json()["lifted"]
    assert (record["address"], record["stream"], record["evidence"]) == ("o@example.org", "news", "seen of o")
    assert (record["rule"], record["why"]) == (RULE, f"rule {RULE} was wrong")


async def test_an_organization_lifts_its_own_alone(home: Gateway) -> None:
    for member in (home.acme, home.other):
        await put(home, member, "full", reason="mailbox_full")
        await put(home, member, "gone", rule=RULE)
    assert (await lift(home, home.acme.headers, rule=RULE)).json()["lifted"] == 1
    answer = await lift(home, home.acme.headers, reason="mailbox_full", why="their server was broken")
    assert [one["address"] for one in answer.json()["suppressions"]] == ["full@example.org"]
    assert await listed(home, home.other.headers) == ["full", "gone"]
    records = (await home.call("GET", "/v1/suppressions/lifted", params={"limit": 1})).json()
    assert [one["why"] for one in records["lifted"]] == ["their server was broken"]
    further = await home.call("GET", "/v1/suppressions/lifted", params={"cursor": records["cursor"]})
    assert [one["address"] for one in further.json()["lifted"]] == ["gone@example.org"]


async def test_an_organization_hears_nothing_of_another_ones(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither through a cursor, which bears the time and id of a row, nor by which rules are known."""
    monkeypatch.setattr(pages, "LOOKED_THROUGH", 3)
    for number in range(9):
        await put(home, home.other, f"o{number}", rule="words.of-the-other")
        await put(home, home.other, f"p{number}", rule=RULE)
    await put(home, home.acme, "m", day=1, rule=RULE)
    mine = home.acme.headers
    page = await home.client.get("/v1/suppressions", params={"rule": RULE}, headers=mine)
    assert [one["address"] for one in page.json()["suppressions"]] == ["m@example.org"]
    assert page.json()["cursor"] is None
    unknown = await home.client.get("/v1/suppressions", params={"rule": "words.of-the-other"}, headers=mine)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "rule-unknown")
    answer = (await lift(home, mine, rule=RULE)).json()
    assert (answer["lifted"], answer["cursor"]) == (1, None)
    assert len(await listed(home, home.administrator, rule="words.of-the-other")) == 9


async def test_what_a_wrong_rule_read_counts_no_more(home: Gateway) -> None:
    said = Hearsay(suppress=Suppress(reason="invalid_recipient"), strength=Strength.WEAK, rule="words.of-last-year")
    for member in (home.acme, home.acme, home.acme, home.other):
        place = (member.organization.id, "default", "a@example.org")
        await home.database.write(suppressions.note_hearsay, place, uuid4(), said, START)
    everywhere, mine, asked = home.administrator, home.acme.headers, {"rule": said.rule}
    assert await listed(home, mine, **asked, limit=1) == [], "the cursor goes over it to the end"
    page = await home.client.get("/v1/suppressions", params=asked | {"limit": 2}, headers=everywhere)
    assert page.json()["hearsay"] == 2
    answer = (await lift(home, mine, **asked, limit=2)).json()
    assert (answer["lifted"], answer["hearsay"]) == (0, 2)
    assert (await lift(home, mine, **asked, limit=2, cursor=answer["cursor"])).json() == NOTHING | {"hearsay": 1}
    assert (await lift(home, everywhere, **asked)).json() == NOTHING | {"hearsay": 1}


async def test_a_period_and_a_stream_bound_what_is_lifted(home: Gateway) -> None:
    for day in range(4):
        await put(home, home.acme, f"d{day}", day=day, reason="mailbox_full")
    await put(home, home.acme, "n", stream="news", reason="mailbox_full")
    period = {"since": (START + DAY).isoformat(), "until": (START + 3 * DAY).isoformat()}
    assert await listed(home, home.acme.headers, reason="mailbox_full", **period) == ["d1", "d2"]
    assert (await lift(home, home.acme.headers, reason="mailbox_full", **period)).json()["lifted"] == 2
    assert (await lift(home, home.acme.headers, reason="mailbox_full", stream="news")).json()["lifted"] == 1
    assert await listed(home, home.acme.headers) == ["d0", "d3"]


async def test_who_may_lift_and_what_must_be_named(home: Gateway) -> None:
    reader = await make_key(home.database, home.clock, home.acme.organization.id, ("read",))
    reads, manages, everywhere = {"Authorization": f"Bearer {reader}"}, home.acme.headers, home.administrator
    for headers, body, status, code in (
        (reads, {"rule": RULE}, 403, "scope-missing"),
        (everywhere, {"reason": "manual"}, 403, "organization-required"),
        (everywhere, {"rule": "no.such-rule"}, 404, "rule-unknown"),
        (manages, {"rule": "no.such-rule"}, 404, "rule-unknown"),
        (manages, {"rule": RULE, "why": "a\nb"}, 422, "invalid-request"),
        (manages, {"rule": RULE, "cursor": "AAAA"}, 422, "invalid-request"),
        (manages, {"rule": RULE, "limit": 501}, 422, "invalid-request"),
    ):
        answer = await lift(home, headers, **body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    for body in ({}, {"stream": "news"}, {"since": START.isoformat()}):
        answer = await lift(home, manages, **body)
        assert [one["code"] for one in answer.json()["errors"]] == ["criteria-missing"]
    shown = await home.call("GET", "/v1/suppressions", params={"stream": "news"})
    assert [(one["pointer"], one["code"]) for one in shown.json()["errors"]] == [("/query:reason", "criteria-missing")]
    shown = await home.client.get("/v1/suppressions", headers=everywhere)
    assert (shown.status_code, shown.json()["code"]) == (403, "organization-required")
    cursor = await home.call("GET", "/v1/suppressions/lifted", params={"cursor": "x"})
    assert cursor.json()["errors"][0]["code"] == "cursor-invalid"


async def test_a_rule_that_is_gone_can_be_taken_back_twice(home: Gateway) -> None:
    await put(home, home.acme, "a", rule="words.of-last-year")
    assert [(await lift(home, home.administrator, rule="words.of-last-year")).json()["lifted"] for _ in "12"] == [1, 0]


async def test_why_one_address_was_lifted_is_kept(home: Gateway) -> None:
    await put(home, home.acme, "a")
    await home.call("DELETE", "/v1/suppressions", params={"address": "a@example.org", "why": "she telephoned"})
    [record] = await home.database.read(lifts.list_lifted, home.acme.organization.id)
    assert (record.address, record.why) == ("a@example.org", "she telephoned")


def imported(name: str, **more: Any) -> dict[str, Any]:
    return {"address": f"{name}@example.org", "reason": "invalid_recipient", **more}


async def take(home: Gateway, *given: dict[str, Any], **more: Any) -> Any:
    return await home.call("POST", "/v1/suppressions/import", json={"suppressions": list(given), **more})


async def test_what_is_known_elsewhere_is_imported_with_its_time(home: Gateway) -> None:
    await put(home, home.acme, "there", reason="complaint")
    given = [
        imported("New", created_at="2025-05-06T07:08:09+02:00", evidence="550 no such user", rule="words.unknown"),
        imported("there"),
        imported("week", stream="news", expires_at=(START + 7 * DAY).isoformat()),
    ]
    assert (await take(home, *given)).json() == {"added": 2, "strengthened": 0, "kept": 1, "faults": []}
    found = (await home.call("GET", "/v1/suppressions")).json()["suppressions"]
    assert [(one["address"], one["stream"], one["reason"], one["rule"]) for one in found] == [
        ("new@example.org", "default", "invalid_recipient", "words.unknown"),
        ("there@example.org", "default", "complaint", None),
        ("week@example.org", "news", "invalid_recipient", None),
    ]
    assert datetime.fromisoformat(found[0]["created_at"]) == datetime.fromisoformat("2025-05-06T05:08:09+00:00")
    assert (await take(home, *given)).json() == {"added": 0, "strengthened": 0, "kept": 3, "faults": []}
    assert await listed(home, home.other.headers) == []


async def test_what_is_wrong_is_told_and_the_rest_imported_unless_all_is_asked_for(home: Gateway) -> None:
    given = [
        imported("good"),
        imported("no address at all"),
        imported("future", created_at=(START + DAY).isoformat()),
        imported("past", expires_at=START.isoformat(), evidence="a\nb"),
        imported("stone-age", created_at="1989-12-31T00:00:00Z"),
    ]
    wrong = [
        ("/suppressions/1/address", "address-syntax"),
        ("/suppressions/2/created_at", "moment-unlikely"),
        ("/suppressions/3/evidence", "control-character"),
        ("/suppressions/3/expires_at", "moment-past"),
        ("/suppressions/4/created_at", "moment-unlikely"),
    ]
    refused = await take(home, *given, strict=True)
    assert refused.status_code == 422
    assert [(one["pointer"], one["code"]) for one in refused.json()["errors"]] == wrong
    assert await listed(home, home.acme.headers) == []
    answer = (await take(home, *given)).json()
    assert [(one["pointer"], one["code"]) for one in answer["faults"]] == wrong
    assert (answer["added"], await listed(home, home.acme.headers)) == (1, ["good"])


@pytest.mark.parametrize(("count", "status"), [(1000, 200), (1001, 422)])
async def test_a_batch_has_an_end(home: Gateway, count: int, status: int) -> None:
    answer = await take(home, *(imported(f"a{number}") for number in range(count)))
    assert answer.status_code == status
    if status == 422:
        assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [
            ("/suppressions", "too-many-items")
        ]
    reader = await make_key(home.database, home.clock, home.acme.organization.id, ("read", "send"))
    refused = await home.client.post(
        "/v1/suppressions/import", json={"suppressions": []}, headers={"Authorization": f"Bearer {reader}"}
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "scope-missing")
