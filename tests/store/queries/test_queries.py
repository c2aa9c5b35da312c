"""The reads of screens and commands."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import inspect, text

from connectors.sdk.records import JobRecord, instant_key
from connectors.sdk.states import STOPPED, PeriodKind, RunEvidence
from console.domain.decision import Decisions, KnownIncident, MemberVerdict, RunJudgement
from console.domain.estate import EvaluationSettings
from console.domain.failure import FailureSignature
from console.domain.filter import JobFilter
from console.domain.header import UnseenTarget
from console.domain.history import EstimateBasis, EstimateKind
from console.domain.ids import micros
from console.domain.incident import closing_run, repair_times
from console.domain.incident_record import CauseRecord, RootRun
from console.domain.inventory import DetectedDrift, InventoryChanges, JobChange, VanishedJob
from console.domain.job import RepairedJob, Safety
from console.domain.policy import PolicyRepair
from console.domain.reason import EarlierRun, GreenAgain, LaterRunGood
from console.domain.service import DEADLINE_FACET, Timeliness
from console.store import failures
from console.store.config_sync import sync_config
from console.store.db import lease
from console.store.decisions import apply_decisions
from console.store.errors import NotFound
from console.store.events import DatasetUse, FacetOf, Reported, record_lineage
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.ingest.targets import record_failure
from console.store.queries import lineage, open_queries
from console.store.queries.reader import Queries
from console.store.snapshot.estate import load_estate
from tests.corpus import HOSTILE
from tests.reasons import reason_of
from tests.store.estate import (
    DATE,
    EXTRACT,
    JOBS,
    LOAD,
    MIDNIGHT,
    SERVED,
    SUPPLY,
    Estate,
    at,
    failed,
    poll,
    record,
    run,
    running,
    set_clock,
)
from tests.store.test_decisions import ROUTES, day, expected, incident


def decide(served: Estate, **decisions: Any) -> None:
    apply_decisions(served.store, Decisions(**decisions), at("03:20"), 1, None, ROUTES)


def put_log(served: Estate, attempt_id: int, message: str, cut: bool = False) -> None:
    with served.store.write(None) as connection:
        connection.rows(
            "INSERT INTO log_tail (attempt_id, text, cut, error, fetched_us) VALUES (?, ?, ?, '', 0)",
            (attempt_id, message, cut),
        )


def names(reads: Queries, sort: str = "attention", **requested: Any) -> list[str]:
    ids = reads.jobs.job_ids(JobFilter(**requested), sort)
    assert list(ids) == [row.id for row in reads.jobs.jobs_first_page(JobFilter(**requested), sort)]
    return [row.name.rpartition(":")[2] for row in reads.jobs.jobs_by_ids(ids)]


# -- the big table ----------------------------------------------------------------------------------------------------
def test_what_needs_a_person_comes_first(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[0]), failed(JOBS[1]), running(JOBS[2]))
    assert ["load_stock", "clean_up", "extract_orders", LOAD] == names(reads)


def test_a_task_follows_its_parent_though_it_started_later(served: Estate, reads: Queries) -> None:
    part = record("db07:part", parent=JOBS[0])
    write_inventory(served.store, served.host, InventoryChanges(new=(part,)), MIDNIGHT, None)
    served.ingest(run(JOBS[0], period="01:00"), run("db07:part", period="02:00"))
    assert ["extract_orders", "part"] == names(reads)[:2]
    assert ["part"] == names(reads, terms=("part",))


def test_jobs_are_ordered_by_name_or_start(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[2], period="02:00"), run(JOBS[0], period="01:00"))
    assert [LOAD, "clean_up", "extract_orders", "load_stock"] == names(reads, "name")
    assert ["clean_up", "extract_orders"] == names(reads, "age")[:2]


def test_jobs_are_filtered_by_text_state_system_and_owner(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[0]), failed(JOBS[1]), running(JOBS[2]))
    assert ["load_stock", LOAD] == names(reads, terms=("LOAD",))
    assert [LOAD] == names(reads, terms=("load",), without=("stock",))
    assert ["load_stock"] == names(reads, states=("failed",))
    assert ["clean_up"] == names(reads, states=("RUNNING",), systems=("etl",))
    assert ["extract_orders"] == names(reads, owners=("plat",))
    assert ["load_stock"] == names(reads, problems_only=True)
    assert [] == names(reads, terms=("nothing",))


@pytest.mark.parametrize(
    "message", ["%", "db0_", "100%", "' OR '1'='1", "'; DROP TABLE run; --", "\\", "?", "%s", "{ids}"]
)
def test_f53_a_filter_is_text_and_no_pattern_and_no_sql(served: Estate, reads: Queries, message: str) -> None:
    assert [] == names(reads, terms=(message,))
    assert [] == names(reads, "name", owners=(message,), systems=(message,), states=(message,))
    assert 4 == len(names(reads, without=(message,)))


def test_a_row_has_the_latest_run_the_schedule_and_the_next_instant(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(
        served,
        expected=(expected("04:10"), expected("05:10")),
        judgements=(RunJudgement(1, Timeliness.BREACHED, True),),
    )
    [row] = reads.jobs.jobs_by_ids([1])
    assert (EXTRACT, "etl-hosts", "cron", "failed", "native", "exit 1", "breached", "2026-11-19", 1) == (
        row.name, row.system, row.kind, row.state, row.evidence, row.native_state, row.timeliness, row.business_date,
        row.run_id,
    )  # fmt: skip
    assert (at("03:10"), at("03:15"), at("04:10"), "at 10 3 * * *", "platform", True, 1) == (
        row.started, row.ended, row.next, row.schedule, row.owner, row.stale_read, row.attempts,
    )  # fmt: skip
    assert (False, False, False, None) == (row.paused, row.gone, row.is_task, row.stale_since)


def test_rows_come_in_the_order_of_the_ids_and_unknown_ids_are_left_out(reads: Queries) -> None:
    assert [3, 1, 2] == [row.id for row in reads.jobs.jobs_by_ids([3, 99, 1, 2])]
    assert [] == reads.jobs.jobs_by_ids([])


def test_what_is_open_at_a_target_out_of_sight_is_unknown_with_its_age_and_what_ended_stays(
    served: Estate, reads: Queries
) -> None:
    served.ingest(failed(JOBS[0]), running(JOBS[1]))
    assert ["failed", "running"] == [row.state for row in reads.jobs.jobs_by_ids([1, 2])]
    set_clock(served, "03:20:46")
    with open_queries(served.store.url) as later:
        rows = later.jobs.jobs_by_ids([1, 2])
        assert [("failed", "native"), ("unknown", "stale")] == [(row.state, row.evidence) for row in rows]
        assert [at("03:20")] * 2 == [row.stale_since for row in rows]
        assert ["load_stock"] == names(later, states=("unknown",))
        assert ["extract_orders", "load_stock"] == names(later, problems_only=True)
        [row] = later.runs.list_runs(2)
        assert ("unknown", "stale", at("03:20")) == (row.state, row.evidence, row.stale_since)
        own = later.lineage.lineage_of(1).jobs[1]
        assert ("failed", at("03:20")) == (own.state, own.stale_since)


def test_a_reader_learns_that_something_changed(served: Estate, reads: Queries) -> None:
    version = reads.data_version()
    assert version == reads.data_version()
    served.ingest(failed(JOBS[1]))
    assert version != reads.data_version()


# -- one job, one run -------------------------------------------------------------------------------------------------
def test_a_job_comes_with_its_neighbors_services_drift_and_runs(served: Estate, reads: Queries) -> None:
    served.ingest(*(run(period=f"0{hour}:10", attempt=str(hour)) for hour in (1, 2, 3)))
    decide(served, expected=(expected("04:10"),))
    write_inventory(served.store, served.host, InventoryChanges(gone=(VanishedJob(1, "line gone"),)), at("03:20"), None)
    view = reads.jobs.job(EXTRACT)
    assert ((), ((LOAD, "declared"),), ("supply",)) == (view.upstreams, view.downstreams, view.services)
    assert (3, 300.0, 300.0, 840.0, "ask", "full") == (
        view.history_runs, view.p50_s, view.p90_s, view.expected_s, view.rerun, view.proof,
    )  # fmt: skip
    assert [at("03:10"), at("02:10"), at("01:10")] == [run.started for run in view.runs]
    assert [("gone", "line gone", at("03:20"))] == [(drift.what, drift.text, drift.seen) for drift in view.drift]
    assert view.row.gone
    assert view.drift == tuple(reads.estate.drift())
    assert ("supply",) == reads.jobs.job(4).services


def test_a_task_belongs_to_the_services_of_its_dag(served: Estate, reads: Queries) -> None:
    task = JobRecord("load_orders.publish", parent="load_orders")
    [job_id] = write_inventory(served.store, served.airflow, InventoryChanges(new=(task,)), MIDNIGHT, None)
    assert (("supply",), True) == (reads.jobs.job(job_id).services, reads.jobs.job(job_id).row.is_task)


def test_the_services_of_a_job_are_those_of_the_config_in_effect(served: Estate, reads: Queries) -> None:
    assert ("supply",) == reads.members.services_of(1)
    board, late = replace(SUPPLY, name="board", tier=1), replace(SUPPLY, name="late", delivered_by=(EXTRACT, LOAD))
    sync_config(served.store, replace(SERVED, services=(SUPPLY, late, board)), MIDNIGHT, None)
    assert ("board", "late", "supply") == reads.members.services_of(1)
    sync_config(served.store, replace(SERVED, services=()), MIDNIGHT, None)
    assert () == reads.members.services_of(1)


def test_a_second_job_reads_no_services_again(reads: Queries, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand services cost more than everything else on the screen of a job."""
    statements: list[str] = []
    rows = reads.link.rows

    def spy(sql: str, values: Any = ()) -> Any:
        statements.append(sql)
        return rows(sql, values)

    monkeypatch.setattr(reads.link, "rows", spy)
    assert (("supply",), ("supply",)) == (reads.members.services_of(4), reads.members.services_of(1))
    assert 1 == sum("FROM service" in sql for sql in statements)


def test_an_unknown_job_is_reported_with_near_matches(reads: Queries) -> None:
    with pytest.raises(NotFound, match="did you mean etl-hosts/db07:extract_orders") as caught:
        reads.jobs.job("etl-hosts/db07:extract_order")
    assert (EXTRACT,) == caught.value.near
    with pytest.raises(NotFound, match=r'"INC-0009" not found; headway incident list --all lists what there is$'):
        reads.incidents.incident(9)
    with pytest.raises(NotFound, match=r'"etl-hosts/zzzz" not found; headway job list lists what there is$'):
        reads.jobs.job("etl-hosts/zzzz")
    with pytest.raises(NotFound):
        reads.jobs.job(99)


def test_any_text_may_be_looked_up_and_filtered_by(reads: Queries) -> None:
    for name in HOSTILE:
        with pytest.raises(NotFound):
            reads.jobs.job(name)
        reads.jobs.job_ids(JobFilter(terms=(name,), systems=(name,), owners=(name,), states=(name,)))


def test_a_run_comes_with_its_attempts_log_and_capabilities(served: Estate, reads: Queries) -> None:
    served.ingest(failed(), run(attempt="2", started_at=at("03:16"), ended_at=at("03:18")))
    put_log(served, 2, "all good", cut=True)
    view = reads.runs.run(1)
    assert [(1, "failed", "disk full"), (2, "succeeded", "")] == [
        (attempt.number, attempt.state, attempt.message) for attempt in view.attempts
    ]
    assert ("all good", True, "Europe/Berlin", "ask", ("log", "rerun"), None) == (
        view.log, view.log_cut, view.zone, view.rerun, view.capabilities, view.incident_id,
    )  # fmt: skip
    with pytest.raises(NotFound, match="run 99"):
        reads.runs.run(99)


def test_a_run_comes_with_earlier_runs_of_its_job_and_not_with_later_ones(served: Estate, reads: Queries) -> None:
    served.ingest(*(run(period=period, attempt=period) for period in ("01:10", "02:10", "03:10")))
    [middle] = [run for run in reads.runs.list_runs(1) if run.period == at("02:10")]
    assert [at("02:10"), at("01:10")] == [run.period for run in reads.runs.run(middle.id).runs]


def test_a_run_comes_with_the_runs_of_its_tasks(served: Estate, reads: Queries) -> None:
    write_inventory(
        served.store, served.host, InventoryChanges(new=(record("db07:part", parent=JOBS[0]),)), MIDNIGHT, None
    )
    served.ingest(failed(), failed("db07:part"), run("db07:part", period="02:10", attempt="0"))
    assert [("etl-hosts/db07:part", "failed")] == [(run.job, run.state) for run in reads.runs.run(1).tasks]


# -- services, incidents, systems, header -----------------------------------------------------------------------------
def test_a_service_is_shown_on_its_current_business_date(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    due = at("05:30") - timedelta(days=1)
    yesterday = day(business_date=DATE - timedelta(days=1), timeliness=Timeliness.MET, deadline=due)
    decide(served, service_days=(yesterday, day()), incidents=(incident(),))
    [view] = reads.services.list_services()
    assert ("supply", "2026-11-19", at("05:30"), "at_risk", at("03:58"), EXTRACT, 1, (EXTRACT, LOAD)) == (
        view.name, view.business_date, view.deadline, view.timeliness, view.act_by, view.cause, view.incident_id,
        view.path,
    )  # fmt: skip
    assert ["declared"] == [source["source"] for source in view.sources]
    assert view == reads.services.service("supply")
    with pytest.raises(NotFound, match="did you mean supply"):
        reads.services.service("suply")


def test_a_service_is_shown_on_the_date_of_a_deadline_that_is_still_ahead(served: Estate, reads: Queries) -> None:
    yesterday = day(business_date=DATE - timedelta(days=1), timeliness=Timeliness.AT_RISK, deadline=at("03:30"))
    decide(served, service_days=(yesterday, day()))
    assert ["2026-11-18"] == [view.business_date for view in reads.services.list_services()]
    missed = replace(yesterday, deadline=at("03:20"))
    decide(served, service_days=(missed,))
    assert ["2026-11-18"] == [view.business_date for view in reads.services.list_services()], "undelivered"
    decide(served, service_days=(replace(missed, delivered_at=at("03:10")),))
    assert ["2026-11-19"] == [view.business_date for view in reads.services.list_services()]
    decide(served, service_days=(replace(missed, deadline=at("05:30") - timedelta(days=1)),))
    assert ["2026-11-19"] == [view.business_date for view in reads.services.list_services()], "before the cutoff"


def test_a_service_shows_its_incident_and_its_assignee_until_that_lapses(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(served, service_days=(day(),), incidents=(incident(),))
    [view] = reads.services.list_services()
    assert (incident().title, "", None) == (view.problem, view.acknowledged_by, view.acknowledged_until)
    now = reads.now()
    added = text(
        "INSERT INTO acknowledgement (incident_id, made_by, why, made_us, until_us, ended_by)"
        " VALUES (:id, :by, '', 0, :until, '')"
    )
    for until, by in ((now + timedelta(hours=1), "mara"), (now - timedelta(minutes=1), "")):
        with served.store.engine.begin() as connection:
            connection.execute(added, {"id": view.incident_id, "by": "mara", "until": micros(until)})
        assert by == reads.services.list_services()[0].acknowledged_by


def test_a_service_without_a_verdict_has_its_deadline_nevertheless(reads: Queries) -> None:
    [view] = reads.services.list_services()
    assert ("2026-11-19", at("05:30"), "no_estimate", "not judged yet") == (
        view.business_date, view.deadline, view.timeliness, reason_of(view),
    )  # fmt: skip


@pytest.mark.parametrize("mode, awaited", [("observe", ""), ("hold", EXTRACT)])
def test_a_job_that_an_incident_prevents_from_starting_waits_for_its_root(
    served: Estate, reads: Queries, mode: str, awaited: str
) -> None:
    """What is only observed starts by its clock all the same."""
    load = 4
    served.ingest(failed())
    ingest_batch(served.store, served.airflow, poll(), None)
    decide(served, incidents=(incident(),))
    with served.store.write(None) as connection:
        connection.rows("UPDATE dependency SET mode = ?", (mode,))
    jobs = reads.lineage.lineage_of(load).jobs
    assert (awaited, "") == (jobs[load].waits_for, jobs[1].waits_for)


@pytest.mark.parametrize("now, state", [("04:00", "planned"), ("20:00", "succeeded")])
def test_a_job_that_its_upstream_starts_is_planned_after_the_upstreams_new_run(
    served: Estate, reads: Queries, now: str, state: str
) -> None:
    load = served.job_id("load_orders")
    ingest_batch(served.store, served.airflow, poll(run("load_orders", period="-20:00")), None)
    served.ingest(run(period="-21:00"))
    assert "succeeded" == reads.lineage.lineage_of(load).jobs[load].state
    served.ingest(run(period="03:10"))
    set_clock(served, now)
    with open_queries(served.store.url) as later:
        job = later.lineage.lineage_of(load).jobs[load]
    assert state == job.state
    if state == "planned":
        assert ("succeeded", None) == (job.before, job.at)


def test_a_changed_schedule_moves_the_starts_in_lineage_and_timeline(served: Estate, reads: Queries) -> None:
    """A run of before the change keeps the start that it had."""
    served.ingest(run(period="-23:50", attempt="0"))
    decide(served, expected=(expected("03:10"),), service_days=(day(),))
    drift = DetectedDrift("schedule", "10 3 * * * became 10 6 * * *")
    change = JobChange(served.job_id(), record(JOBS[0], "10 6 * * *"), drift=(drift,))
    with served.store.write(None) as connection:
        connection.rows("UPDATE schedule SET expression = '10 4 * * *'")  # 03:10 UTC in winter
    write_inventory(served.store, served.host, InventoryChanges(changed=(change,)), at("01:00"), None)
    assert at("05:10") == reads.lineage.lineage_of(1).jobs[1].at
    [due] = [known.due for known in reads.service_days.timeline().jobs[1].runs if not known.tries]
    assert at("05:10") == due


def test_a_stale_run_stays_visible_in_lineage_though_the_next_is_due_soon(served: Estate, reads: Queries) -> None:
    served.ingest(run(period="-20:50"))
    decide(served, expected=(expected("05:10"),))
    assert "planned" == reads.lineage.lineage_of(1).jobs[1].state
    with served.store.write(None) as session:
        session.rows("UPDATE run SET stale_read = TRUE WHERE attempts > 0")
    job = reads.lineage.lineage_of(1).jobs[1]
    assert ("succeeded", True) == (job.state, job.stale_read)


def test_an_incident_comes_with_all_its_details(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    ingest_batch(served.store, served.airflow, poll(), None)
    put_log(served, 1, "disk full")
    decide(served, incidents=(incident(),))
    view = reads.incidents.incident(1)
    assert (1, EXTRACT, 1, 0, at("03:58"), at("03:12")) == (
        view.row.id, view.row.root_job, view.row.services, view.row.affected_runs, view.row.act_by,
        view.row.failed_since,
    )  # fmt: skip
    assert [("root", EXTRACT, "failed", 1), ("threatened", LOAD, "planned", None)] == [
        (member.role, member.job, member.state, member.run_id) for member in view.members
    ]
    assert ["disk full", ("opened",)] == [view.log, view.events[0].text]
    assert [("oncall", "env ONCALL_MAIL", "pending"), ("oncall", "env ONCALL_CHAT", "pending")] == [
        (delivery.route, delivery.receiver, delivery.state) for delivery in view.deliveries
    ]
    assert [("supply", EstimateBasis(EstimateKind.DECLARED), at("05:30"))] == [
        (service.name, service.basis, service.deadline) for service in view.services
    ]
    assert [view.row] == reads.incidents.list_incidents()
    assert [] == reads.incidents.list_incidents(closed=True)
    assert 1 == reads.runs.run(1).incident_id
    assert 1 == reads.incidents.incident_of_job(reads.jobs.job(view.row.root_job).row.id)
    with pytest.raises(NotFound, match="INC-0099"):
        reads.incidents.incident(99)


def test_every_open_incident_is_listed_however_many_there_are(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(),))
    rows = inspect(served.store.engine).get_columns("incident")
    with served.store.write(None) as connection:
        columns = ", ".join(f'"{row["name"]}"' for row in rows if row["name"] not in ("id", "key"))
        for number in range(250):
            made = f"INSERT INTO incident (key, {columns}) SELECT 'k{number}', {columns} FROM incident WHERE id = 1"
            connection.rows(made)
    assert 251 == len(reads.incidents.list_incidents())


def test_the_services_of_a_closed_incident_are_as_they_are_now(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(served, service_days=(day(),), incidents=(incident(),))
    decide(served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain("rerun by anna")),))
    decide(served, service_days=(day(timeliness=Timeliness.MET, delivered_at=at("05:00"), expected_at=None),))
    [supply] = reads.incidents.incident(1).services
    assert (Timeliness.MET, at("05:00"), None) == (supply.timeliness, supply.delivered, supply.expected)


@pytest.mark.parametrize("period", ["03:10", "03:16", "03:00"])
def test_a_closed_incident_has_the_time_its_root_was_good_again(served: Estate, reads: Queries, period: str) -> None:
    """Whether its scheduler shows the rerun as an attempt of the run, as a later run, or as an attempt of an earlier
    run of that date."""
    served.ingest(failed())
    served.ingest(failed(period="03:00", attempt="earlier"))
    decide(served, incidents=(incident(),))
    served.ingest(run(period=period, attempt="r", started_at=at("03:16"), ended_at=at("03:18")))
    assert reads.incidents.incident(1).repaired is None
    decide(served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain()),))
    closed = reads.incidents.incident(1)
    assert ("failed 03:12, repaired 03:18", at("03:20")) == (repair_times(closed, "{:%H:%M}".format), closed.row.closed)


@pytest.mark.parametrize("cause, good_at", [("run", at("03:18")), ("rule", None), ("check", None)])
def test_the_root_of_an_open_incident_is_good_again_only_if_its_failure_was_the_cause(
    served: Estate, reads: Queries, cause: str, good_at: datetime | None
) -> None:
    """A run that succeeded, and whose output shrank, was "repaired" before it was found."""
    served.ingest(failed())
    decide(served, incidents=(incident(cause=CauseRecord(cause, DATE, RootRun(1, instant_key(at("03:10"))))),))
    served.ingest(run(attempt="r", started_at=at("03:16"), ended_at=at("03:18")))
    assert good_at == reads.incidents.incident(1).row.root_good


def test_a_rerun_after_the_end_of_an_incident_does_not_lengthen_it(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(),))
    decide(served, incidents=(incident(incident=KnownIncident(1), close_reason=LaterRunGood()),))
    served.ingest(run(attempt="r", started_at=at("05:00"), ended_at=at("05:10")))
    assert at("03:20") == reads.incidents.incident(1).row.failed_until


def test_earlier_incidents_of_the_same_job_are_listed(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(),))
    decide(served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain("rerun by anna")),))
    decide(served, incidents=(incident(),))
    assert ((at("03:20"), GreenAgain("rerun by anna")),) == reads.incidents.incident(2).seen_before
    assert [1] == [incident.id for incident in reads.incidents.list_incidents(closed=True)]
    assert 2 == reads.incidents.incident_of_job(reads.jobs.job(reads.incidents.incident(2).row.root_job).row.id)
    [ended] = reads.estate.ended_work()
    assert ("incident", 1, reads.incidents.incident(1).row.root_job, "closed") == ended


def test_earlier_failed_runs_of_the_root_are_listed_with_their_repair(served: Estate, reads: Queries) -> None:
    """A job that was only ever green, or rerun although it was, has not been seen red."""
    again = run(period="02:10", attempt="r", started_at=at("02:20"), ended_at=at("02:25"))
    served.ingest(run(period="01:00", attempt="1"), failed(period="02:00", attempt="2"))
    served.ingest(failed(period="02:10", attempt="3"), again, failed(attempt="4"))
    root = served.fetch_one("SELECT id FROM run ORDER BY sort_us DESC LIMIT 1")
    decide(served, incidents=(incident(members=(MemberVerdict(1, instant_key(at("03:10")), "root", root),)),))
    assert (
        (at("02:10"), EarlierRun("succeeded", 0, 2)),
        (at("02:00"), EarlierRun("failed", 1, 1)),
    ) == reads.incidents.incident(1).seen_before


def test_a_fresh_start_for_the_same_date_is_what_worked_before(served: Estate, reads: Queries) -> None:
    """The next run of the schedule is none: it repairs nothing of the one before."""
    own: dict[str, Any] = {"period_key": "by hand", "period_at": None, "period_kind": PeriodKind.RUN}
    by_hand = run(attempt="h", started_at=at("01:31"), ended_at=at("01:36"), **own)
    served.ingest(failed(period="01:00", attempt="1"), by_hand, failed(period="02:00", attempt="2"))
    served.ingest(run(period="02:30", attempt="3"), failed(attempt="4"))
    root = served.fetch_one("SELECT id FROM run ORDER BY sort_us DESC LIMIT 1")
    decide(served, incidents=(incident(members=(MemberVerdict(1, instant_key(at("03:10")), "root", root),)),))
    repairs = reads.incidents.incident(1).repairs
    assert [(at("02:00"), "", None), (at("01:00"), "a fresh start", 31 * 60.0)] == [
        (repair.at, repair.how, repair.took_s) for repair in repairs
    ]


def test_the_restarts_that_one_service_day_needs_are_read_with_each_incident(served: Estate, reads: Queries) -> None:
    """Without those of another service day, those that need no restart and those that are acknowledged."""
    served.ingest(failed(), failed(JOBS[1]), failed(JOBS[2]))
    runs = [row[0] for row in served.rows("SELECT id FROM run ORDER BY job_id")]
    first, second, third = (
        incident(number, key=f"run:{run}", members=(MemberVerdict(number, instant_key(at("03:10")), "root", run),))
        for number, run in enumerate(runs, 1)
    )
    [service] = second.services
    service = replace(service, needs_restart=True)
    first = replace(first, services=(service,))
    unneeded = replace(second, services=(replace(service, act_by=at("03:40"), needs_restart=False),))
    second = replace(second, services=(replace(service, act_by=at("03:40")),))
    third = replace(third, services=(replace(service, business_date=service.business_date + timedelta(days=1)),))
    decide(served, incidents=(first, second, third))
    for number in (1, 2):
        joint = reads.incidents.incident(number).joint_restarts
        assert [at("03:58"), at("03:40")] == [restart.act_by for restart in joint]
        assert [False, False] == [restart.is_running for restart in joint]
    assert () == reads.incidents.incident(3).joint_restarts
    decide(served, incidents=(replace(unneeded, incident=KnownIncident(2)),))
    assert [(), ()] == [reads.incidents.incident(number).joint_restarts for number in (1, 2)]
    decide(served, incidents=(replace(second, incident=KnownIncident(2)),))
    assert 2 == len(reads.incidents.incident(1).joint_restarts)
    with served.store.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO acknowledgement (incident_id, made_by, why, made_us, until_us, ended_by)"
                " VALUES (2, 'ann', '', 0, :until, '')"
            ),
            {"until": micros(reads.now() + timedelta(hours=1))},
        )
    assert () == reads.incidents.incident(1).joint_restarts


@pytest.mark.parametrize(
    "what", ["succeeded before", "began before", "asserted", "has periods", "another date", "names"]
)
def test_an_earlier_run_repairs_the_root_only_by_a_rerun_that_began_later(
    served: Estate, reads: Queries, what: str
) -> None:
    """As `EstateIndex.later_runs` has it."""
    first = run if what == "succeeded before" else failed
    served.ingest(failed())
    served.ingest(first(period="03:00", attempt="earlier", ended_at=at("03:04")))
    decide(served, incidents=(incident(),))
    begins = at("03:09") if what == "began before" else at("03:16")
    evidence = RunEvidence.ASSERTED if what == "asserted" else RunEvidence.NATIVE
    served.ingest(run(period="03:00", attempt="r", started_at=begins, ended_at=at("03:18"), evidence=evidence))
    with served.store.write(None) as session:
        if what == "has periods":
            session.rows("UPDATE system SET capabilities = 'log,periods,rerun'")
        if what == "names":
            session.rows("UPDATE run SET period_kind = 'name'")
        if what == "another date":
            session.rows("UPDATE run SET business_date = '2026-11-18' WHERE attempts = 2")
    decide(served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain()),))
    assert reads.incidents.incident(1).repaired is None


def test_a_failed_run_without_a_message_has_the_error_line_of_its_log(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    tail = "reads stock.csv\nstock.csv: No space left on device, write failed\n"
    served.ingest(failed(JOBS[1], message=""))
    served.ingest(failed(JOBS[2], message="", exit_code=None))
    for attempt_id in (1, 2, 3):
        put_log(served, attempt_id, tail)
    members = tuple(
        MemberVerdict(number, instant_key(at("03:10")), role, number)
        for number, role in ((1, "root"), (2, "red"), (3, "red"))
    )
    decide(served, incidents=(incident(members=members),))
    line = "stock.csv: No space left on device, write failed"
    read = reads.incidents.incident(1).members
    assert {1: "disk full", 2: f"exit 1: {line}", 3: line} == {member.job_id: member.error for member in read}
    assert {1: ("disk full", ""), 2: ("", line), 3: ("", line)} == {
        member.job_id: (member.message, member.log_line) for member in read
    }


def test_the_start_that_closes_an_incident_is_read_with_its_instant(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    start = expected("03:25")
    members = (
        MemberVerdict(1, instant_key(at("03:10")), "root", 1),
        MemberVerdict(start.job_id, start.period_key, "closing", None),
    )
    decide(served, incidents=(incident(members=members),), expected=(start,))
    last = closing_run(reads.incidents.incident(1))
    assert last is not None
    assert at("03:25") == last.period


@pytest.mark.parametrize("period", ["03:15", "03:00"])
def test_a_root_is_read_with_the_later_start_of_its_job_that_runs(served: Estate, reads: Queries, period: str) -> None:
    """Of a later period, or of an earlier one of that date that was started again."""
    served.ingest(failed())
    served.ingest(failed(period="03:00", attempt="earlier"))
    members = (MemberVerdict(1, instant_key(at("03:10")), "root", 1),)
    decide(served, incidents=(incident(members=members),))
    served.ingest(running(period=period, attempt="r", started_at=at("03:15")))
    [member] = reads.incidents.incident(1).members
    assert at("03:15") == member.rerun_started


def test_a_root_is_read_with_its_rerun_and_its_host_that_does_not_answer(served: Estate, reads: Queries) -> None:
    served.ingest(failed(), running(period="03:15", attempt="2"))
    [root] = served.rows("SELECT id FROM run WHERE state = 'failed'")[0]
    members = (MemberVerdict(1, instant_key(at("03:10")), "root", root),)
    decide(served, incidents=(incident(members=members),))
    with served.store.write(None) as connection:
        connection.rows(
            "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, requested_by, requested_from,"
            " why, requested_us, sent_us, native_ref, text, next_us, looked_up, changed_seq) VALUES"
            " ('headway-0123456789', 'rerun', 1, ?, 1, 'sent', '{}', 'anna', '', '', 0, ?, '', '', 0, 0, 0)",
            (root, micros(at("03:14"))),
        )
    [member] = reads.incidents.incident(1).members
    assert ("", at("03:14"), at("03:15")) == (member.unreachable, member.rerun_sent, member.rerun_started)
    assert (False, "") == (member.awaits_approval, member.unknown_rerun)
    with served.store.write(None) as connection:
        connection.rows("UPDATE run SET started_us = ? WHERE id = ?", (micros(at("03:14")), root))
    assert reads.incidents.incident(1).members[0].rerun_sent is None, (
        "its own attempt failed; the action is settled later"
    )
    with served.store.write(None) as connection:
        connection.rows("UPDATE run SET started_us = ? WHERE id = ?", (micros(at("03:12")), root))
    with served.store.write(None) as connection:
        connection.rows("UPDATE action SET state = 'unknown'")
    [member] = reads.incidents.incident(1).members
    assert (at("03:14"), "headway-0123456789") == (member.rerun_sent, member.unknown_rerun)
    with served.store.write(None) as connection:
        connection.rows("UPDATE action SET state = 'requested', sent_us = NULL, needs_approval = TRUE")
    [member] = reads.incidents.incident(1).members
    assert (True, None) == (member.awaits_approval, member.rerun_sent)
    assert ("2026-11-19", False) == (member.business_date, member.has_periods)


def test_a_failure_is_read_with_the_repairs_of_its_root_that_were_sent(served: Estate, reads: Queries) -> None:
    """Not with what was refused, not sent, sent for another job, or does not repair."""
    served.ingest(failed())
    signature = FailureSignature("run", "cron", "failed", "no space left", "extract")
    cause = CauseRecord("run", DATE, RootRun(1, instant_key(at("03:10"))), failure=signature)
    decide(served, incidents=(incident(cause=cause),))
    decide(served, incidents=(incident(incident=KnownIncident(1), cause=cause, close_reason=GreenAgain()),))
    sent = [
        ("rerun", 1, "failed", "person", "{}", False),
        ("rerun", 1, "verified", "person", '{"scope": "all"}', False),
        ("rerun", 1, "verified", "plan", "{}", False),
        ("mark_ok", 1, "verified", "person", "{}", False),
        ("hold", 1, "verified", "person", "{}", False),
        ("rerun", 2, "verified", "person", "{}", False),
        ("rerun", 1, "refused", "person", "{}", False),
        ("rerun", 1, "failed", "person", "{}", True),
    ]
    with served.store.write(None) as connection:
        for number, (verb, job, state, origin, parameters, unsent) in enumerate(sent):
            connection.rows(
                "INSERT INTO action (key, verb, job_id, incident_id, state, origin, parameters, unsent, requested_by,"
                " requested_us, sent_us, ended_us, native_ref, text, next_us, looked_up, changed_seq) VALUES"
                " (?, ?, ?, 1, ?, ?, ?, ?, 'anna', 0, ?, ?, '', '', 0, 0, 0)",
                (f"key-{number}", verb, job, state, origin, parameters, unsent, micros(at("03:14")) + number,
                 micros(at("03:18"))),
            )  # fmt: skip
    memory = reads.failures.failure(signature.id)
    assert (signature, 1, at("03:12")) == (memory.signature, memory.seen, memory.last_seen)
    [past] = memory.incidents
    methods = ["rerun", "rerun all", "plan"]
    assert (methods, "plan by anna") == ([attempt.method for attempt in past.tries], past.outcome)
    assert ["person", "person", "plan"] == [attempt.origin for attempt in past.tries]
    assert {"plan": 1, "rerun all": 1, "rerun": 0} == {record.method: record.successes for record in memory.repairs}
    assert [memory] == reads.failures.list_failures()
    with pytest.raises(NotFound, match="headway failure list lists what there is"):
        reads.failures.failure("0000")


def test_the_repair_of_a_policy_is_recorded_once_and_read_with_what_people_did(served: Estate, reads: Queries) -> None:
    """Each with the first rerun of its run after it and before the next, whatever the root of the incident is now."""
    [root] = served.ingest(failed()).changed_run_ids
    first, second = (PolicyRepair("full", "rerun", 1, DATE, root, number, at(clock)) for number, clock in TWO_REPAIRS)
    decide(served, incidents=(incident(),), policy_repairs={incident().key: first})
    decide(served, incidents=(incident(incident=KnownIncident(1)),), policy_repairs={incident().key: first})
    decide(served, incidents=(incident(incident=KnownIncident(1)),), policy_repairs={incident().key: second})
    with served.store.write(None) as connection:
        connection.rows("UPDATE incident SET root_run_id = NULL, root_job_id = 2")
        attempt_id = connection.rows("SELECT id FROM attempt WHERE run_id = ?", (root,))[0].id
        for key, state, clock in (("a", "failed", "03:20"), ("b", "verified", "03:30"), ("c", "failed", "03:40")):
            connection.rows(
                "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, origin, parameters, unsent,"
                " requested_by, requested_us, sent_us, attempt_id, native_ref, text, next_us, looked_up, changed_seq)"
                " VALUES (?, 'rerun', 1, ?, 1, ?, 'person', '{}', FALSE, 'anna', 0, ?, ?, '', '', 0, 0, 0)",
                (key, root, state, micros(at(clock)), attempt_id),
            )
    [report] = reads.policies.reports(at("03:14"))
    right, wrong = report.repairs
    assert (second, "right", at("03:30")) == (right.repair, right.result, right.sent)
    assert (first, "wrong", at("03:20")) == (wrong.repair, wrong.result, wrong.sent)
    assert ("etl-hosts/db07:extract_orders", "anna", 1) == (wrong.job, wrong.by, wrong.incident_id)
    assert "would have repaired 1 of 2, saved 5m, 1 wrong" == report.text
    assert [right] == [*reads.policies.reports(at("03:15"))[0].repairs]
    for change in ("attempt SET state = 'cancelled'", "action SET attempt_id = NULL WHERE key = 'a'"):
        with served.store.write(None) as connection:
            connection.rows(f"UPDATE {change}")
        [report] = reads.policies.reports(at("03:14"))
        assert "unknown" == report.repairs[1].result, "nobody saw whether its run would fail"
    policy_events = [event.text for event in reads.incidents.incident(1).events if event.kind == "policy"]
    assert [(f'policy "full" would rerun attempt {number}; it is in shadow',) for number in (1, 2)] == policy_events


def test_the_watched_jobs_that_people_repaired_are_read_with_their_cards_and_services(
    served: Estate, reads: Queries
) -> None:
    names = [f"etl-hosts/{name}" for name in JOBS]
    with served.store.write(None) as connection:
        connection.rows("UPDATE job SET gone_since_us = 0 WHERE name = ?", (names[1],))
        connection.rows("UPDATE job SET rerun = 'never' WHERE name = ?", (names[2],))
    known = reads.jobs.repaired_jobs([*names, "etl-hosts/unknown"])
    supply = {SUPPLY.name: SUPPLY.tier}
    assert {names[0]: RepairedJob(Safety.ASK, supply), names[2]: RepairedJob(Safety.NEVER, {})} == known


def test_the_repairs_of_a_closed_incident_count_for_a_week(served: Estate) -> None:
    """Its run may fail once more after the lookback: its limits began anew."""
    [root] = served.ingest(failed()).changed_run_ids
    repair = PolicyRepair("full", "rerun", 1, DATE, root, 1, at("03:14"))
    decide(served, incidents=(incident(),), policy_repairs={incident().key: repair})
    with served.store.write(None) as connection:
        connection.rows("UPDATE incident SET closed_us = ?", (micros(at("03:30")),))
    known = [
        load_estate(served.store, at("03:14") + after, EvaluationSettings()).policy_repairs
        for after in (timedelta(hours=71), timedelta(days=7), timedelta(days=7, minutes=1))
    ]
    assert [(repair,), (repair,), ()] == known


def test_a_repair_is_read_with_the_failure_that_it_repairs_also_once_another_run_failed_so(served: Estate) -> None:
    [root] = served.ingest(failed()).changed_run_ids
    refused = FailureSignature("run", "cron", "failed", "Connection refused", "extract_orders")
    cause = replace(incident().cause, failure=refused)
    repair = PolicyRepair("full", "rerun", 1, DATE, root, 1, at("03:14"), signature=refused.id)
    decide(served, incidents=(incident(cause=cause),), policy_repairs={incident().key: repair})
    for number, failure in ((1, refused), (2, replace(refused, error="No space left"))):
        later = MemberVerdict(1, "2026-11-20T04:10:00Z", "root", root + number)
        known = incident(cause=replace(cause, failure=failure), incident=KnownIncident(1), members=(later,))
        decide(served, incidents=(known,))
        assert (repair,) == load_estate(served.store, at("04:15"), EvaluationSettings()).policy_repairs


TWO_REPAIRS = ((1, "03:14"), (2, "03:25"))


def test_a_repair_was_needless_if_its_run_succeeded_before_the_next_and_nobody_acted_on_it(
    served: Estate, reads: Queries
) -> None:
    second = failed(attempt="2", started_at=at("03:15"), ended_at=at("03:20"))
    good = run(attempt="3", started_at=at("03:26"), ended_at=at("03:30"))
    [root] = served.ingest(failed(), second, good).changed_run_ids
    known: Any = {}
    for number, clock in TWO_REPAIRS:
        repair = PolicyRepair("full", "rerun", 1, DATE, root, number, at(clock))
        decide(served, incidents=(incident(**known),), policy_repairs={incident().key: repair})
        known = {"incident": KnownIncident(1)}

    def results() -> list[str]:
        [report] = reads.policies.reports(at("03:14"))
        return [f"{repair.repair.attempt} {repair.result}" for repair in report.repairs]

    assert ["2 needless", "1 unknown"] == results()
    with served.store.write(None) as connection:
        connection.rows(
            "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, origin, parameters, unsent,"
            " requested_by, requested_us, sent_us, native_ref, text, next_us, looked_up, changed_seq) VALUES"
            " ('a', 'mark_ok', 1, ?, 1, 'verified', 'person', '{}', FALSE, 'anna', 0, ?, '', '', 0, 0, 0)",
            (root, micros(at("03:27"))),
        )
    assert ["2 unknown", "1 unknown"] == results()
    with served.store.write(None) as connection:
        connection.rows("UPDATE action SET sent_us = NULL")
        connection.rows("UPDATE attempt SET evidence = 'asserted' WHERE number = 3")
    assert ["2 unknown", "1 unknown"] == results(), "marked as OK in Headway alone"


def test_the_page_of_an_incident_counts_the_earlier_ones_that_it_does_not_read(
    served: Estate, reads: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.ingest(failed())
    signature = FailureSignature("run", "cron", "failed", "no space left", "extract")
    cause = CauseRecord("run", DATE, RootRun(1, instant_key(at("03:10"))), failure=signature)
    for number in range(1, 4):
        decide(served, incidents=(incident(key=f"run:extract#{number}", cause=cause),))
    monkeypatch.setattr(failures, "MAX_EARLIER", 1)
    memory = reads.incidents.incident(3).memory
    assert memory is not None
    assert (2, [2]) == (memory.seen, [past.incident_id for past in memory.incidents])


@pytest.mark.parametrize(
    "kind, clock, unreachable",
    [
        ("unreachable", "03:20", "etl-hosts/db07"),
        (STOPPED, "03:20", "etl-hosts/db07"),
        ("limited", "03:20", ""),
        ("limited", "03:40", "etl-hosts/db07"),
    ],
)
def test_a_host_is_unreachable_from_its_first_poll_without_an_answer_or_after_three_polls_with_an_error(
    served: Estate, kind: str, clock: str, unreachable: str
) -> None:
    served.ingest(failed())
    [root] = served.rows("SELECT id FROM run WHERE state = 'failed'")[0]
    members = (MemberVerdict(1, instant_key(at("03:10")), "root", root),)
    decide(served, incidents=(incident(members=members),))
    record_failure(served.store, served.host, "no route", kind, at("03:20"), None)
    set_clock(served, clock)
    with open_queries(served.store.url) as later:
        [member] = later.incidents.incident(1).members
    assert unreachable == member.unreachable


def test_an_incidents_own_runs_were_not_seen_before(served: Estate, reads: Queries) -> None:
    served.ingest(failed(period="02:00", attempt="1"), failed(period="02:10", attempt="2"), failed(attempt="3"))
    older, own, root = (row[0] for row in served.rows("SELECT id FROM run ORDER BY sort_us"))
    members = (MemberVerdict(served.job_id(), "b", "root", root), MemberVerdict(served.job_id(), "a", "red", own))
    decide(served, incidents=(incident(members=members),))
    assert older < own
    view = reads.incidents.incident(1)
    assert ((at("02:00"), EarlierRun("failed", 1, 1)),) == view.seen_before
    assert [at("02:00")] == [repair.at for repair in view.repairs]


def test_systems_are_listed_with_their_health(served: Estate, reads: Queries) -> None:
    served.ingest(failed(), skew_s=2.5, zone="Europe/Berlin", poll_ms=12.0, warnings=("w",))
    record_failure(served.store, served.airflow, "401", "refused", at("03:20"), None)
    airflow, host = reads.estate.systems()
    assert ("etl-hosts", "cron", "db07", at("03:20"), 2.5, 12.0, ("w",), 3, 15.0, ("log", "rerun")) == (
        host.system, host.kind, host.name, host.last_ok, host.skew_s, host.poll_ms, host.warnings, host.jobs,
        host.poll_every_s, host.capabilities,
    )  # fmt: skip
    assert ("401", "refused", at("03:20"), {"tasks": "not asked for"}) == (
        airflow.error, airflow.error_kind, airflow.failing_since, airflow.missing,
    )  # fmt: skip


def test_what_has_no_estimate_beside_an_incident_is_counted_as_in_doubt(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(served, service_days=(day(timeliness=Timeliness.NO_ESTIMATE),), incidents=(incident(),))
    assert (1, 1) == (reads.estate.header().at_risk, reads.estate.header().no_estimate)


def test_the_header_counts_the_services_that_were_read_before_it(served: Estate, reads: Queries) -> None:
    before = reads.services.list_services()
    decide(served, service_days=(day(),))
    assert (0, 1) == (reads.estate.header(before).at_risk, reads.estate.header().at_risk), "one frame, one verdict"


def test_the_header_shows_the_engine_the_risk_and_the_failing_targets(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(served, service_days=(day(),), incidents=(incident(),))
    record_failure(served.store, served.airflow, "no route", "unreachable", at("03:20"), None)
    header = reads.estate.header()
    assert (1, 1, 4, True, (UnseenTarget("airflow/airflow", None, "unreachable", at("03:20")),)) == (
        header.open_incidents, header.at_risk, header.jobs, header.replay, header.unseen_targets,
    )  # fmt: skip
    assert ("", False) == (header.engine.holder, header.engine.alive)
    lease.acquire_lease(served.store, "host-1:17", 60)
    assert ("host-1:17", True) == (reads.estate.header().engine.holder, reads.estate.header().engine.alive)


def test_jobs_that_are_not_watched_any_more_are_in_no_list_and_no_count(served: Estate, reads: Queries) -> None:
    """Removed from `hosts` or from the config, or no longer polled; each is still shown by name."""
    served.ingest(failed())
    assert 4 == reads.estate.header().jobs
    write_inventory(served.store, served.host, InventoryChanges(unwatched=(served.job_id(JOBS[1]),)), at("04:00"), None)
    watched = {served.job_id(JOBS[0]), served.job_id(JOBS[2]), served.job_id("load_orders")}
    assert (3, watched) == (reads.estate.header().jobs, set(reads.jobs.job_ids(JobFilter())))
    assert [2, 1] == [target.jobs for target in sorted(reads.estate.systems(), key=lambda target: -target.jobs)]
    with served.store.write(None) as connection:
        connection.rows("UPDATE target SET removed = TRUE WHERE id = ?", (served.host,))
    for sort in ("attention", "name", "age", "deadline", "-slack"):
        assert [served.job_id("load_orders")] == list(reads.jobs.job_ids(JobFilter(), sort))
    assert [] == list(reads.jobs.job_ids(JobFilter(problems_only=True)))
    assert 1 == reads.estate.header().jobs
    assert "failed" == reads.jobs.job(EXTRACT).row.state
    assert {served.job_id("load_orders")} == set(load_estate(served.store, at("04:00"), EvaluationSettings()).jobs)


def test_a_job_that_is_not_watched_any_more_is_no_name_and_says_why_where_it_is_named(
    served: Estate, reads: Queries
) -> None:
    served.ingest(failed())
    assert "" == reads.jobs.job(EXTRACT).unwatched_reason
    assert ("airflow/load_orders",) == reads.jobs.near_jobs("airflow/orders"), "the system that is named"
    write_inventory(served.store, served.host, InventoryChanges(unwatched=(served.job_id(JOBS[1]),)), at("04:00"), None)
    stock = f"etl-hosts/{JOBS[1]}"
    assert stock not in reads.names.names_starting_with("job", "etl-hosts/")
    assert "the settings of etl-hosts leave it out: only its past is known" == reads.jobs.job(stock).unwatched_reason
    with served.store.write(None) as connection:
        connection.rows("UPDATE target SET removed = TRUE WHERE id = ?", (served.host,))
    assert (
        "etl-hosts has no target db07 in config any more: only its past is known"
        == reads.jobs.job(EXTRACT).unwatched_reason
    )
    with served.store.write(None) as connection:
        connection.rows("UPDATE system SET removed = TRUE WHERE name = 'etl-hosts'")
    assert (
        "system etl-hosts is no longer configured: only its past is known" == reads.jobs.job(EXTRACT).unwatched_reason
    )
    assert ["airflow/load_orders"] == reads.names.names_starting_with("job", "")
    assert ("airflow/load_orders",) == reads.jobs.near_jobs("orders")
    assert ["job"] == [of for of, _, _ in reads.names.unknown_matchers({"job": "etl-hosts/*"})]
    assert "failed" == reads.jobs.job(EXTRACT).row.state


def test_of_two_jobs_with_a_short_name_the_one_that_is_watched_is_meant(served: Estate, reads: Queries) -> None:
    """As after a system was renamed in the config: its jobs are there twice."""
    with served.store.write(None) as connection:
        connection.rows("UPDATE job SET name = 'renamed/db07:extract_orders' WHERE native_id = 'load_orders'")
        connection.rows("UPDATE system SET removed = TRUE WHERE name = 'etl-hosts'")
    assert "renamed/db07:extract_orders" == reads.jobs.job_named("extract_orders")


def test_a_job_is_found_by_its_title_where_no_name_has_the_text(served: Estate, reads: Queries) -> None:
    with served.store.write(None) as connection:
        connection.rows("UPDATE job SET title = 'Rösti 100%' WHERE native_id = 'load_orders'")
        connection.rows("UPDATE job SET title = 'load_orders' WHERE native_id = 'db07:extract_orders'")

    def listed(*terms: str, fuzzy: tuple[str, ...] = ()) -> list[str]:
        ids = reads.jobs.job_ids(JobFilter(terms=terms, fuzzy=fuzzy), "name")
        return [row.name for row in reads.jobs.jobs_by_ids(ids.tolist())]

    assert (
        ["airflow/load_orders"] == listed("100%") == listed("rösti") == listed(fuzzy=("rst",)) == listed("load_orders")
    )
    assert [] == listed("rösti", "load")
    assert "airflow/load_orders" == reads.jobs.job_named("Rösti 100%") == reads.jobs.job_named("load_orders")
    assert "Rösti 100%" == reads.jobs.job("airflow/load_orders").row.title
    with pytest.raises(NotFound):
        reads.jobs.job_named("Rösti")


def test_drift_of_a_job_that_is_not_watched_any_more_is_not_listed(served: Estate, reads: Queries) -> None:
    changes = InventoryChanges(gone=(VanishedJob(served.job_id(), "crontab line gone"),))
    write_inventory(served.store, served.host, changes, at("04:00"), None)
    assert [EXTRACT] == [drift.job for drift in reads.estate.drift()]
    with served.store.write(None) as connection:
        connection.rows("UPDATE system SET removed = TRUE WHERE name = 'etl-hosts'")
    assert [] == reads.estate.drift()


def test_a_removed_job_has_no_next_start(served: Estate, reads: Queries) -> None:
    """It stays expected until its drift is accepted; nothing will start it."""
    decide(served, expected=(expected("05:10"),))
    assert at("05:10") == reads.jobs.job(EXTRACT).row.next
    changes = InventoryChanges(gone=(VanishedJob(served.job_id(), "crontab line gone"),))
    write_inventory(served.store, served.host, changes, at("04:00"), None)
    shown = reads.jobs.job(EXTRACT)
    assert (True, None, ()) == (shown.row.gone, shown.row.next, shown.coming)


def test_a_job_known_only_by_a_run_is_removed_once_missing_from_an_inventory(served: Estate, reads: Queries) -> None:
    """One that was made a moment ago starts before the next inventory."""

    def is_there_after(now: str) -> bool:
        write_inventory(served.store, served.host, InventoryChanges(complete=True, hash=now), at(now), None)
        return not reads.jobs.job("etl-hosts/db07:made_now").row.gone

    assert not [job for job in reads.jobs.jobs_by_ids(reads.jobs.job_ids(JobFilter())) if job.gone]
    write_inventory(served.store, served.host, InventoryChanges(complete=True, hash="0"), at("03:00"), None)
    served.ingest(run("db07:made_now"), now="03:20")
    assert not reads.jobs.job("etl-hosts/db07:made_now").row.gone
    assert not is_there_after("03:30")


def test_the_header_counts_those_whose_deadline_has_passed_apart(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    decide(served, service_days=(day(),), incidents=(incident(),))
    before = reads.estate.header()
    decide(served, service_days=(day(timeliness=Timeliness.BREACHED),), incidents=(incident(),))
    after = reads.estate.header()
    assert ((1, 0), (1, 1)) == ((before.at_risk, before.late), (after.at_risk, after.late))


def test_an_engine_whose_lease_is_over_is_not_alive(served: Estate, reads: Queries) -> None:
    lease.acquire_lease(served.store, "host-1:17", 10, now_us=0)
    assert ("host-1:17", False) == (reads.estate.engine().holder, reads.estate.engine().alive)


def test_actions_are_listed_by_run_by_incident_and_all(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    with served.store.write(None) as connection:
        connection.rows(
            "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, requested_by,"
            " requested_from,"
            " why, requested_us, native_ref, text, next_us, looked_up, changed_seq) VALUES ('headway-0123456789',"
            " 'rerun', 1, 1, 7, 'sent', '{\"verb\": \"start again\"}', 'anna', '', '', 0, '', 'requested', 0, 0, 0)"
        )
    [action] = reads.actions.list_actions()
    assert ("headway-0123456789", EXTRACT, "sent", "anna", {"verb": "start again"}) == (
        action.key, action.job, action.state, action.requested_by, action.preview,
    )  # fmt: skip
    assert ([action], [action], [], []) == (
        reads.actions.list_actions(run_id=1), reads.actions.list_actions(incident_id=7),
        reads.actions.list_actions(run_id=2), reads.actions.list_actions(incident_id=8),
    )  # fmt: skip
    assert (action,) == reads.runs.run(1).actions


# -- what a reader promises -------------------------------------------------------------------------------------------
def test_a_reader_cannot_write(reads: Queries) -> None:
    with pytest.raises(Exception, match=r"read.?only"):
        reads.link.rows("INSERT INTO meta (name, value) VALUES ('a', 'b') RETURNING name")


def test_a_reader_sees_each_commit_at_once_and_holds_nothing_open(served: Estate, reads: Queries) -> None:
    for number in range(3):
        assert number == len(reads.runs.list_runs(1))
        served.ingest(run(period=f"0{number}:10", attempt=str(number)))


def test_the_readers_bring_no_heavy_library() -> None:
    code = (
        "import sys, console.store.queries;"
        " print(sorted({'sqlalchemy', 'sqlmodel', 'pydantic', 'psycopg', 'alembic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


def test_views_are_equal_to_themselves_when_nothing_changed(served: Estate, reads: Queries) -> None:
    served.ingest(failed())
    assert replace(reads.jobs.job(1)) == reads.jobs.job(1)


def test_a_dataset_of_too_many_pairs_of_jobs_joins_none(
    served: Estate, reads: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three jobs: one that all write and read has six pairs, of nine that are counted; the other has two."""
    jobs = sorted(reads.jobs.job_ids(JobFilter()))[:3]
    common = [DatasetUse(job, is_output, "file/tmp") for job in jobs for is_output in (False, True)]
    orders = [DatasetUse(jobs[0], True, "file/orders"), *(DatasetUse(job, False, "file/orders") for job in jobs[1:])]
    reported = [(use, Reported("https://example.com", 1)) for use in sorted([*common, *orders])]
    with served.store.write(None) as session:
        record_lineage(session, reported, [])
    for most, expected_pairs in ((9, 8), (8, 2), (1, 0)):
        monkeypatch.setattr(lineage, "MAX_PAIRS", most)
        with open_queries(served.store.url) as fresh:
            shared, _ = fresh.lineage.shared_datasets()
        assert expected_pairs == sum(map(len, shared.values()))


def test_the_latest_reported_deadline_of_each_watched_job_is_read(served: Estate, reads: Queries) -> None:
    job = sorted(reads.jobs.job_ids(JobFilter()))[0]
    with served.store.write(None) as session:
        for seen_us, text in ((2, "new"), (1, "old")):
            record_lineage(session, [], [(FacetOf(job, DEADLINE_FACET), Reported("airflow", seen_us, text))])
        record_lineage(session, [], [(FacetOf(job, "ownership"), Reported("airflow", 3, "ann"))])
    with open_queries(served.store.url) as fresh:
        assert ["new"] == list(fresh.lineage.reported_deadlines().values())


def test_tasks_that_share_a_dataset_count_as_their_dag(
    served: Estate, reads: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writing tasks and three reading ones are one pair of jobs."""
    tasks = tuple(
        record(f"{parent}.{number}", parent=parent)
        for parent, count in ((JOBS[0], 2), (JOBS[1], 3))
        for number in range(count)
    )
    ids = write_inventory(served.store, served.host, InventoryChanges(new=tasks), MIDNIGHT, None)
    names = [reads.jobs.job(job_id).row.name for job_id in ids]
    parents = [name.rpartition(".")[0].partition("/")[2] for name in names]
    uses = [DatasetUse(job_id, parent == JOBS[0], "file/x") for job_id, parent in zip(ids, parents, strict=True)]
    with served.store.write(None) as session:
        record_lineage(session, [(use, Reported("https://example.com", 1)) for use in sorted(uses)], [])
    monkeypatch.setattr(lineage, "MAX_PAIRS", 1)
    with open_queries(served.store.url) as fresh:
        shared, job_names = fresh.lineage.shared_datasets()
    [((writer, reader), datasets)] = shared.items()
    assert ([f"etl-hosts/{JOBS[0]}", f"etl-hosts/{JOBS[1]}"], 1) == (
        [job_names[writer], job_names[reader]],
        len(datasets),
    )
