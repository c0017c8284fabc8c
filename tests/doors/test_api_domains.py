"""Sending domains over the API: records to copy, states with evidence, and one organization's alone."""

import pytest

from .gateway import Gateway


async def added(home: Gateway, name: str = "bloggs.com") -> dict[str, object]:
    made = await home.call("POST", "/v1/domains", json={"domain": name})
    assert made.status_code == 201, made.text
    return dict(made.json())


async def test_the_records_are_told_ready_to_copy(home: Gateway) -> None:
    made = await added(home, "Bloggs.com")
    assert (made["domain"], made["level"], made["own_recipients"]) == ("bloggs.com", "shared", False)
    told = (await home.call("GET", "/v1/domains/bloggs.com/records")).json()
    by_purpose = {record["purpose"]: record for record in told["records"]}
    assert by_purpose["dkim_1"]["name"] == "operator1._domainkey.bloggs.com"
    assert by_purpose["dkim_1"]["value"].endswith(".operator1.dkim.operator.example")
    assert (by_purpose["return_path"]["type"], by_purpose["return_path"]["value"]) == ("CNAME", "rp.operator.example")
    assert [record["type"] for record in told["return_path_without_cname"]] == ["MX", "TXT"]
    assert "operator2._domainkey.bloggs.com. 3600 IN CNAME " in told["zone"]


async def test_what_nobody_could_tell_is_a_temporary_failure(home: Gateway) -> None:
    await added(home)
    asked = (await home.call("POST", "/v1/domains/bloggs.com/verify")).json()
    assert {record["state"] for record in asked["records"]} == {"temporary_failure"}
    assert asked["level"] == "shared"
    assert asked["checked_at"] is not None
    [first, *_] = asked["records"]
    assert first["query"] == "operator1._domainkey.bloggs.com CNAME"
    assert first["answer"].startswith("no answer")


async def test_it_is_added_once_and_removed_once(home: Gateway) -> None:
    await added(home)
    again = await home.call("POST", "/v1/domains", json={"domain": "bloggs.com"})
    assert (again.status_code, again.json()["code"]) == (409, "domain-exists")
    listed = (await home.call("GET", "/v1/domains")).json()["domains"]
    assert [domain["domain"] for domain in listed] == ["bloggs.com"]
    changed = await home.call("PATCH", "/v1/domains/bloggs.com", json={"own_recipients": True})
    assert changed.json()["own_recipients"] is True
    assert (await home.call("DELETE", "/v1/domains/bloggs.com")).status_code == 204
    assert (await home.call("DELETE", "/v1/domains/bloggs.com")).status_code == 404
    await added(home)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("operator.example", "domain-ours"),
        ("post.operator.example", "domain-ours"),
        ("gmail.com", "domain-public"),
        ("nodots", "address-domain"),
        ("a b.com", "address-domain"),
    ],
)
async def test_domains_that_are_nobodys_own(home: Gateway, name: str, code: str) -> None:
    refused = await home.call("POST", "/v1/domains", json={"domain": name})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, code)


@pytest.mark.parametrize(
    ("method", "more"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/records"), ("POST", "/verify")]
)
async def test_anothers_domain_looks_like_none(home: Gateway, method: str, more: str) -> None:
    await added(home)
    body = {"own_recipients": True} if method == "PATCH" else None
    for name in ("bloggs.com", "unknown.com", "%20"):
        refused = await home.call(method, f"/v1/domains/{name}{more}", home.other, json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "not-found")


async def test_another_organization_gets_another_label(home: Gateway) -> None:
    await added(home)
    mine = (await home.call("GET", "/v1/domains/bloggs.com/records")).json()["records"][0]["value"]
    other = await home.call("POST", "/v1/domains", home.other, json={"domain": "bloggs.com"})
    assert other.status_code == 201
    theirs = (await home.call("GET", "/v1/domains/bloggs.com/records", home.other)).json()["records"][0]["value"]
    assert mine != theirs
