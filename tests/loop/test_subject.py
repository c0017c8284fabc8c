"""Subjects of cases tell them apart, and fit into their column."""

import pytest

from homing.loop.alarm import CAUSE
from homing.loop.model import DeliveryId
from homing.loop.subject import SUBJECT, of_alarm, of_delivery, of_forwarding
from tests.loop.made import delivery

LONG = "x" * 254


def test_each_fits() -> None:
    assert CAUSE <= SUBJECT  # a cause is told apart by all of it
    for subject in (of_delivery(delivery().id), of_forwarding(LONG, LONG), of_alarm("x" * 999)):
        assert 0 < len(subject) <= SUBJECT


def test_a_failure_is_that_of_its_delivery() -> None:
    identifier: DeliveryId = delivery().id
    assert of_delivery(identifier) == identifier.hex


def test_a_forwarding_failure_is_that_of_two_addresses_whatever_their_case() -> None:
    assert of_forwarding("John@Corp.com", "J.Doe@Home.example") == of_forwarding("john@corp.com", "j.doe@home.example")


@pytest.mark.parametrize("other", [("john@corp.com", "b@x.org"), ("a@x.org", "john@corp.com"), ("john@corp.com", "")])
def test_another_address_is_another_forwarding_failure(other: tuple[str, str]) -> None:
    assert of_forwarding("john@corp.com", "a@x.org") != of_forwarding(*other)
