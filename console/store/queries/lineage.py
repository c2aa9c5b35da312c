"""What lies upstream and downstream of a job over all systems, level by level by the indexes of the dependencies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from connectors.sdk.states import RunState, is_open
from console.domain.dependency import LineageJob, LineageRun, LineageView
from console.domain.ids import instant, micros, optional_instant
from console.store.db.read_connection import ReadConnection
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.names import encode_name
from console.store.queries.base import ReadStore, run_visibility, to_view, visible_state
from console.store.queries.dependencies import roots_awaited

_FACTS = (
    "SELECT j.id, j.name, s.name AS system, j.target_id, r.state, r.evidence, r.period_key, r.ended_us, r.started_us,"
    " r.sort_us, r.id AS run_id"
    " FROM {keys} JOIN job j ON j.id = k.a JOIN system s ON s.id = j.system_id"
)
_LATEST = f"{_FACTS} LEFT JOIN latest_run l ON l.job_id = j.id LEFT JOIN run r ON r.id = l.run_id"
_EXPECTED = (
    "SELECT j.id, p.state, p.evidence, p.period_key, p.sort_us, p.bd, r.bd FROM {keys} JOIN job j ON j.id = k.a"
    " JOIN latest_run l ON l.job_id = j.id JOIN run r ON r.id = l.run_id JOIN run p ON p.id = (SELECT x.id FROM run x"
    " WHERE x.job_id = j.id AND x.sort_us > r.sort_us AND x.sort_us <= ? AND x.attempts = 0"
    " AND x.state IN ('planned', 'held', 'waiting', 'queued', 'blocked') ORDER BY x.sort_us, x.period_key LIMIT 1)"
)
"""What comes next of each job, after what began last."""
_ON_DATE = (
    f"{_FACTS} LEFT JOIN run r ON r.id = (SELECT x.id FROM run x WHERE x.job_id = j.id AND x.bd = ?"
    " ORDER BY x.sort_us DESC, x.period_key DESC LIMIT 1)"
)
# ruff: noqa: S608  (our own words; every value is bound)
_TASKS = "SELECT j.id, j.parent_id FROM {keys} JOIN job j ON j.parent_id = k.a"
_PARENTS = "SELECT j.id, j.parent_id FROM {keys} JOIN job j ON j.id = k.a WHERE j.parent_id IS NOT NULL"
_BELOW = "SELECT d.upstream_id, d.downstream_id FROM {keys} JOIN dependency d ON d.upstream_id = k.a"
_ABOVE = "SELECT d.upstream_id, d.downstream_id FROM {keys} JOIN dependency d ON d.downstream_id = k.a"
_LATEST_RUNS = (
    "SELECT r.id, r.job_id, r.bd, r.state, r.started_us, r.ended_us, r.stale_read, r.period_key"
    " FROM {keys} JOIN run r ON r.id IN"
    " (SELECT x.id FROM run x WHERE x.job_id = k.a AND x.attempts > 0 ORDER BY x.sort_us DESC LIMIT ?)"
    " ORDER BY r.job_id, r.sort_us DESC"
)
_INPUTS = (
    "SELECT a.run_id, a.context FROM {keys} JOIN attempt a ON a.run_id = k.a WHERE a.context LIKE '%\"inputs\"%'"
    " ORDER BY a.run_id, a.number"
)
_AHEAD = frozenset({RunState.PLANNED, RunState.HELD, RunState.WAITING, RunState.QUEUED, RunState.BLOCKED})
MAX_LATEST_RUNS = 12
"""Runs of a job that are looked at for what read them: a dozen hours of what runs each hour."""
SOON = timedelta(hours=12)
"""A run that is due within half a business date is tonight's: what ran before tells nothing of it."""
_MAX_DEPTH = 50
"""Tasks in task groups: more levels than any scheduler has."""


@dataclass(slots=True)
class _Walk:
    """The edges around one job, between what schedulers start."""

    link: ReadConnection
    unit_of: dict[int, int] = field(default_factory=dict)
    edges: dict[tuple[int, int], None] = field(default_factory=dict)

    def unit(self, job_id: int) -> int:
        return self.units([job_id])[job_id]

    def go(self, start: int, query: str) -> None:
        """All that is reached from there by the query's direction."""
        level, known = [start], {start}
        while level:
            pairs = self.link.by_keys(query, sorted(self._with_tasks(level)))
            units = self.units({each for pair in pairs for each in pair})
            edges = [(units[upstream], units[downstream]) for upstream, downstream in pairs]
            self.edges |= dict.fromkeys(edge for edge in edges if edge[0] != edge[1])
            level = sorted({each for edge in edges for each in edge} - known)
            known.update(level)

    def _with_tasks(self, units: Iterable[int]) -> set[int]:
        found, level = set(units), list(units)
        while level:
            rows = self.link.by_keys(_TASKS, level)
            level = [task for task, _ in rows if task not in found]
            found.update(level)
        return found

    def units(self, job_ids: Iterable[int]) -> dict[int, int]:
        """Job -> what its scheduler starts: itself, or the DAG at the top of its parents."""
        wanted = set(job_ids)
        tops = {each: self.unit_of.get(each, each) for each in wanted}
        climbing = wanted - self.unit_of.keys()
        for _ in range(_MAX_DEPTH):
            parents: dict[int, int] = dict(self.link.by_keys(_PARENTS, sorted({tops[each] for each in climbing})))
            climbing = {each for each in climbing if tops[each] in parents}
            if not climbing:
                break
            tops |= {each: parents[tops[each]] for each in climbing}
        self.unit_of |= tops
        return tops


class LineageQueries:
    """What lies upstream and downstream of a job."""

    def __init__(self, store: ReadStore) -> None:
        self.store = store
        self.link = store.link

    def lineage_of(self, job_id: int, run: str = "") -> LineageView:
        """Everything upstream and downstream of a job, with the latest run of each, or the one that is expected soon
        where that was a good one of an earlier date; with `run` (a period key of the job, or the number of a run) that
        of the same business date. Raises NotFound for a run that the job has not."""
        business_date = self._bd_of_run(job_id, run) if run else ""
        walk = _Walk(self.link)
        unit = walk.unit(job_id)
        walk.go(unit, _BELOW)
        walk.go(unit, _ABOVE)
        stale = self.store.stale_targets()
        ids = sorted({unit, *(each for edge in walk.edges for each in edge)})
        rows = self.link.by_keys(_ON_DATE, ids, (business_date,)) if business_date else self.link.by_keys(_LATEST, ids)
        jobs = {row.id: _job(row, stale) for row in rows}
        if not business_date:
            jobs |= self._expected(jobs)
            jobs |= self._kept_waiting(jobs)
        edges = tuple(edge for edge in walk.edges if edge[0] in jobs and edge[1] in jobs)
        return LineageView(unit, business_date, jobs, edges, self._services_among(jobs, walk))

    def _expected(self, jobs: dict[int, LineageJob]) -> dict[int, LineageJob]:
        """Those jobs of which a run is expected soon, and the latest neither goes on nor is red: that stays in view."""
        calm = [job.id for job in jobs.values() if job.state and not job.is_red and not is_open(job.state)]
        rows = self.link.by_keys(_EXPECTED, sorted(calm), (micros(self.store.now() + SOON),))
        found = {}
        for job_id, state, evidence, key, due_us, business_date, bd_before in rows:
            job = jobs[job_id]
            if business_date > bd_before:
                shown = "unknown" if evidence == "stale" else state
                found[job_id] = replace(
                    job,
                    state=shown,
                    period_key=visible_state(key),
                    at=instant(due_us),
                    before=job.state,
                    before_at=job.at,
                )
        return found

    def _kept_waiting(self, jobs: dict[int, LineageJob]) -> dict[int, LineageJob]:
        """Those jobs that have not started and wait for the root of an incident."""
        ahead = {job.id for job in jobs.values() if not job.state or job.state in _AHEAD}
        awaited = roots_awaited(self.link, ahead)
        return {job_id: replace(jobs[job_id], waits_for=root) for job_id, root in awaited.items()}

    def latest_runs(self, job_ids: Iterable[int]) -> dict[int, list[LineageRun]]:
        """The latest runs of these jobs that have begun, newest first."""
        found: dict[int, list[LineageRun]] = {}
        rows = self.link.by_keys(_LATEST_RUNS, sorted(job_ids), (MAX_LATEST_RUNS,))
        for row in rows:
            run = to_view(LineageRun, row, period_key=visible_state(row.period_key))
            found.setdefault(row.job_id, []).append(run)
        newest = {those[0].id: those[0].job_id for those in found.values()}
        for run_id, context in self.link.by_keys(_INPUTS, sorted(newest)):
            those = found[newest[run_id]]
            those[0] = replace(those[0], inputs=_inputs(context) or those[0].inputs)
        return found

    def _bd_of_run(self, job_id: int, run: str) -> str:
        rows = self.link.rows("SELECT bd FROM run WHERE job_id = ? AND period_key = ?", (job_id, encode_name(run)))
        if not rows and run.isascii() and run.isdigit() and len(run) < 19:
            rows = self.link.rows("SELECT bd FROM run WHERE job_id = ? AND id = ?", (job_id, int(run)))
        if not rows:
            raise NotFound(f"run {run} of this job")
        return str(rows[0][0])

    def _services_among(self, jobs: dict[int, LineageJob], walk: _Walk) -> dict[str, tuple[int, ...]]:
        rows = self.link.rows("SELECT name, terminals FROM service WHERE NOT removed ORDER BY tier, name")
        ends = {name: json.loads(terminals) for name, terminals in rows}
        units = walk.units({each for terminals in ends.values() for each in terminals})
        among = {name: tuple(dict.fromkeys(units[each] for each in those)) for name, those in ends.items()}
        found = {name: tuple(each for each in those if each in jobs) for name, those in among.items()}
        return {name: those for name, those in found.items() if those}


def _inputs(context: str) -> tuple[tuple[str, str], ...]:
    """(job, period key) of what a source told under "inputs"; nothing of what is told in another form."""
    told = json.loads(context).get("inputs")
    rows = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    return tuple((str(one["job"]), str(one["period_key"])) for one in rows if one.keys() >= {"job", "period_key"})


def _job(row: Row, stale: dict[int, datetime | None]) -> LineageJob:
    visible = run_visibility(row.state or "", row.evidence, row.target_id, stale)
    shown = visible.state if row.state else ""
    at_us = next((at for at in (row.ended_us, row.started_us, row.sort_us) if at is not None), None)
    is_red = bool(shown) and RunState(shown).is_red
    key = visible_state(row.period_key or "")
    return LineageJob(
        row.id, row.name, row.system, shown, is_red, key, optional_instant(at_us), row.run_id,
        stale_since=visible.stale_since,
    )  # fmt: skip
