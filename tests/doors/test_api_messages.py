"""The contract of messages and deliveries."""

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from homing.flow.accept import Acceptance
from homing.loop import ids
from tests.patience import PATIENCE

from .failing import fail, refusal
from .gateway import Gateway, message


async def test_accepted_means_202_with_ids_and_states(home: Gateway) -> None:
    answer = await home.send(cc=["mary@example.net"], bcc=[{"address": "boss@example.net"}])
    assert answer["id"].startswith("msg_")
    assert [(one["recipient"], one["state"]) for one in answer["deliveries"]] == [
        ("john@example.org", "queued"),
        ("mary@example.net", "queued"),
        ("boss@example.net", "queued"),
    ]
    found = (await home.call("GET", f"/v1/messages/{answer['id']}")).json()
    assert found["subject"] == "Our call this morning"
    assert found["human_sender"]["address"] == "janet@example.com"
    assert [one["type"] for one in found["timeline"]] == ["queued"] * 3
    assert found["timeline"][0]["anymail_event"] == "queued"
    assert {one["role"]: one["recipient"] for one in found["deliveries"]} == {
        "to": "john@example.org",
        "cc": "mary@example.net",
        "bcc": "boss@example.net",
    }
    assert found["deliveries"][0]["identity"]["header_from"] == "message-service@post.operator.example"


async def test_all_faults_of_a_request_at_once_of_shape_and_of_sense(home: Gateway) -> None:
    body = message(
        to=[{"address": "not an address"}, {"address": 7}, "fine@example.org", {"adress": "x@example.org"}],
        subject="two\nlines",
        text=None,
        stream="Capital",
        headers={"Bcc": "x@example.org"},
        attachments=[{"filename": "a/b", "content": "%%%"}],
        colour="green",
    )
    response = await home.call("POST", "/v1/messages", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "invalid-request"
    assert problem["request_id"] == response.headers["x-request-id"]
    found = {error["pointer"]: error["code"] for error in problem["errors"]}
    assert found == {
        "/to/0/address": found["/to/0/address"],
        "/to/1/address": "type-wrong",
        "/to/3/address": "field-missing",
        "/to/3/adress": "field-unknown",
        "/subject": "control-character",
        "/text": "body-missing",
        "/stream": "stream-name",
        "/headers/Bcc": "header-not-allowed",
        "/attachments/0/content": "base64-invalid",
        "/colour": "field-unknown",
    }
    assert (await home.call("GET", "/v1/messages")).json()["messages"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid-request"),
        (b"{", 400, "json-invalid"),
        (b'{"a": NaN}', 400, "json-invalid"),
        (b"[" * 100_000, 413, "json-too-deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, 413, "json-too-deep"),
        (b"[" + b"1," * 300_000 + b"1]", 413, "json-too-deep"),
        (b"\xff\xfe", 400, "json-invalid"),
        (b"9" * 5000, 400, "json-invalid"),
        (b"[]", 422, "invalid-request"),
    ],
)
async def test_bodies_that_nobody_should_send(home: Gateway, body: bytes, status: int, code: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = await home.call("POST", "/v1/messages", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_form_is_no_json(home: Gateway) -> None:
    response = await home.call("POST", "/v1/messages", data={"subject": "x"})
    assert (response.status_code, response.json()["code"]) == (415, "content-type-not-json")


async def test_brackets_inside_of_text_are_no_depth(home: Gateway) -> None:
    await home.send(text="[{" * 5000 + '\\"' + "," * 5000)


async def test_a_body_has_an_end(home: Gateway) -> None:
    async def endless():
        for _ in range(30):
            yield b" " * 2**20

    headers = {"Content-Type": "application/json"}
    response = await home.call("POST", "/v1/messages", content=endless(), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "body-too-large")
    announced = {**headers, "Content-Length": str(30 * 2**20)}
    response = await home.call("POST", "/v1/messages", content=b"{}", headers=announced)
    assert (response.status_code, response.json()["code"]) == (413, "body-too-large")


async def test_the_same_key_and_payload_get_the_same_answer(home: Gateway) -> None:
    key = {"Idempotency-Key": "call-4711"}
    first = await home.call("POST", "/v1/messages", json=message(), headers=key)
    reordered = dict(reversed(message().items()))
    again = await home.call("POST", "/v1/messages", json=reordered, headers=key)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await home.call("GET", "/v1/messages")).json()["messages"]) == 1
    other = await home.call("POST", "/v1/messages", json=message(subject="Another"), headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_replies_go_only_where_somebody_said_yes(home: Gateway) -> None:
    body = message(reply_to="stranger@example.net")
    response = await home.call("POST", "/v1/messages", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "reply-to-unproved")
    assert response.json()["errors"][0]["pointer"] == "/reply_to"


async def test_whoever_was_asked_and_has_not_answered_yet_has_not_said_yes(home: Gateway) -> None:
    """Known to us is not proved: the letter is on its way, and nothing else goes out in the name of its address."""
    made = await home.call("POST", "/v1/human_senders", json={"name": "Joe", "address": "joe@example.com"})
    assert made.status_code == 201
    for body in (
        message(human_sender={"name": "Joe", "address": "joe@example.com"}),
        message(reply_to="joe@example.com"),
    ):
        response = await home.call("POST", "/v1/messages", json=body)
        assert (response.status_code, response.json()["code"]) == (422, "reply-to-unproved")
    listed = (await home.call("GET", "/v1/messages")).json()["messages"]
    assert [one["origin"] for one in listed if one["origin"] == "api"] == []


async def test_a_key_that_is_being_used_waits_for_its_first_request(
    home: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, go_on = asyncio.Event(), asyncio.Event()
    compose = Acceptance._compose

    async def slowly(*arguments: Any) -> Any:
        under_way.set()
        await go_on.wait()
        return await compose(*arguments)

    monkeypatch.setattr(Acceptance, "_compose", slowly)
    key = {"Idempotency-Key": "call-4711"}
    first = asyncio.create_task(home.call("POST", "/v1/messages", json=message(), headers=key))
    await under_way.wait()
    second = await asyncio.wait_for(home.call("POST", "/v1/messages", json=message(), headers=key), PATIENCE)
    assert (second.status_code, second.json()["code"]) == (409, "idempotency-key-in-progress")
    go_on.set()
    assert (await first).status_code == 202
    again = await home.call("POST", "/v1/messages", json=message(), headers=key)
    assert again.json() == (await first).json()


async def test_more_than_an_organization_may_send_a_minute(home: Gateway) -> None:
    path = f"/v1/organizations/{ids.show('organization', home.acme.organization.id)}"
    await home.client.patch(path, headers=home.administrator, json={"rate_limit": 2})
    home.clock.advance(timedelta(seconds=10))  # what is known of an organization may be that old
    await home.send(to=["john@example.org", "mary@example.org"])
    response = await home.call("POST", "/v1/messages", json=message())
    assert (response.status_code, response.json()["code"]) == (429, "rate-limited")
    wait = int(response.headers["retry-after"])
    assert 0 < wait <= 60
    await home.send(home.other, human_sender={"name": "Joe", "address": home.other.sender.address})
    home.clock.advance(timedelta(seconds=wait))
    await home.send()


@pytest.mark.parametrize(("octets", "status"), [(15_500_000, 413), (15_250_000, 202)])
async def test_a_message_that_is_too_large_on_the_wire(home: Gateway, octets: int, status: int) -> None:
    """It has 20 MiB at most, in base64 with line ends."""
    content = base64.b64encode(bytes(octets)).decode()
    attachment = {"filename": "a.bin", "content": content, "content_type": "application/octet-stream"}
    response = await home.call("POST", "/v1/messages", json=message(attachments=[attachment]))
    assert response.status_code == status
    assert (response.json().get("code") == "message-too-large") == (status == 413)
    assert len((await home.call("GET", "/v1/messages")).json()["messages"]) == (status == 202)


async def test_pages_of_messages_with_filters(home: Gateway) -> None:
    sent = [(await home.send(to=[f"r{number}@example.org"], stream=f"s{number % 2}"))["id"] for number in range(5)]
    first = (await home.call("GET", "/v1/messages", params={"limit": 2})).json()
    second = (await home.call("GET", "/v1/messages", params={"limit": 2, "cursor": first["cursor"]})).json()
    third = (await home.call("GET", "/v1/messages", params={"limit": 2, "cursor": second["cursor"]})).json()
    pages = [one["id"] for page in (first, second, third) for one in page["messages"]]
    assert pages == sent[::-1]
    assert third["cursor"] is None

    async def found(**question: str) -> list[str]:
        return [one["id"] for one in (await home.call("GET", "/v1/messages", params=question)).json()["messages"]]

    assert await found(recipient="R3@example.org") == [sent[3]]
    assert await found(stream="s1") == [sent[3], sent[1]]
    assert await found(state="bounced") == []
    assert await found(state="queued", recipient="r1@example.org") == [sent[1]]
    sender = ids.show("human_sender", home.acme.sender.id)
    assert len(await found(human_sender=sender)) == 5
    assert await found(human_sender="snd_nobody") == []
    assert await found(since=home.clock().isoformat()) == []
    assert len(await found(until=home.clock().isoformat())) == 5


@pytest.mark.parametrize(
    "question",
    [
        "limit=0",
        "limit=1000",
        "limit=x",
        "state=lost",
        "cursor=1",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "x=1",
    ],
)
async def test_questions_that_make_no_sense(home: Gateway, question: str) -> None:
    response = await home.call("GET", f"/v1/messages?{question}")
    assert response.status_code == 422
    pointer = response.json()["errors"][0]["pointer"]
    assert pointer == f"/query:{question.partition('=')[0]}"


async def test_a_failed_delivery_shows_its_case_and_can_be_sent_again_once(home: Gateway) -> None:
    delivery = (await home.send(to=["john@gmial.com"]))["deliveries"][0]["id"]
    early = await home.call("POST", f"/v1/deliveries/{delivery}/resend", json={"recipient": "john@gmail.com"})
    assert (early.status_code, early.json()["code"]) == (409, "delivery-under-way")
    await fail(home, delivery)
    shown = (await home.call("GET", f"/v1/deliveries/{delivery}")).json()
    assert (shown["state"], shown["bounced"], shown["case"]["state"]) == ("bounced", "immediate", "open")
    assert [step["kind"] for step in shown["case"]["steps"]] == ["live", "letter", "administrator"]
    assert shown["case"]["actions"][0]["state"] == "due"
    again = [
        await home.call("POST", f"/v1/deliveries/{delivery}/resend", json={"recipient": address})
        for address in ("john@gmail.com", "John@GMAIL.com")
    ]
    assert [one.status_code for one in again] == [202, 202]
    assert again[0].json()["deliveries"][0]["id"] == again[1].json()["deliveries"][0]["id"]
    assert again[1].headers["idempotent-replayed"] == "true"
    new = again[0].json()["deliveries"][0]["id"]
    assert (await home.call("GET", f"/v1/deliveries/{new}")).json()["resent_from"] == delivery
    bad = await home.call("POST", f"/v1/deliveries/{delivery}/resend", json={"recipient": "a@b,c@d"})
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/recipient")


async def test_a_verdict_names_its_rule_and_what_it_matched(home: Gateway) -> None:
    sent = await home.send()
    await fail(home, sent["deliveries"][0]["id"], refusal())
    found = (await home.call("GET", f"/v1/messages/{sent['id']}")).json()
    [event] = [event for event in found["timeline"] if event["type"] == "bounced"]
    for told in (found["deliveries"][0]["verdict"], event["data"]):
        assert (told["rule"], told["matched"], told["kind"]) == ("status-5.1.1", "no such user", "hard")


async def test_cancel_while_it_waits(home: Gateway) -> None:
    delivery = (await home.send())["deliveries"][0]["id"]
    response = await home.call("POST", f"/v1/deliveries/{delivery}/cancel")
    assert response.json()["state"] == "canceled"
    assert (await home.call("POST", f"/v1/deliveries/{delivery}/cancel")).status_code == 200
    late = (await home.send(to=["john@gmial.com"]))["deliveries"][0]["id"]
    await fail(home, late)
    response = await home.call("POST", f"/v1/deliveries/{late}/cancel")
    assert (response.status_code, response.json()["code"]) == (409, "not-cancelable")


async def test_the_daily_cap_says_when_to_come_back(home: Gateway) -> None:
    path = f"/v1/organizations/{ids.show('organization', home.acme.organization.id)}"
    await home.client.patch(path, headers=home.administrator, json={"daily_cap": 1})
    await home.send()
    response = await home.call("POST", "/v1/messages", json=message())
    assert (response.status_code, response.json()["code"]) == (429, "daily-cap")
    assert 0 < int(response.headers["retry-after"]) <= 86_400


async def test_half_a_surrogate_is_named_and_does_not_break_the_answer(home: Gateway) -> None:
    body = json.dumps(
        message(subject="\ud800", headers={"X-\ud800": "x"}, metadata={"\ud800": "x"}, failure_policy="\ud800")
    )
    headers = {"Content-Type": "application/json"}
    response = await home.call("POST", "/v1/messages", content=body.encode(), headers=headers)
    assert response.status_code == 422
    found = {error["pointer"]: error["code"] for error in response.json()["errors"]}
    assert found["/subject"] == "control-character"
    assert found["/failure_policy"] == "text-not-unicode"
    assert len(found) == 4
