"""The example of RFC 8463, made anew: the same octets, signatures and all.

Both algorithms are deterministic. So with the keys that the RFC prints, the order of tags and the folding that it has,
what our signer computes must be what stands there.
"""

import re
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from homing.mail.dkim import SigningKey, body_hash, octets_to_sign, relaxed_headers
from tests.data import RFC8463

# Printed in RFC 8463 appendix A.1 for everybody to test with. They open nothing.
ED25519_TEST_KEY = b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RSA_TEST_KEY = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
DOMAIN = "football.example.com"
KEYS = {
    "brisbane": SigningKey(DOMAIN, "brisbane", Ed25519PrivateKey.from_private_bytes(b64decode(ED25519_TEST_KEY))),
    "test": SigningKey.load(RSA_TEST_KEY, DOMAIN, "test"),
}


def parts() -> tuple[list[bytes], bytes, bytes]:
    """The example's signature fields, its other fields, and its body; with the line ends of mail."""
    raw = (RFC8463 / "signed.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", head)
    signatures = [one for one in fields if one.startswith(b"DKIM-Signature:")]
    return signatures, b"\r\n".join(fields[len(signatures) :]), body


def tag(signature: bytes, name: bytes) -> bytes:
    found = re.search(rb"[;:]\s*" + name + rb"=([^;]*)", signature)
    assert found is not None
    return re.sub(rb"\s", b"", found[1])


@pytest.mark.parametrize("place", [0, 1], ids=["ed25519", "rsa"])
def test_both_signatures_come_out_octet_for_octet(place: int) -> None:
    signatures, others, body = parts()
    expected = signatures[place]
    key = KEYS[tag(expected, b"s").decode()]
    assert tag(expected, b"a").decode() == key.algorithm
    unsigned, _, printed = expected.rpartition(b" b=")
    unsigned += b" b="
    hashed = b64encode(body_hash(others + b"\r\n\r\n" + body))
    assert hashed == tag(expected, b"bh")
    names = tag(expected, b"h").lower().split(b":")
    own = relaxed_headers(unsigned)[0][1]
    signature = b64encode(key.signature_of(octets_to_sign(names, relaxed_headers(others), own)))
    widths = [len(line) for line in printed.split(b"\r\n ")]
    assert unsigned + folded(signature, widths) == expected


def folded(signature: bytes, widths: list[int]) -> bytes:
    assert len(signature) == sum(widths)
    ends = [sum(widths[: number + 1]) for number in range(len(widths))]
    return b"\r\n ".join(signature[end - width : end] for end, width in zip(ends, widths, strict=True))


@pytest.mark.parametrize("name", KEYS)
def test_the_keys_are_those_whose_public_halves_the_example_publishes(name: str) -> None:
    published = (RFC8463 / "dns.json").read_text()
    joined = re.sub(r'",\s*"', "", published)
    assert KEYS[name].dns_record() in joined
