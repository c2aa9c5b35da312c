"""What Slurm did to some parts and refused for others is neither done nor refused. The commands are fakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Preview
from connectors.sdk.errors import NotSupported, OutcomeUnknown
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState, Verb
from connectors.slurm.connector import SlurmConnector
from tests.connectors.slurm.test_recorded import connect
from tests.fakes.slurm import SlurmHost

JOB = "hpc:etl/later"


@pytest.fixture
def hpc(tmp_path: Path) -> SlurmHost:
    """With two submissions of `later` that wait, jobs 4 and 5."""
    host = SlurmHost(tmp_path / "hpc")
    for _ in range(2):
        host.submit("later", "wait")
    return host


def preview_of(connector: SlurmConnector, verb: Verb, **parameters: Any) -> Preview:
    run = RunRef(JOB, "", "", "")
    more = {"by": "alice", "until": "2027-11-20T06:30:00Z", **parameters}
    return connector.preview(ActionSpec(verb, run, RunState.PLANNED, more), 20)


def comments(host: SlurmHost) -> dict[str, str]:
    return {row["part"]: row["comment"] for row in host.world.live() if row["comment"]}


def test_a_requeue_that_slurm_refuses_for_one_task_is_unknown_and_found_with_what_is_left(hpc: SlurmHost) -> None:
    hpc.change("3", state="FAILED", code="4:0")
    hpc.change("3_2", refuses="requeue")
    connector, key = connect(hpc), new_key()
    run = next(item for item in connector.poll("", (), 20).runs if item.job == "hpc:etl/parts")
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    hpc.change("3", script="#!/bin/sh\nwait")
    with pytest.raises(OutcomeUnknown, match="only a part was done: 3_1,3_3 was, 3_2 was not: Job is in"):
        connector.act(preview, key, 20)
    assert {"3_1", "3_3"} == set(comments(hpc))
    assert ActionFound("3", "job 3 has its key; not queued again: 3_2") == connector.look_up(preview, key, 20)


def test_an_answer_of_an_unknown_kind_is_an_unknown_outcome(hpc: SlurmHost) -> None:
    connector = connect(hpc)
    preview = preview_of(connector, Verb.HOLD)
    hpc.spoil = lambda answer: answer.replace(b" DONE", b" NEWER")
    with pytest.raises(OutcomeUnknown, match="unknown answer NEWER"):
        connector.act(preview, new_key(), 20)


def test_a_request_to_which_slurmctld_does_not_answer_is_an_unknown_outcome(hpc: SlurmHost) -> None:
    connector = connect(hpc)
    preview = preview_of(connector, Verb.HOLD)
    for part in ("4", "5"):
        hpc.change(part, refuses="hold", why="slurm_suspend error: Socket timed out on send/recv operation")
    with pytest.raises(OutcomeUnknown, match="Socket timed out"):
        connector.act(preview, new_key(), 20)


def test_a_requeue_that_slurm_refuses_for_every_task_did_nothing(hpc: SlurmHost) -> None:
    hpc.change("3", state="FAILED", code="4:0", refuses="requeue")
    connector, key = connect(hpc), new_key()
    run = next(item for item in connector.poll("", (), 20).runs if item.job == "hpc:etl/parts")
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20)
    with pytest.raises(NotSupported, match="wrong state"):
        connector.act(preview, key, 20)
    assert {} == comments(hpc)
    assert ActionAbsent() == connector.look_up(preview, key, 20)


@pytest.mark.parametrize("stubborn, held", [("4", "5"), ("5", "4")])
def test_a_hold_that_slurm_refuses_for_one_submission_holds_the_other_and_says_so(
    hpc: SlurmHost, stubborn: str, held: str
) -> None:
    hpc.change(stubborn, refuses="hold")
    connector, key = connect(hpc), new_key()
    preview = preview_of(connector, Verb.HOLD)
    with pytest.raises(OutcomeUnknown, match=f"only a part was done: {held} was, {stubborn} was not: Job is in the"):
        connector.act(preview, key, 20)
    assert ActionUnknown(f"held under its key: {held}; not held: {stubborn}") == connector.look_up(preview, key, 20)
    assert [held] == list(comments(hpc)), "no mark stays where nothing is held"
    hpc.change(stubborn, state="RUNNING")
    assert ActionFound("hpc:etl/later", f"held under its key: {held}") == connector.look_up(preview, key, 20), (
        "nothing waits unheld"
    )


def test_a_hold_that_slurm_refuses_for_all_did_nothing(hpc: SlurmHost) -> None:
    for job in "45":
        hpc.change(job, refuses="hold")
    connector, key = connect(hpc), new_key()
    preview = preview_of(connector, Verb.HOLD)
    with pytest.raises(NotSupported, match="wrong state"):
        connector.act(preview, key, 20)
    assert ActionAbsent() == connector.look_up(preview, key, 20)


def test_a_release_that_slurm_refuses_for_one_submission_frees_the_other_and_says_so(hpc: SlurmHost) -> None:
    connector, hold, key = connect(hpc), new_key(), new_key()
    connector.act(preview_of(connector, Verb.HOLD), hold, 20)
    hpc.change("4", refuses="release")
    preview = preview_of(connector, Verb.RELEASE, hold=hold)
    with pytest.raises(OutcomeUnknown, match="only a part was done: 5 was, 4 was not"):
        connector.act(preview, key, 20)
    look_up = connector.look_up(preview, key, 20)
    assert ActionUnknown(f"the mark of {hold} is gone from 5; it is still on 4") == look_up
    hpc.change("4", refuses="")
    connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)


def test_a_release_whose_mark_stays_is_not_called_undone(hpc: SlurmHost) -> None:
    """It was released: whoever believes the refusal waits for a job that runs."""
    connector, hold = connect(hpc), new_key()
    hpc.change("5", state="RUNNING")
    connector.act(preview_of(connector, Verb.HOLD), hold, 20)
    hpc.change("4", refuses="update")
    with pytest.raises(OutcomeUnknown, match="only a part was done"):
        connector.act(preview_of(connector, Verb.RELEASE, hold=hold), new_key(), 20)
    assert [True] == [item.bare for item in connector.holds(20)]
