"""`homing doctor`: for a person a table and records to copy, for a program JSON, and an exit code."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dns.zonefile import read_rrsets

from homing.lab.dns import DnsServer

from .console import Cli, beside, in_a_thread, settings_in
from .test_output import at_terminal

HELO = "mx.operator.example"


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    await server.start()
    server.publish("corp.com", 'TXT "v=spf1 mx +all"', "MX 10 mx.corp.com.")
    server.publish("mx.corp.com", "A 192.0.2.9")
    server.publish("_dmarc.corp.com", 'TXT "v=DMARC1; p=reject; np=reject; rua=mailto:d@corp.com"')
    yield server
    await server.close()


def at(server: DnsServer) -> str:
    return "{}:{}".format(*server.address)


async def test_any_domain_without_settings(dns: DnsServer) -> None:
    ended = await beside("doctor", "corp.com", "--resolver", at(dns))
    assert ended.code == 1
    told = json.loads(ended.out)
    assert told["outcome"] == "broken"
    (broken,) = [one for one in told["findings"] if one["outcome"] == "broken"]
    assert (broken["check"], broken["about"], broken["severity"]) == ("SPF06", "corp.com", "error")
    assert broken["records"][0]["value"] == "v=spf1 mx -all"
    assert broken["evidence"] == [
        {"query": "corp.com TXT", "server": at(dns).replace(":", "#"), "answer": "v=spf1 mx +all", "secure": False}
    ]
    assert told["outcomes"]["broken"] == 1


async def test_a_line_for_each_finding(dns: DnsServer) -> None:
    dns.publish("corp.com", 'TXT "v=spf1 mx -all"', "MX 10 mx.corp.com.")
    ended = await in_a_thread("doctor", "corp.com", "--resolver", at(dns), "--jsonl")
    assert ended.code == 0
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert [one["check"] for one in found][:2] == ["SPF01", "SPF02"]
    assert "broken" not in {one["outcome"] for one in found}


async def test_our_own_names(dns: DnsServer, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, 1)
    ended = await in_a_thread("doctor", "--resolver", at(dns), "--no-probe", **settings)
    assert ended.code == 1
    told = json.loads(ended.out)["findings"]
    mended = {record["name"]: record for one in told for record in one["records"]}
    assert mended["b.post.operator.example"]["value"] in ("10 mx.operator.example", f"v=spf1 a:{HELO} -all")
    assert {one["about"] for one in told} >= {"post.operator.example", "b.post.operator.example", HELO}


async def test_our_keys_are_held_against_what_is_published(dns: DnsServer, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, 1)
    assert (await in_a_thread("org", "list", **settings)).code == 0  # makes the keys
    ended = await in_a_thread("doctor", "--resolver", at(dns), "--no-probe", **settings)
    (lost,) = [one for one in json.loads(ended.out)["findings"] if one["check"] == "DK04"]
    assert lost["about"] == "h1._domainkey.post.operator.example"
    dns.publish_text(lost["about"], lost["records"][0]["value"])
    ended = await in_a_thread("doctor", "--resolver", at(dns), "--no-probe", **settings)
    assert [one["outcome"] for one in json.loads(ended.out)["findings"] if one["check"] == "DK04"] == ["ok"]


async def test_an_organizations_domain(dns: DnsServer, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, 1) | {"HOMING_DNS_SERVERS": json.dumps([at(dns)])}
    assert (await in_a_thread("org", "create", "acme", "--display-name", "Acme", **settings)).code == 0
    assert (await in_a_thread("domains", "add", "corp.com", "--org", "acme", **settings)).code == 0
    ended = await in_a_thread("doctor", "corp.com", "--org", "acme", **settings)
    assert ended.code == 1
    missing = {record["name"] for one in json.loads(ended.out)["findings"] for record in one["records"]}
    assert {"operator1._domainkey.corp.com", "operator2._domainkey.corp.com", "bounce.corp.com"} <= missing
    ended = await in_a_thread("doctor", "corp.org", "--org", "acme", **settings)
    assert ended.code == 5


async def test_a_message_as_it_left(dns: DnsServer, tmp_path: Path) -> None:
    mail = tmp_path / "mail.eml"
    mail.write_bytes(b"From: a@corp.com\nFrom: b@corp.com\n\nHello\n")
    ended = await in_a_thread("doctor", "corp.com", "--resolver", at(dns), "--message", str(mail))
    found = {one["check"]: one["outcome"] for one in json.loads(ended.out)["findings"]}
    assert (found["M01"], found["M02"], found["M06"]) == ("broken", "broken", "ok")


async def test_to_a_person(dns: DnsServer) -> None:
    shown = await asyncio.to_thread(at_terminal, "doctor", "corp.com", "--resolver", at(dns))
    assert "broken" in shown
    assert 'corp.com. 3600 IN TXT "v=spf1 mx -all"' in shown
    assert "corp.com TXT? 127.0.0.1#" in shown
    assert "1 broken" in shown


async def test_nothing_but_the_records(dns: DnsServer) -> None:
    dns.publish("_dmarc.corp.com", 'TXT "v=DMARC1; p=reject; sp=none; np=reject; rua=mailto:d@corp.com"')
    ended = await in_a_thread("doctor", "corp.com", "--resolver", at(dns), "--zone")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "; SPF: who may send under this name (RFC 7208) (SPF06)",
        'corp.com. 3600 IN TXT "v=spf1 mx -all"',
        "; DMARC (RFC 9989) (DM10)",
        '_dmarc.corp.com. 3600 IN TXT "v=DMARC1; p=reject; np=reject; rua=mailto:d@corp.com"',
        "; TLS reports (RFC 8460) (TLS03)",
        '_smtp._tls.corp.com. 3600 IN TXT "v=TLSRPTv1; rua=mailto:tlsrpt@corp.com"',
    ]


async def test_a_zone_file_and_nothing_else(dns: DnsServer) -> None:
    dns.publish("corp.com", r'TXT "v=spf1 mx exp=\"x\\032;y.com +all"', "MX 0 .", "MX 10 mx.corp.com.")
    dns.publish("_dmarc.corp.com", r'TXT "v=DMARC1; p=reject; x=\195\188\"; rua=mailto:d@corp.com; sp=none"')
    ended = await in_a_thread("doctor", "corp.com", "--resolver", at(dns), "--zone")
    read = {(str(one.name), one.rdtype.name): one for one in read_rrsets(ended.out, rdclass=None, relativize=False)}
    assert {("corp.com.", "TXT"), ("corp.com.", "MX"), ("_dmarc.corp.com.", "TXT")} <= set(read)
    assert all(len(one) == 1 for one in read.values()), "one record for a name"
    assert ended.out.isascii()


async def test_a_strangers_text_does_nothing_to_the_terminal(dns: DnsServer) -> None:
    dns.publish("corp.com", 'TXT "v=spf1 \\027[31mred +all"', "MX 10 mx.corp.com.")
    for way in (["--zone"], []):
        shown = await asyncio.to_thread(at_terminal, "doctor", "corp.com", "--resolver", at(dns), *way)
        assert "\x1b[31mred" not in shown


async def test_a_long_key_is_shown_whole(dns: DnsServer, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, 1) | {"HOMING_DNS_SERVERS": json.dumps([at(dns)])}
    assert (await in_a_thread("org", "list", **settings)).code == 0  # makes the keys
    zone = (await in_a_thread("doctor", "--no-probe", "--zone", **settings)).out
    (line,) = [line for line in zone.splitlines() if line.startswith("h1._domainkey.post.operator.example. ")]
    name, _, text = line.partition(" 3600 IN TXT ")
    dns.publish(name.removesuffix("."), f"TXT {text}")
    told = json.loads((await in_a_thread("doctor", "--no-probe", **settings)).out)["findings"]
    outcomes = {one["check"]: one["outcome"] for one in told}
    assert {outcomes[check] for check in ("DK02", "DK04", "DK05", "DK08")} == {"ok"}, (
        "the gateway signs, and that passes"
    )
    assert {f"M0{number}" for number in range(1, 9)} <= set(outcomes), "its own message is looked at"
    assert {outcomes[f"M0{number}"] for number in range(1, 9)} == {"ok"}


@pytest.mark.parametrize(
    ("arguments", "pointer"),
    [
        (("-x-",), None),
        (("not a domain",), "domain"),
        (("corp.com", "--resolver", "dns.google"), "--resolver"),
        (("corp.com", "--egress", "here"), "--egress"),
        (("corp.com", "--message", "nowhere.eml"), "--message"),
        ((), "operator_domain"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], pointer: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = Cli()("doctor", *arguments)
    assert ended.code == 4
    if pointer:
        assert ended.error["errors"][0]["pointer"] == pointer
