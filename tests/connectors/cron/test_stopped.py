"""A host that answers while its cron does not run: the poll says that nothing starts there, and no dot is green."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.contract import Poll
from connectors.transport.ssh import Completed
from connectors.words import NOTHING_STARTS
from tests.connectors.cron.support import connect
from tests.fakes.ssh_local import LocalHost

SAID = f"{NOTHING_STARTS}cron does not run on db07. Start it: systemctl start cron"


class Daemonless(LocalHost):
    """Its answers name another daemon than this machine's: none, or one that nobody may see."""

    processes = b""

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> Completed:
        done = super().run(stdin, argv, timeout_seconds, once)
        told = re.sub(rb"(?m)^crond .*$", self.processes, done.stdout)
        return Completed(told, done.stderr, done.exit_status)


def polled(folder: Path, processes: bytes) -> Poll:
    host = Daemonless(folder)
    host.processes = processes
    host.crontab.write_text("# headway: extract\n10 3 * * * /opt/extract\n")
    return connect(host).poll("", (), 20)


@pytest.mark.parametrize(
    "processes, said", [(b"crond  all", True), (b"crond 77 all", False), (b"crond  hidden", False)]
)
def test_a_poll_says_that_cron_does_not_run_where_that_is_seen(tmp_path: Path, processes: bytes, said: bool) -> None:
    found = polled(tmp_path, processes)
    assert said == (SAID in found.warnings)
    if said:
        assert SAID == found.warnings[0]
        assert json.loads(found.cursor)
