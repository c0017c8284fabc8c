"""Whose name an organization and its people may bear, and what the operator may allow, on record."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from homing.loop import ids
from homing.mail.characters import without_hints
from homing.store import organizations

from .gateway import Gateway, message

OTHERS = (
    "PayPal",
    "PAYPAL Support",
    "ＰａｙＰａｌ",
    "PayPaI",
    "Pay\u00adPal",
    "Pay\u200cPal",
    "Apple",
    "Other",
    "0ther Ltd",
    "PayPal Germany",
    "PayPalSupport",
    "lnstagram",
    "Ƥayƥal",
    "🅿🅰🆈🅿🅰🅻",
)
REASON = "Two customers have this name."


async def renamed(home: Gateway, name: str, **more: Any) -> tuple[int, dict[str, Any]]:
    answer = await home.call("PATCH", "/v1/organization", json={"display_name": name, **more})
    return answer.status_code, answer.json()


async def set_by_operator(home: Gateway, **settings: Any) -> tuple[int, dict[str, Any]]:
    answer = await home.client.patch("/v1/organizations/acme", headers=home.administrator, json=settings)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("name", OTHERS, ids=ascii)
async def test_no_organization_takes_the_name_of_another(home: Gateway, name: str) -> None:
    status, answer = await renamed(home, name)
    assert (status, [fault["pointer"] for fault in answer["errors"]]) == (422, ["/display_name"])
    own = (await home.call("GET", "/v1/organization")).json()
    assert own["display_name"] == "Acme"
    sent = await home.call(
        "POST", "/v1/messages", json=message(human_sender={"name": "PayPal", "address": "janet@example.com"})
    )
    assert sent.status_code == 422


async def test_the_fault_names_the_words_and_who_may_help(home: Gateway) -> None:
    _, answer = await renamed(home, "Friends of Paypa1")
    [fault] = answer["errors"]
    assert fault["code"] == "display-name-look-alike"
    assert "“Paypa1”" in fault["message"]
    assert "operator" in fault["message"]


@pytest.mark.parametrize("name", ["Homing Post", "HOMING POST Team", "H0ming Post", "HomingPost", "Homing P0st"])
async def test_no_organization_passes_for_the_operator(home: Gateway, name: str) -> None:
    facts = home.parts.acceptance.proved
    facts.operator = replace(facts.operator, name="Homing Post")
    assert (await renamed(home, name))[0] == 422


async def test_of_two_who_want_one_name_at_once_one_gets_it(home: Gateway) -> None:
    wanted = [
        home.call("PATCH", "/v1/organization", who, json={"display_name": "Northwind"})
        for who in (home.acme, home.other)
    ]
    bodies = [{"name": f"n{number}", "display_name": "Southwind Ltd"} for number in range(3)]
    made = [home.client.post("/v1/organizations", headers=home.administrator, json=body) for body in bodies]
    answers = [(await answer).status_code for answer in asyncio.as_completed([*wanted, *made])]
    assert sorted(answers) == [200, 201, 422, 422, 422]


async def test_an_organization_keeps_and_changes_a_name_of_its_own(home: Gateway) -> None:
    assert (await home.call("GET", "/v1/organization")).json()["display_name_checked_at"] is None
    for name in ("Acme", "Acme Ltd", "Acme Rockets", "Acme"):
        status, answer = await renamed(home, name)
        assert (status, answer["display_name"]) == (200, name)
    assert answer["display_name_checked_at"] is not None
    assert answer["display_name_allowed"] is None
    status, answer = await renamed(home, "\u200fאקמה\u200f")
    assert (status, answer["display_name"]) == (200, "אקמה")


async def test_a_name_from_before_stays_until_it_is_changed(home: Gateway) -> None:
    await home.database.write(organizations.change, home.acme.organization.id, {"display_name": "PayPal"})
    await home.send(human_sender={"name": "PayPal Support", "address": "janet@example.com"})
    status, answer = await renamed(home, "PayPal", cors_origins=[])
    assert (status, answer["display_name_checked_at"]) == (200, None)
    assert (await renamed(home, "PayPal Inc"))[0] == 422
    assert (await renamed(home, "Acme"))[0] == 200
    assert (await renamed(home, "PayPal"))[0] == 422


async def test_the_operator_allows_a_name_on_record(home: Gateway) -> None:
    status, answer = await set_by_operator(home, display_name="Other")
    assert (status, answer["errors"][0]["code"]) == (422, "display-name-impersonates")
    status, answer = await set_by_operator(home, display_name="Other", display_name_reason=f" {REASON} ")
    assert status == 200, answer
    allowed = answer["display_name_allowed"]
    assert (allowed["claim"], allowed["words"], allowed["reason"]) == ("display-name-impersonates", "Other", REASON)
    assert (allowed["by"], allowed["key"]) == ("settings", None)
    assert allowed["at"] is not None
    listed = await home.client.get("/v1/organizations", headers=home.administrator)
    assert [one["display_name_allowed"] for one in listed.json()["organizations"]] == [allowed, None]
    page = await home.client.get("/organizations", headers=await _cookie(home))
    assert REASON in page.text
    await home.send(human_sender={"name": "Other Support", "address": "janet@example.com"})


async def test_a_key_of_the_operators_is_named_in_the_record(home: Gateway) -> None:
    made = await home.client.post("/v1/administrator_keys", json={"name": "deploy"}, headers=home.administrator)
    own = {"Authorization": f"Bearer {made.json()['key']}"}
    body = {"name": "new", "display_name": "PayPal", "display_name_reason": REASON}
    assert (await home.client.post("/v1/organizations", headers=own, json=body)).status_code == 201
    shown = (await home.client.get("/v1/organizations/new", headers=own)).json()["display_name_allowed"]
    assert (shown["by"], shown["key"]) == ("deploy", made.json()["id"])


async def test_a_record_outlives_the_name(home: Gateway) -> None:
    await set_by_operator(home, display_name="Other", display_name_reason=REASON)
    assert (await renamed(home, "Acme Ltd"))[1]["display_name_allowed"] is None
    assert (await renamed(home, "Other"))[0] == 422, "allowed once is not allowed for ever"
    acme = home.acme.organization
    was = organizations.Organization(id=acme.id, name="acme", display_name="Other", created_at=acme.created_at)
    assert (await home.database.read(organizations.allowed_names, [was]))[acme.id].reason == REASON


async def test_an_organizations_own_administrator_allows_nothing(home: Gateway) -> None:
    status, answer = await renamed(home, "Other", display_name_reason=REASON)
    assert (status, answer["errors"][0]["code"]) == (422, "field-unknown")
    headers = home.administrator | {"Homing-Organization": "acme"}
    body = {"display_name": "Other", "display_name_reason": REASON}
    answered = await home.client.patch("/v1/organization", headers=headers, json=body)
    assert answered.status_code == 422


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 501])
async def test_a_reason_says_something(home: Gateway, reason: str) -> None:
    status, answer = await set_by_operator(home, display_name="Other", display_name_reason=reason)
    assert (status, answer["errors"][0]["pointer"]) == (422, "/display_name_reason")


async def test_a_reason_is_for_a_name_that_is_given(home: Gateway) -> None:
    status, answer = await set_by_operator(home, display_name_reason=REASON)
    assert (status, answer["errors"][0]["pointer"]) == (422, "/display_name")
    await home.database.write(organizations.change, home.acme.organization.id, {"display_name": "PayPal"})
    status, answer = await set_by_operator(home, display_name="PayPal", display_name_reason=REASON)
    assert (status, answer["display_name_allowed"]["reason"]) == (200, REASON), "a name from before, looked at now"


async def test_a_reason_allows_no_hidden_character(home: Gateway) -> None:
    for name in ("Pay\u202ePal", "paypal.com", "P\u0430ypal"):
        assert (await set_by_operator(home, display_name=name, display_name_reason=REASON))[0] == 422


async def test_an_organization_is_not_made_with_the_name_of_another(home: Gateway) -> None:
    for name in OTHERS:
        body = {"name": "new", "display_name": name}
        made = await home.client.post("/v1/organizations", headers=home.administrator, json=body)
        assert (made.status_code, made.json()["errors"][0]["pointer"]) == (422, "/display_name")


@pytest.mark.parametrize("name", ["PayPal", "Paypa1 Joe", "Other Support"])
async def test_nobody_is_made_with_the_name_of_another(home: Gateway, name: str) -> None:
    await home.database.write(organizations.change, home.other.organization.id, {"display_name": "Other Ltd"})
    made = await home.call("POST", "/v1/human_senders", json={"name": name, "address": "joe@example.com"})
    assert (made.status_code, [fault["pointer"] for fault in made.json().get("errors", ())]) == (422, ["/name"])


async def _cookie(home: Gateway) -> dict[str, str]:
    made = await home.client.post("/v1/administrator_keys", json={"name": "web"}, headers=home.administrator)
    signed = await home.client.post("/sign_in", data={"key": made.json()["key"]})
    assert signed.status_code == 303
    assert ids.read("api_key", made.json()["id"])
    return {"Cookie": signed.headers["set-cookie"].split(";")[0]}


EVERYDAY = {
    "human_sender": "IT-отдел Ромашка;SMS-сервис;VIP-клиент;Web-студия;PR-агентство;3D-студия;ТОВ Ромашка-IT;Σ-Team;"
    "α-Bank;AΩ Consulting;Müller-Ζαχαρίας;µTorrent;Dr.Müller;Hans.Peter;Acme Co.Ltd;علی\u200cرضا;നിവര്\u200d;"
    "👨\u200d👩\u200d👧 Family",
    "to": "علی\u200cرضا;പ്രവീണ്\u200d;👨\u200d👩\u200d👧;שלום\u200f;Ältere\u00adname",
    "filename": "گزارش\u200cها.pdf;👨\u200d👩\u200d👧.png;\u200fדוח.pdf",
    "address": "john@نامه\u200cای.com",
}


@pytest.mark.parametrize("field", EVERYDAY)
async def test_everyday_names_are_accepted_and_come_back_as_they_are_meant(home: Gateway, field: str) -> None:
    for text in EVERYDAY[field].split(";"):
        kept = without_hints(text)
        match field:
            case "human_sender":
                sent = await home.send(human_sender={"name": text, "address": "janet@example.com"})
                shown = (await home.call("GET", f"/v1/messages/{sent['id']}")).json()
                assert shown["deliveries"][0]["identity"]["display_name"] == kept
                body = {"name": text, "address": f"p{len(text)}.{ord(text[0])}@example.com", "proof_letter": False}
                made = await home.call("POST", "/v1/human_senders", json=body)
                assert (made.status_code, made.json().get("name")) == (201, kept), made.text
            case "to":
                await home.send(to=[{"name": text, "address": "john@example.org"}])
            case "filename":
                await home.send(attachments=[{"filename": text, "content": "eA=="}])
            case "address":
                sent = await home.send(to=[text])
                assert sent["deliveries"][0]["recipient"] == "john@xn--mgba3gch31f060k.com"
        if field == "human_sender":
            status, answer = await renamed(home, text)
            assert (status, answer.get("display_name")) == (200, kept), answer


async def test_a_name_that_the_operator_has_taken_away_is_not_written_back(home: Gateway) -> None:
    await set_by_operator(home, display_name="PayPal", display_name_reason=REASON)
    assert (await home.call("GET", "/v1/organization")).json()["display_name"] == "PayPal"
    elsewhere = {"display_name": "Acme"}
    await home.database.write(organizations.change, home.acme.organization.id, elsewhere)
    await renamed(home, "PayPal")
    now = await home.database.read(organizations.get, home.acme.organization.id)
    assert now is not None
    assert now.display_name == "Acme"


async def test_a_name_that_is_the_same_but_for_its_hints_is_kept_without_them(home: Gateway) -> None:
    status, answer = await renamed(home, "Acme\u200e")
    assert (status, answer["display_name"]) == (200, "Acme")


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("Janet Roe Ltd", "Janet Roe"),
        ("Janet Roe Group", "Janet Roe"),
        ("Maria del Carmen Roe", "Maria del Carmen Roe"),
    ],
)
async def test_no_organization_takes_the_name_of_a_person_away_from_others_by_naming_itself(
    home: Gateway, name: str, person: str
) -> None:
    janet = message(human_sender={"name": person, "address": "janet@example.com"})
    assert (await home.call("PATCH", "/v1/organization", home.other, json={"display_name": name})).status_code == 200
    home.clock.advance(timedelta(minutes=2))
    said = await home.call("POST", "/v1/messages", json=janet)
    assert said.status_code == 202, said.text
    support = message(human_sender={"name": f"{person} Support", "address": "janet@example.com"})
    assert (await home.call("POST", "/v1/messages", json=support)).status_code == 422, "that is no person's name"
    assert (await renamed(home, name))[0] == 422, "nor may another organization bear it"
