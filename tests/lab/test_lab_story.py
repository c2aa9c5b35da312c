"""The jobs of the lab do what their switches say, on every scheduler, and the clock of the time host runs fast."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.lab.estate import Estate
from tests.lab.headway_config import Options
from tests.lab.jobs import Story, cron_of, next_minute
from tests.lab.process import wait_until


@pytest.fixture
def story(lab: Estate) -> Iterator[Story]:
    with Story(lab, with_airflow=False).all_well_after() as story:
        yield story


def records(lab: Estate) -> str:
    """What the wrapper wrote for etl on db07."""
    path = lab.db07.fs / "var/spool/headway/etl/runs"
    return path.read_text() if path.exists() else ""


def test_extract_orders_fails_on_request_and_the_wrapper_preserves_status_and_output(lab: Estate, story: Story) -> None:
    story.cron.behave("extract_orders", "fail")
    story.schedule(next_minute())
    wait_until(lambda: "\tE\t" in records(lab), "the end of extract_orders")
    (end,) = [line for line in records(lab).splitlines() if "\tE\t" in line]
    assert "1" == end.split("\t")[-1]
    run = end.split("\t")[2]
    (output,) = [path for path in (lab.db07.fs / "var/spool/headway/etl/out").iterdir() if path.name == run]
    assert "orders.csv: No such file or directory" in output.read_text()
    assert "orders.csv" in lab.db07.run("headway", f"cat /var/spool/headway/etl/out/{output.name}")


def test_a_job_set_to_hang_continues_when_set_to_succeed(story: Story) -> None:
    story.cron.install("extract_orders")
    story.cron.behave("extract_orders", "hang")
    host = story.cron.host
    host.run("etl", "setsid -f /home/etl/bin/extract_orders >/tmp/hanging 2>&1 </dev/null")
    wait_until(lambda: "connecting" in (host.fs / "tmp/hanging").read_text(), "the job to begin")
    assert "written" not in (host.fs / "tmp/hanging").read_text()
    story.cron.behave("extract_orders", "succeed")
    wait_until(lambda: "written" in (host.fs / "tmp/hanging").read_text(), "the job to end")


def test_refresh_revenue_fails_on_request(lab: Estate, story: Story) -> None:
    story.database.behave("refresh_revenue", "fail")
    with pytest.raises(psycopg.errors.RaiseException, match="refresh_revenue: table orders"):
        lab.postgres.execute("SELECT etl.obey('refresh_revenue')", role="etl")
    story.database.behave("refresh_revenue", "succeed")
    assert [("4711 rows",)] == lab.postgres.execute("SELECT etl.obey('refresh_revenue')", role="etl")


def test_a_state_machine_fails_until_it_is_deployed_again(story: Story) -> None:
    server = story.machines.server
    story.machines.behave("fail")
    bad = story.machines.execute("story-1")
    wait_until(lambda: server.status(bad) == "FAILED", "the failure")
    story.machines.behave("succeed")
    good = story.machines.execute("story-2")
    wait_until(lambda: server.status(good) == "SUCCEEDED", "the success")


def test_the_story_is_scheduled_by_the_clock_on_each_kind(lab: Estate, story: Story) -> None:
    first = next_minute()
    story.schedule(first)
    crontab = lab.db07.run("root", "crontab -u etl -l")
    assert f"# headway: extract_orders\n{cron_of(first)} /home/etl/bin/extract_orders\n" in crontab
    rows = lab.postgres.execute("SELECT schedule FROM cron.job WHERE jobname = 'refresh_revenue'")
    assert re.fullmatch(r"\d+ \d+ \* \* \*", rows[0][0])
    assert cron_of(first) != rows[0][0]


def test_a_spring_night_passes_in_seconds_and_cron_runs_the_lost_half_hour_at_three(lab: Estate) -> None:
    jobs = "30 2 * * * root true lost\n*/15 * * * * root true quarter\n"
    host = lab.time_host("spring", "2026-03-29 01:28:00", jobs)
    wait_until(lambda: "T03:15" in host.log_text(), "a quarter past three")
    starts = re.findall(r"T(\d\d):(\d\d):\d\d.*CMD \(\[\d+\] true (\w+)\)", host.log_text())
    lab.drop("spring")
    quarters = [(f"{hour}:{int(minute) // 15 * 15:02}", job) for hour, minute, job in starts]  # its clock runs fast
    assert [("01:30", "quarter"), ("01:45", "quarter"), ("03:00", "quarter"), ("03:00", "lost")] == quarters[:4]


def test_the_config_names_ports_and_references_and_no_secret(lab: Estate, tmp_path: Path) -> None:
    path = lab.write_config(tmp_path / "config", Options(systems=("etl-hosts", "dwh")))
    text = path.read_text()
    assert f"port = {lab.db07.port}" in text
    assert "act-pw" not in text
    assert "act-pw" in (path.parent / "secrets/dwh-dsn").read_text()
    assert 0o600 == (path.parent / "secrets/dwh-dsn").stat().st_mode & 0o777
