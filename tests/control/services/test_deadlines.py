"""By when a service is promised: by the clock in its zone, days later, or so long after a start; and more time for
tonight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.services.status import service_days
from console.control.snapshot import deadlines
from console.control.snapshot.deadlines import DeliveringStart, delivering_start, latest_deadline
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import changed_jobs
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import Estate, ServiceFacts
from console.domain.promise import DeadlineExtension, DeadlineRule, Promise, ServiceAgreement
from console.domain.service import Timeliness
from console.timing.zones import business_window, zone_of
from tests.factories import NIGHT, at, estate, feeds, job, minutes, run, service
from tests.reasons import reason_of

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20))
MART = job(2, "dwh/mart", "04:00", expected=minutes(30))
LATE = job(3, "dwh/late", "09:00", expected=minutes(30), accepted_at=at("12:00", day=-9))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
DAYS = st.dates(date(2025, 1, 1), date(2027, 12, 31))
TIMES = st.times().map(lambda shown: shown.replace(second=0, microsecond=0))


def promised(rule: DeadlineRule, **more: Any) -> ServiceFacts:
    return service("daily", "06:30", MART, promise=Promise(rule, **more))


def of_night(result: Estate, now: str, day: int = 0) -> ServiceDayVerdict:
    return next(
        service_day for service_day in evaluate(result, at(now, day)).service_days if service_day.business_date == NIGHT
    )


def night(promise: ServiceFacts, *runs: Any) -> Estate:
    return estate(EXTRACT, MART, runs=runs, feeds=feeds(EXTRACT, MART), services=[promise])


@given(zone=ZONES, business_date=DAYS, shown=TIMES, cutoff=TIMES, days=st.integers(0, 7))
def test_a_deadline_lies_in_the_window_so_many_days_later_and_shows_its_time_there(
    zone: str, business_date: date, shown: time, cutoff: time, days: int
) -> None:
    """Whatever the clocks do; a time that never is, is the jump over it."""
    service_facts = service("x", shown.isoformat("minutes"), MART, zone=zone, cutoff=cutoff)
    service_facts = replace(service_facts, promise=Promise(DeadlineRule(day=days)))
    instant = latest_deadline(service_facts, business_date)
    opens, closes = business_window(business_date + timedelta(days=days), zone_of(zone), cutoff)
    assert opens <= instant <= closes
    local = instant.astimezone(ZoneInfo(zone))
    jumped = datetime.combine(local.date(), shown).replace(tzinfo=ZoneInfo(zone)).utcoffset() != local.utcoffset()
    assert (local.hour, local.minute) == (shown.hour, shown.minute) or jumped


def test_a_deadline_days_later_is_judged_until_then() -> None:
    verdict = of_night(night(promised(DeadlineRule(day=1))), "02:00")
    assert (at("06:30", day=1), Timeliness.ON_TIME) == (verdict.deadline, verdict.timeliness)


def test_a_deadline_after_a_start_counts_from_when_it_is_due_until_it_came() -> None:
    rule = DeadlineRule(after_start=minutes(90))
    assert at("04:40") == of_night(night(promised(rule)), "02:00").deadline
    late = run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:25"), first_started_at=at("03:25"))
    assert at("04:55") == of_night(night(promised(rule), late), "03:30").deadline


def test_a_deadline_after_the_start_of_a_named_job_counts_from_that() -> None:
    rule = DeadlineRule(after_start=minutes(60), of="dwh/mart", of_id=MART.id)
    assert at("05:00") == of_night(night(promised(rule)), "02:00").deadline


def test_a_deadline_after_a_start_that_nothing_names_is_as_late_as_it_can_be() -> None:
    rule = DeadlineRule(after_start=minutes(60), of="dwh/unknown")
    assert at("13:00", day=1) == of_night(night(promised(rule)), "02:00").deadline


def test_an_extension_moves_the_judged_deadline_and_preserves_the_promised_and_agreed_one() -> None:
    late = night(
        service("daily", "04:15", MART, promise=Promise(sla=ServiceAgreement(misses=1, days=90, at=time(4, 20))))
    )
    assert Timeliness.WILL_MISS is of_night(late, "02:00").timeliness
    more = replace(late, extensions=(DeadlineExtension("daily", NIGHT, at("05:00"), "ann", "late files"),))
    verdict = of_night(more, "02:00")
    assert (at("05:00"), Timeliness.ON_TIME) == (verdict.deadline, verdict.timeliness)
    assert (at("04:15"), at("04:20"), "by ann: late files") == (verdict.promised, verdict.agreed, verdict.extension)
    assert reason_of(verdict).endswith("; deadline 05:00 UTC, extended from 04:15 UTC by ann: late files")


def test_more_time_is_for_its_business_date_alone_and_less_time_is_none() -> None:
    more = night(service("daily", "06:30", MART))
    other = replace(
        more, extensions=(DeadlineExtension("daily", NIGHT + timedelta(days=1), at("08:00", 1), "ann", "x"),)
    )
    less = replace(more, extensions=(DeadlineExtension("daily", NIGHT, at("05:00"), "ann", "x"),))
    assert [at("06:30")] * 2 == [of_night(estate, "02:00").deadline for estate in (other, less)]
    assert changed_jobs(more, less) is None


def test_a_date_whose_runs_are_no_longer_evaluated_is_not_judged() -> None:
    """Else what was delivered would be breached two days later, in the history that attainment counts."""
    done = [run(number, LATE, at("09:00", day=number - 3)) for number in range(1, 6)]
    promise = service("late", "11:30", LATE)
    for hours in range(72):
        now = at("12:00") + timedelta(hours=hours)
        seen = [run for run in done if now - timedelta(hours=48) <= (run.period_at or now) <= now]
        service_days = evaluate(estate(LATE, runs=seen, services=[promise]), now).service_days
        past = {service_day.timeliness for service_day in service_days if service_day.deadline <= now}
        assert past <= {Timeliness.MET}, now


@pytest.mark.parametrize("is_triggered", [False, True])
def test_a_deadline_after_the_cutoff_counts_on_the_day_on_which_its_jobs_start(is_triggered: bool) -> None:
    """The job starts at 11:00 before the cutoff, the deadline comes at 13:00 after it: of the same day, not of the one
    before."""
    extract = job(1, "hosts/extract", "22:00", expected=minutes(20))
    source = job(2, "dwh/source", "11:00", expected=minutes(20))
    mart = job(3, "dwh/mart", "" if is_triggered else "11:00", expected=minutes(20))
    terminal = mart if is_triggered else source
    sla = ServiceAgreement(2, 90, time(14))
    daily = service("daily", "13:00", terminal, promise=Promise(sla=sla))
    deps = [*feeds(extract, source), *feeds(source, mart)]
    failed = run(1, source, at("11:00"), RunState.FAILED)
    known = estate(extract, source, mart, feeds=deps, services=[daily], runs=[failed])
    verdict = of_night(known, "11:30")
    assert (at("13:00", day=1), at("14:00", day=1)) == (verdict.deadline, verdict.agreed)
    assert Timeliness.AT_RISK is verdict.timeliness
    [incident] = evaluate(known, at("11:30")).incidents
    assert [at("13:00", day=1)] == [affected.deadline for affected in incident.services]


def test_a_deadline_before_the_cutoff_of_its_jobs_is_that_of_the_next_day_as_in_the_incident() -> None:
    """Noon in Berlin is an hour before noon in UTC. A deadline at 12:55 CET closed a date before any of its runs, so
    that the service missed it whatever ran, while an incident of its jobs affected no service."""
    extract, mart = (
        job(
            number,
            name,
            Schedule("debian-cron", f"{minute} * * * *", "UTC"),
            expected=minutes(1),
            accepted_at=at("11:30"),
        )
        for number, name, minute in ((1, "hosts/extract", 38), (2, "dwh/mart", 45))
    )
    service_facts = service("daily", "12:55", mart, zone="Europe/Berlin")
    failed = [run(1, extract, at("11:38"), RunState.FAILED)]
    known = estate(extract, mart, feeds=feeds(extract, mart), services=[service_facts], runs=failed)
    decision = evaluate(known, at("11:42"))
    [verdict] = [day for day in decision.service_days if day.business_date == NIGHT]
    assert at("11:55") == verdict.deadline
    [incident] = decision.incidents
    assert [(NIGHT, at("11:55"))] == [(each.business_date, each.deadline) for each in incident.services]


@pytest.mark.parametrize("expression", ["0 11 * * *", ""])
def test_a_deadline_stays_where_it_is_once_the_source_names_the_next_start(expression: str) -> None:
    """Its job starts at 11:00 before the cutoff, the deadline comes at 13:00 after it."""
    ahead = Schedule("airflow", expression, "UTC", next_at=at("11:00"))
    source = job(1, "dwh/source", ahead, expected=minutes(20), accepted_at=at("12:00", day=-9))
    begun = replace(source, schedule=replace(ahead, next_at=at("11:00", day=1)))
    running = run(1, source, "11:00", RunState.RUNNING)
    for dag, now, runs in ((source, "10:55", ()), (begun, "11:05", (running,))):
        verdict = of_night(estate(dag, runs=runs, services=[service("daily", "13:00", dag)]), now)
        assert (at("13:00", day=1), Timeliness.ON_TIME) == (verdict.deadline, verdict.timeliness), now


def test_the_day_of_a_service_is_computed_once_for_each_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the starts of all upstreams; judging the date and its deadline both need it."""
    counted: list[date] = []

    def counting(index: EstateIndex, of: ServiceFacts, members: Iterable[int], day: date) -> DeliveringStart | None:
        counted.append(day)
        return delivering_start(index, of, members, day)

    monkeypatch.setattr(deadlines, "delivering_start", counting)
    abroad = service("abroad", "06:30", MART, zone="Asia/Tokyo")
    assert service_days(EstateIndex(night(abroad), at("04:00")))
    assert len(counted) == len(set(counted))
