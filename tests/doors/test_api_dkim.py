"""DKIM keys over the API: administrators see records and states, never a private half, and can revoke."""

from datetime import timedelta

from homing.loop import ids
from homing.loop.domains.signing_keys import KeyState
from homing.mail.dkim import SigningKey
from homing.store import dkim_keys

from .gateway import OPERATOR, Gateway


async def adopted(home: Gateway) -> SigningKey:
    private = SigningKey.generate_ed25519(OPERATOR.from_domain, "h1")
    await home.parts.domain_verifier.rotation.adopt(private, home.clock())
    return private


async def test_the_list_has_the_record_and_no_private_half(home: Gateway) -> None:
    private = await adopted(home)
    await adopted(home)  # the store has one already
    listed = await home.client.get("/v1/dkim_keys", headers=home.administrator)
    [key] = listed.json()["dkim_keys"]
    assert (key["selector"], key["state"], key["organization"]) == ("h1", "active", None)
    assert (key["record_name"], key["record"]) == (private.dns_name, private.dns_record())
    assert "PRIVATE" not in listed.text
    assert "sealed" not in listed.text


async def test_only_administrators_are_told(home: Gateway) -> None:
    for method, path in [("GET", "/v1/dkim_keys"), ("POST", f"/v1/dkim_keys/dkm_{'1' * 32}/revoke")]:
        refused = await home.call(method, path)
        assert refused.status_code == 403
    refused = await home.call("POST", "/v1/dkim_keys/rotate", json={})
    assert refused.json()["code"] == "scope-missing"


async def test_no_key_signs_before_the_dns_has_it(home: Gateway) -> None:
    await adopted(home)
    home.clock.advance(timedelta(days=400))
    refused = await home.client.post("/v1/dkim_keys/rotate", json={}, headers=home.administrator)
    assert (refused.status_code, refused.json()["code"]) == (409, "key-not-ready")
    elsewhere = {"domain": "elsewhere.example"}
    unknown = await home.client.post("/v1/dkim_keys/rotate", json=elsewhere, headers=home.administrator)
    assert unknown.status_code == 404


async def test_a_revoked_key_is_revoked_once_and_its_record_is_empty(home: Gateway) -> None:
    await adopted(home)
    [key] = await home.database.read(dkim_keys.list_all)
    path = f"/v1/dkim_keys/{ids.show('dkim_key', key.id)}/revoke"
    revoked = await home.client.post(path, headers=home.administrator)
    assert revoked.status_code == 200, revoked.text
    assert [(one["state"], one["record"]) for one in revoked.json()["dkim_keys"]] == [("revoked", "v=DKIM1; p=")]
    assert (await home.database.read(dkim_keys.list_all))[0].state is KeyState.REVOKED
    again = await home.client.post(path, headers=home.administrator)
    assert (again.status_code, again.json()["code"]) == (409, "key-ended")
