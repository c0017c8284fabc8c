"""Deliver what is due: a worker claims it (`queue`), an agent attempts it (`attempt`), what came of it is recorded
(`result`). `sign` has the keys."""

from homing.flow.deliver.attempt import DeliveryAgent
from homing.flow.deliver.queue import LEASE, Deliverer
from homing.flow.deliver.result import Recorder

__all__ = ["LEASE", "Deliverer", "DeliveryAgent", "Recorder"]
