"""The jobs around one, over systems: the jobs that it affects, and its root cause."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.records import JobRecord
from connectors.sdk.states import RunEvidence, RunState
from console.cli.exits import Exit
from console.cli.lineage import MAX_LINES, job_state_text
from console.cli.main import main
from console.domain.decision import Decisions, ExpectedRun
from console.domain.dependency import LineageJob
from console.domain.inventory import InventoryChanges
from console.store.decisions import apply_decisions
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.queries.lineage import SOON
from console.store.queries.reader import Queries
from tests.store.estate import EXTRACT, LOAD, MIDNIGHT, Estate, at, failed, poll, run
from tests.store.fixtures import night, reads, served, store, store_url
from tests.store.test_decisions import ROUTES

__all__ = ["night", "reads", "served", "store", "store_url"]


def lineage_output(url: str, capsys: pytest.CaptureFixture[str], *arguments: str, code: Exit = Exit.OK) -> str:
    capsys.readouterr()
    assert code == main(["--store", url, *arguments])
    return capsys.readouterr().out


def test_a_blast_radius_lists_services_first_then_jobs_by_system(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    shown = lineage_output(store_url, capsys, "blast", EXTRACT)
    assert shown.splitlines()[:3] == [
        f"{EXTRACT}  failed 5m10s ago",
        f"root cause  {EXTRACT} (itself)  failed 5m10s ago",
        "downstream  1 job on 1 system; affects 1 service",
    ]
    assert shown.index("supply") < shown.index("airflow") < shown.index(LOAD)


def test_the_cause_of_what_has_not_run_is_found_in_one_step(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    document = json.loads(lineage_output(store_url, capsys, "blast", LOAD, "--json"))
    assert [EXTRACT] == [cause["job"] for cause in document["root_causes"]]
    assert (["supply"], []) == ([service["service"] for service in document["services"]], document["jobs"])


def test_a_lineage_marks_the_cause_and_draws_in_plain_characters(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    shown = lineage_output(store_url, capsys, "lineage", LOAD)
    assert shown.splitlines()[-4:] == [
        "upstream: 1 job on 1 system", f"  `- ! {EXTRACT}  failed 5m10s ago", f">   {LOAD}  no run",
        "downstream: none",
    ]  # fmt: skip
    assert shown.isascii()


def test_a_lineage_of_one_date_shows_the_runs_of_that_date(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    key = f"{at('03:10'):%Y-%m-%dT%H:%M:%SZ}"
    document = json.loads(lineage_output(store_url, capsys, "lineage", EXTRACT, "--run", key, "--json"))
    assert ("2026-11-19", "failed", key) == (document["business_date"], document["state"], document["period_key"])
    main(["--store", store_url, "lineage", EXTRACT, "--run", "never"])
    assert "never" in capsys.readouterr().err


def test_depths_leave_out_and_say_how_much(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(lineage_output(store_url, capsys, "lineage", LOAD, "--up", "0", "--json"))
    assert ([], [], 1) == (document["upstream"], document["edges"], document["omitted"]["upstream"])
    assert "1 more beyond 0 steps" in lineage_output(store_url, capsys, "lineage", LOAD, "--up", "0")


def test_many_jobs_are_counted_by_system_and_what_is_red_is_named(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    many = tuple(JobRecord(f"mart_{number:03}", upstreams=("load_orders",)) for number in range(MAX_LINES + 1))
    write_inventory(served.store, served.airflow, InventoryChanges(new=many), MIDNIGHT, None)
    ingest_batch(served.store, served.airflow, poll(run("mart_007", state=RunState.FAILED)), None)
    shown = lineage_output(store_url, capsys, "lineage", LOAD)
    assert f"downstream: {MAX_LINES + 1} jobs on 1 system" in shown
    assert "mart_007" in shown
    assert "mart_008" not in shown


@pytest.mark.parametrize(
    "when, expected", [("03:12", "planned 8m ago"), ("07:30", "planned in 4h10m"), (None, "planned")]
)
def test_a_future_run_is_not_shown_as_past(when: str | None, expected: str) -> None:
    """A planned run was "planned -23h45m ago"."""
    job = LineageJob(1, EXTRACT, "etl-hosts", "planned", False, "", None if when is None else at(when))
    assert expected == job_state_text(job, at("03:20"))


def test_tonights_run_is_shown_where_it_is_expected_and_the_last_result_beside_it(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that tonight has not run yet is shown as planned, with last night's result beside it, and not as green."""
    key = load_runs(served, reads)
    job = reads.lineage.lineage_of(served.job_id()).jobs[reads.jobs.job(LOAD).row.id]
    assert ("planned", "succeeded", False) == (job.state, job.before, job.is_red)
    assert key == job.period_key
    assert f"{LOAD}  planned in " in (shown := lineage_output(store_url, capsys, "lineage", EXTRACT))
    assert ", last succeeded " in shown
    document = json.loads(lineage_output(store_url, capsys, "lineage", LOAD, "--json"))
    assert ("planned", "succeeded") == (document["state"], document["last_state"])


def test_what_is_red_stays_in_view_though_its_next_run_is_expected(served: Estate, reads: Queries) -> None:
    load_runs(served, reads, state=RunState.FAILED)
    job = reads.lineage.lineage_of(served.job_id()).jobs[reads.jobs.job(LOAD).row.id]
    assert ("failed", "", True) == (job.state, job.before, job.is_red)


def test_a_run_that_is_far_ahead_hides_nothing(served: Estate, reads: Queries) -> None:
    load_runs(served, reads, ahead=SOON + timedelta(minutes=1))
    assert "succeeded" == reads.lineage.lineage_of(served.job_id()).jobs[reads.jobs.job(LOAD).row.id].state


def load_runs(
    served: Estate, reads: Queries, state: RunState = RunState.SUCCEEDED, ahead: timedelta = timedelta(minutes=40)
) -> str:
    """A run of the day before, and one that is expected; the key of that."""
    now, job_id = reads.now(), reads.jobs.job(LOAD).row.id
    begun, due = now - timedelta(hours=23), now + ahead
    record = replace(run(LOAD.partition("/")[2], "03:15", "3"), state=state, period_key=f"{begun:%Y-%m-%dT%H:%M:%SZ}",
                     period_at=begun, started_at=begun, ended_at=begun + timedelta(minutes=9))  # fmt: skip
    ingest_batch(served.store, served.airflow, poll(record), None)
    with served.store.write(None) as connection:
        connection.rows("UPDATE run SET business_date = '2020-01-01' WHERE job_id = ?", (job_id,))
    expected_run = ExpectedRun(
        job_id, f"{due:%Y-%m-%dT%H:%M:%SZ}", due, due.date(), RunState.PLANNED, RunEvidence.INFERRED, ()
    )
    apply_decisions(served.store, Decisions(expected=(expected_run,)), now, 1, None, ROUTES)
    return f"{due:%Y-%m-%dT%H:%M:%SZ}"


def test_the_run_that_read_each_upstream_run_is_shown(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is downstream started after tonight's upstream had failed: what it read is from the evening before."""
    served.ingest(run(period="01:10"), failed(attempt="2"))
    load = run(LOAD.partition("/")[2], "03:15", "3")
    ingest_batch(served.store, served.airflow, poll(load), None)
    document = json.loads(lineage_output(store_url, capsys, "lineage", LOAD, "--reads", "--json"))
    assert [(EXTRACT, LOAD, f"{at('01:15'):%Y-%m-%dT%H:%M:%SZ}")] == [
        (item["upstream"], item["downstream"], item["read_ended"]) for item in document["reads"]
    ]
    shown = lineage_output(store_url, capsys, "lineage", LOAD, "--reads")
    assert f"{LOAD} of 2026-11-19 read {EXTRACT} of 2026-11-19 (inferred)" in shown
    assert ["times"] == [item["from"] for item in document["reads"]]


def test_inputs_reported_by_a_source_are_attributed_to_it(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(run(period="01:10"), run(attempt="2"))
    key = f"{at('01:10'):%Y-%m-%dT%H:%M:%SZ}"
    load = run(LOAD.partition("/")[2], "03:50", "3")
    context = {"inputs": [{"job": EXTRACT, "period_key": key}, "nonsense", {"job": 1}]}
    ingest_batch(served.store, served.airflow, poll(replace(load, context=context)), None)
    [item] = json.loads(lineage_output(store_url, capsys, "lineage", LOAD, "--reads", "--json"))["reads"]
    assert ("source", f"{at('01:15'):%Y-%m-%dT%H:%M:%SZ}") == (item["from"], item["read_ended"])
    assert "(inferred)" not in lineage_output(store_url, capsys, "lineage", LOAD, "--reads")
