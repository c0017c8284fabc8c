"""The public suffix list, as DMARC asks it."""

import pytest

from homing.mail.dmarc import organizational_domain
from homing.net.suffix import suffix_list


@pytest.mark.parametrize(
    ("name", "organization"),
    [
        ("a.b.example.com", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("example.com", "example.com"),
        ("co.uk", "co.uk"),
        ("com", "com"),
        ("a.b.no-such-suffix", "b.no-such-suffix"),
    ],
)
def test_organizational_domains(name: str, organization: str) -> None:
    assert organizational_domain(name, suffix_list()) == organization
