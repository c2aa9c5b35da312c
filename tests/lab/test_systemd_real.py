"""systemd timers over a real sshd, as a plain user with real sudo. systemctl, journalctl and systemd-cat are fakes: no
systemd can run here."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, Preview
from connectors.sdk.errors import AccessRefused
from connectors.sdk.states import RunState, Verb
from connectors.systemd.connector import SystemdConnector
from connectors.systemd.options import SystemdOptions
from tests.fakes.login import no_secret
from tests.fakes.systemd import TOOLS, SystemdHost
from tests.fakes.systemd_tools import World
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate

STATE = "/var/lib/fake-systemd"
RULES = [f"(root) NOPASSWD: /usr/local/bin/systemctl {verb} --no-block -- broken.service" for verb in ("start", "stop")]


@pytest.fixture(scope="module")
def host(lab: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CronHost]:
    """A host of the lab with the fake tools in /usr/local/bin."""
    made = CronHost(tmp_path_factory.mktemp("timers"), "timers", user_key=lab.db07.key)
    made.prepare()
    fake = SystemdHost(tmp_path_factory.mktemp("fake"))
    fake.ran("backup", 4000)
    fake.ran("broken", 3000)
    state = made.fs / STATE[1:]
    state.mkdir(parents=True)
    for name in ("units.json", "journal.jsonl"):
        shutil.copy(fake.folder / name, state / name)
        (state / name).chmod(0o666)
    made.files.put("usr/local/bin/systemd_tools.py", Path(TOOLS).read_text())
    for tool in ("systemctl", "journalctl", "systemd-cat"):
        text = f'#!/bin/sh\nexec /usr/bin/python3 -I -S /usr/local/bin/systemd_tools.py {tool} {STATE} "$@"\n'
        made.files.put(f"usr/local/bin/{tool}", text, 0o755)
    made.start()
    yield made
    made.stop()


def connect(host: CronHost) -> SystemdConnector:
    entry = {"name": host.name, "address": "127.0.0.1", "port": host.port}
    options = {"hosts": [entry], "key": str(host.key), "known_hosts": str(host.known_hosts)}
    return SystemdConnector(SystemdOptions.model_validate(options), host.name, no_secret)


def the_rerun(connector: SystemdConnector) -> Preview:
    broken = next(run for run in connector.poll("", (), 30).runs if run.state is RunState.FAILED)
    return connector.preview(ActionSpec(Verb.RERUN, ref(broken), broken.state), 30)


def test_a_plain_user_sees_timers_and_runs(host: CronHost) -> None:
    connector = connect(host)
    poll = connector.poll("", (), 30)
    assert {"timers:backup.service": RunState.SUCCEEDED, "timers:broken.service": RunState.FAILED} == {
        run.job: run.state for run in poll.runs
    }
    assert poll.inventory is not None
    assert 3 == len(poll.inventory.jobs)
    connector.close()


def test_without_its_rule_a_start_is_refused_by_sudo_and_named_by_the_probe(host: CronHost) -> None:
    host.files.put_sudo_rules([])
    connector = connect(host)
    preview = the_rerun(connector)
    assert preview.refused is not None
    assert "sudoers" in preview.refused
    with pytest.raises(AccessRefused, match="sudo"):
        connector.act(preview, new_key(), 30)
    assert False is {right.name: right.held for right in connector.probe(30).rights}["start broken.service"]
    assert 2 == len(journal(host, "7d4958e842da4a758f6c1cdc7b36dcc5")), "nothing was started"
    connector.close()


def test_with_its_rule_it_is_started_once_and_known_as_ours(host: CronHost) -> None:
    host.files.put_sudo_rules(RULES)
    connector = connect(host)
    cursor = connector.poll("", (), 30).cursor
    preview, key = the_rerun(connector), new_key()
    assert preview.refused is None
    connector.act(preview, key, 30)
    connector.act(preview, key, 30)
    runs = connector.poll(cursor, (), 30).runs
    assert [("timers:broken.service", RunState.FAILED)] == [
        (run.job, run.state) for run in runs if run.action_key == key
    ]
    assert isinstance(connector.look_up(preview, key, 30), ActionFound)
    connector.close()


def test_its_host_goes_away_in_between_and_comes_back(host: CronHost) -> None:
    connector = connect(host)
    cursor = connector.poll("", (), 30).cursor
    World(host.fs / STATE[1:]).run("backup.service", time.time() - 10)
    host.stop()
    host.start()
    runs = connect(host).poll(cursor, (), 30).runs
    assert ["timers:backup.service"] == [run.job for run in runs]
    connector.close()


def journal(host: CronHost, message_id: str) -> list[dict[str, Any]]:
    lines = (host.fs / STATE[1:] / "journal.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry.get("MESSAGE_ID") == message_id]
