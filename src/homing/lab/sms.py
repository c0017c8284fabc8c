"""A provider of text messages: takes them in both shapes, keeps them, calls back with what became of them."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import httpx2
from fastapi import FastAPI, Form, Header, Request, Response
from fastapi.responses import JSONResponse

from homing.lab.http import LoopbackHttp

ACCOUNT = "AC00000000000000000000000000000001"
AUTH_TOKEN = "lab"  # noqa: S105 - the lab's, known to all
GENERIC_TEMPLATE = json.dumps({"to": "{to}", "text": "{text}", "reference": "{reference}", "callback": "{callback}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text message that the provider took. `shape` is "generic" or "twilio"."""

    provider_id: str
    shape: str
    to: str
    text: str
    reference: str
    callback: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    status: int
    code: int
    message: str


@dataclass
class SmsProvider:
    """Takes every text and reports it delivered, unless a number is told to fail.

    `refused` numbers are refused at once, `undelivered` ones are accepted and reported failed, `silent` ones are
    accepted and never spoken of again.
    """

    texts: list[Text] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    undelivered: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    _http: LoopbackHttp | None = None
    _calls: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where the generic shape is taken: {"to", "text", "reference", "callback"}."""
        return f"{self.base_url}/messages"

    @property
    def base_url(self) -> str:
        """Where the Twilio-shaped API begins; account and token are `ACCOUNT` and `AUTH_TOKEN`."""
        return self._http.url if self._http else ""

    def inbox(self, to: str) -> list[Text]:
        return [text for text in self.texts if text.to == to]

    def refuses(self, to: str, status: int = 400, code: int = 21211, message: str = "Invalid 'To' number") -> None:
        self.refused[to] = Refusal(status=status, code=code, message=message)

    async def start(self) -> str:
        app = FastAPI()
        app.post("/messages")(self._take_generic)
        app.post("/2010-04-01/Accounts/{account}/Messages.json")(self._take_twilio)
        self._http = LoopbackHttp(app)
        await self._http.start()
        return self.base_url

    async def close(self) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        if self._http:
            await self._http.close()

    async def _take_generic(self, request: Request) -> Response:
        fields = await request.json()
        return self._take("generic", fields["to"], fields["text"], fields.get("callback", ""), fields["reference"])

    async def _take_twilio(
        self,
        account: str,
        to: Annotated[str, Form(alias="To")],
        body: Annotated[str, Form(alias="Body")],
        callback: Annotated[str, Form(alias="StatusCallback")] = "",
        authorization: Annotated[str, Header()] = "",
    ) -> Response:
        expected = base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
        if account != ACCOUNT or authorization != f"Basic {expected}":
            return JSONResponse({"code": 20003, "message": "Authenticate", "status": 401}, 401)
        return self._take("twilio", to, body, callback, "")

    def _take(self, shape: str, to: str, text: str, callback: str, reference: str) -> Response:
        if to in self.refused:
            refusal = self.refused[to]
            return JSONResponse({"code": refusal.code, "message": refusal.message}, refusal.status)
        provider_id = f"SM{len(self.texts) + 1:032x}"
        taken = Text(
            provider_id=provider_id,
            shape=shape,
            to=to,
            text=text,
            reference=reference,
            callback=callback,
            at=datetime.now(UTC),
        )
        self.texts.append(taken)
        if callback and to not in self.silent:
            call = asyncio.create_task(self._call_back(taken))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        return JSONResponse({"id": provider_id, "sid": provider_id, "status": "queued"}, 201)

    async def _call_back(self, text: Text) -> None:
        status = "undelivered" if text.to in self.undelivered else "delivered"
        code = "30003" if status == "undelivered" else ""
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
            try:
                if text.shape == "twilio":
                    form = {"MessageSid": text.provider_id, "MessageStatus": status, "ErrorCode": code}
                    await client.post(text.callback, data=form)
                else:
                    await client.post(text.callback, json={"id": text.provider_id, "status": status, "code": code})
            except httpx2.HTTPError:
                return
