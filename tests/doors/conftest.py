"""The HTTP doors, each test with a store of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doors.gateway import Gateway, gateway


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as made:
        yield made
