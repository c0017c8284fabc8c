"""Keys, and the wall between organizations; who may ask what is in the table of access."""

from datetime import timedelta

import pytest

from homing.loop import ids

from .gateway import Gateway, Member, make_key


@pytest.mark.parametrize("name", ["%00", "%0A", "%F0%9F%90%A6", "org_x", "a" * 300, "Acme"])
async def test_odd_names_of_organizations_are_unknown_ones(home: Gateway, name: str) -> None:
    response = await home.client.get(f"/v1/organizations/{name}", headers=home.administrator)
    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert (await home.client.get("/v1/organizations/acme", headers=home.administrator)).status_code == 200


async def test_lists_and_filters_hold_nothing_of_another_organization(home: Gateway) -> None:
    await home.send()
    sender = ids.show("human_sender", home.acme.sender.id)
    for path in ("/v1/messages", f"/v1/messages?human_sender={sender}", "/v1/messages?recipient=john@example.org"):
        assert (await home.call("GET", path, home.other)).json()["messages"] == []
    assert (await home.call("GET", "/v1/events", home.other)).json()["events"] == []
    cursor = (await home.call("GET", "/v1/events?limit=1")).json()["cursor"]
    assert (await home.call("GET", f"/v1/events?cursor={cursor}", home.other)).json()["events"] == []
    await home.call("PUT", "/v1/failure_policies/quiet", json={"steps": [{"kind": "log"}]})
    assert (await home.call("GET", "/v1/failure_policies/quiet", home.other)).status_code == 404
    assert (await home.call("DELETE", "/v1/failure_policies/quiet", home.other)).status_code == 404
    await home.call("POST", "/v1/suppressions", json={"address": "john@example.org"})
    gone = await home.call("DELETE", "/v1/suppressions?address=john@example.org", home.other)
    assert gone.status_code == 404
    assert len((await home.call("GET", "/v1/suppressions")).json()["suppressions"]) == 1


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer x",
        "Basic aG9taW5n",
        f"Bearer homing_live_{'a' * 48}",
        "bearer \xff",
        "Bearer " + "x" * 9000,
    ],
)
async def test_without_a_live_key_nothing_is_said(home: Gateway, authorization: str) -> None:
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    response = await home.client.get("/v1/messages", headers=headers)
    assert response.status_code == 401
    assert response.json()["code"] == "key-invalid"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_an_administrator_names_the_organization_that_he_works_for(home: Gateway) -> None:
    response = await home.client.get("/v1/messages", headers=home.administrator)
    assert (response.status_code, response.json()["code"]) == (403, "organization-required")
    named = {"Homing-Organization": ids.show("organization", home.acme.organization.id)}
    assert (await home.client.get("/v1/messages", headers=home.administrator | named)).status_code == 200
    nobody = {"Homing-Organization": "org_" + "0" * 32}
    assert (await home.client.get("/v1/messages", headers=home.administrator | nobody)).status_code == 404
    foreign = {"Homing-Organization": ids.show("organization", home.other.organization.id)}
    await home.send()
    assert len((await home.call("GET", "/v1/messages", headers=foreign)).json()["messages"]) == 1


async def test_administrators_keys_from_the_store(home: Gateway) -> None:
    key = await make_key(home.database, home.clock, None, ("admin",))
    response = await home.client.get("/v1/organizations", headers={"Authorization": f"Bearer {key}"})
    assert len(response.json()["organizations"]) == 2
    bogus = await make_key(home.database, home.clock, home.other.organization.id, ("admin",))
    response = await home.client.get("/v1/organizations", headers={"Authorization": f"Bearer {bogus}"})
    assert response.status_code == 401


async def test_a_key_revoked_here_ends_now_and_one_revoked_elsewhere_in_five_seconds(home: Gateway) -> None:
    path = f"/v1/organizations/{ids.show('organization', home.acme.organization.id)}/keys"
    made = await home.client.post(path, headers=home.administrator, json={"name": "second", "scopes": ["read"]})
    assert made.status_code == 201
    key = made.json()
    assert key["key"].endswith(key["last_four"])
    member = Member(home.acme.organization, key["key"], home.acme.sender)
    assert (await home.call("GET", "/v1/messages", member)).status_code == 200
    listed = (await home.client.get(path, headers=home.administrator)).json()["keys"]
    assert [one["id"] for one in listed][1:] == [key["id"]]
    assert "key" not in listed[0]
    gone = await home.client.delete(f"{path}/{key['id']}", headers=home.administrator)
    assert gone.status_code == 204
    assert (await home.call("GET", "/v1/messages", member)).status_code == 401
    assert (await home.client.delete(f"{path}/{key['id']}", headers=home.administrator)).status_code == 404

    from homing.store import organizations

    assert (await home.call("GET", "/v1/messages")).status_code == 200
    everything = await home.database.read(organizations.list_keys, home.acme.organization.id)
    await home.database.write(organizations.revoke_key, home.acme.organization.id, everything[0].id, home.clock())
    home.clock.advance(timedelta(seconds=5))
    assert (await home.call("GET", "/v1/messages")).status_code == 401


async def test_keys_are_nowhere_in_the_store(home: Gateway, tmp_path) -> None:
    await home.send()
    dump = b"".join(path.read_bytes() for path in tmp_path.glob("homing.db*"))
    assert home.acme.organization.name.encode() in dump
    assert home.acme.key.encode() not in dump
    assert home.acme.key[12:].encode() not in dump


async def test_every_answer_has_an_id_and_unknown_addresses_a_problem(home: Gateway) -> None:
    response = await home.client.get("/nowhere", headers={"X-Request-Id": "my-own-id-17"})
    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert response.json()["request_id"] == response.headers["x-request-id"] == "my-own-id-17"
    bad = await home.client.get("/healthz", headers={"X-Request-Id": "a\tb<script>"})
    assert len(bad.headers["x-request-id"]) == 20
    wrong = await home.client.put("/v1/messages")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
