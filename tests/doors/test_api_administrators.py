"""What administrators may do for others: keys of their own kind, proofs by their word, organizations by name."""

from homing.loop import ids

from .gateway import Gateway


async def test_an_administrators_key_administers_until_it_is_revoked(home: Gateway) -> None:
    made = await home.client.post("/v1/administrator_keys", json={"name": "deploy"}, headers=home.administrator)
    assert made.status_code == 201, made.text
    own = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await home.client.get("/v1/organizations", headers=own)).status_code == 200
    listed = (await home.client.get("/v1/administrator_keys", headers=own)).json()["keys"]
    assert [(key["name"], key["scopes"]) for key in listed] == [("deploy", ["admin"])]
    assert "key" not in listed[0]
    gone = await home.client.delete(f"/v1/administrator_keys/{listed[0]['id']}", headers=home.administrator)
    assert gone.status_code == 204
    assert (await home.client.get("/v1/organizations", headers=own)).status_code == 401
    again = await home.client.delete(f"/v1/administrator_keys/{listed[0]['id']}", headers=home.administrator)
    assert again.status_code == 404


async def test_no_organization_makes_or_sees_administrators_keys(home: Gateway) -> None:
    assert (await home.call("POST", "/v1/administrator_keys", json={"name": "x"})).status_code == 403
    assert (await home.call("GET", "/v1/administrator_keys")).status_code == 403


async def test_an_organization_is_named_by_its_id_or_its_name(home: Gateway) -> None:
    for name in ("acme", ids.show("organization", home.acme.organization.id)):
        headers = home.administrator | {"Homing-Organization": name}
        assert (await home.client.get("/v1/organization", headers=headers)).json()["name"] == "acme"
        assert (await home.client.get(f"/v1/organizations/{name}", headers=headers)).json()["name"] == "acme"
    unknown = home.administrator | {"Homing-Organization": "nobody"}
    assert (await home.client.get("/v1/organization", headers=unknown)).status_code == 404


async def test_an_administrators_word_proves_an_address_without_a_letter(home: Gateway) -> None:
    person = {"name": "Joe", "address": "joe@example.com", "proof_letter": False}
    made = (await home.call("POST", "/v1/human_senders", json=person)).json()
    assert made["proved_at"] is None
    assert made["proof_letter_sent"] is False
    path = f"/v1/human_senders/{made['id']}/prove"
    assert (await home.call("POST", path)).status_code == 403
    elsewhere = home.administrator | {"Homing-Organization": "other"}
    assert (await home.client.post(path, headers=elsewhere)).status_code == 404
    proved = await home.client.post(path, headers=home.administrator | {"Homing-Organization": "acme"})
    assert proved.status_code == 200
    assert proved.json()["proved_at"] is not None
    await home.send(human_sender={"name": "Joe", "address": "joe@example.com"})
    listed = (await home.call("GET", "/v1/messages")).json()["messages"]
    assert [message["origin"] for message in listed] == ["api"]
