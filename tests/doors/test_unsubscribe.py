"""The link in List-Unsubscribe: looking changes nothing, one POST leaves; it concerns one address and one stream."""

from datetime import timedelta

import pytest

from homing.loop import ids
from homing.loop.token import Purpose

from .gateway import Gateway

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
async def sent(home: Gateway) -> dict:
    await home.call("PUT", "/v1/streams/news", json={"bulk": True})
    return await home.send(stream="news")


def link(home: Gateway, sent: dict, purpose: Purpose = Purpose.UNSUBSCRIBE) -> str:
    delivery = ids.read("delivery", sent["deliveries"][0]["id"])
    last_day = (home.clock() + timedelta(days=400)).date()
    token = home.parts.tokens.mint(purpose, delivery, made=home.clock(), last_day=last_day)
    return f"/unsubscribe/{token}"


async def listed(home: Gateway) -> list[dict]:
    return (await home.call("GET", "/v1/suppressions")).json()["suppressions"]


async def complained(home: Gateway, sent: dict) -> list[dict]:
    timeline = (await home.call("GET", f"/v1/messages/{sent['id']}")).json()["timeline"]
    return [event for event in timeline if event["type"] == "complained"]


async def test_looking_changes_nothing(home: Gateway, sent: dict) -> None:
    response = await home.client.get(link(home, sent))
    assert response.status_code == 200
    assert "john@example.org" in response.text
    assert '<form method="post">' in response.text
    assert await listed(home) == []


async def test_what_scanners_do_changes_nothing(home: Gateway, sent: dict) -> None:
    path = link(home, sent)
    head = await home.client.head(path)
    assert head.status_code == 200
    tries = (
        {},
        {"data": {"x": "1"}},
        {"json": {"List-Unsubscribe": "One-Click"}},
        {"data": {"List-Unsubscribe": ""}},
        {"content": b"List-Unsubscribe=One-Click" + b"x" * 100_000},
        {"files": {"x": b"name=List-Unsubscribe One-Click"}},
    )
    for sends in tries:
        answer = await home.client.post(path, **sends)
        assert answer.status_code == 200
        assert "<form" in answer.text, "it is shown what it could press"
    assert await listed(home) == []


FORMS = [
    {"data": ONE_CLICK},
    {"files": {"List-Unsubscribe": (None, "One-Click")}},
    {
        "content": b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\nContent-Type: text/plain\r\n\r\n'
        b"One-Click\r\n--b--\r\n",
        "headers": {"Content-Type": "multipart/form-data; boundary=b"},
    },
    {"data": {"leave": "yes"}},
]


@pytest.mark.parametrize("sends", FORMS, ids=["urlencoded", "multipart", "multipart-typed", "our-page"])
async def test_every_form_of_one_click_leaves(home: Gateway, sent: dict, sends: dict) -> None:
    assert (await home.client.post(link(home, sent), **sends)).status_code == 200
    assert [entry["reason"] for entry in await listed(home)] == ["unsubscribe"]


async def test_one_click_leaves_this_stream(home: Gateway, sent: dict) -> None:
    response = await home.client.post(link(home, sent), data=ONE_CLICK)
    assert response.status_code == 200, "no redirection: nobody would follow it"
    assert "set-cookie" not in response.headers
    [entry] = await listed(home)
    assert (entry["address"], entry["stream"], entry["reason"]) == ("john@example.org", "news", "unsubscribe")
    assert entry["expires_at"] is None
    [event] = await complained(home, sent)
    assert event["data"]["what"] == "unsubscribe"
    assert event["data"]["by"] == "one-click"
    assert event["anymail_event"] == "unsubscribed"
    assert (await home.send(stream="news"))["deliveries"][0]["state"] == "suppressed"
    assert (await home.send())["deliveries"][0]["state"] == "queued"


async def test_the_same_click_again_changes_nothing(home: Gateway, sent: dict) -> None:
    path = link(home, sent)
    for _ in range(3):
        assert (await home.client.post(path, data=ONE_CLICK)).status_code == 200
    assert len(await complained(home, sent)) == 1
    assert "You have unsubscribed" in (await home.client.get(path)).text


async def test_whoever_comes_back_may_leave_again(home: Gateway, sent: dict) -> None:
    path = link(home, sent)
    await home.client.post(path, data=ONE_CLICK)
    await home.call("DELETE", "/v1/suppressions?address=john@example.org&stream=news")
    await home.client.post(path, data=ONE_CLICK)
    assert len(await listed(home)) == 1


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.UNSUBSCRIBE])
async def test_a_token_for_something_else_is_none(home: Gateway, sent: dict, purpose: Purpose) -> None:
    path = link(home, sent, purpose)
    for response in (await home.client.get(path), await home.client.post(path, data=ONE_CLICK)):
        assert response.status_code == 410
    assert await listed(home) == []


async def test_what_is_expired_or_made_up_is_gone(home: Gateway, sent: dict) -> None:
    path = link(home, sent)
    home.clock.advance(timedelta(days=402))
    for link_of in (path, "/unsubscribe/" + "a" * 48, "/unsubscribe/%00", "/unsubscribe/x"):
        assert (await home.client.post(link_of)).status_code == 410
    assert await listed(home) == []
