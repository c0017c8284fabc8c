"""Subjects of cases: what tells a case from the others of its organization and kind. At most 255 characters."""

import hashlib

from homing.loop.model import DeliveryId

SUBJECT = 255


def of_delivery(delivery: DeliveryId) -> str:
    """For a failure or a delay: a delivery has at most one case of each kind."""
    return delivery.hex


def of_forwarding(recipient: str, final_recipient: str) -> str:
    """For a forwarding failure: the recipient, and the address behind him that failed, whichever case they are
    written in. Addresses can be longer than a subject, so it is a digest of both."""
    return hashlib.sha256(f"{recipient.casefold()}\n{final_recipient.casefold()}".encode()).hexdigest()


def of_alarm(cause: str) -> str:
    return cause[:SUBJECT]
