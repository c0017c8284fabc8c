"""`homing audit`: exact counts for thousands of addresses, a table with bars, a CSV, and no work done twice."""

import asyncio
import csv
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from homing.cli.audit import bar, domain_of
from homing.lab.dns import DnsServer, Failing

from .console import Cli, beside
from .test_output import at_terminal

ADDRESSES = 5000
KINDS: dict[str, tuple[int, tuple[str, ...], str]] = {
    # verdict: domains, records of each, DMARC
    "fine": (160, ('TXT "v=spf1 include:spf.host.net ~all"', "MX 10 mx.host.net."), ""),
    "dmarc_reject": (60, ('TXT "v=spf1 include:spf.host.net -all"', "MX 10 mx.host.net."), "v=DMARC1; p=reject"),
    "dmarc_quarantine": (50, ("MX 10 mx.host.net.",), "v=DMARC1; p=quarantine"),
    "spf_hard_fail": (40, ('TXT "v=spf1 include:spf.host.net -all"', "MX 10 mx.host.net."), "v=DMARC1; p=none"),
    "own_refusal": (30, ('TXT "v=spf1 include:spf.host.net ~all"', "MX 10 in.mimecast.com."), ""),
    "no_mail": (20, ("MX 0 .",), ""),
    "unknown": (10, ("MX 10 mx.host.net.",), ""),
    "no_such_domain": (30, (), ""),
}
FREEMAIL = ("gmail.com", "yahoo.com", "hotmail.co.uk", "gmx.de")
INVALID = ("not an address", "", "@", "a@b@c")


def population(dns: DnsServer) -> tuple[list[str], Counter[str]]:
    """Addresses, and how many of them are of which verdict."""
    dns.publish("spf.host.net", 'TXT "v=spf1 ip4:198.51.100.7 -all"')
    for name in FREEMAIL:
        dns.publish(name, "MX 10 mx.host.net.")
    domains = [(name, "freemail") for name in FREEMAIL]
    for verdict, (number, records, policy) in KINDS.items():
        for one in range(number):
            name = f"{verdict.replace('_', '-')}-{one}.com"
            domains.append((name, verdict))
            if records:
                dns.publish(name, *records)
            if policy:
                dns.publish_text(f"_dmarc.{name}", policy)
            if verdict == "unknown":
                dns.failing[name] = Failing.SERVFAIL
    addresses, counted = [], Counter[str]()
    for number in range(ADDRESSES - len(INVALID)):
        name, verdict = domains[number * number % len(domains)] if number >= len(domains) else domains[number]
        addresses.append(f"user{number}@{name.upper() if number % 7 == 0 else name}")
        counted[verdict] += 1
    counted["invalid"] = len(INVALID)
    return [*addresses, *INVALID], counted


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    await server.start()
    yield server
    await server.close()


def at(server: DnsServer) -> str:
    return "{}:{}".format(*server.address)


def sheet(folder: Path, addresses: list[str]) -> Path:
    file = folder / "users.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out, delimiter=";")
        writer.writerow(("id", "name", "e-mail"))
        writer.writerows((number, "Joe; Bloggs", address) for number, address in enumerate(addresses))
    return file


def rows(file: Path) -> list[dict[str, Any]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


async def test_five_thousand_addresses(dns: DnsServer, tmp_path: Path) -> None:
    addresses, expected = population(dns)
    file = sheet(tmp_path, addresses)
    ended = await beside("audit", str(file), "--resolver", at(dns), "--pace", "5000")
    told = ended.document()
    assert told["addresses"] == ADDRESSES
    assert told["verdicts"] == dict(expected)
    assert told["fails"] == ADDRESSES - sum(expected[one] for one in ("fine", "own_refusal", "unknown", "invalid"))
    assert told["reasons"]["spf_hard_fail"] == expected["spf_hard_fail"] + expected["dmarc_reject"]
    assert told["domains"] == 400 + len(FREEMAIL)
    written = rows(tmp_path / "users.csv.audit.csv")
    assert [row["address"] for row in written][:3] == addresses[:3]
    assert Counter(row["verdict"] for row in written) == Counter(told["verdicts"])
    asked = [name for name, kind in dns.asked if kind == "MX" and name == "fine-1.com"]
    assert len(asked) == 1


async def test_what_is_known_is_not_asked_again(dns: DnsServer, tmp_path: Path) -> None:
    dns.publish("a.com", "MX 10 mx.host.net.")
    dns.publish("b.com", "MX 10 mx.host.net.")
    dns.failing["b.com"] = Failing.SERVFAIL
    file = sheet(tmp_path, ["x@a.com", "y@b.com"])
    first = await beside("audit", str(file), "--resolver", at(dns))
    assert first.document()["verdicts"] == {"fine": 1, "unknown": 1}
    state = tmp_path / "users.csv.audit.state"
    with state.open("a") as out:
        out.write('{"domain": "cut o')  # as a process leaves it that was killed
    dns.failing.clear()
    dns.asked.clear()
    second = await beside("audit", str(file), "--resolver", at(dns))
    assert second.document()["verdicts"] == {"fine": 2}
    assert not [name for name, _ in dns.asked if name.endswith("a.com")]
    assert not state.exists()


async def test_another_question_begins_anew(dns: DnsServer, tmp_path: Path) -> None:
    dns.publish("a.com", 'TXT "v=spf1 ip4:198.51.100.7 -all"', "MX 10 mx.host.net.")
    dns.failing["b.com"] = Failing.SERVFAIL
    file = sheet(tmp_path, ["x@a.com", "y@b.com"])
    first = await beside("audit", str(file), "--resolver", at(dns))
    assert first.document()["verdicts"] == {"spf_hard_fail": 1, "unknown": 1}
    second = await beside("audit", str(file), "--resolver", at(dns), "--egress", "198.51.100.7")
    assert second.document()["verdicts"] == {"fine": 1, "unknown": 1}


async def test_to_a_person(dns: DnsServer, tmp_path: Path) -> None:
    dns.publish("a.com", 'TXT "v=spf1 -all"', "MX 10 mx.host.net.")
    dns.publish("b.com", "MX 10 mx.host.net.")
    file = sheet(tmp_path, ["x@a.com", "y@b.com", "z@b.com"])
    shown = await asyncio.to_thread(at_terminal, "audit", str(file), "--resolver", at(dns))
    assert "1 of 3 addresses (33.3%)" in " ".join(shown.split()).replace("\x1b[0m", "").replace(
        "\x1b[1;31m", ""
    ).replace("\x1b[1m", "")
    assert "spf_hard_fail" in shown
    assert "█" in shown
    assert "users.csv.audit.csv" in shown


@pytest.mark.parametrize(
    ("text", "arguments", "addresses"),
    [
        ("a@x.com\nb@x.com\n", (), ["a@x.com", "b@x.com"]),
        ("\ufeffmail\na@x.com\n", (), ["a@x.com"]),
        ("name\tmail\nJoe\ta@x.com\n", (), ["a@x.com"]),
        ("from,to\na@x.com,b@y.com\n", ("--column", "to"), ["b@y.com"]),
        ("a@x.com,b@y.com\n", ("--column", "2"), ["b@y.com"]),
        ("mail,n\n=cmd()@x.com,1\n", ("--column", "mail"), ["'=cmd()@x.com"]),
    ],
)
async def test_the_column(
    dns: DnsServer, tmp_path: Path, text: str, arguments: tuple[str, ...], addresses: list[str]
) -> None:
    file = tmp_path / "in.csv"
    file.write_text(text, "utf-8")
    out = tmp_path / "out.csv"
    ended = await asyncio.to_thread(Cli(), "audit", str(file), "--resolver", at(dns), "--out", str(out), *arguments)
    assert ended.code == 0, ended.err
    assert [row["address"] for row in rows(out)] == addresses


@pytest.mark.parametrize(
    ("text", "arguments", "pointer"),
    [
        ("", (), "file"),
        ("a,b\n1,2\n", (), "file"),
        ("a@x.com\n", ("--column", "mail"), "--column"),
        ("a@x.com\n", ("--egress", "x"), "--egress"),
        ("a@x.com\n", ("--resolver", "x"), "--resolver"),
        ("a@x.com\n", ("--state", "nowhere/state"), "--state"),
    ],
)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, arguments: tuple[str, ...], pointer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "in.csv"
    file.write_text(text)
    ended = Cli()("audit", str(file), *arguments)
    assert (ended.code, ended.error["errors"][0]["pointer"]) == (4, pointer)


def test_bars_and_domains() -> None:
    assert [bar(share) for share in (0, 1, 0.5, 1 / 320)] == ["", "█" * 40, "█" * 20, "▏"]
    assert [domain_of(text) for text in (" A@X.com ", "a", "ü@exämple.com")] == ["x.com", None, "xn--exmple-cua.com"]
