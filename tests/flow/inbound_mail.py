"""Incoming mail that is read now."""

from homing.flow.receive import Receiver
from homing.store.inbound import InboundQueue


async def read_all(receiver: Receiver) -> bool:
    """One turn of each queue. Returns whether there may be more."""
    return any([await receiver._claim_and_work(queue) for queue in InboundQueue])
