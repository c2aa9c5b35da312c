"""An estate without services leads on: what is watched, and what to do next."""

from __future__ import annotations

import time
import types

import pytest

from console.tui.frame import console_app
from console.tui.views.services.screen import NO_DEADLINE_TEXT, NO_JOBS_TEXT, WAITING_TEXT
from tests.tui import fake_reads
from tests.tui.driving import Night, on_the_night
from tests.tui.test_snapshots import SMALL, SnapCompare, shot


def _no_services(night: Night) -> None:
    night.reads.services_, night.reads.incidents_ = [], []
    night.reads.head = night.reads.head._replace(jobs=12, at_risk=0, open_incidents=0, unseen_targets=())


def _no_jobs(night: Night) -> None:
    _no_services(night)
    night.reads.head = night.reads.head._replace(jobs=0)


@on_the_night(prepare=_no_services)
async def test_jobs_without_a_promise_are_counted_and_the_next_step_is_a_service(night: Night) -> None:
    await night.see("12 jobs are monitored, but no service is configured yet.", "[services.daily-revenue]")
    await night.press("/")
    await night.type("x")
    await night.see('nothing matches "x"')


@on_the_night(prepare=_no_jobs)
async def test_an_estate_where_nothing_answers_yet_leads_to_its_systems(night: Night) -> None:
    await night.see("Nothing is monitored yet.", "5  Systems shows what is polled", "headway check")


def _engine(night: Night, alive: bool) -> None:
    engine = night.reads.head.engine._replace(alive=alive)
    night.reads.head = night.reads.head._replace(engine=engine)


def _after_init(night: Night) -> None:
    """The engine that read back history is gone; the first service is in the config alone."""
    _no_services(night)
    _engine(night, alive=False)


@on_the_night(prepare=_after_init, on_painted=lambda: None)
async def test_what_the_engine_that_is_started_will_write_is_awaited_not_denied(night: Night) -> None:
    services = fake_reads.FakeReads().services_
    await night.see("starting the engine…", "its services appear within seconds")
    _engine(night, alive=True)
    night.reads.changed()
    await night.wait_until_hidden("starting the engine…")
    await night.see("its services appear within seconds")
    assert "no service is configured" not in night.text
    assert "SERVICES 0" not in night.text
    night.reads.services_ = services
    night.reads.changed()
    await night.see("Supply plan", "SERVICES 5")


@on_the_night(prepare=_after_init)
async def test_a_console_that_starts_none_says_that_there_is_none(night: Night) -> None:
    await night.see('run "headway engine"', "no service is configured yet")


@on_the_night(prepare=_after_init, on_painted=lambda: None)
async def test_an_engine_that_never_comes_is_not_awaited_for_ever(night: Night) -> None:
    await night.see("starting the engine…")
    with pytest.MonkeyPatch.context() as patch:
        later = time.monotonic() + console_app.START_SECONDS
        patch.setattr(console_app, "time", types.SimpleNamespace(monotonic=lambda: later))
        night.reads.changed()
        await night.see('run "headway engine"', "no service is configured yet")


def test_every_line_fits_80_cells() -> None:
    assert all(len(line) <= 76 for line in (*NO_JOBS_TEXT, *NO_DEADLINE_TEXT, *WAITING_TEXT))


def test_at_80_by_24(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, (), "ten seconds after", SMALL, _no_services)
