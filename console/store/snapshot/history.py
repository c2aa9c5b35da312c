"""The past of each job for thresholds, and the last good run before a failure.

Read only for changed runs, and in batches: six million successes of a hundred thousand jobs cannot be read before
the first evaluation. Each read takes the jobs with open findings and a batch of the others, until all are read.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import accumulate, islice
from operator import attrgetter
from typing import Any

from connectors.sdk.states import RED_STATES, RunState
from console.domain.estate import JobFacts
from console.domain.history import (
    MANY_A_DAY,
    NO_HISTORY,
    UNKNOWN,
    LastGoodRun,
    RunHistory,
    SuccessfulRun,
    build_history,
)
from console.domain.ids import instant, optional_instant
from console.store.db.database import Database
from console.store.db.session import Row, Session
from console.store.names import decode_name
from console.store.row_values import parse_object
from console.store.snapshot import clock_skew, interning
from console.store.snapshot.interning import LayeredMap
from console.text.cleaning import clean_line

MAX_SUCCESSES = 60
"""Latest successes of a job."""
READ_BATCH = 2_000
"""Jobs read per refresh, besides those with open findings."""
READ_JOBS = 500
"""Jobs of one query."""
_UNITS = ("rows", "bytes")
# ruff: noqa: S608  (only our own names; every value is bound)
_SELECT_SUCCESSES = (
    "SELECT {column} FROM run WHERE job_id = k.a AND state = 'succeeded' AND evidence = 'native'"
    f" AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT {MAX_SUCCESSES}"
)
_SAYS_OUTPUT = " OR ".join(f"""t.context LIKE '%"{unit}":%'""" for unit in _UNITS)
_COLUMNS = (
    "r.job_id, r.id, r.sort_us, r.period_us, r.first_started_us, r.started_us, r.ended_us, r.attempts, t.queued_us,"
    f" t.action_key, r.business_date, CASE WHEN {_SAYS_OUTPUT} THEN t.context END AS context"
)
_SQLITE = (
    f"SELECT {_COLUMNS} FROM {{keys}} CROSS JOIN run r ON r.id IN ({_SELECT_SUCCESSES.format(column='id')})"
    " LEFT JOIN attempt t ON t.id = r.attempt_id"
)
_POSTGRES = (
    f"SELECT {_COLUMNS} FROM {{keys}} CROSS JOIN LATERAL ({_SELECT_SUCCESSES.format(column='*')}) r"
    " LEFT JOIN attempt t ON t.id = r.attempt_id"
)
_RED = ", ".join(f"'{state.value}'" for state in sorted(RED_STATES - {RunState.MISSED}))
_FAILURES = (
    "SELECT r.job_id, count(*) AS total, min(COALESCE(r.ended_us, r.sort_us)) AS since_us FROM {keys} JOIN run r ON"
    f" r.job_id = k.a AND r.state IN ({_RED}) AND r.sort_us > COALESCE((SELECT x.sort_us FROM run x WHERE x.job_id ="
    " k.a AND x.state = 'succeeded' ORDER BY x.sort_us DESC LIMIT 1), 0) GROUP BY r.job_id"
)
MONTH_ENDS = 12
NIGHTS_BEFORE = timedelta(days=14)
"""A month end is compared with these."""
MIN_SECONDS = 1.0
"""Shorter durations are not compared."""
_MONTH_ENDS = (
    "SELECT k.a AS job_id, (SELECT e.p50_s FROM job_day e WHERE e.job_id = k.a AND e.business_date = k.b) AS p50_s,"
    " (SELECT AVG(d.p50_s) FROM job_day d WHERE d.job_id = k.a AND d.business_date >= k.c AND d.business_date < k.b)"
    " AS usual_s FROM {keys} ORDER BY k.a, k.b DESC"
)
"""Without a join, for which PostgreSQL reads the whole table."""
_WITH_DAYS = "SELECT k.a AS job_id FROM {keys} WHERE EXISTS (SELECT 1 FROM job_day d WHERE d.job_id = k.a)"
_DAY = timedelta(days=1)
_DAY_US = 86_400_000_000
_OWN_FAILURES = f"'{RunState.FAILED.value}', '{RunState.TIMED_OUT.value}'"
_FAILED = (
    "SELECT r.job_id, r.business_date, r.sort_us, r.period_us, COALESCE(r.first_started_us, r.started_us) AS began_us,"
    f" r.ended_us FROM {{keys}} JOIN run r ON r.job_id = k.a AND r.sort_us >= k.b AND r.state IN ({_OWN_FAILURES}) AND"
    " r.ended_us >= r.started_us ORDER BY r.job_id, r.sort_us"
)


@dataclass(slots=True)
class HistoryCache:
    known: LayeredMap[RunHistory] = field(default_factory=LayeredMap)
    unread: dict[int, None] = field(default_factory=dict)
    """Jobs whose history is unknown or outdated."""
    of_jobs: Mapping[int, JobFacts] | None = None
    """The jobs for which `unread` was made."""

    def clear(self) -> None:
        self.known, self.unread, self.of_jobs = LayeredMap(), {}, None

    def refresh(
        self, session: Session, is_sqlite: bool, jobs: Mapping[int, JobFacts], first: Set[int],
        members: Set[int], changed: Set[int],
    ) -> set[int]:  # fmt: skip
        """Reads outdated histories: all of `first`, and a batch of the others, `members` first, because services are
        forecast by them. The jobs that were read. Tasks have no history."""
        if self.of_jobs is not jobs:
            new = [job.id for job in jobs.values() if job.parent_id is None and job.id not in self.known]
            self.unread |= dict.fromkeys(sorted(new, key=lambda job_id: job_id not in members))
            self.unread = {job_id: None for job_id in self.unread if job_id in jobs}
            self.of_jobs = jobs
        self.unread |= {job_id: None for job_id in changed if job_id in self.known and job_id in jobs}
        job_ids = sorted((first & self.unread.keys()) | set(islice(self.unread, READ_BATCH)))
        if job_ids:
            skews = clock_skew.target_skews(session, {jobs[job_id].target_id for job_id in job_ids})
            ahead = {job_id: skews[jobs[job_id].target_id] for job_id in job_ids if jobs[job_id].target_id in skews}
            histories: dict[int, RunHistory] = {}
            for at in range(0, len(job_ids), READ_JOBS):  # rows are larger than columns
                read = read_histories(session, is_sqlite, job_ids[at : at + READ_JOBS], ahead)
                histories.update(self._with_month_ends(session, read))
            self.known = self.known.changed(histories)
            for job_id in job_ids:
                self.unread.pop(job_id, None)
        return set(job_ids)

    def _with_month_ends(self, session: Session, read: Mapping[int, RunHistory]) -> Iterator[tuple[int, RunHistory]]:
        """The histories with the month ends before them, which are read once a month for each job."""
        before = {job_id: self.known.get(job_id, NO_HISTORY) for job_id in read}
        outdated = {
            job_id: end
            for job_id, history in read.items()
            if (end := month_end_before(history)) != month_end_before(before[job_id])
        }
        new = _read_month_ends(session, outdated)
        for job_id, history in read.items():
            month_ends = new.get(job_id) if job_id in outdated else before[job_id].month_ends
            yield job_id, replace(history, month_ends=month_ends) if month_ends else history


def month_end_before(history: RunHistory) -> date | None:
    """The last month end before the oldest run; None for a job that does not run once a night, or has a run of before
    1970."""
    oldest = date.fromordinal(min(history.days)) if history.is_nightly else date.min
    return oldest.replace(day=1) - _DAY if oldest.year >= 1970 else None


def _read_month_ends(session: Session, newest: Mapping[int, date | None]) -> dict[int, array[float]]:
    """`RunHistory.month_ends` by job, up to its newest one."""
    nightly = [job_id for job_id, last in newest.items() if last is not None]
    with_days = {row.job_id for row in session.by_keys(_WITH_DAYS, nightly)}
    keys = [
        (job_id, end.isoformat(), (end - NIGHTS_BEFORE).isoformat())
        for job_id, last in newest.items()
        if last is not None and job_id in with_days
        for end in accumulate(range(1, MONTH_ENDS), lambda end, _: end.replace(day=1) - _DAY, initial=last)
    ]
    ratios: dict[int, array[float]] = defaultdict(lambda: array("d"))
    for row in session.by_keys(_MONTH_ENDS, keys):
        if min(row.p50_s or 0.0, row.usual_s or 0.0) >= MIN_SECONDS:
            ratios[row.job_id].append(row.p50_s / row.usual_s)
    return ratios


def read_histories(
    session: Session, is_sqlite: bool, job_ids: list[int], ahead: Mapping[int, timedelta]
) -> dict[int, RunHistory]:
    """The history of each of these jobs. `ahead`: how far the clock of its target is ahead of ours."""
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in session.by_keys(_SQLITE if is_sqlite else _POSTGRES, job_ids):
        rows[row.job_id].append(row)
    failures = {row.job_id: row for row in session.by_keys(_FAILURES, job_ids)}
    failed = _failed(session, rows)
    histories = {}
    for job_id in job_ids:
        skew = round(ahead.get(job_id, timedelta(0)).total_seconds())
        newest_first = sorted(rows[job_id], key=attrgetter("sort_us", "id"), reverse=True)
        runs, unrepaired = _repairs(newest_first, failed[job_id])
        count, since = 0, None
        if (failure := failures.get(job_id)) is not None:
            count, since = failure.total, instant(failure.since_us) - timedelta(seconds=skew)
        successes = [_successful_run(row, before, skew) for row, before in runs]
        histories[job_id] = build_history(successes, count, since, unrepaired)
    return histories


def _failed(session: Session, rows: Mapping[int, list[Row]]) -> dict[int, dict[str, list[Row]]]:
    """Own failures by job and business date, since the day before its oldest success, of jobs that run nightly."""
    nightly = [
        (job_id, min(row.sort_us for row in of_job) - _DAY_US)
        for job_id, of_job in rows.items()
        if len(of_job) < MANY_A_DAY * len({row.business_date for row in of_job})
    ]
    failed: dict[int, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in session.by_keys(_FAILED, nightly):
        failed[row.job_id][row.business_date].append(row)
    return failed


def _repairs(newest_first: list[Row], failed: dict[str, list[Row]]) -> tuple[list[tuple[Row, list[Row]]], list[int]]:
    """Each success, newest first, with the failures of its date before it, oldest first; and the days of failures
    without a success."""
    runs = []
    remaining = dict(failed)
    for row in reversed(newest_first):
        of_date = remaining.get(row.business_date, [])
        before = [failure for failure in of_date if failure.sort_us <= row.sort_us]
        remaining[row.business_date] = of_date[len(before) :]
        runs.append((row, before))
    repaired = {row.business_date for row in newest_first}
    unrepaired = [
        business_date for business_date in failed if business_date not in repaired and business_date > min(repaired)
    ]
    return runs[::-1], sorted(interning.date_of(business_date).toordinal() for business_date in unrepaired)


def _successful_run(row: Row, failed: list[Row], skew: int) -> SuccessfulRun:
    began = row.first_started_us if row.first_started_us is not None else row.started_us
    sort_us, period_us = row.sort_us, row.period_us
    if failed:
        sort_us, period_us, began = failed[0].sort_us, failed[0].period_us, failed[0].began_us
    by_action = row.action_key is not None and row.attempts == 1 and not failed
    output, unit = _output(row.context)
    return SuccessfulRun(
        run_id=row.id,
        at=sort_us // 1_000_000,
        ended=row.ended_us // 1_000_000 - skew,
        takes=(row.ended_us - row.started_us) / 1_000_000,
        delay=UNKNOWN if period_us is None or by_action else max((began - period_us) / 1_000_000 - skew, 0.0),
        waited=UNKNOWN if row.queued_us is None else max(row.started_us - row.queued_us, 0) / 1_000_000,
        attempts=row.attempts,
        output=output,
        output_unit=unit,
        day=interning.date_of(row.business_date).toordinal(),
        repair=max((row.started_us - failed[0].ended_us) / 1_000_000, 0.0) if failed else UNKNOWN,
    )


def _output(context: str | None) -> tuple[float, str]:
    values: Any = json.loads(context) if context else {}
    for unit in _UNITS:
        number = values.get(unit) if isinstance(values, dict) else None
        if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= sys.float_info.max:
            return float(number), unit
    return UNKNOWN, ""


MAX_SEARCHED = 500
"""Runs before the failed one searched for a good one: a job that runs each minute has many."""
MAX_PAST_DURATIONS = 30
MAX_DRIFTS = 5
_SELF = (
    "SELECT r.job_id, r.sort_us, a.context, t.booted_us, s.name AS system, t.name AS target FROM run r JOIN job j ON"
    " j.id = r.job_id JOIN target t ON t.id = j.target_id JOIN system s ON s.id = t.system_id LEFT JOIN attempt a ON"
    " a.id = r.attempt_id WHERE r.id = ?"
)
_GOOD = (
    "SELECT g.started_us, g.ended_us, a.context, g.id FROM (SELECT * FROM run r WHERE r.job_id = ? AND r.sort_us < ?"
    " ORDER BY r.sort_us DESC LIMIT ?) g LEFT JOIN attempt a ON a.id = g.attempt_id"
    " WHERE g.state = 'succeeded' AND g.ended_us IS NOT NULL ORDER BY g.sort_us DESC LIMIT ?"
)
_GOOD_ATTEMPT = (
    "SELECT t.started_us, t.ended_us, t.context, t.run_id AS id FROM attempt t JOIN run r ON r.id = t.run_id WHERE r.id"
    " = ? AND t.id <> r.attempt_id AND t.state = 'succeeded' AND t.ended_us IS NOT NULL ORDER BY t.number DESC LIMIT 1"
)
"""The last success of the run itself, before it failed again."""
_STAMP = (
    "SELECT r.id, r.changed_seq, j.changed_seq, t.booted_us FROM {keys} JOIN run r ON r.id = k.a"
    " JOIN job j ON j.id = r.job_id JOIN target t ON t.id = j.target_id"
)
PastVersion = Row


def last_good_of_runs(store: Database, run_ids: Iterable[int]) -> dict[int, LastGoodRun]:
    """Failed run -> the last good run before it, or its own last success."""
    with store.read() as session:
        runs = {run_id: _last_good_run(session, run_id) for run_id in dict.fromkeys(run_ids)}
    return {run_id: run for run_id, run in runs.items() if run is not None}


def past_versions(store: Database, run_ids: Iterable[int]) -> dict[int, PastVersion]:
    """Run id -> versions of the run and its job, and boot time of its host: its last good run is the same until one of
    these changes."""
    with store.read() as session:
        rows = session.by_keys(_STAMP, sorted(set(run_ids)))
    return {row.id: row for row in rows}


def last_good(store: Database, run_id: int) -> tuple[int, int] | None:
    """(id, end in µs) of the last good run of its job before this one; None without one."""
    with store.read() as session:
        row = session.first("SELECT job_id, sort_us FROM run WHERE id = ?", (run_id,))
        good = session.rows(_GOOD, (row.job_id, row.sort_us, MAX_SEARCHED, 1)) if row is not None else []
    return (int(good[0].id), int(good[0].ended_us)) if good else None


def _last_good_run(session: Session, run_id: int) -> LastGoodRun | None:
    run = session.first(_SELF, (run_id,))
    if run is None:
        return None
    earlier = session.rows(_GOOD, (run.job_id, run.sort_us, MAX_SEARCHED, MAX_PAST_DURATIONS))
    good = [*session.rows(_GOOD_ATTEMPT, (run_id,)), *earlier]
    if not good:
        return LastGoodRun(None, parse_object(run.context or "{}"))
    last = good[0]
    since = last.started_us if last.started_us is not None else last.ended_us
    drift = session.rows(
        "SELECT seen_us, what, text FROM drift WHERE job_id = ? AND seen_us >= ? ORDER BY id DESC LIMIT ?",
        (run.job_id, since, MAX_DRIFTS),
    )
    accepted = session.rows(
        "SELECT accepted_us, accepted_by, expression FROM schedule WHERE job_id = ? AND accepted_us >= ?"
        " AND accepted_by <> 'first sight' ORDER BY id DESC LIMIT ?",
        (run.job_id, since, MAX_DRIFTS),
    )
    return LastGoodRun(
        good_at=instant(last.ended_us),
        context=parse_object(run.context or "{}"),
        good_context=parse_object(last.context or "{}"),
        drift=tuple((instant(row.seen_us), row.what, row.text) for row in drift),
        accepted=tuple((instant(row.accepted_us), row.accepted_by, row.expression) for row in accepted),
        booted_at=optional_instant(run.booted_us),
        target=clean_line(f"{run.system}/{decode_name(run.target)}"),
        durations=tuple(
            (row.ended_us - row.started_us) / 1_000_000
            for row in good
            if row.started_us is not None and row.ended_us >= row.started_us
        ),
    )


def direct_upstreams(session: Session, job_ids: Sequence[int]) -> list[Row]:
    """`downstream_id` and `upstream_id` of each dependency of these jobs; a task upstream counts as its DAG."""
    return session.by_keys(
        "SELECT d.downstream_id, COALESCE(u.parent_id, u.id) AS upstream_id FROM {keys} JOIN dependency d"
        " ON d.downstream_id = k.a JOIN job u ON u.id = d.upstream_id",
        job_ids,
    )
