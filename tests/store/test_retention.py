"""What retention deletes, and what it must leave: open work, incidents, forecasts and the board are as before."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.sdk.records import RunRecord
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import Decisions, KnownIncident
from console.domain.estate import EvaluationSettings
from console.domain.ids import micros
from console.domain.message import NO_MESSAGE
from console.domain.reason import GreenAgain
from console.domain.settings import RetentionRules
from console.engine.retention import StoreRetention
from console.failpoints import VARIABLE, FailpointReached
from console.forecast.forecaster import Forecaster
from console.store.alerts import DIGEST, NewAlert, insert_alert
from console.store.config_sync import sync_config
from console.store.db import retention
from console.store.db.retention import RetentionPass
from console.store.decisions import apply_decisions
from console.store.errors import LeaseLost, StoreUnusable
from console.store.ingest.batch import LogTailText
from console.store.jobs import last_deleted_date
from console.store.queries.reader import Queries
from console.store.snapshot.estate import load_estate
from console.timing.clock import Clock
from tests.store.estate import EXTRACT, JOBS, MIDNIGHT, SERVED, SUPPLY, Estate, at, failed, run
from tests.store.test_decisions import incident

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


def prune(night: Estate, rules: RetentionRules = RULES, now: datetime = NOW) -> dict[str, int]:
    a_pass = RetentionPass(rules, now)
    for _ in a_pass.steps(night.store, None):
        pass
    return dict(a_pass.deleted)


def shown(night: Estate, reads: Queries) -> dict[str, Any]:
    """All that decisions and screens see, except the months whose runs are deleted."""
    jobs = [row[0] for row in night.rows("SELECT id FROM job ORDER BY id")]
    return {
        "evaluation": load_estate(night.store, NOW, SETTINGS),
        "header": reads.estate.header(),
        "jobs": [replace(reads.jobs.job(job_id), months=()) for job_id in jobs],
        "services": reads.services.list_services(),
        "timeline": reads.service_days.timeline(),
        "incidents": [reads.incidents.incident(row.id) for row in reads.incidents.list_incidents()],
        "holds": reads.holds.list_holds(),
        "actions": reads.actions.list_details(),
        "plans": reads.plans.list_plans(),
        "findings": [reads.findings.list_findings(job_id) for job_id in jobs],
    }


def counts(night: Estate) -> dict[str, int]:
    return {table: night.fetch_one(f"SELECT count(*) FROM {table}") for table in TABLES}


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
        assert 0 == night.fetch_one(f"SELECT count(*) FROM {orphans}"), orphans
    assert 0 == night.fetch_one("SELECT count(*) FROM job_day WHERE runs <> 1"), "each night of a job has one run"
    known = night.fetch_one("SELECT count(*) FROM (SELECT job_id, business_date FROM job_day UNION SELECT job_id,"
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


def test_figures_of_a_day_outlast_its_runs(served: Estate, reads: Queries) -> None:
    many_nights(served, 2)
    first = served.fetch_one("SELECT min(business_date) FROM run WHERE job_id = :job", job=served.job_id())
    prune(served)
    assert 0 == served.fetch_one("SELECT count(*) FROM run WHERE business_date = :day AND job_id = :job", day=first,
                           job=served.job_id())  # fmt: skip
    figures = served.fetch_one(
        "SELECT runs, succeeded, missed, p50_s, p95_s, late_s FROM job_day WHERE job_id = :job"
        " AND business_date = :day",
        job=served.job_id(), day=first,
    )  # fmt: skip
    assert (1, 1, 0, 300.0, 300.0, 0.0) == figures
    months = reads.jobs.job(served.job_id()).months
    assert served.fetch_one("SELECT count(*) FROM job_day WHERE job_id = :job", job=served.job_id()) == sum(
        month.runs for month in months
    )
    assert [(first[:7], 300.0)] == [(month.month, month.p50_s) for month in months[:1]]


MONTH_END_AT = at("266:00")
"""Ten minutes before the job starts in the night of 30 November."""


def months_of_nights(night: Estate, month_end: timedelta) -> None:
    """Fourteen months of nights of the first job, up to the one before MONTH_END_AT: five minutes each, month ends
    this long. Runs older than 60 days are deleted. Its service is due 13 minutes after it starts."""
    promised = replace(SUPPLY, delivered_by=(EXTRACT,), deadline=time(3, 23))
    sync_config(night.store, replace(SERVED, jobs=(), dependencies=(), services=(promised,)), MIDNIGHT, None)
    records = []
    for number in range(425, -11, -1):
        record = nights_ago(run(period="02:10"), number)
        assert record.started_at is not None
        if record.started_at.day == 1:
            record = replace(record, ended_at=record.started_at + month_end)
        records.append(record)
    night.ingest(*records, now="265:59", seen_until=MONTH_END_AT)
    prune(night, replace(RULES, runs=timedelta(days=60)), MONTH_END_AT)


@pytest.mark.parametrize("minutes, expected", [(5, 0.0), (15, 1.0)])
def test_a_month_end_is_forecast_by_the_figures_of_earlier_ones(served: Estate, minutes: int, expected: float) -> None:
    months_of_nights(served, timedelta(minutes=minutes))
    seen = load_estate(served.store, MONTH_END_AT, SETTINGS)
    history = seen.history[served.job_id()]
    assert len(history) == 60
    assert [minutes / 5] * 11 == list(history.month_ends), "a year's, but the run of 30 September is not deleted yet"
    days = evaluate(seen, MONTH_END_AT, foresee=Forecaster()).service_days
    [p_late] = [day.p_late for day in days if day.business_date == date(2026, 11, 30)]
    assert expected == pytest.approx(p_late, abs=0.02)


def test_figures_of_month_ends_are_read_once_a_month(served: Estate) -> None:
    months_of_nights(served, timedelta(minutes=15))

    def month_ends(nights: int) -> int:
        """How many the forecast knows after so many more nights."""
        served.ingest(*(nights_ago(run(period="02:10"), -11 - number) for number in range(nights)), now="23:59")
        return len(load_estate(served.store, MONTH_END_AT, SETTINGS).history[served.job_id()].month_ends)

    assert 11 == month_ends(0)
    with served.store.write(None) as session:
        session.rows("DELETE FROM job_day WHERE business_date > '2026-07'")
    assert [11, 11, 8] == [month_ends(1), month_ends(30), month_ends(31)]


def test_a_run_reported_again_after_it_was_deleted_is_counted_once(served: Estate) -> None:
    many_nights(served, 2)
    prune(served)
    served.ingest(nights_ago(run(), NIGHTS))
    prune(served)
    check_whole(served)
    assert 1 == served.fetch_one("SELECT max(runs) FROM job_day")


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
    member = served.fetch_one("SELECT run_id FROM incident_member")
    prune(served)
    assert [(member,)] == served.rows("SELECT id FROM run WHERE id = :run", run=member)
    opened_and_closed(served, 10, key="run:new:x")
    newer_alert(served)
    shorter = replace(RULES, incidents=timedelta(days=100))
    assert "incident" not in prune(served, shorter), "its notification waits to be sent"
    with served.store.write(None) as session:
        session.rows("UPDATE delivery SET state = 'sent'")
    deleted = prune(served, shorter)
    assert deleted["incident"] > 0
    removed = counts(served)
    assert (1, 0) == (removed["incident"], removed["delivery"]), "the newer one"
    assert 0 == served.fetch_one("SELECT count(*) FROM incident_member m LEFT JOIN incident i ON i.id = m.incident_id"
                           " WHERE i.id IS NULL")  # fmt: skip
    assert [] == served.rows("SELECT id FROM run WHERE id = :run", run=member)
    check_whole(served)


def test_the_engine_prunes_under_its_fence_and_rests_between_two_passes(served: Estate) -> None:
    many_nights(served, 1)
    worker = worker_at(served, NOW)
    with pytest.raises(LeaseLost):
        worker.step(7)
    before = counts(served)["run"]
    hold_lease(served, 7)
    pass_through(worker)
    assert counts(served)["run"] < before
    served.ingest(*(nights_ago(run(), number) for number in range(NIGHTS, 100, -1)))
    again = counts(served)["run"]
    pass_through(worker)
    assert again == counts(served)["run"]


def worker_at(night: Estate, now: datetime) -> StoreRetention:
    """A worker of an engine in a process of its own, whose clock is fixed at `now`."""
    return StoreRetention(night.store, Clock(night.store.clock_setting, lambda: now), SecretStore(), RULES)


def pass_through(worker: StoreRetention) -> None:
    """A pass through the store under fence 7, in as many steps as a busy machine needs."""
    worker.step(7)
    while worker._pass is not None:
        worker.step(7)


def hold_lease(night: Estate, fence: int) -> None:
    with night.store.write(None) as session:
        session.rows(
            "INSERT INTO lease (name, holder, fence, until_us, since_us, heartbeat_us)"
            " VALUES ('engine', 'x', ?, 0, 0, 0) ON CONFLICT (name) DO UPDATE SET fence = excluded.fence",
            (fence,),
        )


@pytest.mark.parametrize("has_passed", [True, False], ids=["after a pass", "before the first pass"])
def test_a_clock_that_jumps_years_ahead_deletes_a_day_per_pass_and_is_reported(
    served: Estate, monkeypatch: pytest.MonkeyPatch, has_passed: bool
) -> None:
    monkeypatch.setattr("console.engine.retention.PASS_EVERY_SECONDS", 0.0)
    many_nights(served, 1)
    served.ingest(run(), run(JOBS[1]), run(JOBS[2]))
    hold_lease(served, 7)
    if has_passed:
        pass_through(worker_at(served, NOW))
    else:
        prune(served)
    before = counts(served)["run"]
    jumped = NOW + timedelta(days=3653)
    for _ in range(3):  # as often as it is started again
        worker = worker_at(served, jumped)
        pass_through(worker)
        assert before == counts(served)["run"]
    assert worker.trouble.startswith(
        "[retention] the clock is 3,653 days ahead of the last pass: it goes on from 2026-"
    )
    for _ in range(2):
        pass_through(worker)
    assert 0 < before - counts(served)["run"] <= 2 * len(JOBS)
    right = worker_at(served, NOW + timedelta(days=3))
    pass_through(right)
    assert (right.trouble, served.fetch_one("SELECT value FROM meta WHERE name = 'retention_us'")) == (
        "", str(micros(NOW + timedelta(days=3))))  # fmt: skip


def test_a_store_whose_jobs_have_no_run_yet_has_no_last_pass(served: Estate) -> None:
    with served.store.write(None) as session:
        session.rows("UPDATE latest_run SET run_id = 0, sort_us = 0")
        assert session.rows("SELECT 1 FROM latest_run LIMIT 1"), "a job without a run has a row"
    hold_lease(served, 7)
    worker = worker_at(served, NOW)
    pass_through(worker)
    assert "" == worker.trouble


def test_after_a_long_stop_of_the_engine_retention_catches_up(served: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.engine.retention.PASS_EVERY_SECONDS", 0.0)
    many_nights(served, 1)
    hold_lease(served, 7)
    pass_through(worker_at(served, NOW))
    worker = worker_at(served, NOW + timedelta(days=17))
    for _ in range(12):
        pass_through(worker)
    assert "" == worker.trouble
    assert {} == prune(served, now=NOW + timedelta(days=17))


def opened_and_closed(night: Estate, nights: int, **fields: Any) -> int:
    """An incident that was open for an hour that many nights ago; its id."""
    back = timedelta(days=nights)
    opening = incident(notices=(), members=(), **fields)
    [number] = apply_decisions(night.store, Decisions(incidents=(opening,)), NOW - back, 1, None, {}).opened
    closing = replace(opening, incident=KnownIncident(number), close_reason=GreenAgain())
    apply_decisions(night.store, Decisions(incidents=(closing,)), NOW - back + timedelta(hours=1), 1, None, {})
    return number


def newer_alert(night: Estate) -> None:
    """The newest alert stays, for its number."""
    with night.store.write(None) as session:
        insert_alert(session, {}, NewAlert("oncall", DIGEST, NO_MESSAGE, "headway:digest:x"), micros(NOW))


def test_an_incident_opens_again_where_only_later_ones_with_its_key_are_left(served: Estate) -> None:
    for nights in (500, 450, 100):
        opened_and_closed(served, nights)
    assert {"incident": 2} == {t: n for t, n in prune(served).items() if t == "incident"}
    for nights in (20, 10):
        opened_and_closed(served, nights)


def test_the_number_of_a_deleted_incident_is_not_given_again(served: Estate) -> None:
    numbers = [opened_and_closed(served, nights) for nights in (500, 450)]
    prune(served)
    assert opened_and_closed(served, 10) > max(numbers)


def test_a_digest_stays_with_its_alerts(served: Estate) -> None:
    """The page under its key is resolved when their incidents are."""
    opened_and_closed(served, 20)
    with served.store.write(None) as session:
        old_us, digest = micros(NOW - timedelta(days=500)), NewAlert("oncall", DIGEST, NO_MESSAGE, "headway:digest:x")
        made = replace(digest, kind="opened", incident_id=1), digest, digest
        member, its_digest, _ = (insert_alert(session, {}, alert, old_us) for alert in made)
        session.rows("UPDATE alert SET waits = ?", (False,))
        session.rows("UPDATE alert SET digest_id = ? WHERE id = ?", (its_digest, member))
    newer_alert(served)
    assert {"alert": 1} == {t: n for t, n in prune(served).items() if t == "alert"}
    assert [(member,), (its_digest,)] == served.rows(
        "SELECT id FROM alert WHERE made_us = :old ORDER BY id", old=old_us
    )


def test_a_merged_incident_stays_with_the_one_it_is_part_of(served: Estate) -> None:
    """Its page is resolved with that one."""
    part, whole = (opened_and_closed(served, nights, key=f"run:{nights}:x") for nights in (500, 20))
    with served.store.write(None) as session:
        session.rows("UPDATE incident SET merged_into = ? WHERE id = ?", (whole, part))
    assert "incident" not in prune(served)
    with served.store.write(None) as session:
        session.rows("UPDATE incident SET closed_us = ?", (micros(NOW - timedelta(days=450)),))
    opened_and_closed(served, 10, key="run:new:x")
    assert 2 == prune(served)["incident"]


def test_a_young_log_tail_of_an_old_attempt_retains_no_older_one(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 5)
    many_nights(served, 1)
    with served.store.write(None) as session:
        session.rows("UPDATE log_tail SET fetched_us = ?", (micros(NOW - timedelta(days=40)),))
        session.rows("UPDATE log_tail SET fetched_us = ? WHERE attempt_id = (SELECT min(attempt_id) FROM log_tail)",
                     (micros(NOW),))  # fmt: skip
    prune(served)
    old_us = micros(NOW - RULES.log_tails)
    assert 0 == served.fetch_one("SELECT count(*) FROM log_tail WHERE fetched_us < :old", old=old_us)


def test_an_old_failure_that_is_reported_again_after_it_was_deleted_opens_no_incident(served: Estate) -> None:
    many_nights(served, 2)
    served.ingest(run())
    judged(served, "03:20")
    prune(served)
    incidents = counts(served)["incident"]
    reported = nights_ago(failed(), NIGHTS)
    assert [] == served.rows("SELECT id FROM run WHERE period_key = :key AND job_id = 1", key=reported.period_key)
    served.ingest(reported)
    judged(served, "03:21")
    assert incidents == counts(served)["incident"]
    latest = served.fetch_one("SELECT r.sort_us FROM latest_run l JOIN run r ON r.id = l.run_id WHERE l.job_id = 1")
    assert latest > micros(NOW - timedelta(days=3))
    assert 1 == prune(served)["run"]


def test_of_deleted_periods_a_backfill_does_not_say_that_they_have_not_run(served: Estate) -> None:
    many_nights(served, 2)
    assert last_deleted_date(served.store, 1) is None
    prune(served)
    last = last_deleted_date(served.store, 1)
    assert last is not None
    assert last.isoformat() < served.fetch_one("SELECT min(business_date) FROM run WHERE job_id = 1")


def test_a_store_that_is_away_for_a_moment_delays_retention_by_one_step_and_is_reported_if_it_stays_away(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed(*_: object) -> None:
        raise StoreUnusable("the store is away")

    many_nights(served, 1)
    worker = worker_at(served, NOW)
    hold_lease(served, 7)
    monkeypatch.setattr(retention, "day_figures", removed)
    worker.step(7)
    assert "" == worker.trouble
    worker.step(7)
    assert "[retention] deletes nothing: the store is away" == worker.trouble
    monkeypatch.undo()
    before = counts(served)["run"]
    pass_through(worker)
    assert before > counts(served)["run"]
    assert "" == worker.trouble


def test_a_store_that_refuses_retention_is_reported_with_the_fix_and_ends_no_worker(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new table of a schema without the new grants: the heartbeat ping goes on."""

    class Refused(Exception):
        sqlstate = "42501"

    def refuse(*_: object) -> None:
        raise Refused("permission denied for table job_day")

    many_nights(served, 1)
    worker = worker_at(served, NOW)
    hold_lease(served, 7)
    monkeypatch.setattr(retention, "day_figures", refuse)
    worker.step(7)
    assert worker.trouble == (
        "[retention] deletes nothing: permission denied for table job_day."
        " Fix: as the store's owner, run what `headway store grants` prints (once more after each upgrade)"
    )
    before, failed = counts(served)["run"], worker.trouble
    worker.step(7)
    assert before == counts(served)["run"], "tried again later, not every 15 seconds"
    with capture_logs() as lines:
        worker._next = 0.0
        worker.step(7)
    assert ([], failed) == (lines, worker.trouble), "a cause is logged once"
    monkeypatch.undo()
    monkeypatch.setattr("console.engine.retention.STEP_SECONDS", 0.0)
    worker._next = 0.0
    worker.step(7)
    assert failed == worker.trouble, "the pass is under way"
    pass_through(worker)
    assert "" == worker.trouble
