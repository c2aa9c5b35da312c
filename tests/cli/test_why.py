"""`headway why NAME`: over the store as it is, without an engine."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sdk.states import RunState
from console.cli.clock_format import command_zone, share_service_zone
from console.cli.exits import Exit
from console.cli.explain import reason_lines
from console.cli.main import main
from console.cli.service_delay import delay_document, delay_table, service_heading
from console.control.explain.lateness import LatenessBreakdown, LatenessShare, PathStep, RunTry, break_down_lateness
from console.domain.job import ExplanationStep
from console.domain.text import At
from console.engine.api.explain import JobExplanation
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway
from tests.tui.fake_reads import EXTRACT, services

__all__ = ["bench"]


def seen(bench: Bench) -> None:
    """A poll, whose target stays in sight for however long a test takes."""
    bench.turn()
    with bench.store.write(None) as connection:
        connection.rows("UPDATE system SET poll_every_s = 600")


def test_a_failed_job_says_why_with_its_evidence_and_what_to_do(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    seen(bench)
    assert Exit.OK == main(["--store", bench.url, "why", "fake/extract"])
    output = capsys.readouterr().out
    assert "fake/extract\n  failed      failed for " in output
    assert "evidence native" in output
    assert "next step: fake/extract, failed: headway rerun fake/extract" in output


def test_a_job_that_its_system_cannot_run_again_is_not_offered_a_rerun(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    seen(bench)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE system SET capabilities = 'log', missing = '{\"rerun\": \"it only listens\"}'")
    assert Exit.OK == main(["--store", bench.url, "why", "fake/extract"])
    output = capsys.readouterr().out
    by_hand = (
        "run it in its scheduler (it only listens); if its output is good already: headway run mark-ok fake/extract"
    )
    assert f"next step: fake/extract, failed: {by_hand}" in output
    assert "headway rerun" not in output


def test_every_time_of_the_reasons_is_in_the_zone_of_the_command() -> None:
    start, seen = datetime(2026, 11, 25, 17, 46, tzinfo=UTC), datetime(2026, 11, 25, 17, 45, tzinfo=UTC)
    proof = "run ", At(seen), ": observed ", At(seen)
    step = ExplanationStep("dwh/mart", "failed", ("it starts next ", At(start)), evidence=proof)
    with command_zone(in_utc=False):
        share_service_zone({"Europe/Berlin"})
        lines = "\n".join(reason_lines(JobExplanation("dwh/mart", (step,), None), seen))
    assert ("next 18:46 CET" in lines, lines.count("18:45 CET")) == (True, 2), lines


def test_near_misses_are_services_and_jobs(bench: Bench) -> None:
    """Of a service's name that was typed wrong, jobs alone were compared."""
    seen(bench)
    results = {name: headway(bench.url, "why", name) for name in ("suply", "fake/extrct")}
    assert {"suply": "did you mean supply?", "fake/extrct": "did you mean fake/extract?"} == {
        name: done.err.partition("; ")[2].splitlines()[-1] for name, done in results.items()
    }
    assert {Exit.NOT_FOUND} == {done.code for done in results.values()}


def test_what_is_for_a_service_is_not_passed_over_with_a_job(bench: Bench) -> None:
    seen(bench)
    done = headway(bench.url, "why", "fake/extract", "--date=2026-11-19")
    assert (Exit.USAGE, True) == (done.code, '--date needs a service, and "fake/extract"' in done.err)


def test_the_document_has_the_whole_chain(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.RUNNING, datetime.now(UTC) - timedelta(minutes=1))
    seen(bench)
    assert Exit.OK == main(["--store", bench.url, "why", "fake/extract", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert ("fake/extract", "running", 0) == (
        document["job"],
        document["reasons"][0]["kind"],
        document["reasons"][0]["depth"],
    )


def test_a_name_that_nothing_has_is_not_found(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    seen(bench)
    assert Exit.NOT_FOUND == main(["--store", bench.url, "why", "fake/extrakt"])
    assert "fake/extract" in capsys.readouterr().err


def test_a_service_says_where_its_minutes_went(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Extract usually takes 10 minutes (declared), and was red for 30 until now."""
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=30))
    seen(bench)
    assert Exit.OK == main(["--store", bench.url, "why", "supply"])
    output = capsys.readouterr().out
    assert "Supply plan  " in output
    assert "after its usual end, " in output
    assert re.search(r"after its usual end: repair \+30m(\d+s)?, to come \+", output), output
    assert re.search(r"\nforecast  usual repair: (\w+ )?\S+–(\w+ )?\S+ \S+, \d+ % risk of being late\n", output), output
    assert Exit.OK == main(["--store", bench.url, "why", "supply", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert ["fake/extract", "fake/load"] == [job["job"] for job in document["jobs"]]
    assert document["late_minutes"] == document["jobs"][-1]["late_minutes"]
    assert document["late_minutes"] == pytest.approx(sum(document["added_minutes"].values()), abs=1e-4)
    assert 30 == round(document["added_minutes"]["repair"])
    assert document["added_minutes"]["ahead"] > 0  # somebody has to look first


def test_a_cause_that_delayed_no_job_yet_is_named_instead_of_the_usual_finish() -> None:
    [at_risk, *_] = services()
    end = at_risk.deadline - timedelta(minutes=13)
    on_time = LatenessBreakdown((LatenessShare(EXTRACT, end, end, False),))
    lines = list(service_heading(at_risk, on_time, end))
    assert f"cause     {EXTRACT}: not repaired, and its delay is not known yet" == lines[-1]
    assert "its usual" not in "\n".join(lines)
    for view in (replace(at_risk, cause=""), replace(at_risk, timeliness="on_time", incident_id=None)):
        assert "at its usual end, 13m before its deadline" in list(service_heading(view, on_time, end))[-1]
    slow = LatenessBreakdown((LatenessShare(EXTRACT, end, end, False, slow=timedelta(minutes=1)),))
    assert "at its usual end" in list(service_heading(at_risk, slow, end))[-1]


def test_a_red_run_without_a_forecast_has_no_expected_end_and_keeps_its_delay() -> None:
    [view, *_] = services()
    now, takes = view.deadline - timedelta(minutes=20), timedelta(minutes=10)
    start = view.deadline - timedelta(minutes=60)
    load = PathStep("dwh/load", None, takes, ())
    red = PathStep(EXTRACT, start, takes, (RunTry(start, start + takes, good=False),))
    breakdown = break_down_lateness([red, load], now, delivered=False)
    assert list(service_heading(view, breakdown, now))[-1].endswith(f"; its end is unknown until {EXTRACT} is repaired")
    unknown = replace(view, expected=None, cause="")
    begun = replace(red, tries=(RunTry(start, None, good=False),))
    [*_, last] = service_heading(unknown, break_down_lateness([begun, load], now, delivered=False), now)
    assert last.endswith("; no estimate of its end"), "as headway service has none"
    without_start = break_down_lateness([load], now, delivered=False, expected=now)
    assert "usually   unknown: no start of dwh/load is known" == list(service_heading(view, without_start, now))[-1]
    assert (None, []) == (delay_document(view, without_start)["usual_end"], delay_document(view, without_start)["jobs"])
    table = delay_table(breakdown, now)
    ends = [column.title for column in table.columns].index("ends")
    assert ["–", "–"] == [row[ends] for row in table.rows]
    document: dict[str, Any] = delay_document(view, breakdown)
    assert [None, None] == [job["end"] for job in document["jobs"]]
    assert (None, None) == (document["end"], document["late_by_deadline_minutes"])
    assert timedelta(minutes=40) == breakdown.total("repair")
    good = replace(red, tries=(RunTry(start, start + takes, good=True),))
    for first, expected in ((red, now + takes), (good, None)):
        breakdown = break_down_lateness([first, load], now, delivered=False, expected=expected)
        assert "; usual repair: " in list(service_heading(view, breakdown, now))[-1]
        assert breakdown.parts[-1].end == delay_document(view, breakdown)["end"]


def test_a_service_whose_jobs_are_done_names_the_check_it_waits_for(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=30))
    seen(bench)
    with bench.store.write(None) as connection:
        connection.rows("""UPDATE service_day SET awaits = '["supply-rows"]'""")
    assert Exit.OK == main(["--store", bench.url, "why", "supply"])
    assert "waits     for check supply-rows; its jobs are done" in capsys.readouterr().out
    assert Exit.OK == main(["--store", bench.url, "why", "supply", "--json"])
    assert ["supply-rows"] == json.loads(capsys.readouterr().out)["awaits"]


def test_a_service_date_without_a_verdict_says_so(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == main(["--store", bench.url, "why", "supply", "--date", "2020-01-01"])
    assert "no critical path is known for that date" in capsys.readouterr().out


def test_a_job_without_a_schedule_shows_what_was_learned(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for number in range(12):
        start = now - timedelta(minutes=30 * number + 20)
        bench.scheduler.attempt("extract", f"a{number}", RunState.SUCCEEDED, start, period_key=f"p{number}")
    seen(bench)
    assert Exit.OK == main(["--store", bench.url, "job", "fake/extract"])
    assert "cadence     every 30m (learned: 100% of 12 starts)" in capsys.readouterr().out
    assert Exit.OK == main(["--store", bench.url, "job", "fake/extract", "--json"])
    assert "every 30m (learned: 100% of 12 starts)" == json.loads(capsys.readouterr().out)["cadence"]
