"""The table of all runs: ids in order, rows by id, and how many there were hour by hour. Never OFFSET."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from connectors.words import State
from console.model.filters import JobFilter
from console.model.ids import instant, micros
from console.model.views import RunRow
from console.model.views.jobs import HourCount
from console.store.keys import pack
from console.store.ranks import ATTENTION, PROBLEM
from console.store.reads.jobs import JobReads
from console.store.reads.order import FEW, FIRST_PAGE, OPEN_WORDS, Meant
from console.store.reads.runs import RUN, run_row

# ruff: noqa: S608  (SQL is put together from our own words; every value is bound)
HOUR_US = 3_600_000_000
AT_ONCE = 256
"""Jobs whose runs are looked up together."""
PROBLEMS = ", ".join(f"'{state}'" for state, rank in ATTENTION.items() if rank <= PROBLEM)
RED = ", ".join(f"'{state}'" for state, rank in ATTENTION.items() if rank == 0)
_BY_ID = RUN.replace("FROM run r", "FROM {ids} JOIN run r ON r.id = k.a")


class RunTableReads(JobReads):
    def run_ids(self, wanted: JobFilter, sort: str = "age") -> array[int]:
        """Ids of all runs that match and were due, in order: "age" (newest period first), "name" (of the job, each
        newest first); with "-" before it the other way round. Planned ones only where the filter asks for that state.
        """
        return array("q", self._run_ids(wanted, sort))

    def runs_read_after(self, last_id: int) -> tuple[int, dict[str, int]]:
        """The newest run's id, and how many of each system came after `last_id`, planned ones left out: who counts a
        read-back as it goes on reads each run once."""
        [(newest,)] = self.link.rows("SELECT COALESCE(MAX(id), 0) FROM run")
        sql = (
            "SELECT s.name, COUNT(*) FROM run r JOIN job j ON j.id = r.job_id JOIN system s ON s.id = j.system_id"
            " WHERE r.id > ? AND r.id <= ? AND r.state <> 'planned' GROUP BY s.name"
        )
        return newest, dict(self.link.rows(sql, (last_id, newest)))

    def runs_first_page(self, wanted: JobFilter, sort: str = "age", limit: int = FIRST_PAGE) -> list[RunRow]:
        """The first rows of that order, at once."""
        return self.runs_by_ids(list(islice(self._run_ids(wanted, sort), limit)))

    def runs_by_ids(self, ids: Sequence[int]) -> list[RunRow]:
        """The lines of these runs, in the order of the ids; unknown ones are left out."""
        stale = self.stale_targets()
        rows = {row[0]: row for row in self.link.by_ids(_BY_ID, list(ids))}
        return [run_row(rows[run_id], stale) for run_id in ids if run_id in rows]

    def run_hours(self, wanted: JobFilter, hours: int) -> list[HourCount]:
        """How many of the runs that match were due in each of the last hours, oldest first; hours without any are left
        out."""
        first = micros(self.now()) // HOUR_US - hours + 1
        red = f"SUM(CASE WHEN r.state IN ({RED}) THEN 1 ELSE 0 END)"
        sql = "SELECT r.sort_us / {hour}, COUNT(*), {red} FROM {runs} GROUP BY 1 ORDER BY 1"
        runs, values = self._source(wanted, "r.sort_us >= ?", [first * HOUR_US])
        rows = runs(sql.format(hour=HOUR_US, red=red, runs="{runs}"), values)
        return [HourCount(instant(hour * HOUR_US), count, int(failed)) for hour, count, failed in rows]

    def _run_ids(self, wanted: JobFilter, sort: str) -> Iterator[int]:
        is_back = sort.startswith("-")
        if sort.removeprefix("-") == "name":
            return self._by_name(wanted, is_back)
        way = "ASC" if is_back else "DESC"
        runs, values = self._source(wanted)
        rows = runs(f"SELECT r.id FROM {{runs}} ORDER BY r.sort_us {way}, r.id {way}", values)
        return (row[0] for row in rows)

    def _by_name(self, wanted: JobFilter, is_back: bool) -> Iterator[int]:
        """The jobs in the order of their names, some at a time, each with its runs along their index: a page stops
        early, and no million runs are sorted."""
        meant, way = self.jobs_meant(wanted), "DESC" if is_back else "ASC"
        told = f" WHERE {' AND '.join(meant.told[0])}" if meant.told[0] else ""
        rows = self.link.each(f"SELECT j.id FROM job j{told} ORDER BY j.name {way}, j.id {way}", meant.told[1])
        jobs = (row[0] for row in rows if meant.ids is None or row[0] in meant.ids)
        where, values = self._of_runs_table(wanted)
        sql = (
            "SELECT r.id, r.job_id FROM {ids} CROSS JOIN run r"
            f" WHERE {' AND '.join(['r.job_id = k.a', *where])} ORDER BY r.job_id, r.sort_us DESC"
        )
        for some in _pieces(jobs):
            found: dict[int, list[int]] = defaultdict(list)
            for run_id, job_id in self.link.by_ids(sql, some, values):
                found[job_id].append(run_id)
            yield from (run_id for job_id in some for run_id in found[job_id])

    def _source(self, wanted: JobFilter, also: str = "", given: Sequence[Any] = ()) -> tuple[Any, list[Any]]:
        """What asks a statement of the runs that match, given it and its values. Few jobs are looked up one by one;
        what is said of many is a condition of each run."""
        meant = self.jobs_meant(wanted)
        where, values = self._of_runs_table(wanted)
        if also:
            where, values = [*where, also], [*values, *given]
        told, their = self._told(meant)
        if meant.ids is not None and len(meant.ids) <= FEW:
            ids = list(meant.ids)
            runs = f"{{ids}} CROSS JOIN run r WHERE {' AND '.join(['r.job_id = k.a', *where])}"
            return lambda sql, values: self.link.by_ids(sql.format(runs=runs), ids, values), values
        source = f"run r WHERE {' AND '.join([*where, *told])}"
        return lambda sql, values: self.link.each(sql.format(runs=source), values), [*values, *their]

    def _told(self, meant: Meant) -> tuple[list[str], list[Any]]:
        """What is said of many jobs, as conditions of a run; the plus keeps the walk along the order of time."""
        found: list[str] = []
        if meant.told[0]:
            found.append(f"+r.job_id IN (SELECT j.id FROM job j WHERE {' AND '.join(meant.told[0])})")
        if meant.ids is not None:
            found.append(f"+r.job_id IN ({', '.join(map(str, sorted(meant.ids)))})")
        return found, meant.told[1]

    def _of_runs_table(self, wanted: JobFilter) -> tuple[list[str], list[Any]]:
        where, values = self.of_runs(wanted)
        if State.PLANNED not in wanted.states:
            where, values = ["r.sort_us <= ?", *where], [micros(self.now()), *values]
        stale = ", ".join(map(str, sorted(self.stale_targets())))
        state = "r.state"
        if stale:
            unseen = f"r.job_id IN (SELECT id FROM job WHERE target_id IN ({stale}))"
            state = f"CASE WHEN r.state IN ({OPEN_WORDS}) AND {unseen} THEN 'unknown' ELSE r.state END"
        for states, sign in ((wanted.states, "IN"), (wanted.not_states, "NOT IN")):
            if states:
                where.append(f"{state} {sign} ({', '.join('?' for _ in states)})")
                values = [*values, *(pack(one.lower()) for one in states)]
        if wanted.problems_only:
            where.append(f"({state} IN ({PROBLEMS}) OR r.stale_read OR r.evidence = 'conflict')")
        return where, values


def _pieces(ids: Iterator[int]) -> Iterator[list[int]]:
    """The ids, some at a time."""
    while some := list(islice(ids, AT_ONCE)):
        yield some
