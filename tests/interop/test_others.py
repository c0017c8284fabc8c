"""Absent programs are never passed over in silence where everything must run."""

import pytest

from .others import program


def test_what_is_absent_is_skipped_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no nopost: run `make system-deps`, which installs nopostfix"):
        program("nopost", "nopostfix")


def test_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no nopost"):
        program("nopost", "nopostfix")
