"""The cells of a timeline: scales that hold what they should, and what matters most in each cell."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from console.control.explain.timeline import BarKind, TimelineBar, TimelineLane
from console.domain.service import RepairCase
from console.domain.timeline import TimelineJob
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views import lanes
from console.tui.views.lanes import ZOOMS, TimeScale, fitted_scale
from tests.tui.fake_reads import FakeReads, service

START = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
SUPPLY = service(1, "supply", "Supply plan", 2, "06:30")


def gantt_context(plain: bool = False, zone: str = "Europe/Berlin") -> RenderContext:
    return RenderContext(START, ZonedClock(ZoneInfo(zone)), GlyphSet(plain))


def text(lane: TimelineLane, plain: bool = False, minutes: int = 10, width: int = 30, now: int = 0) -> str:
    runs = lanes.lane_cells(
        lane, TimeScale(START, minutes, width), START + timedelta(minutes=now), gantt_context(plain)
    )
    return "".join(piece for piece, _ in runs)


def bar(kind: BarKind, first: int, last: int, state: str = "") -> TimelineBar:
    return TimelineBar(kind, START + timedelta(minutes=first), START + timedelta(minutes=last), state)


def test_what_ran_is_heavy_what_comes_is_light_and_what_may_slip_is_a_fan() -> None:
    bars = (bar(BarKind.RAN, 0, 30, "succeeded"), bar(BarKind.EXPECTED, 60, 90), bar(BarKind.FAN, 90, 110))
    lane = TimelineLane(None, None, bars, "succeeded")
    assert text(lane, now=40, width=14) == "━━━ ┊ ───░░   "
    assert text(lane, plain=True, now=40, width=14) == "=== : ---..   "


def test_what_comes_after_the_usual_repair_is_dotted_as_in_the_services_table() -> None:
    waiting = replace(SUPPLY, act_by=SUPPLY.deadline, p_late=0.4, expected=START)
    bars = (bar(BarKind.EXPECTED, 60, 90),)
    assert waiting.repair_case is RepairCase.USUAL
    assert text(TimelineLane(waiting, None, bars, "at_risk", expected=START), width=14).strip("┊ ") == "╌╌╌"
    earlier = TimelineLane(waiting, None, bars, "at_risk", expected=START - timedelta(minutes=5))
    assert text(earlier, width=14).strip("┊ ") == "───", "an estimate of an earlier moment has no case"


def test_a_red_end_and_what_runs_still_carry_their_marks() -> None:
    assert text(TimelineLane(None, None, (bar(BarKind.RAN, 0, 30, "failed"),), "failed"), width=5, now=200) == "━━✖  "
    assert text(TimelineLane(None, None, (bar(BarKind.RUNS, 0, 30, "running"),), "running"), width=5, now=30) == "━━▶┊ "


def test_the_next_start_is_marked_whatever_the_last_run_did_until_it_has_passed() -> None:
    job = TimelineJob(1, "etl/often", 10, 12, "history", ())
    for state in ("", "failed", "running"):
        lane = TimelineLane(None, job, (), state, next_start=START + timedelta(minutes=30))
        assert [" ┊ ├ ", "   ┊ "] == [text(lane, width=5, now=now) for now in (10, 30)]


def test_a_date_without_a_promise_shows_no_deadline() -> None:
    left_out = TimelineLane(
        replace(SUPPLY, timeliness="no_promise", deadline=START + timedelta(minutes=60)), None, (), "no_promise"
    )
    assert text(left_out, width=14, now=200).strip() == ""
    assert "due" not in "".join(piece for piece, _ in lanes.lane_text(left_out, gantt_context()))


def test_what_took_less_than_a_cell_is_seen() -> None:
    assert (
        text(TimelineLane(None, None, (bar(BarKind.RAN, 11, 12, "succeeded"),), "succeeded"), width=4, now=90) == " ━  "
    )


def test_a_deadline_is_a_line_with_its_time() -> None:
    deadline = (SUPPLY.deadline - START) // timedelta(minutes=10)
    lane = TimelineLane(SUPPLY, None, (), "on_time", expected=START)
    assert text(lane, width=40).index("▏06:30") == deadline


def test_the_time_of_a_deadline_is_what_the_ruler_says_above_it() -> None:
    """A deadline is under the ruler's label of the same time, in the zone of the axis."""
    utc, scale = gantt_context(zone="UTC"), TimeScale(SUPPLY.deadline - timedelta(minutes=30), 2, 60)
    lane = TimelineLane(SUPPLY, None, (), "on_time", expected=SUPPLY.deadline, late=SUPPLY.deadline)
    drawn = "".join(piece for piece, _ in lanes.lane_cells(lane, scale, START, utc))
    above = "".join(piece for piece, _ in lanes.ruler(scale, utc))
    assert drawn.index("▏05:30") == above.index("05:30")
    output = "".join(piece for piece, _ in lanes.lane_text(lane, utc))
    assert "due 05:30  expected 05:30, p95 05:30" in output


def test_the_time_of_a_deadline_covers_no_bar() -> None:
    """It covered one that had no room beside it; the ruler has the time, too."""
    deadline = (SUPPLY.deadline - START) // timedelta(minutes=10)

    def reported(slips: int) -> str:
        first = (deadline - 3) * 10
        lane = TimelineLane(
            SUPPLY, None, (bar(BarKind.FAN, first, (deadline + 1 + slips) * 10),), "at_risk", expected=START
        )
        return text(lane, width=60)[deadline - 3 :].rstrip()

    assert ["░░░▏06:30", "░░░▏░ 06:30", "░░░▏░░░░ 06:30"] == [reported(slips) for slips in (0, 1, 4)]
    assert "░░░▏░░░░░░░░░" == reported(9)
    late = TimelineLane(
        SUPPLY, None, (bar(BarKind.FAN, deadline * 10, (deadline + 10) * 10),), "at_risk", expected=START
    )
    assert "06:30▏░░░░" == text(late, width=60)[deadline - 5 : deadline + 5], "left of its line, where there is room"


def test_bars_outside_of_the_screen_draw_nothing() -> None:
    assert (
        text(
            TimelineLane(None, None, (bar(BarKind.RAN, -90, -30, "failed"), bar(BarKind.FAN, 500, 600)), ""),
            width=6,
            now=-5,
        )
        == " " * 6
    )


@given(st.integers(0, 3_000), st.integers(20, 200))
def test_a_fitted_scale_holds_the_whole_night(minutes: int, width: int) -> None:
    last = START + timedelta(minutes=minutes)
    scale = fitted_scale(START, last, width)
    assert scale.start <= START
    assert last < scale.end or scale.minutes == ZOOMS[-1]


@given(st.sampled_from(ZOOMS), st.integers(-1, 1), st.integers(0, 39))
def test_zooming_keeps_the_moment_in_its_cell(minutes: int, by: int, cell: int) -> None:
    scale = TimeScale(START, minutes, 40)
    around = START + cell * scale.step
    assert scale.zoomed(by, around).cell(around) == cell


def test_the_ruler_names_hours_by_the_wall_also_where_the_clocks_change() -> None:
    scale = TimeScale(datetime(2026, 10, 25, 0, 0, tzinfo=UTC), 10, 30)
    assert "02:00 02:00       04:00" == lanes.ruler(scale, gantt_context())[0][0].rstrip()


def test_the_ruler_names_full_hours_also_where_a_cell_begins_before_one() -> None:
    assert "04:00" in lanes.ruler(TimeScale(START - timedelta(minutes=4), 8, 30), gantt_context())[0][0]


def test_a_label_of_wide_letters_keeps_its_width() -> None:
    from rich.cells import cell_len

    lane = TimelineLane(replace(SUPPLY, title="漢字の名前の仕事とても長い"), None, (), "on_time")
    assert sum(cell_len(piece) for piece, _ in lanes.lane_label(lane, 20, gantt_context())) == 20


def test_the_time_of_a_deadline_at_the_right_edge_is_left_of_its_line() -> None:
    deadline = (SUPPLY.deadline - START) // timedelta(minutes=10)
    lane = TimelineLane(SUPPLY, None, (), "on_time", expected=START)
    for right in range(1, 6):
        assert text(lane, width=deadline + right).endswith("06:30▏" + " " * (right - 1))
    assert text(lane, width=deadline + 6).endswith("▏06:30")
    assert ":" not in text(lane, width=deadline)


def test_the_ruler_names_no_hour_that_does_not_fit() -> None:
    start = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
    shown = [lanes.ruler(TimeScale(start, 10, width), gantt_context())[0][0].rstrip() for width in (16, 17)]
    assert ["02:00", "02:00       04:00"] == shown


def test_a_job_of_a_path_has_its_whole_name_where_the_screen_has_room() -> None:
    night = FakeReads().timeline()
    jobs = {number: replace(job, name="cron-db07/db07:etl-extract_orders") for number, job in night.jobs.items()}
    drawn = lanes.path_lines(replace(night, jobs=jobs), gantt_context(), 80, 20)
    assert "etl-extract_orders " in "".join(piece for piece, _ in drawn[1])


def test_the_time_of_a_deadline_is_right_of_its_line_and_covers_no_bar_of_a_path() -> None:
    night = FakeReads().timeline()
    for width in range(64, 140):
        drawn = ["".join(piece for piece, _ in line) for line in lanes.path_lines(night, gantt_context(), width, 20)]
        bars = [line for line in drawn if "\u258f" in line]
        assert bars
        assert [] == [line for line in bars if not re.search(r"\u258f\u2591* ?\d\d:\d\d(?!\u2591)", line)], width


def test_a_path_of_services_without_jobs_is_drawn() -> None:
    night = FakeReads().timeline()
    alone = replace(night, paths=dict.fromkeys(night.paths, ()), jobs={})
    assert 3 <= len(lanes.path_lines(alone, gantt_context(), 80, 20))
