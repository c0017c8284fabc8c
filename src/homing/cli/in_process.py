"""The API in this process, behind the same client as a server elsewhere."""

import asyncio

import httpx2
from fastapi import FastAPI


class InProcessTransport(httpx2.BaseTransport):
    """Hands each request to `app` on `runner`'s loop. Answers are whole, so nothing can be followed through it."""

    def __init__(self, runner: asyncio.Runner, app: FastAPI) -> None:
        self._runner = runner
        self._inside = httpx2.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._runner.run(self._answered(request))

    async def _answered(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inside.handle_async_request(request)
        content = await response.aread()
        return httpx2.Response(response.status_code, headers=response.headers, content=content, request=request)
