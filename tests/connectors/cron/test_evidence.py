"""Logs and crontabs of other people's reports: what is not understood proves no missed run."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.cron import crontab
from connectors.cron.crontab import CronDaemon, CrontabFile, CrontabLine, CrontabSet, read_crontabs
from connectors.cron.events import CronEventKind, stamp
from connectors.cron.inventory import LineIndex, host_inventory
from connectors.sdk.records import TargetClock
from tests.connectors.cron.support import connect, read_line
from tests.fakes.ssh_local import ME, LocalHost

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


@pytest.mark.parametrize("line", FORMS)
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


def test_a_start_of_no_line_is_skipped_evidence_where_a_line_of_its_user_was_due(host: LocalHost) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    minute = time.time() // 60 * 60 - 300
    host.log_line(7, f"({ME}) CMD (/opt/load)", minute + 1)
    host.log_line(8, f"({ME}) CMD (/opt/other)", minute + 2)
    host.log_line(9, f"({ME}) CMD (/opt/lo ad)", minute + 181)
    poll = connect(host).poll("", (), 20)
    assert ["a start that matches no crontab line, when db07:load was due"] == [item.reason for item in poll.skipped]
    assert "/opt/lo ad" in poll.skipped[0].sample


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o601, 0o400, 0o700, 0o4600, 0o1600])
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
    assert ((), [f"{message.format(ME)}: cron ignores this whole file. Repair it and save it again."]) == (
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


@pytest.mark.parametrize(
    "text, jobs, reason",
    [
        ("A=1\n" * 1_001 + "* * * * * x\n", 0, "more than 1,000 settings"),
        ("#\n" * 10_001, 0, "more than 10,000 lines"),
        (f"{','.join('1' * 2**19)} * * * * x\n1 * * * * y\n", 1, "times of more than 1,000 characters"),
    ],
)
def test_a_crontab_beyond_the_limits_is_refused_with_the_reason(text: str, jobs: int, reason: str) -> None:
    read = tables(text)
    assert (jobs, True) == (len(read.lines), reason in read.faults[0].reason)


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


def test_check_names_what_was_not_understood(host: LocalHost) -> None:
    host.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
    host.log.write_text("20261127 030001 db07 CRON[9]: (etl) CMD (/opt/load)\n")
    daemon_said(host, DROPS[0].format(ME), 60)
    notes = connect(host).probe(20).notes
    assert f"{host.log}: 1 line of cron that cannot be read: left out: 20261127 030001 db07 CRON[9]" in "\n".join(notes)
    assert f"{host.crontab}: {DROPS[0].format(ME)}: cron ignores this whole file" in notes
