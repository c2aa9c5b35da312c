"""Thresholds, and from where we know them: a word in config, the job's own past successes, or the default.

From history: the quantile of the past successes, of the same day of the week where there are enough of them; so many
times as much, and at least a floor away from it. Never a mean: one night of ten hours would move it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from console.control.estimate import quantile
from console.control.rules.look import Look
from console.control.rules.wishes import Wish
from console.control.zones import zone_of
from console.durations import duration_words
from console.model.findings import Evidence, Rule

HIGH, LOW = 0.95, 0.05
_DAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A figure and where it comes from."""

    value: float
    source: str

    def later(self, by: timedelta, why: str) -> Threshold:
        """The same, so much later as was planned for that day."""
        if not by:
            return self
        plus = duration_words(by.total_seconds())
        return Threshold(self.value + by.total_seconds(), f"{self.source}, +{plus}: {why}")

    def evidence(self, seen: str, words: Callable[[float], str] = duration_words) -> Evidence:
        return Evidence(seen, words(self.value), self.source)


def at_most(look: Look, rule: Rule, column: Sequence[float], at: datetime, without: int = 0) -> Threshold | None:
    """The most that is usual for a run at that time; None where nobody can say. `column`: of the history, without the
    run of that id."""
    wish = look.wish(rule)
    return _fixed(wish) or _high(wish, *sample(look, column, at, wish.runs, without)) or _default(wish)


def at_least(look: Look, rule: Rule, column: Sequence[float], at: datetime, without: int = 0) -> Threshold | None:
    """The least that is usual; None where nobody can say, or where the usual is smaller than the floor."""
    wish = look.wish(rule)
    return _fixed(wish) or _low(wish, *sample(look, column, at, wish.runs, without))


def usual(look: Look, rule: Rule, values: Sequence[float], what: str) -> Threshold | None:
    """As `at_most`, from values that are of no single day. `what`: they are, in the plural."""
    wish = look.wish(rule)
    return _fixed(wish) or _high(wish, values, what) or _default(wish)


def sample(
    look: Look, column: Sequence[float], at: datetime, enough: int, without: int = 0
) -> tuple[Sequence[float], str]:
    """The values to compare with, and what they are: "Thursdays", else "runs"."""
    history = look.history
    known = [
        (when, value)
        for number, when, value in zip(history.run_ids, history.at, column, strict=False)
        if number != without and value >= 0
    ]
    zone = zone_of(look.job.zone)
    day = at.astimezone(zone).weekday()
    same = [value for when, value in known if datetime.fromtimestamp(when, UTC).astimezone(zone).weekday() == day]
    if enough <= len(same) < len(known):
        return same, _DAYS[day]
    return [value for _, value in known], "runs"


def _fixed(wish: Wish) -> Threshold | None:
    return None if wish.declared is None else Threshold(wish.declared, f"declared in config, {wish.place}")


def _default(wish: Wish) -> Threshold | None:
    return None if wish.default is None else Threshold(wish.default, "default")


def _high(wish: Wish, values: Sequence[float], what: str) -> Threshold | None:
    if len(values) < wish.runs:
        return None
    high = quantile(values, HIGH)
    return Threshold(float(round(max(high * wish.factor, high + wish.floor))), f"history ({len(values)} {what})")


def _low(wish: Wish, values: Sequence[float], what: str) -> Threshold | None:
    if len(values) < wish.runs:
        return None
    low = quantile(values, LOW)
    if low < wish.floor:
        return None
    return Threshold(low * wish.factor, f"history ({len(values)} {what})")
