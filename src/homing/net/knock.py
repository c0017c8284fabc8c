"""Knock at a mail host's door: does it answer, offer STARTTLS, and take mail from the null sender? Nothing is sent.

Only our own hosts are asked; strangers may take it for a search for addresses.
"""

import asyncio
from dataclasses import dataclass, field

from homing.loop.doctor.facts import Knock
from homing.mail.text import clean
from homing.net.route import Host

TIME_LIMIT = 15.0
_LINES = 64
_LINE = 1024
_TEXT = 200


async def knock(host: Host, hello: str, recipients: tuple[str, ...], *, time_limit: float = TIME_LIMIT) -> Knock:
    """What `host` says to mail from the null sender for each recipient (RFC 5321 §4.5.5). `hello`: our name in EHLO.

    It always ends within `time_limit` seconds; why a host said nothing is in `silence`.
    """
    visit = _Visit(host, hello, recipients)
    silence = ""
    try:
        async with asyncio.timeout(time_limit):
            await visit.pay()
    except TimeoutError:
        silence = f"no answer within {time_limit:g} seconds"
    except (ConnectionRefusedError, asyncio.IncompleteReadError, ConnectionResetError):
        silence = "the connection was refused or closed"
    except OSError as error:
        silence = clean(f"no connection: {error.strerror or error}", _TEXT)
    except (ValueError, asyncio.LimitOverrunError):
        silence = "it does not speak SMTP"
    return Knock(host=host.name, ip=host.ip, silence=silence, starttls=visit.starttls, refused=visit.refused)


@dataclass(slots=True)
class _Visit:
    host: Host
    hello: str
    recipients: tuple[str, ...]
    starttls: bool = False
    refused: dict[str, str] = field(default_factory=dict)

    async def pay(self) -> None:
        reader, writer = await asyncio.open_connection(self.host.ip, self.host.port, limit=_LINE)
        try:
            await self._talk(reader, writer)
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code, text = await _reply(reader)
        if code != "220":
            self.refused[""] = text
            return
        _, text = await _said(reader, writer, f"EHLO {self.hello}")
        self.starttls = "STARTTLS" in text.upper()
        code, text = await _said(reader, writer, "MAIL FROM:<>")
        if not code.startswith("2"):
            self.refused[""] = text
            return
        for recipient in self.recipients:
            code, text = await _said(reader, writer, f"RCPT TO:<{recipient}>")
            if not code.startswith("2"):
                self.refused[recipient] = text
        writer.write(b"QUIT\r\n")
        await writer.drain()


async def _said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str) -> tuple[str, str]:
    writer.write(f"{command}\r\n".encode("ascii"))
    return await _reply(reader)


async def _reply(reader: asyncio.StreamReader) -> tuple[str, str]:
    """The code and the whole text of one reply (RFC 5321 §4.2). Raises ValueError for what is none."""
    said = []
    for _ in range(_LINES):
        line = (await reader.readuntil(b"\n")).decode("ascii", "replace")
        if not line[:3].isdigit():
            raise ValueError("not a reply")
        said.append(line)
        if line[3:4] != "-":
            return line[:3], clean(" ".join(said), _TEXT * (1 if len(said) == 1 else 10))
    raise ValueError("a reply without end")
