"""Jobs and Runs: filter, sort, columns and marks of tables that are never read whole."""

from __future__ import annotations

import dataclasses

from console.tui.views.jobs.preview import JobAnswer, job_lines
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT, FakeReads, job_row
from tests.tui.views.runs.test_durations import render_context


async def open_jobs(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")


@on_the_night()
async def test_an_invalid_filter_is_explained_and_the_previous_terms_stay_in_force(night: Night) -> None:
    await open_jobs(night)
    await night.press("/")
    await night.typing()
    await night.type("state:failed")
    await night.see("row 1 of 2")
    await night.type(" age:2h")
    await night.see('"age:2h" is ignored: age: "2h" is neither younger nor older; write age:<2h', "row 1 of 2")
    await night.press("backspace", "backspace", "backspace", "backspace", "backspace", "backspace")
    await night.wait_until_hidden("neither younger")


@on_the_night()
async def test_a_term_still_being_typed_is_marked_as_ignored(night: Night) -> None:
    await open_jobs(night)
    await night.press("/")
    await night.typing()
    await night.type("state:fail system:")
    await night.see('"system:" is ignored: system: wants a value', "row 1 of 2")


@on_the_night()
async def test_a_second_press_sorts_the_other_way_round(night: Night) -> None:
    await open_jobs(night)
    await night.press("N")
    await night.see("sort:name")
    first = night.app.screen.selected.name  # type: ignore[attr-defined]
    await night.press("N")
    await night.see("sort:-name")
    await night.until(lambda: night.app.screen.selected.name != first, "another first row")  # type: ignore[attr-defined]
    assert first == min(row.name for row in night.reads.jobs_)
    assert night.app.screen.selected.name == max(row.name for row in night.reads.jobs_)  # type: ignore[attr-defined]


LONG_NAME = "warehouse-airflow/orders_quality.compare_rows"


def _long_names(night: Night) -> None:
    night.reads.jobs_ = [job_row(1, LONG_NAME, owner="data-platform"), *night.reads.jobs_[1:]]


@on_the_night(size=(100, 30), prepare=_long_names)
async def test_names_have_room_before_other_columns(night: Night) -> None:
    """Dates and schedules took 22 cells beside names that were cut."""
    await open_jobs(night)
    await night.see(LONG_NAME, "state", "started", "next", "took")
    assert "schedule" not in night.text
    await night.pilot.resize_terminal(120, 36)
    await night.see(LONG_NAME, "schedule")
    assert "…" not in next(line for line in night.text.splitlines() if LONG_NAME in line)


@on_the_night(size=(120, 36))
async def test_sorting_by_deadline_brings_its_column(night: Night) -> None:
    await open_jobs(night)
    assert "deadline" not in night.text
    await night.press("D")
    await night.see("deadline", "slack", "+40m")
    await night.press("N")
    await night.wait_until_hidden("deadline")


@on_the_night()
async def test_columns_that_have_no_room_come_one_by_one_and_go_again(night: Night) -> None:
    await open_jobs(night)
    await night.see("started")
    assert "owner" not in night.text
    for _ in range(6):
        await night.press("right")
    await night.see("owner")
    await night.wait_until_hidden("started")
    for _ in range(6):
        await night.press("left")
    await night.see("started")


@on_the_night()
async def test_a_range_is_marked_from_the_last_mark_to_the_cursor(night: Night) -> None:
    await night.press("7")
    await night.see("RUNS  row 1 of")
    await night.press("ctrl+@")
    await night.see("Space marks the first row of a range")
    await night.press("space", "down", "down", "ctrl+@")
    await night.see("4 marked")
    await night.press("ctrl+backslash")
    await night.wait_until_hidden("marked")


@on_the_night()
async def test_a_run_of_all_runs_opens_and_is_filtered_by_its_jobs_name(night: Night) -> None:
    await night.press("7")
    await night.see("RUNS  row 1 of")
    await night.press("/")
    await night.typing()
    await night.type("extract_orders")
    await night.see("row 1 of 1")
    await night.press("enter", "enter")
    await night.see("RUN ", "LOG")


def test_the_title_of_a_job_is_beside_its_name_unless_the_name_has_it() -> None:
    view = FakeReads().job(EXTRACT)
    for title, shown in (("Orders of the shop", "  Orders of the shop"), ("extract_orders", "")):
        answer = JobAnswer(dataclasses.replace(view, row=dataclasses.replace(view.row, title=title)), ())
        assert f" JOB {EXTRACT}{shown}" == "".join(text for text, _ in job_lines(answer, render_context(), 120, 30)[0])


@on_the_night(prepare=lambda night: night.reads.jobs_.append(job_row(90, "mule/58a1", title="Orders of the shop")))
async def test_the_screen_of_a_job_has_its_title(night: Night) -> None:
    await night.see("Supply plan")
    night.app.navigation.open_job("mule/58a1")
    await night.see("JOB mule/58a1  Orders of the shop  ● succeeded")
