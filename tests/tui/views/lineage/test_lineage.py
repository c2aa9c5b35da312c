"""Lineage: the graph around a job, walked, widened, folded, searched; the blast radius; which run read which."""

from __future__ import annotations

import copy
import dataclasses
import threading
from datetime import timedelta
from typing import Any

import pytest

from console.domain.dependency import LineageJob
from console.domain.header import UnseenTarget
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.lineage import diagram
from console.tui.views.lineage.diagram import LineageDiagram
from console.tui.views.lineage.screen import LineageScreen
from tests.lab.process import HANGS_SECONDS
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT, LOAD, MART, NOW, job_row

WIDE = (120, 36)


def screen(night: Night) -> LineageScreen:
    assert isinstance(night.app.screen, LineageScreen)
    return night.app.screen


async def open_lineage(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("lineage")
    await night.see("LINEAGE", "root cause")


def selected_node(night: Night) -> str:
    return screen(night).selected_name()


@on_the_night(size=WIDE)
async def test_from_a_service_one_key_shows_its_cause_and_the_way_to_it_lit(night: Night) -> None:
    await open_lineage(night)
    await night.see(f"LINEAGE {EXTRACT}", "0 upstream, 6 downstream", "━━┱", "┗━▸● load_orders ━")
    await night.see("! Supply plan 06:30 at risk", "act by 03:58 40m")


@on_the_night(size=WIDE)
async def test_four_columns_share_the_width_so_that_no_name_no_deadline_and_no_time_is_cut(night: Night) -> None:
    """No column is too narrow for a service name while free edges or empty lines remain."""
    await open_lineage(night)
    await night.see("✖ revenue_mart", "↻ close-books", "· supply-mart", "03:00 retrying")
    await night.see("06:30 Supply plan", "07:30 Daily revenue", "due 04:30, waits for extract_orders")
    drawing = screen(night).shown.drawing  # type: ignore[union-attr]
    assert drawing.width <= WIDE[0]
    assert not drawing.is_cut


@on_the_night()
async def test_on_a_small_screen_it_says_of_what_each_figure_is_and_cuts_neither_a_name_nor_a_figure(
    night: Night,
) -> None:
    await open_lineage(night)
    await night.see("slack +9m ", "critical 97 %", "! 06:30 Suppl", "! 07:30 ", "slack -4m", "due 04:30")
    await night.see("Supply plan 06:30   ", "Daily revenue 07:30   ", "Churn scores 11:00")
    assert not any(cut in night.text for cut in ("due 04:30,", "succee…", "retr…", "Dail…"))
    await night.see(
        "db07:extract_orders", "churn-scores", "load_orders", "refresh_stock", "revenue_mart", "close-books"
    )


@on_the_night()
async def test_the_cursor_walks_along_the_edges_and_prefers_the_critical_path(night: Night) -> None:
    await open_lineage(night)
    await night.press("right")
    assert LOAD == selected_node(night)
    await night.see("load_orders  succeeded 03:14  on the critical path")
    await night.press("right", "down")
    first = selected_node(night)
    await night.press("up", "left", "left")
    assert EXTRACT == selected_node(night)
    assert first != EXTRACT


@on_the_night(size=WIDE)
async def test_a_job_that_an_incident_prevents_from_starting_waits_for_its_root(night: Night) -> None:
    await open_lineage(night)
    await night.see("waits for extract_orders")
    await night.act("search")
    await night.typing()
    await night.type("supply")
    await night.press("enter")
    await night.see(f"planned, due 04:30  waits for {EXTRACT}")


@on_the_night()
async def test_depth_is_changed_by_keys_on_each_side_alone(night: Night) -> None:
    await open_lineage(night)
    await night.act("down_less", "down_less")
    await night.see("levels: 0 up, 1 down", "4 more")
    await night.wait_until_hidden("supply-mart")
    await night.act("down_more")
    await night.see("levels: 0 up, 2 down", "supply-mart")
    await night.press("right")
    await night.act("lineage", "up_less", "up_less")
    await night.see(f"LINEAGE {LOAD}", "levels: 0 up, 2 down")
    await night.act("up_more")
    await night.see("levels: 1 up, 2 down")


@on_the_night()
async def test_the_job_under_the_cursor_becomes_the_centre(night: Night) -> None:
    await open_lineage(night)
    await night.press("right")
    await night.act("lineage")
    await night.see(f"LINEAGE {LOAD}", "2 upstream, 4 downstream")
    await night.act("lineage")
    await night.see("it is the centre already")


@on_the_night(size=WIDE)
async def test_the_blast_radius_counts_jobs_systems_and_services_of_the_selected_node(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("blast")
    await night.see("blast radius", "affects 6 jobs on 3 systems, 1 red already")
    await night.press("right")
    await night.see("affects 4 jobs on 2 systems", "Supply plan 06:30", "Daily revenue 07:30")
    await night.act("blast")
    await night.see("4 downstream")


@on_the_night(size=WIDE)
async def test_jobs_are_folded_by_system_then_by_service_and_enter_unfolds(night: Night) -> None:
    await open_lineage(night)
    await night.act("collapse")
    await night.see("by system", "pg-dwh: 2 jobs, 1 red")
    await night.act("collapse")
    await night.see("by service")
    await night.act("collapse")
    await night.wait_until_hidden("by service")
    await night.act("collapse")
    await night.see("pg-dwh: 2 jobs")
    await night.press("right", "right")
    await night.until(lambda: len(screen(night).canvas.here.jobs) == 2, "the fold")  # type: ignore[union-attr]
    await night.act("open")
    await night.wait_until_hidden("pg-dwh: 2 jobs")
    await night.see("✖ revenue_mart", "▶ refresh_stock")


@on_the_night(size=WIDE)
async def test_by_run_it_says_which_run_was_read_and_that_it_was_too_early(night: Night) -> None:
    await open_lineage(night)
    await night.act("by_run")
    await night.press("right")
    await night.see("by run", f"the run of 2026-11-19 read {EXTRACT} of 2026-11-18", "too early: stale")


@on_the_night()
async def test_a_search_goes_to_the_job_and_on_to_the_next_and_escape_ends_it(night: Night) -> None:
    await open_lineage(night)
    await night.act("search")
    await night.typing()
    await night.type("pg-dwh")
    await night.press("enter")
    await night.until(lambda: selected_node(night).startswith("pg-dwh/"), "the first hit")
    first = selected_node(night)
    await night.act("match_next")
    assert {first, selected_node(night)} == {MART, "pg-dwh/refresh_stock"}
    await night.act("match_next")
    assert first == selected_node(night)
    await night.press("escape")
    await night.wait_until_hidden("/ pg-dwh")
    await night.act("match_next")
    await night.see("no search yet: / starts one")


@on_the_night()
async def test_what_is_searched_for_beyond_the_view_becomes_the_centre(night: Night) -> None:
    await open_lineage(night)
    await night.act("down_less", "down_less", "search")
    await night.typing()
    await night.type("close-books")
    await night.press("enter")
    await night.see("LINEAGE cloud/close-books")


def test_a_drawing_of_other_jobs_than_the_loaded_ones_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search line closes, which draws again, while the search loads the jobs around another center."""
    requests: list[Any] = []

    @on_the_night()
    async def steps(night: Night) -> None:
        await open_lineage(night)
        monkeypatch.setattr(screen(night), "ask", lambda *arguments, **_: requests.append(arguments[1:3]))
        screen(night).redraw()
        [(draw, late)] = requests
        drawn = draw(None)
        other = dataclasses.replace(drawn, reach=copy.copy(drawn.reach))
        screen(night)._show(other)
        late(drawn)
        assert screen(night).shown is other
        assert 2 == len(requests), "drawn again with the loaded jobs"
        monkeypatch.undo()

    steps()


def test_a_search_before_the_drawing_has_come_is_one_of_that_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it went to in the drawing before was no longer in it, and nothing was said."""
    may_draw, draw = threading.Event(), diagram.draw_lineage
    may_draw.set()

    def slowly(*given: Any) -> LineageDiagram:
        assert may_draw.wait(HANGS_SECONDS)
        return draw(*given)

    monkeypatch.setattr(diagram, "draw_lineage", slowly)

    @on_the_night()
    async def searches(night: Night) -> None:
        await open_lineage(night)
        may_draw.clear()
        await night.act("down_less", "down_less", "search")
        await night.typing()
        await night.type("close-books")
        await night.press("enter")
        await night.see("/ close-books")
        may_draw.set()
        await night.see("LINEAGE cloud/close-books")

    searches()


@on_the_night(size=WIDE)
async def test_enter_opens_the_job_l_its_log_and_o_its_runbook(night: Night) -> None:
    await open_lineage(night)
    await night.act("runbook")
    await night.see("https://wiki.internal/extract-orders")
    await night.press("escape")
    await night.act("log")
    await night.see("RUN " + EXTRACT)
    await night.press("escape")
    await night.act("open")
    await night.see("JOB " + EXTRACT)
    await night.press("escape")
    await night.see("LINEAGE")


def _feeds(night: Night) -> None:
    night.reads.edges_ += [(5, 4), (7, 4)]


@on_the_night(size=WIDE, prepare=_feeds)
async def test_folded_by_service_a_spot_is_what_one_service_waits_for(night: Night) -> None:
    await night.see("Supply plan")
    night.app.push_screen(LineageScreen(4))
    await night.see("LINEAGE cloud/supply-mart", "5 upstream")
    await night.act("collapse", "collapse")
    await night.see("by service", "supply-plan: 3 jobs, 1 red")


def _many(night: Night) -> None:
    night.reads.jobs_ += [job_row(100 + n, f"etl-hosts/host{n % 50:02d}:job_{n:04d}") for n in range(5000)]
    night.reads.edges_ += [(2 if n < 40 else 100 + n // 40, 100 + n) for n in range(5000)]


@pytest.mark.deep
@on_the_night(size=WIDE, prepare=_many)
async def test_five_thousand_jobs_are_folded_to_what_can_be_read_and_unfold_layer_by_layer(night: Night) -> None:
    await open_lineage(night)
    await night.see("5006 downstream", " 32 jobs ", "more")
    await night.press("right", "right", "end")
    await night.until(lambda: len(screen(night).canvas.here.jobs) > 20, "the fold")  # type: ignore[union-attr]
    await night.act("open")
    await night.until(lambda: len(screen(night).canvas.here.jobs) == 1, "its first job")  # type: ignore[union-attr]


@on_the_night()
async def test_layout_and_reading_happen_in_the_readers_thread(night: Night) -> None:
    await open_lineage(night)
    assert {"headway-reads"} == night.reads.threads


@on_the_night()
async def test_an_unknown_job_is_reported(night: Night) -> None:
    await night.see("Supply plan")
    night.app.push_screen(LineageScreen("etl-hosts/nobody"))
    await night.see('LINEAGE etl-hosts/nobody  "etl-hosts/nobody" not found')


@on_the_night(size=WIDE)
async def test_wide_and_right_to_left_names_break_no_line(night: Night) -> None:
    night.reads.jobs_[2] = job_row(
        2, "warehouse-airflow/漢字の名前の仕事とても長い名前です漢字の名前の仕事", stale_read=True
    )
    night.reads.jobs_[3] = job_row(4, "cloud/מלאי-יומי")
    await open_lineage(night)
    await night.see("漢字")
    widths = {strip.cell_length for strip in screen(night)._compositor.render_strips()}
    assert {120} == widths


@on_the_night(ascii=True)
async def test_in_plain_letters_nothing_else_is_drawn(night: Night) -> None:
    await open_lineage(night)
    await night.see("==+-", "=>+ load_orders")
    assert night.text.isascii()


@on_the_night()
async def test_down_to_forty_by_ten_and_back_it_is_whole_again(night: Night) -> None:
    await open_lineage(night)
    await night.pilot.resize_terminal(40, 10)
    await night.see("terminal too small")
    await night.pilot.resize_terminal(80, 24)
    await night.see("LINEAGE", "load_orders", "root cause")
    await night.until(lambda: night.app.focused is screen(night).canvas, "the focus")
    await night.press("right")
    assert LOAD == selected_node(night)


def _unseen(night: Night) -> None:
    old = NOW - timedelta(minutes=4)
    night.reads.jobs_ = [dataclasses.replace(row, stale_since=old) for row in night.reads.jobs_]


@on_the_night(size=WIDE, prepare=_unseen)
async def test_an_unreachable_job_is_not_successful_and_shows_its_age(night: Night) -> None:
    await open_lineage(night)
    await night.see("03:14 succeeded ◷ 4m", "not seen for 4m")
    shown = screen(night).shown
    assert shown is not None
    assert "ok" not in {sign.mark[1] for sign in shown.drawing.labels}


@on_the_night(size=WIDE)
async def test_an_unreachable_target_is_reported_though_nobody_recorded_it(night: Night) -> None:
    """A dead engine writes nothing: what grows old by the clock alone is read again."""
    await open_lineage(night)
    await night.see("03:14 succeeded")
    _unseen(night)
    seen = (
        *night.reads.head.unseen_targets,
        UnseenTarget("warehouse-airflow", NOW - timedelta(minutes=4), "unreachable"),
    )
    night.reads.head = night.reads.head._replace(unseen_targets=seen)
    night.app.read_header()
    await night.see("03:14 succeeded ◷ 4m")


def test_a_run_that_read_stale_data_has_the_mark_of_it() -> None:
    job = LineageJob(1, "dwh/load", "dwh", "succeeded", False, "", NOW)
    ctx = RenderContext(NOW, ZonedClock(), GlyphSet())
    assert ctx.sign("stale") != diagram.node_mark(job, ctx)[0]
    assert (ctx.sign("stale"), "warn") == diagram.node_mark(dataclasses.replace(job, stale_read=True), ctx)
