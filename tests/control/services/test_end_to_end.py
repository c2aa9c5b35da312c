"""The one-hour onboarding over six systems: each submission is an instance with a deadline of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import Estate, RunFacts
from console.domain.promise import DeadlineRule, Promise
from console.domain.service import Timeliness
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, run, service, target
from tests.messages import written
from tests.reasons import reason_of

NAMES = ("crm/submitted", "kyc/screen", "core/open_account", "cards/order", "mail/welcome", "dwh/report")
JOBS = [job(number, name, target_id=number, expected=minutes(8), zone="UTC") for number, name in enumerate(NAMES, 1)]
SUBMITTED = JOBS[0]
CHAIN = [edge for up, down in pairwise(JOBS) for edge in feeds(up, down)]
RULE = DeadlineRule(after_start=minutes(60), of=NAMES[0], of_id=1, key="customer_id")
ONBOARDING = service("onboarding", "00:00", JOBS[-1], promise=Promise(RULE), title="Onboarding", tier=1)


def ran(step: int, clock: str, state: RunState = RunState.SUCCEEDED, takes: float = 8) -> RunFacts:
    """A run of the step that its source names by its own id."""
    started = at(clock)
    ended = None if state.is_open else started + minutes(takes)
    return run(
        0, JOBS[step], started, state, period_key=f"run {NAMES[step]} {clock}", period_at=None, started_at=started,
        first_started_at=started, ended_at=ended,
    )  # fmt: skip


def played(*runs: tuple[RunFacts, str], jobs: Any = JOBS) -> Estate:
    """Each run with the customer that its context names; empty for none."""
    numbered = [(replace(run, id=number), key) for number, (run, key) in enumerate(runs, 1)]
    made = estate(
        *jobs, runs=[run for run, _ in numbered], feeds=CHAIN, services=[ONBOARDING],
        targets=[target(job.target_id, job.system, job.system) for job in jobs],
    )  # fmt: skip
    return replace(made, correlated={run.id: {"customer_id": key} for run, key in numbered if key})


def verdicts(made: Estate, now: str) -> dict[str, ServiceDayVerdict]:
    return {service_day.instance: service_day for service_day in evaluate(made, at(now)).service_days}


def through(key: str, first: str, *, keyless: tuple[int, ...] = (), until: int = 6) -> list[tuple[RunFacts, str]]:
    """A customer's runs, ten minutes apart."""
    began = at(first)
    clocks = [f"{began + minutes(10 * step):%H:%M}" for step in range(until)]
    return [(ran(step, clock), "" if step in keyless else key) for step, clock in enumerate(clocks)]


def test_a_submission_is_delivered_by_a_task_of_the_run_that_is_its_own() -> None:
    """A task's context names no customer; the run of its job does."""
    task = job(9, "dwh/report.publish", target_id=6, parent_id=JOBS[-1].id, expected=minutes(8), zone="UTC")
    first, second = through("4711", "02:00"), through("4712", "02:05")
    sent = replace(first[-1][0], job_id=task.id)
    known = played(*first, *second, (sent, ""), jobs=[*JOBS, task])
    by_task = replace(known, services=(replace(ONBOARDING, terminals=(task.id,)),))
    service_days = verdicts(by_task, "03:20")
    assert (at("02:58"), None) == (service_days["4711"].delivered_at, service_days["4712"].delivered_at)


def test_each_submission_has_its_own_deadline_and_its_own_runs() -> None:
    service_days = verdicts(played(*through("4711", "02:00"), *through("4712", "02:25", until=3)), "03:10")
    assert {"4711", "4712"} == set(service_days)
    done, on_its_way = service_days["4711"], service_days["4712"]
    assert (at("03:00"), at("02:58"), Timeliness.MET) == (done.deadline, done.delivered_at, done.timeliness)
    assert ("onboarding #4712", at("03:25"), None) == (on_its_way.service, on_its_way.deadline, on_its_way.delivered_at)
    assert Timeliness.WILL_MISS is on_its_way.timeliness  # three steps of 8 min from 03:10
    assert at("03:34") == on_its_way.expected_at


def test_an_instance_that_is_not_delivered_in_time_is_breached() -> None:
    service_days = verdicts(played(*through("4711", "02:00", until=4)), "03:01")
    assert Timeliness.BREACHED is service_days["4711"].timeliness


def test_a_failure_affects_the_instance_of_its_run_and_no_other() -> None:
    broken = [*through("4711", "02:00", until=2), (ran(2, "02:20", RunState.FAILED), "4711")]
    other = through("4712", "02:02", until=3)
    decisions = evaluate(played(*broken, *other), at("02:36"))
    [incident] = decisions.incidents
    assert ["onboarding #4711"] == [service.service for service in incident.services]
    service_days = {service_day.instance: service_day for service_day in decisions.service_days}
    assert incident.key == service_days["4711"].incident_key
    assert None is service_days["4712"].incident_key
    assert any("Onboarding #4711" in written(notice).body for notice in incident.notices)


def test_a_system_without_a_key_is_matched_in_order_with_a_notice() -> None:
    group, other = through("4711", "02:00", keyless=(3,)), through("4712", "02:05", keyless=(3,))
    service_days = verdicts(played(*group, *other), "03:30")
    assert [at("02:58"), at("03:03")] == [service_days[key].delivered_at for key in ("4711", "4712")]
    assert reason_of(service_days["4711"]).endswith("; without a key, distinguished by their order: cards/order")


def test_a_submission_without_a_key_is_known_by_its_own_run() -> None:
    [(name, service_day)] = verdicts(played((ran(0, "02:00"), "")), "02:10").items()
    assert ("run crm/submitted 02:00", at("03:00")) == (name, service_day.deadline)


def test_a_second_submission_of_the_same_customer_is_another_instance() -> None:
    service_days = verdicts(played(*through("4711", "00:00"), *through("4711", "02:00", until=1)), "02:05")
    assert {"4711", "4711 (02:00)"} == set(service_days)
    assert (at("00:58"), None) == (service_days["4711"].delivered_at, service_days["4711 (02:00)"].delivered_at)


def test_a_second_submission_of_the_same_customer_leaves_the_first_its_name_and_its_row() -> None:
    first = through("4711", "02:00", until=2)
    before = verdicts(played(*first), "02:25")["4711"]
    after = verdicts(played(*first, (ran(0, "02:20"), "4711")), "02:25")
    assert (before.service, before.submission) == (after["4711"].service, after["4711"].submission)
    assert "run crm/submitted 02:20" == after["4711 (02:20)"].submission


def test_of_many_affected_instances_the_first_five_are_named_and_the_others_counted() -> None:
    keys = [f"c{number:02}" for number in range(17)]
    runs = [pair for number, key in enumerate(keys) for pair in through(key, f"02:{number:02}", until=2)]
    runs += [(replace(ran(2, "02:30", RunState.FAILED), period_key=f"open {key}"), key) for key in keys]
    [incident] = evaluate(played(*runs), at("02:50")).incidents
    assert [f"onboarding #{key}" for key in keys] == [service.service for service in incident.services]
    [notice] = incident.notices
    lines = written(notice).body.splitlines()
    named = [line.partition("  ")[0] for line in lines if line.startswith("Onboarding #")]
    assert [f"Onboarding #{key}" for key in keys[:5]] * 2 == named, "a row of the table, and one of details"
    assert "onboarding: 12 more  –          –" in lines


def test_evaluating_again_without_a_change_notifies_nothing() -> None:
    ledger = Ledger(played(*through("4711", "02:00", until=4), (ran(4, "02:40", RunState.FAILED), "4711")))
    notified = [[len(incident.notices) for incident in ledger.evaluate("02:50").incidents] for _ in range(2)]
    assert [[1], [0]] == notified


@given(st.permutations(range(3)), st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 30))
def test_instances_are_distinguished_whatever_runs_beside_them(order: list[int], steps: list[int], gap: int) -> None:
    """Each alone is judged as it is among the others, as long as all systems carry the key."""
    walks = []
    for number in range(3):
        first = f"{at('01:00') + timedelta(minutes=gap * number):%H:%M}"
        walks.append(through(f"c{number}", first, until=steps[number]))
    every = verdicts(played(*(pair for number in order for pair in walks[number])), "02:30")
    for number, walk in enumerate(walks):
        alone = verdicts(played(*walk), "02:30")[f"c{number}"]
        together = every[f"c{number}"]
        assert (alone.deadline, alone.delivered_at, alone.timeliness, alone.expected_at) == (
            together.deadline, together.delivered_at, together.timeliness, together.expected_at,
        )  # fmt: skip
