"""What every test stands on: a network that ends at loopback, and quick properties unless CI asks for more."""

import ipaddress
import os
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("dev", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def _refuse_the_world(event: str, arguments: tuple[object, ...]) -> None:
    if event not in {"socket.connect", "socket.sendto"}:
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return  # a Unix socket
    host = str(address[0])
    try:
        loopback = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise PermissionError(f"tests talk to loopback only, not to {address!r}")


sys.addaudithook(_refuse_the_world)


@pytest.fixture(autouse=True)
def _log_as_nobody_said_otherwise() -> Iterator[None]:
    """A command that ran in this process may have sent the log to a stream that is closed by now."""
    yield
    structlog.reset_defaults()
