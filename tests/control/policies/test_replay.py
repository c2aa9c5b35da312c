"""What a policy would have done with kept failures, and what would have stopped it."""

from __future__ import annotations

from dataclasses import replace

from connectors.sdk.states import RunState
from console.control.policies.replay import Replay, Stop, replay
from console.domain.estate import JobFacts
from console.domain.failure import FailureSignature
from console.domain.job import RepairedJob, Safety
from console.domain.policy import Policy, PolicyCondition, PolicyLimits, PolicyMatch, PolicyRepair
from console.domain.policy_report import RecordedFailure, RepairResult, ReportedRepair
from tests.factories import at, job, minutes, run

SAFE = job(1, "hosts/safe", rerun=Safety.SAFE)
ASK = job(2, "hosts/ask")
JOBS = {known.name: RepairedJob(known.rerun, {}) for known in (SAFE, ASK)}
REFUSED = FailureSignature("run", "cron", "failed", "Connection refused", "safe")
POLICY = Policy("tested", "rerun")


def failure(
    night: int,
    clock: str = "02:00",
    result: RepairResult = RepairResult.RIGHT,
    *,
    of: JobFacts = SAFE,
    attempt: int = 1,
) -> RecordedFailure:
    """A person reran it half an hour later, which took ten minutes."""
    failed = at(clock, day=night)
    red = run(night + 1, of, at("01:00", day=night), RunState.FAILED, ended_at=failed, attempt=attempt)
    sent = None if result in (RepairResult.NEEDLESS, RepairResult.UNKNOWN) else failed + minutes(30)
    repeated = None if result is RepairResult.UNKNOWN else failed + minutes(30)
    ended = None if repeated is None else repeated + minutes(10)
    recorded = PolicyRepair("", "rerun", of.id, red.business_date, red.id, attempt, failed)
    shadow = ReportedRepair(recorded, night + 1, of.name, sent, "mara", result)
    return RecordedFailure(REFUSED, of, red, shadow, repeated, ended)


def replayed(policy: Policy, *failures: RecordedFailure, first: tuple[Policy, ...] = (), budget: int = 2) -> Replay:
    return replay(policy, (*first, policy), failures, JOBS, budget)


def test_each_failure_is_repaired_and_compared_with_what_people_did() -> None:
    results = (RepairResult.RIGHT, RepairResult.RIGHT, RepairResult.WRONG, RepairResult.NEEDLESS, RepairResult.UNKNOWN)
    result = replayed(POLICY, *(failure(night, result=kind) for night, kind in enumerate(results)))
    assert "would have repaired 2 of 5, saved 1h, 1 wrong, 1 needless, 1 unknown" == result.text
    assert not result.is_over
    assert replayed(POLICY, failure(0, result=RepairResult.WRONG), budget=0).is_over


def test_failures_that_another_policy_decides_about_are_not_its_own() -> None:
    assert "would have repaired nothing" == replayed(POLICY, failure(0), first=(Policy("first", "rerun"),)).text
    other = replace(POLICY, match=PolicyMatch(errors=("*No space left*",)))
    assert "would have repaired nothing" == replayed(other, failure(0)).text
    refused = replace(POLICY, match=PolicyMatch(errors=("*Connection refused*",)))
    assert "would have repaired 1 of 1, saved 30m" == replayed(refused, failure(0)).text


def test_a_job_that_a_person_decides_about_is_left_to_people() -> None:
    assert {Stop.LIMITS: 0, Stop.BREAKER: 0, Stop.PEOPLE: 1} == replayed(POLICY, failure(0, of=ASK)).stopped
    tired = replace(POLICY, when=PolicyCondition(attempts_below=2))
    assert 1 == replayed(tired, failure(0, attempt=2)).stopped[Stop.PEOPLE]


def test_the_breaker_opens_after_wrong_repairs_and_stops_the_rest() -> None:
    wrong = [failure(night, result=RepairResult.WRONG) for night in range(5)]
    result = replayed(replace(POLICY, breaker=2), *wrong)
    assert "would have repaired 0 of 2, 2 wrong; 3 stopped by its breaker" == result.text


def test_a_limit_of_an_hour_delays_a_repair_or_stops_it_where_a_person_comes_first() -> None:
    one = replace(POLICY, limits=PolicyLimits(per_hour=1))
    first = failure(0, "02:00")
    beside = replace(failure(1, "02:00"), run=replace(failure(1).run, ended_at=at("02:10")))
    result = replayed(one, first, replace(beside, repeated=at("05:00")))
    assert [at("02:00"), at("03:00")] == sorted(repair.repair.at for repair in result.report.repairs)
    result = replayed(one, first, replace(beside, repeated=at("02:40")))
    assert 1 == result.stopped[Stop.LIMITS]


def test_a_failure_that_comes_back_after_its_repair_in_another_run_is_left_to_people() -> None:
    first, again = failure(0, "02:00"), failure(1, "02:00")
    same_date = replace(again.run, business_date=first.run.business_date)
    result = replayed(POLICY, first, replace(again, run=same_date))
    assert "would have repaired 1 of 1, saved 30m; 1 left to people" == result.text
    other = replace(again, run=same_date, signature=replace(REFUSED, error="No space left"))
    assert 2 == len(replayed(POLICY, first, other).report.repairs)


def test_repairs_in_flight_count_for_the_breaker_until_they_end() -> None:
    careful = replace(POLICY, breaker=1)
    beside = replace(failure(1), run=replace(failure(1).run, ended_at=at("02:05")), repeated=at("09:00"))
    result = replayed(careful, failure(0), beside)
    assert [at("02:00"), at("02:10")] == sorted(repair.repair.at for repair in result.report.repairs)


def test_a_failure_that_is_repeated_before_its_log_is_read_is_left_to_people() -> None:
    silent = replace(failure(0), signature=replace(REFUSED, error=""))
    assert at("02:02") == replayed(POLICY, silent).report.repairs[0].repair.at
    early = replace(silent, repeated=at("02:01"))
    assert "would have repaired nothing; 1 left to people" == replayed(POLICY, early).text


def test_conditions_of_the_forecast_hold() -> None:
    late = replace(POLICY, when=PolicyCondition(p_late=0.5, act_by_within=minutes(30)))
    assert "would have repaired 1 of 1, saved 30m" == replayed(late, failure(0)).text
