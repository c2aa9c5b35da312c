"""A job of scrontab keeps its id: after each run Slurm puts it into the queue again. Each of its tries is a run."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec
from connectors.sdk.records import RunRecord, Schedule, instant_key
from connectors.sdk.states import RunState, Verb
from connectors.slurm.connector import SlurmConnector
from console.timing.business_dates import assign_periods
from tests.connectors.slurm.test_recorded import connect
from tests.fakes.slurm import SlurmHost
from tests.present import present
from tests.rows import each_row

HOUR = timedelta(hours=1)
JOB = "hpc:etl/hourly"
STATES = (RunState.SUCCEEDED, RunState.FAILED, RunState.SUCCEEDED)
WAITS = {"state": "PENDING", "reason": "BeginTime"}


@pytest.fixture
def hpc(tmp_path: Path) -> SlurmHost:
    return SlurmHost(tmp_path / "hpc")


def due(number: int) -> datetime:
    """The instant of the first, second or third run, or of the try that waits."""
    latest = (present() - timedelta(minutes=1)).replace(minute=0, second=0)
    return latest + (number - 2) * HOUR


def seconds(at: datetime) -> int:
    return int(at.timestamp())


def write(host: SlurmHost, **last: Any) -> str:
    """Three runs, of which the second failed, and a last try. The id of all of them."""
    world = host.world
    job = world.submit("hourly", "#!/bin/sh\nwait", crontab="0 * * * *", at=seconds(due(0) - HOUR))
    plain = world.rows.pop()
    for number, state in enumerate(("COMPLETED", "FAILED", "COMPLETED")):
        begun = seconds(due(number))
        times = {"submit": begun - 3570, "start": begun + 5, "end": begun + 30}
        world.rows.append({**plain, **times, "state": state, "code": "3:0" if state == "FAILED" else "0:0"})
    waiting = {"submit": seconds(due(2)) + 30, "start": seconds(due(3)), "end": 0, **WAITS}
    world.rows.append({**plain, **waiting, **last})
    world.save()
    return job


def polled(connector: SlurmConnector, *open_runs: RunRecord, cursor: str = "") -> list[RunRecord]:
    runs = connector.poll(cursor, tuple(map(ref, open_runs)), 20).runs
    return [run for run in runs if run.job == JOB]


def answered(runs: list[RunRecord]) -> list[str | None]:
    """The due starts that these answer; the start of the one that waits has not come."""
    waiting = {JOB: {instant_key(due(3))}}
    schedules = {JOB: Schedule("debian-cron", "0 * * * *")}
    return [run.period_key for run in assign_periods(runs, schedules, {}, waiting=waiting)]


def test_each_try_is_the_run_of_its_hour_and_the_one_that_waits_is_left_to_the_ledger(hpc: SlurmHost) -> None:
    write(hpc)
    runs = polled(connect(hpc))
    assert [*STATES] == [run.state for run in runs]
    assert [instant_key(due(number)) for number in range(3)] == answered(runs)
    assert [0, 3, 0] == [run.exit_code for run in runs]


@each_row("last", [{"priority": "0", "reason": "JobHeldUser"}, {"state": "CANCELLED", "start": 0, "end": 1}])
def test_a_try_that_is_held_or_withdrawn_with_its_line_is_no_run(hpc: SlurmHost, last: dict[str, Any]) -> None:
    write(hpc)
    connector = connect(hpc)
    first = connector.poll("", (), 20)
    world = hpc.world
    world.rows[-1].update(last, **({"end": seconds(present())} if "end" in last else {}))
    world.rows[-1]["crontab"] = "" if "end" in last else world.rows[-1]["crontab"]
    world.save()
    assert {*STATES} >= {run.state for run in polled(connector, cursor=first.cursor)}


def test_a_try_that_waits_for_nodes_when_its_time_has_come_answers_that_start(hpc: SlurmHost) -> None:
    """The queue has no instant at which its time had come: it is the one at which it was first seen to wait."""
    write(hpc, start=0, reason="Resources", submit=seconds(due(1)) + 30)
    world = hpc.world
    del world.rows[-2]
    world.save()
    connector = connect(hpc)
    [*_, waiting] = polled(connector)
    assert (RunState.QUEUED, "resource", None) == (waiting.state, waiting.reason, waiting.started_at)
    assert waiting.queued_at is not None
    assert waiting.queued_at >= due(2)
    [again] = [run for run in polled(connector, waiting) if run.state.is_open]
    assert (waiting.attempt_key, waiting.queued_at) == (again.attempt_key, again.queued_at)


def test_a_run_that_goes_is_open_and_ends_as_itself(hpc: SlurmHost) -> None:
    job = write(hpc, state="RUNNING", reason="None", start=seconds(present() - timedelta(seconds=30)))
    connector = connect(hpc)
    [*_, running] = polled(connector)
    assert (RunState.RUNNING, 4) == (running.state, len(polled(connector, running)))
    world = hpc.world
    ended = seconds(present())
    world.rows[-1].update(state="FAILED", code="4:0", end=ended)
    world.rows.append({**world.rows[-1], **WAITS, "submit": ended, "start": ended + 3600, "end": 0})
    world.save()
    [*_, failed] = polled(connector, running)
    assert (running.attempt_key, RunState.FAILED, 4) == (failed.attempt_key, failed.state, failed.exit_code)
    assert {job} == {run.attempt_key.partition(".")[0] for run in polled(connect(hpc))}


def test_an_open_run_brings_back_no_run_of_before_the_history(hpc: SlurmHost) -> None:
    write(hpc, state="RUNNING", reason="None", start=seconds(present() - timedelta(seconds=30)))
    world = hpc.world
    old = next(row for row in world.rows if row["name"] == "hourly")
    year = 365 * 86_400
    times = {name: old[name] - year for name in ("submit", "start", "end")}
    world.rows.insert(0, {**old, **times, "forgotten": True})
    world.save()
    connector = connect(hpc)
    [*_, running] = polled(connector)
    assert [*STATES, RunState.RUNNING] == [run.state for run in polled(connector, running)]


def test_a_rerun_is_submitted_again_since_the_next_start_waits_under_its_id(hpc: SlurmHost) -> None:
    write(hpc)
    connector = connect(hpc)
    failed, key = polled(connector)[1], new_key()
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(failed), failed.state, {}), 20)
    assert ("submit again", None) == (preview.verb, preview.refused)
    connector.act(preview, key, 20)
    assert [key] == [run.action_key for run in polled(connector) if run.action_key]


def test_a_requeue_of_any_other_job_stays_an_attempt(hpc: SlurmHost) -> None:
    job = write(hpc)
    hpc.change(job, crontab="")
    runs = polled(connect(hpc))
    assert {job} == {run.period_key for run in runs}
