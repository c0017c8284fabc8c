"""An application at the HTTP door, on a real socket: live streams, browsers and whoever talks HTTP badly need one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from homing.app.http_door import http_door
from homing.config import Settings
from homing.doors.http_connection import HttpLimits


@asynccontextmanager
async def serving(app: Any, limits: HttpLimits | None = None, **settings_: Any) -> AsyncIterator[str]:
    """The application's address."""
    settings = Settings(operator_domain="operator.example", http_port=0, **settings_)
    async with http_door(settings, app, asyncio.Event(), limits or HttpLimits()) as port:
        yield f"http://127.0.0.1:{port}"
