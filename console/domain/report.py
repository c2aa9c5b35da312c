"""The figures of a month: promises kept, incidents, runs, changes and cost, of a service or a system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from connectors.sdk.states import RunState
from console.domain.probability import format_percent, format_probability

TREND_MONTHS = 6
"""Months that are shown of one service or system."""
NEUTRAL_STATES = frozenset({RunState.SKIPPED, RunState.UNKNOWN})
"""Ended runs that count as neither success nor failure."""
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "12345678"
"""Heights of a bar, for terminals without block characters."""
BARS_TEXT = "Bars: full height is 100 % for shares, the highest month for other figures."


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """One service, with all jobs that it needs, or one system, in one calendar month of business dates. Times are in
    seconds, None without anything to measure."""

    kind: str
    """ "service" or "system"."""
    name: str
    title: str
    month: str
    """ "2026-11"."""
    in_time: int
    """Days in time of `judged` days; of a system none is judged."""
    judged: int
    sla_in_time: int
    """Days in time by the SLA, whatever was extended, of `sla_judged` days."""
    sla_judged: int
    slack_s: float | None
    """Median of deadline less delivery; negative where most were late."""
    incidents: int
    """Opened in this month; merged ones are part of others."""
    acknowledge_s: float | None
    """Mean from the opening of an incident to its first acknowledgement."""
    recover_s: float | None
    """Mean from the failure to the close of its incident."""
    runs: int
    """Runs that began and ended in a state that is not neutral; `succeeded`: those of them that succeeded."""
    succeeded: int
    unknown: int
    """Stored runs that began and whose result is unknown."""
    missed: int
    """Expected runs that never began."""
    changes: int
    """Changes of schedules and definitions at the schedulers."""
    tried_changes: int
    """Changes after which a run ended within a week; `failed_changes`: those whose first such run failed."""
    failed_changes: int
    cost: float | None
    """Sum over the stored runs, in the unit of their source; None without any."""

    @property
    def is_watched(self) -> bool:
        """False for a month without anything in the store."""
        return any((self.judged, self.incidents, self.runs, self.unknown, self.missed, self.changes))

    @property
    def attainment(self) -> float | None:
        return _share(self.in_time, self.judged)

    @property
    def sla_attainment(self) -> float | None:
        return _share(self.sla_in_time, self.sla_judged)

    @property
    def success_rate(self) -> float | None:
        return _share(self.succeeded, self.runs)

    @property
    def change_failure_rate(self) -> float | None:
        return _share(self.failed_changes, self.tried_changes)


class Unit(StrEnum):
    SHARE = "share"
    SECONDS = "seconds"
    COUNT = "count"
    COST = "cost"


class ReportFigure(NamedTuple):
    """One figure of a month, in the order of the report."""

    name: str
    unit: Unit
    measure: Callable[[MonthFigures], float | None]
    meaning: str
    parts: Callable[[MonthFigures], tuple[int, int]] | None = None
    """The numbers whose quotient a share is."""
    is_optional: bool = False
    """Left out where no month has it."""

    def value(self, month: MonthFigures) -> float | None:
        """None without anything to measure; of an optional count also for 0."""
        number = self.measure(month)
        is_none = self.unit is Unit.COUNT and (not month.is_watched or (self.is_optional and not number))
        return None if is_none else number

    def trend(self, months: Sequence[MonthFigures], bars: str = BARS) -> str:
        """A bar for each month, of shares up to 100 %, else up to the highest."""
        values = [self.value(month) for month in months]
        return bar_text(values, 1.0 if self.unit is Unit.SHARE else max(value or 0.0 for value in values), bars)


FIGURES = (
    ReportFigure("in time", Unit.SHARE, lambda month: month.attainment,
                 "judged days delivered by the deadline",
                 lambda month: (month.in_time, month.judged), is_optional=True),
    ReportFigure("SLA kept", Unit.SHARE, lambda month: month.sla_attainment,
                 "days delivered by the time of the SLA, whatever was extended",
                 lambda month: (month.sla_in_time, month.sla_judged), is_optional=True),
    ReportFigure("slack", Unit.SECONDS, lambda month: month.slack_s,
                 "median time from delivery to the deadline", is_optional=True),
    ReportFigure("incidents", Unit.COUNT, lambda month: month.incidents, "incidents opened"),
    ReportFigure("acknowledged", Unit.SECONDS, lambda month: month.acknowledge_s,
                 "mean time from opening to acknowledgement"),
    ReportFigure("recovered", Unit.SECONDS, lambda month: month.recover_s,
                 "mean time from the failure to the end of the incident"),
    ReportFigure("success", Unit.SHARE, lambda month: month.success_rate,
                 "succeeded runs, of ended runs with a known result",
                 lambda month: (month.succeeded, month.runs)),
    ReportFigure("unknown", Unit.COUNT, lambda month: month.unknown, "runs whose result is unknown", is_optional=True),
    ReportFigure("missed", Unit.COUNT, lambda month: month.missed, "expected runs that never began"),
    ReportFigure("changes", Unit.COUNT, lambda month: month.changes, "changes of schedules and definitions"),
    ReportFigure("failed after", Unit.SHARE, lambda month: month.change_failure_rate,
                 "changes whose first run within a week failed",
                 lambda month: (month.failed_changes, month.tried_changes)),
    ReportFigure("cost", Unit.COST, lambda month: month.cost,
                 "sum over the runs, in the unit of the source", is_optional=True),
)  # fmt: skip


def figures_of(months: Sequence[MonthFigures]) -> list[ReportFigure]:
    """The figures to show of these months."""
    return [
        figure for figure in FIGURES
        if not figure.is_optional or any(figure.value(month) is not None for month in months)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """How much of a pool's slots was in use in one month."""

    pool: str
    month: str
    slots: int
    busy_s: float | None
    """Sum of the durations of its jobs' attempts within the month; None once retention deleted some of its runs."""
    seconds: float
    """Length of the month, up to now."""

    @property
    def utilization(self) -> float | None:
        return None if self.busy_s is None else _share(self.busy_s, self.slots * self.seconds)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def bar_text(values: Sequence[float | None], top: float, bars: str = BARS) -> str:
    """One of `bars` for each value, by its share of `top`; a space for None."""
    shares = (None if value is None else max(0.0, min(value, top)) / max(top, 1e-9) for value in values)
    return "".join(" " if share is None else bars[min(len(bars) - 1, int(share * len(bars)))] for share in shares)


def share_text(share: float) -> str:
    """ "98 %"; "100 %" only for all, "0 %" only for none."""
    return format_probability(share) if 0 < share < 1 else format_percent(share)


def months_back(last: date, count: int) -> list[str]:
    """So many months up to that of the date, oldest first: "2026-10", "2026-11"."""
    number = last.year * 12 + last.month - 1
    return [f"{place // 12}-{place % 12 + 1:02}" for place in range(number - count + 1, number + 1)]
