"""The promise under SIGKILL: nothing that was acknowledged is lost, no copy goes out that the record cannot explain.

Each storm kills the whole process group of the gateway at random moments while an application submits and the world
outside takes, refuses, puts off, falls silent and sends back. HOMING_STORM_SEED repeats one.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.postgres import Cluster, durable_cluster

from .storm import Storm

__all__ = ["durable_cluster"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SEED = int(os.environ.get("HOMING_STORM_SEED", random.randrange(10**6)))


def test_nothing_acknowledged_is_lost_and_every_copy_is_explained(tmp_path: Path) -> None:
    report = Storm(tmp_path, SEED, kills=22, messages=2_000).blow()
    print(report)
    assert not report.violations, report
    assert report.figures["kills"] >= 20
    assert report.figures["acknowledged messages"] >= 2_000


async def test_the_same_holds_on_postgresql(durable_cluster: Cluster, tmp_path: Path) -> None:
    async with durable_cluster.database() as url:
        storm = Storm(tmp_path, SEED, kills=5, messages=200, postgresql=url)
        report = await asyncio.to_thread(storm.blow)
    print(report)
    assert not report.violations, report
    assert report.figures["kills"] >= 5
    assert report.figures["acknowledged messages"] >= 200


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_long_storm(tmp_path: Path) -> None:
    report = Storm(tmp_path, SEED, kills=200, messages=20_000).blow()
    print(report)
    assert not report.violations, report
    assert report.figures["acknowledged messages"] >= 20_000


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_a_long_storm_on_postgresql(durable_cluster: Cluster, tmp_path: Path) -> None:
    async with durable_cluster.database() as url:
        report = await asyncio.to_thread(Storm(tmp_path, SEED, kills=100, messages=5_000, postgresql=url).blow)
    print(report)
    assert not report.violations, report
    assert report.figures["acknowledged messages"] >= 5_000


def test_the_check_sees_a_gateway_that_acknowledges_before_it_commits(tmp_path: Path) -> None:
    report = Storm(tmp_path, SEED, kills=4, messages=200, mutant="ack-before-commit").blow()
    print(report)
    assert "I1" in report.broken, report


def test_the_check_sees_a_gateway_that_sends_before_it_writes_its_intent(tmp_path: Path) -> None:
    report = Storm(tmp_path, SEED, kills=4, messages=200, mutant="no-intent").blow()
    print(report)
    assert "I7" in report.broken, report
