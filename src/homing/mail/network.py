"""Networks of mail clients: what one host of somebody else's can change its address within."""

from ipaddress import ip_address


def network_of(ip: str) -> str:
    """The /24 or /64 that an address lies in, in hexadecimal; an IPv4-mapped IPv6 address counts as IPv4. "" for what
    is no address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    if address.version == 6:
        if address.ipv4_mapped is None:
            return address.packed[:8].hex()
        address = address.ipv4_mapped
    return address.packed[:3].hex()
