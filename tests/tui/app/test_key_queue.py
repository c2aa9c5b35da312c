"""Who is faster than the store: a key that comes before what it is about is read waits for it."""

from __future__ import annotations

import threading

import pytest

from console.domain.incident import IncidentView
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import services

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
    await night.see("AFFECTED SERVICES")
    await night.at_rest()
    assert "LINEAGE" not in night.text


def _calm(night: Night) -> None:
    """The header counts what the table has not read yet."""
    night.reads.services_ = [one for one in night.reads.services_ if not one.needs_a_person]


@on_the_night(prepare=_calm)
async def test_a_key_that_finds_no_row_says_why_and_opens_the_one_that_comes(night: Night) -> None:
    """It said "nothing is selected", of a table that was still to be read anew."""
    await night.see("Stock levels")
    await night.act("problems")
    await night.see("no problem here; ! shows everything")
    await night.act("open")
    await night.until(lambda: night.text.splitlines()[-1].strip() == "no problem here; ! shows everything", "why not")
    night.reads.services_ = services()
    night.reads.changed()
    await night.see("Supply plan")
    await night.act("open")
    await night.see("INC-0412")
