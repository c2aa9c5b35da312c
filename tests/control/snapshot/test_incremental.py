"""What a change can touch is judged alone as it is judged within the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.sdk.states import STOPPED, RunState, Verb
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import build_cache, changed_jobs, part_with
from console.domain.alert import (
    AcknowledgementFacts,
    AlertingSettings,
    OnCallShift,
    RotaRule,
    RouteRule,
    SilenceFacts,
)
from console.domain.check import Check, CheckHistory, CheckState, ResultSpan
from console.domain.decision import Decisions, IncidentDecision
from console.domain.dependency import DependencyMode, UpstreamCondition, UpstreamPeriod
from console.domain.estate import (
    ApprovalFacts,
    CancelFacts,
    Estate,
    EstateChanges,
    IncidentFacts,
    JobFacts,
    PlanFacts,
    RepairFacts,
)
from console.domain.hold import HoldFacts, HoldState
from console.domain.incident_record import CauseRecord, IncidentFingerprint, RootRun
from console.domain.job import Safety
from console.domain.policy import Policy, PolicyCondition, PolicyMatch
from console.domain.promise import DeadlineExtension, DeadlineRule, Promise
from console.domain.settings import Declared, DeclaredPool
from console.domain.switches import Modes
from tests.control.ledger import Ledger, ended
from tests.factories import NIGHT, at, estate, feeds, gate, job, minutes, run, service, target, wanting

# Three lines of work on two hosts: two that feed services, one alone; the second has a DAG with a task.
A, B, C = (job(number, f"etl-hosts/db07:a{number}", "03:10", expected=None) for number in (1, 2, 3))
D, E = job(4, "etl-hosts/etl02:d", "03:20", target_id=2), job(5, "etl-hosts/etl02:e", "04:00", target_id=2)
TASK = job(6, "etl-hosts/etl02:e.task", target_id=2, parent_id=5)
ALONE = job(7, "etl-hosts/db07:alone", "03:30")
JOBS = (A, B, C, D, E, TASK, ALONE)
SHORT: dict[int, tuple[float, ...]] = dict.fromkeys((job.id for job in JOBS), (600.0,) * 6)
HOSTS = [target(1), target(2, name="etl02")]
WHOLE = estate(
    *JOBS, feeds=[*feeds(A, B), *feeds(B, C), *feeds(D, E)], targets=HOSTS, durations=SHORT,
    services=[service("one", "06:30", C), service("two", "07:00", E)],
)  # fmt: skip
DUES = ("03:10", "03:10", "03:10", "03:20", "04:00", "04:00", "03:30")
"""When each of JOBS is due."""
CLOCKS = ("03:05", "03:16", "03:40", "04:10", "05:00", "06:45")
GATED = replace(
    WHOLE,
    dependencies=(
        *gate(1, C, A, B),
        *wanting(C, A, period=UpstreamPeriod.PREVIOUS),
        *wanting(D, E, condition=UpstreamCondition.COMPLETION),
    ),
)
"""The same jobs, with a gate of two, a loop through the previous period, and one that waits for an end."""
POOLED = replace(WHOLE, declared=Declared(pools=(DeclaredPool("host", ("etl-hosts/db07:*",), 1),)))
"""The same jobs, of which those of the first host share one slot, the one alone too: no service waits for that."""
POLICIES = (
    Policy("soon", "rerun", PolicyMatch(services=("two",)), PolicyCondition(act_by_within=minutes(60))),
    Policy("any", "rerun"),
)
STATES = st.sampled_from([RunState.SUCCEEDED, RunState.PARTIAL, RunState.FAILED, RunState.RUNNING, RunState.UNKNOWN])
EVENTS = st.lists(
    st.tuples(st.sampled_from(range(len(JOBS))), STATES, st.booleans()), min_size=0, max_size=5
)  # fmt: skip


def decided_about(decisions: Decisions, jobs: set[int], services: set[str]) -> tuple[object, ...]:
    """What is decided of these jobs and services, in an order of its own."""
    roots = [
        incident
        for incident in decisions.incidents
        if not jobs.isdisjoint(member.job_id for member in incident.members)
    ]
    return (
        {run for run in decisions.expected if run.job_id in jobs},
        {service_day for service_day in decisions.service_days if service_day.service in services},
        {incident.key: incident for incident in roots},
    )


def play(nights: list[list[tuple[int, RunState, bool]]], begins: Estate = WHOLE) -> list[tuple[Estate, str]]:
    """The estate before each look of a night in which these things happen."""
    ledger = Ledger(begins)
    seen = []
    for clock, events in zip(CLOCKS, nights, strict=False):
        for number, state, silent in events:
            due = DUES[number]
            if at(due) <= at(clock):
                ledger.run(JOBS[number], due, state, **(ended(due, 5) if state is not RunState.RUNNING else
                                                        {"started_at": at(due)}))  # fmt: skip
            if silent:
                ledger.target(1, failing_since=at("03:00"), error="no route", seen_until=at("03:00"))
        seen.append((ledger.estate, clock))
        ledger.evaluate(clock)
        seen.append((ledger.estate, clock))
    return seen


@pytest.mark.deep
@given(st.lists(EVENTS, min_size=1, max_size=len(CLOCKS)))
def test_a_part_judged_alone_is_judged_as_within_the_whole(nights: list[list[tuple[int, RunState, bool]]]) -> None:
    for whole, clock in play(nights):
        everything = evaluate(whole, at(clock))
        parts: list[Estate] = []
        for job_facts in JOBS:
            part = part_with(whole, [job_facts.id])
            if part in parts:  # jobs of one component have the same part
                continue
            parts.append(part)
            jobs, services = set(part.jobs), {service.name for service in part.services}
            assert decided_about(everything, jobs, services) == decided_about(evaluate(part, at(clock)), jobs, services)


@pytest.mark.deep
@given(st.lists(EVENTS, min_size=1, max_size=len(CLOCKS)))
def test_a_part_with_gates_and_loops_is_judged_as_within_the_whole(
    nights: list[list[tuple[int, RunState, bool]]],
) -> None:
    for whole, clock in play(nights, GATED):
        everything = evaluate(whole, at(clock))
        for job_facts in (A, D):
            part = part_with(whole, [job_facts.id])
            jobs, services = set(part.jobs), {service.name for service in part.services}
            alone = evaluate(part, at(clock))
            assert decided_about(everything, jobs, services) == decided_about(alone, jobs, services)
            ours = [
                judgement for judgement in everything.judgements if judgement.run_id in {run.id for run in part.runs}
            ]
            assert set(ours) == set(alone.judgements)


@pytest.mark.deep
@given(st.lists(EVENTS, min_size=1, max_size=len(CLOCKS)))
@example([[], [(0, RunState.RUNNING, False)], []])
def test_a_part_whose_pool_others_fill_is_judged_as_within_the_whole(
    nights: list[list[tuple[int, RunState, bool]]],
) -> None:
    for whole, clock in play(nights, POOLED):
        everything = evaluate(whole, at(clock))
        for job_facts in (A, ALONE):
            part = part_with(whole, [job_facts.id])
            jobs, services = set(part.jobs), {service.name for service in part.services}
            assert decided_about(everything, jobs, services) == decided_about(evaluate(part, at(clock)), jobs, services)


def test_lines_of_work_that_share_nothing_are_parts_of_their_own() -> None:
    assert [{1, 2, 3}, {4, 5, 6}, {7}] == [set(part_with(WHOLE, [number]).jobs) for number in (2, 6, 7)]


def test_a_part_beside_a_cycle_is_judged_and_does_not_name_it() -> None:
    circle = replace(WHOLE, dependencies=(*WHOLE.dependencies, *feeds(C, A)))
    cache = build_cache(circle)
    [path] = evaluate(circle, at("03:40"), cache=cache).cycles
    parts = [part_with(circle, [number], cache) for number in (A.id, ALONE.id)]
    assert [(path,), ()] == [evaluate(part, at("03:40"), cache=cache).cycles for part in parts]


def test_a_silent_host_holds_all_its_jobs_together() -> None:
    silent = replace(WHOLE, targets={**WHOLE.targets, 1: replace(HOSTS[0], failing_since=at("03:00"))})
    assert {1, 2, 3, 7} == set(part_with(silent, [7]).jobs)


def test_an_unreachable_endpoint_holds_the_jobs_of_all_its_targets_together() -> None:
    """Also while its incident is open, and the target that it was opened for answers again."""
    hosts = {number: replace(known, endpoint="db07:22") for number, known in WHOLE.targets.items()}
    whole = replace(WHOLE, targets=hosts)
    assert {7} == set(part_with(whole, [7]).jobs)
    silent = {number: replace(known, **SILENT) for number, known in hosts.items()}
    assert {*WHOLE.jobs} == set(part_with(replace(whole, targets=silent), [7]).jobs)
    ledger = Ledger(replace(whole, targets=silent))
    ledger.evaluate("03:05")
    ledger.target(1, **ANSWERS)
    assert {*WHOLE.jobs} == set(part_with(ledger.estate, [4]).jobs)


def test_a_new_run_touches_its_job_and_a_host_that_falls_silent_all_of_its_own() -> None:
    later = replace(WHOLE, runs=(run(1, ALONE, "03:30"),))
    assert {7} == changed_jobs(WHOLE, later)
    assert {7} == changed_jobs(later, WHOLE)
    silent = replace(WHOLE, targets={**WHOLE.targets, 2: replace(HOSTS[1], failing_since=at("03:00"))})
    assert {4, 5, 6} == changed_jobs(WHOLE, silent)
    assert set() == changed_jobs(WHOLE, WHOLE)


def test_the_second_poll_that_reads_a_stop_touches_the_jobs_of_its_target() -> None:
    """It alone proves the stop: time does not, and nothing else changes."""
    stop = replace(HOSTS[1], failing_since=at("03:00"), last_ok_at=at("03:00"), error_kind=STOPPED)
    before, second, third = (
        replace(WHOLE, targets={**WHOLE.targets, 2: replace(stop, last_ok_at=at(clock))})
        for clock in ("03:00", "03:00:15", "03:00:30")
    )
    assert {4, 5, 6} == changed_jobs(before, second)
    assert set() == changed_jobs(second, third)


def test_a_changed_config_touches_everything() -> None:
    assert changed_jobs(WHOLE, replace(WHOLE, services=WHOLE.services[:1])) is None


def test_a_hold_is_in_the_component_of_what_it_waits_for() -> None:
    """The dependency has left the config, and it is still held: its words name the upstream."""
    hold = HoldFacts(
        "headway-0123456789", 7, 4, NIGHT, "reactive", DependencyMode.HOLD, HoldState.HELD, "headway", "", at("09:10"),
        at("03:30"), "2026-11-20T03:30:00Z",
    )  # fmt: skip
    held = replace(WHOLE, holds=(hold,))
    part = part_with(held, [7])
    assert decided_about(evaluate(held, at("03:40")), {7}, set()) == decided_about(
        evaluate(part, at("03:40")), {7}, set()
    )


def test_a_hold_that_went_on_touches_its_job_and_a_switch_everything() -> None:
    hold = HoldFacts(
        "headway-0123456789", 2, 1, NIGHT, "reactive", DependencyMode.HOLD, HoldState.HELD, "headway", "", at("09:10"),
        at("03:10"), "2026-11-20T03:10:00Z",
    )  # fmt: skip
    held = replace(WHOLE, holds=(hold,))
    assert {2} == changed_jobs(WHOLE, held)
    assert {2} == changed_jobs(held, replace(WHOLE, holds=(replace(hold, state=HoldState.RELEASING),)))
    assert ((hold,), ()) == (part_with(held, [3]).holds, part_with(held, [5]).holds)
    assert changed_jobs(WHOLE, replace(WHOLE, modes=Modes(estate_live=False))) is None


def test_a_repair_or_cancel_that_was_sent_or_ended_touches_its_job() -> None:
    repair = RepairFacts(2, Verb.RERUN, "anna", at("03:15"), in_flight=True)
    sent = replace(WHOLE, repairs={1: repair})
    assert {2} == changed_jobs(WHOLE, sent)
    assert {2} == changed_jobs(sent, replace(WHOLE, repairs={1: replace(repair, in_flight=False)}))
    assert {2} == changed_jobs(sent, replace(WHOLE, repairs={1: repair, 3: repair})), "two runs repaired alike"
    assert {2} == changed_jobs(WHOLE, replace(WHOLE, cancels={1: CancelFacts(2, "root", "stuck", at("03:15"))}))
    assert {2} == changed_jobs(WHOLE, replace(WHOLE, approvals={1: ApprovalFacts(2, "3f0a91c2")}))
    assert {2} == changed_jobs(WHOLE, replace(WHOLE, open_actions={"key": (1, 2)}))
    second = replace(WHOLE, open_actions={"key": (1, 2), "key2": (1, 2)})
    assert {2} == changed_jobs(replace(WHOLE, open_actions={"key": (1, 2)}), second), (
        "a person's after that of a policy"
    )


def test_a_plan_that_moves_touches_a_job_of_each_component_of_its_incident() -> None:
    known = IncidentFacts(
        1, "run:a1", CauseRecord("run", NIGHT, RootRun(A.id, "2026-11-20T03:10:00Z")), frozenset(), at("03:11"),
        at("03:11"), IncidentFingerprint(), member_job_ids=frozenset({A.id, B.id}),
    )  # fmt: skip
    before = replace(WHOLE, incidents=(known,))
    planned = replace(before, plans_by_incident={1: PlanFacts(7, "running", 2, 4)})
    assert {A.id} == changed_jobs(before, planned) == changed_jobs(planned, before)


def test_what_a_run_costs_touches_its_job() -> None:
    began = replace(WHOLE, runs=(run(1, ALONE, "03:30"), run(2, A, "03:10")))
    assert {7} == changed_jobs(began, replace(began, costs={1: 2.5}), EstateChanges({1, 7}, set()))


def test_the_job_whose_start_a_deadline_is_counted_from_is_judged_with_the_service() -> None:
    later = service("two", "07:00", E, promise=Promise(DeadlineRule(after_start=minutes(60), of=ALONE.name, of_id=7)))
    assert {4, 5, 6, 7} == set(part_with(replace(WHOLE, services=(later,)), [7]).jobs)


# What varies besides runs: a check, a step that people complete, what many blame, silences, more time.
STEP, SUBMITTED, WELCOME = (
    job(8, "steps/sign off", kind="step", target_id=3),
    job(9, "crm/submitted", target_id=3),
    job(10, "mail/welcome", target_id=3, expected=minutes(8)),
)
BLAMED = 'FATAL: password authentication failed for user "etl"'
ERRORS = st.sampled_from(["", BLAMED, BLAMED, "exit 1"])
ENDING = st.sampled_from([RunState.SUCCEEDED, RunState.FAILED, RunState.FAILED, RunState.RUNNING])
LIVELY = (*JOBS, STEP, SUBMITTED, WELCOME)
BEGINS = (*DUES, "03:35", "03:00", "03:12")
"""When each of LIVELY begins."""
ANSWERS: dict[str, Any] = {"failing_since": None, "error": "", "error_kind": ""}
SILENT: dict[str, Any] = {
    "failing_since": at("03:00"), "error": "no route", "error_kind": "unreachable", "seen_until": at("03:00"),
}  # fmt: skip
THINGS = st.one_of(
    st.tuples(st.just("runs"), st.sampled_from(range(len(LIVELY))), ENDING, ERRORS),
    st.tuples(st.just("runs"), st.sampled_from(range(len(LIVELY))), ENDING, ERRORS),
    st.tuples(st.just("is silent"), st.sampled_from([1, 2, 3]), st.booleans()),
    st.tuples(st.just("falls silent"), st.sampled_from([1, 2])),
    st.tuples(st.just("is looked at"), st.sampled_from(CheckState)),
    st.tuples(st.just("is silenced"), st.sampled_from(["", "etl-hosts/db07:*", "crm/*"])),
    st.tuples(st.just("is acknowledged"), st.booleans()),
    st.tuples(st.just("gets more time"), st.sampled_from(["one", "two"])),
    st.tuples(st.just("costs"), st.sampled_from([0.5, 4.0])),
)


@st.composite
def lively(draw: st.DrawFn) -> Estate:
    """With or without what holds notices back or explains them, keeps a service waiting, or joins lines of work."""
    repeat_every = draw(st.sampled_from([None, minutes(20)]))
    oncall = RouteRule("oncall", repeat_every=repeat_every)
    alerting = AlertingSettings(routes=(oncall,))
    step = feeds(STEP, draw(st.sampled_from([D, E])))
    ends = DeadlineRule(after_start=minutes(60), of=SUBMITTED.name, of_id=SUBMITTED.id)
    ready = draw(st.sampled_from([(), ("rows",)]))
    tier = draw(st.sampled_from([1, 2]))
    endpoint = draw(st.sampled_from(["", "db07:22"]))
    crm = replace(target(3, "crm", "crm"), **draw(st.sampled_from([ANSWERS, SILENT])))
    return replace(
        WHOLE,
        jobs={job.id: replace(job, budget_cost=2.0, rerun=Safety.SAFE) for job in LIVELY},
        targets={**{number: replace(known, endpoint=endpoint) for number, known in WHOLE.targets.items()}, 3: crm},
        dependencies=(*WHOLE.dependencies, *feeds(SUBMITTED, WELCOME), *step),
        services=(
            service("one", "06:30", C, ready=ready, tier=tier), service("two", "07:00", E, tier=2),
            service("onboarding", "00:00", WELCOME, promise=Promise(ends), tier=2),
        ),
        declared=Declared(alerting=alerting, checks=(Check("rows", "sql", "table rows"),), policies=POLICIES),
    )  # fmt: skip


def happens(ledger: Ledger, thing: tuple[Any, ...], clock: str) -> None:
    what, *results = thing
    known = ledger.estate
    if what == "runs":
        number, state, message = results
        _runs(ledger, LIVELY[number], BEGINS[number], clock, state, message)
    elif what == "is silent":
        number, answers = results
        ledger.target(number, **(ANSWERS if answers else SILENT))
    elif what == "falls silent":
        ledger.target(results[0], **(SILENT | {"failing_since": at(clock) - minutes(0.5)}))
    elif what == "is looked at":
        result_span = ResultSpan(results[0], at("03:04"), at(clock), "12 rows")
        ledger.estate = replace(known, checks={("rows", NIGHT): CheckHistory("rows", NIGHT, (result_span,))})
    elif what == "is silenced":
        mute = SilenceFacts(1, (("job", results[0]),), at("03:00"), at("08:00"), "ann")
        silences = (mute,) if results[0] else ()
        ledger.estate = replace(known, notifications=replace(known.notifications, silences=silences))
    elif what == "is acknowledged":
        acks = {incident.id: AcknowledgementFacts("ann", at("08:00")) for incident in known.incidents[: results[0]]}
        ledger.estate = replace(known, notifications=replace(known.notifications, acks=acks))
    elif what == "gets more time":
        ledger.estate = replace(
            known, extensions=(DeadlineExtension(results[0], NIGHT, at("08:00"), "ann", "quarter end"),)
        )
    elif known.runs:
        ledger.estate = replace(known, costs={**known.costs, known.runs[0].id: results[0]})


def _runs(ledger: Ledger, of: JobFacts, due: str, clock: str, state: RunState, message: str) -> None:
    if at(due) > at(clock):
        return
    times = ended(due, 5) if state is not RunState.RUNNING else {"started_at": at(due)}
    ledger.run(of, due, state, message=message if state.is_red else "", **times)


def within(decisions: Decisions, part: Estate) -> tuple[object, ...]:
    """What is decided of the part's jobs, services and incidents, in an order of its own."""
    names, runs = {service.name for service in part.services}, {run.id for run in part.runs}
    keys = {incident.key for incident in part.incidents}
    return (
        {run for run in decisions.expected if run.job_id in part.jobs},
        {number for number in decisions.withdrawn if number in runs},
        {judgement for judgement in decisions.judgements if judgement.run_id in runs},
        {service_day for service_day in decisions.service_days if service_day.service in names},
        {change for change in decisions.findings if change.finding.job_id in part.jobs},
        {repair for repair in decisions.policy_repairs.values() if repair.job_id in part.jobs},
        {incident.key: incident for incident in decisions.incidents if incident.key in keys or _is_of(incident, part)},
    )


def _is_of(incident: IncidentDecision, part: Estate) -> bool:
    checks = {name for service in part.services for name in service.ready}
    return (
        (incident.cause.kind == "check" and incident.cause.subject in checks)
        or incident.cause.target_id in {job.target_id for job in part.jobs.values()}
        or any(member.job_id in part.jobs for member in incident.members)
    )


def news(decisions: Decisions, part: Estate) -> tuple[object, ...]:
    """What is decided of all the rest."""
    names, runs = {service.name for service in part.services}, {run.id for run in part.runs}
    own = within(decisions, part)[-1]
    assert isinstance(own, dict)
    return (
        {run for run in decisions.expected if run.job_id not in part.jobs},
        {number for number in decisions.withdrawn if number not in runs},
        {judgement for judgement in decisions.judgements if judgement.run_id not in runs},
        {service_day for service_day in decisions.service_days if service_day.service not in names},
        {change for change in decisions.findings if change.finding.job_id not in part.jobs},
        {repair for repair in decisions.policy_repairs.values() if repair.job_id not in part.jobs},
        {incident.key: incident for incident in decisions.incidents if incident.key not in own},
    )


@pytest.mark.deep
@given(lively(), st.lists(st.lists(THINGS, max_size=3), min_size=1, max_size=len(CLOCKS)))
def test_what_changed_is_judged_as_within_the_whole_and_changes_nothing_else(
    begins: Estate, nights: list[list[tuple[Any, ...]]]
) -> None:
    ledger = Ledger(begins)
    for clock, things in zip(CLOCKS, nights, strict=False):
        ledger.evaluate(clock)
        settled, now = ledger.estate, at(clock)
        before = evaluate(settled, now)
        for thing in things:
            happens(ledger, thing, clock)
        changed = changed_jobs(settled, ledger.estate)
        everything = evaluate(ledger.estate, now)
        for touched in ([job_id] for job_id in (A.id, E.id, ALONE.id)) if changed is None else [changed]:
            part = part_with(ledger.estate, touched)
            assert within(everything, part) == within(evaluate(part, now), part)
            assert changed is None or news(before, part) == news(everything, part)


def with_acknowledgement(known: Estate, incident_id: int) -> Estate:
    acks = {incident_id: AcknowledgementFacts("ann", at("08:00"))}
    return replace(known, notifications=replace(known.notifications, acks=acks))


def with_silence(known: Estate, _: int) -> Estate:
    mute = SilenceFacts(1, (("system", "etl-hosts"),), at("03:00"), at("08:00"), "ann")
    return replace(known, notifications=replace(known.notifications, silences=(mute,)))


def with_shift(known: Estate, _: int) -> Estate:
    shift = OnCallShift("bob", at("03:00"), at("08:00"))
    return replace(known, notifications=replace(known.notifications, shifts={"dba": (shift,)}))


@pytest.mark.parametrize(
    "respond, touched",
    [(with_acknowledgement, {A.id}), (with_silence, {A.id, ALONE.id}), (with_shift, {A.id, ALONE.id})],
)
def test_an_acknowledgement_touches_its_incident_and_a_silence_or_a_shift_all(
    respond: Callable[[Estate, int], Estate], touched: set[int]
) -> None:
    """At a time when both incidents are notified again."""
    oncall = RouteRule("oncall", repeat_every=minutes(20), rota="dba")
    alerting = AlertingSettings(routes=(oncall,), rotas=(RotaRule("dba", (("bob", "pages_bob"),)),))
    ledger = Ledger(replace(WHOLE, declared=Declared(alerting=alerting)))
    for at_work, due, state in (
        (A, "03:10", RunState.FAILED),
        (D, "03:20", RunState.SUCCEEDED),
        (ALONE, "03:30", RunState.FAILED),
    ):
        ledger.run(at_work, due, state, **ended(due, 5))
    ledger.evaluate("03:40")
    [incident_id] = [incident.id for incident in ledger.estate.incidents if incident.cause.job_id == A.id]
    later = respond(ledger.estate, incident_id)
    for before, after in ((ledger.estate, later), (later, ledger.estate)):
        assert touched == changed_jobs(before, after)
        part, now = part_with(after, touched), at("04:10")
        assert within(evaluate(after, now), part) == within(evaluate(part, now), part)
        assert news(evaluate(before, now), part) == news(evaluate(after, now), part)
        assert within(evaluate(before, now), part) != within(evaluate(after, now), part)
