"""Sign what leaves, off the event loop: RSA is most of a message's cost and runs on every core."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from homing.mail.dkim import SigningKey, sign

BEYOND_LIFETIME = timedelta(days=7)
"""A signature outlives the delivery's lifetime by that much: queues of receivers and forwarders."""


class Signer:
    """Our signing keys. `keys`: the first key of a domain signs new deliveries; the others finish what they began."""

    def __init__(self, keys: Iterable[SigningKey], threads: int) -> None:
        self._keys: dict[tuple[str, str], SigningKey] = {}
        self._active: dict[str, SigningKey] = {}
        for key in keys:
            self._keys[key.domain, key.selector] = key
            self._active.setdefault(key.domain, key)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sign")

    def active_selector(self, domain: str) -> str:
        """The selector under which a new delivery from `domain` is signed; KeyError if there is no key for it."""
        return self._active[domain].selector

    async def signed(self, raw: bytes, key: tuple[str, str], signed_at: datetime, expires_at: datetime) -> bytes:
        """`raw` with its signature in front. `key` is (domain, selector); equal arguments give equal bytes."""
        loop = asyncio.get_running_loop()
        until = int((expires_at + BEYOND_LIFETIME).timestamp())
        signature = await loop.run_in_executor(
            self._threads, sign, raw, self._keys[key], int(signed_at.timestamp()), until
        )
        return signature + raw

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
