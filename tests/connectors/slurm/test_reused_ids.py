"""Ids that accounting has twice: of a job of years ago, and of one of today."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.connectors.slurm.test_recorded import connect
from tests.deep import few
from tests.fakes.slurm import SlurmHost

YEARS = 9 * 365 * 86_400
OLD = {"name": "old_sim", "user": "sim", "script": "#!/bin/sh\nexit 1"}


@pytest.fixture
def hpc(tmp_path: Path) -> SlurmHost:
    return SlurmHost(tmp_path / "hpc")


def add_old(host: SlurmHost, job: str, ago: float = YEARS, **changes: Any) -> None:
    """A failed job under that id, which slurmctld has forgotten; the same parts as the one of today."""
    world = host.world
    at = int(time.time() - ago)
    for row in [row for row in world.rows if row["id"] == job]:
        old = {**row, **OLD, **changes, "forgotten": True, "dependency": "", "comment": ""}
        old.update(submit=at, start=at, end=at + 60, state="FAILED", code="1:0", reason="NonZeroExitCode")
        world.rows.insert(0, old)
    world.save()


def reported(runs: tuple[RunRecord, ...], job: str) -> list[tuple[str, RunState]]:
    return [(run.job.removeprefix("hpc:"), run.state) for run in runs if run.period_key == job]


TODAY = [("etl/nightly_load", RunState.SUCCEEDED)]


BOTH = {"users": ["etl", "sim"]}
SAME = {"user": "etl", "name": "nightly_load"}


@pytest.mark.parametrize(
    "settings, tasks, who, is_forgotten",
    few(
        [
            ({}, (), {}, True), ({}, (), {}, False), ({"jobs": ["nightly*"]}, (), {}, True), (BOTH, (), {}, True),
            ({"users": ["etl"]}, (), {}, True), ({"jobs": ["nightly*"]}, (), {"user": "etl"}, True),
            ({}, (), {"name": "nightly_load"}, True), ({}, (), SAME, True), ({}, (), SAME, False),
            ({}, ("1", "2"), {}, True), ({}, ("1", "2"), SAME, False), (BOTH, ("1", "2"), {}, False),
        ],
        4,
    ),
)  # fmt: skip
def test_a_run_of_an_id_that_is_used_again_is_today_s_alone(
    hpc: SlurmHost, settings: dict[str, Any], tasks: tuple[str, ...], who: dict[str, Any], is_forgotten: bool
) -> None:
    job = hpc.submit("nightly_load", "hang", tasks=tasks, at=int(time.time()) - 500)
    connector = connect(hpc, **settings)
    first = connector.poll("", (), 20)
    add_old(hpc, job, **who)
    [run] = [run for run in first.runs if run.period_key == job]
    running = connect(hpc, **settings).poll(first.cursor, (ref(run),), 20)
    assert [("etl/nightly_load", RunState.RUNNING)] == reported(running.runs, job)
    world = hpc.world
    for row in world.rows:
        if row["id"] == job and row["state"] == "RUNNING":
            row.update(state="COMPLETED", end=int(time.time()), forgotten=is_forgotten)
    world.save()
    assert TODAY == reported(connect(hpc, **settings).poll(running.cursor, (ref(run),), 20).runs, job)
    assert TODAY == reported(connect(hpc, **settings).poll("", (), 20).runs, job)


def test_two_jobs_of_one_id_within_the_history_are_two_runs(hpc: SlurmHost) -> None:
    job = hpc.submit("nightly_load", "exit 0", at=int(time.time()) - 500)
    add_old(hpc, job, ago=7200)
    both = {("sim/old_sim", RunState.FAILED), *TODAY}
    assert both == set(reported(connect(hpc).poll("", (), 20).runs, job))


def test_an_open_run_whose_id_another_job_has_now_is_lost(hpc: SlurmHost) -> None:
    job = hpc.submit("nightly_load", "hang", at=int(time.time()) - 500)
    connector = connect(hpc)
    first = connector.poll("", (), 20)
    [run] = [run for run in first.runs if run.period_key == job]
    hpc.change(job, user="sim", name="new_sim", submit=int(time.time()) - 5)
    runs = connector.poll(first.cursor, (ref(run),), 20).runs
    assert {("etl/nightly_load", RunState.LOST), ("sim/new_sim", RunState.RUNNING)} == set(reported(runs, job))


def test_a_job_that_is_renamed_or_requeued_is_the_same_run(hpc: SlurmHost) -> None:
    job = hpc.submit("nightly_load", "hang", at=int(time.time()) - 500)
    connector = connect(hpc)
    first = connector.poll("", (), 20)
    [run] = [run for run in first.runs if run.period_key == job]
    world = hpc.world
    world.requeue(world.rows[-1])
    world.save()
    again = connector.poll(first.cursor, (ref(run),), 20).runs
    assert [RunState.UNKNOWN, RunState.RUNNING] == [state for _, state in reported(again, job)]
    hpc.change(job, name="renamed")
    states = {state for _, state in reported(connector.poll(first.cursor, (ref(run),), 20).runs, job)}
    assert RunState.LOST not in states


def test_edges_and_inputs_name_the_newest_job_of_an_id(hpc: SlurmHost) -> None:
    add_old(hpc, "1", ago=7200)
    hpc.submit("lower", "true", line="sbatch --dependency=afterok:1 -J lower run.sh")
    job = next(item for item in connect(hpc).inventory("", 20).jobs if item.title == "lower")
    lower = next(run for run in connect(hpc).poll("", (), 20).runs if run.job.endswith("/lower"))
    assert (("hpc:etl/good",), "hpc:etl/good") == (job.upstreams, lower.context["inputs"][0]["job"])


@pytest.mark.parametrize("verb", [Verb.RERUN, Verb.CANCEL])
def test_an_action_is_never_sent_to_another_job_of_the_id(hpc: SlurmHost, verb: Verb) -> None:
    run = next(run for run in connect(hpc).poll("", (), 20).runs if run.job.endswith("/bad"))
    hpc.change("2", user="sim", name="new_sim", state="RUNNING", submit=int(time.time()), end=0)
    preview = connect(hpc).preview(ActionSpec(verb, ref(run), RunState.FAILED), 20)
    assert preview.refused is not None
    assert "requeue" != preview.plan["how"]
