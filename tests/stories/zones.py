"""What operators and tenants put into the DNS, and what receivers make of the mail then."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import dkim
import pytest

from homing.lab.behaviour import Mail
from homing.mail.authentication import author_domain, vouched_by
from homing.mail.dkim_verification import keys_of, verify
from homing.mail.dmarc import DmarcResult, evaluate
from homing.mail.spf import check
from homing.mail.spf_record import SpfResult
from homing.net.dns_dialogue import answer

from .gateway import Application, Story

OWN = "post.acme-mail.com"
D = "bloggs.com"
JOE = f"joe@{D}"


async def dkim_keys(story: Story, *states: str) -> list[dict[str, Any]]:
    listed = await story.http.get("/v1/dkim_keys", headers=story.administrator)
    assert listed.status_code == 200, listed.text
    return [key for key in listed.json()["dkim_keys"] if not states or key["state"] in states]


async def publish(story: Story) -> None:
    """What the operator does: put into the DNS what `homing dkim zone` prints."""
    for key in await dkim_keys(story):
        story.world.dns.publish_text(key["record_name"], key["record"])


async def look(story: Story, **span: float) -> None:
    """Time passes, and the gateway looks at the DNS."""
    story.advance(**span)
    await story.app.domain_verifier.look()


async def signatures(story: Story, mail: Mail) -> list[tuple[str, str, str]]:
    """Domain, selector and result of each signature, as a receiver finds them now in the DNS."""
    resolver = story.app.domain_verifier.rotation.resolver
    keys = await answer(keys_of(mail.content), resolver)
    now = int(story.clock().timestamp())
    found = [(one.domain, one.selector, one.result.value) for one in verify(mail.content, keys.get, now).signatures]
    assert dkimpy_says(mail, keys, now, len(found)) == [result == "pass" for *_, result in found]
    return found


def dkimpy_says(mail: Mail, keys: Mapping[str, str | None], now: int, signatures: int) -> list[bool]:
    """Whether each signature verifies, by somebody else's verifier at the story's time."""

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        record = keys.get(name.decode().rstrip("."))
        return None if record is None else record.encode()

    def verifies(index: int) -> bool:
        try:
            return bool(dkim.DKIM(mail.content).verify(index, dnsfunc=look_up))
        except dkim.DKIMException:
            return False

    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(dkim, "time", SimpleNamespace(time=lambda: now))
        return [verifies(index) for index in range(signatures)]


async def follow(story: Story, records: list[dict[str, Any]]) -> None:
    """What a tenant does: copy the records into his zone."""
    for record in records:
        if record["type"] == "TXT":
            story.world.dns.publish_text(record["name"], record["value"])
        else:
            story.world.dns.publish(record["name"], f"{record['type']} {record['value']}.")


async def publish_zone(story: Story) -> None:
    """What the operator does, once: put `homing dkim zone` into the DNS."""
    listed = await story.http.get("/v1/dkim_keys", headers=story.administrator)
    for line in listed.json()["zone"].splitlines():
        name, _, _, kind, value = line.split(maxsplit=4)
        at = name.rstrip(".")
        before = [] if kind == "TXT" and "_domainkey" in at else story.world.dns.zones.get(at, [])
        kept = [record for record in before if not record.startswith(f"{kind} ")]
        story.world.dns.publish(at, *kept, f"{kind} {value}")
    story.world.dns.publish("mx.acme-mail.com", "A 127.0.0.1")


async def ask(crm: Application, name: str = D) -> dict[str, Any]:
    """What the DNS says of a domain now."""
    asked = await crm.call("POST", f"/v1/domains/{name}/verify")
    assert asked.status_code == 200, asked.text
    return dict(asked.json())


def states(domain: dict[str, Any]) -> dict[str, str]:
    return {record["purpose"]: record["state"] for record in domain["records"]}


async def a_domain(story: Story, crm: Application) -> dict[str, Any]:
    """The organization's own domain, with its records published by tenant and operator."""
    story.world.mx(D)
    added = await crm.call("POST", "/v1/domains", {"domain": D.upper()})
    assert added.status_code == 201, added.text
    records = (await crm.call("GET", f"/v1/domains/{D}/records")).json()
    await ask(crm)
    await follow(story, records["records"])
    await publish_zone(story)
    return await ask(crm)


async def receivers_agree(story: Story, mail: Mail) -> None:
    """SPF passes for the envelope sender, and DMARC for From, by the tree walk and by the public suffix list."""
    resolver = story.app.domain_verifier.rotation.resolver
    spf = await answer(check("127.0.0.1", mail.envelope_sender, "mx.acme-mail.com"), resolver)
    assert spf.result is SpfResult.PASS, spf
    keys = await answer(keys_of(mail.content), resolver)
    author = author_domain(mail.content)
    assert author is not None
    vouched = vouched_by(spf, verify(mail.content, keys.get, int(story.clock().timestamp())))
    verdict = await answer(evaluate(author, vouched, lambda name: name.rpartition(".")[2]), resolver)
    assert verdict.agreed is DmarcResult.PASS, verdict
