"""What becomes of one action: sent once, looked up when its answer is lost, verified, and never in another's way."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from connectors.sdk.contract import ActionAbsent, ActionUnknown
from connectors.sdk.errors import OutcomeUnknown, RecordUnreadable, SystemUnreachable
from connectors.sdk.settle import sent_at
from connectors.sdk.states import RunState, Verb
from console.config.sections import SystemConfig
from console.domain.ids import new_action_key
from console.domain.incident import NEVER_RERUN
from console.domain.job import Safety
from console.domain.settings import JobSetting
from console.engine.actions.state_machine import LOOKUPS
from console.engine.api.action_request import ActionRequest, AlreadyRequested
from console.engine.keyed_executor import KeyedExecutor
from console.store.db.session import Row, SqliteAdapter
from console.timing.clock import real_now
from tests.action_requests import rerun_of
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeConnector, FakeScheduler, NoOptions
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.present import present


def fail(bench: Bench, scheduler: FakeScheduler, job: str = "extract") -> int:
    """A job of that scheduler has failed; its run's id."""
    scheduler.attempt(job, f"{job}-1", RunState.FAILED, present() - timedelta(minutes=1))
    for poller in bench.parts.pollers.values():
        poller.poll_once(bench.fence)
    with bench.store.read() as connection:
        sql = "SELECT r.id FROM run r JOIN job j ON j.id = r.job_id WHERE j.native_id = ?"
        return int(connection.rows(sql, (job,))[0][0])


def ask(bench: Bench, run_id: int) -> str:
    key = new_action_key()
    bench.requests().act(rerun_of(run_id, {"verb": "run again", "summary": "run it again", "scope": "1 run"}), key)
    return key


def state_and_text(bench: Bench, key: str) -> tuple[str, str]:
    """Its state and words."""
    with bench.reads() as reads:
        return next((action.state, action.text) for action in reads.actions.list_actions() if action.key == key)


def lose(error: Exception) -> Callable[[str], None]:
    def act(_: str) -> None:
        raise error

    return act


def again(bench: Bench) -> None:
    """What was put off is due now."""
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET next_us = 0")
    bench.parts.actions.step(bench.fence)


def age(bench: Bench, key: str, hours: int = 0, seconds: int = 0) -> None:
    with bench.store.write(None) as connection:
        us = (hours * 3600 + seconds) * 10**6
        connection.rows("UPDATE action SET sent_us = sent_us - ? WHERE key = ?", (us, key))


@contextmanager
def two_systems(folder: Path, other: FakeScheduler) -> Iterator[Bench]:
    """The bench with a second system, `other`."""
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(folder, scheduler)
    second = SystemConfig("other", config.systems["fake"].settings, other.kind(), NoOptions())
    with running_bench(folder, scheduler, replace(config, systems={**config.systems, "other": second})) as bench:
        yield bench


def test_an_action_at_a_system_that_hangs_holds_up_no_other_systems_action(tmp_path: Path) -> None:
    free, sent = threading.Event(), threading.Event()

    def hang(_: str) -> None:
        free.wait(HANGS_SECONDS)

    other = FakeScheduler(on_act=lambda _: sent.set())
    other.job("report")
    with two_systems(tmp_path, other) as bench:
        bench.scheduler.on_act = hang
        hanging, prompt = fail(bench, bench.scheduler), fail(bench, other, "report")
        ask(bench, hanging)
        ask(bench, prompt)
        rounds = threading.Thread(target=bench.parts.actions.step, args=(bench.fence,))
        rounds.start()
        try:
            assert sent.wait(HANGS_SECONDS / 2)
            assert not free.is_set()
        finally:
            free.set()
            rounds.join(HANGS_SECONDS)


def test_an_action_that_breaks_the_engine_is_put_off_and_the_others_go_on(bench: Bench) -> None:
    broken, whole = fail(bench, bench.scheduler), fail(bench, bench.scheduler, "load")
    first, second = ask(bench, broken), ask(bench, whole)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET preview = '{\"plan\": 5}' WHERE key = ?", (first,))
    bench.parts.actions.step(bench.fence)
    assert ("requested", "TypeError in the engine; its log has the details") == state_and_text(bench, first)
    assert ("sent", [second]) == (state_and_text(bench, second)[0], bench.scheduler.acted)


def test_an_unreadable_answer_is_looked_up_like_a_lost_one(bench: Bench) -> None:
    """It had arrived: "not sent" would have a person send it twice."""
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(RecordUnreadable("the reply is not JSON"))
    bench.parts.actions.step(bench.fence)
    assert ("unknown", "the reply is not JSON") == state_and_text(bench, key)
    bench.parts.actions.step(bench.fence)
    assert ("sent", [key]) == (state_and_text(bench, key)[0], bench.scheduler.acted)


def test_the_intent_records_when_it_was_sent_for_a_later_lookup(bench: Bench) -> None:
    """So that its connector knows for how long the source may still work on it."""
    key = ask(bench, fail(bench, bench.scheduler))
    seen: list[Any] = []

    def read_intent(_: str) -> None:
        with bench.store.read() as connection:
            seen.extend(connection.rows("SELECT state, preview FROM action WHERE key = ?", (key,))[0])

    bench.scheduler.on_act = read_intent
    bench.parts.actions.step(bench.fence)
    sent = sent_at(json.loads(seen[1])["plan"])
    assert ("sending", True) == (seen[0], sent is not None and abs(sent - datetime.now(UTC)) < timedelta(minutes=1))


def test_an_unreachable_target_does_not_use_up_the_lookups(bench: Bench) -> None:
    """An action in flight at an unreachable target is not abandoned: requested again, it would run twice."""
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(OutcomeUnknown("the line was cut"))
    bench.parts.actions.step(bench.fence)
    bench.scheduler.refuse = SystemUnreachable("no route to host")
    for _ in range(70):
        again(bench)
    assert ("unknown", "cannot check the scheduler yet: no route to host") == state_and_text(bench, key)
    bench.scheduler.refuse = None
    again(bench)
    assert ("sent", [key]) == (state_and_text(bench, key)[0], bench.scheduler.acted)


def unable(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of a rerun whose answer was lost, and whose outcome stays unknown however often it is looked up."""
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(OutcomeUnknown("the line was cut"))
    monkeypatch.setattr(FakeConnector, "look_up", lambda *_: ActionUnknown("its list was cut"))
    bench.parts.actions.step(bench.fence)
    for _ in range(LOOKUPS + 3):
        again(bench)
    return key


def test_an_unknown_outcome_stays_unknown_and_a_person_is_notified_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called failed, it would be requested again, and run twice."""
    key = unable(bench, monkeypatch)
    assert ("unknown", "unknown whether it arrived: its list was cut") == state_and_text(bench, key)
    bench.send()
    [alert] = [pair for pair in bench.sink.got if "stays unknown" in pair[1]]
    assert "Rerun: outcome stays unknown: rerun fake/extract" == alert[1]
    assert f"headway action withdraw {key}" in alert[2]
    with bench.reads() as reads:
        [run_id] = {action.run_id for action in reads.actions.list_actions()}
    with pytest.raises(AlreadyRequested, match="it is unknown"):
        ask(bench, run_id or 0)
    assert [key] == bench.scheduler.acted


def test_evidence_that_comes_late_still_ends_an_unknown_outcome(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    key = unable(bench, monkeypatch)
    bench.scheduler.attempt("extract", "late", RunState.SUCCEEDED, real_now(), action_key=key, period_key=None)
    bench.poller.poll_once(bench.fence)
    again(bench)
    again(bench)
    assert ("verified", "succeeded (native)") == state_and_text(bench, key)


def test_a_rerun_that_never_arrived_is_reported_to_people_who_may_have_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(OutcomeUnknown("the line was cut"))
    monkeypatch.setattr(FakeConnector, "look_up", lambda *_: ActionAbsent())
    for _ in range(3):
        again(bench)
    bench.send()
    [(_, title, body)] = bench.sink.got
    assert "Rerun: it never arrived: rerun fake/extract" == title
    assert f"Do    headway rerun fake/extract\nOpen  headway action {key}\n" in body


def test_what_could_not_be_sent_for_hours_is_not_sent_any_more_and_says_why(bench: Bench) -> None:
    """A host that comes back at noon must not be sent what was shown at night."""
    run_id = fail(bench, bench.scheduler)
    key = ask(bench, run_id)
    bench.scheduler.refuse = SystemUnreachable("no route to host")
    again(bench)
    away = "unreachable, nothing was sent yet: no route to host"
    assert ("requested", away) == state_and_text(bench, key)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET requested_us = requested_us - ?", (4 * 3600 * 10**6,))
    bench.scheduler.refuse = None
    again(bench)
    text = f"not sent within 4h ({away}) and abandoned. Fix: request it again"
    assert ("refused", text, []) == (*state_and_text(bench, key), bench.scheduler.acted)
    assert key != ask(bench, run_id)


def test_an_action_that_may_have_been_sent_is_looked_up_however_long_its_target_stays_unreachable(bench: Bench) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(OutcomeUnknown("the line was cut"))
    bench.parts.actions.step(bench.fence)
    bench.scheduler.refuse = SystemUnreachable("no route to host")
    with bench.store.write(None) as connection:
        days = 5 * 86_400 * 10**6
        connection.rows("UPDATE action SET requested_us = requested_us - ?, sent_us = sent_us - ?", (days, days))
    again(bench)
    assert "unknown" == state_and_text(bench, key)[0]
    bench.scheduler.refuse = None
    again(bench)
    assert ("sent", [key]) == (state_and_text(bench, key)[0], bench.scheduler.acted)


def test_a_job_marked_never_is_refused_by_the_engine_whatever_the_asker_saw(tmp_path: Path) -> None:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    never = replace(config, jobs={**config.jobs, "fake/extract": JobSetting("fake/extract", rerun=Safety.NEVER)})
    with running_bench(tmp_path, scheduler, never) as bench:
        key = ask(bench, fail(bench, scheduler))
        bench.parts.actions.step(bench.fence)
        refused = ("refused", NEVER_RERUN)
        assert (refused, []) == (state_and_text(bench, key), scheduler.acted)


def test_a_job_whose_target_left_the_config_is_refused_with_its_system(bench: Bench) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.parts.connectors.places = {}
    bench.parts.actions.step(bench.fence)
    assert ("refused", "fake is no longer in the config") == state_and_text(bench, key)


def test_an_action_whose_run_is_never_seen_to_end_is_over_after_a_day(bench: Bench) -> None:
    """Else nobody could ever ask for that run again."""
    run_id = fail(bench, bench.scheduler)
    key = ask(bench, run_id)
    bench.parts.actions.step(bench.fence)
    bench.scheduler.attempt("extract", "extract-2", RunState.RUNNING, real_now(), action_key=key, period_key=None)
    bench.poller.poll_once(bench.fence)
    age(bench, key, 23)
    bench.parts.actions.step(bench.fence)
    assert "sent" == state_and_text(bench, key)[0]
    age(bench, key, 1)
    bench.parts.actions.step(bench.fence)
    given_up = ("failed", "its run did not end within 24 h. Fix: check the job in the scheduler.")
    assert given_up == state_and_text(bench, key)
    assert key != ask(bench, run_id)


def test_an_action_whose_run_is_never_seen_to_begin_is_over_after_an_hour(bench: Bench) -> None:
    """A host that could not even write that it began."""
    key = ask(bench, fail(bench, bench.scheduler))
    bench.parts.actions.step(bench.fence)
    age(bench, key, 1)
    bench.parts.actions.step(bench.fence)
    assert ("failed", "its run did not start within 1 h. Fix: check the job in the scheduler.") == state_and_text(
        bench, key
    )
    bench.send()
    assert ["Rerun: outcome not verified: rerun fake/extract"] == [pair[1] for pair in bench.sink.got]


@pytest.fixture
def by_minute(tmp_path: Path) -> Iterator[Bench]:
    """A scheduler that starts what it accepts within 65 s, as pg_cron does."""
    scheduler = FakeScheduler(start_within=timedelta(seconds=65), waiting="entry 3 waits for its minute")
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        yield bench


def unstarted(bench: Bench) -> str:
    """The key of a rerun that was accepted, and that a poll well after its promised start does not report."""
    key = ask(bench, fail(bench, bench.scheduler))
    bench.parts.actions.step(bench.fence)
    age(bench, key, seconds=120)
    bench.parts.actions.step(bench.fence)
    assert ("sent", "accepted") == state_and_text(bench, key)  # not polled since: nothing is known
    age(bench, key, seconds=6)
    bench.poller.poll_once(bench.fence)
    bench.parts.actions.step(bench.fence)
    return key


def test_a_start_that_did_not_happen_by_its_promised_time_is_unknown_and_a_person_is_notified(
    by_minute: Bench,
) -> None:
    key = unstarted(by_minute)
    for _ in range(LOOKUPS + 3):
        again(by_minute)
    state, text = state_and_text(by_minute, key)
    assert "unknown" == state
    says = r"no start was seen by \d{4}-\d\d-\d\d \d\d:\d\dZ: entry 3 waits for its minute\. "
    assert re.fullmatch(rf"{says}Fix: .*headway action withdraw {key}", text)
    by_minute.send()
    [(_, title, body)] = by_minute.sink.got
    assert "Rerun: it did not start: rerun fake/extract" == title
    assert f"Do    headway action withdraw {key}\n" in body
    assert 1 == body.count("headway action withdraw")
    assert [key] == by_minute.scheduler.acted


def test_a_start_that_its_scheduler_still_has_after_hours_is_unknown_and_not_over(by_minute: Bench) -> None:
    """After an outage of the engine it was "failed", so that what waited behind it was sent beside it."""
    key = ask(by_minute, fail(by_minute, by_minute.scheduler))
    by_minute.parts.actions.step(by_minute.fence)
    age(by_minute, key, hours=2)
    by_minute.poller.poll_once(by_minute.fence)
    by_minute.parts.actions.step(by_minute.fence)
    assert "unknown" == state_and_text(by_minute, key)[0]


def test_a_start_that_is_late_is_verified_all_the_same(by_minute: Bench) -> None:
    key = unstarted(by_minute)
    assert "unknown" == state_and_text(by_minute, key)[0]
    by_minute.scheduler.attempt("extract", "late", RunState.SUCCEEDED, real_now(), action_key=key, period_key=None)
    by_minute.poller.poll_once(by_minute.fence)
    again(by_minute)
    again(by_minute)
    assert ("verified", "succeeded (native)") == state_and_text(by_minute, key)


def test_what_began_is_not_doubted_though_no_poll_reports_it(by_minute: Bench) -> None:
    by_minute.scheduler.waiting = ""
    assert ("sent", "accepted") == state_and_text(by_minute, unstarted(by_minute))


def test_a_rerun_behind_one_that_did_not_start_is_sent_once_that_is_gone(by_minute: Bench) -> None:
    """A step waited for ever behind the rerun of an aborted plan."""
    ghost = unstarted(by_minute)
    by_minute.scheduler.attempt("extract", "extract-0", RunState.FAILED, present() - timedelta(days=1, minutes=1))
    by_minute.poller.poll_once(by_minute.fence)
    with by_minute.store.read() as connection:
        [(run_id,)] = connection.rows("SELECT r.id FROM run r WHERE r.id NOT IN (SELECT run_id FROM action)")
    key = new_action_key()
    by_minute.requests().act(ActionRequest(Verb.RERUN, run_id, overlap="queue"), key)
    by_minute.parts.actions.step(by_minute.fence)
    state, text = state_and_text(by_minute, key)
    assert ("requested", True) == (state, text.endswith(f", and its outcome is unknown: headway action {ghost}"))
    by_minute.scheduler.acted.remove(ghost)
    again(by_minute)
    gone = "it did not start, and its scheduler no longer has it. Ask again to send it."
    assert ("failed", gone) == state_and_text(by_minute, ghost)
    again(by_minute)
    assert "sent" == state_and_text(by_minute, key)[0]
    by_minute.send()
    expected = ["Rerun: it did not start: rerun fake/extract", "Rerun: it can no longer start: rerun fake/extract"]
    assert expected == [title for _, title, _ in by_minute.sink.got]


def test_a_start_that_its_scheduler_lost_before_its_time_ends_at_once(by_minute: Bench) -> None:
    by_minute.scheduler.on_act = by_minute.scheduler.acted.remove
    key = unstarted(by_minute)
    gone = "it did not start, and its scheduler no longer has it. Ask again to send it."
    assert ("failed", gone) == state_and_text(by_minute, key)
    by_minute.send()
    [(_, title, body)] = by_minute.sink.got
    assert "Rerun: it can no longer start: rerun fake/extract" == title
    assert "Do    headway rerun fake/extract\n" in body


def test_an_attempt_that_was_lost_ends_its_action_although_it_has_no_end(bench: Bench) -> None:
    """A host that was rebooted, a connection that pg_cron lost: no end time ever comes."""
    key = ask(bench, fail(bench, bench.scheduler))
    bench.parts.actions.step(bench.fence)
    more = {"action_key": key, "period_key": None, "ended_at": None}
    bench.scheduler.attempt("extract", "extract-2", RunState.LOST, present(), **more)
    bench.poller.poll_once(bench.fence)
    bench.parts.actions.step(bench.fence)
    assert ("failed", "ended lost") == state_and_text(bench, key)


@pytest.mark.parametrize(
    "state, exit_code, message, text",
    [
        (RunState.FAILED, None, "no space left", "ended failed: no space left"),
        (RunState.PARTIAL, None, "no space left", "ended partial: no space left"),
        (RunState.FAILED, 1, "no space left", "ended failed, exit 1: no space left"),
        (RunState.FAILED, 1, "exit 1", "ended failed, exit 1"),
    ],
)
def test_a_rerun_without_success_is_failed_in_the_schedulers_term(
    bench: Bench, state: RunState, exit_code: int | None, message: str, text: str
) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.parts.actions.step(bench.fence)
    more = {"action_key": key, "period_key": None, "message": message, "exit_code": exit_code}
    bench.scheduler.attempt("extract", "extract-2", state, present(), **more)
    bench.poller.poll_once(bench.fence)
    bench.parts.actions.step(bench.fence)
    assert ("failed", text) == state_and_text(bench, key)


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements that run meanwhile."""
    results: list[str] = []
    real = SqliteAdapter.rows

    def rows(self: SqliteAdapter, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        results.append(sql)
        return real(self, sql, values)

    with patch.object(SqliteAdapter, "rows", rows):
        yield results


@pytest.mark.deep
@pytest.mark.parametrize("under_way", [False, True], ids=["at rest", "a rerun under way"])
def test_an_engine_polls_for_actions_once_a_second_though_one_is_in_flight_for_hours(
    bench: Bench, under_way: bool
) -> None:
    """Each tick would be dozens of questions to a database that others share."""
    if under_way:
        key = ask(bench, fail(bench, bench.scheduler))
        bench.parts.actions.step(bench.fence)
        assert "sent" == state_and_text(bench, key)[0]
    ticks = iter([False] * 9 + [True] * 99)
    begun = time.monotonic()
    with statements() as requested:
        bench.parts.actions.run(bench.fence, lambda: next(ticks))
    rounds = sum("a.state IN (?" in name for name in requested)
    most = 2 + time.monotonic() - begun
    assert 1 <= rounds <= most
    assert len(requested) <= 15 * most


def _wait(free: threading.Event) -> None:
    free.wait(HANGS_SECONDS)


def test_what_a_busy_thread_turned_away_is_due_once_it_is_free_again() -> None:
    """By its next tick, not when a second is over."""
    free, done = threading.Event(), threading.Event()
    lanes = KeyedExecutor(1, "test")
    lanes.take("one", lambda: _wait(free))
    assert not lanes.is_free_again()
    lanes.take("one", done.set)
    assert (False, False) == (lanes.is_free_again(), done.is_set())
    free.set()
    wait_until(lanes.is_free_again, "the free thread")
    assert lanes.is_free_again()
    assert (True, False) == (lanes.is_idle(), lanes.is_free_again())
    lanes.close()


def test_a_request_to_an_idle_engine_is_sent(bench: Bench) -> None:
    run_id = fail(bench, bench.scheduler)
    sent, over = threading.Event(), threading.Event()
    bench.scheduler.on_act = lambda _: sent.set()
    thread = threading.Thread(target=bench.parts.actions.run, args=(bench.fence, over.is_set))
    thread.start()
    try:
        ask(bench, run_id)
        assert sent.wait(HANGS_SECONDS)
    finally:
        over.set()
        thread.join(HANGS_SECONDS)


def test_an_attempt_in_an_unknown_state_does_not_end_its_action(bench: Bench) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.parts.actions.step(bench.fence)
    more = {"action_key": key, "period_key": None, "ended_at": None}
    bench.scheduler.attempt("extract", "extract-2", RunState.UNKNOWN, present(), **more)
    bench.poller.poll_once(bench.fence)
    bench.parts.actions.step(bench.fence)
    assert "sent" == state_and_text(bench, key)[0]
