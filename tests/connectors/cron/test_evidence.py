"""Logs and crontabs of other people's reports: what is not understood proves no missed run."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.cron import crontab
from connectors.cron.crontab import CronDaemon, CrontabFile, CrontabLine, CrontabSet, read_crontabs
from connectors.cron.events import CronEventKind, stamp
from connectors.cron.inventory import LineIndex, host_inventory
from connectors.cron.log_files import LogFileState, LogPosition, read_log
from connectors.sdk.records import TargetClock
from tests.connectors.cron.support import connect, read_line
from tests.fakes.ssh_local import ME, LocalHost
from tests.rows import each_row

NOW = datetime(2026, 11, 27, 3, 1, tzinfo=UTC)
TABLE = "/var/spool/cron/crontabs/etl"
FORMS = (
    "<78>1 2026-11-27T03:00:01.123456+00:00 db07 CRON 1234 - -  (etl) CMD (/opt/etl/load.sh)",
    "2026-11-27T03:00:01.123456+00:00 db07 CRON 1234 - -  (etl) CMD (/opt/etl/load.sh)",
    "<78>Nov 27 03:00:01 db07 CRON[1234]: (etl) CMD (/opt/etl/load.sh)",
    "2026-11-27T03:00:01.123456+0000 db07 CRON[1234]: (etl) CMD (/opt/etl/load.sh)",
    "2026-11-27 03:00:01 db07 CRON[1234]: (etl) CMD (/opt/etl/load.sh)",
    "Nov 27 2026 03:00:01 db07 CRON[1234]: (etl) CMD (/opt/etl/load.sh)",
    "Nov 27 03:00:01.123 db07 CRON[1234]: (etl) CMD (/opt/etl/load.sh)",
)
BEHIND = " ".join(["/opt/etl/load.sh", *(f"--table=warehouse.t{number:03}" for number in range(20))])


def tables(text: str, daemon: CronDaemon = CronDaemon.DEBIAN, mode: int = 0o600, owner: str = "etl") -> CrontabSet:
    return read_crontabs([CrontabFile(TABLE, text, "etl", mode, owner, daemon)], None)


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path / "db07")


@each_row("line", FORMS)
def test_pb01_each_form_of_a_log_line_is_a_start(line: str) -> None:
    event = read_line(line, NOW, UTC)
    assert event is not None
    expected = (CronEventKind.CMD, datetime(2026, 11, 27, 3, 0, 1, tzinfo=UTC), 1234, "etl", "/opt/etl/load.sh")
    assert expected == (event.kind, event.at.replace(microsecond=0), event.pid, event.user, event.text)


def test_pb02_the_second_reading_of_a_clock_that_goes_back_is_an_hour_later() -> None:
    after, read = None, []
    for clock in ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00"):
        line = f"Oct 25 {clock}:01 db07 CRON[1002]: (etl) CMD (/opt/x.sh)"
        stamped = stamp(line, datetime(2026, 10, 25, 3, tzinfo=UTC), ZoneInfo("Europe/Berlin"), after)
        assert stamped is not None
        after = stamped[0]
        read.append(f"{after:%d %H:%M}")
    assert ["24 23:30", "25 00:00", "25 00:30", "25 01:00", "25 01:30", "25 02:00"] == read


def test_pb02_a_reading_is_never_after_the_clock_of_its_host() -> None:
    line = "Oct 25 02:00:01 db07 CRON[1002]: (etl) CMD (/opt/x.sh)"
    berlin, late = ZoneInfo("Europe/Berlin"), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    stamped = stamp(line, datetime(2026, 10, 25, 0, 40, tzinfo=UTC), berlin, late)
    assert stamped is not None
    assert datetime(2026, 10, 25, 0, 0, 1, tzinfo=UTC) == stamped[0]


@pytest.mark.parametrize(
    "clocks, read, doubtful",
    [
        ("00:17 01:17 02:17 02:17 03:17", "22:17 23:17 00:17 01:17 02:17", ""),
        ("01:30 02:30 02:30 03:30", "23:30 00:30 01:30 02:30", ""),
        ("01:45 02:05 02:20 02:05 02:20 03:05", "23:45 00:05 00:20 01:05 01:20 02:05", ""),
        ("02:40 02:00 02:20 02:40 03:00", "00:40 01:00 01:20 01:40 02:00", ""),
        ("01:17 02:17 03:17", "23:17 00:17 02:17", "00:16 01:18"),
        ("02:17 02:17 02:37 03:17", "00:17 01:17 01:37 02:17", ""),
    ],
)
def test_starts_at_times_that_come_twice_are_told_apart_by_their_order_or_incomplete_evidence(
    host: LocalHost, clocks: str, read: str, doubtful: str
) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    at = [f"2020-10-25 {clock}:0{number} db07 CRON[{100 + number}]" for number, clock in enumerate(clocks.split())]
    host.log.write_text("".join(f"{line}: ({ME}) CMD (/opt/load)\n" for line in at))
    poll = connect(host).poll("", (), 20)
    assert read == " ".join(f"{run.started_at:%H:%M}" for run in poll.runs)
    assert doubtful == " ".join(f"{gap.since:%H:%M} {gap.until:%H:%M}" for gap in poll.gaps)


def test_equal_lines_start_together_in_an_hour_that_comes_twice(host: LocalHost) -> None:
    host.crontab.write_text("17 * * * * /opt/load\n17 * * * * /opt/load\n")
    starts = "".join(f"2020-10-25 02:17:01 db07 CRON[{pid}]: ({ME}) CMD (/opt/load)\n" for pid in range(4))
    host.log.write_text(starts)
    poll = connect(host).poll("", (), 20)
    assert (["00:17", "00:17", "01:17", "01:17"], ()) == ([f"{run.started_at:%H:%M}" for run in poll.runs], poll.gaps)


def test_a_poll_that_finds_nothing_new_has_read_the_log_up_to_then() -> None:
    """A line after it is later: in an hour that comes twice, that is the second time."""
    file, at = LogFileState("/var/log/cron.log", "ok", "7|10|1|root|-|1"), LogPosition("/var/log/cron.log", 10, 0, "7")
    read = replace(at, tag=file.tag, since=1_000)
    assert [2_000, 1_000] == [read_log(file, place, 2_000).place.since for place in (read, replace(read, tag="-"))]


def test_pb09_a_line_that_syslog_cut_is_matched_by_its_beginning() -> None:
    lines = tables(f"# headway: long\n*/5 * * * * {BEHIND}\n", CronDaemon.BUSYBOX, owner="root").lines
    line = f"Nov 27 03:00:01 alpine cron.info crond[31]: USER etl pid 77 cmd {BEHIND}"[:255]
    event = read_line(line, NOW, UTC)
    assert event is not None
    index = LineIndex("db07", lines, UTC, {})
    assert ("db07:long",) == index.find(event.user, event.text, event.at, "")
    assert () == index.find(event.user, BEHIND[:20], event.at, ""), "too short for a cut line"


def test_a_message_without_its_last_parenthesis_is_a_start_too() -> None:
    event = read_line(f"2026-11-27T03:00:01+00:00 db07 CRON[12]: (etl) CMD ({BEHIND[:150]}", NOW, UTC)
    assert event is not None
    lines = tables(f"# headway: long\n*/5 * * * * {BEHIND}\n").lines
    assert ("db07:long",) == LineIndex("db07", lines, UTC, {}).find(event.user, event.text, event.at, "")


def test_pb13_a_crontab_with_carriage_returns_has_a_warning() -> None:
    read = tables("# headway: export\r\n10 3 * * * /opt/etl/export.sh >> /var/log/export.log 2>&1\r\n")
    [fault] = read.faults
    assert f"{TABLE}:2" == fault.where
    assert "carriage return at its end: the shell gets it as part of the command" in fault.reason
    assert ["export"] == [line.name for line in read.lines]


def test_a_line_of_cron_that_cannot_be_read_is_skipped_and_another_programs_is_not(host: LocalHost) -> None:
    host.crontab.write_text("# headway: load\n0 3 * * * /opt/load\n")
    host.log.write_text("at java.lang.Thread\n20261127 030001 db07 CRON[9]: (etl) CMD (/opt/load)\n")
    poll = connect(host).poll("", (), 20)
    [skipped] = poll.skipped
    assert ("1 line of cron that cannot be read: left out", True) == (skipped.reason, "CRON[9]" in skipped.sample)


@pytest.mark.parametrize("tag", ["cron", "crond", "/usr/sbin/cron", "CRON", "CROND"])
def test_a_start_by_any_tag_of_cron_is_a_start(host: LocalHost, tag: str) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    host.log_line(7, f"({ME}) CMD (/opt/load)", time.time() - 60, tag)
    assert ["db07:load"] == [run.job for run in connect(host).poll("", (), 20).runs]


UNKNOWN_STARTS = (
    f"crond[9]: FILE /var/spool/cron/crontabs/{ME} USER {ME} PID 12 /opt/load",
    f"fcron[9]: Job '/opt/load' started for user {ME} (pid 12)",
    f"CRON: ({ME}) CMD (/opt/load)",
    f"CRON[9]: message repeated 2 times: [ ({ME}) CMD (/opt/load)]",
)


@pytest.mark.parametrize("start", UNKNOWN_STARTS)
def test_a_start_of_an_unknown_form_is_skipped(host: LocalHost, start: str) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    host.log.write_text(f"2026-11-27T03:00:01+00:00 db07 {start}\n")
    poll = connect(host).poll("", (), 20)
    assert ((), 1, ()) == (poll.runs, len(poll.skipped), poll.gaps)


IMJOURNAL = "rsyslogd: imjournal: 400 messages lost due to rate-limiting (20000 allowed within 600 seconds)"
LOSSES = (
    IMJOURNAL,
    "syslog.info rsyslogd[812]: imjournal: begin to drop messages due to rate-limiting",
    "systemd-journald[1]: Suppressed 300 messages from cron.service",
    "systemd-journal[497]: Suppressed 300 messages from /system.slice/crond.service",
    "systemd-journald[1]: Forwarding to syslog missed 12 messages.",
)
NO_LOSSES = (
    "systemd-journald[1]: Suppressed 300 messages from nginx.service",
    "systemd-journald[1]: Suppressed 300 messages from acronis_mms.service",
    "systemd-journald[1]: /dev/kmsg buffer overrun, some messages lost.",
    "rsyslogd[1]: imuxsock[pid 1234]: begin to drop messages due to rate-limiting",
    "rsyslogd: imudp from <fw01:filterlog>: 300 messages lost due to rate-limiting",
    "\tat org.quartz.impl.triggers.CronTriggerImpl.validate(CronTriggerImpl.java:1)",
)


@pytest.mark.parametrize("report", LOSSES)
def test_reports_of_lost_lines_are_one_gap_from_the_line_of_cron_before_to_the_last_report(
    host: LocalHost, report: str
) -> None:
    host.log_line(7, f"({ME}) CMD (/opt/load)", time.time() - 120)
    host.log_line(8, f"({ME}) CMD (/opt/load)", time.time() - 60)
    start = host.log.read_text().splitlines()[1]
    at = datetime.fromisoformat(start[:32])
    with host.log.open("a") as log:
        for seconds in (2, 4):
            log.write(f"{(at + timedelta(seconds=seconds)).isoformat()} db07 {report}\n")
    [gap] = connect(host).poll("", (), 20).gaps
    assert (at, at + timedelta(seconds=4)) == (gap.since, gap.until)


@pytest.mark.parametrize("line", NO_LOSSES)
def test_a_report_that_does_not_concern_cron_is_no_gap_and_no_unread_line(host: LocalHost, line: str) -> None:
    host.log_line(7, f"({ME}) CMD (/opt/load)", time.time() - 120)
    start = host.log.read_text()[:32]
    with host.log.open("a") as log:
        log.write(f"{line}\n" if line.startswith("\t") else f"{start} db07 {line}\n")
    poll = connect(host).poll("", (), 20)
    assert ((), (), True) == (poll.gaps, poll.skipped, poll.seen_until is not None)


@pytest.mark.parametrize("minutes, is_ended", [(5, False), (11, True)])
def test_nothing_is_proved_while_rsyslog_drops_lines_and_all_since_is_a_gap(
    host: LocalHost, minutes: int, is_ended: bool
) -> None:
    at = int(time.time()) - 60 * minutes
    host.log_line(7, f"({ME}) CMD (/opt/load)", at - 60)
    host.log_line(1, "imjournal: begin to drop messages due to rate-limiting", at, "rsyslogd")
    connector = connect(host)
    first = connector.poll("", (), 20)
    assert (is_ended, 0) == (first.seen_until is not None, first.cursor.count('"los"') - (not is_ended))
    host.log_line(8, f"({ME}) CMD (/opt/load)", at + 90)
    second = connector.poll(first.cursor, (), 20)
    assert is_ended == (second.seen_until is not None)
    host.log_line(1, "imjournal: 400 messages lost due to rate-limiting", at + 120, "rsyslogd")
    last = connector.poll(second.cursor, (), 20)
    since = at + 90 if is_ended else at
    assert (True, since) == (last.seen_until is not None, last.gaps[-1].since.timestamp() if last.gaps[-1].since else 0)


def test_a_repeated_line_is_skipped_where_the_line_before_it_may_be_of_cron(host: LocalHost) -> None:
    repeated = "2026-11-27T03:00:03+00:00 db07 last message repeated 3 times\n"
    connector, cursor, counts = connect(host), "", []
    for before in ("", f"CRON[7]: ({ME}) CMD (/opt/load)", "kernel: eth0: up"):
        with host.log.open("a") as log:
            log.write(f"2026-11-27T03:00:01+00:00 db07 {before}\n" if before else "")
            log.write(repeated)
        poll = connector.poll(cursor, (), 20)
        cursor = poll.cursor
        counts.append(len(poll.skipped))
    assert [1, 1, 0] == counts


def test_equal_lines_that_cannot_be_read_are_new_at_each_poll(host: LocalHost) -> None:
    """The position in the log advances: an equal line is another start."""
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    connector, cursor = connect(host), ""
    for _ in range(2):
        with host.log.open("a") as log:
            log.write(f"({ME}) CMD (/opt/load)\n")
        poll = connector.poll(cursor, (), 20)
        cursor = poll.cursor
        assert [True] == [item.is_new for item in poll.skipped]


def test_a_start_of_no_line_is_skipped_evidence_where_a_line_of_its_user_was_due(host: LocalHost) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    minute = time.time() // 60 * 60 - 300
    host.log_line(7, f"({ME}) CMD (/opt/load)", minute + 1)
    host.log_line(8, f"({ME}) CMD (/opt/other)", minute + 2)
    host.log_line(9, f"({ME}) CMD (/opt/lo ad)", minute + 181)
    poll = connect(host).poll("", (), 20)
    assert ["a start that matches no crontab line, when db07:load was due"] == [item.reason for item in poll.skipped]
    assert "/opt/lo ad" in poll.skipped[0].sample


@each_row("mode", [0o644, 0o640, 0o601, 0o400, 0o700, 0o4600, 0o1600])
def test_debians_cron_drops_a_users_crontab_of_another_mode(mode: int) -> None:
    assert () == tables("* * * * * true\n", mode=mode).lines


def test_debians_cron_drops_crontabs_of_others_orphans_links_and_copies() -> None:
    good = CrontabFile(TABLE, "* * * * * true\n", "etl", 0o600, "etl")
    root = CrontabFile(TABLE, "* * * * * true\n", "etl", 0o600, "root")
    copy = CrontabFile("/var/spool/cron/crontabs/tmp.Ab12Cd", "* * * * * true\n", "tmp.Ab12Cd", 0o600, "etl")
    system = CrontabFile("/etc/cron.d/x", "* * * * * root true\n", None, 0o644, "root", links=2)
    dropped = [CrontabFile(TABLE, "* * * * * true\n", "etl", 0o600, "eve"), copy, system]
    dropped += [CrontabFile(TABLE, good.text, "etl", 0o600, "etl", links=2)]
    dropped += [CrontabFile(TABLE, good.text, "etl", 0o600, "etl", is_link=True)]
    dropped += [CrontabFile(TABLE, good.text, "etl", 0o600, "root", has_user=False)]
    assert [1, 1, *[0] * len(dropped)] == [len(read_crontabs([file], None).lines) for file in (good, root, *dropped)]


DROPS = (
    "({0}) INSECURE MODE (mode 0600 expected) (crontabs/{0})",
    "({0}) ORPHAN (no passwd entry)",
    "({0}) WRONG FILE OWNER (crontabs/{0})",
    "({0}) NUMBER OF HARD LINKS (crontabs/{0})",
    "({0}) BAD FILE MODE (/var/spool/cron/crontabs/{0})",
    "({0}) CAN'T OPEN (crontabs/{0})",
    "({0}) ERROR (Missing newline before EOF, this crontab file will be ignored)",
)


def daemon_said(host: LocalHost, message: str, seconds_ago: int) -> None:
    host.log_line(1, message, time.time() - seconds_ago, "cron")


@pytest.mark.parametrize("message", DROPS)
def test_a_crontab_that_the_daemon_drops_by_its_own_message_promises_nothing(host: LocalHost, message: str) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    connector = connect(host)
    assert ["db07:load"] == [job.native_id for job in connector.inventory("", 20).jobs]
    first = connector.poll("", (), 20)
    daemon_said(host, message.format(ME), 60)
    dropped = connector.poll(first.cursor, (), 20)
    assert dropped.inventory is not None
    said = [item.reason for item in dropped.inventory.skipped]
    assert ((), [f"{message.format(ME)}: {crontab.FILE_IGNORED}. Repair it and save it again."]) == (
        tuple(dropped.inventory.jobs), said
    )  # fmt: skip
    assert () == tuple(connector.inventory("", 20).jobs)
    assert connector.poll(dropped.cursor, (), 20).inventory is None


@pytest.mark.parametrize("repair", ["a start", "RELOAD", "STARTUP", "other text"])
def test_a_dropped_crontab_promises_again_once_the_daemon_reads_it(host: LocalHost, repair: str) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    daemon_said(host, DROPS[0].format(ME), 90)
    connector = connect(host)
    first = connector.poll("", (), 20)
    assert first.inventory is not None
    assert () == tuple(first.inventory.jobs)
    if repair == "a start":
        host.log_line(7, f"({ME}) CMD (/opt/load)", time.time() - 60)
    elif repair == "other text":
        host.crontab.write_text("# headway: load\n*/2 * * * * /opt/load\n")
    else:
        names = {"RELOAD": f"({ME}) RELOAD (crontabs/{ME})", "STARTUP": "(CRON) INFO (pidfile fd = 3)"}
        daemon_said(host, names[repair], 60)
    again = connector.poll(first.cursor, (), 20).inventory
    assert again is not None
    assert ["db07:load"] == [job.native_id for job in again.jobs]


def test_a_message_about_one_crontab_drops_no_other(host: LocalHost) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    system = host.folder / "etc/cron.d/backup"
    system.write_text("# headway: backup\n* * * * * root /opt/backup\n")
    daemon_said(host, "(*system*backup) INSECURE MODE (group/other writable) (/etc/cron.d/backup)", 60)
    daemon_said(host, "(other) ORPHAN (no passwd entry)", 60)
    inventory = connect(host).poll("", (), 20).inventory
    assert inventory is not None
    assert ["db07:load"] == [job.native_id for job in inventory.jobs]


def test_the_host_names_links_and_users_of_its_crontabs(host: LocalHost) -> None:
    host.crontab.write_text("* * * * * true\n")
    host.crontab.with_name("deleted-user").write_text("* * * * * false\n")
    host.crontab.with_name("deleted-user").chmod(0o600)
    inventory = connect(host).inventory("", 20)
    assert ([f"db07:{ME}-true"], True) == (
        [job.native_id for job in inventory.jobs],
        any("orphan" in item.reason for item in inventory.skipped),
    )
    host.crontab.with_name("deleted-user").unlink()
    host.crontab.with_name("extra").hardlink_to(host.crontab)
    assert [] == list(connect(host).inventory("", 20).jobs)


def test_cronie_is_matched_by_both_readings_of_blanks_and_options() -> None:
    text = "* * * * * root \t run-parts /x\n* * * * * root -n backup\n* * * * * root -x other\n"
    read = read_crontabs([CrontabFile("/etc/cron.d/x", text, None, 0o644, "root", CronDaemon.CRONIE)], None)
    assert ["bad option"] == [fault.message for fault in read.faults]
    index = LineIndex("db07", read.lines, UTC, {})
    found = [index.find("root", command, NOW, "") for command in ("run-parts /x", "^I run-parts /x", "backup")]
    assert all(found), found


@each_row(
    "line, jobs",
    [
        ("*\0 * * * * root first\n", ["first", "below"]),
        ("* * * * *\0x root first\n", ["first", "below"]),
        ("*x * * * * root first\n", ["first", "below"]),
        ("1\0 * * * *\0 root first\0 # a comment\n", ["first", "below"]),
        ("\0* * * * * root first\n", []),
        ("*/\0001 * * * * root first\n", []),
        ("*,\0001 * * * * root first\n", []),
        ("* * * * \0* root first\n", []),
        ("* * * * * root first\0 more\n", []),
        ("A=1\0 2\n", []),
        ("\0A=1\n", []),
        (" \0\n", []),
        ("#a\0b\n", ["below"]),
    ],
)
def test_a_nul_is_read_as_debians_cron_reads_it(line: str, jobs: list[str]) -> None:
    """Measured on cron 3.0pl1-162, but for the comment after a command."""
    text = f"{line}* * * * * root below\n"
    read = read_crontabs([CrontabFile("/etc/cron.d/x", text, None, 0o644, "root")], frozenset({"root"}))
    assert jobs == [item.command for item in read.lines]


SETTINGS, LINES = "A=1\n" * 1_001 + "* * * * * x\n", "#\n" * 10_003 + "* * * * * x\n"
IGNORED, NOT_READ = f"{crontab.FILE_IGNORED}. Split it.", "Headway does not read this file. Split it."


@each_row(
    "text, daemon, reason",
    [
        (SETTINGS, CronDaemon.DEBIAN, f"more than 1,000 settings: {NOT_READ}"),
        (SETTINGS, CronDaemon.CRONIE, f"more than 1,000 settings: {IGNORED}"),
        (LINES, CronDaemon.DEBIAN, f"more than 10,003 lines: {IGNORED}"),
        (LINES, CronDaemon.CRONIE, f"more than 10,003 lines: {NOT_READ}"),
        (f"# {'x' * 2**22}\n* * * * * x\n", CronDaemon.DEBIAN, f"more than 4,096 KiB: {NOT_READ}"),
    ],
)
def test_the_reason_of_a_limit_names_who_does_not_read_the_file(text: str, daemon: CronDaemon, reason: str) -> None:
    """Measured on Debian's cron 3.0pl1-162: it runs a file of 10,003 lines, all but one of them settings, and drops one
    of 10,004."""
    read = tables(text, daemon)
    inventory = host_inventory("db07", read, (), "UTC", 1, TargetClock(NOW, NOW))
    assert ([reason], "cron ignores" in reason) == ([fault.reason for fault in read.faults], inventory.complete)


def test_debians_cron_runs_a_file_of_its_greatest_length() -> None:
    assert 1 == len(tables(LINES.removeprefix("#\n")).lines)


def test_a_line_with_too_many_times_is_not_read_and_the_line_below_it_is() -> None:
    read = tables(f"{','.join('1' * 2**19)} * * * * x\n1 * * * * y\n")
    inventory = host_inventory("db07", read, (), "UTC", 1, TargetClock(NOW, NOW))
    assert (1, True, False) == (
        len(read.lines), "times of more than 1,000 characters" in read.faults[0].reason, inventory.complete
    )  # fmt: skip


def test_a_file_that_headway_does_not_read_makes_a_poll_incomplete(host: LocalHost) -> None:
    host.crontab.write_text(SETTINGS)
    poll = connect(host).poll("", (), 20)
    assert (False, True) == (poll.complete, any(NOT_READ in warning for warning in poll.warnings))


def test_lines_share_their_settings_and_these_are_written_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = "".join(f"A{number}=x\n" for number in range(1_000))
    lines = tables(settings + "".join(f"{number % 60} 3 * * * x{number}\n" for number in range(5_000)))
    assert 1 == len({id(line.settings) for line in lines.lines})
    written: list[CrontabLine] = []

    def own_settings(line: CrontabLine) -> str:
        written.append(line)
        return "settings"

    monkeypatch.setattr("connectors.cron.inventory._own_settings", own_settings)
    host_inventory("db07", lines, (), "UTC", 1, TargetClock(NOW, NOW))
    assert (5_000, 1) == (len(lines.lines), len(written))
    assert crontab.MAX_SETTINGS == 1_000


def test_the_settings_of_lines_with_different_ones_are_never_in_memory_at_once() -> None:
    """Their texts together are 290 MB."""
    settings = (f"A{number}={'x' * 900}\U0001f600\n{number % 60} 3 * * * x{number}\n" for number in range(400))
    lines = tables("".join(settings))
    tracemalloc.start()
    inventory = host_inventory("db07", lines, (), "UTC", 1, TargetClock(NOW, NOW))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (400, True) == (len({job.definition_hash for job in inventory.jobs}), peak < 10 * 2**20)


def test_check_names_what_was_not_understood(host: LocalHost) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    host.log.write_text("20261127 030001 db07 CRON[9]: (etl) CMD (/opt/load)\n")
    daemon_said(host, DROPS[0].format(ME), 60)
    probe = connect(host).probe(20)
    notes = probe.notes
    assert f"{host.log}: 1 line of cron that cannot be read: left out: 20261127 030001 db07 CRON[9]" in "\n".join(notes)
    assert f"{host.crontab}: {DROPS[0].format(ME)}: {crontab.FILE_IGNORED}" in probe.faults
