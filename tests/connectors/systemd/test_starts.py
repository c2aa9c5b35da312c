"""Starts that systemd ends before they begin: their lines bear the invocation of the run before, or none."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from connectors.sdk.conformance.world import new_key
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.systemd.test_recorded import changed, polled
from tests.deep import few
from tests.fakes.systemd import SystemdHost

CONDITION = "backup.service was skipped because of an unmet condition check (ConditionPathIsMountPoint=/mnt/backup)."
OLD_CONDITION = "Condition check resulted in Nightly backup being skipped."
DAY = 86_400.0


@pytest.fixture
def db07(tmp_path: Path) -> SystemdHost:
    return SystemdHost(tmp_path)


def refuse(host: SystemdHost, unit: str, result: str, text: str = "", ago: float = 60.0) -> float:
    at = float(int(time.time() - ago))
    host.world.refuse(f"{unit}.service", at, result, text)
    return at


def only(host: SystemdHost, cursor: str = "") -> RunRecord:
    [run] = polled(host, cursor).runs
    return run


def started(run: RunRecord) -> float:
    assert run.started_at is not None
    return run.started_at.timestamp()


@pytest.mark.parametrize("unit, state", few([("backup", RunState.SUCCEEDED), ("broken", RunState.FAILED)], 1))
@pytest.mark.parametrize(
    "result, text, refused",
    [
        ("done", CONDITION, RunState.SKIPPED), ("done", OLD_CONDITION, RunState.SKIPPED),
        ("done", "Backup was skipped because no trigger condition checks were met.", RunState.SKIPPED),
        ("done", "Backup was skipped because all trigger condition checks failed.", RunState.SKIPPED),
        ("done", "Backup was skipped because of a failed condition check (ConditionACPower=true).", RunState.SKIPPED),
        ("done", "Backup was skipped, unmet condition check ConditionACPower=true", RunState.SKIPPED),
        ("assert", "Assertion failed for Nightly backup.", RunState.FAILED),
        ("dependency", "Dependency failed for Nightly backup.", RunState.FAILED),
        ("timeout", "Timed out starting Nightly backup.", RunState.FAILED),
        ("start-limit-hit", "Failed to start Nightly backup.", RunState.FAILED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_polled_between", few([True, False], 1))
def test_a_start_that_does_not_begin_is_a_run_of_its_own_and_touches_no_other(
    db07: SystemdHost, unit: str, state: RunState, result: str, text: str, refused: RunState, is_polled_between: bool
) -> None:
    before = db07.ran(unit, DAY)
    cursor = polled(db07).cursor if is_polled_between else ""
    at = refuse(db07, unit, result, text)
    runs = {run.attempt_key: run for run in polled(db07, cursor).runs}
    day_before, new = runs.pop(before, None), next(iter(runs.values()))
    assert (1, refused, at) == (len(runs), new.state, started(new))
    assert f"{unit}.service: failure" == new.message if result == "start-limit-hit" else text == new.message
    assert (day_before is None) is is_polled_between
    if day_before is not None:
        assert state is day_before.state
        assert started(day_before) < at - DAY / 2


@pytest.mark.parametrize("seconds_after", [5, 200])
def test_a_skip_moments_after_a_run_leaves_it_as_it_ended(db07: SystemdHost, seconds_after: float) -> None:
    key = db07.ran("broken", 300)
    first = polled(db07)
    refuse(db07, "broken", "done", CONDITION, 300 - seconds_after)
    [run] = polled(db07, first.cursor).runs
    assert (RunState.SKIPPED, True) == (run.state, run.attempt_key != key)


@pytest.mark.parametrize("invocation", ["", "0" * 32])
@pytest.mark.parametrize("result, state", [("done", RunState.SKIPPED), ("dependency", RunState.FAILED)])
def test_a_unit_that_never_ran_has_a_run_that_did_not_begin(
    db07: SystemdHost, invocation: str, result: str, state: RunState
) -> None:
    """`long` has no OnCalendar."""
    changed(db07, "long.service", InvocationID=invocation)
    refuse(db07, "long", result, CONDITION)
    run = only(db07)
    assert (state, CONDITION) == (run.state, run.message)


def test_a_skip_that_names_a_run_from_before_the_history_is_a_skip(db07: SystemdHost) -> None:
    changed(db07, "backup.service", InvocationID="a" * 32)
    refuse(db07, "backup", "done", CONDITION)
    assert RunState.SKIPPED is only(db07).state


def test_a_service_without_a_starting_line_begins_when_it_is_started(db07: SystemdHost) -> None:
    """Type=simple: systemd writes "Started" alone."""
    db07.ran("long", DAY)
    db07.world.stop("long.service", time.time() - DAY / 2)
    first = polled(db07)
    changed(db07, "long.service", InvocationID="c" * 32, ActiveState="active", SubState="running")
    text = "Started long.service - Report on what was skipped because of holidays."
    db07.world.life("started", "long.service", time.time() - 60, JOB_RESULT="done", MESSAGE=text)
    run = only(db07, first.cursor)
    assert ("c" * 32, RunState.RUNNING) == (run.attempt_key, run.state)


def test_an_execution_condition_is_the_end_of_the_run_that_it_skips(db07: SystemdHost) -> None:
    changed(db07, "backup.service", _ends="exec-condition")
    key = db07.ran("backup")
    db07.ran("broken")
    changed(db07, "backup.service", InvocationID="f" * 32)
    runs = {run.attempt_key: run.state for run in polled(db07).runs}
    assert (2, RunState.SKIPPED) == (len(runs), runs[key])


def test_a_start_of_ours_that_is_skipped_bears_its_key(db07: SystemdHost) -> None:
    db07.ran("backup", DAY)
    first, key = polled(db07), new_key()
    db07.world.write(time.time() - 61, SYSLOG_IDENTIFIER="headway-act", MESSAGE=f"{key} start backup.service")
    refuse(db07, "backup", "done", CONDITION)
    assert (key, RunState.SKIPPED) == ((run := only(db07, first.cursor)).action_key, run.state)


@pytest.mark.deep
def test_a_page_that_ends_before_the_end_of_a_job_makes_no_second_run(
    db07: SystemdHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        db07.ran("backup", DAY * (9 - number))
    keys = set()
    for limit in range(900, 2400, 150):
        monkeypatch.setattr("connectors.systemd.client.PAGE_BYTES", limit)
        cursor, has_more = "", True
        while has_more:
            poll = polled(db07, cursor)
            keys |= {(run.state, len(run.attempt_key)) for run in poll.runs if run.state is not RunState.RUNNING}
            has_more = poll.more and poll.cursor != cursor
            cursor = poll.cursor
    assert {(RunState.SUCCEEDED, 32)} == keys


def test_a_run_of_before_the_history_does_not_begin_with_its_last_lines(db07: SystemdHost) -> None:
    db07.ran("backup", 14 * DAY + 1, took=60)
    db07.ran("broken")
    assert {"db07:broken.service"} == {run.job for run in polled(db07).runs}


def test_a_cursor_without_the_last_invocations_is_read(db07: SystemdHost) -> None:
    db07.ran("backup", DAY)
    value = json.loads(polled(db07).cursor)
    del value["last"]
    refuse(db07, "backup", "done", CONDITION)
    assert RunState.SKIPPED is only(db07, json.dumps(value)).state
