"""What every test stands on: a network that ends at loopback, quick properties unless CI asks for more, test data."""

import gc
import ipaddress
import os
import sys
from collections.abc import Iterator
from functools import cache
from itertools import cycle

import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import HealthCheck, settings

import homing.mail.dkim
from tests.corpora import CORPORA

_RSA_KEYS = 12
_OBJECTS_BEFORE_A_COLLECTION = 20_000

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


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are cores: half of the time tests wait, for a disk, a timer, another process."""
    return 2 * (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


gc.set_threshold(_OBJECTS_BEFORE_A_COLLECTION)


def pytest_collection_finish() -> None:
    """What stays until the end, modules and tests, is not looked through at every collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _rsa_keys_from_a_store() -> Iterator[None]:
    """Real keys, dealt in turn from a store, since making or checking one takes as long as a short story."""
    turns, key = cycle(range(_RSA_KEYS)), cache(lambda turn, **kind: generate_private_key(**kind))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(homing.mail.dkim, "generate_private_key", lambda **kind: key(next(turns), **kind))
        patch.setattr(serialization, "load_pem_private_key", cache(serialization.load_pem_private_key))
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where the corpora are absent, what needs them is left out, not skipped."""
    wanting = [] if CORPORA.is_dir() else [item for item in items if item.get_closest_marker("corpora")]
    if wanting:
        config.hook.pytest_deselected(items=wanting)
        items[:] = [item for item in items if not item.get_closest_marker("corpora")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line about the corpora, unless somebody named the tests that he wants."""
    if config.option.file_or_dir:
        return
    ran = sum(
        "corpora" in report.keywords for how in ("passed", "failed") for report in terminalreporter.getreports(how)
    )
    if ran:
        line = f"corpora: {ran} tests read {CORPORA}"
    elif CORPORA.is_dir():
        line = "corpora: left out; `make test-all` and .ci/run have the tests that read them"
    else:
        line = "corpora: left out; HOMING_CORPORA=<folder> `make test-all` has the tests of other people's mail"
    terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _log_as_nobody_said_otherwise() -> Iterator[None]:
    """A command that ran in this process may have sent the log to a stream that is closed by now."""
    yield
    structlog.reset_defaults()
