"""Judgement of one data check result: each violated expectation named with the measured and the usual value.

Row counts by weekday: the band of a Thursday spans the 5 % to 95 % quantile of the counts with which past Thursdays
passed, and `tolerance` of their median beyond either. With few days the quantiles are nearly the minimum and maximum,
and the next day of the same kind lies outside in 2 of n + 1 cases; hence the tolerance. A count that failed never
becomes usual by failing again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from connectors.checks.queries import Measurement
from console.control.snapshot.estimates import quantile
from console.domain.check import Check, CheckCriteria, CheckState, CheckVerdict, Comparator, Comparison, PastRowCount
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.timing.formats import dated_time

MAX_DAYS = 26
"""Past days of one weekday that make a band: half a year."""
AHEAD = timedelta(hours=1)
"""Accepted clock skew; a time further ahead is invalid, and would be fresh for ever."""
TEXT_LIMIT = 400
VALUE_LIMIT = 60
_SHARE = 0.05
_SIZE = re.compile(r" ?\([\d ,]+\)")
_TYPES = {
    "int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean",
    "float8": "double precision", "float4": "real", "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone", "varchar": "character varying", "char": "character",
    "decimal": "numeric", "timetz": "time with time zone", "time": "time without time zone", "bpchar": "character",
}  # fmt: skip
"""PostgreSQL's short type names, and the names in its catalogue."""


@dataclass(frozen=True, slots=True)
class CountBand:
    """Band of one weekday, and the number of days that it comes from."""

    low: float
    high: float
    middle: float
    days: int


@dataclass(frozen=True, slots=True)
class _Assertion:
    """One criterion: True if it holds, None if unknown."""

    holds: bool | None
    text: str


def count_band(criteria: CheckCriteria, business_date: date, past: Sequence[PastRowCount]) -> CountBand | None:
    """Band for that date; None if none is configured, or with too few days."""
    counts = same_weekday_counts(business_date, past)
    if criteria.band is None or len(counts) < criteria.band.days:
        return None
    middle = median(counts)
    tolerance = criteria.band.tolerance * middle
    low, high = quantile(counts, _SHARE) - tolerance, quantile(counts, 1 - _SHARE) + tolerance
    return CountBand(max(low, 0.0), high, middle, len(counts))


def same_weekday_counts(business_date: date, past: Sequence[PastRowCount]) -> list[int]:
    """Counts of the latest such days before that date."""
    fit = sorted(
        (
            run
            for run in past
            if run.business_date < business_date and run.business_date.weekday() == business_date.weekday()
        ),
        key=lambda run: run.business_date,
    )
    return [count.rows for count in fit[-MAX_DAYS:]]


def judge_check(
    check: Check, measured: Measurement, past: Sequence[PastRowCount], business_date: date, now: datetime
) -> CheckVerdict:
    """Verdict on one measurement. `past`: row counts of earlier dates that passed, in any order."""
    results = list(_all(check, measured, past, business_date, now))
    broken = [result for result in results if result.holds is False]
    unknown = [result for result in results if result.holds is None]
    state = CheckState.FAILED if broken else CheckState.LEARNING if unknown else CheckState.PASSED
    text = "; ".join(result.text for result in broken or results)
    return CheckVerdict(state, clean_line(text, TEXT_LIMIT))


def _all(
    check: Check, measured: Measurement, past: Sequence[PastRowCount], business_date: date, now: datetime
) -> Iterator[_Assertion]:
    criteria = check.asks
    yield from _columns(criteria, measured.columns or ())
    if criteria.there:
        yield _Assertion(bool(measured.exists), "it is there" if measured.exists else "it is not there")
        if not measured.exists:
            return
    yield from _rows(criteria, measured.rows, business_date, past)
    if criteria.fresh is not None:
        yield _young("newest row", measured.newest, criteria.fresh, check.zone, now, "there is no row with a time")
    if criteria.age is not None:
        yield _young(
            "written", measured.modified, criteria.age, check.zone, now, "the time of its last change is unknown"
        )
    if criteria.size_min is not None or criteria.size_max is not None:
        if measured.size is None:
            yield _Assertion(False, "its size is unknown")
        elif criteria.size_min is not None and measured.size < criteria.size_min:
            yield _Assertion(False, f"{measured.size:,} bytes, fewer than {criteria.size_min:,}")
        elif criteria.size_max is not None and measured.size > criteria.size_max:
            yield _Assertion(False, f"{measured.size:,} bytes, more than {criteria.size_max:,}")
        else:
            yield _Assertion(True, f"{measured.size:,} bytes")
    duplicates, nulls = dict(measured.duplicates), dict(measured.nulls)
    yield from (_none(f"duplicate keys in {_cut(key)}", duplicates.get(key)) for key in map(", ".join, criteria.unique))
    yield from (_none(f"rows without {_cut(name)}", nulls.get(name)) for name in criteria.not_null)
    yield from (_compared(comparison, measured) for comparison in criteria.value)


def _rows(
    criteria: CheckCriteria, rows: int | None, business_date: date, past: Sequence[PastRowCount]
) -> Iterator[_Assertion]:
    if criteria.band is None and criteria.rows_min is None and criteria.rows_max is None:
        return
    if rows is None:
        yield _Assertion(False, "the rows were not counted")
    elif criteria.rows_min is not None and rows < criteria.rows_min:
        yield _Assertion(False, f"{_counted(rows)}, fewer than {criteria.rows_min:,}")
    elif criteria.rows_max is not None and rows > criteria.rows_max:
        yield _Assertion(False, f"{_counted(rows)}, more than {criteria.rows_max:,}")
    elif criteria.band is None:
        yield _Assertion(True, _counted(rows))
    else:
        yield _banded(criteria.band.days, rows, business_date, past, count_band(criteria, business_date, past))


def _counted(rows: int) -> str:
    return f"{rows:,} row{'s' * (rows != 1)}"


def _banded(
    needed: int, rows: int, business_date: date, past: Sequence[PastRowCount], band: CountBand | None
) -> _Assertion:
    day = f"{business_date:%A}"
    if band is None:
        return _Assertion(
            None, f"{_counted(rows)}, no band yet ({len(same_weekday_counts(business_date, past))} of {needed} {day}s)"
        )
    usual_range = f"{band.low:,.0f}–{band.high:,.0f}, {band.days} {day}s"
    if band.low <= rows <= band.high:
        return _Assertion(True, f"{_counted(rows)} (usual: {usual_range})")
    share = f"{100 * rows / band.middle:.0f} % of the usual {day} rows" if band.middle else f"unusual for a {day}"
    return _Assertion(False, f"{share} ({rows:,} of {usual_range})")


def _young(what: str, at: datetime | None, within: timedelta, zone: str, now: datetime, without: str) -> _Assertion:
    if at is None:
        return _Assertion(False, without)
    limit = format_duration(within)
    if at > now + AHEAD:
        ahead = format_duration(at - now)
        return _Assertion(False, f"{what} {dated_time(at, zone)}, {ahead} ahead of the clock")
    age = format_duration(max(now - at, timedelta(0)).total_seconds())
    if now - at > within:
        return _Assertion(False, f"{what} {dated_time(at, zone)}, {age} old, more than {limit}")
    return _Assertion(True, f"{what} {dated_time(at, zone)}, {age} old")


def _none(what: str, count: int | None) -> _Assertion:
    """A criterion that was not measured does not hold."""
    return _Assertion(
        count == 0, f"{count:,} {what}" if count else f"{'not counted:' if count is None else 'no'} {what}"
    )


def _columns(criteria: CheckCriteria, measured: Sequence[tuple[str, str]]) -> Iterator[_Assertion]:
    types = dict(measured)
    missing = [name for name, _ in criteria.columns if name not in types]
    changed = [(name, kind) for name, kind in criteria.columns if name in types and _type(kind) != _type(types[name])]
    for name in missing:
        yield _Assertion(False, f"column {_cut(name)} is missing")
    for name, kind in changed:
        yield _Assertion(False, f"column {_cut(name)} is {_cut(types[name])}, not {_cut(kind)}")
    if criteria.columns and not missing and not changed:
        count = len(criteria.columns)
        yield _Assertion(True, f"{count} column{'s' * (count != 1)} as expected")


def _type(text: str) -> tuple[str, str, str]:
    """The name as the catalogue has it, the length or precision, the brackets: "varchar(20)[]" is three parts."""
    plain = " ".join(text.lower().split())
    sized = _SIZE.search(plain)
    bare = plain if sized is None else plain[: sized.start()] + plain[sized.end() :]
    name = bare.rstrip("[] ")
    size = "" if sized is None else sized[0].replace(" ", "")
    return _TYPES.get(name, name), size, bare[len(name) :].replace(" ", "")


def _compared(comparison: Comparison, measured: Measurement) -> _Assertion:
    expected = f"{comparison.how.replace('_', ' ')} {_shown(comparison.to)}"
    if not measured.has_value:
        return _Assertion(False, f"no value, expected {expected}")
    value = measured.value
    holds = _holds(comparison, value)
    text = f"value {_shown(value)}" + ("" if holds else f", expected {expected}")
    return _Assertion(holds, text)


def _holds(comparison: Comparison, value: object) -> bool:
    """Compares numbers as numbers, everything else by equality; a boolean is not a number."""
    numbers = all(
        isinstance(operand, int | float) and not isinstance(operand, bool) for operand in (value, comparison.to)
    )
    same = value == comparison.to and (numbers or type(value) is type(comparison.to))
    match comparison.how:
        case Comparator.EQUALS:
            return same
        case Comparator.NOT:
            return not same
    if not numbers:
        return False
    assert isinstance(value, int | float)
    assert isinstance(comparison.to, int | float)
    return value >= comparison.to if comparison.how is Comparator.AT_LEAST else value <= comparison.to


def _shown(value: object) -> str:
    return _cut(value) if isinstance(value, str) else str(value)


def _cut(text: str) -> str:
    return clean_line(text, VALUE_LIMIT)
