"""Who is notified of what: routes, texts, and outside text that stays harmless."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from connectors.sdk.states import RunState
from console.control.alerts.headline import NO_SERVICE
from console.control.evaluate import evaluate
from console.domain.decision import IncidentDecision
from console.domain.estate import EvaluationSettings, JobFacts, RunFacts
from tests.control.ledger import ended
from tests.factories import at, estate, feeds, job, minutes, run, service
from tests.messages import written
from tests.reasons import evidence_of, title_of, zoned
from tests.rows import each_row

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20))
LOAD = job(2, "warehouse/load", "04:00", expected=minutes(30))


def failed(of: JobFacts, **more: Any) -> RunFacts:
    return run(7, of, "03:10", RunState.FAILED, **ended("03:10", 2), **more)


def notified_incident(
    root: JobFacts = EXTRACT, tail: str = "", settings: EvaluationSettings | None = None, **more: Any
) -> IncidentDecision:
    facts: dict[str, Any] = {
        "runs": [replace(failed(root), tail=tail)],
        "feeds": feeds(root, LOAD),
        "services": [service("daily", "06:30", LOAD)],
    }
    decisions = evaluate(estate(root, LOAD, settings=settings, **(facts | more)), at("03:20"))
    (incident,) = decisions.incidents
    return incident


@each_row(
    "of_job, of_service, expected",
    [
        ((), (), [("oncall", "technical")]),
        (("etl",), (), [("etl", "technical")]),
        ((), ("finance",), [("oncall", "technical"), ("finance", "business")]),
        (("etl",), ("etl",), [("etl", "technical")]),
        (("etl", "ops"), ("ops", "finance"), [("etl", "technical"), ("ops", "technical"), ("finance", "business")]),
    ],
)
def test_the_routes_of_the_root_cause_are_notified_of_it_and_those_of_services_of_the_impact_each_once(
    of_job: tuple[str, ...], of_service: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    root = job(1, "hosts/extract", "03:10", expected=minutes(20), notify=of_job)
    incident = notified_incident(root, services=[service("daily", "06:30", LOAD, notify=of_service)])
    assert expected == [(notice.route, notice.style) for notice in incident.notices]


def test_without_a_route_for_the_root_and_a_default_the_services_are_notified_of_the_cause() -> None:
    incident = notified_incident(
        services=[service("daily", "06:30", LOAD, notify=("finance",))], settings=EvaluationSettings()
    )
    assert [("finance", "technical")] == [(notice.route, notice.style) for notice in incident.notices]


def test_without_any_route_nobody_is_notified_and_the_incident_remains() -> None:
    incident = notified_incident(settings=EvaluationSettings())
    assert ((), "opened: hosts/extract failed") == (incident.notices, zoned(incident.event))


def test_deadlines_are_shown_in_the_zone_of_their_service_with_its_label() -> None:
    (notice,) = notified_incident(
        services=[service("daily", "07:30", LOAD, zone="Europe/Berlin", title="Daily revenue")]
    ).notices
    assert "SERVICE        DUE (CET)  STATUS\nDaily revenue  07:30      at risk, act by 06:40\n" in written(notice).body
    assert re.search(r"^Daily revenue  .* 07:00; ", written(notice).body, re.MULTILINE)
    assert "Daily revenue 07:30 at risk: restart extract by 06:40 (in 2 h 20 min) [{incident}]" == written(notice).title


def test_owner_and_runbook_come_from_the_job_else_from_the_first_service() -> None:
    named = service("daily", "06:30", LOAD, owner="finance-data", runbook="https://wiki/daily")
    incident = notified_incident(services=[named])
    assert ("finance-data", "https://wiki/daily") == (incident.owner.name, incident.owner.runbook)
    own = job(1, "hosts/extract", "03:10", expected=minutes(20), owner="etl", runbook="https://wiki/extract")
    incident = notified_incident(own, services=[named])
    assert ("etl", "https://wiki/extract") == (incident.owner.name, incident.owner.runbook)


def test_what_is_missing_takes_no_room() -> None:
    (notice,) = notified_incident(services=[]).notices
    assert f"hosts/extract failed, {NO_SERVICE} [{{incident}}]" == written(notice).title
    assert [] == [
        text for text in ("Owner", "Runbook", "SERVICE", "log", "not set", "–") if text in written(notice).body
    ]


def test_the_tail_of_a_failed_task_is_that_of_its_dag() -> None:
    task = job(3, "hosts/extract.publish", parent_id=1)
    runs = [run(6, EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2)), run(7, task, "03:10", RunState.FAILED)]
    runs[1] = replace(runs[1], tail="KeyError: 'amount'")
    decisions = evaluate(estate(EXTRACT, task, runs=runs), at("03:20"))
    assert "  | KeyError: 'amount'\n" in written(decisions.incidents[0].notices[0]).body


def test_only_the_end_of_a_long_log_is_sent() -> None:
    body = written(notified_incident(tail="\n".join(f"line {number}" for number in range(100))).notices[0]).body
    assert "  | line 99\n" in body
    assert "line 79\n" not in body
    assert "  | line 80\n" in body


HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2J\u202e\x00"


def test_hostile_names_and_logs_leave_nothing_that_acts_on_a_terminal() -> None:
    root = job(
        1, f"hosts/ex{HOSTILE}tract\n[bold]", "03:10", expected=minutes(20), owner=f"me{HOSTILE}", runbook=HOSTILE
    )
    incident = notified_incident(
        root, tail=f"a{HOSTILE}b\rc", runs=[failed(root, message=f"x{HOSTILE}\ny", exit_code=1)]
    )
    (notice,) = incident.notices
    message = (
        written(notice).title
        + written(notice).body.replace("\n", "")
        + title_of(incident)
        + evidence_of(incident)
        + zoned(incident.event)
        + incident.key
    )
    assert [] == [name for name in message if not (name.isprintable() or name == "\ufffd")]
    assert "\n" not in written(notice).title


def test_an_update_says_what_is_new_and_a_recovery_why_it_is_over() -> None:
    first = notified_incident()
    assert "failed" not in written(first.notices[0]).title + written(first.notices[0]).body


def test_link_texts_contain_no_text_of_a_job() -> None:
    runs = [failed(EXTRACT, message="SECRET of the customer", native_state="ODD WORD")]
    (notice,) = notified_incident(runs=runs, tail="SECRET in its log").notices
    assert "SECRET of the customer" in written(notice).title + written(notice).body
    plain = written(notice).plain_title + written(notice).plain_body
    assert [] == [text for text in ("SECRET", "ODD WORD", "  | ") if text in plain]
    assert "Daily 06:30 at risk: restart extract by " in written(notice).plain_title
    for text in ("Daily    06:30      at risk", "act by", "Open         headway incident {incident}"):
        assert text in written(notice).plain_body


def test_of_many_causes_that_affect_one_tier_1_service_the_first_notification_alone_is_urgent() -> None:
    other = job(3, "hosts/other", "03:10", expected=minutes(20))
    runs = [failed(EXTRACT), run(8, other, "03:10", RunState.FAILED, **ended("03:10", 2))]
    edges = [*feeds(EXTRACT, LOAD), *feeds(other, LOAD)]
    for tier, urgent in ((1, [True, False]), (2, [False, False])):
        services = [service("daily", "06:30", LOAD, tier=tier)]
        facts = estate(EXTRACT, LOAD, other, runs=runs, feeds=edges, services=services)
        incidents = evaluate(facts, at("03:20")).incidents
        assert urgent == [incident.notices[0].urgent for incident in incidents]
