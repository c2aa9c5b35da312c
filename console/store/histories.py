"""The past of each job, as thresholds need it: read again only where runs changed, and never all at once.

Of a hundred thousand jobs six million successes would have to be read before the first evaluation. So each look reads
what a finding is open of, and of all others a bite: within minutes of a start all are known, and until then a rule says
nothing of a job whose past it does not know.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from connectors.contract import RED_STATES, State
from console.model.history import MANY_A_DAY, UNKNOWN, History, PastRun, history_of
from console.model.ids import instant
from console.model.layered import Layered
from console.model.values import JobFacts
from console.store import alike, clocks
from console.store.wire import Row, Wire

KEPT = 60
"""Latest successes of a job."""
BITE = 2_000
"""Jobs whose past is read in one look, besides those that matter most."""
_UNITS = ("rows", "bytes")
# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
_PICKED = (
    "SELECT {column} FROM run WHERE job_id = k.a AND state = 'succeeded' AND evidence = 'native'"
    f" AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT {KEPT}"
)
_SAYS_OUTPUT = " OR ".join(f"""t.context LIKE '%"{unit}":%'""" for unit in _UNITS)
_COLUMNS = (
    "r.job_id, r.id, r.sort_us, r.period_us, r.first_started_us, r.started_us, r.ended_us, r.attempts, t.queued_us,"
    f" r.bd, CASE WHEN {_SAYS_OUTPUT} THEN t.context END"
)
_SQLITE = (
    f"SELECT {_COLUMNS} FROM {{keys}} CROSS JOIN run r ON r.id IN ({_PICKED.format(column='id')})"
    " LEFT JOIN attempt t ON t.id = r.attempt_id"
)
_POSTGRES = (
    f"SELECT {_COLUMNS} FROM {{keys}} CROSS JOIN LATERAL ({_PICKED.format(column='*')}) r"
    " LEFT JOIN attempt t ON t.id = r.attempt_id"
).replace("%", "%%")
_RED = ", ".join(f"'{state.value}'" for state in sorted(RED_STATES))
_FAILURES = (
    "SELECT r.job_id, count(*), min(COALESCE(r.ended_us, r.sort_us)) FROM {keys} JOIN run r ON r.job_id = k.a"
    f" AND r.state IN ({_RED}) AND r.sort_us > COALESCE((SELECT x.sort_us FROM run x WHERE x.job_id = k.a"
    " AND x.state = 'succeeded' ORDER BY x.sort_us DESC LIMIT 1), 0) GROUP BY r.job_id"
)
_DAY_US = 86_400_000_000
_OF_ITSELF = f"'{State.FAILED.value}', '{State.TIMED_OUT.value}'"
_FAILED = (
    "SELECT r.job_id, r.bd, r.sort_us, r.period_us, COALESCE(r.first_started_us, r.started_us), r.ended_us FROM {keys}"
    f" JOIN run r ON r.job_id = k.a AND r.sort_us >= k.b AND r.state IN ({_OF_ITSELF})"
    " AND r.ended_us >= r.started_us ORDER BY r.job_id, r.sort_us"
)


@dataclass(slots=True)
class Histories:
    """What is known of the past of each job, between two looks."""

    known: Layered[History] = field(default_factory=Layered)
    unread: dict[int, None] = field(default_factory=dict)
    """Jobs whose past is not known, or has changed since."""
    of_jobs: Mapping[int, JobFacts] | None = None
    """The jobs of which `unread` was made."""

    def clear(self) -> None:
        self.known, self.unread, self.of_jobs = Layered(), {}, None

    def follow(
        self, lines: Wire, is_sqlite: bool, jobs: Mapping[int, JobFacts], first: Set[int],
        members: Set[int], changed: Set[int],
    ) -> set[int]:  # fmt: skip
        """Reads what changed or is not known: all of `first`, and a bite of the others, those of `members` before the
        rest: services are forecast by them. The jobs that were read. Tasks have none."""
        if self.of_jobs is not jobs:
            new = [one.id for one in jobs.values() if one.parent_id is None and one.id not in self.known]
            self.unread |= dict.fromkeys(sorted(new, key=lambda job_id: job_id not in members))
            self.unread = {job_id: None for job_id in self.unread if job_id in jobs}
            self.of_jobs = jobs
        self.unread |= {job_id: None for job_id in changed if job_id in self.known and job_id in jobs}
        ask = sorted(self._due(first))
        if ask:
            self.known = self.known.changed(read(lines, is_sqlite, ask, _ahead(lines, jobs, ask)))
            for job_id in ask:
                self.unread.pop(job_id, None)
        return set(ask)

    def _due(self, first: Set[int]) -> set[int]:
        return {job_id for job_id in first if job_id in self.unread} | set(islice(self.unread, BITE))


def read(lines: Wire, is_sqlite: bool, job_ids: list[int], ahead: Mapping[int, timedelta]) -> dict[int, History]:
    """The past of each of these jobs. `ahead`: how far the clock of its target is ahead of ours."""
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in lines.by_keys(_SQLITE if is_sqlite else _POSTGRES, "i", job_ids):
        rows[row[0]].append(row)
    failures = {job_id: (count, since) for job_id, count, since in lines.by_keys(_FAILURES, "i", job_ids)}
    failed = _failed(lines, rows)
    found = {}
    for job_id in job_ids:
        skew = round(ahead.get(job_id, timedelta(0)).total_seconds())
        newest_first = sorted(rows[job_id], key=lambda row: (row[2], row[1]), reverse=True)
        count, since = failures.get(job_id, (0, None))
        nights = _chained(newest_first, failed[job_id])
        runs = [_past(row, before, skew) for row, before in nights.runs]
        found[job_id] = history_of(runs, count, _moved(since, skew), nights.unmended)
    return found


@dataclass(frozen=True, slots=True)
class _Failed:
    """One run that failed of itself."""

    sort_us: int
    period_us: int | None
    began_us: int
    ended_us: int


@dataclass(slots=True)
class _Nights:
    runs: list[tuple[Row, list[_Failed]]] = field(default_factory=list)
    """Each success, newest first, with what failed on its date before it, oldest first."""
    unmended: list[int] = field(default_factory=list)


def _failed(lines: Wire, rows: Mapping[int, list[Row]]) -> dict[int, dict[str, list[_Failed]]]:
    """By job and business date, since the day before its oldest success; of jobs whose runs belong to a night."""
    nightly = [
        (job_id, min(row[2] for row in of) - _DAY_US)
        for job_id, of in rows.items()
        if len(of) < MANY_A_DAY * len({row[9] for row in of})
    ]
    found: dict[int, dict[str, list[_Failed]]] = defaultdict(lambda: defaultdict(list))
    for job_id, bd, *failed in lines.by_keys(_FAILED, "ii", nightly):
        found[job_id][bd].append(_Failed(*failed))
    return found


def _chained(newest_first: list[Row], failed: dict[str, list[_Failed]]) -> _Nights:
    """What failed on a date was made good by its next success; that of tonight may still be."""
    nights = _Nights()
    left = {bd: list(of) for bd, of in failed.items()}
    for row in reversed(newest_first):
        of = left.get(row[9], [])
        before = [one for one in of if one.sort_us <= row[2]]
        left[row[9]] = of[len(before) :]
        nights.runs.insert(0, (row, before))
    done = {row[9] for row in newest_first}
    nights.unmended = sorted(alike.date_of(bd).toordinal() for bd in failed if bd not in done and bd > min(done))
    return nights


def _ahead(lines: Wire, jobs: Mapping[int, JobFacts], job_ids: Iterable[int]) -> dict[int, timedelta]:
    """Job -> skew of its target, where that goes wrong."""
    skews = clocks.skews(lines)
    return {job_id: skews[jobs[job_id].target_id] for job_id in job_ids if jobs[job_id].target_id in skews}


def _moved(at_us: int | None, skew: int) -> datetime | None:
    return None if at_us is None else instant(at_us) - timedelta(seconds=skew)


def _past(row: Row, failed: list[_Failed], skew: int) -> PastRun:
    _, run_id, sort_us, period_us, first_us, started_us, ended_us, attempts, queued_us, bd, context = row
    began = first_us if first_us is not None else started_us
    if failed:
        sort_us, period_us, began = failed[0].sort_us, failed[0].period_us, failed[0].began_us
    output, unit = _output(context)
    return PastRun(
        run_id=run_id,
        at=sort_us // 1_000_000,
        ended=ended_us // 1_000_000 - skew,
        takes=(ended_us - started_us) / 1_000_000,
        delay=UNKNOWN if period_us is None else max((began - period_us) / 1_000_000 - skew, 0.0),
        waited=UNKNOWN if queued_us is None else max(started_us - queued_us, 0) / 1_000_000,
        attempts=attempts,
        output=output,
        output_unit=unit,
        day=alike.date_of(bd).toordinal(),
        repair=max((started_us - failed[0].ended_us) / 1_000_000, 0.0) if failed else UNKNOWN,
    )


def _output(context: str | None) -> tuple[float, str]:
    """How much it wrote and in which unit, where its source brought that."""
    told: Any = json.loads(context) if context else {}
    for unit in _UNITS:
        number = told.get(unit) if isinstance(told, dict) else None
        if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= sys.float_info.max:
            return float(number), unit
    return UNKNOWN, ""
