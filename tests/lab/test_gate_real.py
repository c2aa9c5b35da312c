"""A key that a real sshd binds to the gate: Headway polls through it, and nothing else can be done with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.cron.client import GATE_PATH, gate_text_for
from connectors.cron.connector import CronConnector
from connectors.cron.options import CronOptions
from connectors.sdk.errors import NotSupported
from connectors.sdk.states import Verb
from tests.connectors.cron.support import ask
from tests.fakes.ssh_stub import new_key
from tests.lab.cronhost import CronHost
from tests.lab.process import HANGS_SECONDS


@pytest.fixture
def options(db07: CronHost, tmp_path: Path) -> Iterator[CronOptions]:
    """A second key of the login, bound to the gate."""
    made = CronOptions(
        hosts=("127.0.0.1",), port=db07.port, key=tmp_path / "key", known_hosts=db07.known_hosts, restricted=True
    )
    public = new_key(tmp_path / "key")
    gate = db07.fs / GATE_PATH.removeprefix("/")
    gate.write_text(gate_text_for(made))
    gate.chmod(0o755)
    keys = db07.fs / "etc/ssh/authorized_keys/headway"
    before = keys.read_text()
    keys.write_text(f'{before}restrict,command="{GATE_PATH}" {public.get_name()} {public.get_base64()} gate\n')
    db07.files.put("etc/cron.d/gate", "5 4 * * * root true\n")
    yield made
    (db07.fs / "etc/cron.d/gate").unlink()
    keys.write_text(before)
    gate.unlink()


def test_a_poll_comes_through_and_an_act_does_not(options: CronOptions) -> None:
    connector = CronConnector(options, "127.0.0.1", lambda reference: "")
    try:
        polled = connector.poll("", (), 20)
        assert polled.inventory is not None
        assert polled.inventory.jobs
        rights = {right.name: right.held for right in connector.probe(20).rights}
        assert rights["read cron's log"]
        assert rights["rerun, cancel, hold"] is False
        with pytest.raises(NotSupported, match="is read-only"):
            connector.preview(ask(Verb.START, polled.inventory.jobs[0].native_id), 20)
    finally:
        connector.close()


def test_the_key_runs_no_command_and_forwards_nothing(options: CronOptions, db07: CronHost, tmp_path: Path) -> None:
    settings = ("StrictHostKeyChecking=yes", f"UserKnownHostsFile={db07.known_hosts}", "IdentitiesOnly=yes")
    ssh = ["ssh", "-F", "none", *(term for setting in settings for term in ("-o", setting)), "-p", str(db07.port)]
    ssh += ["-i", str(tmp_path / "key")]
    done = subprocess.run(
        [*ssh, "headway@127.0.0.1", "cat /etc/passwd"],
        input=b"id\n",
        capture_output=True,
        timeout=HANGS_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"this key is for Headway" in done.stderr
    forwarded = subprocess.run(
        [*ssh, "-W", f"127.0.0.1:{db07.port}", "headway@127.0.0.1"],
        capture_output=True,
        timeout=HANGS_SECONDS,
        check=False,
    )
    assert b"administratively prohibited" in forwarded.stderr
