"""What a network may use up: connections, and octets over time."""

import pytest

from homing.doors.smtp.networks import Networks
from homing.mail.network import network_of


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def networks(clock: Clock) -> Networks:
    return Networks(connections=2, octets=1_000_000, octets_per_second=1_000, now=clock)


def test_octets_are_given_back_with_time(networks: Networks, clock: Clock) -> None:
    networks.sent("192.0.2.1", 2_500_000)
    assert [networks.may_send(ip) for ip in ("192.0.2.9", "192.0.3.1", "2001:db8::1")] == [False, True, True]
    clock.seconds += 1_500
    assert not networks.may_send("192.0.2.1"), "however much more than the limit it was"
    clock.seconds += 1
    assert networks.may_send("192.0.2.1")


def test_a_debt_does_not_grow_old_while_more_comes(networks: Networks, clock: Clock) -> None:
    for _ in range(4):
        networks.sent("192.0.2.1", 600_000)
        clock.seconds += 100
    assert not networks.may_send("192.0.2.1")


def test_each_message_counts_however_small(networks: Networks) -> None:
    for _ in range(62):
        networks.sent("192.0.2.1", 1)
    assert not networks.may_send("192.0.2.1")


def test_work_before_the_answer_is_charged_as_octets_of_ten_times_its_time(networks: Networks, clock: Clock) -> None:
    networks.worked("192.0.2.1", 101)
    assert [networks.may_send(ip) for ip in ("192.0.2.9", "192.0.3.1")] == [False, True]
    clock.seconds += 11
    assert networks.may_send("192.0.2.1")


def test_connections_come_and_go(networks: Networks) -> None:
    assert [networks.enter(ip) for ip in ("192.0.2.1", "::ffff:192.0.2.2", "192.0.2.3")] == [True, True, False]
    networks.leave("192.0.2.2")
    assert networks.enter("192.0.2.3")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
def test_networks(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same
