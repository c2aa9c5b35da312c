"""A job's past as its thresholds need it: columns of numbers, because an estate has a hundred thousand of them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

UNKNOWN = -1.0
"""In a column of seconds, rows or bytes."""
MANY_A_DAY = 1.5
"""More successes a day than these belong to no night."""


def _floats() -> array[float]:
    return array("d")


def _integers() -> array[int]:
    return array("q")


@dataclass(frozen=True, slots=True)
class History:
    """The latest successes of a job, newest first, at most 60; the same place in each column is one run. Below 0:
    not known."""

    run_ids: array[int] = field(default_factory=_integers)
    days: array[int] = field(default_factory=_integers)
    """Business dates, as days since 0001-01-01 (`date.toordinal`)."""
    at: array[int] = field(default_factory=_integers)
    """Period's instant, else first start: seconds since 1970. Of a run that made good a red one of its date, that
    of the red one; so are the delays."""
    ended: array[int] = field(default_factory=_integers)
    """Seconds since 1970, by our clock."""
    takes: array[float] = field(default_factory=_floats)
    """Seconds of the attempt that succeeded."""
    delays: array[float] = field(default_factory=_floats)
    """Seconds from the period's instant to the first start."""
    waits: array[float] = field(default_factory=_floats)
    """Seconds from being queued to the start, of the attempt that succeeded."""
    attempts: array[int] = field(default_factory=_integers)
    repairs: array[float] = field(default_factory=_floats)
    """Seconds from the first run of the same date that failed to the start: where each start is a run of its own."""
    output: array[float] = field(default_factory=_floats)
    """What its source told of the output; empty where it told nothing of any."""
    output_unit: str = ""
    """"rows" or "bytes"."""
    unmended: array[int] = field(default_factory=_integers)
    """Business dates, like `days`, on which it failed and never succeeded."""
    failures: int = 0
    """Red runs since the newest success."""
    failing_since: datetime | None = None
    """The first of these."""

    def __len__(self) -> int:
        return len(self.run_ids)


NO_HISTORY = History()


@dataclass(frozen=True, slots=True)
class PastRun:
    """One success on its way into a history."""

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
    """Its business date (`date.toordinal`); 0: not known."""
    repair: float = UNKNOWN


def history_of(
    runs: Sequence[PastRun], failures: int = 0, failing_since: datetime | None = None, unmended: Sequence[int] = ()
) -> History:
    """The columns of these successes, newest first. Output counts in the unit of the newest that has any."""
    unit = next((run.output_unit for run in runs if run.output_unit), "")
    told = [run.output if run.output_unit == unit else UNKNOWN for run in runs] if unit else []
    return History(
        run_ids=array("q", [run.run_id for run in runs]),
        days=array("q", [run.day for run in runs]),
        at=array("q", [run.at for run in runs]),
        ended=array("q", [run.ended for run in runs]),
        takes=array("d", [run.takes for run in runs]),
        delays=array("d", [run.delay for run in runs]),
        waits=array("d", [run.waited for run in runs]),
        attempts=array("q", [run.attempts for run in runs]),
        repairs=array("d", [run.repair for run in runs]),
        output=array("d", told),
        output_unit=unit,
        unmended=array("q", unmended),
        failures=failures,
        failing_since=failing_since,
    )
