"""Who stands behind a mail host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.receivers import receiver_of
from homing.net.suffix import suffix_list
from tests.loop.letters.test_letters import HOSTILE

SUFFIX_OF = suffix_list()
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
SUFFIX = st.sampled_from(["com", "de", "co.uk", "com.au", "no-such-suffix"])
HOST = st.builds(lambda labels, suffix: ".".join((*labels, suffix)), st.lists(LABEL, min_size=1, max_size=4), SUFFIX)


@pytest.mark.parametrize(
    ("host", "receiver"),
    [
        ("alt1.gmail-smtp-in.l.google.com", "google.com"),
        ("ASPMX.L.Google.com.", "google.com"),
        ("corp-com.mail.protection.outlook.com", "outlook.com"),
        ("mx1.post.co.uk", "post.co.uk"),
        ("mx_1.corp.com", "corp.com"),
        ("mx.de", "mx.de"),
        ("corp.com", "corp.com"),
        ("mx.corp.no-such-suffix", "corp.no-such-suffix"),
        ("mx.xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("co.uk", "co.uk"),
    ],
)
def test_a_receiver_is_the_registered_domain_of_its_host(host: str, receiver: str) -> None:
    assert receiver_of(host, SUFFIX_OF) == receiver


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "localhost",
        "192.0.2.1",
        "192.0.2.1.",
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "2001:db8::1",
        "dns; x",
        "a b.com",
        "mx..corp.com",
        "bücher.example",
        "mx.corp.com\n",
        "x" * 600,
        "x." * 200 + "com",
        HOSTILE,
    ],
)
def test_what_is_no_name_of_a_host_tells_nothing(host: str) -> None:
    assert receiver_of(host, SUFFIX_OF) == ""


@given(HOST)
def test_every_host_of_a_receiver_has_that_receiver(host: str) -> None:
    receiver = receiver_of(host, SUFFIX_OF)
    assert host == receiver or host.endswith(f".{receiver}")
    assert receiver_of(receiver, SUFFIX_OF) == receiver
    assert receiver_of(f"mx.{host}", SUFFIX_OF) == receiver or host == SUFFIX_OF(host)
    assert receiver_of(f"{host.upper()}.", SUFFIX_OF) == receiver
    assert receiver.count(".") <= SUFFIX_OF(host).count(".") + 1


@given(st.text(max_size=300))
def test_any_text_has_an_answer(host: str) -> None:
    receiver = receiver_of(host, SUFFIX_OF)
    assert receiver == "" or (receiver.isascii() and receiver == receiver.lower() and len(receiver) <= 253)
