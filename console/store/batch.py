"""What one poll brings to the store, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from connectors.contract import Gap, RunRecord, Skipped


@dataclass(frozen=True, slots=True)
class Tail:
    """The cleaned end of a log, or why there is none."""

    text: str
    cut: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the polls of a target cost its source."""

    requests: int
    """Of this poll, so far."""
    a_minute: float
    """Over the last ten minutes."""
    allowed: str = ""
    """What the source says is left, in words; empty where its API names no limit."""


@dataclass(frozen=True, slots=True)
class IngestBatch:
    """One poll's records and the cursor that follows them. `control.periods` has given every run its period key."""

    runs: tuple[RunRecord, ...]
    """`job` is what the source calls it now; raw."""
    cursor: str
    now: datetime
    """Our clock when the source was asked: the order of observations, and the target's age."""
    bd: Callable[[RunRecord], date]
    """The business date of a record; asked only for the first attempt of a run."""
    seen_until: datetime | None = None
    """Every start before it has been seen (skew already taken out)."""
    skew_s: float | None = None
    """The target's clock less ours, seconds."""
    zone: str = ""
    booted: datetime | None = None
    """When the target last started, by our clock."""
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    poll_ms: float | None = None
    spent: Spent | None = None
    """None where nothing of it can be counted."""
    tails: Mapping[tuple[str, str], Tail] = field(default_factory=dict)
    """Ends of the logs of what turned red, by (job, attempt key), raw names as in `runs`."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """Ids of what really changed; both empty when the poll told nothing new."""

    changed_run_ids: tuple[int, ...] = ()
    changed_job_ids: tuple[int, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """Records that the store itself had to leave out, with the reason; already counted at the target."""
