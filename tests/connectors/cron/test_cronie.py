"""cronie's crond: its lines as its sources and manual specify them (not recorded: it cannot run here)."""

from __future__ import annotations

import os
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.cron import crontab, inventory
from connectors.cron.attempts import AttemptBook
from connectors.cron.client import script
from connectors.cron.crontab import CronDaemon, CrontabFile, CrontabSet, read_crontabs
from connectors.cron.expressions import TimeFieldError
from connectors.sdk.records import Schedule
from connectors.sdk.states import RunEvidence, RunState
from console.tui.frame.clock_format import ZonedClock
from tests.connectors.cron.support import connect, read_line
from tests.fakes.ssh_local import ME, LocalHost
from tests.rows import each_row

NOW = datetime(2026, 11, 20, 8, 20, tzinfo=UTC)
LOG = """\
Nov 20 06:30:01 db07 crond[900]: (CRON) INFO (RANDOM_DELAY will be scaled with factor 55% if used.)
Nov 20 06:30:01 db07 CROND[1002]: (etl) CMD (/opt/load)
Nov 20 06:30:01 db07 CROND[1012]: (etl) CMD (/opt/load)
Nov 20 06:30:05 db07 CROND[1011]: (etl) CMDOUT (row 1 of the second)
Nov 20 06:30:06 db07 CROND[1001]: (etl) CMDOUT (row 1 of the first)
Nov 20 06:30:07 db07 CROND[1011]: (etl) CMDEND (/opt/load)
Nov 20 06:30:09 db07 run-parts[1100]: (/etc/cron.hourly) starting 0anacron
"""


def heard(text: str, zone: ZoneInfo | None = None) -> AttemptBook:
    book = AttemptBook()
    for line in text.splitlines():
        event = read_line(line, NOW, zone or UTC)
        if event is not None:
            book.add_event(event, lambda user, *_: (f"db07:{user}",), 1)
    return book


def test_an_end_proves_an_end_and_no_status() -> None:
    first, second = heard(LOG).attempts
    assert (first.pid, first.state, first.ended) == (1002, RunState.RUNNING, 0.0)
    assert (second.pid, second.state, second.evidence, second.exit_code) == (
        1012, RunState.UNKNOWN, RunEvidence.INFERRED, None,
    )  # fmt: skip
    assert second.ended - second.started == 6
    assert "no exit status" in second.message


def test_output_that_it_logs_belongs_to_the_job_of_its_child() -> None:
    first, second = heard(LOG).attempts
    assert [line.partition("CMDOUT ")[2] for line in first.lines[1:]] == ["(row 1 of the first)"]
    assert [line.partition("]: ")[2] for line in second.lines[1:]] == [
        "(etl) CMDOUT (row 1 of the second)", "(etl) CMDEND (…)",
    ]  # fmt: skip


def test_output_of_a_job_without_a_seen_start_is_ignored() -> None:
    assert heard("Nov 20 06:30:05 db07 CROND[77]: (etl) CMDOUT (x)\n").attempts == []


def test_stamps_without_year_and_zone_are_the_hosts() -> None:
    first = heard(LOG, ZoneInfo("America/New_York")).attempts[0]
    assert datetime.fromtimestamp(first.started, UTC) == datetime(2026, 11, 20, 11, 30, 1, tzinfo=UTC)


def read(
    text: str, path: str = "/etc/crontab", daemon: CronDaemon = CronDaemon.CRONIE, mode: int = 0o644
) -> CrontabSet:
    user = path.rpartition("/")[2] if path.startswith("/var/spool/cron/") else None
    return read_crontabs([CrontabFile(path, text, user, mode, user or "root", daemon)], frozenset({"root", "etl"}))


def parsed_line(text: str, daemon: CronDaemon = CronDaemon.CRONIE) -> tuple[str, str, str]:
    (line,) = read(text, daemon=daemon).lines
    schedule = inventory.job_record("db07", line, "UTC", 1).schedule
    return schedule.dialect, schedule.expression, schedule.text


@each_row(
    "text, expected",
    [
        ("6~15 3 * * * root a\n", ("none", "", "6~15 3 * * *, at a random time (~)")),
        ("-*/15 * * * * root a\n", ("none", "", "every 15 minutes, in no log (-)")),
        ("-~ 3 * * * root a\n", ("none", "", "~ 3 * * *, in no log (-)")),
        ("SHELL=/usr/local/bin/headway-sh\n-@daily root a\n", ("debian-cron", "0 0 * * *", "daily at 00:00 UTC")),
    ],
)
def test_a_start_that_no_minute_is_known_of_is_expected_at_none(text: str, expected: tuple[str, str, str]) -> None:
    """A line below a dash is missing from every log; the wrapper's records have it."""
    assert expected == parsed_line(text)


def test_the_text_of_a_schedule_names_the_zone_that_starts_it() -> None:
    """Else a console in another zone shows it beside a start of another hour."""
    (line,) = read("0 19 * * * root a\n").lines
    (own,) = read("CRON_TZ=Asia/Tokyo\n0 19 * * * root a\n").lines
    texts = [inventory.job_record("db07", item, "Etc/UTC", 1).schedule.text for item in (line, own)]
    assert ["daily at 19:00 Etc/UTC", "daily at 19:00 Asia/Tokyo"] == texts
    clock = ZonedClock(ZoneInfo("Europe/Berlin"))
    winter = datetime(2026, 11, 26, tzinfo=UTC)
    assert ["daily at 20:00", "daily at 11:00"] == [clock.schedule(text, winter) for text in texts]


@each_row(
    "setting, daemon, minutes",
    [
        ("45", CronDaemon.CRONIE, 45),
        ("45 min", CronDaemon.CRONIE, 45),
        ("1440", CronDaemon.CRONIE, 1440),
        ("1441", CronDaemon.CRONIE, 0),
        ("0", CronDaemon.CRONIE, 0),
        ("x", CronDaemon.CRONIE, 0),
        ("45", CronDaemon.DEBIAN, 0),
    ],
)
def test_a_random_delay_is_the_window_of_the_start(setting: str, daemon: CronDaemon, minutes: int) -> None:
    (line,) = read(f"RANDOM_DELAY={setting}\n10 3 * * * root a\n", daemon=daemon).lines
    schedule = inventory.job_record("db07", line, "UTC", 1).schedule
    expected = Schedule("debian-cron", "10 3 * * *", "UTC", "daily at 03:10 UTC", window=timedelta(minutes=minutes))
    assert expected == schedule


def test_to_debians_cron_none_of_that_means_anything() -> None:
    (fault,) = read("-10 3 * * * root a\n", daemon=CronDaemon.DEBIAN).faults
    assert fault.reason.startswith(f"bad minute: {crontab.FILE_IGNORED}")
    assert parsed_line("6~15 3 * * * root a\n", CronDaemon.DEBIAN)[1] == "6 3 * * *", "it skips what follows the number"


@each_row("times", ["*5 * * * *", "1@ * * * *", "** * * * *", "1-5/2/3 * * * *", "@Reboot", "@DAILY"])
def test_nothing_may_follow_a_range_and_nicknames_are_small(times: str) -> None:
    (fault,) = read(f"{times} root a\n").faults
    assert fault.reason.partition(": ")[2].startswith("crond of cronie leaves this line out")


def test_settings_and_commands_by_its_own_limits() -> None:
    result = read(f'MAILTO=\nX="a" b\n1 2 * * * root {"x" * 131_071}\n1 3 * * * root {"x" * 131_072}\n1 2 * * * * r\n')
    assert [(len(line.raw), dict(line.settings)) for line in result.lines] == [(131_071, {"MAILTO": ""})]
    assert [(fault.line, fault.message) for fault in result.faults] == [
        (2, "bad time specifier"), (4, "command too long"), (5, "bad command"),
    ]  # fmt: skip


def test_long_numbers_and_ranges_that_run_backwards() -> None:
    result = read("00005 5-5/2 * * * root a\n0 0 * * fri-mon root b\n0 0 * * wed-sun root c\n")
    schedules = [inventory.job_record("db07", line, "UTC", 1).schedule for line in result.lines]
    assert [(item.dialect, item.expression, item.text) for item in schedules] == [
        ("debian-cron", "5 5 * * *", "daily at 05:05 UTC"),
        ("none", "", "never runs: 0 0 * * fri-mon"),
        ("debian-cron", "0 0 * * wed-7", "Wed–Sun at 00:00 UTC"),
    ]
    assert [fault.reason.partition(". ")[0] for fault in result.faults] == ["no such time: cron never runs this line"]


@each_row(
    "expression, used",
    [
        ("6~15 * * * *", "6-15 * * * *"),
        ("~ * * * *", "0-59 * * * *"),
        ("~5,30~,50 ~ * * *", "0-5,30-59,50 0-23 * * *"),
        ("0 3 ~ jan~mar *", "0 3 1-31 jan-mar *"),
        ("0 3 * * fri-sun", "0 3 * * fri-7"),
        ("0 3 * * sun-0", "0 3 * * sun-0"),
        ("*/5 * * * *", "*/5 * * * *"),
        ("@hourly", "@hourly"),
    ],
)
def test_a_number_that_it_picks_may_be_any_of_the_range(expression: str, used: str) -> None:
    assert used == crontab.cronie_reading(expression)


@each_row("expression", ["1~5/2 * * * *", "9~3 * * * *", "1-2~5 * * * *", "~~ * * * *", "60~ * * * *", "~"])
def test_what_it_cannot_pick_from_is_refused(expression: str) -> None:
    with pytest.raises(TimeFieldError):
        crontab.cronie_reading(expression)


def test_a_line_that_it_cannot_read_is_left_out_alone() -> None:
    result = read("1 2 * * * root good\n61 * * * * root a\n1 2 * * * nobody2 b\n3 4 * * * root last")
    assert [line.command for line in result.lines] == ["good"]
    assert [f"{fault.where}: {fault.reason.partition('.')[0]}" for fault in result.faults] == [
        "/etc/crontab:2: bad minute: crond of cronie leaves this line out",
        "/etc/crontab:3: bad username: crond of cronie leaves this line out",
        "/etc/crontab:4: missing newline before EOF: crond of cronie leaves this line out",
    ]


def test_only_root_may_keep_a_line_of_an_own_crontab_out_of_the_log() -> None:
    (own,) = read("-1 2 * * * a\n", "/var/spool/cron/root").lines
    assert (own.command, own.is_logged, own.expression) == ("a", False, "1 2 * * *")
    (fault,) = read("-1 2 * * * a\n", "/var/spool/cron/etl").faults
    assert fault.reason.startswith("bad option: crond of cronie leaves this line out")


@each_row(
    "name, is_read",
    [("with.dots", True), ("load", True), (".hidden", False), ("#load#", False), ("load~", False), ("a.rpmnew", False)],
)
def test_which_files_of_its_folder_it_reads(name: str, is_read: bool) -> None:
    result = read("1 2 * * * root a\n", f"/etc/cron.d/{name}")
    assert (is_read, ()) == (bool(result.lines), result.faults)


@pytest.mark.parametrize("mode", [0o664, 0o755, 0o200])
def test_a_file_of_another_mode_is_not_read(mode: int) -> None:
    result = read("1 2 * * * root a\n", mode=mode)
    assert (result.lines, result.faults[0].value) == ((), f"{mode:04o}")


def test_a_line_without_a_visible_name_is_found_again_by_its_hash_on_the_host(tmp_path: Path) -> None:
    """The same line by line.sh, dash and nickname and all."""
    text = f"{script('line.sh')}kind=system user=root\njob_lines\n"
    table = tmp_path / "table"
    table.write_text("-@daily root a b\n-*/15 * * * * root c\n~ 3 * * * root d\n")
    given = table.read_bytes()
    done = subprocess.run(["sh", "-c", text], input=given, capture_output=True, check=True)
    assert [line.raw for line in read(table.read_text()).lines] == ["a b", "c", "d"]
    assert done.stdout == b"1 - a b\n2 - c\n3 - d\n"


def test_a_log_beside_lines_that_it_omits_is_not_considered_dead(tmp_path: Path) -> None:
    """The crond of SUSE runs its run-crons so."""
    host = LocalHost(tmp_path / "db07")
    host.crontab.write_text("30 7 * * * /opt/load\n")
    (host.folder / "etc/crontab").write_text("-*/15 * * * * root /usr/lib/cron/run-crons\n")
    host.log_line(77, f"({ME}) CMD (/opt/load)", time.time() - 90)
    host.spoil = a_child_of_cronies
    assert connect(host).poll("", (), 20).seen_until is not None
    (host.folder / "etc/crontab").unlink()
    assert connect(host).poll("", (), 20).seen_until is None


def a_child_of_cronies(answer: bytes) -> bytes:
    """The answer of a host whose cronie started something half a minute ago."""
    up = float(Path("/proc/uptime").read_text().split()[0])
    ticks = int((up - 30) * os.sysconf("SC_CLK_TCK"))
    child = f"crond 5 all\nprogram cronie\nchild 6 5 {ticks}\njob 7 6 {ticks}\n".encode()
    return re.sub(rb"crond [^\n]*\n", child, answer, count=1)


def test_crontabs_in_its_own_folder_are_the_users(tmp_path: Path) -> None:
    """/var/spool/cron/USER, where Debian has crontabs/USER."""
    table = CrontabFile("/var/spool/cron/etl", "10 3 * * * /opt/load\n", "etl")
    line = read_crontabs([table], None).lines[0]
    assert (line.user, line.is_system) == ("etl", False)
    keys = inventory.job_record("db07", line, "UTC", 1).match_keys
    assert inventory.user_of(keys) == "etl"


def test_its_log_through_the_whole_connector(tmp_path: Path) -> None:
    host = LocalHost(tmp_path / "db07")
    host.crontab.write_text("# headway: load\n30 7 * * * /opt/load\n")
    host.log.write_text(LOG.replace("etl", ME))
    runs = connect(host).poll("", (), 20).runs
    assert {run.job for run in runs} == {"db07:load"}
    assert [run.context["pid"] for run in runs] == [1002, 1012]
