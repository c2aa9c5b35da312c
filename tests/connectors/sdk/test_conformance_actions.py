"""The conformance tests of acts catch what they are there for: each fault, put into a good connector, fails one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from connectors.sdk.contract import ActionAbsent, ActionFound, NativeHold, Preview, Receipt
from connectors.sdk.records import Inventory, JobRecord, Poll, RunRecord
from connectors.sdk.states import RunState
from tests.connectors.sdk.test_conformance import (
    LOAD,
    ConformanceRun,
    Faulty,
    but,
    each_run,
    is_active,
    misattributed,
    runs_but,
    sends_nothing,
)


def each_job(change: Callable[[JobRecord], JobRecord]) -> Callable[[Inventory, Faulty], Inventory]:
    return lambda result, _: replace(result, jobs=tuple(change(job) for job in result.jobs))


def each_hold(change: Callable[[NativeHold], NativeHold]) -> Callable[..., tuple[NativeHold, ...]]:
    return lambda result, _: tuple(change(hold) for hold in result)


def reported_twice(poll: Poll, _: Faulty) -> Poll:
    more = [replace(run, attempt_key=f"{run.attempt_key}b") for run in poll.runs if run.action_key]
    return replace(poll, runs=(*poll.runs, *more))


def allowed_after_all(preview: Preview, _: Faulty) -> Preview:
    return replace(preview, refused=None)


def holds_early(preview: Preview, connector: Faulty) -> Preview:
    connector.fake.change(LOAD, active=False)
    return preview


def renamed_when_paused(job: JobRecord) -> JobRecord:
    return replace(job, definition_hash="other") if job.paused else job


def forgets(receipt: Receipt, connector: Faulty) -> Receipt:
    """After each act the schedule is another one: also after the release."""
    connector.fake.change(LOAD, schedule="0 0 * * *")
    return receipt


def starts_all_the_same(poll: Poll, connector: Faulty) -> Poll:
    if not is_active(connector.fake):
        connector.fake.run(LOAD, "succeeded")
    return poll


def lets_go(receipt: Receipt, connector: Faulty) -> Receipt:
    """A start that ends the hold."""
    if "headway:rerun" in str(connector.fake.jobs[-1]["jobname"]):
        connector.fake.change(LOAD, active=True, command="select 1")
    return receipt


def wakes(receipt: Receipt, connector: Faulty) -> Receipt:
    """Without a mark it is active, whoever paused it."""
    row = next(row for row in connector.fake.jobs if row["jobid"] == LOAD)
    connector.fake.change(LOAD, active=row["active"] or not row["command"].startswith("/* headway-hold"))
    return receipt


def green(run: RunRecord) -> RunRecord:
    return run if run.state.is_open else replace(run, state=RunState.SUCCEEDED)


def renumbered_at_first(poll: Poll, connector: Faulty) -> Poll:
    """A requested run gets another attempt key once it was reported."""
    is_reported = vars(connector).setdefault("is_reported", [])
    if is_reported or not any(run.action_key for run in poll.runs):
        return poll
    is_reported.append(True)
    return replace(poll, runs=tuple(replace(run, attempt_key=f"{run.attempt_key}.2") for run in poll.runs))


START = "test_job_starts_once_under_its_key_and_becomes_a_run"
CANCEL, OVER = (
    "test_running_run_ends_when_it_is_cancelled_and_is_not_green",
    "test_cancel_of_a_run_that_is_over_is_refused",
)
HOLD_PREVIEW = "test_preview_of_a_hold_sends_nothing"
SHOWN = "test_held_job_shows_its_holder_end_and_place_and_is_the_same_job_paused"
RELEASE = "test_release_restores_the_definition_exactly"
ONCE = "test_same_key_again_is_one_hold"
OTHER = "test_job_that_is_held_is_not_held_by_another"
FOREIGN = "test_release_of_a_mark_that_is_not_there_is_refused_and_changes_nothing"
PERSON = "test_job_that_a_person_paused_is_neither_held_nor_released"
THEIRS = "test_job_that_a_person_enabled_loses_our_mark_alone_and_a_later_pause_is_theirs"
DUE = "test_held_job_does_not_start_and_starts_again_when_released"
EARLY = "test_job_that_is_held_starts_under_our_key_and_stays_held"
ON_ITS_WAY = [
    f"test_{what}_that_may_still_arrive_is_not_absent" for what in ("rerun", "start", "cancel", "hold_or_release")
]

FAULTS: list[tuple[str, str, Callable[..., Any], str]] = [
    (START, "look_up", lambda *_: ActionFound("x"), "an unsent key was found"),
    (START, "look_up", lambda *_: ActionAbsent(), "not seen within .* the start is found under its key"),
    (START, "act", sends_nothing, "not seen within"),
    (START, "poll", each_run(misattributed), "is reported as a run of headway:rerun"),
    (START, "poll", renumbered_at_first, "that one stays open"),
    (START, "poll", reported_twice, "one key, and more than one run"),
    (CANCEL, "poll", each_run(green), "cancelled and green"),
    (CANCEL, "poll", runs_but(state=RunState.RUNNING), "not seen within .* the end of the cancelled run"),
    (CANCEL, "look_up", lambda *_: ActionAbsent(), "`look_up` says absent"),
    (OVER, "preview", allowed_after_all, "an ended run would be cancelled"),
    (HOLD_PREVIEW, "preview", holds_early, "the preview changed the world"),
    (HOLD_PREVIEW, "preview", but(native_calls=()), "words are missing"),
    (SHOWN, "holds", lambda *_: (), "not seen within .* the hold"),
    (SHOWN, "holds", each_hold(lambda item: replace(item, mark=replace(item.mark, by="bob"))), "bob"),
    (SHOWN, "holds", each_hold(lambda value: replace(value, where="")), "the place of the mark is missing"),
    (SHOWN, "inventory", each_job(lambda job: replace(job, paused=False)), "not shown as paused"),
    (SHOWN, "inventory", each_job(renamed_when_paused), "looks like another job"),
    (RELEASE, "act", forgets, "released, and not as it was"),
    (RELEASE, "look_up", lambda *_: ActionAbsent(), "the release is not found"),
    (RELEASE, "look_up", lambda *_: ActionFound("x"), "released before it was"),
    (ONCE, "look_up", lambda *_: ActionAbsent(), "held, and not found under its key"),
    (OTHER, "preview", allowed_after_all, "held twice by preview"),
    (FOREIGN, "preview", allowed_after_all, "another person's hold would be released"),
    (PERSON, "preview", allowed_after_all, "of a person's pause"),
    (THEIRS, "holds", each_hold(lambda entry: replace(entry, bare=False)), "not seen within .* the bare mark"),
    (THEIRS, "act", wakes, "a person's pause was ended"),
    (THEIRS, "look_up", lambda *_: ActionAbsent(), "the mark is gone, and that is not found"),
    (DUE, "poll", starts_all_the_same, "held, and started"),
    (EARLY, "act", lets_go, "started, and held no more"),
    *((test, "look_up", lambda *_: ActionAbsent(), "called absent while its sender may still") for test in ON_ITS_WAY),
]


@pytest.mark.parametrize("index", range(len(FAULTS)))
def test_each_fault_fails_its_test(index: int) -> None:
    test, method, fault, text = FAULTS[index]
    getattr(ConformanceRun(), test)()
    with pytest.raises((AssertionError, ValueError, TypeError), match=text):
        getattr(ConformanceRun(**{method: fault}), test)()


def test_a_source_that_records_a_held_start_as_skipped_started_nothing() -> None:
    """A "Skipped, flow suspended" of the source counted as "held, and started"."""

    numbers = count()

    def skips(poll: Poll, connector: Faulty) -> Poll:
        if is_active(connector.fake):
            return poll
        skipped = {
            run.job: replace(run, attempt_key=f"skipped {next(numbers)}", state=RunState.SKIPPED) for run in poll.runs
        }
        return replace(poll, runs=(*poll.runs, *skipped.values()))

    getattr(ConformanceRun(poll=skips), DUE)()


@pytest.mark.parametrize("limit", ["start", "cancel", "hold", "act", "network"])
def test_checks_of_a_limited_action_are_refused(limit: str) -> None:
    class Still(ConformanceRun):
        limits = {limit: "this world stands still"}

    with pytest.raises(AssertionError, match="see `limits`"):
        Still().test_each_capability_has_its_checks_and_each_missing_one_its_reason()


def test_a_world_with_a_stopped_clock_has_no_test_of_native_starts() -> None:
    class Still(ConformanceRun):
        limits = {"due": "this world stands still"}

    assert getattr(Still, DUE) is None
