"""One end of a connection as an asyncio protocol: any change wakes the task that waits for one."""

import asyncio
from typing import cast


class Stream(asyncio.BaseProtocol):
    """The part that client and server share. `full`: the other side takes nothing more for now. `gone` is done when the
    connection is lost. A subclass calls `wake` when something has changed."""

    def __init__(self, buffered: int) -> None:
        """`buffered`: octets that may wait to be sent before the line is full."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.full = False
        self._buffered = buffered
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "used after connection_made only"
        return self._transport

    def use(self, transport: asyncio.BaseTransport) -> None:
        """From now on this one: a new connection, or the same in TLS."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by class
        self.transport.set_write_buffer_limits(high=self._buffered)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        self.wake()

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.wake()

    async def change(self) -> None:
        """Wait until something changes; one task at a time."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def agreed_on(transport: asyncio.BaseTransport) -> str:
    """What a TLS handshake came to, such as "TLSv1.3 TLS_AES_256_GCM_SHA384"."""
    agreed = transport.get_extra_info("ssl_object")
    return f"{agreed.version()} {agreed.cipher()[0]}"
