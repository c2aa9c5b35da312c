"""Incidents that return, merge, and part, through the store: numbers, keys and notifications survive it."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.sdk.states import RunState
from console.control.incidents.verdict.decision import FixCause, incident_verdict
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.present import present
from tests.reasons import dated, evidence_of, title_of

__all__ = ["bench"]
REFUSED = 'FATAL: password authentication failed for user "etl"'


def ago(minutes: float) -> datetime:
    return present() - timedelta(minutes=minutes)


def stored_alerts(bench: Bench) -> list[tuple[int, str, str, int]]:
    """(incident, dedup key, kind, version) of every alert, in order."""
    with bench.reads() as reads:
        sql = "SELECT incident_id, dedup_key, kind, version FROM alert WHERE incident_id IS NOT NULL ORDER BY id"
        return [tuple(row) for row in reads.link.rows(sql)]


def test_a_root_that_failed_again_reopens_its_incident_and_a_new_engine_notifies_it_once(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, ago(30))
    bench.turn()
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, ago(20), period_key=f"extract@{ago(30):%Y-%m-%d}")
    bench.turn()
    bench.restart()
    bench.scheduler.attempt("extract", "a3", RunState.FAILED, ago(1), period_key=f"extract@{ago(30):%Y-%m-%d}")
    bench.turn()
    bench.turn()
    results = stored_alerts(bench)
    assert [(1, "opened", 1), (1, "recovered", 2), (1, "updated", 3)] == [
        (result[0], result[2], result[3]) for result in results
    ]
    assert 1 == len({result[1] for result in results})
    with bench.reads() as reads:
        view = reads.incidents.incident(1)
        assert (None, 1) == (view.row.closed, view.row.reopened)
        assert ["opened", "closed", "reopened"] == [
            event.kind for event in view.events if event.kind != "shadow_notified"
        ]


def test_jobs_that_blame_one_credential_become_one_incident_and_one_of_them_parts(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.scheduler.job(name)
    for minutes, name in ((9, "a"), (8, "b")):
        bench.scheduler.attempt(name, f"{name}1", RunState.FAILED, ago(minutes), message=REFUSED)
        bench.turn()
    bench.restart()
    bench.scheduler.attempt("c", "c0", RunState.SUCCEEDED, ago(24 * 60 + 7))
    bench.scheduler.attempt("c", "c1", RunState.FAILED, ago(7), message=REFUSED)
    bench.turn()
    with bench.reads() as reads:
        (row,) = reads.incidents.list_incidents()
        assert ("user etl is refused", "shared", "credential:user etl") == (title_of(row), row.cause, row.root_job)
        assert [1] == [reads.incidents.incident(2).row.merged_into]
        assert evidence_of(row).startswith("3 jobs of fake failed within 2m with the same message: FATAL: password")
        assert 1 == len(row.changes)
        assert " their last success, " in dated(row.changes[0])
    for name in ("a", "b"):
        bench.scheduler.attempt(name, f"{name}2", RunState.SUCCEEDED, ago(5), period_key=f"{name}@{ago(9):%Y-%m-%d}")
    bench.scheduler.attempt(
        "c", "c2", RunState.FAILED, ago(4), message="KeyError: 'vat'", period_key=f"c@{ago(7):%Y-%m-%d}"
    )
    bench.turn()
    with bench.reads() as reads:
        (incident,) = reads.incidents.list_incidents()
        assert ("fake/c failed: KeyError: 'vat'", 1) == (title_of(incident), incident.split_from)
        assert "split" in [event.kind for event in reads.incidents.incident(1).events]
    kinds = [(pair[0], pair[2]) for pair in stored_alerts(bench)]
    assert [(1, "opened"), (2, "opened"), (1, "updated"), (1, "recovered"), (3, "opened")] == kinds


def test_the_verdict_of_a_shared_cause_saves_the_service_of_one_of_its_runs(bench: Bench) -> None:
    """Only load delivers a service: a restart of the first of the sixteen saves nothing."""
    names = [f"f{number:02}" for number in range(1, 16)]
    for name in names:
        bench.scheduler.job(name)
    for name in (*names, "load"):
        bench.scheduler.attempt(name, f"{name}1", RunState.FAILED, ago(5), message=REFUSED)
    bench.turn()
    with bench.reads() as reads:
        (row,) = reads.incidents.list_incidents()
        view = reads.incidents.incident(row.id)
        verdict = incident_verdict(view, (), reads.now(), is_frozen=False)
        assert (16, "shared") == (len([run for run in view.members if run.role == "red"]), row.cause)
        assert FixCause("user etl") == verdict.step
        assert ["Supply plan"] == [service.title for service in view.services]
