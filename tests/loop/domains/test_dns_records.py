"""The records to publish, read back from the zone file by another reader than ours."""

import dns.zone
import pytest

from homing.loop.domains.dns_records import DnsRecord, records_to_publish, zone
from homing.loop.domains.identity import OperatorIdentity

IDENTITY = OperatorIdentity(from_domain="post.acme.example", return_domain="b.post.acme.example")
LONG = "v=DKIM1; k=rsa; p=" + "A" * 392


def test_the_zone_file_says_what_the_records_say() -> None:
    records = records_to_publish(
        "acme.example", IDENTITY, "mx.acme.example", [("h1._domainkey.post.acme.example", LONG)]
    )
    text = zone(records, "mx.acme.example")
    read = dns.zone.from_text(text, origin="acme.example.", relativize=False, check_origin=False)
    found = set()
    for name, ttl, rdata in read.iterate_rdatas():
        assert ttl == 3600
        value = b"".join(rdata.strings).decode() if hasattr(rdata, "strings") else rdata.to_text().rstrip(".")
        found.add((name.to_text(omit_final_dot=True), value))
        assert all(len(piece) == 255 for piece in getattr(rdata, "strings", ())[:-1])
        assert all(len(piece) <= 255 for piece in getattr(rdata, "strings", ()))
    assert found == {(record.name, record.value) for record in records}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("TLSA", f"3 1 1 {'ab' * 32}"),
        ("CNAME", "rp.acme.example"),
        ("MX", "10 mx.acme.example"),
        ("PTR", "mx.acme.example"),
        ("TXT", 'v=spf1 "quoted" and \\'),
    ],
)
def test_each_kind_of_record_can_be_copied_into_a_zone(kind: str, value: str) -> None:
    """Names end with a dot there, lest the zone's own name is added; addresses and digests never do. The doctor gives
    such records as cures."""
    line = DnsRecord(name="x.acme.example", type=kind, value=value, why="").in_zone()
    read = dns.zone.from_text(line, origin="acme.example.", relativize=False, check_origin=False)
    ((name, _, rdata),) = read.iterate_rdatas()
    said = rdata.strings[0].decode() if kind == "TXT" else rdata.to_text().removesuffix(".")
    assert (name.to_text(), said) == ("x.acme.example.", value)


def test_every_name_that_sends_or_is_shown_has_spf_and_dmarc() -> None:
    records = {(one.name, one.value.split(" ")[0]) for one in records_to_publish("acme.example", IDENTITY, "mx.x", [])}
    assert {("b.post.acme.example", "v=spf1"), ("post.acme.example", "v=spf1"), ("mx.x", "v=spf1")} <= records
    assert {("_dmarc.post.acme.example", "v=DMARC1;"), ("_dmarc.acme.example", "v=DMARC1;")} <= records


def test_reports_of_other_domains_are_wanted() -> None:
    records = {one.name: one.value for one in records_to_publish("acme.example", IDENTITY, "mx.x", [])}
    assert records["*._report._dmarc.post.acme.example"] == "v=DMARC1"


def test_one_dmarc_record_where_the_operator_sends_from_his_own_domain() -> None:
    identity = OperatorIdentity(from_domain="acme.example", return_domain="b.acme.example")
    names = [one.name for one in records_to_publish("acme.example", identity, "mx.x", [])]
    assert names.count("_dmarc.acme.example") == 1
