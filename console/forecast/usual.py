"""What is usual for a job by its own past: durations at the present level, waits, and start times.

Durations: a run counts less the older it is (Brown 1959) and if its night is of another calendar class; runs from
before a level shift count at the present level. Quantiles, never a mean: of a long past no single run moves them.
Level shift: likelihood-ratio test for one change of a mean (Hinkley 1970), on logarithms, of the last nights only.
Starts: a job that follows others and still starts at one time of day every night has a clock nobody declared; its
own clock is then what it waited for.
Waits: how long a job of a critical path waits though all its inputs are there: for a slot, a worker, its scheduler.
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
from console.domain.history import MANY_A_DAY, NO_HISTORY, RunHistory
from console.domain.timeline import PathJobBaseline
from console.timing.durations import format_duration
from console.timing.zones import time_in_window, zone_of

SHIFT_NIGHTS, SHIFT_MIN_NIGHTS, SHIFT_NIGHTS_BEFORE = 21, 3, 8
"""Nights ago that a shift may begin at most, and at least; nights before it."""
MIN_LIKELIHOOD_RATIO = 5.0
"""Standard errors apart."""
MIN_SHIFT = 0.14
"""Of the logarithm: 15 %."""
LEAST_SPREAD = 0.03
OFFSET = 5.0
"""Seconds added before the logarithm, as where a night is simulated: a job of one second may well take three."""


WEEK = timedelta(days=6)
"""Up to which a night is told by its weekday."""


@dataclass(frozen=True, slots=True)
class LevelShift:
    nights: int
    """Since so many."""
    before: float
    """Median, s."""
    since: float


def level_shift(times: Iterable[float]) -> LevelShift | None:
    """Of one job's times by night, oldest first, s, NaN where it did not run; None: its level is as it was."""
    ran = [each for each in times if math.isfinite(each)]
    logs = [math.log(max(each, 0.0) + OFFSET) for each in ran]
    sums = list(accumulate(logs, initial=0.0))
    squares = sum(each * each for each in logs)
    splits = range(max(SHIFT_NIGHTS_BEFORE, len(ran) - SHIFT_NIGHTS), len(ran) - SHIFT_MIN_NIGHTS + 1)
    errors, apart, at = max((_apart(sums, squares, at) for at in splits), default=(0.0, 0.0, 0))
    if errors < MIN_LIKELIHOOD_RATIO or apart < MIN_SHIFT:
        return None
    return LevelShift(len(ran) - at, median(ran[:at]), median(ran[at:]))


def shift_text(name: str, moved: LevelShift, days: Sequence[int], today: date) -> str:
    """ "etl/load is slower since Tuesday: 24m instead of 15m". `name`: cleaned; `days`: the business dates of its runs
    (`date.toordinal`), newest first; empty where they belong to no night."""
    how = "slower" if moved.since > moved.before else "faster"
    now, before = format_duration(moved.since), format_duration(moved.before)
    return f"{name} is {how} since {_since(days[: moved.nights], moved.nights, today)}: {now} instead of {before}"


def _since(days: Sequence[int], runs: int, today: date) -> str:
    """ "Tuesday", "12 Nov", or "20 runs" where its runs belong to no night: since when, so many runs ago."""
    if len(days) < runs or min(days) <= 0 or len(set(days)) < runs:
        return f"{runs} runs"
    began = date.fromordinal(days[-1])
    return began.strftime("%A" if today - began <= WEEK else "%-d %b")


def _apart(sums: list[float], squares: float, at: int) -> tuple[float, float, int]:
    """How far the nights from `at` on lie from those before it: in standard errors, and of the logarithm; and `at`."""
    before, after = at, len(sums) - 1 - at
    head, tail = sums[at], sums[-1] - sums[at]
    apart = abs(tail / after - head / before)
    within = max(squares - head * head / before - tail * tail / after, 0.0)
    spread = max(math.sqrt(within / (before + after - 2)), LEAST_SPREAD)
    return apart / (spread * math.sqrt(1 / after + 1 / before)), apart, at


HALF_LIFE = 30.0
"""Runs after which a run counts half: as a night does in what the forecast's level missed."""
OWN_NIGHTS = 6.0
"""With so many nights of its own class, one of another class counts half, as in the forecast."""
LEAST = 1.0
"""Of what is less there is no level that could shift."""


@dataclass(frozen=True, slots=True)
class UsualValues:
    """Values at the present level, ascending, with their weights."""

    values: Sequence[float]
    weights: Sequence[float]
    what: str
    """What they are: "Thursdays", else "runs"."""
    of_its_kind: float | None = None
    """The median on nights of tonight's class, where these are too few to be compared with alone."""

    def most(self, share: float) -> float:
        """That share of it is no more than this, and half of what there was on nights like tonight."""
        return max(self._quantile(share), self.of_its_kind if self.of_its_kind is not None else 0.0)

    def least(self, share: float) -> float:
        """That share of it is less than this; no more than half of what there was on nights like tonight."""
        found = self._quantile(share)
        return found if self.of_its_kind is None else min(found, self.of_its_kind)

    def _quantile(self, share: float) -> float:
        sums = list(accumulate(self.weights))
        return next(value for value, upto in zip(self.values, sums, strict=True) if upto >= share * sums[-1] - 1e-9)


def usual_values(times: Sequence[float], kinds: Sequence[str], tonight: str, enough: int) -> UsualValues | None:
    """Of runs, oldest first, and what kind of night each was of; None for fewer than `enough` of them. Where so many
    are of tonight's kind, of these alone."""
    if len(times) < enough:
        return None
    levelled = _levelled(times)
    own = [kind == tonight for kind in kinds]
    is_own = enough <= sum(own) < len(own)
    other = 0.0 if is_own else OWN_NIGHTS / (OWN_NIGHTS + sum(own))
    ages = range(len(times) - 1, -1, -1)
    weighed = sorted(
        (value, (1.0 if same else other) * 0.5 ** (age / HALF_LIFE))
        for value, same, age in zip(levelled, own, ages, strict=True)
        if same or other
    )
    values, weights = zip(*weighed, strict=True)
    of_its_kind = None if is_own or not any(own) else median(v for v, same in zip(levelled, own, strict=True) if same)
    return UsualValues(values, weights, f"{tonight}s" if is_own else "runs", of_its_kind)


def _levelled(times: Sequence[float]) -> list[float]:
    """As they would be at the level of the last runs."""
    moved = level_shift(times)
    if moved is None or min(moved.before, moved.since) < LEAST:
        return list(times)
    before = len(times) - moved.nights
    return [each * (moved.since / moved.before if place < before else 1.0) for place, each in enumerate(times)]


def night_kind(on: date) -> str:
    """What kind of night it is: its weekday, or the last of a month."""
    return "month end" if (on + timedelta(days=1)).day == 1 else on.strftime("%A")


START_NIGHTS = 14
"""Nights that are looked at."""
START_MIN_NIGHTS = 5
START_WITHIN_SECONDS = 60
"""Seconds within which they begin."""
START_MIN_SHARE = 0.8
"""Share of them that does."""
_DAY = 24 * 3600


class UsualStarts:
    """Usual start times of jobs, cached as long as their histories are the same."""

    def __init__(self) -> None:
        self._times = SourceMemo[time | None]()

    def start(self, index: EstateIndex, job_id: int, business_date: date) -> datetime | None:
        """When the job starts by itself on that business date; None if it does not, or if that is unknown."""
        job, history = index.job(job_id), index.estate.history.get(job_id, NO_HISTORY)
        usual = self._times.get((job_id, job.zone), (history,), lambda: _usual_start(history, job.zone))
        return None if usual is None else time_in_window(business_date, usual, zone_of(job.zone), job.cutoff)


def _usual_start(history: RunHistory, zone: str) -> time | None:
    latest = zip(history.at[:START_NIGHTS], history.delays[:START_NIGHTS], strict=True)
    begun = [round(at + max(delay, 0.0)) for at, delay in latest]
    return _usual(begun, zone) if len(begun) >= START_MIN_NIGHTS else None


def _usual(begun: Sequence[int], zone: str) -> time | None:
    """The time of day at which these instants lie, the first of them; around midnight too."""
    local = [datetime.fromtimestamp(each, UTC).astimezone(zone_of(zone)) for each in begun]
    seconds = sorted(each.hour * 3600 + each.minute * 60 + each.second for each in local)
    turned = [*seconds, *(each + _DAY for each in seconds)]
    need = -int(-START_MIN_SHARE * len(seconds) // 1)
    spans = [(turned[first + need - 1] - turned[first], turned[first]) for first in range(len(seconds))]
    span, first = min(spans)
    if span > START_WITHIN_SECONDS:
        return None
    minutes, second = divmod(first % _DAY, 60)
    return time(*divmod(minutes, 60), second)


WAIT_NIGHTS, WAIT_MIN_NIGHTS = 14, 5
"""Nights that waits are read from, the newest, and at least."""
MIN_WAIT_SECONDS = 60.0
"""Seconds by which a level moved, from which on it is told."""


def path_usual(name: str, history: RunHistory, above: Sequence[RunHistory], business_date: date) -> PathJobBaseline:
    """Of the nights before `business_date`. `name`: cleaned; `above`: of its upstreams, and of whose slot it gets."""
    nights = [place for place, day in enumerate(history.days) if 0 <= day < business_date.toordinal()]
    waits = _waits(history, [_ends(each) for each in above], nights) if _is_nightly(history) else 0.0
    moved = level_shift(history.takes[place] for place in reversed(nights))
    if moved is None:
        return PathJobBaseline(waits=waits)
    is_worth = abs(moved.since - moved.before) >= MIN_WAIT_SECONDS
    words = shift_text(name, moved, [history.days[place] for place in nights], business_date) if is_worth else ""
    return PathJobBaseline(moved.since, waits, words)


def _waits(history: RunHistory, above: Sequence[Mapping[int, int]], nights: Sequence[int]) -> float:
    """The median; 0 where too few nights tell."""
    known = [wait for place in nights[:WAIT_NIGHTS] if (wait := _waited(history, above, place)) is not None]
    return median(known) if len(known) >= WAIT_MIN_NIGHTS else 0.0


def _waited(history: RunHistory, above: Sequence[Mapping[int, int]], place: int) -> float | None:
    """Of one night; None where it is not known when it could start, or first did."""
    at, delay = history.at[place], history.delays[place]
    ends = [each[history.days[place]] for each in above if history.days[place] in each]
    if len(ends) < len(above) or (delay < 0 and not ends):
        return None
    if delay >= 0:
        return max(at + delay - max([at, *ends]), 0.0)
    if history.attempts[place] > 1 or history.repairs[place] >= 0:
        return None
    return max(history.ended[place] - history.takes[place] - max(ends), 0.0)


def _ends(history: RunHistory) -> dict[int, int]:
    """Business date -> end, the newest of it."""
    found: dict[int, int] = {}
    for day, ended in zip(history.days, history.ended, strict=True):
        found.setdefault(day, ended)
    return found if _is_nightly(history) else {}


def _is_nightly(history: RunHistory) -> bool:
    return bool(history.days) and min(history.days) > 0 and len(history.days) < MANY_A_DAY * len(set(history.days))
