"""Pictures of tests stand still."""

from __future__ import annotations

import pytest

from console.tui.widgets import grid


@pytest.fixture(autouse=True)
def lasting_highlight(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a picture a row that has changed stays highlighted, however long the picture takes."""
    if "snap_compare" in request.fixturenames:
        monkeypatch.setattr(grid, "HIGHLIGHT_SECONDS", 3600.0)
