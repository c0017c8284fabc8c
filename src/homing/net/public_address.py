"""Which IP addresses belong to strangers on the public Internet, and which are somebody's inside.

An organization names hosts for us to talk to (MX hosts, webhooks); none of them may lead us inside our own network.
`ipaddress` alone is not enough: depending on the release it takes shared, relay and translation ranges for public
ones. So a name for every special range is kept here (IANA special-purpose address registries, RFC 6890), and an
address must pass both.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_RANGES_V4 = {
    IPv4Network("0.0.0.0/8"): "this network",
    IPv4Network("10.0.0.0/8"): "private",
    IPv4Network("100.64.0.0/10"): "shared by a carrier",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local",
    IPv4Network("172.16.0.0/12"): "private",
    IPv4Network("192.0.0.0/24"): "reserved",
    IPv4Network("192.0.2.0/24"): "for documentation",
    IPv4Network("192.88.99.0/24"): "a 6to4 relay",
    IPv4Network("192.168.0.0/16"): "private",
    IPv4Network("198.18.0.0/15"): "for benchmarks",
    IPv4Network("198.51.100.0/24"): "for documentation",
    IPv4Network("203.0.113.0/24"): "for documentation",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved",
}
_RANGES_V6 = {
    IPv6Network("::/128"): "unspecified",
    IPv6Network("::1/128"): "loopback",
    IPv6Network("::ffff:0:0/96"): "IPv4 in disguise",
    IPv6Network("64:ff9b::/96"): "IPv4 behind a translator",
    IPv6Network("64:ff9b:1::/48"): "IPv4 behind a translator",
    IPv6Network("100::/64"): "a black hole",
    IPv6Network("2001::/23"): "a tunnel or a protocol's own",
    IPv6Network("2001:db8::/32"): "for documentation",
    IPv6Network("2002::/16"): "IPv4 in a 6to4 tunnel",
    IPv6Network("3fff::/20"): "for documentation",
    IPv6Network("fc00::/7"): "private",
    IPv6Network("fe80::/10"): "link-local",
    IPv6Network("fec0::/10"): "private",
    IPv6Network("ff00::/8"): "multicast",
}
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def why_not_public(ip: str) -> str | None:
    """None for a public unicast address, else what the address is instead ("private", "loopback", …)."""
    try:
        address = ip_address(ip)
    except ValueError:
        return "not an IP address"
    if isinstance(address, IPv4Address):
        return _why_not_public_v4(address)
    inner = _wrapped(address)
    named = next((what for network, what in _RANGES_V6.items() if address in network), None)
    if named and inner:
        return f"{named} ({inner}: {_why_not_public_v4(inner) or 'public'})"
    if named:
        return named
    return None if address in _GLOBAL_UNICAST and address.is_global else "reserved"


def _why_not_public_v4(address: IPv4Address) -> str | None:
    named = next((what for network, what in _RANGES_V4.items() if address in network), None)
    return named or (None if address.is_global else "reserved")


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, NAT64 (RFC 6052) or 6to4 (RFC 3056) address stands for."""
    if address in IPv6Network("64:ff9b::/96"):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
