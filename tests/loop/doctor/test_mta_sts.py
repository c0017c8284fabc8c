"""Reading an MTA-STS policy, and which hosts it covers (RFC 8461)."""

import pytest

from homing.loop.doctor.mta_sts import StsPolicy, matches, read_policy

GOOD = "version: STSv1\r\nmode: enforce\r\nmx: MX.corp.com\r\nmx: *.corp.net\r\nmax_age: 86400\r\n"


def test_a_policy() -> None:
    expected = StsPolicy(mode="enforce", hosts=("mx.corp.com", "*.corp.net"), max_age=86400)
    assert read_policy(GOOD) == (expected, ())
    assert read_policy(GOOD.replace("\r\n", "\n")) == (expected, ())
    assert read_policy(GOOD.replace("enforce", "testing"))[1] == ()
    assert read_policy("version: STSv1\nmode: none\nmax_age: 0")[1] == ()
    assert read_policy(GOOD.replace("86400", "31557600"))[1] == ()


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ("STSv1", "STSv2", "version"),
        ("enforce", "strict", "mode"),
        ("86400", "forever", "max_age"),
        ("86400", "31557601", "max_age"),
        ("86400", "²", "max_age"),
        ("mx:", "my:", "names no mx"),
    ],
)
def test_its_faults(before: str, after: str, word: str) -> None:
    (fault,) = read_policy(GOOD.replace(before, after))[1]
    assert word in fault


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("mx.corp.com", True),
        ("a.corp.net", True),
        ("a.b.corp.net", False),
        ("corp.net", False),
        ("evilcorp.net", False),
        ("x.mx.corp.com", False),
    ],
)
def test_which_hosts_are_covered(host: str, covered: bool) -> None:
    assert matches(("mx.corp.com", "*.corp.net"), host) is covered
