"""An application's webhook endpoint: checks signatures, keeps events, can refuse."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError

from homing.lab.http import LoopbackHttp

SECRET = "whsec_" + "bGFiLWxhYi1sYWItbGFiLWxhYi1sYWItbGFiLWxhYg=="


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One POST. `genuine`: the signature is right and fresh."""

    event_id: str
    body: bytes
    genuine: bool
    at: datetime


@dataclass
class WebhookSink:
    """Answers 204, or what `answers` holds next (HTTP status codes); 401 to what is not genuine."""

    secret: str = SECRET
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    _http: LoopbackHttp | None = None

    @property
    def url(self) -> str:
        return f"{self._http.url}/hook" if self._http else ""

    @property
    def events(self) -> list[bytes]:
        """Bodies of genuine events, each id once."""
        return list({post.event_id: post.body for post in self.received if post.genuine}.values())

    async def start(self) -> str:
        app = FastAPI()
        app.post("/hook")(self._take)
        self._http = LoopbackHttp(app)
        await self._http.start()
        return self.url

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        try:
            Webhook(self.secret).verify(body, dict(request.headers), json_parse=False)
            genuine = True
        except (WebhookVerificationError, ValueError):
            genuine = False
        event_id = request.headers.get("webhook-id", "")
        self.received.append(Received(event_id=event_id, body=body, genuine=genuine, at=datetime.now(UTC)))
        if not genuine:
            return Response("signature does not match", 401)
        return Response(status_code=self.answers.pop(0) if self.answers else 204)
