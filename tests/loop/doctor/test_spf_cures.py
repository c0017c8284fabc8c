"""What people write for a term of SPF, and what they mean."""

import pytest

from homing.loop.doctor.spf_cures import meant_as_spf, not_routed, one_of, terms_of

SLIPS = {
    '"ip4:8.8.8.8"': ["ip4:8.8.8.8"],
    "“ip4:8.8.8.8”": ["ip4:8.8.8.8"],
    "ip4:8.8.8.8.": ["ip4:8.8.8.8"],
    "ip4:8.8.8.8;": ["ip4:8.8.8.8"],
    "ip4=8.8.8.8": ["ip4:8.8.8.8"],
    "IPv4:8.8.8.8": ["ip4:8.8.8.8"],
    "+ipv4:8.8.8.8": ["+ip4:8.8.8.8"],
    "ip6=2001:4860::1": ["ip6:2001:4860::1"],
    "ipv4=8.8.8.8": ["ip4:8.8.8.8"],
    "ipv6=2001:4860::1": ["ip6:2001:4860::1"],
    "ipv6:2001:4860::1": ["ip6:2001:4860::1"],
    "ip4:2001:4860::1": ["ip6:2001:4860::1"],
    "ip6:8.8.8.8": ["ip4:8.8.8.8"],
    "ip6:8.8.8.0/24": ["ip4:8.8.8.0/24"],
    "8.8.8.0/24": ["ip4:8.8.8.0/24"],
    **{f"{name}=a.com": [f"{name}:a.com"] for name in ("a", "mx", "include", "exists")},
    "mx;a.com": ["mx:a.com"],
    "redirect:a.com": ["redirect=a.com"],
    "exp:a.com": ["exp=a.com"],
    "\u2013all": ["-all"],
    "-all.": ["-all"],
    "ip4:8.8.8.8,ip4:8.8.4.4": ["ip4:8.8.8.8", "ip4:8.8.4.4"],
    "mx-all": ["mx", "-all"],
    "mx~all": ["mx", "~all"],
    "ip4:8.8.8.8ipv4:8.8.4.4": ["ip4:8.8.8.8", "ip4:8.8.4.4"],
    "ip4:8.8.8.8exists:%{i}.a.com": ["ip4:8.8.8.8", "exists:%{i}.a.com"],
    "include:a.cominclude:b.com": ["include:a.com", "include:b.com"],
    "include:a.coma:b.com": ["include:a.com", "a:b.com"],
    "ip4:8.8.8.8redirect=a.com": ["ip4:8.8.8.8", "redirect=a.com"],
    "ip4:8.8.8.8ptr": ["ip4:8.8.8.8", "ptr"],
    "ip4:8.8.8.8mx": ["ip4:8.8.8.8", "mx"],
    "v=spf1": [],
    ",": [],
}


@pytest.mark.parametrize("written", SLIPS)
def test_slips(written: str) -> None:
    found = terms_of((f"v=spf1 {written} -all",))
    assert list(found.kept) == list(dict.fromkeys([*SLIPS[written], "-all"]))
    assert found.lost == ()


@pytest.mark.parametrize(
    "written", ["ip4:8.8.8.0/33", "a:b", "nonsense", "ip4:8.8.8", "include:a..com", "\x1b[31m", "ptr=a.com", "all=no"]
)
def test_what_cannot_be_understood_is_told(written: str) -> None:
    found = terms_of((f"v=spf1 mx {written} -all",))
    assert (found.kept, found.lost) == (("mx", "-all"), (written,))


def test_several_records_are_one() -> None:
    found = terms_of(("v=spf1 mx redirect=a.com", "v=spf1 mx ip4:8.8.8.8 redirect=b.com exp=c.com -all"))
    assert found.kept == ("mx", "include:a.com", "ip4:8.8.8.8", "include:b.com", "exp=c.com", "-all")
    assert terms_of(("v=spf1 redirect=a.com redirect=b.com",)).kept == ("redirect=a.com",)


@pytest.mark.parametrize(
    "text", ["v=spf1", "V=SPF1 mx", "v=spf1;mx", "v = spf1 mx", '"v=spf1 mx"', " v=spf1 mx", "v=spf mx"]
)
def test_meant_as_spf(text: str) -> None:
    assert meant_as_spf(text)


@pytest.mark.parametrize("text", ["", "spf2.0/pra", "v=DMARC1", "hello v=spf1"])
def test_not_meant_as_spf(text: str) -> None:
    assert not meant_as_spf(text)


@pytest.mark.parametrize(
    ("network", "private"),
    [
        ("ip4:10.255.255.255", True),
        ("ip4:11.0.0.0", False),
        ("ip4:9.0.0.0/7", False),
        ("ip4:100.64.0.1", True),
        ("ip4:100.127.255.255", True),
        ("ip4:100.128.0.0", False),
        ("ip4:127.0.0.1", True),
        ("ip4:169.254.1.1", True),
        ("ip4:172.16.0.0/12", True),
        ("ip4:172.32.0.0", False),
        ("ip4:192.168.255.0/24", True),
        ("ip4:192.169.0.0", False),
        ("ip6:::1", True),
        ("ip6:fd00::1", True),
        ("ip6:fe80::1", True),
        ("ip6:fec0::1", False),
        ("ip6:2001:4860::1", False),
        ("mx", False),
    ],
)
def test_private_addresses(network: str, private: bool) -> None:
    term = one_of(network)
    assert term is not None
    assert not_routed(term) is private
    assert not not_routed(term, ("10.255.255.255", "172.16.0.9", "fd00::1")) or network not in (
        "ip4:10.255.255.255",
        "ip4:172.16.0.0/12",
        "ip6:fd00::1",
    )
