"""Running again what slurmctld has forgotten, and what is requeued twice. The commands are fakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Preview
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from connectors.slurm.connector import SlurmConnector
from tests.connectors.slurm.test_recorded import connect
from tests.fakes.slurm import SlurmHost


@pytest.fixture
def hpc(tmp_path: Path) -> SlurmHost:
    return SlurmHost(tmp_path / "hpc")


def attempts(connector: SlurmConnector, name: str) -> list[RunRecord]:
    return [run for run in connector.poll("", (), 20).runs if run.job == f"hpc:etl/{name}"]


def rerun(connector: SlurmConnector, name: str, **parameters: Any) -> Preview:
    run = attempts(connector, name)[-1]
    return connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state, parameters), 20)


def test_a_job_forgotten_by_slurmctld_is_submitted_from_the_script_in_accounting(hpc: SlurmHost) -> None:
    hpc.change("2", forgotten=True)
    connector, key = connect(hpc), new_key()
    preview = rerun(connector, "bad")
    assert ("submit again", None) == (preview.verb, preview.refused)
    connector.act(preview, key, 20)
    connector.act(preview, key, 20)
    [_, again] = attempts(connector, "bad")
    assert ("4", key, RunState.FAILED, 3) == (again.period_key, again.action_key, again.state, again.exit_code)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)


def test_of_a_forgotten_array_the_failed_tasks_alone_are_submitted_or_all_that_the_first_line_named(
    hpc: SlurmHost,
) -> None:
    hpc.change("3", forgotten=True, line="sbatch --array=1-3%2 -J parts run.sh")
    connector = connect(hpc)
    assert "--array=2" == rerun(connector, "parts").plan["options"][-1]
    assert "--array=1-3%2" == rerun(connector, "parts", scope="all").plan["options"][-1]


def test_a_missing_script_is_reported_and_nothing_is_sent(hpc: SlurmHost) -> None:
    hpc.change("2", forgotten=True, script="")
    connector = connect(hpc)
    preview = rerun(connector, "bad")
    assert preview.refused is not None
    assert "AccountingStoreFlags=job_script" in preview.refused
    with pytest.raises(NotSupported, match="AccountingStoreFlags=job_script"):
        connector.act(preview, new_key(), 20)


def test_a_later_manual_requeue_is_not_mistaken_for_ours(hpc: SlurmHost) -> None:
    connector, key = connect(hpc), new_key()
    connector.act(rerun(connector, "bad"), key, 20)
    world = hpc.world
    row = world.chosen("2")[0]
    row.update(submit=row["submit"] - 40, comment=row["comment"].replace(str(row["submit"]), str(row["submit"] - 40)))
    world.requeue(row)
    world.save()
    assert [None, key, None] == [run.action_key for run in attempts(connector, "bad")]


def test_a_requeue_without_our_mark_is_not_called_absent(hpc: SlurmHost) -> None:
    connector, key = connect(hpc), new_key()
    preview = rerun(connector, "bad")
    assert isinstance(connector.look_up(preview, key, 20), ActionAbsent)
    world = hpc.world
    world.requeue(world.chosen("2")[0])
    world.save()
    assert isinstance(connector.look_up(preview, key, 20), ActionUnknown)
    hpc.set(accounts="down")
    assert isinstance(connector.look_up(preview, key, 20), ActionUnknown)


def test_what_private_data_hides_is_not_called_absent(hpc: SlurmHost) -> None:
    """Else a submission whose answer was lost is sent again, and runs twice."""
    hpc.change("2", forgotten=True)
    connector, key = connect(hpc), new_key()
    preview = rerun(connector, "bad")
    hpc.set(private="accounts,jobs", level="None")
    assert isinstance(connector.look_up(preview, key, 20), ActionUnknown)
    hpc.set(level="Operator")
    assert isinstance(connector.look_up(preview, key, 20), ActionAbsent)


def test_a_job_that_may_not_be_requeued_is_submitted_again(hpc: SlurmHost) -> None:
    hpc.put("scontrol.real", (hpc.shims / "scontrol").read_text())
    hpc.put("scontrol", '#!/bin/sh\nscontrol.real "$@" | sed s/Requeue=1/Requeue=0/\n')
    assert "submit again" == rerun(connect(hpc), "bad").verb


def test_a_task_that_fails_again_is_one_further_attempt_of_its_array(hpc: SlurmHost) -> None:
    connector, key = connect(hpc), new_key()
    connector.act(rerun(connector, "parts"), key, 20)
    first, second = attempts(connector, "parts")
    assert (RunState.PARTIAL, RunState.PARTIAL, None, key) == (
        first.state,
        second.state,
        first.action_key,
        second.action_key,
    )
    assert {"COMPLETED": 2, "FAILED": 1} == second.context["tasks"]
    world = hpc.world
    world.rows[-1].update(state="COMPLETED", code="0:0")
    world.save()
    assert [RunState.PARTIAL, RunState.SUCCEEDED] == [run.state for run in attempts(connector, "parts")]


def test_another_submission_that_is_under_way_is_named_before_a_rerun(hpc: SlurmHost) -> None:
    job = hpc.submit("bad", "hang")
    preview = connect(hpc).preview(ActionSpec(Verb.RERUN, ref(attempts(connect(hpc), "bad")[0]), RunState.FAILED), 20)
    assert f"other submissions of it are active: {job} (RUNNING)" == preview.overlap


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 7}', '{"id": "7; rm -rf /", "part": "7; rm"}', "null"])
def test_a_reference_that_is_none_of_ours_reaches_no_command(hpc: SlurmHost, text: str) -> None:
    run = ref(attempts(connect(hpc), "bad")[0])
    odd = type(run)(run.job, run.period_key, run.attempt_key, text)
    with pytest.raises(NotSupported):
        connect(hpc).preview(ActionSpec(Verb.CANCEL, odd, RunState.RUNNING), 20)
    with pytest.raises(NotSupported):
        connect(hpc).log(odd, None, 100, 20)
    assert [] == [row for row in json.loads(hpc.world.file.read_text())["rows"] if row["comment"]]


@pytest.mark.parametrize(
    "state, expected", [("COMPLETED", ActionUnknown), ("COMPLETING", ActionUnknown), ("CANCELLED by 7100", ActionFound)]
)
def test_a_job_that_ended_on_its_own_does_not_prove_its_cancel(hpc: SlurmHost, state: str, expected: type) -> None:
    job = hpc.submit("long", "hang")
    connector = connect(hpc)
    run = attempts(connector, "long")[-1]
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 20)
    hpc.change(job, state=state)
    assert isinstance(connector.look_up(preview, new_key(), 20), expected)


def test_a_cancel_of_a_job_that_is_ending_is_refused_in_its_preview(hpc: SlurmHost) -> None:
    job = hpc.submit("long", "hang")
    connector = connect(hpc)
    hpc.change(job, state="COMPLETING")
    run = attempts(connector, "long")[-1]
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 20)
    assert f"job {job} is ending (COMPLETING): there is nothing to cancel" == preview.refused
