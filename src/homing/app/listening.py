"""A door's address, and why it cannot be had."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


class CannotListen(Exception):  # noqa: N818 - it says what is the case
    """A door's address cannot be bound; `setting` names its port."""

    def __init__(self, setting: str, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen at {host}:{port}: {reason}")
        self.setting, self.host, self.port, self.reason = setting, host, port, reason


@contextmanager
def listening(setting: str, host: str, port: int) -> Iterator[None]:
    """Context for binding `host` and `port`: turns an OSError into CannotListen."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise CannotListen(setting, host, port, reason) from None
