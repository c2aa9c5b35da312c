"""How often a job runs whose schedule nobody can read: learned from its starts, with how sure that is.

Two shapes are tried: a time of day on some days of the week, by the job's own clock, and an even interval. Neither
needs every start: the interval is the median one, the time of day the middle of the starts, and a weekday counts where
the job ran on nearly all of them. What fits is counted over the whole time that was seen; what does not fit well
enough is no cadence, and nothing is expected of the job.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from statistics import median

from console.control.zones import instant_at, zone_of
from console.durations import duration_words

ENOUGH_STARTS = 8
"""Fewer starts than this tell nothing."""
ENOUGH_DAYS = 13
"""Two weeks: before, the days of the week cannot be told from chance."""
SURE = 0.9
"""Share that must fit before anything is expected."""
REMEMBERED = 32_768
"""What was learned lately, for jobs that have not started since; each start makes another question of it."""
_DAY = timedelta(days=1)
_NEARLY_ALL, _HARDLY_ANY = 0.75, 0.25
_SAME_TIME = timedelta(hours=2)
"""Starts of one time of day lie at most so far from its middle."""
_LEAST = timedelta(minutes=15)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a job usually starts."""

    starts: int
    """On how many it rests."""
    fits: float
    """Share of what was seen that agrees: 0.97."""
    tolerance: timedelta
    """So much later than usual is still usual."""
    every: timedelta = timedelta(0)
    """The interval; none where it starts at a time of day."""
    at: time = time(0)
    """Time of day in `zone`, to the minute."""
    weekdays: tuple[int, ...] = ()
    """0 is Monday."""
    zone: str = "UTC"

    @property
    def is_sure(self) -> bool:
        """True where a start may be expected by it."""
        return self.fits >= SURE

    @property
    def words(self) -> str:
        """ "every 15m", "Mon, Tue about 03:10 UTC"; and how sure: "(learned: 97% of 42 starts)"."""
        days = "daily" if len(self.weekdays) == 7 else ", ".join(_DAYS[each] for each in self.weekdays)
        usual = f"{days} about {self.at:%H:%M} {self.zone}"
        when = f"every {duration_words(self.every.total_seconds())}" if self.every else usual
        return f"{when} (learned: {self.fits:.0%} of {self.starts} starts)"

    def next_after(self, start: datetime) -> datetime:
        """When the start after that one is usual."""
        if self.every:
            return start + self.every
        zone = zone_of(self.zone)
        day = (start + self.tolerance).astimezone(zone).date()
        ahead = (day + number * _DAY for number in range(9))
        usual = (instant_at(datetime.combine(each, self.at), zone) for each in ahead if each.weekday() in self.weekdays)
        return next(each for each in usual if each > start + self.tolerance)


def learned(starts: Sequence[int], zone: str) -> Cadence | None:
    """The shape that fits best; None where there are too few starts or neither fits half of them. `starts`: seconds
    since 1970, in any order."""
    return _learned(array("q", starts).tobytes(), zone) if len(starts) >= ENOUGH_STARTS else None


@lru_cache(maxsize=REMEMBERED)
def _learned(packed: bytes, zone: str) -> Cadence | None:
    """`packed`: as bytes the starts of a job take a fifth of what a tuple of them does."""
    ordered = sorted({each - each % 60 for each in array("q", packed)})
    if len(ordered) < ENOUGH_STARTS:
        return None
    seen = [datetime.fromtimestamp(each, UTC) for each in ordered]
    even = _by_interval(seen)
    if even is not None and even.is_sure:
        return even
    found = [each for each in (_by_weekday(seen, zone), even) if each is not None and each.fits > 0.5]
    return max(found, key=lambda each: each.fits, default=None)


def _by_interval(seen: Sequence[datetime]) -> Cadence | None:
    """Even intervals. A day or more between two starts is a matter of the calendar."""
    gaps = [(after - before).total_seconds() for before, after in pairwise(seen)]
    usual = median(gaps)
    if usual >= 20 * 3600:
        return None
    slack = max(120.0, usual / 10)
    fits = sum(abs(each - usual) <= slack for each in gaps) / len(gaps)
    every = timedelta(seconds=round(usual / 60) * 60)
    return Cadence(len(seen), fits, max(timedelta(seconds=usual / 2), timedelta(minutes=2)), every=every)


def _by_weekday(seen: Sequence[datetime], zone: str) -> Cadence | None:
    """One time of day, on days of the week."""
    local = [each.astimezone(zone_of(zone)).replace(tzinfo=None) for each in seen]
    middle = _middle_of_day(local)
    away = [_from_usual(each, middle) for each in local]
    near = [each for each, far in zip(local, away, strict=True) if abs(far) <= _SAME_TIME]
    days = {(each - timedelta(hours=middle.hour - 12, minutes=middle.minute)).date() for each in near}
    if not days or (max(days) - min(days)).days < ENOUGH_DAYS:
        return None
    weekdays, agreed = _weekdays(days)
    if not weekdays:
        return None
    fits = min(agreed, len(near) / len(local))
    late = max((far for far in away if abs(far) <= _SAME_TIME), default=timedelta(0))
    return Cadence(len(seen), fits, max(_LEAST, late * 1.5), at=middle, weekdays=weekdays, zone=zone)


def _middle_of_day(local: Sequence[datetime]) -> time:
    """The median time of day; around midnight too: the day is cut where the starts lie farthest apart."""
    minutes = sorted(each.hour * 60 + each.minute for each in local)
    gaps = [(after - before, after) for before, after in zip(minutes, [*minutes[1:], minutes[0] + 1440], strict=True)]
    cut = max(gaps)[1]
    middle = round(median((each - cut) % 1440 for each in minutes) + cut) % 1440
    return time(middle // 60, middle % 60)


def _from_usual(start: datetime, middle: time) -> timedelta:
    """How far from that time of day, the shorter way around midnight."""
    minutes = (start.hour * 60 + start.minute - middle.hour * 60 - middle.minute + 720) % 1440 - 720
    return timedelta(minutes=minutes)


def _weekdays(days: set[date]) -> tuple[tuple[int, ...], float]:
    """The days of the week on nearly all of which it ran; and the share of all days that agree with that. Where one is
    neither nearly always nor hardly ever, nothing agrees."""
    first, last = min(days), max(days)
    length = (last - first).days + 1
    seen = Counter((first.weekday() + number) % 7 for number in range(length))
    ran = Counter(day.weekday() for day in days)
    shares = [ran[number] / max(1, seen[number]) for number in range(7)]
    if any(_HARDLY_ANY < each < _NEARLY_ALL for each in shares):
        return (), 0.0
    usual = tuple(number for number, share in enumerate(shares) if share >= _NEARLY_ALL)
    agree = sum(ran[number] if number in usual else seen[number] - ran[number] for number in range(7))
    return usual, agree / length
