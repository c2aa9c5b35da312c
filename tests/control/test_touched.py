"""What a change can touch is judged alone as it is judged within the whole."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import State
from console.control.evaluate import evaluate
from console.control.touched import changed_jobs, part_with
from console.model.decisions import Decisions
from console.model.modes import Modes
from console.model.promises import DeadlineRule, Promise
from console.model.values import Estate, HoldFacts, HoldState, Mode
from console.model.wants import Condition, Period
from tests.control.ledger import Ledger, ended
from tests.factories import NIGHT, at, estate, feeds, gate, job, minutes, run, service, target, wanting

# Three lines of work on two hosts: two that feed services, one alone; the second has a DAG with a task.
A, B, C = (job(number, f"etl-hosts/db07:a{number}", "03:10", expected=None) for number in (1, 2, 3))
D, E = job(4, "etl-hosts/etl02:d", "03:20", target_id=2), job(5, "etl-hosts/etl02:e", "04:00", target_id=2)
TASK = job(6, "etl-hosts/etl02:e.task", target_id=2, parent_id=5)
ALONE = job(7, "etl-hosts/db07:alone", "03:30")
JOBS = (A, B, C, D, E, TASK, ALONE)
SHORT: dict[int, tuple[float, ...]] = dict.fromkeys((each.id for each in JOBS), (600.0,) * 6)
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
        *gate(1, C, A, B), *wanting(C, A, period=Period.PREVIOUS), *wanting(D, E, condition=Condition.COMPLETION),
    ),
)  # fmt: skip
"""The same jobs, with a gate of two, a loop through the previous period, and one that waits for an end."""
STATES = st.sampled_from([State.SUCCEEDED, State.PARTIAL, State.FAILED, State.RUNNING, State.UNKNOWN])
EVENTS = st.lists(
    st.tuples(st.sampled_from(range(len(JOBS))), STATES, st.booleans()), min_size=0, max_size=5
)  # fmt: skip


def told(decisions: Decisions, jobs: set[int], services: set[str]) -> tuple[object, ...]:
    """What is decided of these jobs and services, in an order of its own."""
    roots = [each for each in decisions.incidents if not jobs.isdisjoint(one.job_id for one in each.members)]
    return (
        {each for each in decisions.expected if each.job_id in jobs},
        {each for each in decisions.service_days if each.service in services},
        {each.key: each for each in roots},
    )


def play(nights: list[list[tuple[int, State, bool]]], begins: Estate = WHOLE) -> list[tuple[Estate, str]]:
    """The estate before each look of a night in which these things happen."""
    ledger = Ledger(begins)
    seen = []
    for clock, events in zip(CLOCKS, nights, strict=False):
        for number, state, silent in events:
            due = DUES[number]
            if at(due) <= at(clock):
                ledger.run(JOBS[number], due, state, **(ended(due, 5) if state is not State.RUNNING else
                                                        {"started_at": at(due)}))  # fmt: skip
            if silent:
                ledger.target(1, failing_since=at("03:00"), error="no route", seen_until=at("03:00"))
        seen.append((ledger.estate, clock))
        ledger.look(clock)
        seen.append((ledger.estate, clock))
    return seen


@given(st.lists(EVENTS, min_size=1, max_size=len(CLOCKS)))
def test_a_part_judged_alone_is_judged_as_within_the_whole(nights: list[list[tuple[int, State, bool]]]) -> None:
    for whole, clock in play(nights):
        everything = evaluate(whole, at(clock))
        for each in JOBS:
            part = part_with(whole, [each.id])
            jobs, services = set(part.jobs), {one.name for one in part.services}
            assert told(everything, jobs, services) == told(evaluate(part, at(clock)), jobs, services)


@given(st.lists(EVENTS, min_size=1, max_size=len(CLOCKS)))
def test_a_part_with_gates_and_loops_is_judged_as_within_the_whole(nights: list[list[tuple[int, State, bool]]]) -> None:
    for whole, clock in play(nights, GATED):
        everything = evaluate(whole, at(clock))
        for each in (A, D):
            part = part_with(whole, [each.id])
            jobs, services = set(part.jobs), {one.name for one in part.services}
            assert told(everything, jobs, services) == told(evaluate(part, at(clock)), jobs, services)
            ours = [one for one in everything.judgements if one.run_id in {run.id for run in part.runs}]
            assert set(ours) == set(evaluate(part, at(clock)).judgements)


def test_lines_of_work_that_share_nothing_are_parts_of_their_own() -> None:
    assert [{1, 2, 3}, {4, 5, 6}, {7}] == [set(part_with(WHOLE, [number]).jobs) for number in (2, 6, 7)]


def test_a_silent_host_holds_all_its_jobs_together() -> None:
    silent = replace(WHOLE, targets={**WHOLE.targets, 1: replace(HOSTS[0], failing_since=at("03:00"))})
    assert {1, 2, 3, 7} == set(part_with(silent, [7]).jobs)


def test_a_new_run_touches_its_job_and_a_host_that_falls_silent_all_of_its_own() -> None:
    later = replace(WHOLE, runs=(run(1, ALONE, "03:30"),))
    assert {7} == changed_jobs(WHOLE, later)
    assert {7} == changed_jobs(later, WHOLE)
    silent = replace(WHOLE, targets={**WHOLE.targets, 2: replace(HOSTS[1], failing_since=at("03:00"))})
    assert {4, 5, 6} == changed_jobs(WHOLE, silent)
    assert set() == changed_jobs(WHOLE, WHOLE)


def test_a_changed_config_touches_everything() -> None:
    assert changed_jobs(WHOLE, replace(WHOLE, services=WHOLE.services[:1])) is None


def test_a_hold_keeps_its_job_together_with_what_it_waits_for() -> None:
    """The dependency has left the config, and it is still held: its words name the upstream."""
    hold = HoldFacts(
        "headway-0123456789", 7, 4, NIGHT, "reactive", Mode.HOLD, HoldState.HELD, "headway", "", at("09:10"),
        at("03:30"), "2026-11-20T03:30:00Z",
    )  # fmt: skip
    held = replace(WHOLE, holds=(hold,))
    part = part_with(held, [7])
    assert told(evaluate(held, at("03:40")), {7}, set()) == told(evaluate(part, at("03:40")), {7}, set())


def test_a_hold_that_went_on_touches_its_job_and_a_switch_everything() -> None:
    hold = HoldFacts(
        "headway-0123456789", 2, 1, NIGHT, "reactive", Mode.HOLD, HoldState.HELD, "headway", "", at("09:10"),
        at("03:10"), "2026-11-20T03:10:00Z",
    )  # fmt: skip
    held = replace(WHOLE, holds=(hold,))
    assert {2} == changed_jobs(WHOLE, held)
    assert {2} == changed_jobs(held, replace(WHOLE, holds=(replace(hold, state=HoldState.RELEASING),)))
    assert ((hold,), ()) == (part_with(held, [3]).holds, part_with(held, [5]).holds)
    assert changed_jobs(WHOLE, replace(WHOLE, modes=Modes(estate_live=False))) is None


def test_what_a_run_costs_and_which_submission_it_belongs_to_touch_its_job() -> None:
    began = replace(WHOLE, runs=(run(1, ALONE, "03:30"), run(2, A, "03:10")))
    assert {7} == changed_jobs(began, replace(began, costs={1: 2.5}), set())
    keyed = replace(began, correlated={2: {"customer": "4711"}})
    assert ({1}, {1}) == (changed_jobs(began, keyed), changed_jobs(keyed, began))
    assert {1} == changed_jobs(keyed, replace(began, correlated={2: {"customer": "4712"}}))


def test_the_job_whose_start_a_deadline_is_counted_from_is_judged_with_the_service() -> None:
    later = service("two", "07:00", E, promise=Promise(DeadlineRule(after_start=minutes(60), of=ALONE.name, of_id=7)))
    assert {4, 5, 6, 7} == set(part_with(replace(WHOLE, services=(later,)), [7]).jobs)
