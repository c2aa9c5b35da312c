"""A target is ok only if nothing prevents it from reporting all that it knows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.contract import SourcePermission
from connectors.sdk.records import Schedule
from connectors.sdk.states import STOPPED, RunState
from console.cli.clock_format import act_by_text
from console.cli.main import main
from console.cli.status import drift_lines, health_text
from console.domain.ids import micros
from console.domain.switches import SystemPause
from console.domain.system import DriftView, TargetView
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.rows import each_row

__all__ = ["bench"]

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WELL = TargetView(
    system="etl-hosts", kind="cron", name="db07", last_ok=NOON, failing_since=None, error="", error_kind="",
    skew_s=0.0, zone="UTC", poll_ms=12.0, poll_every_s=15.0, skipped=0, skipped_reasons=(), warnings=(), version="",
    rights=(), jobs=3, capabilities=(), missing={},
)  # fmt: skip


@each_row(
    "target, text",
    [
        (WELL, "ok"),
        (replace(WELL, last_ok=None), "not seen yet"),
        (replace(WELL, last_ok=NOON - timedelta(minutes=1)), "not seen"),
        (replace(WELL, error_kind="refused", last_ok=NOON - timedelta(seconds=46)), "refused"),
        (
            replace(WELL, error_kind="unreachable", last_ok=NOON - timedelta(seconds=22)),
            "unreachable, runs unknown in 23s",
        ),
        (replace(WELL, error_kind="unreachable", last_ok=None), "unreachable"),
        (replace(WELL, warnings=("/var/log/cron.log: denied",)), "! 1 warning, see below"),
        (replace(WELL, warnings=("one",), error="cron does not run on db07", error_kind=STOPPED), "! NOTHING STARTS"),
        (replace(WELL, warnings=("one", "two")), "! 2 warnings, see below"),
        (replace(WELL, rights=({"name": "read cron's log", "held": False, "needed_for": "view"},)), "! missing rights"),
        (replace(WELL, rights=({"name": "rerun as etl", "held": False, "needed_for": "act"},)), "ok"),
    ],
)
def test_the_health_of_a_target_is_its_worst_trouble(target: TargetView, text: str) -> None:
    assert text == health_text(target, NOON, is_engine_alive=True)


def test_without_an_engine_a_target_is_not_polled_rather_than_not_seen() -> None:
    old = replace(WELL, last_ok=NOON - timedelta(minutes=1))
    assert "not polled" == health_text(old, NOON, is_engine_alive=False)
    assert "refused" == health_text(replace(WELL, error_kind="refused"), NOON, is_engine_alive=False)


def test_the_engines_of_a_shared_store_are_listed_with_their_share_and_last_heartbeat(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    now_us = micros(datetime.now(UTC))
    engines = [
        ("test", now_us, "", 0),
        ("db08:12~bb", now_us - 1_200_000_000, "", 170),
        *((f"db08:{number}~bb", now_us - 1_800_000_000, "", 1) for number in range(3, 11)),
        ("db09:13~cc", now_us, "polls nothing", 0),
    ]
    with bench.store.write(None) as session:
        columns = "holder, since_us, heartbeat_us, until_us, trouble, hand_overs"
        session.many(f"INSERT INTO engine ({columns}) VALUES (?, 0, ?, 0, ?, ?)", engines)
        session.rows("UPDATE shard SET holder = 'test' WHERE id < 171")
        session.rows("UPDATE shard SET holder = 'db08:12~bb', fence = 3 WHERE id >= 171")
    main(["--store", bench.url, "status"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    at = lines.index("engine role shards hand-overs heartbeat message")
    rows = [re.sub(r"\b\ds ago", "now", line) for line in lines[at + 1 : at + 4]]
    assert ["test leads 171 0 now –", "db09, process 13 idle 0 0 now polls nothing"] == rows[:2]
    assert "9 engines no heartbeat 85 170 20m ago –" == rows[2]


@pytest.mark.parametrize("hours, day", [(0, ""), (48, "%a ")])
def test_a_pause_that_ends_on_another_day_names_it(hours: int, day: str) -> None:
    until = NOON + timedelta(hours=hours)
    paused = replace(WELL, pause=SystemPause("etl-hosts", "mara", "a new disk", NOON, until))
    assert f"paused until {until.astimezone():{day}%H:%M %Z}" == health_text(paused, NOON, is_engine_alive=True)


@pytest.mark.parametrize(
    "act_by, cell",
    [(-30, "11:30 UTC passed"), (0, "12:00 UTC passed"), (18, "12:18 UTC in 18m")],
)
def test_an_act_by_that_has_passed_says_so(act_by: int, cell: str) -> None:
    assert cell == act_by_text(NOON + timedelta(minutes=act_by), NOON)


def test_rights_lost_on_a_target_appear_in_the_status(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with bench.store.write(None) as connection:
        connection.rows("UPDATE system SET poll_every_s = 600")
    bench.turn()
    main(["--store", bench.url, "status"])
    before = capsys.readouterr().out
    bench.scheduler.warnings = ("/var/log/cron.log: denied: usermod -a -G adm headway",)
    bench.turn()
    main(["--store", bench.url, "status"])
    after = capsys.readouterr().out
    assert ("! 1 warning" in before, "! 1 warning, see below" in after) == (False, True)
    assert "fake/one: /var/log/cron.log: denied: usermod -a -G adm headway" in after


def test_a_missing_right_appears_in_the_status_with_its_fix(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.scheduler.rights = (
        SourcePermission("rerun as etl", False, "sudo asks for a password", "Add a rule.", "act"),
    )
    bench.turn()
    main(["--store", bench.url, "status"])
    output = capsys.readouterr().out
    assert "fake/one: cannot act: rerun as etl is missing: sudo asks for a password. Add a rule." in output


def test_lost_evidence_appears_in_the_status(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.turn()
    [target] = bench.reads().estate.systems()
    assert target.last_ok is not None
    lost = target.last_ok - timedelta(hours=1)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE target SET lost_since_us = 0, lost_until_us = ?", (micros(lost),))
    main(["--store", bench.url, "status"])
    output = capsys.readouterr().out
    assert f"evidence of starts before {lost:%Y-%m-%d %H:%M}" in output  # with seconds on the same day
    assert " is incomplete; they are not reported as missed" in output


def test_a_dependency_contradicted_by_the_schedule_appears_in_the_status(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dependency that makes every run a stale read is reported with its reason."""
    opens = bench.config.systems["fake"].settings.cutoff.hour  # the bench's day opens twelve hours from now
    for name, hours in (("extract", 8), ("load", 4)):
        bench.scheduler.job(name, Schedule("debian-cron", f"0 {(opens + hours) % 24} * * *", "UTC"))
    bench.turn()
    main(["--store", bench.url, "status"])
    assert "each of its runs counts as a stale read" in capsys.readouterr().out


def test_the_status_names_the_jobs_whose_schedule_changed() -> None:
    changes = [DriftView(number, f"etl/{number}", "schedule", "02:00 became 08:35", NOON) for number in range(7)]
    lines = list(drift_lines(changes))
    assert ["drift that is not accepted (headway system drift):", "  etl/0: 02:00 became 08:35"] == lines[:2]
    assert "  … 2 more" == lines[-1]


def test_the_status_prints_the_drift_and_the_silenced_incidents(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("extract", "x1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=5))
    bench.turn()
    with bench.store.write(None) as session:
        session.rows(
            "INSERT INTO drift (job_id, what, text, seen_us, accepted_by) VALUES (1, 'schedule', 'changed', 0, '')"
        )
        session.rows(
            "INSERT INTO alert_suppressed (incident_id, route, style, kind, stage, why, since_us, ended_why)"
            " VALUES (1, 'oncall', 'technical', 'updated', 'silence', 'silence 3 of anna', 0, '')"
        )
    main(["--store", bench.url, "status"])
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("drift that is not accepted (headway system drift):")
    assert lines[at + 1].endswith(": changed")
    assert "SILENCED: INC-0001 (silence 3 of anna); list: headway silence" in lines
