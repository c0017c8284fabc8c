"""Other people's verifiers read what a remote host got from us."""

import re
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import Any

import authheaders
import dkim
import pytest

from homing.lab.world import World
from tests.stories.gateway import Story, a_story, free_port

from . import opendkim
from .test_postfix import JANET, a_scene

MESSAGES: dict[str, dict[str, Any]] = {
    "plain": {"text": "Hello,\n\n  spaces  inside and at the end  \n\n\n"},
    "html": {"html": "<p>Hello &amp; <b>thank you</b> for your call.</p>"},
    "unicode": {"subject": "Grüße aus Zürich 🎉", "text": "Schöne Grüße\n" + "ü" * 2000},
    "attachment": {
        "attachments": [
            {"filename": "Übersicht.pdf", "content_type": "application/pdf", "content": "JVBERi0xLjQK" * 999}
        ]
    },
    "threaded": {"headers": {"In-Reply-To": "<one@corp.com>", "References": "<zero@corp.com> <one@corp.com>"}},
}


def tampered(good: bytes) -> dict[str, bytes]:
    """What a thief might make of it: each must break the signature."""
    return {
        "body": good.replace(b"thank you", b"thank me!"),
        "longer": good + b"P.S. Send money.\r\n",
        "subject": re.sub(rb"\r\nSubject: [^\r]*", b"\r\nSubject: Something else", good),
        "recipient": good.replace(b"john@corp.com", b"jack@corp.com"),
        **{
            f"second-{name.lower()}": f"{name}: {value}\r\n".encode() + good
            for name, value in {
                "From": "Boss <boss@acme-mail.com>",
                "Reply-To": "thief@evil.com",
                "Subject": "Something else",
                "Cc": "everybody@evil.com",
                "Content-Type": "text/html",
                "List-Unsubscribe": "<https://evil.com/>",
            }.items()
        },
    }


async def received(story: Story, **message: Any) -> bytes:
    """The bytes of a message as the remote host got them."""
    application = story.applications.get("crm") or await _with_janet(story)
    site = story.world.mx("corp.com")
    site.mails.clear()
    await application.becomes(await application.send(JANET, "john@corp.com", **message), "delivered")
    return site.inbox("john@corp.com")[0].content


async def _with_janet(story: Story) -> Any:
    application = await story.application()
    await application.person("Janet Roe", JANET)
    return application


def published(story: Story) -> dict[str, str]:
    return {key.dns_name: key.dns_record() for key in story.app.keys.signing}


def txt(world: World) -> Callable[..., Any]:
    """The lab's TXT records for a library that would ask DNS."""

    def look_up(name: bytes | str, *_: object, **__: object) -> Any:
        bare = (name.decode() if isinstance(name, bytes) else name).rstrip(".").lower()
        records = [record for record in world.dns.zones.get(bare, ()) if record.startswith("TXT ")]
        text = "".join(re.findall(r'"([^"]*)"', records[0])) if records else None
        return text if text is None or isinstance(name, str) else text.encode()

    return look_up


async def test_opendkim_verifies_every_kind_of_message(tmp_path: Path) -> None:
    async with a_story(tmp_path) as story:
        messages = {name: await received(story, **message) for name, message in MESSAGES.items()}
        config = opendkim.configured(tmp_path, published(story))
        assert opendkim.verify(config, tmp_path, messages) == dict.fromkeys(MESSAGES, "pass")


async def test_opendkim_sees_what_was_tampered_with(tmp_path: Path) -> None:
    async with a_story(tmp_path) as story:
        good = await received(story)
        config = opendkim.configured(tmp_path, published(story))
        bad = tampered(good)
        assert all(content != good for content in bad.values())
        verdicts = opendkim.verify(config, tmp_path, {"good": good, **bad})
        assert verdicts.pop("good") == "pass"
        assert verdicts == dict.fromkeys(bad, "signature verification failed")


async def test_dkimpy_agrees(tmp_path: Path) -> None:
    async with a_story(tmp_path) as story:
        look_up = txt(story.world)
        for message in MESSAGES.values():
            assert dkim.verify(await received(story, **message), dnsfunc=look_up)
        for name, content in tampered(await received(story)).items():
            assert not dkim.verify(content, dnsfunc=look_up), name


@pytest.mark.parametrize("tree_walk", [False, True])
async def test_dmarc_passes_by_an_aligned_signature(tmp_path: Path, tree_walk: bool) -> None:
    """Under the public suffix list (RFC 7489) and under the tree walk (RFC 9989), with strict alignment too."""
    async with a_story(tmp_path) as story:
        good = await received(story)
        for domain in ("acme-mail.com", "post.acme-mail.com"):
            story.world.dns.publish_text(f"_dmarc.{domain}", "v=DMARC1; p=reject; adkim=s; aspf=s")
        story.world.dns.publish_text("_dmarc.corp.com", "v=DMARC1; p=reject")

        def dmarc(content: bytes, author_domain: str) -> str:
            """By parts: authheaders' own reading of From ends at the hyphen of our domain."""
            look_up = txt(story.world)
            signature = authheaders.check_dkim(content, dnsfunc=look_up)
            assert signature.result == "pass"
            return str(
                authheaders.dmarc_per_from(author_domain, dkim_result=signature, dnsfunc=look_up, dmarcbis=tree_walk)[0]
            )

        assert dmarc(good, "post.acme-mail.com") == "pass"
        assert dmarc(good, "corp.com") == "fail"  # our signature vouches for nobody else's domain
        assert dmarc(good, "acme-mail.com") == "fail"  # nor, strictly, for the domain above


async def test_the_signature_survives_a_real_hop(tmp_path: Path) -> None:
    """Postfix with OpenDKIM as its milter takes the message over TLS, and writes what it found on top of it."""
    milter = f"inet:127.0.0.1:{(port := free_port())}"
    asking = (f"smtpd_milters = {milter}", "milter_default_action = tempfail")
    async with a_scene(tmp_path, "john@strict.com", settings=asking) as scene:
        config = opendkim.configured(tmp_path, published(scene.story))
        async with opendkim.a_milter(config, port):
            answer = await scene.application.send(JANET, "john@strict.com", text="Schöne Grüße, and thank you.")
            await scene.application.becomes(answer, "delivered")
            await scene.postfix.logs(r"to=<john@strict\.com>.*status=sent")
        (mail,) = scene.postfix.mails("john@strict.com")
        (found,) = message_from_bytes(mail).get_all("Authentication-Results")
        assert found.startswith("mx.late.com;")
        assert "dkim=pass (2048-bit key) header.d=post.acme-mail.com" in " ".join(found.split())
        on_the_wire = mail.replace(b"\n", b"\r\n")  # a maildir has the line ends of Unix
        assert opendkim.verify(config, tmp_path, {"stored": on_the_wire}) == {"stored": "pass"}
