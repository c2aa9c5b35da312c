"""One night as a timeline reads it: services of the date, the jobs of their paths, every attempt that began."""

from __future__ import annotations

from console.control.explain.timeline import BarKind, timeline_lanes
from console.domain.decision import Decisions
from console.domain.forecast import JobForecast
from console.domain.history import DurationEstimate, DurationQuantiles, EstimateBasis, EstimateKind
from console.store.decisions import apply_decisions
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from tests.factories import minutes
from tests.store.estate import DATE, EXTRACT, Estate, at, failed, run, running, set_clock
from tests.store.fixtures import night, reads, served, store, store_url
from tests.store.test_decisions import ROUTES, day
from tests.store.test_services import past

__all__ = ["night", "reads", "served", "store", "store_url"]


def judged(served: Estate, *days: object) -> None:
    apply_decisions(served.store, Decisions(service_days=days), at("03:20"), 1, None, ROUTES)  # type: ignore[arg-type]


def test_a_night_holds_its_services_with_the_jobs_of_their_paths_and_each_attempt(
    served: Estate, reads: Queries
) -> None:
    served.ingest(failed(), run(attempt="2", started_at=at("03:16"), ended_at=at("03:19")))
    job_id = served.job_id()
    judged(served, day(path=(job_id,), incident_key=None))
    timeline = reads.service_days.timeline()
    assert (DATE.isoformat(), ("supply",)) == (
        timeline.business_date,
        tuple(service.name for service in timeline.services),
    )
    assert {0: (job_id,)} == timeline.paths
    [timeline_run] = timeline.jobs[job_id].runs
    assert EXTRACT == timeline.jobs[job_id].name
    assert [("failed", at("03:10")), ("succeeded", at("03:16"))] == [
        (timeline_attempt.state, timeline_attempt.started) for timeline_attempt in timeline_run.tries
    ]
    assert (at("03:10"), at("03:10")) == (timeline_run.at, timeline_run.due)


def test_an_open_run_of_an_unseen_target_is_unknown_in_its_lane_too(served: Estate, reads: Queries) -> None:
    served.ingest(running())
    job_id = served.job_id()
    judged(served, day(path=(job_id,), incident_key=None))
    for now, state in (("03:20", "running"), ("03:20:46", "unknown")):
        set_clock(served, now)
        with open_queries(served.store.url) as later:
            timeline = later.service_days.timeline()
            [own] = later.service_days.critical_path("supply", DATE.isoformat())
        [lane] = [lane for lane in timeline_lanes(timeline, timeline.now) if lane.job is not None]
        assert (state, [state]) == (lane.state, [bar.state for bar in lane.bars if bar.kind is BarKind.RUNS])
        assert state == own.runs[0].state


def test_what_a_job_takes_comes_from_the_days_own_estimate(served: Estate, reads: Queries) -> None:
    job_id = served.job_id()
    known = DurationEstimate(job_id, EstimateKind.HISTORY, 30, DurationQuantiles(*map(minutes, (14, 19, 21))))
    judged(served, day(path=(job_id,), sources=(known,), incident_key=None))
    job = reads.service_days.timeline().jobs[job_id]
    assert (840.0, 1260.0, "history") == (job.usual_s, job.late_s, job.source)


def test_what_a_job_is_expected_at_comes_from_the_days_own_forecast(served: Estate, reads: Queries) -> None:
    job_id, (p50, p80, p95) = served.job_id(), map(at, ("04:10", "04:20", "04:40"))
    forecast = JobForecast(job_id, 0.1, 0.9, p50, p80, p95, None, None, None, EstimateBasis(EstimateKind.HISTORY, 30))
    judged(served, day(path=(job_id,), jobs=(forecast,), incident_key=None))
    timeline = reads.service_days.timeline()
    assert {0: {job_id: (p50, p95)}} == timeline.foreseen
    assert (p50, p95) == next(
        (lane.expected, lane.late) for lane in timeline_lanes(timeline, timeline.now) if lane.job is not None
    )


def test_past_nights_are_named_and_read_as_they_were(served: Estate, reads: Queries) -> None:
    judged(served, day(incident_key=None), past(2, at("05:00")))
    assert ("2026-11-17", "2026-11-19") == reads.service_days.timeline().dates
    before = reads.service_days.timeline("2026-11-17")
    assert ["2026-11-17"] == [service.business_date for service in before.services]
    assert before.services[0].delivered is not None
    assert before.jobs == {job_id: before.jobs[job_id] for path in before.paths.values() for job_id in path}


def test_a_date_without_a_verdict_has_only_its_promises(served: Estate, reads: Queries) -> None:
    timeline = reads.service_days.timeline("2026-01-05")
    assert (["supply"], {0: ()}, {}) == ([service.name for service in timeline.services], timeline.paths, timeline.jobs)


def test_a_night_stores_each_forecast_with_its_moment(served: Estate, reads: Queries) -> None:
    for now, late, p50 in (("03:20", 0.1, "05:00"), ("03:40", 0.8, "06:40")):
        service_day = day(incident_key=None, p_late=late, p_own=late, expected_at=at(p50), p95_at=at("07:00"))
        apply_decisions(served.store, Decisions(service_days=(service_day,)), at(now), 1, None, ROUTES)
    forecasts = reads.service_days.timeline().published[0]
    assert [(at("03:20"), 0.1, at("05:00")), (at("03:40"), 0.8, at("06:40"))] == [
        (forecast.at, forecast.late, forecast.p50) for forecast in forecasts
    ]
    assert {at("07:00")} == {forecast.p95 for forecast in forecasts}
