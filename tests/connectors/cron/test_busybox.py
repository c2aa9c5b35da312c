"""crond of busybox: its lines and crontabs as busybox 1.35 wrote and read them; a host with its tools."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.cron.busybox import busybox_reading, writes_a_file
from connectors.cron.crontab import CronDaemon, CrontabFile, CrontabLine, read_crontabs
from connectors.cron.events import CronEventKind
from connectors.cron.parse import processes
from connectors.sdk.states import RunState
from connectors.sdk.transport.script_output import ScriptSection
from connectors.sdk.transport.ssh import CompletedCommand
from tests.connectors.cron.support import connect, read_line
from tests.fakes.ssh_local import ME, LocalHost
from tests.rows import each_row

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TOOLS = (
    "stat",
    "date",
    "tail",
    "head",
    "ls",
    "gzip",
    "awk",
    "id",
    "readlink",
    "wc",
    "tr",
    "sed",
    "sort",
    "grep",
    "cat",
)


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-21T11:30:01.5+00:00 db07 crond[95]: USER etl pid  18 cmd echo  a b",
        "Nov 21 11:30:01 db07 crond[95]: USER etl pid  18 cmd echo  a b",
        "Nov 21 11:30:01 db07 cron.info crond[95]: USER etl pid  18 cmd echo  a b",
    ],
)
def test_a_start_by_rsyslog_and_by_busyboxs_own_syslogd(line: str) -> None:
    event = read_line(line, NOW, UTC)
    assert event is not None
    assert (event.kind, event.user, event.job_pid, event.pid, event.text) == (
        CronEventKind.CMD,
        "etl",
        18,
        18,
        "echo  a b",
    )
    assert event.at.replace(microsecond=0) == datetime(2026, 11, 21, 11, 30, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["user etl: process already running: sleep 90", "user etl: parse error at 61"])
def test_what_busybox_does_not_support_is_reported(text: str) -> None:
    event = read_line(f"Nov 21 11:30:01 db07 crond[95]: {text}", NOW, UTC)
    assert event is not None
    assert (event.kind, event.text) == (CronEventKind.IGNORED, text)


def test_a_line_without_a_stamp_is_no_event() -> None:
    assert read_line("crond: USER root pid 18388 cmd echo hi", NOW, UTC) is None


@each_row(
    "expression, used, wrong",
    [
        ("10 3 * * *", "10 3 * * *", ()),
        ("61 * * * *", "* * * * *", (("61", "*"),)),
        ("0 3 * * 7", "0 3 * * *", (("7", "*"),)),
        ("0 3 * * fri-mon", "0 3 * * 0,1,5,6", ()),
        ("58-1 22-2/2 * nov-feb *", "0,1,58,59 0,2,22 * 1,2,11,12 *", ()),
        ("5/15 * * * *", "5 * * * *", ()),
        ("0 3 */10 * *", "0 3 10,20,30 * *", ()),
        ("0 3 1-31 * mon", "0 3 1-31 * mon", ()),
        ("0 3 * * monday", "0 3 * * 1", (("monday", "1"),)),
        ("0 5-x * * *", "0 3-2 * * *", (("5-x", ""),)),
        ("*-5 3 * * *", "* 3 * * *", (("*-5", "*"),)),
        ("0 3 * * mon-fri", "0 3 * * mon-fri", ()),
        ("0 3 */2 * 1", "0 3 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 * 1", ()),
        ("0 3 1 * */2", "0 3 1 * 0-6/2", ()),
        ("@daily", "@daily", ()),
    ],
)
def test_the_times_that_it_goes_by(expression: str, used: str, wrong: tuple[tuple[str, str], ...]) -> None:
    assert busybox_reading(expression) == (used, wrong)


def test_its_command_ends_at_the_first_hash_and_has_no_percent() -> None:
    table, raw = "/var/spool/cron/crontabs/root", "date\t+%d\\% >x # why "
    line = CrontabLine(table, "root", "* * * * *", raw, "date", daemon=CronDaemon.BUSYBOX)
    assert line.command == "date\t+%d\\% >x"
    assert line.logged == "date#011+%d\\% >x", "as rsyslog writes a tab"


def test_a_crontab_is_read_line_by_line() -> None:
    text = "FOO=bar\nSHELL=/bin/ash\nCRON_TZ=UTC\n0 3 * * * a\nx y\n61 3 * * * b\n0 4 * * * last"
    file = CrontabFile("/etc/crontabs/etl", text, "etl", 0o600, "root", daemon=CronDaemon.BUSYBOX)
    tables = read_crontabs(
        [file, CrontabFile("/etc/crontabs/cron.update", "etl", "cron.update", daemon=CronDaemon.BUSYBOX)], None
    )
    assert [(line.expression, line.command) for line in tables.lines] == [
        ("0 3 * * *", "a"), ("* 3 * * *", "b"), ("0 4 * * *", "last"),
    ]  # fmt: skip
    assert dict(tables.lines[0].settings) == {"SHELL": "/bin/ash"}
    faults = [f"{fault.where}: {fault.reason}" for fault in tables.faults]
    assert [fault.removeprefix("/etc/crontabs/etl:") for fault in faults] == [
        "3: CRON_TZ: crond of busybox 1.35 crashes on it. Take the line out.",
        '5: bad time specifier: crond of busybox leaves this line out. Fix "x y" or comment it out.',
        '6: parse error at 61: crond of busybox reads it as *. Fix "61" in "61 3 * * * b".',
    ]


def test_a_crontab_of_another_owner_than_root_is_not_read() -> None:
    tables = read_crontabs(
        [CrontabFile("/etc/crontabs/etl", "0 3 * * * a\n", "etl", 0o600, "etl", daemon=CronDaemon.BUSYBOX)], None
    )
    assert (tables.lines, tables.faults[0].fix) == ((), "chown root /etc/crontabs/etl")


@each_row(
    "arguments, own",
    [
        ("crond\0-f\0-l\x008", False),
        ("/usr/sbin/crond-f-l8-S", False),
        ("crond\0-b\0-S\0-l\x000", False),
        ("crond\0-f\0-L\0/var/log/cron.log", True),
        ("/usr/sbin/crond-f-L/var/log/cron.log-l8", True),
        ("crond\0-fL\0/x", True),
        ("/usr/local/sbin/crond-l8-L/var/log/own.log", True),
    ],
)
def test_whether_it_writes_a_log_without_times(arguments: str, own: bool) -> None:
    assert writes_a_file(arguments) == own
    result = processes(ScriptSection("PROC", arguments, b"crond 95 all\nprogram busybox\nchild 96 95 100\n"))
    assert (result.program, result.has_own_file, result.level) == (CronDaemon.BUSYBOX, own, 1)


class BusyboxHost(LocalHost):
    """A host whose shell and tools are busybox's (Debian's build lacks cksum: the machine's is used)."""

    def __init__(self, folder: Path, busybox: str) -> None:
        super().__init__(folder)
        self.busybox = busybox
        for tool in TOOLS:
            (self.shims / tool).unlink(missing_ok=True)
            (self.shims / tool).symlink_to(busybox)

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        return super().run(stdin, [self.busybox, *argv], timeout_seconds, once)


@pytest.mark.deep
def test_a_host_with_only_busyboxs_tools_is_probed_and_polled(tmp_path: Path) -> None:
    host = BusyboxHost(tmp_path / "host", str(shutil.which("busybox")))
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    host.log_line(700, f"({ME}) CMD (/opt/load)", 1763720000)
    connector = connect(host)
    first = connector.poll("", (), 20)
    assert [(run.job, run.state) for run in first.runs] == [("db07:load", RunState.UNKNOWN)]
    assert first.clock is not None
    host.log.rename(host.log.with_suffix(".log.1"))
    host.log_line(701, f"({ME}) CMD (/opt/load)", 1763720060)
    second = connector.poll(first.cursor, (), 20)
    assert ([run.context["pid"] for run in second.runs], second.gaps) == ([701], ())
