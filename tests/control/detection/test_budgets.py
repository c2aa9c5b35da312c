"""Runs that take or cost more than their owner allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connectors.sdk.states import RunState
from console.control.detection.rules import current_findings
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import changed_jobs
from console.domain.estate import RunFacts
from console.domain.finding import DetectionRule
from tests.factories import at, estate, job, minutes, run, target
from tests.reasons import source_text

AGENT = job(1, "agents/summarise", "03:10", budget_time=minutes(20), budget_cost=5.0)


def budget_findings(clock: str, *runs: RunFacts, costs: dict[int, float] | None = None, **more: Any) -> list[str]:
    """What the rule says, with where its threshold comes from."""
    seen = target(last_ok_at=at(clock), seen_until=at(clock))
    made = replace(estate(replace(AGENT, **more), runs=runs, targets=[seen]), costs=costs or {})
    findings = current_findings(EstateIndex(made, at(clock))).findings
    return [source_text(finding) for finding in findings if finding.rule is DetectionRule.OVER_BUDGET]


RUNNING = run(1, AGENT, "03:10", RunState.RUNNING)
SOURCE = "declared in config as the budget"


def test_what_goes_on_beyond_its_time_is_over_budget_from_then_on() -> None:
    assert [] == budget_findings("03:29", RUNNING)
    text = "running since 03:10 UTC, longer than its budget of 20m"
    assert [f"{text}; threshold 20m, {SOURCE}"] == budget_findings("03:31", RUNNING)


def test_all_attempts_of_a_run_together_have_one_budget() -> None:
    again = replace(RUNNING, attempt=2, started_at=at("03:25"))
    assert 1 == len(budget_findings("03:31", again))


def test_the_hours_until_somebody_repaired_it_are_on_no_budget() -> None:
    """It failed after 5 minutes, and was run again at nine in the morning: 15 more are left to it."""
    again = replace(RUNNING, attempt=2, started_at=at("09:00"), ends=((at("03:15"), RunState.FAILED),))
    assert [] == budget_findings("09:14", again)
    text = "running since 03:10 UTC, longer than its budget of 20m"
    assert [text] == [name.partition(";")[0] for name in budget_findings("09:16", again)]
    done = replace(again, state=RunState.SUCCEEDED, ended_at=at("09:30"))
    assert ["took 35m, longer than its budget of 20m"] == [
        name.partition(";")[0] for name in budget_findings("09:40", done)
    ]
    assert [] == budget_findings("09:40", replace(done, ended_at=at("09:10")))


def test_a_repeated_attempt_whose_start_is_unknown_is_on_no_budget() -> None:
    """It began with the run, hours before."""
    again = replace(RUNNING, attempt=2, started_at=None, ended_at=at("09:30"), state=RunState.SUCCEEDED)
    assert [] == budget_findings("09:40", again)


def test_an_excessive_cost_is_reported_before_an_excessive_duration() -> None:
    [text] = budget_findings("03:15", RUNNING, costs={1: 5.2})
    assert f"has cost 5.20, more than 5.00; threshold 5.00, {SOURCE}" == text
    assert [] == budget_findings("03:15", RUNNING, costs={1: 5.0})


def test_what_ended_over_its_budget_says_how_long_it_took() -> None:
    done = run(1, AGENT, "03:10", ended_at=at("03:40"))
    assert ["took 30m, longer than its budget of 20m"] == [
        name.partition(";")[0] for name in budget_findings("03:50", done)
    ]
    assert [] == budget_findings("03:50", run(1, AGENT, "03:10"))


def test_without_a_budget_nothing_is_over_it() -> None:
    assert [] == budget_findings("09:00", RUNNING, costs={1: 1e9}, budget_time=None, budget_cost=None)


def test_another_cost_is_evaluated_at_once() -> None:
    before = estate(AGENT, runs=[RUNNING])
    assert {AGENT.id} == changed_jobs(before, replace(before, costs={RUNNING.id: 7.0}))
