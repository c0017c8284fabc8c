from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .gateway import Story, a_story


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    async with a_story(tmp_path) as story:
        yield story
