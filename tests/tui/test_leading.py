"""An estate without services leads on: what is watched, and what to do next."""

from __future__ import annotations

import dataclasses

from console.tui.leading import NO_PROMISE, NOTHING
from tests.tui.driving import Night, on_the_night
from tests.tui.test_snapshots import SMALL, SnapCompare, shot


def _no_services(night: Night) -> None:
    night.reads.services_ = []
    night.reads.head = dataclasses.replace(night.reads.head, jobs=12, at_risk=0, open_incidents=0, sick_targets=())


def _no_jobs(night: Night) -> None:
    _no_services(night)
    night.reads.head = dataclasses.replace(night.reads.head, jobs=0)


@on_the_night(prepare=_no_services)
async def test_jobs_without_a_promise_are_counted_and_the_next_step_is_a_service(night: Night) -> None:
    await night.see("12 jobs are watched, and nothing is promised by them yet.", "[services.daily-revenue]")
    await night.press("/")
    await night.type("x")
    await night.see('nothing matches "x"')


@on_the_night(prepare=_no_jobs)
async def test_an_estate_where_nothing_answers_yet_leads_to_its_systems(night: Night) -> None:
    await night.see("Nothing is watched yet.", "5  Systems shows what is asked", "headway check")


def test_every_line_fits_80_cells() -> None:
    assert all(len(line) <= 76 for line in (*NOTHING, *NO_PROMISE))


def test_at_80_by_24(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, (), "ten seconds after", SMALL, _no_services)
