"""What repairs an incident: the fewest steps, in an order that holds, with what each is worth."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import Capability, PeriodKind, RunEvidence, RunState, Verb
from console.control.recovery.backfill import backfill_periods, propose_backfill
from console.control.recovery.exclusion import without_steps
from console.control.recovery.proposal import propose_bulk, propose_recovery
from console.domain.action import NOTHING_TO_MARK
from console.domain.dependency import DependencyMode, DependencyOrigin, EngineDown
from console.domain.estate import DependencyFacts, JobFacts, RunFacts, ServiceFacts
from console.domain.history import EstimateBasis, EstimateKind
from console.domain.hold import HoldActionFacts, HoldFacts, HoldReason, HoldState
from console.domain.job import Safety
from console.domain.plan import WAIT, DraftStep, PlanDraft, StepPeriod, repeated_jobs, step_name
from console.forecast.forecaster import Forecaster
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, feeds, gate, job, minutes, run, service, target
from tests.forecast.test_simulation import past
from tests.reasons import dated, zoned
from tests.rows import each_row

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20), rerun=Safety.SAFE)
LOAD = job(2, "warehouse/load", "04:00", expected=minutes(30))
MART = job(3, "dwh/mart", expected=minutes(60))
AUDIT = job(4, "dwh/audit", expected=minutes(5))
DEPS = [*feeds(EXTRACT, LOAD, AUDIT), *feeds(LOAD, MART)]
DAILY = service("daily", "06:30", MART)


def can(_: JobFacts, capability: Capability) -> bool:
    return capability in (Capability.RERUN, Capability.TASKS)


def can_start(_: JobFacts, __: Capability) -> bool:
    return True


def night(*runs: RunFacts, now: str, jobs: tuple[JobFacts, ...] = (), **more: Any) -> tuple[Ledger, PlanDraft]:
    """The estate at that time, and the plan for its only incident."""
    facts: dict[str, Any] = {"feeds": DEPS, "services": [DAILY]} | more
    ledger = Ledger(estate(*(jobs or (EXTRACT, LOAD, MART, AUDIT)), runs=runs, **facts))
    ledger.evaluate(now)
    [incident] = ledger.estate.incidents
    draft = propose_recovery(ledger.estate, incident.id, at(now), can)
    assert draft is not None
    return ledger, draft


def shown(draft: PlanDraft) -> list[tuple[int, str, str, tuple[int, ...]]]:
    return [(step.place, step.verb, step.job, step.after) for step in draft.steps]


def exclusions(draft: PlanDraft) -> dict[str, str]:
    return {exclusion.job: zoned(exclusion.why) for exclusion in draft.excluded}


FAILED = run(1, EXTRACT, "03:10", RunState.FAILED)
STALE_LOAD = run(2, LOAD, "04:00")
STALE_MART = run(3, MART, "05:00")
STALE_AUDIT = run(4, AUDIT, "05:00")


def test_the_root_comes_first_then_what_it_left_stale_in_the_order_in_which_they_read() -> None:
    _, plan = night(FAILED, STALE_LOAD, STALE_MART, now="05:20")
    expected = [(1, "rerun", "hosts/extract", ()), (2, "rerun", "warehouse/load", (1,)), (3, "rerun", "dwh/mart", (2,))]
    assert expected == shown(plan)
    assert ["it ended failed", *["it read what its upstream had not finished"] * 2] == [
        zoned(s.why) for s in plan.steps
    ]


def test_a_missed_slot_of_the_former_schedule_leaves_the_failed_root_in_the_plan() -> None:
    missed, accepted = run(5, EXTRACT, "03:11", RunState.MISSED), replace(EXTRACT, accepted_at=at("05:00"))
    _, plan = night(FAILED, missed, STALE_LOAD, STALE_MART, now="05:20", jobs=(accepted, LOAD, MART, AUDIT))
    assert ["hosts/extract", "warehouse/load", "dwh/mart"] == [step.job for step in plan.steps]
    assert 1 == plan.steps[0].run_id


def test_what_no_hit_service_waits_for_is_left_out_with_the_reason() -> None:
    _, plan = night(FAILED, STALE_LOAD, STALE_MART, STALE_AUDIT, now="05:20")
    assert "no affected service waits for it" == exclusions(plan)["dwh/audit"]
    assert "dwh/audit" not in [step.job for step in plan.steps]


def test_each_region_of_a_job_that_is_left_out_has_its_line() -> None:
    regions = [
        run(number, AUDIT, f"05:0{number}", own_period=region, period_kind=PeriodKind.NAME)
        for number, region in ((4, "EU"), (5, "US"))
    ]
    _, plan = night(FAILED, STALE_LOAD, STALE_MART, *regions, now="05:20")
    excluded = [(dated(step_name(run, ())), run.run_id) for run in plan.excluded if run.job == AUDIT.name]
    assert [
        (f"{AUDIT.name} 2026-11-20 05:0{number} UTC {region}", number) for number, region in ((4, "EU"), (5, "US"))
    ] == sorted(excluded)


def test_all_that_is_broken_is_repaired_where_that_is_wanted() -> None:
    ledger, _ = night(FAILED, STALE_LOAD, STALE_MART, STALE_AUDIT, now="05:20")
    plan = propose_recovery(ledger.estate, 1, at("05:20"), can, everything=True)
    assert plan is not None
    assert {"hosts/extract", "dwh/audit", "warehouse/load", "dwh/mart"} == {step.job for step in plan.steps}
    assert () == plan.excluded


def test_where_no_service_is_hit_all_that_is_broken_is_repaired() -> None:
    _, plan = night(FAILED, STALE_LOAD, STALE_AUDIT, now="05:20", services=[])
    assert [("hosts/extract", ()), ("dwh/audit", (1,)), ("warehouse/load", (1,))] == [
        (step.job, step.after) for step in plan.steps
    ]


def test_what_its_own_clock_starts_several_times_is_no_step_and_names_the_next_start_and_the_last_in_time() -> None:
    often = replace(LOAD, schedule=replace(LOAD.schedule, expression="*/15 * * * *"), accepted_at=at("03:31"))
    _, plan = night(FAILED, now="03:40", jobs=(EXTRACT, often, MART, AUDIT))
    text = exclusions(plan)["warehouse/load"]
    assert re.match(r"its schedule starts it at 03:45 UTC; .* 0\d:[0134]\d UTC", text), text


def test_what_its_own_clock_starts_later_is_no_step() -> None:
    _, plan = night(FAILED, now="03:40")
    assert ["hosts/extract"] == [step.job for step in plan.steps]
    assert (
        "its schedule starts it at 04:00 UTC; if the repair ends later, rerun it" == exclusions(plan)["warehouse/load"]
    )
    assert "its own scheduler starts it" == exclusions(plan)["dwh/mart"]


HELD = "its start of 04:00 UTC is held until its upstreams have succeeded; while no engine works "
TRIGGERED = "Headway starts it once its upstreams have succeeded; not while no engine works"


@pytest.mark.parametrize(
    "mode, engine_down, due, text",
    [
        (DependencyMode.HOLD, EngineDown.OPEN, "04:00", f"{HELD}it starts all the same"),
        (DependencyMode.HOLD, EngineDown.CLOSED, "04:00", f"{HELD}it stays held"),
        (DependencyMode.TRIGGER, EngineDown.OPEN, "", TRIGGERED),
    ],
)
def test_a_held_job_is_shown_with_what_becomes_of_it_without_an_engine(
    mode: DependencyMode, engine_down: EngineDown, due: str, text: str
) -> None:
    job_facts = job(2, "warehouse/load", due, expected=minutes(30))
    deps = [DependencyFacts(1, 2, DependencyOrigin.DECLARED, mode, engine_down), *feeds(job_facts, MART)]
    _, plan = night(FAILED, now="03:40", jobs=(EXTRACT, job_facts, MART, AUDIT), feeds=deps)
    assert text == exclusions(plan)["warehouse/load"]


def test_a_job_that_could_not_be_held_is_reported_to_start_all_the_same() -> None:
    no_run = HoldActionFacts("refused", "it has no run yet", at("03:52"), unsent=False, origin="hold")
    failed = HoldFacts(
        "headway-1",
        2,
        1,
        None,
        "reactive",
        DependencyMode.HOLD,
        HoldState.FAILED,
        "headway",
        "",
        at("10:00"),
        at("04:00"),
        "",
        ended_at=at("03:52"),
        detail=("it has no run yet",),
        place=no_run,
    )
    again = replace(
        failed,
        key="headway-2",
        state=HoldState.PLACING,
        ended_at=None,
        reason=HoldReason.AWAITS_UPSTREAM,
        detail=("it is good",),
    )
    held = replace(again, state=HoldState.HELD)
    deps = [DependencyFacts(1, 2, DependencyOrigin.DECLARED, DependencyMode.HOLD), *feeds(LOAD, MART)]
    ledger, _ = night(FAILED, now="03:53", feeds=deps)
    late = "its start of 04:00 UTC comes all the same, unless a later try holds it"
    refused = f"its hold was refused (it has no run yet): {late}"
    for holds, text in (
        ((failed,), refused),
        ((failed, again), refused),
        ((failed, held), f"{HELD}it starts all the same"),
        ((replace(failed, due_at=at("03:00")),), f"{HELD}it starts all the same"),
    ):
        plan = propose_recovery(replace(ledger.estate, holds=holds), 1, at("03:53"), can)
        assert plan is not None
        assert text == exclusions(plan)["warehouse/load"]


def test_a_manual_step_is_completed_by_a_person_and_started_by_no_scheduler() -> None:
    mart = replace(MART, kind="manual")
    _, plan = night(FAILED, now="03:40", jobs=(EXTRACT, LOAD, mart, AUDIT))
    assert "a person completes it: headway action complete dwh/mart" == exclusions(plan)["dwh/mart"]


def test_a_job_held_by_its_own_scheduler_continues_by_itself() -> None:
    blocked = run(3, MART, "05:00", RunState.BLOCKED)
    native = [*feeds(EXTRACT, LOAD), *feeds(LOAD, MART, origin=DependencyOrigin.NATIVE)]
    _, plan = night(FAILED, STALE_LOAD, blocked, now="05:20", feeds=native)
    assert ["hosts/extract", "warehouse/load"] == [step.job for step in plan.steps]
    assert "its own scheduler starts it once warehouse/load is good" == exclusions(plan)["dwh/mart"]


def test_a_step_that_its_own_scheduler_may_start_says_so() -> None:
    native = [*feeds(EXTRACT, LOAD), *feeds(LOAD, MART, origin=DependencyOrigin.NATIVE)]
    _, plan = night(FAILED, STALE_LOAD, STALE_MART, now="05:20", feeds=native)
    text = "it read what its upstream had not finished"
    meanwhile = "; if its own scheduler starts it meanwhile, that run replaces this step"
    assert ["it ended failed", text, f"{text}{meanwhile}"] == [zoned(step.why) for step in plan.steps]


def test_what_starts_by_itself_between_two_steps_is_waited_for() -> None:
    """load is started by its own scheduler when extract is good; mart failed, for it read what was not there."""
    load = job(2, "warehouse/load", expected=minutes(30))
    red = run(3, MART, "05:00", RunState.FAILED)
    _, plan = night(FAILED, red, now="05:20", jobs=(EXTRACT, load, MART, AUDIT))
    expected = [(1, "rerun", "hosts/extract", ()), (2, "wait", "warehouse/load", (1,)), (3, "rerun", "dwh/mart", (2,))]
    assert expected == shown(plan)
    assert (None, "", "its own scheduler starts it") == (
        plan.steps[1].run_id,
        plan.steps[1].period.key,
        zoned(plan.steps[1].why),
    )


def test_what_is_good_again_is_left_out_and_the_others_do_not_wait_for_it() -> None:
    ledger, _ = night(FAILED, STALE_LOAD, STALE_MART, now="05:20")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("05:25", 5))
    ledger.evaluate("05:31")
    plan = propose_recovery(ledger.estate, 1, at("05:31"), can)
    assert plan is not None
    assert [("warehouse/load", ()), ("dwh/mart", (1,))] == [(step.job, step.after) for step in plan.steps]
    assert {"hosts/extract": "succeeded meanwhile"} == exclusions(plan)


def test_what_runs_again_already_is_waited_for_and_not_sent_twice() -> None:
    ledger, _ = night(FAILED, STALE_LOAD, STALE_MART, now="05:20")
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("05:25"))
    ledger.evaluate("05:26")
    plan = propose_recovery(ledger.estate, 1, at("05:26"), can)
    assert plan is not None
    assert [("wait", "hosts/extract"), ("rerun", "warehouse/load"), ("rerun", "dwh/mart")] == [
        (step.verb, step.job) for step in plan.steps
    ]


OFTEN = job(1, "hosts/poll", Schedule("debian-cron", "*/5 * * * *", "UTC"), expected=minutes(1))
RED_RUNS = [run(number, OFTEN, f"03:{minute}", RunState.FAILED) for number, minute in ((1, 10), (2, 15), (3, 20))]


def test_of_red_runs_that_all_work_for_now_the_newest_alone_is_run_again() -> None:
    _, plan = night(*RED_RUNS, now="03:24", jobs=(OFTEN, LOAD, MART, AUDIT), services=[])
    assert [("hosts/poll", 3)] == [(step.job, step.run_id) for step in plan.steps]
    assert {"hosts/poll": "03:10 UTC and 03:15 UTC: superseded by the rerun of 03:20 UTC"} == exclusions(plan)


def test_the_newest_run_replaces_the_one_an_affected_service_reads_and_retains_what_it_saves() -> None:
    thrice = replace(OFTEN, schedule=Schedule("debian-cron", "10-20/5 3 * * *", "UTC"))
    ledger, plan = night(*RED_RUNS, now="03:24", jobs=(thrice, LOAD, MART, AUDIT))
    assert [("hosts/poll", 3, True)] == [(step.job, step.run_id, step.saves[0].saved) for step in plan.steps]
    ledger.run(thrice, "03:20", RunState.SUCCEEDED, **ended("03:25", 1))
    assert ledger.evaluate("03:26").incidents[0].closed


def test_runs_with_a_period_of_their_own_are_all_run_again() -> None:
    ledger, _ = night(*RED_RUNS, now="03:24", jobs=(OFTEN, LOAD, MART, AUDIT), services=[])
    plan = propose_recovery(ledger.estate, 1, at("03:24"), can_start)
    assert plan is not None
    assert [(1, ()), (2, (1,)), (3, (2,))] == [(step.run_id, step.after) for step in plan.steps]


def test_each_step_shows_its_duration_its_safety_and_the_services_it_saves() -> None:
    _, plan = night(FAILED, now="03:20", durations={1: (600.0,) * 14})
    [step] = plan.steps
    assert (600.0, EstimateBasis(EstimateKind.HISTORY, 14), "safe") == (step.expected_s, step.basis, step.safety)
    assert [("daily", True, "act by 04:50 UTC")] == [
        (service.service, service.saved, zoned(service.text)) for service in step.saves
    ]


@pytest.mark.parametrize(
    "now,text", [("06:00", "its act-by 04:40 UTC has passed"), ("06:40", "its deadline 06:30 UTC has passed")]
)
def test_a_service_that_cannot_be_saved_is_named(now: str, text: str) -> None:
    _, plan = night(FAILED, STALE_LOAD, STALE_MART, now=now)
    assert {(False, text)} == {(service.saved, zoned(service.text)) for service in plan.steps[0].saves}


@pytest.mark.parametrize("deadline, is_lost", [(time(7, 30), False), (time(6), True)])
def test_past_its_act_by_a_service_is_shown_with_the_remaining_chance(deadline: time, is_lost: bool) -> None:
    """ "Cannot be saved any more" sends people back to bed: with one chance in eight that is wrong."""
    takes = [60.0, 70.0, 80.0, 90.0, 100.0, 110.0, 120.0]
    seen = estate(
        EXTRACT, LOAD, MART, runs=[FAILED, STALE_LOAD, run(3, MART, "04:30")], feeds=[DEPS[0], DEPS[2]],
        services=[replace(DAILY, deadline=deadline)], durations={3: tuple(value * 60 for value in takes * 6)},
    )  # fmt: skip
    ledger = Ledger(replace(seen, history={3: past(MART, "04:30", takes)}))
    ledger.evaluate("05:20")
    plan = propose_recovery(ledger.estate, ledger.estate.incidents[0].id, at("05:20"), can, simulate=Forecaster)
    assert plan is not None
    [save] = plan.steps[0].saves
    assert save.saved is False
    match = re.search(r" has passed, (\d+) % risk of being late$", zoned(save.text))
    assert is_lost == (match is None)


def test_without_an_estimate_the_saved_services_are_unknown() -> None:
    _, plan = night(FAILED, now="03:20", jobs=(EXTRACT, LOAD, job(3, "dwh/mart"), AUDIT))
    assert [None] == [service.saved for service in plan.steps[0].saves]


def without(draft: PlanDraft, places: Collection[int]) -> PlanDraft:
    return without_steps(draft, {step.key for step in draft.steps if step.place in places})


def verdicts(draft: PlanDraft) -> set[tuple[bool | None, str, str]]:
    return {(service.saved, service.label, zoned(service.text)) for step in draft.steps for service in step.saves}


def test_a_step_left_out_leaves_the_service_that_it_feeds_unsaved() -> None:
    _, plan = night(FAILED, STALE_LOAD, STALE_MART, now="04:10")
    text = "not by this plan: warehouse/load is left out"
    assert {(False, "unsaved", text)} == verdicts(without(plan, {2}))
    _, late = night(FAILED, STALE_LOAD, STALE_MART, now="06:00")
    assert {(False, "unsaved", text)} == verdicts(without(late, {2})), "nor is it delivered late"


def test_a_service_that_no_step_helps_is_shown_as_unsaved() -> None:
    """A service whose only saving step is left out is listed as unsaved, with that step."""
    _, plan = night(FAILED, STALE_LOAD, STALE_MART, now="04:10")
    for out, text in (({1, 2, 3}, "hosts/extract is left out"), ({2}, "warehouse/load is left out"), (set(), "")):
        draft = PlanDraft.read(json.loads(json.dumps(without(plan, out).as_json())))
        assert [("daily", f"not by this plan: {text}")] * bool(out) == [
            (s.service, zoned(s.text)) for s in draft.unsaved
        ]


def test_a_job_that_a_person_holds_does_not_start_by_its_own_clock() -> None:
    hold = HoldFacts(
        "headway-1",
        2,
        None,
        None,
        "person",
        DependencyMode.OBSERVE,
        HoldState.HELD,
        "mara",
        "freeze",
        at("07:00"),
        None,
        "",
        placed_at=at("03:30"),
    )
    ledger, _ = night(FAILED, now="03:40")
    plan = propose_recovery(replace(ledger.estate, holds=(hold,)), 1, at("03:40"), can)
    over = propose_recovery(replace(ledger.estate, holds=(replace(hold, until=at("03:50")),)), 1, at("03:40"), can)
    assert plan is not None
    assert over is not None
    held = "held by mara: freeze (hold headway-1)"
    assert f"{held}: it does not start by itself; release it or run it" == exclusions(plan)["warehouse/load"]
    assert {(False, "unsaved", f"not by this plan: warehouse/load is {held}")} == verdicts(plan)
    assert (
        "its schedule starts it at 04:00 UTC; if the repair ends later, rerun it" == exclusions(over)["warehouse/load"]
    )
    assert {(True, "saves", "act by 04:40 UTC")} == verdicts(over)


def test_a_job_that_is_paused_at_its_source_does_not_start_by_its_own_clock() -> None:
    paused = replace(LOAD, paused_since=at("03:30"))
    _, plan = night(FAILED, now="03:40", jobs=(EXTRACT, paused, MART, AUDIT))
    assert (
        "paused at its source: it does not start by itself; release it or run it" == exclusions(plan)["warehouse/load"]
    )
    text = "not by this plan: warehouse/load is paused at its source"
    assert {(False, "unsaved", text)} == verdicts(plan)


def test_a_run_that_never_started_is_started_where_its_kind_can() -> None:
    ledger = Ledger(estate(EXTRACT, LOAD, MART, AUDIT, feeds=DEPS, services=[DAILY]))
    ledger.evaluate("03:20")
    for ability, verb, parameters in (
        (can_start, "start", {"period_at": "2026-11-20T03:10:00Z"}),
        (can, "rerun", {}),
    ):
        plan = propose_recovery(ledger.estate, 1, at("03:20"), ability)
        assert plan is not None
        [first] = [step for step in plan.steps if step.job == EXTRACT.name]
        assert (verb, parameters, "missed") == (first.verb, first.parameters, first.state)


def held(now: str, ability: Any = can_start, load: JobFacts = LOAD) -> PlanDraft:
    """The plan for the failed extract, of a kind that can hold."""
    ledger, _ = night(FAILED, now=now, jobs=(EXTRACT, load, MART, AUDIT))
    draft = propose_recovery(ledger.estate, 1, at(now), ability)
    assert draft is not None
    return draft


def test_what_its_clock_would_start_in_the_middle_of_a_repair_is_held_and_let_go_when_it_is_repaired() -> None:
    plan = held("03:40")
    assert [
        (1, "hold", "warehouse/load", ()),
        (2, "rerun", "hosts/extract", ()),
        (3, "release", "warehouse/load", (1, 2)),
        (4, "wait", "warehouse/load", (3,)),
    ] == shown(plan)
    first = plan.steps[0]
    assert (600.0, "safe", {"until": "2026-11-20T10:00:00Z"}) == (first.wait_s, first.safety, first.parameters)
    assert "its schedule starts it at 04:00 UTC" in zoned(first.why)
    assert "warehouse/load" not in exclusions(plan)
    assert plan.steps[3].saves


@each_row(
    "now, start, ability, more",
    [
        ("03:15", "05:00", can_start, {}),
        ("03:40", "04:00", can, {}),
        ("03:40", Schedule("debian-cron", "0 * * * *", "UTC"), can_start, {}),
        ("03:40", "04:00", can_start, {"mode": DependencyMode.HOLD}),
        ("03:40", "04:00", can_start, {"origin": DependencyOrigin.NATIVE}),
    ],
)
def test_a_job_out_of_reach_of_the_repair_or_not_holdable_or_otherwise_delayed_is_not_held(
    now: str, start: Schedule | str, ability: Any, more: dict[str, Any]
) -> None:
    load = job(2, "warehouse/load", start, expected=minutes(30), accepted_at=at("03:30"))
    edges = [*(replace(edge, **more) for edge in feeds(EXTRACT, load)), *feeds(load, MART)]
    ledger, _ = night(FAILED, now=now, jobs=(EXTRACT, load, MART), feeds=edges)
    plan = propose_recovery(ledger.estate, 1, at(now), ability)
    assert plan is not None
    assert ["rerun"] == [step.verb for step in plan.steps]


def test_what_is_held_is_let_go_only_once_what_starts_by_itself_before_it_is_good_too() -> None:
    """It was let go behind the rerun, and read what its own upstream had not finished."""
    stage = job(5, "warehouse/stage", expected=minutes(15))
    native = (replace(edge, origin=DependencyOrigin.NATIVE) for edge in feeds(EXTRACT, stage))
    edges = [*native, *feeds(stage, LOAD), *feeds(LOAD, MART)]
    ledger, _ = night(FAILED, now="03:40", jobs=(EXTRACT, stage, LOAD, MART), feeds=edges)
    plan = propose_recovery(ledger.estate, 1, at("03:40"), can_start)
    assert plan is not None
    assert [
        (1, "hold", "warehouse/load", ()),
        (2, "rerun", "hosts/extract", ()),
        (3, "wait", "warehouse/stage", (2,)),
        (4, "release", "warehouse/load", (1, 3)),
        (5, "wait", "warehouse/load", (4,)),
    ] == shown(plan)
    assert "warehouse/stage" not in exclusions(plan)


def test_what_cannot_be_held_and_starts_too_early_is_run_again_after_what_it_reads() -> None:
    """It was left out, and the plan promised a service that nobody would have saved."""
    plan = held("03:50", can)
    assert [(1, "rerun", "hosts/extract", ()), (2, "rerun", "warehouse/load", (1,))] == shown(plan)
    assert "its schedule starts it at 04:00 UTC, before its upstreams have succeeded" in zoned(plan.steps[1].why)
    assert plan.steps[1].saves


def test_what_another_plan_holds_is_not_held_a_second_time_and_run_again_where_that_lets_it_go_too_early() -> None:
    """Its scheduler refused the second hold, and with it the whole plan."""
    hold = HoldFacts("headway-1", 2, None, None, "person", DependencyMode.HOLD, HoldState.HELD, "mara", "", at("10:00"),
                     None, "", placed_at=at("03:49"), is_released_by_plan=True)  # fmt: skip
    ledger, _ = night(FAILED, now="03:50")
    plan = propose_recovery(replace(ledger.estate, holds=(hold,)), 1, at("03:50"), can_start)
    assert plan is not None
    assert [(1, "rerun", "hosts/extract", ()), (2, "rerun", "warehouse/load", (1,))] == shown(plan)


def held_plan(*jobs: JobFacts, now: str, runs: Sequence[RunFacts] = (), **more: Any) -> PlanDraft:
    """The plan for the first incident of that estate, of kinds that can hold."""
    ledger = Ledger(estate(*jobs, runs=[FAILED, *runs], **more))
    ledger.evaluate(now)
    draft = propose_recovery(ledger.estate, 1, at(now), can_start)
    assert draft is not None
    return draft


def test_a_job_with_two_starts_in_the_middle_of_a_repair_is_held_once() -> None:
    """Two holds of one job: its scheduler refused the second, and the plan stopped."""
    slow = replace(EXTRACT, expected=minutes(400))
    load = job(2, "warehouse/load", Schedule("debian-cron", "0 4,10 * * *", "UTC"), expected=minutes(10))
    services = [service("daily", "06:30", load), service("noon", "10:15", load)]
    plan = held_plan(slow, load, feeds=feeds(slow, load), services=services, now="03:40")
    assert ["hold", "rerun", "release", "wait"] == [step.verb for step in plan.steps]
    assert "its schedule starts it at 04:00 UTC" in zoned(plan.steps[0].why)


@pytest.mark.parametrize("start, is_held", [("04:00", True), ("05:00", False)])
def test_what_waits_for_one_of_several_is_held_until_the_first_of_them_is_good(start: str, is_held: bool) -> None:
    quick = job(5, "warehouse/quick", "03:20", expected=minutes(5), rerun=Safety.SAFE)
    slow = job(6, "warehouse/slow", "03:20", expected=minutes(180), rerun=Safety.SAFE)
    load = job(2, "warehouse/load", start, expected=minutes(30))
    edges = [*feeds(EXTRACT, quick, slow), *gate(1, load, quick, slow), *feeds(load, MART)]
    stale = [run(2, quick, "03:20"), run(3, slow, "03:20")]
    plan = held_plan(EXTRACT, quick, slow, load, MART, runs=stale, feeds=edges, services=[DAILY], now="03:40")
    jobs = {step.place: step.job for step in plan.steps}
    released = [{jobs[place] for place in step.after} for step in plan.steps if step.verb == "release"]
    assert {"hosts/extract", "warehouse/quick", "warehouse/slow"} <= {*jobs.values()}
    assert [{"warehouse/load", "warehouse/quick"}] * is_held == released


def test_what_waits_for_one_of_several_that_read_each_other_is_held_until_the_first_of_them_is_good() -> None:
    """It waited for nothing: its hold was not needed at once, and its clock started it on what was not finished."""
    clean = job(5, "warehouse/clean", "03:20", expected=minutes(180), rerun=Safety.SAFE)
    load = job(2, "warehouse/load", "04:00", expected=minutes(30))
    edges = [*feeds(EXTRACT, clean), *gate(1, load, EXTRACT, clean), *feeds(load, MART)]
    services = [DAILY, service("clean", "07:30", clean)]
    plan = held_plan(
        EXTRACT, clean, load, MART, runs=[run(2, clean, "03:20")], feeds=edges, services=services, now="03:40"
    )
    jobs = {step.place: step.job for step in plan.steps}
    [release] = [step for step in plan.steps if step.verb == "release"]
    assert {"hosts/extract", "warehouse/clean"} <= {*jobs.values()}
    assert {"warehouse/load", "hosts/extract"} == {jobs[place] for place in release.after}


@pytest.mark.parametrize("start, verbs", [("11:00", ["rerun"]), ("05:00", ["hold", "rerun", "release", "wait"])])
def test_a_job_without_an_estimate_is_assumed_to_need_as_long_as_a_hold_lasts(start: str, verbs: list[str]) -> None:
    """It counted as never ending, and whatever read it was held, however late it starts."""
    extract = job(1, "hosts/extract", "03:10", rerun=Safety.SAFE)
    load = job(2, "warehouse/load", start, expected=minutes(10))
    services = [service("daily", "14:00", load)]
    plan = held_plan(extract, load, feeds=feeds(extract, load), services=services, now="03:40")
    assert verbs == [step.verb for step in plan.steps]


def test_who_leaves_a_hold_out_leaves_its_release_and_its_wait_out() -> None:
    plan = held("03:40")
    for place in (1, 3):
        shaped = without(plan, {place})
        assert [(1, "rerun", "hosts/extract", ())] == shown(shaped)


def test_a_step_that_its_owner_forbids_says_so() -> None:
    never = job(1, "hosts/extract", "03:10", expected=minutes(20), rerun=Safety.NEVER)
    _, plan = night(FAILED, now="03:20", jobs=(never, LOAD, MART, AUDIT))
    [step] = plan.steps
    assert 'its owner marked it rerun = "never"; repair it at its source' == step.refusal


def test_an_incident_that_is_closed_or_was_never_there_has_no_plan() -> None:
    assert propose_recovery(estate(EXTRACT), 7, at("03:20"), can) is None


def test_an_unresponsive_target_is_named() -> None:
    ledger = Ledger(estate(EXTRACT, LOAD, MART, AUDIT, feeds=DEPS, services=[DAILY]))
    ledger.target(1, failing_since=at("03:00"), last_ok_at=at("03:00"), seen_until=at("03:00"))
    ledger.evaluate("03:30")
    plan = propose_recovery(ledger.estate, 1, at("03:30"), can)
    assert plan is not None
    assert ((("etl-hosts/db07 does not answer: nothing can be sent there before it does",),), ()) == (
        plan.notes,
        plan.steps,
    )


def test_unresponsive_targets_of_one_endpoint_are_one_note() -> None:
    targets = [target(number, "hosts", f"db{number}", endpoint="db07:22") for number in range(1, 6)]
    jobs = [job(number, f"hosts/load_{number}", target_id=number) for number in range(1, 6)]
    services = [service(f"of_{known.id}", "07:30", known) for known in jobs]
    ledger = Ledger(estate(*jobs, targets=targets, services=services))
    for known in targets:
        ledger.target(known.id, failing_since=at("03:00"), last_ok_at=at("03:00"), error_kind="unreachable")
    ledger.evaluate("03:30")
    plan = propose_recovery(ledger.estate, 1, at("03:30"), can)
    names = "hosts/db1, hosts/db2, hosts/db3 and 2 more"
    assert plan is not None
    assert ((f"{names} do not answer: nothing can be sent there before they do",),) == plan.notes


def test_marked_runs_are_done_upstreams_first_and_runs_of_one_job_one_after_another() -> None:
    every = job(1, "hosts/extract")
    runs = [run(1, every, "03:10", RunState.FAILED), run(2, every, "03:20", RunState.FAILED), run(3, LOAD, "04:00")]
    plan = propose_bulk(
        estate(every, LOAD, runs=runs, feeds=feeds(every, LOAD)), [3, 2, 1, 99], Verb.CANCEL, at("05:00"), can
    )
    assert [("hosts/extract", 1, ()), ("hosts/extract", 2, (1,)), ("warehouse/load", 3, (2,))] == [
        (step.job, step.run_id, step.after) for step in plan.steps
    ]
    assert ({"cancel"}, "out of view") == ({step.verb for step in plan.steps}, zoned(plan.excluded[0].why))


@pytest.mark.parametrize("verb, marked", [(Verb.SKIP, [2, 3]), (Verb.MARK_OK, [2, 3]), (Verb.RERUN, [1, 2, 3])])
def test_what_succeeded_is_not_marked_with_the_others(verb: Verb, marked: list[int]) -> None:
    """Run 3 succeeded too, on the word of a person, who may take it back."""
    every = job(1, "hosts/extract")
    run_facts = replace(run(3, every, "03:30"), evidence=RunEvidence.ASSERTED)
    runs = [run(1, every, "03:10"), run(2, every, "03:20", RunState.FAILED), run_facts]
    plan = propose_bulk(estate(every, runs=runs), [1, 2, 3], verb, at("05:00"), can)
    assert marked == [step.run_id for step in plan.steps]
    entries = [("hosts/extract", 1, NOTHING_TO_MARK)] if 1 not in marked else []
    assert entries == [(exclusion.job, exclusion.run_id, zoned(exclusion.why)) for exclusion in plan.excluded]


def test_a_success_that_read_stale_data_may_be_marked() -> None:
    ledger, _ = night(FAILED, STALE_LOAD, now="05:20")
    plan = propose_bulk(ledger.estate, [STALE_LOAD.id], Verb.MARK_OK, at("05:20"), can)
    assert ([STALE_LOAD.id], ()) == ([step.run_id for step in plan.steps], plan.excluded)


def test_a_backfill_takes_what_is_not_good_oldest_first_up_to_its_limit() -> None:
    instants = [at("03:10", day) for day in (-4, -3, -2, -1, 0)]
    runs = [run(1, EXTRACT, instants[1]), run(2, EXTRACT, instants[2], RunState.FAILED)]
    plan = propose_backfill(estate(EXTRACT), 1, instants, runs, 3, at("05:00"), can_start)
    assert [("start", None), ("rerun", 2), ("start", None)] == [(step.verb, step.run_id) for step in plan.steps]
    assert ["2026-11-16T03:10:00Z", "2026-11-18T03:10:00Z", "2026-11-19T03:10:00Z"] == [
        step.period.key for step in plan.steps
    ]
    assert ["2026-11-17 03:10 UTC succeeded", "2026-11-20 03:10 UTC is beyond the limit"] == [
        dated(exclusion.why) for exclusion in plan.excluded
    ]


def test_a_step_has_the_partition_and_the_instant_of_the_run_that_it_repeats() -> None:
    named: dict[str, Any] = {"period_kind": PeriodKind.NAME}
    runs = [
        run(1, EXTRACT, "03:10", RunState.FAILED, own_period="EU", **named),
        run(2, EXTRACT, "03:11", RunState.FAILED, period_key="US", period_at=None, **named),
        run(3, LOAD, "03:10", RunState.FAILED),
    ]
    plan = propose_bulk(estate(EXTRACT, LOAD, runs=runs), [1, 2, 3], Verb.RERUN, at("05:20"), can)
    repeated = repeated_jobs(plan.steps)
    assert [f"{EXTRACT.name} 2026-11-20 03:10 UTC EU", f"{EXTRACT.name} US", LOAD.name] == [
        dated(step_name(step, repeated)) for step in plan.steps
    ]
    assert [f"{EXTRACT.name} 2026-11-20 03:10 UTC EU"] == [dated(step_name(step, ())) for step in plan.steps[:1]]
    backfill = propose_backfill(estate(EXTRACT), 1, [], runs[:2], None, at("05:00"), can_start)
    assert [("2026-11-20T03:10:00Z", "EU"), ("US", "US")] == [
        (step.period.key, step.period.name) for step in backfill.steps
    ]


DAYS = [at("03:10", day) for day in (-4, -3, -2, -1, 0)]


def test_a_backfill_starts_no_period_again_that_ran_by_a_schedule_not_accepted() -> None:
    """As Airflow names them: by the times of its own schedule."""
    moved = replace(EXTRACT, seen_schedule=daily("05:00"))
    runs = [run(number, moved, at("05:00", day), RunState.FAILED) for number, day in enumerate((-3, -2), 1)]
    plan = propose_backfill(estate(moved), 1, DAYS[:4], runs, None, at("05:30"), can_start)
    assert [
        ("start", "2026-11-16T03:10:00Z"), ("rerun", "2026-11-17T05:00:00Z"),
        ("rerun", "2026-11-18T05:00:00Z"), ("start", "2026-11-19T03:10:00Z"),
    ] == [(step.verb, step.period.key) for step in plan.steps]  # fmt: skip


def test_a_backfill_omits_future_and_unknown_dates() -> None:
    ahead = [run(1, EXTRACT, "06:10", RunState.PLANNED), run(2, EXTRACT, "04:59", RunState.PLANNED)]
    plan = propose_backfill(estate(EXTRACT), 1, DAYS[2:], ahead, None, at("05:00"), can_start, since=at("12:00", -1))
    assert ["2026-11-19T03:10:00Z", "2026-11-20T03:10:00Z"] == [step.period.key for step in plan.steps]
    assert [
        "2026-11-20 04:59 UTC is planned and not proved missed yet",
        "2026-11-20 06:10 UTC is not due yet: its schedule starts it",
    ] == [dated(exclusion.why) for exclusion in plan.excluded]
    text = "not known: 2026-11-18 03:10 UTC. Headway has its runs since 2026-11-18 12:00 UTC; --unseen takes them"
    assert [f"{text} all the same"] == [dated(note) for note in plan.notes]


def test_many_periods_that_are_left_out_are_one_line() -> None:
    runs = [run(number, EXTRACT, due) for number, due in enumerate(DAYS, 1)]
    plan = propose_backfill(estate(EXTRACT), 1, DAYS, runs, None, at("05:00"), can_start)
    assert ["2026-11-16 03:10 UTC to 2026-11-20 03:10 UTC, 5 periods: each succeeded"] == [
        dated(run.why) for run in plan.excluded
    ]
    assert ((), ()) == (plan.steps, plan.notes)


def test_a_backfill_of_a_kind_without_dates_says_so_once() -> None:
    plan = propose_backfill(
        estate(EXTRACT), 1, DAYS, [run(1, EXTRACT, DAYS[0], RunState.FAILED)], None, at("05:00"), can
    )
    assert (("its kind gives a run no date: each of these runs works for now, not for its period",),) == plan.notes


def test_a_backfill_of_a_job_whose_source_names_its_next_start_has_what_was_due_before() -> None:
    """Prefect and Airflow name it; "nothing was due" was said of every night before."""
    clock = replace(EXTRACT.schedule, next_at=at("03:10") + timedelta(days=1))
    instants = backfill_periods(replace(EXTRACT, schedule=clock), date(2026, 11, 18), date(2026, 11, 19), at("05:00"))
    assert backfill_periods(EXTRACT, date(2026, 11, 18), date(2026, 11, 19), at("05:00")) == instants
    assert 2 == len(instants)


def test_a_backfill_of_a_job_that_reports_only_its_next_start_says_so() -> None:
    clock = replace(EXTRACT.schedule, expression="", next_at=at("06:00"))
    plan = propose_backfill(estate(replace(EXTRACT, schedule=clock)), 1, [], [], None, at("05:00"), can_start)
    text = "no run of it is known on these dates, and its source names only its next start: it is unknown what was due"
    assert ((text,),) == plan.notes


@pytest.mark.parametrize(
    "schedule, text",
    [
        ("", "no run of it is known on these dates, and without a schedule it is unknown what was due"),
        ("03:10", "by its schedule nothing was due on these dates"),
    ],
)
def test_a_backfill_without_a_period_says_why(schedule: str, text: str) -> None:
    plan = propose_backfill(estate(job(1, "hosts/extract", schedule)), 1, [], [], None, at("05:00"), can_start)
    assert (((text,),), ()) == (plan.notes, plan.steps)


# What a person changes.


def plan_of(edges: list[tuple[int, int]], size: int) -> PlanDraft:
    """A draft of `size` steps; (1, 2): 2 waits for 1."""
    steps = tuple(
        DraftStep(place, "rerun", place, f"s/j{place}", "s", place, StepPeriod("p"), "failed", (),
             after=tuple(sorted(a for a, b in edges if b == place)))
        for place in range(1, size + 1)
    )  # fmt: skip
    return PlanDraft("recovery", "", 1, steps)


CHAIN = plan_of([(1, 2), (2, 3)], 3)


def test_what_waited_for_a_step_left_out_waits_for_what_that_waited_for() -> None:
    draft = without(CHAIN, {2})
    assert [("s/j1", ()), ("s/j3", (1,))] == [(step.job, step.after) for step in draft.steps]
    assert (("s/j3 reads s/j2, which is left out: repair that one by other means first",),) == draft.notes
    assert [("s/j2", "left out by hand")] == [(exclusion.job, zoned(exclusion.why)) for exclusion in draft.excluded]


def test_a_job_does_not_read_its_own_earlier_run() -> None:
    same = replace(CHAIN, steps=tuple(replace(step, job_id=1, job="s/j1") for step in CHAIN.steps))
    assert () == without(same, {2}).notes


def test_a_draft_survives_json() -> None:
    _, plan = night(FAILED, STALE_LOAD, STALE_MART, STALE_AUDIT, now="05:20")
    assert plan == PlanDraft.read(json.loads(json.dumps(plan.as_json())))


# For every estate.

SIZE = 7


@st.composite
def estates(draw: st.DrawFn) -> tuple[Ledger, list[DependencyFacts], list[ServiceFacts]]:
    """Jobs in a graph without cycles, services on some, the first ones red and others run after them."""
    jobs = [job(number, f"s/j{number}", expected=minutes(5)) for number in range(1, SIZE + 1)]
    pairs = [(a, b) for a in range(1, SIZE) for b in range(a + 1, SIZE + 1)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=12))
    deps = [DependencyFacts(a, b, DependencyOrigin.DECLARED) for a, b in chosen]
    ends = draw(st.lists(st.sampled_from(jobs), unique=True, min_size=1, max_size=3))
    services = [service(f"svc{job.id}", "11:00", job) for job in ends]
    states = [RunState.SUCCEEDED, RunState.SUCCEEDED, RunState.FAILED]
    runs = [
        run(job.id, job, f"0{job.id}:00", RunState.FAILED if job.id == 1 else draw(st.sampled_from(states)))
        for job in jobs
        if job.id == 1 or draw(st.booleans())
    ]
    ledger = Ledger(estate(*jobs, runs=runs, feeds=deps, services=services))
    ledger.evaluate("09:00")
    return ledger, deps, services


@given(estates())
def test_every_plan_is_in_order_and_names_only_steps_before(drawn: Any) -> None:
    ledger, deps, _ = drawn
    for incident in ledger.estate.incidents:
        plan = propose_recovery(ledger.estate, incident.id, at("09:00"), can)
        assert plan is not None
        above = _closure(plan)
        place = {step.job_id: step.place for step in plan.steps}
        assert list(range(1, len(plan.steps) + 1)) == [step.place for step in plan.steps]
        assert all(number < step.place for step in plan.steps for number in step.after)
        for upstream, downstream in _reach(deps):
            if upstream in place and downstream in place:
                assert place[upstream] in above[place[downstream]]


@given(estates())
def test_every_plan_repairs_what_it_can_and_none_of_its_steps_is_idle(drawn: Any) -> None:
    """Played in order, every hit service that waits for nothing else is delivered; without any one step one is not."""
    ledger, _, services = drawn
    for incident in ledger.estate.incidents:
        plan = propose_recovery(ledger.estate, incident.id, at("09:00"), can)
        assert plan is not None
        hit = {save.service for step in plan.steps for save in step.saves}
        full = _delivered(ledger, plan, None, services)
        for step in plan.steps:
            without = _delivered(ledger, plan, step.place, services)
            if hit and hit <= full and step.verb != WAIT:
                assert not hit <= without, f"step {step.place} is idle"


@given(st.lists(st.sampled_from([(a, b) for a in range(1, 7) for b in range(a + 1, 8)]), unique=True), st.data())
def test_omitting_steps_preserves_every_order_among_the_others(
    edges: list[tuple[int, int]], data: st.DataObject
) -> None:
    draft = plan_of(edges, 7)
    out = data.draw(st.frozensets(st.integers(1, 7)))
    plan_draft = without(draft, out)
    before, after = _closure(draft), _closure(plan_draft)
    names = {step.place: step.job_id for step in plan_draft.steps}
    stored = {names[place]: {names[number] for number in above} for place, above in after.items()}
    assert {job_id: before[job_id] - out for job_id in before if job_id not in out} == stored


def _reach(deps: list[DependencyFacts]) -> set[tuple[int, int]]:
    pairs = {(dependency.upstream_id, dependency.downstream_id) for dependency in deps}
    while True:
        more = {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs
        if not more:
            return pairs
        pairs |= more


def _closure(draft: PlanDraft) -> dict[int, set[int]]:
    above: dict[int, set[int]] = {}
    for step in sorted(draft.steps, key=lambda step: step.place):
        above[step.place] = {*step.after, *(far for near in step.after for far in above[near])}
    return above


def _delivered(ledger: Ledger, plan: PlanDraft, without: int | None, services: list[ServiceFacts]) -> set[str]:
    """The services delivered once the plan (but for one step) was carried out, one step after another. What starts by
    itself does so once all was played that it waits for, and what waits for it goes on then."""
    runs = {run.id: run for run in ledger.estate.runs}
    copy, jobs, start = Ledger(ledger.estate), ledger.estate.jobs, at("09:01")
    stuck: set[int] = set()
    for step in plan.steps:
        if stuck & set(step.after) or (step.verb == WAIT and without in step.after):
            stuck.add(step.place)
        if step.place in {without, *stuck}:
            continue
        start += timedelta(minutes=5)
        known = runs[step.run_id].period_at if step.run_id is not None else start
        assert known is not None
        copy.run(jobs[step.job_id], f"{known:%H:%M}", RunState.SUCCEEDED, **ended(f"{start:%H:%M}", 1))
    copy.evaluate("10:30")
    days = [
        service_day
        for service_day in copy.decisions.service_days
        if service_day.business_date.isoformat() == "2026-11-19"
    ]
    return {service_day.service for service_day in days if service_day.delivered_at is not None}
