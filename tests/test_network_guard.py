"""The guard itself: a test that reaches for the world is stopped."""

import socket

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "8.8.8.8"])
def test_the_world_is_out_of_reach(host: str) -> None:
    with socket.socket() as outgoing, pytest.raises(PermissionError, match="loopback"):
        outgoing.connect((host, 9))
