"""Service days that are lost without a failure: notified once, as causes, where no other incident covers them."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import part_with
from console.domain.alert import AlertKind
from console.domain.decision import Decisions, IncidentDecision, ServiceDayVerdict
from console.domain.estate import LastVerdict
from console.domain.history import UNKNOWN, SuccessfulRun, build_history
from console.domain.reason import ScheduleChanged
from console.domain.service import Timeliness
from console.forecast.forecaster import Forecaster
from tests.control.ledger import Ledger
from tests.factories import NIGHT, at, daily, estate, feeds, job, minutes, run, service
from tests.messages import written
from tests.reasons import close_text, evidence_of, reason_of, title_of

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20))
LOAD = job(2, "warehouse/load", Schedule("none"), target_id=2, expected=minutes(20))
PLAN = service("supply-plan", "06:30", LOAD)


def night() -> Ledger:
    """An extract that is good at 03:30, and a load that somebody should start after it."""
    ledger = Ledger(estate(EXTRACT, LOAD, feeds=feeds(EXTRACT, LOAD), services=[PLAN]))
    ends(ledger, RunState.SUCCEEDED)
    return ledger


def ends(ledger: Ledger, state: RunState, ended: str = "03:30") -> None:
    ledger.run(EXTRACT, "03:10", state, started_at=at("03:10"), ended_at=at(ended), attempt=1)


def kinds(ledger: Ledger) -> list[AlertKind]:
    return [notice.kind for incident in ledger.decisions.incidents for notice in incident.notices]


def test_a_start_that_is_missing_is_notified_before_the_deadline_and_not_again_at_it() -> None:
    ledger = night()
    ledger.evaluate("06:09")
    assert [] == kinds(ledger)
    assert ledger.decisions.next_at is not None
    assert ledger.decisions.next_at <= at("06:11")
    ledger.evaluate("06:11")
    incident, day = ledger.incident(), ledger.day("supply-plan")
    assert ("undelivered", "undelivered:warehouse/load@2026-11-19") == (incident.cause.kind, incident.key)
    assert [("supply-plan", NIGHT)] == [(service.service, service.business_date) for service in incident.services]
    assert (Timeliness.WILL_MISS, "warehouse/load", None) == (day.timeliness, day.cause, day.act_by)
    assert [AlertKind.OPENED] == kinds(ledger)
    ledger.evaluate("06:31")
    assert (Timeliness.BREACHED, []) == (ledger.day("supply-plan").timeliness, kinds(ledger))
    assert title_of(ledger.incident()) == (
        "Supply plan was not delivered by 06:30 UTC, and nothing failed; it waits for warehouse/load"
    )


def test_an_unobserved_night_is_notified_late() -> None:
    ledger = night()
    ledger.evaluate("09:00")
    assert [AlertKind.OPENED] == kinds(ledger)


def test_after_a_standstill_no_deadline_is_called_missed_before_the_next_poll() -> None:
    """An engine that was down over the deadline notified of a breach before its first poll, which brought the end."""
    ledger = night()
    ledger.evaluate("05:00")
    before_poll = evaluate(ledger.estate, at("06:45"))
    assert () == before_poll.incidents
    ledger.evaluate("06:46")
    assert [AlertKind.OPENED] == kinds(ledger)


def test_what_was_lost_before_anybody_watched_is_no_news() -> None:
    ledger = night()
    ledger.target(2, first_ok_at=at("06:40"))
    ledger.evaluate("07:00")
    assert [] == kinds(ledger)
    day = ledger.day("supply-plan")
    reason = "its deadline was before the first poll of etl-hosts/db07: not counted"
    assert (Timeliness.NO_ESTIMATE, reason, None) == (day.timeliness, reason_of(day), day.expected_at)
    ledger.target(2, first_ok_at=at("06:20"))
    ledger.evaluate("07:00")
    assert [AlertKind.OPENED] == kinds(ledger)
    assert Timeliness.BREACHED is ledger.day("supply-plan").timeliness


def test_a_target_that_was_never_polled_leaves_the_forecast_until_the_deadline() -> None:
    ledger = night()
    known = ledger.estate.targets[2]
    ledger.evaluate("04:00")
    expected = ledger.day("supply-plan").expected_at
    assert expected is not None
    ledger = night()
    ledger.target(2, first_ok_at=None, last_ok_at=known.last_ok_at)
    ledger.evaluate("04:00")
    assert expected == ledger.day("supply-plan").expected_at


def test_a_start_that_the_first_poll_reports_proves_a_missed_deadline() -> None:
    ledger = night()
    ledger.target(2, first_ok_at=at("06:40"))
    ledger.run(LOAD, "06:15", RunState.RUNNING, started_at=at("06:15"), attempt=1)
    ledger.evaluate("07:00")
    assert Timeliness.BREACHED is ledger.day("supply-plan").timeliness


def test_its_job_that_fails_after_all_goes_on_as_the_same_incident() -> None:
    ledger = night()
    ledger.evaluate("06:11")
    ledger.run(LOAD, "06:15", RunState.FAILED, started_at=at("06:15"), ended_at=at("06:16"), attempt=1, exit_code=1)
    ledger.evaluate("06:17")
    incident = ledger.incident()
    assert ("run", "", "warehouse/load failed: exit 1") == (
        incident.cause.kind,
        incident.cause.subject,
        title_of(incident),
    )
    assert [AlertKind.UPDATED] == kinds(ledger)


def test_a_date_affected_by_a_failure_already_has_its_cause() -> None:
    ledger = night()
    ends(ledger, RunState.FAILED)
    ledger.evaluate("03:31")
    assert ["run"] == [incident.cause.kind for incident in ledger.decisions.incidents]
    ledger.evaluate("06:31")
    assert ["run"] == [incident.cause.kind for incident in ledger.decisions.incidents]
    ends(ledger, RunState.SUCCEEDED, "06:40")
    ledger.evaluate("06:41")
    ledger.evaluate("06:50")
    assert (["run"], []) == ([incident.cause.kind for incident in ledger.decisions.incidents], kinds(ledger))


def test_a_failure_repaired_in_time_does_not_hide_that_the_rest_was_not_started() -> None:
    ledger = night()
    ends(ledger, RunState.FAILED)
    ledger.evaluate("03:31")
    ends(ledger, RunState.SUCCEEDED, "04:00")
    ledger.evaluate("04:01")
    ledger.evaluate("06:09")
    assert [] == kinds(ledger)
    ledger.evaluate("06:11")
    assert [AlertKind.OPENED] == kinds(ledger)


@pytest.mark.parametrize(
    "timeliness, is_reported", [(Timeliness.WILL_MISS, False), (Timeliness.AT_RISK, True), (None, True)]
)
def test_a_date_that_turns_late_after_an_outage_of_seconds_is_notified_before_its_deadline(
    timeliness: Timeliness | None, is_reported: bool
) -> None:
    """An earlier incident does not suppress a later "will miss" until the deadline has passed; a loss that was
    notified with
    it is notified again only where it lasts for a while."""
    ledger = night()
    ledger.target(2, failing_since=at("06:05"), error="no route to host", error_kind="unreachable")
    ledger.evaluate("06:06")
    assert [AlertKind.OPENED] == kinds(ledger)
    ledger.target(2, failing_since=None)
    ledger.evaluate("06:08")
    known = {} if timeliness is None else {("supply-plan", NIGHT): LastVerdict(timeliness)}
    ledger.estate = replace(ledger.estate, last_verdicts=known)
    ledger.evaluate("06:12")
    assert is_reported is (AlertKind.OPENED in kinds(ledger))
    ledger.evaluate("06:24")
    assert is_reported is (AlertKind.OPENED not in kinds(ledger))


def test_a_late_date_that_is_not_continued_after_the_repair_is_notified_after_a_while() -> None:
    """A service that is late after its repair is notified even if the all-clear left after the deadline."""
    ledger = night()
    ends(ledger, RunState.FAILED)
    ledger.evaluate("03:31")
    ends(ledger, RunState.SUCCEEDED, "06:40")
    ledger.evaluate("06:41")
    ledger.evaluate("06:54")
    assert [] == kinds(ledger)
    ledger.evaluate("06:56")
    assert [AlertKind.UPDATED] == kinds(ledger)
    assert title_of(ledger.incident()) == (
        "Supply plan was not delivered by 06:30 UTC, and nothing failed; it waits for warehouse/load"
    )
    ledger.evaluate("07:20")
    assert ([], 1) == (kinds(ledger), len(ledger.estate.incidents))
    ledger.run(LOAD, "07:30", RunState.SUCCEEDED, started_at=at("07:30"), ended_at=at("07:40"))
    ledger.evaluate("07:41")
    assert ([AlertKind.RECOVERED], 0) == (kinds(ledger), len(ledger.estate.incidents))


def notified_at(ledger: Ledger, clock: str) -> list[tuple[str, str, str]]:
    ledger.evaluate(clock)
    return [
        (notice.kind.value, notice.route, written(notice).plain_title)
        for incident in ledger.decisions.incidents
        for notice in incident.notices
    ]


def test_a_route_notified_of_a_delay_is_notified_once_of_the_delivery_though_its_cause_ended_before() -> None:
    """The incident closed with its cause: no word of the delivery, "is late" twice, and a late service without any."""
    plan = service("supply-plan", "06:30", LOAD, notify=("biz",))
    ledger = Ledger(estate(EXTRACT, LOAD, feeds=feeds(EXTRACT, LOAD), services=[plan]))
    failed = {"exit_code": 3, "message": "template missing"}
    ledger.run(EXTRACT, "03:10", RunState.FAILED, started_at=at("03:10"), ended_at=at("03:30"), attempt=1, **failed)
    first = notified_at(ledger, "03:31")
    error = ledger.estate.incidents[0].reason
    assert error == ("template missing",)
    assert [("opened", "oncall"), ("opened", "biz")] == [pair[:2] for pair in first]
    late = "Update: Supply plan 06:30 late, expected "
    assert [("updated", "biz")] == [
        (kind, to) for kind, to, text in notified_at(ledger, "06:31") if text.startswith(late)
    ]
    ledger.run(
        EXTRACT, "03:10", RunState.SUCCEEDED, started_at=at("03:10"), ended_at=at("06:40"), attempt=1, exit_code=0,
        message="",
    )  # fmt: skip
    ledger.run(LOAD, "06:40", RunState.RUNNING, started_at=at("06:40"))
    updates = [("updated", "biz", "Update: Supply plan 06:30 late, expected 07:00 [{incident}]")]
    for clock in ("06:41", "06:50", "06:58"):
        assert (updates if clock == "06:41" else []) == notified_at(ledger, clock)
        (incident,), day = ledger.estate.incidents, ledger.day("supply-plan")
        assert (Timeliness.BREACHED, "hosts/extract") == (day.timeliness, day.cause)
        assert incident.reason == error, "it was replaced by what it waits for, and lost for its end"
    ledger.run(LOAD, "06:40", RunState.SUCCEEDED, started_at=at("06:40"), ended_at=at("07:00"))
    last = notified_at(ledger, "07:01")
    assert ("recovered", "biz", "Resolved: Supply plan 06:30 delivered late at 07:00 [{incident}]") in last
    assert {("recovered", "oncall"), ("recovered", "biz")} == {pair[:2] for pair in last}
    notices = [notice for incident in ledger.decisions.incidents for notice in incident.notices]
    [body] = [written(notice).body for notice in notices if notice.route != "biz"]
    assert "\nError          template missing\n" in body
    assert ((), []) == (ledger.estate.incidents, notified_at(ledger, "07:10"))


def test_the_end_of_one_of_two_causes_says_nothing_to_whoever_waits_for_a_day_that_is_late_by_the_other() -> None:
    plan = service("supply-plan", "06:30", LOAD, notify=("biz",))
    ledger = Ledger(estate(EXTRACT, LOAD, feeds=feeds(EXTRACT, LOAD), services=[plan]))
    ends(ledger, RunState.FAILED)
    notified_at(ledger, "03:31")
    notified_at(ledger, "06:31")
    ends(ledger, RunState.SUCCEEDED, "06:40")
    ledger.run(LOAD, "06:41", RunState.FAILED, started_at=at("06:41"), ended_at=at("06:42"))
    assert [] == [title for kind, to, title in notified_at(ledger, "06:43") if (kind, to) == ("recovered", "biz")]
    ledger.run(LOAD, "06:41", RunState.SUCCEEDED, started_at=at("06:50"), ended_at=at("07:00"))
    titles = [title for kind, to, title in notified_at(ledger, "07:01") if (kind, to) == ("recovered", "biz")]
    assert ["Resolved: Supply plan 06:30 delivered late at 07:00 [{incident}]"] == titles


def test_the_end_of_an_outage_that_made_it_late_is_not_its_delivery() -> None:
    plan = service("supply-plan", "06:30", LOAD, notify=("biz",))
    ledger = Ledger(estate(EXTRACT, LOAD, feeds=feeds(EXTRACT, LOAD), services=[plan]))
    ends(ledger, RunState.SUCCEEDED)
    ledger.target(2, failing_since=at("06:00"), error="no route to host", error_kind="unreachable")
    assert {"oncall", "biz"} == {to for _, to, _ in notified_at(ledger, "06:20")}
    notified_at(ledger, "06:31")
    ledger.target(2, failing_since=None)
    ledger.run(LOAD, "06:25", RunState.RUNNING, started_at=at("06:25"))
    assert [] == notified_at(ledger, "06:35")
    assert 1 == len(ledger.estate.incidents)
    ledger.run(LOAD, "06:25", RunState.SUCCEEDED, started_at=at("06:25"), ended_at=at("06:45"))
    titles = [title for kind, to, title in notified_at(ledger, "06:46") if (kind, to) == ("recovered", "biz")]
    assert ["Resolved: Supply plan 06:30 delivered late at 06:45 [{incident}]"] == titles


def test_it_is_over_when_the_day_is_expected_in_time_again() -> None:
    ledger = night()
    ledger.evaluate("06:11")
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, 2: replace(LOAD, expected=minutes(5))})
    ledger.evaluate("06:12")
    incident = ledger.incident()
    assert (True, "Supply plan: expected 06:17 UTC") == (incident.closed, close_text(incident))
    was = "Supply plan was expected after its deadline 06:30 UTC, and nothing failed; it waited for warehouse/load"
    assert was == title_of(incident)


def test_a_day_of_which_nothing_is_known_any_more_closes_it_with_the_reason() -> None:
    ledger = night()
    ledger.evaluate("06:11")
    ledger.run(LOAD, "06:12", RunState.UNKNOWN, started_at=at("06:12"), ended_at=at("06:13"))
    ledger.evaluate("06:14")
    incident = ledger.incident()
    unproved = "Supply plan: warehouse/load has run; its source does not prove how it ended"
    assert (True, unproved) == (incident.closed, close_text(incident))
    [notice] = map(written, incident.notices)
    assert f"Closed: warehouse/load: undelivered, {unproved} [{{incident}}]" == notice.title


def test_a_day_without_an_estimate_closes_it_without_advice() -> None:
    ledger = night()
    ledger.evaluate("06:11")
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, 2: replace(LOAD, expected=None)})
    ledger.evaluate("06:12")
    incident = ledger.incident()
    reason = "Supply plan: no estimate: warehouse/load has 0 successful runs with a duration, an estimate needs 5"
    assert (True, reason) == (incident.closed, close_text(incident))


def test_a_part_of_the_estate_comes_to_the_same() -> None:
    ledger = night()
    ledger.evaluate("06:11")
    assert {1, 2} == part_with(ledger.estate, {1}).jobs.keys()
    assert 1 == len(part_with(ledger.estate, {1}).incidents)


def test_a_schedule_that_cannot_meet_the_promise_is_notified_when_its_night_begins() -> None:
    slow = replace(LOAD, expected=minutes(240))
    ledger = Ledger(estate(EXTRACT, slow, feeds=feeds(EXTRACT, slow), services=[PLAN]))
    ledger.evaluate("03:09")
    assert [] == kinds(ledger)
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:10"))
    ledger.evaluate("03:11")
    assert [AlertKind.OPENED] == kinds(ledger)


FIRST = job(1, "etl/extract", "03:10", accepted_at=at("12:00", day=-3))
SECOND, MART = job(2, "dwh/load"), job(3, "dwh/mart")
NIGHTS = 40


def past_nights() -> dict[int, list[SuccessfulRun]]:
    """By job its runs: of about 30, 40 and 50 minutes, one after the other from 03:10."""
    drawn = random.Random(7)
    runs: dict[int, list[SuccessfulRun]] = {1: [], 2: [], 3: []}
    for back in range(NIGHTS, 0, -1):
        begins = at("03:10") - timedelta(days=back)
        day = (NIGHT - timedelta(days=back)).toordinal()
        for job_id, usual in enumerate((30.0, 40.0, 50.0), 1):
            ended = begins + minutes(usual * drawn.uniform(0.8, 1.25))
            delay = 0.0 if job_id == FIRST.id else UNKNOWN
            seconds = (ended - begins).total_seconds()
            runs[job_id].append(SuccessfulRun(back * 10 + job_id, int(begins.timestamp()), int(ended.timestamp()),
                seconds, delay, UNKNOWN, 1, UNKNOWN, "", day))  # fmt: skip
            begins = ended
    return runs


def slow_extraction(now: str, deadline: time = time(6, 10), **more: Any) -> Decisions:
    """It took 130 minutes instead of 30; the load goes on, and the mart is what delivers. `more`: of the extraction."""
    history = {job_id: build_history(runs) for job_id, runs in past_nights().items()}
    first = replace(FIRST, **more)
    links = [*feeds(first, SECOND), *feeds(SECOND, MART)]
    promised = replace(service("daily", "06:30", MART), deadline=deadline)
    durations = {job_id: tuple(of.takes) for job_id, of in history.items()}
    seen = estate(first, SECOND, MART, feeds=links, services=[promised], durations=durations)
    seen = replace(seen, history=history)
    runs = (
        run(1, FIRST, "03:10", started_at=at("03:10"), ended_at=at("05:20")),
        run(2, SECOND, "05:20", RunState.RUNNING, period_at=None, business_date=NIGHT),
    )
    return evaluate(replace(seen, runs=runs), at(now), foresee=Forecaster())


def lost_by_the_extraction(now: str, **more: Any) -> tuple[IncidentDecision, ServiceDayVerdict]:
    decisions = slow_extraction(now, **more)
    (incident,) = (incident for incident in decisions.incidents if incident.cause.business_date == NIGHT)
    return incident, next(service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)


@pytest.mark.parametrize("now, status", [("05:30", "is expected after its"), ("06:20", "was not delivered by")])
def test_the_job_that_lost_the_minutes_is_named_as_why_does_not_the_last_one_of_the_service(
    now: str, status: str
) -> None:
    incident, day = lost_by_the_extraction(now)
    assert ("undelivered:dwh/mart@2026-11-19", "undelivered") == (incident.key, incident.cause.kind)
    assert title_of(incident).startswith(f"Daily {status}")
    assert title_of(incident).endswith(" because of etl/extract, and nothing failed; it waits for dwh/load")
    assert "etl/extract" == day.cause
    assert (
        now > "06:10"
        or " % risk of being late: expected 07:05 UTC, after its deadline; etl/extract took 2h10m, " in reason_of(day)
    )
    assert reason_of(day).endswith("; cause: etl/extract")
    (notice,) = incident.notices
    assert ": extract has not finished, expected 07:" in written(notice).plain_title


def test_the_owner_of_the_job_that_lost_the_minutes_is_notified_of_its_part() -> None:
    incident, _ = lost_by_the_extraction("05:30", owner="etl", notify=("etl-team",))
    assert "etl" == incident.owner.name
    assert [("etl-team", "technical")] == [(notice.route, notice.style) for notice in incident.notices]


def test_a_service_at_risk_is_notified_from_its_first_day_on() -> None:
    decisions = slow_extraction("05:30", time(7, 7))
    (day,) = (service_day for service_day in decisions.service_days if service_day.business_date == NIGHT)
    assert Timeliness.AT_RISK is day.timeliness, reason_of(day)
    (incident,) = (incident for incident in decisions.incidents if incident.cause.business_date == NIGHT)
    assert title_of(incident).startswith("Daily may be delivered after its deadline 07:07 UTC because of etl/extract")
    assert [AlertKind.OPENED] == [notice.kind for notice in incident.notices]


def moved_night(starts: str, name: str = "warehouse/load", title: str = "Supply plan") -> Ledger:
    """A load due at 03:10 whose clock was moved at its source, not accepted; its service is due at 06:30."""
    load = replace(job(2, name, "03:10", target_id=2, expected=minutes(20)), seen_schedule=daily(starts))
    return Ledger(estate(load, services=[replace(service("supply-plan", "06:30", load), title=title)]))


def changed_starts(day: ServiceDayVerdict) -> list[datetime]:
    """Its reasons: starts of load that its changed schedule delays."""
    starts = [reason for reason in day.reasons if isinstance(reason, ScheduleChanged)]
    return [start.at for start in starts if start.job == "warehouse/load"]


def test_a_start_that_its_changed_schedule_delays_beyond_the_deadline_is_offered_now() -> None:
    ledger = moved_night("08:35")
    ledger.evaluate("03:00")
    assert [] == kinds(ledger)
    ledger.evaluate("03:11")
    assert [AlertKind.OPENED] == kinds(ledger)
    text = "Supply plan is expected after its deadline 06:30 UTC: start warehouse/load now"
    incident = ledger.incident()
    assert (f"{text}: its changed schedule starts it 08:35 UTC", "") == (title_of(incident), evidence_of(incident))
    assert [at("08:35")] == changed_starts(ledger.day("supply-plan"))
    start, notice = "headway job start warehouse/load", written(incident.notices[0])
    assert notice.title.startswith(f"Supply plan 06:30 will miss: start load now: {start}, service expected ")
    assert f"Do           {start}\n" in notice.body


def moved_to_a_start_that_has_passed(seen_at: str = "02:59") -> Ledger:
    """The load moved from 03:10 to 02:57, a change that was seen at 02:59: its clock starts it tomorrow."""
    ledger = moved_night("02:57")
    (load,) = ledger.estate.jobs.values()
    ledger.estate = replace(ledger.estate, jobs={load.id: replace(load, drift_since=at(seen_at))})
    return ledger


def test_a_start_moved_to_an_earlier_minute_that_has_passed_is_offered_at_once() -> None:
    ledger = moved_to_a_start_that_has_passed()
    ledger.evaluate("02:59")
    assert [AlertKind.OPENED] == kinds(ledger)
    text = "Supply plan is expected after its deadline 06:30 UTC: start warehouse/load now"
    assert f"{text}: its changed schedule starts it 21 Nov 02:57 UTC" == title_of(ledger.incident(), at("02:59"))
    day = ledger.day("supply-plan")
    assert Timeliness.WILL_MISS is day.timeliness
    assert [at("02:57") + timedelta(days=1)] == changed_starts(day)
    tomorrow = next(service_day for service_day in ledger.decisions.service_days if service_day.business_date > NIGHT)
    assert (Timeliness.ON_TIME, []) == (tomorrow.timeliness, changed_starts(tomorrow))


def test_a_start_moved_earlier_that_was_ahead_when_the_change_was_seen_is_awaited() -> None:
    ledger = moved_to_a_start_that_has_passed(seen_at="02:50")
    for clock in ("02:51", "02:58", "03:09"):
        ledger.evaluate(clock)
        assert [] == kinds(ledger)
        assert Timeliness.ON_TIME is ledger.day("supply-plan").timeliness


@pytest.mark.parametrize("period", ["02:57", "03:00", "03:10"])
def test_a_run_since_the_passed_start_is_the_start_of_that_date(period: str) -> None:
    ledger = moved_to_a_start_that_has_passed()
    (load,) = ledger.estate.jobs.values()
    ledger.run(load, period, RunState.RUNNING, started_at=at("03:00"), attempt=1)
    ledger.evaluate("03:01")
    assert [] == kinds(ledger)
    assert Timeliness.ON_TIME is ledger.day("supply-plan").timeliness
    ledger.run(load, period, RunState.SUCCEEDED, started_at=at("03:00"), ended_at=at("03:20"), attempt=1)
    ledger.evaluate("03:21")
    assert Timeliness.MET is ledger.day("supply-plan").timeliness


def test_a_start_that_its_changed_schedule_delays_within_the_deadline_is_a_reason_only() -> None:
    ledger = moved_night("05:00")
    ledger.evaluate("03:11")
    assert [] == kinds(ledger)
    assert [at("05:00")] == changed_starts(ledger.day("supply-plan"))


def test_a_moved_start_whose_upstream_still_runs_is_not_offered() -> None:
    load = replace(job(2, "warehouse/load", "03:10", target_id=2, expected=minutes(20)), seen_schedule=daily("08:35"))
    early = job(1, "hosts/up", "02:30", expected=minutes(90))
    plan = service("supply-plan", "06:30", load)
    ledger = Ledger(estate(early, load, feeds=feeds(early, load), services=[plan]))
    ledger.run(early, "02:30", RunState.RUNNING, started_at=at("02:30"))
    ledger.evaluate("03:15")
    assert [] == [
        title_of(incident) for incident in ledger.decisions.incidents if "start warehouse/load" in title_of(incident)
    ]
    ledger.run(early, "02:30", RunState.SUCCEEDED, started_at=at("02:30"), ended_at=at("04:00"))
    ledger.evaluate("04:01")
    assert ": start warehouse/load now: its changed schedule starts it 08:35 UTC" in title_of(ledger.incident())


def test_a_moved_start_that_does_not_decide_the_finish_is_not_offered() -> None:
    small = replace(job(1, "hosts/small", "03:10", expected=minutes(5)), seen_schedule=daily("03:25"))
    slow = job(2, "warehouse/slow", Schedule("none"), target_id=2, expected=minutes(60))
    mart = job(3, "warehouse/mart", Schedule("none"), target_id=2, expected=minutes(20))
    plan = service("supply-plan", "04:00", mart)
    extract = replace(EXTRACT, id=4)
    edges = [*feeds(extract, slow), *feeds(small, mart), *feeds(slow, mart)]
    ledger = Ledger(estate(extract, small, slow, mart, feeds=edges, services=[plan]))
    ledger.run(extract, "03:10", RunState.RUNNING, started_at=at("03:10"))
    ledger.evaluate("03:15")
    assert "start hosts/small" not in title_of(ledger.incident())


def test_a_moved_start_on_the_critical_path_is_offered_behind_one_with_slack() -> None:
    small, load = (
        replace(job(number, name, "03:10", expected=minutes(5)), seen_schedule=daily(starts))
        for number, name, starts in ((1, "hosts/a_small", "03:50"), (2, "hosts/load", "08:35"))
    )
    mart = job(3, "warehouse/mart", Schedule("none"), target_id=2, expected=minutes(20))
    plan = service("supply-plan", "06:30", mart)
    ledger = Ledger(estate(small, load, mart, feeds=[*feeds(small, mart), *feeds(load, mart)], services=[plan]))
    ledger.evaluate("03:15")
    assert ": start hosts/load now" in title_of(ledger.incident())


def test_the_offer_of_a_start_is_whole_however_long_the_names_are() -> None:
    name = f"warehouse/{'load_orders_' * 25}"
    ledger = moved_night("08:35", name, "Supply plan of all regions " * 20)
    ledger.evaluate("03:11")
    title = title_of(ledger.incident())
    assert title.endswith(f": start {name} now: its changed schedule starts it 08:35 UTC")
    assert len(title) < len(name) + 200


@pytest.mark.parametrize("further", [RunState.RUNNING, RunState.FAILED])
def test_a_further_run_by_a_changed_schedule_leaves_the_delivery_as_it_was_notified(further: RunState) -> None:
    ledger = moved_night("06:00")
    (load,) = ledger.estate.jobs.values()
    ledger.evaluate("03:11")
    ledger.run(load, "03:10", RunState.SUCCEEDED, started_at=at("03:15"), ended_at=at("03:35"), attempt=1)
    ledger.evaluate("03:36")
    delivered = Timeliness.MET, at("03:35")
    assert delivered == (ledger.day("supply-plan").timeliness, ledger.day("supply-plan").delivered_at)
    ended = {} if further.is_open else {"ended_at": at("06:02")}
    ledger.run(load, "06:00", further, started_at=at("06:00"), attempt=1, **ended)
    for clock in ("06:03", "06:29", "06:40"):
        ledger.evaluate(clock)
        assert delivered == (ledger.day("supply-plan").timeliness, ledger.day("supply-plan").delivered_at)


def test_the_run_of_a_changed_schedule_delivers_where_that_of_the_accepted_one_failed() -> None:
    ledger = moved_night("06:00")
    (load,) = ledger.estate.jobs.values()
    ledger.run(load, "03:10", RunState.FAILED, started_at=at("03:10"), ended_at=at("03:12"), attempt=1)
    ledger.evaluate("03:36")
    ledger.run(load, "06:00", RunState.SUCCEEDED, started_at=at("06:00"), ended_at=at("06:20"), attempt=1)
    ledger.evaluate("06:21")
    assert (Timeliness.MET, at("06:20")) == (
        ledger.day("supply-plan").timeliness, ledger.day("supply-plan").delivered_at,
    )  # fmt: skip


@pytest.mark.parametrize("is_load_moved", [False, True])
def test_a_second_start_of_a_date_that_fails_has_an_act_by(is_load_moved: bool) -> None:
    """An extraction that has run is moved behind that, alone or with the load: its second start is the one to read."""
    seen = at("02:20")
    extract = replace(EXTRACT, schedule=daily("02:05"), seen_schedule=daily("03:10"), drift_since=seen)
    load = job(2, "warehouse/load", "03:30", target_id=2, expected=minutes(20))
    if is_load_moved:
        load = replace(load, schedule=daily("02:30"), seen_schedule=daily("03:30"), drift_since=seen)
    plan = service("supply-plan", "06:30", load)
    ledger = Ledger(estate(extract, load, feeds=feeds(extract, load), services=[plan]))
    ledger.run(extract, "02:05", RunState.SUCCEEDED, started_at=at("02:05"), ended_at=at("02:10"))
    ledger.evaluate("02:30")
    ledger.run(extract, "03:10", RunState.FAILED, started_at=at("03:10"), ended_at=at("03:12"))
    ledger.evaluate("03:13")
    [notice] = ledger.incident().notices
    assert written(notice).title.startswith("Supply plan 06:30 at risk: restart extract by ")
    assert "\nJOB   START (UTC)  EFFECT\nload  03:30        reads stale data" in written(notice).body
