"""What retention deletes, and what it must leave: open work, incidents, forecasts and the board are as before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.estate import EvaluationSettings
from console.domain.ids import micros
from console.domain.settings import RetentionRules
from console.engine.retention import StoreRetention
from console.failpoints import VARIABLE, FailpointReached
from console.store.db import retention
from console.store.db.retention import RetentionPass
from console.store.decisions import apply_decisions
from console.store.errors import LeaseLost
from console.store.ingest.batch import LogTailText
from console.store.queries.reader import Queries
from console.store.snapshot.estate import load_estate
from console.timing.clock import Clock
from tests.store.estate import JOBS, Estate, at, failed, run

SETTINGS = EvaluationSettings(default_route=("oncall",))
RULES = RetentionRules()
NOW = at("03:20")
NIGHTS = 200
TABLES = ("run", "attempt", "log_tail", "job_day", "incident", "incident_member", "event", "alert", "delivery")


def nights_ago(record: RunRecord, nights: int) -> RunRecord:
    """The same run that many nights earlier."""
    assert record.period_at is not None
    assert record.started_at is not None
    assert record.ended_at is not None
    back = timedelta(days=nights)
    due = record.period_at - back
    return replace(
        record,
        attempt_key=f"{nights}-{record.attempt_key}",
        period_key=f"{due:%Y-%m-%dT%H:%M:%SZ}",
        period_at=due,
        started_at=record.started_at - back,
        ended_at=record.ended_at - back,
    )


def many_nights(night: Estate, seed: int) -> None:
    """Nights of three jobs: one nearly always good, one often red, one that is seldom good or never."""
    chance = Random(seed)
    shares = dict(zip(JOBS, (0.02, 0.3, chance.choice((0.97, 1.0))), strict=True))
    for job, share in shares.items():
        records = [
            nights_ago((failed if chance.random() < share and number > 1 else run)(job), number)
            for number in range(NIGHTS, 0, -1)
        ]
        tails = {
            (job, record.attempt_key): LogTailText("disk full") for record in records if record.state is RunState.FAILED
        }
        night.ingest(*records, tails=tails)
    with night.store.write(None) as session:
        session.rows(
            "UPDATE log_tail SET fetched_us = (SELECT t.ended_us FROM attempt t WHERE t.id = log_tail.attempt_id)"
        )


def judged(night: Estate, clock: str) -> None:
    night.ingest(now=clock, seen_until=at(clock))
    estate = load_estate(night.store, at(clock), SETTINGS)
    apply_decisions(night.store, evaluate(estate, at(clock)), at(clock), 0, None, {"oncall": ("env ONCALL",)})


def prune(night: Estate, rules: RetentionRules = RULES) -> dict[str, int]:
    a_pass = RetentionPass(rules, NOW)
    for _ in a_pass.steps(night.store, None):
        pass
    return dict(a_pass.deleted)


def shown(night: Estate, reads: Queries) -> dict[str, Any]:
    """All that decisions and screens see."""
    jobs = [row[0] for row in night.rows("SELECT id FROM job ORDER BY id")]
    return {
        "evaluation": load_estate(night.store, NOW, SETTINGS),
        "header": reads.estate.header(),
        "jobs": [reads.jobs.job(job_id) for job_id in jobs],
        "services": reads.services.list_services(),
        "timeline": reads.service_days.timeline(),
        "incidents": [reads.incidents.incident(row.id) for row in reads.incidents.list_incidents()],
        "holds": reads.holds.list_holds(),
        "actions": reads.actions.list_details(),
        "plans": reads.plans.list_plans(),
        "findings": [reads.findings.list_findings(job_id) for job_id in jobs],
    }


def counts(night: Estate) -> dict[str, int]:
    return {table: night.one(f"SELECT count(*) FROM {table}") for table in TABLES}


def check_whole(night: Estate) -> None:
    """Nothing refers to a row that is gone, and each run's latest attempt is there."""
    for orphans in (
        "attempt t LEFT JOIN run r ON r.id = t.run_id WHERE r.id IS NULL",
        "run r LEFT JOIN attempt t ON t.id = r.attempt_id WHERE r.attempts > 0 AND t.id IS NULL",
        "log_tail l LEFT JOIN attempt t ON t.id = l.attempt_id WHERE t.id IS NULL",
        "latest_run l LEFT JOIN run r ON r.id = l.run_id WHERE l.state <> '' AND r.id IS NULL",
        "incident_member m LEFT JOIN run r ON r.id = m.run_id WHERE m.run_id IS NOT NULL AND r.id IS NULL",
        "delivery d LEFT JOIN alert a ON a.id = d.alert_id WHERE a.id IS NULL",
    ):
        assert 0 == night.one(f"SELECT count(*) FROM {orphans}"), orphans
    assert 0 == night.one("SELECT count(*) FROM job_day WHERE runs <> 1"), "each night of a job has one run"
    known = night.one("SELECT count(*) FROM (SELECT job_id, business_date FROM job_day UNION SELECT job_id,"
                      " business_date FROM run WHERE attempts > 0) AS dates")  # fmt: skip
    assert known >= NIGHTS * len(JOBS), "each night is known by its runs or by its figures"


@pytest.mark.parametrize("seed", range(4))
def test_what_is_shown_and_decided_is_as_before(served: Estate, reads: Queries, seed: int) -> None:
    many_nights(served, seed)
    served.ingest(run(), run(JOBS[1]), failed(JOBS[2]), running_since_long())
    judged(served, "03:20")
    before, rows = shown(served, reads), counts(served)
    freed = {size.table: size.free_rows for size in reads.table_sizes(RULES) if size.free_rows}
    deleted = prune(served)
    assert deleted == {table: number for table, number in freed.items() if table != "attempt"}, "as announced"
    assert rows["attempt"] - freed["attempt"] == counts(served)["attempt"]
    assert before == shown(served, reads)
    assert deleted["run"] > 100
    assert rows["run"] - deleted["run"] == counts(served)["run"]
    check_whole(served)
    assert {} == prune(served), "a second pass finds nothing"


def running_since_long() -> RunRecord:
    """A run of 150 nights ago that never ended."""
    old = nights_ago(run(JOBS[2], "05:00", "hangs"), 150)
    return replace(old, state=RunState.RUNNING, ended_at=None, exit_code=None)


@pytest.mark.parametrize("passage", range(1, 6))
def test_a_crash_in_mid_prune_leaves_nothing_half(
    served: Estate, monkeypatch: pytest.MonkeyPatch, passage: int
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 20)
    many_nights(served, 1)
    monkeypatch.setenv(VARIABLE, f"prune.mid:raise:{passage}")
    monkeypatch.setattr("console.failpoints._passages", {})
    with pytest.raises(FailpointReached):
        prune(served)
    check_whole(served)
    monkeypatch.delenv(VARIABLE)
    prune(served)
    check_whole(served)


def test_figures_of_a_day_outlast_its_runs(served: Estate) -> None:
    many_nights(served, 2)
    first = served.one("SELECT min(business_date) FROM run WHERE job_id = :job", job=served.job_id())
    prune(served)
    assert 0 == served.one("SELECT count(*) FROM run WHERE business_date = :day AND job_id = :job", day=first,
                           job=served.job_id())  # fmt: skip
    figures = served.one(
        "SELECT runs, succeeded, missed, p50_s, p95_s, late_s FROM job_day WHERE job_id = :job"
        " AND business_date = :day",
        job=served.job_id(), day=first,
    )  # fmt: skip
    assert (1, 1, 0, 300.0, 300.0, 0.0) == figures


def test_a_run_reported_again_after_it_was_deleted_is_counted_once(served: Estate) -> None:
    many_nights(served, 2)
    prune(served)
    served.ingest(nights_ago(run(), NIGHTS))
    prune(served)
    check_whole(served)
    assert 1 == served.one("SELECT max(runs) FROM job_day")


def test_runs_of_incidents_stay_until_the_incident_goes(served: Estate) -> None:
    many_nights(served, 3)
    served.ingest(failed())
    judged(served, "03:20")
    with served.store.write(None) as session:  # as if it had been of long ago
        long_ago = micros(NOW - timedelta(days=150))
        session.rows("UPDATE incident SET closed_us = ?, root_job_id = NULL", (long_ago,))
        session.rows("DELETE FROM incident_member WHERE role <> 'root' OR job_id <> ?", (served.job_id(),))
        [oldest] = session.rows(
            "SELECT id, period_key FROM run WHERE job_id = ? ORDER BY sort_us LIMIT 1", (served.job_id(),)
        )
        session.rows("UPDATE incident_member SET run_id = ?, period_key = ?", tuple(oldest))
    member = served.one("SELECT run_id FROM incident_member")
    prune(served)
    assert [(member,)] == served.rows("SELECT id FROM run WHERE id = :run", run=member)
    shorter = replace(RULES, incidents=timedelta(days=100))
    assert "incident" not in prune(served, shorter), "its notification waits to be sent"
    with served.store.write(None) as session:
        session.rows("UPDATE delivery SET state = 'sent'")
    deleted = prune(served, shorter)
    assert deleted["incident"] > 0
    gone = counts(served)
    assert (0, 0, 0) == (gone["incident"], gone["incident_member"], gone["delivery"])
    assert [] == served.rows("SELECT id FROM run WHERE id = :run", run=member)
    check_whole(served)


def test_the_engine_prunes_under_its_fence_and_rests_between_two_passes(served: Estate) -> None:
    many_nights(served, 1)
    worker = StoreRetention(served.store, Clock(served.store.clock_hand), RULES)
    with pytest.raises(LeaseLost):
        worker.step(7)
    before = counts(served)["run"]
    with served.store.write(None) as session:
        session.rows("UPDATE lease SET fence = 7 WHERE name = 'engine'")
        session.rows(
            "INSERT INTO lease (name, holder, fence, until_us, since_us, heartbeat_us)"
            " VALUES ('engine', 'x', 7, 0, 0, 0) ON CONFLICT (name) DO NOTHING"
        )
    worker.step(7)
    assert counts(served)["run"] < before
