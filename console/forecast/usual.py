"""Usual durations, waits and start times of a job, for rules and explanations; the simulation's durations are in
`past_views`.

Durations: a run counts less the older it is (Brown 1959) and if its night is of another calendar class; runs from
before a level shift are scaled to the present level. Quantiles instead of means, so that no single run matters much.
Level shift: likelihood-ratio test for one change of a mean (Hinkley 1970), on logarithms, of the last nights only.
Starts: a job with upstreams that starts at the same time of day every night has an undeclared schedule.
Waits: time between ready and started, for a slot, a worker or the scheduler.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from statistics import median

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import SourceMemo
from console.domain.history import NO_HISTORY, RunHistory
from console.domain.timeline import PathJobBaseline
from console.timing.durations import format_duration
from console.timing.zones import time_in_window, zone_of

SHIFT_NIGHTS, SHIFT_MIN_NIGHTS, SHIFT_NIGHTS_BEFORE = 21, 3, 8
"""Maximum and minimum number of nights since a shift; nights before it."""
MIN_LIKELIHOOD_RATIO = 5.0
"""Standard errors."""
MIN_SHIFT = 0.14
"""In logarithms: 15 %."""
LEAST_SPREAD = 0.03
OFFSET = 5.0
"""Seconds added before the logarithm, as in the simulation: a job of one second may well take three."""


WEEK = timedelta(days=6)
"""Nights up to this age are named by their weekday."""


@dataclass(frozen=True, slots=True)
class LevelShift:
    nights: int
    """Number of nights since the shift."""
    before: float
    """Median, s."""
    since: float


def level_shift(times: Iterable[float]) -> LevelShift | None:
    """The shift in a job's durations by night, oldest first, s, NaN: did not run; None without a shift."""
    ran = [seconds for seconds in times if math.isfinite(seconds)]
    logs = [math.log(max(seconds, 0.0) + OFFSET) for seconds in ran]
    sums = list(accumulate(logs, initial=0.0))
    squares = sum(log * log for log in logs)
    splits = range(max(SHIFT_NIGHTS_BEFORE, len(ran) - SHIFT_NIGHTS), len(ran) - SHIFT_MIN_NIGHTS + 1)
    errors, apart, at = max((_distance(sums, squares, at) for at in splits), default=(0.0, 0.0, 0))
    if errors < MIN_LIKELIHOOD_RATIO or apart < MIN_SHIFT:
        return None
    return LevelShift(len(ran) - at, median(ran[:at]), median(ran[at:]))


def shift_text(name: str, shift: LevelShift, days: Sequence[int], today: date) -> str:
    """ "etl/load is slower since Tuesday: 24m instead of 15m". `name`: cleaned; `days`: the business dates of its runs
    (`date.toordinal`), newest first; empty if they belong to no night."""
    how = "slower" if shift.since > shift.before else "faster"
    latest, since = days[: shift.nights], f"{shift.nights} runs"
    if len(latest) == shift.nights == len(set(latest)) and min(latest) > 0:
        began = date.fromordinal(latest[-1])
        since = began.strftime("%A" if today - began <= WEEK else "%-d %b")
    return f"{name} is {how} since {since}: {format_duration(shift.since)} instead of {format_duration(shift.before)}"


def _distance(sums: list[float], squares: float, at: int) -> tuple[float, float, int]:
    """Distance of the nights from `at` on to those before: in standard errors, and in logarithms; and `at`."""
    before, after = at, len(sums) - 1 - at
    head, tail = sums[at], sums[-1] - sums[at]
    apart = abs(tail / after - head / before)
    within = max(squares - head * head / before - tail * tail / after, 0.0)
    spread = max(math.sqrt(within / (before + after - 2)), LEAST_SPREAD)
    return apart / (spread * math.sqrt(1 / after + 1 / before)), apart, at


HALF_LIFE = 30.0
"""Runs after which a run counts half."""
OWN_NIGHTS = 6.0
"""Number of nights of tonight's class with which a night of another class counts half, as in the simulation."""
MIN_LEVEL = 1.0
"""Lower levels are not scaled."""


@dataclass(frozen=True, slots=True)
class UsualValues:
    """Values at the present level, ascending, with their weights."""

    values: Sequence[float]
    weights: Sequence[float]
    what: str
    """The name of the values: "Thursdays" or "runs"."""
    of_its_kind: float | None = None
    """The median on nights of tonight's class, if these are too few to be compared with alone."""

    def most(self, share: float) -> float:
        """The quantile, at least the median of nights of tonight's class."""
        return max(self._quantile(share), self.of_its_kind if self.of_its_kind is not None else 0.0)

    def least(self, share: float) -> float:
        """The quantile, at most the median of nights of tonight's class."""
        value = self._quantile(share)
        return value if self.of_its_kind is None else min(value, self.of_its_kind)

    def _quantile(self, share: float) -> float:
        sums = list(accumulate(self.weights))
        return next(value for value, upto in zip(self.values, sums, strict=True) if upto >= share * sums[-1] - 1e-9)


def usual_values(times: Sequence[float], kinds: Sequence[str], tonight: str, enough: int) -> UsualValues | None:
    """Usual values by runs, oldest first, and the kind of night of each; by those of tonight's kind alone if these are
    `enough`. None for fewer than `enough` runs."""
    if len(times) < enough:
        return None
    levelled, shift = list(times), level_shift(times)
    if shift is not None and min(shift.before, shift.since) >= MIN_LEVEL:
        for place in range(len(times) - shift.nights):
            levelled[place] *= shift.since / shift.before
    own = [kind == tonight for kind in kinds]
    is_own = enough <= sum(own) < len(own)
    other_weight = 0.0 if is_own else OWN_NIGHTS / (OWN_NIGHTS + sum(own))
    ages = range(len(times) - 1, -1, -1)
    weighed = sorted(
        (value, (1.0 if same else other_weight) * 0.5 ** (age / HALF_LIFE))
        for value, same, age in zip(levelled, own, ages, strict=True)
        if same or other_weight
    )
    values, weights = zip(*weighed, strict=True)
    of_its_kind = None if is_own or not any(own) else median(v for v, same in zip(levelled, own, strict=True) if same)
    return UsualValues(values, weights, f"{tonight}s" if is_own else "runs", of_its_kind)


MONTH_END = "month end"


def night_kind(on: date) -> str:
    """The calendar class of a night: its weekday, or "month end"."""
    return MONTH_END if (on + timedelta(days=1)).day == 1 else on.strftime("%A")


START_NIGHTS = 14
START_MIN_NIGHTS = 5
START_WITHIN_SECONDS = 60
"""Maximum spread of the starts."""
START_MIN_SHARE = 0.8
"""Minimum share of starts within that spread."""
_DAY = 24 * 3600


class UsualStarts:
    """Usual start times of jobs, cached as long as their histories are the same."""

    def __init__(self) -> None:
        self._times = SourceMemo[time | None]()

    def start(self, index: EstateIndex, job_id: int, business_date: date) -> datetime | None:
        """The job's undeclared start on that business date; None if it has none, or if that is unknown."""
        job, history = index.job(job_id), index.estate.history.get(job_id, NO_HISTORY)
        usual = self._times.get((job_id, job.zone), (history,), lambda: _usual_start(history, job.zone))
        return None if usual is None else time_in_window(business_date, usual, zone_of(job.zone), job.cutoff)


def _usual_start(history: RunHistory, zone: str) -> time | None:
    """The time of day at which most of the latest runs started, around midnight too."""
    latest = zip(history.at[:START_NIGHTS], history.delays[:START_NIGHTS], strict=True)
    begun = [round(at + max(delay, 0.0)) for at, delay in latest]
    if len(begun) < START_MIN_NIGHTS:
        return None
    local = [datetime.fromtimestamp(at, UTC).astimezone(zone_of(zone)) for at in begun]
    seconds = sorted(at.hour * 3600 + at.minute * 60 + at.second for at in local)
    two_days = [*seconds, *(second + _DAY for second in seconds)]
    need = -int(-START_MIN_SHARE * len(seconds) // 1)
    spans = [(two_days[first + need - 1] - two_days[first], two_days[first]) for first in range(len(seconds))]
    span, first = min(spans)
    if span > START_WITHIN_SECONDS:
        return None
    minutes, second = divmod(first % _DAY, 60)
    return time(*divmod(minutes, 60), second)


WAIT_NIGHTS, WAIT_MIN_NIGHTS = 14, 5
"""Maximum (the newest) and minimum number of nights that a usual wait is computed from."""
MIN_SHIFT_SECONDS = 60.0
"""Level shifts from this size on are reported."""


def path_usual(name: str, history: RunHistory, above: Sequence[RunHistory], business_date: date) -> PathJobBaseline:
    """The baseline from the nights before `business_date`. `name`: cleaned; `above`: histories of its upstreams, and of
    the job that holds its slot before it."""
    nights = [place for place, day in enumerate(history.days) if 0 <= day < business_date.toordinal()]
    waits = 0.0
    if history.is_nightly:
        ends = [_ends(upstream) for upstream in above]
        known = [wait for place in nights[:WAIT_NIGHTS] if (wait := _waited(history, ends, place)) is not None]
        waits = median(known) if len(known) >= WAIT_MIN_NIGHTS else 0.0
    shift = level_shift(history.takes[place] for place in reversed(nights))
    if shift is None:
        return PathJobBaseline(waits=waits)
    is_large = abs(shift.since - shift.before) >= MIN_SHIFT_SECONDS
    text = shift_text(name, shift, [history.days[place] for place in nights], business_date) if is_large else ""
    return PathJobBaseline(shift.since, waits, text)


def _waited(history: RunHistory, above: Sequence[Mapping[int, int]], place: int) -> float | None:
    """The wait of one night, s; None if it is unknown when the job could start, or first did. `above`: ends by day."""
    at, delay = history.at[place], history.delays[place]
    ends = [by_day[history.days[place]] for by_day in above if history.days[place] in by_day]
    if len(ends) < len(above) or (delay < 0 and not ends):
        return None
    if delay >= 0:
        return max(at + delay - max([at, *ends]), 0.0)
    if history.attempts[place] > 1 or history.repairs[place] >= 0:
        return None
    return max(history.ended[place] - history.takes[place] - max(ends), 0.0)


def _ends(history: RunHistory) -> dict[int, int]:
    """Business date -> its newest end; empty for a job that runs many times a day."""
    ends = dict(zip(reversed(history.days), reversed(history.ended), strict=True))
    return ends if history.is_nightly else {}
