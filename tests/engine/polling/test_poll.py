"""One target's polls: what a broken log, connection or connector may cost, and what it may not."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.sdk.contract import Probe
from connectors.sdk.errors import AccessRefused, InvalidAnswer, RateLimited, SystemUnreachable
from connectors.sdk.records import Inventory, JobRecord, Poll, RunRef, Schedule
from connectors.sdk.states import SOURCE_SCHEDULE, Capability, RunState
from connectors.sdk.transport.call_limits import RequestTally
from console.config.sections import DependencySettings
from console.domain.dependency import DependencyMode
from console.domain.ids import micros, new_action_key
from console.engine.api.requests import AcceptDrift
from console.engine.polling import poller
from console.engine.polling.poller import MATCHING_SECONDS, VERIFY_SECONDS, TargetPoller
from console.store.config_sync import SyncResult
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.meta import set_meta
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeConnector, FakeScheduler
from tests.present import present


def ends_red(bench: Bench, attempts: int = 1) -> None:
    for number in range(attempts):
        at = present() - timedelta(minutes=attempts - number)
        bench.scheduler.attempt("extract", f"a{number}", RunState.FAILED, at, period_key=f"p{number}")


def tails(bench: Bench) -> list[tuple[str, str]]:
    """(text, error) of each stored log end, by attempt."""
    with bench.store.read() as connection:
        rows = connection.rows("SELECT text, error FROM log_tail ORDER BY attempt_id")
    return [(row[0], row[1]) for row in rows]


def test_a_log_that_breaks_its_reader_does_not_prevent_the_notification(bench: Bench) -> None:
    def broken(_: str) -> None:
        raise ZeroDivisionError

    bench.scheduler.on_log = broken
    ends_red(bench)
    bench.turn()
    ((_, title, body),) = bench.sink.got
    assert "INC-0001" in title
    assert "Last log lines:" not in body
    [(tail, error)] = tails(bench)
    assert ("", True) == (tail, error.startswith("its log could not be read (ZeroDivisionError); ")), error


def test_what_is_lost_without_an_end_has_its_log_too(bench: Bench) -> None:
    bench.scheduler.logs = {"a1": "Killed\n", "a0": "too old"}
    bench.scheduler.attempt(
        "extract", "a0", RunState.LOST, present() - timedelta(days=3), period_key="p0", ended_at=None
    )
    bench.scheduler.attempt(
        "extract", "a1", RunState.LOST, present() - timedelta(minutes=1), period_key="p1", ended_at=None
    )
    bench.turn()
    assert [("Killed\n", "")] == tails(bench)


def test_the_business_date_of_the_source_counts_before_the_one_of_the_start(bench: Bench) -> None:
    at = present() - timedelta(minutes=1)
    bench.scheduler.attempt("extract", "a0", RunState.SUCCEEDED, at, period_key="p0", business_date=date(2026, 11, 2))
    bench.scheduler.attempt("extract", "a1", RunState.SUCCEEDED, at, period_key="p1")
    bench.one_round()
    with bench.store.read() as connection:
        rows = connection.rows("SELECT period_key, business_date FROM run ORDER BY period_key")
    dates = [str(row[1]) for row in rows]
    assert "2026-11-02" == dates[0] != dates[1]


def test_a_repetition_under_the_key_of_another_store_joins_the_run_that_it_repeats(bench: Bench) -> None:
    """A second Headway repaired the run: here it stayed failed for good, and the repair was a run of its own."""
    at = present() - timedelta(minutes=10)
    bench.scheduler.attempt("extract", "a0", RunState.FAILED, at, period_key=None)
    again = {"again_of": "a0", "action_key": new_action_key(), "period_key": None}
    bench.scheduler.attempt("extract", "a1", RunState.SUCCEEDED, at + timedelta(minutes=5), **again)
    bench.one_round()
    with bench.store.read() as connection:
        rows = connection.rows("SELECT attempts, state FROM run")
    assert [(2, "succeeded")] == [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), AccessRefused("no right to ask")])
def test_a_failing_check_of_rights_spoils_no_poll_and_is_repeated_soon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    requests: list[float] = []

    def probe(_: FakeConnector, timeout_seconds: float) -> Probe:
        requests.append(timeout_seconds)
        if len(requests) == 1:
            raise error
        return Probe(True, "2.1")

    monkeypatch.setattr(FakeConnector, "probe", probe)
    monkeypatch.setattr("console.engine.polling.poller.RIGHTS_RETRY", timedelta(0))
    versions = []
    for _ in range(3):
        bench.one_round()
        with bench.store.read() as connection:
            sql = "SELECT version, failing_since_us, error FROM target WHERE id = ?"
            versions.append(tuple(connection.rows(sql, (bench.poller.target_id,))[0]))
    assert [("", None, ""), ("2.1", None, ""), ("2.1", None, "")] == versions
    assert 2 == len(requests), "what went well is looked at again in an hour"
    every = bench.config.systems["fake"].settings.poll_every.total_seconds()
    assert all(1.0 <= seconds <= max(1.0, every) for seconds in requests)


def test_rights_are_read_again_once_the_scheduler_stops_or_works_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them states that it runs: read in its turn, it would contradict the polls for an hour."""
    stopped, probes = "", []

    def poll(*_: object, **__: object) -> Poll:
        return Poll((), "0", stopped=stopped)

    def probe(_: FakeConnector, __: float) -> Probe:
        probes.append(stopped)
        return Probe(True, "2.1")

    monkeypatch.setattr(FakeConnector, "poll", poll)
    monkeypatch.setattr(FakeConnector, "probe", probe)
    for state in ("", "", "no daemon", "no daemon", "", ""):
        stopped = state
        bench.one_round()
    assert ["", "no daemon", ""] == probes


def test_slow_logs_hold_the_alert_up_once_and_not_one_after_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them take all the time that there is for one poll's."""
    read: list[object] = []
    clock = SimpleNamespace(monotonic=lambda: 0.6 * poller.TAIL_SECONDS * len(read))
    monkeypatch.setattr(poller, "time", clock)
    bench.scheduler.on_log = read.append
    bench.scheduler.logs = {f"a{number}": f"log {number}" for number in range(8)}
    ends_red(bench, attempts=8)
    bench.turn()
    assert 1 == len(bench.sink.got)
    assert [("log 6", ""), ("log 7", "")] == tails(bench)


def test_logs_that_one_poll_has_no_room_for_are_fetched_by_the_next_ones(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source reports each failure once: those beyond the limit never had a log."""
    monkeypatch.setattr(poller, "TAILS_A_POLL", 3)
    monkeypatch.setattr(poller, "CHUNK_RUNS", 2)
    texts = [f"log {number}" for number in range(8)]
    bench.scheduler.logs = {f"a{number}": text for number, text in enumerate(texts)}
    ends_red(bench, attempts=8)
    counts = []
    for _ in range(4):
        bench.poller.poll_once(bench.fence)
        bench.scheduler.runs.clear()
        counts.append(len(tails(bench)))
    assert [3, 6, 8, 8] == counts
    assert texts == sorted(text for text, _ in tails(bench))


@pytest.mark.parametrize(
    "error, kind, fix",
    [
        (RateLimited("(429)"), "limited", "raise poll_every"),
        (InvalidAnswer("(500)"), "failing", "ask its operators"),
        (SystemUnreachable("no route"), "unreachable", "check that it runs"),
    ],
)
def test_a_source_that_answers_is_not_called_silent(bench: Bench, error: Exception, kind: str, fix: str) -> None:
    bench.scheduler.refuse = error
    bench.poller.poll_once(bench.fence)
    with bench.reads() as reads:
        (target,) = reads.estate.systems()
    assert (kind, str(error)) == (target.error_kind, target.error)
    assert target.fix.startswith(fix)


def test_the_fix_that_a_connector_names_is_a_fact_of_its_own(bench: Bench) -> None:
    """A notification has it as its first step, beside the error."""
    bench.scheduler.refuse = SystemUnreachable("hosts/db07: refused. Fix: open its port.")
    bench.poller.poll_once(bench.fence)
    with bench.reads() as reads:
        (target,) = reads.estate.systems()
    assert ("hosts/db07: refused.", "open its port.") == (target.error, target.error_fix)
    assert "refused. Fix: open its port." in target.verdict("{:%H:%M}".format)
    bench.scheduler.refuse = None
    bench.poller.poll_once(bench.fence)
    with bench.reads() as reads:
        (target,) = reads.estate.systems()
    assert ("", "") == (target.error, target.error_fix)


def test_a_pause_requested_by_a_server_is_respected(bench: Bench) -> None:
    """429 with Retry-After: polled again after a second, it would refuse again, and count that too."""
    bench.scheduler.refuse = SystemUnreachable("too many requests", 120.0)
    bench.poller.poll_once(bench.fence)
    assert 120.0 <= bench.poller._pause()
    bench.scheduler.refuse = None
    bench.poller.poll_once(bench.fence)
    assert bench.poller._pause() <= 60


def test_a_poll_that_is_limited_between_pages_goes_on_at_its_cursor(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is stored, and it is no failure: the next poll comes as soon as the source allows it."""
    cursors: list[str] = []

    def poll(_: FakeConnector, cursor: str, open_runs: object, timeout_seconds: float) -> Poll:
        cursors.append(cursor)
        if len(cursors) in (2, 3):
            raise RateLimited("(429)", 40.0)
        return Poll((), f"page {len(cursors)}", more=len(cursors) < 4)

    monkeypatch.setattr(FakeConnector, "poll", poll)
    assert 39 < bench.poller.step(bench.fence) <= 40
    sql = "SELECT cursor, failures, error FROM target WHERE id = ?"
    with bench.store.read() as connection:
        assert [("page 1", 0, "")] == [tuple(row) for row in connection.rows(sql, (bench.poller.target_id,))]
    bench.poller.step(bench.fence)
    assert 1 == bench.poller._failures, "nothing was read: it is a failure"
    bench.poller.step(bench.fence)
    assert ["", "page 1", "page 1", "page 1"] == cursors
    assert 0 == bench.poller._failures


def test_an_unreachable_target_is_polled_each_minute_and_one_that_answers_with_errors_less_often(bench: Bench) -> None:
    """The end of an outage is noticed soon."""
    for error, most in ((InvalidAnswer("(500)"), 300), (SystemUnreachable("no route"), 60)):
        bench.scheduler.refuse = error
        for _ in range(5):
            bench.poller.poll_once(bench.fence)
        assert 0.96 * most < bench.poller._pause() <= most


def test_targets_that_start_together_are_polled_at_different_times_afterwards(bench: Bench) -> None:
    pollers = [TargetPoller(bench.parts.polling, bench.poller._place) for _ in range(50)]
    first = sorted(poller.step(bench.fence) for poller in pollers)
    assert first[0] < 15 < 45 < first[-1] <= 60
    assert all(55 < poller.step(bench.fence) <= 60 for poller in pollers[:3])


def test_a_target_is_polled_more_often_while_the_end_of_an_action_is_awaited(bench: Bench) -> None:
    """Not one that fails, nor one that says how many requests it still allows."""
    bench.poller.step(bench.fence)
    assert 58 < bench.poller._pause()
    bench.poller.verifying_until = time.monotonic() + VERIFY_SECONDS
    assert 19 < bench.poller._pause() <= 20, "a third of its interval"
    bench.poller._spending._tally = RequestTally(1, "12 of 60 left")
    assert 58 < bench.poller._pause()
    bench.poller._spending._tally = RequestTally(1)
    bench.scheduler.refuse = SystemUnreachable("no answer")
    bench.poller.poll_once(bench.fence)
    assert 58 < bench.poller._pause()
    bench.scheduler.refuse = None
    bench.poller.poll_once(bench.fence)
    assert bench.poller._pause() <= 20
    bench.poller.verifying_until = time.monotonic()
    assert 58 < bench.poller._pause()


@pytest.mark.parametrize("late, least", [(0.0, 58.0), (5.0, 53.0), (29.0, 29.0), (600.0, 29.0)])
def test_a_late_poll_shortens_the_pause_after_it_by_half_at_most(bench: Bench, late: float, least: float) -> None:
    """Polls that were late together would otherwise stay together, and be late again."""
    bench.poller.step(bench.fence)
    started = bench.poller._due + late
    assert least < bench.poller._next_due(started) - started <= max(60 - late, 30)


def test_a_poll_before_its_time_shortens_no_interval(bench: Bench) -> None:
    bench.poller.step(bench.fence)
    started = bench.poller._due - 40
    assert 58 < bench.poller._next_due(started) - started <= 60


def test_a_pause_requested_by_a_server_is_not_shortened_for_a_late_poll(bench: Bench) -> None:
    bench.poller.step(bench.fence)
    started = bench.poller._due + 600
    bench.scheduler.refuse = SystemUnreachable("too many requests", 120.0)
    bench.poller.poll_once(bench.fence)
    assert 120.0 <= bench.poller._next_due(started) - started


def test_after_a_surprise_the_next_poll_uses_a_new_connection(bench: Bench) -> None:
    bench.scheduler.broken_close = True
    bench.scheduler.refuse = ZeroDivisionError("a bug")
    bench.one_round()
    opened = bench.scheduler.opened
    bench.scheduler.refuse = None
    bench.one_round()
    assert opened + 1 == bench.scheduler.opened
    with bench.reads() as reads:
        (target,) = reads.estate.systems()
    assert ("", None) == (target.error_kind, target.failing_since)


def test_after_a_surprise_what_people_ask_uses_a_new_connection(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError), bench.parts.connectors.exclusive(bench.poller.target_id) as first:
        raise ZeroDivisionError
    with bench.parts.connectors.exclusive(bench.poller.target_id) as second:
        assert first is not second


def test_a_poll_without_news_wakes_nothing(bench: Bench) -> None:
    """Two hundred quiet hosts would have the whole estate judged thirteen times a second."""
    ends_red(bench)
    bench.turn()
    bench.parts.evaluator.wake.clear()
    bench.poller.poll_once(bench.fence)
    assert not bench.parts.evaluator.wake.is_set()
    bench.scheduler.end("a0", RunState.SUCCEEDED, present())
    bench.poller.poll_once(bench.fence)
    assert bench.parts.evaluator.wake.is_set()


def test_config_is_matched_again_for_new_jobs_and_not_for_every_next_instant(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow names the next run of each DAG again all day long."""
    matched: list[int] = []

    def match(*_: object) -> SyncResult:
        matched.append(1)
        return SyncResult()

    monkeypatch.setattr("console.engine.supervisor.config_sync.sync_config", match)
    bench.turn()
    bench.scheduler.jobs["extract"] = JobRecord("extract", definition_hash="other", definition="other")
    again(bench)
    assert [1] == matched
    bench.scheduler.job("report")
    again(bench)
    assert [1, 1] == matched


def test_a_target_of_a_failed_engine_is_polled_without_an_inventory_until_that_is_due(bench: Bench) -> None:
    bench.poller.poll_once(bench.fence)
    bench.scheduler.job("new")
    successor = TargetPoller(bench.parts.polling, bench.poller._place)
    successor.poll_once(bench.fence)
    assert 0 < successor._inventory_at - time.monotonic() <= 75
    assert {"extract", "load"} == known_names(bench)
    set_config_since(bench)
    TargetPoller(bench.parts.polling, bench.poller._place).poll_once(bench.fence)
    assert {"extract", "load", "new"} == known_names(bench)


def known_names(bench: Bench) -> set[str]:
    with bench.store.read() as session:
        return {row.native_id for row in session.rows("SELECT native_id FROM job")}


def set_config_since(bench: Bench) -> None:
    """Another config is in effect from now on."""
    with bench.store.write(None) as session:
        set_meta(session, {"config_since_us": str(micros(bench.parts.clock.now()))})


RATE = f"{SOURCE_SCHEDULE}rate(1 hour)"


def hourly(name: str, **more: Any) -> JobRecord:
    """A job with a clock of which nobody knows the next start, unless it is said."""
    return JobRecord(
        name, schedule=Schedule("none", text=f"{SOURCE_SCHEDULE}rate(1 hour)", **more), definition_hash=str(more)
    )


def remarks(bench: Bench) -> list[str]:
    with bench.store.read() as connection:
        return list(json.loads(connection.rows("SELECT value FROM meta WHERE name = 'backwards'")[0][0]))


def test_an_impossible_dependency_is_notified_when_its_new_schedule_is_accepted_and_until_it_is_fixed(
    tmp_path: Path,
) -> None:
    """What was true when the engine began need not be so in the afternoon."""
    scheduler = FakeScheduler()
    scheduler.job("extract", Schedule("cron", "0 3 * * *", "UTC"))
    scheduler.job("load", Schedule("cron", "0 4 * * *", "UTC"))
    config = estate_config(tmp_path, scheduler)
    held = DependencySettings(upstream="fake/extract", downstream="fake/load", mode=DependencyMode.HOLD)
    with running_bench(tmp_path, scheduler, replace(config, dependencies=(held,))) as bench:
        bench.turn()
        assert [] == remarks(bench)
        scheduler.jobs["load"] = hourly("load")
        again(bench)
        [(job_id,)] = [row[:1] for row in _jobs(bench) if row[1] == "load"]
        with bench.reads() as reads:
            [shown] = [drift.id for drift in reads.estate.drift()]
        bench.requests().ask(AcceptDrift(job_id, shown))
        bench.parts.answers.step(bench.fence)
        bench.parts.answers.close()
        [text] = remarks(bench)
        assert text.startswith(f"fake/load cannot be held until fake/extract is good: {SOURCE_SCHEDULE}rate(1 hour)")
        scheduler.jobs["load"] = hourly("load", next_at=present() + timedelta(hours=1))
        again(bench)
        assert [] == remarks(bench)


def test_only_calls_to_the_target_count_as_waiting_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inventory, runs, log, holds and rights are read; none of them waits for a query of the store."""
    scheduler = FakeScheduler(capabilities=frozenset({Capability.RERUN, Capability.LOG, Capability.HOLD}))
    scheduler.job("extract")
    scheduler.job("load")
    calls, in_store = dict[str, bool](), list[bool]()
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        poller = bench.poller

        def spied(name: str, call: Callable[..., Any], notes: Callable[[bool], object]) -> None:
            def spy(self: object, *given: object, **named: object) -> object:
                notes(math.isfinite(poller.waits_since))
                return call(self, *given, **named)

            monkeypatch.setattr(Database if notes == in_store.append else FakeConnector, name, spy)

        for name in ("inventory", "poll", "log", "holds", "probe"):
            spied(name, getattr(FakeConnector, name), partial(calls.__setitem__, name))
        for name in ("read", "write"):
            spied(name, getattr(Database, name), in_store.append)
        ends_red(bench)
        bench.one_round()
    assert dict.fromkeys(("inventory", "poll", "log", "holds", "probe"), True) == calls
    assert {False} == set(in_store)
    assert 0.0 < poller.waited_seconds


@pytest.mark.parametrize("rides", [False, True])
def test_a_poll_goes_on_where_it_waited_for_another_poll_to_match_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rides: bool
) -> None:
    """Its runs are stored only then, and nothing is requested twice."""
    scheduler = FakeScheduler()
    scheduler.job("extract")
    calls, turns, woken = list[str](), list[Callable[[bool], None]](), list[bool]()
    inventory, poll = FakeConnector.inventory, FakeConnector.poll

    def listed(self: FakeConnector, previous_hash: str, timeout_seconds: float) -> Inventory:
        calls.append("inventory")
        return inventory(self, previous_hash, timeout_seconds)

    def polled(self: FakeConnector, *given: Any) -> Poll:
        calls.append("poll")
        return replace(poll(self, *given), inventory=inventory(self, "", 1.0) if rides else None)

    def wait(_: Fence, turn: Callable[[bool], None]) -> bool:
        turns.append(turn)
        return False

    monkeypatch.setattr(FakeConnector, "inventory", listed)
    monkeypatch.setattr(FakeConnector, "poll", polled)
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        kind = replace(scheduler.kind(), inventory_rides_poll=rides)
        place = bench.poller._place
        waits = replace(bench.parts.polling, jobs_changed=wait)
        poller = TargetPoller(waits, replace(place, system=replace(place.system, kind=kind)))
        poller.wake = lambda: woken.append(True)
        ends_red(bench)
        assert {MATCHING_SECONDS} == {poller.step(bench.fence), poller.step(bench.fence)}
        assert [] == tails(bench)
        turns[-1](False)
        assert MATCHING_SECONDS == poller.step(bench.fence)
        turns[-1](True)
        assert MATCHING_SECONDS != poller.step(bench.fence)
        assert 1 == len(tails(bench))
    assert ([True, True], 3) == (woken, len(turns))
    assert (["poll"] if rides else ["inventory", "poll"]) == calls


def test_a_target_that_goes_on_failing_wakes_the_evaluator_once_and_again_when_it_answers(bench: Bench) -> None:
    woken: list[bool] = []
    waking = replace(bench.parts.polling, changed=lambda: woken.append(True))
    poller = TargetPoller(waking, bench.poller._place)
    poller.poll_once(bench.fence)
    woken.clear()
    bench.scheduler.refuse = SystemUnreachable("no answer")
    for _ in range(3):
        poller.poll_once(bench.fence)
    assert [True] == woken
    bench.scheduler.refuse = None
    poller.poll_once(bench.fence)
    assert [True, True] == woken


def test_a_schedule_that_cannot_be_read_is_a_warning_of_its_target_until_it_is_corrected(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warnings() -> list[str]:
        with bench.store.read() as connection:
            [text] = connection.rows("SELECT warnings FROM target WHERE id = ?", (bench.poller.target_id,))[0]
        return list(json.loads(text))

    jobs = {"short": "0 4 * *", "never": "0 0 31 2 *", "good": "0 4 * * *", "told": "0 4 * *"}
    for name, expression in jobs.items():
        next_at = present() + timedelta(hours=1) if name == "told" else None
        bench.scheduler.job(name, Schedule("debian-cron", expression, "UTC", next_at=next_at))
    bench.scheduler.job("far", Schedule("debian-cron", "0 4 * * *", "Mars/Olympus"))
    bench.scheduler.job("paused", Schedule("debian-cron", "0 4 * *", "UTC"), paused=True)
    again(bench)
    reasons = {text.partition(": Headway cannot expand its schedule: ")[0]: text for text in warnings()}
    assert {"short", "far"} == set(reasons)
    assert '"0 4 * *" in UTC: it is not an expression of five fields; no start is expected by it' in reasons["short"]
    bench.restart()
    read = FakeConnector.inventory
    with monkeypatch.context() as unchanged:
        unchanged.setattr(FakeConnector, "inventory", lambda *given: read(*given).unless_same(given[1]))
        again(bench)
    assert sorted(reasons.values()) == sorted(warnings())
    for name in reasons:
        bench.scheduler.job(name, Schedule("debian-cron", "0 4 * * *", "UTC"))
    again(bench)
    assert [] == warnings()


def _jobs(bench: Bench) -> list[tuple[int, str]]:
    with bench.store.read() as connection:
        return [(row[0], row[1]) for row in connection.rows("SELECT id, native_id FROM job")]


def again(bench: Bench) -> None:
    """The inventory is due."""
    bench.poller._inventory_at = 0.0
    bench.poller.poll_once(bench.fence)


def test_open_runs_have_the_names_of_the_inventory_that_was_read_just_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its former name a run that ended would be one of a job that no longer exists."""
    bench.scheduler.jobs["extract"] = replace(bench.scheduler.jobs["extract"], match_keys=("run me",))
    bench.scheduler.attempt("extract", "a1", RunState.RUNNING, present(), period_key="p1")
    bench.one_round()
    requested: list[RunRef] = []

    def poll(_: FakeConnector, cursor: str, open_runs: Sequence[RunRef], __: float) -> Poll:
        requested.extend(open_runs)
        return Poll((), cursor)

    monkeypatch.setattr(FakeConnector, "poll", poll)
    bench.scheduler.jobs["extract_all"] = replace(bench.scheduler.jobs.pop("extract"), native_id="extract_all")
    bench.scheduler.job("another")
    bench.poller._inventory_at = 0.0
    bench.one_round()
    assert ["extract_all"] == [run.job for run in requested]
