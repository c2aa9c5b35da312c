"""A large screen uses its room: names are not cut beside emptiness, all columns are there, a side has two panes."""

from __future__ import annotations

import dataclasses

import pytest

from console.tui.views.incidents import list
from console.tui.views.incidents.screen import IncidentScreen
from console.tui.views.jobs.list import JOB_COLUMNS_ROOMY
from console.tui.views.runs import rows
from console.tui.widgets.table import Column, column_widths
from tests.tui.driving import Night, on_the_night
from tests.tui.test_snapshots import SnapCompare, shot

HUGE = (200, 50)


def sizes(columns: tuple[Column, ...], width: int) -> dict[str, int]:
    return {columns[index].title: size for index, size in column_widths(columns, width)}


@pytest.mark.parametrize(
    "columns, other",
    [(JOB_COLUMNS_ROOMY, "schedule"), (rows.RUN_COLUMNS_ROOMY, "message"), (list.INCIDENT_COLUMNS, "reason")],
)
def test_what_no_name_needs_goes_to_what_is_long(columns: tuple[Column, ...], other: str) -> None:
    results = sizes(columns, 199)
    name = "cause" if columns is list.INCIDENT_COLUMNS else "job"
    assert results[name] <= 56
    assert results[other] >= 25


@on_the_night(size=(260, 50))
async def test_all_columns_are_there_where_there_is_room(night: Night) -> None:
    await night.press("3")
    await night.see("deadline    slack", "native", "try")
    await night.press("7")
    await night.see("RUNS  row", "native")
    await night.pilot.resize_terminal(120, 36)
    await night.wait_until_hidden("native")


@on_the_night(size=HUGE)
async def test_kinds_are_not_cut_beside_emptiness(night: Night) -> None:
    long = "11.2.9 on a very old kernel of its own"
    night.reads.targets_ = [dataclasses.replace(target, version=long) for target in night.reads.targets_]
    await night.press("5")
    await night.see(long)


@on_the_night(size=HUGE)
async def test_an_incident_has_its_log_and_below_it_its_course(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("open")
    await night.see("AFFECTED SERVICES", "ERROR could not extend file", "── now ──")
    await night.act("evidence")
    await night.see("NATIVE: recorded by its source", "ERROR could not extend file")
    assert isinstance(night.app.screen, IncidentScreen)
    await night.pilot.resize_terminal(120, 36)
    await night.wait_until_hidden("ERROR could not extend file")
    await night.see("FACTS  last state from each source")


STATES = {
    "services": (("see:EVIDENCE",), "deadline of Daily revenue"),
    "incident": (("see:Supply plan", "enter", "see:AFFECTED SERVICES"), "── now ──"),
    "lineage": (("see:Supply plan", "g"), "root cause"),
}


@pytest.mark.parametrize("state", sorted(STATES))
def test_at_200_by_50(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, *STATES[state], HUGE)
