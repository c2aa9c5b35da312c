"""Everything upstream and downstream of a job across systems, level by level along dependency indexes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from connectors.sdk.states import RunState, is_open
from console.domain.dependency import (
    DAILY_RUNS,
    JobDatasetView,
    JobFacetView,
    JobNights,
    LineageJob,
    LineageRun,
    LineageView,
    NightRun,
    SharedDataset,
)
from console.domain.ids import instant, micros, optional_instant
from console.domain.service import DEADLINE_FACET
from console.store.db.read_connection import ReadConnection
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.names import encode_name
from console.store.queries.base import ContextQueries, clean_name, run_visibility
from console.store.queries.dependencies import roots_awaited
from console.store.row_values import from_row

_FACTS = (
    "SELECT j.id, j.name, s.name AS system, j.target_id, r.state, r.evidence, r.period_key, r.ended_us, r.started_us,"
    " r.sort_us, r.id AS run_id, COALESCE(r.stale_read, FALSE) AS stale_read, COALESCE(r.business_date, '') AS"
    " business_date FROM {keys} JOIN job j ON j.id = k.a JOIN system s ON s.id = j.system_id"
)
_LATEST = f"{_FACTS} LEFT JOIN latest_run l ON l.job_id = j.id LEFT JOIN run r ON r.id = l.run_id"
_EXPECTED = (
    "SELECT j.id, p.state, p.evidence, p.period_key, p.sort_us, p.business_date, r.business_date AS"
    " latest_business_date FROM {keys} JOIN job j ON j.id"
    " = k.a JOIN latest_run l ON l.job_id = j.id JOIN run r ON r.id = l.run_id JOIN run p ON p.id = (SELECT x.id FROM"
    " run x WHERE x.job_id = j.id AND x.sort_us > r.sort_us AND x.sort_us <= ? AND x.attempts = 0 AND x.state IN"
    " ('planned', 'held', 'waiting', 'queued', 'blocked') ORDER BY x.sort_us, x.period_key LIMIT 1)"
)
"""The next expected run of each job after its latest one."""
_UNCLOCKED = (
    "SELECT j.id FROM {keys} JOIN job j ON j.id = k.a LEFT JOIN schedule c ON c.id = (SELECT MAX(x.id) FROM schedule x"
    " WHERE x.job_id = j.id AND x.accepted_us IS NOT NULL) WHERE COALESCE(c.dialect, 'none') = 'none'"
)
"""The jobs that no clock starts."""
_ON_DATE = (
    f"{_FACTS} LEFT JOIN run r ON r.id = (SELECT x.id FROM run x WHERE x.job_id = j.id AND x.business_date = ?"
    " ORDER BY x.sort_us DESC, x.period_key DESC LIMIT 1)"
)
# ruff: noqa: S608  (only our own names; every value is bound)
_TASKS = "SELECT j.id, j.parent_id FROM {keys} JOIN job j ON j.parent_id = k.a"
_PARENTS = "SELECT j.id, j.parent_id FROM {keys} JOIN job j ON j.id = k.a WHERE j.parent_id IS NOT NULL"
_BELOW = "SELECT d.upstream_id, d.downstream_id FROM {keys} JOIN dependency d ON d.upstream_id = k.a"
_ABOVE = "SELECT d.upstream_id, d.downstream_id FROM {keys} JOIN dependency d ON d.downstream_id = k.a"
_LATEST_RUNS = (
    "SELECT r.id, r.job_id, r.business_date, r.state, r.started_us, r.ended_us, r.stale_read, r.period_key FROM {keys}"
    " JOIN run r ON r.id IN (SELECT x.id FROM run x WHERE x.job_id = k.a AND x.attempts > 0 ORDER BY x.sort_us DESC"
    " LIMIT ?) ORDER BY r.job_id, r.sort_us DESC"
)
_INPUTS = (
    "SELECT a.run_id, a.context FROM {keys} JOIN attempt a ON a.run_id = k.a WHERE a.context LIKE '%\"inputs\"%'"
    " ORDER BY a.run_id, a.number"
)
_AHEAD = frozenset({RunState.PLANNED, RunState.HELD, RunState.WAITING, RunState.QUEUED, RunState.BLOCKED})
MAX_DATASETS = 200
"""Datasets of a job that are shown."""
MAX_LATEST_RUNS = 12
"""Runs of a job searched for the ones that read them."""
SOON = timedelta(hours=12)
"""A run due within half a day is shown instead of an earlier date's."""
_MAX_DEPTH = 50
"""Nesting of task groups: more than any scheduler has."""


def _is_calm(job: LineageJob) -> bool:
    return bool(job.state) and not job.is_red and not job.stale_read and not is_open(job.state)


@dataclass(slots=True)
class _Walk:
    """The edges around one job, between the units that schedulers start."""

    link: ReadConnection
    unit_of: dict[int, int] = field(default_factory=dict)
    edges: dict[tuple[int, int], None] = field(default_factory=dict)

    def unit(self, job_id: int) -> int:
        return self.units([job_id])[job_id]

    def go(self, start: int, query: str) -> None:
        """Follows the query's direction to the end."""
        level, known = [start], {start}
        while level:
            members, tasks = set(level), level
            while tasks:
                tasks = [row.id for row in self.link.by_keys(_TASKS, tasks) if row.id not in members]
                members.update(tasks)
            pairs = self.link.by_keys(query, sorted(members))
            units = self.units({job_id for pair in pairs for job_id in pair})
            edges = [(units[row.upstream_id], units[row.downstream_id]) for row in pairs]
            self.edges |= dict.fromkeys(edge for edge in edges if edge[0] != edge[1])
            level = sorted({job_id for edge in edges for job_id in edge} - known)
            known.update(level)

    def units(self, job_ids: Iterable[int]) -> dict[int, int]:
        """Job -> the unit that its scheduler starts: itself, or the DAG at the top of its parents."""
        jobs = set(job_ids)
        tops = {job_id: self.unit_of.get(job_id, job_id) for job_id in jobs}
        climbing = jobs - self.unit_of.keys()
        for _ in range(_MAX_DEPTH):
            parents: dict[int, int] = dict(self.link.by_keys(_PARENTS, sorted({tops[job_id] for job_id in climbing})))
            climbing = {job_id for job_id in climbing if tops[job_id] in parents}
            if not climbing:
                break
            tops |= {job_id: parents[tops[job_id]] for job_id in climbing}
        self.unit_of |= tops
        return tops


_NIGHTS = (
    "SELECT r.job_id, r.business_date, r.state, r.first_started_us, r.ended_us, r.attempts, r.stale_read FROM run r"
    " WHERE r.sort_us >= ? AND r.first_started_us IS NOT NULL ORDER BY r.job_id, r.business_date, r.sort_us"
)
MAX_RUNS_A_NIGHT = 26
"""Hourly jobs with reruns: jobs that run more often wait for no other."""
_UNITS = (
    "SELECT j.id, j.name, j.target_id, j.parent_id FROM job j JOIN system s ON s.id = j.system_id JOIN target t"
    " ON t.id = j.target_id WHERE NOT s.removed AND NOT t.removed AND NOT j.unwatched AND j.gone_since_us IS NULL"
)
_SHARED = (
    "WITH used AS (SELECT COALESCE(j.parent_id, j.id) AS job_id, u.dataset, u.is_output, max(u.producer) AS producer,"
    " max(u.seen_us) AS seen_us FROM job_dataset u JOIN job j ON j.id = u.job_id WHERE NOT j.unwatched AND"
    " j.gone_since_us IS NULL GROUP BY COALESCE(j.parent_id, j.id), u.dataset, u.is_output) SELECT w.job_id AS"
    " writer_id, r.job_id AS reader_id, w.dataset, w.producer, w.seen_us AS written_us, r.seen_us AS read_us FROM"
    " (SELECT dataset FROM used GROUP BY dataset HAVING SUM(CASE WHEN is_output THEN 1 ELSE 0 END) * SUM(CASE WHEN"
    " is_output THEN 0 ELSE 1 END) BETWEEN 1 AND ?) d JOIN used w ON w.dataset = d.dataset AND w.is_output JOIN used r"
    " ON r.dataset = d.dataset AND NOT r.is_output AND r.job_id <> w.job_id ORDER BY w.job_id, r.job_id, w.dataset"
)
MAX_PAIRS = 1_000
"""Writers times readers of one dataset. One that more share, such as a folder for everything, orders no jobs."""


class LineageQueries(ContextQueries):
    def lineage_of(self, job_id: int, run: str = "") -> LineageView:
        """Everything upstream and downstream of a job, each with its latest run, or the one expected soon if that one
        succeeded on an earlier date; with `run` (a period key, or the number of a run) the run of that business date.
        Raises NotFound for an unknown run."""
        business_date = self._business_date_of(job_id, run) if run else ""
        walk = _Walk(self.link)
        unit = walk.unit(job_id)
        walk.go(unit, _BELOW)
        walk.go(unit, _ABOVE)
        stale = self.store.stale_targets()
        ids = sorted({unit, *(job_id for edge in walk.edges for job_id in edge)})
        rows = self.link.by_keys(_ON_DATE, ids, (business_date,)) if business_date else self.link.by_keys(_LATEST, ids)
        jobs = {row.id: _job(row, stale) for row in rows}
        if not business_date:
            dates = {row.id: row.business_date for row in rows}
            jobs |= self._expected(jobs, dates)
            jobs |= self._after_upstreams(jobs, dates, walk.edges)
            not_started = {job.id for job in jobs.values() if not job.state or job.state in _AHEAD}
            awaited = roots_awaited(self.link, not_started)
            jobs |= {job_id: replace(jobs[job_id], waits_for=root) for job_id, root in awaited.items()}
        edges = tuple(edge for edge in walk.edges if edge[0] in jobs and edge[1] in jobs)
        services = self._services_among(jobs, walk)
        return LineageView(unit, business_date, jobs, edges, services, *self._reported(job_id))

    def reported_deadlines(self) -> dict[str, str]:
        """Job -> deadline of its latest run, as `ReportedDeadline.text`."""
        rows = self.link.rows(
            "SELECT j.name, f.text FROM job_facet f JOIN job j ON j.id = f.job_id"
            " WHERE f.name = ? AND NOT j.unwatched AND j.gone_since_us IS NULL ORDER BY j.name",
            (DEADLINE_FACET,),
        )
        return {clean_name(row.name): row.text for row in rows}

    def _reported(self, job_id: int) -> tuple[tuple[JobDatasetView, ...], tuple[JobFacetView, ...]]:
        """Datasets and facets of a job by OpenLineage events, datasets of its tasks included."""
        datasets = self.link.rows(
            "SELECT dataset, is_output, max(producer) AS producer, max(seen_us) AS seen_us FROM job_dataset WHERE"
            " job_id IN (SELECT j.id FROM job j WHERE j.id = ? OR j.parent_id = ?) GROUP BY is_output, dataset ORDER BY"
            " is_output, dataset LIMIT ?",
            (job_id, job_id, MAX_DATASETS),
        )
        facets = self.link.rows("SELECT * FROM job_facet WHERE job_id = ? ORDER BY name", (job_id,))
        return tuple(from_row(JobDatasetView, row) for row in datasets), tuple(
            from_row(JobFacetView, row) for row in facets
        )

    def _expected(self, jobs: dict[int, LineageJob], dates: dict[int, str]) -> dict[int, LineageJob]:
        """Jobs with a run expected soon, unless the latest is open, failed or stale: that stays visible. Puts its date
        into `dates`."""
        calm = [job.id for job in jobs.values() if _is_calm(job)]
        expected = {}
        rows = self.link.by_keys(_EXPECTED, sorted(calm), (micros(self.store.now() + SOON),))
        changed = self.changed_schedules(row.id for row in rows)
        for row in rows:
            job, at = jobs[row.id], instant(row.sort_us)
            if row.business_date > row.latest_business_date:
                dates[row.id] = row.business_date
                expected[row.id] = replace(
                    job,
                    state="unknown" if row.evidence == "stale" else row.state,
                    period_key=clean_name(row.period_key),
                    at=changed[row.id].start(at) if row.id in changed else at,
                    before=job.state,
                    before_at=job.at,
                )
        return expected

    def _after_upstreams(
        self, jobs: dict[int, LineageJob], dates: dict[int, str], edges: Iterable[tuple[int, int]]
    ) -> dict[int, LineageJob]:
        """Jobs that their upstreams start, planned where an upstream has, for at most half a day, or expects a run of a
        later date; without a time. `dates`: the business date of each job's run."""
        calm = sorted(job.id for job in jobs.values() if _is_calm(job) and not job.before)
        unclocked = {row.id for row in self.link.by_keys(_UNCLOCKED, calm)}
        since = self.store.now() - SOON
        fresh = {job.id for job in jobs.values() if job.at is not None and job.at >= since}
        into = [edge for edge in edges if edge[1] in unclocked and edge[0] in fresh | unclocked]
        planned: dict[int, LineageJob] = {}
        while True:
            later = [
                (job_id, dates[upstream])
                for upstream, job_id in into
                if dates[upstream] > dates[job_id] and (upstream in fresh or upstream in planned)
            ]
            if not later:
                return planned
            for job_id, business_date in later:
                dates[job_id] = max(business_date, dates[job_id])
                job = jobs[job_id]
                planned[job_id] = replace(
                    job, state=RunState.PLANNED, at=None, period_key="", before=job.state, before_at=job.at
                )

    def latest_runs(self, job_ids: Iterable[int]) -> dict[int, list[LineageRun]]:
        """The latest started runs of these jobs, newest first."""
        runs: dict[int, list[LineageRun]] = {}
        rows = self.link.by_keys(_LATEST_RUNS, sorted(job_ids), (MAX_LATEST_RUNS,))
        for row in rows:
            run = from_row(LineageRun, row, period_key=clean_name(row.period_key))
            runs.setdefault(row.job_id, []).append(run)
        newest = {latest[0].id: latest[0].job_id for latest in runs.values()}
        for row in self.link.by_keys(_INPUTS, sorted(newest)):
            latest = runs[newest[row.run_id]]
            latest[0] = replace(latest[0], inputs=_inputs(row.context) or latest[0].inputs)
        return runs

    def nights(self, since: datetime) -> tuple[list[JobNights], set[tuple[int, int]]]:
        """The runs of every job, tasks and jobs that run more than hourly left out; and the known dependencies between
        jobs, by id. Of a job that runs about once a day, the first run on each business date."""
        jobs = {row.id: row for row in self.link.rows(_UNITS)}
        runs: dict[int, list[NightRun]] = {}
        for row in self.link.stream(_NIGHTS, (micros(since),)):
            if row.job_id in jobs and jobs[row.job_id].parent_id is None:
                is_good = row.state == RunState.SUCCEEDED and not row.stale_read
                runs.setdefault(row.job_id, []).append(
                    NightRun(date.fromisoformat(row.business_date), instant(row.first_started_us),
                             optional_instant(row.ended_us), is_good, row.attempts)
                )  # fmt: skip
        histories = []
        for job_id, all_runs in runs.items():
            first = {run.business_date: run for run in reversed(all_runs)}
            if len(all_runs) <= MAX_RUNS_A_NIGHT * len(first):
                is_daily = len(all_runs) <= DAILY_RUNS * len(first)
                counted = tuple(run for run in all_runs if not is_daily or run is first[run.business_date])
                histories.append(JobNights(job_id, clean_name(jobs[job_id].name), jobs[job_id].target_id, counted))
        units = {job_id: row.parent_id or job_id for job_id, row in jobs.items()}
        known = self.link.rows("SELECT upstream_id, downstream_id FROM dependency")
        watched = (row for row in known if row.upstream_id in units and row.downstream_id in units)
        return histories, {(units[row.upstream_id], units[row.downstream_id]) for row in watched}

    def shared_datasets(self) -> tuple[dict[tuple[int, int], list[SharedDataset]], dict[int, str]]:
        """Datasets by the pair of jobs that write and read them, tasks counted as their parents; and the names of these
        jobs."""
        jobs = {row.id: row for row in self.link.rows(_UNITS)}
        shared: dict[tuple[int, int], list[SharedDataset]] = {}
        for row in self.link.stream(_SHARED, (MAX_PAIRS,)):
            if row.writer_id in jobs and row.reader_id in jobs:
                dataset = SharedDataset(row.dataset, row.producer, instant(row.written_us), instant(row.read_us))
                shared.setdefault((row.writer_id, row.reader_id), []).append(dataset)
        return shared, {job_id: clean_name(jobs[job_id].name) for pair in shared for job_id in pair}

    def _business_date_of(self, job_id: int, run: str) -> str:
        rows = self.link.rows(
            "SELECT business_date FROM run WHERE job_id = ? AND period_key = ?", (job_id, encode_name(run))
        )
        if not rows and run.isascii() and run.isdigit() and len(run) < 19:
            rows = self.link.rows("SELECT business_date FROM run WHERE job_id = ? AND id = ?", (job_id, int(run)))
        if not rows:
            raise NotFound(f"run {run} of this job")
        return str(rows[0].business_date)

    def _services_among(self, jobs: dict[int, LineageJob], walk: _Walk) -> dict[str, tuple[int, ...]]:
        rows = self.link.rows("SELECT name, terminals FROM service WHERE NOT removed ORDER BY tier, name")
        terminals = {row.name: json.loads(row.terminals) for row in rows}
        units = walk.units({job_id for ids in terminals.values() for job_id in ids})
        services = {}
        for name, ids in terminals.items():
            if shown := tuple(unit for unit in dict.fromkeys(units[job_id] for job_id in ids) if unit in jobs):
                services[name] = shown
        return services


def _inputs(context: str) -> tuple[tuple[str, str], ...]:
    """(job, period key) of the "inputs" in a run's context; entries of another form are ignored."""
    inputs = json.loads(context).get("inputs")
    rows = [row for row in inputs if isinstance(row, dict)] if isinstance(inputs, list) else []
    return tuple((str(row["job"]), str(row["period_key"])) for row in rows if row.keys() >= {"job", "period_key"})


def _job(row: Row, stale: dict[int, datetime | None]) -> LineageJob:
    visible = run_visibility(row.state or "", row.evidence, row.target_id, stale)
    shown = visible.state if row.state else ""
    at_us = next((at for at in (row.ended_us, row.started_us, row.sort_us) if at is not None), None)
    is_red = bool(shown) and RunState(shown).is_red
    key = clean_name(row.period_key or "")
    return LineageJob(
        row.id, row.name, row.system, shown, is_red, key, optional_instant(at_us), row.run_id,
        stale_since=visible.stale_since,
        stale_read=bool(row.stale_read),
    )  # fmt: skip
