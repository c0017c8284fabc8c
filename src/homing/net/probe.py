"""A probe of a mail host: does it answer, offer STARTTLS, show which certificates, and take mail from the null
sender? No message is sent.

Only our own hosts are probed; others may take it for address harvesting.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from homing.loop.doctor.facts import HostProbe
from homing.mail.text import clean
from homing.net.route import Host

TIME_LIMIT = 8.0
_LINES = 64
_LINE = 1024
_TEXT = 200

Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def probe(host: Host, hello: str, recipients: tuple[str, ...], *, time_limit: float = TIME_LIMIT) -> HostProbe:
    """What `host` says to mail from the null sender for each recipient (RFC 5321 §4.5.5). `hello`: our name in EHLO.

    There are two visits, the second one for the certificates; each ends within `time_limit` seconds. Why a host said
    nothing is in `silence`.
    """
    visit = _Visit(host, hello, recipients)
    silence = await _why_ended(visit.ask(), time_limit)
    if visit.starttls and not silence:
        visit.tls_failure = await _why_ended(visit.shake_hands(), time_limit) or visit.tls_failure
    return HostProbe(
        host=host.name,
        ip=host.ip,
        silence=silence,
        starttls=visit.starttls,
        refused=visit.refused,
        certificates=visit.certificates,
        tls_failure=visit.tls_failure,
    )


async def _why_ended(visit: Coroutine[None, None, None], time_limit: float) -> str:
    """Why a visit ended early, "" for one that came to its end."""
    try:
        async with asyncio.timeout(time_limit):
            await visit
    except TimeoutError:
        return f"no answer within {time_limit:g} seconds"
    except (ConnectionRefusedError, asyncio.IncompleteReadError, ConnectionResetError):
        return "the connection was refused or closed"
    except OSError as error:
        return clean(f"no connection: {error.strerror or error}", _TEXT)
    except (ValueError, asyncio.LimitOverrunError):
        return "it does not speak SMTP"
    return ""


@dataclass(slots=True)
class _Visit:
    host: Host
    hello: str
    recipients: tuple[str, ...]
    starttls: bool = False
    refused: dict[str, str] = field(default_factory=dict)
    certificates: tuple[bytes, ...] = ()
    tls_failure: str = ""

    async def ask(self) -> None:
        async with self._connected() as talk:
            code, text = await _reply(talk)
            if code != "220":
                self.refused[""] = text
                return
            _, text = await _said(talk, f"EHLO {self.hello}")
            self.starttls = "STARTTLS" in text.upper()
            for recipient in self.recipients:  # one at a time, as bounces come
                code, text = await _said(talk, "MAIL FROM:<>")
                if not code.startswith("2"):
                    self.refused[""] = text
                    break
                code, text = await _said(talk, f"RCPT TO:<{recipient}>")
                if not code.startswith("2"):
                    self.refused[recipient] = text
                await _said(talk, "RSET")
            await _quit(talk)

    async def shake_hands(self) -> None:
        """The TLS handshake, with any certificate: it is inspected, not trusted."""
        async with self._connected() as talk:
            await _reply(talk)
            await _said(talk, f"EHLO {self.hello}")
            code, text = await _said(talk, "STARTTLS")
            if code != "220":
                self.tls_failure = text
                return
            writer = talk[1]
            await writer.start_tls(_trusting(), server_hostname=self.host.name)
            self.certificates = _shown(writer.get_extra_info("ssl_object"))
            await _quit(talk)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Talk]:
        reader, writer = await asyncio.open_connection(self.host.ip, self.host.port, limit=_LINE)
        try:
            yield reader, writer
        finally:
            writer.close()


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The host's own certificate, and behind it those of its authorities where Python gives them (3.13)."""
    chain = getattr(tls, "get_unverified_chain", None)
    if chain is not None:
        return tuple(chain())
    own = tls.getpeercert(binary_form=True)
    return () if own is None else (own,)


async def _quit(talk: Talk) -> None:
    talk[1].write(b"QUIT\r\n")
    await talk[1].drain()


async def _said(talk: Talk, command: str) -> tuple[str, str]:
    talk[1].write(f"{command}\r\n".encode("ascii"))
    return await _reply(talk)


async def _reply(talk: Talk) -> tuple[str, str]:
    """The code and the whole text of one reply (RFC 5321 §4.2). Raises ValueError for what is none."""
    said = []
    for _ in range(_LINES):
        line = (await talk[0].readuntil(b"\n")).decode("ascii", "replace")
        if not line[:3].isdigit():
            raise ValueError("not a reply")
        said.append(line)
        if line[3:4] != "-":
            return line[:3], clean(" ".join(said), _TEXT * (1 if len(said) == 1 else 10))
    raise ValueError("a reply without end")
