"""Both shapes of provider, from the text to the callback."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest
from fastapi import FastAPI, Request

from homing.lab.http import LoopbackHttp
from homing.lab.sms import ACCOUNT, AUTH_TOKEN, GENERIC_TEMPLATE, SmsProvider
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.fetch import Fetcher
from homing.net.sms import (
    GenericHttp,
    SmsAccepted,
    SmsRefused,
    SmsStatus,
    SmsUnknown,
    StatusCallback,
    TwilioShaped,
)
from tests.patience import PATIENCE

TO = "+4915112345678"
HOSTILE = 'He said "hi" {reference}\n\\ ü € & To=+1'


@pytest.fixture
async def provider() -> AsyncIterator[SmsProvider]:
    provider = SmsProvider()
    await provider.start()
    yield provider
    await provider.close()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(Resolver([("127.0.0.1", 1)], keep=AS_PUBLISHED), allow_private=True, time_limit=2)
    yield fetcher
    await fetcher.close()


def generic(fetcher: Fetcher, provider: SmsProvider) -> GenericHttp:
    return GenericHttp(fetcher=fetcher, url=provider.url, template=GENERIC_TEMPLATE)


def twilio(fetcher: Fetcher, provider: SmsProvider) -> TwilioShaped:
    return TwilioShaped(
        fetcher=fetcher,
        base_url=provider.base_url,
        account_sid=ACCOUNT,
        auth_token=AUTH_TOKEN,
        from_number="+15005550006",
    )


Make = Callable[[Fetcher, SmsProvider], GenericHttp | TwilioShaped]
both = pytest.mark.parametrize("make", [generic, twilio])


@dataclass
class Callbacks:
    """Where the provider calls back."""

    bodies: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)

    async def take(self, request: Request) -> None:
        self.bodies.put_nowait(await request.body())


@pytest.fixture
async def callbacks() -> AsyncIterator[tuple[Callbacks, str]]:
    callbacks = Callbacks()
    app = FastAPI()
    app.post("/called")(callbacks.take)
    http = LoopbackHttp(app)
    await http.start()
    yield callbacks, f"{http.url}/called"
    await http.close()


@both
async def test_a_text_goes_out_unharmed_and_its_end_comes_back(
    make: Make, fetcher: Fetcher, provider: SmsProvider, callbacks: tuple[Callbacks, str]
) -> None:
    calls, callback = callbacks
    from_number = make(fetcher, provider)
    provider.undelivered.add("+1555")
    for to, status in ((TO, SmsStatus.DELIVERED), ("+1555", SmsStatus.FAILED)):
        answer = await from_number.send(to, HOSTILE, "act_1", callback)
        assert isinstance(answer, SmsAccepted)
        (text,) = provider.inbox(to)
        assert (text.text, text.provider_id) == (HOSTILE, answer.provider_id)
        called = from_number.parse_status_callback(await asyncio.wait_for(calls.bodies.get(), PATIENCE))
        assert called is not None
        assert (called.provider_id, called.status) == (answer.provider_id, status)


@both
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, SmsRefused(code="21211", text="no", permanent=True)),
        (401, SmsRefused(code="21211", text="no", permanent=True)),
        (429, SmsRefused(code="21211", text="no", permanent=False)),
        (503, SmsRefused(code="21211", text="no", permanent=False)),
    ],
)
async def test_refusals(make: Make, fetcher: Fetcher, provider: SmsProvider, status: int, expected: SmsRefused) -> None:
    provider.refuses(TO, status=status, message="no")
    assert await make(fetcher, provider).send(TO, "hi", "act_1", "") == expected


@both
async def test_a_server_error_leaves_doubt(make: Make, fetcher: Fetcher, provider: SmsProvider) -> None:
    provider.refuses(TO, status=500, message="oh")
    assert isinstance(await make(fetcher, provider).send(TO, "hi", "act_1", ""), SmsUnknown)


@both
async def test_silence_leaves_doubt(make: Make, provider: SmsProvider) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    fetcher = Fetcher(Resolver([("127.0.0.1", 1)]), allow_private=True, time_limit=1)
    from_number = make(fetcher, provider)
    moved = replace(
        from_number, **{"url" if isinstance(from_number, GenericHttp) else "base_url": f"http://127.0.0.1:{port}"}
    )
    answer = await moved.send(TO, "hi", "act_1", "")
    silent.close()
    await fetcher.close()
    assert isinstance(answer, SmsUnknown)


@both
async def test_nobody_home_leaves_none(make: Make, fetcher: Fetcher) -> None:
    gone = SmsProvider()
    await gone.start()
    from_number = make(fetcher, gone)
    await gone.close()
    answer = await from_number.send(TO, "hi", "act_1", "")
    assert isinstance(answer, SmsRefused)
    assert (answer.code, answer.permanent) == ("unreachable", False)


async def test_wrong_credentials(fetcher: Fetcher, provider: SmsProvider) -> None:
    from_number = TwilioShaped(
        fetcher=fetcher, base_url=provider.base_url, account_sid=ACCOUNT, auth_token="wrong", from_number="+1"
    )
    answer = await from_number.send(TO, "hi", "act_1", "")
    assert answer == SmsRefused(code="20003", text="Authenticate", permanent=True)
    assert "wrong" not in repr(from_number)
    assert provider.texts == []


async def test_the_template_is_filled_at_any_depth(fetcher: Fetcher, provider: SmsProvider) -> None:
    taken: list[object] = []

    async def take(request: Request) -> dict[str, object]:
        taken.append(await request.json())
        return {"number": 7}

    app = FastAPI()
    app.post("/send")(take)
    http = LoopbackHttp(app)
    await http.start()
    template = json.dumps({"messages": [{"to": ["{to}"], "body": "{text} ({reference})"}], "flash": False, "n": 1})
    from_number = GenericHttp(fetcher=fetcher, url=f"{http.url}/send", template=template, id_field="number")
    assert await from_number.send(TO, HOSTILE, "act_1", "") == SmsAccepted(provider_id="7")
    await http.close()
    assert taken == [{"messages": [{"to": [TO], "body": f"{HOSTILE} (act_1)"}], "flash": False, "n": 1}]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"MessageSid=SM1&MessageStatus=delivered", ("SM1", SmsStatus.DELIVERED, "delivered")),
        (b"MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30003", ("SM1", SmsStatus.FAILED, "undelivered 30003")),
        (b"MessageSid=SM1&MessageStatus=sent", ("SM1", SmsStatus.OTHER, "sent")),
        (b"MessageSid=SM1", None),
        (b"\xff\xfe", None),
        (b"&".join([b"a=b"] * 1000), None),
    ],
)
def test_callbacks_of_strangers(
    body: bytes, expected: tuple[str, SmsStatus, str] | None, fetcher: Fetcher, provider: SmsProvider
) -> None:
    read = twilio(fetcher, provider).parse_status_callback(body)
    if expected is None:
        assert read is None
    else:
        assert read == StatusCallback(provider_id=expected[0], status=expected[1], said=expected[2])


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"id": {}}', b"[" * 100_000, b'{"status": "delivered"}'])
def test_generic_callbacks_of_strangers(body: bytes, fetcher: Fetcher, provider: SmsProvider) -> None:
    assert generic(fetcher, provider).parse_status_callback(body) is None
