"""Judgement of one data check result: each violated expectation named with the measured and the usual value.

Row counts by weekday: the band of a Thursday is made of the counts with which past Thursdays passed, from their 5 %
to their 95 % quantile, and `tolerance` of their median beyond either. Of few days the quantiles are little more
than the least and the most ever seen, and the next day of the same kind lies outside of those two in 2 of n + 1
cases; hence the tolerance. A count that failed never becomes usual by failing again.
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

MOST_DAYS = 26
"""Past days of one weekday that make a band: half a year."""
AHEAD = timedelta(hours=1)
"""Clocks differ; what is further ahead is no time at which anything was written, and would be fresh for ever."""
WORDS_LIMIT = 400
VALUE_LIMIT = 60
_SHARE = 0.05
_SIZE = re.compile(r" ?\([\d ,]+\)")
_TYPES = {
    "int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean",
    "float8": "double precision", "float4": "real", "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone", "varchar": "character varying", "char": "character",
    "decimal": "numeric", "timetz": "time with time zone", "time": "time without time zone", "bpchar": "character",
}  # fmt: skip
"""PostgreSQL's short names of its types, and those by which its catalogue tells them."""


@dataclass(frozen=True, slots=True)
class CountBand:
    """The band of one weekday, and on what it rests."""

    low: float
    high: float
    middle: float
    days: int


@dataclass(frozen=True, slots=True)
class _Assertion:
    """One thing that was asked: whether it is so; None where nobody can tell yet."""

    holds: bool | None
    words: str


def count_band(asks: CheckCriteria, business_date: date, past: Sequence[PastRowCount]) -> CountBand | None:
    """The band for that date; None where none was asked for, or too few such days have passed."""
    counts = same_weekday_counts(business_date, past)
    if asks.band is None or len(counts) < asks.band.days:
        return None
    middle = median(counts)
    room = asks.band.tolerance * middle
    low, high = quantile(counts, _SHARE) - room, quantile(counts, 1 - _SHARE) + room
    return CountBand(max(low, 0.0), high, middle, len(counts))


def same_weekday_counts(business_date: date, past: Sequence[PastRowCount]) -> list[int]:
    """The counts of the latest such days before that date."""
    fit = sorted(
        (
            one
            for one in past
            if one.business_date < business_date and one.business_date.weekday() == business_date.weekday()
        ),
        key=lambda one: one.business_date,
    )
    return [one.rows for one in fit[-MOST_DAYS:]]


def judge_check(
    check: Check, measured: Measurement, past: Sequence[PastRowCount], business_date: date, now: datetime
) -> CheckVerdict:
    """The verdict on one look at `now`. `past`: row counts of earlier dates that passed, in any order."""
    said = list(_all(check, measured, past, business_date, now))
    broken = [one for one in said if one.holds is False]
    unknown = [one for one in said if one.holds is None]
    state = CheckState.FAILED if broken else CheckState.LEARNING if unknown else CheckState.PASSED
    words = "; ".join(one.words for one in broken or said)
    return CheckVerdict(state, clean_line(words, WORDS_LIMIT))


def _all(
    check: Check, found: Measurement, past: Sequence[PastRowCount], business_date: date, now: datetime
) -> Iterator[_Assertion]:
    asks = check.asks
    yield from _columns(asks, found.columns or ())
    if asks.there:
        yield _Assertion(bool(found.there), "it is there" if found.there else "it is not there")
        if not found.there:
            return
    yield from _rows(asks, found.rows, business_date, past)
    if asks.fresh is not None:
        yield _young("newest row", found.newest, asks.fresh, check.zone, now, "there is no row with a time")
    if asks.age is not None:
        yield _young("written", found.modified, asks.age, check.zone, now, "nobody tells when it was written")
    yield from _sizes(asks, found.size)
    duplicates, nulls = dict(found.duplicates), dict(found.nulls)
    yield from (_none(f"duplicate keys in {_cut(one)}", duplicates.get(one)) for one in map(", ".join, asks.unique))
    yield from (_none(f"rows without {_cut(name)}", nulls.get(name)) for name in asks.not_null)
    yield from (_compared(one, found) for one in asks.value)


def _rows(
    asks: CheckCriteria, rows: int | None, business_date: date, past: Sequence[PastRowCount]
) -> Iterator[_Assertion]:
    if asks.band is None and asks.rows_min is None and asks.rows_max is None:
        return
    if rows is None:
        yield _Assertion(False, "nobody counted the rows")
    elif asks.rows_min is not None and rows < asks.rows_min:
        yield _Assertion(False, f"{_counted(rows)}, fewer than {asks.rows_min:,}")
    elif asks.rows_max is not None and rows > asks.rows_max:
        yield _Assertion(False, f"{_counted(rows)}, more than {asks.rows_max:,}")
    elif asks.band is None:
        yield _Assertion(True, _counted(rows))
    else:
        yield _banded(asks.band.days, rows, business_date, past, count_band(asks, business_date, past))


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
    rests = f"{band.low:,.0f}–{band.high:,.0f}, {band.days} {day}s"
    if band.low <= rows <= band.high:
        return _Assertion(True, f"{_counted(rows)} (usual: {rests})")
    share = f"{100 * rows / band.middle:.0f} % of the usual {day} rows" if band.middle else f"unusual for a {day}"
    return _Assertion(False, f"{share} ({rows:,} of {rests})")


def _young(what: str, at: datetime | None, within: timedelta, zone: str, now: datetime, without: str) -> _Assertion:
    if at is None:
        return _Assertion(False, without)
    limit = format_duration(within.total_seconds())
    if at > now + AHEAD:
        ahead = format_duration((at - now).total_seconds())
        return _Assertion(False, f"{what} {dated_time(at, zone)}, {ahead} ahead of the clock")
    age = format_duration(max(now - at, timedelta(0)).total_seconds())
    if now - at > within:
        return _Assertion(False, f"{what} {dated_time(at, zone)}, {age} old, more than {limit}")
    return _Assertion(True, f"{what} {dated_time(at, zone)}, {age} old")


def _sizes(asks: CheckCriteria, size: int | None) -> Iterator[_Assertion]:
    if asks.size_min is None and asks.size_max is None:
        return
    if size is None:
        yield _Assertion(False, "nobody tells its size")
    elif asks.size_min is not None and size < asks.size_min:
        yield _Assertion(False, f"{size:,} bytes, fewer than {asks.size_min:,}")
    elif asks.size_max is not None and size > asks.size_max:
        yield _Assertion(False, f"{size:,} bytes, more than {asks.size_max:,}")
    else:
        yield _Assertion(True, f"{size:,} bytes")


def _none(what: str, count: int | None) -> _Assertion:
    """What was asked for and not measured does not hold."""
    return _Assertion(
        count == 0, f"{count:,} {what}" if count else f"{'nobody counted' if count is None else 'no'} {what}"
    )


def _columns(asks: CheckCriteria, found: Sequence[tuple[str, str]]) -> Iterator[_Assertion]:
    types = dict(found)
    missing = [name for name, _ in asks.columns if name not in types]
    other = [(name, kind) for name, kind in asks.columns if name in types and _type(kind) != _type(types[name])]
    for name in missing:
        yield _Assertion(False, f"column {_cut(name)} is missing")
    for name, kind in other:
        yield _Assertion(False, f"column {_cut(name)} is {_cut(types[name])}, not {_cut(kind)}")
    if asks.columns and not missing and not other:
        count = len(asks.columns)
        yield _Assertion(True, f"{count} column{'s' * (count != 1)} as expected")


def _type(text: str) -> tuple[str, str, str]:
    """The name as the catalogue has it, the length or precision, the brackets: "varchar(20)[]" is three parts."""
    plain = " ".join(text.lower().split())
    sized = _SIZE.search(plain)
    bare = plain if sized is None else plain[: sized.start()] + plain[sized.end() :]
    name = bare.rstrip("[] ")
    size = "" if sized is None else sized[0].replace(" ", "")
    return _TYPES.get(name, name), size, bare[len(name) :].replace(" ", "")


def _compared(one: Comparison, found: Measurement) -> _Assertion:
    wanted = f"{one.how.replace('_', ' ')} {_shown(one.to)}"
    if not found.has_value:
        return _Assertion(False, f"no value, wanted {wanted}")
    value = found.value
    holds = _holds(one, value)
    words = f"value {_shown(value)}" + ("" if holds else f", wanted {wanted}")
    return _Assertion(holds, words)


def _holds(one: Comparison, value: object) -> bool:
    """Numbers as numbers, everything else only where it is the same; true is no number."""
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (value, one.to))
    same = value == one.to and (numbers or type(value) is type(one.to))
    match one.how:
        case Comparator.EQUALS:
            return same
        case Comparator.NOT:
            return not same
    if not numbers:
        return False
    assert isinstance(value, int | float)
    assert isinstance(one.to, int | float)
    return value >= one.to if one.how is Comparator.AT_LEAST else value <= one.to


def _shown(value: object) -> str:
    return _cut(value) if isinstance(value, str) else str(value)


def _cut(text: str) -> str:
    return clean_line(text, VALUE_LIMIT)
