"""The present, for tests of what compares with the real clock: an instant taken at import can be an hour old."""

from __future__ import annotations

from datetime import UTC, datetime

_began: list[datetime] = []


def present() -> datetime:
    """The second in which the calling test began: the same for all of it."""
    return _began[-1]


def begin() -> None:
    """A test begins (tests/conftest.py)."""
    _began[:] = [datetime.now(UTC).replace(microsecond=0)]


def end() -> None:
    """A call between two tests, or at import, is too early."""
    _began.clear()
