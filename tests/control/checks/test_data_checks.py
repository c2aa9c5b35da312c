"""What a look at data means: each broken expectation is named, bands rest on past days, and conditions fail closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.checks.queries import Measurement
from console.control.expectations.data_checks import count_band, judge_check
from console.control.snapshot.checks import all_proved_at, pending_checks_of, proved_at, readiness
from console.domain.check import (
    Check,
    CheckCriteria,
    CheckHistory,
    CheckState,
    Comparator,
    Comparison,
    PastRowCount,
    ResultSpan,
    RowCountBand,
)
from console.domain.estate import Estate
from console.domain.settings import Declared
from tests.factories import NIGHT, at
from tests.rows import each_row

THURSDAYS = [2950, 3020, 3100, 3130, 3155, 3180, 3220, 3300, 3410]


def check(**parameters: Any) -> Check:
    return Check("supply-rows", "sql", "table supply.rows", CheckCriteria(**parameters))


def weeks(counts: list[int], business_date: date = NIGHT) -> list[PastRowCount]:
    """The latest past days of the same weekday, newest last."""
    return [
        PastRowCount(business_date - timedelta(weeks=len(counts) - place), rows) for place, rows in enumerate(counts)
    ]


def verdict(measured: Measurement, past: list[PastRowCount] | None = None, **parameters: Any) -> tuple[CheckState, str]:
    judgement = judge_check(check(**parameters), measured, past or [], NIGHT, at("06:00"))
    return judgement.state, judgement.text


def test_a_count_far_below_its_weekdays_band_says_how_far_and_on_what_the_band_rests() -> None:
    state, text = verdict(Measurement(rows=1204), weeks(THURSDAYS), band=RowCountBand(tolerance=0))
    assert state is CheckState.FAILED
    assert text == "38 % of the usual Thursday rows (1,204 of 2,978–3,366, 9 Thursdays)"


def test_a_count_within_the_band_passes_and_says_the_band() -> None:
    result = verdict(Measurement(rows=3120), weeks(THURSDAYS), band=RowCountBand(tolerance=0))
    assert result == (CheckState.PASSED, "3,120 rows (usual: 2,978–3,366, 9 Thursdays)")


def test_other_weekdays_and_later_dates_make_no_band() -> None:
    past = [PastRowCount(NIGHT + timedelta(days=shift), 3000) for shift in (-1, -2, -3, -4, -5, -6, 0, 7, 14, 21)]
    assert count_band(CheckCriteria(band=RowCountBand()), NIGHT, past) is None


def test_before_enough_days_there_is_no_band_and_it_says_how_many_are_there() -> None:
    result = verdict(Measurement(rows=12), weeks([3000, 3010, 3020]), band=RowCountBand(days=4))
    assert result == (CheckState.LEARNING, "12 rows, no band yet (3 of 4 Thursdays)")


def test_declared_limits_are_judged_before_a_band_exists() -> None:
    result = verdict(Measurement(rows=12), [], band=RowCountBand(), rows_min=100)
    assert result == (CheckState.FAILED, "12 rows, fewer than 100")


def test_days_without_any_row_make_a_band_that_no_row_breaks() -> None:
    result = verdict(Measurement(rows=0), weeks([0, 0, 0, 0]), band=RowCountBand())
    assert result == (CheckState.PASSED, "0 rows (usual: 0–0, 4 Thursdays)")
    assert verdict(Measurement(rows=5), weeks([0, 0, 0, 0]), band=RowCountBand())[0] is CheckState.FAILED


@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=30), st.floats(0, 2))
def test_the_median_of_the_days_lies_in_their_band(counts: list[int], tolerance: float) -> None:
    band = count_band(CheckCriteria(band=RowCountBand(4, tolerance)), NIGHT, weeks(counts))
    assert band is not None
    assert band.low <= band.middle <= band.high
    assert band.days == min(len(counts), 26)


def test_every_broken_thing_is_named() -> None:
    measurement = Measurement(rows=10, newest=at("01:00"), duplicates=(("id", 3),), nulls=(("day", 2), ("sku", 0)))
    state, text = verdict(
        measurement, rows_min=100, fresh=timedelta(hours=2), unique=(("id",),), not_null=("day", "sku")
    )
    assert state is CheckState.FAILED
    assert text == (
        "10 rows, fewer than 100; newest row 2026-11-20 01:00 UTC, 5h old, more than 2h; 3 duplicate keys in id;"
        " 2 rows without day"
    )


def test_a_missing_measurement_does_not_pass() -> None:
    state, text = verdict(Measurement(), rows_min=1, unique=(("a", "b"),), not_null=("c",), there=False, size_min=1)
    assert state is CheckState.FAILED
    assert text == (
        "the rows were not counted; its size is unknown; not counted: duplicate keys in a, b;"
        " not counted: rows without c"
    )


def test_a_time_far_ahead_of_the_clock_is_not_fresh() -> None:
    ahead = Measurement(newest=datetime(9999, 1, 1, tzinfo=UTC))
    state, text = verdict(ahead, fresh=timedelta(hours=2))
    assert state is CheckState.FAILED
    assert text.endswith("ahead of the clock")
    assert verdict(Measurement(newest=at("06:30")), fresh=timedelta(hours=2))[0] is CheckState.PASSED


def test_missing_and_retyped_columns_are_named_and_short_type_names_are_known() -> None:
    measurement = Measurement(columns=(("id", "bigint"), ("day", "text")))
    requested = (("id", "int8"), ("day", "date"), ("sku", "text"))
    assert verdict(measurement, columns=requested) == (
        CheckState.FAILED, "column sku is missing; column day is text, not date",
    )  # fmt: skip
    assert verdict(measurement, columns=(("id", "BIGINT"),)) == (CheckState.PASSED, "1 column as expected")


@each_row(
    "question, there",
    [
        ("varchar(20)", "character varying(20)"),
        ("VARCHAR (20)", "character varying(20)"),
        ("decimal(10, 2)", "numeric(10,2)"),
        ("timestamptz(3)", "timestamp(3) with time zone"),
        ("int[]", "integer[]"),
        ("varchar(20)[]", "character varying(20)[]"),
    ],
)
def test_a_short_type_name_may_have_a_length(question: str, there: str) -> None:
    measurement = Measurement(columns=(("c", there),))
    assert (CheckState.PASSED, "1 column as expected") == verdict(measurement, columns=(("c", question),))


@pytest.mark.parametrize(
    "question, there", [("varchar(20)", "character varying(40)"), ("int[]", "integer"), ("numeric", "numeric(10,2)")]
)
def test_another_length_is_another_type(question: str, there: str) -> None:
    measurement = Measurement(columns=(("c", there),))
    assert (CheckState.FAILED, f"column c is {there}, not {question}") == verdict(
        measurement, columns=(("c", question),)
    )


def test_a_file_that_is_not_there_is_not_judged_further() -> None:
    assert verdict(Measurement(exists=False), there=True, size_min=10, age=timedelta(hours=1)) == (
        CheckState.FAILED, "it is not there",
    )  # fmt: skip
    state, text = verdict(
        Measurement(exists=True, size=5, modified=at("05:30")), there=True, size_min=10, age=timedelta(hours=1)
    )
    assert (state, text) == (CheckState.FAILED, "5 bytes, fewer than 10")


@each_row(
    "how, to, value, holds",
    [
        (Comparator.EQUALS, 3, 3.0, True),
        (Comparator.EQUALS, True, 1, False),
        (Comparator.EQUALS, "3", 3, False),
        (Comparator.NOT, "down", "up", True),
        (Comparator.AT_LEAST, 10, 10, True),
        (Comparator.AT_LEAST, 10, "11", False),
        (Comparator.AT_MOST, 10, 11, False),
        (Comparator.AT_MOST, 10, None, False),
    ],
)
def test_values_are_compared_as_what_they_are(how: Comparator, to: object, value: object, holds: bool) -> None:
    comparison = Comparison(how, to)  # type: ignore[arg-type]
    state, _ = verdict(Measurement(value=value, has_value=True), value=(comparison,))  # type: ignore[arg-type]
    assert (state is CheckState.PASSED) == holds


def test_no_value_is_none_of_the_wanted() -> None:
    assert verdict(Measurement(), value=(Comparison(Comparator.NOT, 3),)) == (
        CheckState.FAILED,
        "no value, expected not 3",
    )


def test_values_from_outside_cannot_act_on_a_terminal() -> None:
    _, text = verdict(
        Measurement(value="\x1b[31m[red]x\x07", has_value=True), value=(Comparison(Comparator.EQUALS, "y"),)
    )
    assert text == "value [red]x�, expected equals y"


def world(*stretches: ResultSpan, every: timedelta = timedelta(minutes=5), **more: Any) -> Estate:
    declared = Declared(checks=(replace(check(**more), every=every),))
    known = {("supply-rows", NIGHT): CheckHistory("supply-rows", NIGHT, stretches)} if stretches else {}
    return Estate({}, (), {}, (), (), {}, checks=known, declared=declared)


def passing(since: str, until: str) -> ResultSpan:
    return ResultSpan(CheckState.PASSED, at(since), at(until), "3,120 rows")


def failing(since: str, until: str, state: CheckState = CheckState.FAILED) -> ResultSpan:
    return ResultSpan(state, at(since), at(until), "12 rows, fewer than 100")


def test_a_check_that_passed_lately_is_ready_since_it_passed() -> None:
    data_readiness = readiness(world(passing("05:00", "05:55")), "supply-rows", NIGHT, at("06:00"))
    assert (data_readiness.passes, data_readiness.text, data_readiness.at) == (
        True,
        "check supply-rows: 3,120 rows",
        at("05:00"),
    )


@each_row(
    "estate, text",
    [
        (world(), "check supply-rows: not run for 2026-11-19 yet"),
        (Estate({}, (), {}, (), (), {}), "check supply-rows: the config does not have it"),
        (world(failing("05:00", "05:59")), "check supply-rows: 12 rows, fewer than 100"),
        (
            world(failing("05:00", "05:59", CheckState.ERROR)),
            "check supply-rows: not measured: 12 rows, fewer than 100",
        ),
        (world(failing("05:00", "05:59", CheckState.LEARNING)), "check supply-rows: 12 rows, fewer than 100"),
        (world(passing("05:00", "05:30")), "check supply-rows: last run 30m ago, is due each 5m"),
    ],
)
def test_what_is_not_proved_now_is_no_condition_met(estate: Estate, text: str) -> None:
    data_readiness = readiness(estate, "supply-rows", NIGHT, at("06:00"))
    assert (data_readiness.passes, data_readiness.text) == (False, text)


def test_what_passed_on_another_date_says_nothing_of_this_one() -> None:
    assert not readiness(world(passing("05:00", "05:59")), "supply-rows", NIGHT + timedelta(1), at("06:00")).passes


def test_a_service_is_proved_when_its_jobs_are_done_and_the_check_passes_on() -> None:
    assert proved_at(world(passing("04:00", "05:31")), "supply-rows", NIGHT, at("05:30")) == at("05:30")


def test_a_check_before_the_jobs_were_done_proves_nothing() -> None:
    estate = world(passing("04:00", "05:29"))
    assert proved_at(estate, "supply-rows", NIGHT, at("05:30")) is None
    [checks] = pending_checks_of(estate, ["supply-rows"], NIGHT, at("05:30"))
    assert (checks.text, checks.since) == ("check supply-rows: not run since its jobs were done", None)


def test_what_failed_first_is_delivered_when_it_passes() -> None:
    estate = world(failing("05:31", "06:10"), passing("06:15", "06:15"))
    assert all_proved_at(estate, ["supply-rows"], NIGHT, at("05:30")) == at("06:15")


def test_what_was_proved_once_stays_delivered() -> None:
    estate = world(passing("05:31", "05:31"), failing("09:00", "09:05"))
    assert all_proved_at(estate, ["supply-rows"], NIGHT, at("05:30")) == at("05:31")


def test_a_failing_check_delays_the_date_since_its_jobs_were_done() -> None:
    [checks] = pending_checks_of(world(failing("03:00", "05:40")), ["supply-rows"], NIGHT, at("05:30"))
    assert (checks.check, checks.text, checks.since) == (
        "supply-rows", "check supply-rows: 12 rows, fewer than 100", at("05:30"),
    )  # fmt: skip


def test_a_band_without_data_delays_no_service() -> None:
    estate = world(failing("05:31", "05:40", CheckState.LEARNING))
    assert all_proved_at(estate, ["supply-rows"], NIGHT, at("05:30")) == at("05:31")
