"""The whole evaluation: no input gives no output, order does not matter, and the same input again decides nothing
new."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

from hypothesis import Phase, example, given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import Decisions
from console.domain.dependency import DependencyOrigin
from console.domain.estate import Estate
from console.domain.service import Timeliness
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, feeds, job, minutes, run, service, target
from tests.properties import examples
from tests.reasons import title_of

SEEDS = st.integers(0, 1_000_000)
ANY_NIGHT = examples(40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Nights are made from a seed: there is nothing to shrink, and explaining by tracing takes minutes."""

RED_OR_NOT = [
    RunState.SUCCEEDED,
    RunState.FAILED,
    RunState.RUNNING,
    RunState.UNKNOWN,
    RunState.PLANNED,
    RunState.MISSED,
    RunState.LOST,
]


def test_an_empty_estate_decides_nothing() -> None:
    assert Decisions() == evaluate(estate(), at("03:00"))


def test_the_next_evaluation_is_due_when_the_first_run_may_be_missed() -> None:
    extract = job(1, "hosts/extract", "03:10")
    assert at("03:15:15") == evaluate(estate(extract), at("03:00")).next_at


def test_the_next_evaluation_is_due_when_an_act_by_passes_and_at_the_deadline() -> None:
    extract = job(1, "hosts/extract", "02:10", expected=minutes(20))
    promise = service("daily", "03:00", extract)
    failed = run(1, extract, "02:10", RunState.FAILED)
    later = run(2, extract, at("02:10", day=1), RunState.PLANNED)
    assert at("02:40") == _only_after(
        evaluate(estate(extract, runs=[failed, later], services=[promise]), at("02:39:30"))
    )
    done = evaluate(estate(extract, runs=[run(1, extract, "02:10"), later], services=[promise]), at("02:40"))
    assert done.next_at is not None
    assert done.next_at > at("03:00")


def test_while_a_target_is_unreachable_the_next_evaluation_is_due_when_work_on_it_comes_near() -> None:
    extract = job(1, "hosts/db07:extract", "10:10", target_id=1)
    promise = service("daily", "11:30", extract)
    away = target(failing_since=at("01:00"), last_ok_at=at("01:00"), seen_until=at("01:00"))
    decisions = evaluate(estate(extract, services=[promise], targets=[away]), at("08:00"))
    assert (at("09:10"), ()) == (decisions.next_at, decisions.incidents[0].services)


def _only_after(decisions: Decisions) -> object:
    return decisions.next_at


def test_a_job_whose_target_is_not_known_is_still_judged() -> None:
    extract = job(1, "hosts/extract", "03:10", target_id=77)
    decisions = evaluate(estate(extract, runs=[run(1, extract, "03:10", RunState.FAILED)], targets=[]), at("03:30"))
    assert ["hosts/extract failed"] == [title_of(incident) for incident in decisions.incidents]


def test_a_terminal_that_is_no_job_any_more_leaves_the_others_alone() -> None:
    extract, ghost = job(1, "hosts/extract", "03:10", expected=minutes(5)), job(9, "hosts/ghost")
    decisions = evaluate(
        estate(extract, services=[service("lost", "06:30", ghost), service("kept", "06:30", extract)]), at("03:00")
    )
    assert {"kept"} == {service_day.service for service_day in decisions.service_days}


def test_a_run_of_a_job_that_is_not_known_is_left_alone() -> None:
    extract, ghost = job(1, "hosts/extract"), job(9, "hosts/ghost")
    decisions = evaluate(estate(extract, runs=[run(1, ghost, "03:10", RunState.FAILED)]), at("03:30"))
    assert ((), ()) == (decisions.incidents, decisions.judgements)


def test_dependencies_in_a_circle_do_not_stop_the_evaluation() -> None:
    a, b = job(1, "s/a", "03:10", expected=minutes(5)), job(2, "s/b", "04:00", expected=minutes(5))
    circle = [*feeds(a, b, origin=DependencyOrigin.NATIVE), *feeds(b, a)]
    decisions = evaluate(
        estate(a, b, feeds=circle, runs=[run(1, a, "03:10", RunState.FAILED)], services=[service("s", "06:30", b)]),
        at("03:30"),
    )
    assert ["s/a failed"] == [title_of(incident) for incident in decisions.incidents]


def some_night(dice: random.Random) -> Estate:
    """A small estate in any state: clocks, waits, tasks, red, stale, missed, silent targets, several nights."""
    jobs = [
        job(
            number,
            f"s{number % 3}/j{number}",
            dice.choice([daily(f"{dice.randrange(24)}:{dice.randrange(60):02d}"), Schedule("none"),
                         Schedule("debian-cron", "*/15 * * * *")]),
            expected=dice.choice([None, minutes(dice.randrange(1, 90))]),
            target_id=1 + number % 3,
            parent_id=number - 1 if number > 1 and dice.random() < 0.15 else None,
            paused_since=dice.choice([None, None, None, at("20:00")]),
        )
        for number in range(1, 9)
    ]  # fmt: skip
    deps = [
        dependency
        for down in range(1, 8)
        for up in range(down)
        if dice.random() < 0.3
        for dependency in feeds(jobs[up], jobs[down], origin=dice.choice(list(DependencyOrigin)))
    ]
    runs = []
    for number in range(dice.randrange(14)):
        of = dice.choice(jobs)
        due = at("00:00") + timedelta(minutes=15 * dice.randrange(-60, 28))
        more = {"started_at": due + minutes(dice.randrange(20))}
        runs.append(run(number + 1, of, due, dice.choice(RED_OR_NOT), **more))
    unique = {(run.job_id, run.period_key): run for run in runs}
    targets = [target(number, f"s{number}", "x") for number in (1, 2, 3)]
    silent = dice.randrange(6)
    targets = [replace(target, failing_since=at("02:00"), seen_until=at("02:00"), last_ok_at=at("02:00"))
               if target.id == silent else target for target in targets]  # fmt: skip
    promises = [service("one", "06:30", jobs[7]), service("two", "05:00", jobs[4], jobs[6])]
    return estate(*jobs, runs=list(unique.values()), feeds=deps, services=promises, targets=targets)


def shuffled(of: Estate, dice: random.Random) -> Estate:
    jobs, runs, deps = list(of.jobs.values()), list(of.runs), list(of.dependencies)
    for candidate in (jobs, runs, deps):
        dice.shuffle(candidate)
    return replace(of, jobs={job.id: job for job in jobs}, runs=tuple(runs), dependencies=tuple(deps))


def ordered(decisions: Decisions) -> Decisions:
    return replace(
        decisions,
        expected=tuple(sorted(decisions.expected, key=lambda run: (run.job_id, run.period_key))),
        judgements=tuple(sorted(decisions.judgements, key=lambda judgement: judgement.run_id)),
        withdrawn=tuple(sorted(decisions.withdrawn)),
        incidents=tuple(
            replace(
                incident, members=tuple(sorted(incident.members, key=lambda member: (member.job_id, member.period_key)))
            )
            for incident in decisions.incidents
        ),
    )


@ANY_NIGHT
@given(SEEDS)
def test_the_order_in_which_an_estate_is_given_does_not_matter(seed: int) -> None:
    dice = random.Random(seed)
    night = some_night(dice)
    assert ordered(evaluate(night, at("05:10"))) == ordered(evaluate(shuffled(night, dice), at("05:10")))


@ANY_NIGHT
@given(SEEDS, st.lists(st.sampled_from(["05:10", "05:11", "06:40", "08:00"]), max_size=3))
def test_evaluating_again_notifies_nothing_again(seed: int, looks: list[str]) -> None:
    """`Ledger.look` evaluates three times and refuses a second notice, event, row or judgement."""
    ledger = Ledger(some_night(random.Random(seed)))
    for clock in sorted(looks, key=at):
        ledger.evaluate(clock)


@ANY_NIGHT
@given(SEEDS)
@example(93)  # a lost day's own job was found too long: its incident went on with that, and a second one was opened
@example(148)  # what was missed is green, and a service that it made late is not there yet
def test_once_everything_was_rerun_in_order_and_is_green_no_incident_is_left(seed: int) -> None:
    """Whatever the night looked like: all targets answer again, and all that exists or is planned runs in order."""
    ledger = Ledger(some_night(random.Random(seed)))
    ledger.evaluate("05:10")
    for number in ledger.estate.targets:
        ledger.target(number, failing_since=None)
    ledger.evaluate("05:11")
    clock = at("05:11")
    for run_facts in sorted(
        ledger.estate.runs, key=lambda run: run.job_id
    ):  # the factories' upstreams have the lower ids
        span = (clock + timedelta(seconds=1), clock + timedelta(seconds=2))
        rerun = replace(
            run_facts,
            state=RunState.SUCCEEDED,
            started_at=span[0],
            ended_at=span[1],
            attempt=run_facts.attempt + 1,
            successes=(*run_facts.successes, span),
        )
        ledger.estate = replace(
            ledger.estate, runs=tuple(rerun if run.id == run_facts.id else run for run in ledger.estate.runs)
        )
        clock = span[1]
    assert clock < at("05:14")
    ledger.evaluate("05:14")
    ledger.evaluate("05:30")  # what made a service late goes on until then, where nobody starts what is left of it
    for incident in ledger.decisions.incidents:
        late = [service.service for service in incident.services if service.timeliness is Timeliness.BREACHED]
        if incident.cause.kind == "undelivered" or incident.closed:
            continue  # what nobody starts is not red
        assert late, title_of(incident)
        assert incident.act_by is None, title_of(incident)  # nothing is left to repair


def test_a_night_of_a_hundred_failures_below_one_cause_is_one_incident() -> None:
    root = job(1, "hosts/root", "03:10")
    rest = [job(number, f"hosts/j{number}", "04:00") for number in range(2, 102)]
    runs = [run(job.id, job, "04:00", RunState.FAILED, **ended("04:00", 1)) for job in rest]
    failed = run(1, root, "03:10", RunState.FAILED, **ended("03:10", 1))
    decisions = evaluate(estate(root, *rest, feeds=feeds(root, *rest), runs=[failed, *runs]), at("04:05"))
    (incident,) = decisions.incidents
    assert (1, 100) == (incident.cause.job_id, sum(member.role == "red" for member in incident.members))
