"""A cron host behind another host, and a person's ssh_config, with real sshds and OpenSSH's own client."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.cron.options import CronOptions
from connectors.sdk.transport.hosts import address
from connectors.sdk.transport.ssh import SshSession
from tests.lab.cronhost import CronHost
from tests.lab.headway import COMMAND
from tests.pty.terminal import Terminal


@pytest.fixture
def trusted(db07: CronHost, etl02: CronHost, tmp_path: Path) -> Path:
    path = tmp_path / "known_hosts"
    path.write_text(db07.known_hosts.read_text() + etl02.known_hosts.read_text())
    return path


@pytest.fixture
def ssh_config(db07: CronHost, etl02: CronHost, trusted: Path, tmp_path: Path) -> Path:
    """As a person has it: two names, a key, the one behind the other."""
    path = tmp_path / "config"
    path.write_text(
        f"Host inner\n  HostName 127.0.0.1\n  Port {db07.port}\n  ProxyJump outer\n"
        f"Host outer\n  HostName 127.0.0.1\n  Port {etl02.port}\n"
        f"Host *\n  User headway\n  IdentityFile {db07.key}\n  UserKnownHostsFile {trusted}\n"
    )
    return path


def test_a_host_is_reached_as_ssh_config_says(etl02: CronHost, ssh_config: Path) -> None:
    ssh_address = address(CronOptions(hosts=("inner",), ssh_config=ssh_config), "inner", lambda reference: "")
    session = SshSession(ssh_address)
    try:
        assert session.run(b"hostname\n", ("sh", "-s"), 20).stdout == b"db07\n"
        assert "through outer" in ssh_address.text
    finally:
        session.close()


def test_a_person_goes_the_same_way(ssh_config: Path, tmp_path: Path) -> None:
    config = tmp_path / "headway.toml"
    config.write_text(f'[systems.etl]\nkind = "cron"\nhosts = ["inner"]\nssh_config = "{ssh_config}"\n')
    env = {"HEADWAY_STORE": f"sqlite:///{tmp_path}/store.db", "HOME": str(tmp_path)}
    with Terminal([str(COMMAND), "--config", str(config), "system", "shell", "etl/inner"], env=env) as terminal:
        terminal.wait_for("signed in as Headway; Ctrl-D or exit leaves")
        terminal.press("echo I-am-$(id -un)-on-$(hostname); exit\n")
        terminal.wait_for("I-am-headway-on-db07")
        assert terminal.wait_for_end() == 0


def test_a_host_is_reached_as_the_config_of_headway_says(db07: CronHost, etl02: CronHost, trusted: Path) -> None:
    options = CronOptions(
        hosts=("127.0.0.1",), port=db07.port, key=db07.key, known_hosts=trusted, jump=(f"127.0.0.1:{etl02.port}",)
    )
    session = SshSession(address(options, "127.0.0.1", lambda reference: ""))
    try:
        assert session.run(b"hostname\n", ("sh", "-s"), 20).stdout == b"db07\n"
    finally:
        session.close()
