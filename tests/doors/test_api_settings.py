"""Organizations, human senders, failure policies, suppressions, streams, and what operators need."""

import re
from typing import Any

import pytest

from homing.loop import ids
from homing.loop.model import FailurePolicy, Step, StepKind
from homing.store import organizations, policies, tables
from tests.store.scenes import NOW

from .gateway import Gateway, message


async def test_an_organization_from_its_making_to_its_pause(home: Gateway) -> None:
    body = {"name": "novum", "display_name": "Novum Ltd", "webhook_url": "https://app.example.com/homing"}
    made = await home.client.post("/v1/organizations", headers=home.administrator, json=body)
    assert made.status_code == 201, made.text
    organization = made.json()
    assert (organization["daily_cap"], organization["failure_policy"]) == (100, "default")
    assert organization["webhook_secret"].startswith("whsec_")
    again = await home.client.post("/v1/organizations", headers=home.administrator, json=body)
    assert (again.status_code, again.json()["code"]) == (409, "organization-exists")
    path = f"/v1/organizations/{organization['id']}"
    changed = await home.client.patch(path, headers=home.administrator, json={"daily_cap": 7})
    assert (changed.json()["daily_cap"], changed.json()["display_name"]) == (7, "Novum Ltd")
    assert changed.json()["webhook_secret"] is None
    paused = await home.client.post(f"{path}/pause", headers=home.administrator, json={"reason": "abuse"})
    assert (paused.json()["paused"], paused.json()["pause_reason"]) == (True, "abuse")
    resumed = await home.client.post(f"{path}/resume", headers=home.administrator)
    assert resumed.json()["paused"] is False


async def test_organizations_are_listed_page_by_page(home: Gateway) -> None:
    async def ask(**question: str | int) -> dict[str, Any]:
        answer = await home.client.get("/v1/organizations", params=question, headers=home.administrator)
        assert answer.status_code == 200, answer.text
        return answer.json()

    for number in range(5):
        body = {"name": f"more-{number}", "display_name": f"More {number}"}
        await home.client.post("/v1/organizations", headers=home.administrator, json=body)
    everything = [one["name"] for one in (await ask())["organizations"]]
    assert everything == sorted(everything)
    assert (await ask())["cursor"] is None
    found, page = [], await ask(limit=2)
    while True:
        found += [one["name"] for one in page["organizations"]]
        if page["cursor"] is None:
            break
        page = await ask(limit=2, cursor=page["cursor"])
    assert found == everything
    assert [one["name"] for one in (await ask(name="more-", limit=3))["organizations"]] == [
        "more-0",
        "more-1",
        "more-2",
    ]
    for question in ({"cursor": "%"}, {"name": "A"}, {"limit": 0}, {"else": 1}):
        refused = await home.client.get("/v1/organizations", params=question, headers=home.administrator)
        assert refused.status_code == 422, question


async def test_a_pause_is_felt_at_once_and_survives_a_change_of_name(home: Gateway) -> None:
    path = f"/v1/organizations/{ids.show('organization', home.acme.organization.id)}"
    await home.send()
    await home.client.post(f"{path}/pause", headers=home.administrator, json={"reason": "abuse"})
    response = await home.call("POST", "/v1/messages", json=message())
    assert (response.status_code, response.json()["code"]) == (403, "organization-paused")
    assert (await home.call("PATCH", "/v1/organization", json={"display_name": "Acme Inc"})).json()["paused"] is True
    assert (await home.client.get(path, headers=home.administrator)).json()["paused"] is True


async def test_who_has_not_heard_of_a_pause_yet_does_not_lift_it(home: Gateway) -> None:
    assert (await home.call("GET", "/v1/organization")).json()["paused"] is False
    await home.database.write(organizations.pause, home.acme.organization.id, "by another node")
    changed = await home.call("PATCH", "/v1/organization", json={"display_name": "Acme Inc"})
    assert (changed.json()["display_name"], changed.json()["paused"]) == ("Acme Inc", True)


async def test_all_faults_of_settings_at_once(home: Gateway) -> None:
    body = {
        "display_name": "paypal.com",
        "failure_policy": "none-such",
        "cors_origins": ["*", "https://app.example.com", "https://app.example.com/", "null"],
        "administrator": "nobody",
        "sms_fallback": "12345",
        "webhook_url": "http://127.0.0.1/",
    }
    response = await home.call("PATCH", "/v1/organization", json=body)
    assert response.status_code == 422
    assert {error["pointer"] for error in response.json()["errors"]} == {
        "/display_name",
        "/failure_policy",
        "/cors_origins/0",
        "/cors_origins/2",
        "/cors_origins/3",
        "/administrator",
        "/sms_fallback",
        "/webhook_url",
    }
    for field in ("paused", "rate_limit", "daily_cap", "name", "webhook_secret"):
        response = await home.call("PATCH", "/v1/organization", json={field: 1})
        assert response.json()["errors"][0]["code"] == "field-unknown"


async def test_webhook_secrets_are_shown_once(home: Gateway) -> None:
    url = {"webhook_url": "https://app.example.com/homing"}
    first = (await home.call("PATCH", "/v1/organization", json=url)).json()["webhook_secret"]
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", first)
    assert (await home.call("PATCH", "/v1/organization", json=url)).json()["webhook_secret"] is None
    assert "webhook_secret" not in (await home.call("GET", "/v1/organization")).json()
    second = (await home.call("POST", "/v1/organization/webhook_secret")).json()["webhook_secret"]
    assert second != first


async def test_a_human_sender_gets_a_letter_and_may_be_asked_three_times_a_day(home: Gateway) -> None:
    body = {"name": "Joe Bloggs", "address": "Joe@EXAMPLE.net", "application_user": "17", "phone": "+442079460000"}
    made = await home.call("POST", "/v1/human_senders", json=body)
    assert made.status_code == 201, made.text
    sender = made.json()
    assert (sender["address"], sender["proved_at"], sender["proof_letter_sent"]) == ("Joe@example.net", None, True)
    refused = await home.call("POST", "/v1/messages", json=message(human_sender={"address": "Joe@example.net"}))
    assert refused.json()["code"] == "reply-to-unproved"
    again = await home.call("POST", "/v1/human_senders", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "human-sender-exists")
    path = f"/v1/human_senders/{sender['id']}"
    asked = [await home.call("POST", f"{path}/proof") for _ in range(3)]
    assert [one.status_code for one in asked] == [202, 202, 429]
    assert asked[2].json()["code"] == "too-many-proof-letters"
    assert int(asked[2].headers["retry-after"]) > 0
    elsewhere = await home.call("POST", "/v1/human_senders", home.other, json=body)
    assert (elsewhere.status_code, elsewhere.json()["proof_letter_sent"]) == (201, False)
    listed = (await home.call("GET", "/v1/human_senders")).json()["human_senders"]
    assert [one["address"] for one in listed] == ["Joe@example.net", "janet@example.com"]


async def test_faults_of_a_human_sender(home: Gateway) -> None:
    body = {"name": "joe@evil.example", "address": "x", "application_user": "a\nb", "phone": "0"}
    response = await home.call("POST", "/v1/human_senders", json=body)
    pointers = {error["pointer"] for error in response.json()["errors"]}
    assert pointers == {"/name", "/address", "/application_user", "/phone"}


async def test_failure_policies_come_back_as_they_were_given(home: Gateway) -> None:
    listed = (await home.call("GET", "/v1/failure_policies")).json()["failure_policies"]
    assert [(one["name"], one["builtin"]) for one in listed] == [("default", True)]
    steps = [
        {"kind": "live"},
        {
            "kind": "sms",
            "kinds": ["bounced", "late"],
            "min_evidence": "strong",
            "when_possibly_delivered": "hold",
            "reader": "recipient",
            "delay_seconds": 90,
            "budget_recipient": 2,
        },
        {"kind": "administrator", "only_if_unheard": True},
    ]
    made = await home.call("PUT", "/v1/failure_policies/urgent", json={"steps": steps})
    assert made.status_code == 200, made.text
    stored = (await home.call("GET", "/v1/failure_policies/urgent")).json()
    assert stored == made.json()
    for wanted, found in zip(steps, stored["steps"], strict=True):
        assert wanted.items() <= found.items()
    assert (await home.call("PATCH", "/v1/organization", json={"failure_policy": "urgent"})).status_code == 200
    await home.send(failure_policy="urgent")
    assert (await home.call("DELETE", "/v1/failure_policies/urgent")).status_code == 204
    assert (await home.call("GET", "/v1/failure_policies/urgent")).status_code == 404
    unknown = await home.call("POST", "/v1/messages", json=message(failure_policy="urgent"))
    assert unknown.json()["errors"][0]["code"] == "failure-policy-unknown"


async def test_a_policy_says_when_a_delay_is_told(home: Gateway) -> None:
    """After four hours where it does not say."""
    name, steps = "/v1/failure_policies/x", [{"kind": "letter"}]
    assert (await home.call("GET", "/v1/failure_policies/default")).json()["delay_told_after_seconds"] == 4 * 3600
    for given, kept in ((..., 4 * 3600), (90, 90), (None, None)):
        told = {} if given is ... else {"delay_told_after_seconds": given}
        put = await home.call("PUT", name, json={"steps": steps, **told})
        assert (put.status_code, put.json()["delay_told_after_seconds"]) == (200, kept)
        assert (await home.call("GET", name)).json() == put.json()
    for wrong in (59, 31 * 86_400, "4h", True):
        refused = await home.call("PUT", name, json={"steps": steps, "delay_told_after_seconds": wrong})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/delay_told_after_seconds")


async def test_a_policy_of_before_shows_what_holds_of_it(home: Gateway) -> None:
    step = Step(kind=StepKind.SMS, budget_organization=10_000)
    await home.database.write(policies.put, home.acme.organization.id, FailurePolicy(name="old", steps=(step,)), NOW)
    shown = (await home.call("GET", "/v1/failure_policies/old")).json()
    assert shown["steps"][0]["budget_organization"] == 100
    again = await home.call("PUT", "/v1/failure_policies/old", json={"steps": shown["steps"]})
    assert again.status_code == 200, "what is shown can be written"


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        ([], "/steps"),
        ([{"kind": "pigeon"}], "/steps/0/kind"),
        ([{"kind": "letter", "only_if_unheard": True}], "/steps/0/only_if_unheard"),
        ([{"kind": "letter", "delay_seconds": -1}], "/steps/0/delay_seconds"),
        ([{"kind": "letter", "delay_seconds": 1e300}], "/steps/0/delay_seconds"),
        ([{"kind": "letter", "kinds": ["Bounced!"]}], "/steps/0/kinds/0"),
        ([{"kind": "letter"}] * 21, "/steps"),
        ([{"kind": "letter"}, {"kind": "sms", "budget_organization": 101}], "/steps/1/budget_organization"),
    ],
)
async def test_policies_that_make_no_sense(home: Gateway, steps: list, pointer: str) -> None:
    response = await home.call("PUT", "/v1/failure_policies/x", json={"steps": steps})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_suppressions_by_page_and_their_end(home: Gateway) -> None:
    for name in "cab":
        body = {"address": f"{name.upper()}@example.org", "evidence": "he asked"}
        assert (await home.call("POST", "/v1/suppressions", json=body)).status_code == 201
    await home.call("POST", "/v1/suppressions", json={"address": "a@example.org", "stream": "bills"})
    seen, cursor = [], None
    while True:
        question = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await home.call("GET", "/v1/suppressions", params=question)).json()
        seen += [(one["address"], one["stream"]) for one in page["suppressions"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == [
        ("a@example.org", "bills"),
        ("a@example.org", "default"),
        ("b@example.org", "default"),
        ("c@example.org", "default"),
    ]
    stopped = await home.send(to=["B@example.org"])
    shown = (await home.call("GET", f"/v1/messages/{stopped['id']}")).json()
    assert shown["deliveries"][0]["state"] == "suppressed"
    assert (await home.call("DELETE", "/v1/suppressions?address=b@example.org")).status_code == 204
    assert (await home.call("DELETE", "/v1/suppressions?address=b@example.org")).status_code == 404
    for cursor in ("x", "AAAA", "é"):
        assert (await home.call("GET", "/v1/suppressions", params={"cursor": cursor})).status_code == 422
    past = {"address": "x", "expires_at": "2020-01-01T00:00:00Z", "evidence": "a\nb"}
    response = await home.call("POST", "/v1/suppressions", json=past)
    assert {error["pointer"] for error in response.json()["errors"]} == {"/address", "/expires_at", "/evidence"}


async def test_streams(home: Gateway) -> None:
    assert (await home.call("PUT", "/v1/streams/news", json={"bulk": True})).json()["bulk"] is True
    assert (await home.call("PUT", "/v1/streams/news", json={"bulk": True})).status_code == 200
    assert (await home.call("PUT", "/v1/streams/news", json={})).json()["code"] == "stream-differs"
    assert [one["name"] for one in (await home.call("GET", "/v1/streams")).json()["streams"]] == ["news"]
    assert (await home.call("GET", "/v1/streams/none")).status_code == 404
    assert (await home.call("PUT", "/v1/streams/Not%20a%20name", json={})).status_code == 422


async def test_the_stream_of_our_own_letters_is_not_an_applications(home: Gateway) -> None:
    made = await home.call("PUT", "/v1/streams/letters", json={})
    sent = await home.call("POST", "/v1/messages", json=message(stream="letters"))
    for answer, pointer in ((made, "/path:name"), (sent, "/stream")):
        assert answer.status_code == 422
        assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, "stream-reserved")]


async def test_health_metrics_and_callbacks(home: Gateway) -> None:
    assert (await home.client.get("/healthz")).json() == {
        "status": "ok",
        "disk": "ok",
        "store": "ok",
        "return_path": "unknown",
    }
    assert (await home.client.get("/metrics")).status_code == 401
    assert (await home.call("GET", "/metrics")).status_code == 401
    assert (await home.client.get("/metrics", headers=home.administrator)).status_code == 200
    assert (await home.client.post("/v1/sms/status/token", content=b"known")).status_code == 204
    unknown = await home.client.post("/v1/sms/status/token", content=b"unknown")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "sms-unknown")


async def test_a_database_that_is_gone_shows_in_health_and_bugs_have_a_face(home: Gateway) -> None:
    def drop(conn) -> None:
        tables.message.drop(conn)

    await home.database.write(drop)
    response = await home.call("GET", "/v1/messages")
    assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
    assert response.headers["retry-after"]
    assert "no such table" not in response.text
    home.clock.now = None  # type: ignore[assignment]
    response = await home.call("POST", "/v1/messages", json=message())
    assert (response.status_code, response.json()["code"]) == (500, "internal-error")
    assert response.headers["x-request-id"] == response.json()["request_id"]
