"""Starts: once for a period that cron itself has not started; the rest is as a rerun."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import Preview
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import instant_key
from connectors.sdk.states import Verb
from tests.connectors.cron.support import ask, connect
from tests.fakes.ssh_local import ME, LocalHost

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "db07")
    made.crontab.write_text(f"# headway: night\n10 3 * * * echo x >>{tmp_path}/count\n")
    made.log.write_text("")
    return made


def last_due() -> datetime:
    """The last 03:10 in Berlin."""
    now = datetime.now(BERLIN)
    due = now.replace(hour=3, minute=10, second=0, microsecond=0)
    return due if due <= now else due - timedelta(days=1)


def cron_starts(host: LocalHost, pid: int, at: datetime, tmp_path: Path) -> None:
    host.log_line(pid, f"({ME}) CMD (echo x >>{tmp_path}/count)", at.timestamp())


def start(host: LocalHost, period: datetime) -> Preview:
    requested = {"period_at": instant_key(period.astimezone(UTC))}
    return connect(host).preview(ask(Verb.START, "db07:night", requested), 20)


def test_period_that_cron_started_itself_is_not_started_again(host: LocalHost, tmp_path: Path) -> None:
    due = last_due()
    at = due + timedelta(seconds=1)
    cron_starts(host, 17, at, tmp_path)
    text = f"cron itself started db07:night for that period, at {at.astimezone(UTC):%H:%M:%S} UTC"
    assert start(host, due).refused == text


@pytest.mark.parametrize("days", [-1, 1])
def test_start_of_another_period_does_not_count(host: LocalHost, tmp_path: Path, days: int) -> None:
    due = last_due()
    cron_starts(host, 17, due + timedelta(seconds=1), tmp_path)
    assert start(host, due + timedelta(days=days)).refused is None


@pytest.mark.parametrize("seconds", [0, 61, 3600])
def test_late_start_is_still_that_periods(host: LocalHost, tmp_path: Path, seconds: int) -> None:
    due = last_due() - timedelta(days=1)
    cron_starts(host, 17, due + timedelta(seconds=seconds), tmp_path)
    assert start(host, due).refused is not None


def test_hour_that_comes_twice_has_two_periods(host: LocalHost, tmp_path: Path) -> None:
    """In the night when summer ends a quarter-hourly line is due at 02:15 twice; each is a period of its own."""
    command = f"echo x >>{tmp_path}/count"
    host.crontab.write_text(f"# headway: night\n*/15 * * * * {command}\n")
    first = datetime(2026, 10, 25, 0, 15, tzinfo=UTC)  # 02:15 +02:00; 02:15 +01:00 is an hour later
    host.log_line(17, f"({ME}) CMD ({command})", first.timestamp() + 1)
    assert start(host, first).refused is not None
    assert start(host, first + timedelta(hours=1)).refused is None


def test_hour_that_never_comes_starts_at_its_end(host: LocalHost, tmp_path: Path) -> None:
    """cron starts the 02:30 that is skipped at 03:00, measured."""
    command = f"echo x >>{tmp_path}/count"
    host.crontab.write_text(f"# headway: night\n30 2 * * * {command}\n")
    jump = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    host.log_line(17, f"({ME}) CMD ({command})", jump.timestamp() + 10)
    assert start(host, jump).refused is not None


def test_cron_that_starts_it_after_the_preview_wins(host: LocalHost, tmp_path: Path) -> None:
    due = last_due()
    preview = start(host, due)
    assert preview.refused is None
    cron_starts(host, 17, due + timedelta(seconds=1), tmp_path)
    with pytest.raises(NotSupported, match="cron itself started db07:night for that period"):
        connect(host).act(preview, new_key(), 20)
    assert not (tmp_path / "count").exists()


def test_rerun_of_a_period_that_ran_is_what_it_is_for(host: LocalHost, tmp_path: Path) -> None:
    due = last_due()
    cron_starts(host, 17, due + timedelta(seconds=1), tmp_path)
    requested = {"period_at": instant_key(due.astimezone(UTC))}
    assert connect(host).preview(ask(Verb.RERUN, "db07:night", requested), 20).refused is None


def test_period_that_is_no_instant_is_refused(host: LocalHost) -> None:
    with pytest.raises(NotSupported, match="the period is not an ISO instant: 'soon'"):
        connect(host).preview(ask(Verb.START, "db07:night", {"period_at": "soon"}), 20)


def test_plan_of_an_older_headway_still_runs_its_line(host: LocalHost, tmp_path: Path) -> None:
    """What was requested before an upgrade has neither verb nor period in its plan."""
    preview = start(host, last_due())
    old = {name: value for name, value in preview.plan.items() if name not in ("verb", "period_at")}
    assert connect(host).act(replace(preview, plan=old), new_key(), 20).message == f"started on db07 as {ME}"


@pytest.mark.parametrize("verb", [Verb.MARK_OK, Verb.SKIP])
def test_cron_has_no_state_that_could_be_marked(host: LocalHost, verb: Verb) -> None:
    with pytest.raises(NotSupported, match="it has: rerun, start, cancel, hold, release"):
        connect(host).preview(ask(verb, "db07:night"), 20)
