"""What one poll leaves behind: runs, attempts, the latest run of each job, and the target's health."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.sdk.records import HistoryGap, RunRecord, SkippedRecord, instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.domain.estate import EvaluationSettings
from console.domain.ids import instant, micros
from console.store.actions import attempt_after, due_actions
from console.store.db import lease
from console.store.errors import LeaseLost
from console.store.ingest import targets
from console.store.ingest.records import ingest_batch
from console.store.ingest.targets import record_failure
from console.store.snapshot.estate import load_estate
from console.timing.business_dates import assign_periods
from tests.corpus import HOSTILE
from tests.rows import each_row
from tests.store.estate import JOBS, Estate, at, failed, poll, run, running

FORMER = f"1@{micros(at('03:10'))}"
"""The key of the first attempt since another one has its key."""
RUN = "SELECT state, evidence, attempts, started_us, ended_us, exit_code, message FROM run"


def state(night: Estate, job: str = JOBS[0]) -> Any:
    return night.fetch_one("SELECT state FROM latest_run WHERE job_id = :job", job=night.job_id(job))


def put_action(night: Estate, key: str, run_id: int) -> None:
    with night.store.write(None) as connection:
        connection.rows(
            "INSERT INTO action (key, verb, job_id, run_id, state, preview, requested_by, requested_from, why,"
            " requested_us, native_ref, text, next_us, looked_up, changed_seq)"
            " VALUES (?, 'rerun', ?, ?, 'sent', '{}', 'anna', '', '', 0, '', '', 0, 0, 0)",
            (key, night.job_id(), run_id),
        )


def put_missed(night: Estate, period: str = "2026-11-20T03:10:00Z") -> int:
    """An expected run that nothing has fulfilled, as a decision makes it."""
    with night.store.write(None) as connection:
        return int(
            connection.rows(
                "INSERT INTO run (job_id, period_key, period_us, sort_us, business_date, state, evidence, native_state,"
                " reason,"
                " attempts, message, expected, timeliness, stale_read, observed_us, changed_seq)"
                " VALUES (?, ?, ?, ?, '2026-11-19', 'missed', 'inferred', '', 'nothing in the"
                " log', 0, '',"
                " TRUE, 'no_estimate', FALSE, 0, 0) RETURNING id",
                (night.job_id(), period, micros(at("03:10")), micros(at("03:10"))),
            )[0][0]
        )


# -- runs and attempts ------------------------------------------------------------------------------------------------
def test_a_run_has_the_state_of_its_attempt(night: Estate) -> None:
    done = night.ingest(failed())
    assert ((1,), (night.job_id(),)) == (done.changed_run_ids, done.changed_job_ids)
    assert ("failed", "native", 1, micros(at("03:10")), micros(at("03:15")), 1, "disk full") == night.fetch_one(RUN)
    assert ("2026-11-20T03:10:00Z", "2026-11-19", micros(at("03:10"))) == night.fetch_one(
        "SELECT period_key, business_date, period_us FROM run"
    )
    assert "failed" == state(night)


def test_a_poll_without_news_writes_no_run(night: Estate) -> None:
    batch = [failed(), run(JOBS[1]), running(JOBS[2])]
    night.ingest(*batch)
    before = [night.rows(f"SELECT * FROM {table}") for table in ("run", "attempt", "latest_run", "job_counts", "meta")]
    done = night.ingest(*batch, now="03:30")
    assert ((), ()) == (done.changed_run_ids, done.changed_job_ids)
    assert before == [
        night.rows(f"SELECT * FROM {table}") for table in ("run", "attempt", "latest_run", "job_counts", "meta")
    ]
    assert micros(at("03:30")) == night.fetch_one("SELECT last_ok_us FROM target WHERE id = :id", id=night.host)


def test_a_rerun_is_a_further_attempt_of_the_same_run_and_decides(night: Estate) -> None:
    night.ingest(failed())
    night.ingest(run(attempt="2", started_at=at("03:30"), ended_at=at("03:36")), now="03:40")
    assert ("succeeded", 2, micros(at("03:10")), micros(at("03:30"))) == night.fetch_one(
        "SELECT state, attempts, first_started_us, started_us FROM run"
    )
    assert [("1", 1, "failed"), ("2", 2, "succeeded")] == night.rows(
        "SELECT attempt_key, number, state FROM attempt ORDER BY number"
    )


def test_an_earlier_attempt_reported_later_is_numbered_before_and_does_not_decide(night: Estate) -> None:
    night.ingest(run(attempt="2", started_at=at("03:30"), ended_at=at("03:36")), now="03:40")
    night.ingest(failed(attempt="1"), now="03:41")
    assert [("1", 1), ("2", 2)] == night.rows("SELECT attempt_key, number FROM attempt ORDER BY number")
    assert ("succeeded", micros(at("03:10"))) == night.fetch_one("SELECT state, first_started_us FROM run")


def test_attempts_that_started_together_are_numbered_by_their_key(night: Estate) -> None:
    night.ingest(failed(attempt="b"), run(attempt="a"))
    assert [("a", 1), ("b", 2)] == night.rows("SELECT attempt_key, number FROM attempt ORDER BY number")
    assert "failed" == night.fetch_one("SELECT state FROM run")


def test_f42_an_attempt_number_that_goes_back_is_the_attempt_that_started_last(night: Estate) -> None:
    night.ingest(failed(), failed(attempt="2", started_at=at("03:20"), ended_at=at("03:25")), now="03:26")
    night.ingest(run(attempt="1", started_at=at("03:30"), ended_at=at("03:36")), now="03:40")
    assert ("succeeded", 3) == night.fetch_one("SELECT state, attempts FROM run")
    assert [(FORMER, 1), ("2", 2), ("1", 3)] == night.rows("SELECT attempt_key, number FROM attempt ORDER BY number")


def test_an_attempt_that_ended_does_not_run_again_because_an_old_poll_comes_late(night: Estate) -> None:
    night.ingest(failed(), now="03:20")
    done = night.ingest(running(), now="03:12")
    assert () == done.changed_run_ids
    assert "failed" == night.fetch_one("SELECT state FROM run")


def test_a_deduced_end_gives_way_to_the_recorded_one(night: Estate) -> None:
    lost = run(state=RunState.LOST, evidence=RunEvidence.INFERRED, native_state="gone", exit_code=None)
    night.ingest(lost, now="03:20")
    night.ingest(run(), now="03:19")
    assert ("succeeded", "native") == night.fetch_one("SELECT state, evidence FROM run")


def test_an_unproved_end_is_unknown_and_stays_so_while_it_is_reported_again(night: Estate) -> None:
    unproved = run(
        state=RunState.UNKNOWN, evidence=RunEvidence.INFERRED, native_state="", exit_code=None, ended_at=None
    )
    night.ingest(running(), now="03:11")
    night.ingest(unproved, now="03:20")
    night.ingest(unproved, now="03:30")
    assert ("unknown", "inferred") == night.fetch_one("SELECT state, evidence FROM run")


def test_a_changed_native_state_is_stored_verbatim(night: Estate) -> None:
    night.ingest(running(native_state="up for retry", reason="slot"), now="03:11")
    night.ingest(running(native_state="deferred", reason="event"), now="03:12")
    assert ("deferred", "event") == night.fetch_one("SELECT native_state, reason FROM run")


def test_a_field_of_a_single_observation_is_preserved(night: Estate) -> None:
    night.ingest(running(queued_at=at("03:09")), now="03:11")
    night.ingest(run(started_at=None), now="03:20")
    assert (micros(at("03:09")), micros(at("03:10")), micros(at("03:15"))) == night.fetch_one(
        "SELECT queued_us, started_us, ended_us FROM attempt"
    )


def test_several_observations_of_one_attempt_in_one_poll_are_one_attempt(night: Estate) -> None:
    night.ingest(running(), failed(), running())
    assert [("failed", 1)] == night.rows("SELECT state, number FROM attempt")


def test_a_run_without_a_period_is_ordered_by_its_start(night: Estate) -> None:
    by_hand = run(attempt="m", period_key="manual__1", period_at=None, started_at=at("04:00"), ended_at=at("04:01"))
    night.ingest(run(), by_hand, now="04:10")
    assert micros(at("04:00")) == night.fetch_one("SELECT sort_us FROM run WHERE period_key = 'manual__1'")
    assert micros(at("04:00")) == night.fetch_one("SELECT sort_us FROM latest_run WHERE job_id = :j", j=night.job_id())


# -- expectations -----------------------------------------------------------------------------------------------------
def test_a_run_that_was_missed_and_starts_late_is_what_it_really_is(night: Estate) -> None:
    missed = put_missed(night)
    done = night.ingest(running(started_at=at("03:40")), now="03:41")
    assert (missed,) == done.changed_run_ids
    assert (missed, "running", "native", 1, True, "") == night.fetch_one(
        "SELECT id, state, evidence, attempts, expected, reason FROM run"
    )


# -- actions ----------------------------------------------------------------------------------------------------------
def test_an_attempt_with_our_key_belongs_to_the_run_that_it_repairs(night: Estate) -> None:
    night.ingest(failed())
    put_action(night, "headway-0123456789", 1)
    again = run(attempt="99", period="05:00", action_key="headway-0123456789", period_key=None, period_at=None)
    done = night.ingest(again, now="05:10")
    assert ((1,), (night.job_id(),)) == (done.changed_run_ids, done.changed_job_ids)
    assert [("2026-11-20T03:10:00Z", "succeeded", 2)] == night.rows("SELECT period_key, state, attempts FROM run")
    assert 2 == night.fetch_one("SELECT attempt_id FROM action")


def test_an_attempt_whose_key_is_found_later_moves_to_the_run_that_it_repairs(night: Estate) -> None:
    night.ingest(failed())
    put_action(night, "headway-0123456789", 1)
    night.ingest(running(attempt="99", period="05:00"), now="05:01")
    assert 2 == night.fetch_one("SELECT count(*) FROM run")
    done = night.ingest(run(attempt="99", period="05:00", action_key="headway-0123456789"), now="05:10")
    assert [("2026-11-20T03:10:00Z", "succeeded", 2)] == night.rows("SELECT period_key, state, attempts FROM run")
    assert (1,) == done.changed_run_ids
    assert (1, "succeeded") == night.fetch_one(
        "SELECT run_id, state FROM latest_run WHERE job_id = :job", job=night.job_id()
    )


def test_an_attempt_with_a_foreign_key_is_a_separate_run(night: Estate) -> None:
    night.ingest(run(attempt="99", action_key="headway-9999999999", period_key=None, period_at=None))
    assert [("attempt:99", 1)] == night.rows("SELECT period_key, attempts FROM run")


def test_a_key_of_ours_that_another_system_shows_moves_nothing(night: Estate) -> None:
    """Whoever can name a job at one scheduler cannot write into another one's runs, nor verify an action there."""
    night.ingest(failed())
    put_action(night, "headway-0123456789", 1)
    spoof = run("load_orders", attempt="99", action_key="headway-0123456789", period_key="manual", period_at=None)
    ingest_batch(night.store, night.airflow, poll(spoof), None)
    assert [("etl-hosts", "failed"), ("airflow", "succeeded")] == night.rows(
        "SELECT s.name, r.state FROM run r JOIN job j ON j.id = r.job_id JOIN system s ON s.id = j.system_id"
        " ORDER BY r.id"
    )
    [action] = due_actions(night.store, micros(at("06:00")), {})
    assert attempt_after(night.store, action) is None


def test_a_key_on_what_another_job_ran_too_moves_only_the_job_that_was_acted_on(night: Estate) -> None:
    """Airflow writes the note of a cleared task on every task behind it as well."""
    key = "headway-0123456789"
    night.ingest(failed())
    put_action(night, key, 1)
    night.ingest(
        failed(JOBS[1], attempt="p", action_key=key, started_at=at("03:31"), ended_at=at("03:32")),
        run(attempt="99", action_key=key, started_at=at("03:30"), ended_at=at("03:31")),
        now="03:33",
    )
    assert [(JOBS[0], "succeeded", 2), (JOBS[1], "failed", 1)] == night.rows(
        "SELECT j.native_id, r.state, r.attempts FROM run r JOIN job j ON j.id = r.job_id ORDER BY r.id"
    )
    assert "99" == night.fetch_one("SELECT t.attempt_key FROM action a JOIN attempt t ON t.id = a.attempt_id")
    [action] = due_actions(night.store, micros(at("06:00")), {})
    after = attempt_after(night.store, action)
    assert after is not None
    assert "succeeded" == after.state


# -- the latest run ---------------------------------------------------------------------------------------------------
def test_the_latest_run_is_the_newest_by_period_however_late_the_others_come(night: Estate) -> None:
    night.ingest(failed(period="03:10", attempt="1"), run(period="04:10", attempt="2"))
    assert "succeeded" == state(night)
    night.ingest(failed(period="02:10", attempt="0"), now="05:00")
    assert "succeeded" == state(night)
    night.ingest(running(period="05:10", attempt="3"), now="05:11")
    assert "running" == state(night)


def test_counts_of_states_follow_the_latest_runs(night: Estate) -> None:
    night.ingest(failed(JOBS[0]), running(JOBS[1]))
    night.ingest(run(JOBS[1]), now="03:30")
    counted = "SELECT s.name, c.state, c.n FROM job_counts c JOIN system s ON s.id = c.system_id WHERE c.n <> 0"
    assert [
        ("airflow", "", 1),
        ("etl-hosts", "", 1),
        ("etl-hosts", "failed", 1),
        ("etl-hosts", "succeeded", 1),
    ] == sorted(night.rows(counted))


# -- names and words from outside -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["message", "native_state", "reason", "native_url"])
def test_outside_text_is_cleaned_on_ingest(night: Estate, kind: str) -> None:
    night.ingest(*(run(attempt=f"a{number}", **{kind: text}) for number, text in enumerate(HOSTILE)))
    for (stored,) in night.rows(f"SELECT {kind} FROM attempt"):
        assert not any((ord(letter) < 32 and letter != "\n") or 0x7F <= ord(letter) < 0xA0 for letter in stored)


def test_identities_are_stored_unchanged_whatever_they_contain(night: Estate) -> None:
    keys = [text for text in HOSTILE if len(text.encode("utf-8", "surrogatepass")) <= 1_000]
    done = night.ingest(*(run(attempt=key) for key in keys))
    assert len(keys) == night.fetch_one("SELECT count(*) FROM attempt")
    again = night.ingest(*(run(attempt=key) for key in keys), now="03:30")
    assert ((1,), ()) == (done.changed_run_ids, again.changed_run_ids)


def test_a_record_that_cannot_be_stored_is_counted_with_its_reason_and_the_others_are_kept(night: Estate) -> None:
    done = night.ingest(
        run(attempt="x" * 1_001),
        run(JOBS[1], started_at=datetime(2026, 11, 20, 3, 10)),  # noqa: DTZ001
        run(JOBS[2], exit_code=2**70),
        run("y" * 1_001),
        failed(),
        skipped=(SkippedRecord("line 7", "no time stamp", "garbage"),),
    )
    assert [("failed",)] == night.rows("SELECT state FROM run")
    assert 4 == len(done.skipped)
    skipped, text = night.fetch_one("SELECT skipped, skipped_text FROM target WHERE id = :id", id=night.host)
    assert (5, "line 7: no time stamp garbage") == (skipped, json.loads(text)[0])
    assert "more than 64 bits" in text


def test_what_a_source_lists_again_at_each_poll_is_counted_once(night: Estate) -> None:
    def counted(*skipped: SkippedRecord) -> int:
        night.ingest(skipped=skipped)
        return int(night.fetch_one("SELECT skipped FROM target WHERE id = :id", id=night.host))

    row, other = (
        SkippedRecord("run 6", "61 minutes in the future", "began 05:10"),
        SkippedRecord("run 7", "no start", "{}"),
    )
    assert [1, 1, 2, 2] == [
        counted(row), counted(replace(row, reason="60 minutes in the future")), counted(row, other), counted(other)
    ]  # fmt: skip
    assert 3 == counted(replace(row, sample="began 06:10")), "another row"
    long = SkippedRecord("run 8", f"its conf is {'no ' * 40}table", '{"conf": "' + "0123456789" * 19)
    assert [4, 4] == [counted(long), counted(long)], "its words are cut off"
    assert 5 == counted(replace(long, sample='{"conf": "9' + "0123456789" * 19))
    assert [6, 6] == [counted(replace(row, sample="ends \n")), counted(replace(row, sample="ends \n"))]
    many = [SkippedRecord(f"line {number}", "garbage", "x") for number in range(1_000)]
    assert [1_006, 1_006] == [counted(*many), counted(*many)]


def test_f47_times_and_codes_at_the_limits_are_stored_unchanged(night: Estate) -> None:
    night.ingest(
        run(
            started_at=datetime(1, 1, 1, tzinfo=UTC),
            ended_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
            exit_code=-(2**40),
            context={"rows": 10**30, "tuple": (1, 2)},
        )
    )
    assert -(2**40) == night.fetch_one("SELECT exit_code FROM run")
    assert {"rows": 10**30, "tuple": [1, 2]} == json.loads(night.fetch_one("SELECT context FROM attempt"))


def test_a_run_of_a_job_in_no_inventory_is_stored_under_a_removed_job(night: Estate) -> None:
    night.ingest(failed("db07:deleted_last_week"))
    assert ("etl-hosts/db07:deleted_last_week", micros(at("03:20"))) == night.fetch_one(
        "SELECT name, gone_since_us FROM job WHERE native_id = 'db07:deleted_last_week'"
    )
    assert "failed" == state(night, "db07:deleted_last_week")


# -- the target -------------------------------------------------------------------------------------------------------
def test_the_cursor_and_the_poll_details_of_its_target_are_stored_with_the_records(night: Estate) -> None:
    night.ingest(
        failed(), cursor='{"offset": 17}', seen_until=at("03:19"), skew_s=1.5, zone="Europe/Berlin", poll_ms=12.5,
        warnings=("\x1b[31mfile ignored",), gaps=(HistoryGap(None, at("02:00"), "log truncated"),),
    )  # fmt: skip
    columns = "cursor, seen_until_us, skew_s, zone, poll_ms, warnings, first_ok_us"
    assert (
        '{"offset": 17}', micros(at("03:19")), 1.5, "Europe/Berlin", 12.5, '["file ignored"]', micros(at("03:20")),
    ) == night.fetch_one(f"SELECT {columns} FROM target WHERE id = :id", id=night.host)  # fmt: skip
    [(kind, text)] = night.rows("SELECT kind, text FROM event")
    assert "gap" == kind
    assert "from the beginning to 2026-11-20T02:00:00+00:00: log truncated" in text


@each_row("count", [19, 20, 21, 45])
def test_more_warnings_than_are_stored_are_counted(night: Estate, count: int) -> None:
    """The schedules that cannot be expanded came last, and the 21st warning was dropped without a word."""
    night.ingest(warnings=tuple(f"job {number}" for number in range(count)))
    [*stored, last] = json.loads(night.fetch_one("SELECT warnings FROM target WHERE id = :id", id=night.host))
    omitted = count - len(stored)
    assert [f"job {number}" for number in range(min(count - 1, 19))] == stored
    assert (f"job {count - 1}" if omitted == 1 else f"{omitted} more warnings are not stored") == last


def test_windows_of_lost_evidence_within_the_lookback_are_merged_and_of_others_the_later_is_kept(night: Estate) -> None:
    columns = "SELECT lost_since_us, lost_until_us FROM target WHERE id = :id"
    results = []
    for since, until in (("01:00", "01:30"), ("01:20", "02:00"), ("03:00", "03:10")):
        night.ingest(gaps=(HistoryGap(at(since), at(until), "log truncated"),))
        results.append(night.rows(columns, id=night.host))
    assert [
        [(micros(at("01:00")), micros(at("01:30")))],
        [(micros(at("01:00")), micros(at("02:00")))],
        [(micros(at("01:00")), micros(at("03:10")))],
    ] == results, "what was unknown does not become missed"


def test_a_newly_skipped_record_may_be_any_start_since_the_starts_were_last_known(night: Estate) -> None:
    columns = "SELECT lost_since_us, lost_until_us FROM target WHERE id = :id"
    night.ingest(seen_until=at("03:00"))
    line = SkippedRecord("cron.log", "1 line was left out", "Nov 27")
    night.ingest(skipped=(line,), seen_until=at("03:10"))
    window = night.rows(columns, id=night.host)
    assert micros(at("03:00")) == window[0][0]
    night.ingest(skipped=(line,), seen_until=at("03:20"))
    assert window == night.rows(columns, id=night.host), "the same record again is no further start"
    night.ingest(skipped=(replace(line, is_new=True),), seen_until=at("03:30"), now="03:31")
    assert [(micros(at("03:00")), micros(at("03:31")))] == night.rows(columns, id=night.host), "an equal line is one"


def test_a_failing_target_is_reported_once_when_lost_and_once_when_back(night: Estate) -> None:
    def fail(now: str) -> bool:
        return record_failure(night.store, night.host, "no route to host", "unreachable", at(now), None)

    assert [True, False, False] == [fail("03:20"), fail("03:21"), fail("03:22")]
    assert (3, micros(at("03:20")), "no route to host", "unreachable") == night.fetch_one(
        "SELECT failures, failing_since_us, error, error_kind FROM target WHERE id = :id", id=night.host
    )
    night.ingest(now="03:30")
    assert (0, None, "", "") == night.fetch_one(
        "SELECT failures, failing_since_us, error, error_kind FROM target WHERE id = :id", id=night.host
    )
    assert [
        ("lost", "etl-hosts/db07: no route to host"),
        ("back", "etl-hosts/db07 works again"),
    ] == night.rows("SELECT kind, text FROM event ORDER BY id")


def test_a_scheduler_that_starts_nothing_is_a_problem_since_its_first_poll_until_it_runs(night: Estate) -> None:
    health = "SELECT failures, failing_since_us, error, error_fix, error_kind FROM target WHERE id = :id"
    record_failure(night.store, night.host, "no route to host", "unreachable", at("03:20"), None)
    problem = "cron does not run on db07. Fix: start it"
    for now, stopped in (("03:21", problem), ("03:22", problem), ("03:23", None)):  # None: not read, as it was
        night.ingest(now=now, stopped=stopped)
        assert (0, micros(at("03:21")), "cron does not run on db07.", "start it", "stopped") == night.fetch_one(
            health, id=night.host
        )
    night.ingest(now="03:24")
    assert (0, None, "", "", "") == night.fetch_one(health, id=night.host)
    night.ingest(now="03:25", stopped=None)
    assert (0, None, "", "", "") == night.fetch_one(health, id=night.host)
    assert [
        ("lost", "etl-hosts/db07: no route to host"),
        ("lost", f"etl-hosts/db07: {problem}"),
        ("back", "etl-hosts/db07 works again"),
    ] == night.rows("SELECT kind, text FROM event ORDER BY id")


def test_a_stop_is_known_from_the_second_poll_that_reads_it(night: Estate) -> None:
    """An outage before is no reading of it."""
    record_failure(night.store, night.host, "no route to host", "unreachable", at("03:20"), None)
    stopped = []
    for now in ("03:21", "03:22"):
        night.ingest(now=now, stopped="cron does not run on db07")
        estate = load_estate(night.store, at(now), EvaluationSettings())
        stopped.append(estate.targets[night.host].is_stopped)
    assert [False, True] == stopped


def test_an_engine_that_lost_its_lease_writes_neither_records_nor_cursor(night: Estate) -> None:
    lease.acquire_lease(night.store, "other", 10)
    with pytest.raises(LeaseLost):
        ingest_batch(night.store, night.host, poll(failed(), cursor="new"), fence=99)
    assert 0 == night.fetch_one("SELECT count(*) FROM run")
    assert "" == night.fetch_one("SELECT cursor FROM target WHERE id = :id", id=night.host)


def test_five_thousand_records_go_in_one_batch(night: Estate) -> None:
    records = [
        RunRecord(
            f"db07:job{number % 2_500}", str(number), RunState.SUCCEEDED, "done", period_key=f"p{number // 2_500}",
            started_at=instant(micros(at("03:00")) + number * 1_000_000), ended_at=at("05:00"),
        )
        for number in range(5_000)
    ]  # fmt: skip
    done = night.ingest(*records, now="05:01")
    assert (5_000, 2_500) == (len(done.changed_run_ids), len(done.changed_job_ids))
    assert 2_500 == night.fetch_one(
        "SELECT count(*) FROM latest_run l JOIN run r ON r.id = l.run_id WHERE r.period_key = 'p1'"
    )
    assert () == night.ingest(*records, now="05:02").changed_run_ids


def test_f42_a_source_id_that_is_used_again_is_another_attempt(night: Estate) -> None:
    """A job that was created again counts from 1 again."""
    first = night.ingest(run()).changed_run_ids
    for later in (running(period="05:30"), failed(period="05:30"), failed(period="05:30"), running(period="05:30")):
        night.ingest(later, now="05:40")
    assert [(*first, FORMER, "succeeded")] == night.rows(
        "SELECT r.id, a.attempt_key, r.state FROM run r JOIN attempt a ON a.run_id = r.id WHERE a.number = 1 AND"
        " r.period_key = :key", key=instant_key(at("03:10"))
    )  # fmt: skip
    assert [(instant_key(at("05:30")), "1", "failed", 1)] == night.rows(
        "SELECT r.period_key, a.attempt_key, r.state, r.attempts FROM run r JOIN attempt a ON a.run_id = r.id WHERE"
        " r.id <> :first", first=first[0]
    )  # fmt: skip


def test_an_attempt_of_before_one_of_the_same_key_changes_nothing(night: Estate) -> None:
    night.ingest(running(period="05:30"), now="05:31")
    assert () == night.ingest(failed(), now="05:32").changed_run_ids
    assert [("1", "running")] == night.rows("SELECT attempt_key, state FROM attempt")


@pytest.mark.parametrize(
    "known, later",
    [
        (failed(state=RunState.LOST, evidence=RunEvidence.INFERRED), running(started_at=at("03:16"))),  # it was back
        (failed(started_at=None), running(started_at=at("03:16"))),
        (failed(), running(started_at=at("03:14"))),
    ],
)
def test_a_later_start_of_an_attempt_without_a_recorded_end_before_it_is_its_own(
    night: Estate, known: RunRecord, later: RunRecord
) -> None:
    night.ingest(known)
    night.ingest(later, now="03:18")
    assert ["1"] == [key for (key,) in night.rows("SELECT attempt_key FROM attempt")]


def test_a_start_under_the_key_of_an_ended_attempt_has_a_period_of_its_own(night: Estate) -> None:
    unnamed: dict[str, Any] = {"period_key": None, "period_at": None}
    for record in (run(**unnamed), running(period="05:30", **unnamed), failed(period="05:30", **unnamed)):
        taken = targets.started_periods(night.store, night.host, [record], {})
        night.ingest(*assign_periods([record], {}, *taken), now="05:36")
    assert [("start:2026-11-20T03:10:00Z", "succeeded"), ("start:2026-11-20T05:30:00Z", "failed")] == night.rows(
        "SELECT period_key, state FROM run ORDER BY period_key"
    )


def test_each_poll_changes_its_target_after_all_earlier_ones(served: Estate) -> None:
    """An evaluation reads the targets with a greater number than those it has read."""

    def numbers() -> dict[int, int]:
        with served.store.read() as session:
            return dict(session.rows("SELECT id, changed_seq FROM target"))

    for number in range(3):
        before = numbers()
        served.ingest(run(attempt=f"a{number}"))
        assert max(before.values()) < numbers()[served.host]
        record_failure(served.store, served.airflow, "no answer", "unreachable", at("03:20"), None)
        assert numbers()[served.host] < numbers()[served.airflow]
