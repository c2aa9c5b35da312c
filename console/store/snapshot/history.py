"""The past of each job as thresholds need it, and the last good run before a failure.

Reads only where runs changed, and in batches: six million successes of a hundred thousand jobs cannot be read before
the first evaluation. Each read takes the jobs with open findings, and a batch of the others, until all are read.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from typing import Any

from connectors.sdk.states import RED_STATES, RunState
from console.domain.estate import JobFacts
from console.domain.history import MANY_A_DAY, UNKNOWN, LastGoodRun, RunHistory, SuccessfulRun, build_history
from console.domain.ids import instant, optional_instant
from console.store.db.database import Database
from console.store.db.session import Row, Session
from console.store.names import decode_name
from console.store.snapshot import clock_skew, interning
from console.store.snapshot.interning import LayeredMap
from console.text.cleaning import clean_line

MAX_KEPT = 60
"""Latest successes of a job."""
READ_BATCH = 2_000
"""Jobs whose past is read in one look, besides those that matter most."""
_UNITS = ("rows", "bytes")
# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
_SELECT_SUCCESSES = (
    "SELECT {column} FROM run WHERE job_id = k.a AND state = 'succeeded' AND evidence = 'native'"
    f" AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT {MAX_KEPT}"
)
_SAYS_OUTPUT = " OR ".join(f"""t.context LIKE '%"{unit}":%'""" for unit in _UNITS)
_COLUMNS = (
    "r.job_id, r.id, r.sort_us, r.period_us, r.first_started_us, r.started_us, r.ended_us, r.attempts, t.queued_us,"
    f" r.bd, CASE WHEN {_SAYS_OUTPUT} THEN t.context END"
)
_SQLITE = (
    f"SELECT {_COLUMNS} FROM {{keys}} CROSS JOIN run r ON r.id IN ({_SELECT_SUCCESSES.format(column='id')})"
    " LEFT JOIN attempt t ON t.id = r.attempt_id"
)
_POSTGRES = (
    f"SELECT {_COLUMNS} FROM {{keys}} CROSS JOIN LATERAL ({_SELECT_SUCCESSES.format(column='*')}) r"
    " LEFT JOIN attempt t ON t.id = r.attempt_id"
)
_RED = ", ".join(f"'{state.value}'" for state in sorted(RED_STATES))
_FAILURES = (
    "SELECT r.job_id, count(*), min(COALESCE(r.ended_us, r.sort_us)) FROM {keys} JOIN run r ON r.job_id = k.a"
    f" AND r.state IN ({_RED}) AND r.sort_us > COALESCE((SELECT x.sort_us FROM run x WHERE x.job_id = k.a"
    " AND x.state = 'succeeded' ORDER BY x.sort_us DESC LIMIT 1), 0) GROUP BY r.job_id"
)
_DAY_US = 86_400_000_000
_OWN_FAILURES = f"'{RunState.FAILED.value}', '{RunState.TIMED_OUT.value}'"
_FAILED = (
    "SELECT r.job_id, r.bd, r.sort_us, r.period_us, COALESCE(r.first_started_us, r.started_us), r.ended_us FROM {keys}"
    f" JOIN run r ON r.job_id = k.a AND r.sort_us >= k.b AND r.state IN ({_OWN_FAILURES})"
    " AND r.ended_us >= r.started_us ORDER BY r.job_id, r.sort_us"
)


@dataclass(slots=True)
class HistoryCache:
    """What is known of the past of each job, between two looks."""

    known: LayeredMap[RunHistory] = field(default_factory=LayeredMap)
    unread: dict[int, None] = field(default_factory=dict)
    """Jobs whose past is not known, or has changed since."""
    of_jobs: Mapping[int, JobFacts] | None = None
    """The jobs of which `unread` was made."""

    def clear(self) -> None:
        self.known, self.unread, self.of_jobs = LayeredMap(), {}, None

    def follow(
        self, session: Session, is_sqlite: bool, jobs: Mapping[int, JobFacts], first: Set[int],
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
            self.known = self.known.changed(read_histories(session, is_sqlite, ask, _ahead(session, jobs, ask)))
            for job_id in ask:
                self.unread.pop(job_id, None)
        return set(ask)

    def _due(self, first: Set[int]) -> set[int]:
        return {job_id for job_id in first if job_id in self.unread} | set(islice(self.unread, READ_BATCH))


def read_histories(
    session: Session, is_sqlite: bool, job_ids: list[int], ahead: Mapping[int, timedelta]
) -> dict[int, RunHistory]:
    """The past of each of these jobs. `ahead`: how far the clock of its target is ahead of ours."""
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in session.by_keys(_SQLITE if is_sqlite else _POSTGRES, job_ids):
        rows[row.job_id].append(row)
    failures = {job_id: (count, since) for job_id, count, since in session.by_keys(_FAILURES, job_ids)}
    failed = _failed(session, rows)
    found = {}
    for job_id in job_ids:
        skew = round(ahead.get(job_id, timedelta(0)).total_seconds())
        newest_first = sorted(rows[job_id], key=attrgetter("sort_us", "id"), reverse=True)
        count, since = failures.get(job_id, (0, None))
        nights = _unrepaired(newest_first, failed[job_id])
        runs = [_job_history(row, before, skew) for row, before in nights.runs]
        found[job_id] = build_history(runs, count, _moved(since, skew), nights.unmended)
    return found


@dataclass(frozen=True, slots=True)
class _Failed:
    """One run that failed of itself."""

    sort_us: int
    period_us: int | None
    began_us: int
    ended_us: int


@dataclass(slots=True)
class _FailedNights:
    runs: list[tuple[Row, list[_Failed]]] = field(default_factory=list)
    """Each success, newest first, with what failed on its date before it, oldest first."""
    unmended: list[int] = field(default_factory=list)


def _failed(session: Session, rows: Mapping[int, list[Row]]) -> dict[int, dict[str, list[_Failed]]]:
    nightly = [
        (job_id, min(row.sort_us for row in of) - _DAY_US)
        for job_id, of in rows.items()
        if len(of) < MANY_A_DAY * len({row.bd for row in of})
    ]
    found: dict[int, dict[str, list[_Failed]]] = defaultdict(lambda: defaultdict(list))
    for job_id, business_date, *failed in session.by_keys(_FAILED, nightly):
        found[job_id][business_date].append(_Failed(*failed))
    return found


def _unrepaired(newest_first: list[Row], failed: dict[str, list[_Failed]]) -> _FailedNights:
    nights = _FailedNights()
    left = {business_date: list(of) for business_date, of in failed.items()}
    for row in reversed(newest_first):
        of = left.get(row.bd, [])
        before = [one for one in of if one.sort_us <= row.sort_us]
        left[row.bd] = of[len(before) :]
        nights.runs.insert(0, (row, before))
    done = {row.bd for row in newest_first}
    nights.unmended = sorted(
        interning.date_of(business_date).toordinal()
        for business_date in failed
        if business_date not in done and business_date > min(done)
    )
    return nights


def _ahead(session: Session, jobs: Mapping[int, JobFacts], job_ids: Iterable[int]) -> dict[int, timedelta]:
    skews = clock_skew.target_skews(session)
    return {job_id: skews[jobs[job_id].target_id] for job_id in job_ids if jobs[job_id].target_id in skews}


def _moved(at_us: int | None, skew: int) -> datetime | None:
    return None if at_us is None else instant(at_us) - timedelta(seconds=skew)


def _job_history(row: Row, failed: list[_Failed], skew: int) -> SuccessfulRun:
    _, run_id, sort_us, period_us, first_us, started_us, ended_us, attempts, queued_us, business_date, context = row
    began = first_us if first_us is not None else started_us
    if failed:
        sort_us, period_us, began = failed[0].sort_us, failed[0].period_us, failed[0].began_us
    output, unit = _output(context)
    return SuccessfulRun(
        run_id=run_id,
        at=sort_us // 1_000_000,
        ended=ended_us // 1_000_000 - skew,
        takes=(ended_us - started_us) / 1_000_000,
        delay=UNKNOWN if period_us is None else max((began - period_us) / 1_000_000 - skew, 0.0),
        waited=UNKNOWN if queued_us is None else max(started_us - queued_us, 0) / 1_000_000,
        attempts=attempts,
        output=output,
        output_unit=unit,
        day=interning.date_of(business_date).toordinal(),
        repair=max((started_us - failed[0].ended_us) / 1_000_000, 0.0) if failed else UNKNOWN,
    )


def _output(context: str | None) -> tuple[float, str]:
    told: Any = json.loads(context) if context else {}
    for unit in _UNITS:
        number = told.get(unit) if isinstance(told, dict) else None
        if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= sys.float_info.max:
            return float(number), unit
    return UNKNOWN, ""


MAX_SEARCHED = 500
"""Runs of a job before the red one among which a good one is looked for: one that runs each minute has many."""
MAX_PAST_DURATIONS = 30
MAX_DRIFTS = 5
_SELF = (
    "SELECT r.job_id, r.sort_us, a.context, t.booted_us, s.name, t.name FROM run r JOIN job j ON j.id = r.job_id"
    " JOIN target t ON t.id = j.target_id JOIN system s ON s.id = t.system_id"
    " LEFT JOIN attempt a ON a.id = r.attempt_id WHERE r.id = ?"
)
_GOOD = (
    "SELECT g.started_us, g.ended_us, a.context, g.id FROM (SELECT * FROM run r WHERE r.job_id = ? AND r.sort_us < ?"
    " ORDER BY r.sort_us DESC LIMIT ?) g LEFT JOIN attempt a ON a.id = g.attempt_id"
    " WHERE g.state = 'succeeded' AND g.ended_us IS NOT NULL ORDER BY g.sort_us DESC LIMIT ?"
)
_STAMP = (
    "SELECT r.id, r.changed_seq, j.changed_seq, t.booted_us FROM {keys} JOIN run r ON r.id = k.a"
    " JOIN job j ON j.id = r.job_id JOIN target t ON t.id = j.target_id"
)
PastVersion = tuple[int | None, ...]


def last_good_of_runs(store: Database, run_ids: Iterable[int]) -> dict[int, LastGoodRun]:
    """Run id -> its past, of these red runs."""
    with store.read() as session:
        found = {run_id: _last_good_run(session, run_id) for run_id in dict.fromkeys(run_ids)}
    return {run_id: past for run_id, past in found.items() if past is not None}


def past_versions(store: Database, run_ids: Iterable[int]) -> dict[int, PastVersion]:
    """Run id -> what is another as soon as its past may be: how often the run and its job were changed, and when its
    host started."""
    with store.read() as session:
        rows = list(session.by_keys(_STAMP, sorted(set(run_ids))))
    return {run_id: tuple(stamp) for run_id, *stamp in rows}


def last_good(store: Database, run_id: int) -> tuple[int, int] | None:
    """(id, end in µs) of the last good run of its job before this one; None where none is known."""
    with store.read() as session:
        row = session.first("SELECT job_id, sort_us FROM run WHERE id = ?", (run_id,))
        good = session.rows(_GOOD, (row.job_id, row.sort_us, MAX_SEARCHED, 1)) if row is not None else []
    return (int(good[0].id), int(good[0].ended_us)) if good else None


def _last_good_run(session: Session, run_id: int) -> LastGoodRun | None:
    row = session.first(_SELF, (run_id,))
    if row is None:
        return None
    job_id, sort_us, context, booted, system, target = row
    good = session.rows(_GOOD, (job_id, sort_us, MAX_SEARCHED, MAX_PAST_DURATIONS))
    if not good:
        return LastGoodRun(None, _context(context))
    started, ended, good_context, _ = good[0]
    since = started if started is not None else ended
    return LastGoodRun(
        good_at=instant(ended),
        context=_context(context),
        good_context=_context(good_context),
        drift=tuple(
            (instant(at), what, words)
            for at, what, words in session.rows(
                "SELECT seen_us, what, words FROM drift WHERE job_id = ? AND seen_us >= ? ORDER BY id DESC LIMIT ?",
                (job_id, since, MAX_DRIFTS),
            )
        ),
        accepted=tuple(
            (instant(at), by, expression)
            for at, by, expression in session.rows(
                "SELECT accepted_us, accepted_by, expression FROM schedule WHERE job_id = ? AND accepted_us >= ?"
                " AND accepted_by <> 'first sight' ORDER BY id DESC LIMIT ?",
                (job_id, since, MAX_DRIFTS),
            )
        ),
        booted_at=optional_instant(booted),
        target=clean_line(f"{system}/{decode_name(target)}"),
        durations=tuple((end - begin) / 1_000_000 for begin, end, *_ in good if begin is not None and end >= begin),
    )


def _context(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
