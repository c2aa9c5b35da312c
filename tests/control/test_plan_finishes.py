"""When the services of a plan are there if it is carried out: from the simulation, and in step with what-if."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from connectors.contract import State, instant_key
from console.control.evaluate import evaluate
from console.control.expected import expectations
from console.control.forecast import Forecast
from console.control.forecast.foresee import Foresight
from console.control.forecast.neighbours import with_neighbours
from console.control.forecast.points import Point
from console.control.forecast.simulation.start_rules import Rerun
from console.control.forecast.simulation.values import Stand
from console.control.forecast.what_if import Otherwise, Planned, WhatIf
from console.control.moments import up
from console.control.picture import Picture
from console.control.plan import recovery
from console.control.saving import Days
from console.control.services import service_days
from console.model.declared import Declared
from console.model.finishes import AT_RISK, LATE, NEVER, ON_TIME, PARTIAL, Finish, Outlook, outlook
from console.model.plans import WAIT, Draft
from console.model.pools import DeclaredPool
from console.model.shaping import Changes
from tests.control.ledger import Ledger
from tests.control.test_foresee import past
from tests.control.test_plan import DAILY, DEPS, EXTRACT, FAILED, LOAD, MART, STALE_LOAD, can
from tests.factories import NIGHT, at, estate, feeds, job, minutes, run, service

TAKES = [40.0, 60.0, 90.0]
NOW = "05:20"


def ledger(due: time = time(7, 45)) -> Ledger:
    """All three must run again: 20 and 30 minutes, and 40 to 90 as each night shows."""
    seen = estate(
        EXTRACT, LOAD, MART, runs=[FAILED, STALE_LOAD, run(3, MART, "04:30")], feeds=[DEPS[0], DEPS[2]],
        services=[replace(DAILY, deadline=due)], durations={3: tuple(one * 60 for one in TAKES * 6)},
    )  # fmt: skip
    found = Ledger(replace(seen, history={3: past(MART, "04:30", TAKES)}))
    found.look(NOW)
    return found


def proposed(of: Ledger) -> Draft:
    [incident] = of.estate.incidents
    found = recovery(of.estate, incident.id, at(NOW), can, foresee=Foresight(), otherwise=Foresight)
    assert found is not None
    return found


def cells(found: Outlook) -> dict[str, Finish]:
    return {way.name: way.finishes[0] for way in found.ways}


def test_as_planned_a_day_is_as_what_if_has_it_with_its_root_restarted_now() -> None:
    night = ledger()
    restarted = WhatIf(EXTRACT.id, Otherwise.RESTARTED, at(NOW))
    days = evaluate(night.estate, at(NOW), foresee=Foresight(restarted)).service_days
    then = next(one for one in days if one.bd == NIGHT)
    whole, *_ = proposed(night).finishes
    assert then.p_late is not None
    assert ("daily", str(NIGHT), 0) == (whole.service, whole.bd, whole.done)
    assert then.p_late == pytest.approx(whole.late, abs=0.01)
    assert 0.02 < whole.late < 0.98
    assert then.late_at == datetime.fromisoformat(whole.at), "at a risk of 10 % by then in nine of ten cases"


@pytest.mark.parametrize("due, stands", [(time(11, 30), ON_TIME), (time(7, 25), AT_RISK), (time(7), LATE)])
def test_a_finish_that_was_simulated_says_how_likely_it_is_late(due: time, stands: str) -> None:
    found = cells(outlook(proposed(ledger(due)), Changes()))["as planned"]
    assert found.late is not None
    assert (stands, stands) == (found.stands, ON_TIME if found.late <= 0.1 else LATE if found.late > 0.5 else AT_RISK)
    assert found.at is not None
    assert (found.at <= datetime.combine(date(2026, 11, 20), due, at(NOW).tzinfo)) == (found.late <= 0.1)


def test_what_was_not_simulated_is_marked_as_a_sum() -> None:
    plan = proposed(ledger())
    found = outlook(plan, Changes(waits={1: 600.0}))
    told = cells(found)
    assert (None, "~") == (told["as changed"].late, found.sign(told["as changed"]))
    assert (NEVER, "") == (told["nothing done"].stands, found.sign(told["nothing done"]))
    assert "" == found.sign(told["as planned"])
    assert told["as planned"].late is not None
    assert not outlook(replace(plan, finishes=()), Changes()).is_mixed


def test_a_sum_beside_what_was_simulated_is_as_much_later_as_its_wait_and_never_earlier() -> None:
    plan = proposed(ledger(time(11, 30)))
    whole = cells(outlook(plan, Changes()))["as planned"]
    assert whole.at is not None
    waits = {seconds: cells(outlook(plan, Changes(waits={1: seconds})))["as changed"] for seconds in (0.5, 3600.0)}
    assert [whole.at + timedelta(seconds=seconds) for seconds in waits] == [one.at for one in waits.values()]
    assert ON_TIME == waits[3600.0].stands
    assert LATE == cells(outlook(plan, Changes(waits={1: 6 * 3600.0})))["as changed"].stands
    far = replace(plan, finishes=tuple(replace(one, at="2026-11-20T10:00:00Z") for one in plan.finishes))
    assert at("10:00") == cells(outlook(far, Changes(only=frozenset({1, 2, 3}))))["as changed"].at


def test_with_a_step_skipped_the_day_is_there_earlier_and_in_part() -> None:
    plan = proposed(ledger(time(11, 30)))
    told = cells(outlook(plan, Changes(), 3))
    skipped, whole = told["3 skip"], told["as planned"]
    assert skipped.at is not None
    assert whole.at is not None
    assert skipped.at < whole.at
    assert (PARTIAL, " partial, under 1 % late") == (skipped.stands, skipped.words)
    assert ", under 1 % late" == whole.words
    chosen = cells(outlook(plan, Changes(alternatives={3: "skip"})))["as changed"]
    assert skipped == chosen
    assert plan == Draft.read(plan.as_json())


def test_a_plan_without_a_simulation_has_sums() -> None:
    night = ledger()
    found = recovery(night.estate, night.estate.incidents[0].id, at(NOW), can)
    assert found is not None
    assert () == found.finishes


def point(stand: int, **more: Any) -> Point:
    return Point(1, stand, **more)


def test_what_a_plan_holds_waits_for_what_it_reads_and_not_for_a_start_before() -> None:
    planned = Planned(at(NOW), frozenset(), frozenset({1}), frozenset())
    due = at("05:30").timestamp()
    rerun = point(Stand.WAITS, upstreams=(4, 2, 3), rule=Rerun(4, (2, 3)), due=due)
    found = planned(rerun)
    assert ((2, 3), None, due) == (found.upstreams, found.rule, found.earliest)
    other = replace(rerun, job_id=9)
    assert other == planned(other)


def test_what_is_red_and_no_step_of_the_plan_is_repaired_as_repairs_go_here() -> None:
    planned = Planned(at(NOW), frozenset({1}), frozenset(), frozenset())
    red = point(Stand.FAILED, end=1.0)
    assert (Stand.WAITS, at(NOW).timestamp()) == (planned(red).stand, planned(red).earliest)
    other = replace(red, job_id=9)
    assert other == planned(other)


def test_a_plan_asks_for_the_services_that_share_a_job_or_a_pool_with_those_that_it_is_for_and_no_others() -> None:
    known = [job(number, f"dwh/j{number}", "04:00", expected=minutes(30)) for number in range(1, 8)]
    services = [service(one.native_id, "06:30", one) for one in known[1:]]
    declared = Declared(pools=(DeclaredPool("host", ("dwh/j3", "dwh/j5"), 1),))
    night = estate(*known, feeds=[*feeds(known[0], known[1]), *feeds(known[0], known[2])], services=services,
                   declared=declared)  # fmt: skip
    due = expectations(night, at("03:00"))
    picture = Picture(night, at("03:00"), due.runs)

    def wanted(days: Any) -> Days:
        return {(day.service.name, day.bd): (day, []) for day in days if (day.service.name, day.bd) == ("j2", NIGHT)}

    found: list[Forecast] = with_neighbours(picture, service_days(picture), wanted)
    assert [("j2", NIGHT), ("j3", NIGHT), ("j5", NIGHT)] == [(day.service.name, day.bd) for day in found]


def test_a_plan_that_only_waits_tells_the_finish_that_the_forecast_tells() -> None:
    """Of what hangs it told no estimate, and an unknown finish, beside a forecast of 30 runs."""
    history = past(EXTRACT, "03:10", [20.0] * 20)
    seen = estate(EXTRACT, services=[service("daily", "07:45", EXTRACT)], durations={EXTRACT.id: (1200.0,) * 20})
    hung = Ledger(replace(seen, history={EXTRACT.id: history}))
    hung.run(EXTRACT, "03:10", State.RUNNING, started_at=at("03:10"))
    hung.look(NOW)
    draft = proposed(hung)
    assert [WAIT] == [step.verb for step in draft.steps]
    told = Foresight()(Picture(hung.estate, at(NOW)), service_days(Picture(hung.estate, at(NOW))))
    [day] = (one for one in told if one.bd == NIGHT)
    assert day.odds is not None
    assert [(day.odds.late, instant_key(up(day.odds.by)))] == [(one.late, one.at) for one in draft.finishes]
    assert all(save.saved and save.words.startswith("act by 07:") for step in draft.steps for save in step.saves)
    way = next(one for one in outlook(draft, Changes()).ways if one.is_present)
    assert way.finishes[0].at is not None
