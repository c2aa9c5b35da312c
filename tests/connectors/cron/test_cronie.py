"""cronie's crond: its lines as its sources and manual specify them (not recorded: it cannot run here)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.contract import Evidence, State
from connectors.cron import records
from connectors.cron.attempts import Book
from connectors.cron.crontab import TableFile, read_tables
from connectors.cron.logline import read_line
from tests.connectors.cron.support import connect
from tests.fakes.ssh_local import ME, LocalHost

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


def heard(text: str, zone: ZoneInfo | None = None) -> Book:
    book = Book()
    for line in text.splitlines():
        event = read_line(line, NOW, zone or UTC)
        if event is not None:
            book.hear_log(event, lambda user, *_: (f"db07:{user}",), 1)
    return book


def test_an_end_proves_an_end_and_no_status() -> None:
    first, second = heard(LOG).attempts
    assert (first.pid, first.state, first.ended) == (1002, State.RUNNING, 0.0)
    assert (second.pid, second.state, second.evidence, second.exit_code) == (
        1012, State.UNKNOWN, Evidence.INFERRED, None,
    )  # fmt: skip
    assert second.ended - second.started == 6
    assert "no exit status" in second.message


def test_output_that_it_logs_belongs_to_the_job_of_its_child() -> None:
    first, second = heard(LOG).attempts
    assert [line.partition("CMDOUT ")[2] for line in first.lines[1:]] == ["(row 1 of the first)"]
    assert [line.partition("]: ")[2] for line in second.lines[1:]] == [
        "(etl) CMDOUT (row 1 of the second)", "(etl) CMDEND (/opt/load)",
    ]  # fmt: skip


def test_output_of_a_job_that_nobody_saw_start_is_left_out() -> None:
    assert heard("Nov 20 06:30:05 db07 CROND[77]: (etl) CMDOUT (x)\n").attempts == []


def test_stamps_without_year_and_zone_are_the_hosts() -> None:
    first = heard(LOG, ZoneInfo("America/New_York")).attempts[0]
    assert datetime.fromtimestamp(first.started, UTC) == datetime(2026, 11, 20, 11, 30, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "has_zones, delay, told",
    [
        (True, "45", ("none", "", "daily at 03:10, up to 45 minutes later (RANDOM_DELAY)")),
        (True, "0", ("debian-cron", "10 3 * * *", "daily at 03:10")),
        (True, "x", ("debian-cron", "10 3 * * *", "daily at 03:10")),
        (False, "45", ("debian-cron", "10 3 * * *", "daily at 03:10")),
    ],
)
def test_a_start_that_it_delays_at_random_is_expected_at_no_minute(
    has_zones: bool, delay: str, told: tuple[str, str, str]
) -> None:
    """To Debian's cron RANDOM_DELAY is a variable like any other."""
    table = TableFile("/var/spool/cron/etl", f"RANDOM_DELAY={delay}\n10 3 * * * /opt/load\n", "etl")
    found = records.job("db07", read_tables([table], None).lines[0], "UTC", 1, has_zones).schedule
    assert (found.dialect, found.expression, found.words) == told


def test_crontabs_in_its_own_folder_are_the_users(tmp_path: Path) -> None:
    """/var/spool/cron/USER, where Debian has crontabs/USER."""
    table = TableFile("/var/spool/cron/etl", "10 3 * * * /opt/load\n", "etl")
    line = read_tables([table], None).lines[0]
    assert (line.user, line.is_system) == ("etl", False)
    keys = records.job("db07", line, "UTC", 1).match_keys
    assert records.user_of_table(keys) == "etl"


def test_its_log_through_the_whole_connector(tmp_path: Path) -> None:
    host = LocalHost(tmp_path / "db07")
    host.crontab.write_text("# headway: load\n30 7 * * * /opt/load\n")
    host.log.write_text(LOG.replace("etl", ME))
    runs = connect(host).poll("", (), 20).runs
    assert {run.job for run in runs} == {"db07:load"}
    assert [run.context["pid"] for run in runs] == [1002, 1012]
