"""Signed events: what is posted is what was signed, and every answer is told apart."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from homing.lab.webhook import SECRET, WebhookSink
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.fetch import Fetcher
from homing.net.webhook import RETRIES, Delivered, Endpoint, Refused, Unreachable, post, sign

EVENT = '{"type":"bounced","data":{"recipient":"jöhn@corp.com"}}'
OTHER_SECRET = "whsec_" + "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI="


@pytest.fixture
async def sink() -> AsyncIterator[WebhookSink]:
    sink = WebhookSink()
    await sink.start()
    yield sink
    await sink.close()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(Resolver([("127.0.0.1", 1)], keep=AS_PUBLISHED), allow_private=True, time_limit=3)
    yield fetcher
    await fetcher.close()


async def test_an_event_arrives_whole_and_genuine(sink: WebhookSink, fetcher: Fetcher) -> None:
    endpoint = Endpoint(url=sink.url, secrets=(SECRET,))
    for _ in range(2):
        answer = await post(fetcher, endpoint, EVENT, event_id="evt_1", timestamp=datetime.now(UTC))
        assert answer == Delivered(status=204)
    assert [received.genuine for received in sink.received] == [True, True]
    assert sink.events == [EVENT.encode()]


async def test_both_secrets_sign_while_one_is_replaced(sink: WebhookSink, fetcher: Fetcher) -> None:
    endpoint = Endpoint(url=sink.url, secrets=(OTHER_SECRET, SECRET))
    assert isinstance(await post(fetcher, endpoint, EVENT, event_id="evt_1", timestamp=datetime.now(UTC)), Delivered)


async def test_another_secret_or_an_old_signature_is_refused(sink: WebhookSink, fetcher: Fetcher) -> None:
    strange = Endpoint(url=sink.url, secrets=(OTHER_SECRET,))
    answer = await post(fetcher, strange, EVENT, event_id="evt_1", timestamp=datetime.now(UTC))
    assert answer == Refused(status=401, text="signature does not match")
    late = datetime.now(UTC) - timedelta(minutes=6)
    own = Endpoint(url=sink.url, secrets=(SECRET,))
    assert isinstance(await post(fetcher, own, EVENT, event_id="evt_1", timestamp=late), Refused)
    assert sink.events == []


@pytest.mark.parametrize(("status", "gone"), [(500, False), (404, False), (410, True), (429, False), (302, False)])
async def test_refusals(sink: WebhookSink, fetcher: Fetcher, status: int, gone: bool) -> None:
    sink.answers = [status]
    endpoint = Endpoint(url=sink.url, secrets=(SECRET,))
    answer = await post(fetcher, endpoint, EVENT, event_id="evt_1", timestamp=datetime.now(UTC))
    assert isinstance(answer, Refused)
    assert (answer.status, answer.gone) == (status, gone)


async def test_nobody_home(fetcher: Fetcher) -> None:
    endpoint = Endpoint(url="http://127.0.0.1:1/", secrets=(SECRET,))
    answer = await post(fetcher, endpoint, EVENT, event_id="evt_1", timestamp=datetime.now(UTC))
    assert isinstance(answer, Unreachable)


def test_the_signature_is_the_standards() -> None:
    headers = sign(
        Endpoint(url="", secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",)),
        '{"test": 2432232314}',
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=datetime.fromtimestamp(1614265330, UTC),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_retries_span_more_than_a_day() -> None:
    assert len(RETRIES) == 7
    assert timedelta(days=1) < sum(RETRIES, timedelta()) < timedelta(days=2)
