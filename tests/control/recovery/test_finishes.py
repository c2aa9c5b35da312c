"""When each service day would be there, by each way to go on, side by side."""

from __future__ import annotations

import json
from dataclasses import replace

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.recovery.proposal import propose_recovery
from console.domain.calendar import Calendar
from console.domain.plan import PlanDraft
from console.domain.plan_editing import (
    ASSERTED,
    IF_GOOD,
    LATE,
    NEVER,
    ON_TIME,
    PARTIAL,
    UNKNOWN,
    DraftChanges,
    PlanOutlook,
    plan_outlook,
)
from console.domain.settings import Declared
from tests.control.recovery.test_proposal import (
    AUDIT,
    EXTRACT,
    FAILED,
    LOAD,
    MART,
    STALE_LOAD,
    STALE_MART,
    can_start,
    night,
)
from tests.factories import at, job, run


def table(outlook: PlanOutlook, day: int = 0) -> dict[str, tuple[str, str]]:
    """Recovery option -> status of the day, and its finish."""
    cells = {way.name: way.finishes[day] for way in outlook.variants}
    return {name: (finish.status, f"{finish.at:%H:%M}" if finish.at else "") for name, finish in cells.items()}


def proposal(now: str = "04:10") -> PlanDraft:
    """All three must run again: 20, 30 and 60 minutes; daily is due at 06:30."""
    return night(FAILED, STALE_LOAD, STALE_MART, now=now)[1]


def test_each_way_has_its_own_finish() -> None:
    """The root skipped saves its 20 minutes and makes the day partial; what is swapped or mixed up fails here."""
    expected = {
        "as planned": (ON_TIME, "06:00"),
        "nothing done": (NEVER, ""),
        "1 downstream/all": (ON_TIME, "06:00"),
        "1 skip": (PARTIAL, "05:40"),
        "1 mark-ok": (ASSERTED, "05:40"),
        "1 left out": (NEVER, ""),
    }
    outlook = plan_outlook(proposal(), DraftChanges())
    assert expected == table(outlook)
    assert [*expected] == [way.name for way in outlook.variants]
    assert ["as planned"] == [way.name for way in outlook.variants if way.is_present]
    assert [("daily", "2026-11-20T06:30:00Z")] == [(day.service, day.deadline) for day in outlook.days]


def test_the_options_are_those_of_the_selected_step() -> None:
    results = table(plan_outlook(proposal(), DraftChanges(), 3))
    assert ["as planned", "nothing done", "3 skip", "3 mark-ok", "3 left out"] == [*results]
    assert (PARTIAL, "06:00") == results["3 skip"], "what it takes counts for those before it: never too early"


def test_the_part_of_a_step_that_runs_is_an_option_and_equal_finishes_share_a_column() -> None:
    """A partial step counts as a whole, so no option is shown too early."""
    plan = proposal()
    assert ("downstream", "all", "mark-ok", "skip") == plan.steps[0].alternatives
    results = table(plan_outlook(plan, DraftChanges()))
    assert (ON_TIME, "06:00") == results["1 downstream/all"] == results["as planned"]
    chosen = plan_outlook(plan, DraftChanges(alternatives={1: "all"}))
    assert ["as changed", "as planned", "nothing done", "1 downstream"] == [way.name for way in chosen.variants][:4]


def test_a_changed_plan_is_shown_beside_the_proposed_one() -> None:
    outlook = plan_outlook(proposal(), DraftChanges(waits={1: 3600.0}))
    assert {"as changed": (LATE, "07:00"), "as planned": (ON_TIME, "06:00")} == dict([*table(outlook).items()][:2])
    assert ["as changed"] == [way.name for way in outlook.variants if way.is_present]


def test_a_chosen_option_is_shown_once_as_the_present_one() -> None:
    outlook = plan_outlook(proposal(), DraftChanges(alternatives={1: "skip"}))
    variants = ["as changed", "as planned", "nothing done", "1 downstream/all", "1 mark-ok", "1 left out"]
    assert variants == [way.name for way in outlook.variants]
    assert (PARTIAL, "05:40") == table(outlook)["as changed"]


def test_a_day_that_is_too_late_already_is_late_and_never_there_without_its_steps() -> None:
    results = table(plan_outlook(proposal("06:00"), DraftChanges(), 3))
    assert (LATE, "07:50") == results["as planned"]
    assert (NEVER, "") == results["nothing done"] == results["3 left out"]


def test_a_finish_agrees_with_the_verdict_of_the_plan() -> None:
    for now in ("04:10", "04:39", "04:41", "05:50"):
        plan = proposal(now)
        in_time = table(plan_outlook(plan, DraftChanges()))["as planned"][0] == ON_TIME
        assert in_time == all(save.saved for step in plan.steps for save in step.saves), now


def test_without_an_estimate_the_finish_is_unknown() -> None:
    mart = job(3, "dwh/mart")
    _, plan = night(FAILED, STALE_LOAD, run(3, mart, "05:00", RunState.SUCCEEDED), now="05:20",
                    jobs=(EXTRACT, LOAD, mart, AUDIT))  # fmt: skip
    assert (UNKNOWN, "") == table(plan_outlook(plan, DraftChanges()))["as planned"]


def test_a_proposal_without_recorded_deadlines_has_no_options() -> None:
    plan = proposal()
    bare = tuple(replace(step, saves=tuple(replace(s, deadline="") for s in step.saves)) for step in plan.steps)
    assert PlanOutlook((), ()) == plan_outlook(replace(plan, steps=bare), DraftChanges())


def test_it_goes_through_json_with_its_proposal() -> None:
    plan = PlanDraft.read(json.loads(json.dumps(proposal().as_json())))
    details = plan_outlook(plan, DraftChanges()).as_json()
    assert {"service": "daily", "business_date": "2026-11-19", "deadline": "2026-11-20T06:30:00Z"} == details[
        "services"
    ][0]
    first = details["variants"][0]
    assert ("as planned", True, at("06:00")) == (first["name"], first["is_present"], first["finishes"][0]["at"])


def test_what_comes_again_by_its_own_clock_is_delivered_though_nothing_is_done() -> None:
    """Every half hour from 04:15; what it feeds is red too, and comes every half hour."""
    extract, load = replace(EXTRACT, schedule=half_hourly(15)), replace(LOAD, schedule=half_hourly(45))
    jobs = (extract, load, MART, AUDIT)
    results = table(plan_outlook(night(FAILED, STALE_LOAD, now="04:10", jobs=jobs)[1], DraftChanges()))
    assert (IF_GOOD, "06:05") == results["nothing done"], "five minutes later than by the plan"
    assert (ON_TIME, "06:00") == results["as planned"]
    never = Declared(calendars=(Calendar("never", ()),))
    for other in (
        replace(extract, schedule=EXTRACT.schedule),
        replace(extract, paused_since=at("04:05")),
        replace(extract, calendar="never"),
    ):
        plan = night(FAILED, STALE_LOAD, now="04:10", jobs=(other, load, MART, AUDIT), declared=never)[1]
        assert (NEVER, "") == table(plan_outlook(plan, DraftChanges()))["nothing done"]


def half_hourly(first: int) -> Schedule:
    return Schedule("debian-cron", f"{first % 30},{first % 30 + 30} * * * *", "UTC")


def test_a_hold_that_is_left_out_leaves_its_job_to_its_own_clock() -> None:
    """LOAD starts at 04:00: by then the rerun of 03:20 is over, that of 03:45 is not."""

    def without_hold(now: str) -> tuple[str, str]:
        ledger, _ = night(FAILED, now=now)
        plan = propose_recovery(ledger.estate, 1, at(now), can_start)
        assert plan is not None
        assert ["hold", "rerun", "release", "wait"] == [step.verb for step in plan.steps]
        return table(plan_outlook(plan, DraftChanges()))["1 left out"]

    assert (IF_GOOD, "05:30") == without_hold("03:20")
    assert (NEVER, "") == without_hold("03:45")
