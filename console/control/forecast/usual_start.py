"""A clock that nobody told us of: a job that follows others and still starts at one time of day, every night.

What it waited for its upstreams says nothing then, for its own clock was what it waited for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from console.control.picture import Picture
from console.control.zones import time_in_window, zone_of
from console.model.history import NO_HISTORY, History

LATEST = 14
"""Nights that are looked at."""
FEWEST = 5
WITHIN = 60
"""Seconds within which they begin."""
MOST = 0.8
"""Share of them that does."""
_DAY = 24 * 3600


class UsualStarts:
    """What was learned of jobs; whoever asks again holds it. A history never changes: of a job with another one, that
    is read."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[History, str, time | None]] = {}

    def start(self, picture: Picture, job_id: int, bd: date) -> datetime | None:
        """When it starts by itself on that business date; None where it does not, or nobody can tell."""
        job, history = picture.job(job_id), picture.estate.history.get(job_id, NO_HISTORY)
        known = self._known.get(job_id)
        if known is None or known[0] is not history or known[1] != job.zone:
            known = self._known[job_id] = (history, job.zone, _of(history, job.zone))
        usual = known[2]
        return None if usual is None else time_in_window(bd, usual, zone_of(job.zone), job.cutoff)


def _of(history: History, zone: str) -> time | None:
    latest = zip(history.at[:LATEST], history.delays[:LATEST], strict=True)
    begun = [round(at + max(delay, 0.0)) for at, delay in latest]
    return _usual(begun, zone) if len(begun) >= FEWEST else None


def _usual(begun: Sequence[int], zone: str) -> time | None:
    """The time of day at which these instants lie, the first of them; around midnight too."""
    local = [datetime.fromtimestamp(each, UTC).astimezone(zone_of(zone)) for each in begun]
    seconds = sorted(each.hour * 3600 + each.minute * 60 + each.second for each in local)
    turned = [*seconds, *(each + _DAY for each in seconds)]
    need = -int(-MOST * len(seconds) // 1)
    spans = [(turned[first + need - 1] - turned[first], turned[first]) for first in range(len(seconds))]
    span, first = min(spans)
    if span > WITHIN:
        return None
    minutes, second = divmod(first % _DAY, 60)
    return time(*divmod(minutes, 60), second)
