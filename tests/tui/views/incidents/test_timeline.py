"""The timeline of an incident in little room."""

from __future__ import annotations

from dataclasses import replace

from console.tui.views.incidents.timeline import LEAST_TIMELINE, timeline_below, timeline_lines
from tests.rows import each_row
from tests.tui.fake_reads import NOW, incident
from tests.tui.views.runs.test_durations import render_context


@each_row("room", range(LEAST_TIMELINE, 30))
def test_now_stays_between_the_last_past_and_the_first_future_entry(room: int) -> None:
    whole, below = timeline_lines(incident(), render_context()), timeline_below(incident(), render_context(), room)
    [now] = [place for place, line in enumerate(whole) if " now " in line[0][0]]
    assert whole[now - 1 : now + 2] == [line for line in below if line in whole[now - 1 : now + 2]]
    assert min(room, len(whole) + 2) == len(below)


def test_a_closed_incident_ends_with_its_last_entry() -> None:
    view = incident()
    closed = replace(view, row=replace(view.row, closed=NOW))
    below = timeline_below(closed, render_context(), LEAST_TIMELINE)
    assert timeline_lines(closed, render_context())[2 - LEAST_TIMELINE :] == below[2:]
