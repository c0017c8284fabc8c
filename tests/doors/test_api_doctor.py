"""GET /v1/doctor: for administrators, of their own names and of any domain."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from homing.lab.dns import DnsServer
from homing.net.dns import AS_PUBLISHED, Resolver
from tests.doors.gateway import Gateway


@pytest.fixture
async def dns(home: Gateway) -> AsyncIterator[DnsServer]:
    server = DnsServer()
    await server.start()
    own_doctor = home.parts.own_doctor
    own_doctor.probes = False
    own_doctor.doctor.resolver = Resolver(server.servers, keep=AS_PUBLISHED, allow_private=True)
    yield server
    await server.close()


async def ask(home: Gateway, **query: str) -> Any:
    response = await home.client.get("/v1/doctor", headers=home.administrator, params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def test_our_own_names(home: Gateway, dns: DnsServer) -> None:
    dns.publish("mx.operator.example", "A 192.0.2.1")
    told = await ask(home)
    assert (told["domain"], told["outcome"]) == ("operator.example", "broken")
    found = {(one["check"], one["about"]): one for one in told["findings"]}
    missing = found["SPF01", "b.post.operator.example"]
    assert missing["outcome"] == "broken"
    assert missing["records"] == [
        {
            "name": "b.post.operator.example",
            "type": "TXT",
            "value": "v=spf1 a:mx.operator.example -all",
            "why": "SPF of the return path, aligned with From (RFC 7208)",
        }
    ]
    assert missing["evidence"][0]["answer"] == "no such name"
    assert found["PTR01", "192.0.2.1"]["outcome"] == "broken"


async def test_keys_are_held_against_what_is_published(home: Gateway, dns: DnsServer) -> None:
    rotation = home.parts.domain_verifier.rotation
    await rotation.look_after(home.parts.domain_verifier.own)
    told = await ask(home, domain="post.operator.example")
    keys = {one["about"]: one for one in told["findings"] if one["check"] == "DK02"}
    assert [one["outcome"] for one in keys.values()] == ["broken"] * len(keys)
    assert keys
    for name, one in keys.items():
        dns.publish_text(name, one["records"][0]["value"])
    told = await ask(home, domain="post.operator.example")
    assert {one["outcome"] for one in told["findings"] if one["check"] in ("DK02", "DK04")} == {"ok"}


async def test_any_domain(home: Gateway, dns: DnsServer) -> None:
    dns.publish("corp.com", 'TXT "v=spf1 +all"', "MX 10 mx.corp.com.")
    told = await ask(home, domain="Corp.Com")
    assert told["domain"] == "corp.com"
    assert {one["check"] for one in told["findings"] if one["outcome"] == "broken"} >= {"SPF06", "DM01"}


async def test_a_dns_that_is_silent(home: Gateway) -> None:
    own_doctor = home.parts.own_doctor
    own_doctor.probes = False
    told = await ask(home, domain="corp.com")
    assert {one["outcome"] for one in told["findings"] if one["evidence"]} == {"unknown"}


@pytest.mark.parametrize("domain", ["a b", "x@y.com", "-", "." * 300])
async def test_no_domain(home: Gateway, domain: str) -> None:
    response = await home.client.get("/v1/doctor", headers=home.administrator, params={"domain": domain})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/query:domain"


async def test_an_organization_asks_about_its_own_domains_alone(home: Gateway, dns: DnsServer) -> None:
    assert (await home.call("POST", "/v1/domains", json={"domain": "corp.com"})).status_code == 201
    dns.publish("mx.operator.example", "A 192.0.2.1")
    found = (await home.call("GET", "/v1/doctor", params={"domain": "corp.com"})).json()["findings"]
    broken = {one["check"]: one for one in found if one["outcome"] == "broken"}
    assert broken["DK01"]["records"][0]["name"].endswith("._domainkey.corp.com")
    assert broken["SPF11"]["records"][0]["value"] == "rp.operator.example"
    assert not {one["about"] for one in found} & {"mx.operator.example", "192.0.2.1"}
    for name in ("corp.org", "operator.example"):
        assert (await home.call("GET", "/v1/doctor", params={"domain": name})).status_code == 404
    assert (await home.call("GET", "/v1/doctor", home.other, params={"domain": "corp.com"})).status_code == 404


async def test_replies_to_a_freemail_provider_are_noted(home: Gateway, dns: DnsServer) -> None:
    assert (await home.call("POST", "/v1/domains", json={"domain": "corp.com"})).status_code == 201
    for address in ("joe@gmail.com", "ann@corp.com"):
        made = (await home.call("POST", "/v1/human_senders", json={"name": "Joe", "address": address})).json()
        proved = await home.client.post(
            f"/v1/human_senders/{made['id']}/prove", headers=home.administrator | {"Homing-Organization": "acme"}
        )
        assert proved.status_code == 200, proved.text
    found = (await home.call("GET", "/v1/doctor", params={"domain": "corp.com"})).json()["findings"]
    replies = {one["about"]: one["outcome"] for one in found if one["check"] == "RT01"}
    assert replies["gmail.com"] == "info"
    assert replies["corp.com"] == "ok"


async def test_an_administrator_says_where_mail_leaves_from(home: Gateway, dns: DnsServer) -> None:
    dns.publish("corp.com", 'TXT "v=spf1 ip4:192.0.2.7 -all"', "MX 10 mx.corp.com.")
    response = await home.client.get(
        "/v1/doctor", headers=home.administrator, params={"domain": "corp.com", "egress": ["192.0.2.7", "192.0.2.8"]}
    )
    (passes,) = [one for one in response.json()["findings"] if one["check"] == "SPF05"]
    assert passes["records"][0]["value"] == "v=spf1 ip4:192.0.2.8 ip4:192.0.2.7 -all"
    response = await home.client.get("/v1/doctor", headers=home.administrator, params={"egress": "here"})
    assert response.status_code == 422


async def test_who_has_no_key_may_not_ask(home: Gateway) -> None:
    assert (await home.client.get("/v1/doctor")).status_code == 401
