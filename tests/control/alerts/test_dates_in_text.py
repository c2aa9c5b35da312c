"""A time on another day is shown with that day: begun before midnight and found after it, and the reverse."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from connectors.sdk.states import RunState
from console.control.detection.rules import current_findings
from console.control.evaluate import evaluate
from console.control.expectations.expected_runs import expect_runs
from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import JobFacts, RunFacts
from console.domain.finding import DetectionRule
from console.domain.reason import NativeStart, reasons_text
from console.timing.formats import zoned_time
from tests.control.detection.test_rules import past
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, run, service, target
from tests.reasons import source_text, title_of
from tests.rows import each_row

LATE = job(1, "etl-hosts/db07:extract", "23:50", budget_time=minutes(30))
KNOWN = past(*[600.0] * 20, waited=60)


def texts_by_rule(clock: str, *runs: RunFacts, of: JobFacts = LATE, **more: Any) -> dict[DetectionRule, str]:
    """What each rule says at that time."""
    seen = target(last_ok_at=at(clock), seen_until=at(clock))
    known = replace(estate(of, runs=runs, targets=[seen]), history={of.id: KNOWN}, **more)
    due = expect_runs(known, at(clock))
    index = EstateIndex(known, at(clock), due.runs, due.withdrawn)
    return {
        finding.rule: source_text(finding).partition("; threshold")[0] for finding in current_findings(index).findings
    }


RUNNING = run(1, LATE, "23:50", RunState.RUNNING)


@each_row(
    "rule, clock, runs, text",
    [
        (DetectionRule.TOO_LONG, "00:30", [RUNNING], "running since 19 Nov 23:50 UTC, longer than"),
        (DetectionRule.OVER_BUDGET, "00:30", [RUNNING], "running since 19 Nov 23:50 UTC, longer than"),
        (
            DetectionRule.NOT_STARTED,
            "00:01",
            [],
            "was due 23:50 UTC and did not start: no start in the log by 23:55 UTC",
        ),
        (
            DetectionRule.LATE_START,
            "00:31",
            [replace(RUNNING, started_at=at("00:30"), first_started_at=at("00:30"))],
            "began 20 Nov 00:30 UTC, 40m after it was due",
        ),
        (
            DetectionRule.STUCK_WAITING,
            "00:30",
            [replace(RUNNING, state=RunState.QUEUED, queued_at=at("23:50"), started_at=None, first_started_at=None)],
            "queued since 19 Nov 23:50 UTC, longer than 11m",
        ),
        (
            DetectionRule.RETRY_STORM,
            "00:30",
            [
                replace(
                    RUNNING, state=RunState.RETRYING, attempt=6, first_started_at=at("23:50"), started_at=at("00:20")
                )
            ],
            "was tried 6 times since 19 Nov 23:50 UTC, more than 4",
        ),
    ],
)
def test_a_finding_names_the_day_of_what_began_on_another(
    rule: DetectionRule, clock: str, runs: list[RunFacts], text: str
) -> None:
    assert texts_by_rule(clock, *runs)[rule].startswith(text)


def test_a_start_that_is_given_up_after_midnight_names_both_days() -> None:
    close = job(1, "etl-hosts/db07:extract", "23:58")
    why = "was due 19 Nov 23:58 UTC and did not start: no start in the log by 00:03 UTC"
    assert why == texts_by_rule("00:04", of=close)[DetectionRule.NOT_STARTED]
    waits = texts_by_rule("00:02", of=close)[DetectionRule.LATE_START]
    assert waits.startswith("was due 19 Nov 23:58 UTC and has not begun")


def test_the_clock_of_a_downstream_names_its_day_in_the_evening_before() -> None:
    extract, load = job(1, "hosts/extract", "22:10", expected=minutes(20)), job(2, "dwh/load", "04:00")
    load = replace(load, expected=minutes(30))
    failed = run(1, extract, "22:10", RunState.FAILED)
    known = estate(extract, load, runs=[failed], feeds=feeds(extract, load), services=[service("daily", "06:30", load)])
    for clock, day in (("22:40", "20 Nov "), ("00:10", "")):
        [incident] = evaluate(known, at(clock)).incidents
        text = reasons_text(incident.services[0].reasons, partial(zoned_time, zone="UTC", near=at(clock)))
        [start] = incident.services[0].reasons
        assert isinstance(start, NativeStart)
        assert f"{day}04:00 UTC load starts: {start.consequence}" == text


def test_a_possible_delay_tomorrow_is_shown_with_its_date() -> None:
    extract = job(1, "hosts/extract", "21:10", expected=minutes(20))
    load = job(2, "warehouse/load", target_id=2, expected=minutes(20))
    ledger = Ledger(estate(extract, load, feeds=feeds(extract, load), services=[service("plan", "00:10", load)]))
    ledger.run(extract, "21:10", RunState.SUCCEEDED, started_at=at("21:10"), ended_at=at("21:30"), attempt=1)
    ledger.evaluate("23:55")
    title = title_of(ledger.incident(), at("23:55"))
    assert title.startswith("Plan is expected after its deadline 20 Nov 00:10 UTC, and nothing")
    ledger.evaluate("00:12")
    assert title_of(ledger.incident()).startswith("Plan was not delivered by 00:10 UTC, and nothing")
