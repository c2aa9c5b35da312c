"""Monthly figures: each from its own rows, deleted runs by their daily figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, SQLModel

from connectors.sdk.states import RunState
from console.domain.ids import micros
from console.domain.report import months_back
from console.domain.schema.estate import Drift, JobDay, System
from console.domain.schema.incidents import Acknowledgement, Incident, IncidentService
from console.domain.schema.services import ServiceDay
from console.domain.settings import DeclaredPool
from console.store.config_sync import sync_config
from console.store.db.retention import day_figures
from console.store.errors import NotFound
from console.store.queries.reader import Queries
from tests.store.estate import MIDNIGHT, SERVED, Estate, at, failed, run, running

MONTH = "2026-11"


def insert(served: Estate, *rows: SQLModel) -> None:
    with Session(served.store.engine) as session:
        session.add_all(rows)
        session.commit()


def test_months_end_with_the_given_one() -> None:
    assert ["2025-12", "2026-01", "2026-02"] == months_back(date(2026, 2, 28), 3)


def test_runs_of_all_needed_jobs_count_and_deleted_ones_by_their_days(served: Estate, reads: Queries) -> None:
    """The open run and the job that the service does not need are not in it."""
    extract, stock = served.job_id(), served.job_id("db07:load_stock")
    served.ingest(run(), failed(period="02:10", attempt="2"), running(period="03:15", attempt="3"))
    served.ingest(run(job="db07:load_stock", attempt="4"))
    for job, month in ((extract, MONTH), (stock, MONTH), (extract, "2026-10")):
        insert(served, JobDay(job_id=job, business_date=f"{month}-02", runs=8, succeeded=6, missed=1))
    [before, now] = reads.reports.months(["2026-10", MONTH], "supply")
    assert (8, 6, 1) == (before.runs, before.succeeded, before.missed)
    assert (10, 7, 1) == (now.runs, now.succeeded, now.missed)
    [system] = reads.reports.months([MONTH], "etl-hosts")
    assert (19, 14, 2) == (system.runs, system.succeeded, system.missed)
    assert system.attainment is None


def test_unknown_and_skipped_runs_are_no_failures(served: Estate, reads: Queries) -> None:
    """Partial and cancelled ones did not succeed. Deleted runs count the same."""
    states = ("succeeded", "failed", "partial", "cancelled", "unknown", "unknown", "skipped")
    runs = [
        run(period=f"02:{minute:02}", attempt=str(minute), state=RunState(state)) for minute, state in enumerate(states)
    ]
    served.ingest(*runs)
    for name in ("supply", "etl-hosts"):
        [figures] = reads.reports.months([MONTH], name)
        assert (4, 1, 2) == (figures.runs, figures.succeeded, figures.unknown)
        assert 0.25 == figures.success_rate
    with served.store.read() as session:
        stored = session.rows("SELECT id, job_id, sort_us, business_date FROM run WHERE attempts > 0")
        [(*_, counted, succeeded, missed, _p50, _p95, _late)] = day_figures(session, stored)
    assert (4, 1, 0) == (counted, succeeded, missed)


def test_a_system_without_jobs_has_empty_months(served: Estate, reads: Queries) -> None:
    insert(served, System(name="new-hosts"))
    [figures] = reads.reports.months([MONTH], "new-hosts")
    assert not figures.is_watched


def test_days_incidents_and_changes_are_measured(served: Estate, reads: Queries) -> None:
    [[service_id]] = served.rows("SELECT id FROM service")
    day: dict[str, Any] = {"service_id": service_id, "timeliness": "met", "deadline_us": micros(at("03:00"))}
    insert(served, ServiceDay(business_date="2026-11-18", delivered_us=micros(at("02:40")), **day))
    extended: dict[str, Any] = {"delivered_us": micros(at("02:55")), "agreed_us": micros(at("02:50"))}
    insert(served, ServiceDay(business_date="2026-11-15", **day, **extended))
    agreed_us = micros(at("03:15"))
    insert(served, ServiceDay(business_date="2026-11-17", delivered_us=micros(at("03:10")), agreed_us=agreed_us, **day))
    insert(served, ServiceDay(business_date="2026-11-14", agreed_us=micros(at("03:30")), **day))
    insert(served, ServiceDay(business_date="2026-11-16", **{**day, "timeliness": "no_estimate"}))
    times: dict[str, Any] = {"failed_since_us": micros(at("01:00")), "opened_us": micros(at("01:05"))}
    job: dict[str, Any] = {"root_job_id": served.job_id(), "cause": "run"}
    insert(served, Incident(id=1, key="a", closed_us=micros(at("02:00")), **times, **job))
    insert(served, Incident(id=2, key="b", merged_into=1, **times, **job))
    affected: dict[str, Any] = {
        "incident_id": 1,
        "service_id": service_id,
        "business_date": "2026-11-19",
        "deadline_us": 0,
    }
    insert(served, IncidentService(**affected))
    until_us = micros(at("02:30"))
    for made in ("01:25", "01:15"):
        insert(served, Acknowledgement(incident_id=1, made_us=micros(at(made)), until_us=until_us))
    for what, clock in (("schedule", "01:30"), ("definition", "01:30"), ("definition", "03:12"), ("paused", "01:30")):
        insert(served, Drift(job_id=served.job_id(), what=what, seen_us=micros(at(clock))))
    served.ingest(failed(period="02:10"), run(attempt="2"))
    for name in ("supply", "etl-hosts"):
        [figures] = reads.reports.months([MONTH], name)
        assert (1, 600.0, 3600.0) == (figures.incidents, figures.acknowledge_s, figures.recover_s)
        assert (2, 1, 1) == (figures.changes, figures.tried_changes, figures.failed_changes)
    [service] = reads.reports.months([MONTH], "supply")
    assert (2, 4, timedelta(minutes=5).total_seconds()) == (service.in_time, service.judged, service.slack_s)
    assert (1, 2) == (service.sla_in_time, service.sla_judged)


def test_costs_are_summed_and_other_values_are_none(served: Estate, reads: Queries) -> None:
    served.ingest(run(context={"cost": 1.5}), run(period="02:10", attempt="2", context={"cost": "much"}))
    [service] = reads.reports.months([MONTH], "supply")
    assert 1.5 == service.cost


def test_an_unknown_name_is_refused_with_similar_ones(reads: Queries) -> None:
    with pytest.raises(NotFound, match="supply"):
        reads.reports.months([MONTH], "suply")


def test_a_pool_is_busy_with_every_attempt_within_the_month(served: Estate, reads: Queries) -> None:
    """A rerun counts beside the first attempt, an open one up to now; after retention nothing is known."""
    pool = DeclaredPool("etl", ("etl-hosts/*",), 2)
    declared = replace(SERVED.declared, pools=(pool,))
    sync_config(served.store, replace(SERVED, declared=declared), MIDNIGHT, None)
    night = run(), run(attempt="2", started_at=at("03:15"), ended_at=at("03:16"))
    served.ingest(*night, running(job="db07:load_stock", period="03:10", attempt="3"))
    [figures] = reads.reports.pools(MONTH)
    assert ("etl", 300.0 + 60.0 + 610.0) == (figures.pool, figures.busy_s)
    now_s = (at("03:20:10") - datetime(2026, 11, 1, tzinfo=UTC)).total_seconds()
    assert figures.utilization == pytest.approx(970 / (2 * now_s))
    insert(served, JobDay(job_id=served.job_id(), business_date=f"{MONTH}-02", runs=8, succeeded=6, missed=1))
    assert reads.reports.pools(MONTH)[0].utilization is None
