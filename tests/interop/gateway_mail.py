"""What a whole gateway sends at each level of identity, caught at a receiver, and the DNS that it is judged by."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from homing.lab.behaviour import Mail
from tests.stories.gateway import PATIENCE, Application, Story, a_story, until
from tests.stories.zones import a_domain, ask, follow, look, publish, publish_zone

Records = dict[str, list[tuple[str, str]]]

LAB_IP, IP = "127.0.0.1", "192.0.2.10"
"""Where the lab's gateway is, and what stands for that in what verifiers are told: loopback is nobody to judge."""

JOHN = "john@corp.com"


@dataclass(frozen=True, slots=True)
class Caught:
    """Mails by the level of their identity, as they left."""

    mails: dict[str, Mail]
    records: Records


@cache
def caught() -> Caught:
    """Once for each process. In a thread, for the tests have event loops of their own."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _caught(Path(folder))).result()


async def _caught(folder: Path) -> Caught:
    once, twice, tagged = folder / "once", folder / "twice", folder / "tagged"
    for each in (once, twice, tagged):
        each.mkdir()
    async with a_story(once) as story:
        mails, records = await _signed_once(story), _records(story)
    async with a_story(twice, dkim_ed25519=True, organization_addresses=True) as story:
        mails |= await _signed_twice(story)
        records |= _keys(story)
    async with a_story(tagged, organization_selectors=True) as story:
        mails["shared_selector"] = await _with_a_selector_of_its_own(story)
        return Caught(mails, {**_keys(story), **records})


async def _signed_once(story: Story) -> dict[str, Mail]:
    crm = await story.application()
    await crm.person("Janet Roe", "janet@example.net")
    domain = await a_domain(story, crm)
    assert domain["level"] == "custom-full", domain
    await _dkim_alone(story, crm, "carter.com")
    for domain in ("bloggs.com", "carter.com"):
        story.world.dns.publish_text(f"_dmarc.{domain}", "v=DMARC1; p=reject")
    await crm.call("PUT", "/v1/streams/news", {"bulk": True})
    story.advance(minutes=1)  # what was proved before is remembered for less than that
    return {
        "shared": await _sent(story, crm, "janet@example.net"),
        "shared_bulk": await _sent(story, crm, "janet@example.net", stream="news"),
        "custom_full": await _sent(story, crm, "joe@bloggs.com"),
        "custom_dkim": await _sent(story, crm, "jim@carter.com"),
    }


async def _signed_twice(story: Story) -> dict[str, Mail]:
    await look(story, minutes=1)
    await publish(story)
    rotated = await story.http.post("/v1/dkim_keys/rotate", json={}, headers=story.administrator)
    assert rotated.status_code == 200, rotated.text
    crm, site = await story.application(), story.world.mx("corp.com")
    made = await crm.call("POST", "/v1/human_senders", {"name": "John", "address": JOHN})
    assert made.status_code == 201, made.text
    [letter] = await site.wait_for(JOHN, 1, PATIENCE)
    await crm.person("Janet Roe", "janet@example.net")
    await story.app.domain_verifier.names.learn()
    return {"shared_twice": letter, "shared_tenant": await _sent(story, crm, "janet@example.net")}


async def _with_a_selector_of_its_own(story: Story) -> Mail:
    crm = await story.application()
    await crm.person("Janet Roe", "janet@example.net")
    await publish_zone(story)
    await look(story, minutes=1)
    return await _sent(story, crm, "janet@example.net")


async def _dkim_alone(story: Story, crm: Application, domain: str) -> None:
    """A tenant publishes all that was asked but the return path."""
    await crm.call("POST", "/v1/domains", {"domain": domain})
    records: list[dict[str, Any]] = (await crm.call("GET", f"/v1/domains/{domain}/records")).json()["records"]
    story.world.mx(domain)
    await follow(story, [record for record in records if record["purpose"] != "return_path"])

    async def proved() -> bool:
        return bool((await ask(crm, domain))["level"] == "custom-dkim")

    await until(proved)  # somebody may have looked before they stood there


async def _sent(story: Story, crm: Application, human_sender: str, **more: str) -> Mail:
    site = story.world.mx("corp.com")
    site.mails.clear()
    await crm.becomes(await crm.send(human_sender, JOHN, **more), "delivered")
    return site.inbox(JOHN)[0]


def _records(story: Story) -> Records:
    """The lab's zones in pairs of type and text; what stands below a wildcard, by its own name."""
    zones = story.world.dns.zones
    names = dict(zones)
    aliases = [record for records in zones.values() for record in records if record.startswith("CNAME ")]
    for name in [alias.split()[1].rstrip(".") for alias in aliases] + _key_names(story):
        wildcard = "*." + name.partition(".")[2]
        if name not in zones and wildcard in zones:
            names[name] = zones[wildcard]
    return {name: [_pair(record) for record in records] for name, records in names.items() if "*" not in name}


def _key_names(story: Story) -> list[str]:
    """Where the keys of what John has got are looked up."""
    signatures = re.findall(
        rb"DKIM-Signature:[^:]*?\sd=([^;]+); s=([^;]+);", b"".join(mail.content for mail in story.world.inbox(JOHN))
    )
    return [f"{selector.decode()}._domainkey.{domain.decode()}" for domain, selector in signatures]


def _pair(record: str) -> tuple[str, str]:
    kind, _, text = record.partition(" ")
    if kind == "TXT":
        text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text))
    return kind, text.replace(LAB_IP, IP)


def _keys(story: Story) -> Records:
    return {name: found for name, found in _records(story).items() if "._domainkey." in name}
