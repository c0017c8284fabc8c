"""The pages in a real browser: hostile texts run nothing, nothing breaks the policy, and forms work without scripts."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from .failing import fail
from .gateway import Gateway
from .serving import serving
from .test_lists import an_alarm, suppress
from .test_web import correction, fill_with_hostile_text, proof_link

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TRAP = "for (const name of ['alert', 'confirm', 'prompt']) window[name] = (text) => console.error('TRAPPED ' + text);"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's Chromium: make system-deps")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


async def watched(browser: Browser, faults: list[str], **more: Any) -> Page:
    """A page whose errors, dialogs, refused loads and foreign requests are written down."""
    page = await (await browser.new_context(**more)).new_page()
    await page.add_init_script(TRAP)
    page.on("console", lambda message: faults.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if "//127.0.0.1:" not in request.url else None)
    return page


async def test_hostile_texts_run_nothing_and_load_nothing(home: Gateway, browser: Browser) -> None:
    paths = await fill_with_hostile_text(home)
    faults: list[str] = []
    async with serving(home.app) as url:
        page = await watched(browser, faults)
        for path in paths:
            response = await page.goto(url + path, wait_until="load")
            assert response.status == 200, path
            for details in await page.locator("details").all():
                await details.evaluate("element => element.open = true")
            assert page.url.startswith(url), path
            assert await page.evaluate("document.scripts.length") == 0
    assert faults == []


async def test_the_trap_catches(home: Gateway, browser: Browser) -> None:
    faults: list[str] = []
    async with serving(home.app) as url:
        page = await watched(browser, faults)
        await page.goto(url)
        await page.evaluate("alert('here')")
        await page.evaluate("document.body.innerHTML = '<img src=x onerror=alert(1)>'")
        await page.wait_for_timeout(200)
    assert any("TRAPPED here" in fault for fault in faults)
    assert any("Content Security Policy" in fault for fault in faults)


async def test_signing_in_searching_and_reading(home: Gateway, browser: Browser) -> None:
    await home.send(subject="To John")
    await home.send(subject="To Mary", to=["mary@example.net"])
    faults: list[str] = []
    async with serving(home.app) as url:
        page = await watched(browser, faults, extra_http_headers={"Via": "1.1 proxy"})
        await page.goto(url)
        assert faults.pop().endswith("401 (Unauthorized)")
        await page.get_by_label("API key").fill(home.acme.key)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_label("Search messages").fill("mary@example.net")
        await page.get_by_role("button", name="Search").click()
        assert await page.get_by_text("To John").count() == 0
        await page.get_by_text("To Mary").click()
        assert await page.get_by_role("heading", name="To Mary").is_visible()
        await page.get_by_role("button", name="Sign out").click()
        assert await page.get_by_label("API key").is_visible()
        assert faults.pop().endswith("401 (Unauthorized)")
    assert faults == []


async def test_a_proof_and_a_correction_by_clicks(home: Gateway, browser: Browser) -> None:
    proof, _ = await proof_link(home)
    answer = await home.send(to=["john@gmial.com"])
    await fail(home, answer["deliveries"][0]["id"])
    link = await correction(home, answer["deliveries"][0]["id"])
    faults: list[str] = []
    async with serving(home.app) as url:
        page = await watched(browser, faults)
        await page.goto(url + proof)
        await page.get_by_role("button", name="Yes, this is my address").click()
        assert await page.get_by_role("heading", name="Thank you").is_visible()
        await page.goto(url + link)
        field = page.get_by_label("Address to send it to")
        assert await field.input_value() == "john@gmail.com"
        await page.get_by_role("button", name="Send again").dblclick()
        await page.get_by_role("heading", name="Sent again.").wait_for()
    assert faults == []
    lines = (await home.call("GET", "/v1/messages")).json()["messages"]
    assert sorted(one["recipient"] for line in lines for one in line["deliveries"]) == [
        "john@gmail.com",
        "john@gmial.com",
    ]


async def test_lifting_and_clearing_by_clicks(home: Gateway, browser: Browser) -> None:
    await suppress(home, "john@example.org")
    await an_alarm(home)
    faults: list[str] = []
    async with serving(home.app) as url:
        page = await watched(browser, faults)
        await page.goto(url)
        await page.get_by_role("link", name="Suppressed").click()
        await page.get_by_role("button", name="Lift").click()
        await page.get_by_text("No address is suppressed.").wait_for()
        await page.get_by_role("link", name="Alarms").click()
        await page.get_by_role("button", name="Dealt with").click()
        await page.get_by_text("No alarm.").wait_for()
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_texts_have_enough_contrast_and_pages_no_sideways_scroll(
    home: Gateway, browser: Browser, scheme: str
) -> None:
    answer = await home.send(to=["john@gmial.com"], subject="A" * 300)
    await fail(home, answer["deliveries"][0]["id"])
    link = await correction(home, answer["deliveries"][0]["id"])
    await suppress(home, f"{'long' * 15}@example.org", evidence="mx.example.org said: " + "no such user " * 9)
    await an_alarm(home, text="550 listed " * 20)
    async with serving(home.app) as url:
        context = await browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 700})
        page = await context.new_page()
        for path in ("/", "/cases", "/suppressions", "/alarms", f"/messages/{answer['id']}", link, "/?q=x:y"):
            await page.goto(url + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
            pairs = await page.evaluate(COLOURS)
            for ink, paper, text in pairs:
                assert contrast(ink, paper) >= 4.5, (path, text, ink, paper)


COLOURS = """() => {
  const seen = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own) continue;
    let paper = element, colour;
    do { colour = getComputedStyle(paper).backgroundColor; paper = paper.parentElement; }
    while (paper && colour === 'rgba(0, 0, 0, 0)');
    seen.push([getComputedStyle(element).color, colour, element.textContent.slice(0, 40)]);
  }
  return seen;
}"""


def contrast(ink: str, paper: str) -> float:
    """WCAG 2.2's contrast ratio of two `rgb(…)` colours."""
    light, dark = sorted((_luminance(ink), _luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
