"""Plans on an engine: proposed, started, executed, stopped, resumed; each step through its scheduler's connector."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import Schedule
from connectors.sdk.states import Capability, PeriodKind, RunState, Verb
from console.control.incidents.verdict.decision import incident_verdict
from console.control.incidents.verdict.text import delivery_estimate, verdict_text
from console.control.recovery import execution
from console.domain.access import ActingRules, ActionSubject, Person
from console.domain.history import EstimateBasis, EstimateKind
from console.domain.ids import new_action_key
from console.domain.incident import NEVER_RERUN
from console.domain.job import Safety
from console.domain.plan import MCP, ON_TIME, PlanDraft, PlanRefused, PlanView, StepPeriod
from console.domain.request import RequestKind
from console.domain.settings import JobSetting
from console.engine.api.action_request import ActionRequest, AlreadyRequested
from console.engine.api.client import EngineClient
from console.engine.api.plan_client import MAX_RUNS
from console.engine.api.requests import ProposeRecovery
from console.engine.notify.paging import PageAction
from console.engine.notify.senders import SendResult
from console.engine.plans.executor import PlanExecutor
from console.store.alerts import AlertRouting
from console.store.db import client
from console.store.db.session import Row, Session
from console.store.errors import NotAllowed, NotFound, ReasonNeeded
from tests.action_requests import backfill_of
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS
from tests.messages import title_of
from tests.present import present
from tests.reasons import dated

MARK = Capability.MARK
ABLE = frozenset(Capability) - {MARK}


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Bench]:
    """extract has failed, load has read what it left, and there is an incident."""
    yield from night_in(tmp_path)


def night_in(folder: Path, nightly: Schedule | None = None, **jobs: JobSetting) -> Iterator[Bench]:
    scheduler = FakeScheduler(capabilities=ABLE)
    if nightly is not None:
        scheduler.job("nightly", nightly)
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(folder, scheduler)
    config = replace(config, jobs={**config.jobs, **{f"fake/{name}": settings for name, settings in jobs.items()}})
    with running_bench(folder, scheduler, config) as bench:
        bench.poller.poll_once(bench.fence)
        bench.parts.config_sync.sync(bench.fence)
        scheduler.attempt("extract", "extract-1", RunState.FAILED, present() - timedelta(minutes=9))
        scheduler.attempt("load", "load-1", RunState.SUCCEEDED, present() - timedelta(minutes=5))
        bench.turn()
        yield bench


def requests(bench: Bench) -> EngineClient:
    return EngineClient(bench.url)


def answer(bench: Bench, question: int) -> PlanDraft:
    bench.parts.answers.step(bench.fence)
    request_answer = requests(bench).wait(question, HANGS_SECONDS)
    assert request_answer.ok, request_answer.error
    return PlanDraft.read(request_answer.data)


def proposed(bench: Bench) -> PlanDraft:
    return answer(bench, requests(bench).ask(ProposeRecovery(1)))


def started(bench: Bench, draft: PlanDraft | None = None, **more: Any) -> int:
    return requests(bench).start_plan(draft or proposed(bench), new_action_key(), **more)


def view(bench: Bench, number: int = 1) -> PlanView:
    with bench.reads() as reads:
        return reads.plans.plan(number)


def states(bench: Bench, number: int = 1) -> list[str]:
    return [view(bench, number).state, *(step.state for step in view(bench, number).steps)]


def turn(bench: Bench) -> None:
    """The plan, then the actions, once."""
    bench.parts.plans.step(bench.fence)
    bench.parts.actions.step(bench.fence)
    bench.parts.plans.step(bench.fence)


def ends(bench: Bench, place: int, state: RunState = RunState.SUCCEEDED) -> None:
    """The run that this step started ends so, and is seen."""
    step = view(bench).steps[place - 1]
    job = step.job.rpartition("/")[2]
    more = {"action_key": step.action_key, "period_key": None}
    bench.scheduler.attempt(job, f"{job}-{step.action_key}", state, datetime.now(UTC), **more)
    bench.turn()
    turn(bench)
    turn(bench)


def test_a_plan_is_proposed_in_the_schedulers_own_terms(night: Bench) -> None:
    plan = proposed(night)
    assert [("rerun", "fake/extract", ()), ("rerun", "fake/load", (1,))] == [
        (s.verb, s.job, s.after) for s in plan.steps
    ]
    assert ["run again", "run again"] == [step.preview["verb"] for step in plan.steps]
    assert ("safe", 600.0, EstimateBasis(EstimateKind.DECLARED)) == (
        plan.steps[0].safety,
        plan.steps[0].expected_s,
        plan.steps[0].basis,
    )
    assert [("supply", True)] == [(service.service, service.saved) for service in plan.steps[0].saves]


def test_a_plan_says_how_likely_its_services_are_late_if_it_is_carried_out(night: Bench) -> None:
    plan = proposed(night)
    [day] = plan.days
    assert ("supply", ON_TIME) == (day.service, day.finish)
    assert day.late is not None
    assert day.late < 0.05
    assert day.expected is not None
    assert timedelta(minutes=10) < day.expected - datetime.now(UTC), "both must run again"


def test_the_end_that_is_named_before_the_start_is_named_until_its_run_has_begun(night: Bench) -> None:
    plan = proposed(night)
    end = plan.days[0].expected
    assert end is not None
    number = started(night, plan)

    def ends() -> tuple[datetime | None, str, datetime | None]:
        with night.reads() as reads:
            incident, plan = reads.incidents.incident(1), reads.plans.plan(number)
        assert plan.saves("supply", incident.services[0].business_date), "as the proposal says"
        return plan.planned_end, delivery_estimate(plan, incident, str), incident.services[0].expected

    turn(night)
    night.turn()
    planned, text, forecast = ends()
    assert (end, f"services done about {end}") == (planned, text)
    assert forecast is not None
    assert abs(forecast - end) <= timedelta(minutes=1), "the forecast counts on the running plan"
    more = {"action_key": view(night).steps[0].action_key, "period_key": None}
    night.scheduler.attempt("extract", "extract-2", RunState.RUNNING, datetime.now(UTC), **more)
    night.turn()
    planned, text, forecast = ends()
    assert (None, f"services done about {forecast}") == (planned, text)
    assert forecast is not None
    assert abs(forecast - end) <= timedelta(minutes=1), "begun as planned, seen seconds later"


def shortened(night: Bench, draft: PlanDraft, place: int) -> PlanDraft:
    """The plan that the engine answers with if that step is left out."""
    return answer(night, requests(night).ask(ProposeRecovery(1, leave_out=(draft.steps[place - 1].key,))))


def test_an_edit_is_answered_with_the_plan_that_is_left_simulated_and_previewed_again(night: Bench) -> None:
    plan = proposed(night)
    [extract, load] = plan.steps
    rest = shortened(night, plan, 1)
    assert [(1, load.key, ())] == [(step.place, step.key, step.after) for step in rest.steps]
    assert rest.steps[0].preview
    assert [(extract.job, "left out by hand")] == [(run.job, *run.why) for run in rest.excluded]
    [day] = rest.days
    text = "not by this plan: fake/extract is left out"
    assert (False, (text,), None, None) == (day.saved, day.text, day.expected, day.late)
    assert plan.days == shortened_by(night, {(77, "of another incident")}).days, "a step that is not in it"
    everything_out = shortened_by(night, {extract.key, load.key})
    assert ((), [(text,)]) == (everything_out.steps, [day.text for day in everything_out.unsaved])


def shortened_by(night: Bench, keys: set[tuple[int, str]]) -> PlanDraft:
    return answer(night, requests(night).ask(ProposeRecovery(1, leave_out=tuple(keys))))


def test_a_plan_is_carried_out_step_by_step_and_its_incident_closes(night: Bench) -> None:
    started(night, why="disk was full")
    turn(night)
    assert ["running", "requested", "planned"] == states(night)
    ends(night, 1)
    assert ["running", "verified", "requested"] == states(night)
    ends(night, 2)
    assert ["done", "verified", "verified"] == states(night)
    assert [("rerun", "extract"), ("rerun", "load")] == night.scheduler.done
    night.turn()
    with night.reads() as reads:
        assert [] == list(reads.incidents.list_incidents())
        texts = [dated(event.text) for event in reads.incidents.incident(1).events if event.kind == "plan"]
        origins = {action.requested_by for action in reads.actions.list_actions()}
    assert ["plan 1 started: repair fake/extract", "plan 1 done: 2 of 2 steps are over"] == texts
    assert 1 == len(origins)


def test_each_step_is_previewed_again_right_before_it_is_sent(night: Bench) -> None:
    number = started(night)
    night.scheduler.refused = "it is locked"
    turn(night)
    assert "stopped" == view(night, number).state
    text = "step 1, fake/extract: refused: it is locked; to go on: headway plan resume 1 (requests failed"
    assert f"{text} steps again), or plan abort" == view(night, number).status_text
    with pytest.raises(AlreadyRequested, match=r"it is stopped: headway plan 1, plan resume or abort"):
        started(night)
    assert [] == night.scheduler.done


def test_a_failed_step_stops_the_plan_and_is_requested_again_after_resume(night: Bench) -> None:
    number = started(night)
    turn(night)
    first = view(night).steps[0].action_key
    ends(night, 1, RunState.FAILED)
    assert ["stopped", "failed", "planned"] == states(night)
    requests(night).steer_plan(number, RequestKind.RESUME_PLAN)
    turn(night)
    assert ["running", "requested", "planned"] == states(night)
    assert first != view(night).steps[0].action_key
    ends(night, 1)
    assert ["running", "verified", "requested"] == states(night)


def test_what_a_person_repaired_meanwhile_is_not_sent_again(night: Bench) -> None:
    number = started(night)
    turn(night)
    ends(night, 1, RunState.FAILED)
    [(period,)] = rows(
        night, "SELECT period_key FROM run r JOIN job j ON j.id = r.job_id WHERE j.native_id = 'extract'"
    )
    night.scheduler.attempt("extract", "by-hand", RunState.SUCCEEDED, datetime.now(UTC), period_key=period)
    night.turn()
    requests(night).steer_plan(number, RequestKind.RESUME_PLAN)
    turn(night)
    assert ["running", "verified", "requested"] == states(night)
    assert "good by other means: succeeded (native)" == view(night).steps[0].text
    assert [("rerun", "extract"), ("rerun", "load")] == night.scheduler.done


def runs_by_itself(bench: Bench) -> None:
    """Its own scheduler ran extract again, after a minute, seven minutes ago; it was not polled since."""
    [(period,)] = rows(
        bench, "SELECT period_key FROM run r JOIN job j ON j.id = r.job_id WHERE j.native_id = 'extract'"
    )
    ended = datetime.now(UTC) - timedelta(minutes=7)
    bench.scheduler.attempt("extract", "by-itself", RunState.SUCCEEDED, ended, period_key=period)


def test_what_its_scheduler_made_good_between_the_proposal_and_the_yes_is_not_sent(night: Bench) -> None:
    draft = proposed(night)
    runs_by_itself(night)
    started(night, draft)
    night.turn()
    turn(night)
    assert ["running", "verified", "requested"] == states(night)
    assert "good by other means: succeeded (native)" == view(night).steps[0].text
    assert [("rerun", "load")] == night.scheduler.done


def test_what_its_scheduler_makes_good_while_the_step_waits_its_turn_is_not_sent(night: Bench) -> None:
    started(night)
    night.scheduler.overlap = "extract runs since 03:10"
    turn(night)
    runs_by_itself(night)
    night.turn()
    night.scheduler.overlap = None
    due(night)
    turn(night)
    assert (["running", "verified", "requested"], [("rerun", "load")]) == (states(night), night.scheduler.done)
    assert "good by other means: succeeded (native); nothing was sent" == view(night).steps[0].text
    [row] = rows(night, "SELECT text FROM event WHERE text LIKE 'refused%'")
    assert ("refused: good by other means: succeeded (native)",) == tuple(row)


def test_a_handover_says_what_a_plan_does_instead_of_an_act_by(night: Bench) -> None:
    number = started(night)
    turn(night)
    for line in (("incident", "handover"), ("incident", "report", "1")):
        text = " ".join(headway(night.url, *line).out.split())
        assert "Plan 1 running: 0 of 2 steps, services done about " in text, line
        assert "no act-by" not in text.lower(), line
    requests(night).steer_plan(number, RequestKind.PAUSE_PLAN)
    text = " ".join(headway(night.url, "incident", "handover").out.split())
    resume = r"Plan 1 paused: resume it by [^()]+ \d\d:\d\d UTC \(in [^)]+\), saves Supply plan · unacknowledged"
    assert re.search(resume, text), text


def paused_plans(bench: Bench) -> list[str]:
    with bench.reads() as reads:
        return [plan.text for plan in reads.estate.header().paused_plans]


def test_a_paused_plan_requests_nothing_and_an_aborted_one_drops_the_rest(night: Bench) -> None:
    number = started(night)
    turn(night)
    assert "paused" == requests(night).steer_plan(number, RequestKind.PAUSE_PLAN)
    ends(night, 1)
    assert ["paused", "verified", "planned"] == states(night)
    assert "\nPlan 1 is paused at 1 of 2 steps: headway plan 1\n" in headway(night.url, "status").out
    with night.store.write(None) as session:
        session.rows("UPDATE incident SET closed_us = 1")
    assert ["Plan 1 is paused at 1 of 2 steps"] == paused_plans(night), "it still waits, with nothing at risk"
    requests(night).steer_plan(number, RequestKind.ABORT_PLAN, "tomorrow is soon enough")
    turn(night)
    assert ["aborted", "verified", "abandoned"] == states(night)
    assert [] == paused_plans(night)
    with pytest.raises(PlanRefused, match="plan 1 is aborted: it cannot be resumed"):
        requests(night).steer_plan(number, RequestKind.RESUME_PLAN)


def test_a_paused_plan_whose_last_step_succeeds_is_done_and_blocks_no_other_plan(night: Bench) -> None:
    number = started(night, shortened(night, proposed(night), 2))
    turn(night)
    requests(night).steer_plan(number, RequestKind.PAUSE_PLAN)
    ends(night, 1)
    assert ["done", "verified"] == states(night)


def test_a_step_that_its_system_cannot_do_is_reported_and_not_started(night: Bench) -> None:
    """A kind that only listens: what it cannot be sent is no plan."""
    able, missing = frozenset({Capability.LOG}), {Capability.RERUN: "it only listens"}
    connector_pool = night.parts.connectors
    connector_pool.places = {
        key: replace(
            target, system=replace(target.system, kind=replace(target.system.kind, capabilities=able, missing=missing))
        )
        for key, target in connector_pool.places.items()
    }
    draft = proposed(night)
    text = "fake cannot rerun: it only listens; repair it at its source, then mark it OK"
    assert [text, text] == [step.refusal for step in draft.steps]
    assert [False] == [service.saved for service in draft.steps[0].saves]
    with pytest.raises(PlanRefused, match=f"step 1, fake/extract: {text}"):
        started(night, draft)


def test_a_step_excluded_by_the_options_of_its_system_is_reported_like_one_of_its_kind(night: Bench) -> None:
    """`http` whose config names no call: the plan offered the rerun, and stopped at it."""
    places = night.parts.connectors.places
    lacks = {Capability.RERUN: "the config names no call for it."}
    night.parts.connectors.places = {
        key: replace(
            target, system=replace(target.system, kind=replace(target.system.kind, lacks=lambda options: lacks))
        )
        for key, target in places.items()
    }
    draft = proposed(night)
    text = "fake cannot rerun: the config names no call for it; repair it at its source, then mark it OK"
    assert [text, text] == [step.refusal for step in draft.steps]


def test_an_incident_knows_which_of_its_runs_can_be_run_again(night: Bench) -> None:
    def can_rerun() -> list[bool]:
        with night.reads() as reads:
            return [member.can_rerun for member in reads.incidents.incident(1).members]

    assert [True, True] == can_rerun()
    with client.client_transaction(night.url) as session:
        session.rows("UPDATE system SET capabilities = 'log'")
    assert [False, False] == can_rerun()


def test_while_something_of_its_job_runs_a_step_waits_its_turn(night: Bench) -> None:
    night.scheduler.overlap = "extract runs since 03:10"
    started(night)
    turn(night)
    assert ("requested", "queued: extract runs since 03:10") == (
        view(night).steps[0].state,
        view(night).steps[0].text,
    )


def due(bench: Bench) -> None:
    """What was put off is due now, and gets its turn."""
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET next_us = 0")
    turn(bench)


def test_a_step_that_waits_its_turn_goes_no_further_than_its_plan(night: Bench) -> None:
    """Paused, it must not leave once the other run is over, whoever sleeps by then."""
    started(night)
    night.scheduler.overlap = "extract runs since 03:10"
    turn(night)
    requests(night).steer_plan(1, RequestKind.PAUSE_PLAN)
    night.scheduler.overlap = None
    due(night)
    [(text,)] = rows(night, "SELECT text FROM action")
    assert ("plan 1 is paused: waiting", []) == (text, night.scheduler.acted)
    requests(night).steer_plan(1, RequestKind.RESUME_PLAN)
    assert f"resumed by {getpass.getuser()}" == view(night).text
    due(night)
    assert 1 == len(night.scheduler.acted)


def test_a_step_that_waits_its_turn_is_not_sent_once_its_plan_was_aborted(night: Bench) -> None:
    started(night)
    night.scheduler.overlap = "extract runs since 03:10"
    turn(night)
    requests(night).steer_plan(1, RequestKind.ABORT_PLAN)
    night.scheduler.overlap = None
    due(night)
    assert [("refused", "plan 1 was aborted before this step was sent")] == rows(
        night, "SELECT state, text FROM action"
    )
    assert (["aborted", "failed", "abandoned"], []) == (states(night), night.scheduler.acted)


def test_the_audit_finds_what_a_person_did_with_a_plan_by_its_number(night: Bench) -> None:
    started(night)
    requests(night).steer_plan(1, RequestKind.PAUSE_PLAN)
    requests(night).steer_plan(1, RequestKind.ABORT_PLAN)
    with night.reads() as reads:
        entries = reads.audit.list_entries(None, "", "plan 1", 10)
    assert [("start plan", "plan 1"), ("pause plan", "plan 1"), ("abort plan", "plan 1")] == [
        (row.verb, row.object) for row in entries
    ]


def test_the_same_key_twice_is_one_plan_and_a_second_one_for_the_incident_is_refused(night: Bench) -> None:
    draft, key = proposed(night), new_action_key()
    assert 1 == requests(night).start_plan(draft, key) == requests(night).start_plan(draft, key)
    with pytest.raises(
        AlreadyRequested, match=r"plan 1 was started by .* it is running: headway plan 1, plan pause or abort"
    ):
        started(night, draft)


def test_a_run_of_an_open_plan_is_in_no_second_one_that_does_the_like(night: Bench) -> None:
    """Two people mark the same runs: each of them would be run again twice."""
    first = started(night, answer(night, requests(night).propose_bulk([1], Verb.RERUN)))
    both = answer(night, requests(night).propose_bulk([2, 1], Verb.RERUN))
    again = answer(night, requests(night).propose_bulk([1], Verb.CANCEL))
    text = rf"step 1, fake/extract, is already in another plan: plan {first} was started by .*headway plan {first}, "
    with pytest.raises(AlreadyRequested, match=text):
        started(night, both)
    assert 2 == started(night, again)
    requests(night).steer_plan(first, RequestKind.ABORT_PLAN)
    turn(night)
    assert 3 == started(night, both)


@contextmanager
def writing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is run meanwhile by those who ask, in transactions that keep everybody else who writes waiting."""
    results: list[str] = []
    real = client.client_transaction

    @contextmanager
    def transaction(url: str, writes: bool = True) -> Iterator[Session]:
        with real(url, writes) as session:
            rows = session.rows

            def heard(sql: str, values: Sequence[Any] = ()) -> list[Row]:
                results.extend([sql] * writes)
                return rows(sql, values)

            session.rows = heard  # type: ignore[method-assign]
            yield session

    with monkeypatch.context() as patch:
        patch.setattr(client, "client_transaction", transaction)
        yield results


def many(draft: PlanDraft, count: int) -> PlanDraft:
    """So many steps, of each of the draft's jobs in turn, all of periods of their own."""
    made = (
        replace(draft.steps[n % len(draft.steps)], place=n + 1, period=StepPeriod(f"p{n}"), after=())
        for n in range(count)
    )
    return replace(draft, steps=tuple(made))


def test_a_plan_of_many_steps_blocks_no_writer_while_its_rights_are_checked(
    night: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL each statement is a way there and back while the engine waits for its turn."""
    draft = proposed(night)
    assert 2 == len({step.job_id for step in draft.steps})
    with writing(monkeypatch) as statements:
        number = started(night, many(draft, 400))
    assert (400, 400 * ["planned"]) == (len(view(night, number).steps), states(night, number)[1:])
    assert 10 < len(statements) < 40
    assert not [sql for sql in statements if "FROM service" in sql or "FROM dependency" in sql]
    with writing(monkeypatch) as statements:
        requests(night).steer_plan(number, RequestKind.PAUSE_PLAN)
        requests(night).propose_bulk(range(1, 401), Verb.RERUN)
    assert 10 < len(statements) < 40
    assert not [sql for sql in statements if "FROM service" in sql or "FROM dependency" in sql]


def test_either_database_accepts_as_many_runs_as_one_plan_may_have_and_more_are_refused(night: Bench) -> None:
    ids = [10**15 + number for number in range(MAX_RUNS)]
    question = requests(night).propose_bulk(ids, Verb.CANCEL)
    [(arguments,)] = rows(night, "SELECT arguments FROM request")
    grants = resources.files("console.store").joinpath("grants.sql").read_text()
    [most] = re.findall(r"octet_length\(given\) <= (\d+)", grants)
    assert len(arguments.encode()) <= int(most)
    with pytest.raises(NotAllowed, match="1001 runs are more than the 1000 that one plan takes"):
        requests(night).propose_bulk([*ids, 1], Verb.CANCEL)
    assert [(question,)] == rows(night, "SELECT id FROM request")


def test_what_is_permitted_counts_as_it_is_when_the_plan_starts(night: Bench) -> None:
    """Whatever was read before: a freeze, or a right that is gone."""
    draft = proposed(night)
    made = requests(night)
    real = made.subjects

    def frozen_meanwhile(jobs: Callable[[Session], Iterable[int]]) -> dict[int, ActionSubject]:
        subjects = real(jobs)
        made.turn("freeze", "on", "the network is being moved")
        return subjects

    made.subjects = frozen_meanwhile  # type: ignore[method-assign]
    with pytest.raises(NotAllowed, match="the network is being moved"):
        made.start_plan(draft, new_action_key())
    assert [] == rows(night, "SELECT id FROM plan")


def test_a_plan_without_steps_or_with_a_forbidden_one_is_not_started(tmp_path: Path) -> None:
    for night in night_in(
        tmp_path, extract=JobSetting("fake/extract", rerun=Safety.NEVER, expected=timedelta(minutes=1))
    ):
        draft = proposed(night)
        with pytest.raises(PlanRefused, match=re.escape(f"step 1, fake/extract: {NEVER_RERUN}")):
            started(night, draft)
        with pytest.raises(PlanRefused, match="the plan has no steps"):
            started(night, replace(draft, steps=()))
        with pytest.raises(PlanRefused, match="at least one action must be allowed at a time"):
            started(night, shortened(night, draft, 1), at_once=0)


def test_an_incident_that_is_not_open_has_no_plan(night: Bench) -> None:
    question = requests(night).ask(ProposeRecovery(77))
    night.parts.answers.step(night.fence)
    assert "INC-0077 is not open: nothing to repair" == requests(night).wait(question, HANGS_SECONDS).error


def test_an_unreachable_scheduler_leaves_its_step_without_a_preview(night: Bench) -> None:
    night.scheduler.refuse = SystemUnreachable("no route to host")
    assert {"no route to host"} == {step.problem for step in proposed(night).steps}


def test_marked_runs_are_cancelled_together(night: Bench) -> None:
    for name in ("extract", "load"):
        night.scheduler.attempt(name, f"{name}-9", RunState.RUNNING, datetime.now(UTC))
    night.turn()
    ids = [row[0] for row in rows(night, "SELECT id FROM run WHERE state = 'running' ORDER BY id")]
    draft = answer(night, requests(night).propose_bulk(ids, Verb.CANCEL))
    started(night, draft, at_once=2)
    turn(night)
    assert {("cancel", "extract")} == set(night.scheduler.done)
    for name in ("extract", "load"):
        night.scheduler.end(f"{name}-9", RunState.CANCELLED, datetime.now(UTC))
    night.turn()
    turn(night)
    assert ["done", "verified", "verified"] == states(night)


def test_a_backfill_starts_what_has_not_run_and_shows_its_progress(night: Bench) -> None:
    [(job_id,)] = rows(night, "SELECT id FROM job WHERE native_id = 'extract'")
    today = present().date()
    draft = answer(night, requests(night).ask(backfill_of(job_id, today - timedelta(days=2), today, 1)))
    assert ("backfill", ["rerun"], ["failed"]) == (
        draft.kind,
        [step.verb for step in draft.steps],
        [step.state for step in draft.steps],
    )


def test_an_unknown_plan_is_not_found(night: Bench) -> None:
    with pytest.raises(NotFound, match="there is no plan 9; headway plan --all lists them"):
        requests(night).steer_plan(9, RequestKind.PAUSE_PLAN)
    with pytest.raises(NotFound, match="there is no plan 9; headway plan --all lists them"):
        view(night, 9)


@pytest.mark.parametrize(
    "column, value",
    [
        ("after", "no json"),
        ("after", "{}"),
        ("after", '["x"]'),
        ("after", '[1, "x"]'),
        ("after", "[" * 50_000),
        ("due_us", 9 * 10**17),
        ("job_id", None),
    ],
    ids=["text", "table", "words", "partly", "depth", "due", "job"],
)
def test_an_unreadable_plan_is_abandoned_and_blocks_no_other(night: Bench, column: str, value: object) -> None:
    odd = started(night, answer(night, requests(night).propose_bulk([1], Verb.RERUN)))
    good = started(night, answer(night, requests(night).propose_bulk([2], Verb.RERUN)))
    with night.store.write(None) as connection:
        sql = f"UPDATE plan_step SET {column} = ? WHERE plan_id = ?"
        connection.rows(sql, (value, odd))
    turn(night)
    assert [("aborted", "abandoned")] == rows(
        night, f"SELECT p.state, s.state FROM plan p JOIN plan_step s ON s.plan_id = p.id WHERE p.id = {odd}"
    )
    with night.store.write(None) as connection:  # no screen shows an instant that no calendar has
        connection.rows("UPDATE plan_step SET due_us = NULL")
    shown = view(night, odd)
    assert (True, ()) == (shown.text.startswith("the stored plan cannot be read: "), shown.steps[0].after)
    assert ["running", "requested"] == states(night, good)


def test_a_new_engine_continues_where_the_old_one_stopped(night: Bench) -> None:
    started(night)
    turn(night)
    night.restart()
    ends(night, 1)
    assert ["running", "verified", "requested"] == states(night)
    assert [("rerun", "extract"), ("rerun", "load")] == night.scheduler.done


def rows(bench: Bench, sql: str) -> list[tuple[Any, ...]]:
    with bench.store.read() as connection:
        return [tuple(row) for row in connection.rows(sql)]


def test_a_backfill_starts_each_period_once_and_verifies_each_of_them(tmp_path: Path) -> None:
    """Three nights that nobody has seen; two at a time."""
    for bench in night_in(tmp_path, Schedule("debian-cron", "10 3 * * *", "UTC")):
        [(job_id,)] = rows(bench, "SELECT id FROM job WHERE native_id = 'nightly'")
        first = present().date() - timedelta(days=9)
        draft = answer(bench, requests(bench).ask(backfill_of(job_id, first, first + timedelta(days=2), unseen=True)))
        assert ["start"] * 3 == [step.verb for step in draft.steps]
        number = started(bench, draft, at_once=2)
        bench.scheduler.overlap = "nightly runs"
        for _ in range(4):
            turn(bench)
            for step in view(bench).steps:
                if step.action_key is not None and step.action_state == "sent":
                    more = {"action_key": step.action_key, "period_key": None}
                    bench.scheduler.attempt("nightly", step.action_key, RunState.SUCCEEDED, datetime.now(UTC), **more)
            bench.turn()
        assert ["done", "verified", "verified", "verified"] == states(bench, number)
        keys = rows(bench, "SELECT r.period_key FROM run r JOIN job j ON j.id = r.job_id WHERE j.native_id = 'nightly'"
                           " AND r.state = 'succeeded' ORDER BY r.sort_us")  # fmt: skip
        assert [(step.period.key,) for step in draft.steps] == keys
        assert [("start", "nightly")] * 3 == bench.scheduler.done


def test_what_its_own_scheduler_starts_once_its_upstream_ran_again_is_not_run_twice(
    night: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """load follows extract's asset: once extract was rerun, its scheduler starts a new run of load."""
    monkeypatch.setattr(execution, "PATIENCE", timedelta(seconds=0))
    draft = proposed(night)
    with night.store.write(None) as connection:
        connection.rows("UPDATE dependency SET origin = 'native'")
        connection.rows("UPDATE system SET poll_every_s = 0")
    started(night, draft)
    turn(night)
    ends(night, 1)
    assert ["running", "verified", "planned"] == states(night)
    assert view(night).steps[1].text.endswith(" starts it now")
    more = {"period_key": "asset-triggered", "period_kind": PeriodKind.RUN}
    night.scheduler.attempt("load", "by-asset", RunState.SUCCEEDED, datetime.now(UTC), **more)
    night.turn()
    turn(night)
    assert ["done", "verified", "verified"] == states(night)
    assert "its own scheduler started it: succeeded (native)" == view(night).steps[1].text
    assert [("rerun", "extract")] == night.scheduler.done


def test_a_missing_native_start_is_requested_after_all(night: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "PATIENCE", timedelta(seconds=0))
    draft = proposed(night)
    with night.store.write(None) as connection:
        connection.rows("UPDATE dependency SET origin = 'native'")
        connection.rows("UPDATE system SET poll_every_s = 0")
    started(night, draft)
    turn(night)
    ends(night, 1)
    assert [("rerun", "extract")] == night.scheduler.done
    night.turn()
    turn(night)
    assert ["running", "verified", "requested"] == states(night)
    assert [("rerun", "extract"), ("rerun", "load")] == night.scheduler.done


def test_more_periods_than_one_backfill_takes_are_refused_with_the_way_to_take_them(tmp_path: Path) -> None:
    for bench in night_in(tmp_path, Schedule("debian-cron", "0 * * * *", "UTC")):
        [(job_id,)] = rows(bench, "SELECT id FROM job WHERE native_id = 'nightly'")
        dates = present().date() - timedelta(days=9), present().date() - timedelta(days=8)
        question = requests(bench).ask(backfill_of(job_id, *dates, unseen=True))
        bench.parts.answers.step(bench.fence)
        text = "48 periods have no successful run, and one backfill runs at most 31 without a limit. Fix: --limit 48"
        refused = requests(bench).wait(question, HANGS_SECONDS)
        assert f"{text} for all of them, or --limit 31 for the oldest 31" == refused.error
        draft = answer(bench, requests(bench).ask(backfill_of(job_id, *dates, 47, unseen=True)))
        assert (47, 1) == (len(draft.steps), len(draft.excluded))
        assert {"native start"} == {step.preview.get("verb") for step in draft.steps}
        assert {step.period.key for step in draft.steps} == {ask.run.period_key for ask in bench.scheduler.specs}
        draft = answer(bench, requests(bench).ask(backfill_of(job_id, *dates)))
        assert (0, True) == (len(draft.steps), dated(draft.notes[0]).startswith("not known: "))


AUDIENCE = AlertRouting({"oncall": ("env A",), "nights": ("env B",)}, "oncall")


def sent_titles(bench: Bench) -> list[str]:
    """Titles of what left once all that is due was sent, after the service; of alerts that say that a person is
    needed."""
    bench.send()
    titles = [title for _, title, body in bench.sink.got if "A person is needed" in body]
    assert all(re.match(r"Supply plan (\d\d? \w+ )?\d\d:\d\d: ", title) for title in titles)
    return [title.partition(": ")[2] for title in titles]


def test_a_stopped_plan_notifies_the_route_of_its_incident_once_for_each_stop(night: Bench) -> None:
    number = started(night)
    turn(night)
    assert [] == sent_titles(night)
    ends(night, 1, RunState.FAILED)
    for _ in range(2):
        turn(night)
    title = "plan 1 stopped: fix extract [INC-0001]"
    assert [title] == sent_titles(night)
    with night.reads() as reads:
        assert (1,) == reads.estate.header().stopped_plans
        assert [number] == [plan.id for plan in reads.plans.list_plans(ended=False)]
    body = night.sink.got[-1][2]
    assert body.startswith("  | step 1, fake/extract: ended failed\n\n")
    assert "By hand  fix fake/extract\nDo       headway plan resume 1\nOpen     headway plan 1\n" in body
    requests(night).steer_plan(number, RequestKind.RESUME_PLAN)
    turn(night)
    ends(night, 1, RunState.FAILED)
    assert [title, title] == sent_titles(night)


def test_the_notification_of_a_stopped_plan_has_the_error_line_of_the_log(night: Bench) -> None:
    started(night)
    turn(night)
    [key] = [step.action_key for step in view(night).steps if step.action_key]
    night.scheduler.logs[f"extract-{key}"] = "connecting\nFATAL: no route to db07\nbye\n"
    ends(night, 1, RunState.FAILED)
    turn(night)
    sent_titles(night)
    assert night.sink.got[-1][2].startswith("  | step 1, fake/extract: ended failed: FATAL: no route to db07\n\n")


def test_the_notification_of_a_stopped_plan_has_its_error_once(night: Bench) -> None:
    started(night)
    turn(night)
    ends(night, 1, RunState.FAILED)
    with night.store.write(None) as session:
        session.rows("UPDATE incident SET reason = 'fake/extract: ended failed'")
    turn(night)
    sent_titles(night)
    assert 1 == night.sink.got[-1][2].count("ended failed")


def test_the_first_step_for_a_plan_that_stopped_under_a_freeze_ends_the_freeze(night: Bench) -> None:
    """The freeze refuses the resume."""
    started(night)
    turn(night)
    requests(night).turn("freeze", "on", "the network is being moved")
    ends(night, 1, RunState.FAILED)
    for _ in range(2):
        turn(night)
    assert ["plan 1 stopped: headway freeze --off, then fix extract [INC-0001]"] == sent_titles(night)
    steps = "Do       headway freeze --off\nBy hand  fix fake/extract\nDo       headway plan resume 1\n"
    assert steps in night.sink.got[-1][2]


def test_the_first_step_for_a_plan_whose_system_is_in_shadow_turns_it_live(night: Bench) -> None:
    """The shadow mode refuses the resume too."""
    started(night)
    turn(night)
    requests(night).turn("system fake", "shadow", "a rehearsal")
    ends(night, 1, RunState.FAILED)
    for _ in range(2):
        turn(night)
    live = "headway shadow off --system fake"
    assert [f"plan 1 stopped: {live}, then fix extract [INC-0001]"] == sent_titles(night)
    assert f"Do       {live}\nBy hand  fix fake/extract\nDo       headway plan resume 1\n" in night.sink.got[-1][2]
    with pytest.raises(NotAllowed, match=re.escape(live)):
        requests(night).steer_plan(1, RequestKind.RESUME_PLAN)


def test_a_delayed_opening_is_sent_below_what_its_stopped_plan_needs(night: Bench) -> None:
    """The state of the plan when the alert leaves, not when it was made."""
    night.sink.answer = SendResult(False, "451")
    with night.store.write(None) as session:
        session.rows("UPDATE delivery SET state = 'pending', wire_us = NULL, since_us = since_us - 1190000000")
    started(night)
    turn(night)
    ends(night, 1, RunState.FAILED)
    turn(night)
    night.sink.got.clear()
    night.sink.answer = SendResult(True)
    with night.store.write(None) as session:
        session.rows("UPDATE delivery SET next_us = 0")
    night.send()
    [(_, title, body)] = night.sink.got
    assert title.endswith(": plan 1 stopped: fix extract [INC-0001]")
    assert body.startswith("Delayed by 20 min.\n\n")
    assert body.index("headway plan resume 1") < body.index("[INC-0001]") < body.index("headway ack INC-0001")


def test_a_plan_requested_over_http_notifies_a_person_once(night: Bench) -> None:
    number = requests(night).start_plan(proposed(night), "pager-1", is_paused=True)
    for _ in range(2):
        turn(night)
    assert ["plan 1 awaits approval: headway plan resume 1 [INC-0001]"] == sent_titles(night)
    body = night.sink.got[-1][2]
    assert body.startswith("  | nothing is sent until a person resumes it\n\n")
    assert f"Do    headway plan resume {number}\nOpen  headway plan {number}\n" in body
    assert "paused" == view(night).state


def test_the_notification_of_a_plan_says_whose_assistant_requested_it(night: Bench) -> None:
    number = EngineClient(night.url, origin=MCP).start_plan(proposed(night), "mcp-1", is_paused=True)
    turn(night)
    sent_titles(night)
    *_, by, about, why, act_by, saves = night.sink.got[-1][2].splitlines()
    assert f"Requested by  assistant of {getpass.getuser()}" == by
    assert "Plan          repair fake/extract" == about
    assert "Why           fake/extract failed" == why
    assert re.fullmatch(r"Act by        (\d\d? \w+ )?[0-9:]{5} UTC", act_by)
    assert re.fullmatch(r"Saves         Supply plan (\d\d? \w+ )?[0-9:]{5} UTC", saves)
    with night.reads() as reads:
        [proposed_event] = [event for event in reads.incidents.incident(1).events if event.kind == "plan"]
    by = f"assistant of {getpass.getuser()}"
    assert (by, f"plan {number} awaits approval: ") == (proposed_event.actor, dated(proposed_event.text)[:24])
    assert "awaits approval" == view(night).status
    with pytest.raises(AlreadyRequested, match=f"was requested by {by} .* ago; it awaits approval: "):
        requests(night).start_plan(proposed(night), "mcp-2", is_paused=True)
    requests(night).steer_plan(number, RequestKind.RESUME_PLAN)
    assert "running" == view(night).status


def test_a_repair_names_who_requested_its_plan_and_who_approved_it(night: Bench) -> None:
    number = EngineClient(night.url, person=Person("anna"), origin=MCP).start_plan(
        proposed(night), "mcp-1", is_paused=True
    )
    EngineClient(night.url, person=Person("ben")).steer_plan(number, RequestKind.RESUME_PLAN)
    turn(night)
    ends(night, 1)
    ends(night, 2)
    night.turn()  # the plan is done
    title, body = night.sink.got[-1][1:]
    assert PageAction.RESOLVE is night.sink.actions[-1]
    assert title.endswith("rerun by assistant of anna, approved by ben)")
    assert "Repaired       rerun by assistant of anna, approved by ben, good at " in body


def test_a_repair_by_its_only_requester_names_one_person(night: Bench) -> None:
    client = EngineClient(night.url, person=Person("anna"))
    client.start_plan(proposed(night), "plan-1")
    for change in (RequestKind.PAUSE_PLAN, RequestKind.RESUME_PLAN):
        EngineClient(night.url, person=Person("ben")).steer_plan(1, change)
    turn(night)
    ends(night, 1)
    ends(night, 2)
    night.turn()  # the plan is done
    assert night.sink.got[-1][1].endswith("rerun by anna)")


def test_a_stopped_plan_leaves_the_header_with_its_incident_and_not_the_list_of_plans(night: Bench) -> None:
    started(night)
    turn(night)
    ends(night, 1, RunState.FAILED)
    turn(night)
    with night.reads() as reads:
        assert (1,) == reads.estate.header().stopped_plans
        with night.store.write(None) as connection:
            connection.rows("UPDATE incident SET closed_us = 1 WHERE id = 1")
        assert ((), [1]) == (
            reads.estate.header().stopped_plans,
            [plan.id for plan in reads.plans.list_plans(ended=False)],
        )


def test_a_stopped_plan_of_no_incident_leaves_the_header_once_what_failed_is_good_or_after_a_day(night: Bench) -> None:
    started(night)
    turn(night)
    ends(night, 1, RunState.FAILED)
    turn(night)

    def header_after(change: str) -> tuple[int, ...]:
        with night.store.write(None) as connection:
            connection.rows(change)
        with night.reads() as reads:
            return reads.estate.header().stopped_plans

    assert (1,) == header_after("UPDATE plan SET incident_id = NULL")
    day_us = 86_400_000_000
    assert () == header_after(f"UPDATE plan_step SET ended_us = ended_us - {day_us} WHERE ended_us IS NOT NULL")
    assert (1,) == header_after(f"UPDATE plan_step SET ended_us = ended_us + {day_us} WHERE ended_us IS NOT NULL")
    assert () == header_after("UPDATE run SET state = 'succeeded'")


@pytest.mark.parametrize(
    "notify, mode, routes",
    [("[]", "live", ["oncall"]), ('["nights"]', "live", ["nights"]), ('["nights"]', "shadow", [])],
)
def test_a_stopped_plan_without_an_incident_notifies_the_routes_of_its_job(
    tmp_path: Path, notify: str, mode: str, routes: list[str]
) -> None:
    """Or the default route; nobody where it was put in shadow meanwhile, but for a line in the timeline."""
    for bench in night_in(tmp_path, Schedule("debian-cron", "10 3 * * *", "UTC")):
        bench.parts.plans = PlanExecutor(bench.store, bench.parts.clock, bench.parts.secrets, lambda: None, AUDIENCE)
        [(job_id,)] = rows(bench, "SELECT id FROM job WHERE native_id = 'nightly'")
        first = present().date() - timedelta(days=9)
        draft = answer(bench, requests(bench).ask(backfill_of(job_id, first, first, unseen=True)))
        started(bench, draft)
        bench.scheduler.refused = "it is locked"
        with bench.store.write(None) as connection:
            connection.rows("UPDATE job SET notify = ? WHERE id = ?", (notify, job_id))
            connection.rows("UPDATE switch SET value = ? WHERE name = 'mode'", (mode,))
        turn(bench)
        assert "stopped" == view(bench).state
        title = "Plan 1 stopped: headway plan resume 1"
        results = rows(bench, "SELECT message, route FROM alert WHERE kind = 'person'")
        assert [(title, route) for route in routes] == [(title_of(stored), route) for stored, route in results]
        assert [(1 - len(routes),)] == rows(
            bench, "SELECT count(*) FROM event WHERE kind = 'unsent' AND text LIKE 'plan 1%'"
        )


def test_an_abandoned_plan_notifies_a_person(night: Bench) -> None:
    started(night)
    with night.store.write(None) as connection:
        connection.rows("UPDATE plan_step SET after = '{}'")
    turn(night)
    assert ["aborted", "plan 1 was abandoned: repair fake/extract [INC-0001]"] == [
        view(night).state,
        *sent_titles(night),
    ]


def run_at(bench: Bench, place: int) -> int:
    run_id = view(bench).steps[place - 1].run_id
    assert run_id is not None
    return run_id


def test_a_run_that_a_running_plan_will_rerun_cannot_be_rerun_beside_it(night: Bench) -> None:
    started(night)
    turn(night)
    text = "plan 1 of .* does it, in its step 2: headway plan 1 --watch follows it; --overlap queue waits for it"
    for request in (ActionRequest(Verb.RERUN, run_at(night, 2)), ActionRequest(Verb.SKIP, run_at(night, 2))):
        with pytest.raises(AlreadyRequested, match=text):
            requests(night).act(request, new_action_key())
    requests(night).steer_plan(1, RequestKind.PAUSE_PLAN)
    requests(night).act(ActionRequest(Verb.RERUN, run_at(night, 2)), new_action_key())


def test_what_was_queued_behind_a_plan_leaves_after_its_step_and_neither_waits_for_ever(night: Bench) -> None:
    started(night)
    turn(night)
    key = new_action_key()
    requests(night).act(ActionRequest(Verb.RERUN, run_at(night, 2), overlap="queue", beside=()), key)
    turn(night)
    [(text,)] = rows(night, f"SELECT text FROM action WHERE key = '{key}'")
    assert "queued: plan 1 does it first, in its step 2" == text
    ends(night, 1)
    due(night)
    assert ["running", "verified", "requested"] == states(night)
    assert [("rerun", "extract"), ("rerun", "load")] == night.scheduler.done
    ends(night, 2)
    due(night)
    assert "done" == view(night).state
    assert ([("rerun", "load")], key) == (night.scheduler.done[2:], night.scheduler.acted[-1])


def test_a_plan_of_which_only_the_reason_is_missing_is_no_refusal_in_the_audit(night: Bench) -> None:
    """A console sends it, is asked for a reason, and sends it again: the audit has the start, and no row of a refused
    attempt."""
    night.parts.config = replace(night.parts.config, acting=ActingRules(reason_tiers=(1, 2, 3)))
    night.parts.config_sync.sync(night.fence)
    draft = proposed(night)
    with pytest.raises(ReasonNeeded, match="give a reason"):
        started(night, draft)
    started(night, draft, why="the disk is swapped")
    with night.reads() as reads:
        verbs = [row.verb for row in reads.audit.list_entries() if "plan" in row.verb]
    assert ["start plan"] == verbs


@pytest.mark.parametrize("is_judged_first", [True, False])
def test_a_step_that_fails_after_the_incident_is_resolved_sends_one_mail_that_names_the_resume(
    night: Bench, is_judged_first: bool
) -> None:
    number = started(night)
    turn(night)
    ends(night, 1)
    night.send()
    night.sink.got.clear()
    step = view(night).steps[1]
    again = {"action_key": step.action_key, "period_key": None}
    night.scheduler.attempt("load", "load-again", RunState.FAILED, datetime.now(UTC), **again)
    if is_judged_first:
        night.turn()
    else:  # the plan sees the failed run before it is evaluated
        night.poller.poll_once(night.fence)
        turn(night)
        turn(night)
        assert ["running", "verified", "failed"] == states(night)
    for _ in range(3):
        turn(night)
        night.turn()
    night.send()
    [(opened, body)] = [(title, body) for _, title, body in night.sink.got if not title.startswith("Cause resolved")]
    assert re.fullmatch(r"Supply plan .* at risk: restart load by .* \[INC-0002\]", opened)
    assert [f"headway plan resume {number}"] == re.findall(r"^Do +(.*)$", body, re.M)
    with night.reads() as reads:
        assert [number] == [plan.id for plan in reads.plans.list_plans(2)]
        assert reads.plans.plan(number).status_text.startswith("step 2, fake/load: ended failed; to go on: ")
        assert f"its plan {number} continues at INC-0002" in [
            dated(event.text) for event in reads.incidents.incident(1).events
        ]


def verdict_of(bench: Bench) -> str:
    with bench.reads() as reads:
        opened, plan = reads.incidents.incident(1), reads.plans.plan(1)
        services = reads.services.list_services()
        assert all(service.has_plan for service in services if service.incident_id == 1)
        now = reads.now()
        return verdict_text(incident_verdict(opened, [plan], now, is_frozen=False), now, lambda at: f"{at:%H:%M}")


def test_a_plan_that_cannot_go_on_says_why_and_promises_nothing(night: Bench) -> None:
    started(night)
    turn(night)
    assert verdict_of(night).startswith("Plan 1 running: 0 of 2 steps, ")
    requests(night).pause_polling("fake", 600.0, "maintenance")
    assert "Plan 1 waits: polls of fake are paused, 0 of 2 steps" == verdict_of(night)
    requests(night).pause_polling("fake", 0.0, "")
    requests(night).turn("freeze", "on", "")
    assert "Plan 1 waits: frozen, thaw first, 0 of 2 steps" == verdict_of(night)
    requests(night).turn("freeze", "off", "")
    with night.store.write(None) as session:  # as `headway freeze` by a person who signs in at the database
        session.rows("INSERT INTO switch (name, value, set_by, why, at_us) VALUES ('freeze anna', 'on', 'anna', '', 1)")
    assert "Plan 1 waits: frozen, thaw first, 0 of 2 steps" == verdict_of(night)
    with night.store.write(None) as session:
        session.rows("DELETE FROM switch WHERE name = 'freeze anna'")
        session.rows("UPDATE target SET failing_since_us = 1, last_ok_us = 1")
    assert re.fullmatch("Plan 1 waits: fake/.* is unreachable, 0 of 2 steps", verdict_of(night))


def test_a_plan_waits_behind_an_unknown_outcome_and_the_status_names_it(night: Bench) -> None:
    """Of its own step, or of an aborted plan's."""
    started(night)
    turn(night)
    with night.store.write(None) as session:
        session.rows("UPDATE action SET state = 'unknown'")
    waits = "Plan 1 waits: the outcome of the rerun of fake/extract is unknown, 0 of 2 steps"
    assert waits == verdict_of(night)
    with night.store.write(None) as session:
        session.rows(
            "UPDATE plan_step SET action_key = NULL, state = 'planned', text = '' WHERE action_key IS NOT NULL"
        )
    assert waits == verdict_of(night)
    with night.store.write(None) as session:
        session.rows("UPDATE plan SET incident_id = NULL")
    status = " ".join(headway(night.url, "status").out.split())
    assert "plan 1 waits: the outcome of the rerun of fake/extract is unknown: headway plan 1" in status
    with night.store.write(None) as session:
        session.rows("UPDATE action SET state = 'verified'")
    assert "plan 1 waits" not in headway(night.url, "status").out


def test_a_plan_stands_still_only_if_each_of_its_next_steps_does(night: Bench) -> None:
    """Polls of one system are paused: a step on another one that waits for nothing is still sent."""
    started(night)
    with night.store.write(None) as session:
        session.rows(
            "INSERT INTO system (id, name, kind, zone, cutoff, poll_every_s, capabilities, missing, removed)"
            " SELECT 9, 'other', kind, zone, cutoff, poll_every_s, capabilities, missing, removed FROM system"
        )
        session.rows("UPDATE job SET system_id = 9 WHERE id = (SELECT job_id FROM plan_step WHERE place = 2)")
        session.rows("UPDATE plan_step SET after = '[]' WHERE place = 2")
    requests(night).pause_polling("fake", 600.0, "maintenance")
    assert verdict_of(night).startswith("Plan 1 running: ")
    with night.store.write(None) as session:
        session.rows("UPDATE plan_step SET after = '[1]' WHERE place = 2")
    assert "Plan 1 waits: polls of fake are paused, 0 of 2 steps" == verdict_of(night)


def test_a_proposed_plan_that_a_person_ran_no_longer_awaits_approval(night: Bench) -> None:
    number = requests(night).start_plan(proposed(night), "pager-1", is_paused=True)
    with night.store.write(None) as session:
        session.rows("UPDATE plan SET requested_from = ?", (MCP,))
    assert [] == paused_plans(night)
    requests(night).steer_plan(number, RequestKind.RESUME_PLAN)
    turn(night)
    requests(night).steer_plan(number, RequestKind.PAUSE_PLAN)
    assert ["Plan 1 is paused at 0 of 2 steps"] == paused_plans(night)
    with pytest.raises(AlreadyRequested, match=f"plan {number} was started by .*; it is paused: "):
        requests(night).start_plan(proposed(night), "pager-2", is_paused=True)


def test_a_step_of_a_resumed_plan_no_longer_waits_for_the_resume(night: Bench) -> None:
    number = started(night)
    night.parts.plans.step(night.fence)
    requests(night).steer_plan(number, RequestKind.PAUSE_PLAN)
    night.parts.actions.step(night.fence)
    assert "plan 1 is paused: waiting" == view(night).steps[0].text
    requests(night).steer_plan(number, RequestKind.RESUME_PLAN)
    assert "" == view(night).steps[0].text
