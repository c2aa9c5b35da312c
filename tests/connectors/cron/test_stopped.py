"""A host that answers while its cron does not run: the poll says that nothing starts there, and no dot is green."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.cron.crontab import CronDaemon
from connectors.cron.parse import CronProcesses
from connectors.cron.runs import unseen_ends
from connectors.sdk.records import Poll
from connectors.sdk.transport.ssh import CompletedCommand
from tests.connectors.cron.support import connect
from tests.fakes.ssh_local import LocalHost
from tests.rows import each_row

STOPPED_TEXT = "cron does not run on db07. Fix: systemctl start cron"


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
    "processes, stopped", [(b"crond  all", STOPPED_TEXT), (b"crond 77 all", ""), (b"crond  hidden", None)]
)
def test_a_poll_reports_that_cron_does_not_run_where_that_is_seen(
    tmp_path: Path, processes: bytes, stopped: str | None
) -> None:
    result = polled(tmp_path, processes)
    assert stopped == result.stopped
    assert json.loads(result.cursor)


LINE = "10 3 * * * /opt/extract\n"
WRAPPER = "Fix: install the wrapper: headway connector cron wrapper"


@each_row(
    "daemon, level, program, unseen",
    [
        (7, 1, CronDaemon.DEBIAN, ("failures", "cron logs starts only")),
        (7, 5, CronDaemon.DEBIAN, ("success", "cron logs failures only")),
        (7, 7, CronDaemon.DEBIAN, None),
        (7, 15, CronDaemon.BUSYBOX, ("failures", "cron logs starts only")),
        (None, 15, CronDaemon.BUSYBOX, None),
    ],
)
def test_the_log_level_of_a_running_cron_decides_which_ends_are_unseen(
    daemon: int | None, level: int, program: CronDaemon, unseen: tuple[str, str] | None
) -> None:
    processes = CronProcesses(daemon, level, False, frozenset(), {}, {}, frozenset(), program)
    assert unseen == unseen_ends(processes, level)


@pytest.mark.parametrize(
    "processes, table, warning",
    [
        (b"crond 77 all", LINE * 2, f"failures of 2 jobs cannot be seen: cron logs starts only. {WRAPPER}"),
        (b"crond 77 all", f"SHELL=/usr/local/bin/headway-sh\n{LINE}", ""),
        (b"crond 77 all", "", ""),
        (b"crond  hidden", LINE, f"failures of 1 job cannot be seen: /proc hides whether cron logs them. {WRAPPER}"),
        (b"crond  all", LINE, ""),
    ],
)
def test_a_host_whose_failures_cannot_be_seen_has_a_warning_with_its_fix(
    tmp_path: Path, processes: bytes, table: str, warning: str
) -> None:
    host = Daemonless(tmp_path)
    host.processes = processes
    host.crontab.write_text(table)
    warnings = connect(host).poll("", (), 20).warnings
    assert [warning][: bool(warning)] == [text for text in warnings if "cannot be seen" in text]
    notes = [note for note in connect(host).probe(20).notes if "cannot be seen" in note]
    assert bool(warning) == bool(notes) == any(note.endswith(WRAPPER) for note in notes)
