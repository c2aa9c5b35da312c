"""The preview beside a list on a wide screen: of a job, a run, and the step of a plan."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from console.tui.frame.screen import HeadwayScreen
from console.tui.views.incidents.preview import _lines
from console.tui.views.incidents.verdict_line import OpenIncident
from console.tui.views.runs.screen import RunScreen
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import NOW, FakeReads, draft, hold, job_row, plan_of
from tests.tui.views.runs.test_durations import render_context

WIDE, NARROW = (170, 45), (120, 36)


def beside(night: Night) -> str:
    """The text to the right of the list."""
    return "\n".join(line.partition("│")[2] for line in night.text.splitlines())


@on_the_night(size=WIDE)
async def test_the_job_under_the_cursor_is_shown_beside_the_list_with_its_runs(night: Night) -> None:
    await night.press("3")
    await night.until(lambda: "JOB etl-hosts/db07:extract_orders" in beside(night), "the job")
    assert "act by" in beside(night)
    assert "failed     2026-11-20 03:10" in beside(night).partition("RUNS")[2]
    await night.press("down")
    await night.until(lambda: "JOB pg-dwh/revenue_mart" in beside(night), "the next job")
    await night.pilot.resize_terminal(*NARROW)
    await night.wait_until_hidden("JOB pg-dwh/revenue_mart")


@on_the_night(size=WIDE)
async def test_the_run_under_the_cursor_is_shown_beside_the_list_with_the_end_of_its_log(night: Night) -> None:
    await night.press("7")
    await night.see("RUNS  row 1 of")
    await night.press("down", "down")
    await night.until(lambda: "RUN warehouse-airflow/load_orders" in beside(night), "the run")
    assert "ERROR could not extend file" in beside(night).partition("LOG")[2]


HUGE = (200, 50)


@pytest.mark.parametrize(
    "keys, besides, below",
    [
        (("5",), "JOBS etl-hosts", "SYSTEM etl-hosts/etl02"),
        (("5", "see:unreachable", "enter"), "JOBS etl-hosts", "lag "),
        (("6", "see:ACTIONS 6", "down"), "JOB warehouse-airflow/load_orders", "ACTION hold"),
        (("6", "see:ACTIONS 6", "enter"), "RUN warehouse-airflow/load_orders", "PROOF"),
        (("g",), "JOB etl-hosts/db07:extract_orders", "RUN etl-hosts/db07:extract_orders"),
        (("3", "see:row 1 of 14", "l"), "JOB etl-hosts/db07:extract_orders", "INC-0412"),
    ],
    ids=["systems", "system", "actions", "action", "lineage", "log"],
)
def test_a_large_screen_has_a_preview_beside_the_subject_and_one_below_it(
    keys: tuple[str, ...], besides: str, below: str
) -> None:
    @on_the_night(size=HUGE)
    async def query(night: Night) -> None:
        await night.see("Supply plan")
        for key in keys:
            await (night.see(key.removeprefix("see:")) if key.startswith("see:") else night.press(key))
        await night.until(lambda: besides in beside(night), besides)
        await night.until(lambda: below in beside_list(night), below)
        await night.pilot.resize_terminal(*NARROW)
        await night.until(lambda: besides not in night.text, "no preview")
        await night.pilot.resize_terminal(*HUGE)
        await night.until(lambda: besides in beside(night), besides)

    query()


def beside_list(night: Night) -> str:
    """The lines left of the preview."""
    return "\n".join(line.partition("│")[0] for line in night.text.splitlines())


@pytest.mark.parametrize("screen", ["services", "jobs", "runs"])
def test_a_large_screen_has_tonight_and_the_timeline_of_the_incident_below_its_rows(screen: str) -> None:
    @on_the_night(size=HUGE)
    async def query(night: Night) -> None:
        await night.see("Supply plan")
        await night.act(screen)
        bars = 1 + (screen == "services")
        await night.until(lambda: bars == len(re.findall("! Daily revenue .*▏", beside_list(night))), "tonight")
        await night.until(lambda: "deadline of Daily revenue" in beside_list(night), "the timeline")
        assert "TIMELINE of INC-0412" in beside_list(night)

    query()


@on_the_night(size=HUGE)
async def test_a_list_longer_than_a_large_screen_has_all_its_lines(night: Night) -> None:
    night.reads.jobs_ += [job_row(100 + number, f"etl-hosts/host:job_{number:03}") for number in range(100)]
    await night.press("3")
    await night.see("JOBS  row 1 of 114", "job_030")
    await night.answered()
    assert isinstance(night.app.screen, HeadwayScreen)
    night.app.screen.tick()
    await night.at_rest()
    assert "▏" not in beside_list(night)
    assert "TIMELINE" not in beside_list(night)


@on_the_night(size=HUGE)
async def test_rows_stay_in_view_when_a_large_screen_shrinks(night: Night) -> None:
    await night.press("3")
    await night.until(lambda: "deadline of Daily revenue" in beside_list(night), "the timeline")
    await night.pilot.resize_terminal(200, 24)
    await night.see("cloud/close-books")
    await night.until(lambda: "TIMELINE" not in night.text, "the rows alone")


@on_the_night(size=HUGE)
async def test_an_incident_beside_its_list_has_its_evidence_below_a_short_log(night: Night) -> None:
    await night.press("2")
    await night.until(lambda: "Supply plan at risk, due 06:30" in beside(night).partition("EVIDENCE")[2], "evidence")
    assert "extract_orders failed, exit 1" in beside(night).partition("EVIDENCE")[0]


def below(night: Night) -> str:
    """The lines below the timeline."""
    return night.text.rpartition("─" * 80)[2]


@on_the_night(size=NARROW)
async def test_the_job_or_service_under_the_cursor_is_shown_below_the_timeline_of_tonight(night: Night) -> None:
    await night.act("tonight")
    await night.until(lambda: "Stock levels  ✓ met" in below(night), "the first service")
    await night.press("down")
    await night.until(lambda: "AFFECTED SERVICES 2" in below(night), "the incident of the next")
    await night.press("down")
    await night.until(lambda: "JOB etl-hosts/db07:extract_orders" in below(night), "the job")
    await night.act("night_before")
    await night.see("past night")
    await night.until(lambda: "RUN " in below(night), "its run of that night")
    await night.press("up")
    await night.until(lambda: "RUN " not in below(night), "nothing of a service as of now")
    await night.pilot.resize_terminal(80, 16)
    await night.wait_until_hidden("─" * 80)


def _with_a_closed_one(night: Night) -> None:
    closed_at = NOW - timedelta(hours=2)
    night.reads.closed_ = [replace(night.reads.incidents_[0], id=400, closed=closed_at)]


@on_the_night(size=WIDE, prepare=_with_a_closed_one)
async def test_a_wide_screen_has_closed_incidents_and_tonight_below_the_open_ones(night: Night) -> None:
    await night.press("2")
    await night.act("closed")
    await night.see("INC-0400", "closed 01:17", "1 closed in seven days")
    await night.see("▼ act by 03:58  ▲ green by 04:21", "! Daily revenue", "Churn scores")
    await night.act("closed")
    await night.wait_until_hidden("INC-0400")
    await night.pilot.resize_terminal(*NARROW)
    await night.see("▼ act by 03:58", "affects  Supply plan, Daily revenue")


def _without_incident(night: Night) -> None:
    night.reads.services_, night.reads.incidents_ = [], []


@on_the_night(size=WIDE, prepare=_without_incident)
async def test_a_wide_screen_has_the_jobs_beside_a_list_without_an_open_incident(night: Night) -> None:
    await night.press("2")
    await night.see("no open incident; ! shows those of the last seven days")
    await night.until(lambda: "JOBS" in beside(night), "the jobs")


@on_the_night(size=WIDE)
async def test_the_step_under_the_cursor_is_shown_beside_the_plan(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("r")
    await night.until(lambda: "run extract_orders once on db07 as etl" in beside(night), "the first step")
    await night.press("down")
    await night.until(lambda: "run load_orders once" in beside(night), "the second step")
    await night.see("▼ act by 03:58  ▲ green by 04:21")
    await night.pilot.resize_terminal(*NARROW)
    await night.wait_until_hidden("▼ act by 03:58")
    await night.until(lambda: "│" not in night.text, "the step below the plan")
    assert "run load_orders once" in night.text


@on_the_night(size=WIDE)
async def test_the_step_under_the_cursor_is_shown_beside_a_started_plan(night: Night) -> None:
    night.reads.plans_ = [plan_of(draft(), 7, state="running")]
    await night.see("Supply plan")
    night.app.navigation.open_plan(7)
    await night.until(lambda: "1 rerun  etl-hosts/db07:extract_orders" in beside(night), "the first step")
    await night.see("▼ act by 03:58  ▲ green by 04:21")


@each_row("height", range(14, 40))
def test_a_preview_of_an_incident_ends_in_no_heading_without_its_rows(height: int) -> None:
    view = FakeReads().incident_
    opened = OpenIncident(view, ())
    lines = [
        "".join(text for text, _ in line)
        for line in _lines(opened, render_context(), 120, height, None, is_frozen=False)
    ]
    heads = [place for place, line in enumerate(lines) if re.match(r" (AFFECTED|NOTIFIED|ACTIONS|RUNS) ?", line)]
    assert [] == [lines[place] for place in heads if not lines[place + 1].strip()]


BELOW_LIST = {
    "systems": ("SYSTEMS", "down", "SYSTEM cloud", "CAN"),
    "actions": ("ACTIONS", "down", "ACTION ", "HISTORY"),
    "holds": ("HOLDS", "", "HOLD held by", "JOB warehouse-airflow/load_orders"),
}


@pytest.mark.parametrize("screen", sorted(BELOW_LIST))
def test_the_selected_row_is_shown_in_the_room_below_a_short_list(screen: str) -> None:
    title, key, subject, heading = BELOW_LIST[screen]

    @on_the_night(size=HUGE)
    async def query(night: Night) -> None:
        night.reads.holds_ = [hold()]
        await night.see("Supply plan")
        await (night.act("actions", "show_holds") if screen == "holds" else night.act(screen))
        await night.see(title)
        if key:
            await night.press(key)
        await night.see(subject, heading)

    query()


@on_the_night(size=HUGE)
async def test_a_line_more_above_the_log_takes_none_of_it_but_of_the_preview_below(night: Night) -> None:
    """It was one line too short for up to a second."""
    await night.see("Supply plan")
    await night.press("2")
    await night.see("INC-0412")
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    await night.press("enter")
    await night.see("LOG attempt 2", "No space left on", "AFFECTED SERVICES")
    await night.at_rest()
    screen = night.app.screen
    assert isinstance(screen, RunScreen)
    screen.tick = lambda: None  # type: ignore[method-assign]  # each second, it puts right what is not
    facts = screen.bar("facts")
    facts.show_lines([*facts._lines, ((), (), "")])
    await night.at_rest()
    assert screen.pane.page == screen.pane.row_count > 0
