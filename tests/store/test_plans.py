"""Plans as rows: started once, moved one row at a time, steered by people, read back as they stand."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text

from connectors.sdk.states import RunState, Verb
from console.domain.estate import EvaluationSettings
from console.domain.ids import derived_key, micros, new_action_key, utc_minute
from console.domain.plan import (
    ChangePlanState,
    DraftStep,
    EndStep,
    PlanDraft,
    PlanRefused,
    SavedService,
    StepPeriod,
    parse_places,
)
from console.domain.request import RequestKind
from console.domain.stored import stored_text
from console.domain.text import At, key_text, render
from console.engine.api.action_request import AlreadyRequested
from console.engine.api.client import EngineClient
from console.store import actions, assertions, jobs, plan_steps, plans
from console.store.actions import ActionStep
from console.store.db.session import Session
from console.store.errors import KeyReused
from console.store.events import record_event
from console.store.new_actions import SENT_BY, NewAction, insert_action
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from console.store.snapshot import facts
from console.store.snapshot.estate import load_estate
from tests.action_requests import rerun_of
from tests.lab.process import HANGS_SECONDS
from tests.store.estate import JOBS, Estate, at, failed, running
from tests.store.test_decisions import decide, incident

WHY = "the disk was full"
SAVE = SavedService("plan", "2026-11-19", at("06:30"), saved=True, text=("act by ", At(at("04:20"))))


def rows(served: Estate, sql: str, **values: Any) -> list[Any]:
    with served.store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql), values)]


@pytest.fixture
def draft(served: Estate) -> PlanDraft:
    """Two failed runs, the second one reads the first."""
    served.ingest(failed(JOBS[0]), failed(JOBS[1], "04:00"))
    results = rows(served, "SELECT r.id, r.job_id, r.period_key, j.name FROM run r JOIN job j ON j.id = r.job_id"
                         " WHERE r.state = 'failed' ORDER BY r.sort_us")  # fmt: skip
    steps = tuple(
        DraftStep(place, "rerun", job_id, name, "etl-hosts", run_id, StepPeriod(period), "failed", ("it ended failed",),
             after=(1,) if place == 2 else (), expected_s=600.0, saves=(SAVE,),
             preview={"verb": "run once", "plan": {"line": 4}})
        for place, (run_id, job_id, period, name) in enumerate(results, 1)
    )  # fmt: skip
    return PlanDraft("recovery", "repair extract", None, steps)


@pytest.mark.parametrize(
    "origin, sent_by",
    [
        ("MCP", "assistant of anna, approved by ben"),
        ("10.0.0.7 (MCP)", "assistant of anna, approved by ben"),
        ("10.0.0.7 (HTTP API)", "anna, approved by ben"),
        ("cli", "anna"),
        ("mcp-gateway01", "anna"),
    ],
)
def test_only_a_plan_of_an_assistant_or_the_http_api_has_an_approver(
    served: Estate, draft: PlanDraft, origin: str, sent_by: str
) -> None:
    decide(served, incidents=(incident(),))
    number, [step, *_] = start(served, replace(draft, incident_id=1)), draft.steps
    action = NewAction(
        key="a", verb=Verb.RERUN, job_id=step.job_id, run_id=step.run_id, incident_id=1, parameters={}, origin="plan",
        requested_by="anna", requested_from=origin, overlap="", requested_us=0,
    )  # fmt: skip
    with served.store.write(None) as session:
        insert_action(session, action)
        session.rows("UPDATE plan SET requested_by = 'anna', requested_from = ?", (origin,))
        session.rows("UPDATE plan_step SET action_key = 'a' WHERE place = 1")
        record_event(session, 0, "plan", f"plan {number} resumed", incident_id=1, actor="ben")
    assert [(sent_by,)] == rows(served, f"SELECT {SENT_BY} FROM action a")
    with served.store.write(None) as session:
        session.rows("UPDATE plan SET incident_id = NULL")
    assert [(sent_by,)] == rows(served, f"SELECT {SENT_BY} FROM action a"), "after it moved to another incident"


def requests(served: Estate) -> EngineClient:
    return EngineClient(served.store.url)


def start(served: Estate, draft: PlanDraft, key: str = "", **more: Any) -> int:
    return requests(served).start_plan(draft, key or new_action_key(), WHY, **more)


def reading(served: Estate) -> Queries:
    return open_queries(served.store.url)


def test_a_plan_is_read_back_as_it_was_started(served: Estate, draft: PlanDraft) -> None:
    number = start(served, draft, at_once=3)
    with reading(served) as reads:
        plan = reads.plans.plan(number)
        assert [number] == [plan.id for plan in reads.plans.list_plans(ended=False)]
    assert ("running", "recovery", "repair extract", WHY, 3) == (
        plan.state,
        plan.kind,
        plan.title,
        plan.why,
        plan.at_once,
    )
    assert [(1, (), "planned", 600.0), (2, (1,), "planned", 600.0)] == [
        (step.place, step.after, step.state, step.expected_s) for step in plan.steps
    ]
    assert [step.run_id for step in draft.steps] == [step.run_id for step in plan.steps]
    assert [('{"verb": "run once", "run_state": "failed"}',)] * 2 == rows(
        served, "SELECT preview FROM plan_step ORDER BY place"
    )


def test_the_same_key_twice_is_one_plan_and_its_start_is_in_the_audit(served: Estate, draft: PlanDraft) -> None:
    assert start(served, draft, "headway-0123456789ab") == start(served, draft, "headway-0123456789ab")
    assert [(1,)] == rows(served, "SELECT count(*) FROM plan")
    assert [(WHY,)] == rows(served, "SELECT why FROM audit WHERE verb = 'start plan'")


def test_the_audit_and_the_events_of_a_plan_name_the_period_of_each_step(served: Estate, draft: PlanDraft) -> None:
    first, key = draft.steps[0], draft.steps[0].period.key
    other = replace(first, place=2, run_id=None, period=StepPeriod("2026-11-21T05:10:00Z"))
    start(served, replace(draft, steps=(first, other)))
    [(detail,)] = rows(served, "SELECT detail FROM audit WHERE verb = 'start plan'")
    named = f"{first.job} {render(key_text(key), utc_minute)}"
    assert [f"{first.verb} {named}", f"{first.verb} {first.job} 2026-11-21 05:10Z"] == json.loads(detail)["steps"]
    [plan] = plans.active_plans(served.store, {})
    plans.end_step(served.store, None, plan, EndStep(plan.steps[0], "verified", "good"), at("03:31"))
    assert [(f"step 1, {named}: good",)] == rows(served, "SELECT text FROM event WHERE text LIKE 'step 1%'")


def add_incident_of_the_plan(session: Session) -> None:
    session.rows(
        "INSERT INTO incident (id, key, title, cause, root_period_key, business_date, reason, owner, runbook,"
        " failed_since_us, opened_us, close_reason, fingerprint, version, changed_seq)"
        " VALUES (7, 'k', 'a', 'run', '', '2026-11-19', '', '', '', 0, 0, '', '', 1, 0)"
    )
    session.rows("UPDATE plan SET incident_id = 7")
    session.rows("UPDATE service SET name = ?", (SAVE.service,))


def test_a_notification_of_a_plan_lists_the_service_days_that_it_saves(served: Estate, draft: PlanDraft) -> None:
    """The incident lasts over two dates; the plan saves the service on one date."""
    number = start(served, draft)
    with served.store.write(None) as session:
        add_incident_of_the_plan(session)
        session.many(
            "INSERT INTO incident_service (incident_id, service_id, business_date, deadline_us, act_by_us,"
            " timeliness, basis, reasons) VALUES (?, 1, ?, ?, ?, '', '', '[]')",
            [
                (7, "2026-11-18", micros(at("02:00")), micros(at("01:00"))),
                (7, "2026-11-19", micros(at("06:30")), micros(at("04:20"))),
            ],
        )
        [plan] = session.rows("SELECT * FROM plan WHERE id = ?", (number,))
        facts = dict(plans._decision_facts(session, number, plan, "", at("03:30")))
    assert ("05:20 CET", 1) == (facts["Act by"], facts["Saves"].count("07:30 CET"))
    assert "03:00" not in facts["Saves"]


def test_a_started_plan_keeps_which_services_it_only_may_save(served: Estate, draft: PlanDraft) -> None:
    first, second = draft.steps
    may = replace(SAVE, service="refunds", saved=None)
    lost = replace(SAVE, service="late", saved=False)
    number = start(served, replace(draft, steps=(replace(first, saves=(SAVE, may, lost)), second)))
    with reading(served) as reads:
        plan = reads.plans.plan(number)
    days = [(name, SAVE.business_date) for name in ("plan", "refunds", "late")]
    assert [(True, False), (False, True), (False, False)] == [(plan.saves(*day), plan.may_save(*day)) for day in days]


def test_a_notification_of_a_plan_has_one_zone(served: Estate, draft: PlanDraft) -> None:
    number = start(served, draft)
    with served.store.write(None) as session:
        add_incident_of_the_plan(session)
        columns = "deadline, zone, cutoff, tier, owner, notify, runbook, calendar, promise, ready, removed, terminals"
        session.rows(
            f"INSERT INTO service (id, name, title, {columns})"
            f" SELECT 2, 'tokyo-report', 'Tokyo', {columns} FROM service"
        )
        session.rows("UPDATE service SET zone = 'Asia/Tokyo' WHERE id = 2")
        saves = tuple(
            SavedService(name, "2026-11-19", at("06:30"), saved=True) for name in (SAVE.service, "tokyo-report")
        )
        session.rows("UPDATE plan_step SET saves = ?", (stored_text(saves),))
        session.many(
            "INSERT INTO incident_service (incident_id, service_id, business_date, deadline_us, act_by_us,"
            " timeliness, basis, reasons) VALUES (7, ?, '2026-11-19', ?, ?, '', '', '[]')",
            [(1, micros(at("06:30")), micros(at("04:20"))), (2, micros(at("07:00")), micros(at("05:00")))],
        )
        [plan] = session.rows("SELECT * FROM plan WHERE id = ?", (number,))
        facts = dict(plans._decision_facts(session, number, plan, "", at("03:30")))
    assert "Tokyo 08:00 CET" in facts["Saves"]
    assert "JST" not in facts["Saves"]


def test_a_second_plan_for_an_incident_that_has_one_is_refused(served: Estate, draft: PlanDraft) -> None:
    about = PlanDraft(draft.kind, draft.title, 7, draft.steps)
    number = start(served, about)
    with pytest.raises(AlreadyRequested, match=f"plan {number} was started by"):
        start(served, about)
    requests(served).steer_plan(number, RequestKind.ABORT_PLAN)
    assert number < start(served, about)


def test_requesting_a_step_creates_its_action_in_the_same_transaction_and_only_once(
    served: Estate, draft: PlanDraft
) -> None:
    number = start(served, draft)
    [plan] = plans.active_plans(served.store, {})
    assert [number] == [plan.id]
    assert plans.request_step(served.store, None, plan.steps[0], "headway-0123456789ab", at("03:30")) is True
    assert plans.request_step(served.store, None, plan.steps[0], "headway-0123456789ac", at("03:30")) is False
    [action] = actions.due_actions(served.store, 2**62, {})
    assert ("headway-0123456789ab", "rerun", "plan", "queue", {}, WHY, draft.steps[0].run_id) == (
        action.key, action.verb, action.origin, action.overlap, action.preview, action.why, action.run_id)  # fmt: skip
    [now] = plans.active_plans(served.store, {})
    assert ("requested", "requested", "failed") == (
        now.steps[0].state,
        now.steps[0].action_state,
        now.steps[0].run.state if now.steps[0].run else "",
    )


def test_a_plan_paused_meanwhile_requests_nothing(served: Estate, draft: PlanDraft) -> None:
    number = start(served, draft)
    [plan] = plans.active_plans(served.store, {})
    requests(served).steer_plan(number, RequestKind.PAUSE_PLAN)
    assert plans.request_step(served.store, None, plan.steps[0], "headway-0123456789ab", at("03:30")) is False
    assert [] == rows(served, "SELECT key FROM action")


def test_steps_wait_and_end_and_the_plan_with_them(served: Estate, draft: PlanDraft) -> None:
    number = start(served, draft)
    [plan] = plans.active_plans(served.store, {})
    for until in ("04:00", "05:00"):
        plans.begin_wait(served.store, None, plan.steps[1], at(until))
    plans.end_step(served.store, None, plan, EndStep(plan.steps[0], "verified", "good by other means"), at("03:31"))
    assert (
        plans.move_plan(served.store, None, plan, ChangePlanState("done", "2 of 2 steps are over"), at("04:31")) is True
    )
    assert plans.move_plan(served.store, None, plan, ChangePlanState("stopped", "late"), at("04:32")) is False
    with reading(served) as reads:
        plan_view = reads.plans.plan(number)
    assert ("done", at("04:31"), at("04:00"), "verified") == (
        plan_view.state, plan_view.ended, plan_view.steps[1].due, plan_view.steps[0].state)  # fmt: skip
    assert [("plan done",)] == rows(served, "SELECT verb FROM audit WHERE verb LIKE 'plan d%'")


def test_resuming_plans_failed_steps_again_and_leaves_finished_ones(served: Estate, draft: PlanDraft) -> None:
    number = start(served, draft)
    [plan] = plans.active_plans(served.store, {})
    plans.request_step(served.store, None, plan.steps[0], "headway-0123456789ab", at("03:30"))
    plans.end_step(served.store, None, plan, EndStep(plan.steps[0], "failed", "exit 1"), at("03:31"))
    plans.move_plan(served.store, None, plan, ChangePlanState("stopped", "step 1: exit 1"), at("03:31"))
    assert [] == plans.active_plans(served.store, {})
    assert "running" == requests(served).steer_plan(number, RequestKind.RESUME_PLAN)
    [again] = plans.active_plans(served.store, {})
    assert [("planned", None), ("planned", None)] == [(step.state, step.action_key) for step in again.steps]
    requests(served).steer_plan(number, RequestKind.ABORT_PLAN)
    with pytest.raises(PlanRefused, match=f"plan {number} is aborted: it cannot be paused"):
        requests(served).steer_plan(number, RequestKind.PAUSE_PLAN)


@pytest.mark.parametrize("role, moves_to", [("root", 8), ("red", 8), ("stale", 7), ("threatened", 7)])
def test_a_stopped_plan_moves_only_to_an_incident_of_its_red_step(
    served: Estate, draft: PlanDraft, role: str, moves_to: int
) -> None:
    start(served, draft)
    with served.store.write(None) as session:
        session.many(
            "INSERT INTO incident (id, key, title, cause, root_period_key, business_date, reason, owner, runbook,"
            " failed_since_us, opened_us, closed_us, close_reason, fingerprint, version, changed_seq)"
            " VALUES (?, ?, 'a', 'run', '', '2026-11-19', '', '', '', 0, 0, ?, '', '', 1, 0)",
            [(7, "old", 1), (8, "new", None)],
        )
        session.rows("UPDATE plan SET incident_id = 7")
        session.rows(
            "INSERT INTO incident_member (incident_id, job_id, period_key, role, place)"
            " SELECT 8, job_id, period_key, ?, 0 FROM plan_step WHERE place = 1",
            (role,),
        )
    [plan] = plans.active_plans(served.store, {})
    plans.request_step(served.store, None, plan.steps[0], "headway-0123456789ab", at("03:30"))
    plans.end_step(served.store, None, plan, EndStep(plan.steps[0], "failed", "exit 1"), at("03:31"))
    plans.move_plan(served.store, None, plan, ChangePlanState("stopped", "step 1: exit 1"), at("03:31"))
    assert [(moves_to,)] == rows(served, "SELECT incident_id FROM plan")
    [(detail,)] = rows(served, "SELECT detail FROM audit WHERE verb = 'plan stopped'")
    assert (7 if moves_to == 8 else None) == json.loads(detail).get("incident_before")


def test_a_step_says_who_else_is_at_its_run(served: Estate, draft: PlanDraft) -> None:
    requests(served).act(rerun_of(int(draft.steps[0].run_id or 0), {"verb": "run once"}), new_action_key())
    start(served, draft)
    [plan] = plans.active_plans(served.store, {})
    assert (True, "") == (plan.steps[0].others.endswith(" rerun"), plan.steps[1].others)


def test_a_period_that_comes_later_is_found_by_its_key(served: Estate, draft: PlanDraft) -> None:
    first = DraftStep(1, "start", draft.steps[0].job_id, draft.steps[0].job, "etl-hosts", None,
                      StepPeriod("2026-11-20T05:10:00Z"),
                 "planned", ("it has not run",), {"period_at": "2026-11-20T05:10:00Z"})  # fmt: skip
    start(served, PlanDraft("backfill", "backfill", None, (first,)))
    [plan] = plans.active_plans(served.store, {})
    assert (None, None) == (plan.steps[0].run_id, plan.steps[0].run)
    served.ingest(running(JOBS[0], "05:10", "9"), now="05:11")
    [plan] = plans.active_plans(served.store, {})
    assert "running" == (plan.steps[0].run.state if plan.steps[0].run else "")


def test_the_runs_of_some_dates_are_read_in_order(served: Estate, draft: PlanDraft) -> None:
    step = draft.steps[0]
    runs = jobs.runs_between(served.store, step.job_id, at("03:10").date().replace(day=19), at("03:10").date())
    assert [step.run_id] == [run.id for run in runs]
    assert [] == jobs.runs_between(served.store, step.job_id, at("03:10").date(), at("03:10").date())


def test_what_a_person_asserts_is_an_attempt_and_ends_its_action_at_once(served: Estate, draft: PlanDraft) -> None:
    start(served, draft)
    [plan] = plans.active_plans(served.store, {})
    plans.request_step(served.store, None, plan.steps[0], "headway-0123456789ab", at("03:30"))
    [action] = actions.due_actions(served.store, 2**62, {})
    step = ActionStep("verified", "succeeded", ended=True)
    for wrote in (True, False):
        assert wrote is assertions.assert_state(served.store, None, action, RunState.SUCCEEDED, step, at("03:40"))
    sql = "SELECT state, evidence, attempts FROM run WHERE id = :id"
    assert [("succeeded", "asserted", 2)] == rows(served, sql, id=draft.steps[0].run_id)


def test_a_run_that_starts_by_itself_is_found_once_it_has_started_after_the_plan(
    served: Estate, draft: PlanDraft
) -> None:
    step = draft.steps[0]
    waits = DraftStep(
        1, "wait", step.job_id, step.job, "etl-hosts", None, StepPeriod(), "planned", ("it starts by itself",)
    )
    start(served, PlanDraft("recovery", "repair", None, (waits,)))
    with served.store.write(None) as connection:
        connection.rows("UPDATE plan SET requested_us = ?", (micros(at("04:30")),))
    assert None is plans.active_plans(served.store, {})[0].steps[0].run
    served.ingest(running(JOBS[0], "05:10", "9"), now="05:11")
    step_run = plans.active_plans(served.store, {})[0].steps[0].run
    assert "running" == (step_run.state if step_run else "")


def test_the_run_of_a_wait_without_a_period_decides_alike_wherever_it_is_read(served: Estate, draft: PlanDraft) -> None:
    """The mail said to abort the plan and recover, the verdict to resume it."""
    first, second = draft.steps
    wait = DraftStep(2, "wait", second.job_id, second.job, "etl-hosts", None, StepPeriod(), "planned",
                     ("its clock starts it",), after=(1,))  # fmt: skip
    decide(served, incidents=(incident(),))
    number = start(served, replace(draft, incident_id=1, steps=(first, wait)))
    with served.store.write(None) as session:
        session.rows("UPDATE plan SET state = 'stopped', requested_us = ?", (micros(at("04:30")),))
        session.rows("UPDATE plan_step SET action_key = 'a', state = 'failed' WHERE place = 1")
    verdicts = []
    for ingested in (running(JOBS[1], "05:10", "9"), failed(JOBS[1], "05:10", "9")):
        served.ingest(ingested, now="05:30")
        [(run_id,)] = rows(served, "SELECT max(id) FROM run WHERE job_id = :job", job=second.job_id)
        with served.store.read() as session:
            steps = plan_steps.open_plan_steps(session)
            outdated = {plan_id for plan_id, shown in steps.items() if plan_steps.is_outdated_plan(shown)}
            by_run = facts.load_plans_by_run(steps, outdated)[run_id].is_outdated
            by_incident = facts.load_plans_by_incident(session, outdated)[1].is_outdated
            replaced = plan_steps.replacing_incident(session, number, 1)
        with reading(served) as reads:
            verdicts.append((by_run, by_incident, replaced, reads.plans.plan(number).is_outdated))
    assert [(False, False, "", False), (True, True, "INC-0001", True)] == verdicts


def test_a_plan_is_done_with_a_run_that_failed_again_after_its_step(served: Estate, draft: PlanDraft) -> None:
    start(served, draft)
    with served.store.write(None) as session:
        session.rows("UPDATE plan_step SET state = 'verified' WHERE place = 1")
    served.ingest(failed(JOBS[0], "03:10", "9"), now="03:30")
    planned = load_estate(served.store, at("03:30"), EvaluationSettings()).plans_by_run
    assert {draft.steps[0].run_id: True} == {run_id: plan.is_done for run_id, plan in planned.items()}


def test_a_running_plan_restarts_the_bad_runs_of_its_unfinished_steps(served: Estate, draft: PlanDraft) -> None:
    first, second = draft.steps
    for job, clock in zip(JOBS, ("03:10", "05:10"), strict=False):
        served.ingest(failed(job, clock, "9"), now="05:30")
    start(served, draft)

    def restarted() -> set[int]:
        return set(load_estate(served.store, at("05:30"), EvaluationSettings()).planned_restarts.values())

    assert {first.job_id, second.job_id} == restarted()
    with served.store.write(None) as session:
        session.rows("UPDATE plan_step SET state = 'verified' WHERE place = 1")
    assert {second.job_id} == restarted()
    with served.store.write(None) as session:
        session.rows("UPDATE plan_step SET state = 'requested' WHERE place = 1")
    assert {first.job_id, second.job_id} == restarted()
    with served.store.write(None) as session:
        session.rows("UPDATE plan SET state = 'paused'")
    planned = load_estate(served.store, at("05:30"), EvaluationSettings()).planned_repairs
    assert {first.job_id, second.job_id} == set(planned.values()), "a person resumes it"
    assert set() == restarted()


def test_only_a_plan_that_waits_for_a_bad_run_has_its_steps_parsed(
    served: Estate, draft: PlanDraft, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every evaluation asks this of every open plan."""
    parsed: list[str] = []

    def parse(after: str) -> tuple[int, ...]:
        parsed.append(after)
        return parse_places(after)

    monkeypatch.setattr(plan_steps, "parse_places", parse)
    start(served, draft)
    assert load_estate(served.store, at("03:30"), EvaluationSettings()).plans_by_run == {}
    assert parsed == []
    with served.store.write(None) as session:
        session.rows("UPDATE plan_step SET verb = 'wait' WHERE place = 1")
    load_estate(served.store, at("03:30"), EvaluationSettings())
    assert parsed == ["[]", "[1]"]


def test_what_was_started_for_a_past_period_is_the_run_of_that_period(served: Estate, draft: PlanDraft) -> None:
    """The source reports only that it started now: by its schedule that would be today's run."""
    past = "2026-11-12T03:10:00Z"
    step = DraftStep(1, "start", draft.steps[0].job_id, draft.steps[0].job, "etl-hosts", None, StepPeriod(past),
                     "planned", (), {"period_at": past})  # fmt: skip
    start(served, PlanDraft("backfill", "backfill", None, (step,)))
    [plan] = plans.active_plans(served.store, {})
    plans.request_step(served.store, None, plan.steps[0], "headway-0123456789ab", at("05:30"))
    served.ingest(running(JOBS[0], "05:10", "9", action_key="headway-0123456789ab"), now="05:31")
    step_run = plans.active_plans(served.store, {})[0].steps[0].run
    assert "running" == (step_run.state if step_run else "")
    sql = "SELECT period_key, business_date FROM run WHERE state = 'running'"
    assert [(past, "2026-11-11")] == rows(served, sql)


def test_the_release_of_a_plan_knows_its_hold_also_one_requested_again(served: Estate, draft: PlanDraft) -> None:
    until = {"until": "2026-11-20T10:00:00Z", "by": "mara"}
    [first, second] = draft.steps
    hold = replace(
        second, place=1, verb="hold", run_id=None, period=StepPeriod(), parameters=until, after=(), wait_s=60.0
    )
    again = replace(first, place=2)
    release = replace(hold, place=3, verb="release", parameters={}, after=(1, 2), wait_s=0.0)
    other = replace(release, place=4, job_id=first.job_id, after=())
    number = start(served, replace(draft, steps=(hold, again, release, other)))
    for key in ("headway-0123456789ab", "headway-0123456789ac"):
        [plan] = plans.active_plans(served.store, {})
        assert plans.request_step(served.store, None, plan.steps[0], key, at("03:50")) is True
        results = rows(served, "SELECT parameters FROM plan_step WHERE verb = 'release' ORDER BY place")
        assert [(f'{{"hold": "{key}"}}',), ("{}",)] == results
        with served.store.write(None) as connection:
            actions.move_action(connection, key, "requested", ActionStep("refused", "no", ended=True), 1)
        [now] = plans.active_plans(served.store, {})
        plans.end_step(served.store, None, now, EndStep(now.steps[0], "failed", "no"), at("03:51"))
        assert plans.move_plan(served.store, None, now, ChangePlanState("stopped", "step 1"), at("03:51"))
        requests(served).steer_plan(number, RequestKind.RESUME_PLAN)
    [plan] = plans.active_plans(served.store, {})
    assert ("planned", None, None, "") == (
        plan.steps[0].state, plan.steps[0].action_key, plan.steps[0].due, plan.steps[0].hold_state)  # fmt: skip


def test_of_plans_at_once_with_one_idempotency_key_and_different_bodies_one_is_stored(
    served: Estate, draft: PlanDraft
) -> None:
    """All are sent at the same moment."""
    ready = Barrier(2)

    def started(step: DraftStep) -> bool:
        key = f"{derived_key('a')}.{derived_key(step.job)}"
        ready.wait(HANGS_SECONDS)
        try:
            return start(served, replace(draft, steps=(replace(step, after=()),)), key) > 0
        except KeyReused:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert [False, True] == sorted(pool.map(started, draft.steps))
    assert [(1,)] == rows(served, "SELECT count(*) FROM plan")
