"""The verdict line: its verb, its countdown before and after the act-by, and what it saves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from console.control.incidents.verdict import (
    RepairStep,
    fix_text,
    incident_verdict,
    job_label,
    late_text,
    next_start_text,
    saved_text,
    step_text,
)
from console.domain.incident import AffectedServiceView, blocked_reason, open_reason
from console.domain.reason import NativeStart, StartEffect, from_json, to_json
from console.domain.service import RepairCase
from tests.tui.fake_reads import incident

NOW = datetime(2026, 11, 20, 3, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)


def clock(at: datetime) -> str:
    return f"{at:%H:%M}"


@pytest.mark.parametrize(
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


def test_the_fix_says_until_when_and_after_that_that_it_is_late() -> None:
    act_by = NOW + timedelta(minutes=54)
    assert fix_text("restart extract_orders", act_by, NOW, clock) == "restart extract_orders by 04:07 (in 54 min)"
    end = late_text(NOW + timedelta(hours=4), NOW + timedelta(hours=3, minutes=50), NOW, clock)
    late = fix_text("restart extract_orders", None, NOW, clock, end)
    assert late == "restart extract_orders now, expected 07:13, 10 min late"
    usual = late_text(NOW + timedelta(hours=4), NOW + timedelta(hours=5), NOW, clock, RepairCase.USUAL)
    assert usual == ", expected 07:13 if repaired as usual", "a plan assumes a restart now, and may say 07:06"
    assert late_text(NOW, NOW, NOW, clock) == ""
    assert late_text(NOW, NOW - timedelta(minutes=9), NOW, clock) == ", 9 min late so far", "the estimate has passed"
    assert fix_text("restart extract_orders", None, NOW, clock) == "restart extract_orders now"
    passed = fix_text("restart extract_orders", act_by, act_by + timedelta(minutes=3), clock)
    assert passed == "restart extract_orders now, act-by 04:07 has passed"
    assert fix_text("restart x", act_by, act_by, clock) == "restart x now, act-by 04:07 has passed"


def test_the_step_is_by_hand_where_its_system_has_no_rerun() -> None:
    assert step_text(RepairStep("etl-hosts/db07:extract_orders", can_rerun=True)) == "restart extract_orders"
    assert (
        step_text(RepairStep("etl-hosts/db07:extract_orders", can_rerun=True, is_missed=True)) == "start extract_orders"
    )
    by_hand = step_text(RepairStep("lake/load_orders", can_rerun=False))
    assert fix_text(by_hand, NOW + timedelta(minutes=54), NOW, clock) == (
        "run load_orders by hand in lake by 04:07 (in 54 min)"
    )


def unreachable(*services: AffectedServiceView) -> str:
    """The verdict of an incident of db07, which does not answer."""
    act_by = min((service.act_by for service in services if service.act_by is not None), default=None)
    row = replace(incident().row, act_by=act_by)
    view = replace(incident(), row=row, members=(), services=services, unreachable="etl-hosts/db07")
    return incident_verdict(view, (), NOW, clock, is_frozen=False).text


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


def test_an_incident_of_a_host_names_the_command_that_probes_it() -> None:
    view = replace(incident(), row=replace(incident().row, root_run_id=None), members=(), unreachable="etl-hosts/db07")
    fix = "Fix: restore it, then headway system probe etl-hosts/db07"
    assert blocked_reason(view) == f"etl-hosts/db07 does not answer: nothing to rerun. {fix}"
    assert blocked_reason(replace(view, unreachable="")) == "its root cause is not a run: nothing to rerun"


def test_an_incident_names_a_job_that_runs_in_two_periods_once() -> None:
    first = replace(incident().members[0], state="running")
    view = replace(incident(), members=(first, replace(first, run_id=99, period_key="2026-11-20T02:11:00Z")))
    assert blocked_reason(view) == f"no step to send now: it waits for {first.job}"


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
    verdict = incident_verdict(closing, (), NOW, clock, is_frozen=False)
    assert verdict.text == "Load_orders starts next 03:16 and closes it: nothing to restart"
    assert not verdict.needs_sending
    assert not any("red or stale" in line for line in open_reason(closing))
    begun = replace(closing, members=(root, load, replace(start, state="running")))
    assert "estart extract_orders" in incident_verdict(begun, (), NOW, clock, is_frozen=False).text
    assert "estart extract_orders" in incident_verdict(view, (), NOW, clock, is_frozen=False).text


def test_the_start_that_a_verdict_names_is_the_next_one_or_the_last_in_time() -> None:
    start = NativeStart("load", NOW + HOUR, StartEffect.RERUN_AFTER, reads_stale=True)
    assert next_start_text([start], NOW, clock) == " before 04:13 (next start of load)"
    assert next_start_text([replace(start, is_last=True)], NOW, clock) == " before 04:13 (last start of load in time)"
    assert from_json(to_json(replace(start, is_last=True))) == replace(start, is_last=True)
