"""What lies upstream and downstream of a job over all systems, level by level by the indexes of the dependencies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from connectors.words import State
from console.model.ids import maybe_instant
from console.model.views.lineage import LineageJob, LineageRun, LineageView
from console.store.errors import NotFound
from console.store.keys import pack
from console.store.reads.base import Base, seen, visible
from console.store.reads.link import Link, Row

_FACTS = (
    "SELECT j.id, j.name, s.name, j.target_id, r.state, r.evidence, r.period_key, r.ended_us, r.started_us, r.sort_us,"
    " r.id"
    " FROM {ids} JOIN job j ON j.id = k.a JOIN system s ON s.id = j.system_id"
)
_LATEST = f"{_FACTS} LEFT JOIN latest_run l ON l.job_id = j.id LEFT JOIN run r ON r.id = l.run_id"
_ON_DATE = (
    f"{_FACTS} LEFT JOIN run r ON r.id = (SELECT x.id FROM run x WHERE x.job_id = j.id AND x.bd = ?"
    " ORDER BY x.sort_us DESC, x.period_key DESC LIMIT 1)"
)
# ruff: noqa: S608  (our own words; every value is bound)
_TASKS = "SELECT j.id, j.parent_id FROM {ids} JOIN job j ON j.parent_id = k.a"
_PARENTS = "SELECT j.id, j.parent_id FROM {ids} JOIN job j ON j.id = k.a WHERE j.parent_id IS NOT NULL"
_BELOW = "SELECT d.upstream_id, d.downstream_id FROM {ids} JOIN dependency d ON d.upstream_id = k.a"
_ABOVE = "SELECT d.upstream_id, d.downstream_id FROM {ids} JOIN dependency d ON d.downstream_id = k.a"
_LATEST_RUNS = (
    "SELECT r.id, r.job_id, r.bd, r.state, r.started_us, r.ended_us, r.stale_read FROM {ids} JOIN run r ON r.id IN"
    " (SELECT x.id FROM run x WHERE x.job_id = k.a AND x.attempts > 0 ORDER BY x.sort_us DESC LIMIT ?)"
    " ORDER BY r.job_id, r.sort_us DESC"
)
LATEST_RUNS = 12
"""Runs of a job that are looked at for what read them: a dozen hours of what runs each hour."""
_DEEPEST = 50
"""Tasks in task groups: more levels than any scheduler has."""


@dataclass(slots=True)
class _Walk:
    """The edges around one job, between what schedulers start."""

    link: Link
    unit_of: dict[int, int] = field(default_factory=dict)
    edges: dict[tuple[int, int], None] = field(default_factory=dict)

    def unit(self, job_id: int) -> int:
        return self.units([job_id])[job_id]

    def go(self, start: int, query: str) -> None:
        """All that is reached from there by the query's direction."""
        level, known = [start], {start}
        while level:
            pairs = self.link.by_ids(query, sorted(self._with_tasks(level)))
            units = self.units({each for pair in pairs for each in pair})
            edges = [(units[upstream], units[downstream]) for upstream, downstream in pairs]
            self.edges |= dict.fromkeys(edge for edge in edges if edge[0] != edge[1])
            level = sorted({each for edge in edges for each in edge} - known)
            known.update(level)

    def _with_tasks(self, units: Iterable[int]) -> set[int]:
        found, level = set(units), list(units)
        while level:
            rows = self.link.by_ids(_TASKS, level)
            level = [task for task, _ in rows if task not in found]
            found.update(level)
        return found

    def units(self, job_ids: Iterable[int]) -> dict[int, int]:
        """Job -> what its scheduler starts: itself, or the DAG at the top of its parents."""
        wanted = set(job_ids)
        tops = {each: self.unit_of.get(each, each) for each in wanted}
        climbing = wanted - self.unit_of.keys()
        for _ in range(_DEEPEST):
            parents: dict[int, int] = dict(self.link.by_ids(_PARENTS, sorted({tops[each] for each in climbing})))
            climbing = {each for each in climbing if tops[each] in parents}
            if not climbing:
                break
            tops |= {each: parents[tops[each]] for each in climbing}
        self.unit_of |= tops
        return tops


class LineageReads(Base):
    def lineage(self, job_id: int, run: str = "") -> LineageView:
        """Everything upstream and downstream of a job, with the latest run of each; with `run` (a period key of the
        job, or the number of a run) that of the same business date. Raises NotFound for a run that the job has not."""
        bd = self._bd_of_run(job_id, run) if run else ""
        walk = _Walk(self.link)
        unit = walk.unit(job_id)
        walk.go(unit, _BELOW)
        walk.go(unit, _ABOVE)
        stale = self.stale_targets()
        ids = sorted({unit, *(each for edge in walk.edges for each in edge)})
        rows = self.link.by_ids(_ON_DATE, ids, (bd,)) if bd else self.link.by_ids(_LATEST, ids)
        jobs = {row[0]: _job(row, stale) for row in rows}
        edges = tuple(edge for edge in walk.edges if edge[0] in jobs and edge[1] in jobs)
        return LineageView(unit, bd, jobs, edges, self._services_among(jobs, walk))

    def latest_runs(self, job_ids: Iterable[int]) -> dict[int, list[LineageRun]]:
        """The latest runs of these jobs that have begun, newest first."""
        found: dict[int, list[LineageRun]] = {}
        rows = self.link.by_ids(_LATEST_RUNS, sorted(job_ids), (LATEST_RUNS,))
        for run_id, job_id, bd, state, started, ended, stale_read in rows:
            one = LineageRun(run_id, job_id, bd, state, maybe_instant(started), maybe_instant(ended), bool(stale_read))
            found.setdefault(job_id, []).append(one)
        return found

    def _bd_of_run(self, job_id: int, run: str) -> str:
        rows = self.link.rows("SELECT bd FROM run WHERE job_id = ? AND period_key = ?", (job_id, pack(run)))
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


def _job(row: Row, stale: dict[int, datetime | None]) -> LineageJob:
    job_id, name, system, target_id, state, evidence, period_key, ended, started, sort_us, run_id = row
    shown = seen(state, evidence, target_id, stale).state if state else ""
    at = maybe_instant(ended if ended is not None else started if started is not None else sort_us)
    is_red = bool(shown) and State(shown).is_red
    return LineageJob(job_id, name, system, shown, is_red, visible(period_key or ""), at, run_id)
