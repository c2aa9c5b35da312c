"""What commands say to a person: plain words, and nothing left blank."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.cli import connectors, engine, exits, plan_draft, reader, requests, runs
from console.cli import console as console_command
from console.cli.alerts import suppressed_until
from console.cli.clock_format import clock_cell, clock_text, command_zone, share_service_zone, timestamp
from console.cli.console import engine_starter
from console.cli.engine_process import StartedEngine
from console.cli.exits import CommandError, Exit
from console.cli.incidents import incident_lines, incident_table
from console.cli.jobs import hold_text, job_lines, next_line
from console.cli.main import main
from console.cli.output import counted
from console.cli.services import service_lines
from console.domain.alert import DeliveryView, SuppressionView
from console.domain.finding import FindingView
from console.domain.header import lease_holder_text
from console.domain.history import EstimateBasis, EstimateKind
from console.domain.incident import AffectedServiceView, EventView, IncidentRow, IncidentView
from console.domain.plan import DraftStep, StepPeriod
from console.domain.reason import WorksAgain
from console.domain.service import Timeliness
from console.domain.system import DriftView
from console.domain.text import At, Title
from console.store.db import lease
from console.store.db.lease import HeldLease, acquire_lease, is_alive
from tests.factories import at
from tests.rows import each_row
from tests.store.ready import open_ready
from tests.tui.fake_reads import NOW, FakeReads, job_row, job_view, services


def test_the_next_start_names_its_schedule_while_a_change_is_not_accepted() -> None:
    row = job_row(9, "etl-hosts/db07:rotate", next=NOW + timedelta(seconds=36))
    view = job_view(row)
    assert "headway system drift" not in next_line(view, NOW)
    change = DriftView(1, row.name, "schedule", "* * * * * UTC became 8 13 * * * UTC", NOW)
    view = replace(view, changed_schedule="8 13 * * * UTC")
    assert next_line(replace(view, drift=(change,)), NOW).endswith(
        " by its changed schedule 8 13 * * * UTC, not accepted: headway system drift accept etl-hosts/db07:rotate"
    )
    both = replace(view, drift=(change, DriftView(2, row.name, "definition", "A.sh became B.sh", NOW)))
    assert next_line(both, NOW).endswith("accept etl-hosts/db07:rotate --change 2")
    schedule = next(line for line in job_lines(both, NOW) if line.startswith("schedule "))
    assert schedule.endswith(" as accepted; now 8 13 * * * UTC")


def test_a_help_of_verbs_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == main(["store", "--help"])
    assert "\nExample: headway store size --json\n" in capsys.readouterr().out


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "until, text",
    [(at("00:00"), "00:00 UTC"), (at("11:30"), "11:30 UTC"), (at("05:30", day=1), "Sat 21 Nov 05:30 UTC")],
)
def test_until_when_a_job_is_held_names_the_day_where_it_is_another(until: datetime, text: str) -> None:
    row = replace(FakeReads().jobs_by_ids([1])[0], state="held", held_by="headway", held_until=until)
    assert f"held by Headway until {text}" == hold_text(row, NOON)


@each_row(
    "holder, text",
    [
        ("db-ops:4711~3f0a91", "db-ops, process 4711"),
        ("db-ops:4711", "db-ops, process 4711"),
        ("", ""),
        ("somebody", "somebody"),
    ],
)
def test_a_holder_is_shown_as_host_and_process(holder: str, text: str) -> None:
    assert text == lease_holder_text(holder)


def test_a_time_of_another_year_names_that_too() -> None:
    then = NOON.replace(year=2020)
    assert ("Fri 20 Nov 2020 12:00 UTC", "2020-11-20 12:00 UTC") == (
        clock_text(then, NOON), clock_cell(then, NOON),
    )  # fmt: skip


@each_row("day, text", [(0, "23:00 UTC"), (1, "Sat 23:00 UTC"), (-1, "Thu 23:00 UTC"), (7, "27 Nov 23:00 UTC")])
def test_a_time_of_another_day_names_it_in_a_cell(day: int, text: str) -> None:
    now = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
    assert text == clock_cell(now.replace(hour=23, minute=0) + timedelta(days=day), now)


@pytest.mark.parametrize("until, text", [(None, "inhibit ends"), (NOON + timedelta(hours=14), "in 14h (Sat 21 Nov)")])
def test_what_is_held_back_says_until_when(until: datetime | None, text: str) -> None:
    """What no time ends is over with what holds it."""
    notice = SuppressionView("oncall", "technical", "opened", "inhibit", "x", until, since=NOON, incident_id=1)
    assert text == suppressed_until(notice, NOON)


def test_one_system_is_not_shown_in_the_plural() -> None:
    assert ("1 system", "2 systems", "0 systems", "1 run", "2,000 runs") == (
        counted("a", "system"),
        counted("ab", "system"),
        counted("", "system"),
        counted(1, "run"),
        counted(2000, "run"),
    )


def incident() -> IncidentView:
    row = IncidentRow(
        id=7, title=Title(("etl/a", " failed: exit 1")), cause="run", business_date="2026-11-20",
        reason=(), owner="", runbook="",
        failed_since=NOON, opened=NOON, closed=None, act_by=None, services=0, affected_runs=0,
        root_job="etl/a", root_run_id=1,
    )  # fmt: skip
    return IncidentView(row, (), (), (), (), "", "")


def test_an_incident_without_impact_or_notification_says_so() -> None:
    lines = incident_lines(incident(), NOON)
    assert ["  (none)", "  (none)"] == [lines[lines.index(head) + 1] for head in ("affected services", "notified")]


def test_an_alert_that_another_one_replaces_is_queued_with_that() -> None:
    """The error of its last attempt is history."""
    replaced = DeliveryView("oncall", "opened", "URL 1", "digested", 2, 0, None, "Connection refused")
    assert "  opened     oncall (URL 1): queued in another alert" in incident_lines(
        replace(incident(), deliveries=(replaced,)), NOON
    )


def test_the_root_of_an_incident_is_good_again_or_did_not_start() -> None:
    row, later = incident().row, NOON + timedelta(minutes=45)
    good = replace(incident(), row=replace(row, root_good=NOON + timedelta(minutes=14)))
    assert "failed 45m ago, repaired 31m ago · no act-by" in incident_lines(good, later)
    missed = replace(incident(), row=replace(row, root_state="missed"))
    assert "due 45m ago, did not start · no act-by" in incident_lines(missed, later)


def test_the_act_by_of_a_service_that_needs_one_is_unknown() -> None:
    at_risk = AffectedServiceView(
        name="supply", title="Supply plan", tier=2, zone="UTC", business_date="2026-11-19", deadline=NOON,
        timeliness=Timeliness.AT_RISK, basis=None,
    )  # fmt: skip
    met = replace(at_risk, timeliness=Timeliness.MET)
    for affected, act_by in (((at_risk, met), "act-by unknown"), ((met,), "no act-by")):
        assert f"failed 0s ago · {act_by}" == incident_lines(replace(incident(), services=affected), NOON)[1]


def test_the_times_of_an_incident_are_in_one_zone() -> None:
    text = "supply of 2026-11-19: not delivered by its deadline, ", At(NOON - timedelta(minutes=30))
    missed = EventView(NOON, "breached", text, "")
    with command_zone(in_utc=False):
        share_service_zone({"Europe/Berlin"})
        lines = "\n".join(incident_lines(replace(incident(), events=(missed,)), NOON))
    assert "not delivered by its deadline, 12:30 CET" in lines
    assert "UTC" not in lines


def test_an_incident_of_services_in_two_zones_is_in_the_zone_of_the_most_urgent_one() -> None:
    view = FakeReads().incident_
    first, second = view.services
    view = replace(view, services=(replace(first, zone="America/New_York"), second))
    assert "America/New_York" == view.zone
    with command_zone(in_utc=False):
        share_service_zone({view.zone})
        lines = "\n".join(incident_lines(view, NOW))
    assert "01:30 EST" in lines
    assert "CET" not in lines


def test_an_incident_as_lines_shows_the_source_of_each_fact_and_past_repairs() -> None:
    view = FakeReads().incident_
    first, *members = view.members  # a reason in UTC on a page in CET
    unseen = replace(first, reason=("etl-hosts/db07 not seen since ", At(at("02:39"))))
    with command_zone(in_utc=False):
        share_service_zone({"Europe/Berlin"})
        assert "not seen since 03:39 CET" in "\n".join(incident_lines(replace(view, members=(unseen, *members)), NOW))
    lines = incident_lines(view, NOW)
    runs = lines[lines.index("runs") + 1 : lines.index("log")]
    assert any(line.startswith(f"{'':<14}| ") and "last reported " in line for line in runs), runs
    assert [1, 0] == [sum(name in line for line in lines) for name in ("past repairs", "seen before")]
    texts = lines[lines.index("past repairs") + 1 :]
    assert f"      | {view.repairs[0].error}" == texts[1]
    assert texts[0].endswith("  rerun by mara, succeeded after 18m  (same error)"), texts[0]


def test_a_repair_that_never_succeeded_is_not_shown_as_one_that_worked() -> None:
    view = FakeReads().incident_
    stayed = tuple(replace(repair, how="", by="", took_s=None) for repair in view.repairs)
    lines = incident_lines(replace(view, repairs=stayed), NOW)
    assert ("past failures" in lines, "past repairs" in lines) == (True, False)


def test_a_closed_incident_gives_no_act_by() -> None:
    view = FakeReads().incident_
    assert any("  act by " in line for line in incident_lines(view, NOW))
    closed = replace(view, row=replace(view.row, closed=NOW))
    assert not [line for line in incident_lines(closed, NOW) if "act by" in line or "no act-by" in line]


def test_a_cause_that_is_no_run_shows_earlier_incidents_of_the_same_name() -> None:
    view = replace(FakeReads().incident_, repairs=(), seen_before=((NOON, WorksAgain()),))
    assert ["past repairs", "  2026-11-20 12:00:00 UTC  it works again"] == incident_lines(view, NOW)[-2:]


def test_the_wrapper_says_first_how_its_script_gets_to_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    connectors.run_cron(argparse.Namespace(what="wrapper", script_only=False, system=None))
    lines = capsys.readouterr().out.splitlines()
    assert "headway connector cron wrapper --script-only | ssh HOST 'cat >headway-sh'" in lines
    assert any(line.startswith("install -m 755 headway-sh ") for line in lines)


def test_the_gate_of_a_system_has_its_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "headway.toml"
    config.write_text('[systems.etl]\nkind = "cron"\nhosts = ["db07"]\nkey = "/k"\nuser = "ops"\nspool = "/srv/hw"\n')
    parameters = {"what": "gate", "config": str(config), "system": "etl"}
    connectors.run_cron(argparse.Namespace(**parameters, script_only=True))
    assert "SPOOL=/srv/hw\n" in capsys.readouterr().out
    connectors.run_cron(argparse.Namespace(**parameters, script_only=False))
    output = capsys.readouterr().out
    assert "headway connector cron gate --system etl --script-only | ssh HOST 'cat >headway-gate'" in output
    assert "~ops/.ssh/authorized_keys" in output
    with pytest.raises(exits.CommandError, match='no system "x" of kind cron; there are: etl'):
        connectors.run_cron(argparse.Namespace(**{**parameters, "system": "x"}, script_only=False))


@pytest.mark.parametrize(
    "message, is_sent",
    [("extract", True), ("db07:extract", True), ("etl/db07:extract", True), ("act", False), ("", False), ("y", False)],
)
def test_the_shortest_unique_name_is_suggested_and_a_longer_one_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], message: str, is_sent: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda: message)
    preview = {"safety": "ask", "confirm": "extract"}
    assert is_sent == requests.confirm_step(argparse.Namespace(yes=False), "etl/db07:extract", preview)
    assert "not declared safe: type extract to confirm: " == capsys.readouterr().err


def test_leaving_the_console_prints_which_engine_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "headway.toml"
    config.write_text("[estate]\n")
    begun = lambda url, path: StartedEngine(f"an engine on {Path(url).name}")  # noqa: E731
    monkeypatch.setattr("console.cli.engine_process.start_engine_if_needed", begun)
    monkeypatch.setattr("console.tui.app.start.run_console", lambda url, after_first_paint, **_: after_first_paint())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    console_command.run_console(argparse.Namespace(config=str(config), store=None, no_engine=False, ascii=False))
    assert "an engine on headway.db\n" == capsys.readouterr().err


def test_leaving_the_console_says_what_became_of_the_engine_that_it_had_started(tmp_path: Path) -> None:
    store = open_ready(str(tmp_path / "headway.db"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = StartedEngine("an engine was started and goes on", process, Path("engine.log"))
        assert "an engine was started and goes on" == started.on_leaving(store.url)
        process.kill()
        process.wait()
        stopped = f"the engine that this console had started has stopped (process {process.pid}, log engine.log)"
        alone = f"{stopped}: nothing is monitored and no alert is sent. Fix: headway engine"
        assert alone == started.on_leaving(store.url)
        assert isinstance(acquire_lease(store, "db-ops:4711~3f0a91", 60.0), HeldLease)
        assert f"{stopped}; the engine on db-ops, process 4711, works now" == started.on_leaving(store.url)
    store.close()


def test_an_engine_that_was_not_needed_is_not_mentioned_on_leaving(tmp_path: Path) -> None:
    """It ended by itself, because another one holds the lease."""
    store = open_ready(str(tmp_path / "headway.db"))
    acquire_lease(store, "db-ops:4711~3f0a91", 60.0)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert "" == StartedEngine("started", process, Path("engine.log")).on_leaving(store.url)
    store.close()


@pytest.mark.parametrize("more", [{}, {"no_engine": True}], ids=["started", "none"])
def test_leaving_a_store_without_an_engine_prints_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: dict[str, bool]
) -> None:
    """Also who has not started the engine that is dead now."""
    config, store = tmp_path / "headway.toml", tmp_path / "headway.db"
    config.write_text("")
    opened = open_ready(str(store))
    monkeypatch.setattr("console.cli.engine_process.start_engine_if_needed", lambda *_: StartedEngine(""))
    leave = lambda url, after_first_paint, **_: after_first_paint and after_first_paint()  # noqa: E731
    monkeypatch.setattr("console.tui.app.start.run_console", leave)
    arguments = argparse.Namespace(config=str(config), store=str(store), **more)
    console_command.open_console_at(arguments, None)
    assert "Fix: headway engine" in (error_output := capsys.readouterr().err)
    assert error_output.startswith("no engine has run on this store: nothing is monitored and no alert is sent")
    lease.acquire_lease(opened, "elsewhere:1~c0ffee", 60)
    console_command.open_console_at(arguments, None)
    assert "" == capsys.readouterr().err
    opened.close()


def test_a_shared_store_gets_no_engine_from_a_console(tmp_path: Path) -> None:
    config = tmp_path / "headway.toml"
    config.write_text("")
    arguments = argparse.Namespace(config=str(config))
    assert engine_starter(arguments, "postgresql://db/headway", []) is None


def test_an_ended_engine_counts_as_stopped_before_its_parent_reaps_it() -> None:
    """A console that started an engine is its parent until it is left."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_alive(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{child.pid}").exists()
    assert not is_alive(child.pid)
    child.communicate()
    assert not is_alive(child.pid)


def test_each_engine_that_cannot_be_stopped_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that still runs was not named where another one belongs to another user."""
    monkeypatch.setattr(engine, "_signal_to_stop", lambda pid: pid != 7)
    monkeypatch.setattr("console.store.db.lease.is_alive", lambda _: True)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(
        CommandError, match=r"process 7, belongs to another user.*; the engine on .*b.* still runs"
    ) as raised:
        engine._stop_processes({"a:7~c0ffee": 7, "b:8~c0ffee": 8})
    assert Exit.REFUSED == raised.value.code


def run_on_the_fake_night(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """A command's exit code on the store of `tests.tui.fake_reads`, where no engine answers."""

    @contextmanager
    def reading(_: argparse.Namespace) -> Iterator[FakeReads]:
        reads = FakeReads()
        header = reads.estate.header()
        monkeypatch.setattr(reads.estate, "header", lambda: header._replace(engine=header.engine._replace(alive=False)))
        yield reads

    monkeypatch.setattr(reader, "store_reader", reading)
    monkeypatch.setattr(runs, "store_reader", reading)
    return main(arguments)


def test_a_state_that_there_is_none_of_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Exit.USAGE == run_on_the_fake_night(monkeypatch, "job", "list", "--state", "broken")
    assert 'no state "broken"; there are planned, waiting,' in capsys.readouterr().err


def test_an_unknown_attempt_is_reported_even_without_an_engine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = next(job.name for job in FakeReads().jobs_ if job.run_id is not None and "extract_orders" in job.name)
    assert Exit.NOT_FOUND == run_on_the_fake_night(monkeypatch, "log", name, "--attempt", "99")
    assert "no attempt 99; the run has" in capsys.readouterr().err


def test_the_stored_tail_of_the_newest_attempt_is_not_shown_for_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads = FakeReads()
    name = next(job.name for job in reads.jobs_ if job.run_id is not None and "extract_orders" in job.name)
    view = reads.runs.run(reads.jobs.job(name).row.run_id or 0)
    first = view.attempts[0]
    second = replace(first, id=first.id + 1, number=first.number + 1)
    monkeypatch.setattr(FakeReads, "run", lambda *_: replace(view, attempts=(first, second), log="the newest's words"))
    assert Exit.NOT_FOUND == run_on_the_fake_night(monkeypatch, "log", name, "--attempt", str(first.number))
    output = capsys.readouterr()
    assert ("", True) == (output.out, "a running engine fetches the others" in output.err)
    assert Exit.OK == run_on_the_fake_night(monkeypatch, "log", name, "--attempt", str(second.number))
    assert "the newest's words" in capsys.readouterr().out


def test_a_system_that_there_is_none_of_is_not_answered_by_an_empty_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Exit.NOT_FOUND == run_on_the_fake_night(monkeypatch, "job", "list", "--system", "etl-host")
    assert '"system etl-host" not found; did you mean etl-hosts?' in capsys.readouterr().err


def test_how_long_a_step_takes_ends_in_no_dot_where_nothing_says_from_what() -> None:
    step = DraftStep(1, "hold", 1, "etl/a", "etl", None, StepPeriod(), "", ("its own clock",), expected_s=0.0)
    assert "      duration 0s" in plan_draft._step_lines(step, timestamp)
    assert "      duration 0s · declared duration" in plan_draft._step_lines(
        replace(step, basis=EstimateBasis(EstimateKind.DECLARED)), timestamp
    )


def test_repeated_failures_are_named_in_plain_words() -> None:
    count = FindingView(1, "n_in_a_row", "alert", "fake/load", 1, "", None, NOON, NOON, None, "", ("failed 3 times",),
                        "3 in a row", "default")  # fmt: skip
    view = replace(FakeReads().incident_, findings=(count,))
    assert "  repeated failures fake/load: failed 3 times; threshold 3 in a row, default" in incident_lines(view, NOW)


@each_row(
    "kind, runs, text",
    [
        ("none", 0, "no estimate (0 successful runs with a duration)"),
        ("none", 1, "no estimate (1 successful run with a duration)"),
        ("history", 12, "history (12 runs)"),
    ],
)
def test_what_an_estimate_counts_is_named(kind: str, runs: int, text: str) -> None:
    service = replace(services()[0], sources=({"job": "dwh/load", "source": kind, "runs": runs},))
    assert f"estimate       dwh/load: {text}" in service_lines(service, NOW)


def test_a_job_without_an_estimate_counts_its_successes() -> None:
    view = replace(job_view(job_row(9, "etl-hosts/db07:rotate")), p50_s=None, expected_s=None, history_runs=1)
    assert any(line.endswith(" no estimate: 1 successful run with a duration") for line in job_lines(view, NOW))


def test_the_list_of_incidents_names_what_its_runs_are() -> None:
    incidents = FakeReads().incidents.list_incidents()
    assert "red or stale" in [column.title for column in incident_table(incidents, NOW).columns]
