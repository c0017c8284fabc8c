"""An organization's administrator: who sets the address, who proves it, and what is seen of that."""

import re
from typing import Any

import httpx2
import pytest

from homing.store import tables
from tests.store.scenes import all_rows

from .gateway import Gateway
from .test_attestations import operators_key
from .test_web import here

OWN = "/v1/organization"
IT = "it@acme.example"


async def letters_to(home: Gateway, address: str) -> list[str]:
    """The links in them."""
    rows = await home.database.read(all_rows, tables.delivery, tables.delivery.c.recipient == address)
    contents = {row["message"]: row["content"] for row in await home.database.read(all_rows, tables.message_content)}
    return [link.group(1) for row in rows if (link := re.search(r"(/prove/[\w-]+)", contents[row["message"]].decode()))]


async def told(home: Gateway) -> dict[str, Any]:
    return dict((await home.call("GET", OWN)).json())


async def named(home: Gateway, address: str | None = IT) -> dict[str, Any]:
    answer = await home.call("PATCH", OWN, json={"administrator": address})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_an_address_that_is_set_is_asked_and_proved_by_a_click(home: Gateway) -> None:
    made = await named(home)
    assert (made["administrator_letter_sent"], made["administrator_proved_at"]) == (True, None)
    [link] = await letters_to(home, IT)
    page = await home.client.get(link)
    assert page.status_code == 200
    assert "has named you as its administrator" in page.text
    assert IT in page.text
    assert (await told(home))["administrator_proved_at"] is None, "looking proves nothing"
    pressed = await home.client.post(link)
    assert (pressed.status_code, IT in pressed.text) == (200, True)
    now = await told(home)
    assert now["administrator_proved_at"] is not None
    assert (now["administrator_attested"], now["administrator_taken_over"]) == (None, False)
    assert (await home.client.post(link)).status_code == 410


async def test_the_same_address_again_is_not_asked_again_and_another_one_is(home: Gateway) -> None:
    await named(home)
    [link] = await letters_to(home, IT)
    await home.client.post(link)
    again = await named(home)
    assert (again["administrator_letter_sent"], again["administrator_proved_at"] is None) == (False, False)
    other = await named(home, "root@acme.example")
    assert (other["administrator_letter_sent"], other["administrator_proved_at"]) == (True, None)
    assert (await named(home, None))["administrator_letter_sent"] is False


async def test_the_operator_sets_it_with_a_new_organization(home: Gateway) -> None:
    body = {"name": "new", "display_name": "New Ltd", "administrator": IT}
    made = await home.client.post("/v1/organizations", json=body, headers=home.administrator)
    assert made.json()["administrator_letter_sent"] is True
    assert len(await letters_to(home, IT)) == 1


async def test_the_e_mail_goes_out_again_but_not_for_ever(home: Gateway) -> None:
    async def again() -> httpx2.Response:
        return await home.call("POST", f"{OWN}/administrator/proof")

    assert (await again()).json()["code"] == "administrator-missing"
    await named(home)
    assert [(await again()).status_code for _ in range(3)] == [202, 202, 429]
    refused = await again()
    assert refused.json()["code"] == "too-many-proof-letters"
    assert IT in refused.json()["detail"]
    events = (await home.call("GET", "/v1/events")).json()["events"]
    assert [event["data"]["budget"] for event in events if event["type"] == "action_failed"] == ["proof-person"] * 2
    assert (await named(home, None))["administrator"] is None
    assert (await named(home))["administrator_letter_sent"] is False, "setting it again opens no way around"


async def test_the_operators_word_proves_it_on_record(home: Gateway) -> None:
    path = f"{OWN}/administrator/prove"
    await named(home)
    assert (await home.call("POST", path)).json()["code"] == "scope-missing"
    headers = await operators_key(home, "attest", name="contracts")
    answer = await home.client.post(path, headers=headers, params={"note": "his contract"})
    assert answer.status_code == 200, answer.text
    word = (await told(home))["administrator_attested"]
    assert (word["by"], word["note"]) == ("contracts", "his contract")
    async with here(home) as browser:
        text = (await browser.get("/organizations")).text
        assert "on the word of the key “contracts”: his contract" in text
    assert (await home.client.post(path, headers=headers, params={"note": "\x00"})).status_code == 422


@pytest.mark.parametrize("path", ["proof", "prove"])
async def test_nobody_else_asks_or_proves(home: Gateway, path: str) -> None:
    await named(home)
    before = await told(home)
    await home.call("POST", f"{OWN}/administrator/{path}", home.other)
    assert await told(home) == before
    assert len(await letters_to(home, IT)) == 1
