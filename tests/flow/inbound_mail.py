"""Incoming mail that is read now."""

import asyncio

from homing.flow.receive import Receiver
from homing.store.inbound import InboundQueue


async def read_all(receiver: Receiver) -> bool:
    """One turn of each queue, to its end. Returns whether there may be more."""
    more = [await receiver._claim(queue) for queue in InboundQueue]
    await asyncio.gather(*receiver._running)
    return any(more)
