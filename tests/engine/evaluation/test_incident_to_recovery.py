"""One failure becomes one alert and a verified rerun, step by step, with nothing but rows between the steps."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.sdk.errors import AccessRefused, OutcomeUnknown, SystemUnreachable
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import Decisions
from console.domain.estate import Estate
from console.domain.ids import new_action_key
from console.domain.reason import GreenAgain
from console.domain.text import render
from console.engine.api.action_request import AlreadyRequested
from console.engine.notify.outbox import REPEAT
from console.engine.notify.paging import PageAction
from console.engine.notify.senders import SendResult
from console.engine.supervisor.engine import Engine
from console.timing.clock import real_now
from console.timing.formats import local_time
from tests.action_requests import rerun_of
from tests.engine.bench import Bench
from tests.lab.process import HANGS_SECONDS
from tests.present import present
from tests.reasons import dated

AGO = timedelta(minutes=1)


def failed(bench: Bench) -> int:
    """extract has failed and everybody was notified; its run's id."""
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - AGO, exit_code=1, message="exit 1")
    bench.scheduler.logs["a1"] = "connecting\nERROR no space left\n"
    bench.turn()
    with bench.reads() as reads:
        run_id = reads.incidents.incident(1).row.root_run_id
    assert run_id is not None
    return run_id


def state_of(bench: Bench, key: str) -> str:
    with bench.reads() as reads:
        return next(action.state for action in reads.actions.list_actions() if action.key == key)


def ask_rerun(bench: Bench, run_id: int) -> str:
    key = new_action_key()
    requests = bench.requests()
    question = requests.preview(rerun_of(run_id))
    bench.parts.answers.step(bench.fence)
    answer = requests.wait(question, HANGS_SECONDS)
    assert answer.ok, answer.error
    requests.act(rerun_of(run_id, answer.data, "because"), key)
    return key


def test_one_failure_is_one_incident_and_one_alert_with_its_log(bench: Bench) -> None:
    failed(bench)
    bench.turn()
    bench.turn()
    ((_, title, body),) = bench.sink.got
    assert "INC-0001" in title
    assert "ERROR no space left" in body
    assert "Supply plan" in body
    assert "headway incident INC-0001" in body


def test_a_rerun_is_verified_by_the_scheduler_and_the_recovery_is_notified(bench: Bench) -> None:
    key = ask_rerun(bench, failed(bench))
    bench.parts.actions.step(bench.fence)
    assert ([key], "sent") == (bench.scheduler.acted, state_of(bench, key))
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, real_now(), action_key=key, period_key=None)
    bench.turn()
    bench.parts.actions.step(bench.fence)
    assert "verified" == state_of(bench, key)
    with bench.reads() as reads:
        view = reads.incidents.incident(1)
    assert view.row.closed is not None
    assert 2 == len(bench.sink.got)
    _, title, body = bench.sink.got[1]
    by = view.actions[0].requested_by
    assert [PageAction.OPEN, PageAction.RESOLVE] == bench.sink.actions
    assert "(INC-0001, " in title
    assert title.endswith(f", rerun by {by})")
    assert "failed" not in title + body
    assert view.repaired is not None
    assert f"Repaired       rerun by {by}, good at {local_time(view.repaired, 'UTC')}" in body
    assert isinstance(view.close_reason, GreenAgain)
    assert (f"rerun by {by}", True) == (view.close_reason.repair, (view.close_reason.took_s or 0) < 60)
    assert f"closed: {render(view.close_reason.text, str)}" in [dated(event.text) for event in view.events]


def test_the_rerun_is_attempt_two_of_the_same_run(bench: Bench) -> None:
    run_id = failed(bench)
    key = ask_rerun(bench, run_id)
    bench.parts.actions.step(bench.fence)
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, real_now(), action_key=key, period_key=None)
    bench.turn()
    with bench.reads() as reads:
        view = reads.runs.run(run_id)
    assert [(1, "failed", None), (2, "succeeded", key)] == sorted(
        (attempt.number, attempt.state, attempt.action_key) for attempt in view.attempts
    )


def test_a_lost_answer_is_looked_up_and_never_sent_again(bench: Bench) -> None:
    def lose(_: str) -> None:
        raise OutcomeUnknown("no answer")

    key = ask_rerun(bench, failed(bench))
    bench.scheduler.on_act = lose
    bench.parts.actions.step(bench.fence)
    assert "unknown" == state_of(bench, key)
    bench.parts.actions.step(bench.fence)
    assert ([key], 1, "sent") == (bench.scheduler.acted, bench.scheduler.look_ups, state_of(bench, key))


def test_an_action_in_flight_when_the_engine_died_is_looked_up_first(bench: Bench) -> None:
    def die(_: str) -> None:
        raise SystemExit

    key = ask_rerun(bench, failed(bench))
    bench.scheduler.on_act = die
    with pytest.raises(SystemExit):
        bench.parts.actions.step(bench.fence)
    bench.restart(dead=True)
    bench.parts.actions.step(bench.fence)
    assert "unknown" == state_of(bench, key)
    bench.parts.actions.step(bench.fence)
    assert ([key], "sent") == (bench.scheduler.acted, state_of(bench, key))


def test_an_action_that_proves_never_to_have_arrived_fails_and_is_not_repeated(bench: Bench) -> None:
    key = ask_rerun(bench, failed(bench))

    def vanish(_: str) -> None:
        bench.scheduler.acted.clear()
        raise OutcomeUnknown("reset by peer")

    bench.scheduler.on_act = vanish
    bench.parts.actions.step(bench.fence)
    bench.parts.actions.step(bench.fence)
    bench.parts.actions.step(bench.fence)
    assert ("failed", []) == (state_of(bench, key), bench.scheduler.acted)


def test_a_refused_action_says_so_and_changes_nothing(bench: Bench) -> None:
    def refuse(_: str) -> None:
        raise AccessRefused("no right to run as etl")

    key = ask_rerun(bench, failed(bench))
    bench.scheduler.on_act = refuse
    bench.parts.actions.step(bench.fence)
    assert "refused" == state_of(bench, key)


def test_a_second_person_learns_who_requested_it_already(bench: Bench) -> None:
    run_id = failed(bench)
    ask_rerun(bench, run_id)
    with pytest.raises(AlreadyRequested, match=r"already requested by .* ago; it is requested"):
        bench.requests().act(rerun_of(run_id, {"verb": "run again"}), new_action_key())


def test_the_same_key_twice_is_one_action(bench: Bench) -> None:
    run_id = failed(bench)
    key = ask_rerun(bench, run_id)
    bench.requests().act(rerun_of(run_id, {"verb": "run again"}), key)
    bench.parts.actions.step(bench.fence)
    assert [key] == bench.scheduler.acted


def test_a_refusing_receiver_is_tried_again_without_being_called_a_repeat(bench: Bench) -> None:
    bench.sink.answer = SendResult(False, "error=500")
    failed(bench)
    with bench.reads() as reads:
        (delivery,) = reads.incidents.incident(1).deliveries
    assert ("pending", 1, 0, "error=500") == (delivery.state, delivery.tries, delivery.repeats, delivery.error)


def test_a_lost_receipt_is_one_marked_repeat(bench: Bench) -> None:
    bench.sink.answer = SendResult(None, "connection error")
    failed(bench)
    bench.sink.answer = SendResult(True)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE delivery SET next_us = 0")
    bench.send()
    assert 2 == len(bench.sink.got)
    assert bench.sink.got[1][2].startswith(REPEAT.rows[0])


def test_a_delivery_claimed_before_a_crash_but_not_sent_leaves_once_and_unmarked(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - AGO)
    bench.poller.poll_once(bench.fence)
    bench.parts.evaluator.step(bench.fence)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE delivery SET state = 'claimed', tries = 1")
    bench.restart()
    bench.send()
    ((_, _, body),) = bench.sink.got
    assert "repeat" not in body


def test_secrets_never_reach_the_store_or_an_error(bench: Bench) -> None:
    bench.sink.answer = SendResult(False, "cannot post to json://sink.example/SECRET-TOKEN")
    failed(bench)
    with bench.reads() as reads:
        (delivery,) = reads.incidents.incident(1).deliveries
    assert "SECRET-TOKEN" not in delivery.error
    assert b"SECRET-TOKEN" not in (bench.folder / "headway.db").read_bytes()


def test_an_unreachable_target_is_reported_with_its_reason_and_ended_runs_stay(bench: Bench) -> None:
    run_id = failed(bench)
    bench.scheduler.refuse = SystemUnreachable("fake: no route to host")
    bench.poller.poll_once(bench.fence)
    with bench.reads() as reads:
        (target,) = reads.estate.systems()
        view = reads.runs.run(run_id)
    assert ("unreachable", "fake: no route to host", "failed") == (target.error_kind, target.error, view.row.state)


def test_a_surprise_in_a_connector_is_recorded_and_the_watch_goes_on(bench: Bench) -> None:
    bench.scheduler.refuse = ZeroDivisionError("a bug")
    bench.one_round()
    with bench.reads() as reads:
        (target,) = reads.estate.systems()
    assert "broken" == target.error_kind


def test_symptom_before_cause_is_regrouped_as_one_update(bench: Bench) -> None:
    bench.scheduler.attempt("load", "l1", RunState.FAILED, present() - AGO)
    bench.turn()
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - 2 * AGO)
    bench.turn()
    with bench.reads() as reads:
        (incident,) = reads.incidents.list_incidents()
    assert "fake/extract" == incident.root_job
    assert 2 == len(bench.sink.got)
    assert all("INC-0001" in title for _, title, _ in bench.sink.got)


def test_an_engine_that_does_not_stand_by_ends_where_another_works(bench: Bench) -> None:
    engine = Engine(lambda: bench.parts, bench.parts, standby=False)
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    thread.join(HANGS_SECONDS)
    still_running = thread.is_alive()
    engine.stop()
    assert not still_running


def test_a_change_has_only_what_it_can_touch_judged_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.scheduler.job("alone")
    bench.scheduler.attempt("alone", "x1", RunState.SUCCEEDED, present() - AGO)
    seen: list[set[str]] = []

    def watched(estate: Estate, now: datetime, **more: Any) -> Decisions:
        seen.append({job.native_id for job in estate.jobs.values()})
        return evaluate(estate, now, **more)

    monkeypatch.setattr("console.engine.evaluation.evaluator.evaluate", watched)
    bench.turn()
    bench.parts.evaluator.step(bench.fence)
    bench.scheduler.attempt("load", "l1", RunState.SUCCEEDED, present() - AGO)
    bench.turn()
    assert ({"alone", "extract", "load"}, {"extract", "load"}) == (seen[0], seen[-1])
