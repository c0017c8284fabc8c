"""swaks, which many an operator has at hand, knocks at the MX door."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from homing.lab.returned_mail import Failure, bounce
from tests.stories.gateway import Application, Story, a_story

from .others import program

JANET = "janet@example.com"
RECIPIENT = "john@corp.com"


@dataclass(frozen=True, slots=True)
class Said:
    """How swaks ended, and the dialogue: lines that begin with ` ->` are its own, `<-` and `<**` the server's."""

    code: int
    text: str

    def answers(self, command: str) -> list[str]:
        """What was answered to the commands that begin so, line by line without the marks."""
        parts = re.split(r"^(?: ->| ~>) ", self.text, flags=re.MULTILINE)
        return [
            line.removeprefix("<").lstrip("-*~ ").rstrip()
            for part in parts
            if part.startswith(command)
            for line in part.splitlines()
            if line.startswith("<")
        ]


@dataclass(slots=True)
class Door:
    """The MX door of a gateway that has delivered one message to RECIPIENT."""

    story: Story
    application: Application
    answer: dict[str, Any]
    return_address: str
    original: bytes
    ca: Path

    async def swaks(self, to: str, *options: str, sender: str = "<>") -> Said:
        process = await asyncio.create_subprocess_exec(
            program("swaks", "swaks"),
            *("--server", "127.0.0.1", "--port", str(self.story.app.smtp_port)),
            *("--helo", "mx.corp.com", "--from", sender, "--to", to, *options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode is not None
        return Said(process.returncode, output.decode(errors="replace"))

    def dsn(self, folder: Path) -> str:
        """A bounce of the message, in a file for `--data`."""
        file = folder / "dsn.eml"
        content = bounce("mx.corp.com", self.return_address, self.original, Failure(final_recipient=RECIPIENT))
        file.write_bytes(content.replace(b"\r\n", b"\n"))
        return f"@{file}"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    ca, pem, key = trustme.CA(), tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate = ca.issue_cert("mx.acme-mail.com")
    certificate.cert_chain_pems[0].write_to_path(pem)
    certificate.private_key_pem.write_to_path(key)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with a_story(tmp_path, tls_certificate=pem, tls_key=key) as story:
        application = await story.application()
        await application.person("Janet Roe", JANET)
        story.world.mx("corp.com")
        answer = await application.send(JANET, RECIPIENT)
        await application.becomes(answer, "delivered")
        (mail,) = story.world.inbox(RECIPIENT)
        assert mail.envelope_sender is not None
        yield Door(story, application, answer, mail.envelope_sender, mail.content, tmp_path / "ca.pem")


async def test_a_bounce_to_a_live_token_is_matched(door: Door, tmp_path: Path) -> None:
    said = await door.swaks(door.return_address, "--data", door.dsn(tmp_path))
    assert said.code == 0, said.text
    assert "<-  220 mx.acme-mail.com ESMTP for bounces and replies only\n" in said.text
    assert re.fullmatch(r"250 2\.0\.0 kept as inb_\w+", said.answers(".")[0])
    message = await door.application.becomes(door.answer, "bounced")
    assert message["deliveries"][0]["bounced"] == "late"
    assert await door.story.world.mx("example.com").wait_for(JANET)


async def test_pipelined_it_is_matched_too(door: Door, tmp_path: Path) -> None:
    said = await door.swaks(door.return_address.upper(), "--pipeline", "--data", door.dsn(tmp_path))
    assert said.code == 0, said.text
    assert " -> DATA\n<-  250 2.1.0 " in said.text  # one after the other, before the first answer
    await door.application.becomes(door.answer, "bounced")


async def test_starttls_with_a_certificate_that_is_verified(door: Door, tmp_path: Path) -> None:
    verified = ("-tls", "--tls-verify", "--tls-ca-path", str(door.ca), "--tls-sni", "mx.acme-mail.com")
    said = await door.swaks(door.return_address, *verified, "--data", door.dsn(tmp_path))
    assert said.code == 0, said.text
    assert re.search(r"TLS started with cipher TLSv1\.3:TLS_AES_256_GCM_SHA384", said.text)
    in_clear, in_tls = re.findall(r"[-~]> EHLO .*\n((?:<.*\n)*)", said.text)
    assert "STARTTLS" in in_clear
    assert "STARTTLS" not in in_tls
    await door.application.becomes(door.answer, "bounced")


async def test_old_tls_is_refused(door: Door) -> None:
    for old in ("tlsv1", "tlsv1_1"):
        said = await door.swaks(door.return_address, "-tls", "--tls-protocol", old)
        assert said.code == 29, said.text  # "Error in TLS negotiation"


NOT_OURS = (
    "b+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b.post.acme-mail.com",
    "b+@b.post.acme-mail.com",
    "nobody@b.post.acme-mail.com",
    "nobody@post.acme-mail.com",
    "john@corp.com",
    "victim@gmail.com",
    "victim%gmail.com@b.post.acme-mail.com",
    "@b.post.acme-mail.com:victim@gmail.com",
    '"victim@gmail.com"@post.acme-mail.com',
    "victim@[127.0.0.1]",
)


async def test_nobody_else_is_known_and_nothing_is_relayed(door: Door) -> None:
    for to in NOT_OURS:
        said = await door.swaks(to, "--data", "Subject: relay me\n\nplease", sender="spammer@evil.com")
        assert said.code == 24, said.text  # "No valid RCPT commands"
        assert said.answers("RCPT TO")[0].startswith(("550 5.1.1 ", "553 5.1.3 ")), said.text
    assert len(door.story.world.inbox(RECIPIENT)) == 1


async def test_the_from_address_does_not_take_a_strangers_mail(door: Door) -> None:
    said = await door.swaks(
        "message-service@post.acme-mail.com",
        *("--data", "From: stranger@evil.com\nSubject: hello\n\nIs anybody there?"),
        sender="stranger@evil.com",
    )
    assert said.code == 26, said.text  # "Error after DATA"
    assert said.answers(".")[0].startswith("550 5.7.1 this address is not monitored")


async def test_the_postmaster_is_there(door: Door) -> None:
    said = await door.swaks("postmaster@post.acme-mail.com", "--data", "Subject: hello\n\nIs anybody there?")
    assert said.code == 0, said.text
