"""Deliver what is due: a worker claims deliveries (`queue`), an agent attempts them (`attempt`), the results are
recorded (`result`). `sign` has the keys."""

from homing.flow.deliver.attempt import DeliveryAgent
from homing.flow.deliver.queue import LEASE, Deliverer
from homing.flow.deliver.result import Recorder

__all__ = ["LEASE", "Deliverer", "DeliveryAgent", "Recorder"]
