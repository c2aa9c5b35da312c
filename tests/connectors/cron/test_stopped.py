"""A host that answers while its cron does not run: the poll says that nothing starts there, and no dot is green."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.sdk.records import Poll
from connectors.sdk.states import NOTHING_STARTS
from connectors.sdk.transport.ssh import CompletedCommand
from tests.connectors.cron.support import connect
from tests.fakes.ssh_local import LocalHost

SAID = f"{NOTHING_STARTS}cron does not run on db07. Start it: systemctl start cron"


class Daemonless(LocalHost):
    """Its answers name another daemon than this machine's: none, or one that nobody may see."""

    processes = b""

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        done = super().run(stdin, argv, timeout_seconds, once)
        reported = re.sub(rb"(?m)^crond .*$", self.processes, done.stdout)
        return CompletedCommand(reported, done.stderr, done.exit_status)


@pytest.mark.parametrize("processes, name", [(b"crond  all", "cron runs"), (b"crond  hidden", "see processes")])
def test_a_stopped_cron_hidden_processes_and_an_absent_log_need_more_than_a_grant(
    tmp_path: Path, processes: bytes, name: str
) -> None:
    host = Daemonless(tmp_path)
    host.processes = processes
    rights = connect(host, logs=[str(tmp_path / "absent.log")]).probe(20).rights
    assert [name, "read cron's log"] == [right.name for right in rights if not right.is_grantable]


def polled(folder: Path, processes: bytes) -> Poll:
    host = Daemonless(folder)
    host.processes = processes
    host.crontab.write_text("# headway: extract\n10 3 * * * /opt/extract\n")
    return connect(host).poll("", (), 20)


@pytest.mark.parametrize(
    "processes, is_warned", [(b"crond  all", True), (b"crond 77 all", False), (b"crond  hidden", False)]
)
def test_a_poll_says_that_cron_does_not_run_where_that_is_seen(
    tmp_path: Path, processes: bytes, is_warned: bool
) -> None:
    result = polled(tmp_path, processes)
    assert is_warned == (SAID in result.warnings)
    if is_warned:
        assert SAID == result.warnings[0]
        assert json.loads(result.cursor)
