"""When the services of a plan are there if it is carried out: from the simulation, and in step with what-if."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.expectations.expected_runs import expect_runs
from console.control.incidents.verdict.decision import FixCause, Verdict, step_verdict
from console.control.recovery.proposal import propose_recovery
from console.control.recovery.savings import AffectedDays
from console.control.services.status import service_days
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import round_up_to_minute
from console.domain.incident import AffectedServiceView
from console.domain.plan import AT_RISK, LATE, NO_FINISH, NOT_BY_PLAN, ON_TIME, WAIT, PlanDraft, StepKey
from console.domain.service import Timeliness
from console.domain.settings import Declared, DeclaredPool
from console.forecast.finish_times import ServiceForecast, SimulateDays
from console.forecast.forecaster import Forecaster
from console.forecast.night_graph import NightPoint, with_neighbours
from console.forecast.simulation.values import JobPhase, RerunRule
from console.forecast.what_if import Counterfactual, PlanOutcome, WhatIf
from console.tui.views.plans.rows import summary_lines
from tests.control.ledger import Ledger
from tests.control.recovery.test_proposal import DAILY, DEPS, EXTRACT, FAILED, LOAD, MART, STALE_LOAD, can, can_start
from tests.factories import NIGHT, at, daily, estate, feeds, job, minutes, run, service
from tests.forecast.test_simulation import past
from tests.properties import examples
from tests.reasons import zoned
from tests.tui.views.runs.test_durations import render_context

TAKES = [40.0, 60.0, 90.0]
NOW = "05:20"


def ledger(due: time = time(7, 45)) -> Ledger:
    """All three must run again: 20 and 30 minutes, and 40 to 90 as each night shows."""
    seen = estate(
        EXTRACT, LOAD, MART, runs=[FAILED, STALE_LOAD, run(3, MART, "04:30")], feeds=[DEPS[0], DEPS[2]],
        services=[replace(DAILY, deadline=due)], durations={3: tuple(value * 60 for value in TAKES * 6)},
    )  # fmt: skip
    result = Ledger(replace(seen, history={3: past(MART, "04:30", TAKES)}))
    result.evaluate(NOW)
    return result


def proposed(of: Ledger) -> PlanDraft:
    [incident] = of.estate.incidents
    draft = propose_recovery(of.estate, incident.id, at(NOW), can, simulate=Forecaster)
    assert draft is not None
    return draft


def test_as_planned_a_day_is_as_what_if_has_it_with_its_root_restarted_now() -> None:
    night = ledger()
    restarted = WhatIf(EXTRACT.id, Counterfactual.RESTARTED, at(NOW))
    days = evaluate(night.estate, at(NOW), foresee=Forecaster(restarted)).service_days
    then = next(service_day for service_day in days if service_day.business_date == NIGHT)
    [day] = proposed(night).days
    assert then.p_late is not None
    assert day.late is not None
    assert ("daily", str(NIGHT)) == (day.service, day.business_date)
    assert then.p_late == pytest.approx(day.late, abs=0.01)
    assert 0.02 < day.late < 0.98
    assert then.expected_at == day.expected, "the plan shows the finish that services show"


@pytest.mark.parametrize("due, status", [(time(11, 30), ON_TIME), (time(7, 25), AT_RISK), (time(7), LATE)])
def test_a_finish_that_was_simulated_says_how_likely_it_is_late(due: time, status: str) -> None:
    [day] = proposed(ledger(due)).days
    assert day.late is not None
    assert (status, status) == (day.finish, ON_TIME if day.late <= 0.1 else LATE if day.late > 0.5 else AT_RISK)
    assert day.expected is not None
    assert (day.expected <= day.deadline) == (day.late <= 0.5)


def test_no_step_saves_a_service_that_the_plan_finishes_late() -> None:
    def simulate_late(otherwise: Callable[[NightPoint], NightPoint]) -> SimulateDays:
        forecaster = Forecaster(otherwise)
        return lambda index, days: [
            replace(day, odds=replace(day.odds, late=0.9) if day.odds is not None else None)
            for day in forecaster(index, days)
        ]

    night = ledger(time(11, 30))
    for simulate, labels in ((Forecaster, {"saves"}), (simulate_late, {"too late"})):
        plan = propose_recovery(night.estate, night.estate.incidents[0].id, at(NOW), can, simulate=simulate)
        assert plan is not None
        assert labels == {save.label for step in plan.steps for save in step.saves}


def verdict_of(night: Ledger, now: str) -> Verdict:
    """The instruction of the incident, as the header shows it."""
    days = [item for item in evaluate(night.estate, at(now), foresee=Forecaster()).service_days if item.cause]
    services = [
        AffectedServiceView(
            name=day.service, title="", tier=2, zone="UTC", business_date=day.business_date.isoformat(),
            deadline=day.deadline, timeliness=day.timeliness.value, act_by=day.act_by, green_by=day.green_by,
            expected=day.expected_at, p_late=day.p_late, basis=None,
        )
        for day in days
    ]  # fmt: skip
    act_by = min((day.act_by for day in days if day.act_by is not None), default=None)
    return step_verdict(FixCause("extract"), act_by, services, at(now))


def shown_services(plan: PlanDraft, label: str) -> set[str]:
    """The services behind this label in the summary that a person confirms."""
    lines = ["".join(text for text, _ in line) for line in summary_lines(plan, render_context())]
    reported = [line.removeprefix(label) for line in lines if line.startswith(label)]
    return {day.service for day in plan.days if any(re.search(rf"\b{day.shown_title}\b", line) for line in reported)}


PLANNED = st.fixed_dictionaries(
    {
        "now": st.sampled_from(["03:14", "03:37", "03:50", "04:20", "05:20"]),
        "due": st.times(time(6), time(9)),
        "later": st.integers(0, 90),
        "takes": st.lists(st.integers(5, 120).map(float), min_size=2, max_size=6),
        "can_hold": st.booleans(),
    }
)


@examples(60)
@example({"now": "03:14", "due": time(6), "later": 0, "takes": [5.0, 61.0], "can_hold": False}, frozenset())
@given(PLANNED, st.frozensets(st.integers(1, 3), max_size=1))
def test_the_confirmation_the_verdict_and_the_finishes_of_a_plan_name_the_same_saved_services(
    planned: dict[str, Any], left_out: frozenset[int]
) -> None:
    """At 03:37 of the demo the confirmation saved one service less than the verdict above it and its own finishes."""
    now, due = planned["now"], planned["due"]
    mart = replace(MART, schedule=daily("05:10"))
    clocks = {EXTRACT: "03:10", LOAD: "04:00", mart: "05:10"}
    jobs = {replace(item, can_hold=planned["can_hold"]): clock for item, clock in clocks.items()}
    later = (datetime.combine(NIGHT, due) + timedelta(minutes=planned["later"])).time()
    runs = [FAILED, *([STALE_LOAD] if now >= "04:00" else []), *([run(3, mart, "05:10")] if now > "05:10" else [])]
    history = {item.id: past(item, clock, planned["takes"]) for item, clock in jobs.items()}
    durations = {job.id: tuple(takes * 60 for takes in planned["takes"] * 5) for job in jobs}
    services = [service("alpha", f"{due:%H:%M}", mart), service("beta", f"{later:%H:%M}", LOAD)]
    seen = estate(*jobs, runs=runs, feeds=[DEPS[0], DEPS[2]], services=services, durations=durations)
    night = Ledger(replace(seen, history=history))
    night.evaluate(now)

    def propose(left_out: frozenset[StepKey]) -> PlanDraft:
        plan = propose_recovery(
            night.estate, night.estate.incidents[0].id, at(now), can_start if planned["can_hold"] else can,
            left_out=left_out, simulate=Forecaster,
        )  # fmt: skip
        assert plan is not None
        return plan

    plan = propose(frozenset(step.key for step in propose(frozenset()).steps if step.place in left_out))
    by_status = {day.service: day.finish for day in plan.days}
    expected = {label: {name for name, status in by_status.items() if status in statuses} for label, statuses in LABELS}
    labels = ("saves ", "may save ", "does not save ")
    assert expected == {label: shown_services(plan, label) for label in labels}
    assert all((day.expected is None) == (day.finish in (NOT_BY_PLAN, NO_FINISH)) for day in plan.days)
    if not left_out:
        verdict = verdict_of(night, now)
        assert not {*verdict.saves} & expected["does not save "], verdict
        days = evaluate(night.estate, at(now), foresee=Forecaster()).service_days
        lost = {day.service for day in days if day.business_date == NIGHT and day.timeliness is Timeliness.WILL_MISS}
        savable = {name for name, status in by_status.items() if status in (ON_TIME, AT_RISK)}
        assert not lost & savable, "what the plan saves is not given up"


LABELS = (
    ("saves ", (ON_TIME,)),
    ("may save ", (AT_RISK, NO_FINISH)),
    ("does not save ", (LATE, NOT_BY_PLAN)),
)


def test_a_plan_without_a_simulation_has_no_finish() -> None:
    night = ledger()
    draft = propose_recovery(night.estate, night.estate.incidents[0].id, at(NOW), can)
    assert draft is not None
    assert [(None, None)] == [(day.expected, day.late) for day in draft.days]


def test_a_simulated_draft_survives_json() -> None:
    plan = proposed(ledger())
    assert plan == PlanDraft.read(json.loads(json.dumps(plan.as_json())))


def test_each_rerun_of_a_plan_begins_as_late_as_its_system_begins_it() -> None:
    """A red, a stale and a red run, one after another: three times 65 s."""
    entries = []
    for start_within in (timedelta(), timedelta(seconds=65)):
        night = ledger(time(11, 30))
        slow = {number: replace(job, start_within=start_within) for number, job in night.estate.jobs.items()}
        night.estate = replace(night.estate, jobs=slow)
        draft = proposed(night)
        [day] = draft.days
        assert day.expected is not None
        entries.append(day.expected)
    simulated, later = entries
    assert timedelta(minutes=3) <= later - simulated <= timedelta(minutes=4), "whole minutes"


def point(phase: int, **more: Any) -> NightPoint:
    return NightPoint(1, phase, **more)


def test_what_a_plan_holds_waits_for_what_it_reads_and_not_for_a_start_before() -> None:
    planned = PlanOutcome(at(NOW), frozenset(), frozenset({1}))
    due = at("05:30").timestamp()
    rerun = point(JobPhase.WAITS, upstreams=(4, 2, 3), rule=RerunRule(4, (2, 3)), due=due)
    night_point = planned(rerun)
    assert ((2, 3), None, due) == (night_point.upstreams, night_point.rule, night_point.earliest)
    other = replace(rerun, job_id=9)
    assert other == planned(other)


def test_what_is_red_and_no_step_of_the_plan_is_repaired_as_repairs_go_here() -> None:
    planned = PlanOutcome(at(NOW), frozenset({1}), frozenset())
    red = point(JobPhase.FAILED, end=1.0)
    assert (JobPhase.WAITS, at(NOW).timestamp()) == (planned(red).phase, planned(red).earliest)
    other = replace(red, job_id=9)
    assert other == planned(other)


def test_a_plan_queries_the_services_that_share_a_job_or_a_pool_with_its_own_and_no_others() -> None:
    known = [job(number, f"dwh/j{number}", "04:00", expected=minutes(30)) for number in range(1, 8)]
    services = [service(job.native_id, "06:30", job) for job in known[1:]]
    declared = Declared(pools=(DeclaredPool("host", ("dwh/j3", "dwh/j5"), 1),))
    night = estate(*known, feeds=[*feeds(known[0], known[1]), *feeds(known[0], known[2])], services=services,
                   declared=declared)  # fmt: skip
    due = expect_runs(night, at("03:00"))
    index = EstateIndex(night, at("03:00"), due.runs)

    def expected(days: Any) -> AffectedDays:
        return {
            (day.service.name, day.business_date): (day, [])
            for day in days
            if (day.service.name, day.business_date) == ("j2", NIGHT)
        }

    forecasts: list[ServiceForecast] = with_neighbours(index, service_days(index), expected)
    assert [("j2", NIGHT), ("j3", NIGHT), ("j5", NIGHT)] == [(day.service.name, day.business_date) for day in forecasts]


def test_a_plan_that_only_waits_shows_the_finish_of_the_forecast() -> None:
    """The plan has the forecast's finish for a hanging run, not an unknown one."""
    history = past(EXTRACT, "03:10", [20.0] * 20)
    seen = estate(EXTRACT, services=[service("daily", "07:45", EXTRACT)], durations={EXTRACT.id: (1200.0,) * 20})
    hung = Ledger(replace(seen, history={EXTRACT.id: history}))
    hung.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:10"))
    hung.evaluate(NOW)
    draft = proposed(hung)
    assert [WAIT] == [step.verb for step in draft.steps]
    forecasts = Forecaster()(EstateIndex(hung.estate, at(NOW)), service_days(EstateIndex(hung.estate, at(NOW))))
    [day] = (forecast for forecast in forecasts if forecast.business_date == NIGHT)
    assert day.odds is not None
    assert day.finish is not None
    assert [(day.odds.late, round_up_to_minute(day.finish.p50))] == [(save.late, save.expected) for save in draft.days]
    saves = [(save.saved, zoned(save.text)) for step in draft.steps for save in step.saves]
    assert [(None, "26 % risk of being late")] == saves, "the incident says the same"
