"""Other people's programs: where they are, and what it means when they are absent."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

_FOLDERS = ("/usr/sbin", "/usr/lib/postfix/sbin", "/usr/libexec/postfix")


def program(name: str, package: str) -> Path:
    """The program of this name; without it the test is skipped with a hint, except in CI, where it fails."""
    search = os.pathsep.join((os.environ.get("PATH", ""), *_FOLDERS))
    found = shutil.which(name, path=search)
    if found is None:
        absent(f"no {name}: run `make system-deps`, which installs {package}")
    return Path(found)


def as_root(name: str) -> None:
    """Some servers insist on being started by root, to become somebody else then."""
    if os.geteuid() != 0:
        absent(f"{name} must be started as root: run `make system-deps`, then the tests as root")


def absent(sentence: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)
