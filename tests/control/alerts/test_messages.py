"""What holds for every notification of every recorded night: its first line, its zone, and nothing empty or twice."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import takewhile

import pytest

from connectors.sdk.states import RunState
from console.control.alerts.notice import with_comparison
from console.domain.alert import BUSINESS, CAUSE_RESOLVED_LABEL, KIND_LABELS, PUSH_LENGTH, SHADOW, AlertKind
from console.domain.decision import IncidentDecision, Notice
from console.domain.estate import EvaluationSettings
from console.domain.history import LastGoodRun
from console.domain.message import BAR, RULE, Details, Facts
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, minutes, service, target
from tests.golden.alerts import recorded
from tests.messages import written
from tests.reasons import dated, evidence_of

CLOCK = r"(?:\d{1,2} [A-Z][a-z]{2} )?\d\d:\d\d"
ZONED = re.compile(rf"{CLOCK} ([A-Z]{{3,4}})\b|\(([A-Z]{{3,4}})\)")


@cache
def notices() -> tuple[tuple[str, IncidentDecision, Notice], ...]:
    """(night, incident, notice): all of them."""
    return tuple(
        (night, incident, notice)
        for night, recorder in recorded()
        for decisions in recorder.decided.decisions
        for incident in decisions.incidents
        for notice in incident.notices
    )


def test_the_nights_have_notices_of_every_kind_and_style() -> None:
    assert {(kind, "technical") for kind in AlertKind} <= {(notice.kind, notice.style) for _, _, notice in notices()}
    assert {"technical", BUSINESS, SHADOW} == {notice.style for _, _, notice in notices()}


def test_a_locked_phone_shows_a_service_and_its_deadline() -> None:
    for night, incident, notice in notices():
        is_safe = notice.kind is AlertKind.RECOVERED and " safe (" in written(notice).title
        if not incident.services or (incident.closed and is_safe):
            continue
        titles = [service.service.replace("-", " ").capitalize()[:12] for service in incident.services]
        shown = written(notice).title[:PUSH_LENGTH]
        assert any(title in shown for title in titles), (night, written(notice).title)
        assert re.search(CLOCK, shown), (night, written(notice).title)


def test_the_number_of_the_incident_comes_last() -> None:
    for night, _, notice in notices():
        assert re.search(r"(\[\{incident\}\]|\(\{incident\}, [^()]+\))$", written(notice).title), (
            night,
            written(notice).title,
        )
        assert 1 == written(notice).title.count("{incident}")


def test_a_resolved_incident_never_says_failed_in_its_first_line() -> None:
    ends = [notice for _, _, notice in notices() if notice.kind is AlertKind.RECOVERED]
    assert 10 < len(ends)
    assert [] == [written(notice).title for notice in ends if "failed" in written(notice).title]
    labels = KIND_LABELS[AlertKind.RECOVERED], CAUSE_RESOLVED_LABEL
    assert [] == [
        written(notice).title
        for notice in ends
        if not written(notice).title.removeprefix("Shadow: ").startswith(labels)
    ]


def test_one_message_has_one_zone() -> None:
    results = set()
    for night, _, notice in notices():
        zones = {item or other for item, other in ZONED.findall(f"{written(notice).title}\n{written(notice).body}")}
        assert 1 >= len(zones), (night, written(notice).title, zones)
        results |= zones
    assert {"UTC", "CET"} == results


def test_nothing_is_empty_and_nothing_is_repeated() -> None:
    for night, incident, notice in notices():
        body = written(notice).body
        lines = [line.strip() for line in body.split("\n") if line.strip() and line != RULE]
        assert [] == [line for line, number in Counter(lines).items() if number > 1], (night, body)
        assert not re.search(r"(?m)^[A-Z][a-z]+ {2,}(none|nobody|-|–)$| {2,}$", body), (night, body)
        if incident.reason and not incident.closed and notice.style != BUSINESS:
            text = f"{written(notice).title}\n{body}"
            assert 1 >= text.count(evidence_of(incident)), (night, text)


def test_a_fact_without_a_value_is_no_part_of_a_message() -> None:
    text = "\n".join(written(notice).body for _, _, notice in notices())
    for nothing in ("not available", "nothing that Headway sees", "nothing to compare", "nobody"):
        assert nothing not in text


def test_a_log_line_that_holds_the_error_is_not_shown_below_it() -> None:
    night = night_of("Daily", message="disk full", tail="writing\n03:12 ERROR disk full\nbye\n")
    body = written(night.incident().notices[0]).body
    assert body.endswith("Last log lines:\n\n  | writing\n  | bye\n")
    assert 1 == body.count("disk full")


def test_the_parts_of_a_technical_body_stand_in_their_order() -> None:
    """News, the error, the next steps, the services; the rule; the details."""
    for night, _, notice in notices():
        if notice.style == BUSINESS:
            continue
        above = list(takewhile(lambda block: block != Details(), notice.message.blocks))
        order = ["lines", "quote", "facts", "table"]
        kinds = [block.kind for block in above]
        assert sorted(kinds, key=order.index) == kinds, (night, written(notice).body)
        assert "facts" in kinds
        steps = [label for block in above if isinstance(block, Facts) for label, _ in block.rows]
        known = ["Do", "Stop", "Acknowledge", "Open", "Runbook"]
        assert sorted(steps, key=known.index) == steps


def test_an_act_by_that_has_passed_is_in_no_table() -> None:
    passed = [(incident, notice) for night, incident, notice in notices() if night == "act-by passed"]
    (_, notice) = passed[-1]
    assert "Supply plan  06:30      will miss, expected 06:50\n" in written(notice).body
    assert not re.search(r"act by|green by", written(notice).body)


def test_an_unmet_promise_appears_in_title_and_table_alone() -> None:
    opened = next(notice for night, _, notice in notices() if night == "nobody_starts_the_last_job")
    assert (
        "Supply plan 06:30 will miss: load has not started, expected 06:31, 1 min late [{incident}]"
        == written(opened).title
    )
    assert BAR not in written(opened).body
    assert written(opened).body.startswith("Do           headway why supply-plan\nAcknowledge  headway ack")


EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20), notify=("oncall",), owner="data")
LOAD = job(2, "warehouse/load", expected=minutes(30), target_id=2)


def night_of(title: str, message: str = "", tail: str = "") -> Ledger:
    """`extract` failed at 03:12; its service has that title."""
    named = replace(service("daily", "06:30", LOAD, notify=("planning",)), title=title, zone="America/Sao_Paulo")
    ledger = Ledger(
        estate(EXTRACT, LOAD, feeds=feeds(EXTRACT, LOAD), services=[named],
               targets=[target(1), target(2, "warehouse", "warehouse")])
    )  # fmt: skip
    ledger.evaluate("02:00")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2, message=message))
    ledger.log_read(ledger.state(EXTRACT, "03:10"), tail)
    ledger.evaluate("03:12")
    return ledger


def test_an_error_of_several_lines_is_not_shown_again_as_the_end_of_the_log() -> None:
    lines = 'ERROR:  relation "orders" does not exist\nLINE 1: SELECT * FROM orders\n'
    [notice, *_] = night_of("Daily", message=lines, tail=lines).incident().notices
    assert 1 == written(notice).body.count("does not exist")
    assert "Last log lines" not in written(notice).body


@pytest.mark.parametrize("title, is_row", [("retail/rebuild-index", True), ("extract", False), ("", False)])
def test_a_message_has_the_title_of_a_job_that_its_name_does_not_say(title: str, is_row: bool) -> None:
    """The mail named "fl_drc6j" alone, an id that nobody knows."""
    night = night_of("Daily")
    night.estate = replace(night.estate, jobs={**night.estate.jobs, EXTRACT.id: replace(EXTRACT, title=title)})
    night.estate = replace(night.estate, incidents=())
    night.evaluate("03:12")
    [notice, *_] = night.incident().notices
    assert is_row == bool(re.search(rf"(?m)^Title +{title}$", written(notice).body))


def test_drift_is_a_change_or_a_finding_but_not_both() -> None:
    night = night_of("Daily")
    seen, text = at("03:00"), "command is now load.sh -v"
    drifted = replace(EXTRACT, drift_reason=text, drift_since=seen, drift_change=7)
    night.estate = replace(night.estate, jobs={**night.estate.jobs, EXTRACT.id: drifted})
    root = night.state(EXTRACT, "03:10").id
    for drift in ((), ((seen, "definition", text),)):
        past = LastGoodRun(good_at=at("03:20", day=-1), drift=drift)
        night.estate = replace(night.estate, incidents=())
        night.evaluate("03:12")
        incident = with_comparison(night.incident(), night.estate.jobs, {root: past})
        assert bool(drift) == any(text in dated(line) for line in incident.changes.lines)
        [notice, *_] = incident.notices
        assert 1 == written(notice).body.count(text)
        assert f"headway system drift accept {EXTRACT.name} --change 7, or undo" in written(notice).body


@pytest.mark.parametrize("place", [0, 1])
def test_a_long_title_of_a_service_hides_its_deadline_in_neither_style(place: int) -> None:
    notice = night_of("Consolidated regulatory liquidity reporting for the board").incident().notices[place]
    assert re.match(rf"Consolidated .+… {CLOCK} at risk: ", written(notice).title), written(notice).title
    assert re.search(CLOCK, written(notice).title[:PUSH_LENGTH])


def test_a_message_about_no_service_has_the_zone_of_the_estate() -> None:
    """Neither that of the job nor that of its target: the mails of one night have one zone."""
    tokyo = replace(EXTRACT, zone="Asia/Tokyo")
    settings = EvaluationSettings(default_route=("oncall",), zone="Europe/Berlin")
    ledger = Ledger(estate(tokyo, targets=[target(1)], settings=settings))
    ledger.evaluate("02:00")
    ledger.run(tokyo, "03:10", RunState.FAILED, **ended("03:10", 2))
    ledger.evaluate("03:12")
    failed = written(ledger.incident().notices[0]).body
    ledger.target(1, failing_since=at("03:20"), error="connection refused", last_ok_at=at("03:19"))
    ledger.evaluate("03:40")
    [silent] = [
        written(notice).body
        for incident in ledger.decisions.incidents
        for notice in incident.notices
        if incident.cause.target_id
    ]
    for body, since in ((failed, "04:12 CET"), (silent, "04:20 CET")):
        assert f"Since          {since}\n" in body
        assert {"CET"} == {item or other for item, other in ZONED.findall(body)}
