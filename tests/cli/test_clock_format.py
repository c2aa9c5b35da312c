"""Every clock time that a command prints has its zone, and one command uses one zone rule."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.sdk.states import RunState
from console.cli import clock_format
from console.cli.clock_format import in_display_zone, period, timestamp
from console.cli.incidents import shift_start
from console.cli.main import main
from console.cli.runs import period_text
from console.domain.ids import micros
from console.domain.switches import SwitchState, format_freeze
from tests.cli.lines import LINES
from tests.cli.test_json import CONFIG, run_with_json
from tests.cli.test_recover import at_work
from tests.deep import few
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway
from tests.tui.fake_reads import at, run_row

HOME = "Asia/Kathmandu"
"""An hour and minute that no other zone shows."""
CLOCK = re.compile(r"(?<![\d:.])\d{1,2}:\d\d(?::\d\d)?(?![\d:])")
LABEL = re.compile(r"(?: UTC\b| \+0545\b|[+-]\d\d:\d\d)")
NAMES_ITS_ZONE = re.compile(rf"UTC|\+0545|{HOME}")
HEADING = re.compile(rf"times: (?:UTC|{HOME})")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A night with a failed run that a service in Nepal needs, an acknowledged incident and a silence."""
    folder = tmp_path_factory.mktemp("times")
    (folder / "headway.toml").write_text(CONFIG)
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(folder, scheduler)
    due = (datetime.now(ZoneInfo(HOME)) + timedelta(hours=2)).time().replace(microsecond=0)
    services = {"supply": replace(config.services["supply"], zone=HOME, deadline=due)}
    with running_bench(folder, scheduler, replace(config, services=services)) as made:
        scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1")
        made.turn()
        with made.store.write(None) as connection:
            connection.rows("UPDATE target SET lost_since_us = 1, lost_until_us = ?", (micros(datetime.now(UTC)),))
        with at_work(made):
            for act in ACTS:
                headway(made.url, *act)
            yield made


ACTS = (
    ("ack", "1"),
    ("incident note", "1", "it was the disk"),
    ("silence", "add", "--system", "fake", "--for", "1h", "--why", "x"),
    ("system pause", "fake", "--why", "x", "--for", "1h"),
)
WITH_TIMES = (
    ("status",),
    ("system",),
    ("system", "fake"),
    ("service",),
    ("service", "supply"),
    ("forecast tonight",),
    ("job list",),
    ("job", "fake/extract"),
    ("run", "fake/extract"),
    ("incident list", "--all"),
    ("incident", "1"),
    ("incident report", "1"),
    ("incident handover",),
    ("incident handover", "--markdown"),
    ("why", "fake/load"),
    ("why", "supply"),
    ("blast", "fake/extract"),
    ("lineage", "fake/load"),
    ("action",),
    ("silence",),
    ("audit",),
    ("job findings",),
    ("hold",),
    ("ack", "1"),
    ("shadow", "report"),
    ("freeze", "--status"),
    ("service review", "supply"),
    ("report",),
    ("alert",),
    ("datacheck",),
    ("system drift",),
    ("recover", "1", "--dry-run", "--timeout", "30"),
)


def unlabelled(text: str) -> list[str]:
    """The lines with a clock time that neither it, nor another of its line, nor a heading above gives a zone."""
    results, is_headed = [], False
    for line in text.splitlines():
        is_headed = is_headed or HEADING.search(line) is not None
        times = list(CLOCK.finditer(line))
        bare = [match for match in times if not LABEL.match(line, match.end())]
        if bare and not is_headed and not NAMES_ITS_ZONE.search(line):
            results.append(line)
    return results


def test_a_time_without_a_zone_is_found() -> None:
    lines = ["due 03:12", "due 03:12 UTC", "at 2026-11-20 03:12:04 UTC", "ran 03:12–04:00"]
    assert [lines[0], lines[3]] == unlabelled("\n".join(lines))
    assert [] == unlabelled(f"times: {HOME}\n 03:12–04:00")


@pytest.mark.parametrize("number", few(range(len(WITH_TIMES)), 8), ids=lambda number: " ".join(WITH_TIMES[number]))
def test_each_time_names_its_zone_which_is_one_for_all_and_utc_on_demand(
    bench: Bench, tmp_path: Path, number: int
) -> None:
    line = WITH_TIMES[number]
    (tmp_path / "headway.toml").write_text(CONFIG)
    own, utc = run_with_json(bench, tmp_path, line), run_with_json(bench, tmp_path, line, "--utc")
    assert (own.code, True) == (utc.code, bool(own.out)), own.err
    assert ([], []) == (unlabelled(own.out), unlabelled(utc.out))
    assert [] == re.findall(r"^.*:\d\d:\d\dZ.*|^.*\d\d UTC\b.*", own.out, re.MULTILINE), (
        "in the services' zone, not in UTC"
    )
    assert [] == re.findall(r"^.*\+0545.*", utc.out, re.MULTILINE)


def test_every_command_that_shows_past_times_is_covered() -> None:
    assert set() == {line[0] for line in WITH_TIMES} - set(LINES)


def test_services_in_several_zones_leave_what_is_of_none_to_this_machines_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = datetime(2026, 11, 20, 3, 12, 4, tzinfo=UTC)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        with clock_format.command_zone(in_utc=False):
            clock_format.share_service_zone({HOME, "Europe/Berlin"})
            assert ("2026-11-19 22:12:04 EST", "22:12 EST") == (timestamp(at), clock_format.clock_text(at, at))
            clock_format.share_service_zone({HOME})
            assert "2026-11-20 08:57:04 +0545" == timestamp(at)
        with clock_format.command_zone(in_utc=True):
            assert ("2026-11-20 03:12:04 UTC", "03:12 UTC") == (timestamp(at), clock_format.clock_text(at, at))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_that_is_typed_is_read_on_the_same_wall() -> None:
    now = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
    with clock_format.command_zone(in_utc=False):
        clock_format.share_service_zone({HOME})
        assert datetime(2026, 11, 19, 16, 15, tzinfo=UTC) == shift_start("22:00", now)
        assert datetime(2026, 11, 19, 16, 15, tzinfo=UTC) == shift_start("2026-11-19 22:00", now)
    with clock_format.command_zone(in_utc=True):
        assert datetime(2026, 11, 19, 22, tzinfo=UTC) == shift_start("22:00", now)


def test_the_console_starts_in_utc_where_requested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "headway.toml").write_text(CONFIG)
    begun: list[bool] = []

    def run(url: str, *, in_utc: bool, **_: object) -> int:
        begun.append(in_utc)
        return 0

    monkeypatch.setattr("console.tui.app.start.run_console", run)
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for texts in (["--utc"], []):
        main(["--config", str(tmp_path / "headway.toml"), *texts, "console", "--no-engine"])
    main(["--config", str(tmp_path / "headway.toml"), "--utc", "--no-engine"])
    assert [True, False, True] == begun


def test_the_second_of_a_freeze_is_shown() -> None:
    frozen = SwitchState("on", "mara", "", datetime(2026, 11, 26, 11, 43, 50, 123, tzinfo=UTC))
    assert ":43:50" in format_freeze(frozen, timestamp)


def test_the_period_of_a_run_is_its_planned_start_else_its_key() -> None:
    planned = run_row(1, 1, "airflow/load", period_key="scheduled__2026-11-20T02:00:00Z", period=at("03:00"))
    partition = replace(planned, period_name="2026-11-19|eu")
    by_hand = replace(planned, period=None, period_key="load-7")
    assert ["2026-11-20 02:00 UTC", "2026-11-20 02:00 UTC 2026-11-19|eu", "load-7"] == [
        period_text(run) for run in (planned, partition, by_hand)
    ]


def test_a_full_minute_of_a_text_or_a_period_is_shown_without_seconds() -> None:
    with clock_format.command_zone(in_utc=True):
        text = in_display_zone("held since 2026-11-19 03:00Z, ended 2026-11-19T03:15:07Z, not 2026-02-30 10:00 UTC")
        keys = [period(key) for key in ("2026-11-19T03:15:00Z", "start:2026-11-19T03:15:07Z", "2026-11-19", "start:x")]
    assert text == "held since 2026-11-19 03:00 UTC, ended 2026-11-19 03:15:07 UTC, not 2026-02-30 10:00 UTC"
    assert ["2026-11-19 03:15 UTC", "start 2026-11-19 03:15:07 UTC", "2026-11-19", "start:x"] == keys
