"""All operations of the API as its description has them, at random and one after the other: no answer is a 5xx."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from homing.loop import ids
from tests.store.conftest import cluster, empty_store, templates

from .gateway import ADMINISTRATOR, gateway
from .operations import operations
from .serving import serving

__all__ = ["cluster", "templates"]

SECONDS = 25
"""For each of the two runs, besides the start."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phases", "database"),
    [("fuzzing", "sqlite"), ("examples,coverage,stateful", "postgresql")],
    ids=["random", "in_sequence"],
)
async def test_nothing_that_can_be_asked_is_too_much(
    tmp_path: Path, phases: str, database: str, request: pytest.FixtureRequest
) -> None:
    async with empty_store(database, request, tmp_path) as url, gateway(tmp_path, url) as home:
        await home.send()
        home.parts.tail.stopping.set()  # live streams end after their first frame
        organization = ids.show("organization", home.acme.organization.id)
        async with serving(home.app) as address:
            process = await asyncio.create_subprocess_exec(
                *(Path(sys.executable).with_name("schemathesis"), "run", f"{address}/openapi.json"),
                *("--header", f"Authorization: Bearer {ADMINISTRATOR}"),
                *("--header", f"Homing-Organization: {organization}"),
                *("--phases", phases, "--seed", "1", "--max-time", str(SECONDS)),
                *("--checks", "not_a_server_error", "--generation-database", "none", "--request-timeout", "10"),
                *("--warnings", "off", "--no-color"),
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            told = (await process.communicate())[0].decode()
        count = len(operations(home.app))
    assert process.returncode == 0, told
    assert f"Tested: {count}" in told
    cases = re.search(r"(\d+) generated, (\d+) passed", told)
    assert cases is not None
    assert int(cases[1]) == int(cases[2]) > 2 * count
