"""What holds of the rules whatever a night brings."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.control.detection.rule_input import JobRuleSettings, RuleInput
from console.control.detection.rules import current_findings
from console.control.evaluate import evaluate
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import part_with
from console.domain.estate import Estate
from console.domain.finding import DetectionRule
from console.domain.history import RunHistory
from tests.control.detection.test_rules import EXTRACT, RUNNING, estate_at, past
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, service

SECONDS = st.lists(st.integers(1, 20_000).map(float), min_size=8, max_size=60)
JOBS = (
    EXTRACT,
    job(2, "etl-hosts/db07:load", "04:00"),
    job(3, "etl-hosts/db07:alone", "03:30"),
    job(4, "etl-hosts/db07:event"),
)
DUES = ("03:10", "04:00", "03:30", "03:05")
STATES = st.sampled_from(
    [RunState.RUNNING, RunState.QUEUED, RunState.SUCCEEDED, RunState.FAILED, RunState.RETRYING, RunState.UNKNOWN]
)
CLOCKS = ("03:12", "03:26", "03:47", "04:15", "05:30", "07:00")
NIGHTS = st.lists(
    st.lists(st.tuples(st.integers(0, len(JOBS) - 1), STATES, st.integers(1, 9)), max_size=4),
    min_size=1, max_size=len(CLOCKS),
)  # fmt: skip
PASTS = st.lists(st.one_of(st.just(RunHistory()), SECONDS.map(lambda taken: past(*taken))), min_size=4, max_size=4)


def rule_input(known: RunHistory, rule: DetectionRule) -> RuleInput:
    whole = estate_at("03:30", RUNNING, known=known)
    index = EstateIndex(whole, at("03:30"))
    facts = RuleInput.of(index, EXTRACT, JobRuleSettings(index))
    facts.rule = rule
    return facts


@given(SECONDS, st.data())
def test_a_job_that_took_longer_each_time_has_no_lower_threshold(taken: list[float], data: st.DataObject) -> None:
    more = data.draw(st.lists(st.integers(0, 5_000).map(float), min_size=len(taken), max_size=len(taken)))
    slow = [duration + other for duration, other in zip(taken, more, strict=True)]
    for rule, of in ((DetectionRule.TOO_LONG, RuleInput.at_most), (DetectionRule.TOO_SHORT, RuleInput.at_least)):
        fast, slower = (of(rule_input(past(*group), rule), past(*group).takes, at("03:10")) for group in (taken, slow))
        assert slower is not None or fast is None
        assert fast is None or (slower is not None and fast.value <= slower.value)


@given(SECONDS)
def test_a_threshold_lies_off_all_that_is_usual(taken: list[float]) -> None:
    known = past(*taken)
    most = rule_input(known, DetectionRule.TOO_LONG).at_most(known.takes, at("03:10"))
    assert most is not None
    beyond = {seconds for seconds in taken if seconds > most.value}  # equal durations lie on one side together
    assert len(beyond) <= len(taken) * 0.05 + 1


@given(PASTS, st.integers(0, 180), st.integers(0, 180))
def test_a_run_that_takes_too_long_is_found_by_every_later_evaluation(
    pasts: list[RunHistory], first: int, later: int
) -> None:
    def result(minutes: int) -> bool:
        clock = f"{3 + (10 + minutes) // 60:02}:{(10 + minutes) % 60:02}"
        whole = estate_at(clock, RUNNING, known=pasts[0])
        return any(
            finding.rule is DetectionRule.TOO_LONG
            for finding in current_findings(EstateIndex(whole, at(clock))).findings
        )

    assert not result(first) or result(max(first, later))


def whole_of(pasts: list[RunHistory]) -> Estate:
    result = estate(*JOBS, feeds=feeds(JOBS[0], JOBS[1]), services=[service("day", "06:30", JOBS[1])])
    return replace(result, history=dict(enumerate(pasts, 1)))


def play(ledger: Ledger, night: list[list[tuple[int, RunState, int]]]) -> None:
    """The night; each evaluation asserts that a second one decides and writes nothing."""
    for clock, events in zip(CLOCKS, night, strict=False):
        for number, state, attempt in events:
            due = DUES[number]
            if at(due) > at(clock):
                continue
            facts = {"started_at": at(due)} if state.is_open else ended(due, attempt)
            facts = {"queued_at": at(due)} if state is RunState.QUEUED else facts
            ledger.run(JOBS[number], due, state, **{**facts, "attempt": attempt})
        ledger.evaluate(clock)


UPSTREAM_IS_OVER: list[list[tuple[int, RunState, int]]] = [
    [], [], [(0, RunState.RUNNING, 6)], [(1, RunState.RUNNING, 6)], [(0, RunState.UNKNOWN, 1)],
]  # fmt: skip
"""What a rule found of the upstream holds no longer, and what one finds of its downstream is explained no more."""


ENDED_AHEAD_OF_OUR_CLOCK: list[list[tuple[int, RunState, int]]] = [[(3, RunState.FAILED, 8)]]
"""Ended at 03:13, read at 03:12: the alert waits for no clock."""


@example([RunHistory()] * 4, UPSTREAM_IS_OVER)
@example([RunHistory()] * 4, ENDED_AHEAD_OF_OUR_CLOCK)
@given(PASTS, NIGHTS)
def test_a_second_evaluation_finds_notifies_and_writes_nothing(
    pasts: list[RunHistory], night: list[list[tuple[int, RunState, int]]]
) -> None:
    play(Ledger(whole_of(pasts)), night)


@given(PASTS, NIGHTS, st.integers(0, 1000))
def test_the_order_of_jobs_and_runs_changes_no_finding(
    pasts: list[RunHistory], night: list[list[tuple[int, RunState, int]]], seed: int
) -> None:
    ledger = Ledger(whole_of(pasts))
    play(ledger, night)
    candidate, random = replace(ledger.estate, findings=()), Random(seed)
    jobs, runs = list(candidate.jobs.items()), list(candidate.runs)
    random.shuffle(jobs)
    random.shuffle(runs)
    other = replace(candidate, jobs=dict(jobs), runs=tuple(runs))
    assert evaluate(candidate, at("07:00")).findings == evaluate(other, at("07:00")).findings


@given(PASTS, NIGHTS)
def test_a_part_is_found_what_the_whole_is_found(
    pasts: list[RunHistory], night: list[list[tuple[int, RunState, int]]]
) -> None:
    ledger = Ledger(whole_of(pasts))
    play(ledger, night)
    whole = replace(ledger.estate, findings=())
    for job_facts in JOBS:
        part = part_with(whole, [job_facts.id])
        mine = [change for change in evaluate(whole, at("07:00")).findings if change.finding.job_id in part.jobs]
        assert mine == list(evaluate(part, at("07:00")).findings)
