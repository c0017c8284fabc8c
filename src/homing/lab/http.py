"""An HTTP server on loopback inside the running event loop."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI


class _Embedded(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are left to the process that runs the server."""
        yield


class LoopbackHttp:
    """Serves one application at `url` from `start` to `close`."""

    def __init__(self, app: FastAPI) -> None:
        self._server = _Embedded(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))
        self._serving: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> str:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        return self.url

    async def close(self) -> None:
        self._server.should_exit = True
        if self._serving:
            await self._serving
