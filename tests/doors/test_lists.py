"""What stands until somebody takes it away: alarms and suppressed addresses, over the API and on the pages."""

import re

import pytest

from homing.doors.web import lists
from homing.loop import ids
from homing.loop.alarm import alarm
from homing.store import alarms, pages, suppressions
from homing.store.suppressions import Suppression

from .gateway import Gateway, Member
from .test_web import here

HOSTILE = "<script>alert(1)</script>\x1b[31m"
CAUSE = "reputation words.blocklist corp.com"


async def an_alarm(home: Gateway, cause: str = CAUSE, text: str = "550 listed") -> None:
    await home.database.write(alarms.raise_alarm, [(alarm(cause, text), home.clock())])


async def listed(home: Gateway, who: Member | None = None) -> list[str]:
    return [one["address"] for one in (await home.call("GET", "/v1/suppressions", who)).json()["suppressions"]]


async def suppress(home: Gateway, address: str, reason: str = "complaint", evidence: str = "said so") -> None:
    entry = Suppression(
        organization=home.acme.organization.id,
        stream="default",
        address=address,
        reason=reason,
        evidence=evidence,
        created_at=home.clock(),
    )
    await home.database.write(suppressions.add, [entry])


async def test_alarms_are_for_administrators(home: Gateway) -> None:
    await an_alarm(home)
    assert (await home.call("GET", "/v1/alarms")).status_code == 403
    [one] = (await home.client.get("/v1/alarms", headers=home.administrator)).json()["alarms"]
    assert (one["cause"], one["text"], one["times"], one["told_at"]) == (CAUSE, "550 listed", 1, None)
    assert "how to get off it" in one["advice"]
    assert (await home.call("DELETE", f"/v1/alarms?cause={CAUSE}")).status_code == 403
    for status in (204, 404):
        cleared = await home.client.delete("/v1/alarms", params={"cause": CAUSE}, headers=home.administrator)
        assert cleared.status_code == status


async def test_an_organization_is_chosen_on_a_page(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    acme, other = home.acme.organization, home.other.organization
    await home.send(home.other, subject="Of others")
    async with here(home) as client:
        assert 'href="/organizations"' in (await client.get("/")).text
        page = await client.get("/organizations")
        assert acme.name in page.text
        assert other.name in page.text
        [link] = re.findall(rf'href="([^"]+)">{other.name}<', page.text)
        assert "Of others" in (await client.get(link)).text
        found = await client.get("/organizations", params={"name": other.name.upper()})
        assert link in found.text
        assert f">{acme.name}<" not in found.text
        assert "No organization" in (await client.get("/organizations", params={"name": "\0<script>"})).text
        monkeypatch.setattr(lists, "PAGE", 1)
        first = await client.get("/organizations")
        [more] = re.findall(r'href="(/organizations\?[^"]+)"', first.text)
        assert len({first.text.count(link), (await client.get(more.replace("&amp;", "&"))).text.count(link)}) == 2


async def test_who_sees_one_organization_chooses_none(home: Gateway) -> None:
    assert (await home.client.get("/organizations")).status_code == 401
    await home.client.post("/sign_in", data={"key": home.acme.key})
    assert (await home.client.get("/organizations")).status_code == 404
    assert "/organizations" not in (await home.client.get("/")).text


async def test_a_list_that_found_nothing_yet_leads_on(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    await home.send(subject="Rare", stream="rare")
    for _ in range(4):
        await home.send()
    monkeypatch.setattr(pages, "LOOKED_THROUGH", 3)
    async with here(home) as client:
        page = await client.get("/?q=stream:rare")
        assert "None of the newest messages" in page.text
        [older] = re.findall(r'class="older"><a href="([^"]+)"', page.text)
        assert "Rare" in (await client.get(older.replace("&amp;", "&"))).text


async def test_the_page_of_alarms_tells_and_clears(home: Gateway) -> None:
    await an_alarm(home, f"{CAUSE} {HOSTILE}", HOSTILE)
    async with here(home) as client:
        page = await client.get("/alarms")
        assert CAUSE in page.text
        assert "how to get off it" in page.text
        assert "<script>" not in page.text
        cleared = await client.post("/alarms/clear", data={"cause": f"{CAUSE} {HOSTILE}"})
        assert (cleared.status_code, cleared.headers["location"]) == (303, "/alarms")
        assert "No alarm." in (await client.get("/alarms")).text


async def test_the_page_of_suppressed_addresses_explains_and_lifts(home: Gateway) -> None:
    await suppress(home, "john@example.org", evidence=f"fbl said {HOSTILE}")
    async with here(home) as client:
        page = await client.get("/suppressions")
        for words in ("john@example.org", "reported such mail as unwanted", "fbl said", "Lift"):
            assert words in page.text
        assert "<script>" not in page.text
        lifted = await client.post("/suppressions/lift", data={"address": "john@example.org", "stream": "default"})
        assert lifted.status_code == 303
    assert await listed(home) == []


async def test_the_page_of_a_message_says_that_its_recipient_is_suppressed(home: Gateway) -> None:
    sent = await home.send()
    await suppress(home, "john@example.org", "invalid_recipient", "mx said: no such user")
    async with here(home) as client:
        page = (await client.get(f"/messages/{sent['id']}")).text
    assert "There is no such mailbox." in page
    assert "mx said: no such user" in page
    assert 'action="/suppressions/lift' in page


@pytest.mark.parametrize("path", ["/suppressions/lift", "/alarms/clear"])
async def test_nothing_is_taken_away_by_strangers_or_from_their_pages(home: Gateway, path: str) -> None:
    await suppress(home, "john@example.org")
    await an_alarm(home)
    form = {"address": "john@example.org", "stream": "default", "cause": CAUSE}
    assert (await home.client.post(path, data=form)).status_code == 401
    async with here(home) as client:
        foreign = await client.post(path, data=form, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert (await client.get(path)).status_code == 405
    assert await listed(home) == ["john@example.org"]
    assert await home.database.read(alarms.count) == 1


async def test_a_key_that_may_only_read_lifts_nothing(home: Gateway) -> None:
    await suppress(home, "john@example.org")
    path = f"/v1/organizations/{ids.show('organization', home.acme.organization.id)}/keys"
    made = await home.client.post(path, json={"name": "r", "scopes": ["read"]}, headers=home.administrator)
    signed_in = await home.client.post("/sign_in", data={"key": made.json()["key"]})
    assert signed_in.status_code == 303
    cookie = {"Cookie": f"homing_session={signed_in.cookies['homing_session']}"}
    page = await home.client.get("/suppressions", headers=cookie)
    assert "john@example.org" in page.text
    assert "/suppressions/lift" not in page.text
    form = {"address": "john@example.org", "stream": "default"}
    assert (await home.client.post("/suppressions/lift", data=form, headers=cookie)).status_code == 403
    assert await listed(home) == ["john@example.org"]
