"""Each verb: requested with parameters, previewed right before it is sent, queued, approved, verified."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.errors import RecordUnreadable, SystemUnreachable
from connectors.sdk.states import Capability, RunState, Verb
from console.domain.ids import micros, new_action_key
from console.domain.job import Safety
from console.domain.settings import JobSetting
from console.engine.api.action_request import ActionRequest, AlreadyRequested
from console.store import approvals
from console.store.audit import ChangeOrigin
from console.store.errors import NotAllowed
from console.timing.clock import real_now
from tests.action_requests import rerun_of
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.present import present

ALL = frozenset(Capability)
UNMARKED = ALL - {Capability.MARK}
SHOWN = {"verb": "run again", "summary": "run it again", "scope": "1 run"}


@pytest.fixture
def able(tmp_path: Path) -> Iterator[Bench]:
    """A scheduler that can do everything."""
    yield from _bench(tmp_path, ALL)


@pytest.fixture
def unmarked(tmp_path: Path) -> Iterator[Bench]:
    """One that can do everything but set a run's state."""
    yield from _bench(tmp_path, UNMARKED)


@pytest.fixture
def unstarted(tmp_path: Path) -> Iterator[Bench]:
    """One that can do everything but start a job."""
    yield from _bench(tmp_path, ALL - {Capability.START})


def _bench(folder: Path, capabilities: frozenset[Capability]) -> Iterator[Bench]:
    scheduler = FakeScheduler(capabilities=capabilities)
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(folder, scheduler, estate_config(folder, scheduler)) as bench:
        yield bench


def run_of(bench: Bench, state: RunState, job: str = "extract") -> int:
    """A job with one run in that state; the run's id."""
    bench.scheduler.attempt(job, f"{job}-1", state, present() - timedelta(minutes=1))
    bench.poller.poll_once(bench.fence)
    [(run_id,)] = rows(bench, "SELECT r.id FROM run r JOIN job j ON j.id = r.job_id WHERE j.native_id = ?", job)
    return int(run_id)


def by_mara(length: timedelta = timedelta(hours=6)) -> dict[str, str]:
    return {"by": "mara", "until": (datetime.now(UTC) + length).isoformat()}


def rows(bench: Bench, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with bench.store.read() as connection:
        return [tuple(row) for row in connection.rows(sql, values)]


def act(bench: Bench, request: ActionRequest) -> str:
    """The request, and one round of the engine."""
    key = new_action_key()
    bench.requests().act(request, key)
    bench.parts.actions.step(bench.fence)
    return key


def again(bench: Bench) -> None:
    """What was put off is due now."""
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET next_us = 0")
    bench.parts.actions.step(bench.fence)


def state_and_text(bench: Bench, key: str) -> tuple[str, str]:
    [(state, text)] = rows(bench, "SELECT state, text FROM action WHERE key = ?", key)
    return str(state), str(text)


def test_an_action_without_a_preview_is_previewed_right_before_it_is_sent(able: Bench) -> None:
    run_id = run_of(able, RunState.RUNNING)
    key = act(able, ActionRequest(Verb.CANCEL, run_id, parameters={"hard": True}, why="it hangs"))
    assert [("cancel", "extract")] == able.scheduler.done
    [ask] = able.scheduler.specs
    assert (Verb.CANCEL, {"hard": True, "why": "it hangs"}) == (ask.verb, dict(ask.parameters))
    assert '"native cancel"' in rows(able, "SELECT preview FROM action WHERE key = ?", key)[0][0]


def test_what_the_connector_refuses_in_that_preview_is_refused_and_nothing_leaves(able: Bench) -> None:
    able.scheduler.refused = "it has ended already"
    key = act(able, ActionRequest(Verb.CANCEL, run_of(able, RunState.RUNNING)))
    assert (("refused", "it has ended already"), []) == (state_and_text(able, key), able.scheduler.done)


def test_an_unreachable_target_delays_an_action_without_a_preview(able: Bench) -> None:
    run_id = run_of(able, RunState.FAILED)
    able.scheduler.refuse = SystemUnreachable("no route to host")
    key = act(able, ActionRequest(Verb.RERUN, run_id))
    assert ("requested", "unreachable, nothing was sent yet: no route to host") == state_and_text(able, key)
    able.scheduler.refuse = None
    again(able)
    assert "sent" == state_and_text(able, key)[0]


def test_a_kind_without_the_verb_refuses_with_its_reason(bench: Bench) -> None:
    key = act(bench, ActionRequest(Verb.CANCEL, run_of(bench, RunState.RUNNING)))
    assert ("refused", "fake cannot cancel") == state_and_text(bench, key)


def test_a_cancelled_run_is_verified_when_its_source_says_that_it_ended(able: Bench) -> None:
    key = act(able, ActionRequest(Verb.CANCEL, run_of(able, RunState.RUNNING)))
    able.parts.actions.step(able.fence)
    assert "sent" == state_and_text(able, key)[0]
    able.scheduler.end("extract-1", RunState.CANCELLED, present())
    able.poller.poll_once(able.fence)
    able.parts.actions.step(able.fence)
    assert ("verified", "cancelled (native)") == state_and_text(able, key)


def test_a_cancel_that_came_too_late_is_no_success(able: Bench) -> None:
    key = act(able, ActionRequest(Verb.CANCEL, run_of(able, RunState.RUNNING)))
    able.scheduler.end("extract-1", RunState.SUCCEEDED, present())
    able.poller.poll_once(able.fence)
    able.parts.actions.step(able.fence)
    assert ("failed", "too late: it ended succeeded (native)") == state_and_text(able, key)


def test_a_native_mark_is_verified_by_the_runs_own_state(able: Bench) -> None:
    key = act(able, ActionRequest(Verb.MARK_OK, run_of(able, RunState.FAILED)))
    assert ([("mark_ok", "extract")], "sent") == (able.scheduler.done, state_and_text(able, key)[0])
    able.scheduler.end("extract-1", RunState.SUCCEEDED, present())
    able.poller.poll_once(able.fence)
    able.parts.actions.step(able.fence)
    assert ("verified", "succeeded (native)") == state_and_text(able, key)


@pytest.mark.parametrize("verb,state", [(Verb.MARK_OK, RunState.SUCCEEDED), (Verb.SKIP, RunState.SKIPPED)])
def test_a_mark_that_the_scheduler_cannot_take_is_asserted_here_and_nothing_leaves(
    unmarked: Bench, verb: Verb, state: RunState
) -> None:
    run_id = run_of(unmarked, RunState.FAILED)
    key = act(unmarked, ActionRequest(verb, run_id, why="loaded by hand"))
    asserted = rows(unmarked, "SELECT state, evidence, attempts, message FROM run WHERE id = ?", run_id)[0]
    assert ("verified", []) == (state_and_text(unmarked, key)[0], unmarked.scheduler.done)
    assert (state.value, "asserted", 2) == asserted[:3]
    assert asserted[3].endswith(": loaded by hand")


def missed(bench: Bench) -> int:
    """The id of a run that its source knows nothing of."""
    run_id = run_of(bench, RunState.FAILED)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE run SET state = 'missed', attempts = 0, attempt_id = NULL, native_state = ''")
        connection.rows("DELETE FROM attempt")
    bench.scheduler.runs.clear()
    return run_id


@pytest.mark.parametrize("unknown, arrives", [(None, "rerun"), ("no run that could be named", "start")])
def test_a_rerun_of_what_never_began_is_its_start_where_its_source_has_nothing_to_run_again(
    able: Bench, unknown: str | None, arrives: str
) -> None:
    """As a plan starts it; it was refused, though `why` had named the rerun."""
    run_id = missed(able)
    able.scheduler.unknown = unknown
    question = able.requests().preview(ActionRequest(Verb.RERUN, run_id))
    able.parts.answers.step(able.fence)
    able.parts.answers.close()
    shown = able.requests().wait(question, HANGS_SECONDS).data
    assert (arrives, None) == (shown["plan"]["verb"], shown["refused"])
    key = act(able, ActionRequest(Verb.RERUN, run_id))
    assert ("sent", [(arrives, "extract")]) == (state_and_text(able, key)[0], able.scheduler.done)
    assert ({} if unknown is None else {"period_at": able.scheduler.specs[-1].run.period_key}) == dict(
        able.scheduler.specs[-1].parameters
    )


def test_a_rerun_of_what_never_began_is_refused_where_its_system_starts_nothing(unstarted: Bench) -> None:
    run_id = missed(unstarted)
    unstarted.scheduler.unknown = "no run that could be named"
    key = act(unstarted, ActionRequest(Verb.RERUN, run_id))
    assert (("refused", "no run that could be named"), []) == (state_and_text(unstarted, key), unstarted.scheduler.done)


def test_a_mark_of_a_run_that_never_was_is_asserted_though_the_scheduler_takes_marks(able: Bench) -> None:
    """A missed run has no row at its source that could be marked."""
    run_id = missed(able)
    key = act(able, ActionRequest(Verb.SKIP, run_id, why="a holiday"))
    assert ("verified", []) == (state_and_text(able, key)[0], able.scheduler.done)
    assert [("skipped", "asserted")] == rows(able, "SELECT state, evidence FROM run WHERE id = ?", run_id)


def test_a_mark_that_the_store_cannot_keep_is_refused_and_holds_up_no_other_action(unmarked: Bench) -> None:
    odd, good = "k" * 1_100, new_action_key()
    unmarked.requests().act(ActionRequest(Verb.MARK_OK, run_of(unmarked, RunState.FAILED)), odd)
    unmarked.requests().act(ActionRequest(Verb.RERUN, run_of(unmarked, RunState.FAILED, "load")), good)
    unmarked.parts.actions.step(unmarked.fence)
    refused = ("refused", "the store cannot record it: its id is longer than 1,000 bytes")
    assert (refused, "sent") == (state_and_text(unmarked, odd), state_and_text(unmarked, good)[0])


def test_a_later_attempt_of_the_scheduler_wins_over_what_was_asserted(unmarked: Bench) -> None:
    run_id = run_of(unmarked, RunState.FAILED)
    act(unmarked, ActionRequest(Verb.MARK_OK, run_id))
    [(period,)] = rows(unmarked, "SELECT period_key FROM run WHERE id = ?", run_id)
    later = datetime.now(UTC) + timedelta(minutes=5)
    unmarked.scheduler.attempt("extract", "extract-2", RunState.FAILED, later, period_key=period)
    unmarked.poller.poll_once(unmarked.fence)
    results = rows(unmarked, "SELECT state, evidence, attempts FROM run WHERE id = ?", run_id)
    assert [("failed", "native", 3)] == results


def test_a_run_that_still_runs_is_not_asserted_to_be_good(unmarked: Bench) -> None:
    key = act(unmarked, ActionRequest(Verb.MARK_OK, run_of(unmarked, RunState.RUNNING)))
    state, text = state_and_text(unmarked, key)
    assert "refused" == state
    assert text.endswith("is running: cancel it first, or wait until it ends")


@pytest.mark.parametrize("verb", [Verb.MARK_OK, Verb.SKIP])
@pytest.mark.parametrize("kind", ["able", "unmarked"])
def test_what_succeeded_before_its_mark_left_is_not_marked(
    kind: str, verb: Verb, request: pytest.FixtureRequest
) -> None:
    bench: Bench = request.getfixturevalue(kind)
    key, run_id = new_action_key(), run_of(bench, RunState.RUNNING)
    bench.requests().act(ActionRequest(verb, run_id, preview={"verb": "mark", "summary": "mark it"}), key)
    bench.scheduler.end("extract-1", RunState.SUCCEEDED, present())
    bench.poller.poll_once(bench.fence)
    bench.parts.actions.step(bench.fence)
    assert ("refused", "it succeeded already: nothing is left to mark") == state_and_text(bench, key)
    assert [("succeeded", "native")] == rows(bench, "SELECT state, evidence FROM run WHERE id = ?", run_id)
    assert [] == bench.scheduler.done


def test_a_success_that_read_stale_data_may_still_be_marked(unmarked: Bench) -> None:
    run_id = run_of(unmarked, RunState.SUCCEEDED)
    with unmarked.store.write(None) as connection:
        connection.rows("UPDATE run SET stale_read = TRUE")
    assert "verified" == state_and_text(unmarked, act(unmarked, ActionRequest(Verb.MARK_OK, run_id)))[0]


def test_an_asserted_success_repairs_its_incident(unmarked: Bench) -> None:
    run_id = run_of(unmarked, RunState.FAILED)
    unmarked.parts.evaluator.step(unmarked.fence)
    act(unmarked, ActionRequest(Verb.MARK_OK, run_id))
    unmarked.parts.evaluator.step(unmarked.fence)
    with unmarked.reads() as reads:
        assert [] == list(reads.incidents.list_incidents())


def test_a_hold_and_its_release_are_verified_at_once_by_a_poll_of_the_source(able: Bench) -> None:
    run_of(able, RunState.FAILED)
    [(job_id,)] = rows(able, "SELECT id FROM job WHERE native_id = 'extract'")
    held = act(able, ActionRequest(Verb.HOLD, job_id=job_id, parameters=by_mara()))
    assert ("sent", "") == (state_and_text(able, held)[0], able.scheduler.specs[0].run.attempt_key)
    able.parts.actions.step(able.fence)
    let_go = act(able, ActionRequest(Verb.RELEASE, job_id=job_id, parameters={"hold": held}))
    able.parts.actions.step(able.fence)
    assert ("verified", "verified", 2) == (
        state_and_text(able, held)[0],
        state_and_text(able, let_go)[0],
        able.scheduler.look_ups,
    )


@pytest.mark.parametrize(
    "length, message",
    [
        (timedelta(0), "no time at all holds nothing; write 6h"),
        (timedelta(days=31), "a hold lasts 30d at most; write 6h"),
    ],
    ids=["over", "endless"],
)
def test_a_hold_for_no_time_or_for_ever_is_not_requested(able: Bench, length: timedelta, message: str) -> None:
    run_of(able, RunState.FAILED)
    [(job_id,)] = rows(able, "SELECT id FROM job WHERE native_id = 'extract'")
    with pytest.raises(NotAllowed, match=message):
        able.requests().act(ActionRequest(Verb.HOLD, job_id=job_id, parameters=by_mara(length)), new_action_key())
    assert [] == rows(able, "SELECT key FROM action")
    assert [("refuse hold",)] == rows(able, "SELECT verb FROM audit WHERE object = 'fake/extract'")


@pytest.mark.parametrize("error", [SystemUnreachable("no route"), RecordUnreadable("no JSON")], ids=["away", "odd"])
def test_a_source_that_cannot_report_its_holds_is_not_queried_again_at_once(able: Bench, error: Exception) -> None:
    """Four look-ups a second, over SSH, for ten minutes."""
    run_of(able, RunState.FAILED)
    [(job_id,)] = rows(able, "SELECT id FROM job WHERE native_id = 'extract'")
    held = act(able, ActionRequest(Verb.HOLD, job_id=job_id, parameters=by_mara()))
    able.scheduler.refuse = error
    for _ in range(4):
        able.parts.actions.step(able.fence)
    assert ("sent", 1) == (state_and_text(able, held)[0], able.scheduler.look_ups)
    able.scheduler.refuse = None
    again(able)
    assert ("verified", 2) == (state_and_text(able, held)[0], able.scheduler.look_ups)


def test_a_request_that_may_queue_waits_until_its_job_does_not_run(able: Bench) -> None:
    run_id = run_of(able, RunState.FAILED)
    able.scheduler.overlap = "extract runs since 03:10"
    key = act(able, ActionRequest(Verb.RERUN, run_id, preview={"verb": "run again"}, overlap="queue"))
    again(able)
    assert ("requested", "queued: extract runs since 03:10") == state_and_text(able, key)
    assert [] == able.scheduler.acted
    able.scheduler.overlap = None
    again(able)
    assert ("sent", [key]) == (state_and_text(able, key)[0], able.scheduler.acted)
    with able.store.read() as connection:
        [detail] = [row[0] for row in connection.rows("SELECT detail FROM audit WHERE verb = 'send rerun'")]
    assert "" == json.loads(detail)["text"]  # what it had waited for was over when it left


def test_a_request_that_may_not_queue_is_refused_while_its_job_runs(able: Bench) -> None:
    run_id = run_of(able, RunState.FAILED)
    able.scheduler.overlap = "extract runs since 03:10"
    key = act(able, ActionRequest(Verb.RERUN, run_id))
    assert ("refused", "it may overlap: extract runs since 03:10") == state_and_text(able, key)
    assert [] == able.scheduler.acted


@pytest.mark.parametrize("shown, sent", [("", "refused"), ("extract runs since 03:05", "sent")])
def test_an_overlap_is_evaluated_when_sending_unless_the_person_was_shown_one(
    able: Bench, shown: str, sent: str
) -> None:
    """Between the look and the key somebody else may have started it."""
    run_id, key = run_of(able, RunState.FAILED), new_action_key()
    able.requests().act(rerun_of(run_id, {**SHOWN, "overlap": shown or None}), key)
    able.scheduler.overlap = "extract runs since 03:10"
    able.parts.actions.step(able.fence)
    assert (sent, [key] if sent == "sent" else []) == (state_and_text(able, key)[0], able.scheduler.acted)


def test_what_was_approved_while_nothing_ran_is_refused_when_its_job_runs_by_then(able: Bench) -> None:
    key = act(able, ActionRequest(Verb.RERUN, run_of(able, RunState.FAILED), preview=SHOWN, needs_approval=True))
    able.scheduler.overlap = "extract runs since 03:10"
    change = ChangeOrigin("jo", "her desk", "", micros(datetime.now(UTC)))
    assert "" == approvals.approve_action(able.store, able.fence, key, able.digest(key), change)
    able.parts.actions.step(able.fence)
    assert (("refused", "it may overlap: extract runs since 03:10"), []) == (
        state_and_text(able, key),
        able.scheduler.acted,
    )


def test_a_run_is_not_sent_beside_another_of_its_job_that_was_sent_and_has_not_begun(able: Bench) -> None:
    """pg_cron runs both at the next full minute; until then its own tables show neither."""
    first = run_of(able, RunState.FAILED)
    able.scheduler.attempt("extract", "extract-0", RunState.FAILED, present() - timedelta(days=1, minutes=1))
    able.poller.poll_once(able.fence)
    [(second,)] = rows(able, "SELECT id FROM run WHERE id <> ?", first)
    sent = act(able, ActionRequest(Verb.RERUN, first))
    text = "it may overlap: the rerun of"
    refused = state_and_text(able, act(able, ActionRequest(Verb.RERUN, second)))
    assert ("refused", True, [sent]) == (refused[0], refused[1].startswith(text), able.scheduler.acted)
    queued = act(able, ActionRequest(Verb.RERUN, second, overlap="queue"))
    assert "requested" == state_and_text(able, queued)[0]
    able.scheduler.attempt("extract", "extract-2", RunState.SUCCEEDED, real_now(), action_key=sent, period_key=None)
    able.poller.poll_once(able.fence)
    again(able)
    assert ("sent", [sent, queued]) == (state_and_text(able, queued)[0], able.scheduler.acted)


def test_the_shown_action_is_sent_though_the_source_was_read_again(able: Bench) -> None:
    run_id, key = run_of(able, RunState.FAILED), new_action_key()
    able.requests().act(rerun_of(run_id, {**SHOWN, "plan": {"job": "as shown"}}), key)
    able.parts.actions.step(able.fence)
    assert [("rerun", "as shown")] == able.scheduler.done


def test_a_run_that_goes_on_may_be_cancelled_though_its_job_runs(able: Bench) -> None:
    able.scheduler.overlap = "extract runs since 03:10"
    key = act(able, ActionRequest(Verb.CANCEL, run_of(able, RunState.RUNNING)))
    assert ("sent", [key]) == (state_and_text(able, key)[0], able.scheduler.acted)


def test_what_needs_approval_waits_for_it(able: Bench) -> None:
    key = act(able, ActionRequest(Verb.RERUN, run_of(able, RunState.FAILED), needs_approval=True))
    assert "requested" == state_and_text(able, key)[0]
    change = ChangeOrigin("jo", "her desk", "", micros(datetime.now(UTC)))
    assert "" == approvals.approve_action(able.store, able.fence, key, able.digest(key), change)
    able.parts.actions.step(able.fence)
    assert "sent" == state_and_text(able, key)[0]


def test_a_running_rerun_can_be_cancelled_but_not_requested_twice(able: Bench) -> None:
    run_id = run_of(able, RunState.FAILED)
    act(able, ActionRequest(Verb.RERUN, run_id))
    with pytest.raises(AlreadyRequested):
        act(able, ActionRequest(Verb.SKIP, run_id))
    assert "sent" == state_and_text(able, act(able, ActionRequest(Verb.CANCEL, run_id)))[0]


def test_a_job_never_rerun_may_be_started_cancelled_and_marked(tmp_path: Path) -> None:
    """Its owner forbids a second run of a period; a first start is none."""
    scheduler = FakeScheduler(capabilities=ALL)
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    never = replace(config, jobs={**config.jobs, "fake/extract": JobSetting("fake/extract", rerun=Safety.NEVER)})
    with running_bench(tmp_path, scheduler, never) as bench:
        run_id = run_of(bench, RunState.FAILED)
        states = [
            state_and_text(bench, act(bench, ActionRequest(verb, run_id)))[0]
            for verb in (Verb.RERUN, Verb.START, Verb.CANCEL)
        ]
        assert ["refused", "sent", "sent"] == states


@pytest.mark.parametrize("systems_own,at_once", [(1, 1), (2, 2)])
def test_one_write_at_most_is_in_flight_at_a_system_whatever_its_targets(
    tmp_path: Path, systems_own: int, at_once: int
) -> None:
    """Unless it is allowed more."""
    both, most = threading.Barrier(2), []

    def meet(_: str) -> None:
        try:
            both.wait(HANGS_SECONDS if systems_own > 1 else 0.3)  # they meet, or have the time to
            most.append(2)
        except threading.BrokenBarrierError:
            most.append(1)

    scheduler = FakeScheduler(capabilities=ALL, places=("one", "two"), on_act=meet)
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        runs = run_of(bench, RunState.FAILED), run_of(bench, RunState.FAILED, "load")
        with bench.store.write(None) as connection:
            sql = "UPDATE job SET target_id = (SELECT MAX(id) FROM target) WHERE native_id = 'load'"
            connection.rows(sql)
        bench.parts.actions.underway.turns.at_once = at_once
        for run_id in runs:
            bench.requests().act(ActionRequest(Verb.RERUN, run_id), new_action_key())
        bench.parts.actions.step(bench.fence)
    assert [systems_own] * 2 == most


def test_a_right_requested_for_one_job_reaches_no_run_of_another_job(able: Bench) -> None:
    """Whoever writes rows by hand may name a job of his own and a run of somebody else's."""
    run_of(able, RunState.FAILED)
    theirs = run_of(able, RunState.FAILED, "load")
    key = new_action_key()
    able.requests().act(ActionRequest(Verb.RERUN, theirs), key)
    with able.store.write(None) as connection:
        mine = connection.rows("SELECT id FROM job WHERE native_id = 'extract'")[0][0]
        connection.rows("UPDATE action SET job_id = ?", (mine,))
    able.parts.actions.step(able.fence)
    assert ("refused", []) == (state_and_text(able, key)[0], able.scheduler.acted)


@pytest.mark.parametrize(
    "change",
    [
        "parameters = '[]'",
        "verb = 'explode'",
        "preview = '[]'",
        "overlap = 'whatever'",
        f"parameters = '{'[' * 50_000}'",
    ],
)
@pytest.mark.parametrize("needs_approval", [False, True])
def test_a_row_of_another_program_is_refused_and_delays_no_other(
    able: Bench, change: str, needs_approval: bool
) -> None:
    odd, good = new_action_key(), new_action_key()
    able.requests().act(ActionRequest(Verb.RERUN, run_of(able, RunState.FAILED), needs_approval=needs_approval), odd)
    able.requests().act(ActionRequest(Verb.RERUN, run_of(able, RunState.FAILED, "load")), good)
    with able.store.write(None) as connection:
        connection.rows(f"UPDATE action SET {change}, requested_us = 1 WHERE key = ?", (odd,))
    able.parts.actions.step(able.fence)
    message = "not approved within 1h: request it again" if needs_approval else "the stored request cannot be read: "
    assert ("refused", True) == (state_and_text(able, odd)[0], state_and_text(able, odd)[1].startswith(message))
    assert "sent" == state_and_text(able, good)[0]


@pytest.mark.parametrize("state", ["sending", "sent", "unknown"])
def test_an_unreadable_action_that_may_have_been_sent_ends_and_can_be_requested_again(able: Bench, state: str) -> None:
    """It would be under way for ever, and keep everybody from that run."""
    run_id = run_of(able, RunState.FAILED)
    key = act(able, ActionRequest(Verb.RERUN, run_id))
    with able.store.write(None) as connection:
        connection.rows("UPDATE action SET preview = '[]', state = ? WHERE key = ?", (state, key))
    able.parts.actions.step(able.fence)
    text = "the stored action cannot be read: invalid preview or overlap. Fix: check the job in the scheduler."
    assert ("failed", text) == state_and_text(able, key)
    assert "sent" == state_and_text(able, act(able, ActionRequest(Verb.RERUN, run_id, overlap="allow")))[0]
    assert 2 == len(able.scheduler.acted)


def test_an_unreadable_request_is_refused(able: Bench) -> None:
    with able.store.write(None) as connection:
        for arguments in ("[]", "no json", "[" * 50_000):
            sql = "INSERT INTO request (kind, arguments, requested_by, requested_us, state, answer)"
            connection.rows(f"{sql} VALUES ('log', ?, 'bob', 1, 'pending', '{{}}')", (arguments,))
    able.parts.answers.step(able.fence)
    refused = [("refused",)] * 3
    wait_until(lambda: refused == rows(able, "SELECT state FROM request"), "three refusals")


def sent_once(able: Bench) -> tuple[int, str]:
    """A failed run, and its rerun that has arrived and goes on."""
    run_id = run_of(able, RunState.FAILED)
    first = act(able, ActionRequest(Verb.RERUN, run_id))
    assert "sent" == state_and_text(able, first)[0]
    return run_id, first


def test_a_rerun_by_choice_waits_for_ones_own_of_the_same_run(able: Bench) -> None:
    run_id, first = sent_once(able)
    queued = act(able, ActionRequest(Verb.RERUN, run_id, overlap="queue", beside=(first,)))
    assert "queued: " == state_and_text(able, queued)[1][:8]
    able.scheduler.attempt("extract", "extract-2", RunState.RUNNING, real_now(), action_key=first, period_key=None)
    able.poller.poll_once(able.fence)
    again(able)
    text = state_and_text(able, queued)[1]
    assert text.startswith("queued: an action requested by ")
    assert text.endswith(" on the same run has not ended")
    able.scheduler.end("extract-2", RunState.FAILED, present())
    able.poller.poll_once(able.fence)
    again(able)
    again(able)
    assert [first, queued] == able.scheduler.acted


def test_a_rerun_by_choice_leaves_beside_ones_own_that_has_arrived(able: Bench) -> None:
    run_id, first = sent_once(able)
    second = act(able, ActionRequest(Verb.RERUN, run_id, overlap="allow", preview=SHOWN, beside=(first,)))
    assert ("sent", [first, second]) == (state_and_text(able, second)[0], able.scheduler.acted)


@pytest.mark.parametrize("state", ["requested", "sending", "unknown"])
def test_nothing_leaves_beside_what_may_still_arrive(able: Bench, state: str) -> None:
    run_id, first = sent_once(able)
    with able.store.write(None) as connection:
        connection.rows("UPDATE action SET state = ?", (state,))
    with pytest.raises(AlreadyRequested, match=f"it is {state}"):
        act(able, ActionRequest(Verb.RERUN, run_id, overlap="allow", preview=SHOWN, beside=(first,)))
    assert [first] == able.scheduler.acted


def test_an_overlap_that_was_shown_is_no_choice_to_stand_beside_anothers_rerun(able: Bench) -> None:
    """Two people request the same from the same screen: it was shown before the other's request."""
    run_id, _ = sent_once(able)
    with pytest.raises(AlreadyRequested, match="it is sent"):
        able.requests().act(rerun_of(run_id, {**SHOWN, "overlap": "extract runs since 03:05"}), new_action_key())


def test_a_preview_shows_what_is_in_flight_for_its_run_and_blocks_any_other(able: Bench) -> None:
    run_id, first = sent_once(able)
    question = able.requests().preview(ActionRequest(Verb.RERUN, run_id))
    able.parts.answers.step(able.fence)
    shown = able.requests().wait(question, HANGS_SECONDS).data
    assert ([first], True) == (shown["in_progress"], bool(shown["overlap"]))
    with pytest.raises(AlreadyRequested, match="it is sent"):
        act(able, ActionRequest(Verb.RERUN, run_id, overlap="allow", preview=shown, beside=()))
    second = act(
        able, ActionRequest(Verb.RERUN, run_id, overlap="allow", preview=shown, beside=tuple(shown["in_progress"]))
    )
    assert [first, second] == able.scheduler.acted


def test_the_preview_of_a_hold_says_which_promise_it_outlasts(able: Bench) -> None:
    run_of(able, RunState.SUCCEEDED)
    [(job_id,)] = rows(able, "SELECT id FROM job WHERE native_id = 'load'")

    def notes(length: timedelta) -> list[str]:
        question = able.requests().preview(ActionRequest(Verb.HOLD, job_id=job_id, parameters=by_mara(length)))
        able.parts.answers.step(able.fence)
        answer = able.requests().wait(question, HANGS_SECONDS)
        assert answer.ok, answer.error
        return [note[0] for note in answer.data["notes"] if "will miss" in note[0]]

    assert [] == notes(timedelta(minutes=10))
    [note] = notes(timedelta(hours=6))
    assert note.startswith("Supply plan will miss ")
