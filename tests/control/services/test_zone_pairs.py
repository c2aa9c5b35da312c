"""A service in one zone, delivered by a job whose scheduler is in another: which deadline counts for a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.holds.warnings import contradicting_deadlines
from console.control.snapshot.deadlines import promised_at
from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import JobFacts, ServiceFacts
from console.timing.business_dates import business_date_of
from console.timing.zones import instant_at
from tests.factories import estate, job, minutes, run, service, target
from tests.rows import each_row

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago"]
)
TIMES = st.times().map(lambda shown: shown.replace(second=0, microsecond=0))
DAYS = st.dates(date(2026, 3, 1), date(2026, 11, 20))
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


def daily_job(zone: str, start: time) -> JobFacts:
    schedule = Schedule("debian-cron", f"{start.minute} {start.hour} * * *", zone)
    return job(1, "hosts/close", schedule, zone=zone, expected=minutes(10), accepted_at=LONG_AGO)


def promise(deadline: str, of: JobFacts, zone: str) -> ServiceFacts:
    return service("close", deadline, of, zone=zone)


def deadline_of(start: datetime, of: JobFacts, promised: ServiceFacts) -> datetime:
    index = EstateIndex(estate(of, services=[promised]), start)
    return promised_at(index, promised, [of.id], business_date_of(start, None, of.zone, of.cutoff))


@given(zone=ZONES, scheduler_zone=ZONES, day=DAYS, start=TIMES, deadline=TIMES)
def test_a_daily_run_counts_for_the_first_deadline_after_it_or_check_names_the_service(
    zone: str, scheduler_zone: str, day: date, start: time, deadline: time
) -> None:
    """Over the date line, after midnight and on the nights of a clock change, too."""
    close = daily_job(scheduler_zone, start)
    promised = promise(deadline.isoformat("minutes"), close, zone)
    starts_at = instant_at(datetime.combine(day, start), ZoneInfo(scheduler_zone))
    counted = deadline_of(starts_at, close, promised)
    if counted <= starts_at:
        local = starts_at.astimezone(ZoneInfo(zone))
        assert local.date() == counted.astimezone(ZoneInfo(zone)).date()
    else:
        assert counted - starts_at <= timedelta(hours=26)


@each_row(
    "zone, scheduler_zone, start, deadline, expected",
    [
        ("America/New_York", "Europe/Berlin", "2026-11-20T14:00", "09:00", "2026-11-20T09:00"),
        ("America/New_York", "Europe/Berlin", "2026-11-21T03:00", "03:00", "2026-11-21T03:00"),
        ("America/New_York", "Europe/Berlin", "2026-11-20T23:30", "09:00", "2026-11-21T09:00"),
        ("America/New_York", "Asia/Tokyo", "2026-11-20T15:00", "09:00", "2026-11-20T09:00"),
        ("Pacific/Pago_Pago", "Pacific/Kiritimati", "2026-11-20T13:00", "13:00", "2026-11-19T13:00"),
        ("Pacific/Kiritimati", "Pacific/Pago_Pago", "2026-11-20T13:00", "15:00", "2026-11-21T15:00"),
        ("America/New_York", "Europe/Berlin", "2026-10-25T14:00", "09:30", "2026-10-25T09:30"),
    ],
)
def test_a_deadline_of_another_zone(zone: str, scheduler_zone: str, start: str, deadline: str, expected: str) -> None:
    starts_at = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(scheduler_zone))
    close = daily_job(scheduler_zone, starts_at.time())
    counted = deadline_of(starts_at.astimezone(UTC), close, promise(deadline, close, zone))
    assert expected == counted.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")


def test_check_names_a_service_alone_whose_jobs_start_after_its_deadline() -> None:
    now = datetime(2026, 11, 20, 13, tzinfo=UTC)
    close = daily_job("Europe/Berlin", time(14))
    assert [] == list(
        contradicting_deadlines(estate(close, services=[promise("09:00", close, "America/New_York")]), now)
    )
    late = promise("07:30", close, "America/New_York")
    [text] = contradicting_deadlines(estate(close, services=[late]), now)
    assert (
        "services.close: hosts/close starts 08:00, after the deadline 07:30 of the same business date: it is always"
        ' late. Fix: deadline = { time = "07:30", day = 1 }'
    ) == text
    fixed = replace(late, promise=replace(late.promise, deadline=replace(late.promise.deadline, day=1)))
    assert [] == list(contradicting_deadlines(estate(close, services=[fixed]), now))


def test_a_run_after_the_cutoff_of_its_scheduler_is_at_risk_for_the_deadline_of_today() -> None:
    """14:05 in Berlin is 08:05 in New York: noon lies between, so the deadline at 09:00 was that of the day before."""
    now = datetime(2026, 11, 20, 13, 15, tzinfo=UTC)
    close = replace(daily_job("Europe/Berlin", time(14)), accepted_at=now - minutes(60))
    red = run(1, close, now - minutes(15), RunState.FAILED)
    known = estate(
        close, runs=[red], services=[promise("09:00", close, "America/New_York")],
        targets=[target(last_ok_at=now, seen_until=now, first_ok_at=LONG_AGO)],
    )  # fmt: skip
    [incident] = evaluate(known, now).incidents
    assert [datetime(2026, 11, 20, 14, tzinfo=UTC)] == [affected.deadline for affected in incident.services]
