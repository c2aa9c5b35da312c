"""Expected instants against what Debian's cron did in two DST nights, and against each dialect's own rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from console.timing.schedule import (
    MOST,
    accepted_instant,
    instants,
    last_instant,
    next_instant,
    schedule_fault,
    schedule_text,
    seen_instant,
)
from console.timing.zones import zone_of
from tests.rows import each_row

BERLIN = "Europe/Berlin"
ZONES = [BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "+01:00"]

SPRING = (datetime(2026, 3, 28, 23, 56, tzinfo=UTC), datetime(2026, 3, 29, 3, 6, tzinfo=UTC))
AUTUMN = (datetime(2026, 10, 24, 22, 56, tzinfo=UTC), datetime(2026, 10, 25, 2, 31, tzinfo=UTC))

# What cron -L 8 of Debian 12 wrote in Berlin, by libfaketime: minute of each CMD line with its offset. The hours that
# the log holds are the window above.
SPRING_LOG = {
    "*/15 * * * *": "01:00+1 01:15+1 01:30+1 01:45+1 "
    "03:00+2 03:15+2 03:30+2 03:45+2 04:00+2 04:15+2 04:30+2 04:45+2 05:00+2",
    "5 * * * *": "01:05+1 03:05+2 04:05+2 05:05+2",
    "30 2 * * *": "03:00+2",
    "30 3 * * *": "03:30+2",
}
AUTUMN_LOG = {
    "*/15 * * * *": "01:00+2 01:15+2 01:30+2 01:45+2 02:00+2 02:15+2 02:30+2 02:45+2 "
    "02:00+1 02:15+1 02:30+1 02:45+1 03:00+1 03:15+1 03:30+1",
    "5 * * * *": "01:05+2 02:05+2 02:05+1 03:05+1",
    "30 2 * * *": "02:30+2",
}


def cron(expression: str, zone: str = BERLIN) -> Schedule:
    return Schedule("debian-cron", expression, zone)


def shown(at: datetime) -> str:
    local = at.astimezone(zone_of(BERLIN))
    offset = local.utcoffset()
    assert offset is not None
    return f"{local:%H:%M}+{offset // timedelta(hours=1)}"


@each_row("expression", SPRING_LOG)
def test_the_instants_of_a_spring_night_are_those_of_the_recorded_cron(expression: str) -> None:
    assert SPRING_LOG[expression].split() == [shown(instant) for instant in instants(cron(expression), *SPRING)]


@pytest.mark.parametrize("expression", AUTUMN_LOG)
def test_the_instants_of_an_autumn_night_are_those_of_the_recorded_cron(expression: str) -> None:
    assert AUTUMN_LOG[expression].split() == [shown(instant) for instant in instants(cron(expression), *AUTUMN)]


def test_two_fixed_times_in_one_gap_are_one_instant_right_after_the_jump() -> None:
    assert [datetime(2026, 3, 29, 1, tzinfo=UTC)] == instants(cron("0,30 2 * * *"), *SPRING)


def test_a_gap_of_half_an_hour_moves_a_fixed_time_to_its_end() -> None:
    day = datetime(2026, 10, 3, 12, tzinfo=UTC)  # Lord Howe: 02:00 becomes 02:30 on 4 October, from +10:30 to +11
    results = instants(cron("15 2 * * *", "Australia/Lord_Howe"), day, day + timedelta(hours=6))
    assert [datetime(2026, 10, 3, 15, 30, tzinfo=UTC)] == results


@each_row(
    "expression, expected",
    [
        ("@daily", "20T00:00 21T00:00"),
        ("@hourly", " ".join(f"20T{hour:02d}:00" for hour in range(24)) + " 21T00:00"),
        ("0 6,18 * * *", "20T06:00 20T18:00"),
        ("0 8-10 * * *", "20T08:00 20T09:00 20T10:00"),
        ("0 0-23/8 * * *", "20T00:00 20T08:00 20T16:00 21T00:00"),
        ("30 4 * * fri", "20T04:30"),
        ("30 4 * NOV FRI", "20T04:30"),
        ("30 4 * * 7", ""),
        ("30 4 21 * fri", "20T04:30"),
        ("30 4 20 * mon", "20T04:30"),
        ("30 4 */2 * fri", ""),
        ("@reboot", ""),
    ],
)
def test_each_form_of_an_expression_gives_its_instants(expression: str, expected: str) -> None:
    """20 November 2026 is a Friday. Day of month and of week are an OR unless one begins with a star, as in Vixie."""
    start = datetime(2026, 11, 19, 23, 59, tzinfo=UTC)
    results = instants(cron(expression, "UTC"), start, start + timedelta(hours=24, minutes=2))
    assert expected.split() == [f"{instant:%dT%H:%M}" for instant in results]


def test_pg_cron_runs_by_the_zone_that_its_connector_names() -> None:
    start = datetime(2026, 7, 1, tzinfo=UTC)
    until = start + timedelta(days=1)
    assert [start.replace(hour=6, minute=57)] == instants(Schedule("pg_cron", "57 6 * * *"), start, until)
    elsewhere = Schedule("pg_cron", "57 6 * * *", "America/New_York")
    assert [start.replace(hour=10, minute=57)] == instants(elsewhere, start, until)


def test_pg_cron_skips_a_gap_and_runs_twice_in_an_overlap() -> None:
    schedule = Schedule("pg_cron", "30 2 * * *", BERLIN)
    assert [] == instants(schedule, *SPRING)
    assert ["02:30+2", "02:30+1"] == [shown(instant) for instant in instants(schedule, *AUTUMN)]


def test_kubernetes_skips_a_gap_and_runs_twice_in_an_overlap() -> None:
    """As robfig/cron 3.0.1 answered for these expressions in Europe/Berlin and America/Havana."""
    fixed, hourly = Schedule("kubernetes", "30 2 * * *", BERLIN), Schedule("kubernetes", "30 1-3 * * *", BERLIN)
    assert [] == instants(fixed, *SPRING)
    assert ["01:30+1", "03:30+2"] == [shown(instant) for instant in instants(hourly, *SPRING)]
    assert ["02:30+2", "02:30+1"] == [shown(instant) for instant in instants(fixed, *AUTUMN)]
    start = datetime(2026, 3, 8, tzinfo=UTC)
    midnight = Schedule("kubernetes", "30 0 * * *", "America/Havana")
    assert [datetime(2026, 3, 9, 4, 30, tzinfo=UTC)] == instants(midnight, start, start + timedelta(days=2))


def test_kubernetes_takes_steps_over_days_and_a_weekday_as_either() -> None:
    start = datetime(2026, 10, 26, tzinfo=UTC)
    results = instants(Schedule("kubernetes", "0 0 1-31/2 * 5", "UTC"), start, start + timedelta(days=8))
    assert [27, 29, 30, 31, 1, 3] == [instant.day for instant in results]


def test_dagster_moves_what_lies_in_the_gap_to_its_end_and_takes_the_second_of_two() -> None:
    """As Dagster 1.13.27 answers for 2026 (schedule_execution_time_iterator)."""
    fixed, hourly = Schedule("dagster", "30 2 * * *", BERLIN), Schedule("dagster", "30 * * * *", BERLIN)
    assert [datetime(2026, 3, 29, 1, 0, tzinfo=UTC)] == instants(fixed, *SPRING)
    assert [datetime(2026, 10, 25, 1, 30, tzinfo=UTC)] == instants(fixed, *AUTUMN)
    assert ["23:30", "00:30", "01:30", "02:30"] == [f"{instant:%H:%M}" for instant in instants(hourly, *AUTUMN)]


def test_prefect_takes_the_first_of_two_and_starts_what_lies_in_the_gap_an_hour_early() -> None:
    """As Prefect 3.8.8 answers for 2026 (CronSchedule.get_dates)."""
    fixed, hourly = Schedule("prefect", "30 2 * * *", BERLIN), Schedule("prefect", "30 * * * *", BERLIN)
    assert [datetime(2026, 3, 29, 0, 30, tzinfo=UTC)] == instants(fixed, *SPRING)
    assert [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)] == instants(fixed, *AUTUMN)
    assert ["23:30", "00:30", "02:30"] == [f"{instant:%H:%M}" for instant in instants(hourly, *AUTUMN)]


def test_snowflake_skips_a_gap_and_runs_twice_in_an_overlap() -> None:
    """Its documentation has both for 01:00 and 02:00 in America/Los_Angeles."""
    schedule = Schedule("snowflake", "30 2 * * *", BERLIN)
    assert [] == instants(schedule, *SPRING)
    assert ["02:30+2", "02:30+1"] == [shown(instant) for instant in instants(schedule, *AUTUMN)]


@each_row(
    "expression, spring, autumn",
    [
        ("*-*-* 02:30:00", "03:00+2", "02:30+2"),
        ("Sun *-*-* 02:00:00", "03:00+2", "02:00+2"),
        ("*-*-* *:30:00", "03:00+2 03:30+2 04:30+2", "02:30+2 03:30+1"),
        ("*-*-* 00/2:00:00", "03:00+2 04:00+2", "02:00+2"),
    ],
)
def test_an_event_of_mysql_in_the_gap_starts_at_its_end(expression: str, spring: str, autumn: str) -> None:
    """As TIME_to_gmt_sec of tztime.cc turns a local time into an instant."""
    schedule, hour = Schedule("mysql_events", expression, BERLIN), timedelta(hours=1)
    assert spring.split() == [shown(instant) for instant in instants(schedule, SPRING[0] + hour, SPRING[1])]
    assert autumn.split() == [shown(instant) for instant in instants(schedule, AUTUMN[0] + hour, AUTUMN[1])]


def test_pgagent_leaves_out_the_gap_and_takes_the_second_of_two() -> None:
    """As PostgreSQL reads a local time: '2026-10-25 02:30 Europe/Berlin' is 01:30 UTC (checked on PostgreSQL 15)."""
    schedule = Schedule("pgagent", "*-*-* 2:30:00", BERLIN)
    assert [] == instants(schedule, *SPRING)
    assert ["02:30+1"] == [shown(instant) for instant in instants(schedule, *AUTUMN)]


def test_pgagent_wants_day_and_weekday_at_once_and_joins_its_schedules() -> None:
    """What five fields of cron cannot say; and the last day of a month."""
    schedule = Schedule("pgagent", "Mon *-*-1,2,3,4,5,6,7 4:0:00;*-*~1 23:30:00", "UTC")
    start = datetime(2026, 2, 1, tzinfo=UTC)
    results = instants(schedule, start, start + timedelta(days=40))
    assert ["02-02T04:00", "02-28T23:30", "03-02T04:00"] == [f"{instant:%m-%dT%H:%M}" for instant in results]


def test_pg_cron_seconds_are_a_grid() -> None:
    start = datetime(2026, 7, 1, tzinfo=UTC)
    results = instants(Schedule("pg_cron", "30 seconds"), start, start + timedelta(minutes=1))
    assert [start + timedelta(seconds=30), start + timedelta(seconds=60)] == results


def test_the_next_run_that_airflow_names_wins_over_the_expression() -> None:
    named = datetime(2026, 7, 1, 4, 20, tzinfo=UTC)
    schedule = Schedule("airflow", "0 4 * * *", "UTC", next_at=named)
    start = datetime(2026, 7, 1, tzinfo=UTC)
    assert [named, start.replace(day=2, hour=4)] == instants(schedule, start, start + timedelta(days=2))
    assert named == next_instant(schedule, start)


def test_airflow_moves_a_fixed_time_by_the_gap_and_takes_the_second_of_two() -> None:
    schedule = Schedule("airflow", "30 2 * * *", BERLIN)
    assert ["03:30+2"] == [shown(instant) for instant in instants(schedule, *SPRING)]
    assert ["02:30+1"] == [shown(instant) for instant in instants(schedule, *AUTUMN)]


@each_row("expression", ["", "nonsense", "61 * * * *", "* * * *", "* * * * * *", "0 0 L * *", "0 0 * * 5L"])
def test_an_expression_that_cannot_be_read_has_no_instants_and_says_why(expression: str) -> None:
    start = datetime(2026, 7, 1, tzinfo=UTC)
    assert [] == instants(cron(expression), start, start + timedelta(days=9))
    assert next_instant(cron(expression), start) is None
    if expression:
        assert expression in str(schedule_fault(cron(expression)))


def test_an_unknown_zone_is_a_fault_with_its_name() -> None:
    assert "Mars/Olympus" in str(schedule_fault(cron("0 3 * * *", "Mars/Olympus")))


def test_a_day_that_no_month_has_never_comes() -> None:
    assert '"0 0 31 2 *" in Europe/Berlin: never runs: no month of it has that day' == schedule_fault(
        cron("0 0 31 2 *")
    )
    assert '"61 0 31 1 *" in Europe/Berlin: Bad minute' == schedule_fault(cron("61 0 31 1 *"))
    assert '"0 0 32 1 *" in Europe/Berlin: Bad day-of-month' == schedule_fault(cron("0 0 32 1 *"))


@each_row("dialect", ["debian-cron", "cronie", "busybox", "pg_cron", "kubernetes"])
@each_row(
    "expression, same",
    [
        ("49-49/1 * * * *", "49 * * * *"),
        ("1,7-07/2,9-11/2 5-5/2 * * *", "1,7,9,11 5 * * *"),
        ("0 0 3-3/4 jan-1/2 *", "0 0 3 1 *"),
        ("0 0 * * sun-0/2,Mon-MON/3", "0 0 * * 0,1"),
        ("0 0 * * 00-0/3", "0 0 * * 0"),
        ("0 0 * * sun-7/3", "0 0 * * 0,3,6"),
    ],
)
def test_a_step_over_a_range_of_one_value_adds_none(dialect: str, expression: str, same: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(days=60)
    plain, stepped = (Schedule(dialect, text, "UTC") for text in (same, expression))
    assert instants(plain, start, end) == instants(stepped, start, end)
    assert next_instant(plain, start) == next_instant(stepped, start)


def test_a_range_with_a_step_of_none_is_no_schedule() -> None:
    assert schedule_fault(cron("5-5/0 * * * *")) is not None


def test_a_question_over_years_ends_at_the_limit() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert MOST == len(instants(cron("* * * * *"), start, start + timedelta(days=4000)))


@each_row(
    "schedule, text",
    [
        (cron("10 3 * * *"), "daily at 03:10 Europe/Berlin"),
        (cron("*/15 * * * *", "UTC"), "every 15 minutes UTC"),
        (cron("5 * * * *", "+01:00"), "hourly at :05 +01:00"),
        (cron("0 9 * * mon-fri"), "Mon-Fri at 09:00 Europe/Berlin"),
        (cron("0 9 * * 1,3"), "Mon, Wed at 09:00 Europe/Berlin"),
        (cron("30 1 2 * *"), "monthly on day 2 at 01:30 Europe/Berlin"),
        (cron("*/90 * * * *", "UTC"), "every 90th minute of every hour UTC"),
        (cron("*/11 * * * *", "UTC"), "every 11th minute of every hour UTC"),
        (cron("*/45 * * * *", "UTC"), "every 45th minute of every hour UTC"),
        (cron("0 4 * * sun-7", "UTC"), "daily at 04:00 UTC"),
        (cron("0 4 * * 1-7", "UTC"), "daily at 04:00 UTC"),
        (cron("49-49/1 * * * *", "UTC"), "hourly at :49 UTC"),
        (cron("@reboot"), "when the host starts"),
        (Schedule("pg_cron", "10 seconds"), "every 10 seconds"),
        (Schedule("pg_cron", "0 4 * * *"), "daily at 04:00 UTC"),
        (Schedule("pg_cron", "0 4 * * *", "Etc/UTC"), "daily at 04:00 UTC"),
        (Schedule("pg_cron", "0 4 * * *", BERLIN), "daily at 04:00 Europe/Berlin"),
        (Schedule("airflow", "", text="Dataset"), "Dataset"),
        (Schedule("pgagent", "*-*-* 4:0:00", BERLIN, "*-*-* 4:0:00"), "*-*-* 4:0:00"),
        (Schedule("none"), "no schedule"),
        (cron("what [bold]"), "what [bold]"),
    ],
)
def test_a_schedule_is_described_in_plain_english(schedule: Schedule, text: str) -> None:
    assert text == schedule_text(schedule)


MINUTES = st.sampled_from(["0", "30", "15,45", "*/20", "*", "7"])
HOURS = st.sampled_from(["*", "2", "1-3", "*/2", "0,2,23"])
WHEN = st.integers(0, 366 * 24 * 60).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))
SCHEDULES = st.builds(
    lambda dialect, minute, hour, zone: Schedule(dialect, f"{minute} {hour} * * *", zone),
    st.sampled_from(["debian-cron", "airflow", "pg_cron"]), MINUTES, HOURS, st.sampled_from(ZONES),
)  # fmt: skip


@given(SCHEDULES, WHEN)
def test_stepping_and_listing_yield_the_same_instants(schedule: Schedule, start: datetime) -> None:
    listed = instants(schedule, start, start + timedelta(days=3))
    stepped, at = [], start
    while (nearest := next_instant(schedule, at)) is not None and nearest <= start + timedelta(days=3):
        stepped.append(nearest)
        at = nearest
    assert listed == stepped
    assert sorted(set(listed)) == listed
    assert all(instant == last_instant(schedule, instant + timedelta(seconds=30)) for instant in listed[:3])


@given(SCHEDULES, WHEN, st.integers(1, 4000))
def test_a_window_split_anywhere_gives_the_same_instants(schedule: Schedule, start: datetime, minutes: int) -> None:
    end = start + timedelta(days=3)
    middle = start + timedelta(minutes=minutes)
    assert instants(schedule, start, end) == instants(schedule, start, middle) + instants(schedule, middle, end)


@given(SCHEDULES, WHEN, st.integers(11, 60))
def test_a_long_window_gives_the_instants_of_its_days(schedule: Schedule, start: datetime, days: int) -> None:
    """It is stepped through in one walk, and days are shared between jobs."""
    ends = [start + timedelta(days=day) for day in range(days + 1)]
    results = [instant for begin, end in pairwise(ends) for instant in instants(schedule, begin, end)]
    assert results[:MOST] == instants(schedule, start, ends[-1])


@given(st.sampled_from(ZONES), WHEN)
def test_a_daily_job_runs_once_on_every_local_date(zone: str, start: datetime) -> None:
    results = instants(cron("10 2 * * *", zone), start, start + timedelta(days=10))
    dates = [instant.astimezone(zone_of(zone)).date() for instant in results]
    assert sorted(set(dates)) == dates
    assert len(results) in (9, 10, 11)


def test_a_zone_of_cronie_skips_its_gap_and_runs_twice_in_its_overlap() -> None:
    """crond counts the minutes of its own clock, and makes up for no jump of another zone's."""
    nightly = Schedule("cronie", "30 2 * * *", "Europe/Berlin")
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert [] == instants(nightly, spring, spring + timedelta(hours=24))
    assert 2 == len(instants(nightly, autumn, autumn + timedelta(hours=24)))


YEAR = datetime(2026, 1, 10, tzinfo=UTC), datetime(2027, 1, 10, tzinfo=UTC)
MINUTE_OF_DAY = st.integers(0, 1439)


def daily_at(minute: int, zone: str) -> Schedule:
    return cron(f"{minute % 60} {minute // 60} * * *", zone)


@given(MINUTE_OF_DAY, st.integers(-719, 719) | st.integers(690, 750), st.sampled_from(ZONES))
def test_each_day_of_a_moved_daily_job_has_one_start_of_its_own(before: int, moved: int, zone: str) -> None:
    """However far it moved, across midnight and through both nights of a clock change. In the hours of that change
    twelve hours may be eleven or thirteen for one night."""
    after = (before + moved) % 1440
    assume(not (60 <= min(before, after) < 240 and abs(abs(before - after) - 720) <= 60))
    accepted, seen = daily_at(before, zone), daily_at(after, zone)
    dues = instants(accepted, *YEAR)
    starts = [seen_instant(accepted, seen, due) for due in dues]
    assert sorted(filter(None, starts)) == starts
    assert len(dues) == len({*starts})
    assert dues == [accepted_instant(accepted, seen, start) for start in starts if start is not None]
    assert max(abs(start - due) for due, start in zip(dues, starts, strict=True) if start) <= timedelta(hours=13)


@each_row(
    "before, after, due, start",
    [
        ("5 4 * * *", "4 4 * * *", "20T04:05", "20T04:04"),
        ("5 4 * * *", "0 6 * * *", "20T04:05", "20T06:00"),
        ("0 4 * * *", "0 16 * * *", "20T04:00", "20T16:00"),
        ("10 0 * * *", "50 23 * * *", "20T00:10", "19T23:50"),
        ("50 23 * * *", "10 0 * * *", "19T23:50", "20T00:10"),
        ("0 * * * *", "*/30 * * * *", "20T04:00", "20T04:00"),
        ("0 * * * *", "30 * * * *", "20T04:00", "20T04:30"),
        ("5 4 * * 5", "0 20 * * 5", "20T04:05", "20T20:00"),
        ("5 4 * * *", "5 4 * * 1-4", "20T04:05", None),
        ("5 4 * * 5", "5 4 * * 6", "20T04:05", None),
        ("5 4 * * *", "@reboot", "20T04:05", None),
        ("5 4 * * *", "61 4 * * *", "20T04:05", None),
    ],
)
def test_an_accepted_instant_belongs_to_the_seen_one_of_its_day(
    before: str, after: str, due: str, start: str | None
) -> None:
    accepted, seen = cron(before, "UTC"), cron(after, "UTC")
    instant = seen_instant(accepted, seen, datetime.fromisoformat(f"2026-11-{due}Z"))
    assert (datetime.fromisoformat(f"2026-11-{start}Z") if start else None) == instant
    if instant is not None:
        assert (
            f"{datetime.fromisoformat(f'2026-11-{due}Z'):%dT%H:%M}"
            == f"{accepted_instant(accepted, seen, instant):%dT%H:%M}"
        )


def test_a_start_of_a_denser_schedule_belongs_to_no_accepted_instant() -> None:
    half_past = datetime(2026, 11, 20, 4, 30, tzinfo=UTC)
    assert accepted_instant(cron("0 * * * *", "UTC"), cron("*/30 * * * *", "UTC"), half_past) is None


def test_an_hourly_job_starts_twice_in_the_repeated_hour() -> None:
    accepted, seen = cron("0 * * * *"), cron("40 * * * *")
    dues = instants(accepted, *AUTUMN)
    assert [due - timedelta(minutes=20) for due in dues] == [seen_instant(accepted, seen, due) for due in dues]


def test_a_job_whose_zone_changed_has_one_start_a_day() -> None:
    accepted, seen = cron("0 4 * * *", BERLIN), cron("0 4 * * *", "America/New_York")
    dues = instants(accepted, *YEAR)
    assert {5, 6} == {
        round((start - due) / timedelta(hours=1)) for due in dues if (start := seen_instant(accepted, seen, due))
    }
    assert all(seen_instant(accepted, seen, due) for due in dues)
