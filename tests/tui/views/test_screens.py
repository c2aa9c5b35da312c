"""One behaviour of the console each, by keys."""

from __future__ import annotations

import dataclasses
import functools
import re
from datetime import timedelta
from zoneinfo import ZoneInfo

from console.domain.header import EngineView, PausedPlan, UnseenTarget
from console.domain.job import JobRow
from console.domain.reason import LateBecause
from console.domain.text import Title
from console.store.errors import StoreMissing
from console.tui.frame.header_footer import counted_at, header_segments
from console.tui.widgets.paint import length_of
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import (
    EXTRACT,
    NOW,
    ZONE,
    at,
    header,
    incident,
    incident_row,
    job_row,
    run_row,
    run_view,
    target,
)
from tests.tui.views.runs.test_durations import render_context


@on_the_night()
async def test_the_first_screen_shows_who_loses_something_soonest_first(night: Night) -> None:
    await night.see("Supply plan", "03:58 40m", "2 at risk")
    lines = night.text.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("  service ")) + 1
    names = [line[2:16].strip() for line in lines[first : first + 5]]
    assert ["Supply plan", "Daily revenue", "Weekly finance", "Churn scores", "Stock levels"] == names


@on_the_night()
async def test_how_likely_it_is_late_is_not_shown_while_there_is_no_simulation(night: Night) -> None:
    await night.see("Supply plan")
    line = next(line for line in night.text.splitlines() if "Supply plan" in line)
    assert "%" not in line
    assert " late " not in night.text.splitlines()[2]


@on_the_night()
async def test_enter_goes_from_service_to_incident_to_its_root_run(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("enter")
    await night.see("INC-0412", "AFFECTED SERVICES 2")
    await night.press("enter")
    await night.see("RUN " + EXTRACT, "LOG attempt 2", "No space left on")


@on_the_night()
async def test_escape_goes_one_back_and_stays_on_the_first_screen(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    await night.press("escape")
    await night.see("SERVICES 5")
    await night.press("escape")
    await night.see("SERVICES 5")
    assert night.app.is_running


@on_the_night()
async def test_q_on_the_first_screen_leaves_the_filter_then_the_console(night: Night) -> None:
    await night.see("Supply plan", "Churn scores")
    await night.press("!")
    await night.see("only problems")
    await night.press("q")
    await night.wait_until_hidden("only problems")
    await night.press("q")
    await night.until(lambda: night.app.return_value == 0, "the end")


@on_the_night()
async def test_ctrl_c_leaves_from_inside_a_filter(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS")
    await night.press("/", "x", "ctrl+c")
    await night.until(lambda: night.app.return_value == 0, "the end")


@on_the_night()
async def test_the_numbers_switch_between_the_four_screens(night: Night) -> None:
    for key, title in (("2", "INCIDENTS 1"), ("3", "JOBS  row 1 of 14"), ("5", "SYSTEMS 5"), ("1", "SERVICES 5")):
        await night.press(key)
        await night.see(title)
    assert 1 == len(night.app.screen_stack)


@on_the_night()
async def test_enter_on_a_service_without_an_incident_shows_the_jobs_that_it_hangs_on(night: Night) -> None:
    await night.see("Churn scores")
    await night.press("end", "up", "r")
    await night.see("Churn scores has no open incident: ↵ shows its jobs")
    await night.press("enter")
    await night.see("JOBS ", "/ service:churn-scores")


@on_the_night()
async def test_a_filter_narrows_as_one_types_and_escape_clears_it(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("/")
    await night.typing()
    await night.type("etl -rot")
    await night.see("JOBS  row 1 of 3")
    await night.press("enter")
    await night.see("/ etl -rot")
    await night.press("escape")
    await night.see("JOBS  row 1 of 14")


@on_the_night()
async def test_escape_while_one_types_a_filter_clears_it_at_once_and_stays_on_the_row(night: Night) -> None:
    await night.press("2", "3", "/")
    await night.typing()
    await night.type("pg-dwh")
    await night.press("down")
    await night.see("JOBS  row 2 of")
    row = night.app.screen.selected_name()  # type: ignore[attr-defined]
    await night.press("escape")
    await night.see("of 14")
    await night.until(lambda: row == night.app.screen.selected_name(), "the same row")  # type: ignore[attr-defined]
    assert "/ pg-dwh" not in night.text
    await night.press("escape")
    await night.see("SERVICES")


@on_the_night()
async def test_escape_while_one_types_a_search_ends_it_at_once(night: Night) -> None:
    await night.press("3", "g")
    await night.see("LINEAGE")
    await night.act("search")
    await night.typing()
    await night.type("pg-dwh")
    await night.press("enter")
    await night.see("/ pg-dwh")
    await night.act("search")
    await night.typing()
    await night.press("escape")
    await night.wait_until_hidden("/ pg-dwh")


@on_the_night()
async def test_a_line_that_was_closed_stays_closed_whatever_the_terminals_size(night: Night) -> None:
    await night.press("3", "/")
    await night.typing()
    await night.press("escape")
    await night.see("JOBS  row 1 of 14")
    for columns, lines, text in ((100, 30, "JOBS  row 1 of 14"), (40, 10, "too small"), (80, 24, "JOBS  row 1 of 14")):
        await night.pilot.resize_terminal(columns, lines)
        await night.see(text)
        assert [] == [line for line in night.app.screen.query("Entry") if line.display]


@on_the_night((40, 30))
async def test_news_in_a_small_terminal_show_nothing_beside_its_status(night: Night) -> None:
    await night.see("terminal too small: 40x30")
    night.reads.changed()
    await night.at_rest()
    assert "owner" not in night.text
    assert "<services>" not in night.text


@on_the_night()
async def test_the_line_to_type_in_can_be_opened_again(night: Night) -> None:
    await night.press("3", "/")
    await night.typing()
    await night.type("pg-dwh")
    await night.press("enter", "escape")
    await night.see("of 14")
    await night.press("/")
    await night.typing()
    await night.type("cloud")
    await night.see("JOBS  row 1 of 4")


@on_the_night()
async def test_a_filter_by_field_matches_the_field(night: Night) -> None:
    await night.press("3", "/")
    await night.typing()
    await night.type("state:failed system:pg-dwh")
    await night.see("JOBS  row 1 of 1", "pg-dwh/revenue_mart")


@on_the_night()
async def test_a_filter_that_matches_nothing_says_so(night: Night) -> None:
    await night.press("2", "/")
    await night.typing()
    await night.type("zzz")
    await night.see('nothing matches "zzz"; Esc clears the filter')


@on_the_night()
async def test_only_problems_leaves_what_needs_a_person(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("!")
    await night.see("JOBS  row 1 of 3", "only problems")
    await night.press("!")
    await night.see("JOBS  row 1 of 14")


@on_the_night()
async def test_the_zone_key_turns_service_mine_utc(night: Night) -> None:
    await night.see("03:17:42 CET", "06:30")
    await night.press("Z")  # mine is the zone of the services: the key leaves it out
    await night.see("02:17:42 UTC", "05:30", "times: UTC")
    await night.press("Z")
    await night.see("03:17:42 CET", "06:30", f"times: {ZONE} (CET)")


def _mixed(night: Night) -> None:
    """Two services of the night's incident, the most urgent one in New York."""
    services = night.reads.services_
    night.reads.services_ = [dataclasses.replace(services[0], zone="America/New_York"), *services[1:]]
    first, *rest = night.reads.incident_.services
    affected = (dataclasses.replace(first, zone="America/New_York"), *rest)
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, services=affected)


@on_the_night(prepare=_mixed, mine=ZoneInfo("Asia/Tokyo"))
async def test_a_screen_of_services_in_several_zones_is_in_one_zone_which_its_first_line_names(night: Night) -> None:
    """A list is in the zone of the console, an incident in that of its most urgent service."""
    await night.see("11:17:42 JST", "14:30")
    await night.at_rest()
    assert ["JST"] == re.findall(r"\b(?:JST|CET|EST)\b", night.text)
    assert "01:30" not in night.text
    night.app.navigation.open_incident(412)
    await night.see("21:17:42 EST", "01:30")
    await night.at_rest()
    assert ["EST"] == re.findall(r"\b(?:JST|CET|EST)\b", night.text)
    assert "14:30" not in night.text


def _extended(night: Night) -> None:
    first = night.reads.services_[0]
    night.reads.services_[0] = dataclasses.replace(first, extension="by ann: late files")


@on_the_night(prepare=_extended)
async def test_a_deadline_that_was_extended_carries_a_plus(night: Night) -> None:
    await night.see("06:30+", "07:30")


@on_the_night()
async def test_a_changed_store_is_on_the_screen_without_a_key(night: Night) -> None:
    await night.see("Churn scores")
    night.reads.services_[2] = dataclasses.replace(night.reads.services_[2], title="Renamed")
    night.reads.changed()
    await night.see("Renamed")


@on_the_night()
async def test_the_cursor_keeps_its_row_when_rows_move(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412")
    await night.press("home")
    other = incident_row(id=413, act_by=at("03:30"), root_job="cloud/close-books")
    night.reads.incidents_ = [other, *night.reads.incidents_]
    night.reads.changed()
    await night.see("INC-0413")
    await night.press("enter")
    await night.see("AFFECTED SERVICES", "INC-0412")


@on_the_night()
async def test_an_unmoved_cursor_stays_on_the_most_urgent_row(night: Night) -> None:
    night.app.navigation.go("incidents")
    await night.see("INC-0412")
    other = incident_row(id=413, act_by=at("03:30"), root_job="cloud/close-books")
    night.reads.incidents_ = [*night.reads.incidents_, other]
    night.reads.changed()
    await night.see("INC-0413")
    await night.press("y")
    await night.see("copied: INC-0413")


@on_the_night()
async def test_a_dead_engine_is_reported_before_anything_else(night: Night) -> None:
    await night.see("Supply plan")
    dead = EngineView("host-1", at("22:00"), at("03:12"), False)
    night.reads.head = night.reads.head._replace(engine=dead)
    night.reads.changed()
    await night.see("no engine for 5m42s: data from 03:12:00 CET", 'run "headway engine"')
    assert "no engine for" in night.text.splitlines()[1]


@on_the_night()
async def test_a_banner_that_is_too_long_for_the_terminal_goes_on_in_the_next_line(night: Night) -> None:
    await night.see("Supply plan")
    dead = EngineView("host-1", at("22:00") - timedelta(days=4), at("03:12") - timedelta(days=4), False)
    night.reads.head = night.reads.head._replace(engine=dead)
    night.reads.changed()
    await night.see("data from 2026-11-16 03:12:00 CET; run", ' engine"')


@on_the_night((60, 15))
async def test_a_banner_that_three_lines_cannot_hold_says_that_there_is_more(night: Night) -> None:
    await night.see("SERVICES")
    night.reads.broken = "the disk " + "is gone and " * 20
    night.reads.version += 1
    night.app.read_header()
    await night.see("the disk is gone and")
    assert night.text.splitlines()[3].rstrip().endswith("…")
    assert [] == [line for line in night.text.splitlines()[1:4] if len(line.rstrip()) > 60]


@on_the_night()
async def test_a_screen_not_read_before_the_store_was_lost_says_so(night: Night) -> None:
    await night.see("Supply plan")
    night.reads.broken = "disk I/O error"
    night.reads.version += 1
    night.app.read_header()
    await night.see("disk I/O error")
    await night.press("4")
    await night.see("TONIGHT", "no data yet, the store cannot be read")
    assert "reading…" not in night.text


@on_the_night()
async def test_a_replay_is_marked_as_one(night: Night) -> None:
    night.reads.head = night.reads.head._replace(replay=True)
    night.reads.changed()
    await night.see("REPLAY")


@on_the_night()
async def test_a_replays_header_keeps_its_clock_however_many_targets_are_unreachable(night: Night) -> None:
    for many in (2, 9):
        sick = tuple(
            UnseenTarget(f"etl-hosts/etl{number:02}", NOW - timedelta(minutes=4), "unreachable")
            for number in range(many)
        )
        night.reads.head = night.reads.head._replace(replay=True, unseen_targets=sick, late=many)
        night.reads.changed()
        await night.see(f"{many} breached")
        first = night.text.splitlines()[0]
        assert ("REPLAY  03:17:42 CET" in first, "unreachable" in first) == (True, True), first


def test_the_header_counts_a_stop_from_its_start_and_not_from_the_last_poll() -> None:
    """A scheduler that stopped is polled all the time."""
    polled, failing = NOW - timedelta(seconds=11), NOW - timedelta(minutes=4)
    targets = UnseenTarget("db07", polled, "stopped", failing), UnseenTarget("db08", failing, "unreachable", polled)
    right = header_segments(header(unseen_targets=targets), render_context(), 160).right
    assert {"db07 stopped 4m", "db08 unreachable 4m"} <= {text for text, _ in right}


@each_row("width", range(62, 100))
def test_a_blank_stays_between_both_sides_of_the_header(width: int) -> None:
    left, right, _ = header_segments(header(late=1, lost=1, at_risk=3), render_context(), width)
    assert length_of(left) + length_of(right) < width or len(right) <= 2


def test_a_click_on_an_unreachable_target_opens_the_systems_whatever_its_name() -> None:
    """Its name may have the label of a count, and its status is one of a plan's."""
    targets = tuple(
        UnseenTarget(name, NOW, status) for name, status in (("dw at risk", "unreachable"), ("db08", "stopped"))
    )
    shown = header_segments(header(unseen_targets=targets, stopped_plans=(7,)), render_context(), 160, approvals=1)
    start, clicked = 160 - length_of(shown.right), dict[str, str]()
    for run in shown.right:
        clicked[run[0]] = counted_at(shown, 160, start)
        start += length_of([run])
    assert clicked == {
        "A 1 to approve": "approvals", "plan 7 stopped": "", "2 at risk": "services", "1 incident": "incidents",
        "dw at risk unreachable 0s": "systems", "db08 stopped 0s": "systems", " · ": "", " ": "",
    }  # fmt: skip


@on_the_night()
async def test_the_banner_of_a_replay_without_an_engine_names_real_time(night: Night) -> None:
    await night.see("Supply plan")
    dead = EngineView("host-1", at("22:00"), at("03:12"), False)
    night.reads.head = night.reads.head._replace(engine=dead, replay=True)
    night.reads.changed()
    await night.see("no engine since 03:12 real time: the data is old; quit and start again")


@on_the_night()
async def test_a_store_that_cannot_be_read_is_a_banner_and_the_old_rows_stay(night: Night) -> None:
    await night.see("Supply plan")
    night.reads.version += 1
    night.reads.broken = "disk I/O error"
    night.app.read_header()
    await night.see("data from 03:17:42 CET: disk I/O error", "Supply plan")
    night.reads.broken = ""
    night.app.read_header()
    await night.wait_until_hidden("data from")


@on_the_night()
async def test_no_query_of_the_store_runs_on_the_screens_thread(night: Night) -> None:
    for key in ("2", "3", "5", "1", "enter"):
        await night.press(key)
    await night.see("AFFECTED SERVICES")
    assert {"headway-reads"} == night.reads.threads


@on_the_night()
async def test_the_engines_room_is_not_opened_before_it_is_needed(night: Night) -> None:
    await night.see("Supply plan")
    assert [] == night.factories


@on_the_night()
async def test_stale_targets_stand_first_in_systems_with_their_age_and_reason(night: Night) -> None:
    await night.press("5")
    await night.see("1 failing", "4m ago", "unreachable  4m ago", "10.0.3.12 port 22")
    assert "etl-hosts/etl02" in night.text.splitlines()[4]


@on_the_night()
async def test_a_key_on_a_system_shows_its_jobs(night: Night) -> None:
    await night.press("5")
    await night.see("cloud")
    await night.press("down", "J")
    await night.see("JOBS  row 1 of 4", "system:cloud")


@on_the_night()
async def test_an_open_run_of_a_dead_target_is_shown_as_unknown_with_its_age(night: Night) -> None:
    await night.press("3")
    await night.see("sync_stock")
    line = next(line for line in night.text.splitlines() if "sync_stock" in line)
    assert line.startswith("? ◷")
    assert "unknown 4m" in line


@on_the_night()
async def test_e_walks_from_error_line_to_error_line(night: Night) -> None:
    night.app.navigation.open_run(1)
    await night.see("extract_orders failed, exit 1")
    pane = night.widget("#log")
    marked = []
    for key in ("e", "e", "E"):
        await night.press(key)
        marked.append(pane.marked)  # type: ignore[attr-defined]
    assert [4, 6, 4] == marked


@on_the_night()
async def test_a_search_in_the_log_marks_the_line_and_n_goes_on(night: Night) -> None:
    night.app.navigation.open_run(1)
    await night.see("HINT check")
    await night.press("/")
    await night.typing()
    await night.type("DB07")
    await night.press("enter")
    pane = night.widget("#log")
    await night.until(lambda: pane.marked == 1, "the marked line")  # type: ignore[attr-defined]


@on_the_night()
async def test_the_previous_attempt_has_its_own_log(night: Night) -> None:
    night.app.navigation.open_run(1)
    await night.see("LOG attempt 2", "HINT check")
    await night.press("p")
    await night.see("LOG attempt 1", "db07 is busy")


@on_the_night()
async def test_a_system_without_logs_says_so_in_place_of_one(night: Night) -> None:
    night.reads.runs_[1] = run_view(
        capabilities=("rerun",), missing={"log": "its log went to mail"}, log="", log_error=""
    )
    night.app.navigation.open_run(1)
    await night.see("its log went to mail")
    await night.press("l")
    await night.see("its log went to mail")
    assert [] == night.requests.calls


@on_the_night()
async def test_an_engine_without_a_log_says_why_and_the_stored_tail_stays(night: Night) -> None:
    night.requests.log_text = ""
    night.reads.runs_[1] = run_view(log="the kept tail")
    night.app.navigation.open_run(1)
    await night.see("LOG attempt 2")


@on_the_night()
async def test_jump_goes_to_a_job_by_a_part_of_its_name(night: Night) -> None:
    await night.see("Supply plan")
    await night.press(":")
    await night.see("jump")
    await night.type("close-b")
    await night.see("cloud/close-books")
    await night.press("enter")
    await night.see("JOB cloud/close-books")


@on_the_night()
async def test_the_palette_runs_what_can_be_done_here(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("ctrl+p")
    await night.see("everything available here")
    await night.type("zone")
    await night.press("enter")
    await night.see("times: UTC")


@on_the_night()
async def test_help_lists_the_keys_of_the_screen_and_enter_runs_one(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("?")
    await night.see("keys of Jobs", "mark for a bulk action; Esc clears the marks")
    await night.type("only what needs")
    await night.press("enter")
    await night.see("only problems")


@on_the_night()
async def test_the_record_of_a_row_is_json_with_native_terms(night: Night) -> None:
    await night.press("3")
    await night.see("extract_orders")
    await night.press("i")
    await night.see('"native_state": "success"')


@on_the_night()
async def test_y_copies_the_name(night: Night) -> None:
    await night.press("3")
    await night.see("extract_orders")
    await night.press("y")
    await night.see(f"copied: {EXTRACT}")
    assert EXTRACT == night.app.clipboard


@on_the_night()
async def test_o_shows_the_runbooks_address(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412")
    await night.press("o")
    await night.see("https://wiki.internal/extract-orders", "data-platform")


@on_the_night()
async def test_drift_is_accepted_only_after_it_was_shown(night: Night) -> None:
    await night.press("3")
    await night.see("1 drifted")
    await night.press("/")
    await night.typing()
    await night.type("nightly")
    await night.see("JOBS  row 1 of 1")
    await night.press("enter", "d")
    await night.see("Keep as accepted", "line gone since 02:40")
    assert [] == night.requests.calls
    await night.press("down", "enter")
    await night.see("accepted: line gone since 02:40")
    assert [("drift", (7, 1))] == night.requests.calls


@on_the_night()
async def test_drift_of_a_job_without_any_says_so(night: Night) -> None:
    await night.press("3")
    await night.see("extract_orders")
    await night.press("d")
    await night.see("has no drift")


@on_the_night()
async def test_an_incident_whose_cause_is_a_host_has_no_run_to_rerun(night: Night) -> None:
    host = incident_row(
        cause="target", root_run_id=None, root_job="", title=Title(("etl-hosts/db07", " does not answer"))
    )
    night.reads.incidents_ = [host]
    night.reads.incident_ = dataclasses.replace(incident(), row=host, members=())
    night.reads.changed()
    await night.press("2")
    await night.see("etl-hosts/d", "not answer")
    await night.press("r")
    await night.see("its root cause is not a run: nothing to rerun")


@on_the_night(size=(50, 12))
async def test_a_terminal_too_small_becomes_a_status_of_the_services(night: Night) -> None:
    await night.see("terminal too small: 50x12; 60x15 shows a screen", "! Supply plan", "06:30 at risk")


@on_the_night()
async def test_a_terminal_that_grows_again_shows_the_screen_again(night: Night) -> None:
    await night.see("SERVICES 5")
    await night.pilot.resize_terminal(40, 10)
    await night.see("terminal too small")
    await night.pilot.resize_terminal(80, 24)
    await night.see("SERVICES 5", "Churn scores")


@functools.cache
def _crowd() -> tuple[JobRow, ...]:
    job = job_row(100, "etl-hosts/host:job")
    return tuple(
        dataclasses.replace(job, id=100 + n, run_id=100 + n, name=f"etl-hosts/host:job_{n:06d}") for n in range(20_000)
    )


def _many(night: Night) -> None:
    night.reads.jobs_ += _crowd()


@on_the_night(prepare=_many)
async def test_end_of_a_long_table_is_one_key_away_and_its_rows_come(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 20,014 ")
    await night.press("end")
    await night.see("JOBS  row 20,014 of 20,014", "job_019999")
    await night.press("home")
    await night.see("JOBS  row 1 of 20,014", "extract_orders")


@on_the_night(prepare=_many)
async def test_a_change_repaints_the_rows_in_view_and_keeps_the_place(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 20,014 ")
    await night.press("end")
    await night.see("job_019999")
    last = night.reads.jobs_[-1]
    night.reads.jobs_[-1] = dataclasses.replace(last, state="failed", ended=NOW - timedelta(minutes=1))
    night.reads.changed()
    await night.until(lambda: "failed" in night.text.splitlines()[-2], "the failed row")
    assert "JOBS  row 20,014 of 20,014" in night.text


@on_the_night()
async def test_an_incident_that_is_not_there_says_so(night: Night) -> None:
    night.app.navigation.open_incident(999)
    await night.see('"INC-0999" not found')
    await night.press("r")
    await night.see('"INC-0999" not found')


@on_the_night()
async def test_a_run_with_an_unknown_end_does_not_grow(night: Night) -> None:
    row = dataclasses.replace(run_row(6, 6, "etl-hosts/db07:rotate"), state="unknown", ended=None, exit_code=None)
    night.reads.runs_[6] = dataclasses.replace(run_view(1), row=row)
    night.reads.jobs_ = [job_row(6, "etl-hosts/db07:rotate", state="unknown", evidence="inferred", ended=None)]
    night.reads.changed()
    await night.press("3")
    await night.see("db07:rotate")
    [line] = [line for line in night.text.splitlines() if "db07:rotate" in line]
    assert line.split().count("–") == 1
    night.app.navigation.open_run(6)
    await night.see("03:12:00, its end is not known")


@on_the_night()
async def test_the_header_says_which_plan_waits_for_a_person(night: Night) -> None:
    night.reads.head = header(stopped_plans=(3,))
    night.app.read_header()
    await night.see("plan 3 stopped")
    night.reads.head = header(stopped_plans=(3, 5))
    night.app.read_header()
    await night.see("2 plans stopped")
    night.reads.head = header(paused_plans=(PausedPlan(4, 3, 10),))
    night.app.read_header()
    await night.see("plan 4 paused")


@on_the_night()
async def test_what_is_late_is_not_counted_as_a_risk(night: Night) -> None:
    night.reads.head = header(at_risk=3, late=1)
    night.app.read_header()
    await night.see("1 breached · 2 at risk · 1 incident")


@on_the_night()
async def test_what_will_miss_is_not_counted_as_a_risk(night: Night) -> None:
    night.reads.head = header(at_risk=2, lost=1)
    night.app.read_header()
    await night.see("1 will miss · 1 at risk · 1 incident")


@on_the_night()
async def test_the_clock_stays_however_much_the_header_shows(night: Night) -> None:
    night.reads.head = header(at_risk=3, late=1, lost=1, stopped_plans=(2,), replay=True, unseen_targets=())
    night.app.read_header()
    await night.see("REPLAY  03:17:42 CET", "plan 2 stopped · 1 breached · 1 will miss · 1 at risk")


@on_the_night()
async def test_what_has_no_estimate_is_not_counted_as_a_risk(night: Night) -> None:
    night.reads.head = header(at_risk=1, no_estimate=1)
    night.app.read_header()
    await night.see("prod", "1 no estimate · 1 incident")
    assert "1 at risk" not in night.text.splitlines()[0]


@on_the_night()
async def test_o_on_a_run_shows_owner_and_runbook_of_its_job(night: Night) -> None:
    night.app.navigation.open_run(1)
    await night.see("RUN " + EXTRACT)
    await night.press("o")
    await night.see("owner:", "data-platform", "https://wiki.internal/extract-orders")


def _much_to_say(night: Night) -> None:
    view = night.reads.incident_
    reason = "supply-mart starts by the clock at 04:30 " + "and must find every table of the warehouse green " * 4
    services = (
        dataclasses.replace(view.services[0], reasons=(LateBecause((reason + "AT THE END",)),)),
        *view.services[1:],
    )
    long = "a reason that is so long that it takes nearly the whole of a line of a hundred and twenty cells by itself"
    deliveries = tuple(
        dataclasses.replace(view.deliveries[0], receiver=f"env HEADWAY_MAIL_OF_THE_TEAM_ON_CALL_FOR_WAREHOUSE_{name}")
        for name in ("ONE", "TWO")
    )
    row = dataclasses.replace(view.row, reason=(long,), affected_runs=1)
    night.reads.incident_ = dataclasses.replace(view, row=row, services=services, deliveries=deliveries)


@on_the_night(size=(120, 36), prepare=_much_to_say)
async def test_an_incident_says_all_of_it_where_there_is_room(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see("by itself", "failed since 03:12 (5m)", "1 run failed or stale", "HOUSE_ONE", "HOUSE_TWO")
    await night.act("evidence")
    await night.see("AT THE END")


def _quiet_systems(night: Night) -> None:
    can = ("rerun", "log", "native_dependencies", "history")
    night.reads.targets_ = [target("orders-sfn", "orders-sfn", "step_functions", capabilities=can)]


@on_the_night(size=(120, 36), prepare=_quiet_systems)
async def test_what_a_system_can_do_takes_the_room_of_what_it_does_not_say(night: Night) -> None:
    await night.press("5")
    await night.see("rerun log")
    assert "native" not in night.text


@on_the_night(size=(100, 50))
async def test_the_keys_of_jobs_explain_the_marks_beside_a_state(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("?")
    await night.press(*"inferred")
    await night.see("≈", "inferred", "no source recorded its end")


@on_the_night(on_painted=lambda: None)
async def test_a_store_lost_later_is_reported_as_unreadable_though_an_engine_was_started(night: Night) -> None:
    night.app.store_failed(StoreMissing("there is no store at x"))
    await night.see("data from 03:17:42 CET: there is no store at x")


@on_the_night()
async def test_l_on_services_opens_the_log_of_the_root_run(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("l")
    await night.see("RUN " + EXTRACT)
