"""Units that change between polls: a disabled timer, a refused start, a service that stays."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionSpec, ActionUnknown
from connectors.sdk.errors import AccessRefused, OutcomeUnknown
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.call_limits import Deadline
from tests.connectors.systemd.test_recorded import changed, connect, polled, states
from tests.fakes.systemd import SystemdHost

DISABLED = {"UnitFileState": "disabled", "ActiveState": "inactive"}


@pytest.fixture
def db07(tmp_path: Path) -> SystemdHost:
    return SystemdHost(tmp_path)


def refusing(host: SystemdHost, why: str = "Access denied") -> None:
    """systemctl answers every start as polkit does, or with `why`."""
    real = (host.shims / "systemctl").read_text()
    text = f'case "$1" in start) echo "Failed to start: {why}" >&2; exit 4;; esac'
    (host.shims / "systemctl").write_text(real.replace("#!/bin/bash\n", f"#!/bin/bash\n{text}\n"))


def start(host: SystemdHost) -> ActionSpec:
    return ActionSpec(Verb.START, RunRef("db07:backup.service", "", "", ""), RunState.PLANNED)


def test_a_run_whose_timer_is_disabled_meanwhile_is_followed_to_its_end(db07: SystemdHost) -> None:
    db07.ran("long")
    running = polled(db07)
    changed(db07, "long.timer", **DISABLED)
    still = polled(db07, running.cursor)
    world = db07.world
    world.end("long.service", "exit 3", time.time())
    world.save()
    ended = polled(db07, still.cursor)
    assert [RunState.RUNNING, RunState.RUNNING, RunState.FAILED] == [
        states(item)["long.service"] for item in (running, still, ended)
    ]


def test_a_run_with_a_removed_timer_and_no_journaled_end_is_reported_by_the_manager(db07: SystemdHost) -> None:
    db07.ran("long")
    running = polled(db07)
    world = db07.world
    for name in [unit for unit in world.units if unit.endswith(".timer")]:
        del world.units[name]
    ended = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainCode": "1"}
    world.units["long.service"].update(ended, ExecMainStatus="4", ExecMainExitTimestamp="@4000000000")
    world.save()
    assert {"long.service": RunState.FAILED} == states(polled(db07, running.cursor))


def test_a_disabled_and_stopped_timer_is_paused_and_not_removed(db07: SystemdHost) -> None:
    changed(db07, "backup.timer", **DISABLED)
    inventory = connect(db07).inventory("", 20)
    assert (True, {"db07:backup.service": True, "db07:broken.service": False, "db07:long.service": False}) == (
        inventory.complete,
        {job.native_id: job.paused for job in inventory.jobs},
    )


@pytest.mark.parametrize("silent", ["list-units", "list-unit-files"])
def test_a_list_that_is_empty_where_another_is_not_makes_the_inventory_incomplete(
    db07: SystemdHost, silent: str
) -> None:
    real = (db07.shims / "systemctl").read_text()
    text = f'case "$1" in {silent}) exit 1;; esac'
    (db07.shims / "systemctl").write_text(real.replace("#!/bin/bash\n", f"#!/bin/bash\n{text}\n"))
    assert not connect(db07).inventory("", 20).complete
    poll = polled(db07)
    assert (None, True) == (poll.seen_until, any(f"{silent} names no timer" in warning for warning in poll.warnings))


def test_a_refused_start_gives_its_key_to_no_later_run(db07: SystemdHost) -> None:
    connector, key = connect(db07, sudo=False), new_key()
    first = connector.poll("", (), 20)
    preview = connector.preview(start(db07), 20)
    refusing(db07)
    for _ in range(2):
        with pytest.raises(AccessRefused):
            connector.act(preview, key, 20)
    connector._host.deadline = Deadline(20)
    assert "absent" == connector._host.mark(key, 0, "backup.service")[0].fields(2)[0]
    db07.ran("backup", ago=0)
    assert [None] == [run.action_key for run in connector.poll(first.cursor, (), 20).runs]


@pytest.mark.parametrize("why", ["Connection timed out", "Message recipient disconnected without replying"])
def test_a_start_to_which_systemd_does_not_answer_is_an_unknown_outcome(db07: SystemdHost, why: str) -> None:
    connector, key = connect(db07, sudo=False), new_key()
    preview = connector.preview(start(db07), 20)
    refusing(db07, why)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="SILENT"):
            connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionUnknown)


def test_a_service_that_stays_after_its_exit_is_not_offered_a_start_that_would_be_refused(db07: SystemdHost) -> None:
    changed(db07, "backup.service", ActiveState="active", SubState="exited")
    refused = connect(db07).preview(start(db07), 20).refused
    assert refused is not None
    assert "active (exited)" in refused
