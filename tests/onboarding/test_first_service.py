"""The first service: which job, which deadline, and the reason in words."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from console.config.loading import load_config
from console.domain.service import ReportedDeadline
from console.onboarding.first_service import JobHistory, propose, propose_reported, with_deadline
from tests.rows import each_row

ZONE = "Europe/Berlin"
FIRST = date(2026, 11, 2)


def past(job: str, *clocks: str, upstreams: tuple[str, ...] = (), zone: str = ZONE) -> JobHistory:
    """A job that ended at these times of the mornings after consecutive business dates."""
    ends = []
    for number, clock in enumerate(clocks):
        business_date = FIRST + timedelta(days=number)
        local = datetime.fromisoformat(f"{business_date + timedelta(days=1)}T{clock}").replace(tzinfo=ZoneInfo(zone))
        ends.append((business_date, local.astimezone(UTC)))
    return JobHistory(job, upstreams, tuple(ends))


def test_the_job_with_the_most_upstreams_is_proposed_with_a_margin_and_reasons() -> None:
    proposal = propose(
        [
            past("etl/db07:extract", "03:24", "03:30"),
            past("air/load", "04:12", "04:20", upstreams=("etl/db07:extract",)),
            past("dwh/revenue_mart", "05:35", "05:41", upstreams=("air/load",)),
            past("etl/db07:purge", "06:50", "06:51"),
        ],
        ZONE,
    )
    assert proposal is not None
    assert ("dwh/revenue_mart", "revenue-mart", "Revenue mart") == (proposal.job, proposal.name, proposal.title)
    assert "06:15" == proposal.deadline
    assert "builds on 2 other jobs, more than any other" in proposal.reason
    assert "it ended by 05:41 at the latest in 2 nights; 34 min more make 06:15" in proposal.reason


def test_without_dependencies_it_is_the_job_that_ends_last_each_night() -> None:
    proposal = propose(
        [past("etl/a", "03:00", "03:00"), past("etl/b", "04:00", "02:00"), past("etl/c", "03:30", "03:10")], ZONE
    )
    assert proposal is not None
    assert "etl/c" in (proposal.job, "etl/c")
    assert "no dependency between the jobs is known yet" in proposal.reason
    assert "it was the last of all to end on 1 of 2 nights" in proposal.reason


def test_ends_that_are_far_apart_get_a_wider_margin() -> None:
    narrow = propose([past("etl/a", "03:00", "03:10")], ZONE)
    wide = propose([past("etl/a", "00:10", "03:10")], ZONE)
    assert narrow is not None
    assert wide is not None
    assert ("03:45", "04:00") == (narrow.deadline, wide.deadline)


def test_a_job_of_every_few_minutes_delivers_nothing() -> None:
    business_date = FIRST
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    often = JobHistory(
        "etl/beat", (), tuple((business_date, noon + timedelta(minutes=5 * number)) for number in range(100))
    )
    assert propose([often], ZONE) is None


def test_a_job_of_every_minute_that_has_just_begun_delivers_nothing() -> None:
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    ends = ((FIRST, noon), (FIRST, noon + timedelta(minutes=1)))
    assert propose([JobHistory("etl/beat", (), ends, noon + timedelta(minutes=2))], ZONE) is None
    assert propose([JobHistory("etl/beat", (), ends, noon + timedelta(hours=24))], ZONE) is not None


def test_without_a_proved_end_nothing_is_proposed() -> None:
    assert propose([JobHistory("etl/a", (), ())], ZONE) is None


def test_a_deadline_stays_inside_of_the_business_dates_window() -> None:
    proposal = propose([past("etl/a", "11:40")], ZONE)
    assert proposal is not None
    assert "11:45" == proposal.deadline


def test_a_change_of_clocks_moves_no_deadline() -> None:
    """The night of the 28th of March 2026 is an hour shorter: 06:00 stays 06:00 of the night before."""
    ends = tuple(
        (
            business_date,
            datetime(business_date.year, business_date.month, business_date.day, 6, tzinfo=ZoneInfo(ZONE))
            + timedelta(days=1),
        )
        for business_date in (date(2026, 3, 27), date(2026, 3, 28), date(2026, 3, 29))
    )
    proposal = propose([JobHistory("etl/a", (), ends)], ZONE)
    assert proposal is not None
    assert "it ended by 06:00 at the latest" in proposal.reason


def test_loops_in_what_is_declared_end() -> None:
    proposal = propose([past("a/x", "03:00", upstreams=("a/y",)), past("a/y", "03:10", upstreams=("a/x",))], ZONE)
    assert proposal is not None
    assert "builds on 1 other job," in proposal.reason


@each_row("text, deadline", [("7:05", "07:05"), (" 23:59 ", "23:59"), ("24:00", None), ("soon", None)])
def test_a_person_types_another_deadline(text: str, deadline: str | None) -> None:
    proposal = propose([past("etl/a", "03:00")], ZONE)
    assert proposal is not None
    changed = with_deadline(proposal, text)
    assert deadline == (changed.deadline if changed else None)


@pytest.mark.parametrize("active", [True, False])
def test_its_block_is_config_or_a_comment(tmp_path: object, active: bool) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    proposal = propose([past("etl/a", "03:00")], ZONE)
    assert proposal is not None
    path = tmp_path / "headway.toml"
    systems = '[systems.etl]\nkind = "cron"\nhosts = [{ name = "here", local = true }]\n'
    path.write_text(systems + "\n".join(proposal.lines(active)))
    assert (["a"] if active else []) == list(load_config(path).services)


@each_row(
    "deadline, of, is_interval, due",
    [
        ("2026-11-26T06:00", "2026-11-26T03:00", False, "07:00"),  # both in the night of the 25th
        ("2026-11-26T06:00", "2026-11-24T23:00", True, "07:00"),  # the data of the 25th
        ("2026-11-26T12:30", "2026-11-26T03:00", False, "13:30 a day later"),
        ("2026-11-26T22:30", "2026-11-26T21:00", False, "23:30"),
        ("2026-11-28T12:30", "2026-11-26T03:00", False, "13:30 3 days later"),
        ("2026-12-06T12:30", "2026-11-26T03:00", False, None),
        ("2026-11-26T02:00", "2026-11-28T03:00", False, None),
    ],
)
def test_a_deadline_in_airflow_is_one_of_the_business_date(
    deadline: str, of: str, is_interval: bool, due: str | None
) -> None:
    reported = ReportedDeadline.parse(f"{deadline}+00:00 for the {'data' if is_interval else 'run'} of {of}+00:00")
    assert (reported, is_interval) == (ReportedDeadline.parse(reported.text), reported.is_interval)
    result = propose_reported("air/daily_mart", reported, ZONE, time(12))
    assert due == (None if result is None else result.due)
    if result is not None:
        assert ("daily-mart", "air/daily_mart", ZONE) == (result.name, result.job, result.zone)
