"""What a filter means to the tables of all jobs and all runs."""

from __future__ import annotations

import pytest

from console.domain.filter import JobFilter, parse_filter
from console.store import access
from console.store.queries import jobs, run_table
from console.store.queries.reader import Queries
from tests.store.estate import JOBS, LOAD, Estate, failed, run, running
from tests.store.queries.test_queries import decide, names
from tests.store.test_decisions import day, expected


def filtered(reads: Queries, typed: str) -> set[str]:
    return set(names(reads, **parse_filter(typed, reads.now())._asdict()))


def test_a_filter_has_fuzzy_and_excluding_terms(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[0]), failed(JOBS[1]), running(JOBS[2]))
    assert {"extract_orders"} == filtered(reads, "~xord")
    assert set() == filtered(reads, "~orx")
    assert {"extract_orders", "clean_up", LOAD} == filtered(reads, "-state:failed")
    assert {LOAD} == filtered(reads, "-system:etl")
    assert {LOAD} == filtered(reads, "system:airflow")
    assert {"load_stock"} == filtered(reads, "state:fa,lost")
    assert set() == filtered(reads, "100%")
    assert set() == filtered(reads, "load!_")


def test_a_filter_goes_by_when_the_latest_run_was(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[0]), failed(JOBS[1]))
    with served.store.write(None) as connection:
        connection.rows("UPDATE run SET business_date = '2026-11-19'")
    assert {"extract_orders", "load_stock"} == filtered(reads, "age:>1s") == filtered(reads, "business_date:2026-11-19")
    assert set() == filtered(reads, "age:<1s") == filtered(reads, "since:1s")
    assert set() == filtered(reads, "business_date:2026-11-18")
    assert {"extract_orders", "load_stock"} == filtered(reads, "since:2020-01-01")


def test_a_filter_knows_tiers_and_whose_jobs_they_are(
    served: Estate, reads: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.ingest(run(JOBS[0]))
    with served.store.write(None) as connection:
        connection.rows("UPDATE job SET owner = 'Mara' WHERE id = ?", (served.job_id(JOBS[1]),))
        connection.rows("UPDATE job SET owner = 'maras' WHERE id = ?", (served.job_id(JOBS[2]),))
    monkeypatch.setattr(access, "own_names", lambda *_: ["mara", "dba"])
    assert {"load_stock"} == filtered(reads, "owner:me")
    tiers = {service.tier for service in reads.services.list_services()}
    assert filtered(reads, "tier:>=1") == {name for tier in tiers for name in filtered(reads, f"tier:{tier}")}


def test_jobs_are_ordered_by_what_they_owe(served: Estate, reads: Queries) -> None:
    decide(served, expected=(expected(),), service_days=(day(),))
    promised = reads.services.promised()
    owing = [row.id for row in reads.jobs.jobs_first_page(JobFilter(), "deadline")][: len(promised)]
    assert set(promised) == set(owing)
    assert [promised[number][0] for number in owing] == sorted(promised[number][0] for number in owing)


def test_runs_are_counted_as_they_come_each_once(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[0]), failed(JOBS[1]))
    mark, counted = reads.run_table.runs_read_after(0)
    assert {"etl-hosts": 2} == counted
    assert (mark, {}) == reads.run_table.runs_read_after(mark)
    served.ingest(run(JOBS[0]), running(JOBS[2]))
    assert [1] == list(reads.run_table.runs_read_after(mark)[1].values())
    decide(served, expected=(expected(),))
    assert [3] == list(reads.run_table.runs_read_after(0)[1].values()), "what is planned was not read"


def test_the_runs_after_a_run_are_the_rest_of_the_list(served: Estate, reads: Queries) -> None:
    served.ingest(*(run(JOBS[0], f"0{hour}:00", f"at {hour}") for hour in range(4)), run(JOBS[1], "02:00", "same time"))
    whole = [row.id for row in reads.run_table.runs_first_page(JobFilter())]
    assert whole == [row.id for row in reads.run_table.runs_before(JobFilter(), None, 10)]
    of_job = [row.id for row in reads.runs.list_runs(served.job_id(JOBS[0]))]
    assert (5, 4) == (len(whole), len(of_job))
    for place, run_id in enumerate(whole, 1):
        assert whole[place : place + 2] == [row.id for row in reads.run_table.runs_before(JobFilter(), run_id, 2)]
    for place, run_id in enumerate(of_job, 1):
        assert of_job[place:] == [row.id for row in reads.runs.list_runs(served.job_id(JOBS[0]), before=run_id)]


def run_names(reads: Queries, typed: str = "", sort: str = "age") -> list[str]:
    criteria = parse_filter(typed, reads.now())
    ids = reads.run_table.run_ids(criteria, sort)
    assert list(ids) == [row.id for row in reads.run_table.runs_first_page(criteria, sort)]
    return [row.job.rpartition(":")[2] for row in reads.run_table.runs_by_ids(ids)]


def test_all_runs_are_listed_newest_first_and_filtered_as_jobs_are(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[2], period="02:00"), failed(JOBS[1], period="03:00"), run(JOBS[0], period="01:00"))
    assert ["load_stock", "clean_up", "extract_orders"] == run_names(reads)
    assert ["extract_orders", "clean_up", "load_stock"] == run_names(reads, sort="-age")
    assert ["clean_up", "extract_orders", "load_stock"] == run_names(reads, sort="name")
    assert ["load_stock"] == run_names(reads, "state:failed") == run_names(reads, "LOAD")
    assert ["load_stock"] == run_names(reads, "-clean -state:succeeded")
    assert [] == run_names(reads, "age:<1s")


def test_a_planned_run_is_listed_on_request(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[0]))
    with served.store.write(None) as connection:
        connection.rows("UPDATE run SET sort_us = sort_us + 100 * 365 * 86400000000, state = 'planned'")
    assert [] == run_names(reads)
    assert ["extract_orders"] == run_names(reads, "state:planned")


def test_runs_are_counted_hour_by_hour(served: Estate, reads: Queries) -> None:
    served.ingest(run(JOBS[0], period="01:00"), failed(JOBS[1], period="01:30"), run(JOBS[2], period="02:00"))
    counts = reads.run_table.run_hours(JobFilter(), 24 * 365 * 10)
    assert [(2, 1), (1, 0)] == [(count.runs, count.red) for count in counts]
    assert [(1, 1)] == [
        (count.runs, count.red) for count in reads.run_table.run_hours(JobFilter(terms=("stock",)), 24 * 365 * 10)
    ]


def test_few_jobs_and_many_give_the_same_answer(
    served: Estate, reads: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few are looked up one by one, many are a condition: two ways to one list."""
    served.ingest(run(JOBS[0], period="01:00"), failed(JOBS[1], period="01:30"), run(JOBS[2], period="02:00"))
    for typed in ("load", "-clean state:failed", "owner:team", "~lo system:etl"):
        few = run_names(reads, typed), names(reads, **parse_filter(typed)._asdict())
        for module in (jobs, run_table):
            monkeypatch.setattr(module, "FEW_JOBS", 0)
        many = run_names(reads, typed), names(reads, **parse_filter(typed)._asdict())
        monkeypatch.undo()
        assert few == many, typed
