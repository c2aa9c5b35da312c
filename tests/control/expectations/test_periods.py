"""Which period a start belongs to, however polls bring it; and the business date of a period."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from connectors.sdk.records import RunRecord, Schedule, instant_key
from connectors.sdk.states import PeriodKind, RunState
from console.timing.business_dates import RunSpan, assign_periods, business_date_of, period_name_at
from console.timing.schedule import instants, seen_instant
from tests.factories import at, daily, job, record
from tests.rows import each_row

EXTRACT = job(1, "etl-hosts/db07:extract", "03:10")
QUARTERS = job(2, "etl-hosts/db07:quarters", Schedule("debian-cron", "*/15 * * * *"))
BY_HAND = job(3, "etl-hosts/db07:by_hand")
MONTHLY = job(4, "etl-hosts/db07:monthly", Schedule("debian-cron", "0 3 1 * *"))
JOBS = {job.native_id: job.schedule for job in (EXTRACT, QUARTERS, BY_HAND, MONTHLY)}
NOON = time(12)


def keys(records: list[RunRecord], assigned: dict[tuple[str, str], str] | None = None) -> list[str | None]:
    return [run.period_key for run in assign_periods(records, JOBS, assigned or {})]


@each_row(
    "instant, interval_start, zone, cutoff, expected",
    [
        (datetime(2026, 11, 20, 3, 12, tzinfo=UTC), None, "UTC", NOON, 19),
        (datetime(2026, 11, 20, 11, 59, 59, tzinfo=UTC), None, "UTC", NOON, 19),
        (datetime(2026, 11, 20, 12, 0, tzinfo=UTC), None, "UTC", NOON, 20),
        (datetime(2026, 11, 20, 3, 12, tzinfo=UTC), None, "UTC", time(0), 20),
        (datetime(2026, 11, 20, 11, 30, tzinfo=UTC), None, "Europe/Berlin", NOON, 20),
        (datetime(2026, 11, 20, 6, 30, tzinfo=UTC), None, "Asia/Kathmandu", NOON, 20),
        (datetime(2026, 11, 20, 6, 0, tzinfo=UTC), None, "Asia/Kathmandu", NOON, 19),
        (at("04:00"), datetime(2026, 11, 18, 23, 30, tzinfo=UTC), "Europe/Berlin", NOON, 19),
    ],
)
def test_the_business_date_is_that_of_the_window_or_of_the_interval(
    instant: datetime, interval_start: datetime | None, zone: str, cutoff: time, expected: int
) -> None:
    assert date(2026, 11, expected) == business_date_of(instant, interval_start, zone, cutoff)


def test_a_start_just_after_its_instant_is_its_run() -> None:
    (run,) = assign_periods([record("db07:extract", at("03:10:01"))], JOBS, {})
    assert ("2026-11-20T03:10:00Z", at("03:10")) == (run.period_key, run.period_at)


def test_a_start_a_little_before_its_instant_is_still_its_run() -> None:
    assert ["2026-11-20T03:10:00Z"] == keys([record("db07:extract", at("03:09:59"))])


@each_row("partition", ["2026-11-19", "2026-11-19|eu", "eu"])
def test_a_scheduled_start_of_a_partition_is_the_run_that_was_due_and_keeps_its_name(partition: str) -> None:
    records = [
        record("db07:extract", at("03:10:05"), "a1", period_name=partition),
        record("db07:extract", at("03:10:06"), "a2", period_name="another"),
        record("db07:extract", at("03:10:07"), "a3", period_name=partition, again_of="a1"),
        record("db07:extract", at("03:10:04"), "a4", period_key="2026-01-05"),
    ]
    assert [
        (instant_key(at("03:10")), at("03:10"), partition), (f"start:{instant_key(at('03:10:06'))}", None, "another"),
        (instant_key(at("03:10")), at("03:10"), partition), ("2026-01-05", None, ""),
    ] == [(run.period_key, run.period_at, run.period_name) for run in assign_periods(records, JOBS, {})]  # fmt: skip
    assert {PeriodKind.NAME} == {run.denotes for run in assign_periods(records, JOBS, {})}


@each_row(
    "due, known_due, name, zone, expected",
    [
        ("2026-11-30T06:00", "2026-11-29T06:00", "2026-11-28", "UTC", "2026-11-29"),
        ("2026-11-30T06:00", "2026-11-27T06:00", "2026-11-26|eu", "UTC", "2026-11-29|eu"),
        ("2026-11-29T23:30", "2026-11-29T00:30", "2026-11-28", "Europe/Berlin", "2026-11-29"),
        ("2026-03-29T00:30", "2026-03-28T01:30", "2026-03-27", "Europe/Berlin", "2026-03-28"),
        ("2026-11-30T00:05", "2026-11-29T22:05", "2026-11-29-21:00", "UTC", "2026-11-29-23:00"),
        ("2026-11-30T05:10", "2026-11-29T03:10", "2026-11-29T00:00:00Z", "UTC", "2026-11-30T02:00:00Z"),
        ("2026-12-01T03:00", "2026-11-01T03:00", "2026-10-01", "UTC", "2026-10-31"),  # none of a month
        ("2026-11-30T06:00", "2026-11-29T06:00", "eu", "UTC", "eu"),
        ("2026-11-30T06:00", "2026-11-29T06:00", "shop7", "UTC", ""),
        ("2026-11-30T06:00", "2026-11-29T06:00", "20261128", "UTC", ""),
        ("2026-11-30T06:00", "2026-11-29T06:00", "2026-11-27..2026-11-28", "UTC", ""),
        ("2026-11-30T06:00", "2026-11-29T06:00", "2026-13-45", "UTC", ""),
        ("9999-12-30T06:00", "2026-11-29T06:00", "9999-11-28", "UTC", ""),
    ],
)
def test_the_partition_of_a_start_follows_from_that_of_another_start(
    due: str, known_due: str, name: str, zone: str, expected: str
) -> None:
    instant, known = (datetime.fromisoformat(f"{text}Z") for text in (due, known_due))
    assert expected == period_name_at(instant, known, name, zone)


@each_row("hours, expected", [(12, "start:2026-11-19T16:10:00Z"), (13, "2026-11-19T03:10:00Z")])
def test_a_start_in_the_second_half_of_its_period_is_its_run_where_its_window_is_that_long(
    hours: int, expected: str
) -> None:
    """RandomizedDelaySec=13h; nobody saw whether the period had a start."""
    schedules = {"db07:extract": replace(daily("03:10"), window=timedelta(hours=hours))}
    (run,) = assign_periods([record("db07:extract", at("16:10"))], schedules, {})
    assert expected == run.period_key


@each_row(
    "expression, waiting, expected",
    [
        ("0 3 * * *", ["2026-11-20T03:04:00Z"], "2026-11-20T03:04:00Z"),
        ("", ["2026-11-20T03:04:00Z"], "2026-11-20T03:04:00Z"),
        ("0 3 * * *", ["2026-11-19T03:04:00Z"], "2026-11-20T03:00:00Z"),
        ("0 3 * * *", [], "2026-11-20T03:00:00Z"),
        ("", ["2026-11-20T03:05:00Z", "start:x"], "start:2026-11-20T03:04:10Z"),
    ],
)
def test_a_start_at_the_next_one_that_its_source_named_is_that_one(
    expression: str, waiting: list[str], expected: str
) -> None:
    """GitLab names the minute at which its worker looks for due schedules; several expressions of GitHub have none
    that Headway reads. By the time of the poll the source names the start after it."""
    schedules = {"db07:extract": Schedule("debian-cron", expression, next_at=at("03:04", day=1))}
    start = record("db07:extract", at("03:04:10"))
    (run,) = assign_periods([start], schedules, {}, waiting={"db07:extract": waiting})
    assert expected == run.period_key


def test_a_late_start_is_the_late_run_of_its_period() -> None:
    assert ["2026-11-20T03:10:00Z"] == keys([record("db07:extract", at("09:40"))])


@each_row("job", ["db07:extract", "db07:monthly"])
@each_row(
    "start, is_waiting, is_late_run",
    [("01T23:10:00", False, False), ("01T23:10:00", True, True), ("01T15:00:00", False, True)],
)
def test_a_start_many_hours_later_fulfils_only_an_instant_that_is_known_to_have_no_start(
    job: str, start: str, is_waiting: bool, is_late_run: bool
) -> None:
    """A manual execution took the slot of a morning that nobody had watched, 20 hours back."""
    minutes = "10" if job == "db07:extract" else "00"
    slot = f"2026-11-01T03:{minutes}:00Z"
    started = datetime.fromisoformat(f"2026-11-{start}Z")
    [run] = assign_periods([record(job, started)], JOBS, {}, waiting={job: {slot}} if is_waiting else {})
    assert run.period_key == (slot if is_late_run else f"start:2026-11-{start}Z")


def test_a_second_start_in_one_period_has_its_own_key_and_no_scheduled_instant() -> None:
    first, second = assign_periods(
        [record("db07:extract", at("03:10:01")), record("db07:extract", at("09:40"))], JOBS, {}
    )
    assert "2026-11-20T03:10:00Z" == first.period_key
    assert ("start:2026-11-20T09:40:00Z", None) == (second.period_key, second.period_at)


def test_a_period_of_an_earlier_attempt_is_not_assigned_again() -> None:
    assigned = {("db07:extract", "2026-11-20T03:10:00Z"): "earlier"}
    assert ["start:2026-11-20T03:20:00Z"] == keys([record("db07:extract", at("03:20"), "later")], assigned)


def test_an_attempt_seen_again_keeps_its_period() -> None:
    assigned = {("db07:quarters", "2026-11-20T03:00:00Z"): "a"}
    assert ["2026-11-20T03:00:00Z"] == keys(
        [record("db07:quarters", at("03:16"), "a", state=RunState.SUCCEEDED)], assigned
    )


def test_what_executes_a_run_again_has_its_period_and_takes_no_other() -> None:
    first = record("db07:extract", at("03:10:01"), "a")
    again = replace(record("db07:extract", at("09:40"), "b"), again_of="a")
    assert ["2026-11-20T03:10:00Z"] * 2 == keys([again, first])
    assigned = {("db07:extract", "2026-11-18T03:10:00Z"): "a"}
    due = record("db07:extract", at("10:40"), "c")
    assert ["2026-11-18T03:10:00Z", "2026-11-20T03:10:00Z"] == keys([again, due], assigned)
    assert ["2026-11-20T03:10:00Z"] == keys([again])


def test_a_start_where_nothing_is_scheduled_has_its_own_key() -> None:
    assert ["start:2026-11-20T03:10:01Z"] == keys([record("db07:by_hand", at("03:10:01"))])
    assert ["start:2026-11-20T03:10:01Z"] == keys([record("db07:unheard_of", at("03:10:01"))])


def test_a_start_in_mid_month_is_not_the_late_run_of_the_first() -> None:
    assert ["start:2026-11-20T09:40:00Z"] == keys([record("db07:monthly", at("09:40"))])


def test_a_record_without_any_time_is_known_by_its_attempt() -> None:
    untimed = RunRecord(job="db07:extract", attempt_key="13", state=RunState.FAILED, native_state="failed")
    assert ["attempt:13"] == keys([untimed])


def test_records_that_know_their_period_or_their_action_stay_as_they_are() -> None:
    records = [record("db07:extract", at("03:10"), period_key="manual__7"),
               record("db07:extract", at("03:20"), action_key="headway-0123456789")]  # fmt: skip
    assert records == assign_periods(records, JOBS, {})


def test_the_one_run_of_a_gap_night_is_found_by_its_start_after_the_jump() -> None:
    berlin = job(5, "etl-hosts/db07:berlin", daily("02:30", zone="Europe/Berlin"))
    start = datetime(2026, 3, 29, 1, 0, 12, tzinfo=UTC)
    (run,) = assign_periods([record("db07:berlin", start)], {"db07:berlin": berlin.schedule}, {})
    assert "2026-03-29T01:00:00Z" == run.period_key


EXPORT = ("2026-11-20T03:10:00Z", "2026-11-19T03:10:00Z")
"""Tonight's instant of the export, and that of the night before."""


def early(
    *records: RunRecord,
    assigned: dict[tuple[str, str], str] | None = None,
    began: dict[tuple[str, str], datetime] | None = None,
) -> list[str | None]:
    """Periods where a job goes by a clock of its own."""
    spans = {key: RunSpan(at, None) for key, at in (began or {}).items()}
    return [run.period_key for run in assign_periods(records, JOBS, assigned or {}, spans, may_start_early=True)]


@each_row(
    "start, expected",
    [
        ("03:06:18", EXPORT[0]),
        ("02:55", EXPORT[0]),
        ("02:54:59", "start:2026-11-20T02:54:59Z"),
        ("03:24", EXPORT[0]),
        ("03:10:01", EXPORT[0]),
    ],
)
def test_a_start_some_minutes_early_is_the_run_of_its_instant_though_the_night_before_was_unobserved(
    start: str, expected: str
) -> None:
    """An early start, by a fast clock or a person, counts as the night's run: it is not reported as missed."""
    assert [expected] == early(record("db07:extract", at(start)))
    yesterdays = {("db07:extract", EXPORT[1]): "before"}
    assert [expected] == early(record("db07:extract", at(start), "tonight"), assigned=yesterdays)


def test_a_start_is_never_early_where_the_scheduler_itself_starts_it() -> None:
    """By cron's own clock nothing starts early: somebody ran it by hand."""
    assigned = {("db07:extract", EXPORT[1]): "before"}
    assert ["start:2026-11-20T03:06:18Z"] == keys([record("db07:extract", at("03:06:18"))], assigned)


def test_an_early_start_takes_no_period_that_has_its_run() -> None:
    tonights = {("db07:extract", key): "other" for key in EXPORT}
    assert ["start:2026-11-20T03:06:18Z"] == early(record("db07:extract", at("03:06:18"), "mine"), assigned=tonights)


def test_a_start_on_time_joins_the_run_that_somebody_began_just_before_its_clock() -> None:
    """Else it would have no period of its own schedule, and its failure none."""
    by_hand, by_clock = record("db07:extract", at("03:04"), "hand"), record("db07:extract", at("03:10:01"), "clock")
    later = record("db07:extract", at("05:00"), "later")
    expected = [EXPORT[0], EXPORT[0], "start:2026-11-20T05:00:00Z"]
    assert expected == early(by_hand, by_clock, later)
    assigned, began = {("db07:extract", EXPORT[0]): "hand"}, {("db07:extract", EXPORT[0]): at("03:04")}
    assert expected[1:] == early(by_clock, later, assigned=assigned, began=began)
    on_time = {("db07:extract", EXPORT[0]): at("03:10")}
    assert ["start:2026-11-20T03:10:01Z"] == early(by_clock, assigned=assigned, began=on_time)


@each_row(
    "start, is_used, expected",
    [
        ("03:14:30", False, "2026-11-20T03:00:00Z"),
        ("03:14:30", True, "2026-11-20T03:15:00Z"),
        ("03:11:15", True, "2026-11-20T03:15:00Z"),
        ("03:11:14", True, "start:2026-11-20T03:11:14Z"),
    ],
)
def test_a_start_between_near_instants_is_late_while_the_one_before_is_free(
    start: str, is_used: bool, expected: str
) -> None:
    assigned = {("db07:quarters", "2026-11-20T03:00:00Z"): "before"} if is_used else {}
    assert [expected] == early(record("db07:quarters", at(start), "mine"), assigned=assigned)


def test_a_start_that_is_early_across_a_jump_of_the_clock_is_its_instants_run() -> None:
    """In Berlin's spring the instant before 02:30, which is skipped, lies 23 hours and a half back."""
    berlin = {"db07:berlin": daily("02:30", zone="Europe/Berlin")}
    start = datetime(2026, 3, 29, 0, 56, tzinfo=UTC)
    (run,) = assign_periods([record("db07:berlin", start)], berlin, {}, may_start_early=True)
    assert "2026-03-29T01:00:00Z" == run.period_key


def moved(start: datetime, before: str, after: str, *, zone: str = "UTC", **assigned: str) -> str | None:
    """The period of a start while the crontab line says `after` and `before` is accepted."""
    accepted, seen = Schedule("debian-cron", before, zone), Schedule("debian-cron", after, zone)
    [run] = assign_periods(
        [record("db07:extract", start)], {"db07:extract": accepted},
        {("db07:extract", f"2026-11-{key.strip('_').replace('_', ':')}Z"): name for key, name in assigned.items()},
        seen={"db07:extract": seen},
    )  # fmt: skip
    return run.period_key


@each_row(
    "start, before, after, expected",
    [
        ("20T04:04:01", "5 4 * * *", "4 4 * * *", "20T04:05:00"),
        ("20T04:03:57", "5 4 * * *", "4 4 * * *", "20T04:05:00"),
        ("20T04:05:01", "5 4 * * *", "4 4 * * *", "20T04:05:00"),
        ("20T09:00:00", "5 4 * * *", "4 4 * * *", "20T04:05:00"),
        ("20T06:00:01", "5 4 * * *", "0 6 * * *", "20T04:05:00"),
        ("20T04:05:01", "5 4 * * *", "0 6 * * *", "20T04:05:00"),  # before the line was changed
        ("20T16:05:01", "5 4 * * *", "5 16 * * *", "20T04:05:00"),
        ("19T23:50:01", "10 0 * * *", "50 23 * * *", "20T00:10:00"),
        ("20T00:10:01", "50 23 * * *", "10 0 * * *", "19T23:50:00"),
        ("20T04:30:01", "0 * * * *", "*/30 * * * *", "start:20T04:30:01"),
        ("20T05:00:01", "0 * * * *", "*/30 * * * *", "20T05:00:00"),
        ("20T02:04:01", "5 4 * * *", "4 2,4 * * *", "start:20T02:04:01"),
        ("20T04:00:01", "*/30 * * * *", "0 * * * *", "20T04:00:00"),
        ("20T09:00:00", "5 4 * * *", "@reboot", "20T04:05:00"),
        ("20T09:00:00", "@reboot", "5 4 * * *", "start:20T09:00:00"),
        ("19T05:00:00", "5 4 * * *", "0 6 1 * *", "19T04:05:00"),
        ("21T23:00:00", "5 4 * * 5", "0 3 * * 6", "start:21T23:00:00"),
    ],
)
def test_a_start_by_a_schedule_that_is_not_accepted_is_the_run_of_the_accepted_instant_of_its_day(
    start: str, before: str, after: str, expected: str
) -> None:
    result = moved(datetime.fromisoformat(f"2026-11-{start}Z"), before, after)
    own = "start:" if expected.startswith("start:") else ""
    assert f"{own}2026-11-{expected.removeprefix('start:')}Z" == result


def test_a_start_by_hand_after_that_of_a_moved_line_is_a_run_of_its_own() -> None:
    accepted, seen = Schedule("debian-cron", "5 4 * * *", "UTC"), Schedule("debian-cron", "4 4 * * *", "UTC")
    clocked, by_hand = datetime(2026, 11, 20, 4, 4, 1, tzinfo=UTC), datetime(2026, 11, 20, 4, 14, 1, tzinfo=UTC)
    schedules = {"db07:extract": accepted}, {"db07:extract": seen}
    first = record("db07:extract", clocked, "a"), record("db07:extract", by_hand, "b")
    runs = assign_periods(first, schedules[0], {}, seen=schedules[1])
    keys = ["2026-11-20T04:05:00Z", "start:2026-11-20T04:14:01Z"]
    assert keys == [run.period_key for run in runs]
    assigned = {("db07:extract", keys[0]): "a"}
    spans = {("db07:extract", keys[0]): RunSpan(clocked, None)}
    [later] = assign_periods(first[1:], schedules[0], assigned, spans, seen=schedules[1])
    assert keys[1] == later.period_key


def test_a_second_start_of_a_moved_job_takes_no_other_day() -> None:
    """Not yesterday's either, which nobody saw run."""
    late = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    assert "start:2026-11-20T09:00:00Z" == moved(late, "5 4 * * *", "4 4 * * *", _20T04_05_00="first")


WEEK = [datetime(2026, 10, 22, tzinfo=UTC) + timedelta(days=number) for number in range(7)]
"""With the night in which Berlin's clock goes back."""


@given(
    st.integers(0, 1439),
    st.integers(-700, 700).filter(bool),
    st.lists(st.floats(-3, 600), min_size=7, max_size=7),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
    st.integers(0, 7),
)
def test_each_night_of_a_moved_job_has_its_run_whatever_polls_bring(
    before: int, by: int, delays: list[float], size: int, dice: random.Random, moved_on: int
) -> None:
    """The line moved before the night `moved_on`; each start is reported late, twice and in any order."""
    assume(not any(abs(minute - 150) < 120 for minute in (before, (before + by) % 1440)))
    schedules = [daily(f"{at // 60:02d}:{at % 60:02d}", zone="Europe/Berlin") for at in (before, (before + by) % 1440)]
    accepted, changed = schedules
    dues = instants(accepted, WEEK[0], WEEK[0] + timedelta(days=7))
    starts_at = [seen_instant(accepted, changed, due) if night >= moved_on else due for night, due in enumerate(dues)]
    records = [
        record("db07:extract", start + timedelta(seconds=late), f"a{night}")
        for night, (start, late) in enumerate(zip(starts_at, delays, strict=True))
        if start is not None
    ]
    reported = records + dice.sample(records, len(records) // 2)
    dice.shuffle(reported)
    assigned: dict[tuple[str, str], str] = {}
    for offset in range(0, len(reported), size):
        jobs = {"db07:extract": accepted}, assigned
        for run in assign_periods(reported[offset : offset + size], *jobs, seen={"db07:extract": changed}):
            assert run.period_key is not None
            assert run.attempt_key == assigned.setdefault((run.job, run.period_key), run.attempt_key)
    assert {("db07:extract", instant_key(due)): f"a{night}" for night, due in enumerate(dues)} == assigned


def starts(jitters: list[float]) -> list[RunRecord]:
    """One start per quarter of an hour, each within its own period."""
    first = at("00:00")
    return [
        record("db07:quarters", first + number * timedelta(minutes=15) + timedelta(seconds=late), f"a{number}")
        for number, late in enumerate(jitters)
    ]


@given(
    st.lists(st.floats(-3, 890), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
    st.integers(1, 5),
    st.booleans(),
)
def test_shuffled_repeated_and_late_polls_give_every_start_the_same_period(
    jitters: list[float], dice: random.Random, size: int, may_start_early: bool
) -> None:
    records = starts(jitters)
    expected = {
        f"a{number}": instant_key(at("00:00") + number * timedelta(minutes=15)) for number in range(len(records))
    }
    seen = records + dice.sample(records, len(records) // 2)
    dice.shuffle(seen)
    assigned: dict[tuple[str, str], str] = {}
    results: dict[str, str | None] = {}
    for offset in range(0, len(seen), size):
        for run in assign_periods(seen[offset : offset + size], JOBS, assigned, may_start_early=may_start_early):
            assert run.period_key is not None
            assigned[run.job, run.period_key] = run.attempt_key
            assert results.setdefault(run.attempt_key, run.period_key) == run.period_key
    assert expected == results


ROLLUP = Schedule("pg_cron", "0 * * * *")
EVENING = at("18:00")


@dataclass(frozen=True)
class Launched:
    """A run of pg_cron's launcher, the instant that it was started for, and when its source shows its end."""

    run: RunRecord
    due: datetime
    closed_at: datetime

    def seen_at(self, now: datetime) -> RunRecord:
        return self.run if self.closed_at <= now else replace(self.run, state=RunState.RUNNING, ended_at=None)


def launched(takes: list[int], dead: list[range]) -> list[Launched]:
    """The launcher counts the due starts while it lives, and starts them one at a time. With it go the count and the
    end of the run that it executed. `takes`: minutes of each run in turn; `dead`: minutes of the night."""
    runs, queue, free_at = list[Launched](), list[datetime](), EVENING
    for minute in range(16 * 60):
        now = EVENING + timedelta(minutes=minute)
        if spell := next((spell for spell in dead if minute in spell), None):
            queue, back = [], EVENING + timedelta(minutes=spell.stop)
            if runs and runs[-1].closed_at > now and runs[-1].run.ended_at is not None:
                lost = replace(runs[-1].run, state=RunState.FAILED, ended_at=None)
                runs[-1] = Launched(lost, runs[-1].due, closed_at=back)
            free_at = back
            continue
        queue += [now] if minute % 60 == 0 else []
        if queue and free_at <= now:
            start, free_at = now + timedelta(seconds=1), now + timedelta(minutes=takes[len(runs) % len(takes)])
            end = free_at - timedelta(seconds=1)
            run = record("rollup", start, f"{len(runs)}", state=RunState.SUCCEEDED, ended_at=end)
            runs.append(Launched(run, queue.pop(0), end))
    return runs


def polled(night: list[Launched], polls: list[datetime]) -> dict[str, str | None]:
    """attempt key -> period, where each poll brings the runs that began or ended since the one before."""
    owners, spans, periods = dict[tuple[str, str], str](), dict[tuple[str, str], RunSpan](), dict[str, str | None]()
    last_poll = EVENING
    for now in polls:
        begun = [one for one in night if one.run.started_at is not None and one.run.started_at <= now]
        rows = [one.seen_at(now) for one in begun if one.closed_at > last_poll]
        for run in assign_periods(rows, {"rollup": ROLLUP}, owners, spans):
            assert run.period_key is not None
            assert run.started_at is not None
            owners[run.job, run.period_key] = run.attempt_key
            spans[run.job, run.period_key] = RunSpan.of(run.started_at, run.ended_at, run.state.is_open)
            assert run.period_key == periods.setdefault(run.attempt_key, run.period_key)
        last_poll = now
    return periods


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 900), st.integers(1, 200)), max_size=3),
    st.lists(st.integers(0, 960), max_size=40),
)
def test_starts_queued_behind_a_run_are_those_of_the_runs_after_it_whatever_a_poll_brings(
    takes: list[int], dead: list[tuple[int, int]], polls: list[int]
) -> None:
    """No queued start is without its run, and none that a dead launcher missed has one."""
    night = launched(takes, [range(begin, begin + length) for begin, length in dead])
    moments = [EVENING + timedelta(minutes=minute) for minute in sorted({*polls, 16 * 60})]
    assert {one.run.attempt_key: instant_key(one.due) for one in night} == polled(night, moments)


@each_row(
    "before, started, expected",
    [
        (("03:00:01", "06:20", RunState.SUCCEEDED), "06:20:01", "04:00"),
        (("03:00:01", None, RunState.RUNNING), "06:20:01", "04:00"),
        (("03:00:01", "06:20", RunState.SUCCEEDED), "07:00:01", "07:00"),  # nothing was queued: the job was paused
        (("03:00:01", "06:59:59", RunState.SUCCEEDED), "07:00:01", "04:00"),
        (("03:00:01", "03:10", RunState.SUCCEEDED), "05:00:01", "05:00"),  # its launcher was dead at 04:00
        (("03:00:01", None, RunState.FAILED), "06:20:01", "06:00"),  # "server restarted"
    ],
)
def test_a_queued_start_is_one_that_came_due_in_the_time_of_the_run_before(
    before: tuple[str, str | None, RunState], started: str, expected: str
) -> None:
    began, ended, state = before
    key = "rollup", instant_key(at("03:00"))
    spans = {key: RunSpan.of(at(began), at(ended) if ended else None, state.is_open)}
    start = record("rollup", at(started), "b")
    [run] = assign_periods([start], {"rollup": ROLLUP}, {key: "a"}, spans)
    assert instant_key(at(expected)) == run.period_key


@each_row(
    "schedule, expected",
    [
        (Schedule("debian-cron", "0 * * * *"), "2026-11-20T06:00:00Z"),
        (Schedule("systemd", "hourly"), "2026-11-20T06:00:00Z"),
        (Schedule("pg_cron", "30 seconds"), "2026-11-20T06:20:00Z"),
    ],
)
def test_a_start_after_a_long_run_is_the_latest_where_its_scheduler_does_not_queue_each(
    schedule: Schedule, expected: str
) -> None:
    key = "rollup", instant_key(at("03:00"))
    spans = {key: RunSpan(at("03:00:01"), at("06:20"))}
    [run] = assign_periods([record("rollup", at("06:20:01"), "b")], {"rollup": schedule}, {key: "a"}, spans)
    assert expected == run.period_key


def test_a_run_by_hand_lets_the_starts_of_its_time_wait() -> None:
    by_hand = record("rollup", at("03:50"), "a", state=RunState.SUCCEEDED, ended_at=at("05:20"))
    taken = {("rollup", instant_key(at("03:00"))): "before"}
    runs = [by_hand, record("rollup", at("05:20:01"), "b"), record("rollup", at("05:40"), "c")]
    periods = [run.period_key for run in assign_periods(runs, {"rollup": ROLLUP}, taken)]
    assert ["start:2026-11-20T03:50:00Z", "2026-11-20T04:00:00Z", "2026-11-20T05:00:00Z"] == periods


def test_a_backlog_of_more_than_a_day_is_given_up() -> None:
    due = at("06:00") - timedelta(hours=26)
    key = "rollup", instant_key(due)
    spans = {key: RunSpan(at("05:00"), at("06:20"))}
    [run] = assign_periods([record("rollup", at("06:20:01"), "b")], {"rollup": ROLLUP}, {key: "a"}, spans)
    assert instant_key(at("06:00")) == run.period_key
