"""The verdict line: its verb, its countdown before and after the act-by, and what it saves."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.control.incidents.verdict.decision import (
    PRECEDENCE,
    Blocked,
    Instruction,
    PlanUnderWay,
    RepairByPolicy,
    Restart,
    ResumePlan,
    Step,
    cause_label,
    incident_verdict,
    job_label,
    verdict_of,
)
from console.control.incidents.verdict.text import (
    delivery_estimate,
    fix_text,
    late_text,
    saved_text,
    step_text,
    verdict_action,
    verdict_text,
)
from console.domain.failure import FailureSignature, PastFailure, RepairTry, memory_of
from console.domain.ids import utc_minute
from console.domain.incident import (
    AffectedServiceView,
    IncidentView,
    RepairStep,
    blocked_by,
    blocked_text,
    open_reason,
)
from console.domain.message import title_text
from console.domain.reason import GreenAgain, NativeStart, NoRunToRepeat, Reason, StartEffect, StepsUnderWay
from console.domain.service import RepairCase
from console.domain.stored import as_json, from_json
from console.engine.api.documents import json_text, verdict_document
from tests.rows import each_row
from tests.tui.fake_reads import draft, incident, plan_of

NOW = datetime(2026, 11, 20, 3, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)


def clock(at: datetime) -> str:
    return f"{at:%H:%M}"


def line_of(view: IncidentView) -> str:
    return verdict_text(incident_verdict(view, (), NOW, is_frozen=False), NOW, clock)


@each_row(
    "job, label",
    [
        ("etl-hosts/db07:extract_orders", "extract_orders"),
        ("dwh/refresh_revenue", "refresh_revenue"),
        ("extract", "extract"),
        ("etl/odd:", "etl/odd:"),
        ("etl/load (http://wiki.example/x)", "load (http://wiki.example/x)"),
        ("etl/db07:backup at 10:30", "backup at 10:30"),
    ],
)
def test_a_job_is_named_without_its_system_and_host(job: str, label: str) -> None:
    assert job_label(job) == label


@pytest.mark.parametrize(
    "cause, label",
    [("etl-hosts/db07:extract_orders", "extract_orders"), ("cron/db07", "db07"), ("db07:5432", "db07:5432")],
)
def test_a_shared_cause_keeps_its_whole_name(cause: str, label: str) -> None:
    assert label == cause_label(cause)


def fix_line(step: RepairStep, now: datetime = NOW, *, is_frozen: bool = False, **changes: Any) -> str:
    """The restart for a service at risk with these changes, as a title has it."""
    service = replace(incident().services[0], **{"timeliness": "at_risk", "act_by": None, "reasons": ()} | changes)
    restart = Restart(Instruction((step,)))
    return title_text(fix_text(verdict_of([restart], [service], service.act_by, now, is_frozen=is_frozen), now, clock))


EXTRACT = RepairStep("etl-hosts/db07:extract_orders", can_rerun=True)


def test_the_fix_says_until_when_and_after_that_that_it_is_late() -> None:
    act_by = NOW + timedelta(minutes=54)
    assert fix_line(EXTRACT, act_by=act_by) == "restart extract_orders by 04:07 (in 54 min)"
    late: dict[str, Any] = {"timeliness": "will_miss", "expected": NOW + 4 * HOUR, "deadline": NOW + HOUR * 23 / 6}
    assert fix_line(EXTRACT, **late) == "restart extract_orders now, expected 07:13, 10 min late"
    usual = late_text(NOW + timedelta(hours=4), NOW + timedelta(hours=5), NOW, clock, RepairCase.USUAL)
    assert usual == ", expected 07:13 if repaired as usual", "a plan assumes a restart now, and may say 07:06"
    assert late_text(NOW, NOW, NOW, clock) == ""
    assert late_text(NOW, NOW - timedelta(minutes=9), NOW, clock) == ", 9 min late so far", "the estimate has passed"
    assert fix_line(EXTRACT) == "restart extract_orders now"
    passed = fix_line(EXTRACT, act_by + timedelta(minutes=3), act_by=act_by)
    assert passed == "restart extract_orders now, act-by 04:07 has passed"
    assert fix_line(EXTRACT, act_by, act_by=act_by) == passed


def test_a_service_that_its_restart_may_still_save_is_not_late_whatever_is_done() -> None:
    late: dict[str, Any] = {"timeliness": "will_miss", "expected": NOW + 4 * HOUR, "deadline": NOW + HOUR}
    assert fix_line(EXTRACT, act_by=NOW + HOUR / 6, **late) == "restart extract_orders by 03:23 (in 10 min)"


def test_a_freeze_is_ended_before_a_restart_in_titles_too() -> None:
    assert fix_line(EXTRACT, is_frozen=True) == "frozen, thaw first: restart extract_orders now"


def test_of_several_possible_steps_the_first_in_order_is_the_verdict() -> None:
    """A plan that runs restarts the job, and a policy that will: no person has to."""
    restart, plan = Restart(Instruction((EXTRACT,))), PlanUnderWay(1, 0, 2)
    policy, blocked = RepairByPolicy(EXTRACT.job, "auto", NOW), Blocked(NoRunToRepeat())

    def step(*possible: Step) -> Step:
        return verdict_of(possible, (), None, NOW, is_frozen=False).step

    assert [plan, policy, restart, blocked] == [
        step(blocked, restart, policy, plan), step(blocked, restart, policy), step(blocked, restart), step(blocked)
    ]  # fmt: skip
    assert {kind.__name__ for kind in PRECEDENCE} == {kind.__name__ for kind in Step.__subclasses__()}


def test_the_step_is_by_hand_where_its_system_has_no_rerun() -> None:
    assert step_text(EXTRACT) == "restart extract_orders"
    assert step_text(replace(EXTRACT, is_missed=True)) == "start extract_orders"
    by_hand = RepairStep("lake/load_orders", can_rerun=False)
    assert fix_line(by_hand, act_by=NOW + timedelta(minutes=54)) == (
        "run load_orders by hand in lake by 04:07 (in 54 min)"
    )


def unreachable(*services: AffectedServiceView) -> str:
    """The verdict of an incident of db07, which does not answer."""
    act_by = min((service.act_by for service in services if service.act_by is not None), default=None)
    row = replace(incident().row, act_by=act_by)
    view = replace(incident(), row=row, members=(), services=services, unreachable="etl-hosts/db07")
    return line_of(view)


def test_a_host_out_of_reach_endangers_also_the_service_whose_run_may_still_go_on() -> None:
    """Its job runs, as far as is known, so that there is no act-by; its deadline may be the first."""
    first, second = incident().services[:2]
    later = replace(first, title="Supply plan", deadline=NOW + 3 * HOUR, act_by=NOW + HOUR, timeliness="at_risk")
    sooner = replace(second, title="Segments", deadline=NOW + 2 * HOUR, act_by=None, timeliness="at_risk")
    saved = "Restore etl-hosts/db07 by 04:13 (in 1 h), saves Supply plan, Segments"
    assert unreachable(later, sooner) == saved
    first_due = replace(sooner, deadline=NOW + HOUR / 2)
    assert unreachable(first_due, later) == saved, "first the service of that act-by"
    assert unreachable(sooner) == "Restore etl-hosts/db07 now, Segments due 05:13"


def test_a_start_that_a_stopped_scheduler_missed_is_made_up_for_by_hand_after_the_last_one_in_time() -> None:
    load, act_by = incident().members[1], NOW + HOUR
    missed = replace(load, role="red", state="missed", stale_read=False, target="cron/db07")
    planned = replace(missed, role="threatened", state="planned", run_id=9, period=act_by)
    services = tuple(replace(service, act_by=act_by) for service in incident().services[:1])
    row = replace(incident().row, cause="target", root_job="cron/db07", act_by=act_by)
    view = replace(incident(), row=row, members=(missed, planned), services=services, unreachable="cron/db07")
    assert line_of(view) == "Restore cron/db07 by 04:13 (in 1 h), saves Supply plan"
    late = replace(view, members=(missed, replace(planned, period=act_by + HOUR)))
    by_hand = "Restore cron/db07, then start load_orders by 04:13 (in 1 h), saves Supply plan"
    assert line_of(late) == by_hand
    unneeded = replace(missed, job="etl-hosts/db07:extract_orders")
    assert line_of(replace(late, members=(unneeded, *late.members))) == by_hand


def test_a_shared_cause_is_fixed_and_no_restart_of_its_first_failed_run_is_named() -> None:
    """The services wait for other runs than the first: its restart would save nothing."""
    first, load, mart = incident().members[:3]
    members = tuple(replace(run, role="red", state="failed", stale_read=False) for run in (first, load, mart))
    row = replace(incident().row, cause="shared", root_job="credential:user etl", act_by=NOW + HOUR)
    services = tuple(replace(service, act_by=NOW + HOUR) for service in incident().services)
    view = replace(incident(), row=row, members=members, services=services)
    assert line_of(view) == "Fix user etl by 04:13 (in 1 h), saves Supply plan, Daily revenue"
    rerun = replace(view, members=(members[0], replace(members[1], rerun_sent=NOW), members[2]))
    assert line_of(rerun).startswith("Rerun of load_orders sent 03:13"), "the run that they wait for is repeated"
    unneeded = replace(view, members=(replace(members[0], rerun_sent=NOW), *members[1:]))
    assert line_of(unneeded).startswith("Fix user etl by 04:13")
    database = replace(view, row=replace(row, root_job="connection:db07:5432"))
    assert line_of(database).startswith("Fix db07:5432 by 04:13")
    repaired = replace(view, members=(replace(members[1], role="root"), members[2]))
    assert line_of(repaired).startswith("Restart load_orders by 04:13"), "once the cause is fixed"


def test_an_incident_of_a_host_names_the_command_that_probes_it() -> None:
    view = replace(incident(), row=replace(incident().row, root_run_id=None), members=(), unreachable="etl-hosts/db07")
    fix = "Fix: restore it, then headway system probe etl-hosts/db07"
    assert blocked_text(view, utc_minute) == f"etl-hosts/db07 does not answer: nothing to rerun. {fix}"
    assert blocked_by(replace(view, unreachable="")) == NoRunToRepeat()


def test_an_incident_names_a_job_that_runs_in_two_periods_once() -> None:
    first = replace(incident().members[0], state="running")
    view = replace(incident(), members=(first, replace(first, run_id=99, period_key="2026-11-20T02:11:00Z")))
    assert blocked_by(view) == StepsUnderWay((first.job,))


def test_what_it_saves_names_two_and_counts_the_others() -> None:
    assert saved_text([]) == ""
    assert saved_text(["Supply plan", "Daily revenue"]) == "saves Supply plan, Daily revenue"
    assert saved_text(["A", "B", "C", "D", "E"]) == "saves A, B and 3 more"


def test_an_incident_that_closes_with_the_next_start_asks_for_no_restart() -> None:
    """Whatever its services are: control has decided that the start is in time."""
    view = incident()
    root, load = view.members[:2]
    start = replace(load, role="closing", state="planned", period=NOW + timedelta(minutes=3))
    closing = replace(view, members=(root, load, start))
    assert line_of(closing) == "Load_orders starts next 03:16 and closes it: nothing to restart"
    assert not incident_verdict(closing, (), NOW, is_frozen=False).needs_sending
    assert [] == list(open_reason(closing))
    begun = replace(closing, members=(root, load, replace(start, state="running")))
    assert "estart extract_orders" in line_of(begun)
    assert "estart extract_orders" in line_of(view)


def test_the_start_that_a_verdict_names_is_the_next_one_or_the_last_in_time() -> None:
    start = NativeStart("load", NOW + HOUR, StartEffect.RERUN_AFTER, reads_stale=True)
    assert fix_line(EXTRACT, reasons=(start,)) == "restart extract_orders before 04:13 (next start of load)"
    last = fix_line(EXTRACT, reasons=(replace(start, is_last=True),))
    assert last == "restart extract_orders before 04:13 (last start of load in time)"
    assert from_json(Reason, as_json(replace(start, is_last=True))) == replace(start, is_last=True)


def test_a_verdict_for_programs_has_its_fields_beside_its_text() -> None:
    """A script waits for the act-by, or restarts the jobs, without reading the sentence."""
    now = NOW - HOUR
    verdict = incident_verdict(incident(), (), now, is_frozen=True)
    document = json.loads(json_text(verdict_document(verdict, now)))
    assert document["text"].startswith("Frozen, thaw first: Restart extract_orders by 2026-11-20 02:58Z")
    [restart] = document["step"]["instruction"]["jobs"]
    assert ("restart", "etl-hosts/db07:extract_orders") == (document["step"]["kind"], restart["job"])
    assert {"kind": "act_by", "at": "2026-11-20T02:58:00Z"} == document["until"]
    assert (True, None, ["Supply plan", "Daily revenue"]) == (
        document["is_frozen"], document["outlook"], document["saves"]
    )  # fmt: skip


@each_row(
    "run_state, is_judged, waits, end",
    [
        ("failed", True, True, "10:57"),
        ("running", False, True, "10:57"),
        ("running", True, True, "10:59"),
        ("running", False, False, "10:59"),
        ("succeeded", False, True, "10:57"),
    ],
)
def test_a_running_plan_keeps_its_end_until_the_forecast_includes_its_run(
    run_state: str, is_judged: bool, waits: bool, end: str
) -> None:
    """The second row: its rerun was sent and runs, and the forecast still waits for the usual repair."""
    planned, forecast = (datetime(2026, 11, 20, 10, minute, tzinfo=UTC) for minute in (57, 59))
    first = plan_of(draft()).steps[0]
    step = replace(first, state="requested", run_state=run_state, is_judged=is_judged, saves_by=planned)
    act_by = forecast if waits else None
    services = tuple(replace(service, expected=forecast, act_by=act_by) for service in incident().services)
    plan, view = plan_of(draft(), steps=(step,)), replace(incident(), services=services)
    assert delivery_estimate(plan, view, clock) == f"services done about {end}"
    assert f"services done about {end}" in verdict_text(
        incident_verdict(view, [plan], NOW, is_frozen=False), NOW, clock
    )
    ended = replace(plan, steps=(replace(step, state="verified"),))
    assert delivery_estimate(ended, view, clock) == "services done about 10:59"
    assert delivery_estimate(replace(plan, state="stopped"), view, clock) == ""


def test_a_job_that_a_stopped_plan_holds_is_resumed_with_the_plan() -> None:
    """By the hold itself: its reason, however it is worded, decides nothing."""
    view = incident()
    root = replace(view.members[0], state="held", reason=("held by someone: headway plan resume 9 (hold x)",))
    held = replace(view, members=(root,), holding_plan=7)
    verdict = incident_verdict(held, (), NOW, is_frozen=False)
    assert verdict.step == ResumePlan("etl-hosts/db07:extract_orders", 7)
    assert line_of(held).startswith("extract_orders is held by plan 7: headway plan resume 7, Supply plan 05:30")
    other = incident_verdict(replace(held, holding_plan=None), (), NOW, is_frozen=False)
    assert not isinstance(other.step, ResumePlan)


@pytest.mark.parametrize("width", ["whole", "short"])
def test_the_time_left_and_the_name_of_the_next_start_are_arguments(width: str) -> None:
    """A service "Daily (in EU region)" keeps its name: nothing is cut out of the text."""
    first, *others = incident().services
    start = NativeStart("load", NOW + HOUR, StartEffect.RERUN_AFTER, reads_stale=True)
    region = replace(first, title="Daily by 06:30 (in EU region)", act_by=None, timeliness="at_risk", reasons=(start,))
    view = replace(incident(), row=replace(incident().row, act_by=None), services=(region, *others[1:]))
    verdict = incident_verdict(view, (), NOW, is_frozen=False)
    action = verdict_action(verdict, NOW, clock, countdown=width == "whole", names_start=width == "whole")
    end = " before 04:13 (next start of load)" if width == "whole" else " before 04:13"
    assert action == ("Restart extract_orders", end)
    assert "Daily by 06:30 (in EU region) due " in verdict_text(verdict, NOW, clock, countdown=False)


def remembered(*tries: tuple[str, str]) -> IncidentView:
    """Its failure with these repairs, (method, state) each, in one earlier incident."""
    view = incident()
    sent = [RepairTry(method, state, "mara", NOW - HOUR, NOW, "person") for method, state in tries]
    past = PastFailure(1, "extract", NOW - 2 * HOUR, NOW, GreenAgain(), None, "", tuple(sent))
    known = memory_of(FailureSignature("run", "cron", "failed", "No space left on device", "extract"), [past])
    return replace(view, memory=known)


def test_the_first_step_is_the_repair_that_worked_with_its_reason() -> None:
    nine = [("rerun", "verified")] * 9 + [("rerun", "failed")]
    view = remembered(*nine, ("plan", "verified"))
    assert line_of(view).endswith("; rerun worked 9 of 10 times")
    verdict = incident_verdict(view, (), NOW, is_frozen=False)
    record = json.loads(json_text(verdict_document(verdict, NOW)))["step"]["record"]
    assert ("rerun", 10, 9, 0.6) == (
        record["method"],
        record["tries"],
        record["successes"],
        round(record["at_least"], 1),
    )
    reruns = remembered(("rerun", "failed"), *[("rerun all", "verified")] * 3)
    command = "headway rerun etl-hosts/db07:extract_orders --scope all"
    assert line_of(reruns).endswith(f"; rerun all worked 3 of 3 times: {command}")


def test_a_repair_that_did_not_help_is_not_praised() -> None:
    assert line_of(remembered(*[("rerun", "failed")] * 4)).endswith("; rerun failed 4 of 4 times")
    assert line_of(remembered(*[("rerun all", "failed")] * 2)).endswith("; rerun all failed 2 of 2 times")
    assert line_of(remembered()) == line_of(incident()), "a later success at its source is no step to send"
    by_hand = remembered(("rerun", "verified"))
    root = replace(by_hand.members[0], can_rerun=False)
    assert "worked" not in line_of(replace(by_hand, members=(root, *by_hand.members[1:])))
