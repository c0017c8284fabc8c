"""Domains and DKIM keys from the command line."""

import re
import socket
import threading
from collections.abc import Iterator

import dns.message
import dns.rcode
import pytest

from .console import Cli
from .test_output import at_terminal


@pytest.fixture
def broken_dns() -> Iterator[str]:
    """A resolver that answers every question with SERVFAIL."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(listener,))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.sendto(b"", listener.getsockname())
        thread.join()


def _serve(listener: socket.socket) -> None:
    while wire := listener.recvfrom(4096):
        octets, peer = wire
        if not octets:
            return
        response = dns.message.make_response(dns.message.from_wire(octets))
        response.set_rcode(dns.rcode.SERVFAIL)
        listener.sendto(response.to_wire(), peer)


@pytest.fixture
def acme(cli: Cli, broken_dns: str) -> Cli:
    cli("org", "create", "acme", "--display-name", "Acme Ltd").document()
    cli.settings["HOMING_ORG"] = "acme"
    cli.settings["HOMING_DNS_SERVERS"] = f'["{broken_dns}"]'
    return cli


def person(cli: Cli, *arguments: str) -> str:
    """What a person reads, however the lines are broken."""
    return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", at_terminal(*arguments, **cli.settings)).split())


def test_a_domain_from_first_to_last(acme: Cli) -> None:
    told = acme("domains", "add", "bloggs.com").document()
    assert [record["type"] for record in told["records"]] == ["CNAME", "CNAME", "CNAME", "TXT"]
    assert acme("domains", "records", "bloggs.com").document() == told
    assert acme("domains", "records", "bloggs.com", "--zone").out == told["zone"]
    without = acme("domains", "records", "bloggs.com", "--zone", "--no-cname").out
    assert without == told["zone_without_cname"]
    assert [line.split()[3] for line in without.splitlines()] == ["CNAME", "CNAME", "MX", "TXT", "TXT"]
    assert "bounce.bloggs.com. 3600 IN MX 10 mx.operator.example." in without
    shown = person(acme, "domains", "records", "bloggs.com", "--no-cname")
    assert "v=spf1 include:rp.operator.example" in shown
    assert "CNAME rp." not in shown
    assert "To be published: bounce.bloggs.com CNAME rp.operator.example" in person(
        acme, "domains", "verify", "bloggs.com"
    )
    asked = acme("domains", "verify", "bloggs.com").document()
    assert {record["state"] for record in asked["records"]} == {"temporary_failure"}
    unproved = acme("domains", "verify", "bloggs.com", "--wait", "--seconds", "1")
    assert (unproved.code, unproved.error["code"]) == (3, "domain-unproved")
    assert acme("domains", "own-recipients", "bloggs.com").document()["own_recipients"] is True
    assert [one["domain"] for one in acme("domains", "list").document()["domains"]] == ["bloggs.com"]
    assert acme("domains", "remove", "bloggs.com").document() == {"removed": "bloggs.com"}
    assert acme("domains", "verify", "bloggs.com").error["code"] == "not-found"
    assert acme("domains", "add", "gmail.com").code == 4


def test_the_zone_has_the_keys_and_where_tenants_lead(acme: Cli) -> None:
    before = acme("dkim", "zone").out
    assert before.startswith("h1._domainkey.post.operator.example. 3600 IN TXT ")
    assert "rp." not in before
    acme("domains", "add", "bloggs.com").document()
    acme("domains", "verify", "bloggs.com").document()  # whoever looks first makes the keys
    after = acme("dkim", "zone").out
    for name in ("*.operator1.dkim.operator.example.", "*.operator2.dkim.operator.example.", "rp.operator.example."):
        assert f"\n{name} 3600 IN " in after


def test_a_key_is_revoked_by_its_selector(acme: Cli) -> None:
    [key] = acme("dkim", "list").document()["dkim_keys"]
    assert (key["selector"], key["state"]) == ("h1", "active")
    assert acme("dkim", "rotate").error["code"] == "key-not-ready"
    assert acme("dkim", "revoke", "h9").code == 5
    after = acme("dkim", "revoke", "h1").document()["dkim_keys"]
    assert [one["state"] for one in after if one["selector"] == "h1"] == ["revoked"]
    assert acme("dkim", "revoke", "h1").code == 5
