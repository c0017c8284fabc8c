"""What the API and the pages tell of the loop watch, and to whom."""

from datetime import timedelta
from html import escape

import pytest
from structlog.testing import capture_logs

from homing.loop.watch import CURES, LoopFault, RoundEnd
from homing.store import loop_probes

from .gateway import ADMINISTRATOR, Gateway

UNHEARD = "Your failures may be going unheard"
SAID = "mx.operator.example [192.0.2.1] at rcpt_to: 550 5.1.1 <b>nobody</b>"


async def ends(home: Gateway, fault: LoopFault | None = None) -> None:
    watch = home.parts.loop_watch
    await watch.look()
    probe = await home.database.read(loop_probes.newest)
    assert probe is not None
    with capture_logs():
        await watch._finish(probe, RoundEnd(fault=fault, said=SAID))


async def page(home: Gateway, key: str, path: str = "/") -> str:
    await home.client.post("/sign_in", data={"key": key})
    return (await home.client.get(path)).text


async def test_a_broken_return_path_is_on_the_first_page(home: Gateway) -> None:
    assert UNHEARD not in await page(home, home.acme.key)
    await ends(home, LoopFault.UNREACHABLE)
    assert UNHEARD not in await page(home, home.acme.key), "it may pass"
    await ends(home, LoopFault.TOKEN_REFUSED)
    shown = await page(home, home.acme.key)
    assert UNHEARD in shown
    assert SAID not in shown
    assert escape(SAID) not in shown, "what is wrong is the operator's business"
    shown = await page(home, ADMINISTRATOR)
    assert UNHEARD in shown
    assert escape(CURES[LoopFault.TOKEN_REFUSED]) in shown.replace("&#34;", "&quot;")
    assert escape(SAID) in shown
    await ends(home)
    assert UNHEARD not in await page(home, ADMINISTRATOR)


@pytest.mark.parametrize(
    ("faults", "state"),
    [
        ((), "unknown"),
        ((None,), "ok"),
        ((LoopFault.LOST,), "doubtful"),
        ((LoopFault.LOST, LoopFault.LOST), "broken"),
    ],
)
async def test_the_page_on_health_has_the_rounds(
    home: Gateway, faults: tuple[LoopFault | None, ...], state: str
) -> None:
    for fault in faults:
        await ends(home, fault)
    shown = await page(home, ADMINISTRATOR, "/health")
    assert f"</span>{state}</span>" in shown
    assert shown.count("<time ") == len(faults)
    assert (UNHEARD in shown) is (state == "broken")
    assert (await home.client.get("/healthz")).json() == {
        "status": "ok",
        "disk": "ok",
        "store": "ok",
        "return_path": state,
    }
    told = (await home.client.get("/v1/loop_watch", headers=home.administrator)).json()
    assert told["state"] == state
    assert [one["fault"] for one in told["rounds"]] == list(reversed(faults))
    assert [one["cure"] for one in told["rounds"]] == [CURES[fault] if fault else "" for fault in reversed(faults)]


async def test_health_is_for_administrators(home: Gateway) -> None:
    assert (await home.client.get("/health")).status_code == 401
    assert (await home.call("GET", "/v1/loop_watch")).status_code == 403
    assert (await home.call("POST", "/v1/loop_watch")).status_code == 403
    await home.client.post("/sign_in", data={"key": home.acme.key})
    assert (await home.client.get("/health")).status_code == 404


async def test_what_is_off_is_told_so(home: Gateway) -> None:
    await ends(home, LoopFault.NO_MX)
    home.parts.loop_watch.every = timedelta()
    told = await home.client.post("/v1/loop_watch", headers=home.administrator)
    assert told.json()["state"] == "off"
    shown = await page(home, ADMINISTRATOR, "/health")
    assert "loop_watch_minutes is 0" in shown
    assert UNHEARD not in await page(home, ADMINISTRATOR)
