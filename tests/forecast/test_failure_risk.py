"""A job that often fails is a risk before it does, also where each start is a run of its own. As in test_foresee."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import RunFacts
from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.forecast.forecaster import Forecaster
from console.forecast.what_if import Counterfactual, PlanOutcome, WhatIf
from tests.factories import NIGHT, at, daily, estate, feeds, run, service
from tests.forecast.test_forecast import CHAIN, EXTRACT, LOAD, MART
from tests.reasons import reason_of

OFTEN = 4
"""Every so many nights the first run fails."""
NIGHTS = 30


def past(is_mended: bool = True) -> RunHistory:
    """An hour's job at 04:30. Where it failed, it did after three minutes; what began 25 minutes later was good."""
    runs, unrepaired = [], []
    for back in range(1, NIGHTS + 1):
        due, day = at("04:30") - timedelta(days=back), (NIGHT - timedelta(days=back)).toordinal()
        again = back % OFTEN == 0
        began = due + timedelta(minutes=28 * again)
        if again and not is_mended:
            unrepaired.append(day)
            continue
        ended = int(began.timestamp()) + 3600
        runs.append(SuccessfulRun(back, int(due.timestamp()), ended, 3600.0, 0.0, -1.0, 1, -1.0, "", day,
                            25 * 60.0 if again else -1.0))  # fmt: skip
    return build_history(runs, unrepaired=unrepaired)


def verdict_with_history(history: RunHistory) -> ServiceDayVerdict:
    """An hour's job due by an hour and a quarter after its usual start."""
    seen = estate(EXTRACT, LOAD, MART, feeds=CHAIN, services=[service("daily", "05:45", MART)],
                  durations={3: tuple(history.takes)})  # fmt: skip
    decisions = evaluate(replace(seen, history={3: history}), at("02:00"), foresee=Forecaster())
    return next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)


def test_what_failed_on_a_quarter_of_the_nights_is_about_as_likely_late_and_says_why() -> None:
    verdict = verdict_with_history(past())
    assert verdict.p_late is not None
    assert 0.1 < verdict.p_late < 0.3
    assert verdict.p95_at is not None
    assert at("05:45") < verdict.p95_at
    assert "dwh/mart failed on 7 of 30 nights, and was restarted after " in reason_of(verdict), reason_of(verdict)


def test_nights_without_a_restart_count_as_well() -> None:
    verdict = verdict_with_history(past(is_mended=False))
    assert verdict.p_late is not None
    assert 0.1 < verdict.p_late < 0.3
    assert "dwh/mart failed on 7 of 30 nights, and was not restarted that night" in reason_of(verdict), reason_of(
        verdict
    )


def test_what_is_skipped_brings_no_failures_upon_what_follows_it() -> None:
    """Extract failed on each third night, mart never did: without extract nothing is left that makes it late."""
    always = build_history([
        SuccessfulRun(back, 0, int((at("04:20") - timedelta(days=back)).timestamp()), 600.0, -1.0, -1.0, 1, -1.0, "",
                (NIGHT - timedelta(days=back)).toordinal())
        for back in range(1, NIGHTS + 1)
    ])  # fmt: skip
    seen = estate(EXTRACT, MART, feeds=feeds(EXTRACT, MART), services=[service("daily", "05:00", MART)],
                  durations={1: tuple(past().takes), 3: tuple(always.takes)})  # fmt: skip
    seen = replace(seen, history={1: past(), 3: always})
    as_it_is, skipped = (
        next(
            service_day
            for service_day in evaluate(seen, at("03:00"), foresee=foresee).service_days
            if service_day.business_date == NIGHT
        )
        for foresee in (Forecaster(), Forecaster(WhatIf(1, Counterfactual.SKIPPED, at("03:00"))))
    )
    assert as_it_is.p_late is not None
    assert 0.15 < as_it_is.p_late < 0.35
    assert skipped.p_late == 0.0
    assert skipped.p95_at is not None
    assert skipped.p95_at < at("03:30")


def tonight(now: str, *runs: RunFacts, foresee: Forecaster | None = None) -> ServiceDayVerdict:
    """Mart alone, by its clock 04:30, due at 06:00."""
    mart = replace(MART, schedule=daily("04:30"))
    seen = estate(mart, runs=runs, services=[service("daily", "06:00", mart)], durations={3: tuple(past().takes)})
    decisions = evaluate(replace(seen, history={3: past()}), at(now), foresee=foresee or Forecaster())
    return next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)


RED = run(1, MART, "04:30", RunState.FAILED, started_at=at("04:30"), ended_at=at("04:33"))


def test_what_failed_tonight_does_not_fail_again_once_it_is_repaired() -> None:
    """A repair ends with the start that succeeds: it holds all that failed on its night."""
    again = replace(RED, state=RunState.RUNNING, attempt=2, started_at=at("04:40"), ended_at=None)
    of_its_own = run(2, MART, "04:40", RunState.RUNNING, started_at=at("04:40"), business_date=RED.business_date)
    for runs in ([again], [RED, of_its_own]):
        verdict = tonight("04:45", *runs)
        assert verdict.p_late == 0.0
        assert verdict.p95_at == at("05:40")
        assert "failed on" not in reason_of(verdict)
    first = tonight("04:45", replace(again, attempt=1))
    assert first.p_late is not None
    assert first.p_late > 0.1, "one that did not fail yet still may"


def test_a_restart_at_its_act_by_leaves_the_risk_that_the_act_by_states() -> None:
    act_by = tonight("04:40", RED).act_by
    assert act_by is not None
    assert at("04:58") < act_by <= at("05:00")
    for at_, is_stored in ((act_by - timedelta(seconds=10), True), (act_by + timedelta(minutes=1), False)):
        value = tonight("04:40", RED, foresee=Forecaster(WhatIf(3, Counterfactual.RESTARTED, at_))).p_late
        assert value is not None
        assert (value <= 0.1) == is_stored


def test_a_plan_its_restart_and_the_resulting_run_are_forecast_equally() -> None:
    """Repair times are not counted as waits for a first start: they would move all later starts."""

    def varied(back: int) -> float:
        return 480.0 + 97 * back % 89

    nights = range(1, NIGHTS + 1)
    runs = [
        SuccessfulRun(back, int(due.timestamp()), int(due.timestamp() + varied(back)), varied(back), varied(back) / 100,
                -1.0, 1, -1.0, "", (NIGHT - timedelta(days=back)).toordinal(), 1200.0 if back % 3 == 0 else -1.0)
        for back in nights for due in [at("04:30") - timedelta(days=back)]
    ]  # fmt: skip
    mart, history = replace(MART, schedule=daily("04:30")), build_history(runs)

    def at_restart(*runs: RunFacts, foresee: Forecaster) -> ServiceDayVerdict:
        seen = estate(mart, runs=runs, services=[service("daily", "04:49", mart)], durations={3: tuple(history.takes)})
        decisions = evaluate(replace(seen, history={3: history}), at("04:40"), foresee=foresee)
        return next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)

    red = replace(RED, expected=True)
    again = replace(red, state=RunState.RUNNING, attempt=2, started_at=at("04:40"), ended_at=None)
    planned = at_restart(red, foresee=Forecaster(PlanOutcome(at("04:40"), frozenset({3}), frozenset())))
    service_day = at_restart(red, foresee=Forecaster(WhatIf(3, Counterfactual.RESTARTED, at("04:40"))))
    runs_again = at_restart(again, foresee=Forecaster())
    assert planned.p_late is not None
    assert 0.05 < planned.p_late < 0.95
    entries = [
        (service_day_verdict.p_late, service_day_verdict.expected_at, service_day_verdict.p95_at)
        for service_day_verdict in (planned, service_day, runs_again)
    ]
    assert entries == [entries[0]] * 3
