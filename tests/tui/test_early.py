"""Who is faster than the store: a key that comes before what it is about is read waits for it."""

from __future__ import annotations

import threading

import pytest

from console.model.views import IncidentView
from tests.tui.driving import Night, on_the_night

LEADS = {"g": "LINEAGE", "r": "4 steps in", "l": "LOG attempt"}


def _slow(night: Night, go: threading.Event) -> None:
    """Its incident is read once `go` is set."""
    found = night.reads.incident

    def late(number: int) -> IncidentView:
        go.wait(20)
        return found(number)

    setattr(night.reads, "incident", late)  # noqa: B010 - mypy knows it as a method


@pytest.mark.parametrize("key", LEADS)
def test_a_key_waits_until_its_incident_is_read(key: str) -> None:
    @on_the_night(size=(120, 36))
    async def waits(night: Night) -> None:
        await night.see("Supply plan")
        go = threading.Event()
        _slow(night, go)
        await night.press("enter")
        await night.see("INC-0412  reading")
        await night.press(key)
        await night.see(" reading…")
        assert "is no job" not in night.text
        go.set()
        await night.see(LEADS[key])

    waits()


@on_the_night(size=(120, 36))
async def test_any_other_key_ends_the_wait(night: Night) -> None:
    await night.see("Supply plan")
    go = threading.Event()
    _slow(night, go)
    await night.press("enter")
    await night.see("INC-0412  reading")
    await night.press("g", "Z")
    go.set()
    await night.see("HURTS")
    await night.at_rest()
    assert "LINEAGE" not in night.text
