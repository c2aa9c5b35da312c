"""Thresholds, and from where we know them: a word in config, the job's own past successes, or the default.

From history: the quantile of what is usual on such a night (`control.usual`, as forecasts tell it); so many times as
much, and at least a floor away from it. Never a mean: one night of ten hours would move it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from console.control.estimate import quantile
from console.control.rules.look import Look
from console.control.rules.wishes import Wish
from console.control.usual import Usual, kind_of
from console.control.usual import usual as usual_of
from console.durations import duration_words
from console.model.findings import Evidence, Rule

HIGH, LOW = 0.95, 0.05


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
    return _fixed(wish) or _high(wish, _usual(look, column, at, wish.runs, without)) or _default(wish)


def at_least(look: Look, rule: Rule, column: Sequence[float], at: datetime, without: int = 0) -> Threshold | None:
    """The least that is usual; None where nobody can say, or where the usual is smaller than the floor."""
    wish = look.wish(rule)
    return _fixed(wish) or _low(wish, _usual(look, column, at, wish.runs, without))


def usual(look: Look, rule: Rule, values: Sequence[float], what: str) -> Threshold | None:
    """As `at_most`, from values that are of no single day. `what`: they are, in the plural."""
    wish = look.wish(rule)
    high = quantile(values, HIGH) if len(values) >= wish.runs else None
    return _fixed(wish) or (None if high is None else _over(wish, high, f"{len(values)} {what}")) or _default(wish)


def _usual(look: Look, column: Sequence[float], at: datetime, enough: int, without: int) -> Usual | None:
    """What is usual on that night; None with too few runs."""
    history, tonight = look.history, kind_of(look.date_of(at))
    known = [
        (value, kind_of(date.fromordinal(day) if day > 0 else look.date_of(datetime.fromtimestamp(when, UTC))))
        for number, day, when, value in zip(history.run_ids, history.days, history.at, column, strict=False)
        if number != without and value >= 0
    ][::-1]
    return usual_of([value for value, _ in known], [kind for _, kind in known], tonight, enough)


def _fixed(wish: Wish) -> Threshold | None:
    return None if wish.declared is None else Threshold(wish.declared, f"declared in config, {wish.place}")


def _default(wish: Wish) -> Threshold | None:
    return None if wish.default is None else Threshold(wish.default, "default")


def _high(wish: Wish, known: Usual | None) -> Threshold | None:
    return None if known is None else _over(wish, known.most(HIGH), f"{len(known.values)} {known.what}")


def _over(wish: Wish, high: float, what: str) -> Threshold:
    return Threshold(float(round(max(high * wish.factor, high + wish.floor))), f"history ({what})")


def _low(wish: Wish, known: Usual | None) -> Threshold | None:
    if known is None or (low := known.least(LOW)) < wish.floor:
        return None
    return Threshold(low * wish.factor, f"history ({len(known.values)} {known.what})")
