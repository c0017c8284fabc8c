"""A disk that has room."""

from pathlib import Path

from homing.flow.disk_space import DiskSpace


def roomy() -> DiskSpace:
    """Of which nobody keeps anything free."""
    return DiskSpace(folder=Path("/"), reserve=0)
