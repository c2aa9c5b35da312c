"""The verdict in one line: which service first, what is still saved, what runs, and in which zone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.incidents.verdict.decision import incident_verdict, urgent_incident, urgent_service
from console.control.incidents.verdict.text import late_text, repetition_text, verdict_text
from console.control.services.order import by_urgency
from console.domain.incident import (
    AffectedServiceView,
    IncidentView,
    RepairStep,
    repair_times,
    repaired_at_end,
)
from console.domain.plan import PlanView
from console.domain.reason import (
    BadDelivery,
    FinishExpected,
    GreenAgain,
    LaterRunGood,
    NativeStart,
    OutOfView,
    Repetition,
    ScheduleChanged,
    StartEffect,
)
from console.domain.service import RepairCase
from console.domain.switches import SwitchState
from console.domain.text import Title
from console.tui.frame.cells import RenderContext, act_by
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.frame.header_footer import banner_text
from console.tui.frame.screen import HeadwayScreen
from console.tui.frame.service_groups import no_incident_text
from console.tui.views.incidents.evidence import evidence_lines
from console.tui.views.incidents.path import read_path
from console.tui.views.incidents.preview import incident_source
from console.tui.views.incidents.summary import header_lines, incident_title, summary_lines
from console.tui.views.incidents.verdict_line import OpenIncident, VerdictLine, service_verdict, verdict_lines
from console.tui.views.plans.rows import saved_services
from console.tui.widgets.paint import Segment, length_of
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import (
    NOW,
    FakeReads,
    at,
    draft,
    header,
    incident,
    plan_of,
    run_row,
    run_view,
    service,
    services,
)  # fmt: skip
from tests.tui.views.runs.test_durations import render_context


def text_of(segments: list[Segment]) -> str:
    return "".join(text for text, _ in segments)


def first_line(lines: list[list[Segment]]) -> str:
    return text_of(lines[0])


def verdict(view: IncidentView) -> str:
    return first_line(verdict_lines(OpenIncident(view, ()), render_context(), 200, is_frozen=False))


def verdict_of(
    view: IncidentView, plans: Sequence[PlanView] = (), now: datetime = NOW, *, is_frozen: bool = False
) -> str:
    """As the commands print it."""
    return verdict_text(incident_verdict(view, plans, now, is_frozen=is_frozen), now, render_context().hm)


def with_service(view: IncidentView, **changes: Any) -> IncidentView:
    """The second service changed."""
    first, second = view.services
    return dataclasses.replace(view, services=(first, dataclasses.replace(second, **changes)))


def with_root(**changes: Any) -> IncidentView:
    view = incident()
    return dataclasses.replace(view, members=(dataclasses.replace(view.members[0], **changes), *view.members[1:]))


def closed(view: IncidentView, **changes: Any) -> IncidentView:
    return dataclasses.replace(view, row=dataclasses.replace(view.row, closed=NOW, **changes))


def test_a_job_that_starts_before_the_act_by_is_named_as_the_second_restart() -> None:
    start = NativeStart("load_orders", at("03:50"), StartEffect.RERUN_AFTER, reads_stale=True)
    first, *others = incident().services
    view = dataclasses.replace(incident(), services=(dataclasses.replace(first, reasons=(start,)), *others))
    safe = dataclasses.replace(view, services=(dataclasses.replace(first, reasons=()), *others))
    assert "(in 40 min), after 03:50 also load_orders, saves Supply plan" in verdict(view)
    assert "load_orders too" not in verdict(safe)
    [line] = verdict_lines(OpenIncident(view, ()), render_context(), 80, is_frozen=False)
    whole = " Restart extract_orders by 03:58, after 03:50 also load_orders, saves 2 services"
    assert (whole, 80) == (text_of(line), length_of(line)), "the time left goes before the services"
    [line] = verdict_lines(OpenIncident(view, ()), render_context(), 68, is_frozen=False)
    assert " Restart extract_orders by 03:58, saves Supply plan, Daily revenue" == text_of(line), "as in their rows"
    [line] = verdict_lines(OpenIncident(view, ()), render_context(), 60, is_frozen=False)
    assert " Restart extract_orders by 03:58, saves 2 services" == text_of(line)
    [line] = verdict_lines(OpenIncident(view, ()), render_context(), 50, is_frozen=False)
    assert " Restart extract_orders by 03:58" == text_of(line).partition(", saves")[0], "the same time"
    in_utc = RenderContext(NOW, ZonedClock(ZoneInfo("UTC")), GlyphSet())
    [line] = verdict_lines(OpenIncident(view, ()), in_utc, 200, is_frozen=False)
    assert "after 02:50 also load_orders, saves" in text_of(line), "one zone"
    assert f" {verdict_of(view)}" == verdict(view)


def test_a_long_name_is_cut_before_the_act_by() -> None:
    view = with_root(job="cron-db07/batch-extract.sh-headway-extract_orders", unreachable="cron-db07/db07")
    [line] = verdict_lines(OpenIncident(view, ()), render_context(), 56, is_frozen=False)
    assert " Restore cron-db07/db07, then restart batch-ex… by 03:58" == text_of(line)
    start = NativeStart("load_orders", at("03:50"), StartEffect.RERUN_AFTER, reads_stale=True)
    first, *others = view.services
    earlier = dataclasses.replace(view, services=(dataclasses.replace(first, reasons=(start,)), *others))
    [line] = verdict_lines(OpenIncident(earlier, ()), render_context(), 80, is_frozen=False)
    assert text_of(line).endswith("… by 03:58")
    assert length_of(line) <= 80


@given(st.data())
def test_the_verdict_names_the_act_by_of_the_service_that_it_names_first(data: st.DataObject) -> None:
    """At every width the time of its row, whichever deadline comes first."""
    times = data.draw(st.permutations([at("03:58"), at("04:40")]))
    deadlines = data.draw(st.permutations([at("06:30"), at("07:30")]))
    start = NativeStart("load", at("03:50"), StartEffect.RERUN_AFTER, reads_stale=True)
    starts = data.draw(st.sampled_from([(), (start,)]))
    days = tuple(
        dataclasses.replace(day, act_by=until, deadline=deadline, reasons=starts)
        for day, until, deadline in zip(incident().services, times, deadlines, strict=True)
    )
    first = min(days, key=lambda day: day.act_by or day.deadline)
    opened = OpenIncident(dataclasses.replace(incident(), services=days), ())
    [line] = verdict_lines(opened, render_context(), data.draw(st.integers(34, 200)), is_frozen=False)
    text = text_of(line)
    assert f" by {act_by(first.act_by, render_context())[0].partition(' ')[0]}" in text
    saves = text.partition(", saves ")[2]
    assert not saves or saves.startswith((first.title, "2 services"))


def test_a_start_that_has_passed_is_a_restart_without_a_time() -> None:
    start = NativeStart("load_orders", NOW, StartEffect.RERUN_AFTER, reads_stale=True)
    first, *others = incident().services
    view = dataclasses.replace(incident(), services=(dataclasses.replace(first, reasons=(start,)), *others))
    assert " Restart extract_orders by 03:58 (in 40 min), then load_orders, saves Supply plan" in verdict(view)
    [line] = verdict_lines(OpenIncident(view, ()), render_context(), 40, is_frozen=False)
    assert " Restart extract_orders by 03:58" == text_of(line)


@pytest.mark.parametrize(
    "changes", [{"act_by": at("03:10"), "timeliness": "will_miss"}, {"act_by": None}, {"timeliness": "no_estimate"}]
)
def test_only_services_that_can_still_be_saved_are_named(changes: dict[str, Any]) -> None:
    assert verdict(incident()).endswith("(in 40 min), saves Supply plan, Daily revenue")
    assert verdict(with_service(incident(), **changes)).endswith(", saves Supply plan")
    first, second, *others = services()
    views = [first, dataclasses.replace(second, **changes), *others]
    assert text_of(service_verdict(views, render_context(), 200)).endswith("saves Supply plan")


def test_the_header_names_a_shared_cause_as_the_incident_does() -> None:
    first = dataclasses.replace(services()[0], cause="db07:5432")
    assert text_of(service_verdict([first], render_context(), 200)).startswith(" Fix db07:5432 by ")


def test_a_restart_is_due_now_for_a_service_whose_act_by_has_passed_while_it_is_likely_in_time() -> None:
    """Not until the act-by of the other service; the job that read stale data at its start is restarted after it."""
    start = NativeStart("load_orders", at("03:15"), StartEffect.RERUN_AFTER, reads_stale=True)
    overdue = with_service(incident(), act_by=at("03:10"), reasons=(start,))
    line = " Restart extract_orders now, act-by 03:10 has passed, then load_orders"
    assert f"{line}, saves Daily revenue, Supply plan" == verdict(overdue), "first the one whose act-by it names"
    [narrow] = verdict_lines(OpenIncident(overdue, ()), render_context(), 80, is_frozen=False)
    assert line == text_of(narrow), "the act-by is never cut"


def test_a_job_that_has_read_stale_data_is_restarted_before_a_later_start_is_awaited() -> None:
    start = NativeStart("dwh/revenue_mart", at("05:20"), StartEffect.RERUN_AFTER, reads_stale=True)
    view = with_service(incident(), reasons=(start,), act_by=at("04:40"))
    lost, *others = view.services
    view = dataclasses.replace(
        view, services=(dataclasses.replace(lost, act_by=at("03:10"), timeliness="will_miss"), *others)
    )
    assert "then load_orders, " in verdict(view)
    fresh = dataclasses.replace(view, members=tuple(run for run in view.members if run.role != "stale"))
    assert "after 05:20 also revenue_mart, " in verdict(fresh)


def test_a_service_that_can_still_be_saved_ranks_before_one_that_cannot() -> None:
    supply, revenue, *_ = services()
    passed = dataclasses.replace(supply, act_by=at("03:10"), timeliness="will_miss")
    unknown = dataclasses.replace(supply, act_by=None)
    assert urgent_service([supply, revenue], NOW) is supply
    assert urgent_service([passed, revenue], NOW) is revenue
    assert urgent_service([passed, unknown], NOW) is unknown
    overdue = dataclasses.replace(passed, timeliness="at_risk")
    assert urgent_service([revenue, overdue], NOW) is overdue, "a restart now may still save it"
    soonest = dataclasses.replace(revenue, act_by=None, deadline=at("03:30"))
    assert urgent_service([supply, soonest], NOW) is soonest, "without an act-by its deadline counts"
    assert by_urgency([supply, soonest, dataclasses.replace(soonest, timeliness="breached")], NOW)[:2] == [
        soonest,
        supply,
    ]


def test_an_incident_that_affects_no_service_does_not_stand_above_an_endangered_service() -> None:
    calm, endangered = (service(1, "plan", "Plan", 1, "06:30", timeliness=state) for state in ("on_time", "will_miss"))
    number = incident().row.id
    assert number == urgent_incident([calm], [incident().row], [], NOW)
    assert urgent_incident([endangered], [incident().row], [], NOW) is None
    assert 7 == urgent_incident([dataclasses.replace(endangered, incident_id=7)], [incident().row], [], NOW)


def without_act_by(*timeliness: str, expected: str = "07:34", act_by: datetime | None = None) -> IncidentView:
    """All affected services with that timeliness, and no act-by, or one that has passed."""
    view = incident()
    late = [
        dataclasses.replace(service, timeliness=name, act_by=act_by, expected=at(expected))
        for service, name in zip(view.services, timeliness, strict=False)
    ]
    return dataclasses.replace(view, row=dataclasses.replace(view.row, act_by=act_by), services=tuple(late))


def with_case(view: IncidentView, case: RepairCase | None) -> IncidentView:
    """The estimates of its services are those of this case."""
    as_case: dict[RepairCase | None, dict[str, Any]] = {
        RepairCase.USUAL: {},
        RepairCase.NOW: {"p_late": None},
        None: {"reasons": (FinishExpected(at("06:08"), is_late=False),)},
    }
    days = tuple(dataclasses.replace(service, green_by=None, **as_case[case]) for service in view.services)
    assert [case] * len(days) == [day.repair_case for day in days]
    return dataclasses.replace(view, services=days)


@each_row("case", [RepairCase.USUAL, RepairCase.NOW, None])
@each_row("changes", [{}, {"state": "running", "started": at("03:15")}, {"rerun_sent": at("03:14")}])
@each_row("state", ["", "paused", "running"])
def test_the_finish_of_a_late_service_has_its_case(
    changes: dict[str, Any], state: str, case: RepairCase | None
) -> None:
    """Whatever the verdict begins with: the finish after the usual repair has its condition, no other finish has it."""
    lost = without_act_by("will_miss", "on_time", act_by=at("03:10"))
    view = with_case(dataclasses.replace(lost, members=with_root(**changes).members), case)
    plans = (plan_of(draft(), 7, state=state),) if state else ()
    text = verdict_of(view, plans)
    assert "expected 07:34" in text
    assert (case is RepairCase.USUAL) == ("expected 07:34 if repaired as usual" in text), text


def test_a_breached_service_is_named_with_its_deadline_and_restarted_now() -> None:
    breached = without_act_by("breached", "met_late", act_by=at("03:10"))
    message = " Supply plan 06:30 breached: restart extract_orders now"
    assert verdict(breached) == f"{message}, expected 07:34 if repaired as usual, 1 h 4 min late"
    overdue = without_act_by("breached", "met_late", expected="06:35", act_by=at("03:10"))
    assert f" {verdict_of(overdue, now=at('06:40'))}" == f"{message}, 10 min late so far"
    assert first_line(verdict_lines(OpenIncident(breached, ()), render_context(), 60, is_frozen=False)) == message
    assert verdict(without_act_by("breached", "breached")).startswith(" Supply plan 06:30 and 1 more breached: restart")
    assert text_of(incident_title(without_act_by("breached"), render_context(), 120)[1]) == "breached "


def test_without_an_act_by_the_verdict_names_the_service_and_its_deadline() -> None:
    unknown = without_act_by("at_risk", "on_time")
    assert verdict(unknown) == " Restart extract_orders now, Supply plan due 06:30"
    assert text_of(incident_title(unknown, render_context(), 120)[1]) == "act-by unknown "
    [line] = verdict_lines(OpenIncident(unknown, ()), render_context(), 44, is_frozen=False)
    assert text_of(line) == " Restart extract_ord…, Supply plan due 06:30", "cut before the deadline"
    first, *others = unknown.services
    of_region = dataclasses.replace(unknown, services=(dataclasses.replace(first, title="Revenue (EMEA)"), *others))
    for width in (50, 44):
        [line] = verdict_lines(OpenIncident(of_region, ()), render_context(), width, is_frozen=False)
        assert text_of(line).endswith("…, Revenue (EMEA) due 06:30")
        assert length_of(line) <= width
    assert verdict(without_act_by("met_late", "on_time")) == " Restart extract_orders"
    unaffecting = dataclasses.replace(without_act_by("on_time", "on_time"), services=())
    assert verdict(unaffecting) == " Restart extract_orders, affects no service"


def test_without_an_act_by_the_verdict_names_the_next_start_that_reads_stale_data() -> None:
    starts = tuple(
        NativeStart(job, at(clock), StartEffect.RERUN_AFTER, reads_stale=True)
        for job, clock in (("dwh/report", "05:10"), ("load_orders", "04:30"), ("early", "03:10"))
    )
    view = without_act_by("at_risk", "on_time")
    first, *others = view.services
    view = dataclasses.replace(view, services=(dataclasses.replace(first, reasons=starts), *others))
    line = " Restart extract_orders before 04:30 (next start of load_orders)"
    assert f"{line}, Supply plan due 06:30" == verdict(view)
    [narrow] = verdict_lines(OpenIncident(view, ()), render_context(), 68, is_frozen=False)
    assert line == text_of(narrow)
    [narrow] = verdict_lines(OpenIncident(view, ()), render_context(), 34, is_frozen=False)
    assert " Restart extract_ord… before 04:30" == text_of(narrow).partition(",")[0]
    later = verdict_of(view, now=at("05:20"))
    assert "Restart extract_orders now, Supply plan due 06:30" == later


def test_past_its_act_by_the_verdict_says_what_a_restart_still_brings() -> None:
    view = without_act_by("will_miss", "on_time", act_by=at("03:10"))
    message = (
        " Supply plan 06:30 will miss: restart extract_orders now, expected 07:34 if repaired as usual, 1 h 4 min late"
    )
    assert verdict(view) == message
    by_hand = dataclasses.replace(view.members[0], can_rerun=False)
    view = dataclasses.replace(view, members=(by_hand, *view.members[1:]))
    assert verdict(view).startswith(
        " Supply plan 06:30 will miss: run extract_orders by hand in etl-hosts now, expected"
    )


def test_a_running_plan_saves_no_service_that_is_expected_after_its_deadline() -> None:
    view, plan = without_act_by("breached", "on_time"), plan_of(draft())
    _, in_time = view.services
    assert incident_verdict(view, (plan,), NOW, is_frozen=False).saves == (in_time.title,)
    assert (
        saved_services(plan, view, render_context()) == f"saves {in_time.title} {render_context().hm(in_time.deadline)}"
    )


def test_a_running_plan_saves_no_service_day_that_it_was_shown_not_to_save() -> None:
    view, plan = without_act_by("no_estimate", "on_time"), draft()
    days = {save.day: save for step in plan.steps for save in step.saves}
    saves = tuple(dataclasses.replace(save, saved=save.service != "supply-plan") for save in days.values())
    first, *further = (dataclasses.replace(step, saves=()) for step in plan.steps)
    steps = (dataclasses.replace(first, saves=saves), *further)
    lost, started = view.services[0], plan_of(dataclasses.replace(plan, steps=steps))
    assert "supply-plan" == lost.name
    assert lost.title not in incident_verdict(view, (started,), NOW, is_frozen=False).saves
    assert lost.title not in saved_services(started, view, render_context())
    assert lost.title in saved_services(plan_of(plan), view, render_context())
    yesterday = dataclasses.replace(lost, business_date="2026-11-18")
    assert "" == saved_services(plan_of(plan), dataclasses.replace(view, services=(yesterday,)), render_context())


def test_a_plan_promises_no_service_that_it_only_may_save_and_a_stopped_plan_none() -> None:
    view, plan, hm = without_act_by("no_estimate", "on_time"), draft(), render_context().hm
    unknown, certain = view.services
    days = {save.day: save for step in plan.steps for save in step.saves}
    saves = tuple(
        dataclasses.replace(save, saved=None if save.service == unknown.name else True) for save in days.values()
    )
    steps = tuple(dataclasses.replace(step, saves=saves) for step in plan.steps)
    started = plan_of(dataclasses.replace(plan, steps=steps))
    text = f"saves {certain.title} {hm(certain.deadline)}, may save {unknown.title} {hm(unknown.deadline)}"
    assert text == saved_services(started, view, render_context())
    assert (certain.title,) == incident_verdict(view, (started,), NOW, is_frozen=False).saves
    assert f", may save {unknown.title}, saves {certain.title}" in verdict_of(view, (started,))
    assert "" == saved_services(dataclasses.replace(started, state="stopped"), view, render_context())


def test_a_stopped_plan_names_the_fix_of_its_cause_and_the_next_deadline() -> None:
    view, plan = without_act_by("no_estimate", "on_time"), plan_of(draft(), state="stopped")
    first, *others = plan.steps
    failed = dataclasses.replace(plan, steps=(dataclasses.replace(first, state="failed"), *others))
    texts = [verdict_of(view, (each,)) for each in (failed, plan)]
    resume = "resume it now, Supply plan due 06:30"
    assert [f"Plan 1 stopped: fix extract_orders, then {resume}", f"Plan 1 stopped: {resume}"] == texts
    [line] = verdict_lines(OpenIncident(view, (failed,)), render_context(), 66, is_frozen=False)
    assert text_of(line).endswith("…, Supply plan due 06:30")


@pytest.mark.parametrize("state", ["running", "paused", "stopped"])
def test_the_key_of_a_recovery_is_named_after_what_it_opens(state: str) -> None:
    """A plan is resumed on its own page."""
    assert "plan" == OpenIncident(incident(), (plan_of(draft(), 7, state=state),)).recover_label
    assert "recover" == OpenIncident(incident(), ()).recover_label
    assert "plan" == OpenIncident(incident(), (plan_of(draft(), 7, **PROPOSED),)).recover_label, "it awaits approval"


@each_row("timeliness", ["no_estimate", "on_time", "at_risk", "met_late"])
def test_title_and_verdict_agree_on_an_unknown_act_by(timeliness: str) -> None:
    view = without_act_by(timeliness, "on_time")
    is_unknown = "Supply plan due 06:30" in verdict(view)
    assert is_unknown == (timeliness not in ("on_time", "met_late"))
    assert text_of(incident_title(view, render_context(), 120)[1]) == (
        "act-by unknown " if is_unknown else "no act-by "
    )


def test_services_that_are_late_in_any_case_are_named_beside_those_that_the_step_saves() -> None:
    view = with_service(incident(), timeliness="breached", expected=at("08:10"), p_late=None)
    late = ", Daily revenue 07:30 breached, expected 08:10, 40 min late"
    assert verdict(view) == f" Restart extract_orders by 03:58 (in 40 min){late}, saves Supply plan"
    stopped = plan_of(draft(), 7, state="stopped")
    assert first_line(verdict_lines(OpenIncident(view, (stopped,)), render_context(), 200, is_frozen=False)) == (
        f" Plan 7 stopped: resume it by 03:58 (in 40 min){late}, saves Supply plan"
    )
    passed = without_act_by("will_miss", "on_time")
    paused = verdict_lines(
        OpenIncident(passed, (dataclasses.replace(stopped, state="paused"),)), render_context(), 200, is_frozen=False
    )
    assert first_line(paused).startswith(" Plan 7 paused: resume it now, Supply plan 06:30 will miss, expected 07:34")


def outdated_plan() -> PlanView:
    """Stopped before its first step, while the run that waits for that failed."""
    plan = plan_of(draft(), 7, state="stopped")
    first, second = (dataclasses.replace(step, after=()) for step in plan.steps[:2])
    wait = dataclasses.replace(second, verb="wait", after=(first.place,), run_state="failed")
    return dataclasses.replace(plan, steps=(first, wait))


def test_the_verdict_of_an_outdated_plan_names_only_restarts_that_are_not_sent() -> None:
    """It said "abort it, then  now" without a step, and named those that were sent."""
    plan, view = outdated_plan(), incident()
    texts = []
    for members in (
        view.members,
        tuple(dataclasses.replace(member, rerun_sent=NOW) for member in view.members),
        tuple(dataclasses.replace(member, state="succeeded", role="repaired") for member in view.members),
    ):
        changed = dataclasses.replace(view, members=members)
        texts.append(verdict_of(changed, (plan,), is_frozen=True).partition(" by 03:58")[0])
    stopped = "Plan 7 stopped: abort it"
    assert texts[0].startswith(f"Frozen, thaw first: {stopped}, then restart extract_orders and load_orders")
    assert [stopped] * 2 == texts[1:], "an abort is not stopped by a freeze"


@pytest.mark.parametrize("changes", [{"state": "running", "started": at("03:15")}, {"rerun_sent": at("03:14")}])
def test_a_run_past_the_last_green_by_says_what_is_late(changes: dict[str, Any]) -> None:
    view = with_root(**changes)
    first, second = (dataclasses.replace(service, green_by=at("03:16"), p_late=None) for service in view.services)
    late = dataclasses.replace(first, timeliness="will_miss", expected=at("06:40"))
    view = dataclasses.replace(view, services=(late, dataclasses.replace(second, timeliness="on_time")))
    assert verdict(view).endswith(", Supply plan 06:30 will miss, expected 06:40, 10 min late")


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_restart_after_a_stale_read_says_how_late_once_its_act_by_has_passed(is_ready: bool) -> None:
    view = without_act_by("will_miss", "on_time", act_by=at("03:10"))
    root = dataclasses.replace(view.members[0], state="succeeded", stale_read=True)
    row = dataclasses.replace(view.row, reason=("it read data before hosts/load finished",))
    awaited = [] if is_ready else [dataclasses.replace(root, role="awaited", state="running")]
    view = dataclasses.replace(view, row=row, members=(root, *view.members[1:], *awaited))
    when = "now" if is_ready else "once its upstream has finished"
    assert verdict(view) == (
        f" Supply plan 06:30 will miss: restart extract_orders {when}: it read data before hosts/load finished,"
        " expected 07:34 if repaired as usual, 1 h 4 min late"
    )


CLOCKS = st.sampled_from([None, *map(at, ("03:05", "03:16", "04:20", "06:40", "08:10"))])
STATES = ("on_time", "at_risk", "will_miss", "breached", "met_late", "no_estimate")
ROOTS: tuple[dict[str, Any], ...] = (
    {},
    {"state": "running", "started": at("03:15")},
    {"rerun_sent": at("03:14")},
    {"state": "succeeded", "stale_read": True},
)


@given(st.data())
def test_every_verdict_names_the_service_that_is_late_in_any_case_and_how_late_it_is(data: st.DataObject) -> None:
    view, affected = with_root(**data.draw(st.sampled_from(ROOTS))), list[AffectedServiceView]()
    for day in view.services:
        until, states = data.draw(CLOCKS), st.sampled_from(STATES)
        times: dict[str, Any] = {"act_by": until, "green_by": until, "expected": data.draw(CLOCKS)}
        affected.append(dataclasses.replace(day, timeliness=data.draw(states), **times))
    act_by = min((day.act_by for day in affected if day.act_by is not None), default=None)
    view = dataclasses.replace(view, row=dataclasses.replace(view.row, act_by=act_by), services=tuple(affected))
    plans = data.draw(st.sampled_from([(), *((plan_of(draft(), 7, state=text),) for text in ("paused", "running"))]))
    now = data.draw(st.sampled_from([NOW, at("07:40")]))
    text = verdict_of(view, plans, now)
    for timeliness in ("breached", "will_miss"):
        lost = [day for day in affected if day.timeliness == timeliness]
        if timeliness == "will_miss":
            lost = [day for day in lost if day.act_by is None or day.act_by <= now]
        if lost:
            first = min(lost, key=lambda day: day.deadline)
            assert f"{first.title} {render_context().hm(first.deadline)}" in text
            end = late_text(first.expected, first.deadline, now, render_context().hm)
            assert end.rpartition(", ")[2].removesuffix(" late") in text
            break


PROPOSED = {"state": "paused", "requested_by": "anna", "requested_from": "MCP"}


def proposed_verdict(width: int, **changes: Any) -> str:
    plan = plan_of(draft(), 7, **{**PROPOSED, **changes})
    return "\n".join(
        map(text_of, verdict_lines(OpenIncident(incident(), (plan,)), render_context(), width, is_frozen=False))
    )


@pytest.mark.parametrize("width, lines, is_whole", [(200, 1, True), (110, 2, True), (80, 2, False)])
def test_the_next_start_and_the_failures_in_a_row_stand_behind_or_below_the_restart(
    width: int, lines: int, is_whole: bool
) -> None:
    repeated = Repetition(incident().row.root_job, at("03:24"), 7)
    opened = OpenIncident(dataclasses.replace(incident(), repeated=repeated), ())
    texts = list(map(text_of, verdict_lines(opened, render_context(), width, is_frozen=False)))
    assert lines == len(texts)
    assert all(len(text) <= width for text in texts)
    assert "extract_orders starts by itself 03:24, failed 7 times in a row" in texts[-1]
    assert is_whole == (repetition_text(repeated, render_context().due) in texts[-1])


def test_a_plan_that_awaits_approval_is_named_beside_the_restart() -> None:
    restart = " Restart extract_orders by 03:58 (in 40 min)"
    services, command = ", saves Supply plan, Daily revenue", "awaits approval: headway plan resume 7"
    assert verdict(incident()) == restart + services
    for origin, by in (("MCP", "assistant of anna"), ("10.0.0.7 (MCP)", "assistant of anna"), ("HTTP API", "anna")):
        assert f"{restart}{services}; plan 7 of {by} {command}" == proposed_verdict(200, requested_from=origin)
    assert f"{restart}{services}\n plan 7 of assistant of anna {command}" == proposed_verdict(110)
    short = restart.removesuffix(" (in 40 min)")
    assert f"{short}{services}\n plan 7 of assistant of anna {command}" == proposed_verdict(71)
    assert proposed_verdict(200, requested_from="db07").startswith(" Plan 7 paused: resume it"), "a person paused it"
    begun = plan_of(draft(), 7, **PROPOSED)
    begun = dataclasses.replace(begun, steps=(dataclasses.replace(begun.steps[0], state="verified"), *begun.steps[1:]))
    assert verdict_of(incident(), (begun,)).startswith("Plan 7 paused: resume it")
    proposed = (plan_of(draft(), 7, **PROPOSED),)
    assert incident_verdict(closed(incident()), proposed, NOW, is_frozen=False).proposal is None


def test_a_service_with_stale_data_is_still_to_be_delivered() -> None:
    given = BadDelivery(at("05:20"))
    supply, *_ = services()
    stale = dataclasses.replace(supply, timeliness="breached", data_state="stale", reasons=(given,))
    assert stale.has_delivered
    assert urgent_service([stale], NOW) is stale
    assert stale.incident_id is not None
    assert read_path(FakeReads(), stale.incident_id, [stale]) is not None


def _delivered_late(night: Night) -> None:
    late, *others = services()
    late = dataclasses.replace(late, timeliness="met_late", delivered=at("03:05"), incident_id=None)
    on_time = [dataclasses.replace(view, timeliness="on_time", incident_id=None) for view in others]
    night.reads.services_ = [late, *on_time]


@on_the_night(size=(120, 36), prepare=_delivered_late)
async def test_after_a_late_delivery_the_verdict_is_of_what_is_still_open_then_of_the_delivery(night: Night) -> None:
    await night.see("Supply plan")
    await night.until(lambda: below_the_title(night).startswith(RESTART), "the verdict of the open incident")
    night.reads.incidents_ = []
    night.reads.changed()
    await night.until(
        lambda: below_the_title(night).startswith(" Supply plan 06:30 delivered late at 03:05"), "the late delivery"
    )


def test_a_rerun_in_progress_says_by_when_it_must_succeed() -> None:
    root = with_root(state="running", started=at("03:15"))
    assert verdict(root) == " extract_orders runs again since 03:15, must succeed by 04:21 (in 1 h 3 min)"


def test_a_rerun_in_progress_says_when_it_is_usually_done() -> None:
    usual = ({"job": incident().members[0].job, "p50_s": 1200.0},)
    first, *others = with_root(state="running", started=at("03:15")).services
    root = with_root(state="running", started=at("03:15"))
    root = dataclasses.replace(root, services=(dataclasses.replace(first, estimates=usual), *others))
    assert verdict(root).startswith(" extract_orders runs again since 03:15, done about 03:35, must succeed by 04:21")


@pytest.mark.parametrize("started", [at("03:15"), incident().row.failed_since], ids=["again", "for-the-first-time"])
def test_a_run_that_takes_too_long_is_cancelled_and_restarted(started: datetime) -> None:
    """Nothing named the rerun that ran for 5m40s instead of one minute."""
    usual = ({"job": incident().members[0].job, "p50_s": 30.0},)
    first, *others = with_root(state="running", started=started).services
    root = with_root(state="running", started=started)
    root = dataclasses.replace(root, services=(dataclasses.replace(first, estimates=usual), *others))
    since = render_context().hm(started)
    assert verdict(root).startswith(
        f" extract_orders runs since {since}, 30s expected: if it hangs, cancel and restart it, must succeed"
    )


@each_row(
    "changes, message",
    [
        ({"rerun_sent": at("03:14")}, " Rerun of extract_orders sent 03:14, must succeed by 04:21"),
        ({"rerun_sent": at("03:14"), "rerun_started": at("03:15")}, " extract_orders runs again since 03:15, must"),
        (
            {"rerun_sent": at("03:14"), "unknown_rerun": "3f0a91c2"},
            " Outcome of the rerun of extract_orders unknown: check its scheduler, then headway action withdraw",
        ),
        ({"awaits_approval": True}, " Approve the rerun of extract_orders by 03:58 (in 40 min), saves Supply plan"),
        ({"state": "queued", "started": None}, " extract_orders is queued, must succeed by 04:21"),
        (
            {"unreachable": "etl-hosts/db07"},
            " Restore etl-hosts/db07, then restart extract_orders by 03:58 (in 40 min)",
        ),
    ],
)
def test_what_runs_or_cannot_be_reached_is_not_just_restarted(changes: dict[str, Any], message: str) -> None:
    assert verdict(with_root(**changes)).startswith(message)


def test_a_host_that_does_not_answer_is_restored() -> None:
    view = dataclasses.replace(incident(), unreachable="etl-hosts/db07")
    assert verdict(view).startswith(" Restore etl-hosts/db07 by 03:58 (in 40 min), saves Supply plan")


def test_a_joint_restart_that_runs_already_is_left_out() -> None:
    extract, refund = (
        RepairStep(f"etl-hosts/db07:{job}", can_rerun=True, act_by=at(clock))
        for job, clock in (("extract_orders", "03:58"), ("refund", "03:48"))
    )
    running = dataclasses.replace(refund, is_running=True)
    view = dataclasses.replace(incident(), joint_restarts=(extract, running))
    assert verdict(view).startswith(" Restart extract_orders by 03:58 (in 40 min)")


def test_a_first_run_that_takes_too_long_does_not_run_again() -> None:
    failed_since = incident().row.failed_since
    message = verdict(with_root(state="running", started=failed_since))
    assert message.startswith(
        f" extract_orders is still running since {render_context().hm(failed_since)}, must succeed by 04:21"
    )


@pytest.mark.parametrize(
    "job, start_now, step",
    [
        ("etl/load", True, "start load now: headway job start etl/load"),
        ("e/h:a: start b", True, "start a: start b now: headway job start 'e/h:a: start b'"),
        ("etl/load", False, "extract_orders has not started, nothing to restart"),
    ],
)
def test_a_service_day_that_waits_for_a_job_that_has_not_started_says_how_to_start_it(
    job: str, start_now: bool, step: str
) -> None:
    view = without_act_by("will_miss", "on_time", act_by=at("03:10"))
    changed = ScheduleChanged(job, at("08:35"), start_now=start_now)
    view = dataclasses.replace(view, services=(dataclasses.replace(view.services[0], reasons=(changed,)),))
    root = dataclasses.replace(view.members[0], role="root", run_id=None, state="unknown", started=None)
    row = dataclasses.replace(view.row, cause="undelivered")
    lost = dataclasses.replace(view, row=row, members=(root,), joint_restarts=())
    assert f"will miss: {step}" in verdict(lost)


def test_a_closed_incident_is_resolved_only_if_its_runs_are_good() -> None:
    view = incident()
    good = dataclasses.replace(view, members=(dataclasses.replace(view.members[0], state="succeeded"),))
    good, view = (dataclasses.replace(each, close_reason=OutOfView()) for each in (good, view))
    assert verdict(closed(good)) == " Resolved 03:17: it is too old to be evaluated"
    assert verdict(closed(good, merged_into=9)) == " Closed 03:17: it is too old to be evaluated"
    assert verdict(closed(view)) == " Closed 03:17: it is too old to be evaluated"
    assert verdict(closed(good, root_run_id=None)) == " Closed 03:17: it is too old to be evaluated"


def test_a_closed_incident_whose_stale_root_was_repaired_by_another_run_is_resolved() -> None:
    view = incident()
    root = dataclasses.replace(view.members[0], state="succeeded", stale_read=True)
    members = tuple(repaired_at_end([root], LaterRunGood()))
    shown = closed(dataclasses.replace(view, members=members, close_reason=LaterRunGood()))
    assert verdict(shown).startswith(f" Resolved 03:17: {LaterRunGood().text[0]}")
    assert ", repaired " in repair_times(shown, "{:%H:%M}".format)


def test_a_closed_incident_whose_repair_is_a_later_run_is_resolved_and_does_not_say_that_it_fails() -> None:
    view = incident()
    end = GreenAgain("rerun by anna", 120.0)
    members = repaired_at_end(view.members[:1], end)
    assert ["superseded"] == [member.present_role for member in members]
    assert list(view.members) == repaired_at_end(view.members, OutOfView(48))
    view = closed(dataclasses.replace(view, members=tuple(members), close_reason=end))
    assert verdict(view).startswith(" Resolved 03:17: green again (rerun by anna")
    header = "\n".join(
        text_of(line) for line in header_lines(OpenIncident(view, ()), render_context(), 200, 50, is_frozen=False)
    )
    assert "failed 03:12 for" in header
    assert "failed since" not in header


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"root_good": at("03:26")}, "failed 03:12, repaired 03:26"),
        ({"root_state": "missed"}, "due 03:12, did not start ("),
        ({}, "failed since 03:12 ("),
    ],
)
def test_an_open_incident_says_whether_its_root_fails_did_not_start_or_is_good_again(
    changes: dict[str, Any], expected: str
) -> None:
    view = dataclasses.replace(incident(), row=dataclasses.replace(incident().row, **changes))
    lines = header_lines(OpenIncident(view, ()), render_context(), 200, 50, is_frozen=False)
    assert expected in " ".join(text_of(line) for line in lines)
    title = text_of(incident_title(view, render_context(), 120)[0])
    assert ("●" in title, "✖" in title) == ("root_good" in changes, "root_good" not in changes)


def test_the_incident_page_has_one_clock() -> None:
    view = incident()
    tokyo = tuple(dataclasses.replace(service, zone="Asia/Tokyo") for service in view.services)
    view, plan = dataclasses.replace(view, services=tokyo), plan_of(draft())
    ctx = RenderContext(NOW, ZonedClock(ZoneInfo("Europe/Berlin")), GlyphSet())
    opened = OpenIncident(view, ())
    lines = [
        *header_lines(opened, ctx, 200, 50, is_frozen=False),
        *verdict_lines(OpenIncident(view, (plan,)), ctx, 200, is_frozen=False),
    ]
    lines += [list(row.cells) for row in summary_lines(view, ctx, 200)]
    text = "\n".join(map(text_of, [*lines, *evidence_lines(view, ctx)]))
    assert "restart extract_orders by 03:58" in text.replace("Restart", "restart")
    assert "services done about 06:08" in text
    assert "06:30  act by 03:58" in text
    assert "JST" not in text
    assert [] == [hour for hour in ("10:", "11:", "12:", "13:", "14:") if f" {hour}" in text]


@on_the_night()
async def test_the_legend_of_the_path_names_the_green_by_and_has_no_half_part(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see("▼ act by 03:58  ▲ green by 04:21")
    [legend] = [line for line in night.text.splitlines() if "green by" in line]
    assert "…" not in legend


@on_the_night()
async def test_the_key_of_the_plan_box_shows_all_steps(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("r")
    await night.see("PLAN INC-0412")
    await night.press("enter")
    await night.see("^N show all steps")


def test_a_root_that_cannot_be_rerun_is_run_by_hand_in_its_system() -> None:
    assert verdict(with_root(can_rerun=False)).startswith(
        " Run extract_orders by hand in etl-hosts by 03:58 (in 40 min)"
    )


def test_an_act_by_says_that_it_has_passed() -> None:
    assert act_by(at("03:58"), render_context()) == ("03:58 40m", "warn")
    assert act_by(at("03:10"), render_context()) == ("03:10 passed", "bad")
    assert act_by(NOW, render_context())[0].endswith(" passed")


def test_restarts_that_one_service_needs_are_one_verdict_by_the_earliest_act_by() -> None:
    extract, refund = (
        RepairStep(job, can_rerun=True, is_missed=is_missed, act_by=at(clock))
        for job, is_missed, clock in (
            ("etl-hosts/db07:extract_orders", False, "03:58"),
            ("etl-hosts/db08:refund", True, "03:48"),
        )
    )
    view = dataclasses.replace(incident(), joint_restarts=(extract, refund))
    assert verdict(view).startswith(" Restart extract_orders, start refund by 03:48 (in 30 min), saves Supply plan")


def test_a_stopped_plan_says_until_when_it_is_resumed_and_what_that_saves() -> None:
    stopped = plan_of(draft(), 7, state="stopped")
    line = first_line(verdict_lines(OpenIncident(incident(), (stopped,)), render_context(), 200, is_frozen=False))
    assert line == " Plan 7 stopped: resume it by 03:58 (in 40 min), saves Supply plan, Daily revenue"


RESTART = " Restart extract_orders by 03:58"


def below_the_title(night: Night) -> str:
    return [*night.text.splitlines(), "", "", ""][2]


@on_the_night(size=(120, 36))
async def test_every_list_begins_with_the_verdict_of_the_most_urgent_incident(night: Night) -> None:
    await night.see("Supply plan")
    for key, title in (("2", "INCIDENTS"), ("3", "JOBS"), ("4", "TONIGHT"), ("7", "RUNS"), ("1", "SERVICES")):
        await night.press(key)
        await night.see(title)
        await night.until(lambda: below_the_title(night).startswith(RESTART), f"the verdict on {title}")
        assert "saves Supply plan, Daily revenue" in below_the_title(night)


@on_the_night()
async def test_the_first_line_is_never_older_than_the_header(night: Night) -> None:
    """Both are of one read: "all is well" below "1 at risk" would be a contradiction."""
    await night.see("Supply plan")
    screen = night.app.screen
    assert isinstance(screen, HeadwayScreen)
    calm = header(unseen_targets=(), at_risk=0, open_incidents=0)
    endangered = dataclasses.replace(services()[0], incident_id=None, problem=Title(("the disk is full",)), act_by=None)
    cast(VerdictLine, screen.parts[-1]).opened = None
    for head, views, text in ((calm, (), "every service"), (header(at_risk=1), (endangered,), "the disk is full")):
        known = views or (service(1, "price-list", "Price list", 1, "05:30"),)
        night.app._on_header((head, None, known, ()))
        assert below_the_title(night).startswith(f" {text}"), "painted with the header, not a second later"


@on_the_night(size=(160, 40))
async def test_a_calm_night_begins_with_its_open_incident_or_its_plan_in_progress(night: Night) -> None:
    night.reads.services_ = [service(1, "price-list", "Price list", 1, "05:30")]
    night.reads.head = header(unseen_targets=(), at_risk=0, open_incidents=1)
    night.reads.incident_ = dataclasses.replace(incident(), services=())
    night.reads.changed()
    await night.see(f"{RESTART} (in 40 min) · every service ", ", next: Price list 05:30")
    night.reads.incidents_, night.reads.incident_ = [], closed(incident())
    night.reads.plans_ = [plan_of(draft(), 7, state="running")]
    night.reads.changed()
    await night.see(" Plan 7 running: 0 of 4 steps, services done about 06:08")
    await night.press("2")
    await night.see("INCIDENTS 0 open")
    await night.act("recover")
    await night.see("INC-0412 is closed, plan 7 still runs: ↵ opens it")
    await night.act("open")
    await night.until(lambda: getattr(night.app.screen, "WHERE", "") == "incident", "the incident")
    await night.press("escape", "1")
    await night.see("SERVICES 1")
    night.reads.plans_ = [plan_of(draft(), 7, state="paused")]
    night.reads.changed()
    await night.until(lambda: below_the_title(night).startswith(" every service "), "the calm night")


@on_the_night()
async def test_a_page_begins_with_the_verdict_of_its_open_incident(night: Night) -> None:
    await night.see("Supply plan")
    for kind, what in (("job", 1), ("run", 41), ("lineage", (1, False))):
        night.app.navigation.visit(kind, what)
        await night.see(f" {kind.upper()} ")
        await night.until(lambda: below_the_title(night).startswith(RESTART), f"the verdict of the {kind}")
        assert below_the_title(night).endswith("INC-0412")
    night.reads.incidents_ = []
    night.reads.incident_ = closed(incident())
    night.reads.changed()
    await night.until(lambda: not below_the_title(night).startswith(RESTART), "the end of the verdict")


@on_the_night(size=(120, 36))
async def test_a_page_without_an_open_incident_has_the_next_deadline_of_its_services(night: Night) -> None:
    await night.see("Supply plan")
    night.reads.runs_[990] = run_view(990, row=run_row(990, 9, "pg-dwh/vacuum_all"), incident_id=None)
    line = " no open incident, next: Supply plan 06:30 in 3h12m"
    for kind, what in (("job", 9), ("run", 990), ("lineage", (9, False))):
        night.app.navigation.visit(kind, what)
        await night.see(f" {kind.upper()} ")
        await night.until(lambda: below_the_title(night) == line, f"that of the {kind}")


@on_the_night()
async def test_a_small_page_without_an_open_incident_keeps_the_line_for_its_rows(night: Night) -> None:
    await night.see("Supply plan")
    night.app.navigation.open_job("pg-dwh/vacuum_all")
    await night.see("JOB pg-dwh/vacuum_all", "state")
    await night.answered()
    assert below_the_title(night).startswith(" state")


@pytest.mark.parametrize("changes", [{"engine": None}, {"unseen_targets": header().unseen_targets}, {}])
def test_a_job_is_called_well_only_while_an_engine_polls_everything(changes: dict[str, Any]) -> None:
    head = header(unseen_targets=())._replace(**changes)
    if changes.get("engine", head) is None:
        head = head._replace(engine=header().engine._replace(alive=False))
    calm = (service(1, "plan", "Plan", 1, "06:30"),)
    line = no_incident_text(calm, head, "", render_context())
    text = "no open incident, next: Plan 06:30 in 3h12m"
    assert line == (None if "engine" in changes else (text, "plain" if changes else "ok"))
    assert no_incident_text(calm, head, "disk full", render_context()) is None


@on_the_night()
async def test_a_proposed_plan_begins_with_the_verdict_and_the_key_that_starts_it(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("r")
    await night.until(lambda: below_the_title(night).endswith("↵ start"), "the verdict with its key")
    assert below_the_title(night).startswith(RESTART)


@on_the_night()
async def test_a_stopped_plan_begins_with_the_verdict_a_running_one_with_its_progress(night: Night) -> None:
    night.reads.plans_ = [plan_of(draft(), 7, state="stopped")]
    await night.see("Supply plan")
    night.app.navigation.open_plan(7)
    await night.until(lambda: "resume it by 03:58" in below_the_title(night), "the verdict")
    assert below_the_title(night).endswith("r resume")
    night.reads.plans_ = [plan_of(draft(), 7, state="running")]
    night.reads.changed()
    await night.until(lambda: "resume it by" not in night.text, "the end of the verdict")
    assert "0 of 4 steps" in night.text.splitlines()[1]


def test_a_root_that_ran_again_on_unfinished_data_waits_for_it() -> None:
    view = with_root(state="succeeded", stale_read=True)
    why = "it read data before hosts/load finished"
    load = dataclasses.replace(view.members[0], role="awaited", state="running")
    row = dataclasses.replace(view.row, reason=(why,))
    view = dataclasses.replace(view, row=row, members=(*view.members, load))
    action = " Restart extract_orders by 03:58 (in 40 min), once its upstream has finished"
    assert f"{action}: {why}, saves Supply plan, Daily revenue" == verdict(view)
    lines = [text_of(line) for line in header_lines(OpenIncident(view, ()), render_context(), 200, 50, is_frozen=False)]
    assert [True, False] == [why in line for line in lines[:2]]


def test_under_a_freeze_the_verdict_says_to_thaw_first() -> None:
    opened = OpenIncident(incident(), ())
    [line] = verdict_lines(opened, render_context(), 200, is_frozen=True)
    assert text_of(line).startswith(" Frozen, thaw first: Restart extract_orders by 03:58 (in 40 min)")


@pytest.mark.parametrize(
    "changes, plans, step",
    [
        ({"can_rerun": False}, (), " Run extract_orders by hand in etl-hosts"),
        ({"rerun_started": NOW}, (), " extract_orders runs again since"),
        ({}, (plan_of(draft(), 7),), " Plan 7 running"),
    ],
)
def test_a_freeze_does_not_change_a_verdict_with_nothing_to_send(
    changes: dict[str, Any], plans: tuple[PlanView, ...], step: str
) -> None:
    view = with_root(**changes)
    [line] = verdict_lines(OpenIncident(view, plans), render_context(), 200, is_frozen=True)
    assert text_of(line).startswith(step)
    over = OpenIncident(closed(view), ())
    assert verdict_lines(over, render_context(), 200, is_frozen=True) == verdict_lines(
        over, render_context(), 200, is_frozen=False
    )


def test_a_freeze_comes_before_the_resume_of_a_plan() -> None:
    stopped = dataclasses.replace(plan_of(draft(), 7), state="stopped")
    [line] = verdict_lines(OpenIncident(incident(), (stopped,)), render_context(), 200, is_frozen=True)
    assert text_of(line).startswith(" Frozen, thaw first: Plan 7 stopped")


def test_times_are_in_the_zone_of_the_most_urgent_service_that_is_not_delivered() -> None:
    view = incident()
    first, *others = (dataclasses.replace(service, zone="Europe/Berlin") for service in view.services)
    delivered = dataclasses.replace(first, zone="Asia/Tokyo", delivered=NOW, act_by=at("00:30"))
    assert "Europe/Berlin" == dataclasses.replace(view, services=(delivered, *others)).zone
    assert "Asia/Tokyo" == dataclasses.replace(view, services=(delivered,)).zone


def test_while_a_plan_runs_the_title_names_it_and_no_act_by() -> None:
    view, running = without_act_by("no_estimate", "no_estimate"), plan_of(draft(), 7)
    assert "act-by unknown " == text_of(incident_title(view, render_context(), 120)[1])
    assert "plan 7 running " == text_of(incident_title(view, render_context(), 120, (running,))[1])


def test_a_silence_that_hides_a_notification_has_a_banner() -> None:
    silenced = header(silenced=((1, "silence 3 of anna: planned"),))
    text = "SILENCED: INC-0001 (silence 3 of anna: planned); list: headway silence"
    assert f" {text}" == banner_text(silenced, "", render_context())
    assert "" == banner_text(header(), "", render_context())
    frozen = banner_text(silenced._replace(frozen=SwitchState("on", "ben")), "", render_context())
    assert frozen.startswith(" FROZEN by ben; ")
    assert frozen.endswith(text)
    for count, names in ((2, "INC-0001, INC-0002"), (4, "INC-0001, INC-0002, INC-0003 and more")):
        several = header(silenced=tuple((number + 1, "silence 3 of anna") for number in range(count)))
        assert f" SILENCED: {names}; list: headway silence" == banner_text(several, "", render_context())


@on_the_night(
    size=(160, 40),
    prepare=lambda night: setattr(night.reads, "head", header(frozen=SwitchState("on", "ben"))),
)
async def test_the_preview_of_an_incident_names_a_freeze_as_its_verdict_line_does(night: Night) -> None:
    line = VerdictLine(cast(HeadwayScreen, night.app.screen))
    source = incident_source(412, line)
    opened = OpenIncident(incident(), ())
    shown = "\n".join(text_of(row) for row in source.lines(opened, render_context(), 160, 40))
    assert " Frozen, thaw first: Restart extract_orders by 03:58" in shown


def _in_tokyo(night: Night) -> None:
    view = night.reads.incident_
    services = tuple(dataclasses.replace(service, zone="Asia/Tokyo") for service in view.services)
    night.reads.incident_ = dataclasses.replace(view, services=services)
    night.reads.plans_ = [plan_of(draft(), 7, incident_id=412)]


@on_the_night(size=(120, 40), prepare=_in_tokyo)
async def test_what_opens_over_an_incident_is_in_its_zone(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see("11:17:42 JST", "AFFECTED SERVICES")
    await night.act("what_if")
    await night.see("WHAT IF", "as of 11:17 JST", "nothing is sent")
    await night.act("what_if_at")
    await night.see("by the clock JST")
    await night.typing()
    await night.type("11:58")
    await night.press("enter")
    await night.see("restarted at 11:58")
    [_, again] = night.requests.calls
    assert {"how": "restart", "at": "2026-11-20T11:58:00+09:00"} in again[1][1]
    await night.press("escape")
    await night.act("rerun")
    await night.see("RERUN", "JST")


@on_the_night(size=(120, 40), prepare=_in_tokyo)
async def test_a_plan_is_in_the_zone_of_its_incident(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("11:17:42 JST")


def _in_tokyo_without_a_plan(night: Night) -> None:
    _in_tokyo(night)
    night.reads.plans_ = []


@on_the_night(size=(120, 40), prepare=_in_tokyo_without_a_plan)
async def test_a_proposed_plan_is_in_the_zone_of_its_incident(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see("AFFECTED SERVICES")
    await night.act("recover")
    await night.see("PLAN", "11:17:42 JST", "Supply plan     14:30")


def _second_restart(night: Night) -> None:
    first, *others = night.reads.incident_.services
    start = NativeStart("load_orders", at("03:50"), StartEffect.RERUN_AFTER, reads_stale=True)
    services = (dataclasses.replace(first, reasons=(start,)), *others)
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, services=services)


@on_the_night(size=(80, 24), prepare=_second_restart)
async def test_a_narrow_screen_names_the_services_and_the_last_time_without_a_second_restart(night: Night) -> None:
    line = " Restart extract_orders by 03:58, saves Supply plan, Daily revenue"
    await night.see("SERVICES", line, "r recover", "03:58 40m")
    for key, title in (("3", "JOBS"), ("4", "TONIGHT")):
        await night.press(key)
        await night.see(title, line, "INC-0412")
