"""Whether a request comes from a person or a program on this machine."""

import ipaddress

from starlette.requests import Request

_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_local(request: Request) -> bool:
    """A loopback peer that calls us by a loopback name and speaks for nobody else.

    The name keeps out pages of strangers whose DNS points here (rebinding). A proxy on this machine is a loopback peer
    too; whoever puts one in front of us must not rely on this (nothing that a header says makes a request local).
    """
    if request.client is None or any(name in request.headers for name in _FORWARDING):
        return False
    try:
        loopback = ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
    return loopback and (request.url.hostname or "") in _NAMES
