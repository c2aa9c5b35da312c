"""Who is faster than the store: a key that comes before what it is about is read waits for it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.lab.process import HANGS_SECONDS
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import services

LEADS = {"g": "LINEAGE", "r": "4 steps in", "l": "LOG attempt"}


def _slow(night: Night, method: str = "incident") -> threading.Event:
    """Makes this query of the store wait until the returned event is set."""
    go, query = threading.Event(), getattr(night.reads, method)

    def late(*arguments: Any, **options: Any) -> Any:
        go.wait(HANGS_SECONDS)
        return query(*arguments, **options)

    setattr(night.reads, method, late)
    return go


@pytest.mark.parametrize("key", LEADS)
def test_a_key_waits_until_its_incident_is_read(key: str) -> None:
    @on_the_night(size=(120, 36))
    async def waits(night: Night) -> None:
        await night.see("Supply plan")
        go = _slow(night)
        await night.press("enter")
        await night.see("INC-0412  reading")
        await night.press(key)
        await night.see(" reading…", "waits for it")
        assert "is no job" not in night.text
        go.set()
        await night.see(LEADS[key])

    waits()


@on_the_night(size=(120, 36))
async def test_any_other_key_ends_the_wait(night: Night) -> None:
    await night.see("Supply plan")
    go = _slow(night)
    await night.press("enter")
    await night.see("INC-0412  reading")
    await night.press("g", "Z")
    go.set()
    await night.see("AFFECTED SERVICES")
    await night.at_rest()
    assert "LINEAGE" not in night.text


LISTS = {"2": "list_incidents", "3": "jobs_first_page", "5": "systems", "6": "list_details", "7": "runs_first_page"}
OPENED = {"2": "INC-0412", "3": "JOB ", "5": "SYSTEM ", "6": "ACTION ", "7": "RUN "}


@pytest.mark.parametrize("key", LISTS)
def test_keys_typed_before_the_first_rows_of_a_list_wait_for_them(key: str) -> None:
    @on_the_night(size=(120, 36))
    async def waits(night: Night) -> None:
        await night.see("Supply plan")
        go = _slow(night, LISTS[key])
        await night.press(key, "down", "up", "enter")
        await night.see("reading…  ↓ ↑ ↵ waits for it; Esc drops it")
        go.set()
        await night.see(OPENED[key])
        await night.wait_until_hidden("waits for it")

    waits()


@on_the_night(size=(120, 36))
async def test_a_move_before_the_first_rows_is_made_once_they_are_here(night: Night) -> None:
    await night.see("Supply plan")
    go = _slow(night, "jobs_first_page")
    await night.press("3", "j", "j")
    await night.see("j j waits for it")
    go.set()
    await night.see("row 3 of")


@on_the_night(size=(120, 36))
async def test_escape_drops_the_keys_that_wait_and_does_nothing_else(night: Night) -> None:
    await night.see("Supply plan")
    go = _slow(night, "jobs_first_page")
    await night.press("3", "enter")
    await night.see("waits for it")
    await night.press("escape")
    await night.wait_until_hidden("waits for it")
    go.set()
    await night.see("JOBS  row 1 of")
    await night.at_rest()


@on_the_night(size=(120, 36))
async def test_a_key_waits_for_the_rows_of_the_new_filter(night: Night) -> None:
    """Those on the screen are of the filter before it."""
    await night.see("Supply plan")
    await night.press("3")
    await night.see("JOBS  row 1 of")
    go = _slow(night, "jobs_first_page")
    await night.press("/", *"load", "enter")
    await night.press("enter")
    await night.see("waits for it")
    go.set()
    await night.see("JOB warehouse-airflow/load_")


@on_the_night(size=(120, 36))
async def test_without_any_row_the_key_that_waited_says_so(night: Night) -> None:
    await night.see("Supply plan")
    night.reads.incidents_ = []
    go = _slow(night, "list_incidents")
    await night.press("2", "enter")
    await night.see("waits for it")
    go.set()
    await night.until(lambda: night.text.splitlines()[-1].strip() == "no open incident", "why not")


@on_the_night(size=(120, 36))
async def test_a_store_that_fails_ends_the_wait(night: Night) -> None:
    await night.see("Supply plan")

    def broken(closed: bool = False) -> Any:
        go.wait(HANGS_SECONDS)
        raise OSError("disk I/O error")

    go = threading.Event()
    setattr(night.reads, "list_incidents", broken)  # noqa: B010 - mypy knows it as a method
    await night.press("2", "enter")
    await night.see("waits for it")
    go.set()
    await night.see("disk I/O error")
    await night.wait_until_hidden("waits for it")


def _calm(night: Night) -> None:
    """The header counts what the table has not read yet."""
    night.reads.services_ = [service for service in night.reads.services_ if not service.needs_a_person]


@on_the_night(prepare=_calm)
async def test_a_key_that_finds_no_row_says_why_and_opens_the_one_that_comes(night: Night) -> None:
    """It said "nothing is selected", of a table that was still to be read again."""
    await night.see("Stock levels")
    await night.act("problems")
    await night.see("no problem here; ! shows everything")
    await night.act("open")
    await night.until(lambda: night.text.splitlines()[-1].strip() == "no problem here; ! shows everything", "why not")
    night.reads.services_ = services()
    night.reads.changed()
    await night.see("! Supply plan    06:30")  # in the list
    await night.act("open")
    await night.see("INC-0412")
