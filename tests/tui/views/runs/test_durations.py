"""A job in two lines: three axes apart, and its runs as bars with the newest one's place among them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from zoneinfo import ZoneInfo

from console.domain.job import JobMonth, JobView
from console.domain.run import RunRow
from console.timing.durations import rank_text
from console.tui.frame.cells import RenderContext, flowing_groups
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.runs.overview import (
    duration_plot,
    expected_text,
    months_plot,
    source_segments,
    status_segments,
)
from console.tui.views.runs.rows import any_run_row
from tests.rows import each_row
from tests.tui.fake_reads import EXTRACT, NOW, job_row, job_view, run_row


@each_row(
    "seconds, good, text",
    [
        (0.4, [0.1, 0.2, 0.3], "as long as all 3 successful runs"),
        (0.4, [0.1], "as long as the one successful run"),
        (0.4, [0.1, 0.2, 5.0], "no longer than any of 3 successful runs"),
        (5.0, [0.1, 0.2, 0.3], "longer than all 3 successful runs"),
    ],
)
def test_durations_are_compared_as_they_are_shown(seconds: float, good: list[float], text: str) -> None:
    assert text == rank_text(seconds, good)


def render_context(plain: bool = False) -> RenderContext:
    return RenderContext(NOW, ZonedClock(ZoneInfo("Europe/Berlin")), GlyphSet(plain))


def took(minutes: float | None, state: str = "succeeded", ago: int = 1) -> RunRow:
    started = NOW - timedelta(days=ago)
    ended = None if minutes is None else started + timedelta(minutes=minutes)
    return run_row(ago, 1, EXTRACT, state=state, started=started, ended=ended)


def of(*runs: RunRow) -> JobView:
    """`runs`: newest first."""
    return dataclasses.replace(job_view(job_row(1, EXTRACT)), runs=runs)


def text(runs: list[tuple[str, str]] | tuple[list[tuple[str, str]], list[tuple[str, str]]]) -> str:
    whole = [*runs[0], *runs[1]] if isinstance(runs, tuple) else runs
    return "".join(piece for piece, _ in whole)


def test_bars_are_ordered_oldest_first_and_the_newest_is_highlighted_with_a_text() -> None:
    runs = duration_plot(of(took(16), took(8, ago=2), took(4, ago=3), took(12, ago=4)), render_context())
    assert text(runs) == " ▇▃▅█  last 16m, longer than all 3 successful runs (4m to 12m)"
    assert ("█", "key") in runs[0]


def test_what_was_red_is_drawn_and_not_compared_with() -> None:
    runs = duration_plot(of(took(8), took(16, "failed", 2), took(10, ago=3)), render_context())
    assert ("█", "bad") in runs[0]
    assert text(runs).endswith("last 8m, shorter than the one successful run (10m to 10m)")


def test_the_shortest_run_is_shorter_than_all_and_one_as_short_is_no_longer_than_any() -> None:
    others = [took(minutes, ago=ago) for ago, minutes in enumerate((8, 12, 34), 2)]
    assert text(duration_plot(of(took(2), *others), render_context())).endswith(
        "last 2m, shorter than all 3 successful runs (8m to 34m)"
    )
    assert "last 8m, no longer than any of 3 successful runs" in text(
        duration_plot(of(took(8), *others), render_context())
    )
    assert "last 10m, longer than 33 % of 3 successful runs" in text(
        duration_plot(of(took(10), *others), render_context())
    )


def test_a_reference_that_only_programs_read_is_left_to_the_record() -> None:
    assert source_segments("exit 1", '{"attempt":{"u":"etl"}}', "") == source_segments("exit 1", "", "")
    assert ("a2", "plain") in source_segments("exit 1", "a2", "")[1]


def test_a_running_run_counts_with_its_elapsed_time() -> None:
    running = run_row(9, 1, EXTRACT, state="running", started=NOW - timedelta(minutes=20), ended=None)
    assert "last so far 20m, longer than the one successful run" in text(
        duration_plot(of(running, took(8)), render_context())
    )


def test_without_durations_it_says_so_and_a_first_one_has_none_to_compare_with() -> None:
    assert text(duration_plot(of(took(None, "lost")), render_context())) == " no run of it has a duration yet"
    assert text(duration_plot(of(took(8)), render_context())).endswith(
        "last 8m, no other successful run to compare with"
    )


def test_in_plain_letters_bars_are_figures() -> None:
    assert text(duration_plot(of(took(16), took(8, ago=2)), render_context(plain=True))).isascii()


def test_state_timeliness_and_evidence_stand_apart_with_the_next_runs() -> None:
    row = job_row(1, EXTRACT, state="failed", native_state="exit 1", timeliness="at_risk", evidence="inferred")
    message = text(
        flowing_groups(status_segments(dataclasses.replace(job_view(row), row=row), render_context()), 120)[0]
    )
    assert message.startswith(
        " state ✖ failed 02:14   timeliness ! at risk   evidence ≈ inferred   source reports start, end"
    )
    never = job_row(2, EXTRACT, state="", run_id=None, next=None)
    message = text(flowing_groups(expected_text(job_view(never, coming=()), render_context()), 120)[0])
    assert message.startswith(" daily at 02:00   next not known   usually 14m12s")
    fault = "its zone is unknown"
    for faulty in (job_view(row, schedule_fault=fault), job_view(never, coming=(), schedule_fault=fault)):
        assert f"   {fault}   next " in text(flowing_groups(expected_text(faulty, render_context()), 200)[0])
    assert "   next Sat 03:10, " in text(flowing_groups(expected_text(job_view(row), render_context()), 200)[0])


def test_months_before_the_stored_runs_are_a_bar_each_with_their_total() -> None:
    months = [
        JobMonth("2026-03", 31, 31, 480.0),
        JobMonth("2026-04", 30, 0, None),
        JobMonth("2026-05", 31, 29, 960.0),
    ]
    assert text(months_plot(months, render_context())) == (
        " ▅ █  2026-03 to 2026-05: 92 runs, 65 % succeeded, usually 8m to 16m"
    )
    assert text(months_plot(months, render_context(plain=True))).isascii()
    assert text(months_plot(months[1:2], render_context())).endswith("  2026-04: 30 runs, 0 % succeeded")


def test_a_run_that_ended_before_its_accepted_instant_is_placed_by_its_start() -> None:
    """Its schedule was moved to an earlier time."""
    began = NOW - timedelta(hours=2)
    row = dataclasses.replace(run_row(1, 1, EXTRACT), period=NOW, started=began, ended=NOW - timedelta(hours=1))
    assert began == row.planned
    assert NOW == dataclasses.replace(row, ended=NOW).planned


def test_a_run_without_a_planned_start_has_no_period_in_the_list_of_all_runs() -> None:
    planned = run_row(1, 1, EXTRACT)
    execution = dataclasses.replace(planned, period=None, period_key="fraud_score-20261120T000000")
    assert ["03:10", "–"] == [any_run_row(row, render_context()).cells[3][0] for row in (planned, execution)]
