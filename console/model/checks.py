"""Checks: what is asked of data before anybody counts on it, and what the looks at it came to."""

from __future__ import annotations

from dataclasses import field
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from console.model.frozen import dataclass


class CheckState(StrEnum):
    """What one look came to."""

    PASSED = "passed"
    FAILED = "failed"
    """At least one of the things that were asked is not so."""
    ERROR = "error"
    """Nothing could be measured: no answer, no right, no time left."""
    LEARNING = "learning"
    """All that can be judged is as asked; a band of row counts has too few days to exist."""


class Severity(StrEnum):
    FAIL = "fail"
    """Whoever waits for it goes on waiting."""
    WARN = "warn"
    """It is shown, and keeps nobody waiting."""


class Compare(StrEnum):
    EQUALS = "equals"
    NOT = "not"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A value that was asked for, against one of config."""

    how: Compare
    to: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Band:
    """Row counts by weekday history."""

    days: int = 4
    """Past days of the same weekday without which there is no band."""
    tolerance: float = 0.1
    """How far beyond those days' own spread a count may lie, as a share of their median."""


@dataclass(frozen=True, slots=True)
class Asks:
    """What must be so; everything that is named here is judged, and all of it must hold."""

    band: Band | None = None
    rows_min: int | None = None
    rows_max: int | None = None
    fresh: timedelta | None = None
    """How old the newest row may be."""
    unique: tuple[tuple[str, ...], ...] = ()
    """Keys, each of one column or of several together."""
    not_null: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    """Columns that must be there, with their types."""
    value: tuple[Comparison, ...] = ()
    there: bool = False
    size_min: int | None = None
    """Bytes."""
    size_max: int | None = None
    age: timedelta | None = None
    """How long ago a file or an object may have been written."""


@dataclass(frozen=True, slots=True)
class Check:
    """One `[checks.NAME]`, without its door: no secret and no address is in it."""

    name: str
    kind: str
    about: str
    """What is looked at, in words: "table supply.rows"."""
    asks: Asks = field(default_factory=Asks)
    every: timedelta = timedelta(minutes=5)
    """A result this young is not asked for again."""
    timeout: timedelta = timedelta(seconds=30)
    severity: Severity = Severity.FAIL
    zone: str = "UTC"
    cutoff: time = time(12)
    system: str = ""
    """By whose door it looks; empty: by one of its own."""
    target: str = ""
    """And at which of its targets; empty: at the system as a whole."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Looks in a row that came to the same."""

    state: CheckState
    since: datetime
    """The first of them."""
    at: datetime
    """The last of them."""
    words: str
    """What the last of them found."""


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """Everything that is known of one check on one business date."""

    check: str
    bd: date
    stretches: tuple[Stretch, ...]
    """Oldest first; never empty."""

    @property
    def last(self) -> Stretch:
        return self.stretches[-1]


@dataclass(frozen=True, slots=True)
class PastCount:
    """How many rows a past business date had when its check passed last."""

    bd: date
    rows: int


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """One look, judged."""

    state: CheckState
    words: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether somebody may count on the data now."""

    passes: bool
    words: str
    at: datetime | None
    """Since when it passes; of what does not, when it was looked at last. None: never."""
