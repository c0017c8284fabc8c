"""People whose addresses the operator's application has proved: on whose word, when, and what that key can do."""

from typing import Any

import pytest

from homing.loop import ids
from homing.store import human_senders

from .gateway import ADMINISTRATOR, Gateway, make_key

PEOPLE = "/v1/human_senders"
ATTESTATIONS = f"{PEOPLE}/attestations"


def person(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {"name": f"Joe {chr(65 + number)}", "address": f"joe{number}@example.com"} | changes


async def operators_key(home: Gateway, *scopes: str, name: str = "sign-up") -> dict[str, str]:
    body = {"name": name, "scopes": scopes}
    made = await home.client.post("/v1/administrator_keys", json=body, headers=home.administrator)
    assert made.status_code == 201, made.text
    assert made.json()["scopes"] == [*scopes]
    return {"Authorization": f"Bearer {made.json()['key']}", "Homing-Organization": "acme"}


async def attest(home: Gateway, headers: dict[str, str], *people: dict[str, Any], **more: Any) -> tuple[int, Any]:
    answer = await home.client.post(ATTESTATIONS, headers=headers, json={"human_senders": people, **more})
    return answer.status_code, answer.json()


async def listed(home: Gateway, **question: Any) -> list[dict[str, Any]]:
    return list((await home.call("GET", PEOPLE, params=question)).json()["human_senders"])


async def test_an_application_moves_in_with_the_people_that_it_knows(home: Gateway) -> None:
    headers = await operators_key(home, "attest")
    status, answer = await attest(home, headers, *map(person, range(3)), note="confirmed at sign-up")
    assert (status, answer) == (200, {"attested": 3, "made": 3})
    [one] = await listed(home, address="JOE1@example.com")
    assert one["proved_at"] == one["attested"]["at"]
    assert (one["attested"]["by"], one["attested"]["note"]) == ("sign-up", "confirmed at sign-up")
    assert ids.read("api_key", one["attested"]["key"])
    await home.send(human_sender={"name": "Joe B", "address": "joe1@example.com"})
    messages = (await home.call("GET", "/v1/messages")).json()["messages"]
    assert [message["origin"] for message in messages] == ["api"], "no letter"
    again = await attest(home, headers, person(1, name="Joe Renamed"), person(7), note="again")
    assert again == (200, {"attested": 2, "made": 1})
    [same] = await listed(home, address="joe1@example.com")
    assert same == one, "the first word stands"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/organizations", "/v1/events", "/v1/administrator_keys", PEOPLE])
async def test_a_key_that_attests_does_nothing_else(home: Gateway, path: str) -> None:
    headers = await operators_key(home, "attest")
    assert (await home.client.get(path, headers=headers)).json()["code"] == "scope-missing"
    del headers["Homing-Organization"]
    assert (await home.client.get(path, headers=headers)).status_code == 403
    assert (await home.client.post(ATTESTATIONS, headers=headers, json={"human_senders": [person()]})).json()[
        "code"
    ] == "organization-required"
    key = headers["Authorization"].split()[1]
    assert (await home.client.post("/sign_in", data={"key": key})).status_code == 403


async def test_no_other_key_attests(home: Gateway) -> None:
    path = f"{PEOPLE}/{ids.show('human_sender', home.acme.sender.id)}/prove"
    assert (await home.call("POST", path)).json()["code"] == "scope-missing"
    assert (await attest(home, home.acme.headers, person()))[0] == 403
    assert [one["address"] for one in await listed(home)] == ["janet@example.com"]
    for scopes in (["send"], ["attest", "read"], []):
        body = {"name": "x", "scopes": scopes}
        made = await home.client.post("/v1/administrator_keys", json=body, headers=home.administrator)
        assert made.status_code == 422
    odd = {"Authorization": f"Bearer {await make_key(home.database, home.clock, None, ('attest', 'send'))}"}
    assert (await home.client.get(PEOPLE, headers=odd)).status_code == 401


async def test_the_operator_gives_the_scope_to_an_organization(home: Gateway) -> None:
    path = "/v1/organizations/acme/keys"
    body = {"name": "crm", "scopes": ["send", "read", "manage", "attest"]}
    assert (await home.call("POST", path, json=body)).status_code == 403, "it gives it not to itself"
    made = await home.client.post(path, headers=home.administrator, json=body)
    own = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await attest(home, own, person()))[0] == 200
    [one] = await listed(home, address="joe0@example.com")
    assert one["attested"]["by"] == "crm"
    elsewhere = own | {"Homing-Organization": "other"}
    assert (await attest(home, elsewhere, person(1)))[0] == 200
    assert (await home.call("GET", PEOPLE, home.other)).json()["human_senders"][1:] == []


async def test_who_vouched_for_one_person_is_shown(home: Gateway) -> None:
    made = (await home.call("POST", PEOPLE, json=person(proof_letter=False))).json()
    assert (made["proved_at"], made["attested"]) == (None, None)
    headers = {"Authorization": f"Bearer {ADMINISTRATOR}", "Homing-Organization": "acme"}
    path = f"{PEOPLE}/{made['id']}/prove"
    proved = (await home.client.post(path, params={"note": "I know him"}, headers=headers)).json()
    assert proved["attested"] == {"by": "settings", "key": None, "at": proved["proved_at"], "note": "I know him"}
    assert (await home.client.post(path, params={"note": "a\nb"}, headers=headers)).status_code == 422
    key = await make_key(home.database, home.clock, None, ("admin",))
    signed = await home.client.post("/sign_in", data={"key": key})
    cookie = {"Cookie": signed.headers["set-cookie"].split(";")[0]}
    organization = ids.show("organization", home.acme.organization.id)
    page = (await home.client.get(f"/people?organization={organization}", headers=cookie)).text
    assert "on the word of the key “settings”" in page
    assert "I know him" in page
    assert page.count("by its owner") == 1, "Janet"
    human_sender = ids.read("human_sender", made["id"])
    await home.database.write(human_senders.prove, home.acme.organization.id, human_sender, home.clock())
    page = (await home.client.get(f"/people?organization={organization}", headers=cookie)).text
    assert "by its owner; attested on the word of the key" in " ".join(page.split())


async def test_all_are_taken_or_none(home: Gateway) -> None:
    headers = await operators_key(home, "attest")
    faulty = [
        person(0),
        person(1, name="PayPal"),
        person(2, address="x"),
        person(3, address="joe0@EXAMPLE.com"),
        person(4, phone="1"),
        person(5, name="Joe\u200bB"),
    ]
    status, answer = await attest(home, headers, *faulty)
    assert status == 422
    assert [(fault["pointer"], fault["code"]) for fault in answer["errors"]] == [
        ("/human_senders/1/name", "display-name-impersonates"),
        ("/human_senders/2/address", "address-syntax"),
        ("/human_senders/3/address", "human-sender-twice"),
        ("/human_senders/4/phone", "phone-syntax"),
        ("/human_senders/5/name", "hidden-character"),
    ]
    assert len(await listed(home)) == 1
    for people in ([], [person(number) for number in range(1001)]):
        assert (await attest(home, headers, *people))[0] == 422


async def test_people_are_listed_page_by_page(home: Gateway) -> None:
    headers = await operators_key(home, "attest")
    await attest(home, headers, *map(person, range(5)))
    everything, seen, cursor = [one["address"] for one in await listed(home)], [], None
    while True:
        page = (await home.call("GET", PEOPLE, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [one["address"] for one in page["human_senders"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == everything == sorted(everything)
    assert len(seen) == 6
    for question in ({"limit": 0}, {"limit": 501}, {"else": 1}):
        assert (await home.call("GET", PEOPLE, params=question)).status_code == 422
    assert await listed(home, cursor="\0", address="nobody@example.com") == []
