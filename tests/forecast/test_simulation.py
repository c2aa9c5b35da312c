"""The simulation as evaluations ask it. EXTRACT 03:10 feeds LOAD 04:00 feeds MART: 20, 30 and 60 minutes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.sdk.states import RunState, Verb
from console.control.evaluate import evaluate
from console.control.services.risk import ALARM, has_passed, judge_risk
from console.control.snapshot.incremental import part_with
from console.domain.decision import ServiceDayVerdict
from console.domain.dependency import DependencyOrigin
from console.domain.estate import ApprovalFacts, JobFacts, LastVerdict, RepairFacts, RunFacts
from console.domain.forecast import ForecastTally, PastForecasts
from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.domain.job import Safety
from console.domain.service import Timeliness
from console.domain.settings import Declared, DeclaredPool
from console.forecast import forecaster
from console.forecast.forecaster import CachedForecast, ForecastBasis, ForecastCache, Forecaster, GroupName
from console.forecast.night_graph import NightGraph, independent_groups
from console.forecast.simulation import simulator
from console.forecast.what_if import Counterfactual, PlanOutcome, WhatIf
from tests.factories import NIGHT, at, estate, feeds, gate, job, minutes, run, service
from tests.forecast.test_forecast import CHAIN, EXTRACT, LOAD, MART, PROMISE, done
from tests.reasons import reason_of
from tests.rows import each_row

NATIVE = [*feeds(EXTRACT, LOAD, origin=DependencyOrigin.NATIVE), *feeds(LOAD, MART)]


def both(now: str, *runs: RunFacts, deps: Any = CHAIN, jobs: Any = (EXTRACT, LOAD, MART)) -> list[ServiceDayVerdict]:
    """By sums and by the simulation."""
    seen = estate(*jobs, runs=runs, feeds=deps, services=[PROMISE])
    decisions = (evaluate(seen, at(now), foresee=by) for by in (None, Forecaster()))
    return [
        next(service_day for service_day in decision.service_days if service_day.business_date == NIGHT)
        for decision in decisions
    ]


@each_row(
    "now, runs, deps",
    [
        ("02:00", (), CHAIN),
        ("03:20", (run(1, EXTRACT, "03:10", RunState.RUNNING),), CHAIN),
        ("03:55", (run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:45")),), CHAIN),
        ("03:55", (run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:45")),), NATIVE),
        ("03:45", (done(EXTRACT, "03:10"),), CHAIN),
        ("04:05", (run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:55")),
                   run(2, LOAD, "04:00", RunState.RUNNING)), CHAIN),
    ],
)  # fmt: skip
def test_where_nothing_varies_the_simulation_says_what_the_sums_say(now: str, runs: Any, deps: Any) -> None:
    summed, simulated = both(now, *runs, deps=deps)
    assert summed == replace(simulated, p80_at=None, p_late=None, p_own=None, critical=(), jobs=())
    assert (simulated.expected_at, 0.0) == (simulated.p80_at, simulated.p_late)
    assert 1.0 == simulated.critical[-1]


def test_a_failed_job_is_restarted_after_a_person_reacts_and_its_schedule_stays() -> None:
    summed, simulated = both("03:30", run(1, EXTRACT, "03:10", RunState.FAILED))
    assert (summed.act_by, summed.green_by, summed.timeliness) == (
        simulated.act_by, simulated.green_by, simulated.timeliness,
    )  # fmt: skip
    assert summed.expected_at is not None
    assert simulated.expected_at is not None
    assert simulated.p95_at is not None
    assert summed.expected_at < simulated.expected_at < simulated.p95_at


def test_a_job_that_a_plan_restarts_or_whose_restart_is_sent_waits_for_no_usual_repair() -> None:
    """Between two steps of a plan, and until the second is seen to run, no worse finish is expected than before."""
    red = run(2, LOAD, "04:00", RunState.FAILED)
    seen = estate(EXTRACT, LOAD, MART, runs=[done(EXTRACT, "03:10"), red], feeds=CHAIN, services=[PROMISE])
    sent = RepairFacts(LOAD.id, Verb.RERUN, "ann", at("04:10"), in_flight=True)

    def expected(**facts: Any) -> datetime:
        days = evaluate(replace(seen, **facts), at("04:10"), foresee=Forecaster()).service_days
        return next(day.expected_at for day in days if day.business_date == NIGHT and day.expected_at is not None)

    usual, restarted = expected(), at("05:40")
    assert restarted + minutes(10) < usual
    assert restarted == expected(repairs={2: sent}) == expected(planned_restarts={2: LOAD.id})
    assert usual == expected(repairs={2: replace(sent, in_flight=False)})
    assert usual == expected(repairs={2: replace(sent, sent_at=at("03:59"))}), "that restart is what failed"
    assert usual == expected(repairs={2: replace(sent, unknown="3f0a91c2")}), "nobody knows whether it arrived"
    approval = ApprovalFacts(LOAD.id, "3f0a91c2")
    assert usual == expected(planned_restarts={2: LOAD.id}, approvals={2: approval}), "a person must approve it first"


@pytest.mark.parametrize("deps", [CHAIN, NATIVE])
def test_a_restart_before_its_upstream_is_done_promises_no_earlier_delivery(deps: Any) -> None:
    """It would read old data. Once the upstream is done, the restart counts from its own time."""

    def expected(now: str, otherwise: WhatIf | None, *runs: RunFacts) -> datetime:
        seen = estate(EXTRACT, LOAD, MART, runs=runs, feeds=deps, services=[PROMISE])
        forecaster = Forecaster() if otherwise is None else Forecaster(otherwise)
        days = evaluate(seen, at(now), foresee=forecaster).service_days
        return next(day.expected_at for day in days if day.business_date == NIGHT and day.expected_at is not None)

    for job_id in (LOAD.id, MART.id):
        assert at("05:30") == expected("02:00", None)
        assert at("05:00") <= expected("02:00", WhatIf(job_id, Counterfactual.RESTARTED, at("02:00")))
    restarted = WhatIf(LOAD.id, Counterfactual.RESTARTED, at("03:45"))
    assert at("05:15") == expected("03:45", restarted, done(EXTRACT, "03:10"))


def past(of: JobFacts, clock: str, takes: list[float], nights: int = 30) -> RunHistory:
    """Of each night before this one, oldest first in `takes` (minutes, over and over), newest first in the history."""
    runs = []
    for back in range(1, nights + 1):
        lasted = takes[(nights - back) % len(takes)] * 60
        began = at(clock) - timedelta(days=back)
        day = NIGHT - timedelta(days=back)
        ended = began.timestamp() + lasted
        runs.append(
            SuccessfulRun(back, int(began.timestamp()), int(ended), lasted, 0.0, -1.0, 1, -1.0, "", day.toordinal())
        )
    return build_history(runs)


def verdict_after(
    now: str, takes: list[float], *runs: RunFacts, due: str = "06:30", foresee: Forecaster | None = None
) -> ServiceDayVerdict:
    """The last job has a past in which it took these minutes; the others take what is declared."""
    latest = tuple(value * 60 for value in takes * 6)
    seen = estate(EXTRACT, LOAD, MART, runs=runs, feeds=CHAIN, services=[service("daily", due, MART)],
                  durations={3: latest})  # fmt: skip
    seen = replace(seen, history={3: past(MART, "04:30", takes)})
    decisions = evaluate(seen, at(now), foresee=foresee or Forecaster())
    return next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)


def test_a_finish_is_as_wide_as_the_past_of_its_jobs() -> None:
    narrow, wide = verdict_after("02:00", [59.0, 60.0, 61.0]), verdict_after("02:00", [40.0, 60.0, 90.0])
    for service_day in (narrow, wide):
        assert service_day.expected_at is not None
        assert service_day.p95_at is not None
        assert abs(service_day.expected_at - at("05:30")) < timedelta(minutes=20)
    assert narrow.p95_at is not None
    assert wide.p95_at is not None
    assert narrow.p95_at + timedelta(minutes=10) < wide.p95_at


@pytest.mark.parametrize("runs, nights", [((20, 7, 18), 7), ((20, 0, 18), 0)], ids=["few runs", "declared"])
def test_a_forecast_rests_on_the_runs_of_the_job_on_its_way_that_has_fewest(runs: tuple[int, ...], nights: int) -> None:
    latest = {number: (600.0,) * count for number, count in enumerate(runs, 1)}
    seen = estate(EXTRACT, LOAD, MART, feeds=CHAIN, services=[PROMISE], durations=latest)
    service_days = evaluate(seen, at("02:00"), foresee=Forecaster()).service_days
    assert nights == next(service_day for service_day in service_days if service_day.business_date == NIGHT).nights


def test_services_that_share_a_job_agree_and_those_apart_do_not_move_each_other() -> None:
    lone = job(4, "dwh/lone", "04:00", expected=minutes(30))
    services = [service("first", "06:30", MART), service("second", "06:30", MART)]
    runs = [run(1, EXTRACT, "03:10", RunState.FAILED)]
    seen = estate(
        EXTRACT, LOAD, MART, lone, runs=runs, feeds=CHAIN, services=[*services, service("lone", "06:30", lone)]
    )
    service_days = evaluate(seen, at("03:30"), foresee=Forecaster()).service_days
    first, second, apart = (next(d for d in service_days if (d.service, d.business_date) == (name, NIGHT)) for name in
                            ("first", "second", "lone"))  # fmt: skip
    assert (first.expected_at, first.p95_at) == (second.expected_at, second.p95_at)
    assert (at("04:30"), Timeliness.ON_TIME) == (apart.p95_at, apart.timeliness)


def test_service_days_are_together_by_what_they_share_over_others_too() -> None:
    laid = NightGraph(places=[{1: 10}, {2: 20}, {3: 30}, {}, {1: 40}, {4: 20, 5: 10}, {6: 30, 7: 40}])
    assert [[0, 1, 5], [2, 4, 6], [3]] == sorted(independent_groups(laid))
    many = NightGraph(places=[{0: 0, day + 1: day + 1} for day in range(20_000)])
    assert [list(range(20_000))] == independent_groups(many), "as many steps as there are jobs, not their square"


def test_chains_that_meet_in_a_pool_are_foreseen_together_and_a_part_as_the_whole() -> None:
    """Three that start at once, of 30 minutes each, on one slot and on two; the fourth is in no pool."""
    known = [job(at, f"dwh/j{at}", "04:00", expected=minutes(30)) for at in (1, 2, 3)]
    lone = job(4, "dwh/lone", "04:00", expected=minutes(30))
    for slots, ends in ((1, ["04:30", "05:00", "05:30"]), (2, ["04:30", "04:30", "05:00"]), (3, ["04:30"] * 3)):
        seen = estate(*known, lone, services=[service(job.native_id, "06:30", job) for job in (*known, lone)],
                      declared=Declared(pools=(DeclaredPool("host", ("dwh/j*",), slots),)))  # fmt: skip
        service_days = evaluate(seen, at("02:00"), foresee=Forecaster()).service_days
        days = {day.service: day.expected_at for day in service_days if day.business_date == NIGHT}
        assert [*map(at, ends), at("04:30")] == [*sorted(days[job.native_id] for job in known), days["lone"]]  # type: ignore[type-var]
        part = evaluate(part_with(seen, [2]), at("02:00"), foresee=Forecaster()).service_days
        assert {**days, **{day.service: day.expected_at for day in part if day.business_date == NIGHT}} == days


def test_a_service_that_is_likely_late_says_so_and_why() -> None:
    runs = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), run(3, MART, "04:30", RunState.RUNNING, period_at=None)]
    calm, late = (verdict_after("06:03", [40.0, 60.0, 90.0], *runs, due=due) for due in ("10:00", "06:06"))
    assert (Timeliness.ON_TIME, 0.0) == (calm.timeliness, calm.p_late)
    assert reason_of(calm).startswith("expected ")
    assert late.p_late is not None
    assert 0.5 < late.p_late
    assert Timeliness.WILL_MISS is late.timeliness
    text = "dwh/mart has run 1h33m, 3m over its p90 (30 runs)"
    assert reason_of(late).startswith(f"{round(late.p_late * 100)} % risk of being late: expected "), reason_of(late)
    assert text in reason_of(late)


def test_under_an_open_cause_a_service_says_how_likely_it_is_late_and_why() -> None:
    red = run(1, EXTRACT, "03:10", RunState.FAILED)
    late, calm = (verdict_after("03:30", [40.0, 60.0, 90.0], red, due=due) for due in ("06:06", "23:00"))
    assert late.p_late is not None
    assert 0.05 < late.p_late
    cause, odds = reason_of(late).split(f"; {round(late.p_late * 100)} % risk of being late: ")
    assert cause.startswith("hosts/extract: ")
    assert "hosts/extract failed (if repaired as usual it succeeds in " in odds
    assert "late" not in reason_of(calm), "it has all day"


def test_a_repair_that_runs_as_a_run_of_its_own_is_what_the_service_waits_for() -> None:
    """The last job failed at 04:50; it was started again after the deadline, and takes an hour."""
    red = run(3, MART, "04:30", RunState.FAILED, ended_at=at("04:50"))
    again = run(
        4,
        MART,
        "06:40",
        RunState.RUNNING,
        period_key="start:x",
        period_at=None,
        business_date=red.business_date,
        expected=False,
    )
    verdict = verdict_after("06:50", [60.0, 61.0, 59.0], done(EXTRACT, "03:10"), done(LOAD, "04:00"), red, again)
    assert verdict.expected_at is not None
    assert at("07:39") <= verdict.expected_at <= at("07:41")
    assert verdict.p95_at is not None
    assert verdict.p95_at <= at("07:45"), "nobody has to look first"


def test_a_hung_job_is_reported_long_before_its_deadline() -> None:
    """It took 56 to 64 minutes on thirty nights, and runs for 95 now; it has 30 more until it is late."""
    runs = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), run(3, MART, "04:30", RunState.RUNNING, period_at=None)]
    known = [56.0, 60.0, 64.0]
    chances = [
        verdict_after(now, known, *runs, due="06:35").p_late for now in ("05:25", "05:40", "05:50", "06:05", "06:20")
    ]
    assert chances == sorted(chances)  # type: ignore[type-var]  # none is None
    assert chances[0] is not None
    assert chances[3] is not None
    assert chances[0] < 0.05
    assert 0.25 < chances[3]


def test_what_was_slow_stays_the_reason_once_it_is_done() -> None:
    """MART starts after LOAD, whose usual 30 minutes it waited for; LOAD took 75."""
    usual = tuple(number * 60 for number in (28.0, 30.0, 32.0) * 10)
    takes = {2: usual, 3: tuple(2 * value for value in usual)}
    history = {2: past(LOAD, "04:00", [28.0, 30.0, 32.0]), 3: past(MART, "04:30", [56.0, 60.0, 64.0])}
    runs = [done(EXTRACT, "03:10"),
            run(2, LOAD, "04:00", started_at=at("04:00"), ended_at=at("05:15")),
            run(3, MART, "05:15", RunState.RUNNING, period_at=None)]  # fmt: skip
    seen = estate(EXTRACT, LOAD, MART, runs=runs, feeds=CHAIN, services=[service("daily", "06:00", MART)],
                  durations=takes)  # fmt: skip
    decisions = evaluate(replace(seen, history=history), at("05:20"), foresee=Forecaster())
    reason = next(
        reason_of(service_day) for service_day in decisions.service_days if service_day.business_date == NIGHT
    )
    assert "warehouse/load took 1h15m, 43m over its p90 (30 runs)" in reason, reason


def test_what_is_over_its_usual_by_less_than_a_minute_is_no_reason() -> None:
    runs = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), run(3, MART, "04:30", RunState.RUNNING, period_at=None)]
    verdict = verdict_after("06:00:30", [40.0, 60.0, 90.0], *runs, due="06:03")
    assert verdict.p_late is not None
    assert 0.05 < verdict.p_late
    assert "p90" not in reason_of(verdict)


def test_a_job_that_is_skipped_says_nothing_of_how_fast_a_night_it_is() -> None:
    """Else no time at all would stand for a very fast run, and what is slow on the same nights were fast tonight."""
    takes = [40.0, 60.0, 90.0]
    seen = estate(EXTRACT, LOAD, MART, feeds=CHAIN, services=[PROMISE],
                  durations=dict.fromkeys((1, 3), tuple(value * 60 for value in takes * 6)))  # fmt: skip
    seen = replace(seen, history={1: past(EXTRACT, "03:10", takes), 3: past(MART, "04:30", takes)})
    skipped = Forecaster(WhatIf(1, Counterfactual.SKIPPED, at("02:00")))
    service_days = evaluate(seen, at("02:00"), foresee=skipped).service_days
    expected = next(service_day for service_day in service_days if service_day.business_date == NIGHT).expected_at
    assert expected is not None
    assert at("05:30") <= expected, "by its recent nights; forty minutes less as on the fastest"


def test_a_job_that_takes_longer_since_some_nights_is_reported_and_included() -> None:
    as_ever = [58.0, 60.0, 62.0, 59.0, 61.0] * 6
    calm, slower = (
        verdict_after("02:00", as_ever, due="05:50"),
        verdict_after("02:00", as_ever[:25] + [90.0] * 5, due="05:50"),
    )
    assert "since" not in reason_of(calm)
    assert "dwh/mart is slower since Saturday: 1h30m instead of 1h" in reason_of(slower), reason_of(slower)
    assert slower.expected_at is not None
    assert abs(slower.expected_at - at("06:00")) < timedelta(minutes=5)


def test_what_its_clock_starts_too_early_is_named() -> None:
    runs = [run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:50"))]
    verdict = verdict_after("03:55", [40.0, 60.0, 90.0], *runs, due="06:10")
    assert "warehouse/load starts 04:00 UTC by its schedule, with 100 % " in reason_of(verdict)
    assert verdict.p_late is not None
    assert 0.05 < verdict.p_late < 0.95


@pytest.mark.parametrize(
    "now, status",
    [("04:11", Timeliness.AT_RISK), ("04:30", Timeliness.AT_RISK), ("05:05", Timeliness.WILL_MISS)],
)
def test_after_the_act_by_a_service_will_miss_only_if_a_restart_now_is_likelier_late(
    now: str, status: Timeliness
) -> None:
    """Act-by keeps P(late) within the service's risk: after it, a restart may still be likely in time. At 04:30 the
    service was given up, as its forecast waits for the usual repair, and a plan started then saved it."""
    takes, failed = [30.0, 45.0, 60.0, 90.0], run(1, EXTRACT, "03:10", RunState.FAILED)
    service_day = verdict_after(now, takes, failed)
    assert "its act-by 04:10 UTC has passed" in reason_of(service_day)
    plan = Forecaster(PlanOutcome(at(now), frozenset({1, 2, 3}), frozenset()))
    planned = verdict_after(now, takes, failed, foresee=plan)
    assert planned.p_late is not None
    assert (status, status is Timeliness.WILL_MISS) == (service_day.timeliness, planned.p_late > 0.5)


def test_a_restart_that_cannot_be_simulated_is_late_and_does_not_end_the_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> PlanOutcome:
        raise ZeroDivisionError

    errors: list[Exception] = []
    monkeypatch.setattr(forecaster, "PlanOutcome", broken)
    foresee = Forecaster(fails=lambda _, error: errors.append(error))
    failed = run(1, EXTRACT, "03:10", RunState.FAILED)
    assert Timeliness.WILL_MISS is verdict_after("04:30", [30.0, 45.0, 60.0, 90.0], failed, foresee=foresee).timeliness
    assert [ZeroDivisionError] == [*{type(error) for error in errors}]


def test_at_risk_is_from_the_alarm_on_and_stays_until_half_of_it() -> None:
    assert Timeliness.ON_TIME is judge_risk(ALARM - 0.01, None)
    assert Timeliness.AT_RISK is judge_risk(ALARM, None)
    assert Timeliness.AT_RISK is judge_risk(ALARM / 2, LastVerdict(Timeliness.AT_RISK))
    assert Timeliness.ON_TIME is judge_risk(ALARM / 2 - 0.01, LastVerdict(Timeliness.AT_RISK))
    assert Timeliness.ON_TIME is judge_risk(ALARM / 2, LastVerdict(Timeliness.AT_RISK, has_cause=True))


def test_a_verdict_of_missed_is_reversed_only_by_clearly_better_odds() -> None:
    assert Timeliness.WILL_MISS is judge_risk(0.51, LastVerdict(Timeliness.AT_RISK))
    assert Timeliness.WILL_MISS is judge_risk(0.4, LastVerdict(Timeliness.WILL_MISS))
    assert Timeliness.AT_RISK is judge_risk(0.4, LastVerdict(Timeliness.AT_RISK))
    assert Timeliness.AT_RISK is judge_risk(0.3, LastVerdict(Timeliness.WILL_MISS))


def test_an_act_by_that_has_passed_does_not_come_back_by_a_minute() -> None:
    act_by = at("04:00")
    assert not has_passed(act_by, at("03:59"), None)
    assert has_passed(act_by, at("04:01"), None)
    assert has_passed(act_by, at("03:59"), LastVerdict(Timeliness.WILL_MISS, has_cause=True))
    assert not has_passed(act_by, at("03:50"), LastVerdict(Timeliness.WILL_MISS, has_cause=True))


def verdict_at(foresight: Forecaster, now: str, *runs: RunFacts) -> ServiceDayVerdict:
    seen = estate(EXTRACT, LOAD, MART, runs=runs, feeds=CHAIN, services=[PROMISE])
    decisions = evaluate(seen, at(now), foresee=foresight)
    return next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)


def test_the_cache_between_two_evaluations_changes_no_result() -> None:
    forecaster, running = Forecaster(), run(1, EXTRACT, "03:10", RunState.RUNNING)
    nights: list[tuple[str, tuple[RunFacts, ...]]] = [
        ("02:00", ()), ("02:30", ()), ("03:09:59", ()), ("03:15", ()), ("03:16", (running,)), ("03:28", (running,)),
        ("03:40", (running,)), ("03:41", (done(EXTRACT, "03:10"),)), ("06:31", (done(EXTRACT, "03:10"),)),
    ]  # fmt: skip
    for now, runs in nights:
        assert verdict_at(Forecaster(), now, *runs) == verdict_at(forecaster, now, *runs)


def test_the_simulated_night_yields_the_same_figures_in_later_evaluations() -> None:
    forecaster, runs = Forecaster(), [done(EXTRACT, "03:10"), done(LOAD, "04:00")]
    mart = run(3, MART, "04:30", RunState.RUNNING, period_at=None)
    seen = estate(EXTRACT, LOAD, MART, runs=[*runs, mart], feeds=CHAIN, services=[service("daily", "06:06", MART)],
                  durations={3: tuple(number * 60 for number in [40.0, 60.0, 90.0] * 6)})  # fmt: skip
    seen = replace(seen, history={3: past(MART, "04:30", [40.0, 60.0, 90.0])})
    later = replace(seen, history={3: past(MART, "04:30", [50.0, 70.0, 80.0])})
    ends = []
    for now, known in (("05:00", seen), ("05:01", seen), ("05:30", seen), ("05:31", later), ("05:32", later)):
        days = (evaluate(known, at(now), foresee=by).service_days for by in (Forecaster(), forecaster))
        fresh, held = (next(day for day in service_days if day.business_date == NIGHT) for service_days in days)
        assert fresh == held
        ends.append(held.p95_at)
    assert len(set(ends)) > 1


def test_what_holds_no_more_is_forgotten_with_its_simulation() -> None:
    first, second, third = (("daily", NIGHT), ("supply", NIGHT), ("daily", NIGHT + timedelta(days=1)))
    basis, cache = ForecastBasis((), (), ()), ForecastCache()

    def keep(name: GroupName, now: str, until: str) -> None:
        cache.keep(name, CachedForecast(basis, at(now), at(until), ()))

    keep((first, second), "02:00", "06:30")
    keep((second,), "03:00", "06:30")
    assert (1, None) == (len(cache), cache.get((first, second), basis, at("03:00")))
    assert () == cache.get((second,), basis, at("03:00"))
    assert cache.get((second,), basis, at("02:59")) is None, "a clock that was set back"
    keep((third,), "06:33", "08:00")
    assert 1 == len(cache), "the night is over"


def test_nothing_is_simulated_again_where_all_is_still_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []
    forecaster, inner = Forecaster(), simulator.run_simulation

    def counted(*arguments: Any, **more: Any) -> Any:
        requests.append("look")
        return inner(*arguments, **more)

    monkeypatch.setattr("console.forecast.forecaster.run_simulation", counted)
    verdict_at(forecaster, "01:00")
    first = len(requests)
    verdict_at(forecaster, "03:00")
    assert first == len(requests)
    verdict_at(forecaster, "03:11")
    assert first < len(requests)


def test_a_job_without_an_estimate_spoils_no_figure_that_does_not_need_it() -> None:
    """A gate that opens with one of two: the other has no estimate."""
    unknown = job(4, "hosts/by_hand")
    deps = [*gate(1, LOAD, EXTRACT, unknown), *feeds(LOAD, MART)]
    seen = estate(EXTRACT, LOAD, MART, unknown, feeds=deps, services=[PROMISE])
    summed, simulated = (
        next(day for day in evaluate(seen, at("02:00"), foresee=by).service_days if day.business_date == NIGHT)
        for by in (None, Forecaster())
    )
    assert (summed.expected_at, 0.0) == (simulated.expected_at, simulated.p_late)


def test_what_is_never_rerun_must_find_its_upstream_green() -> None:
    never = replace(LOAD, rerun=Safety.NEVER)
    summed, simulated = both("03:30", run(1, EXTRACT, "03:10", RunState.FAILED), jobs=(EXTRACT, never, MART))
    assert (at("03:40"), at("04:00")) == (simulated.act_by, simulated.green_by) == (summed.act_by, summed.green_by)


def test_a_service_whose_forecasts_are_not_to_be_trusted_says_so() -> None:
    runs = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), run(3, MART, "04:30", RunState.RUNNING, period_at=None)]
    seen = estate(EXTRACT, LOAD, MART, runs=runs, feeds=CHAIN, services=[service("daily", "05:31", MART)],
                  durations={3: tuple(number * 60 for number in [40.0, 60.0, 90.0] * 6)})  # fmt: skip
    seen = replace(seen, history={3: past(MART, "04:30", [40.0, 60.0, 90.0])})
    for tally, why in (
        (ForecastTally(30, 15, ((0.0, 30.0, 15.0),)), "past forecasts were 50 % off on average"),
        (ForecastTally(30, 15, ((0.0, 15.0, 0.0), (1.0, 15.0, 15.0))), ""),
        (ForecastTally(10, 5, ((0.0, 10.0, 5.0),)), ""),
    ):
        days = evaluate(replace(seen, tallies={"daily": tally}), at("05:20"), foresee=Forecaster()).service_days
        service_day = next(day for day in days if day.business_date == NIGHT)
        assert why == service_day.distrust
        assert (f"; its forecasts are not to be trusted: {why}" in reason_of(service_day)) == bool(why)


def test_a_lasting_bias_of_the_forecast_is_corrected() -> None:
    """A risk that was notified on many days in time is lowered; one of late days is raised."""
    night = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), run(3, MART, "04:30", RunState.RUNNING, period_at=None)]
    latest = tuple(number * 60 for number in [40.0, 60.0, 90.0] * 6)
    seen = estate(EXTRACT, LOAD, MART, runs=night, feeds=CHAIN, services=[service("daily", "06:06", MART)],
                  durations={3: latest})  # fmt: skip
    seen = replace(seen, history={3: past(MART, "04:30", [40.0, 60.0, 90.0])})
    service_days = {}
    for name, was_late in (("calm", False), ("late", True)):
        known = tuple(PastForecasts((0.3, 0.6), was_late, night) for night in range(60))
        days = evaluate(replace(seen, forecasts=known), at("06:03"), foresee=Forecaster()).service_days
        service_days[name] = next(day for day in days if day.business_date == NIGHT)
    plain = evaluate(seen, at("06:03"), foresee=Forecaster()).service_days
    own = next(day for day in plain if day.business_date == NIGHT)
    assert own.p_late is not None
    assert own.p_own == service_days["calm"].p_own == service_days["late"].p_own
    assert service_days["calm"].p_late is not None
    assert service_days["late"].p_late is not None
    assert service_days["calm"].p_late < own.p_late < service_days["late"].p_late
    ends = [(day.expected_at, day.p80_at, day.p95_at) for day in (service_days["calm"], own, service_days["late"])]
    assert ends == sorted(ends), "the finish is of the same odds"
    for day in service_days.values():
        assert day.expected_at is not None
        assert day.p_late is not None
        assert (day.expected_at > day.deadline) == (day.p_late > 0.5)


def test_a_service_in_no_danger_says_of_which_job_the_new_level_counts() -> None:
    """MART takes an hour and a half instead of one since five nights; its deadline is far away."""
    moved = past(MART, "04:30", [60.0] * 25 + [90.0] * 5)
    seen = estate(EXTRACT, LOAD, MART, feeds=CHAIN, services=[service("daily", "09:30", MART)],
                  durations={3: tuple(moved.takes)})  # fmt: skip
    service_days = evaluate(replace(seen, history={3: moved}), at("02:00"), foresee=Forecaster()).service_days
    service_day = next(service_day for service_day in service_days if service_day.business_date == NIGHT)
    assert service_day.timeliness is Timeliness.ON_TIME
    assert reason_of(service_day).endswith("; dwh/mart is slower since Saturday: 1h30m instead of 1h"), reason_of(
        service_day
    )
