"""One look at data, judged: everything that was asked, each broken thing named with what was found and what was usual.

Row counts by weekday. The band of a Thursday is made of the counts with which past Thursdays passed: from their 5 % to
their 95 % quantile, and `tolerance` of their median beyond either. Of few days the quantiles are little more than the
least and the most that were ever seen, and the next day of the same kind lies outside of those two in 2 of n + 1 cases;
hence the tolerance. What failed never becomes usual by failing again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from connectors.contract.measured import Measured
from console.clean import clean_line
from console.control.estimate import quantile
from console.control.words import dated
from console.durations import duration_words
from console.model.checks import Asks, Check, CheckState, CheckVerdict, Compare, Comparison, PastCount

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
class Usual:
    """The band of one weekday, and on what it rests."""

    low: float
    high: float
    middle: float
    days: int


@dataclass(frozen=True, slots=True)
class _Said:
    """One thing that was asked: whether it is so; None where nobody can tell yet."""

    holds: bool | None
    words: str


def usual(asks: Asks, bd: date, past: Sequence[PastCount]) -> Usual | None:
    """The band for that date; None where none was asked for, or too few such days have passed."""
    counts = same_weekday(bd, past)
    if asks.band is None or len(counts) < asks.band.days:
        return None
    middle = median(counts)
    room = asks.band.tolerance * middle
    low, high = quantile(counts, _SHARE) - room, quantile(counts, 1 - _SHARE) + room
    return Usual(max(low, 0.0), high, middle, len(counts))


def same_weekday(bd: date, past: Sequence[PastCount]) -> list[int]:
    """The counts of the latest such days before that date."""
    fit = sorted((one for one in past if one.bd < bd and one.bd.weekday() == bd.weekday()), key=lambda one: one.bd)
    return [one.rows for one in fit[-MOST_DAYS:]]


def judge(check: Check, measured: Measured, past: Sequence[PastCount], bd: date, now: datetime) -> CheckVerdict:
    """The verdict on one look at `now`. `past`: row counts of earlier dates that passed, in any order."""
    said = list(_all(check, measured, past, bd, now))
    broken = [one for one in said if one.holds is False]
    unknown = [one for one in said if one.holds is None]
    state = CheckState.FAILED if broken else CheckState.LEARNING if unknown else CheckState.PASSED
    words = "; ".join(one.words for one in broken or said)
    return CheckVerdict(state, clean_line(words, WORDS_LIMIT))


def _all(check: Check, found: Measured, past: Sequence[PastCount], bd: date, now: datetime) -> Iterator[_Said]:
    asks = check.asks
    yield from _columns(asks, found.columns or ())
    if asks.there:
        yield _Said(bool(found.there), "it is there" if found.there else "it is not there")
        if not found.there:
            return
    yield from _rows(asks, found.rows, bd, past)
    if asks.fresh is not None:
        yield _young("newest row", found.newest, asks.fresh, check.zone, now, "there is no row with a time")
    if asks.age is not None:
        yield _young("written", found.modified, asks.age, check.zone, now, "nobody tells when it was written")
    yield from _sizes(asks, found.size)
    duplicates, nulls = dict(found.duplicates), dict(found.nulls)
    yield from (_none(f"duplicate keys in {_cut(one)}", duplicates.get(one)) for one in map(", ".join, asks.unique))
    yield from (_none(f"rows without {_cut(name)}", nulls.get(name)) for name in asks.not_null)
    yield from (_compared(one, found) for one in asks.value)


def _rows(asks: Asks, rows: int | None, bd: date, past: Sequence[PastCount]) -> Iterator[_Said]:
    if asks.band is None and asks.rows_min is None and asks.rows_max is None:
        return
    if rows is None:
        yield _Said(False, "nobody counted the rows")
    elif asks.rows_min is not None and rows < asks.rows_min:
        yield _Said(False, f"{_counted(rows)}, fewer than {asks.rows_min:,}")
    elif asks.rows_max is not None and rows > asks.rows_max:
        yield _Said(False, f"{_counted(rows)}, more than {asks.rows_max:,}")
    elif asks.band is None:
        yield _Said(True, _counted(rows))
    else:
        yield _banded(asks.band.days, rows, bd, past, usual(asks, bd, past))


def _counted(rows: int) -> str:
    return f"{rows:,} row{'s' * (rows != 1)}"


def _banded(needed: int, rows: int, bd: date, past: Sequence[PastCount], band: Usual | None) -> _Said:
    day = f"{bd:%A}"
    if band is None:
        return _Said(None, f"{_counted(rows)}, no band yet ({len(same_weekday(bd, past))} of {needed} {day}s)")
    rests = f"{band.low:,.0f}–{band.high:,.0f}, {band.days} {day}s"
    if band.low <= rows <= band.high:
        return _Said(True, f"{_counted(rows)} (usual: {rests})")
    share = f"{100 * rows / band.middle:.0f} % of the usual {day} rows" if band.middle else f"unusual for a {day}"
    return _Said(False, f"{share} ({rows:,} of {rests})")


def _young(what: str, at: datetime | None, within: timedelta, zone: str, now: datetime, without: str) -> _Said:
    if at is None:
        return _Said(False, without)
    limit = duration_words(within.total_seconds())
    if at > now + AHEAD:
        ahead = duration_words((at - now).total_seconds())
        return _Said(False, f"{what} {dated(at, zone)}, {ahead} ahead of the clock")
    age = duration_words(max(now - at, timedelta(0)).total_seconds())
    if now - at > within:
        return _Said(False, f"{what} {dated(at, zone)}, {age} old, more than {limit}")
    return _Said(True, f"{what} {dated(at, zone)}, {age} old")


def _sizes(asks: Asks, size: int | None) -> Iterator[_Said]:
    if asks.size_min is None and asks.size_max is None:
        return
    if size is None:
        yield _Said(False, "nobody tells its size")
    elif asks.size_min is not None and size < asks.size_min:
        yield _Said(False, f"{size:,} bytes, fewer than {asks.size_min:,}")
    elif asks.size_max is not None and size > asks.size_max:
        yield _Said(False, f"{size:,} bytes, more than {asks.size_max:,}")
    else:
        yield _Said(True, f"{size:,} bytes")


def _none(what: str, count: int | None) -> _Said:
    """What was asked for and not measured does not hold."""
    return _Said(count == 0, f"{count:,} {what}" if count else f"{'nobody counted' if count is None else 'no'} {what}")


def _columns(asks: Asks, found: Sequence[tuple[str, str]]) -> Iterator[_Said]:
    types = dict(found)
    missing = [name for name, _ in asks.columns if name not in types]
    other = [(name, kind) for name, kind in asks.columns if name in types and _type(kind) != _type(types[name])]
    for name in missing:
        yield _Said(False, f"column {_cut(name)} is missing")
    for name, kind in other:
        yield _Said(False, f"column {_cut(name)} is {_cut(types[name])}, not {_cut(kind)}")
    if asks.columns and not missing and not other:
        count = len(asks.columns)
        yield _Said(True, f"{count} column{'s' * (count != 1)} as expected")


def _type(text: str) -> tuple[str, str, str]:
    """The name as the catalogue has it, the length or precision, the brackets: "varchar(20)[]" is three parts."""
    plain = " ".join(text.lower().split())
    sized = _SIZE.search(plain)
    bare = plain if sized is None else plain[: sized.start()] + plain[sized.end() :]
    name = bare.rstrip("[] ")
    size = "" if sized is None else sized[0].replace(" ", "")
    return _TYPES.get(name, name), size, bare[len(name) :].replace(" ", "")


def _compared(one: Comparison, found: Measured) -> _Said:
    wanted = f"{one.how.replace('_', ' ')} {_shown(one.to)}"
    if not found.has_value:
        return _Said(False, f"no value, wanted {wanted}")
    value = found.value
    holds = _holds(one, value)
    words = f"value {_shown(value)}" + ("" if holds else f", wanted {wanted}")
    return _Said(holds, words)


def _holds(one: Comparison, value: object) -> bool:
    """Numbers as numbers, everything else only where it is the same; true is no number."""
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (value, one.to))
    same = value == one.to and (numbers or type(value) is type(one.to))
    match one.how:
        case Compare.EQUALS:
            return same
        case Compare.NOT:
            return not same
    if not numbers:
        return False
    assert isinstance(value, int | float)
    assert isinstance(one.to, int | float)
    return value >= one.to if one.how is Compare.AT_LEAST else value <= one.to


def _shown(value: object) -> str:
    return _cut(value) if isinstance(value, str) else str(value)


def _cut(text: str) -> str:
    return clean_line(text, VALUE_LIMIT)
