"""What a forecast leaves to single jobs: on their pages, in Lineage, on an incident; and what if one went otherwise."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta

import pytest

from console.control.explain.lineage import LineageReach
from console.control.explain.lineage_layout import LayoutRequest, lay_out
from console.domain.history import EstimateBasis, EstimateKind
from console.domain.reason import CauseKnown, FinishExpected, LateBecause
from console.tui.dialogs import what_if
from console.tui.frame.cells import RenderContext, act_by
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.incidents.evidence import evidence_lines
from console.tui.views.incidents.summary import summary_lines as story_lines
from console.tui.views.lineage.diagram import LineageOptions, draw_lineage, spacing
from console.tui.views.runs import forecast, overview
from console.tui.views.services import rows
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_ahead import ahead as left
from tests.tui.fake_ahead import all_ahead
from tests.tui.fake_reads import EXTRACT, LOAD, MART, NOW, FakeReads, at, incident, services

CONTEXT = RenderContext(NOW, ZonedClock(), GlyphSet())


def text(lines: object) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)  # type: ignore[attr-defined]


def test_the_services_of_a_job_are_rows_of_a_table_the_tightest_first() -> None:
    views = [view for view in all_ahead() if view.job == LOAD]
    finish, *table = text(forecast.forecast_lines(views[::-1], CONTEXT, 160)).splitlines()
    assert " expected 03:24, 95 % by 03:57" == finish
    head, supply, revenue = (re.split(r"  +", line.strip()) for line in table)
    assert ["service", "due", "job risk", "slack", "act by", "green by", "critical"] == head
    assert ["Supply plan", "05:30", "38 %", "+9m", "03:18 1h", "03:30", "97 %"] == supply
    assert ["Daily revenue", "06:30", "4 %", "+1h22m"] == revenue[:4]


def test_a_failed_job_has_no_slack_beside_its_act_by() -> None:
    """ "slack +1h5m" beside "act by 04:07 54m" were two answers to one question."""
    views = [view for view in all_ahead() if view.job == EXTRACT]
    finish, head, supply, _ = text(forecast.forecast_lines(views, CONTEXT, 160)).splitlines()
    assert " expected 03:12, 95 % by 03:41 if repaired as usual" == finish
    assert ["service", "due", "job risk", "act by", "green by", "critical"] == re.split(r"  +", head.strip())
    assert ["Supply plan", "05:30", "38 %", "02:58 40m", "03:21", "97 %"] == re.split(r"  +", supply.strip())


def test_the_next_night_and_the_last_run_have_their_day() -> None:
    tonight, day = left("supply-plan", EXTRACT), timedelta(hours=21)
    times = {name: getattr(tonight, name) + day for name in ("deadline", "p50", "p80", "p95", "act_by", "green_by")}
    lines = text(forecast.forecast_lines([dataclasses.replace(tonight, **times)], CONTEXT, 160))
    assert " expected Sat 00:12, 95 % by Sat 00:41" in lines
    assert "  Sat 02:30  " in lines
    view = FakeReads().job(1)
    for ended, night in ((NOW - timedelta(hours=20), "Thu 06:17"), (NOW - timedelta(minutes=7), "02:10")):
        row = dataclasses.replace(view.row, state="succeeded", started=NOW - timedelta(hours=21), ended=ended)
        [state, *_] = overview.status_segments(dataclasses.replace(view, row=row), CONTEXT)
        assert f"succeeded {night}" in text([state])


@pytest.mark.parametrize("width, last", [(80, "critical"), (60, "green by"), (30, "job risk")])
def test_the_table_leaves_out_columns_without_room(width: int, last: str) -> None:
    head = text(forecast.forecast_lines([left("supply-plan", EXTRACT)], CONTEXT, width)).splitlines()[1]
    assert head.strip().endswith(last)


def test_the_source_of_a_duration_is_named_where_it_is_not_the_jobs_own_history() -> None:
    history, declared, mixed, peers = (
        text(forecast.forecast_lines([left("supply-plan", LOAD, basis=EstimateBasis(kind, count))], CONTEXT, 160))
        for kind, count in (
            (EstimateKind.HISTORY, 31), (EstimateKind.DECLARED, 0), (EstimateKind.DECLARED, 8), (EstimateKind.PEERS, 12)
        )
    )  # fmt: skip
    assert "estimated from" not in history
    assert "estimated from declared duration" in declared
    assert "estimated from declared duration, varies like 8 peer jobs" in mixed
    assert "estimated from 12 peer jobs" in peers


def test_of_each_service_the_day_counts_that_is_due_first() -> None:
    first = left("supply-plan", LOAD)
    next_day = dataclasses.replace(
        first, business_date="2026-11-20", deadline=first.deadline + timedelta(days=1), slack_s=0.0
    )
    other = left("daily-revenue", LOAD)
    assert [first, other] == forecast.tonight_segments([next_day, other, first])


def test_two_services_of_the_same_title_are_both_shown() -> None:
    job_forecast_view, other = (
        left("supply-plan", LOAD),
        dataclasses.replace(left("supply-plan", LOAD), name="supply-plan-east"),
    )
    assert [job_forecast_view, other] == forecast.tonight_segments([job_forecast_view, other])


def test_a_missing_act_by_and_any_slack_are_shown() -> None:
    output = text(
        forecast.forecast_lines([left("supply-plan", LOAD, slack=None, act_by=None, green_by=None)], CONTEXT, 160)
    )
    assert "any    –       –  " in output


def test_many_services_are_counted() -> None:
    many = [left("supply-plan", LOAD, slack=n) for n in range(9)]
    assert text(forecast.forecast_lines(many, CONTEXT, 160)).endswith(" and 6 services more")


@each_row(
    "height, has_more, lines",
    [(12, True, 4), (12, False, 3), (9, True, 3), (9, False, 3), (8, True, 2), (5, True, 1), (3, False, 1)],
)
def test_a_row_of_lineage_takes_as_many_lines_as_all_rows_have(height: int, has_more: bool, lines: int) -> None:
    layout = lay_out([(0, 1), (0, 2), (0, 3)], LayoutRequest(0, 1, 1))
    assert lines == spacing(layout, height, has_more)


@on_the_night(size=(120, 36))
async def test_lineage_says_beside_each_job_how_likely_it_decides_and_what_is_left(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("lineage")
    await night.see("slack +9m ", "critical 97 %", "slack -4m", "Supply plan 06:30 at risk act by 03:58 40m")
    await night.press("right")
    await night.see("Daily revenue 07:30")


@pytest.mark.parametrize("decides, ends, share", [(0.84, False, ", critical 84 %"), (0.04, False, ""), (1.0, True, "")])
def test_the_share_is_shown_only_of_a_job_that_may_decide_and_does_not_deliver(
    decides: float, ends: bool, share: str
) -> None:
    known = left("supply-plan", LOAD, slack=12, decides=decides)
    [[(shown, _)]] = forecast.slack_segments(known, is_whole=True, ends=ends)
    assert f"slack +12m{share}" == shown


def test_where_a_job_has_one_line_its_slack_follows_its_name() -> None:
    lineage_reach = LineageReach(FakeReads().lineage.lineage_of(1), tuple(services()), NOW)
    drawing = draw_lineage(
        lineage_reach, LineageOptions(), CONTEXT, (80, 4), None, forecast.by_job(all_ahead())
    ).drawing
    drawn = text(drawing.line(y, None, (), lambda _: "") for y in range(drawing.height))
    assert drawing.spacing == 1
    assert "orders +9m ━" in drawn
    assert "● load_orders +9m ━" in drawn
    assert "revenue_mart -4m" in drawn


@on_the_night()
async def test_a_jobs_page_shows_tonights_odds_and_counts_down(night: Night) -> None:
    night.app.navigation.open_job(EXTRACT)
    await night.see("act by 03:58 40m", "job risk", "Supply plan    06:30  38 %", "95 % by 04:41")


@on_the_night()
async def test_a_job_that_no_service_waits_for_has_no_forecast(night: Night) -> None:
    night.app.navigation.open_job("pg-dwh/vacuum_all")
    await night.see("JOB pg-dwh/vacuum_all", "upstream")
    assert "green by  critical" not in night.text


def test_the_last_ten_minutes_are_counted_by_seconds() -> None:
    left_ = {minutes: act_by(NOW + timedelta(minutes=minutes, seconds=18), CONTEXT)[0] for minutes in (9, 10)}
    assert ("9m18s", "10m") == (left_[9].split()[1], left_[10].split()[1])


def test_further_lines_of_the_upper_blocks_come_before_those_of_the_lower_ones() -> None:
    blocks = [[[(f"{name}{n}", "")] for n in range(3)] for name in "ab"]
    assert ["a0", "a1", "b0"] == text(overview.fit_lines(blocks, 3)).splitlines()
    assert ["a0", "a1", "a2", "b0", "b1"] == text(overview.fit_lines(blocks, 5)).splitlines()
    assert ["a0"] == text(overview.fit_lines(blocks, 1)).splitlines()


def test_a_forecast_that_is_not_to_be_trusted_says_so_and_why() -> None:
    doubted = dataclasses.replace(services()[0], unreliable_because="past forecasts were 14 % off on average")
    assert "38 % risk of being late · unreliable" in text(rows.service_detail(doubted, CONTEXT, 160))
    output = text(rows.service_detail(dataclasses.replace(doubted, incident_id=None), CONTEXT, 160))
    assert "its forecasts are not to be trusted: past forecasts were 14 % off on average" in output
    assert "unreliable" not in text(rows.service_detail(services()[0], CONTEXT, 160))
    view = incident()
    service = dataclasses.replace(view.services[0], unreliable_because=doubted.unreliable_because)
    assert f"unreliable: {doubted.unreliable_because}" in text(
        evidence_lines(dataclasses.replace(view, services=(service,)), CONTEXT)
    )


def test_a_forecast_that_rests_on_what_somebody_declared_says_so() -> None:
    assert "1 of 2 jobs as declared" in text(rows.service_detail(services()[0], CONTEXT, 160))
    assert "" == rows.evidence_text([{"source": "history"}, {"source": "history"}])
    assert "2 of 3 jobs as declared, from peer jobs" == rows.evidence_text(
        [{"source": "history"}, {"source": "declared"}, {"source": "peers"}]
    )


def test_an_incident_shows_how_likely_each_service_is_late_and_why_with_figures() -> None:
    view = incident()
    rows = story_lines(view, CONTEXT, 120)
    output = "\n".join("".join(text for text, _ in row.cells) for row in rows)
    assert "\n ! Supply plan    05:30  act by 02:58 40m    usual repair: 38 % late  tier 2" in output
    assert "usual repair: 38 % risk of being late, 04:50, 95 % by 05:52" in text(evidence_lines(view, CONTEXT))


def test_the_evidence_of_an_incident_has_one_chance_and_one_finish() -> None:
    """Evidence keeps the reasons of its evaluation and shows risk and finish of the current forecast only."""
    judged = (
        FinishExpected(at("06:01"), is_late=True, p_late=0.41),
        LateBecause(("extract took 1h, 24m over its p90 (18 runs)",)),
        CauseKnown("extract"),
    )
    service = dataclasses.replace(incident().services[0], reasons=judged)
    output = text(evidence_lines(dataclasses.replace(incident(), services=(service,)), CONTEXT))
    assert ["38 % risk"] == re.findall(r"[0-9]+ % (?:late )?risk", output)
    assert "expected 05:01" not in output
    assert "extract took 1h, 24m over its p90 (18 runs)" in output
    repaired = dataclasses.replace(
        service, reasons=(LateBecause(("restart extract by 03:58",)), LateBecause(("extract is red",), 0.41))
    )
    assert "   extract is red" in text(evidence_lines(dataclasses.replace(incident(), services=(repaired,)), CONTEXT))
    unforeseen = dataclasses.replace(service, p_late=None)
    assert "41 % risk of being late: expected 05:01" in text(
        evidence_lines(dataclasses.replace(incident(), services=(unforeseen,)), CONTEXT)
    )


def test_an_incident_shows_how_likely_each_job_of_a_critical_path_decides() -> None:
    lines = text(evidence_lines(incident(), CONTEXT, all_ahead())).splitlines()
    supply, revenue = (line for line in lines if "load_orders: usually 12m" in line)
    assert supply.endswith("history, 31 runs; critical 97 %, slack +9m")
    assert revenue.endswith("history, 31 runs; critical 61 %, slack +1h22m")
    unlikely = [dataclasses.replace(view, decides=0.02) for view in all_ahead()]
    assert "critical" not in text(evidence_lines(incident(), CONTEXT, unlikely))


# what if


@on_the_night()
async def test_one_key_shows_services_under_another_outcome_of_the_job(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("what_if")
    await night.see("WHAT IF etl-hosts/db07:extract_orders", "restarted now        18 % risk", "nothing is sent")
    assert [("what if", (1, [{"how": "restart"}, {"how": "skip"}, {"how": "faster", "factor": 0.5}]))] == (
        night.requests.calls
    )
    assert [] == night.requests.sent


@on_the_night()
async def test_a_restart_at_another_time_is_shown_beside_the_others(night: Night) -> None:
    night.app.navigation.open_job(LOAD)
    await night.see("act by 04:18")
    await night.act("what_if")
    await night.see("nothing is sent")
    await night.act("what_if_at")
    await night.see("were restarted at")
    await night.typing()
    await night.type("noon")
    await night.press("enter")
    await night.see("write 03:58")
    for _ in "noon":
        await night.press("backspace")
    await night.type("3:58")
    await night.press("enter")
    await night.see("restarted at 03:58   81 % risk")
    [_, again] = night.requests.calls
    assert {"how": "restart", "at": "2026-11-20T03:58:00+01:00"} in again[1][1]


@on_the_night()
async def test_a_job_that_no_service_waits_for_says_so(night: Night) -> None:
    night.app.navigation.open_job("pg-dwh/vacuum_all")
    await night.see("JOB pg-dwh/vacuum_all")
    await night.act("what_if")
    await night.see("no open service depends on pg-dwh/vacuum_all")


@on_the_night(prepare=lambda night: setattr(night.requests, "preview_error", "the store is busy"))
async def test_a_missing_answer_is_explained(night: Night) -> None:
    night.app.navigation.open_job(MART)
    await night.see("evidence")
    await night.act("what_if")
    await night.see("no forecast: the store is busy")


@each_row("typed, clock", [("03:58", "03:58"), ("3:58", "03:58"), ("03:10", "03:10"), ("soon", "")])
def test_a_time_is_the_next_one_on_the_wall_that_is_shown(typed: str, clock: str) -> None:
    instant = what_if.next_time(typed, CONTEXT)
    if not clock:
        assert instant is None
        return
    assert instant is not None
    assert instant.strftime("%H:%M") == clock
    assert NOW <= instant <= NOW + timedelta(days=1)


def test_a_job_that_failed_comes_first_by_its_act_by() -> None:
    """Above its next date, which has slack."""
    soon, late = (
        left("daily-revenue", EXTRACT, slack=None, has_failed=True, act_by=act_by) for act_by in ("03:40", "04:50")
    )
    next_date = left("supply-plan", EXTRACT, slack=9)
    assert [soon, late, next_date] == forecast.least_slack([next_date, late, soon])


def test_a_job_that_costs_nothing_has_neither_an_act_by_nor_a_share() -> None:
    """A good job of every 3 minutes had "own risk under 1 % ... act by 10:58 ... critical 0 %"."""
    view = dataclasses.replace(left("supply-plan", LOAD), p_late=0.0, decides=0.0)
    _, _, row = text(forecast.forecast_lines([view], CONTEXT, 160)).splitlines()
    assert ["Supply plan", "05:30", "under 1 %", "+9m", "–", "–", "–"] == re.split(r"  +", row.strip())
    assert [] == forecast.countdown([view], CONTEXT)
    failed = dataclasses.replace(view, has_failed=True)
    assert "act by 02:58 40m " == text([forecast.countdown([failed], CONTEXT)])
