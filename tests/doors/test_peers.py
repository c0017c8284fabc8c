"""Who sent a request: what makes it local, and what makes a form ours. No header makes a stranger one of us."""

from ipaddress import ip_network

import pytest
from starlette.requests import Request

from homing.doors.peers import Peers

HERE, HTTPS = "http://127.0.0.1:8025", "https://post.example.com"
ORIGIN = "https://post.example.com"


def a_request(client: str = "127.0.0.1", host: str = "127.0.0.1:8025", **headers: str) -> Request:
    given = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "scheme": "http",
        "server": ("127.0.0.1", 8025),
        "client": (client, 4711),
        "path": "/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    return Request(scope)


def peers(public_url: str = HERE, *proxies: str) -> Peers:
    return Peers([ip_network(proxy) for proxy in proxies], public_url)


@pytest.mark.parametrize(
    ("request_", "among", "local"),
    [
        (a_request(), peers(), True),
        (a_request("::1", "localhost:8025"), peers(), True),
        (a_request("192.0.2.1"), peers(), False),
        (a_request(host="rebound.example"), peers(), False),
        (a_request(x_forwarded_for="127.0.0.1"), peers(), False),
        (a_request(x_forwarded_proto="https"), peers(), False),
        (a_request("not an address"), peers(), False),
        (a_request(), peers(HTTPS), False),  # nginx's own defaults: it says Host: 127.0.0.1:8025, and nothing else
        *(
            (a_request(), peers(public), False)  # the same without TLS: whoever calls us otherwise comes by a proxy
            for public in (
                "http://post.example.com",
                "http://localhost.example.com",
                "http://192.0.2.1:8025",
                "http://0.0.0.0:8025",
                "http://[2001:db8::1]:8025",
                "https://127.0.0.1:8025",
                "http://",
            )
        ),
        *(
            (a_request(), peers(public), True)
            for public in ("http://localhost:8025", "http://LOCALHOST", "http://[::1]:8025", "http://127.0.0.2:80")
        ),
        (a_request(), peers("http://post.example.com", "192.0.2.7"), True),
        (a_request(), peers(HTTPS, "127.0.0.1"), False),
        (a_request("127.0.0.9"), peers(HTTPS, "127.0.0.0/8"), False),
        (a_request("::1", "localhost:8025"), peers(HTTPS, "127.0.0.1"), True),
        (a_request(), peers(HTTPS, "192.0.2.7"), True),
        (a_request(), peers(HERE, "127.0.0.1"), False),
    ],
)
def test_what_comes_from_this_machine(request_: Request, among: Peers, local: bool) -> None:
    assert among.is_local(request_) is local


@pytest.mark.parametrize(
    ("origin", "request_", "among", "same"),
    [
        (HERE, a_request(), peers(), True),
        ("https://127.0.0.1:8025", a_request(), peers(), False),
        ("http://127.0.0.1", a_request(), peers(), False),
        ("null", a_request(), peers(), False),
        ("https://evil.example", a_request(), peers(), False),
        (ORIGIN, a_request(host="post.example.com"), peers(HTTPS), True),
        ("http://post.example.com", a_request(host="post.example.com"), peers(HTTPS), False),
        (ORIGIN, a_request(host="other.example.com"), peers(HTTPS), False),
        ("https://other.example", a_request(host="other.example", x_forwarded_proto="https"), peers(HTTPS), False),
        (
            "https://other.example",
            a_request(host="other.example", x_forwarded_proto="https"),
            peers(HTTPS, "127.0.0.1"),
            True,
        ),
        (
            "https://other.example",
            a_request(host="other.example", x_forwarded_proto="https, http"),
            peers(HTTPS, "127.0.0.1"),
            False,
        ),
    ],
)
def test_a_form_of_ours_has_our_scheme_host_and_port(origin: str, request_: Request, among: Peers, same: bool) -> None:
    request_.scope["headers"].append((b"origin", origin.encode()))
    assert among.same_origin(request_) is same


@pytest.mark.parametrize(("site", "same"), [(None, True), ("same-origin", True), ("same-site", False), ("none", False)])
def test_a_form_without_an_origin(site: str | None, same: bool) -> None:
    given = {} if site is None else {"sec_fetch_site": site}
    assert peers().same_origin(a_request(**given)) is same


@pytest.mark.parametrize(
    ("request_", "among", "secure"),
    [
        (a_request(host="post.example.com"), peers(HTTPS), True),
        (a_request(), peers(HTTPS), False),
        (a_request(x_forwarded_proto="https"), peers(), False),
        (a_request(x_forwarded_proto="HTTPS"), peers(HERE, "127.0.0.1"), True),
    ],
)
def test_whether_the_client_speaks_tls(request_: Request, among: Peers, secure: bool) -> None:
    assert among.is_secure(request_) is secure


@pytest.mark.parametrize(
    "host",
    [
        "re`bound.example:8025",
        "re{bound}.example",
        're"bound.example',
        "[::1",
        "rebound.example:99999",
        "a@localhost",
        "",
    ],
)
def test_a_host_that_is_no_name_is_not_this_machines(host: str) -> None:
    assert not peers().is_local(a_request(host=host))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["192.0.2.77, 198.51.100.7"], "198.51.100.7"),  # what a client says of itself stands first
        ("127.0.0.1", ["192.0.2.77", " 198.51.100.7 ,10.1.2.3"], "198.51.100.7"),
        ("127.0.0.1", ["10.1.2.3"], "10.1.2.3"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.7, unknown"], "unknown"),
        ("198.51.100.9", ["192.0.2.77"], "198.51.100.9"),  # no proxy of ours: nobody is asked for his word
        ("", ["192.0.2.77"], ""),
    ],
)
def test_whom_a_proxy_speaks_for(peer: str, forwarded_for: list[str], client: str) -> None:
    assert peers(HTTPS, "127.0.0.1", "10.0.0.0/8").client(peer, forwarded_for) == client
