"""A failed job that its own schedule starts again, and one that failed several times in a row: the verdict, the mail
and the plan name both."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import Capability, RunState
from console.control.incidents.verdict.decision import incident_verdict
from console.control.incidents.verdict.text import repetition_text, verdict_text
from console.control.recovery.proposal import propose_recovery
from console.domain.dependency import DependencyMode
from console.domain.estate import JobFacts
from console.domain.hold import HoldFacts, HoldState
from console.domain.reason import Repetition
from console.domain.stored import as_json, from_json
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, job, minutes, service
from tests.messages import written
from tests.reasons import zoned
from tests.tui.fake_reads import incident

EVERY_2_MINUTES = replace(daily("03:00"), expression="*/2 * * * *")
LOAD = job(
    1, "hosts/load", EVERY_2_MINUTES, expected=minutes(5), accepted_at=at("03:09"), notify=("oncall",)
)  # fmt: skip
NOW = at("03:11")


def clock(instant: datetime) -> str:
    return f"{instant:%H:%M}"


def failing(load: JobFacts = LOAD, *, times: int = 1, due: str | None = "06:30") -> Ledger:
    """A night on which load fails at 03:10, and each 2 minutes after that. `due`: of its service; None without one."""
    ledger = Ledger(estate(load, services=[service("daily", due, load)] if due is not None else []))
    for number in range(times):
        begun = f"03:{10 + 2 * number}"
        ledger.run(load, begun, RunState.FAILED, **ended(begun, 1), exit_code=1, message="disk full")
        ledger.evaluate(f"03:{11 + 2 * number}")
    return ledger


@pytest.mark.parametrize(
    "times, due, starts, failures",
    [(1, "06:30", "03:12", 0), (2, "06:30", "03:14", 2), (7, "06:30", "03:24", 7), (7, "03:15", "03:24", 7)],
    ids=["once", "twice", "seven-times", "after-the-breach"],
)
def test_a_job_that_its_schedule_starts_again_has_that_start_and_its_failures_in_a_row(
    times: int, due: str, starts: str, failures: int
) -> None:
    """The verdict said "restart load now" of a job of every 2 minutes that had failed 7 times with "disk full"."""
    assert Repetition("hosts/load", at(starts), failures) == failing(times=times, due=due).incident().repeated


def test_a_success_ends_the_row() -> None:
    ledger = failing(times=3)
    ledger.run(LOAD, "03:16", RunState.SUCCEEDED, **ended("03:16", 1))
    ledger.evaluate("03:17")
    ledger.run(LOAD, "03:18", RunState.FAILED, **ended("03:18", 1), exit_code=1)
    [decision] = ledger.evaluate("03:19").incidents
    assert Repetition("hosts/load", at("03:20")) == decision.repeated


def test_failures_of_other_partitions_are_no_row() -> None:
    load = replace(LOAD, schedule=Schedule("none"))
    ledger = Ledger(estate(load, services=[service("daily", "06:30", load)]))
    for name in ("north", "south"):
        ledger.run_of_partition(load, name, "03:10", RunState.FAILED, **ended("03:10", 1))
    assert all(decision.repeated is None for decision in ledger.evaluate("03:12").incidents)


@pytest.mark.parametrize(
    "load, due",
    [
        (replace(LOAD, expected=timedelta(minutes=4, seconds=30)), "03:16"),
        (replace(LOAD, schedule=daily("03:10")), "06:30"),
        (replace(LOAD, paused_since=at("03:10:30")), "06:30"),
        (replace(LOAD, seen_schedule=daily("03:10"), drift_since=at("03:10:30")), "06:30"),
    ],
    ids=["after-the-act-by", "on-the-next-date", "paused", "its-source-has-no-further-start"],
)
def test_a_start_that_comes_too_late_or_not_at_all_is_none(load: JobFacts, due: str) -> None:
    assert failing(load, due=due).incident().repeated is None


def test_a_start_that_a_person_holds_is_none() -> None:
    hold = HoldFacts(
        "headway-1", 1, None, None, "person", DependencyMode.OBSERVE, HoldState.HELD, "mara", "", at("08:00"),
        None, "", placed_at=at("03:00"),
    )  # fmt: skip
    ledger = failing()
    ledger.estate = replace(ledger.estate, holds=(hold,))
    [decision] = ledger.evaluate("03:11:30").incidents
    assert decision.repeated is None


def test_the_start_after_one_that_has_not_begun_is_none() -> None:
    """Each start was promised in turn, and none came."""
    ledger = failing(times=2)
    for clock in ("03:14:30", "03:16", "03:19", "03:40"):
        assert all(decision.repeated in (None, Repetition("hosts/load", None, 2))
                   for decision in ledger.evaluate(clock).incidents)  # fmt: skip
    ledger.run(LOAD, "03:40", RunState.FAILED, **ended("03:40", 1), exit_code=1)
    known = ledger.evaluate("03:41").incidents[0].repeated
    assert known is not None
    assert at("03:42") == known.starts


def test_a_start_at_a_target_that_does_not_answer_is_none() -> None:
    ledger = failing()
    ledger.target(1, failing_since=at("03:11:10"), error="timeout", error_kind="unreachable")
    decisions = ledger.evaluate("03:11:30").incidents
    assert all(decision.repeated is None for decision in decisions)


def test_the_start_of_a_changed_schedule_counts_before_it_is_accepted() -> None:
    """The mail said "restart load by 1 Dec 09:49 (in 23 h 58 min)", 30 s before the next start."""
    moved = replace(LOAD, schedule=daily("03:10"), seen_schedule=EVERY_2_MINUTES, drift_since=at("03:05"))
    assert Repetition("hosts/load", at("03:12")) == failing(moved).incident().repeated


def test_a_mail_names_the_next_start_and_the_failures_once() -> None:
    ledger = failing(times=3)
    ledger.estate = replace(ledger.estate, incidents=())
    [decision] = ledger.evaluate("03:15:30").incidents
    [notice] = decision.notices
    assert written(notice).title == "Daily 06:30 at risk: restart load by 06:25 (in 3 h 9 min) [{incident}]"
    text = "load starts by itself 03:16 UTC, failed 3 times in a row: a restart alone has not helped"
    assert written(notice).body.startswith(f"{text}.\n")
    assert 1 == written(notice).body.count("by itself")


def test_the_mail_of_a_job_without_a_service_names_both_too() -> None:
    ledger = failing(times=3, due=None)
    ledger.estate = replace(ledger.estate, incidents=())
    [decision] = ledger.evaluate("03:15:30").incidents
    assert written(decision.notices[0]).body.startswith(
        "load starts by itself 03:16 UTC, failed 3 times in a row: a restart alone has not helped.\n"
    )


@pytest.mark.parametrize("due", ["06:30", None], ids=["with-a-service", "without-one"])
def test_the_step_of_a_plan_names_the_next_start_and_the_failures(due: str | None) -> None:
    ledger = failing(times=3, due=due)
    [known] = ledger.estate.incidents
    draft = propose_recovery(ledger.estate, known.id, at("03:15:30"), lambda _, need: need is Capability.RERUN)
    assert draft is not None
    assert ["it ended failed, starts by itself 03:16 UTC, failed 3 times in a row: a restart alone has not helped"] == [
        zoned(step.why) for step in draft.steps
    ]


def verdict_with(reason: Repetition, now: datetime) -> str:
    verdict = incident_verdict(replace(incident(), repeated=reason), (), now, is_frozen=False)
    return verdict_text(verdict, now, clock, countdown=False)


def test_a_verdict_ends_with_the_next_start_and_the_failures() -> None:
    now = at("02:13")
    job_name = incident().row.root_job
    both = Repetition(job_name, now + timedelta(minutes=1), 7)
    text = verdict_with(both, now)
    assert text.startswith("Restart extract_orders by ")
    assert text.endswith(f", saves Supply plan, Daily revenue; {repetition_text(both, clock)}")
    assert repetition_text(both, clock).startswith("extract_orders starts by itself 02:14, failed 7 times in a row: ")


@pytest.mark.parametrize("failures", [0, 7])
def test_a_start_that_has_passed_is_not_named(failures: int) -> None:
    now = at("02:13")
    text = verdict_with(Repetition(incident().row.root_job, now, failures), now)
    assert "by itself" not in text
    assert bool(failures) == ("7 times" in text)


def test_it_is_stored_as_json() -> None:
    for known in (Repetition("hosts/load", NOW, 7), Repetition("hosts/load", None, 2), Repetition("hosts/load", NOW)):
        assert known == from_json(Repetition, as_json(known))
