"""What is wired for the world, and what only a lab may say."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from homing.app import build, freeze_startup_objects, gateway, serve
from homing.app.descriptors import Places
from homing.config import Settings


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(
        operator_domain="acme-mail.com",
        data_dir=folder / "homing",
        http_port=0,
        smtp_port=0,
        disk_reserve_mib=4,
        **more,
    )


def test_out_in_the_world_webhooks_are_called_at_443_and_mail_goes_to_25_and_nowhere_inside(tmp_path: Path) -> None:
    app = build(settings(tmp_path))
    assert app.actor.fetcher._ports == {443}
    assert not app.actor.fetcher._allow_private
    router = app.deliverer.agent.router
    assert (router._smtp_port, router._allow_private, router._own_name) == (25, False, "mx.acme-mail.com")
    to_ourselves = app.loop_watch.router
    assert (app.loop_watch.port, to_ourselves._allow_private, to_ourselves._own_name) == (25, False, None)


def test_what_strangers_may_leave_in_a_day_is_as_the_settings_say(tmp_path: Path) -> None:
    quota = build(settings(tmp_path, role_mail_mib_per_day=3, returned_mail_mib_per_day=200)).receiver.quota
    assert (quota.octets_per_day, quota.octets_per_organization) == (3 * 1024 * 1024, 200 * 1024 * 1024)


async def test_organizations_share_the_connections_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "places", lambda _: Places(http=40, mx=16))
    async with build(settings(tmp_path)).running() as app:
        parts = app.http.state.api
        assert (parts.streams.whole, parts.uploads.whole) == (20, 20)


class Enough(Exception):  # noqa: N818
    """It has come as far as it had to."""


def enough(*_: Any) -> None:
    raise Enough


async def test_settings_of_a_lab_are_warned_of_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "build", enough)
    with capture_logs() as logs, pytest.raises(Enough):
        await serve(settings(tmp_path, lab_private_addresses=True, lab_outbound_port=2525))
    assert {log["setting"].partition(" ")[0] for log in logs} == {"lab_private_addresses", "lab_outbound_port"}
    assert all(log["log_level"] == "warning" and "LAB SETTING" in log["event"] for log in logs)


def test_what_the_start_made_is_looked_at_by_no_later_collection() -> None:
    gc.unfreeze()  # the tests' own
    before = len(gc.get_objects())
    freeze_startup_objects()
    assert len(gc.get_objects()) < before / 10


async def test_a_gateway_that_serves_has_its_start_exempted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "freeze_startup_objects", enough)
    with pytest.raises(Enough):
        await asyncio.wait_for(serve(settings(tmp_path)), 60)
