"""A job's history: columns of its successes, typical durations, peer jobs, the last good run. Columns of numbers,
because an estate has 100,000 jobs. Peer jobs: empirical Bayes (Morris 1983)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

UNKNOWN = -1.0
"""In a column of seconds, rows or bytes."""
MANY_A_DAY = 1.5
"""Jobs with more successes per day have no nightly rhythm."""


def _floats() -> array[float]:
    return array("d")


def _integers() -> array[int]:
    return array("q")


@dataclass(frozen=True, slots=True)
class RunHistory:
    """The latest successes of a job, newest first, at most 60; one index is one run. Below 0: unknown."""

    run_ids: array[int] = field(default_factory=_integers)
    days: array[int] = field(default_factory=_integers)
    """Business dates, as `date.toordinal`."""
    at: array[int] = field(default_factory=_integers)
    """Period's instant, else first start: seconds since 1970. For a repair on the same date, those of the failed run;
    likewise the delays."""
    ended: array[int] = field(default_factory=_integers)
    """Seconds since 1970, by our clock."""
    takes: array[float] = field(default_factory=_floats)
    """Seconds of the successful attempt."""
    delays: array[float] = field(default_factory=_floats)
    """Seconds from the period's instant to the first start; unknown if an action started it."""
    waits: array[float] = field(default_factory=_floats)
    """Seconds from queued to start, of the successful attempt."""
    attempts: array[int] = field(default_factory=_integers)
    repairs: array[float] = field(default_factory=_floats)
    """Seconds from the first failed run of the date to the start, if each start is a run of its own."""
    output: array[float] = field(default_factory=_floats)
    """Empty if no output was reported."""
    output_unit: str = ""
    """ "rows" or "bytes"."""
    unrepaired: array[int] = field(default_factory=_integers)
    """Business dates, like `days`, on which it failed and never succeeded."""
    month_ends: array[float] = field(default_factory=_floats)
    """Duration on month ends before the oldest of these runs, newest first, as a multiple of the nights before each."""
    failures: int = 0
    """Failed runs since the newest success, without missed starts."""
    failing_since: datetime | None = None

    def __len__(self) -> int:
        return len(self.run_ids)

    @property
    def is_nightly(self) -> bool:
        """True if its runs belong to business dates, about one to each."""
        return bool(self.days) and min(self.days) > 0 and len(self.days) < MANY_A_DAY * len(set(self.days))


NO_HISTORY = RunHistory()


@dataclass(frozen=True, slots=True)
class SuccessfulRun:
    """One row of a RunHistory."""

    run_id: int
    at: int
    ended: int
    takes: float
    delay: float
    waited: float
    attempts: int
    output: float
    output_unit: str
    day: int = 0
    """`date.toordinal`; 0: unknown."""
    repair: float = UNKNOWN


@lru_cache(maxsize=4096)
def _shared(kind: str, values: tuple[float, ...]) -> array[Any]:
    """One column for all histories with the same values: most jobs run each night, wait for nothing and are never
    repaired. Columns never change."""
    return array(kind, values)


def build_history(
    runs: Sequence[SuccessfulRun],
    failures: int = 0,
    failing_since: datetime | None = None,
    unrepaired: Sequence[int] = (),
) -> RunHistory:
    """Columns of these successes, newest first. Output is in the unit of the newest that reports any."""
    unit = next((run.output_unit for run in runs if run.output_unit), "")
    output = [run.output if run.output_unit == unit else UNKNOWN for run in runs] if unit else []
    return RunHistory(
        run_ids=array("q", [run.run_id for run in runs]),
        days=_shared("q", tuple([run.day for run in runs])),
        at=array("q", [run.at for run in runs]),
        ended=array("q", [run.ended for run in runs]),
        takes=array("d", [run.takes for run in runs]),
        delays=array("d", [run.delay for run in runs]),
        waits=_shared("d", tuple([run.waited for run in runs])),
        attempts=_shared("q", tuple([run.attempts for run in runs])),
        repairs=_shared("d", tuple([run.repair for run in runs])),
        output=array("d", output),
        output_unit=unit,
        unrepaired=_shared("q", tuple(unrepaired)),
        month_ends=_shared("d", ()),
        failures=failures,
        failing_since=failing_since,
    )


class DurationQuantiles(NamedTuple):
    """Duration at the 50th, 90th and 95th percentile."""

    p50: timedelta
    p90: timedelta
    p95: timedelta

    def longer(self, by: timedelta) -> DurationQuantiles:
        return DurationQuantiles(self.p50 + by, self.p90 + by, self.p95 + by)

    def at_least(self, elapsed: timedelta) -> DurationQuantiles:
        return DurationQuantiles(max(elapsed, self.p50), max(elapsed, self.p90), max(elapsed, self.p95))


class EstimateKind(StrEnum):
    """Kinds of data that a usual duration is estimated from, best first."""

    HISTORY = "history"
    DECLARED = "declared"
    PEERS = "peers"
    NONE = "none"

    @classmethod
    def _missing_(cls, value: object) -> EstimateKind:
        """NONE for a kind that this version does not have."""
        return cls.NONE


def timed_runs_text(count: int) -> str:
    """Names what an estimate counts: "1 successful run with a duration"."""
    return f"{count} successful run{'s' * (count != 1)} with a duration"


@dataclass(frozen=True, slots=True)
class EstimateBasis:
    """The data that a figure is estimated from."""

    kind: EstimateKind
    count: int = 0
    """Own runs or peer jobs; of a declared duration: peer jobs that its spread is taken from."""

    @property
    def text(self) -> str:
        """ "history (31 runs)", "declared duration", "12 peer jobs", "no estimate"."""
        match self.kind:
            case EstimateKind.HISTORY:
                return f"history ({self.count} run{'s' * (self.count != 1)})"
            case EstimateKind.DECLARED:
                return "declared duration" + (f", varies like {self.count} peer jobs" if self.count else "")
            case EstimateKind.PEERS:
                return f"{self.count} peer jobs"
        return "no estimate"

    @property
    def path_text(self) -> str:
        """As `text`, of several jobs, whose weakest basis it is."""
        is_history = self.kind is EstimateKind.HISTORY
        return f"history (at least {self.count} runs of each job)" if is_history else self.text

    @staticmethod
    def unknown(data: object) -> EstimateBasis:
        return NO_ESTIMATE


NO_ESTIMATE = EstimateBasis(EstimateKind.NONE)


@dataclass(frozen=True, slots=True)
class DurationEstimate:
    """A job's usual duration."""

    job_id: int
    source: EstimateKind
    runs: int
    takes: DurationQuantiles | None
    peers: int = 0
    """Number of peer jobs that it is estimated from."""

    @property
    def basis(self) -> EstimateBasis:
        counts = {EstimateKind.HISTORY: self.runs, EstimateKind.PEERS: self.peers}
        return EstimateBasis(self.source, counts.get(self.source, 0))

    @property
    def p50(self) -> timedelta | None:
        return self.takes.p50 if self.takes is not None else None

    @property
    def p90(self) -> timedelta | None:
        return self.takes.p90 if self.takes is not None else None


MIN_RUNS = 5
"""Minimum successes for an estimate."""
MIN_JOBS = 5
"""Minimum jobs of a peer group."""
PeerGroup = int | str
"""A target by its number, or a system by its name."""


class DurationPrior(NamedTuple):
    jobs: int
    takes: DurationQuantiles
    """Over its jobs."""


def duration_prior(usual: Sequence[float]) -> DurationPrior | None:
    """Prior from the usual durations of a peer group, in seconds; None for too few jobs."""
    if len(usual) < MIN_JOBS:
        return None
    ordered = sorted(usual)
    at = (ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.5, 0.9, 0.95))
    return DurationPrior(len(ordered), DurationQuantiles(*(timedelta(seconds=seconds) for seconds in at)))


@dataclass(frozen=True, slots=True)
class LastGoodRun:
    """The context of a failed run, and the last good run of its job before it."""

    good_at: datetime | None
    """End of the last good run; None: unknown, only the context is set."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Context of the latest attempt, as its connector reported it."""
    good_context: Mapping[str, Any] = field(default_factory=dict)
    drift: tuple[tuple[datetime, str, str], ...] = ()
    """Seen since the last good run began, newest first: when, what ("definition", "schedule", "paused"), text."""
    accepted: tuple[tuple[datetime, str, str], ...] = ()
    """Schedules accepted since then, newest first: when, actor, expression."""
    booted_at: datetime | None = None
    """Boot time of its target's host, by Headway's clock, if reported."""
    target: str = ""
    durations: tuple[float, ...] = ()
    """Seconds of its good runs before this one, newest first."""
