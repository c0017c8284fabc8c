"""`homing audit`: exact counts for thousands of addresses, a table with bars, a CSV, and no work done twice."""

import asyncio
import csv
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from homing.cli.audit import domain_of
from homing.cli.audit_summary import bar
from homing.lab.dns import DnsServer, Failing
from tests.patience import until

from .console import Cli, beside, environment
from .test_output import at_terminal

ADDRESSES = 5000
HARD, SOFT = 'TXT "v=spf1 include:spf.host.net -all"', 'TXT "v=spf1 include:spf.host.net ~all"'
HOST, GATEWAY, GOOGLE = "MX 10 mx.host.net.", "MX 10 in.mimecast.com.", "MX 1 smtp.google.com."


@dataclass(frozen=True)
class Kind:
    """Domains that are alike: what they publish, and what is true of them."""

    domains: int
    records: tuple[str, ...]
    verdict: str
    dmarc: str = ""
    reasons: tuple[str, ...] = ()
    own_refusal: str = ""


KINDS = {
    "fine": Kind(160, (SOFT, HOST), "fine"),
    "reject": Kind(40, (HARD, HOST), "dmarc_reject", "v=DMARC1; p=reject", ("dmarc_reject", "spf_hard_fail")),
    "reject-only": Kind(20, (HOST,), "dmarc_reject", "v=DMARC1; p=reject", ("dmarc_reject",)),
    "quarantine": Kind(50, (HOST,), "dmarc_quarantine", "v=DMARC1; p=quarantine", ("dmarc_quarantine",)),
    "hard": Kind(40, (HARD, HOST), "spf_hard_fail", "v=DMARC1; p=none", ("spf_hard_fail",)),
    "gateway": Kind(30, (SOFT, GATEWAY), "own_refusal", "", (), "possible"),
    "guarded": Kind(15, (HARD, GATEWAY), "spf_hard_fail", "", ("spf_hard_fail", "own_refusal"), "likely"),
    "google": Kind(15, (SOFT, GOOGLE), "dmarc_reject", "v=DMARC1; p=reject", ("dmarc_reject", "own_refusal"), "likely"),
    "none": Kind(20, ("MX 0 .",), "no_mail", "", ("no_mail",)),
    "silent": Kind(10, (HOST,), "unknown"),
    "dead": Kind(30, (), "no_such_domain", "", ("no_such_domain",)),
}
FREEMAIL = ("gmail.com", "yahoo.com", "hotmail.co.uk", "gmx.de", "comcast.net", "blueyonder.co.uk", "rr.com")
OF_FREEMAIL = Kind(0, (HOST,), "freemail", "", ("freemail",))
INVALID = ("not an address", "", "@", "a@b@c")
DOMAINS = sum(kind.domains for kind in KINDS.values()) + len(FREEMAIL)


def published(dns: DnsServer) -> dict[str, Kind]:
    """Domains in the lab's DNS, and of which kind each is."""
    dns.publish("spf.host.net", 'TXT "v=spf1 ip4:198.51.100.7 -all"')
    domains = dict.fromkeys(FREEMAIL, OF_FREEMAIL)
    domains |= {f"{name}-{one}.com": kind for name, kind in KINDS.items() for one in range(kind.domains)}
    for name, kind in domains.items():
        if kind.records:
            dns.publish(name, *kind.records)
        if kind.dmarc:
            dns.publish_text(f"_dmarc.{name}", kind.dmarc)
        if kind.verdict == "unknown":
            dns.failing[name] = Failing.SERVFAIL
    return domains


def population(dns: DnsServer) -> list[tuple[str, Kind | None]]:
    """Addresses, each with what is true of its domain; None: it is no address."""
    domains = list(published(dns).items())
    people: list[tuple[str, Kind | None]] = []
    for number in range(ADDRESSES - len(INVALID)):
        name, kind = domains[number * number % len(domains)] if number >= len(domains) else domains[number]
        people.append((f"user{number}@{name.upper() if number % 7 == 0 else name}", kind))
    return people + [(text, None) for text in INVALID]


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
    people = population(dns)
    file = sheet(tmp_path, [address for address, _ in people])
    ended = await beside("audit", str(file), "--resolver", at(dns), "--pace", "5000")
    told = ended.document()
    assert told["addresses"] == ADDRESSES
    kinds = [kind for _, kind in people if kind]
    assert told["verdicts"] == dict(Counter(kind.verdict for kind in kinds) + Counter(invalid=len(INVALID)))
    assert told["reasons"] == dict(Counter(reason for kind in kinds for reason in kind.reasons))
    assert told["own_refusal"] == dict(Counter(kind.own_refusal for kind in kinds if kind.own_refusal))
    assert told["fails"] == sum(any(reason != "own_refusal" for reason in kind.reasons) for kind in kinds)
    assert told["domains"] == DOMAINS
    written = rows(tmp_path / "users.csv.audit.csv")
    assert [row["address"].removeprefix("'") for row in written] == [address for address, _ in people]
    for row, (_, kind) in zip(written, people, strict=True):
        expected = (kind.verdict, " ".join(kind.reasons), kind.own_refusal) if kind else ("invalid", "", "")
        assert (row["verdict"], row["reasons"], row["own_refusal"]) == expected, row
    times = Counter(name for name, kind in dns.asked if kind == "MX")
    assert {times[name] for name in published(dns)} <= {1, 2}  # twice: to be sure that it does not exist, or failed
    assert times["fine-1.com"] == 1
    assert sum(question == ("spf.host.net", "TXT") for question in dns.asked) == 1
    picture = ElementTree.fromstring((tmp_path / "users.csv.audit.svg").read_text("utf-8"))
    words = " ".join(picture.itertext())
    assert f"{told['fails']:,} of 5,000 addresses" in words
    assert f"{told['verdicts']['dmarc_reject']:,} · " in words


async def test_an_audit_that_was_killed_goes_on_where_it_was(dns: DnsServer, tmp_path: Path) -> None:
    people = population(dns)
    file = sheet(tmp_path, [address for address, _ in people])
    command = [sys.executable, "-m", "homing", "audit", str(file), "--resolver", at(dns)]
    state = tmp_path / "users.csv.audit.state"
    process = await asyncio.create_subprocess_exec(
        *command, "--pace", "200", env=environment({}), stdout=PIPE, stderr=PIPE
    )
    await until(lambda: state.exists() and state.read_bytes().count(b"\n") > 100)
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    assert not (tmp_path / "users.csv.audit.csv").exists()
    known = {json.loads(line)["domain"] for line in state.read_text("utf-8").splitlines()[1:] if line.endswith("}")}
    assert 100 <= len(known) < DOMAINS
    dns.asked.clear()
    told = (await beside(*command[3:], "--pace", "5000")).document()
    kinds = [kind for _, kind in people if kind]
    assert told["verdicts"] == dict(Counter(kind.verdict for kind in kinds) + Counter(invalid=len(INVALID)))
    again = {name for name, kind in dns.asked if kind == "MX"}
    assert not again & known
    assert again | known >= set(published(dns))
    assert state.exists()  # some could not be looked up
    dns.asked.clear()
    dns.failing.clear()
    told = (await beside(*command[3:], "--pace", "5000")).document()
    assert "unknown" not in told["verdicts"]
    assert {name for name, kind in dns.asked if kind == "MX"} == {name for name in again if name.startswith("silent-")}
    assert not state.exists()


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
        ("a@x.invalid\n", ("--resolver", "127.0.0.1:9", "--plot", "nowhere/plot.svg"), "--plot"),
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


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ('"Janet" <janet@corp.com>', "corp.com"),
        ('"Bloggs, \\"J\\"" <janet@corp.com>', "corp.com"),
        ("Bloggs, Janet <janet@corp.com>", "corp.com"),
        ("<janet@corp.com>", "corp.com"),
        ("Jänet < janet@corp.com >", "corp.com"),
        ('"janet@home.net" <janet@corp.com>', "corp.com"),
        ("janet@home.net <janet@corp.com>", None),
        ("Janet <janet@corp.com> <janet@home.net>", None),
        ("Janet <>", None),
        ("Janet <janet>", None),
    ],
)
def test_a_name_before_the_address(text: str, domain: str | None) -> None:
    assert domain_of(text) == domain


async def test_cells_with_names(dns: DnsServer, tmp_path: Path) -> None:
    dns.publish("a.com", "MX 10 mx.host.net.")
    file = sheet(tmp_path, ['"Bloggs; Joe" <x@a.com>', "Janet <y@a.com>"])
    ended = await beside("audit", str(file), "--resolver", at(dns))
    assert ended.document()["verdicts"] == {"fine": 2}
    assert [row["address"] for row in rows(tmp_path / "users.csv.audit.csv")] == [
        '"Bloggs; Joe" <x@a.com>',
        "Janet <y@a.com>",
    ]
