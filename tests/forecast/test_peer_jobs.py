"""A job that hardly ever ran takes what jobs like it take, and says whose word that is. As in test_foresee."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.estimates import estimate_duration, weakest_basis
from console.control.snapshot.incremental import part_with
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import Estate
from console.domain.history import (
    DurationPrior,
    DurationQuantiles,
    EstimateBasis,
    EstimateKind,
    PeerGroup,
    duration_prior,
)
from console.domain.service import Timeliness
from console.forecast.forecaster import Forecaster
from tests.factories import NIGHT, at, estate, feeds, job, minutes, run, service
from tests.forecast.test_forecast import EXTRACT, LOAD, MART, done
from tests.forecast.test_simulation import past
from tests.reasons import reason_of

PEERS = DurationPrior(12, DurationQuantiles(minutes(30), minutes(90), minutes(120)))
NEW = job(5, "dwh/new", expected=None)
SEEN = estate(EXTRACT, LOAD, MART, NEW, feeds=[*feeds(EXTRACT, LOAD), *feeds(LOAD, MART), *feeds(MART, NEW)],
              services=[service("daily", "07:30", NEW)])  # fmt: skip
KNOWN = replace(SEEN, peer_priors={"dwh": PEERS})


def day(seen: Estate, now: str = "02:00", simulated: bool = True) -> ServiceDayVerdict:
    service_days = evaluate(seen, at(now), foresee=Forecaster() if simulated else None).service_days
    return next(service_day for service_day in service_days if service_day.business_date == NIGHT)


def test_without_any_data_nothing_is_guessed() -> None:
    assert (Timeliness.NO_ESTIMATE, None, None) == (day(SEEN).timeliness, day(SEEN).expected_at, day(SEEN).p_late)


def test_a_new_job_takes_as_long_as_those_like_it_and_as_uncertainly() -> None:
    service_day = day(KNOWN)
    assert day(KNOWN, simulated=False).expected_at == at("06:00")
    assert service_day.expected_at is not None
    assert service_day.p95_at is not None
    assert abs(service_day.expected_at - at("06:00")) < timedelta(minutes=10)
    assert service_day.p95_at - service_day.expected_at > timedelta(minutes=40), (
        "nine of ten of them take thrice as long as half"
    )
    assert ("peers", 0, 12) == (
        service_day.sources[-1].source,
        service_day.sources[-1].runs,
        service_day.sources[-1].peers,
    )
    assert EstimateBasis(EstimateKind.PEERS, 12) == weakest_basis(service_day.sources) == service_day.jobs[-1].basis
    near = day(replace(KNOWN, services=(service("daily", "06:20", NEW),)))
    assert "dwh/new has 0 successful runs with a duration; its 12 peer jobs take 30m" in reason_of(near)


def test_what_its_target_does_comes_before_its_system_and_what_is_declared_before_both() -> None:
    here = DurationPrior(7, DurationQuantiles(minutes(1), minutes(2), minutes(3)))
    both: dict[PeerGroup, DurationPrior] = {"dwh": PEERS, NEW.target_id: here}
    assert (7, minutes(1)) == (estimate_duration(NEW, (), both).peers, estimate_duration(NEW, (), both).p50)
    assert "declared" == estimate_duration(replace(NEW, expected=minutes(5)), (), both).source
    assert ("history", 0) == (
        estimate_duration(NEW, (60.0,) * 5, both).source,
        estimate_duration(NEW, (60.0,) * 5, both).peers,
    )
    assert "none" == estimate_duration(NEW, (), {"other": PEERS}).source
    assert "none" == estimate_duration(replace(NEW, parent_id=1), (), both).source, "tasks are not like jobs"


def test_its_own_first_runs_weigh_more_than_what_is_guessed() -> None:
    few = day(replace(KNOWN, durations={NEW.id: (300.0, 310.0, 290.0)}))
    assert few.expected_at is not None
    assert abs(few.expected_at - at("05:35")) < timedelta(minutes=3)
    assert EstimateBasis(EstimateKind.PEERS, 12) == few.jobs[-1].basis


def test_a_part_of_the_estate_guesses_as_the_whole_does() -> None:
    lone = job(9, "dwh/lone", "03:00", expected=minutes(5))
    whole = replace(KNOWN, jobs={**KNOWN.jobs, 9: lone}, services=(*KNOWN.services, service("lone", "06:00", lone)))
    assert day(whole) == day(part_with(whole, [NEW.id]))


def test_what_runs_longer_than_those_like_it_is_not_over_at_once() -> None:
    runs = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), done(MART, "04:30"),
            run(5, NEW, "05:30", RunState.RUNNING, period_at=None)]  # fmt: skip
    ends = [day(replace(KNOWN, runs=runs), now).expected_at or at("00:00") for now in ("05:40", "06:30", "07:20")]
    assert ends == sorted(set(ends))
    assert ends[-1] > at("07:20")


def test_too_few_jobs_say_nothing_about_another() -> None:
    assert duration_prior([60.0] * 4) is None
    assert DurationPrior(6, DurationQuantiles(minutes(4), minutes(6), minutes(6))) == duration_prior(
        [60.0 * number for number in (6, 2, 3, 4, 1, 5)]
    )


def test_what_is_declared_varies_as_the_jobs_around_it_and_says_so() -> None:
    """It waits for three that take 30 minutes, more or less; of one that nobody saw the declared time is the whole."""
    new = replace(NEW, expected=minutes(60))
    takes = [24.0, 30.0, 36.0, 28.0, 33.0]
    seen = replace(
        SEEN,
        jobs={**SEEN.jobs, NEW.id: new},
        durations={number: tuple(60 * value for value in takes) for number in (1, 2, 3)},
        history={
            job.id: past(job, clock, takes) for job, clock in ((EXTRACT, "03:10"), (LOAD, "04:00"), (MART, "04:30"))
        },
    )
    begun = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), done(MART, "04:30"),
             run(5, NEW, "05:30", RunState.RUNNING, period_at=None)]  # fmt: skip
    service_day, alone = (
        day(replace(estate, runs=begun), "05:40") for estate in (seen, replace(seen, history={}, durations={}))
    )
    assert "declared duration, varies like 3 peer jobs" == service_day.jobs[-1].basis.text
    assert "declared duration" == alone.jobs[-1].basis.text
    assert service_day.expected_at is not None
    assert service_day.p95_at is not None
    assert abs(service_day.expected_at - at("06:30")) < timedelta(minutes=5)
    assert timedelta(minutes=5) < service_day.p95_at - service_day.expected_at < timedelta(minutes=40)
    assert (at("06:30"), at("06:30")) == (alone.expected_at, alone.p95_at)


def test_what_has_overtaken_the_time_that_was_declared_is_not_over_at_once() -> None:
    """And nobody says that it had runs."""
    new = replace(NEW, expected=minutes(30))
    begun = [done(EXTRACT, "03:10"), done(LOAD, "04:00"), done(MART, "04:30"),
             run(5, NEW, "05:30", RunState.RUNNING, period_at=None)]  # fmt: skip
    seen = replace(SEEN, jobs={**SEEN.jobs, NEW.id: new}, services=(service("daily", "06:40", NEW),), runs=begun)
    service_day = day(seen, "06:30")
    assert service_day.p_late is not None
    assert 0.3 < service_day.p_late < 0.95, "twice as long as declared, and ten minutes left"
    assert "dwh/new has run 1h, 30m over the declared duration" in reason_of(service_day)
    assert "runs)" not in reason_of(service_day)
