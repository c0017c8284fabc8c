"""Who sent a request, as far as the connection tells: this machine, a page of ours, a proxy in front of us."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

from starlette.requests import Request

_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_HERE = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
"""A Host field that names this machine, and nothing else (RFC 9110 §7.2)."""

Network = IPv4Network | IPv6Network


class Peers:
    """`proxies`: the networks of the proxies that stand in front of us; what they say of a request is believed.
    `public_url`: ours from outside."""

    def __init__(self, proxies: Iterable[Network], public_url: str) -> None:
        self._proxies = tuple(proxies)
        self._public = urlsplit(public_url)
        # We speak no TLS ourselves, and listen on loopback: what is called otherwise from outside has a proxy there.
        self._stands_alone = self._public.scheme == "http" and _is_loopback(self._public.hostname or "")

    def is_local(self, request: Request) -> bool:
        """Whether it comes from a person or a program on this machine: a loopback peer that calls us by a loopback
        name, speaks for nobody else, and can be no proxy.

        The name keeps out pages of strangers whose DNS points here (rebinding). A proxy on this machine is a loopback
        peer too, and need not say that it is one: if one stands in front of us, it must be known which.
        """
        if request.client is None or any(name in request.headers for name in _FORWARDING):
            return False
        if not self._proxies and not self._stands_alone:
            return False
        named = request.headers.getlist("host")
        return (
            _is_loopback(request.client.host)
            and not self.is_proxy(request.client.host)
            and len(named) == 1
            and _HERE.fullmatch(named[0]) is not None
        )

    def is_secure(self, request: Request) -> bool:
        """Whether the client speaks TLS, with us or with the proxy."""
        return self._origin(request).startswith("https:")

    def same_origin(self, request: Request) -> bool:
        """Whether a form comes from a page of ours, scheme and port included (RFC 6454). A client that sends no Origin
        is no browser; SameSite=Strict is the second defence."""
        origin = request.headers.get("origin")
        if origin is None:
            return request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
        return origin == self._origin(request)

    def _origin(self, request: Request) -> str:
        """Ours, as the client knows it: by the proxy's word, else by the public URL where the host is that of it."""
        host, scheme = request.headers.get("host", ""), request.url.scheme
        said = request.headers.get("x-forwarded-proto")
        if said is not None and request.client is not None and self.is_proxy(request.client.host):
            scheme = said.rpartition(",")[2].strip().lower()
        elif host == self._public.netloc:
            scheme = self._public.scheme
        return f"{scheme}://{host}"

    def is_proxy(self, peer: str) -> bool:
        """Whether this address is that of a proxy in front of us."""
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    def client(self, peer: str, forwarded_for: Iterable[str]) -> str:
        """Whoever speaks through this peer: itself, unless it is a proxy, which names him last in X-Forwarded-For; what
        stands before that is the client's own word. As it was named: perhaps no address."""
        named = [one.strip() for field in forwarded_for for one in field.split(",")]
        while named and self.is_proxy(peer):
            peer = named.pop()
        return peer


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
