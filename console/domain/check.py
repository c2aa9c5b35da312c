"""Data checks: criteria, results over time, verdicts, and their rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple


class CheckState(StrEnum):
    """The result of a check run."""

    PASSED = "passed"
    FAILED = "failed"
    """At least one criterion does not hold."""
    ERROR = "error"
    """No measurement: no answer, no right, or a timeout."""
    LEARNING = "learning"
    """All judged criteria hold; the band of row counts has too little history."""


class Comparator(StrEnum):
    EQUALS = "equals"
    NOT = "not"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


@dataclass(frozen=True, slots=True)
class Comparison:
    how: Comparator
    to: str | int | float | bool


@dataclass(frozen=True, slots=True)
class RowCountBand:
    """Row counts by weekday history."""

    days: int = 4
    """Minimum past days of the same weekday."""
    tolerance: float = 0.1
    """Tolerance beyond the spread of those days, as a share of their median."""


@dataclass(frozen=True, slots=True)
class CheckCriteria:
    """The criteria of a check; all that are set must hold."""

    band: RowCountBand | None = None
    rows_min: int | None = None
    rows_max: int | None = None
    fresh: timedelta | None = None
    """Maximum age of the newest row."""
    unique: tuple[tuple[str, ...], ...] = ()
    """Keys, each of one column or of several together."""
    not_null: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    """Required columns with their types."""
    value: tuple[Comparison, ...] = ()
    there: bool = False
    size_min: int | None = None
    """Bytes."""
    size_max: int | None = None
    age: timedelta | None = None
    """Maximum age of a file or an object."""


@dataclass(frozen=True, slots=True)
class Check:
    """One `[checks.NAME]`, without addresses and secrets."""

    name: str
    kind: str
    about: str
    """Its subject: "table supply.rows"."""
    asks: CheckCriteria = field(default_factory=CheckCriteria)
    every: timedelta = timedelta(minutes=5)
    """Interval; a younger result is reused."""
    timeout: timedelta = timedelta(seconds=30)
    zone: str = "UTC"
    system: str = ""
    """The system whose connection it uses; empty: its own."""
    target: str = ""
    """Target of that system; empty: the system as a whole."""


class ResultSpan(NamedTuple):
    """Consecutive runs with the same result."""

    state: CheckState
    since: datetime
    """The first run."""
    at: datetime
    """The last run."""
    text: str


class CheckHistory(NamedTuple):
    """Results of one check on one business date."""

    check: str
    business_date: date
    stretches: tuple[ResultSpan, ...]
    """Oldest first; never empty."""

    @property
    def last(self) -> ResultSpan:
        return self.stretches[-1]


class PastRowCount(NamedTuple):
    """Row count of a past business date when its check passed last."""

    business_date: date
    rows: int


class CheckVerdict(NamedTuple):
    state: CheckState
    text: str


class DataReadiness(NamedTuple):
    """Whether the data may be used now."""

    passes: bool
    text: str
    at: datetime | None
    """Since when it passes; if it does not, the last run. None: never ran."""


@dataclass(frozen=True, slots=True)
class CheckResultView:
    """Consecutive runs with the same result; `measured` is the last."""

    business_date: str
    state: str
    text: str
    since: datetime
    at: datetime
    times: int
    measured: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check of config with its last result."""

    name: str
    kind: str
    about: str
    every_seconds: float
    timeout_seconds: float
    zone: str
    waits: tuple[str, ...]
    """Services, and downstreams, that wait for it: "supply-plan", "dwh/load"."""
    awaited: bool
    """True while a service or downstream waits for it."""
    last: CheckResultView | None
    """None: never ran."""
    next_at: datetime | None
    """Next run; None: as soon as it is awaited."""
