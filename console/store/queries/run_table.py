"""The table of all runs: ids in order, rows by id, hourly counts, and a job's cadence. Never OFFSET."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from connectors.sdk.states import RunState
from console.domain.filter import JobFilter
from console.domain.ids import instant, micros
from console.domain.run import ATTENTION_RANKS, PROBLEM_RANK, HourlyRunCount, RunRow
from console.store.names import encode_name
from console.store.queries.base import ContextQueries, ReadStore
from console.store.queries.jobs import FEW_JOBS, FIRST_PAGE, OPEN_STATES_SQL, JobQueries
from console.store.queries.runs import SELECT_RUN, run_row

MAX_STARTS = 60
"""Latest successes that are read, as in decisions."""

# ruff: noqa: S608  (only our own names; every value is bound)
HOUR_US = 3_600_000_000
MAX_IDS = 256
"""Jobs whose runs are read together."""
PROBLEM_STATES_SQL = ", ".join(f"'{state}'" for state, rank in ATTENTION_RANKS.items() if rank <= PROBLEM_RANK)
FAILED_STATES_SQL = ", ".join(f"'{state}'" for state, rank in ATTENTION_RANKS.items() if rank == 0)
_BY_ID = SELECT_RUN.replace("FROM run r", "FROM {keys} JOIN run r ON r.id = k.a")


class RunTableQueries(ContextQueries):
    def __init__(self, store: ReadStore, jobs: JobQueries) -> None:
        super().__init__(store)
        self.jobs = jobs

    def unscheduled_starts(self, job_id: int) -> tuple[str, tuple[int, ...]] | None:
        """Zone of its system, and its latest starts (period's instant, else first start; seconds since 1970), newest
        first. None for tasks and for jobs with a known schedule."""
        system = self.link.first(
            "SELECT s.zone FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ? AND j.parent_id IS NULL"
            " AND COALESCE((SELECT c.dialect FROM schedule c WHERE c.job_id = j.id AND c.accepted_us IS NOT NULL"
            " ORDER BY c.id DESC LIMIT 1), 'none') = 'none'",
            (job_id,),
        )
        if system is None:
            return None
        starts = self.link.rows(
            "SELECT COALESCE(period_us, first_started_us) AS us FROM run WHERE job_id = ? AND state = 'succeeded'"
            " AND first_started_us IS NOT NULL ORDER BY sort_us DESC LIMIT ?",
            (job_id, MAX_STARTS),
        )
        return str(system.zone), tuple(int(start.us) // 1_000_000 for start in starts)

    def run_ids(self, job_filter: JobFilter, sort: str = "age") -> array[int]:
        """Ids of all matching runs that were due, in order: "age" (newest period first), "name" (of the job, each
        newest first); reversed with "-" before it. Planned runs only if the filter asks for that state."""
        return array("q", self._run_ids(job_filter, sort))

    def runs_read_after(self, last_id: int) -> tuple[int, dict[str, int]]:
        """The newest run's id, and the number of unplanned runs per system after `last_id`: progress of a read-back
        without counting a run twice."""
        newest = self.link.rows("SELECT COALESCE(MAX(id), 0) AS id FROM run")[0].id
        sql = (
            "SELECT s.name, COUNT(*) FROM run r JOIN job j ON j.id = r.job_id JOIN system s ON s.id = j.system_id"
            " WHERE r.id > ? AND r.id <= ? AND r.state <> 'planned' GROUP BY s.name"
        )
        return newest, dict(self.link.rows(sql, (last_id, newest)))

    def runs_first_page(self, job_filter: JobFilter, sort: str = "age", limit: int = FIRST_PAGE) -> list[RunRow]:
        """The first rows of that order, at once."""
        return self.runs_by_ids(list(islice(self._run_ids(job_filter, sort, limit), limit)))

    def runs_before(self, job_filter: JobFilter, run_id: int | None, limit: int) -> list[RunRow]:
        """The rows that follow this run, newest period first; the first ones for None."""
        after = "" if run_id is None else "(r.sort_us, r.id) < (SELECT x.sort_us, x.id FROM run x WHERE x.id = ?)"
        runs, values = self._source(job_filter, after, [] if run_id is None else [run_id])
        rows = runs(f"SELECT r.id FROM {{runs}} ORDER BY r.sort_us DESC, r.id DESC LIMIT {limit}", values)
        return self.runs_by_ids([row.id for row in rows])

    def runs_by_ids(self, ids: Sequence[int]) -> list[RunRow]:
        """In the order of the ids; unknown ones are left out."""
        stale = self.store.stale_targets()
        rows = {row.id: row for row in self.link.by_keys(_BY_ID, list(ids))}
        return [run_row(rows[run_id], stale) for run_id in ids if run_id in rows]

    def run_hours(self, job_filter: JobFilter, hours: int) -> list[HourlyRunCount]:
        """Number of matching runs due in each of the last hours, oldest first, without empty hours."""
        first = micros(self.store.now()) // HOUR_US - hours + 1
        red = f"SUM(CASE WHEN r.state IN ({FAILED_STATES_SQL}) THEN 1 ELSE 0 END)"
        sql = "SELECT r.sort_us / {hour} AS hour, COUNT(*) AS runs, {red} AS failed FROM {runs} GROUP BY 1 ORDER BY 1"
        runs, values = self._source(job_filter, "r.sort_us >= ?", [first * HOUR_US])
        rows = runs(sql.format(hour=HOUR_US, red=red, runs="{runs}"), values)
        return [HourlyRunCount(instant(row.hour * HOUR_US), row.runs, int(row.failed)) for row in rows]

    def _run_ids(self, job_filter: JobFilter, sort: str, limit: int | None = None) -> Iterator[int]:
        is_back = sort.startswith("-")
        if sort.removeprefix("-") == "name":
            return self._by_name(job_filter, is_back)
        direction = "ASC" if is_back else "DESC"
        runs, values = self._source(job_filter)
        page = "" if limit is None else f" LIMIT {limit}"
        rows = runs(f"SELECT r.id FROM {{runs}} ORDER BY r.sort_us {direction}, r.id {direction}{page}", values)
        return (row.id for row in rows)

    def _by_name(self, job_filter: JobFilter, is_back: bool) -> Iterator[int]:
        """Job by job, some at a time, each with its runs along their index: a page stops early without sorting all
        runs."""
        matching, direction = self.jobs.match_jobs(job_filter), "DESC" if is_back else "ASC"
        condition = f" WHERE {' AND '.join(matching.job_conditions[0])}" if matching.job_conditions[0] else ""
        rows = self.link.stream(
            f"SELECT j.id FROM job j{condition} ORDER BY j.name {direction}, j.id {direction}",
            matching.job_conditions[1],
        )
        jobs = (row.id for row in rows if matching.ids is None or row.id in matching.ids)
        where, values = self._of_runs_table(job_filter)
        sql = (
            "SELECT r.id, r.job_id FROM {keys} CROSS JOIN run r"
            f" WHERE {' AND '.join(['r.job_id = k.a', *where])} ORDER BY r.job_id, r.sort_us DESC"
        )
        while batch := list(islice(jobs, MAX_IDS)):
            runs: dict[int, list[int]] = defaultdict(list)
            for row in self.link.by_keys(sql, batch, values):
                runs[row.job_id].append(row.id)
            yield from (run_id for job_id in batch for run_id in runs[job_id])

    def _source(
        self, job_filter: JobFilter, extra_condition: str = "", extra_values: Sequence[Any] = ()
    ) -> tuple[Any, list[Any]]:
        """A function that runs a statement on the matching runs, and its values."""
        matching = self.jobs.match_jobs(job_filter)
        where, values = self._of_runs_table(job_filter)
        if extra_condition:
            where, values = [*where, extra_condition], [*values, *extra_values]
        if matching.ids is not None and len(matching.ids) <= FEW_JOBS:
            ids = list(matching.ids)
            runs = f"{{keys}} CROSS JOIN run r WHERE {' AND '.join(['r.job_id = k.a', *where])}"
            return lambda sql, values: self.link.by_keys(sql.format(runs=runs), ids, values), values
        conditions, bound = matching.job_conditions
        if conditions:  # the plus keeps the walk along the order of time
            where = [*where, f"+r.job_id IN (SELECT j.id FROM job j WHERE {' AND '.join(conditions)})"]
        if matching.ids is not None:
            where = [*where, f"+r.job_id IN ({', '.join(map(str, sorted(matching.ids)))})"]
        source = f"run r WHERE {' AND '.join(where)}"
        return lambda sql, values: self.link.stream(sql.format(runs=source), values), [*values, *bound]

    def _of_runs_table(self, job_filter: JobFilter) -> tuple[list[str], list[Any]]:
        where, values = self.jobs.run_conditions(job_filter)
        if RunState.PLANNED not in job_filter.states:
            where, values = ["r.sort_us <= ?", *where], [micros(self.store.now()), *values]
        stale = ", ".join(map(str, sorted(self.store.stale_targets())))
        state = "r.state"
        if stale:
            unseen = f"r.job_id IN (SELECT id FROM job WHERE target_id IN ({stale}))"
            state = f"CASE WHEN r.state IN ({OPEN_STATES_SQL}) AND {unseen} THEN 'unknown' ELSE r.state END"
        for states, sign in ((job_filter.states, "IN"), (job_filter.not_states, "NOT IN")):
            if states:
                where.append(f"{state} {sign} ({', '.join('?' for _ in states)})")
                values = [*values, *(encode_name(name.lower()) for name in states)]
        if job_filter.problems_only:
            where.append(f"({state} IN ({PROBLEM_STATES_SQL}) OR r.stale_read OR r.evidence = 'conflict')")
        return where, values
