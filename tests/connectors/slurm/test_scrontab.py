"""A job of scrontab keeps its id: after each run Slurm puts it into the queue again. Each of its tries is a run."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec
from connectors.sdk.records import RunRecord, Schedule, instant_key
from connectors.sdk.states import PeriodKind, RunState, Verb
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
    """The due starts that these answer, of which a later success repairs an earlier failure; the start of the one that
    waits has not come."""
    waiting = {JOB: {instant_key(due(3))}}
    schedules = {JOB: Schedule("debian-cron", "0 * * * *")}
    assigned = assign_periods(runs, schedules, {}, waiting=waiting)
    assert {PeriodKind.INSTANT} == {run.denotes for run in assigned}
    return [run.period_key for run in assigned]


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
    for poller in (connector, connect(hpc)):  # as after a restart
        [again] = [run for run in polled(poller, waiting) if run.state.is_open]
        assert (waiting.attempt_key, None) == (again.attempt_key, again.queued_at), "the store has it"


def line_removed(host: SlurmHost, **last: Any) -> None:
    """The line is gone from scrontab; slurmctld has forgotten the job, and accounting has its last try."""
    world = host.world
    for row in world.rows:
        if row["name"] == "hourly":
            row.update(crontab="")
    world.rows[-1].update(last, end=seconds(present()))
    world.save()


def test_after_a_restart_a_job_whose_line_was_removed_meanwhile_is_still_one_of_scrontab(hpc: SlurmHost) -> None:
    write(hpc)
    cursor = connect(hpc).poll("", (), 20).cursor
    line_removed(hpc, state="CANCELLED", start=0)
    for _ in range(2):
        poll = connect(hpc).poll(cursor, (), 20)
        assert [] == [run for run in poll.runs if run.period_key is not None or run.state not in STATES]
        cursor = poll.cursor


def test_after_a_restart_a_run_that_goes_on_without_its_line_ends_as_itself(hpc: SlurmHost) -> None:
    write(hpc, state="RUNNING", reason="None", start=seconds(present() - timedelta(seconds=30)))
    [*_, running] = polled(connect(hpc))
    line_removed(hpc, state="FAILED", code="4:0")
    failed = polled(connect(hpc), running)[-1]
    assert (running.attempt_key, RunState.FAILED, None) == (failed.attempt_key, failed.state, failed.period_key)


def test_jobs_of_scrontab_are_known_until_accounting_was_read_past_their_end(hpc: SlurmHost) -> None:
    job = write(hpc)
    first = connect(hpc).poll("", (), 20)
    line_removed(hpc, state="CANCELLED", start=0)
    gone = connect(hpc).poll(first.cursor, (), 20)
    ids = [json.loads(poll.cursor)["scrontab"] for poll in (first, gone)]
    assert [0, True] == [ids[0][job], ids[1][job] > 0]
    later = json.dumps(json.loads(gone.cursor) | {"scrontab": {job: ids[1][job] - 400}})
    assert {} == json.loads(connect(hpc).poll(later, (), 20).cursor)["scrontab"]


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
